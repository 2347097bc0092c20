//! Whether acknowledgements go on while a large store is written to a snapshot, and while a new replica learns it.
//!
//! One node leads a cluster of two, the other of which does not run yet, and is filled. Then the load comes at a steady rate, in four runs: nothing
//! else happens; a snapshot is taken; the second node joins with an empty directory, and is in sync at the end; nothing else happens to the two. The
//! load sleeps between its messages, and has its processor at once when it wakes (SCHED_FIFO, where that is allowed): what it sees late was
//! acknowledged late. The second node, which each acknowledgement waits for once it is in sync, has that processor before everything but the load.
use super::{NODE_1, NODE_2, PATIENT_MS, cores, noted, on_hosts};
use crate::cluster::{Cluster, folder_bytes, wait};
use crate::cores::{become_urgent, on_core};
use crate::experiment::{Bench, Draft, Extent, Figure, Found, beyond, interrupted};
use crate::load::Transactions;
use crate::measurement::{Bound, Row, Run, Subject};
use crate::node::{Layout, Settings};
use crate::report::numbers;
use crate::road::{End, Road};
use crate::schedule::{Measured, Plan, open_loop_while, send};
use crate::workload::{BLOCK_BYTES, CANONICAL, KEY_BYTES, KEYS, SMALL_VALUE_BYTES, Workload};
use gds_client::Network;
use gds_hosts::Mesh;
use gds_nic::{IdleStrategy, Transport};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Its name.
pub const NAME: &str = "replication_pauses";

const QUIET: &str = "nothing else";
const SNAPSHOT: &str = "a snapshot is taken";
const JOIN: &str = "a replica joins";
const TWO: &str = "nothing else, two in sync";

/// Messages a second: few enough that two nodes and the load never fill two processors.
const RATE: f64 = 5_000.0;
/// How long nothing else happens: about as long as a join takes, since the machine's own pauses come now and then.
const QUIET_SECONDS: f64 = 30.0;
/// The load, and an idle thread of the second node, look so often for what there is to do.
const LOOK_US: u32 = 50;
/// What comes before each run's measurement, and how long a run goes on once what it looks at is over.
const WARM_UP: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);
/// How long a snapshot or a join may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The snapshot becomes due so long after its run began to count.
const SNAPSHOT_AFTER: Duration = Duration::from_millis(500);

/// Four runs on a new cluster, again and again.
pub fn run(bench: &Bench<'_>) -> Found {
    on_hosts(NAME, |mesh, found| pauses(bench, mesh, found))
}

fn pauses(bench: &Bench<'_>, mesh: &Arc<Mesh>, found: &mut Found) {
    let (records, repetitions) = match bench.extent {
        Extent::Full => (10_000_000, 3),
        Extent::Quick => (100_000, 1),
    };
    let mut runs = Vec::new();
    for repetition in 1..=bench.repetitions.unwrap_or(repetitions) {
        (bench.tell)(&format!(
            "{NAME}: repetition {repetition}, a store of {} records",
            numbers::count(records as f64)
        ));
        if interrupted() {
            break;
        }
        let drafts = [QUIET, SNAPSHOT, JOIN, TWO].map(|name| draft(name, repetition, records));
        match measure(bench, mesh, records, drafts.clone()) {
            Ok(made) => runs.extend(made),
            Err(why) => runs.extend(drafts.map(|draft| draft.failed(why.clone()))),
        }
    }
    found.rows.extend(
        [(SNAPSHOT, &[QUIET][..]), (JOIN, &[QUIET, TWO])].map(|(name, quiet)| row(bench, &runs, name, quiet)),
    );
    found.runs.append(&mut runs);
}

fn draft(name: &str, repetition: u32, records: u64) -> Draft {
    let draft = Draft::new(NAME, name, Subject::System, repetition).workload(CANONICAL);
    draft
        .with("transport", Transport::Socket)
        .with("store", format!("{} records", numbers::count(records as f64)))
}

