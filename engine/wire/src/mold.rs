//! MoldUDP64 1.00: numbered messages in UDP datagrams, and requests for those that were missed.
//!
//! A *downstream packet* is a header and message blocks; the header numbers the first block and the others follow without a
//! gap. A *heartbeat* (count 0) and an *end of session* (count 0xFFFF) carry no block and say which number comes next. A
//! *request packet* asks for missed messages and is answered by one downstream packet, sent to where the request came from.
//! Requests and packets without a block are both 20 bytes: only the port tells which it is.
//!
//! Readings taken where implementations disagree: a packet is taken whole or not at all, so a short header or a block that
//! runs over the end is an error for the packet (M12); bytes after the last counted block, or after the header of a heartbeat
//! or end of session, are counted and otherwise ignored (M11); a message may be empty and still has a number.
use std::fmt;

use zerocopy::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::session::Session;

/// Bytes of a downstream packet before its first block.
pub const HEADER_BYTES: usize = 20;
/// Bytes of a request packet.
pub const REQUEST_BYTES: usize = 20;
/// Bytes before each message: its length.
pub const BLOCK_LENGTH_BYTES: usize = 2;
/// The message count that says: the session has ended.
pub const END_OF_SESSION: u16 = 0xFFFF;
/// Most messages one packet can count.
pub const MAX_MESSAGES: u16 = 0xFFFE;
/// What a sender puts into one datagram at most, unless told otherwise: fits an Ethernet frame with headers, VLAN tags and tunnels to spare.
pub const MAX_PAYLOAD_BYTES: usize = 1400;

/// The 20 bytes that a downstream packet begins with and that a request packet consists of.
///
/// ```text
///  0                    10                  18        20
/// +--------------------+-------------------+---------+
/// | session            | sequence number   | count   |
/// +--------------------+-------------------+---------+
/// ```
///
/// MoldUDP64 1.00, "Downstream Packet Format" and "Request Packet Format".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    session: Session,
    sequence: U64,
    count: U16,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES && size_of::<Header>() == REQUEST_BYTES);

impl Header {
    fn bytes(session: Session, sequence: u64, count: u16) -> [u8; HEADER_BYTES] {
        zerocopy::transmute!(Self { session, sequence: sequence.into(), count: count.into() })
    }
}

/// What a downstream packet is, by its message count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Count 0: nothing new; the sequence number is that of the next message to come.
    Heartbeat,
    /// Count 0xFFFF: nothing will come any more; the sequence number is one above the last.
    EndOfSession,
    /// This many messages, 1 to 65,534.
    Messages(u16),
}

/// Why a datagram is no downstream packet. Such a packet is dropped whole and counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoldError {
    /// Fewer than [`HEADER_BYTES`] bytes.
    ShortHeader {
        /// Bytes there are.
        length: usize,
    },
    /// A counted message block does not lie within the datagram.
    TruncatedBlock {
        /// Which block, from 0.
        block: u16,
        /// Where it begins in the datagram.
        offset: usize,
    },
    /// The number after the last message does not fit 64 bits.
    SequenceOverflow {
        /// The packet's sequence number.
        sequence: u64,
        /// Its message count.
        count: u16,
    },
}

impl fmt::Display for MoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortHeader { length } => {
                write!(f, "a MoldUDP64 packet has at least {HEADER_BYTES} bytes; this one has {length}")
            }
            Self::TruncatedBlock { block, offset } => {
                write!(
                    f,
                    "message block {block} at offset {offset} runs over the end of the MoldUDP64 packet"
                )
            }
            Self::SequenceOverflow { sequence, count } => {
                write!(
                    f,
                    "a MoldUDP64 packet with {count} messages cannot begin at sequence number {sequence}"
                )
            }
        }
    }
}

impl std::error::Error for MoldError {}

/// A downstream packet whose blocks have all been checked.
///
/// ```text
///  0         10                18      20        22
/// +---------+-----------------+-------+---------+------------+--------+-----
/// | session | sequence number | count | length  | message    | length | ...
/// +---------+-----------------+-------+---------+------------+--------+-----
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Whose numbers these are.
    pub session: Session,
    /// Number of the first message; of the next to come when there is none.
    pub sequence: u64,
    /// What the packet is.
    pub kind: Kind,
    /// Bytes after the last counted block: an anomaly to count, never an error.
    pub trailing_bytes: usize,
    blocks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one datagram and checks every block.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, MoldError> {
        let Ok((header, body)) = Header::ref_from_prefix(datagram) else {
            return Err(MoldError::ShortHeader { length: datagram.len() });
        };
        let sequence = header.sequence.get();
        let (kind, count) = match header.count.get() {
            0 => (Kind::Heartbeat, 0),
            END_OF_SESSION => (Kind::EndOfSession, 0),
            count => (Kind::Messages(count), count),
        };
        if sequence.checked_add(u64::from(count)).is_none() {
            return Err(MoldError::SequenceOverflow { sequence, count });
        }
        let mut rest = body;
        for block in 0..count {
            let Some((_, after)) = split_block(rest) else {
                return Err(MoldError::TruncatedBlock { block, offset: datagram.len() - rest.len() });
            };
            rest = after;
        }
        let blocks = &body[..body.len() - rest.len()];
        Ok(Self { session: header.session, sequence, kind, trailing_bytes: rest.len(), blocks })
    }

    /// How many messages there are.
    pub fn count(&self) -> u16 {
        match self.kind {
            Kind::Messages(count) => count,
            Kind::Heartbeat | Kind::EndOfSession => 0,
        }
    }

    /// The number that follows this packet's last message.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + u64::from(self.count())
    }

    /// The messages with their numbers, in order.
    pub fn messages(&self) -> Messages<'a> {
        Messages { sequence: self.sequence, remaining: self.count(), blocks: self.blocks }
    }
}

