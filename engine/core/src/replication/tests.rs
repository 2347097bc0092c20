//! Members over a network that loses and delays, and a register that answers, or does not. What is torn, lost or corrupt on disks is the
//! simulator's part; here a restart keeps the whole log.
mod history;

use super::*;
use crate::bus::AdmissionRule;
use crate::bus::sequencer::Sequencer;
use crate::bus::stream_reader::StreamReader;
use crate::bus::tests::{NoDisk, STREAM, TestPort, at_us, bus_messages, declaration, ring, sequencer};
use crate::cursor::Progress;
use crate::label::SessionNames;
use crate::memory::{Read, Ring};
use crate::random::Random;
use crate::time::Time;
use gds_wire::envelope::Kind;
use gds_wire::mold::PacketBuilder;
use gds_wire::session::Session;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;

const CLIENT: Session = Session(*b"CLIENT    ");
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 192, 26, 4), 26404);

fn at(node: usize, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, node as u8 + 1), port)
}

/// The one register, as all see it.
type SharedState = Rc<RefCell<RegisterState>>;

/// A node's way to it: answers in the next lap, or never.
struct RegisterWay {
    state: SharedState,
    answer: Option<RegisterAnswer>,
    reachable: bool,
}

impl RegisterPort for RegisterWay {
    fn ask(&mut self, request: &RegisterRequest) -> bool {
        let mut state = self.state.borrow_mut();
        let answer = match request {
            _ if !self.reachable => RegisterAnswer::Silence,
            RegisterRequest::Swap { revision, value } if *revision == state.revision => {
                *state = RegisterState { revision: state.revision + 1, value: Some(value.clone()) };
                RegisterAnswer::Swapped(state.revision)
            }
            _ => RegisterAnswer::Holds(state.clone()),
        };
        self.answer = Some(answer);
        true
    }

    fn poll(&mut self) -> Option<RegisterAnswer> {
        self.answer.take()
    }
}

struct Node {
    ring: Arc<Ring>,
    progress: Arc<Progress>,
    sequencer: Sequencer,
    replication: Replication,
    rewinder: ReplicaRewinder,
    life: Life,
    digests: Arc<Digests>,
    port: TestPort,
    group: TestPort,
    history: TestPort,
    register: RegisterWay,
    stop: Option<ReplicationStop>,
    alive: bool,
}

struct World {
    nodes: Vec<Node>,
    register: SharedState,
    now_us: u64,
    random: Random,
    loss_percent: u64,
    /// (due, to, from, datagram)
    flying: VecDeque<(u64, SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    /// Pairs of nodes that do not reach each other.
    cuts: Vec<(usize, usize)>,
    submitted: u64,
}

/// A log: each entry with its epoch, and how many are committed.
type Log = (Vec<(u32, Vec<u8>)>, u64);

/// A life of a node that begins with this log.
fn node(index: usize, count: usize, register: &SharedState, now: Time, life: Life, log: &Log) -> Node {
    let (ring, progress) = (ring(1 << 20), Arc::new(Progress::default()));
    progress.reserved.set(u64::MAX);
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress).following();
    let mut epochs = EpochRuns::new(0, 0);
    for (sequence, (epoch, bytes)) in (1..).zip(&log.0) {
        assert_eq!(sequencer.append_replicated(*epoch, bytes), Ok(sequence));
        // Of what is committed the last entry's epoch is known, and those of all that follow.
        match sequence <= log.1 {
            true => epochs = EpochRuns::new(sequence, *epoch),
            false => assert!(epochs.push(sequence, *epoch)),
        }
    }
    sequencer.publish_batch();
    sequencer.commit(log.1);
    let chain = ring.chain_of(log.1).expect("the ring has all");
    let peers = (0..count).filter(|peer| *peer != index).map(|peer| Peer {
        node: NodeId(peer as u8 + 1),
        replication: at(peer, 1),
        history: at(peer, 2),
    });
    let config = ReplicationConfig {
        group: GROUP,
        peers: peers.collect(),
        declaration: log.0.is_empty().then(|| declaration(100, None)),
        ..ReplicationConfig::new(NodeId(index as u8 + 1), STREAM)
    };
    let known = register.borrow().clone();
    let digests = Arc::new(Digests::new(10));
    let replication = Replication::new(config, life, (epochs, chain), ring.reader(1), known, now)
        .comparing(digests.clone());
    let reader = StreamReader::new(ring.reader(1), None);
    let rewinder = ReplicaRewinder::new(
        replication.rewinder_config(),
        reader,
        progress.clone(),
        replication.leadership().clone(),
    );
    let register = RegisterWay { state: register.clone(), answer: None, reachable: true };
    Node {
        ring,
        progress,
        sequencer,
        replication,
        rewinder,
        life,
        digests,
        port: TestPort::default(),
        group: TestPort::default(),
        history: TestPort::default(),
        register,
        stop: None,
        alive: true,
    }
}

