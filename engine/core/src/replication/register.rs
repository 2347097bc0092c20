//! The register: who leads. One value, swapped as a whole and compared by its revision.
//!
//! It lives outside the nodes (etcd, or a file on a single machine). A node asks through a [`RegisterPort`], which never waits: whoever
//! talks to the register does so elsewhere. An answer may come late, or never; then nothing is concluded (R2).
use super::member::{NodeId, Set};
use crate::label::SessionNames;
use gds_wire::session::Session;

/// What the register holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisterValue {
    /// The stream that the cluster holds.
    pub stream: Session,
    /// The newest epoch; from 1.
    pub epoch: u32,
    /// The node that leads in it; which life of it says the set.
    pub leader: NodeId,
    /// The in-sync set, the leader included.
    pub set: Set,
    /// The names under which listeners know the stream.
    pub sessions: SessionNames,
}

/// The register at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisterState {
    /// Grows with each swap, not always by one; 0 while the register has never held anything.
    pub revision: u64,
    /// `None` while it has never held anything.
    pub value: Option<RegisterValue>,
}

/// What a node asks of the register. A request that was asked before may still happen after this one.
#[expect(clippy::large_enum_variant, reason = "a box would be allocated where nothing may be")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterRequest {
    /// What does it hold?
    Read,
    /// Hold this, if your revision is still that one.
    Swap {
        /// The revision it must have.
        revision: u64,
        /// The new value.
        value: RegisterValue,
    },
}

/// What comes back.
#[expect(clippy::large_enum_variant, reason = "a box would be allocated where nothing may be")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// To a read: what it holds. To a swap that it refused: what it holds instead.
    Holds(RegisterState),
    /// To a swap: done, and this is its revision now.
    Swapped(u64),
    /// No answer within its time, or an error: the request may have happened or may still happen.
    Silence,
}

/// A node's way to the register. Never waits, never allocates on the caller's side.
pub trait RegisterPort {
    /// Asks. One request at a time is under way: false, and nothing is asked, while one is.
    fn ask(&mut self, request: &RegisterRequest) -> bool;

    /// The answer to what was asked, once.
    fn poll(&mut self) -> Option<RegisterAnswer>;
}
