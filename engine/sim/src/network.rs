//! A network in memory: datagrams and connections with loss, duplication, reordering, delay and cuts, all from one seed.
//!
//! Every address belongs to a host (its IPv4 address). A datagram to a multicast group goes to every port that joined it; each
//! copy meets its own fate. Cuts are between pairs of hosts, one way each.
use gds_core::port::{ConnectionId, DatagramPort, StreamEvent, StreamPort};
use gds_core::random::Random;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Datagrams lost, per thousand.
    pub loss_per_mille: u64,
    /// Datagrams delivered twice, per thousand.
    pub duplicate_per_mille: u64,
    /// Shortest way.
    pub delay_min_ns: u64,
    /// Longest way; different delays reorder.
    pub delay_max_ns: u64,
}

impl Faults {
    /// A network on its good days.
    pub const NONE: Self = Self { loss_per_mille: 0, duplicate_per_mille: 0, delay_min_ns: 5_000, delay_max_ns: 5_000 };
}

/// Most datagrams waiting at one port; more are dropped, as by a full socket buffer.
const QUEUE_DATAGRAMS: usize = 4096;

type Arrival = (u64, u64);

#[derive(Default)]
struct Queue {
    groups: BTreeSet<SocketAddrV4>,
    waiting: BTreeMap<Arrival, (SocketAddrV4, Vec<u8>)>,
}

struct Connection {
    near: SocketAddrV4,
    far: SocketAddrV4,
    /// Bytes on their way to near and to far, with the time they arrive.
    to_near: VecDeque<(u64, Vec<u8>)>,
    to_far: VecDeque<(u64, Vec<u8>)>,
    near_gone: bool,
    far_gone: bool,
}

/// The network all ports share.
pub struct Network {
    /// Simulated time.
    pub now_ns: u64,
    /// What goes wrong at present.
    pub faults: Faults,
    /// Pairs (from, to) that do not reach each other at present.
    pub cuts: BTreeSet<(Ipv4Addr, Ipv4Addr)>,
    random: Random,
    ports: BTreeMap<SocketAddrV4, Queue>,
    stamp: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    listening: BTreeMap<SocketAddrV4, VecDeque<(ConnectionId, SocketAddrV4)>>,
    next_connection: ConnectionId,
}

/// The network, shared in one thread.
pub type SharedNetwork = Rc<RefCell<Network>>;

impl Network {
    /// A network without ports.
    pub fn new(seed: u64) -> SharedNetwork {
        Rc::new(RefCell::new(Self {
            now_ns: 0,
            faults: Faults::NONE,
            cuts: BTreeSet::new(),
            random: Random::new(seed),
            ports: BTreeMap::new(),
            stamp: 0,
            connections: BTreeMap::new(),
            listening: BTreeMap::new(),
            next_connection: 1,
        }))
    }

    fn send(&mut self, from: SocketAddrV4, to: SocketAddrV4, datagram: &[u8]) {
        let reached = |address: &SocketAddrV4, queue: &Queue| {
            if to.ip().is_multicast() { queue.groups.contains(&to) } else { *address == to }
        };
        let targets: Vec<SocketAddrV4> =
            self.ports.iter().filter(|(address, queue)| reached(address, queue)).map(|(address, _)| *address).collect();
        for target in targets {
            if self.cuts.contains(&(*from.ip(), *target.ip())) {
                continue;
            }
            if self.random.chance(self.faults.loss_per_mille, 1000) {
                continue;
            }
            let copies = 1 + u32::from(self.random.chance(self.faults.duplicate_per_mille, 1000));
            for _ in 0..copies {
                let arrival = (self.now_ns + self.delay_ns(), self.next_stamp());
                let queue = self.ports.get_mut(&target).expect("a target is a port");
                if queue.waiting.len() < QUEUE_DATAGRAMS {
                    queue.waiting.insert(arrival, (from, datagram.to_vec()));
                }
            }
        }
    }

    fn delay_ns(&mut self) -> u64 {
        let Faults { delay_min_ns, delay_max_ns, .. } = self.faults;
        delay_min_ns + self.random.below(delay_max_ns - delay_min_ns + 1)
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Breaks every connection of a host, as its death or a pulled cable does.
    pub fn break_connections(&mut self, host: Ipv4Addr) {
        for connection in self.connections.values_mut() {
            if *connection.near.ip() == host || *connection.far.ip() == host {
                connection.near_gone = true;
                connection.far_gone = true;
            }
        }
    }
}

/// A UDP port on the simulated network; gone from it when dropped.
pub struct SimulatedPort {
    network: SharedNetwork,
    address: SocketAddrV4,
}

impl SimulatedPort {
    /// Opens `address` and joins `groups`.
    pub fn open(network: &SharedNetwork, address: SocketAddrV4, groups: &[SocketAddrV4]) -> Self {
        let queue = Queue { groups: groups.iter().copied().collect(), waiting: BTreeMap::new() };
        let before = network.borrow_mut().ports.insert(address, queue);
        assert!(before.is_none(), "{address} is in use");
        Self { network: network.clone(), address }
    }
}

impl Drop for SimulatedPort {
    fn drop(&mut self) {
        self.network.borrow_mut().ports.remove(&self.address);
    }
}

impl DatagramPort for SimulatedPort {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        for count in 0..limit {
            let next = {
                let mut network = self.network.borrow_mut();
                let now_ns = network.now_ns;
                let queue = network.ports.get_mut(&self.address).expect("an open port is on the network");
                match queue.waiting.first_entry() {
                    Some(entry) if entry.key().0 <= now_ns => entry.remove(),
                    _ => return count,
                }
            };
            deliver(next.0, &next.1);
        }
        limit
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        self.network.borrow_mut().send(self.address, to, datagram);
        true
    }
}

