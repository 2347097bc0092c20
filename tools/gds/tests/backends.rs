//! Plain sockets, io_uring and AF_XDP are three ways of the same bytes: a seeded run gives the same state over each.
mod common;

use common::captures::{binary_file, made_up_day};
use common::hosts::between_hosts;
use common::load::TABLE;
use common::model::Records;
use common::{Node, PATIENCE, Place, Settings, Settled, skip};
use gds_client::Writer;
use gds_core::bus::{SubmitError, SubmitEvent};
use gds_core::random::Random;
use gds_wire::acknowledgement::Outcome;
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::fs;
use std::time::{Duration, Instant};

const BLOCKS: usize = 5_000;
const KEYS: u64 = 300;

/// A transaction of one to four operations, of which some are rejected.
fn block(random: &mut Random, last: u64) -> Vec<u8> {
    let mut buffer = [0; 1_300];
    let mut builder = TransactionBuilder::new(&mut buffer);
    for _ in 0..1 + random.below(4) {
        let kinds = [OperationKind::Put, OperationKind::Insert, OperationKind::Modify, OperationKind::Delete];
        let kind = kinds[random.below(4) as usize];
        let key = format!("key {}", random.below(KEYS));
        let value = random.next_u64().to_be_bytes();
        let value = if kind.has_value() { &value[..random.below(9) as usize] } else { &[] };
        let expected = random.chance(1, 20).then(|| random.below(last + 1));
        builder
            .push(&Operation { kind, table: TABLE, key: key.as_bytes(), value, expected })
            .expect("it fits");
    }
    let length = builder.finish();
    buffer[..length].to_vec()
}

/// The seeded run; `None` where this machine does not have what the transport needs.
fn run(transport: &'static str, durability: &'static str) -> Option<Settled> {
    let settings = Settings { transport, durability, session: "SEEDEDRUN1", ..Settings::default() };
    let place = Place::new(&settings);
    let node = match Node::try_start(&place, &[]) {
        Ok(node) => node,
        Err(failed) if transport == "io_uring" && failed.err.contains("io_uring") => {
            skip(&format!("no io_uring here: {}", failed.err.trim()));
            return None;
        }
        Err(failed) => panic!("{failed:?}"),
    };
    let notices = node.ready["notices"].to_string();
    assert!(transport == "auto" || notices.contains(&format!("packets move over {transport}")), "{notices}");

    let session = Session::padded("SEEDED").expect("a name");
    let mut writer = Writer::open(&place.network(), session, 1).expect("ports are free");
    let (mut random, mut records) = (Random::new(99), Records::default());
    let mut expected = Vec::new();
    let (mut left, mut outcomes, mut last) = (BLOCKS, Vec::new(), 1);
    let deadline = Instant::now() + PATIENCE;
    let mut next = block(&mut random, last);
    while outcomes.len() < BLOCKS {
        while left > 0 {
            match writer.submit(&next) {
                Ok(_) => {}
                Err(SubmitError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            // The declaration is message 1, and nobody else submits.
            last += 1;
            left -= 1;
            expected.push(records.apply(last, &next));
            next = block(&mut random, last);
        }
        let work = writer.poll(&mut |event| match event {
            SubmitEvent::Acknowledged { outcome, .. } => outcomes.push(outcome),
            // Not now: it is sent again.
            SubmitEvent::Refused { .. } => {}
            other => panic!("{other:?}"),
        });
        if work == 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
        assert!(Instant::now() < deadline, "{} outcomes", outcomes.len());
    }
    let applied: Vec<bool> = outcomes.iter().map(|outcome| *outcome == Outcome::Applied).collect();
    assert_eq!(applied, expected, "the plain model takes and rejects the same");
    assert!(applied.iter().any(|applied| *applied) && applied.iter().any(|applied| !applied));

    let file = place.folder().join("day.bin");
    fs::write(&file, binary_file(&made_up_day(8, 5_000))).expect("the test's folder can be written");
    let file = file.to_str().expect("a path of text");
    place.gds(&["replay", file, "--session", "ITCHSEED01"]).succeeded();
    let settled = place.settled();
    node.stop();
    Some(settled)
}

#[test]
fn sockets_and_io_uring_give_the_same_digest() {
    let socket = run("socket", "memory");
    assert!(socket.is_some());
    if let Some(settled) = run("io_uring", "memory") {
        assert_eq!(Some(settled), socket);
    }
    assert_eq!(run("auto", "fsync"), socket, "nor does durability change what the stream means");
}

/// The same over a network.
fn af_xdp_gives_the_same_digest() {
    let af_xdp = run("af_xdp", "memory");
    assert!(af_xdp.is_some());
    assert_eq!(run("socket", "memory"), af_xdp);
    if let Some(settled) = run("io_uring", "fsync") {
        assert_eq!(Some(settled), af_xdp);
    }
}

#[test]
fn af_xdp_in_native_mode_gives_the_same_digest() {
    between_hosts("af_xdp_in_native_mode_gives_the_same_digest", "native", af_xdp_gives_the_same_digest);
}

#[test]
fn af_xdp_in_generic_mode_gives_the_same_digest() {
    between_hosts("af_xdp_in_generic_mode_gives_the_same_digest", "generic", af_xdp_gives_the_same_digest);
}

/// What one lap has to send leaves with one call, acknowledgement and publication alike.
fn an_acknowledgement_and_its_publication_cost_one_call() {
    const ROUNDS: u64 = 200;
    let place = Place::new(&Settings { transport: "af_xdp", ..Settings::default() });
    let node = Node::start(&place);
    let session = Session::padded("ONE BY ONE").expect("a name");
    let mut writer = Writer::open(&place.network(), session, 1).expect("ports are free");
    let mut random = Random::new(5);
    for _ in 0..ROUNDS {
        writer.submit_and_wait(&block(&mut random, 1), PATIENCE).expect("it is acknowledged");
    }
    let status = place.status(0);
    let counter =
        |name: &str| status.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value);
    let sent = counter("acknowledgement_publisher_port.sent") + counter("publisher_port.sent");
    let rings = counter("core_0.doorbell_rings");
    println!("{sent} packets with {rings} calls");
    assert!(sent >= 2 * ROUNDS && rings >= ROUNDS, "{sent} packets with {rings} calls");
    // Were they told one by one, it would be as many calls as packets; a heartbeat may come by itself.
    assert!(3 * rings < 2 * sent, "{sent} packets with {rings} calls");
    assert_eq!(counter("core_0.doorbell_failures"), 0);
    node.stop();
}

#[test]
fn an_acknowledgement_and_its_publication_cost_one_call_over_af_xdp() {
    between_hosts(
        "an_acknowledgement_and_its_publication_cost_one_call_over_af_xdp",
        "auto",
        an_acknowledgement_and_its_publication_cost_one_call,
    );
}
