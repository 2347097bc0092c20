//! Replication: several nodes hold one stream, one of them leads, and another takes over when it dies.
//!
//! The protocol, its rules R1 to R19 and the argument for each promise stand in `docs/FAILOVER.md`, and are model-checked there (`engine/model`).
//! This is the code that runs. One member's part in it:
//!
//! ```text
//!             register (behind a port)
//!                ▲ swap, read
//!                │
//!  replication ──┴─▶ Replication ──lead, follow, entries, commit limit──▶ Sequencer ──▶ ring ──▶ journal, store, …
//!  port ◀──entries, heartbeats, watermarks──┘                                            │
//!  history port ◀──────────────── older entries ◀────────────────── ReplicaRewinder ◀────┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`member`] | nodes, their lives, the in-sync set |
//! | [`register`] | what the register holds, and how it is asked |
//! | `swap` | one swap at a time, open until its outcome is known |
//! | [`epochs`] | which epoch the entries at the end of the log are of |
//! | `entries` | entries packed into packets |
//! | `leader` | what replicas have, how far may be committed, who belongs to the set |
//! | `follower` | what agrees with the leader's log, what must still come |
//! | [`role`] | all of it together: a member's role machine |
//! | [`learner`] | whether a learner begins with another node's snapshot |
//! | [`digests`] | what the store came to, compared with the leader's |
//! | [`leadership`] | what the rest of the node sees of it |
//! | [`rewinder`] | older entries, for replicas that missed them |
pub mod config;
pub mod digests;
mod entries;
pub mod epochs;
mod follower;
mod leader;
pub mod leadership;
pub mod learner;
pub mod member;
pub mod register;
pub mod rewinder;
pub mod role;
mod swap;

#[cfg(test)]
mod tests;

pub use config::{Peer, PeerCounters, ReplicationConfig, ReplicationCounters};
pub use digests::Digests;
pub use epochs::EpochRuns;
pub use leadership::Leadership;
pub use member::{INCARNATION_MAX, Life, Member, NODES_MAX, NodeId, Set};
pub use register::{EPOCH_MAX, RegisterAnswer, RegisterPort, RegisterRequest, RegisterState, RegisterValue};
pub use rewinder::{ReplicaRewinder, ReplicaRewinderConfig, ReplicaRewinderCounters};
pub use role::{Replication, ReplicationStop};