/// The worst of a run against the worst of the quiet ones of its repetition.
fn row(bench: &Bench<'_>, runs: &[Run], name: &'static str, quiet: &[&str]) -> Row {
    let worst = |run: &Run| Figure::Latency(1.0).of(run).unwrap_or(0.0);
    let is_quiet = |run: &Run| quiet.contains(&run.name.as_str());
    let is_worst = |run: &Run| {
        let others = runs.iter().filter(|other| is_quiet(other) && other.repetition == run.repetition);
        is_quiet(run) && others.map(worst).all(|other| worst(run) >= other)
    };
    let what = format!(
        "acknowledgement at {} while {name}: longest beyond that of a quiet run",
        numbers::rate(RATE)
    );
    let row =
        beyond(&what, Bound::NsAtMost(1e6), runs, Figure::Latency(1.0), &|run| run.name == name, &is_worst);
    let told =
        runs.iter().filter(|run| run.failed.is_none() && (run.name == name || is_quiet(run))).map(|run| {
            let figure = |name| run.figures.get(name).copied().unwrap_or(0.0);
            format!(
                "{}: {}, longest {}, p99.9 {}, longest gap {}, node 1 waited {} for its processor",
                run.name,
                numbers::time(figure("took_ms") * 1e6),
                numbers::time(worst(run)),
                numbers::time(Figure::Latency(0.999).of(run).unwrap_or(0.0)),
                numbers::time(figure("longest_gap_us") * 1e3),
                numbers::time(figure("node_waited_for_processor_ms") * 1e6),
            )
        });
    noted(row, told.chain([cores(bench)]))
}

/// A node's settings for a store of so many records, of which some get longer under the load.
fn settings(bench: &Bench<'_>, records: u64, layout: Layout, snapshot_messages: u64) -> Settings {
    let (small, long) = (records * (KEY_BYTES + SMALL_VALUE_BYTES) as u64, KEYS * BLOCK_BYTES as u64);
    Settings {
        layout,
        records_max: records.max(KEYS) + 100_000,
        bytes_max: small + long,
        snapshot_messages,
        ..bench.node()
    }
}

/// The four runs on a new cluster.
fn measure(
    bench: &Bench<'_>,
    mesh: &Arc<Mesh>,
    records: u64,
    drafts: [Draft; 4],
) -> Result<Vec<Run>, String> {
    let quiet =
        Plan { warm_up: WARM_UP, idle: IdleStrategy::Sleep { us: LOOK_US }, ..bench.plan(QUIET_SECONDS) }
            .at_rate(RATE);
    let filling = Workload::batches(records);
    let messages = |duration: Duration| (RATE * duration.as_secs_f64()) as u64;
    let due = filling.messages() + messages(quiet.warm_up + quiet.duration + WARM_UP + SNAPSHOT_AFTER);
    let first = settings(bench, records, Layout::Apart(bench.cores.system, bench.cores.load), due);
    // It may be given a snapshot, and takes none itself.
    let second = settings(bench, records, Layout::Quiet, 1 << 40);
    let mut cluster = Cluster::new(mesh, bench.cores, vec![first, second], PATIENT_MS)?;
    cluster.start(NODE_1)?;
    cluster.await_leader(NODE_1, 1, PATIENCE)?;
    let (road, network) = (cluster.node(NODE_1).road().clone(), cluster.node(NODE_1).network()?);
    let workload = bench.workload(CANONICAL);
    std::thread::scope(|scope| {
        let (orders, inbox) = channel();
        let (outbox, results) = channel();
        let (filled, is_filled) = channel();
        let core = bench.cores.load;
        let load = scope.spawn(move || {
            on_core(core, || load(&road, &network, filling, &workload, &filled, inbox, &outbox))
        });
        let bench = Under { cluster: &mut cluster, orders, results, plan: quiet };
        let made =
            is_filled.recv().map_err(|_| "it was not filled".to_owned()).and_then(|()| bench.all(drafts));
        let ended = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What the load says is why nothing was measured.
        ended.and(made)
    })
}

/// A run to be made: as planned, and no longer than the flag stands.
type Order = (Plan, Arc<AtomicBool>);

