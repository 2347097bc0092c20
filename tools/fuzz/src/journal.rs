//! Journals: whatever lies on the disk, walking changes nothing, recovery cuts only what it tells, and every message that counts
//! is read back as it was seen.
use gds_core::cursor::Progress;
use gds_core::disk::BLOCK_BYTES;
use gds_core::journal::{
    Durability, JournalConfig, JournalError, JournalRead, JournalReader, JournalWriter, Recovered, Walk,
    recover, walk,
};
use gds_core::memory::{HeapWords, Ring, RingConfig, RingIdentity};
use gds_core::time::Time;
use gds_wire::session::Session;
use std::collections::BTreeMap;

use crate::disk::{MemoryDisk, Segments};
use crate::script::Script;

const STREAM: Session = Session(*b"STREAM    ");
const SEGMENT_BLOCKS: usize = 4;
const HEADER_BYTES: usize = 64;
const CHECKSUM_AT: usize = 36;
const BYTES_AT: usize = 20;

type Messages = BTreeMap<u64, (u32, Vec<u8>)>;

/// Segments as the script lays them down into walk, recovery, reader and writer.
pub fn journal(data: &[u8]) {
    let mut script = Script::new(data);
    let stream = script.flag().then_some(STREAM);
    let known_last = if script.flag() { script.number() } else { 0 };
    let laid = lay_down(&mut script);
    let mut disk = MemoryDisk::new(laid.clone());
    let mut seen = Messages::new();
    let walked = walk(&mut disk, stream, known_last, &mut |group| {
        for message in group.messages() {
            let before = seen.insert(message.sequence, (message.epoch, message.bytes.to_vec()));
            assert!(before.is_none(), "{} is there twice", message.sequence);
        }
    });
    assert!(disk.segments == laid, "walking changed the disk");
    if let Ok(walked) = &walked {
        check_walk(walked, &seen);
        read_back(&mut disk, walked, &seen, false);
    }
    let recovered = recover(&mut disk, stream, known_last, &mut |_| {});
    match (walked, recovered) {
        (Ok(walked), Ok(recovered)) => {
            assert_eq!(
                (walked.first, walked.last, &walked.torn),
                (recovered.first, recovered.last, &recovered.torn)
            );
            read_back(&mut disk, &walked, &seen, true);
            let end = second_recovery(&mut disk, stream, &recovered);
            write_on(disk, &end, seen);
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            drop(error.to_string());
            assert!(!matches!(error, JournalError::Disk(_)), "{error}");
            assert!(disk.segments == laid, "refused and changed");
        }
        (walked, recovered) => panic!("the walk says {walked:?}, the recovery {recovered:?}"),
    }
}

fn check_walk(walked: &Walk, seen: &Messages) {
    let numbers = walked.first..=walked.last;
    assert!(seen.keys().copied().eq(numbers), "{:?} and {walked:?}", seen.keys());
    assert_eq!(seen.last_key_value().map_or(0, |(_, (epoch, _))| *epoch), walked.epoch);
    assert!(!(walked.clean && walked.torn.is_some()));
    if let Some(torn) = &walked.torn {
        assert_eq!(torn.sequence, walked.last + 1);
        drop(torn.to_string());
    }
}

/// Reads forwards, backwards, and beyond both ends. Before a
/// recovery what lies behind a break may answer for what is whole before it, so that only afterwards every message must be right.
fn read_back(disk: &mut MemoryDisk, walked: &Walk, seen: &Messages, recovered: bool) {
    let Some(stream) = walked.stream else { return };
    let mut reader = JournalReader::new(stream);
    let mut into = [0; BLOCK_BYTES];
    for sequence in seen.keys().chain(seen.keys().rev()) {
        let (epoch, message) = &seen[sequence];
        // A group may be longer than the writer would make it, and so may its messages.
        let mut large = vec![0; message.len().max(BLOCK_BYTES)];
        let read = reader.read(*sequence, disk, &mut large);
        if !recovered {
            continue;
        }
        let expected = (message.len(), *epoch);
        let Ok(JournalRead::Message { length, epoch, .. }) = read else { panic!("{sequence}: {read:?}") };
        assert_eq!((length, epoch), expected, "{sequence}");
        assert_eq!(large[..message.len()], message[..]);
        if message.len() <= into.len() && !message.is_empty() {
            let short = reader.read(*sequence, disk, &mut into[..message.len() - 1]);
            assert_eq!(short, Ok(JournalRead::TooSmall { length: message.len() }));
        }
    }
    if let Some(below) = walked.first.checked_sub(1).filter(|_| recovered) {
        assert_eq!(reader.read(below, disk, &mut into), Ok(JournalRead::Absent));
    }
    // What follows a break may be there once more for a reader; whatever it says, it must not stumble.
    drop(reader.read(walked.last + 1, disk, &mut into));
    drop(reader.damage(walked.last + 1, disk).to_string());
}

/// What was recovered is whole: recovering again finds the same and nothing torn.
fn second_recovery(disk: &mut MemoryDisk, stream: Option<Session>, first: &Recovered) -> Recovered {
    let before = disk.segments.clone();
    let second = recover(disk, stream, first.last, &mut |_| {}).expect("it was recovered");
    assert!(disk.segments == before, "the second recovery changed the disk");
    assert_eq!(second.torn, None);
    assert_eq!(
        (second.stream, second.first, second.last, second.epoch, second.position),
        (first.stream, first.first, first.last, first.epoch, first.position)
    );
    second
}

