//! A network in memory: datagrams and connections with loss, duplication, reordering, delay and cuts, all from one seed.
//!
//! Every address belongs to a host (its IPv4 address). A datagram to a multicast group goes to every port that joined it; each
//! copy meets its own fate. Cuts are between pairs of hosts, one way each. Connections lose nothing and keep the order, stall while
//! their way is cut, and break when somebody breaks them; what was on its way is then lost, or arrives in part.
use crate::clock::SharedClock;
use crate::death::SharedDeath;
use gds_core::port::{ConnectionId, DatagramPort, StreamEvent, StreamPort};
use gds_core::random::Random;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Datagrams lost, per thousand.
    pub loss_per_mille: u64,
    /// Datagrams that the sending port does not take, per thousand.
    pub refuse_per_mille: u64,
    /// Datagrams delivered twice, per thousand.
    pub duplicate_per_mille: u64,
    /// Shortest way.
    pub delay_min_ns: u64,
    /// Longest way; different delays reorder.
    pub delay_max_ns: u64,
}

impl Faults {
    /// A network on its good days.
    pub const NONE: Self = Self {
        loss_per_mille: 0,
        refuse_per_mille: 0,
        duplicate_per_mille: 0,
        delay_min_ns: 5_000,
        delay_max_ns: 5_000,
    };
}

/// What the network did to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fates {
    /// Copies on their way.
    pub sent: u64,
    /// Lost at random.
    pub lost: u64,
    /// Delivered a second time.
    pub duplicated: u64,
    /// Overtaken by a later one.
    pub reordered: u64,
    /// Lost because their way was cut.
    pub cut: u64,
}

/// Most datagrams waiting at one port; more are dropped, as by a full socket buffer.
const QUEUE_DATAGRAMS: usize = 4096;

/// A datagram on its way: when it arrives, which it was, from where, what.
type Arrival = Reverse<(u64, u64, SocketAddrV4, Rc<[u8]>)>;

struct Endpoint {
    address: SocketAddrV4,
    groups: Vec<SocketAddrV4>,
    waiting: BinaryHeap<Arrival>,
    newest_ns: u64,
}

struct Connection {
    near: SocketAddrV4,
    far: SocketAddrV4,
    /// Bytes on their way to near and to far, with the time they arrive.
    to_near: VecDeque<(u64, Vec<u8>)>,
    to_far: VecDeque<(u64, Vec<u8>)>,
    gone: bool,
}

/// A datagram as it left a host that is listened to.
pub struct Tapped {
    /// Where it came from.
    pub from: SocketAddrV4,
    /// Where it went.
    pub to: SocketAddrV4,
    /// What it was.
    pub datagram: Rc<[u8]>,
}

/// The network all ports share.
pub struct Network {
    /// What goes wrong at present.
    pub faults: Faults,
    /// Most bytes on their way in one direction of a connection; a writer gets 0 beyond it.
    pub stream_bytes_max: usize,
    /// Datagrams that left the hosts that are listened to, oldest first, before anything befell them.
    pub tapped: Vec<Tapped>,
    /// Datagrams that ports took that are listened to, oldest first.
    pub heard: Vec<Tapped>,
    /// Those ports.
    pub listened: BTreeSet<SocketAddrV4>,
    /// What became of datagrams.
    pub fates: Fates,
    taps: Vec<Ipv4Addr>,
    /// Nodes that nobody listens to but other nodes.
    muted: BTreeSet<Ipv4Addr>,
    /// Pairs (from, to) that do not reach each other, and until when.
    cuts: BTreeMap<(Ipv4Addr, Ipv4Addr), u64>,
    clock: SharedClock,
    random: Random,
    ports: Vec<Option<Endpoint>>,
    stamp: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    listening: BTreeMap<SocketAddrV4, VecDeque<(ConnectionId, SocketAddrV4)>>,
    next_connection: ConnectionId,
}

/// The network, shared in one thread.
pub type SharedNetwork = Rc<RefCell<Network>>;

