//! Durability `fsync`: what an acknowledgement that survives a power cut costs, beside the disk by itself.
use super::{Bench, Draft, Figure, Found, ratio};
use crate::cores::on_core;
use crate::floor::append::{GroupCommit, OVERHEAD_BYTES};
use crate::measurement::{Bound, Run, Subject};
use crate::node::{Layout, Settings};
use crate::schedule::{Plan, open_loop};
use crate::workload::{BLOCK_BYTES, CANONICAL};

/// Its name.
pub const NAME: &str = "fsync_250k";
const RATE: f64 = 250_000.0;
const SYSTEM: &str = "gds";
const FLOOR: &str = "group-committed append";

/// The specification's rate, and the same bytes appended to the same disk.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let plan = bench.plan(4.0).at_rate(RATE).in_groups_of(workload.per_packet());
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{NAME}: repetition {repetition}"));
        let settings = Settings {
            durability: "fsync".into(),
            disk: Some(bench.disk.clone()),
            layout: Layout::Yielding(bench.cores.system),
            ..bench.node()
        };
        let draft = Draft::new(NAME, SYSTEM, Subject::System, repetition);
        found.runs.push(bench.transactions(draft, &settings, &workload, |target| open_loop(target, &plan)));
        found.runs.push(floor(bench, repetition, &plan));
    }
    found.rows.push(ratio(
        "fsync, 250,000 msg/s: p50 over the bare group-committed append of the same bytes",
        Bound::RatioAtMost(1.5),
        &found.runs,
        Figure::Latency(0.5),
        &|run| run.name == SYSTEM,
        &|run| run.name == FLOOR,
    ));
    found
}

fn floor(bench: &Bench<'_>, repetition: u32, plan: &Plan) -> Run {
    let draft = Draft::new(NAME, FLOOR, Subject::Floor, repetition).workload(CANONICAL);
    let seconds = (plan.warm_up + plan.duration).as_secs_f64();
    // Twice the bytes of the messages: groups are padded to whole blocks.
    let bytes = 2.0 * RATE * seconds * (BLOCK_BYTES + OVERHEAD_BYTES) as f64;
    let disk = &bench.disk;
    let outcome = on_core(bench.cores.load, || {
        let mut append = GroupCommit::open(disk, bytes as u64, BLOCK_BYTES)?;
        let measured = open_loop(&mut append, plan);
        Ok((measured, append.trouble().map(str::to_owned)))
    });
    match outcome {
        Ok((measured, trouble)) => draft.failing(trouble).measured(&measured),
        Err(why) => draft.failed(why),
    }
}
