//! What ingress needs of whoever takes its messages.
use crate::time::Time;
use gds_wire::refusal::RefusalReason;
use gds_wire::session::Session;
use std::net::SocketAddrV4;

/// What the sink knows of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it may be opened.
    New,
    /// It wants this number next; its newest skip was of these numbers (zeros: none).
    Next {
        /// The number wanted.
        next: u64,
        /// First and last number of the newest skip.
        skip: (u64, u64),
    },
    /// It has ended.
    Ended,
    /// Nothing can be taken from it, and what is held for it is of no use: the table is full, or the stream has ended.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The number wanted.
        next: u64,
    },
}

/// Why the sink did not take something. It may take the same thing later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No room in the ring, or a journal that is behind: nobody is told, room comes in microseconds.
    NoRoom,
    /// For a reason that the source should know.
    Refused(RefusalReason),
}

/// Where ingress puts what it takes.
pub trait IngressSink {
    /// What is known of a session now.
    fn standing(&self, session: &Session) -> Standing;
    /// Takes one block, which has the session's next number (any number for a new session).
    fn take(&mut self, now: Time, session: Session, sequence: u64, block: &[u8]) -> Result<(), Hold>;
    /// Ends a session; `sequence` is one above its last number.
    fn end(&mut self, now: Time, session: Session, sequence: u64) -> Result<(), Hold>;
    /// Gives up the session's numbers `from..=to`.
    fn skip(&mut self, now: Time, session: Session, from: u64, to: u64) -> Result<(), Hold>;
    /// Sends a request or a refusal.
    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]);
}