impl Network {
    /// A network without ports that listens to what leaves the hosts `taps`.
    pub fn new(seed: u64, clock: &SharedClock, taps: Vec<Ipv4Addr>) -> SharedNetwork {
        Rc::new(RefCell::new(Self {
            faults: Faults::NONE,
            stream_bytes_max: 64 * 1024,
            tapped: Vec::new(),
            heard: Vec::new(),
            listened: BTreeSet::new(),
            fates: Fates::default(),
            taps,
            muted: BTreeSet::new(),
            cuts: BTreeMap::new(),
            clock: clock.clone(),
            random: Random::new(seed),
            ports: Vec::new(),
            stamp: 0,
            connections: BTreeMap::new(),
            listening: BTreeMap::new(),
            next_connection: 1,
        }))
    }

    fn send(&mut self, from: SocketAddrV4, to: SocketAddrV4, datagram: &[u8]) {
        let datagram: Rc<[u8]> = datagram.into();
        if self.taps.contains(from.ip()) {
            self.tapped.push(Tapped { from, to, datagram: datagram.clone() });
        }
        for index in 0..self.ports.len() {
            let Some(port) = &self.ports[index] else { continue };
            let reached = if to.ip().is_multicast() { port.groups.contains(&to) } else { port.address == to };
            let target = *port.address.ip();
            let reached = reached && (target.octets()[1] == 0 || !self.muted.contains(from.ip()));
            if reached && self.passes(*from.ip(), target) {
                let copies = 1 + u32::from(self.random.chance(self.faults.duplicate_per_mille, 1000));
                self.fates.duplicated += u64::from(copies - 1);
                for _ in 0..copies {
                    self.deliver(index, from, &datagram);
                }
            }
        }
    }

    fn passes(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        if self.is_cut(from, to) {
            self.fates.cut += 1;
            return false;
        }
        let lost = self.random.chance(self.faults.loss_per_mille, 1000);
        self.fates.lost += u64::from(lost);
        !lost
    }

    fn deliver(&mut self, index: usize, from: SocketAddrV4, datagram: &Rc<[u8]>) {
        let at_ns = self.clock.now_ns() + self.delay_ns();
        self.stamp += 1;
        self.fates.sent += 1;
        let port = self.ports[index].as_mut().expect("a target is a port");
        if port.waiting.len() < QUEUE_DATAGRAMS {
            self.fates.reordered += u64::from(at_ns < port.newest_ns);
            port.newest_ns = port.newest_ns.max(at_ns);
            port.waiting.push(Reverse((at_ns, self.stamp, from, datagram.clone())));
        }
    }

    fn delay_ns(&mut self) -> u64 {
        let Faults { delay_min_ns, delay_max_ns, .. } = self.faults;
        delay_min_ns + self.random.below(delay_max_ns - delay_min_ns + 1)
    }

    /// Until then nothing gets from one host to the other.
    pub fn cut(&mut self, from: Ipv4Addr, to: Ipv4Addr, until_ns: u64) {
        let until = self.cuts.entry((from, to)).or_default();
        *until = until_ns.max(*until);
    }

    /// Cuts whose time is over are none any more.
    pub fn heal(&mut self) {
        let now_ns = self.clock.now_ns();
        self.cuts.retain(|_, until_ns| *until_ns > now_ns);
    }

    /// Everybody reaches everybody.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// Nobody but other nodes hears this one any more, or everybody does again.
    pub fn mute(&mut self, host: Ipv4Addr, is_muted: bool) {
        if !is_muted {
            self.muted.remove(&host);
        } else if self.muted.insert(host) {
            self.break_connections(host);
        }
    }

    fn is_cut(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        self.cuts.contains_key(&(from, to))
    }