/// The messages of a [`Packet`], each with its sequence number.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    sequence: u64,
    remaining: u16,
    blocks: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (message, rest) = split_block(self.blocks)?;
        let sequence = self.sequence;
        self.sequence += 1;
        self.blocks = rest;
        Some((sequence, message))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.remaining), Some(usize::from(self.remaining)))
    }
}

impl ExactSizeIterator for Messages<'_> {}

fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<BLOCK_LENGTH_BYTES>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// A request for missed messages. MoldUDP64 1.00, "Request Packet Format".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of which session.
    pub session: Session,
    /// Number of the first message wanted.
    pub sequence: u64,
    /// How many are wanted. The reader takes any value; whoever answers stays silent on 0 and never returns more than asked.
    pub count: u16,
}

impl Request {
    /// Reads a datagram; `None` unless it is exactly [`REQUEST_BYTES`] long.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let header = Header::ref_from_bytes(datagram).ok()?;
        Some(Self { session: header.session, sequence: header.sequence.get(), count: header.count.get() })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; REQUEST_BYTES] {
        Header::bytes(self.session, self.sequence, self.count)
    }
}

/// A heartbeat: `next` is the number of the next message to come (1 before the first).
pub fn heartbeat(session: Session, next: u64) -> [u8; HEADER_BYTES] {
    Header::bytes(session, next, 0)
}

/// An end of session: `next` is one above the last number ever used.
pub fn end_of_session(session: Session, next: u64) -> [u8; HEADER_BYTES] {
    Header::bytes(session, next, END_OF_SESSION)
}

/// Fills one downstream packet in place.
///
/// The buffer is the packet: its length is the largest payload. Blocks are appended until one does not fit; [`finish`] then
/// writes the header and says how many bytes to send. A packet finished without a message is a heartbeat.
///
/// [`finish`]: PacketBuilder::finish
#[derive(Debug)]
pub struct PacketBuilder<'a> {
    buffer: &'a mut [u8],
    session: Session,
    sequence: u64,
    used: usize,
    count: u16,
}

impl<'a> PacketBuilder<'a> {
    /// Begins a packet whose first message has number `sequence`.
    ///
    /// # Panics
    /// When `buffer` has no room for the header.
    pub fn new(buffer: &'a mut [u8], session: Session, sequence: u64) -> Self {
        assert!(buffer.len() >= HEADER_BYTES, "a packet buffer of {} bytes holds no header", buffer.len());
        Self { buffer, session, sequence, used: HEADER_BYTES, count: 0 }
    }

    /// The longest message that still fits; 0 also when not even an empty one does.
    pub fn room(&self) -> usize {
        if self.count == MAX_MESSAGES {
            return 0;
        }
        (self.buffer.len() - self.used).saturating_sub(BLOCK_LENGTH_BYTES).min(usize::from(u16::MAX))
    }

    /// Appends a message; false, with nothing changed, when it does not fit.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        match self.reserve(message.len()) {
            Some(slot) => {
                slot.copy_from_slice(message);
                true
            }
            None => false,
        }
    }

    /// Appends a message of `length` bytes to be filled in by the caller (the slot holds whatever the buffer held); `None`,
    /// with nothing changed, when it does not fit.
    #[must_use]
    pub fn reserve(&mut self, length: usize) -> Option<&mut [u8]> {
        let prefix = u16::try_from(length).ok()?.to_be_bytes();
        let start = self.used + BLOCK_LENGTH_BYTES;
        let end = start + length;
        if self.count == MAX_MESSAGES || end > self.buffer.len() {
            return None;
        }
        self.buffer[self.used..start].copy_from_slice(&prefix);
        self.used = end;
        self.count += 1;
        Some(&mut self.buffer[start..end])
    }

    /// Where the next message goes, as long as [`room`] says: fill in its front and [`accept`] it.
    ///
    /// [`room`]: PacketBuilder::room
    /// [`accept`]: PacketBuilder::accept
    pub fn vacant(&mut self) -> &mut [u8] {
        let start = (self.used + BLOCK_LENGTH_BYTES).min(self.buffer.len());
        let room = self.room();
        &mut self.buffer[start..start + room]
    }

    /// Appends the message whose `length` bytes are at the front of [`PacketBuilder::vacant`].
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn accept(&mut self, length: usize) {
        assert!(self.reserve(length).is_some(), "{length} bytes do not fit");
    }

    /// How many messages have been appended.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The number the next message appended will have.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + u64::from(self.count)
    }

    /// Writes the header; returns how many bytes of the buffer are the packet.
    pub fn finish(self) -> usize {
        let header = Header::bytes(self.session, self.sequence, self.count);
        self.buffer[..HEADER_BYTES].copy_from_slice(&header);
        self.used
    }
}

#[cfg(test)]
mod tests;
