//! The envelope: what the sequencer puts before the body of each bus message.
//!
//! A bus message is one message block of the downstream session: envelope, then body. The body of a transaction is the client's
//! own block, byte for byte; the bodies of the other kinds are the sequencer's, or the node's.
//!
//! | kind | meaning | client sequence | body |
//! | --- | --- | --- | --- |
//! | `T` | transaction | the block's number in the client's session | the client's block, unchanged |
//! | `E` | the client's session has ended | one above the session's last | empty |
//! | `K` | numbers skipped in the client's session | first number skipped | [`Skip`], 16 bytes |
//! | `D` | declaration | the node's own count | a [`Declaration`](crate::declaration::Declaration) |
//! | `V` | a block that can never be accepted, sequenced empty | the block's number | [`Void`], 8 bytes |
//! | `Z` | end of the stream: the last message | the node's own count | empty |
use std::fmt;

use zerocopy::network_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::mold;
use crate::session::Session;

/// Bytes of an envelope.
pub const ENVELOPE_BYTES: usize = 28;
/// Bytes of a [`Skip`] body.
pub const SKIP_BYTES: usize = 16;
/// Bytes of a [`Void`] body.
pub const VOID_BYTES: usize = 8;

/// The longest block a client may submit when downstream packets carry at most `payload_bytes`: what is left after the
/// downstream header, the block's length and the envelope. 0 when nothing is left.
pub const fn max_block_bytes(payload_bytes: usize) -> usize {
    payload_bytes.saturating_sub(mold::HEADER_BYTES + mold::BLOCK_LENGTH_BYTES + ENVELOPE_BYTES)
}

/// What a bus message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A client's block.
    Transaction = b'T',
    /// The end of a client's session.
    EndOfSession = b'E',
    /// Numbers of a client's session that were given up.
    Skip = b'K',
    /// Limits, tables and schemas from here on.
    Declare = b'D',
    /// A client's block that can never be accepted; [`Reason`] says why.
    Void = b'V',
    /// The last message of the stream.
    EndOfStream = b'Z',
}

impl Kind {
    /// The kind with this code, if there is one.
    pub const fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            b'T' => Self::Transaction,
            b'E' => Self::EndOfSession,
            b'K' => Self::Skip,
            b'D' => Self::Declare,
            b'V' => Self::Void,
            b'Z' => Self::EndOfStream,
            _ => return None,
        })
    }
}

/// Why a block was sequenced empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// It was not: every kind but [`Kind::Void`].
    None = 0,
    /// Longer than [`max_block_bytes`].
    TooLong = 1,
    /// Its first byte names no message that the session's schema knows.
    UnknownType = 2,
}

impl Reason {
    /// The reason with this code, if there is one.
    pub const fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::TooLong,
            2 => Self::UnknownType,
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::TooLong => "too long for a packet",
            Self::UnknownType => "unknown message type",
        })
    }
}

/// What stands before the body of each bus message.
///
/// ```text
///  0                    10     11       12                   20                   28
/// +--------------------+------+--------+--------------------+--------------------+-----
/// | client session     | kind | reason | client sequence    | timestamp ns       | body
/// +--------------------+------+--------+--------------------+--------------------+-----
/// ```
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Envelope {
    /// Whose message it is; [`Session::NODE`] for the node's own.
    pub session: Session,
    kind: u8,
    reason: u8,
    client_sequence: U64,
    timestamp_ns: U64,
}

const _: () = assert!(size_of::<Envelope>() == ENVELOPE_BYTES);

impl Envelope {
    /// An envelope of these fields. The timestamp is the sequencer's, in nanoseconds since the Unix epoch, and never runs back
    /// from one message to the next.
    pub fn new(
        session: Session,
        kind: Kind,
        reason: Reason,
        client_sequence: u64,
        timestamp_ns: u64,
    ) -> Self {
        let (client_sequence, timestamp_ns) = (client_sequence.into(), timestamp_ns.into());
        Self { session, kind: kind as u8, reason: reason as u8, client_sequence, timestamp_ns }
    }

    /// The envelope's bytes.
    pub fn to_bytes(&self) -> [u8; ENVELOPE_BYTES] {
        zerocopy::transmute!(*self)
    }

    /// What the message is.
    ///
    /// # Panics
    /// When the code is unknown, which [`Message::parse`] refuses: only for an envelope cast from unchecked bytes.
    pub fn kind(&self) -> Kind {
        Kind::from_u8(self.kind).expect("Message::parse checks the kind")
    }

    /// Why it was sequenced empty.
    ///
    /// # Panics
    /// As [`Envelope::kind`].
    pub fn reason(&self) -> Reason {
        Reason::from_u8(self.reason).expect("Message::parse checks the reason")
    }

    /// The message's number in its session.
    pub fn client_sequence(&self) -> u64 {
        self.client_sequence.get()
    }

    /// When it was sequenced, in nanoseconds since the Unix epoch.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns.get()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("session", &self.session)
            .field("kind", &char::from(self.kind))
            .field("reason", &self.reason)
            .field("client_sequence", &self.client_sequence())
            .field("timestamp_ns", &self.timestamp_ns())
            .finish()
    }
}

/// Body of kind `K`: these numbers of the client's session were given up, both ends included.
///
/// ```text
///  0                    8                    16
/// +--------------------+--------------------+
/// | from               | to                 |
/// +--------------------+--------------------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Skip {
    from: U64,
    to: U64,
}

const _: () = assert!(size_of::<Skip>() == SKIP_BYTES);

impl Skip {
    /// A skip of the numbers `from` to `to`.
    ///
    /// # Panics
    /// When `from` is above `to`.
    pub fn new(from: u64, to: u64) -> Self {
        assert!(from <= to, "a skip from {from} to {to} skips nothing");
        Self { from: from.into(), to: to.into() }
    }

