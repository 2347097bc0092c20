//! The whole of it: nodes, register and network, and everything that can happen next.
//!
//! [`Protocol`] is the model: a [`Size`], and the rule that is left out, if any. [`Cluster`] is one state of it, [`Action`] one step.
use crate::action::Action;
use crate::history::History;
use crate::network::{Entry, Message, Network, Packet, Point};
use crate::node::{ENTRIES_MAX, Leader, Node, Rules, SESSIONS_MAX};
use crate::register::{NODES_MAX, Register, Set, Swap, Value};
use crate::{Mutation, Size, properties};
use stateright::{Model, Property};

/// The protocol within bounds.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The bounds.
    pub size: Size,
    /// The rule left out.
    pub mutation: Option<Mutation>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The nodes, by index.
    pub nodes: Vec<Node>,
    /// Who leads.
    pub register: Register,
    /// What is on its way.
    pub network: Network,
    /// What was committed.
    pub history: History,
}

impl Protocol {
    /// The protocol as it is, or without one rule.
    pub fn new(size: Size, mutation: Option<Mutation>) -> Self {
        assert!(size.nodes <= NODES_MAX && size.sessions.len() <= SESSIONS_MAX);
        Self { size, mutation }
    }

    /// All messages that clients send.
    pub fn messages(&self) -> usize {
        self.size.sessions.iter().map(|count| *count as usize).sum()
    }

