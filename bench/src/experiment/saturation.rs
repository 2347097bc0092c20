//! How many messages a second go from ingest to acknowledgement when the client's window is always full.
use super::{Bench, Draft, Figure, Found, absolute, ratio};
use crate::cores::on_core;
use crate::floor::append;
use crate::measurement::{Bound, Run, Subject};
use crate::node::{MEMORY, Settings};
use crate::peer::{Asked, Pace};
use crate::schedule::{Plan, saturate};
use crate::workload::{BLOCK_BYTES, CANONICAL};
use gds_nic::IdleStrategy;
use std::path::PathBuf;
use std::time::Duration;

/// Its name.
pub const NAME: &str = "saturation";
/// What the journal keeps in memory: at several million messages a second the memory of a small machine is full within seconds.
const KEPT_BYTES: u64 = 1 << 30;
const RATE_MIN: f64 = 4e6;
/// How long the disk is written to by itself: long beside what its caches swallow.
const APPEND_SECONDS: f64 = 10.0;

/// How long a peer is measured.
const PEER_SECONDS: f64 = 4.0;

const SYSTEM: &str = "gds";
const FLOOR: &str = "buffered append";

/// Journal in memory, and on the disk.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    // The load shares its processor with a part of the node.
    let plan = Plan { idle: IdleStrategy::Yield, ..bench.plan(20.0) };
    for repetition in bench.repetitions() {
        for journal in ["tmpfs", "disk"] {
            (bench.tell)(&format!("{NAME}: repetition {repetition}, journal on {journal}"));
            let in_memory = journal == "tmpfs";
            let disk = (!in_memory).then(|| bench.disk.clone());
            let settings =
                Settings { disk, keep_bytes: in_memory.then_some(KEPT_BYTES), ..bench.spread_node() };
            let draft = Draft::new(NAME, SYSTEM, Subject::System, repetition).with("journal", journal);
            found
                .runs
                .push(bench.transactions(draft, &settings, &workload, |target| saturate(target, &plan)));
            found.runs.push(floor(bench, repetition, journal));
        }
        let seconds = bench.plan(PEER_SECONDS).duration;
        bench.peers(&mut found, &Asked::new(NAME, repetition, Pace::AsFastAsItGoes, seconds));
    }
    let gds =
        |journal: &'static str| move |run: &Run| run.name == SYSTEM && run.parameters["journal"] == journal;
    let append = |run: &Run| run.name == FLOOR && run.parameters["journal"] == "disk";
    let bound = Bound::RateAtLeast(RATE_MIN);
    let what = "ingest to acknowledgement, saturating, 200 B packed, memory, journal on tmpfs";
    let mut row = absolute(what, bound, &found.runs, Figure::Rate, &gds("tmpfs"));
    // On the disk there is no bound, but what the disk takes by itself.
    let on_disk = ratio(what, bound, &found.runs, Figure::Rate, &gds("disk"), &append);
    row.detail = format!("{}; journal on disk: {}", row.detail, on_disk.detail);
    found.rows.push(row);
    found
}

/// A plain append of as many bytes a message, beside it.
fn floor(bench: &Bench<'_>, repetition: u32, journal: &str) -> Run {
    let draft =
        Draft::new(NAME, FLOOR, Subject::Floor, repetition).workload(CANONICAL).with("journal", journal);
    let (place, duration) = match journal {
        "disk" => (bench.disk.clone(), bench.plan(APPEND_SECONDS).duration),
        // Memory is full before long.
        _ => (PathBuf::from(MEMORY), Duration::from_millis(300)),
    };
    match on_core(bench.cores.load, || append::buffered(&place, duration, BLOCK_BYTES)) {
        Ok(rate) => draft.rate((rate * duration.as_secs_f64()) as u64, rate),
        Err(why) => draft.failed(why),
    }
}
