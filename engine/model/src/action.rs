//! What can happen next, step by step.
use crate::network::Packet;
use crate::register::{Names, Set, Swap, Value, name};
use std::fmt;

/// One step. `node` is whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field says what the step's line says")]
pub enum Action {
    /// The leader takes the next message of a client session.
    Sequence { node: u8, session: u8 },
    /// A node receives a packet.
    Receive { node: u8, packet: Packet },
    /// What a node has written becomes durable.
    Sync { node: u8 },
    /// A standby asks for the takeover.
    TakeOver { node: u8 },
    /// The leader asks for another in-sync set.
    ChangeSet { node: u8, set: Set },
    /// A request arrives at the register.
    Arrive { request: Swap },
    /// The register's answer arrives at the node.
    Answer { node: u8 },
    /// A node reads the register.
    Read { node: u8 },
    /// A node dies and starts again, with so many entries, `whole` if nothing durable is missing.
    Restart { node: u8, kept: u8, whole: bool },
    /// A node is down, and a person forces it to lead next with what it has.
    Force { node: u8 },
    /// Somebody copies a node's directory while it runs.
    Copy { node: u8 },
    /// A node dies, and starts with the copy in the place of its directory.
    RollBack { node: u8 },
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Sequence { node, session } => {
                write!(to, "{} numbers the next of session {session}", name(node))
            }
            Self::Receive { node, packet } => write!(to, "{} receives {packet}", name(node)),
            Self::Sync { node } => write!(to, "{} syncs", name(node)),
            Self::TakeOver { node } => write!(to, "{} asks for the takeover", name(node)),
            Self::ChangeSet { node, ref set } => write!(to, "{} asks for the set {}", name(node), Names(set)),
            Self::Arrive { request: Swap { by, revision, value, .. } } => {
                let Value { epoch, leader, ref set } = value;
                let (leader, set) = (name(leader), Names(set));
                write!(
                    to,
                    "{by}'s swap of revision {revision} arrives: epoch {epoch}, leader {leader}, set {set}"
                )
            }
            Self::Answer { node } => write!(to, "{} gets the register's answer", name(node)),
            Self::Read { node } => write!(to, "{} reads the register", name(node)),
            Self::Restart { node, kept, whole } => {
                let whole = if whole { "whole" } else { "not whole" };
                write!(to, "{} restarts with {kept} entries, {whole}", name(node))
            }
            Self::Force { node } => write!(to, "{} is forced to lead next", name(node)),
            Self::Copy { node } => write!(to, "{}'s directory is copied", name(node)),
            Self::RollBack { node } => write!(to, "{} restarts with the copy", name(node)),
        }
    }
}
