//! Readers on other threads while the writer goes on.
use super::stream::{Bench, Stream, declaration, limits, op, store_for, transaction};
use crate::random::Random;
use crate::store::{ReadBuffer, ReadError, StoreReader};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use gds_wire::transaction::OperationKind::{Delete, Insert, Modify, Put};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const KEYS: u64 = 40;

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// A value that says which message wrote it, long enough to be torn.
fn value(sequence: u64) -> Vec<u8> {
    sequence.to_be_bytes().repeat(1 + (sequence % 30) as usize)
}

/// Message n writes records n and n + 1 modulo `KEYS`, so what any state looks like can be computed. Every
/// 7th message does so and then fails as a whole; every 5th deletes.
fn expected(record: u64, state: u64) -> Option<u64> {
    let writes = |sequence: &u64| {
        let first = sequence % KEYS;
        !sequence.is_multiple_of(7) && (first == record || (first + 1) % KEYS == record)
    };
    let written = (2..=state).rev().take(3 * KEYS as usize).find(writes)?;
    (!written.is_multiple_of(5)).then_some(written)
}

fn read_on(reader: &StoreReader, seed: u64, stop: &AtomicBool, reads: &AtomicU64, refused: &AtomicU64) {
    let mut random = Random::new(seed);
    let mut buffer = ReadBuffer::new();
    while !stop.load(Ordering::Relaxed) {
        let applied = reader.applied();
        let back = random.below(70);
        let as_of = if back < 20 { 0 } else { applied.saturating_sub(back - 20).max(1) };
        let record = random.below(KEYS);
        match reader.get(1, &key(record), as_of, &mut buffer) {
            Ok(reading) => {
                assert!(as_of == 0 && reading.as_of >= applied || reading.as_of == as_of);
                assert_eq!(
                    reading.version,
                    expected(record, reading.as_of),
                    "record {record} in state {}",
                    reading.as_of
                );
                assert_eq!(buffer.value(), reading.version.map(value).unwrap_or_default());
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Err(ReadError::BelowHorizon { oldest, .. }) => {
                assert!(oldest > as_of);
                refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Stops the readers, also when the writer panics: the test would wait for them for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn should_show_readers_exactly_the_state_they_name_while_it_is_written() {
    let limits = Limits { records_max: 2 * KEYS, bytes_max: 30_000, horizon_messages: 40, ..limits() };
    let mut bench = Bench { stream: Stream::default(), store: store_for(limits, 1) };
    let (stop, reads, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let message = bench.stream.declare(&declaration(limits));
        bench.apply(&message);
        for seed in 0..3 {
            let reader = bench.store.reader();
            let (stop, reads, refused) = (&stop, &reads, &refused);
            scope.spawn(move || read_on(&reader, seed, stop, reads, refused));
        }
        let stop_readers = StopOnDrop(&stop);
        for sequence in 2..150_000 {
            let (first, second) = (key(sequence % KEYS), key((sequence + 1) % KEYS));
            let value = value(sequence);
            let mut operations =
                vec![op(Put, 1, &first, b"at first", None), op(Put, 1, &second, &value, None)];
            operations.push(op(Modify, 1, &first, &value, None));
            if sequence.is_multiple_of(5) {
                operations.extend([op(Delete, 1, &first, b"", None), op(Delete, 1, &second, b"", None)]);
            }
            if sequence.is_multiple_of(7) {
                operations.push(op(Insert, 2, b"there", b"", Some(1)));
            }
            let message = bench.stream.block("CLIENT", &transaction(&operations));
            let outcome = bench.apply(&message);
            let failed = if sequence.is_multiple_of(7) { Outcome::VersionMismatch } else { Outcome::Applied };
            assert_eq!(outcome, failed, "message {sequence}");
        }
        drop(stop_readers);
    });
    println!(
        "{} reads, {} below the horizon",
        reads.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed)
    );
    assert!(reads.load(Ordering::Relaxed) > 1000);
    assert!(bench.store.counters().cleaned_bytes.get() > 1_000_000);
}

/// Every so many messages record `number` is written; the log's tail comes by about as often.
fn period(number: u64) -> u64 {
    1500 + 47 * number
}

/// Records written so seldom that the log's tail meets them again and again, some just when the version after them is new: readers
/// find each state of those too, while they are moved.
#[test]
fn should_show_readers_what_was_moved_under_their_hands() {
    const SELDOM: u64 = 64;
    let limits = Limits { records_max: 2 * SELDOM, bytes_max: 60_000, horizon_messages: 40, ..limits() };
    let mut bench = Bench { stream: Stream::default(), store: store_for(limits, 1) };
    let message = bench.stream.declare(&declaration(limits));
    bench.apply(&message);
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let reader = bench.store.reader();
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || {
                let (mut random, mut buffer) = (Random::new(seed), ReadBuffer::new());
                while !stop.load(Ordering::Relaxed) {
                    let (number, back) = (random.below(SELDOM), random.below(40));
                    let as_of = reader.applied().saturating_sub(back).max(1);
                    let written = as_of / period(number) * period(number);
                    match reader.get(1, &key(number), as_of, &mut buffer) {
                        Ok(reading) => {
                            assert_eq!(
                                reading.version,
                                (written > 0).then_some(written),
                                "{number} as of {as_of}"
                            );
                            assert_eq!(buffer.value(), reading.version.map(value).unwrap_or_default());
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(ReadError::BelowHorizon { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let stop_readers = StopOnDrop(&stop);
        for sequence in 2..200_000 {
            let mut operations = vec![op(Put, 2, &key(sequence % 8), &value(sequence), None)];
            let due = (0..SELDOM).filter(|&number| sequence.is_multiple_of(period(number)));
            operations.extend(due.map(|number| op(Put, 1, &key(number), &value(sequence), None)));
            let message = bench.stream.block("CLIENT", &transaction(&operations));
            assert_eq!(bench.apply(&message), Outcome::Applied, "message {sequence}");
        }
        drop(stop_readers);
    });
    println!("{} reads, {} relocated", reads.load(Ordering::Relaxed), bench.store.counters().relocated.get());
    assert!(reads.load(Ordering::Relaxed) > 1000);
    assert!(bench.store.counters().relocated.get() > 1000);
}
