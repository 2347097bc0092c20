//! Snapshots on their way from one node of a cluster to another, over TCP.
//!
//! Both sides say [`Frame`]s. A learner asks what there is ([`Frame::Question`]), is answered with an [`Offer`], and wants the snapshot's chunks from
//! one on ([`Frame::Get`]); it gets them one after the other, to the last ([`Frame::Chunk`]). A link that breaks costs what was under way: the learner
//! asks for the chunks from the first one on that it lacks. Whatever is not done is a [`Frame::Refusal`].
//!
//! ```text
//!  0        4         8        12     13         14       24
//! +--------+---------+--------+------+----------+--------+------
//! | "GDSS" | CRC-32C | length | kind | reserved | stream | body
//! +--------+---------+--------+------+----------+--------+------
//! ```
//!
//! The length is that of the whole frame; the checksum is of all that follows it. A chunk is what stands in the snapshot, byte by byte: it has a
//! checksum and a place of its own, which whoever takes it checks.
use crate::checksum;
use crate::session::Session;
use std::fmt;
use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a frame begins with.
pub const FRAME_MAGIC: [u8; 4] = *b"GDSS";
/// Bytes of a frame before its body.
pub const FRAME_BYTES: usize = 24;
/// Bytes of a frame that tell how long it is.
pub const LENGTH_BYTES: usize = 12;
/// Longest body: a chunk.
pub const BODY_BYTES_MAX: usize = 256 << 10;

const CHECKED_FROM: usize = 8;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FrameLayout {
    magic: [u8; 4],
    checksum: U32,
    length: U32,
    kind: u8,
    reserved: u8,
    stream: Session,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct GetLayout {
    sequence: U64,
    chunk: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OfferLayout {
    first_kept: U64,
    sequence: U64,
    chunks: U32,
    epoch: U32,
    chain: U64,
    acknowledgement_chain: U64,
    message_bytes: U16,
}

const _: () = assert!(size_of::<FrameLayout>() == FRAME_BYTES);
const _: () = assert!(size_of::<GetLayout>() == 12);
const _: () = assert!(size_of::<OfferLayout>() == 42);

/// What a node has for a learner.
///
/// ```text
///  0            8          16       20      24      32                      40              42
/// +------------+----------+--------+-------+-------+-----------------------+---------------+---------+-----------------
/// | first kept | sequence | chunks | epoch | chain | acknowledgement chain | message bytes | message | acknowledgement
/// +------------+----------+--------+-------+-------+-----------------------+---------------+---------+-----------------
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The first message that the node's journal keeps; 0: it has none.
    pub first_kept: u64,
    /// The message after which its newest whole snapshot shows the store; 0: it has no snapshot, and all that follows is 0 or empty.
    pub sequence: u64,
    /// Chunks of the snapshot.
    pub chunks: u32,
    /// The epoch that message was first numbered in: journals that follow are matched from it on (R11).
    pub epoch: u32,
    /// The running checksum of the stream up to that message: what follows is compared from it on.
    pub chain: u64,
    /// The running checksum of the acknowledgements up to its own.
    pub acknowledgement_chain: u64,
    /// That message, as the journal has it.
    pub message: &'a [u8],
    /// Its acknowledgement, as the acknowledgements' journal has it.
    pub acknowledgement: &'a [u8],
}

impl<'a> Offer<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (layout, rest) = OfferLayout::ref_from_prefix(body).ok()?;
        let (message, acknowledgement) = rest.split_at_checked(usize::from(layout.message_bytes.get()))?;
        let offer = Self {
            first_kept: layout.first_kept.get(),
            sequence: layout.sequence.get(),
            chunks: layout.chunks.get(),
            epoch: layout.epoch.get(),
            chain: layout.chain.get(),
            acknowledgement_chain: layout.acknowledgement_chain.get(),
            message,
            acknowledgement,
        };
        let has = offer.sequence > 0;
        let counts = has == (offer.chunks > 0)
            && (has || offer.epoch == 0 && offer.chain == 0 && offer.acknowledgement_chain == 0);
        (counts && has != message.is_empty() && has != acknowledgement.is_empty()).then_some(offer)
    }
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SnapshotRefusal {
    /// The node gives a snapshot to another one now.
    Busy = b'B',
    /// It has this snapshot no more.
    Gone = b'G',
    /// It holds another stream.
    Stream = b'S',
    /// It cannot read the snapshot.
    Unreadable = b'U',
}

impl SnapshotRefusal {
    fn of(code: u8) -> Option<Self> {
        [Self::Busy, Self::Gone, Self::Stream, Self::Unreadable]
            .into_iter()
            .find(|&reason| reason as u8 == code)
    }
}