/// A writer goes on behind what was recovered, closes, and all of it is there.
fn write_on(mut disk: MemoryDisk, recovered: &Recovered, mut seen: Messages) {
    let stream = recovered.stream.unwrap_or(STREAM);
    if recovered.last >= 1 << 61 {
        return;
    }
    // The node writes segments of one size; those found here have any.
    let config = JournalConfig {
        segment_bytes: (SEGMENT_BLOCKS * BLOCK_BYTES) as u64,
        group_bytes_max: 2 * BLOCK_BYTES,
        linger_ns: 0,
        durability: Durability::Fsync,
    };
    let sizes = RingConfig { data_bytes: 8192, positions: 64 };
    let words = HeapWords::shared(Ring::words_needed(&sizes));
    let ring = Ring::create(
        words,
        sizes,
        RingIdentity { stream, boot_id: [1; 16], directory: [0; 16] },
        recovered.last + 1,
    );
    let mut writer = ring.writer();
    for length in [0, 5, 3_000, 900] {
        let message = vec![length as u8; length];
        seen.insert(writer.append(77, &[&message]), (77, message));
    }
    writer.publish();
    let mut source = ring.reader(recovered.last + 1);
    let mut journal = JournalWriter::new(config, stream, recovered);
    let progress = Progress::default();
    for lap in 0..8 {
        let now = Time { monotonic_ns: lap << 30, wall_ns: 0 };
        journal.duty(now, &mut source, u64::MAX, &mut disk, &progress).expect("the disk takes all");
    }
    assert_eq!(progress.durable.get(), ring.last());
    let closed = journal.close(Time::default(), &mut source, u64::MAX, &mut disk, &progress);
    assert!(closed.is_ok());
    let mut found = Messages::new();
    let walked = walk(&mut disk, Some(stream), ring.last(), &mut |group| {
        found.extend(
            group.messages().map(|message| (message.sequence, (message.epoch, message.bytes.to_vec()))),
        );
    })
    .expect("it was closed in order");
    assert_eq!(walked.clean, closed == Ok(true));
    assert_eq!(found, seen);
}

/// Builds segments: groups that are right but for what the script changes in them, and bytes of no sense.
fn lay_down(script: &mut Script<'_>) -> Segments {
    let mut segments = Segments::default();
    let mut number = 1;
    let mut next = 1 + u64::from(script.byte() / 16);
    let mut previous = 0;
    for _ in 0..script.below(4) {
        number += u64::from(script.below(16) == 15);
        let blocks = 1 + script.below(SEGMENT_BLOCKS);
        let mut bytes = vec![0; blocks * BLOCK_BYTES];
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            at += match script.below(8) {
                0 => BLOCK_BYTES,
                1 => {
                    let noise = script.bytes();
                    let count = noise.len().min(rest.len());
                    rest[..count].copy_from_slice(&noise[..count]);
                    BLOCK_BYTES
                }
                kind => {
                    let place = (number, (at / BLOCK_BYTES) as u32);
                    let clean = kind == 2;
                    lay_group(script, rest, place, clean, &mut next, &mut previous)
                }
            };
        }
        bytes.extend(vec![0xEE; script.below(2) * 100]);
        segments.0.insert(number, bytes);
        number += 1;
    }
    segments
}

/// Lays one group down; returns how many bytes of it there are.
fn lay_group(
    script: &mut Script<'_>,
    into: &mut [u8],
    (segment, offset_blocks): (u64, u32),
    clean: bool,
    next: &mut u64,
    previous: &mut u32,
) -> usize {
    let first = script.near(*next);
    let durable = script.near(next.wrapping_sub(1));
    let count = if clean { 0 } else { 1 + script.below(4) as u32 };
    let mut body = Vec::new();
    for _ in 0..count {
        let length = usize::from(script.byte()) * 20;
        body.extend((length as u32).to_be_bytes());
        body.extend(u32::from(script.byte()).to_be_bytes());
        body.resize(body.len() + length, 0xB0);
    }
    let bytes = (HEADER_BYTES + body.len()).next_multiple_of(BLOCK_BYTES).min(into.len());
    let mut group = b"GDSJ\0\x01".to_vec();
    group.extend([if clean { b'C' } else { b'M' }, 0]);
    group.extend(STREAM.0);
    group.extend([0; 2]);
    group.extend((bytes as u32).to_be_bytes());
    group.extend(first.to_be_bytes());
    group.extend(count.to_be_bytes());
    group.extend([0; 4]);
    group.extend(durable.to_be_bytes());
    group.extend(segment.to_be_bytes());
    group.extend(offset_blocks.to_be_bytes());
    group.extend(previous.to_be_bytes());
    group.extend(body);
    group.resize(bytes, 0);
    for _ in 0..script.byte() / 64 {
        let at = usize::from(script.u16()) % if script.flag() { bytes } else { HEADER_BYTES + 8 };
        group[at] = script.byte();
    }
    // What was changed is sealed over, or not: then the checksum says so.
    let claimed = u32::from_be_bytes(group[BYTES_AT..BYTES_AT + 4].try_into().expect("four bytes")) as usize;
    let sum = checksum(&group[..claimed.clamp(HEADER_BYTES, bytes)]);
    group[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
    if script.byte() >= 0xF0 {
        let at = usize::from(script.u16()) % bytes;
        group[at] ^= 1 + script.byte() / 2;
    }
    into[..bytes].copy_from_slice(&group);
    *next = first.wrapping_add(u64::from(count));
    *previous = sum;
    bytes
}

fn checksum(group: &[u8]) -> u32 {
    let mut copy = group.to_vec();
    copy[CHECKSUM_AT..CHECKSUM_AT + 4].fill(0);
    gds_wire::checksum(&copy)
}
