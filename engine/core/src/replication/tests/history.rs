//! Nodes that have gone back in time: found, told, and never followed or counted (R20 to R24).
use super::*;
use gds_wire::replication::{Abilities, ContradictionKind, Prefix, Sender, Watermark};

/// The first entries of a node's log, and that all of them have been shown.
fn log_of(node: &Node, last: u64) -> Log {
    let (mut reader, mut bytes, mut entries) = (node.ring.reader(1), [0; 2_000], Vec::new());
    while let Read::Message { epoch, length, .. } = reader.read(last, &mut bytes) {
        entries.push((epoch, bytes[..length].to_vec()));
    }
    (entries, last)
}

impl World {
    /// The node starts again with this log, in a life that is whole by declaration or not.
    fn start_with(&mut self, index: usize, log: &Log, whole: bool) {
        let life = Life::next(Some(self.nodes[index].life), whole);
        let (count, now) = (self.nodes.len(), at_us(self.now_us));
        self.nodes[index] = node(index, count, &self.register, now, life, log);
    }

    /// A person makes a node that is down lead next, with this log.
    fn force(&mut self, index: usize, log: &Log) {
        let incarnation = self.nodes[index].life.incarnation + 1;
        let life = Life { incarnation, whole_since: incarnation };
        let node = NodeId(index as u8 + 1);
        let mut state = self.register.borrow_mut();
        let epoch = state.value.as_ref().expect("a cluster").epoch + 1;
        let set = Set::of(Member { node, incarnation });
        let value = RegisterValue { set, epoch, leader: node, ..state.value.clone().expect("a cluster") };
        *state = RegisterState { revision: state.revision + 1, value: Some(value) };
        drop(state);
        self.nodes[index].life = life;
        self.start_with(index, log, true);
    }

    fn kill_all(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.alive = false);
        self.run_ms(5);
    }

    fn alarm(&self, leader: usize, of: usize) -> (u64, u64) {
        let mut peers = self.nodes[leader].replication.peer_counters();
        let (_, shown) = peers.find(|(node, _)| usize::from(node.0) == of + 1).expect("a peer");
        (shown.differs_at.get(), shown.differs_how.get())
    }

    fn is_in_set(&self, index: usize) -> bool {
        let member =
            Member { node: NodeId(index as u8 + 1), incarnation: self.nodes[index].life.incarnation };
        self.register.borrow().value.as_ref().is_some_and(|value| value.set.has(member))
    }
}

/// A cluster that has shown so many entries everywhere, and is down; the log.
fn went_down(count: usize, submitted: u64, seed: u64) -> (World, Log) {
    let mut world = World::new(count, seed);
    world.run_ms(100);
    world.submit(submitted);
    world.run_ms(10);
    world.check_all();
    let last = world.nodes[0].progress.committed.get();
    let log = log_of(&world.nodes[0], last);
    world.kill_all();
    (world, log)
}

fn contradicts(node: &Node, at: u64, how: ContradictionKind) -> bool {
    let Some(stop) = &node.stop else { return false };
    matches!(stop, ReplicationStop::Contradiction { sequence, kind, .. } if *sequence == at && *kind == how)
}

#[test]
fn a_node_forced_behind_others_is_not_followed() {
    for seed in 0..10 {
        let (mut world, log) = went_down(3, 50, seed);
        world.loss_percent = 5;
        let last = log.1;
        world.force(0, &(log.0[..20].to_vec(), 20));
        world.run_ms(30);
        assert_eq!(world.leader(), Some(0));
        for replica in [1, 2] {
            world.start_with(replica, &log, true);
        }
        world.run_ms(400);
        for replica in [1, 2] {
            let node = &world.nodes[replica];
            assert!(contradicts(node, last, ContradictionKind::Lacks), "seed {seed}: {:?}", node.stop);
            assert_eq!(node.progress.committed.get(), last, "it shows nothing more");
            assert_eq!(world.alarm(0, replica), (last, u64::from(b'L')));
            assert!(!world.is_in_set(replica));
        }
        assert_eq!(world.nodes[0].stop, None, "it has no evidence of its own");
    }
}