    /// Breaks every connection of a host, as its death or a pulled cable does. Of what was on its way, some arrives.
    pub fn break_connections(&mut self, host: Ipv4Addr) {
        for connection in self.connections.values_mut() {
            if *connection.near.ip() == host || *connection.far.ip() == host {
                connection.gone = true;
                for way in [&mut connection.to_near, &mut connection.to_far] {
                    let kept = self.random.below(way.len() as u64 + 1) as usize;
                    way.truncate(kept);
                }
            }
        }
    }
}

/// A UDP port on the simulated network; gone from it when dropped.
pub struct SimulatedPort {
    network: SharedNetwork,
    index: usize,
    address: SocketAddrV4,
    death: Option<SharedDeath>,
}

impl SimulatedPort {
    /// Opens `address` and joins `groups`. With a death, the port is a process's that may die.
    pub fn open(
        network: &SharedNetwork,
        address: SocketAddrV4,
        groups: &[SocketAddrV4],
        death: Option<SharedDeath>,
    ) -> Self {
        let mut inner = network.borrow_mut();
        assert!(inner.ports.iter().flatten().all(|port| port.address != address), "{address} is in use");
        let endpoint =
            Endpoint { address, groups: groups.to_vec(), waiting: BinaryHeap::new(), newest_ns: 0 };
        let index = inner.ports.iter().position(Option::is_none).unwrap_or(inner.ports.len());
        if index == inner.ports.len() {
            inner.ports.push(Some(endpoint));
        } else {
            inner.ports[index] = Some(endpoint);
        }
        drop(inner);
        Self { network: network.clone(), index, address, death }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    fn lives(&self) -> bool {
        self.death.as_ref().is_none_or(|death| death.borrow_mut().operation())
    }
}

impl Drop for SimulatedPort {
    fn drop(&mut self) {
        self.network.borrow_mut().ports[self.index] = None;
    }
}

impl DatagramPort for SimulatedPort {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        for count in 0..limit {
            let next = {
                let mut network = self.network.borrow_mut();
                let now_ns = network.clock.now_ns();
                let port = network.ports[self.index].as_mut().expect("an open port is on the network");
                match port.waiting.peek() {
                    Some(Reverse((at_ns, ..))) if *at_ns <= now_ns => port.waiting.pop(),
                    _ => None,
                }
            };
            let Some(Reverse((_, _, from, datagram))) = next.filter(|_| self.lives()) else { return count };
            deliver(from, &datagram);
            let mut network = self.network.borrow_mut();
            if network.listened.contains(&self.address) {
                network.heard.push(Tapped { from, to: self.address, datagram });
            }
        }
        limit
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        let mut network = self.network.borrow_mut();
        let refused = network.faults.refuse_per_mille;
        if network.random.chance(refused, 1000) {
            return false;
        }
        if self.lives() {
            network.send(self.address, to, datagram);
        }
        true
    }
}

/// Connections on the simulated network, one listening or connecting end.
pub struct SimulatedStreams {
    network: SharedNetwork,
    address: SocketAddrV4,
    known: Vec<ConnectionId>,
    /// Connections made by this end and not reported yet.
    opened: VecDeque<(ConnectionId, SocketAddrV4)>,
    death: Option<SharedDeath>,
}

impl SimulatedStreams {
    /// Listens at `address`, for a process that may die.
    pub fn listen(network: &SharedNetwork, address: SocketAddrV4, death: SharedDeath) -> Self {
        network.borrow_mut().listening.insert(address, VecDeque::new());
        let mut end = Self::client(network, address);
        end.death = Some(death);
        end
    }

    /// An end that only connects, from `address`.
    pub fn client(network: &SharedNetwork, address: SocketAddrV4) -> Self {
        Self { network: network.clone(), address, known: Vec::new(), opened: VecDeque::new(), death: None }
    }

