//! Packets are lost on every path out of the node; a listener still delivers every message once and in order, writers
//! still learn every outcome, and all agree on the state.
mod common;

use common::captures::{binary_file, capture, made_up_day, messages};
use common::hosts::between_hosts;
use common::load::Load;
use common::model::{BusMessage, Orders};
use common::{Node, Place, Settings, gds, orders};
use std::fs;
use std::process::Stdio;

const WRITERS: usize = 3;
const BLOCKS: u64 = 1_500;

/// Loses so many of a thousand packets on each path out of the node, and of the requests into it.
fn run_with_loss(transport: &'static str, per_mille: u32) {
    let loss_per_mille = [per_mille; 3];
    let settings = Settings { transport, loss_per_mille, horizon_messages: 1, ..Settings::default() };
    let place = Place::new(&settings);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, BLOCKS, 0);

    let feed = match capture("itch/locate-13-10k.bin") {
        Some(file) => messages(&fs::read(file).expect("it is there")),
        None => made_up_day(3, 10_000),
    };
    let file = place.folder().join("feed.bin");
    fs::write(&file, binary_file(&feed)).expect("the test's folder can be written");
    let mut replay = gds();
    replay.arg("replay").arg(&file).args(["--session", "ITCHLOSS01", "--json", "--timeout", "20"]);
    replay.arg("--config").arg(place.config_file()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut replay = replay.spawn().expect("the binary runs");
    load.until("replay", &mut |_| replay_ended(&mut replay));
    let ran = common::Ran::from(replay.wait_with_output().expect("it has ended")).succeeded();
    assert_eq!(ran.json()["messages"], feed.len());
    load.finish();
    let last = place.settled().applied;
    let status = place.status(last);
    load.until("observer", &mut |load| load.seen.len() as u64 >= last);

    let counter =
        |name: &str| status.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value);
    for name in ["publisher_port.lost_on_purpose", "acknowledgement_publisher_port.lost_on_purpose"] {
        assert!(counter(name) > 0, "{name}: nothing was lost");
    }
    let listened = load.listener().counters();
    assert!(listened.filled.get() > 0 && listened.gaps.get() > 0, "the observer missed nothing");
    println!(
        "{per_mille} per mille: {last} messages, {} gaps, {} missed, {} requests of the observer",
        listened.gaps.get(),
        listened.missed.get(),
        listened.requests.get()
    );

    // What the observer has is the stream, and a plain count of it is the state.
    load.check(&place);
    let model = Orders::of(load.seen.iter().map(|bytes| BusMessage::of(bytes)).filter_map(|message| {
        (message.session == b"ITCHLOSS01" && message.kind == b'T').then_some(message.body)
    }));
    orders::pass_horizon(&place);
    let records = orders::check(&place, &model) + load.records().0.len() as u64;
    let settled = place.settled();
    assert_eq!(settled.records, records);

    // So is what the journal and the ring give again.
    node.kill();
    let node = Node::start(&place);
    assert_eq!(place.settled(), settled);
    load.until("observer", &mut |load| load.seen.len() as u64 >= settled.applied);
    load.check(&place);
    node.stop();
}

fn replay_ended(replay: &mut std::process::Child) -> bool {
    replay.try_wait().expect("it is our child").is_some()
}

#[test]
fn one_per_cent_of_packets_may_be_lost() {
    run_with_loss("auto", 10);
}

#[test]
fn ten_per_cent_of_packets_may_be_lost() {
    run_with_loss("auto", 100);
}

#[test]
fn thirty_per_cent_of_packets_may_be_lost() {
    run_with_loss("auto", 300);
}

#[test]
fn one_per_cent_may_be_lost_over_af_xdp_in_native_mode() {
    between_hosts("one_per_cent_may_be_lost_over_af_xdp_in_native_mode", "native", || {
        run_with_loss("af_xdp", 10);
    });
}

#[test]
fn ten_per_cent_may_be_lost_over_af_xdp_in_generic_mode() {
    between_hosts("ten_per_cent_may_be_lost_over_af_xdp_in_generic_mode", "generic", || {
        run_with_loss("af_xdp", 100);
    });
}