impl World {
    fn new(count: usize, seed: u64) -> Self {
        let value = RegisterValue {
            stream: STREAM,
            epoch: 0,
            leader: NodeId(0),
            set: Set::default(),
            sessions: SessionNames::default(),
        };
        let register = Rc::new(RefCell::new(RegisterState { revision: 1, value: Some(value) }));
        Self {
            nodes: (0..count)
                .map(|index| node(index, count, &register, at_us(0), Life::next(None, true), &Log::default()))
                .collect(),
            register,
            now_us: 0,
            random: Random::new(seed),
            loss_percent: 0,
            flying: VecDeque::new(),
            cuts: Vec::new(),
            submitted: 0,
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        from != to && !self.cuts.contains(&(from, to)) && !self.cuts.contains(&(to, from))
    }

    fn send(&mut self, from: usize, to: SocketAddrV4, datagram: &[u8]) {
        let source = at(from, 1);
        let receivers: Vec<usize> = match to {
            GROUP => (0..self.nodes.len()).collect(),
            to => (0..self.nodes.len()).filter(|node| at(*node, 1).ip() == to.ip()).collect(),
        };
        for receiver in receivers {
            if self.reaches(from, receiver) && !self.random.chance(self.loss_percent, 100) {
                let due = self.now_us + 5 + self.random.below(20);
                let to = if to == GROUP { at(receiver, 3) } else { to };
                self.flying.push_back((due, to, source, datagram.to_vec()));
            }
        }
    }

    fn step(&mut self) {
        self.now_us += 10;
        let now = at_us(self.now_us);
        let (due, flying): (VecDeque<_>, _) =
            self.flying.drain(..).partition(|flight| flight.0 <= self.now_us);
        self.flying = flying;
        for (_, to, from, datagram) in due {
            let node = (0..self.nodes.len()).find(|node| at(*node, 1).ip() == to.ip()).unwrap();
            let node = &mut self.nodes[node];
            let port = match to.port() {
                1 => &mut node.port,
                2 => &mut node.history,
                _ => &mut node.group,
            };
            port.inbox.push_back((from, datagram));
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if !node.alive {
                node.port.inbox.clear();
                node.group.inbox.clear();
                continue;
            }
            node.sequencer.on_timer(now);
            node.sequencer.publish_batch();
            let stop = node
                .replication
                .duty(now, &mut node.sequencer, &mut node.port, &mut node.group, &mut node.register)
                .err();
            node.stop = node.stop.take().or(stop);
            node.sequencer.flush(&mut TestPort::default());
            node.rewinder.duty(&mut NoDisk, &mut node.history);
            let sent: Vec<_> = node.port.outbox.drain(..).chain(node.history.outbox.drain(..)).collect();
            for (to, datagram) in sent {
                self.send(index, to, &datagram);
            }
        }
    }

    fn run_ms(&mut self, milliseconds: u64) {
        (0..milliseconds * 100).for_each(|_| self.step());
    }

    /// All nodes hear the client's next message.
    fn submit(&mut self, count: u64) {
        for _ in 0..count {
            self.submitted += 1;
            self.resend(self.submitted);
            self.step();
        }
    }

    fn resend(&mut self, number: u64) {
        let mut buffer = [0; 200];
        let mut builder = PacketBuilder::new(&mut buffer, CLIENT, number);
        assert!(builder.push(&[&b"T"[..], &number.to_be_bytes()].concat()));
        let length = builder.finish();
        for node in self.nodes.iter_mut().filter(|node| node.alive) {
            node.sequencer.on_packet(at_us(self.now_us), at(200, 9), &buffer[..length]);
        }
    }

    /// Starts nodes that must be cut back again, cut back.
    fn cut_back(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(ReplicationStop::Cut { after, .. }) = self.nodes[index].stop else { continue };
            let old = &self.nodes[index];
            assert_eq!(old.replication.leadership().cut_after(), Some(after));
            let mut reader = old.ring.reader(1);
            let mut bytes = [0; 2_000];
            let mut entries = Vec::new();
            while let Read::Message { sequence, epoch, length, .. } = reader.read(after, &mut bytes) {
                assert_eq!(sequence, entries.len() as u64 + 1);
                entries.push((epoch, bytes[..length].to_vec()));
            }
            let committed = old.progress.committed.get();
            assert!(committed <= after, "what is committed is never cut");
            let life = Life::next(Some(old.life), true);
            let (count, now) = (self.nodes.len(), at_us(self.now_us));
            self.nodes[index] = node(index, count, &self.register, now, life, &(entries, committed));
        }
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.alive && node.replication.is_leading();
        let epoch = |index: &usize| self.nodes[*index].replication.epoch();
        (0..self.nodes.len()).filter(|index| leads(&self.nodes[*index])).max_by_key(epoch)
    }

