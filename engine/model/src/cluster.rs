//! The whole of it: nodes, register and network, and everything that can happen next.
//!
//! [`Protocol`] is the model: a [`Size`], and the rule that is left out, if any. [`Cluster`] is one state of it, [`Action`] one step.
use crate::network::{Entry, Message, Network, Packet};
use crate::node::{ENTRIES_MAX, Leader, Node, SESSIONS_MAX};
use crate::register::{Member, NODES_MAX, Names, Register, Set, Swap, Value, name};
use crate::{Mutation, Size, properties};
use stateright::{Model, Property};
use std::fmt;

/// The protocol within bounds.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The bounds.
    pub size: Size,
    /// The rule left out.
    pub mutation: Option<Mutation>,
}

/// What was ever committed, and by whom; no node knows this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// The messages, in the order of their numbers, as first committed.
    pub messages: Vec<Message>,
    /// For each epoch, from 1, who committed in it.
    pub primaries: Vec<Option<Member>>,
    /// A number was committed again with another message.
    pub changed: bool,
    /// A second primary committed in one epoch.
    pub doubled: bool,
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

/// One step. `node` is whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field says what the step's line says")]
pub enum Action {
    /// The leader takes the next message of a client session.
    Sequence { node: u8, session: u8 },
    /// A node receives a packet.
    Receive { node: u8, packet: Packet },
    /// What a node has written becomes durable.
    Sync { node: u8 },
    /// A standby asks for the takeover.
    TakeOver { node: u8 },
    /// The leader asks for another in-sync set.
    ChangeSet { node: u8, set: Set },
    /// A request arrives at the register.
    Arrive { request: Swap },
    /// The register's answer arrives at the node.
    Answer { node: u8 },
    /// A node reads the register.
    Read { node: u8 },
    /// A node dies and starts again, with so many entries, `whole` if nothing durable is missing.
    Restart { node: u8, kept: u8, whole: bool },
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Sequence { node, session } => {
                write!(to, "{} numbers the next of session {session}", name(node))
            }
            Self::Receive { node, packet } => write!(to, "{} receives {packet}", name(node)),
            Self::Sync { node } => write!(to, "{} syncs", name(node)),
            Self::TakeOver { node } => write!(to, "{} asks for the takeover", name(node)),
            Self::ChangeSet { node, ref set } => write!(to, "{} asks for the set {}", name(node), Names(set)),
            Self::Arrive { request: Swap { by, revision, value, .. } } => {
                let Value { epoch, leader, ref set } = value;
                let (leader, set) = (name(leader), Names(set));
                write!(
                    to,
                    "{by}'s swap of revision {revision} arrives: epoch {epoch}, leader {leader}, set {set}"
                )
            }
            Self::Answer { node } => write!(to, "{} gets the register's answer", name(node)),
            Self::Read { node } => write!(to, "{} reads the register", name(node)),
            Self::Restart { node, kept, whole } => {
                let whole = if whole { "whole" } else { "not whole" };
                write!(to, "{} restarts with {kept} entries, {whole}", name(node))
            }
        }
    }
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

    /// Takes one step. False if it changes nothing, or cannot be taken.
    pub fn step(&self, cluster: &mut Cluster, action: Action) -> bool {
        let changed = match action {
            Action::Sequence { node, session } => self.sequence(cluster, node, session),
            Action::Receive { node, packet } => self.receive(cluster, node, packet),
            Action::Sync { node } => self.sync(cluster, node),
            Action::TakeOver { node } => self.take_over(cluster, node),
            Action::ChangeSet { node, set } => self.change_set(cluster, node, set),
            Action::Arrive { request } => self.arrive(cluster, request),
            Action::Answer { node } => self.answer(cluster, node),
            Action::Read { node } => self.read(cluster, node),
            Action::Restart { node, kept, whole } => self.restart(cluster, node, kept, whole),
        };
        if changed {
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
        node.append(entry, self.size.lag, self.mutation);
        cluster.network.send(node.replication(node.length()));
        self.commit(cluster, index);
        true
    }

    fn receive(&self, cluster: &mut Cluster, index: u8, packet: Packet) -> bool {
        let node = &mut cluster.nodes[index as usize];
        match packet {
            Packet::Replication { epoch, sequence, before, entry } => {
                if !node.replicate(epoch, sequence, before, entry, self.size.lag, self.mutation) {
                    return false;
                }
                self.send_watermark(cluster, index);
                true
            }
            Packet::Watermark { epoch, member, matched, whole_since } => {
                let changed = node.watermark_known(epoch, member, matched, whole_since, self.mutation);
                self.commit(cluster, index);
                changed
            }
            Packet::Committed { epoch, sequence } => node.commit_known(epoch, sequence, self.mutation),
        }
    }

    fn send_watermark(&self, cluster: &mut Cluster, index: u8) {
        let node = &cluster.nodes[index as usize];
        let packet = node.watermark(self.mutation);
        if node.leader.is_none() && !matches!(packet, Packet::Watermark { matched: 0, .. }) {
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
        let history = &mut cluster.history;
        for (place, entry) in node.journal.iter().enumerate().take(may as usize).skip(node.committed as usize)
        {
            match history.messages.get(place) {
                Some(message) => history.changed |= *message != entry.message,
                None => history.messages.push(entry.message),
            }
        }
        node.committed = may;
        let epoch = node.epoch as usize;
        history.primaries.resize(history.primaries.len().max(epoch), None);
        let primary = history.primaries[epoch - 1].get_or_insert(node.member());
        history.doubled |= *primary != node.member();
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
        node.asked = Some(swap);
        register.ask(swap);
        self.commit(cluster, index);
        true
    }

    fn arrive(&self, cluster: &mut Cluster, request: Swap) -> bool {
        let Ok(index) = cluster.register.requests.binary_search(&request) else { return false };
        cluster.register.arrive(index, self.mutation);
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
            node.lead(value.epoch, value.set, revision, self.mutation);
            (1..=node.length()).for_each(|sequence| cluster.network.send(node.replication(sequence)));
        } else if let Some(leader) = node.leader.as_mut().filter(|_| leads && value.epoch == node.epoch) {
            (leader.set, leader.revision) = (value.set, revision);
        } else if node.leader.is_some() {
            node.adopt(value.epoch);
        }
        self.commit(cluster, index);
    }

    fn restart(&self, cluster: &mut Cluster, index: u8, kept: u8, whole: bool) -> bool {
        let Cluster { nodes, register, .. } = cluster;
        let node = &mut nodes[index as usize];
        register.forget(node.member());
        node.restart(kept, whole, register.value.epoch, self.mutation);
        let value = register.value;
        if self.without(Mutation::SameEpoch) && value.leader == index && node.whole(&value.set) {
            let mut set = value.set;
            set[index as usize] = node.incarnation;
            node.lead(value.epoch, set, register.revision, self.mutation);
        }
        true
    }

    /// What can be of no use any more is taken away, so that states that differ in nothing else are one.
    fn tidy(&self, cluster: &mut Cluster) {
        let obeyed = self.without(Mutation::EpochForgotten) || self.without(Mutation::OldEpochObeyed);
        let again = self.without(Mutation::SameEpoch);
        let Cluster { nodes, network, .. } = cluster;
        let oldest = nodes.iter().map(|node| node.epoch).min().unwrap_or(0);
        network.keep(|packet| match packet {
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
            if set[other] > 0 {
                actions.push(with(0));
                if heard.incarnation > set[other] && heard.whole_since <= set[other] {
                    actions.push(with(heard.incarnation));
                }
            } else if heard.incarnation > 0 && node.may_add(heard.matched, self.mutation) {
                actions.push(with(heard.incarnation));
            }
        }
    }

    fn restarts(&self, cluster: &Cluster, node: &Node, actions: &mut Vec<Action>) {
        let lives: u8 = cluster.nodes.iter().map(|node| node.incarnation - 1).sum();
        if lives >= self.size.restarts {
            return;
        }
        let index = node.index;
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
