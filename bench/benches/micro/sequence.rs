//! The sequencer: from a packed ingress packet to numbered messages in the ring, for each message.
use crate::common;
use criterion::{Criterion, Throughput};
use gds_core::bus::{Sequencer, SequencerConfig};
use gds_core::cursor::Progress;
use gds_core::memory::{HeapWords, Ring, RingConfig, RingIdentity};
use gds_core::time::Time;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// Where a MoldUDP64 packet has the number of its first message.
const SEQUENCE_AT: usize = 10;

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    let config = RingConfig { data_bytes: 1 << 24, positions: 1 << 16 };
    let identity = RingIdentity { stream: common::STREAM, boot_id: [0; 16], directory: [0; 16] };
    let ring = Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, 1);
    let progress = Arc::new(Progress::default());
    // No journal holds it back.
    for cursor in [&progress.journalled, &progress.durable, &progress.reserved] {
        cursor.set(u64::MAX);
    }
    let mut sequencer = Sequencer::new(SequencerConfig::default(), ring.writer(), progress);
    let start = Time { monotonic_ns: 0, wall_ns: 0 };
    let declared = sequencer.declare(start, &common::declaration(1_000_000)).expect("it may be declared");
    let source = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9000);
    let (mut packet, count) = common::packet(1);
    let mut next = 1u64;

    let mut group = criterion.benchmark_group("sequence");
    group.throughput(Throughput::Elements(count));
    group.bench_function("packed packet", |bencher| {
        bencher.iter(|| {
            packet[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&next.to_be_bytes());
            let now = Time { monotonic_ns: next, wall_ns: next };
            sequencer.on_packet(now, source, black_box(&packet));
            sequencer.finish_batch();
            next += count;
        });
    });
    assert_eq!(sequencer.next_sequence(), declared + next, "every message was taken");
    group.finish();
}
