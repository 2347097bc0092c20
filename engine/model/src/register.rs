//! The register: epoch, leader and in-sync set, swapped as a whole and compared by revision.
//!
//! A node asks for a [`Swap`] and waits. The request may reach the register at any time or never; if the revision is still the one it names,
//! the register takes the new value and holds the answer, which the node may get at any time or never. A node may also read.
use crate::Mutation;
use std::fmt;

/// Most nodes of a cluster.
pub const NODES_MAX: usize = 3;

/// A node and its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Which node, from 0.
    pub node: u8,
    /// Which life of it, from 1.
    pub incarnation: u8,
}

/// The in-sync set: each node's incarnation in it, 0 for none.
pub type Set = [u8; NODES_MAX];

/// What a node is called: A, B, C.
pub fn name(node: u8) -> char {
    (b'A' + node) as char
}

impl fmt::Display for Member {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}{}", name(self.node), self.incarnation)
    }
}

/// A set as its members: `{A1 B2}`.
pub struct Names<'set>(pub &'set Set);

impl fmt::Display for Names<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = (0..).zip(self.0).filter(|(_, incarnation)| **incarnation > 0);
        let names: Vec<String> =
            members.map(|(node, &incarnation)| Member { node, incarnation }.to_string()).collect();
        write!(to, "{{{}}}", names.join(" "))
    }
}

/// What the register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The newest epoch, from 1.
    pub epoch: u8,
    /// The node that leads in it; its incarnation is the one in the set.
    pub leader: u8,
    /// The in-sync set, the leader included.
    pub set: Set,
}

/// A swap that a node asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Swap {
    /// Who asked.
    pub by: Member,
    /// The revision that the register must have.
    pub revision: u8,
    /// The epoch in that revision.
    pub epoch: u8,
    /// The new value.
    pub value: Value,
}

/// The register, with the requests and answers under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    /// Grows by one with each swap.
    pub revision: u8,
    /// What it holds.
    pub value: Value,
    /// Requests that have not reached it, in order of their fields.
    pub requests: Vec<Swap>,
    /// Swaps that happened and whose answers have not reached the node.
    pub answers: Vec<Swap>,
}

impl Register {
    /// The register of a new cluster: epoch 1, node 0 leads, the first `members` nodes are in sync.
    pub fn new(members: usize) -> Self {
        let mut set = [0; NODES_MAX];
        set[..members].fill(1);
        let value = Value { epoch: 1, leader: 0, set };
        Self { revision: 1, value, requests: Vec::new(), answers: Vec::new() }
    }

    /// A node asks for a swap.
    pub fn ask(&mut self, swap: Swap) {
        if let Err(place) = self.requests.binary_search(&swap) {
            self.requests.insert(place, swap);
        }
    }

    /// Request number `index` arrives: the swap happens if the register is as the request says.
    pub fn arrive(&mut self, index: usize, mutation: Option<Mutation>) -> bool {
        let swap = self.requests.remove(index);
        let same = match mutation {
            Some(Mutation::RegisterByEpoch) => swap.epoch == self.value.epoch,
            _ => swap.revision == self.revision,
        };
        if !same {
            return false;
        }
        self.revision += 1;
        self.value = swap.value;
        if let Err(place) = self.answers.binary_search(&swap) {
            self.answers.insert(place, swap);
        }
        if mutation != Some(Mutation::RegisterByEpoch) {
            // What names an older revision can never happen any more: it changes nothing, so it need not be kept.
            self.requests.retain(|other| other.revision >= self.revision);
        }
        true
    }

    /// A person swaps it, having read it before.
    pub fn force(&mut self, value: Value) {
        self.revision += 1;
        self.value = value;
        self.requests.retain(|other| other.revision >= self.revision);
    }

    /// The answer to what `member` asked, if it has arrived.
    pub fn answer(&mut self, member: Member) -> Option<Swap> {
        let place = self.answers.iter().position(|swap| swap.by == member)?;
        Some(self.answers.remove(place))
    }

    /// Nobody waits for answers to `member` any more.
    pub fn forget(&mut self, member: Member) {
        self.answers.retain(|swap| swap.by != member);
    }
}
