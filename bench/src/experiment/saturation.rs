//! How many messages a second go from ingest to acknowledgement when the client's window is always full.
use super::{Bench, Draft, Figure, Found, absolute};
use crate::measurement::{Bound, Run, Subject};
use crate::node::Settings;
use crate::schedule::saturate;
use crate::workload::CANONICAL;

/// Its name.
pub const NAME: &str = "saturation";
/// What the journal keeps in memory: at several million messages a second the memory of a small machine is full within seconds.
const KEPT_BYTES: u64 = 1 << 30;
const RATE_MIN: f64 = 4e6;

/// Journal in memory, and on the disk.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let plan = bench.plan(20.0);
    for repetition in bench.repetitions() {
        for journal in ["tmpfs", "disk"] {
            (bench.tell)(&format!("{NAME}: repetition {repetition}, journal on {journal}"));
            let in_memory = journal == "tmpfs";
            let disk = (!in_memory).then(|| bench.disk.clone());
            let settings = Settings { disk, keep_bytes: in_memory.then_some(KEPT_BYTES), ..bench.node() };
            let draft = Draft::new(NAME, "gds", Subject::System, repetition).with("journal", journal);
            found
                .runs
                .push(bench.transactions(draft, &settings, &workload, |target| saturate(target, &plan)));
        }
    }
    let in_memory = |run: &Run| run.parameters["journal"] == "tmpfs";
    found.rows.push(absolute(
        "ingest to acknowledgement, saturating, 200 B packed, memory, journal on tmpfs",
        Bound::RateAtLeast(RATE_MIN),
        &found.runs,
        Figure::Rate,
        &in_memory,
    ));
    found
}
