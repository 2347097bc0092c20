//! The backends side by side, between two hosts on this machine: what a packet costs over each, and what GDS makes of it.
//!
//! Both ends are on the same backend. AF_XDP has two lines, as the driver (native) or the kernel (generic) runs its program. Packets
//! between such hosts never leave the machine, so no card's time is in it: it tells the backends apart, and not how quick a network is.
use super::{Bench, Draft, Figure, Found, ratio};
use crate::echo::{Cast, EchoConfig};
use crate::floor::stream::Call;
use crate::measurement::{Bound, Run, Subject};
use crate::node::Settings;
use crate::road::Road;
use crate::schedule::closed_loop;
use crate::workload::CANONICAL;
use gds_hosts::Hosts;
use std::sync::Arc;

/// Acknowledgements.
pub const NAME: &str = "backends";
/// Each backend's floor.
const ECHOES: &str = "backends_echo";
/// What a node cannot do without: its answer, and a packet for everybody else behind it.
const PUBLISHING: &str = "backends_echo_published";
/// Packets of one message one way, without segmentation offload.
const PACKETS: &str = "backends_packets";
/// Full packets one way, many in a call.
const BULK: &str = "backends_bulk";

const SYSTEM: &str = "gds";
const ECHO: &str = "multicast echo";
const PUBLISHING_ECHO: &str = "multicast echo that publishes as well";

const SOCKET: &str = "socket";
const NATIVE: &str = "af_xdp native";
const GENERIC: &str = "af_xdp generic";

/// Packets given to a port in one call: of full ones, what one burst of segmentation offload holds.
const BURST: usize = 46;

/// Round trips of one message at a time, to a node and over a bare echo; packets one way, of one message each and full.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let hosts = match Hosts::new() {
        Ok(hosts) => Arc::new(hosts),
        Err(why) => {
            found.skipped.push(format!("{NAME}: no two hosts on this machine: {why}"));
            return found;
        }
    };
    let roads = roads(&hosts, &mut found.skipped);
    let (mut round_trips, mut streams) = (Vec::new(), Vec::new());
    for repetition in bench.repetitions() {
        for road in &roads {
            (bench.tell)(&format!("{NAME}: repetition {repetition}, {road}"));
            there_and_back(bench, road, repetition, &mut round_trips);
        }
        for road in &roads {
            (bench.tell)(&format!("{NAME}: repetition {repetition}, one way over {road}"));
            one_way(bench, road, repetition, &mut streams);
        }
    }
    round_trip_rows(&round_trips, &mut found);
    found.rows.push(ratio(
        "packets of one message a second, one way: af_xdp native over sockets",
        Bound::RatioAtLeast(2.0),
        &streams,
        Figure::Rate,
        &on(PACKETS, NATIVE),
        &on(PACKETS, SOCKET),
    ));
    found.runs.append(&mut round_trips);
    found.runs.append(&mut streams);
    found
}

/// The backends that can be had here.
fn roads(hosts: &Arc<Hosts>, skipped: &mut Vec<String>) -> Vec<Road> {
    let opens = |road: &Road| {
        road.check().inspect_err(|why| skipped.push(format!("{NAME}: no {road}: {why}"))).is_ok()
    };
    Road::all_between(hosts).into_iter().filter(opens).collect()
}

/// A node, and right behind it the echo, and one that publishes what it answers.
fn there_and_back(bench: &Bench<'_>, road: &Road, repetition: u32, runs: &mut Vec<Run>) {
    let plan = bench.plan(3.0);
    let workload = bench.workload(CANONICAL);
    let settings = Settings { road: road.clone(), ..bench.node() };
    let draft = Draft::new(NAME, SYSTEM, Subject::System, repetition);
    runs.push(bench.transactions(draft, &settings, &workload, |target| closed_loop(target, &plan)));
    let draft = Draft::new(ECHOES, ECHO, Subject::Floor, repetition).workload(CANONICAL);
    let echo = EchoConfig::new(road.clone(), Cast::Multicast, bench.cores.system);
    runs.push(bench.echo(draft, echo.clone(), |target| closed_loop(target, &plan)));
    let draft = Draft::new(PUBLISHING, PUBLISHING_ECHO, Subject::Floor, repetition).workload(CANONICAL);
    let publishing = EchoConfig { publishes: true, ..echo };
    runs.push(bench.echo(draft, publishing, |target| closed_loop(target, &plan)));
}

fn one_way(bench: &Bench<'_>, road: &Road, repetition: u32, runs: &mut Vec<Run>) {
    let duration = bench.plan(2.0).duration;
    let draft = |experiment, name| Draft::new(experiment, name, Subject::Floor, repetition);
    let packets = draft(PACKETS, "packets of one message");
    runs.push(bench.stream(packets, road, Call::single(BURST), duration));
    let full = draft(BULK, "messages in full packets");
    runs.push(bench.stream(full, road, Call::full(BURST), duration));
}

fn round_trip_rows(runs: &[Run], found: &mut Found) {
    let half = Figure::Latency(0.5);
    for backend in [NATIVE, GENERIC] {
        found.rows.push(ratio(
            &format!("acknowledgement, depth 1, {backend} over sockets: p50"),
            Bound::RatioAtMost(0.7),
            runs,
            half,
            &on(NAME, backend),
            &on(NAME, SOCKET),
        ));
    }
    for backend in [NATIVE, GENERIC] {
        found.rows.push(ratio(
            &format!("acknowledgement, depth 1, {backend}: p50 over its own echo"),
            Bound::RatioAtMost(1.25),
            runs,
            half,
            &on(NAME, backend),
            &on(ECHOES, backend),
        ));
    }
}

fn on(experiment: &'static str, backend: &'static str) -> impl Fn(&Run) -> bool {
    move |run| {
        run.experiment == experiment
            && run.parameters.get("transport").is_some_and(|transport| transport == backend)
    }
}
