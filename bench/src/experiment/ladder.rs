//! Latency against rate, up to where it goes no further; and the other workloads.
use super::{Bench, Draft, Extent, Found};
use crate::measurement::{Run, Subject};
use crate::node::Settings;
use crate::schedule::{open_loop, saturate};
use crate::workload::{CANONICAL, NAMES};

/// Latency against rate.
pub const LADDER: &str = "rate_ladder";
/// What each workload comes to.
pub const WORKLOADS: &str = "workloads";

/// Messages a second.
const RATES: [f64; 13] = [10e3, 20e3, 50e3, 100e3, 250e3, 500e3, 750e3, 1e6, 1.5e6, 2e6, 3e6, 4e6, 5e6];
/// Repetitions of each rung: the curve needs many rungs rather than many repetitions.
const REPETITIONS: u32 = 2;

/// The canonical workload at each rate, packed and unpacked, until it fails.
pub fn ladder(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let repetitions = if bench.extent == Extent::Full { REPETITIONS } else { 1 };
    for (packing, group) in [("packed", workload.per_packet()), ("unpacked", 1)] {
        for rate in RATES {
            for repetition in 1..=repetitions {
                (bench.tell)(&format!("{LADDER}: {packing}, {rate} msg/s, repetition {repetition}"));
                let plan = bench.plan(3.0).at_rate(rate).in_groups_of(group);
                let draft = Draft::new(LADDER, "gds", Subject::System, repetition).with("packing", packing);
                found.runs.push(
                    bench.transactions(draft, &bench.node(), &workload, |target| open_loop(target, &plan)),
                );
            }
            let made = &found.runs[found.runs.len() - repetitions as usize..];
            if made.iter().all(|run| run.failed.is_some()) {
                break;
            }
        }
    }
    found
}

/// Each workload as fast as it goes: an ITCH day among them, whose messages are of many sizes.
pub fn workloads(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let plan = bench.plan(5.0);
    for repetition in bench.repetitions() {
        for (name, _) in NAMES {
            (bench.tell)(&format!("{WORKLOADS}: repetition {repetition}, {name}"));
            let workload = bench.workload(name);
            let draft = Draft::new(WORKLOADS, "gds", Subject::System, repetition);
            let settings = Settings { keep_bytes: Some(1 << 30), ..bench.node() };
            let run: Run = bench.transactions(draft, &settings, &workload, |target| saturate(target, &plan));
            found.runs.push(run);
        }
    }
    found
}