    /// What clients resend arrives in the end.
    fn settle(&mut self) {
        for _ in 0..40 {
            (1..=self.submitted).for_each(|number| self.resend(number));
            self.run_ms(5);
            self.cut_back();
        }
    }

    /// The numbers of the client's messages that are committed at a node, in their order.
    fn committed(&self, index: usize) -> Vec<u64> {
        let node = &self.nodes[index];
        let committed = node.progress.committed.get() as usize;
        let all = bus_messages(&node.ring).into_iter().take(committed);
        all.filter(|message| message.0 == Kind::Transaction).map(|message| message.2).collect()
    }

    fn check_all(&self) {
        let expected: Vec<u64> = (1..=self.submitted).collect();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
            assert_eq!(node.stop, None, "node {index}");
            assert_eq!(self.committed(index), expected, "node {index}");
        }
        let in_sync = self.register.borrow().value.as_ref().unwrap().set.count();
        assert_eq!(in_sync, self.nodes.iter().filter(|node| node.alive).count());
    }
}

#[test]
fn a_new_cluster_finds_a_leader_and_everybody_joins() {
    for count in [1, 2, 3, 5] {
        let mut world = World::new(count, 1);
        world.run_ms(100);
        let leader = world.leader().expect("somebody leads");
        assert_eq!(world.nodes.iter().filter(|node| node.replication.is_leading()).count(), 1);
        world.submit(500);
        world.run_ms(20);
        world.check_all();
        assert_eq!(world.leader(), Some(leader), "nobody takes over from a leader that is heard");
        let register = world.register.borrow();
        assert_eq!(register.value.as_ref().unwrap().epoch, 1);
    }
}

#[test]
fn nothing_is_shown_under_a_name_that_the_register_has_replaced() {
    let mut world = World::new(3, 1);
    world.run_ms(100);
    let leader = world.leader().expect("somebody leads");
    {
        // What a forced lead of another node leaves there.
        let mut register = world.register.borrow_mut();
        register.revision += 1;
        let value = register.value.as_mut().expect("it holds something");
        value.epoch += 1;
        value.leader = NodeId(9);
        value.set = Set::of(Member { node: NodeId(9), incarnation: 1 });
        value.sessions = value.sessions.renewed(STREAM, 65, Time::default());
    }
    world.submit(10);
    world.run_ms(500);
    for (index, node) in world.nodes.iter().enumerate() {
        let Some(ReplicationStop::Renamed { from: 65, .. }) = &node.stop else {
            panic!("node {index}: {:?}", node.stop)
        };
        assert!(node.replication.leadership().must_rename());
        assert!(index == leader || !node.replication.is_leading());
    }
}

#[test]
fn what_is_lost_between_nodes_comes_again() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        world.run_ms(100);
        world.loss_percent = 10;
        world.submit(2_000);
        world.loss_percent = 0;
        world.settle();
        world.check_all();
    }
}

#[test]
fn a_standby_takes_over_with_everything_that_was_committed() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        world.run_ms(100);
        for round in 0..2 {
            world.submit(300 + seed);
            let leader = world.leader().expect("somebody leads");
            let seen = world.committed(leader);
            world.nodes[leader].alive = false;
            world.run_ms(60);
            let next = world.leader().expect("somebody else leads");
            assert_eq!(world.committed(next)[..seen.len()], seen, "seed {seed}, round {round}");
            let set = world.register.borrow().value.clone().unwrap();
            assert_eq!((set.epoch, usize::from(set.leader.0)), (round + 2, next + 1));
            world.settle();
            world.check_all();
        }
    }
}

#[test]
fn a_leader_that_is_cut_off_commits_nothing_and_steps_down() {
    let mut world = World::new(3, 7);
    world.run_ms(100);
    world.submit(100);
    world.run_ms(5);
    let old = world.leader().expect("somebody leads");
    world.cuts = (0..3).filter(|node| *node != old).map(|node| (old, node)).collect();
    world.nodes[old].register.reachable = false;
    let before = world.nodes[old].progress.committed.get();
    world.submit(50);
    world.run_ms(100);
    assert_eq!(world.nodes[old].progress.committed.get(), before, "its members do not answer");
    let new = world.leader().expect("another leads");
    assert!(new != old && world.nodes[old].replication.is_leading());
    world.settle();
    assert_eq!(world.committed(new).len(), 150);
    world.cuts.clear();
    world.run_ms(50);
    assert!(!world.nodes[old].replication.is_leading(), "it has heard of the newer epoch");
    // It had numbered what it could not commit, in another epoch: that is cut.
    let stop = world.nodes[old].stop.clone().expect("it must be cut back");
    assert!(matches!(stop, ReplicationStop::Cut { after, epoch: 2 } if after == before), "{stop}");
    world.settle();
    world.check_all();
}

