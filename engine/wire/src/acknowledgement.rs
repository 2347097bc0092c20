//! Acknowledgements: message n of the acknowledgement session is the outcome of bus message n.
use std::fmt;

use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::session::Session;

/// Bytes of an acknowledgement.
pub const ACKNOWLEDGEMENT_BYTES: usize = 24;

macro_rules! outcomes {
    ($($(#[doc = $help:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// What became of a bus message. A pure function of the stream: every replica finds the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Outcome { $($(#[doc = $help])+ $name = $code,)+ }

        impl Outcome {
            /// Every outcome, ascending by code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The outcome with this code, if there is one.
            pub const fn from_u16(code: u16) -> Option<Self> {
                Some(match code { $($code => Self::$name,)+ _ => return None })
            }
        }

        impl fmt::Display for Outcome {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

outcomes! {
    /// All its operations took effect.
    Applied = 0, "applied";
    /// Committed, and it changes no record.
    NoOperation = 1, "no operation";
    /// An insert of a key that exists. Nothing changed.
    Exists = 2, "record exists";
    /// A modify or delete of a key that does not exist, or a check of one unless it expects that. Nothing changed.
    Missing = 3, "record missing";
    /// A record's version is not the expected one. Nothing changed.
    VersionMismatch = 4, "version mismatch";
    /// The declared limit of records is reached. Nothing changed.
    RecordsLimit = 5, "limit of records reached";
    /// The declared limit of bytes is reached. Nothing changed.
    BytesLimit = 6, "limit of bytes reached";
    /// The block is not a message of its session's schema. Nothing changed.
    Malformed = 7, "malformed";
    /// An operation names a table that is not declared. Nothing changed.
    UnknownTable = 8, "unknown table";
    /// An order reference that is not live. Nothing changed.
    UnknownOrder = 9, "unknown order";
    /// An add, or a replacement, with an order reference that is live. Nothing changed.
    OrderExists = 10, "order exists";
    /// More shares executed or cancelled than the order has. Nothing changed.
    QuantityExceeded = 11, "quantity exceeded";
    /// The block was too long for a packet and was sequenced empty.
    TooLong = 12, "too long";
    /// The block's type is unknown; it was sequenced empty.
    UnknownType = 13, "unknown type";
    /// Numbers of the client's session were given up.
    Skipped = 14, "skipped";
    /// The declared limit of sessions is reached. Nothing changed.
    SessionsLimit = 15, "limit of sessions reached";
}

impl Outcome {
    /// True when the message did what it asked for: [`Outcome::Applied`] and [`Outcome::NoOperation`].
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Applied | Self::NoOperation)
    }
}

/// The outcome of one bus message.
///
/// ```text
///  0                    10                   18             22        24
/// +--------------------+--------------------+--------------+---------+
/// | client session     | client sequence    | CRC-32C      | outcome |
/// +--------------------+--------------------+--------------+---------+
/// ```
///
/// The checksum is that of the client's block: a client that sees another than its own shares its session name with somebody.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Acknowledgement {
    /// Whose message it was.
    pub session: Session,
    client_sequence: U64,
    checksum: U32,
    outcome: U16,
}

const _: () = assert!(size_of::<Acknowledgement>() == ACKNOWLEDGEMENT_BYTES);

impl Acknowledgement {
    /// An acknowledgement of these fields.
    pub fn new(session: Session, client_sequence: u64, checksum: u32, outcome: Outcome) -> Self {
        let outcome = (outcome as u16).into();
        Self { session, client_sequence: client_sequence.into(), checksum: checksum.into(), outcome }
    }

    /// Reads a message block of the acknowledgement session.
    pub fn parse(block: &[u8]) -> Result<&Self, AcknowledgementError> {
        let Ok(acknowledgement) = Self::ref_from_bytes(block) else {
            return Err(AcknowledgementError::Length(block.len()));
        };
        match Outcome::from_u16(acknowledgement.outcome.get()) {
            Some(_) => Ok(acknowledgement),
            None => Err(AcknowledgementError::UnknownOutcome(acknowledgement.outcome.get())),
        }
    }

    /// The message block.
    pub fn to_bytes(&self) -> [u8; ACKNOWLEDGEMENT_BYTES] {
        zerocopy::transmute!(*self)
    }

    /// The message's number in its session.
    pub fn client_sequence(&self) -> u64 {
        self.client_sequence.get()
    }

    /// CRC-32C of the client's block.
    pub fn checksum(&self) -> u32 {
        self.checksum.get()
    }

    /// What became of it.
    ///
    /// # Panics
    /// When the code is unknown, which [`Acknowledgement::parse`] refuses: only for one cast from unchecked bytes.
    pub fn outcome(&self) -> Outcome {
        Outcome::from_u16(self.outcome.get()).expect("Acknowledgement::parse checks the outcome")
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sequence, checksum) = (self.client_sequence(), self.checksum());
        let outcome = self.outcome.get();
        write!(f, "Acknowledgement({} {sequence} {checksum:08x} outcome {outcome})", self.session)
    }
}

/// Why a block is no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgementError {
    /// It does not have [`ACKNOWLEDGEMENT_BYTES`] bytes, but this many.
    Length(usize),
    /// No such outcome.
    UnknownOutcome(u16),
}

impl fmt::Display for AcknowledgementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "an acknowledgement has {ACKNOWLEDGEMENT_BYTES} bytes; this one has {length}")
            }
            Self::UnknownOutcome(code) => write!(f, "an acknowledgement with the unknown outcome {code}"),
        }
    }
}

impl std::error::Error for AcknowledgementError {}

#[cfg(test)]
mod tests;
