//! How the cost of a message grows with what the store holds.
use super::{Bench, Draft, Extent, Found};
use crate::cores::on_core;
use crate::load::InProcess;
use crate::measurement::{Bound, Row, Run, Subject};
use gds_core::random::Random;
use std::fs;

/// Its name.
pub const NAME: &str = "growth";
/// Small values, so that a hundred million records fit an ordinary machine.
const VALUE_BYTES: usize = 16;
/// Messages measured at each size.
const MESSAGES: u64 = 500_000;
/// The share of the memory there is that a store may take.
const MEMORY_SHARE: f64 = 0.8;
const RECORDS: [u64; 7] = [1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000];
const COST: &str = "ns_per_message";

/// A store in this process grows; at each size, records all over it are put anew, several times. The small store is measured again beside the
/// largest size, so that first and last of the curve are pairs.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let wanted: &[u64] = if bench.extent == Extent::Full { &RECORDS } else { &RECORDS[..4] };
    let sizes: Vec<u64> = wanted.iter().copied().filter(|records| fits(*records)).collect();
    for records in wanted.iter().filter(|records| !sizes.contains(records)) {
        found.skipped.push(format!("{NAME}: {records} records: not so much memory"));
    }
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { return found };
    let repetitions = bench.repetitions();
    (bench.tell)(&format!("{NAME}: up to {last} records"));
    let measured = on_core(bench.cores.system, || {
        let mut store = InProcess::new(*last, VALUE_BYTES)?;
        let mut small = InProcess::new(*first, VALUE_BYTES)?;
        small.put(0..*first);
        let (mut filled, mut random) = (0, Random::new(3));
        let mut costs = Vec::new();
        for &records in &sizes {
            store.put(filled..records);
            filled = records;
            for repetition in repetitions.clone() {
                if records == *last && records != *first {
                    costs.push((*first, repetition, cost(&mut small, *first, &mut random)));
                }
                if records != *first || records == *last {
                    costs.push((records, repetition, cost(&mut store, records, &mut random)));
                }
            }
        }
        Ok(costs)
    });
    let draft = |records: u64, repetition| {
        Draft::new(NAME, "gds", Subject::System, repetition)
            .workload("put_uniform_24")
            .with("records", records)
    };
    match measured {
        Ok(mut costs) => {
            costs.sort_by_key(|(records, repetition, _)| (*records, *repetition));
            for (records, repetition, ns) in costs {
                found.runs.push(draft(records, repetition).figure(COST, ns).rate(MESSAGES, 1e9 / ns));
            }
        }
        Err(why) => found.runs.push(draft(*last, 1).failed(why)),
    }
    found.rows.push(row(&found.runs, *first, *last));
    found
}

/// Nanoseconds a message, for puts all over so many records.
fn cost(store: &mut InProcess, records: u64, random: &mut Random) -> f64 {
    let keys: Vec<u64> = (0..MESSAGES).map(|_| random.below(records)).collect();
    store.put(keys.into_iter()) as f64 / MESSAGES as f64
}

fn row(runs: &[Run], first: u64, last: u64) -> Row {
    let at = |records: u64| move |run: &Run| run.parameters["records"] == records.to_string();
    let what = format!(
        "apply, ns a message, at {} million records over that at {} million",
        last / 1_000_000,
        first / 1_000_000
    );
    super::ratio(&what, Bound::RatioAtMost(2.0), runs, super::Figure::Named(COST), &at(last), &at(first))
}

/// Is there memory for a store of this size?
fn fits(records: u64) -> bool {
    let Ok(capacity) = InProcess::capacity(records, VALUE_BYTES) else { return false };
    capacity.bytes() as f64 <= available_bytes() * MEMORY_SHARE
}

fn available_bytes() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1024.0
}