#[test]
fn a_silent_replica_is_taken_out_and_comes_back() {
    let mut world = World::new(2, 3);
    world.run_ms(100);
    world.submit(100);
    let leader = world.leader().expect("somebody leads");
    world.cuts = vec![(0, 1)];
    world.nodes[1 - leader].register.reachable = false;
    world.submit(100);
    world.run_ms(60);
    assert_eq!(world.committed(leader).len(), 200, "the leader goes on without it");
    world.cuts.clear();
    world.nodes[1 - leader].register.reachable = true;
    world.settle();
    world.check_all();
}

#[test]
fn with_too_few_in_sync_nothing_new_is_taken() {
    let mut world = World::new(2, 3);
    for node in &mut world.nodes {
        node.replication.set_min_in_sync(2);
    }
    world.run_ms(100);
    world.submit(10);
    world.run_ms(5);
    let leader = world.leader().expect("somebody leads");
    assert_eq!(world.committed(leader).len(), 10);
    world.nodes[1 - leader].alive = false;
    world.run_ms(60);
    world.submit(10);
    world.run_ms(60);
    assert_eq!(world.committed(leader).len(), 10, "one is too few");
    world.nodes[1 - leader].alive = true;
    world.settle();
    world.check_all();
}

#[test]
fn a_leader_hands_over_without_a_refusal() {
    let mut world = World::new(3, 11);
    world.run_ms(100);
    world.submit(200);
    let old = world.leader().expect("somebody leads");
    for _ in 0..1_000 {
        if world.nodes[old].replication.is_leading() {
            world.nodes[old].replication.hand_over(true);
        }
        world.step();
    }
    let new = world.leader().expect("somebody leads");
    assert_ne!(new, old);
    world.submit(200);
    world.settle();
    world.check_all();
    assert_eq!(world.nodes[old].replication.counters().stepped_down.get(), 1);
    let epoch = world.register.borrow().value.as_ref().unwrap().epoch;
    assert_eq!(epoch, 2, "one takeover");
}

#[test]
fn a_leader_that_the_register_does_not_answer_goes_on() {
    let mut world = World::new(2, 5);
    world.run_ms(100);
    world.nodes.iter_mut().for_each(|node| node.register.reachable = false);
    world.submit(1_000);
    world.run_ms(50);
    world.check_all();
}

#[test]
fn what_a_standby_heard_from_clients_is_there_when_it_leads() {
    let mut world = World::new(2, 9);
    world.run_ms(100);
    world.submit(10);
    world.run_ms(5);
    let leader = world.leader().expect("somebody leads");
    world.nodes[leader].alive = false;
    world.submit(20);
    world.run_ms(100);
    // The client resends nothing.
    assert_eq!(world.committed(1 - leader).len(), 30);
}

#[test]
fn a_replica_whose_store_came_to_something_else_stops() {
    let mut world = World::new(2, 9);
    let digests: Vec<_> = world.nodes.iter().map(|node| node.digests.clone()).collect();
    world.run_ms(100);
    let leader = world.leader().expect("somebody leads");
    world.submit(30);
    world.run_ms(5);
    let apply = |world: &World, node: usize, sequence: u64, digest: u128| {
        world.nodes[node].progress.applied.set(sequence);
        digests[node].note(sequence, digest);
    };
    apply(&world, leader, 10, 77);
    world.run_ms(1);
    assert_eq!(
        world.nodes[1 - leader].replication.counters().digests_agreed.get(),
        0,
        "it has not come so far"
    );
    apply(&world, 1 - leader, 10, 77);
    world.run_ms(1);
    assert_eq!(world.nodes[1 - leader].replication.counters().digests_agreed.get(), 1);
    apply(&world, 1 - leader, 20, 5);
    apply(&world, leader, 20, 6);
    // It says why before it stops.
    world.run_ms(100);
    let stop = world.nodes[1 - leader].stop.clone().expect("it stops");
    assert!(matches!(stop, ReplicationStop::Diverged { sequence: 20, ours: 5, theirs: 6, .. }), "{stop}");
    assert_eq!(world.nodes[leader].stop, None);
}
