//! The ring: a message appended, published and read again, on one core.
use crate::common;
use criterion::{Criterion, Throughput};
use gds_core::memory::{HeapWords, Read, Ring, RingConfig, RingIdentity};
use std::hint::black_box;

/// Messages of one publication.
const BATCH: u64 = 32;

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    let config = RingConfig { data_bytes: 1 << 24, positions: 1 << 16 };
    let identity = RingIdentity { stream: common::STREAM, boot_id: [0; 16], directory: [0; 16] };
    let ring = Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, 1);
    let (mut writer, mut reader) = (ring.writer(), ring.reader(1));
    let (block, mut buffer) = (common::block(7), [0; 2048]);

    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("append and read", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                assert!(writer.room(u64::MAX) >= block.len());
                writer.append(1, &[black_box(&block)]);
            }
            writer.publish();
            while let Read::Message { length, .. } = reader.read(u64::MAX, &mut buffer) {
                black_box(&buffer[..length]);
            }
        });
    });
    assert_eq!(reader.next_sequence(), writer.next_sequence(), "every message was read");
    group.finish();
}
