//! Refusals: what the leader tells a packet's source when it could not take a message now.
//!
//! A refused message is not sequenced and uses up no number: the client sends it again later. A refusal is one datagram, sent to
//! the address the packet came from; its first four bytes tell it from a MoldUDP64 packet of 24 bytes.
use std::fmt;

use zerocopy::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::session::Session;

/// Bytes of a refusal.
pub const REFUSAL_BYTES: usize = 24;
/// What a refusal begins with.
pub const MAGIC: [u8; 4] = *b"GDSR";

/// Why a message could not be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RefusalReason {
    /// The journal's disk has no room.
    DiskFull = 1,
    /// The table of client sessions has no room for a new name.
    SessionsFull = 2,
    /// Too few replicas are in sync.
    TooFewInSync = 3,
    /// The stream has ended; nothing will be taken any more.
    StreamEnded = 4,
}

impl RefusalReason {
    /// The reason with this code, if there is one.
    pub const fn from_u16(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::DiskFull,
            2 => Self::SessionsFull,
            3 => Self::TooFewInSync,
            4 => Self::StreamEnded,
            _ => return None,
        })
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the journal's disk is full",
            Self::SessionsFull => "the table of client sessions is full",
            Self::TooFewInSync => "too few replicas are in sync",
            Self::StreamEnded => "the stream has ended",
        })
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 4],
    reason: U16,
    session: Session,
    next: U64,
}

const _: () = assert!(size_of::<Layout>() == REFUSAL_BYTES);

/// A refusal.
///
/// ```text
///  0          4        6                    16                   24
/// +----------+--------+--------------------+--------------------+
/// | "GDSR"   | reason | client session     | next wanted        |
/// +----------+--------+--------------------+--------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// Whose message it was.
    pub session: Session,
    /// The number of that session that the leader wants next.
    pub next: u64,
}

impl Refusal {
    /// Reads a datagram; `None` when it is something else, or names a reason that is not known here.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let layout = Layout::ref_from_bytes(datagram).ok()?;
        if layout.magic != MAGIC {
            return None;
        }
        let reason = RefusalReason::from_u16(layout.reason.get())?;
        Some(Self { reason, session: layout.session, next: layout.next.get() })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; REFUSAL_BYTES] {
        let (reason, next) = ((self.reason as u16).into(), self.next.into());
        zerocopy::transmute!(Layout { magic: MAGIC, reason, session: self.session, next })
    }
}

#[cfg(test)]
mod tests;
