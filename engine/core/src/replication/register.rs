//! The register: who leads. One value, swapped as a whole and compared by its revision.
//!
//! It lives outside the nodes (etcd, or a file on a single machine). A node asks through a [`RegisterPort`], which never waits: whoever
//! talks to the register does so elsewhere. An answer may come late, or never; then nothing is concluded (R2).
use super::member::{INCARNATION_MAX, Member, NodeId, Set};
use crate::label::SessionNames;
use gds_wire::session::Session;

/// The newest epoch that counts: one takeover each second would need 68 years. Who sees a newer one sees something that is damaged or made up, and one behind
/// the newest is still a number.
pub const EPOCH_MAX: u32 = 1 << 31;

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

impl RegisterValue {
    /// The epoch behind all that are known; `None`: there is none any more.
    pub fn next_epoch(known: u32) -> Option<u32> {
        known.checked_add(1).filter(|epoch| *epoch <= EPOCH_MAX)
    }

    /// Why no cluster can have come to this; `None`: one can.
    pub fn flaw(&self) -> Option<String> {
        let Self { epoch, leader, set, .. } = self;
        if *epoch == 0 {
            // A new cluster: the stream has its name, and nobody has led yet.
            let is_new = leader.0 == 0 && set.count() == 0;
            return (!is_new).then(|| {
                "epoch = 0: epochs begin at 1, and before that nobody leads and nobody is in sync".into()
            });
        }
        if *epoch > EPOCH_MAX {
            return Some(format!("epoch = {epoch}: no cluster comes to more than {EPOCH_MAX}"));
        }
        if set.incarnation(*leader).is_none() {
            return Some(format!("leader = {leader}: it is not one of in_sync, {set}"));
        }
        set.members().iter().find_map(|member| {
            let Member { node, incarnation } = *member;
            if node.0 == 0 {
                return Some("in_sync has node 0: numbers from 1 on, each once".into());
            }
            let is_one = (1..=INCARNATION_MAX).contains(&incarnation);
            (!is_one).then(|| {
                format!("in_sync has node {node} in incarnation {incarnation}: they go from 1 to {INCARNATION_MAX}")
            })
        })
    }
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
