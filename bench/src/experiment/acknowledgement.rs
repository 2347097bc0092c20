//! How long a writer waits for its acknowledgement.
use super::{Bench, Draft, Figure, Found, absolute, ratio};
use crate::echo::{Cast, EchoConfig};
use crate::measurement::{Bound, Run, Subject};
use crate::node::Settings;
use crate::peer::{Asked, Pace};
use crate::schedule::{closed_loop, open_loop};
use crate::workload::CANONICAL;
use gds_nic::Transport;

/// One message at a time.
pub const DEPTH_1: &str = "acknowledgement_depth_1";
/// At the specification's rate.
pub const AT_RATE: &str = "acknowledgement_250k";
/// The specification's rate.
const RATE: f64 = 250_000.0;

const SYSTEM: &str = "gds";
const ECHO: &str = "multicast echo";

/// The round trip of one transaction at a time, that of the same packet over a bare echo, and those of peers.
pub fn depth_1(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let plan = bench.plan(3.0);
    for repetition in bench.repetitions() {
        for transport in bench.transports() {
            (bench.tell)(&format!("{DEPTH_1}: repetition {repetition}, {transport}"));
            let settings = Settings { road: transport.into(), ..bench.node() };
            let draft = Draft::new(DEPTH_1, SYSTEM, Subject::System, repetition);
            found
                .runs
                .push(bench.transactions(draft, &settings, &workload, |target| closed_loop(target, &plan)));
            let draft = Draft::new(DEPTH_1, ECHO, Subject::Floor, repetition).workload(CANONICAL);
            let echo = EchoConfig::new(transport, Cast::Multicast, bench.cores.system);
            found.runs.push(bench.echo(draft, echo, |target| closed_loop(target, &plan)));
        }
        bench.peers(&mut found, &Asked::new(DEPTH_1, repetition, Pace::OneByOne, plan.duration));
    }
    for transport in bench.transports() {
        for (share, bound) in [(0.5, 1.25), (0.99, 2.0)] {
            let what = format!(
                "acknowledgement, depth 1, {transport}: p{} over the bare multicast echo",
                share * 100.0
            );
            let (system, floor) = (on(SYSTEM, transport), on(ECHO, transport));
            let figure = Figure::Latency(share);
            found.rows.push(ratio(&what, Bound::RatioAtMost(bound), &found.runs, figure, &system, &floor));
        }
    }
    found
}

fn on(name: &'static str, transport: Transport) -> impl Fn(&Run) -> bool {
    move |run| run.name == name && run.parameters.get("transport") == Some(&transport.to_string())
}

/// The specification's rate, open loop: in packets of as many messages as fit, due together, and each message for itself.
pub fn at_rate(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    for repetition in bench.repetitions() {
        for (packing, group) in [("packed", workload.per_packet()), ("unpacked", 1)] {
            (bench.tell)(&format!("{AT_RATE}: repetition {repetition}, {packing}"));
            let plan = bench.plan(5.0).at_rate(RATE).in_groups_of(group);
            let draft = Draft::new(AT_RATE, SYSTEM, Subject::System, repetition).with("packing", packing);
            found
                .runs
                .push(bench.transactions(draft, &bench.node(), &workload, |target| open_loop(target, &plan)));
            let draft = Draft::new(AT_RATE, ECHO, Subject::Floor, repetition)
                .workload(CANONICAL)
                .with("packing", packing);
            let echo = EchoConfig::new(Transport::Auto, Cast::Multicast, bench.cores.system);
            found.runs.push(bench.echo(draft, echo, |target| open_loop(target, &plan)));
        }
    }
    let packed = |run: &Run| run.name == SYSTEM && run.parameters["packing"] == "packed";
    found.rows.push(absolute(
        "acknowledgement at 250,000 msg/s, open loop, packed: p50, all answered",
        Bound::NsAtMost(100e3),
        &found.runs,
        Figure::Latency(0.5),
        &packed,
    ));
    found
}
