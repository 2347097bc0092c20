//! Follows a stream by multicast.
use crate::network::{ClientError, Network};
use gds_core::bus::{AskedCounters, Receiver, ReceiverConfig, ReceiverCounters};
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::Time;
use gds_node::clocks;
use gds_node::ports::Datagrams;
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Datagrams taken in one poll: some bursts.
const DATAGRAMS_PER_POLL: usize = 256;

/// Which stream, from where on, and with which faults.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The group it is published to.
    pub group: SocketAddrV4,
    /// The session; `None`: that of the first packet.
    pub session: Option<Session>,
    /// The first number to deliver; 0: the first that is heard.
    pub next: u64,
    /// Packets of the group dropped on purpose, per thousand; and from which seed.
    pub loss_per_mille: u64,
    /// Seed of losses and back-off.
    pub seed: u64,
}

impl ListenerConfig {
    /// The bus of a node, from message 1 on.
    pub fn bus(network: &Network) -> Self {
        Self { group: network.addresses().downstream, session: None, next: 1, loss_per_mille: 0, seed: 1 }
    }

    /// The acknowledgements of a node, from message 1 on.
    pub fn acknowledgements(network: &Network) -> Self {
        Self { group: network.addresses().acknowledgements, ..Self::bus(network) }
    }
}

/// One stream, received in order, every message once.
pub struct Listener {
    receiver: Receiver,
    group: Datagrams,
    own: Datagrams,
    loss: Random,
    loss_per_mille: u64,
}

impl Listener {
    /// Joins the group.
    pub fn open(network: &Network, config: ListenerConfig) -> Result<Self, ClientError> {
        let receiver = Receiver::new(ReceiverConfig {
            session: config.session,
            next: config.next,
            window_packets: 16_384,
            packet_bytes_max: network.config().network.max_payload_bytes,
            rewinders: network.rewinders(),
            gaps_max: 4096,
            seed: config.seed,
            ..ReceiverConfig::default()
        });
        Ok(Self {
            receiver,
            group: network.group_port(config.group)?,
            own: network.own_port()?,
            loss: Random::new(config.seed),
            loss_per_mille: config.loss_per_mille,
        })
    }

    /// Takes what has arrived, asks for what is missing, and hands on what is next; returns how many datagrams it took.
    pub fn poll(&mut self, deliver: &mut dyn FnMut(u64, &[u8])) -> usize {
        self.poll_at(clocks::now(), deliver)
    }

    /// The same at a time that the caller has read already.
    pub fn poll_at(&mut self, now: Time, deliver: &mut dyn FnMut(u64, &[u8])) -> usize {
        let Self { receiver, group, own, loss, loss_per_mille } = self;
        let mut taken = group.receive(DATAGRAMS_PER_POLL, &mut |_, datagram| {
            if !loss.chance(*loss_per_mille, 1000) {
                receiver.on_packet(now, datagram, deliver);
            }
        });
        // Rewinders answer when asked: without a gap there is nothing to look for, and looking may cost a system call.
        if receiver.next_sequence() < receiver.known_sequence() {
            taken += own.receive(DATAGRAMS_PER_POLL, &mut |from, datagram| {
                receiver.on_reply(now, from, datagram, deliver);
            });
        }
        receiver.on_timer(now, &mut |rewinder, request| {
            own.send(rewinder, request);
        });
        taken
    }

    /// The number that will be delivered next; 0: nothing has been heard yet.
    pub fn next_sequence(&self) -> u64 {
        self.receiver.next_sequence()
    }

    /// The session, once heard.
    pub fn session(&self) -> Option<Session> {
        self.receiver.session()
    }

    /// The last session heard on the group that is another one, of which nothing is delivered. A stream goes on under another name where a person forced a lead and messages may be missing: from
    /// which number on it may differ the node's status says ([`StatusReport::differs_from`](crate::StatusReport::differs_from)). Whoever means to go on with it opens a listener for that session.
    pub fn other_session(&self) -> Option<Session> {
        self.receiver.other_session()
    }

    /// True once the session has ended and every message has been delivered.
    pub fn ended(&self) -> bool {
        self.receiver.ended()
    }

    /// What each rewinder was asked and answered, nearest first.
    pub fn asked(&self) -> impl Iterator<Item = (SocketAddrV4, &Arc<AskedCounters>)> {
        self.receiver.asked()
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<ReceiverCounters> {
        self.receiver.counters()
    }
}