#[test]
fn a_leader_that_has_given_numbers_anew_is_not_followed_either() {
    for seed in 0..10 {
        let (mut world, log) = went_down(3, 50, seed);
        let last = log.1;
        world.force(0, &(log.0[..20].to_vec(), 20));
        world.run_ms(30);
        world.submit(100);
        (1..=world.submitted).for_each(|number| world.resend(number));
        world.run_ms(10);
        assert!(world.nodes[0].progress.committed.get() > last);
        for replica in [1, 2] {
            world.start_with(replica, &log, true);
        }
        world.run_ms(400);
        for replica in [1, 2] {
            let node = &world.nodes[replica];
            assert!(contradicts(node, last, ContradictionKind::Differs), "seed {seed}: {:?}", node.stop);
            assert_eq!(log_of(node, last), log, "its log is as it was");
            assert_eq!(world.alarm(0, replica), (last, u64::from(b'D')));
            assert!(!world.is_in_set(replica));
        }
    }
}

#[test]
fn a_node_forced_with_the_most_is_followed() {
    let (mut world, log) = went_down(3, 50, 4);
    world.force(0, &log);
    world.run_ms(30);
    // One is behind, the other does not know how much of what it has was shown.
    world.start_with(1, &(log.0[..30].to_vec(), 25), false);
    world.start_with(2, &(log.0.clone(), 40), false);
    world.submit(20);
    world.settle();
    world.check_all();
    for replica in [1, 2] {
        assert_eq!(world.alarm(0, replica), (0, 0));
    }
}

#[test]
fn a_restored_copy_that_leads_alone_is_found_by_those_who_come_back() {
    let (mut world, log) = went_down(2, 60, 8);
    let register = world.register.borrow().value.clone().expect("a cluster");
    let leader = usize::from(register.leader.0) - 1;
    // It believes that nothing is missing, and nobody is there who knows better.
    world.start_with(leader, &(log.0[..40].to_vec(), 40), true);
    world.run_ms(200);
    assert_eq!(world.leader(), Some(leader));
    world.submit(60);
    world.run_ms(50);
    world.start_with(1 - leader, &log, true);
    world.run_ms(400);
    let other = &world.nodes[1 - leader];
    assert!(matches!(other.stop, Some(ReplicationStop::Contradiction { .. })), "{:?}", other.stop);
    assert_eq!(log_of(other, log.1), log);
    assert!(!world.is_in_set(1 - leader));
    assert_ne!(world.alarm(leader, 1 - leader), (0, 0));
}

#[test]
fn a_log_that_was_set_aside_is_learnt_anew_and_the_alarm_ends() {
    let (mut world, log) = went_down(2, 50, 6);
    world.force(0, &(log.0[..20].to_vec(), 20));
    world.run_ms(30);
    world.start_with(1, &log, true);
    world.run_ms(200);
    assert_ne!(world.alarm(0, 1), (0, 0));
    world.start_with(1, &Log::default(), false);
    world.settle();
    world.check_all();
    assert_eq!(world.alarm(0, 1), (0, 0));
}

#[test]
fn watermarks_beyond_the_leaders_log_count_for_nothing() {
    let mut world = World::new(2, 3);
    world.run_ms(100);
    world.submit(10);
    world.run_ms(10);
    let leader = world.leader().expect("somebody leads");
    let other = 1 - leader;
    world.nodes[other].alive = false;
    let before = world.nodes[leader].progress.committed.get();
    let (epoch, incarnation) = (world.nodes[leader].replication.epoch(), world.nodes[other].life.incarnation);
    let sender = Sender { node: other as u8 + 1, stream: STREAM, epoch, incarnation };
    for (matched, shown, chain) in
        [(u64::MAX, 0, 0), (0, u64::MAX, 0), (before, before, 1), (before + 100, 0, 0)]
    {
        let abilities = Abilities::UNLIMITED;
        let (last, applied) = (matched, shown);
        let watermark =
            Watermark { sender, whole_since: incarnation, matched, last, applied, shown, chain, abilities };
        world.nodes[leader].port.inbox.push_back((at(other, 1), watermark.to_bytes().to_vec()));
        world.submit(1);
    }
    assert_eq!(world.nodes[leader].progress.committed.get(), before, "what it says commits nothing");
    world.run_ms(10);
    assert_ne!(world.alarm(leader, other), (0, 0));
    assert_eq!(world.nodes[leader].replication.counters().contradictions.get(), 1);
}

#[test]
fn what_a_leader_said_earlier_stops_nobody() {
    let mut world = World::new(2, 5);
    world.run_ms(100);
    world.submit(10);
    let leader = world.leader().expect("somebody leads");
    // Whatever the leader sends now comes once more, much later, to a replica that has just been started.
    world.run_ms(3);
    let late: Vec<_> = world.flying.iter().cloned().collect();
    world.submit(50);
    world.run_ms(10);
    let other = 1 - leader;
    let log = log_of(&world.nodes[other], world.nodes[other].progress.committed.get());
    world.start_with(other, &log, true);
    for (_, to, from, datagram) in late {
        world.flying.push_back((world.now_us, to, from, datagram));
    }
    world.settle();
    world.check_all();
}

