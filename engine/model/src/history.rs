//! What was ever committed, and by whom.
//!
//! A forced lead begins another branch of it, and so does the lead of a node that went back: behind what that node has, numbers may be given
//! again. Each branch is judged by itself. Epochs say which branch is meant, since the register gives them in one order.
use crate::network::Message;
use crate::node::Node;
use crate::register::{Member, Set};

/// What was committed from one epoch on, with all that was committed before and stayed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    /// The epoch it begins with.
    pub epoch: u8,
    /// The messages, in the order of their numbers, as first committed.
    pub messages: Vec<Message>,
}

/// What was ever committed, and by whom; no node knows this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// The oldest one first.
    pub branches: Vec<Branch>,
    /// For each epoch, from 1, who committed in it.
    pub primaries: Vec<Option<Member>>,
    /// A number was committed again with another message.
    pub changed: bool,
    /// A second primary committed in one epoch.
    pub doubled: bool,
    /// A node was to be added to the set that has shown what the leader does not have.
    pub admitted: bool,
    /// Leads that were forced.
    pub forced: u8,
    /// Nodes that went back to a copy.
    pub rolled_back: u8,
}

impl Default for History {
    fn default() -> Self {
        let branches = vec![Branch { epoch: 1, messages: Vec::new() }];
        Self {
            branches,
            primaries: Vec::new(),
            changed: false,
            doubled: false,
            admitted: false,
            forced: 0,
            rolled_back: 0,
        }
    }
}

impl History {
    /// What was committed in the newest branch.
    pub fn messages(&self) -> &[Message] {
        self.branches.last().map_or(&[], |branch| &branch.messages)
    }

    /// Whether any node went back, or was forced to lead, yet.
    pub fn went_back(&self) -> bool {
        self.forced + self.rolled_back > 0
    }

    /// The place of the branch that `epoch` belongs to.
    fn of(&self, epoch: u8) -> usize {
        self.branches.iter().rposition(|branch| branch.epoch <= epoch).unwrap_or(0)
    }

    /// The first entries of `node`, so many, are committed in the branch of `epoch`.
    fn extend(&mut self, epoch: u8, node: &Node, entries: u8) {
        let branch = self.of(epoch);
        let messages = &mut self.branches[branch].messages;
        for (place, entry) in node.journal.iter().enumerate().take(entries as usize) {
            match messages.get(place) {
                Some(message) => self.changed |= *message != entry.message,
                None => messages.push(entry.message),
            }
        }
    }

    /// The leader `node` commits its entries up to `may`.
    pub fn commit(&mut self, node: &Node, may: u8) {
        self.extend(node.epoch, node, may);
        let epoch = node.epoch as usize;
        self.primaries.resize(self.primaries.len().max(epoch), None);
        let primary = self.primaries[epoch - 1].get_or_insert(node.member());
        self.doubled |= *primary != node.member();
    }

    /// `leader` takes `epoch`, or begins to lead in it. If it went back, and has less than it ever had, another branch begins; what was
    /// committed without it, it must have. What it has shown stays.
    pub fn take_over(&mut self, epoch: u8, leader: &Node) {
        let newest = self.messages().len();
        let begins = self.branches.last().is_some_and(|branch| branch.epoch == epoch);
        if begins || leader.length() < leader.had && newest <= leader.had as usize {
            self.branch(epoch, leader);
        }
        self.extend(epoch, leader, leader.committed);
    }

    /// From the newest epoch on what `leader` has counts: what it lacks may be given another number, or never one again.
    pub fn branch(&mut self, epoch: u8, leader: &Node) {
        if self.branches.last().is_some_and(|branch| branch.epoch == epoch) && self.branches.len() > 1 {
            self.branches.pop();
        }
        let own = leader.journal.iter().map(|entry| entry.message);
        let common = self.messages().iter().zip(own).take_while(|(committed, own)| *committed == own);
        let messages = common.map(|(committed, _)| *committed).collect();
        self.branches.push(Branch { epoch, messages });
        self.extend(epoch, leader, leader.committed);
    }

    /// The leader at place `index` proposes `set` instead of `before`.
    pub fn propose(&mut self, nodes: &[Node], index: u8, before: &Set, set: &Set) {
        let leader = &nodes[index as usize];
        self.admitted |= nodes.iter().filter(|node| node.epoch == leader.epoch).any(|node| {
            let place = node.index as usize;
            set[place] == node.incarnation && before[place] != set[place] && node.contradicts(leader)
        });
    }
}
