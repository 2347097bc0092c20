use super::*;
use crate::bus::tests::{MemoryDisk, NoDisk, STREAM, at_us, message_of, ring};
use crate::cursor::Progress;
use crate::journal::{Durability, JournalConfig, JournalWriter, Recovered};
use crate::memory::ring::chained;

/// A small ring that has been around several times, and the journal of all of it.
fn overrun_ring(last: u64) -> (Arc<crate::memory::Ring>, MemoryDisk) {
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
