//! The ring file: whatever is in it, opening keeps what is whole and refuses the rest; what it keeps can be read and written on.
use gds_core::memory::words::WORD_BYTES;
use gds_core::memory::{HeapWords, Read, Ring, RingConfig, RingIdentity, SharedWords};
use gds_wire::session::Session;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::script::Script;

/// Words of a ring that hold its fixed header, the last of them its checksum.
const FIXED_WORDS: usize = 13;
const HEADER_WORDS: usize = 48;
const MESSAGE_BYTES_MAX: usize = 200;

/// Words that may once have been a ring into [`Ring::open`].
pub fn ring(data: &[u8]) {
    let mut script = Script::new(data);
    let words = if script.flag() { written(&mut script) } else { raw(&mut script) };
    let before = (0..words.words().len()).map(|at| load(&words, at)).collect::<Vec<_>>();
    let told = Ring::words_of(words.words());
    match Ring::open(Arc::clone(&words)) {
        Ok(ring) => {
            assert_eq!(told, Some(Ring::words_needed(&ring.config())), "the header says what it takes");
            let kept = kept(&ring);
            go_on(&ring, &kept);
            drop(ring);
            again(&words, &kept);
        }
        Err(error) => {
            drop(error.to_string());
            assert!((0..before.len()).all(|at| load(&words, at) == before[at]), "refused and changed");
        }
    }
}

fn load(words: &SharedWords, at: usize) -> u64 {
    words.words()[at].load(Relaxed)
}

fn store(words: &SharedWords, at: usize, value: u64) {
    words.words()[at].store(value, Relaxed);
}

/// The input's bytes as they are.
fn raw(script: &mut Script<'_>) -> SharedWords {
    let bytes = script.rest();
    let words = HeapWords::shared(bytes.len() / WORD_BYTES);
    let (whole, _) = bytes.as_chunks::<WORD_BYTES>();
    whole.iter().enumerate().for_each(|(at, word)| store(&words, at, u64::from_le_bytes(*word)));
    words
}

/// A ring that was written for a while, then damaged as the script says.
fn written(script: &mut Script<'_>) -> SharedWords {
    let config = RingConfig { data_bytes: 64 << script.below(5), positions: 2 << script.below(5) };
    let words = HeapWords::shared(Ring::words_needed(&config));
    let identity = RingIdentity { stream: Session::NODE, boot_id: [7; 16], directory: [9; 16] };
    let first = script.number().clamp(1, (1 << 62) - 1_000);
    let ring = Ring::create(Arc::clone(&words), config, identity, first);
    let mut writer = ring.writer();
    for _ in 0..script.byte() {
        let message = vec![script.byte(); usize::from(script.byte()) % MESSAGE_BYTES_MAX];
        // Room for an empty message looks as none at all.
        if writer.room(u64::MAX) > message.len() {
            writer.append(u32::from(script.byte()), &[&message]);
        }
        if script.flag() {
            writer.publish();
        }
    }
    while let Some(place) = script.step() {
        // The header has few words and many meanings: half of all damage goes there.
        let at =
            if place & 1 == 0 { usize::from(place) / 2 % HEADER_WORDS } else { usize::from(script.u16()) };
        let at = at % words.words().len();
        store(&words, at, script.near(load(&words, at)));
        if script.flag() {
            seal(&words);
        }
    }
    words
}

/// Gives the fixed header the checksum it should have.
fn seal(words: &SharedWords) {
    let fixed = (0..FIXED_WORDS - 1).flat_map(|at| load(words, at).to_le_bytes()).collect::<Vec<_>>();
    store(words, FIXED_WORDS - 1, u64::from(gds_wire::checksum(&fixed)));
}

/// What the ring says it has, which must be there, whole and in order.
fn kept(ring: &Arc<Ring>) -> Vec<(u64, u32, Vec<u8>)> {
    let (first, last) = (ring.first(), ring.last());
    assert!(first >= 1 && first <= last + 1, "{first} to {last}");
    let mut reader = ring.reader(first);
    let mut into = vec![0; 1 << 16];
    let mut kept = Vec::new();
    for sequence in first..=last {
        match reader.read(last, &mut into) {
            Read::Message { sequence: found, epoch, length, chain } => {
                assert_eq!(ring.chain_of(sequence), Some(chain));
                assert_eq!(found, sequence);
                kept.push((sequence, epoch, into[..length].to_vec()));
            }
            other => panic!("{sequence} of {first} to {last} is {other:?}"),
        }
    }
    assert_eq!(reader.read(u64::MAX, &mut into), Read::Empty);
    if first > 1 {
        reader.seek(first - 1);
        assert_eq!(reader.read(last, &mut into), if last < first - 1 { Read::Empty } else { Read::Overrun });
    }
    kept
}

/// A writer goes on where the ring ends, and overwrites only what it was allowed to.
fn go_on(ring: &Arc<Ring>, kept: &[(u64, u32, Vec<u8>)]) {
    let mut writer = ring.writer();
    let last = ring.last();
    assert_eq!(writer.next_sequence(), last + 1);
    let mut reader = ring.reader(ring.first());
    let mut into = vec![0; 1 << 16];
    let free = writer.room(0);
    if free > 0 {
        writer.append(9, &[&vec![0x5A; free.min(MESSAGE_BYTES_MAX)]]);
        writer.publish();
        // Nothing may be overwritten yet, so all that was kept is still there.
        for (sequence, epoch, message) in kept {
            let (epoch, length) = (*epoch, message.len());
            let Some(chain) = ring.chain_of(*sequence) else { panic!("{sequence} has no chain") };
            let expected = Read::Message { sequence: *sequence, epoch, chain, length };
            assert_eq!(reader.read(u64::MAX, &mut into), expected);
            assert_eq!(into[..message.len()], message[..]);
        }
        assert!(matches!(reader.read(u64::MAX, &mut into), Read::Message { epoch: 9, .. }));
    }
    for _ in 0..20 {
        let gate = ring.last();
        let room = writer.room(gate);
        if room > 0 {
            writer.append(9, &[b"more"[..room.min(4)].as_ref()]);
            writer.publish();
        }
    }
}

/// A second opening finds a ring, and nothing in it but what was kept or written since.
fn again(words: &SharedWords, kept: &[(u64, u32, Vec<u8>)]) {
    let ring = Ring::open(Arc::clone(words)).expect("it was open before");
    for (sequence, epoch, message) in self::kept(&ring) {
        let before = kept.iter().find(|(number, ..)| *number == sequence);
        let unchanged = before.is_some_and(|before| (before.1, &before.2) == (epoch, &message));
        assert!(unchanged || (before.is_none() && epoch == 9), "{sequence} has changed");
    }
}
