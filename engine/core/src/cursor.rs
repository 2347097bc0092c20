//! Positions that agents show each other.
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one agent advances and others watch, alone on its cache lines (two: adjacent lines are fetched in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cursor(AtomicU64);

impl Cursor {
    /// A cursor that starts at `value`.
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// What the owner last set; everything it wrote before that is visible.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Only the owner calls this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// How far each part of the node has come with the bus stream. Each field is the number of the last message for which it holds
/// (0: none yet) and has one owner.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sequenced into the ring. Owner: sequencer.
    pub sequenced: Cursor,
    /// Handed to the journal's files, whether or not they are synced. Owner: journal.
    pub journalled: Cursor,
    /// Known to survive what the stream's durability says the journal must survive. Owner: journal.
    pub durable: Cursor,
    /// The journal has room for every message up to this number, whatever their sizes. Owner: journal.
    pub reserved: Cursor,
    /// 1 while the journal finds no room for another segment. Owner: journal.
    pub full: Cursor,
    /// Committed: may be applied, published, acknowledged and answered. Owner: sequencer.
    pub committed: Cursor,
    /// Applied by the store; queries see exactly this state. Owner: store.
    pub applied: Cursor,
    /// Published to the stream's group at least once. Owner: publisher.
    pub published: Cursor,
    /// The end of the stream, once it has been applied: nothing follows. Owner: store.
    pub ended: Cursor,
    /// 1 once the end-of-session train has been sent to its end. Owner: publisher.
    pub finished: Cursor,
}