#[test]
fn a_declaration_waits_for_members_that_cannot_apply_it() {
    let mut world = World::new(2, 7);
    for node in &mut world.nodes {
        node.replication.set_abilities(Abilities { records_max: 0, ..Abilities::UNLIMITED });
    }
    world.run_ms(100);
    world.submit(10);
    world.run_ms(10);
    let leader = world.leader().expect("somebody leads");
    let last = world.nodes[leader].progress.committed.get();
    world.nodes[leader].replication.set_declaration(declaration(200, None));
    world.run_ms(20);
    let waits_for = &world.nodes[leader].replication.counters().declaration_waits_for;
    assert_eq!((waits_for.get(), world.nodes[leader].progress.committed.get()), (2 - leader as u64, last));
    world.submit(5);
    world.nodes[1 - leader].replication.set_abilities(Abilities::UNLIMITED);
    world.run_ms(20);
    let waits_for = &world.nodes[leader].replication.counters().declaration_waits_for;
    assert_eq!((waits_for.get(), world.nodes[leader].progress.committed.get()), (0, last + 6));
}

#[test]
fn a_new_life_of_a_member_comes_in_once_what_it_has_shown_was_compared() {
    for seed in 0..10 {
        let (mut world, log) = went_down(3, 60, seed);
        let leader = usize::from(world.register.borrow().value.as_ref().expect("a cluster").leader.0) - 1;
        let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
        // The leader has gone back and given numbers again when a member comes back that knows better and passes for whole.
        world.start_with(leader, &(log.0[..40].to_vec(), 40), true);
        world.start_with(others[0], &(log.0[..40].to_vec(), 40), true);
        world.run_ms(5);
        (1..=world.submitted).for_each(|number| world.resend(number));
        world.start_with(others[1], &log, true);
        world.run_ms(400);
        assert!(!world.is_in_set(others[1]), "seed {seed}");
        let stop = &world.nodes[others[1]].stop;
        assert!(matches!(stop, Some(ReplicationStop::Contradiction { .. })), "seed {seed}: {stop:?}");
        // A forged word of it in an impossible life changes nothing.
        let alarm = world.alarm(leader, others[1]);
        let epoch = world.nodes[leader].replication.epoch();
        let sender = Sender { node: others[0] as u8 + 1, stream: STREAM, epoch, incarnation: u64::MAX };
        let (incarnation, sequence, last, chain, kind) = (0, 1, 1, 1, ContradictionKind::Differs);
        let forged =
            gds_wire::replication::Contradiction { sender, incarnation, sequence, last, chain, kind };
        world.nodes[leader].port.inbox.push_back((at(others[0], 1), forged.to_bytes().to_vec()));
        world.run_ms(10);
        assert_eq!((world.alarm(leader, others[1]), world.alarm(leader, others[0])), (alarm, (0, 0)));
    }
}

#[test]
fn a_number_to_compare_at_that_is_wrong_does_no_harm_beyond_the_next_packet() {
    let mut world = World::new(2, 11);
    world.run_ms(100);
    world.submit(20);
    world.run_ms(10);
    let leader = world.leader().expect("somebody leads");
    let other = 1 - leader;
    let epoch = world.nodes[leader].replication.epoch();
    let incarnation = world.nodes[leader].life.incarnation;
    let next = world.nodes[leader].progress.sequenced.get() + 1;
    let prefix = Prefix {
        node: leader as u8 + 1,
        epoch,
        incarnation,
        before: epoch,
        compared: u64::MAX,
        ..Prefix::default()
    };
    let forged = gds_wire::replication::heartbeat(STREAM, next, &prefix);
    world.nodes[other].group.inbox.push_back((at(leader, 1), forged.to_vec()));
    world.run_ms(500);
    // The stores' agents are played here: what the leader has named is what both are asked for.
    let last = world.nodes[leader].progress.committed.get();
    for node in [leader, other] {
        world.nodes[node].progress.applied.set(last);
        assert!(world.nodes[node].digests.lacks(last), "node {node} is not asked for it");
        world.nodes[node].digests.note(last, 5);
    }
    world.run_ms(500);
    assert!(world.nodes[other].replication.counters().digests_agreed.get() > 0);
    // Heartbeats have no entries, and nothing is wrong with them.
    assert_eq!(world.nodes[other].replication.counters().unfit.get(), 0);
}