/// The load's thread: fills the store, then makes the runs it is told to.
fn load(
    road: &Road,
    network: &Network,
    filling: Workload,
    workload: &Arc<Workload>,
    filled: &Sender<()>,
    inbox: Receiver<Order>,
    outbox: &Sender<Measured>,
) -> Result<(), String> {
    let messages = filling.messages();
    let mut transactions = road.on(End::Near, || Transactions::open(network, Arc::new(filling), 1))?;
    transactions.wait_until_ready()?;
    send(&mut transactions, messages)?;
    transactions.switch(workload.clone());
    let _ = filled.send(());
    // Without it the figures are the machine's, and say so by the quiet run.
    let _ = become_urgent();
    for (plan, more) in inbox {
        transactions.begin_run();
        let measured = open_loop_while(&mut transactions, &plan, &|| more.load(Ordering::Acquire));
        let wrong = (transactions.rejected() > 0).then(|| "the store rejected transactions".to_owned());
        let lost = (measured.lost() > 0).then(|| format!("lost {} answers", measured.lost()));
        if let Some(why) = wrong.or(transactions.trouble().map(str::to_owned)).or(lost) {
            return Err(why);
        }
        if outbox.send(measured).is_err() {
            break;
        }
    }
    Ok(())
}

/// A cluster under load.
struct Under<'a> {
    cluster: &'a mut Cluster,
    orders: Sender<Order>,
    results: Receiver<Measured>,
    plan: Plan,
}

impl Under<'_> {
    fn all(mut self, [quiet, snapshot, join, two]: [Draft; 4]) -> Result<Vec<Run>, String> {
        let quiet = self.during(quiet, self.plan, |_| Ok(()))?;
        let long = Plan { duration: PATIENCE, ..self.plan };
        let mut took_ms = 0.0;
        let snapshot = self.during(snapshot, long, |cluster| {
            let counter = |name: &str| cluster.counter(NODE_1, name);
            wait("no snapshot is taken", PATIENCE, || counter("snapshots.taken") == Some(1))?;
            took_ms = counter("snapshots.duration_ns").unwrap_or(0) as f64 / 1e6;
            Ok(())
        })?;
        let bytes = folder_bytes(&self.cluster.snapshots(NODE_1));
        let snapshot = with(snapshot, [("took_ms", took_ms), ("snapshot_mib", mib(bytes))]);
        let join = self.during(join, long, |cluster| {
            std::thread::sleep(AFTER);
            let began = Instant::now();
            cluster.start(NODE_2)?;
            // Where it is not allowed, the last run shows what the two nodes cost each other.
            let _ = cluster.node(NODE_2).favour();
            cluster.await_leader(NODE_1, 2, PATIENCE)?;
            took_ms = began.elapsed().as_secs_f64() * 1e3;
            Ok(())
        })?;
        let two = self.during(two, self.plan, |_| Ok(()))?;
        let resident = [NODE_1, NODE_2].map(|place| self.cluster.node(place).resident_bytes().unwrap_or(0));
        let journal = folder_bytes(&self.cluster.node(NODE_1).journal());
        let sizes = [
            ("took_ms", took_ms),
            ("journal_mib", mib(journal)),
            ("resident_mib", mib(resident[0])),
            ("replica_resident_mib", mib(resident[1])),
        ];
        Ok(vec![quiet, snapshot, with(join, sizes), two])
    }

    /// A run during which `happens` does, and some time after it.
    fn during(
        &mut self,
        draft: Draft,
        plan: Plan,
        happens: impl FnOnce(&mut Cluster) -> Result<(), String>,
    ) -> Result<Run, String> {
        let more = Arc::new(AtomicBool::new(true));
        let ended = |_| "the load has ended".to_owned();
        let before = self.cluster.node(NODE_1).thread_times();
        self.orders.send((plan, more.clone())).map_err(|_| ended(()))?;
        let happened = happens(self.cluster);
        if plan.duration == PATIENCE {
            std::thread::sleep(AFTER);
            more.store(false, Ordering::Release);
        }
        let measured = self.results.recv().map_err(|_| ended(()))?;
        happened?;
        let now = self.cluster.node(NODE_1).thread_times();
        let waited = now.zip(before).and_then(|(now, before)| now.busiest_waited_ns(&before));
        let seconds = measured.sent as f64 / RATE;
        let draft = draft
            .figure("took_ms", seconds * 1e3)
            .figure("longest_gap_us", measured.longest_gap_ns as f64 / 1e3)
            .figure("node_waited_for_processor_ms", waited.unwrap_or(0) as f64 / 1e6);
        Ok(draft.measured(&measured))
    }
}

fn with<const COUNT: usize>(mut run: Run, figures: [(&str, f64); COUNT]) -> Run {
    run.figures.extend(figures.map(|(name, value)| (name.to_owned(), value)));
    run
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
