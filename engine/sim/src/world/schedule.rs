//! Whose turn it is, and when.
use crate::node::AgentName;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Somebody with a duty cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// An agent of a node.
    Agent(usize, AgentName),
    Client(usize),
    Feed(usize),
    Listener(usize),
    Reader(usize),
    Stranger,
    Chaos,
}

/// When it is whose turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub turn: Turn,
    pub due_ns: u64,
    /// Duty cycles without work, in a row.
    pub idle: u32,
}

/// Everybody's turns.
#[derive(Default)]
pub(super) struct Schedule {
    slots: Vec<Slot>,
    /// When each is due; an entry that its slot does not agree with is out of date.
    due: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Schedule {
    /// How many have turns.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot with this index.
    pub fn slot(&self, index: usize) -> Slot {
        self.slots[index]
    }

    /// Somebody new.
    pub fn add(&mut self, turn: Turn, due_ns: u64) {
        self.slots.push(Slot { turn, due_ns, idle: 0 });
        self.due.push(Reverse((due_ns, self.slots.len() - 1)));
    }

    /// Who is due first. Whoever it is must be set anew afterwards.
    pub fn next(&mut self) -> usize {
        loop {
            let Reverse((due_ns, index)) = self.due.pop().expect("chaos always has a turn");
            if self.slots[index].due_ns == due_ns {
                return index;
            }
        }
    }

    /// A turn is due at another time.
    pub fn set(&mut self, index: usize, due_ns: u64, idle: u32) {
        let slot = &mut self.slots[index];
        (slot.due_ns, slot.idle) = (due_ns, idle);
        self.due.push(Reverse((due_ns, index)));
    }
}
