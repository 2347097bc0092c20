//! Everybody around the node: clients, feeds, listeners, query clients, strangers. Each has a duty cycle too.
mod blocks;
mod client;
mod feed;
mod listener;
mod patience;
mod reader;
mod stranger;

pub use client::Client;
pub use feed::Feed;
pub use listener::Listener;
pub use reader::Reader;
pub use stranger::Stranger;

use crate::network::SimulatedPort;
use crate::plan::{NodePort, Plan, node_address, pick};
use crate::truth::Truth;
use gds_core::bus::ReceiverConfig;
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::session::Session;
use std::net::SocketAddrV4;

/// What an actor has at hand in a duty cycle.
pub struct Scene<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The stream's session.
    pub stream: Session,
    /// The time.
    pub now: Time,
    /// What everybody has been shown.
    pub truth: &'a mut Truth,
    /// For what it draws.
    pub random: &'a mut Random,
    /// Nothing goes wrong any more: finish.
    pub calm: bool,
    /// The last number that any process committed.
    pub committed: u64,
}

/// Most datagrams taken in one duty cycle.
const DATAGRAMS_PER_DUTY: usize = 32;

/// A receiver with small bounds, whose nearest node is any of them.
fn receiver_config(session: Session, next: u64, scene: &mut Scene<'_>) -> ReceiverConfig {
    let Scene { plan, random, .. } = scene;
    let mut rewinders: Vec<SocketAddrV4> =
        (0..plan.nodes).map(|node| node_address(node, NodePort::Rewinder)).collect();
    let first = random.below(plan.nodes as u64) as usize;
    rewinders.rotate_left(first);
    ReceiverConfig {
        session: Some(session),
        next,
        window_packets: *pick(random, &[1, 8, 256]),
        rewinders,
        retry_ns: *pick(random, &[300 * MICROSECOND_NS, MILLISECOND_NS]),
        retry_ns_max: *pick(random, &[2 * MILLISECOND_NS, 20 * MILLISECOND_NS]),
        gaps_max: *pick(random, &[1, 4, 64]),
        requests_max: *pick(random, &[1, 16]),
        seed: random.next_u64(),
        ..ReceiverConfig::default()
    }
}

/// Takes what has arrived at a port.
fn receive(port: &mut SimulatedPort) -> Vec<Vec<u8>> {
    receive_from(port).into_iter().map(|(_, datagram)| datagram).collect()
}

/// ... with where it came from.
fn receive_from(port: &mut SimulatedPort) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let mut datagrams = Vec::new();
    port.receive(DATAGRAMS_PER_DUTY, &mut |from, datagram| datagrams.push((from, datagram.to_vec())));
    datagrams
}
