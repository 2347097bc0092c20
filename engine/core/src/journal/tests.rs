//! The journal as a whole: written, crashed, recovered, read.
use std::sync::Arc;

use gds_wire::session::Session;

use super::memory_disk::MemoryDisk;
use super::*;
use crate::cursor::Progress;
use crate::disk::{BLOCK_BYTES, Disk, DiskError};
use crate::memory::{HeapWords, Ring, RingConfig, RingIdentity, RingReader, RingWriter};
use crate::random::Random;
use crate::time::{MILLISECOND_NS, Time};

mod cutting;
mod damage;
mod properties;

const BLOCK: u64 = BLOCK_BYTES as u64;

fn stream() -> Session {
    Session::padded("1700000000").expect("a session")
}

fn small(durability: Durability) -> JournalConfig {
    JournalConfig {
        segment_bytes: 6 * BLOCK,
        group_bytes_max: 3 * BLOCK_BYTES,
        linger_ns: MILLISECOND_NS,
        durability,
    }
}

/// A writer with its ring, and everything that was ever put in.
struct Bench {
    disk: MemoryDisk,
    config: JournalConfig,
    writer: JournalWriter,
    ring: RingWriter,
    reader: RingReader,
    progress: Arc<Progress>,
    now: Time,
    messages: Vec<(u32, Vec<u8>)>,
    epoch: u32,
    random: Random,
}

impl Bench {
    fn new(config: JournalConfig) -> Self {
        let (ring, reader) = ring_from(1);
        Self {
            disk: MemoryDisk::new(),
            config,
            writer: JournalWriter::new(config, stream(), &Recovered::empty()),
            ring,
            reader,
            progress: Arc::default(),
            now: Time::default(),
            messages: Vec::new(),
            epoch: 1,
            random: Random::new(7),
        }
    }

    /// Appends a message of random bytes if the ring has room for it.
    fn append(&mut self, length: usize) -> bool {
        let bytes: Vec<u8> = (0..length).map(|_| self.random.next_u64() as u8).collect();
        self.append_bytes(self.epoch, bytes)
    }

    fn append_bytes(&mut self, epoch: u32, bytes: Vec<u8>) -> bool {
        if self.ring.room(self.progress.journalled.get()) < bytes.len() {
            return false;
        }
        let sequence = self.ring.append(epoch, &[&bytes]);
        self.ring.publish();
        self.messages.push((epoch, bytes));
        assert_eq!(sequence, self.messages.len() as u64);
        true
    }

    fn duty(&mut self) -> Result<usize, JournalFault> {
        self.writer.duty(self.now, &mut self.reader, u64::MAX, &mut self.disk, &self.progress)
    }

    /// Duty cycles, a linger apart, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.now.monotonic_ns += self.config.linger_ns.max(1);
            if self.duty().expect("no fault") == 0
                && self.progress.journalled.get() == self.messages.len() as u64
            {
                return;
            }
        }
        panic!("the journal does not settle");
    }

    fn close(&mut self) -> bool {
        let (writer, reader) = (&mut self.writer, &mut self.reader);
        writer.close(self.now, reader, u64::MAX, &mut self.disk, &self.progress).expect("no fault")
    }

    /// Recovers, checks that the journal holds a prefix of what was written, at least up to `floor`, and goes on behind it.
    fn restart(&mut self, floor: u64, again: bool) -> Recovered {
        let recovered = recover(&mut self.disk, Some(stream()), 0, &mut |_| {}).expect("recovery");
        assert!(recovered.last >= floor, "lost: {recovered:?}, durable were {floor}");
        assert_eq!(recovered.first, 1);
        self.check_content(recovered.last);
        self.epoch += 1;
        let lost = self.messages.split_off(recovered.last as usize);
        (self.ring, self.reader) = ring_from(recovered.last + 1);
        self.writer = JournalWriter::new(self.config, stream(), &recovered);
        self.progress = Arc::default();
        if again {
            // The ring outlived the process: the same messages come again.
            for (epoch, bytes) in lost {
                assert!(self.append_bytes(epoch, bytes));
            }
        }
        recovered
    }

    fn check_content(&mut self, last: u64) {
        assert!(last <= self.messages.len() as u64, "more than was written");
        let mut reader = JournalReader::new(stream());
        for sequence in 1..=last {
            assert_eq!(
                read(&mut reader, &mut self.disk, sequence),
                Some(self.messages[sequence as usize - 1].clone())
            );
        }
        assert_eq!(read(&mut reader, &mut self.disk, last + 1), None);
    }
}

