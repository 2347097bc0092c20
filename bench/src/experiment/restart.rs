//! How quickly a node is back: its journal replayed through its store.
use super::{Bench, Draft, Extent, Figure, Found, absolute};
use crate::cores::on_core;
use crate::load::Transactions;
use crate::measurement::{Bound, Run, Subject};
use crate::schedule::send;
use crate::workload::CANONICAL;

/// Its name.
pub const NAME: &str = "restart";

/// A node is filled, stopped in order and started again. It says itself how long reading the journals and applying them took; the rest of
/// a start (memory for the store, above all) does not grow with the journal.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let messages: u64 = if bench.extent == Extent::Full { 5_000_000 } else { 1_000_000 };
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{NAME}: repetition {repetition}"));
        let draft = Draft::new(NAME, "gds", Subject::System, repetition).workload(CANONICAL);
        found.runs.push(once(bench, draft.clone(), messages).unwrap_or_else(|why| draft.failed(why)));
    }
    let what = format!("restart: replay of a journal of {} million messages", messages / 1_000_000);
    let bound = Bound::RateAtLeast(3e6);
    found.rows.push(absolute(&what, bound, &found.runs, Figure::Rate, &|_: &Run| true));
    found
}

fn once(bench: &Bench<'_>, draft: Draft, messages: u64) -> Result<Run, String> {
    let workload = bench.workload(CANONICAL);
    let mut node = bench.start(&bench.node())?;
    let network = node.network()?;
    on_core(bench.cores.load, || {
        let mut writer = Transactions::open(&network, workload, 1)?;
        writer.wait_until_ready()?;
        send(&mut writer, messages)
    })?;
    node.stop()?;
    let full = node.restart()?;
    let ready = node.ready();
    let told = |name: &str| ready[name].as_u64().ok_or(format!("the node does not tell {name}"));
    let (replayed, read_ns, replay_ns) = (told("applied")?, told("read_ns")?, told("replay_ns")?);
    node.stop()?;
    let lost = (replayed < messages).then(|| format!("only {replayed} messages are there after the restart"));
    let seconds = (read_ns + replay_ns) as f64 / 1e9;
    Ok(draft
        .figure("ready_after_s", full.as_secs_f64())
        .figure("read_s", read_ns as f64 / 1e9)
        .figure("replay_s", replay_ns as f64 / 1e9)
        .failing(lost)
        .rate(messages, messages as f64 / seconds))
}
