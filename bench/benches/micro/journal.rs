//! The journal's writer: messages grouped, checksummed and handed to a disk that takes them at once and keeps nothing.
use crate::common;
use criterion::{Criterion, Throughput};
use gds_core::cursor::Progress;
use gds_core::disk::{Disk, DiskError, DiskWrite};
use gds_core::journal::{JournalConfig, JournalWriter, Recovered};
use gds_core::memory::{HeapWords, Ring, RingConfig, RingIdentity};
use gds_core::time::Time;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages that come together.
const BATCH: u64 = 1024;

/// Takes everything.
#[derive(Default)]
struct Nowhere {
    done: VecDeque<DiskWrite>,
    segment_bytes: u64,
}

impl Disk for Nowhere {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(Vec::new())
    }
    fn create(&mut self, _: u64, bytes: u64) -> Result<(), DiskError> {
        self.segment_bytes = bytes;
        Ok(())
    }
    fn length(&mut self, _: u64) -> Result<u64, DiskError> {
        Ok(self.segment_bytes)
    }
    fn remove(&mut self, _: u64) -> Result<(), DiskError> {
        Ok(())
    }
    fn read(&mut self, _: u64, _: u64, _: &mut [u8]) -> Result<usize, DiskError> {
        Ok(0)
    }
    fn submit(&mut self, write: DiskWrite) {
        self.done.push_back(write);
    }
    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.done.pop_front().map(|write| (write, Ok(())))
    }
    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.poll()
    }
    fn describe(&self, _: u64) -> String {
        "nowhere".into()
    }
}

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    let config = RingConfig { data_bytes: 1 << 22, positions: 1 << 14 };
    let identity = RingIdentity { stream: common::STREAM, boot_id: [0; 16], directory: [0; 16] };
    let ring = Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, 1);
    let (mut ring, mut reader) = (ring.writer(), ring.reader(1));
    let mut journal = JournalWriter::new(JournalConfig::default(), common::STREAM, &Recovered::empty());
    let (mut disk, progress, block) = (Nowhere::default(), Progress::default(), common::block(7));
    let mut now = Time::default();
    let mut round = || {
        for _ in 0..BATCH {
            assert!(ring.room(progress.journalled.get()) >= block.len());
            ring.append(1, &[&block]);
        }
        ring.publish();
        let begun = Instant::now();
        while progress.journalled.get() + 1 < ring.next_sequence() {
            // Later than any group lingers.
            now.monotonic_ns += 10_000_000;
            journal.duty(now, &mut reader, u64::MAX, &mut disk, &progress).expect("nothing fails");
        }
        begun.elapsed()
    };

    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("append groups", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| round()).sum::<Duration>());
    });
    group.finish();
}
