//! A day in the life of a node, made small: writers that come and go, a feed on two lines, a feed with holes, listeners.
use crate::blocks::{Blocks, KEYS};
use gds_core::bus::{Receiver, ReceiverConfig, SubmitError, SubmitEvent, Submitter, SubmitterConfig};
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::Time;
use gds_nic::{UdpConfig, UdpPort};
use gds_node::config::Config;
use gds_node::node::{Addresses, Node};
use gds_node::ports::Datagrams;
use gds_node::{clocks, settings};
use gds_wire::mold::PacketBuilder;
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Writers at a time; their sessions and the feeds' are more than the node's table holds until it has forgotten some.
const WRITERS: usize = 6;
/// The feeds are let in before the writers, who leave no place free for long: the bus has got so far then.
const FEEDS_FIRST: u64 = 200;
/// Blocks of a writer's session before it ends.
const SESSION_BLOCKS: u64 = 100;
/// Blocks submitted per writer and round.
const ROUND_BLOCKS: usize = 5;
/// Blocks of one session that wait for their acknowledgement: so few that no session has the node for itself.
const WINDOW: usize = 64;
/// Without progress for this long the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream followed: its group, and a port for its gap fill.
struct Follower {
    receiver: Receiver,
    group: Datagrams,
    own: Datagrams,
}

impl Follower {
    fn open(config: &Config, group: SocketAddrV4, rewinder: SocketAddrV4) -> Self {
        let receiver =
            Receiver::new(ReceiverConfig { rewinders: vec![rewinder], ..ReceiverConfig::default() });
        Self { receiver, group: port(config, group, &[*group.ip()]), own: own_port(config) }
    }

    fn poll(&mut self, now: Time, deliver: &mut dyn FnMut(u64, &[u8])) -> usize {
        let Self { receiver, group, own } = self;
        let mut taken = group.receive(64, &mut |_, datagram| receiver.on_packet(now, datagram, deliver));
        taken += own.receive(64, &mut |from, datagram| receiver.on_reply(now, from, datagram, deliver));
        receiver.on_timer(now, &mut |rewinder, request| {
            own.send(rewinder, request);
        });
        taken
    }
}

fn port(config: &Config, bind: SocketAddrV4, join: &[Ipv4Addr]) -> Datagrams {
    Datagrams::new(UdpPort::open(UdpConfig { ..settings::udp(config, bind, join) }).expect("a port"))
}

fn own_port(config: &Config) -> Datagrams {
    port(config, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), &[])
}

/// Everything a node has to cope with.
pub struct Load {
    lines: Vec<SocketAddrV4>,
    bus: Follower,
    acknowledgements: Follower,
    own: Datagrams,
    writers: Vec<Submitter>,
    /// Sessions made so far.
    sessions: u64,
    holes: (Session, u64),
    blocks: Blocks,
    random: Random,
    delivered: u64,
    outcomes: BTreeMap<u16, u64>,
}

impl Load {
    /// Towards a node with this configuration.
    pub fn new(config: &Config) -> Self {
        let addresses = Addresses::of(config, Ipv4Addr::LOCALHOST);
        let mut load = Self {
            bus: Follower::open(config, addresses.downstream, addresses.rewinder),
            acknowledgements: Follower::open(config, addresses.acknowledgements, addresses.rewinder),
            lines: addresses.ingress,
            own: own_port(config),
            writers: Vec::new(),
            sessions: 0,
            holes: (Session::padded("SKIP000001").expect("a name"), 1),
            blocks: Blocks::new(6144),
            random: Random::new(6144),
            delivered: 0,
            outcomes: BTreeMap::new(),
        };
        load.writers.push(load.submitter("ITCH000001", load.lines.clone()));
        load
    }

    /// How often each outcome was acknowledged, to whomever, by its code.
    pub fn outcomes(&self) -> &BTreeMap<u16, u64> {
        &self.outcomes
    }

