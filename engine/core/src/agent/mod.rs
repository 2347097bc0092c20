//! The duty cycles: components joined over ports and disks.
//!
//! An agent owns one component, the ring ends and ports it needs, and nothing else; it meets the others only in rings and
//! cursors. Whoever drives it (a pinned core, a test, the simulator) calls [`Agent::duty`] again and again with the time and,
//! at an orderly end, [`Agent::close`] once.
//!
//! ```text
//!  SequencerAgent ─ring─▶ JournalAgent          StoreAgent ─acknowledgement ring─▶ JournalAgent
//!                   ├───▶ StoreAgent                                         ├───▶ PublisherAgent
//!                   ├───▶ PublisherAgent                                     └───▶ RewinderAgent
//!                   ├───▶ RewinderAgent
//!                   ├───▶ QueryAgent
//!                   └───▶ ReplicaRewinderAgent (of a member of a cluster)
//! ```
//!
//! In a node that only rewinds a [`ListenerAgent`] fills each ring in the place of sequencer and store.
//!
//! [`start`] takes a node from what its disks and its ring hold to the point where the agents can run.
mod images;
mod journal;
mod listener;
mod pruner;
mod publisher;
mod query;
mod replica_rewinder;
mod rewinder;
mod sequencer;
mod snapshot;
pub mod start;
mod store;

pub use images::ImagePort;
pub use journal::JournalAgent;
pub use listener::{ListenerAgent, ListenerBounds, ListenerCounters};
pub use pruner::SegmentHold;
pub use publisher::PublisherAgent;
pub use query::QueryAgent;
pub use replica_rewinder::ReplicaRewinderAgent;
pub use rewinder::RewinderAgent;
pub use sequencer::{Membership, SequencerAgent, SequencerOrders};
pub use snapshot::{SnapshotAgent, SnapshotConfig, SnapshotCounters, SnapshotDisks, SnapshotOrders};
pub use store::{StoreAgent, StoreAgentCounters};

use crate::time::Time;
use std::fmt;

/// Why an agent, and with it the node, cannot go on. The text names what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// A fault from any error.
    pub fn from(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A part of the node with a duty cycle.
pub trait Agent {
    /// Does what there is to do, within a bound, without waiting; says how much it was (0: nothing).
    fn duty(&mut self, now: Time) -> Result<usize, Fault>;

    /// Orderly end: nothing comes any more and the agent has caught up. May wait for the disk.
    fn close(&mut self, _now: Time) -> Result<(), Fault> {
        Ok(())
    }
}