    /// The body's bytes.
    pub fn to_bytes(&self) -> [u8; SKIP_BYTES] {
        zerocopy::transmute!(*self)
    }

    /// First number skipped.
    pub fn from(&self) -> u64 {
        self.from.get()
    }

    /// Last number skipped.
    pub fn to(&self) -> u64 {
        self.to.get()
    }
}

impl fmt::Debug for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Skip({}..={})", self.from(), self.to())
    }
}

/// Body of kind `V`: what the block was that could not be accepted.
///
/// ```text
///  0                 4                 8
/// +-----------------+-----------------+
/// | length          | CRC-32C         |
/// +-----------------+-----------------+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Void {
    length: U32,
    checksum: U32,
}

const _: () = assert!(size_of::<Void>() == VOID_BYTES);

impl Void {
    /// The body for this block.
    ///
    /// # Panics
    /// When the block is longer than 4 GiB.
    pub fn of(block: &[u8]) -> Self {
        let length = u32::try_from(block.len()).expect("a block came in one datagram");
        Self { length: length.into(), checksum: crate::checksum(block).into() }
    }

    /// The body's bytes.
    pub fn to_bytes(&self) -> [u8; VOID_BYTES] {
        zerocopy::transmute!(*self)
    }

    /// Length of the client's block in bytes.
    pub fn length(&self) -> u32 {
        self.length.get()
    }

    /// CRC-32C of the client's block.
    pub fn checksum(&self) -> u32 {
        self.checksum.get()
    }
}

impl fmt::Debug for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Void({} bytes, checksum {:08x})", self.length(), self.checksum())
    }
}

/// Why bytes are no bus message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Fewer than [`ENVELOPE_BYTES`] bytes.
    Short {
        /// Bytes there are.
        length: usize,
    },
    /// No such kind.
    UnknownKind(u8),
    /// No such reason, or one where the kind allows none, or none where it demands one.
    UnknownReason(u8),
    /// The kind has a body of another size.
    BodyLength {
        /// The kind.
        kind: Kind,
        /// Bytes of body there are.
        length: usize,
    },
    /// A skip whose first number is above its last, or is not the envelope's client sequence.
    SkipRange {
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { length } => {
                write!(f, "a bus message has at least {ENVELOPE_BYTES} bytes; this one has {length}")
            }
            Self::UnknownKind(code) => write!(f, "a bus message of the unknown kind 0x{code:02x}"),
            Self::UnknownReason(code) => {
                write!(f, "a bus message whose kind does not allow the reason {code}")
            }
            Self::BodyLength { kind, length } => {
                write!(f, "a bus message of kind {kind:?} cannot have a body of {length} bytes")
            }
            Self::SkipRange { from, to } => {
                write!(f, "a skip from {from} to {to} is empty or contradicts its envelope")
            }
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// A bus message: envelope and body.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Who, what, which, when.
    pub envelope: &'a Envelope,
    /// What follows the envelope. Checked for the kinds that have a fixed body; [`Kind::Transaction`] and [`Kind::Declare`] are
    /// left to their own parsers.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits a message block; checks kind, reason and the size of fixed bodies.
    pub fn parse(block: &'a [u8]) -> Result<Self, EnvelopeError> {
        let Ok((envelope, body)) = Envelope::ref_from_prefix(block) else {
            return Err(EnvelopeError::Short { length: block.len() });
        };
        let message = Self { envelope, body };
        let kind = Kind::from_u8(envelope.kind).ok_or(EnvelopeError::UnknownKind(envelope.kind))?;
        let reason = Reason::from_u8(envelope.reason).ok_or(EnvelopeError::UnknownReason(envelope.reason))?;
        if (kind == Kind::Void) == (reason == Reason::None) {
            return Err(EnvelopeError::UnknownReason(envelope.reason));
        }
        let body_bytes = match kind {
            Kind::Transaction | Kind::Declare => body.len(),
            Kind::EndOfSession | Kind::EndOfStream => 0,
            Kind::Skip => SKIP_BYTES,
            Kind::Void => VOID_BYTES,
        };
        if body.len() != body_bytes {
            return Err(EnvelopeError::BodyLength { kind, length: body.len() });
        }
        match message.skip() {
            Some(skip) if skip.from() > skip.to() || skip.from() != envelope.client_sequence() => {
                Err(EnvelopeError::SkipRange { from: skip.from(), to: skip.to() })
            }
            _ => Ok(message),
        }
    }

    /// The message if it is one of this kind, and whole; one look at the envelope tells the others.
    pub fn parse_kind(block: &'a [u8], kind: Kind) -> Option<Self> {
        let (envelope, _) = Envelope::ref_from_prefix(block).ok()?;
        if envelope.kind == kind as u8 { Self::parse(block).ok() } else { None }
    }

    /// The body of kind `K`; `None` for the others.
    pub fn skip(&self) -> Option<&'a Skip> {
        if self.envelope.kind == Kind::Skip as u8 { Skip::ref_from_bytes(self.body).ok() } else { None }
    }

    /// The body of kind `V`; `None` for the others.
    pub fn void(&self) -> Option<&'a Void> {
        if self.envelope.kind == Kind::Void as u8 { Void::ref_from_bytes(self.body).ok() } else { None }
    }

    /// The checksum that the acknowledgement of this message carries: CRC-32C of the client's block. A void's is the one in its
    /// body; the other kinds' is that of their body as it is.
    pub fn checksum(&self) -> u32 {
        match self.void() {
            Some(void) => void.checksum(),
            None => crate::checksum(self.body),
        }
    }
}

#[cfg(test)]
mod tests;
