//! A bare echo: every datagram comes back as it was, by the same means by which GDS moves packets.
//!
//! It is the floor under every acknowledgement: what a packet there and a packet back cost when nothing is done in between. Over multicast
//! requests go to one group and answers to another, as they do on the bus. The datagrams are those that a client of the bus would
//! send. For the rig's own tests the echo can be made worse on purpose ([`Faults`]): by a fixed delay, by stalls, by loss.
mod client;
mod server;

pub use client::EchoClient;
pub use server::Echo;

use crate::addresses;
use crate::road::{End, Road};
use gds_nic::IdleStrategy;
use std::net::SocketAddrV4;
use std::time::Duration;

/// To whom datagrams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To one address and back.
    Unicast,
    /// To one group, and back by another.
    Multicast,
}

impl Cast {
    /// Its name in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
        }
    }
}

/// What is made worse on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Each answer waits for so long.
    pub delay: Duration,
    /// After so long a time, again and again, everything stops for so long.
    pub stall: Option<(Duration, Duration)>,
    /// Answers dropped, per thousand.
    pub loss_per_mille: u16,
}

/// An echo and the way to it.
#[derive(Clone, Debug)]
pub struct EchoConfig {
    /// By which backend and between which ends.
    pub road: Road,
    /// To whom.
    pub cast: Cast,
    /// Where the echo runs.
    pub core: Option<usize>,
    /// What it does when nothing has come.
    pub idle: IdleStrategy,
    /// What is made worse.
    pub faults: Faults,
}

impl EchoConfig {
    /// An echo without faults that spins on this processor; over the loopback interface, if all that is given is a transport.
    pub fn new(road: impl Into<Road>, cast: Cast, core: Option<usize>) -> Self {
        Self { road: road.into(), cast, core, idle: IdleStrategy::Spin, faults: Faults::default() }
    }
}

/// Where requests and answers go.
#[derive(Clone, Copy, Debug)]
struct Way {
    requests: SocketAddrV4,
    answers: SocketAddrV4,
}

impl Way {
    fn find(config: &EchoConfig) -> Result<Self, String> {
        let [requests, answers] = addresses::udp_ports()?;
        let address = |port, end| match config.cast {
            Cast::Unicast => SocketAddrV4::new(config.road.address(end), port),
            Cast::Multicast => addresses::group_address(port),
        };
        Ok(Self { requests: address(requests, End::Far), answers: address(answers, End::Near) })
    }
}