fn ring_from(first: u64) -> (RingWriter, RingReader) {
    let config = RingConfig { data_bytes: 1 << 18, positions: 1 << 10 };
    let identity = RingIdentity { stream: stream(), boot_id: [0; 16], directory: [0; 16] };
    let ring = Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, first);
    (ring.writer(), ring.reader(first))
}

fn read(reader: &mut JournalReader, disk: &mut MemoryDisk, sequence: u64) -> Option<(u32, Vec<u8>)> {
    let mut into = [0; MESSAGE_BYTES_MAX];
    match reader.read(sequence, disk, &mut into).expect("readable") {
        JournalRead::Message { length, epoch, .. } => Some((epoch, into[..length].to_vec())),
        JournalRead::Absent => None,
        JournalRead::TooSmall { .. } => panic!("longer than any message"),
    }
}

fn fsync_journal(messages: usize) -> Bench {
    journal_of(Durability::Fsync, messages)
}

fn journal_of(durability: Durability, messages: usize) -> Bench {
    let mut bench = Bench::new(small(durability));
    for length in 0..messages {
        assert!(bench.append(length * 37 % 1500));
        bench.settle();
    }
    bench
}

/// The group that holds a message: where it is and how long.
fn place_of(disk: &mut MemoryDisk, sequence: u64) -> (u64, u64, usize) {
    let mut place = None;
    walk(disk, None, 0, &mut |group| {
        if (group.first()..group.next()).contains(&sequence) {
            place = Some((group.segment(), group.offset(), group.length()));
        }
    })
    .expect("a whole journal");
    place.expect("the message is there")
}

