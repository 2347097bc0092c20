//! One message at a time: on two nodes in sync and on one, and over echoes with as many hops.
//!
//! ```text
//!  two nodes  load ─▶ node 1 ─▶ node 2 ─▶ node 1 ─▶ load      one  load ─▶ node 1 ─▶ load
//! ```
use super::{LOAD, NODE_1, NODE_2, PATIENT_MS, cores, noted, on_hosts};
use crate::cluster::Cluster;
use crate::cores::on_core;
use crate::echo::{Cast, EchoConfig};
use crate::experiment::{Bench, Draft, Figure, Found, ratio};
use crate::measurement::{Bound, Row, Run, Subject};
use crate::node::{Layout, Node, Settings};
use crate::road::Road;
use crate::schedule::{Plan, closed_loop};
use crate::workload::CANONICAL;
use gds_hosts::Mesh;
use gds_nic::{IdleStrategy, Transport};
use std::sync::Arc;
use std::time::Duration;

/// Its name.
pub const NAME: &str = "replication";

const TWO: &str = "gds, two nodes";
const ONE: &str = "gds, one node";
const ECHO_TWO: &str = "echo by way of another";
const ECHO_ONE: &str = "echo";

/// How long until both are in sync.
const IN_SYNC: Duration = Duration::from_secs(60);

/// Interleaved pairs of both, and of their echoes.
pub fn run(bench: &Bench<'_>) -> Found {
    on_hosts(NAME, |mesh, found| round_trips(bench, mesh, found))
}

fn round_trips(bench: &Bench<'_>, mesh: &Arc<Mesh>, found: &mut Found) {
    // The load shares its processor with node 2.
    let plan = Plan { idle: IdleStrategy::Yield, ..bench.plan(3.0) };
    let mut runs = Vec::new();
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{NAME}: repetition {repetition}, one message at a time"));
        let draft = |name, subject| Draft::new(NAME, name, subject, repetition).workload(CANONICAL);
        runs.push(on_a_node(bench, draft(TWO, Subject::System), &plan, || two_nodes(bench, mesh)));
        runs.push(on_a_node(bench, draft(ONE, Subject::System), &plan, || {
            one_node(bench, mesh).map(|node| (node, None))
        }));
        for (name, config) in [(ECHO_TWO, echo_by_way(bench, mesh)), (ECHO_ONE, echo(bench, mesh))] {
            runs.push(bench.echo(draft(name, Subject::Floor), config, |target| closed_loop(target, &plan)));
        }
    }
    found.rows.extend(rows(bench, &runs));
    found.runs.append(&mut runs);
}

/// A run on a node that `start` starts, beside another that must not go before the run is over.
fn on_a_node(
    bench: &Bench<'_>,
    draft: Draft,
    plan: &Plan,
    start: impl FnOnce() -> Result<(Node, Option<Cluster>), String>,
) -> Run {
    let draft = draft.with("transport", Transport::Socket);
    let begun = Bench::go_on().and_then(|()| start());
    let outcome = begun.and_then(|(node, _others)| {
        bench.on_node(draft.clone(), node, &bench.workload(CANONICAL), |target| closed_loop(target, plan))
    });
    outcome.unwrap_or_else(|why| draft.failed(why))
}

fn one_node(bench: &Bench<'_>, mesh: &Arc<Mesh>) -> Result<Node, String> {
    let settings = Settings { road: Road::across(mesh, NODE_1, LOAD), ..bench.node() };
    on_core(bench.cores.load, || Node::start(&settings))
}

/// Node 1 leads, node 2 is in sync.
fn two_nodes(bench: &Bench<'_>, mesh: &Arc<Mesh>) -> Result<(Node, Option<Cluster>), String> {
    let second = Settings { layout: Layout::Yielding(bench.cores.load), ..bench.node() };
    let mut cluster = Cluster::new(mesh, bench.cores, vec![bench.node(), second], PATIENT_MS)?;
    cluster.start(NODE_1)?;
    cluster.await_leader(NODE_1, 1, IN_SYNC)?;
    cluster.start(NODE_2)?;
    cluster.await_leader(NODE_1, 2, IN_SYNC)?;
    let node = cluster.take(NODE_1).expect("it was started");
    Ok((node, Some(cluster)))
}

fn echo(bench: &Bench<'_>, mesh: &Arc<Mesh>) -> EchoConfig {
    EchoConfig::new(Road::across(mesh, NODE_1, LOAD), Cast::Multicast, bench.cores.system)
}

/// Each of its packets goes where a message, a replication message and a watermark go.
fn echo_by_way(bench: &Bench<'_>, mesh: &Arc<Mesh>) -> EchoConfig {
    let road = Road::across(mesh, NODE_2, NODE_1);
    let onward = EchoConfig {
        idle: IdleStrategy::Yield,
        ..EchoConfig::new(road, Cast::MulticastThere, bench.cores.load)
    };
    EchoConfig { onward: Some(Box::new(onward)), ..echo(bench, mesh) }
}

fn rows(bench: &Bench<'_>, runs: &[Run]) -> [Row; 3] {
    let is = |name: &'static str| move |run: &Run| run.name == name;
    let row = |what: &str, most, system, floor| {
        let (what, bound) = (format!("acknowledgement, depth 1, {what}"), Bound::RatioAtMost(most));
        ratio(&what, bound, runs, Figure::Latency(0.5), &is(system), &is(floor))
    };
    let over_one = row("two nodes in sync: p50 over one node", 2.0, TWO, ONE);
    let over_floor = row("two nodes in sync: p50 over an echo by way of another", 1.25, TWO, ECHO_TWO);
    let floors =
        row("the floor of that: echo by way of another, p50 over one without", 2.0, ECHO_TWO, ECHO_ONE);
    [noted(over_one, [cores(bench)]), over_floor, floors]
}
