//! The index by itself, larger than any cache: one lookup after the other, lookups begun in batches, and replacing.
use crate::common;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use gds_core::memory::{Candidates, HeapWords, Index, IndexConfig, IndexWriter};
use gds_core::random::Random;
use std::hint::black_box;

/// Lookups of one iteration.
const BATCH: usize = 64;

/// The hash of key `number`.
fn hash(number: u64) -> u64 {
    Random::new(number).next_u64()
}

fn filled(entries: u64) -> IndexWriter {
    let config = IndexConfig { entries_max: entries as usize, stash: 64 };
    let index = Index::create(HeapWords::shared(Index::words_needed(&config)), config);
    let mut writer = index.writer();
    for number in 0..entries {
        writer.insert(hash(number), number, |_| false).expect("there is room");
    }
    writer
}

fn of_size(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, writer: &mut IndexWriter, entries: u64) {
    let index = writer.index().clone();
    let mut random = Random::new(1);
    let mut keys = move || [(); BATCH].map(|()| random.below(entries));
    group.bench_function(format!("get/{name}"), |bencher| {
        bencher.iter(|| {
            let found = keys().into_iter().filter(|key| index.lookup(hash(*key), |at| at == *key).is_some());
            assert_eq!(found.count(), BATCH);
        });
    });
    group.bench_function(format!("get in batches/{name}"), |bencher| {
        bencher.iter(|| {
            let keys = keys();
            let candidates: [Candidates; BATCH] = keys.map(|key| index.candidates(hash(key)));
            index.prefetch(&candidates);
            let found = keys.iter().zip(&candidates);
            let found = found.filter(|(key, at)| index.lookup_candidates(at, |it| it == **key).is_some());
            assert_eq!(found.count(), BATCH);
        });
    });
    group.bench_function(format!("put/{name}"), |bencher| {
        bencher.iter(|| {
            for key in keys() {
                let (slot, address) = writer.find(hash(key), |at| at == key).expect("it is there");
                writer.replace(slot, black_box(address));
            }
        });
    });
}

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    let sizes: &[(&str, u64)] =
        if common::smoke() { &[("10 k", 10_000)] } else { &[("1 M", 1_000_000), ("10 M", 10_000_000)] };
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, entries) in sizes {
        of_size(&mut group, name, &mut filled(*entries), *entries);
    }
    group.finish();
}
