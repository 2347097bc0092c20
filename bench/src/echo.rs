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
use gds_nic::{IdleStrategy, Transport, UdpConfig};
use std::net::{Ipv4Addr, SocketAddrV4};
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
#[derive(Clone, Copy, Debug)]
pub struct EchoConfig {
    /// By which means, on both sides.
    pub transport: Transport,
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
    /// An echo without faults that spins on this processor.
    pub fn new(transport: Transport, cast: Cast, core: Option<usize>) -> Self {
        Self { transport, cast, core, idle: IdleStrategy::Spin, faults: Faults::default() }
    }
}

/// Where requests and answers go.
#[derive(Clone, Copy, Debug)]
struct Way {
    requests: SocketAddrV4,
    answers: SocketAddrV4,
}

impl Way {
    fn find(cast: Cast) -> Result<Self, String> {
        let [requests, answers] = addresses::udp_ports()?;
        let address = |port| match cast {
            Cast::Unicast => SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            Cast::Multicast => addresses::group_address(port),
        };
        Ok(Self { requests: address(requests), answers: address(answers) })
    }
}

/// A port that receives at this address, group or not.
fn receiving(address: SocketAddrV4, transport: Transport) -> UdpConfig {
    let config =
        if address.ip().is_multicast() { UdpConfig::group(address) } else { UdpConfig::new(address) };
    UdpConfig { transport, ..config }
}

/// A port that only sends.
fn sending(transport: Transport) -> UdpConfig {
    UdpConfig { transport, ..UdpConfig::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)) }
}
