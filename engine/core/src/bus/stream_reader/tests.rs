use super::*;
use crate::bus::tests::{MemoryDisk, NoDisk, STREAM, at_us, message_of, ring};
use crate::cursor::Progress;
use crate::journal::{Durability, JournalConfig, JournalWriter, Recovered};
use crate::memory::ring::chained;

/// A small ring that has been around several times, and the journal of all of it.
pub fn overrun_ring(last: u64) -> (Arc<crate::memory::Ring>, MemoryDisk) {
    let ring = ring(1 << 14);
    let mut writer = ring.writer();
    let mut disk = MemoryDisk::default();
    let progress = Progress::default();
    let config = JournalConfig {
        segment_bytes: 1 << 18,
        group_bytes_max: 1 << 14,
        linger_ns: 0,
        durability: Durability::Memory,
    };
    let mut journal = JournalWriter::new(config, STREAM, &Recovered::empty());
    let mut source = ring.reader(1);
    while writer.next_sequence() <= last {
        while writer.next_sequence() <= last && writer.room(progress.journalled.get()) >= 300 {
            writer.append(3, &[&message_of(writer.next_sequence())]);
        }
        writer.publish();
        journal.duty(at_us(writer.next_sequence()), &mut source, ring.last(), &mut disk, &progress).unwrap();
    }
    while progress.journalled.get() < last {
        journal.duty(at_us(1 << 40), &mut source, last, &mut disk, &progress).unwrap();
    }
    (ring, disk)
}

#[test]
fn should_read_from_the_journal_and_come_back_to_the_ring() {
    const LAST: u64 = 2_000;
    let (ring, mut disk) = overrun_ring(LAST);
    assert!(ring.first() > 1_000, "the ring has lost its beginning");
    let mut reader = StreamReader::new(ring.reader(1), Some(JournalReader::new(STREAM)));
    let (mut buffer, mut chain) = ([0; 2000], 0);
    for number in 1..=LAST {
        match reader.read(LAST, &mut disk, &mut buffer).unwrap() {
            StreamRead::Message { sequence, epoch, length, chain: of } => {
                chain = chained(chain, &buffer[..length]);
                assert_eq!(of, chain, "message {number}");
                assert_eq!((sequence, epoch), (number, 3));
                assert_eq!(buffer[..length], message_of(number));
            }
            other => panic!("message {number}: {other:?}"),
        }
    }
    assert_eq!(reader.read(u64::MAX, &mut disk, &mut buffer), Ok(StreamRead::Empty));
    let from_journal = reader.counters().from_journal.get();
    assert!((1_000..LAST).contains(&from_journal), "{from_journal} from the journal");
    reader.seek(700);
    assert_eq!(reader.read(699, &mut disk, &mut buffer), Ok(StreamRead::Empty), "not above the limit");
    let length = message_of(700).len();
    assert_eq!(reader.read(LAST, &mut disk, &mut [0; 3]), Ok(StreamRead::TooSmall { length }));
    let read = reader.read(LAST, &mut disk, &mut buffer);
    assert!(
        matches!(read, Ok(StreamRead::Message { sequence: 700, epoch: 3, length: l, .. }) if l == length),
        "{read:?}"
    );
}

#[test]
fn should_say_what_is_gone() {
    let (ring, _) = overrun_ring(2_000);
    let mut buffer = [0; 2000];
    let mut reader = StreamReader::new(ring.reader(1), None);
    assert_eq!(reader.read(2_000, &mut NoDisk, &mut buffer), Ok(StreamRead::Gone));
    let mut reader = StreamReader::new(ring.reader(1), Some(JournalReader::new(STREAM)));
    assert_eq!(reader.read(2_000, &mut NoDisk, &mut buffer), Ok(StreamRead::Gone), "the journal is empty");
    assert_eq!(reader.counters().gone.get(), 1);
}

#[test]
fn should_call_it_damage_when_the_journal_lacks_what_it_must_have() {
    let (ring, mut disk) = overrun_ring(2_000);
    disk.segments.values_mut().for_each(|bytes| bytes[20_000..].fill(0));
    let mut reader = StreamReader::new(ring.reader(1_000), Some(JournalReader::new(STREAM)));
    let error = reader.read(2_000, &mut disk, &mut [0; 2000]).unwrap_err();
    assert!(error.to_string().contains("1000"), "{error}");
}

/// Byte `at` of a segment is another one.
fn flip(disk: &mut MemoryDisk, segment: u64, at: usize) {
    disk.segments.get_mut(&segment).expect("a segment")[at] ^= 0x40;
}

