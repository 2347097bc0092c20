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
use crate::plan::Plan;
use crate::truth::Truth;
use gds_core::bus::ReceiverConfig;
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::session::Session;

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

/// A receiver with small bounds.
fn receiver_config(session: Session, next: u64, random: &mut Random) -> ReceiverConfig {
    use crate::plan::{REWINDER, pick};
    ReceiverConfig {
        session: Some(session),
        next,
        window_packets: *pick(random, &[1, 8, 256]),
        rewinders: vec![REWINDER],
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
    let mut datagrams = Vec::new();
    port.receive(DATAGRAMS_PER_DUTY, &mut |_, datagram| datagrams.push(datagram.to_vec()));
    datagrams
}
