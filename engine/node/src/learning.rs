//! How a node learns from another one's snapshot, over TCP between the nodes of a cluster.
//!
//! | module | holds |
//! | --- | --- |
//! | [`giver`] | the thread of every member that gives its snapshots away, and sees when this node needs one itself |
//! | [`fetch`] | a start that takes one |
//! | [`arrival`] | the folders where it is put together, and how they take the place of what was there |
//! | [`transfer`] | how far a snapshot is on its way |
//! | `link` | frames over a connection |
//!
//! Why this is sound stands in `docs/FAILOVER.md`, "A learner that takes a snapshot". Nothing of it runs on a pinned core.
pub mod arrival;
pub mod fetch;
pub mod giver;
mod link;
pub mod transfer;
