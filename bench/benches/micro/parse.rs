//! Parsing what comes in: MoldUDP64 packets, transactions, ITCH messages.
use crate::common;
use criterion::{Criterion, Throughput};
use gds_wire::transaction::Transaction;
use gds_wire::{itch, mold};
use std::hint::black_box;

/// Types of ITCH messages about as often as they are in a day.
const ITCH_MIX: &[u8; 16] = b"AADADADAEXUADADF";

fn packet(criterion: &mut Criterion) {
    let (packet, count) = common::packet(1);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(count));
    group.bench_function("mold packet", |bencher| {
        bencher.iter(|| {
            let packet = mold::Packet::parse(black_box(&packet)).expect("a packet");
            packet.messages().map(|(_, block)| block.len()).sum::<usize>()
        });
    });
}

fn transaction(criterion: &mut Criterion) {
    let block = common::block(7);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("transaction", |bencher| {
        bencher.iter(|| {
            let transaction = Transaction::parse(black_box(&block)).expect("a transaction");
            transaction.operations().map(|operation| operation.value.len()).sum::<usize>()
        });
    });
}

fn itch_messages(criterion: &mut Criterion) {
    let message = |kind: &u8| {
        let mut bytes = vec![0; itch::size_of_type(*kind).expect("a known type")];
        bytes[0] = *kind;
        bytes
    };
    let messages: Vec<Vec<u8>> = ITCH_MIX.iter().map(message).collect();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(messages.len() as u64));
    group.bench_function("itch", |bencher| {
        bencher.iter(|| messages.iter().filter(|message| itch::parse(black_box(message)).is_ok()).count());
    });
}

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    packet(criterion);
    transaction(criterion);
    itch_messages(criterion);
}