    /// Connects to a listener, which [`StreamPort::poll`] then reports; false if nobody listens there or the way is cut.
    pub fn connect(&mut self, to: SocketAddrV4) -> bool {
        let mut network = self.network.borrow_mut();
        if network.is_cut(*self.address.ip(), *to.ip())
            || network.muted.contains(to.ip())
            || !network.listening.contains_key(&to)
        {
            return false;
        }
        let id = network.next_connection;
        network.next_connection += 1;
        let connection = Connection {
            near: self.address,
            far: to,
            to_near: VecDeque::new(),
            to_far: VecDeque::new(),
            gone: false,
        };
        network.connections.insert(id, connection);
        network.listening.get_mut(&to).expect("checked above").push_back((id, self.address));
        self.known.push(id);
        self.opened.push_back((id, to));
        true
    }

    fn accept(&mut self) -> Option<(ConnectionId, SocketAddrV4)> {
        if let Some(opened) = self.opened.pop_front() {
            return Some(opened);
        }
        let accepted = self.network.borrow_mut().listening.get_mut(&self.address)?.pop_front()?;
        self.known.push(accepted.0);
        Some(accepted)
    }

    fn next_bytes(&mut self, id: ConnectionId) -> Option<Vec<u8>> {
        let mut network = self.network.borrow_mut();
        let now_ns = network.clock.now_ns();
        let network = &mut *network;
        let connection = network.connections.get_mut(&id)?;
        let near = connection.near == self.address;
        let (incoming, from) = if near {
            (&mut connection.to_near, connection.far)
        } else {
            (&mut connection.to_far, connection.near)
        };
        let due = incoming.front().is_some_and(|(at_ns, _)| *at_ns <= now_ns)
            && !network.cuts.contains_key(&(*from.ip(), *self.address.ip()));
        if due { incoming.pop_front().map(|(_, bytes)| bytes) } else { None }
    }

    fn is_gone(&self, id: ConnectionId) -> bool {
        self.network.borrow().connections.get(&id).is_none_or(|connection| {
            let near = connection.near == self.address;
            let incoming = if near { &connection.to_near } else { &connection.to_far };
            connection.gone && incoming.is_empty()
        })
    }

    fn lives(&self) -> bool {
        self.death.as_ref().is_none_or(|death| death.borrow_mut().operation())
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
        let mut index = 0;
        while index < self.known.len() && count < limit {
            let id = self.known[index];
            if let Some(bytes) = self.next_bytes(id) {
                deliver(StreamEvent::Received(id, &bytes));
                count += 1;
            } else if self.is_gone(id) {
                self.known.remove(index);
                deliver(StreamEvent::Closed(id));
                count += 1;
            } else {
                index += 1;
            }
        }
        count
    }

    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        if !self.lives() {
            return 0;
        }
        let mut network = self.network.borrow_mut();
        let at_ns = network.clock.now_ns() + network.delay_ns();
        // A part only, now and then: a stream has no message borders.
        let part = if network.random.chance(1, 4) {
            1 + network.random.below(bytes.len().max(1) as u64) as usize
        } else {
            usize::MAX
        };
        let in_flight_max = network.stream_bytes_max;
        let Some(connection) = network.connections.get_mut(&id).filter(|connection| !connection.gone) else {
            return 0;
        };
        let near = connection.near == self.address;
        let outgoing = if near { &mut connection.to_far } else { &mut connection.to_near };
        let in_flight: usize = outgoing.iter().map(|(_, bytes)| bytes.len()).sum();
        let count = bytes.len().min(in_flight_max.saturating_sub(in_flight)).min(part);
        if count > 0 {
            let after_ns = outgoing.back().map_or(0, |(at_ns, _)| *at_ns);
            outgoing.push_back((after_ns.max(at_ns), bytes[..count].to_vec()));
        }
        count
    }

    fn close(&mut self, id: ConnectionId) {
        self.known.retain(|known| *known != id);
        if let Some(connection) = self.network.borrow_mut().connections.get_mut(&id) {
            connection.gone = true;
        }
    }
}

impl Drop for SimulatedStreams {
    fn drop(&mut self) {
        let mut network = self.network.borrow_mut();
        network.listening.remove(&self.address);
        for connection in network.connections.values_mut() {
            if connection.near == self.address || connection.far == self.address {
                connection.gone = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