    fn without(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What of the protocol is in force.
    pub fn rules(&self) -> Rules {
        Rules { lag: self.size.lag, goes_back: self.size.goes_back(), mutation: self.mutation }
    }

    /// Takes one step. False if it changes nothing, or cannot be taken.
    pub fn step(&self, cluster: &mut Cluster, action: Action) -> bool {
        let up = |node: u8| !cluster.nodes[node as usize].stopped;
        let changed = match action {
            Action::Sequence { node, session } => self.sequence(cluster, node, session),
            Action::Receive { node, packet } => up(node) && self.receive(cluster, node, packet),
            Action::Sync { node } => up(node) && self.sync(cluster, node),
            Action::TakeOver { node } => up(node) && self.take_over(cluster, node),
            Action::ChangeSet { node, set } => self.change_set(cluster, node, set),
            Action::Arrive { request } => self.arrive(cluster, request),
            Action::Answer { node } => self.answer(cluster, node),
            Action::Read { node } => self.read(cluster, node),
            Action::Restart { node, kept, whole } => self.restart(cluster, node, kept, whole),
            Action::Force { node } => self.force(cluster, node),
            Action::Copy { node } => {
                let node = &mut cluster.nodes[node as usize];
                node.copy = Some(Box::new(node.copied()));
                true
            }
            Action::RollBack { node } => self.roll_back(cluster, node),
        };
        if changed {
            self.show_unverified(cluster);
            self.tidy(cluster);
        }
        changed
    }

    fn sequence(&self, cluster: &mut Cluster, index: u8, session: u8) -> bool {
        let node = &mut cluster.nodes[index as usize];
        let Some(leader) = &mut node.leader else { return false };
        let newest = &mut leader.table[session as usize];
        if *newest >= self.size.sessions[session as usize] || node.journal.len() == ENTRIES_MAX {
            return false;
        }
        *newest += 1;
        let entry = Entry { epoch: node.epoch, message: Message { session, number: *newest } };
        node.append(entry, self.rules());
        cluster.network.send(node.replication(node.length()));
        self.commit(cluster, index);
        true
    }

    fn receive(&self, cluster: &mut Cluster, index: u8, packet: Packet) -> bool {
        let rules = self.rules();
        let node = &mut cluster.nodes[index as usize];
        match packet {
            Packet::Replication { epoch, before, entry, .. } => {
                if !node.replicate(epoch, before, entry, rules) {
                    return false;
                }
                self.send_watermark(cluster, index);
                true
            }
            Packet::Watermark { epoch, member, matched, whole_since, shown } => {
                let changed =
                    epoch == node.epoch && node.watermark_known(member, matched, whole_since, shown, rules);
                let contradicts = |leader: &Leader| leader.heard[member.node as usize].contradicts && changed;
                if node.leader.as_ref().is_some_and(contradicts) {
                    cluster.network.send(Packet::Contradiction { epoch, member });
                }
                self.commit(cluster, index);
                changed
            }
            Packet::Contradiction { epoch, member } => {
                if epoch != node.epoch || member != node.member() || node.leader.is_some() {
                    return false;
                }
                (node.stopped, node.asked) = (true, None);
                cluster.register.forget(member);
                true
            }
            Packet::Committed { epoch, sequence } => node.commit_known(epoch, sequence, rules),
        }
    }

    /// Who has shown what its leader has not confirmed yet says so, again and again.
    fn show_unverified(&self, cluster: &mut Cluster) {
        if !self.size.goes_back() {
            return;
        }
        for index in 0..cluster.nodes.len() {
            let node = &cluster.nodes[index];
            if !node.stopped && node.committed > node.matched {
                self.send_watermark(cluster, index as u8);
            }
        }
    }

    fn send_watermark(&self, cluster: &mut Cluster, index: u8) {
        let node = &cluster.nodes[index as usize];
        let packet = node.watermark(self.rules());
        let says_nothing =
            matches!(packet, Packet::Watermark { matched: 0, shown: Point { sequence: 0, .. }, .. });
        if node.leader.is_none() && !says_nothing {
            cluster.network.send(packet);
        }
    }

    fn sync(&self, cluster: &mut Cluster, index: u8) -> bool {
        let node = &mut cluster.nodes[index as usize];
        if node.durable == node.length() {
            return false;
        }
        node.durable = node.length();
        self.send_watermark(cluster, index);
        self.commit(cluster, index);
        true
    }

    /// What the leader may commit is committed, and shown.
    fn commit(&self, cluster: &mut Cluster, index: u8) {
        let node = &mut cluster.nodes[index as usize];
        let may = node.may_commit(self.mutation);
        if may <= node.committed {
            return;
        }
        cluster.history.commit(node, may);
        node.committed = may;
        cluster.network.send(Packet::Committed { epoch: node.epoch, sequence: may });
    }

    fn take_over(&self, cluster: &mut Cluster, index: u8) -> bool {
        let Cluster { nodes, register, .. } = cluster;
        let node = &mut nodes[index as usize];
        let value = register.value;
        let member = node.whole(&value.set) || self.without(Mutation::LearnerLeads);
        if !member || node.leader.is_some() || node.asked.is_some() {
            return false;
        }
        let mut set = value.set;
        set[value.leader as usize] = 0;
        set[index as usize] = node.incarnation;
        let value = Value { epoch: value.epoch + 1, leader: index, set };
        let swap =
            Swap { by: node.member(), revision: register.revision, epoch: register.value.epoch, value };
        node.asked = Some(swap);
        register.ask(swap);
        true
    }

    fn change_set(&self, cluster: &mut Cluster, index: u8, set: Set) -> bool {
        let Cluster { nodes, register, .. } = cluster;
        let node = &mut nodes[index as usize];
        let Some(leader) = node.leader.as_ref().filter(|_| node.asked.is_none()) else { return false };
        let value = Value { epoch: node.epoch, leader: index, set };
        let swap = Swap { by: node.member(), revision: leader.revision, epoch: node.epoch, value };
        let before = leader.set;
        node.asked = Some(swap);
        register.ask(swap);
        cluster.history.propose(&cluster.nodes, index, &before, &set);
        self.commit(cluster, index);
        true
    }

    fn arrive(&self, cluster: &mut Cluster, request: Swap) -> bool {
        let Ok(index) = cluster.register.requests.binary_search(&request) else { return false };
        let Value { epoch, set: before, .. } = cluster.register.value;
        cluster.register.arrive(index, self.mutation);
        let value = cluster.register.value;
        if value.epoch > epoch {
            cluster.history.take_over(value.epoch, &cluster.nodes[value.leader as usize]);
        }
        for node in &mut cluster.nodes {
            let place = node.index as usize;
            if before[place] == 0 && value.set[place] == node.incarnation {
                // It was added, so it has everything again.
                node.had = 0;
            }
        }
        // An answer to a life that is over reaches nobody.
        let nodes = &cluster.nodes;
        cluster.register.answers.retain(|swap| {
            let node = &nodes[swap.by.node as usize];
            node.member() == swap.by && node.asked == Some(*swap)
        });
        true
    }

    fn answer(&self, cluster: &mut Cluster, index: u8) -> bool {
        let node = &mut cluster.nodes[index as usize];
        let Some(swap) = cluster.register.answer(node.member()) else { return false };
        node.asked = None;
        self.learn(cluster, index, swap.value, swap.revision + 1);
        true
    }

    /// A node reads the register. While it has the revision that a request names, the request may still happen: nothing is concluded.
    fn read(&self, cluster: &mut Cluster, index: u8) -> bool {
        let Cluster { nodes, register, .. } = cluster;
        let node = &mut nodes[index as usize];
        let moved = node
            .asked
            .is_some_and(|swap| swap.revision < register.revision || self.without(Mutation::SilenceIsNo));
        let deposed = node.leader.is_some() && node.epoch < register.value.epoch;
        if !moved && !deposed {
            return false;
        }
        if moved {
            node.asked = None;
            register.forget(node.member());
        }
        let (value, revision) = (register.value, register.revision);
        self.learn(cluster, index, value, revision);
        true
    }

    /// A node learns that the register held `value` at `revision`.
    fn learn(&self, cluster: &mut Cluster, index: u8, value: Value, revision: u8) {
        let node = &mut cluster.nodes[index as usize];
        let leads = value.leader == index && value.set[index as usize] == node.incarnation;
        if leads && value.epoch > node.epoch {
            if value.epoch == cluster.register.value.epoch {
                cluster.history.take_over(value.epoch, node);
            }
            node.lead(value.epoch, value.set, revision, self.mutation);
            (1..=node.length()).for_each(|sequence| cluster.network.send(node.replication(sequence)));
        } else if let Some(leader) = node.leader.as_mut().filter(|_| leads && value.epoch == node.epoch) {
            (leader.set, leader.revision) = (value.set, revision);
        } else if node.leader.is_some() {
            node.adopt(value.epoch, self.rules());
        }
        self.commit(cluster, index);
    }

    fn restart(&self, cluster: &mut Cluster, index: u8, kept: u8, whole: bool) -> bool {
        let Cluster { nodes, register, .. } = cluster;
        let node = &mut nodes[index as usize];
        register.forget(node.member());
        node.restart(kept, whole, register.value.epoch, self.rules());
        let value = register.value;
        if self.without(Mutation::SameEpoch) && value.leader == index && node.whole(&value.set) {
            let mut set = value.set;
            set[index as usize] = node.incarnation;
            node.lead(value.epoch, set, register.revision, self.mutation);
        }
        true
    }

    fn roll_back(&self, cluster: &mut Cluster, index: u8) -> bool {
        let Cluster { nodes, register, history, .. } = cluster;
        let node = &mut nodes[index as usize];
        let Value { epoch, set, .. } = register.value;
        register.forget(node.member());
        history.rolled_back += 1;
        node.roll_back(set[index as usize], epoch, self.rules())
    }

    /// `gds force-lead`: a new life, whole by declaration, and the register swapped to it alone, in a new epoch. It leads by a takeover (R8).
    fn force(&self, cluster: &mut Cluster, index: u8) -> bool {
        let Cluster { nodes, register, history, .. } = cluster;
        let node = &mut nodes[index as usize];
        if node.whole(&register.value.set) {
            return false;
        }
        register.forget(node.member());
        let epoch = register.value.epoch + 1;
        node.force(epoch, self.rules());
        let mut set = [0; NODES_MAX];
        set[index as usize] = node.incarnation;
        register.force(Value { epoch, leader: index, set });
        history.forced += 1;
        history.branch(epoch, node);
        true
    }

    /// What can be of no use any more is taken away, so that states that differ in nothing else are one.
    fn tidy(&self, cluster: &mut Cluster) {
        let obeyed = self.without(Mutation::EpochForgotten) || self.without(Mutation::OldEpochObeyed);
        let again = self.without(Mutation::SameEpoch);
        let Cluster { nodes, network, .. } = cluster;
        let up = nodes.iter().filter(|node| !node.stopped);
        let oldest = up.map(|node| node.epoch).min().unwrap_or(u8::MAX);
        network.keep(|packet| match packet {
            Packet::Contradiction { epoch, member } => {
                let node = &nodes[member.node as usize];
                !node.stopped && node.lives <= member.incarnation && node.epoch <= *epoch
            }
            // Nobody but the leader of that epoch wants it, and who has led an epoch once never does again.
            Packet::Watermark { epoch, .. } => {
                again || nodes.iter().any(|node| node.leader.is_some() && node.epoch == *epoch)
            }
            _ => obeyed || packet.epoch() >= oldest,
        });
    }

    fn set_changes(&self, node: &Node, actions: &mut Vec<Action>) {
        let Some(Leader { set, revision, heard, .. }) = &node.leader else { return };
        if node.asked.is_some() || *revision >= self.size.revisions {
            return;
        }
        for other in (0..self.size.nodes).filter(|other| *other != node.index as usize) {
            let with = |incarnation| {
                let mut changed = *set;
                changed[other] = incarnation;
                Action::ChangeSet { node: node.index, set: changed }
            };
            let heard = &heard[other];
            let held = heard.contradicts && !self.without(Mutation::ContradictionRemoved);
            if set[other] > 0 && held {
                // What the register calls in sync has shown something else: the leader commits nothing until a person decides (R23).
            } else if set[other] > 0 {
                actions.push(with(0));
                if heard.incarnation > set[other] && heard.whole_since <= set[other] {
                    actions.push(with(heard.incarnation));
                }
            } else if heard.incarnation > 0 && node.may_add(heard, self.mutation) {
                actions.push(with(heard.incarnation));
            }
        }
    }

    fn restarts(&self, cluster: &Cluster, node: &Node, actions: &mut Vec<Action>) {
        let History { forced, rolled_back, .. } = cluster.history;
        let index = node.index;
        if forced < self.size.forced {
            actions.push(Action::Force { node: index });
        }
        if rolled_back < self.size.rollbacks {
            let copies = cluster.nodes.iter().filter(|node| node.copy.is_some()).count() as u8;
            let copied = node.copy.is_some();
            if copied {
                actions.push(Action::RollBack { node: index });
            } else if copies + rolled_back < self.size.rollbacks {
                actions.push(Action::Copy { node: index });
            }
        }
        let lives: u8 = cluster.nodes.iter().map(|node| node.lives - 1).sum();
        if lives.saturating_sub(forced + rolled_back) >= self.size.restarts {
            return;
        }
        if node.stopped {
            // A person sets its directory aside.
            actions.push(Action::Restart { node: index, kept: 0, whole: false });
        }
        actions.extend((node.durable..=node.length()).map(|kept| Action::Restart {
            node: index,
            kept,
            whole: true,
        }));
        if self.size.loss {
            actions.extend((0..node.durable).map(|kept| Action::Restart { node: index, kept, whole: false }));
        }
    }
}

impl Model for Protocol {
    type State = Cluster;
    type Action = Action;