/// Gives a group the checksum that fits it.
fn reseal(group: &mut [u8]) {
    group[36..40].fill(0);
    let sum = crc32c::crc32c(group);
    group[36..40].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn should_start_empty_and_go_on_after_each_orderly_close() {
    for durability in [Durability::Fsync, Durability::Memory] {
        let mut bench = Bench::new(small(durability));
        for life in 0..5 {
            assert!(bench.close());
            let recovered = bench.restart(life * 3, false);
            assert!(recovered.clean && recovered.torn.is_none(), "{recovered:?}");
            assert_eq!(
                (recovered.last, recovered.epoch),
                (life * 3, if life == 0 { 0 } else { life as u32 + 1 })
            );
            for length in [0, 100, MESSAGE_BYTES_MAX] {
                assert!(bench.append(length));
            }
        }
    }
}

#[test]
fn should_not_be_clean_without_a_close_and_not_torn_either() {
    let mut bench = fsync_journal(20);
    let recovered = bench.restart(20, false);
    assert!(!recovered.clean && recovered.torn.is_none() && recovered.last == 20);
    assert_eq!(recovered.stream, Some(stream()));
}

#[test]
fn should_write_one_group_at_a_time_with_fsync() {
    let mut bench = Bench::new(small(Durability::Fsync));
    bench.disk.finish = 0;
    for _ in 0..3 {
        bench.append(10);
        bench.duty().unwrap();
    }
    assert_eq!(bench.writer.counters().groups.get(), 1);
    assert_eq!((bench.progress.journalled.get(), bench.progress.durable.get()), (0, 0));
    bench.disk.finish = 1;
    bench.duty().unwrap();
    assert_eq!((bench.progress.durable.get(), bench.writer.counters().groups.get()), (1, 2));
    bench.disk.finish = 1;
    bench.duty().unwrap();
    assert_eq!(
        (bench.progress.durable.get(), bench.writer.counters().groups.get()),
        (3, 2),
        "two and three share one"
    );
}

#[test]
fn should_linger_in_memory_mode_until_time_or_bytes() {
    let mut bench = Bench::new(small(Durability::Memory));
    bench.append(10);
    bench.duty().unwrap();
    bench.now.monotonic_ns += MILLISECOND_NS - 1;
    bench.duty().unwrap();
    assert_eq!(bench.writer.counters().groups.get(), 0);
    bench.now.monotonic_ns += 1;
    bench.duty().unwrap();
    assert_eq!(bench.writer.counters().groups.get(), 1);
    for _ in 0..4 {
        bench.append(MESSAGE_BYTES_MAX);
    }
    bench.duty().unwrap();
    assert_eq!(bench.writer.counters().groups.get(), 2, "a full group does not wait");
    assert_eq!(bench.writer.counters().syncs.get(), 0);
}

#[test]
fn should_refuse_numbers_but_not_fail_while_the_disk_is_full_and_recover() {
    for durability in [Durability::Fsync, Durability::Memory] {
        let mut bench = Bench::new(small(durability));
        bench.disk.segments_max = 2;
        bench.duty().unwrap();
        // Two segments of six blocks, less the block of the clean end, once the second was made.
        while bench.messages.len() as u64 != bench.progress.reserved.get() {
            assert!(bench.append(MESSAGE_BYTES_MAX));
            bench.settle();
        }
        assert_eq!(bench.progress.reserved.get(), 11);
        let attempts = bench.writer.counters().disk_full.get();
        assert!(attempts > 0);
        assert_eq!(bench.progress.full.get(), 1);
        bench.duty().unwrap();
        assert_eq!(bench.writer.counters().disk_full.get(), attempts, "no attempt before 100 ms have passed");
        bench.now.monotonic_ns += 100 * MILLISECOND_NS;
        bench.duty().unwrap();
        assert_eq!(bench.writer.counters().disk_full.get(), attempts + 1);
        bench.check_content(11);

        bench.disk.segments_max = 3;
        bench.now.monotonic_ns += 100 * MILLISECOND_NS;
        bench.duty().unwrap();
        assert_eq!((bench.progress.reserved.get(), bench.progress.full.get()), (17, 0));
        for _ in 0..6 {
            assert!(bench.append(MESSAGE_BYTES_MAX));
        }
        bench.settle();
        assert!(bench.close(), "the last block was kept for the clean end");
        assert!(bench.restart(17, false).clean);
        bench.duty().unwrap();
        assert_eq!(bench.progress.reserved.get(), 17);
    }
}

#[test]
fn should_close_unclean_when_not_even_the_mark_has_room() {
    let mut bench = Bench::new(small(Durability::Fsync));
    bench.disk.segments_max = 1;
    for _ in 0..7 {
        bench.append(MESSAGE_BYTES_MAX);
    }
    assert!(!bench.close());
    let recovered = bench.restart(6, false);
    assert!(!recovered.clean && recovered.torn.is_none() && recovered.last == 6);
}

#[test]
fn should_stop_at_a_failed_write_and_never_try_it_again() {
    let causes = [DiskError::Failed("write: EIO".into()), DiskError::Full];
    for (durability, cause) in [Durability::Fsync, Durability::Memory].into_iter().zip(causes) {
        let mut bench = Bench::new(small(durability));
        bench.disk.fail_next = Some(cause.clone());
        bench.append(10);
        let mut duty_later = |_| {
            bench.now.monotonic_ns += MILLISECOND_NS;
            bench.duty().err()
        };
        let fault = (0..4).find_map(&mut duty_later).expect("a fault");
        let expected = JournalFault::Write { file: "segment 1".into(), offset: 0, sequence: 1, cause };
        assert_eq!(fault, expected);
        bench.append(10);
        let groups = bench.writer.counters().groups.get();
        assert_eq!(bench.duty().unwrap_err(), fault);
        assert_eq!(bench.writer.counters().groups.get(), groups);
        assert_eq!(bench.progress.durable.get(), 0);
    }
}

#[test]
fn should_begin_anew_when_the_first_group_ever_is_torn() {
    for durability in [Durability::Fsync, Durability::Memory] {
        for seed in 0..50 {
            let mut bench = Bench::new(small(durability));
            bench.disk.finish = 0;
            for _ in 0..8 {
                bench.append(3000);
                bench.now.monotonic_ns += MILLISECOND_NS;
                bench.duty().unwrap();
            }
            bench.disk.cut_power(&mut Random::new(seed));
            bench.disk.finish = usize::MAX;
            bench.restart(0, false);
            bench.append(10);
            bench.settle();
            bench.restart(1, false);
        }
    }
}

#[test]
fn should_cut_a_torn_group_at_the_end_of_a_segment_whose_successor_is_already_made() {
    let mut bench = Bench::new(small(Durability::Fsync));
    for _ in 0..4 {
        bench.append(MESSAGE_BYTES_MAX);
        bench.settle();
    }
    bench.disk.finish = 0;
    bench.append(MESSAGE_BYTES_MAX);
    bench.append(MESSAGE_BYTES_MAX);
    bench.duty().unwrap();
    assert_eq!(bench.disk.segments().unwrap(), [1, 2]);
    let place = (1, 4 * BLOCK);
    bench.disk.finish = usize::MAX;
    bench.settle();
    // The last group takes the segment to its end; its second block never arrived.
    let mut bytes = bench.disk.bytes(1).to_vec();
    bytes[5 * BLOCK_BYTES..].fill(0);
    bench.disk.put(1, bytes);
    let recovered = bench.restart(4, false);
    assert_eq!(
        recovered.torn.map(|torn| (torn.position.segment, torn.position.offset, torn.sequence)),
        Some((place.0, place.1, 5))
    );
    assert_eq!(bench.disk.segments().unwrap(), [1]);
    for _ in 0..9 {
        bench.append(MESSAGE_BYTES_MAX);
    }
    bench.settle();
    bench.restart(13, false);
}

#[test]
fn should_never_take_a_group_of_an_earlier_life_for_one_of_a_later() {
    // A whole group of the old life follows the torn one; the new life writes exactly as many blocks as were torn.
    let mut bench = Bench::new(small(Durability::Memory));
    for _ in 0..3 {
        bench.append(3000);
        bench.duty().unwrap();
        bench.now.monotonic_ns += MILLISECOND_NS;
        bench.duty().unwrap();
    }
    bench.settle();
    let (_, second, _) = place_of(&mut bench.disk, 2);
    let mut bytes = bench.disk.bytes(1).to_vec();
    let old_third = bytes[second as usize + BLOCK_BYTES..].to_vec();
    bytes[second as usize..second as usize + BLOCK_BYTES].fill(0);
    bench.disk.put(1, bytes);
    let recovered = bench.restart(1, false);
    assert_eq!(recovered.last, 1);
    bench.append(3000);
    bench.settle();
    // As if the zeros had not been written.
    let mut bytes = bench.disk.bytes(1).to_vec();
    bytes[second as usize + BLOCK_BYTES..].copy_from_slice(&old_third);
    bench.disk.put(1, bytes);
    assert_eq!(bench.restart(2, false).last, 2);
}

#[test]
fn should_read_forwards_backwards_and_while_the_writer_writes() {
    let mut bench = Bench::new(JournalConfig { segment_bytes: 64 * BLOCK, ..small(Durability::Memory) });
    let mut reader = JournalReader::new(stream());
    assert_eq!(read(&mut reader, &mut bench.disk, 1), None);
    for sequence in 1..=500 {
        bench.append(sequence * 31 % 900);
        bench.settle();
        let expected = bench.messages.last().cloned();
        assert_eq!(read(&mut reader, &mut bench.disk, sequence as u64), expected, "{sequence}");
        assert_eq!(read(&mut reader, &mut bench.disk, sequence as u64 + 1), None);
    }
    let mut random = Random::new(3);
    for _ in 0..2000 {
        let sequence = 1 + random.below(500);
        let expected = bench.messages.get(sequence as usize - 1).cloned();
        assert_eq!(read(&mut reader, &mut bench.disk, sequence), expected);
    }
    let mut tiny = [0; 10];
    assert_eq!(
        reader.read(499, &mut bench.disk, &mut tiny),
        Ok(JournalRead::TooSmall { length: 499 * 31 % 900 })
    );
    assert_eq!(read(&mut reader, &mut bench.disk, 0), None);
    assert_eq!(read(&mut reader, &mut bench.disk, u64::MAX), None);
    let fresh_reads = bench.disk.reads;
    let mut reader = JournalReader::new(stream());
    for sequence in 1..=500 {
        read(&mut reader, &mut bench.disk, sequence);
    }
    assert!(bench.disk.reads - fresh_reads < 60, "reading in order takes few, large reads");
}

#[test]
fn should_reserve_never_more_than_it_can_keep() {
    // Whatever the sizes: every message up to the number reserved is journalled without another segment.
    let mut random = Random::new(11);
    for durability in [Durability::Fsync, Durability::Memory] {
        for _ in 0..50 {
            let mut bench = Bench::new(small(durability));
            bench.disk.segments_max = 3;
            bench.duty().unwrap();
            let mut reserved = bench.progress.reserved.get();
            while (bench.messages.len() as u64) < bench.progress.reserved.get() {
                let worst = random.chance(1, 2);
                let length = if worst {
                    MESSAGE_BYTES_MAX
                } else {
                    random.below(1 + MESSAGE_BYTES_MAX as u64) as usize
                };
                assert!(bench.append(length));
                if random.chance(1, 2) {
                    bench.duty().unwrap();
                    bench.now.monotonic_ns += random.below(2 * MILLISECOND_NS);
                }
                assert!(bench.progress.reserved.get() >= reserved, "what was reserved stays reserved");
                reserved = bench.progress.reserved.get();
            }
            bench.settle();
            assert!(bench.close());
        }
    }
}
