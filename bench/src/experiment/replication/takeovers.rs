//! How long nothing is acknowledged when the node that leads is killed.
use super::{NODE_1, NODE_2, cores, noted, on_hosts};
use crate::cluster::{Cluster, wait};
use crate::cores::{become_urgent, on_core};
use crate::experiment::{Bench, Draft, Extent, Figure, Found, absolute};
use crate::load::Transactions;
use crate::measurement::{Bound, Run, Subject, histogram};
use crate::node::{Layout, Settings};
use crate::report::numbers;
use crate::road::{End, Road};
use crate::schedule::{Measured, Plan, Target, open_loop_while};
use crate::workload::{BLOCK_BYTES, CANONICAL, Workload};
use gds_client::Network;
use gds_hosts::Mesh;
use gds_nic::{IdleStrategy, Transport, clock};
use gds_node::standing::Takeover;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Its name.
pub const NAME: &str = "replication_takeovers";

const RATE: f64 = 5_000.0;
/// A node that starts again goes on from its newest snapshot; without, each start would take longer than the one before.
const SNAPSHOT_MESSAGES: u64 = 20_000;
/// Few records: a node's start is mostly its memory's first touch, which is not what is measured.
const RECORDS: u64 = 10_000;
/// A node is taken for dead after so much silence: what two processors that all of it shares allow.
const SILENCE_MS: u64 = 60;
/// Acknowledgements that go on after so long a time are another node's.
const PAUSE_NS: u64 = SILENCE_MS * 1_000_000 / 3;
/// What is heard sooner was sent by the dead node: nobody takes over before it has been silent for [`SILENCE_MS`], and it was heard at most a heartbeat
/// before it died.
const STRAGGLERS_NS: u64 = SILENCE_MS * 1_000_000 / 2;
/// How long both may take until they are in sync.
const IN_SYNC: Duration = Duration::from_secs(60);
/// How often the leader may die with nobody in sync: where processors are shared a replica falls silent now and then.
const ALONE_MAX: u32 = 10;
/// How long nothing may be acknowledged.
const TAKEN_OVER: Duration = Duration::from_secs(30);

/// One run of so many kills.
pub fn run(bench: &Bench<'_>) -> Found {
    on_hosts(NAME, |mesh, found| takeovers(bench, mesh, found))
}

fn takeovers(bench: &Bench<'_>, mesh: &Arc<Mesh>, found: &mut Found) {
    let kills = if bench.extent == Extent::Full { 100 } else { 3 };
    (bench.tell)(&format!("{NAME}: the leader is killed {kills} times"));
    let draft = Draft::new(NAME, "gds, the leader killed", Subject::System, 1)
        .workload(CANONICAL)
        .with("transport", Transport::Socket)
        .with("store", format!("{} records", numbers::count(RECORDS as f64)))
        .with("silence_ms", SILENCE_MS);
    let run = measure(bench, mesh, kills)
        .map_or_else(|why| draft.clone().failed(why), |found| told(draft.clone(), &found));
    let runs = [run];
    for (share, name, bound_ns) in [(0.5, "p50", 100e6), (1.0, "worst", 1e9)] {
        let what = format!("the leader's death (kill -9) to the next acknowledgement, {kills} times: {name}");
        let row = absolute(&what, Bound::NsAtMost(bound_ns), &runs, Figure::Latency(share), &|_| true);
        let steps = ["silence", "register", "first_commit"].iter().filter_map(|step| {
            let value = runs[0].figures.get(&format!("{step}_{name}_ms"))?;
            Some(format!("{} {value:.1} ms", step.replace('_', " ")))
        });
        let alone = runs[0].figures.get("alone").filter(|alone| **alone > 0.0);
        let alone =
            alone.map(|alone| format!("{alone} more kills found nobody else in sync, and are not counted"));
        found.rows.push(noted(row, steps.chain(alone).chain([cores(bench)])));
    }
    found.runs.extend(runs);
}

/// One takeover: until the next acknowledgement, and its steps.
struct Time {
    /// Until all was well, before it.
    ready_ns: u64,
    whole_ns: u64,
    steps: Takeover,
}

/// What came of all kills.
struct Kills {
    times: Vec<Time>,
    /// Kills beyond these at which the other node was not in the set.
    alone: u32,
}

fn progress(number: usize, of: u32, time: &Time) -> String {
    let whole = numbers::time(time.whole_ns as f64);
    let ready = numbers::time(time.ready_ns as f64);
    format!(
        "{NAME}: kill {number} of {of}, acknowledgements went on after {whole}; all had been well after {ready}"
    )
}

fn told(draft: Draft, Kills { times, alone }: &Kills) -> Run {
    let mut draft = draft.figure("alone", f64::from(*alone));
    type Step = fn(&Time) -> u64;
    let steps: [(&str, Step); 3] = [
        ("silence", |time| time.steps.silence_ns),
        ("register", |time| time.steps.register_ns),
        ("first_commit", |time| time.steps.commit_ns),
    ];
    for (name, of) in steps {
        let mut all = histogram();
        times.iter().for_each(|time| all.saturating_record(of(time).max(1)));
        for (share, quantile) in [("p50", 0.5), ("worst", 1.0)] {
            draft = draft.figure(&format!("{name}_{share}_ms"), all.value_at_quantile(quantile) as f64 / 1e6);
        }
    }
    let mut whole = histogram();
    times.iter().for_each(|time| whole.saturating_record(time.whole_ns));
    draft.measured(&Measured::of_latencies(whole))
}

