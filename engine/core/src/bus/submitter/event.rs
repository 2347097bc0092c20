//! What a submitter has to tell.
use gds_wire::acknowledgement::Outcome;
use gds_wire::refusal::RefusalReason;
use std::fmt;

crate::counter_set! {
    /// What a submitter did.
    pub struct SubmitterCounters {
        /// Blocks submitted.
        submitted,
        /// Packets sent for the first time.
        packets,
        /// Packets sent again because an acknowledgement was late.
        resent,
        /// Packets sent again because they were asked for.
        answered,
        /// Requests for messages that are not kept, or not sent yet.
        unanswerable,
        /// Blocks acknowledged.
        acknowledged,
        /// Acknowledgements of the session for blocks that were acknowledged before.
        acknowledged_again,
        /// Acknowledgements for a block that is not this client's: another client uses the session.
        clashes,
        /// Refusals received.
        refusals,
        /// Blocks not taken because the window was full.
        window_full,
        /// Datagrams that are neither a refusal nor a request of this session.
        foreign,
    }
}

/// Why a block was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// Too much waits for acknowledgement: try again when some have come.
    Full,
    /// Longer than a packet holds.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// What a packet holds.
        length_max: usize,
    },
    /// The client has ended the session.
    Ended,
    /// The stream has ended: nothing is taken any more.
    StreamEnded,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                f.write_str("too many blocks wait for their acknowledgement; submit this one again later")
            }
            Self::TooLong { length, length_max } => {
                write!(f, "a block of {length} bytes does not fit a packet, which holds {length_max}")
            }
            Self::Ended => f.write_str("the session has been ended; take a new name"),
            Self::StreamEnded => f.write_str("the stream has ended and takes nothing any more"),
        }
    }
}

impl std::error::Error for SubmitError {}

/// What a submitter has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitEvent {
    /// A block has its outcome. Each block has exactly one, in the order of submission.
    Acknowledged {
        /// The block's number in the session.
        client_sequence: u64,
        /// The bus message that says so: where it was applied, this is its records' version.
        sequence: u64,
        /// The outcome. [`Outcome::Skipped`]: the block was given up and is not in the stream.
        outcome: Outcome,
    },
    /// Another client uses this session: the stream has its block under this number and not ours.
    SessionClash {
        /// The number in the session.
        client_sequence: u64,
    },
    /// The leader cannot take anything now. Resending goes on.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The number it wants next.
        next: u64,
    },
    /// The end of session has been sequenced.
    Ended {
        /// The bus message that says so.
        sequence: u64,
    },
}