/// Each message from 1 to `last` as a reader gives it: true where it does.
fn readable(
    ring: &Arc<crate::memory::Ring>,
    disk: &mut MemoryDisk,
    last: u64,
) -> (Vec<bool>, Arc<Unreadable>) {
    let unreadable = Arc::<Unreadable>::default();
    let mut reader =
        StreamReader::new(ring.reader(1), Some(JournalReader::new(STREAM))).telling(unreadable.clone());
    let mut buffer = [0; 2000];
    let read = |number| {
        reader.seek(number);
        match reader.read(last, disk, &mut buffer) {
            Ok(StreamRead::Message { sequence, length, .. }) => {
                assert_eq!((sequence, &buffer[..length]), (number, &message_of(number)[..]));
                true
            }
            Ok(other) => panic!("message {number}: {other:?}"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    };
    ((1..=last).map(read).collect(), unreadable)
}

#[test]
fn should_name_the_place_that_cannot_be_read_and_give_all_before_it() {
    const LAST: u64 = 4_000;
    let (ring, whole) = overrun_ring(LAST);
    let first_of = |segment: u64| {
        let mut reader = JournalReader::new(STREAM);
        reader.refresh(&mut whole.clone()).unwrap();
        reader.first_behind(segment - 1).expect("it is there")
    };
    assert!(whole.segments.len() > 3, "the test needs some segments");
    let segment_bytes = whole.segments[&2].len();
    for at in [0, 9, 40, 100, 5_000, segment_bytes / 2, segment_bytes - 5_000] {
        let mut disk = whole.clone();
        flip(&mut disk, 2, at);
        let (read, unreadable) = readable(&ring, &mut disk, LAST);
        let (second, third) = (first_of(2), first_of(3));
        for (number, read) in (1..).zip(&read) {
            assert!(*read || (second..third).contains(&number), "byte {at}: message {number} is elsewhere");
        }
        let failed = read.iter().filter(|read| !**read).count() as u64;
        assert!(failed > 0 && unreadable.reads() == failed, "byte {at}: {failed}");
        let places: Vec<_> = unreadable.places().cloned().collect();
        assert_eq!(places.len(), 1, "byte {at}: {places:?}");
        let position = places[0].position.expect("it is known where");
        assert_eq!(position.segment, 2, "byte {at}");
        assert!(
            position.offset <= at as u64 && at as u64 <= position.offset + (1 << 14),
            "byte {at} is not in a group at {}",
            position.offset
        );
        assert!(places[0].what.starts_with("segment 2 in memory cannot be read at offset "), "{places:?}");
    }
}

#[test]
fn should_not_call_gone_what_lies_in_an_oldest_segment_without_a_head() {
    const LAST: u64 = 4_000;
    let (ring, mut disk) = overrun_ring(LAST);
    flip(&mut disk, 1, 0);
    let (read, unreadable) = readable(&ring, &mut disk, LAST);
    assert!(!read[0] && read[LAST as usize - 1]);
    assert_eq!(
        unreadable.places().next().and_then(|place| place.position).map(|place| place.segment),
        Some(1)
    );
    // A head that lies about its first message costs no other segment its messages.
    let (ring, mut disk) = overrun_ring(LAST);
    disk.segments.get_mut(&1).expect("a segment")[32..40].fill(0x7F);
    let (read, _) = readable(&ring, &mut disk, LAST);
    assert!(!read[0] && read[LAST as usize - 1]);
    let lost = read.iter().filter(|read| !**read).count();
    assert!(lost < LAST as usize / 2, "{lost} messages are lost with one segment");
}

#[test]
fn should_call_a_segment_that_was_taken_away_unreadable() {
    const LAST: u64 = 4_000;
    let (ring, mut disk) = overrun_ring(LAST);
    disk.segments.remove(&2);
    let (read, unreadable) = readable(&ring, &mut disk, LAST);
    assert!(read[0] && !read.iter().all(|read| *read) && read[LAST as usize - 1]);
    let place = unreadable.places().next().expect("one").clone();
    assert_eq!(place.position.map(|place| (place.segment, place.offset)), Some((2, 0)), "{}", place.what);
    // The oldest may go at any time.
    let (ring, mut disk) = overrun_ring(LAST);
    disk.segments.remove(&1);
    let mut reader = StreamReader::new(ring.reader(1), Some(JournalReader::new(STREAM)));
    assert_eq!(reader.read(LAST, &mut disk, &mut [0; 2000]), Ok(StreamRead::Gone));
}
