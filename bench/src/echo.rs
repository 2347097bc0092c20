//! A bare echo: every datagram comes back as it was, by the same means by which GDS moves packets.
//!
//! It is the floor under every acknowledgement: what a packet there and a packet back cost when nothing is done in between. Over multicast
//! requests go to one group and answers to another, as they do on the bus. The datagrams are those that a client of the bus would
//! send. An echo may ask another one and answer when that has answered, as a node does that waits
//! for its replica. For the rig's own tests the echo can be made worse on purpose ([`Faults`]): by a fixed delay, by stalls, by loss.
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
    /// To a group, and back to one address: as replicas answer.
    MulticastThere,
}

impl Cast {
    /// Its name in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
            Self::MulticastThere => "multicast there",
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
    /// It also sends what came to a group of its own that nobody hears, behind the answer and with the same call where one serves both: as a
    /// node publishes what it acknowledges.
    pub publishes: bool,
    /// Whom it asks first; its near end is this one's far end. Such an echo has no faults of its own.
    pub onward: Option<Box<EchoConfig>>,
}

impl EchoConfig {
    /// An echo without faults that spins on this processor; over the loopback interface, if all that is given is a transport.
    pub fn new(road: impl Into<Road>, cast: Cast, core: Option<usize>) -> Self {
        let road = road.into();
        Self {
            road,
            cast,
            core,
            idle: IdleStrategy::Spin,
            faults: Faults::default(),
            publishes: false,
            onward: None,
        }
    }
}

/// Where requests and answers go.
#[derive(Clone, Copy, Debug)]
struct Way {
    requests: SocketAddrV4,
    answers: SocketAddrV4,
    /// Of an echo that publishes.
    published: SocketAddrV4,
}

impl Way {
    fn find(config: &EchoConfig) -> Result<Self, String> {
        let [requests, answers, published] = addresses::udp_ports()?;
        let address = |port, end| SocketAddrV4::new(config.road.address(end), port);
        let requests = match config.cast {
            Cast::Unicast => address(requests, End::Far),
            Cast::Multicast | Cast::MulticastThere => addresses::group_address(requests),
        };
        let answers = match config.cast {
            Cast::Unicast | Cast::MulticastThere => address(answers, End::Near),
            Cast::Multicast => addresses::group_address(answers),
        };
        Ok(Self { requests, answers, published: addresses::group_address(published) })
    }
}