impl fmt::Display for SnapshotRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "it gives a snapshot to another node now",
            Self::Gone => "it has this snapshot no more",
            Self::Stream => "it holds another stream",
            Self::Unreadable => "it cannot read its snapshot",
        })
    }
}

/// What either side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// What do you have?
    Question,
    /// This.
    Offer(Offer<'a>),
    /// Send the chunks of the snapshot at this message, from this one on.
    Get {
        /// The snapshot's message.
        sequence: u64,
        /// The first chunk wanted, from 0.
        chunk: u32,
    },
    /// The next chunk.
    Chunk(&'a [u8]),
    /// No.
    Refusal(SnapshotRefusal),
}

impl<'a> Frame<'a> {
    /// How long the frame is that begins with these bytes; `None` when none does.
    pub fn length(head: &[u8; LENGTH_BYTES]) -> Option<usize> {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let possible = (FRAME_BYTES..=FRAME_BYTES + BODY_BYTES_MAX).contains(&length);
        (head[..FRAME_MAGIC.len()] == FRAME_MAGIC && possible).then_some(length)
    }

    /// Reads a whole frame, and of which stream it is; `None` when it is something else, or damaged.
    pub fn parse(frame: &'a [u8]) -> Option<(Session, Self)> {
        let (layout, body) = FrameLayout::ref_from_prefix(frame).ok()?;
        let whole = layout.magic == FRAME_MAGIC
            && layout.length.get() as usize == frame.len()
            && body.len() <= BODY_BYTES_MAX
            && layout.reserved == 0
            && layout.checksum.get() == checksum(&frame[CHECKED_FROM..]);
        if !whole {
            return None;
        }
        let said = match layout.kind {
            b'Q' if body.is_empty() => Self::Question,
            b'O' => Self::Offer(Offer::parse(body)?),
            b'G' => {
                let get = GetLayout::ref_from_bytes(body).ok()?;
                Self::Get { sequence: get.sequence.get(), chunk: get.chunk.get() }
            }
            b'C' => Self::Chunk(body),
            b'R' => match body {
                [code] => Self::Refusal(SnapshotRefusal::of(*code)?),
                _ => return None,
            },
            _ => return None,
        };
        Some((layout.stream, said))
    }

    /// The frame, of this stream, in the place of what `into` held.
    ///
    /// # Panics
    /// For a chunk, or a message with its acknowledgement, of more than [`BODY_BYTES_MAX`].
    pub fn write(&self, stream: Session, into: &mut Vec<u8>) {
        into.clear();
        into.resize(FRAME_BYTES, 0);
        let kind = self.write_body(into);
        assert!(into.len() <= FRAME_BYTES + BODY_BYTES_MAX, "{} bytes of a frame", into.len());
        let layout = FrameLayout {
            magic: FRAME_MAGIC,
            checksum: 0.into(),
            length: U32::new(into.len() as u32),
            kind,
            reserved: 0,
            stream,
        };
        into[..FRAME_BYTES].copy_from_slice(layout.as_bytes());
        let sum = checksum(&into[CHECKED_FROM..]).to_be_bytes();
        into[CHECKED_FROM - sum.len()..CHECKED_FROM].copy_from_slice(&sum);
    }

    /// Adds the body; says of which kind it is.
    fn write_body(&self, into: &mut Vec<u8>) -> u8 {
        match self {
            Self::Question => b'Q',
            Self::Offer(offer) => {
                let layout = OfferLayout {
                    first_kept: offer.first_kept.into(),
                    sequence: offer.sequence.into(),
                    chunks: offer.chunks.into(),
                    epoch: offer.epoch.into(),
                    chain: offer.chain.into(),
                    acknowledgement_chain: offer.acknowledgement_chain.into(),
                    message_bytes: u16::try_from(offer.message.len()).expect("a message is shorter").into(),
                };
                into.extend_from_slice(layout.as_bytes());
                into.extend_from_slice(offer.message);
                into.extend_from_slice(offer.acknowledgement);
                b'O'
            }
            Self::Get { sequence, chunk } => {
                let layout = GetLayout { sequence: (*sequence).into(), chunk: (*chunk).into() };
                into.extend_from_slice(layout.as_bytes());
                b'G'
            }
            Self::Chunk(chunk) => {
                into.extend_from_slice(chunk);
                b'C'
            }
            Self::Refusal(reason) => {
                into.push(*reason as u8);
                b'R'
            }
        }
    }
}

#[cfg(test)]
mod tests;
