//! The replication and failover protocol as a model, and the promises it is checked for.
//!
//! The model has nodes with journals and incarnations ([`node`]), the register that says who leads ([`register`]), a network
//! that loses, delays, doubles and reorders packets ([`network`]), and the rules that join them ([`cluster`]). A checker
//! (`stateright`) walks through every order in which anything can happen within a [`Size`], and looks at every state whether
//! the promises hold ([`properties`]). [`Mutation`]s leave out one rule each; the checker then has to find a run that breaks a
//! promise. `docs/FAILOVER.md` tells the protocol and the argument for each promise.
//!
//! # What is in the model
//!
//! - Every step of the protocol that has to do with safety: numbering, replication packet by packet, matching by (epoch,
//!   sequence), cutting back, syncing, watermarks, commit, the table of client sessions, takeover, stepping down, set changes,
//!   incarnations and restarts.
//! - Every fault: a packet sent stays receivable for good, by anybody and as often as anybody likes, and need never be received: that
//!   is loss, delay, doubling and reordering in one. A request to the register may be late without bound or never come, and its answer
//!   likewise: that is the register being away. A node that is never given a step is dead, frozen or cut off, for as long as the
//!   run likes. A restart keeps the journal, loses what was not synced, or loses a synced tail (another boot).
//! - Going back: a person forces a node to lead that cannot know that it may, others alive or not; a node starts with an earlier copy of its
//!   directory, its lives included, and believes itself whole; a node that has stopped for a contradiction starts again, with its directory or
//!   with an empty one. From there on numbers may be given again: the promises are then those of each branch ([`history`]), and who knows the
//!   other branch has to say so.
//! - Time is not in the model: any standby may take over at any moment. What is safe so is safe with any timeout.
//!
//! # What is not
//!
//! - Snapshots (a learner gets the stream from its beginning), `min_in_sync`, refusals to clients, a register that lost what it
//!   held, sessions of MoldUDP64, the bytes on the wire and on disk. The simulator drives those.
//! - A refusal packet is no packet here: a leader may at any moment read the register and so learn of a newer epoch, which is all that a
//!   refusal tells it.
//!
//! The checker knows a state by 64 bits of hash: two states that share them would count as one. With ten million states that happens in
//! one run of some 400,000.
pub mod action;
pub mod cluster;
pub mod history;
mod mutation;
pub mod network;
pub mod node;
pub mod properties;
pub mod recovery;
pub mod register;
mod size;
mod verdict;

pub use action::Action;
pub use cluster::{Cluster, Protocol};
pub use mutation::Mutation;
pub use size::Size;
pub use verdict::{Broken, Verdict, check};