/// Connections on the simulated network, one listening or connecting end.
pub struct SimulatedStreams {
    network: SharedNetwork,
    address: SocketAddrV4,
    known: BTreeSet<ConnectionId>,
}

/// Most bytes on their way in one direction; a writer gets 0 beyond it.
const IN_FLIGHT_BYTES: usize = 64 * 1024;

impl SimulatedStreams {
    /// Listens at `address`.
    pub fn listen(network: &SharedNetwork, address: SocketAddrV4) -> Self {
        network.borrow_mut().listening.insert(address, VecDeque::new());
        Self { network: network.clone(), address, known: BTreeSet::new() }
    }

    /// An end that only connects, from `address`.
    pub fn client(network: &SharedNetwork, address: SocketAddrV4) -> Self {
        Self { network: network.clone(), address, known: BTreeSet::new() }
    }

    /// Connects to a listener; none if nobody listens there or the way is cut.
    pub fn connect(&mut self, to: SocketAddrV4) -> Option<ConnectionId> {
        let mut network = self.network.borrow_mut();
        if network.cuts.contains(&(*self.address.ip(), *to.ip())) || !network.listening.contains_key(&to) {
            return None;
        }
        let id = network.next_connection;
        network.next_connection += 1;
        let connection = Connection {
            near: self.address,
            far: to,
            to_near: VecDeque::new(),
            to_far: VecDeque::new(),
            near_gone: false,
            far_gone: false,
        };
        network.connections.insert(id, connection);
        network.listening.get_mut(&to).expect("checked above").push_back((id, self.address));
        self.known.insert(id);
        Some(id)
    }

    fn accept(&mut self) -> Option<(ConnectionId, SocketAddrV4)> {
        let accepted = self.network.borrow_mut().listening.get_mut(&self.address)?.pop_front()?;
        self.known.insert(accepted.0);
        Some(accepted)
    }

    fn next_bytes(&mut self, id: ConnectionId) -> Option<Vec<u8>> {
        let mut network = self.network.borrow_mut();
        let now_ns = network.now_ns;
        let connection = network.connections.get_mut(&id)?;
        let near = connection.near == self.address;
        let incoming = if near { &mut connection.to_near } else { &mut connection.to_far };
        let due = incoming.front().is_some_and(|(at, _)| *at <= now_ns);
        if due { incoming.pop_front().map(|(_, bytes)| bytes) } else { None }
    }

    fn is_gone(&self, id: ConnectionId) -> bool {
        self.network.borrow().connections.get(&id).is_none_or(|connection| {
            let near = connection.near == self.address;
            let (gone, incoming) = if near {
                (connection.far_gone || connection.near_gone, &connection.to_near)
            } else {
                (connection.near_gone || connection.far_gone, &connection.to_far)
            };
            gone && incoming.is_empty()
        })
    }
}

impl StreamPort for SimulatedStreams {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        let mut count = 0;
        while count < limit {
            let Some((id, from)) = self.accept() else { break };
            deliver(StreamEvent::Opened(id, from));
            count += 1;
        }
        for id in self.known.clone() {
            while count < limit {
                let Some(bytes) = self.next_bytes(id) else { break };
                deliver(StreamEvent::Received(id, &bytes));
                count += 1;
            }
            if count < limit && self.is_gone(id) {
                self.known.remove(&id);
                deliver(StreamEvent::Closed(id));
                count += 1;
            }
        }
        count
    }

    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let mut network = self.network.borrow_mut();
        let delay_ns = network.delay_ns();
        let now_ns = network.now_ns;
        // A part only, now and then: a stream has no message borders.
        let part = if network.random.chance(1, 4) { 1 + network.random.below(bytes.len().max(1) as u64) } else { u64::MAX };
        let Some(connection) = network.connections.get_mut(&id) else { return 0 };
        if connection.near_gone || connection.far_gone {
            return 0;
        }
        let near = connection.near == self.address;
        let outgoing = if near { &mut connection.to_far } else { &mut connection.to_near };
        let in_flight: usize = outgoing.iter().map(|(_, bytes)| bytes.len()).sum();
        let count = bytes.len().min(IN_FLIGHT_BYTES.saturating_sub(in_flight)).min(part as usize);
        if count > 0 {
            let after = outgoing.back().map_or(0, |(at, _)| *at);
            outgoing.push_back((after.max(now_ns + delay_ns), bytes[..count].to_vec()));
        }
        count
    }

    fn close(&mut self, id: ConnectionId) {
        self.known.remove(&id);
        if let Some(connection) = self.network.borrow_mut().connections.get_mut(&id) {
            if connection.near == self.address { connection.near_gone = true } else { connection.far_gone = true }
        }
    }
}

impl Drop for SimulatedStreams {
    fn drop(&mut self) {
        let mut network = self.network.borrow_mut();
        network.listening.remove(&self.address);
        for id in &self.known {
            if let Some(connection) = network.connections.get_mut(id) {
                connection.near_gone = true;
                connection.far_gone = true;
            }
        }
    }
}