    fn init_states(&self) -> Vec<Cluster> {
        let register = Register::new(self.size.nodes - self.size.learners);
        let mut nodes: Vec<Node> = (0..self.size.nodes).map(|index| Node::new(index as u8)).collect();
        nodes[0].lead(1, register.value.set, register.revision, self.mutation);
        vec![Cluster { nodes, register, network: Network::default(), history: History::default() }]
    }

    fn actions(&self, cluster: &Cluster, actions: &mut Vec<Action>) {
        let register = &cluster.register;
        actions.extend(register.requests.iter().map(|request| Action::Arrive { request: *request }));
        let may_take_over =
            register.value.epoch < self.size.epochs && register.revision < self.size.revisions;
        for node in &cluster.nodes {
            let index = node.index;
            if node.leader.is_some() {
                let sessions = 0..self.size.sessions.len() as u8;
                actions.extend(sessions.map(|session| Action::Sequence { node: index, session }));
            }
            if may_take_over {
                actions.push(Action::TakeOver { node: index });
            }
            actions.extend([
                Action::Sync { node: index },
                Action::Answer { node: index },
                Action::Read { node: index },
            ]);
            self.set_changes(node, actions);
            self.restarts(cluster, node, actions);
            let packets = cluster.network.packets().iter();
            actions.extend(packets.map(|packet| Action::Receive { node: index, packet: *packet }));
        }
    }

    fn next_state(&self, cluster: &Cluster, action: Action) -> Option<Cluster> {
        let mut next = cluster.clone();
        self.step(&mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}