fn measure(bench: &Bench<'_>, mesh: &Arc<Mesh>, kills: u32) -> Result<Kills, String> {
    let on = |core| Settings {
        layout: Layout::Yielding(core),
        snapshot_messages: SNAPSHOT_MESSAGES,
        records_max: RECORDS,
        bytes_max: RECORDS * 2 * BLOCK_BYTES as u64,
        ..bench.node()
    };
    let (first, second) = (on(bench.cores.system), on(bench.cores.load));
    let mut cluster = Cluster::new(mesh, bench.cores, vec![first, second], SILENCE_MS)?;
    cluster.start(NODE_1)?;
    cluster.await_leader(NODE_1, 1, IN_SYNC)?;
    cluster.start(NODE_2)?;
    cluster.await_leader(NODE_1, 2, IN_SYNC)?;
    let (road, network) = (cluster.node(NODE_1).road().clone(), cluster.node(NODE_1).network()?);
    let (workload, core) = (Arc::new(Workload::filling(RECORDS)), bench.cores.load);
    let (over, resumed_ns) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| on_core(core, || load(&road, &network, &workload, &over, &resumed_ns)));
        let (mut times, mut alone) = (Ok(Vec::new()), 0);
        while let Ok(made) = &mut times
            && made.len() < kills as usize
        {
            match Bench::go_on().and_then(|()| kill(&mut cluster, &resumed_ns)) {
                Ok(Some(time)) => {
                    made.push(time);
                    (bench.tell)(&progress(made.len(), kills, &made[made.len() - 1]));
                }
                Ok(None) if alone < ALONE_MAX => {
                    alone += 1;
                    (bench.tell)(&format!(
                        "{NAME}: the other node had just left the set, and waited for the dead one"
                    ));
                }
                Ok(None) => {
                    times = Err(format!("{ALONE_MAX} times the leader had nobody in sync when it died"))
                }
                Err(why) => times = Err(why),
            }
        }
        over.store(true, Ordering::Release);
        let ended = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What went wrong with a kill is why the load lost answers, never the other way round.
        times.and_then(|times| ended.map(|()| Kills { times, alone }))
    })
}

/// Waits until all is well, kills the leader, sees what comes of it, and starts it again. None where the other node had been taken out of the set
/// between that look and the kill: it may not take over then (R7), and nothing is acknowledged until the dead node is back.
fn kill(cluster: &mut Cluster, resumed_ns: &AtomicU64) -> Result<Option<Time>, String> {
    let begun_ns = clock::monotonic_ns();
    let leader = cluster.await_health(IN_SYNC)?;
    let successor = NODE_1 + NODE_2 - leader;
    let resumed = || resumed_ns.load(Ordering::Acquire);
    let killed_ns = clock::monotonic_ns();
    let ready_ns = killed_ns - begun_ns;
    cluster.node(leader).kill();
    let acknowledged = || resumed() > killed_ns + STRAGGLERS_NS;
    let is_out = || cluster.standing(successor).is_some_and(|standing| !standing.is_in_sync);
    wait("nothing is acknowledged", TAKEN_OVER, || acknowledged() || is_out())
        .map_err(|why| cluster.explain(&why))?;
    let time = if acknowledged() {
        let whole_ns = resumed() - killed_ns;
        let standing = cluster.standing(successor);
        let steps =
            standing.and_then(|standing| standing.takeover).ok_or("the successor tells no takeover")?;
        Some(Time { ready_ns, whole_ns, steps })
    } else {
        None
    };
    cluster.start(leader)?;
    Ok(time)
}

/// Keeps the rate until it is over.
fn load(
    road: &Road,
    network: &Network,
    workload: &Arc<Workload>,
    over: &AtomicBool,
    resumed_ns: &AtomicU64,
) -> Result<(), String> {
    let transactions = road.on(End::Near, || Transactions::open(network, workload.clone(), 1))?;
    let mut watched = Watched { transactions, heard_ns: clock::monotonic_ns(), resumed_ns };
    watched.transactions.wait_until_ready()?;
    // Without it the figures are the machine's as well.
    let _ = become_urgent();
    let plan = Plan { idle: IdleStrategy::Sleep { us: 20 }, ..Plan::new(Duration::from_secs(3600)) };
    let plan = Plan { warm_up: Duration::ZERO, ..plan }.at_rate(RATE);
    let measured = open_loop_while(&mut watched, &plan, &|| !over.load(Ordering::Acquire));
    let lost = measured.lost();
    if lost == 0 { Ok(()) } else { Err(format!("lost {lost} of {} answers", measured.sent)) }
}

/// Tells when acknowledgements went on after a pause.
struct Watched<'a> {
    transactions: Transactions,
    heard_ns: u64,
    resumed_ns: &'a AtomicU64,
}

impl Target for Watched<'_> {
    fn fetch(&mut self, number: u64) {
        self.transactions.fetch(number);
    }

    fn submit(&mut self, number: u64) -> bool {
        self.transactions.submit(number)
    }

    fn poll(&mut self, now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let mut heard = false;
        let work = self.transactions.poll(now_ns, &mut |number| {
            heard = true;
            answered(number);
        });
        if heard {
            let now_ns = clock::monotonic_ns();
            if now_ns - self.heard_ns >= PAUSE_NS {
                self.resumed_ns.store(now_ns, Ordering::Release);
            }
            self.heard_ns = now_ns;
        }
        work
    }
}