    /// Goes on until the node has sequenced so many messages more, and the listener has them all.
    pub fn run(&mut self, node: &Node, messages: u64) {
        let progress = &node.stream().progress;
        let until = progress.committed.get() + messages;
        let mut patience = Instant::now();
        let mut last = 0;
        while self.delivered < until {
            if let Some(fault) = node.fault() {
                panic!("the node stopped: {fault}");
            }
            if progress.committed.get() < until {
                self.submit();
                self.send_with_a_hole();
            }
            for _ in 0..4 {
                self.poll();
            }
            if self.delivered > last {
                (last, patience) = (self.delivered, Instant::now());
            }
            assert!(patience.elapsed() < PATIENCE, "nothing for long; delivered {last}, wanted {until}");
            std::thread::yield_now();
        }
    }

    fn submitter(&self, name: &str, groups: Vec<SocketAddrV4>) -> Submitter {
        let session = Session::padded(name).expect("a name");
        let usual = SubmitterConfig::new(session, self.lines[0]);
        Submitter::new(SubmitterConfig { groups, window_messages: WINDOW, ..usual })
    }

    fn next_writer(&mut self) -> Submitter {
        self.sessions += 1;
        // On one of the lines alone, so that what is lost there is missing.
        let line = self.lines[self.sessions as usize % self.lines.len()];
        self.submitter(&format!("W{:09}", self.sessions), vec![line])
    }

    /// Gives every session a few blocks; ends those that have had enough, and replaces those that are over.
    fn submit(&mut self) {
        if self.writers.len() <= WRITERS && self.delivered > FEEDS_FIRST {
            let next = self.next_writer();
            self.writers.push(next);
        }
        for at in 0..self.writers.len() {
            let feed = at == 0;
            if self.writers[at].finished() {
                self.writers[at] = self.next_writer();
            }
            for _ in 0..ROUND_BLOCKS {
                let writer = &mut self.writers[at];
                let block = if feed { self.blocks.order() } else { self.blocks.transaction() };
                match writer.submit(block) {
                    Ok(number) if !feed && number == SESSION_BLOCKS => writer.end(),
                    Ok(_) | Err(SubmitError::Full | SubmitError::Ended) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// A packet of the feed that has holes and answers no requests.
    fn send_with_a_hole(&mut self) {
        if self.random.chance(1, 20) {
            self.holes.1 += 3;
        }
        let mut buffer = [0; 1400];
        let mut packet = PacketBuilder::new(&mut buffer, self.holes.0, self.holes.1);
        let key = self.random.below(KEYS);
        assert!(packet.push(self.blocks.put(key)));
        self.holes.1 = packet.next_sequence();
        let length = packet.finish();
        for line in &self.lines {
            self.own.send(*line, &buffer[..length]);
        }
    }

    fn poll(&mut self) {
        let now = clocks::now();
        let Self { bus, acknowledgements, own, writers, delivered, outcomes, .. } = self;
        bus.poll(now, &mut |sequence, _| {
            assert_eq!(sequence, *delivered + 1, "out of order");
            *delivered = sequence;
        });
        let mut on_event = |event: SubmitEvent| {
            assert!(!matches!(event, SubmitEvent::SessionClash { .. }), "{event:?}");
        };
        acknowledgements.poll(now, &mut |sequence, message| {
            let outcome = &message[message.len() - 2..];
            *outcomes.entry(u16::from_be_bytes([outcome[0], outcome[1]])).or_default() += 1;
            for writer in writers.iter_mut() {
                writer.on_acknowledgement(now, sequence, message, &mut on_event);
            }
        });
        let mut asked = Vec::new();
        own.receive(64, &mut |_, datagram| asked.push(datagram.to_vec()));
        for writer in writers.iter_mut() {
            let mut send = |to, burst: &[u8], bytes| {
                own.send_segments(to, burst, bytes);
            };
            writer.on_timer(now, &mut send);
            for datagram in &asked {
                writer.on_datagram(now, datagram, &mut send, &mut on_event);
            }
        }
    }
}
