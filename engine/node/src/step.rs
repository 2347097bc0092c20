//! What a start does that takes long, as whoever starts a node is told it, and says whether it is to go on.
use crate::learning::transfer::Transfer;
use gds_core::agent::Fault;
use gds_core::replication::NodeId;
use std::fmt;
use std::ops::ControlFlow;

/// What a start does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It waits: for a register or another node.
    Wait,
    /// It takes another node's snapshot.
    Fetch {
        /// Whose.
        from: NodeId,
        /// How far it is.
        transfer: Transfer,
    },
    /// It applies the stream.
    Replay {
        /// Messages applied.
        applied: u64,
        /// Messages there are.
        of: u64,
    },
}

/// Is told what a start does, many times a second while it waits. Once this says so, the start ends as soon as it can, in order; then it must
/// go on saying so.
pub type Watcher<'a> = dyn FnMut(Step) -> ControlFlow<()> + 'a;

/// A watcher for whom the start goes on, whatever it does.
pub fn unwatched(_: Step) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Why a node does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It was told to stop before it ran.
    Stopped,
    /// It cannot.
    Fault(Fault),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("it was told to stop before it ran"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
