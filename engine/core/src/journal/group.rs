//! The on-disk group: what one write puts into a segment, byte by byte.
//!
//! A group is a header, messages and zeros up to a whole number of blocks. All numbers are big-endian, as on the wire.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `GDSJ` |
//! | 4 | 2 | format version, 2 |
//! | 6 | 1 | kind: `M` messages, `C` clean end (no messages) |
//! | 7 | 1 | reserved, 0 |
//! | 8 | 10 | stream session |
//! | 18 | 2 | reserved, 0 |
//! | 20 | 4 | bytes of the group, header and padding included: a multiple of 4096 |
//! | 24 | 8 | sequence number of the first message (clean end: of the next message) |
//! | 32 | 4 | message count |
//! | 36 | 4 | CRC-32C of the whole group, taken with this field as 0 |
//! | 40 | 8 | number known durable before this group: every message up to it would survive a power cut |
//! | 48 | 8 | segment |
//! | 56 | 4 | offset of the group in its segment, in blocks |
//! | 60 | 4 | CRC-32C of the group before this one in the journal (0: there is none) |
//!
//! Each message follows as `length u32 | epoch u32 | chain u64 | bytes`, unaligned; its chain is the running checksum of the stream up to it
//! ([`chained`](crate::memory::ring::chained)). Segment and offset in the header tell a block that
//! was written to, or copied from, another place; the checksum of the group before tells a group of an earlier life that
//! happens to carry the right numbers.
use std::fmt;

use gds_wire::session::Session;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::walk::Position;
use crate::disk::{BLOCK_BYTES, Block};

/// Bytes of a group before its first message.
pub const GROUP_HEADER_BYTES: usize = 64;
/// Bytes before each message in a group.
pub const MESSAGE_HEADER_BYTES: usize = 16;
/// The longest message the journal takes: with both headers it fills one block, so a message never needs more than one
/// block of its own, which is what reserving room by the number of messages rests on.
pub const MESSAGE_BYTES_MAX: usize = BLOCK_BYTES - GROUP_HEADER_BYTES - MESSAGE_HEADER_BYTES;
/// The longest group the format allows; readers hold a buffer of this size.
pub const GROUP_BYTES_MAX: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"GDSJ";
const VERSION: u16 = 2;
const CHECKSUM_AT: usize = 36;
const KIND_MESSAGES: u8 = b'M';
const KIND_CLEAN_END: u8 = b'C';

/// The first 64 bytes of a group.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct GroupHeader {
    magic: [u8; 4],
    version: U16,
    kind: u8,
    reserved: u8,
    stream: Session,
    reserved_too: U16,
    bytes: U32,
    first: U64,
    count: U32,
    checksum: U32,
    durable: U64,
    segment: U64,
    offset_blocks: U32,
    previous: U32,
}

const _: () = assert!(size_of::<GroupHeader>() == GROUP_HEADER_BYTES);
const _: () = assert!(std::mem::offset_of!(GroupHeader, checksum) == CHECKSUM_AT);

/// Why bytes are not a whole group of this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// No group begins here (zeros, or the middle of something).
    NotAGroup,
    /// A whole group in a format this version does not know.
    Version(u16),
    /// A header with an impossible field.
    Header,
    /// The group reaches beyond the end of the segment.
    Short,
    /// The checksum does not match: torn, or damaged.
    Checksum,
    /// A whole group, but of another segment or offset.
    Misplaced,
    /// The checksum matches and the messages do not fit the group.
    Messages,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAGroup => f.write_str("no group begins here"),
            Self::Version(version) => {
                write!(f, "the group has format version {version}, this program knows {VERSION}")
            }
            Self::Header => f.write_str("the group's header has an impossible field"),
            Self::Short => f.write_str("the group reaches beyond the end of its segment"),
            Self::Checksum => f.write_str("the group's checksum does not match"),
            Self::Misplaced => f.write_str("the group belongs to another segment or offset"),
            Self::Messages => f.write_str("the group's messages do not fit it"),
        }
    }
}

impl std::error::Error for GroupError {}

/// A whole group, checked.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    header: &'a GroupHeader,
    bytes: &'a [u8],
}

impl<'a> Group<'a> {
    /// How many bytes the group at the start of `bytes` says it has, when its header can be one.
    pub(super) fn claimed_bytes(bytes: &[u8]) -> Result<usize, GroupError> {
        let (header, _) = GroupHeader::ref_from_prefix(bytes).map_err(|_| GroupError::Short)?;
        if header.magic != MAGIC {
            return Err(GroupError::NotAGroup);
        }
        let claimed = header.bytes.get() as usize;
        let possible = claimed != 0 && claimed.is_multiple_of(BLOCK_BYTES) && claimed <= GROUP_BYTES_MAX;
        if possible { Ok(claimed) } else { Err(GroupError::Header) }
    }

    /// Where the group at the start of `bytes` says it lies.
    pub(super) fn claimed_place(bytes: &[u8]) -> Result<Position, GroupError> {
        let (header, _) = GroupHeader::ref_from_prefix(bytes).map_err(|_| GroupError::Short)?;
        let offset = u64::from(header.offset_blocks.get()) * BLOCK_BYTES as u64;
        Ok(Position { segment: header.segment.get(), offset })
    }

    /// The first sequence number of the group that a segment begins with, as its unchecked header has it.
    pub(super) fn claimed_first(bytes: &[u8], stream: Session, segment: u64) -> Option<u64> {
        Self::claimed_bytes(bytes).ok()?;
        let (header, _) = GroupHeader::ref_from_prefix(bytes).ok()?;
        let here = header.segment.get() == segment && header.offset_blocks.get() == 0;
        (here && header.stream == stream).then(|| header.first.get())
    }

    /// Checks the group that begins at byte 0 of `bytes`, which are those of `segment` from `offset` on.
    pub fn parse(bytes: &'a [u8], segment: u64, offset: u64) -> Result<Self, GroupError> {
        let claimed = Self::claimed_bytes(bytes)?;
        let bytes = bytes.get(..claimed).ok_or(GroupError::Short)?;
        let (header, _) = GroupHeader::ref_from_prefix(bytes).map_err(|_| GroupError::Short)?;
        if checksum(bytes) != header.checksum.get() {
            return Err(GroupError::Checksum);
        }
        if header.version.get() != VERSION {
            return Err(GroupError::Version(header.version.get()));
        }
        let group = Self { header, bytes };
        if group.segment() != segment || group.offset() != offset {
            return Err(GroupError::Misplaced);
        }
        group.check_messages()?;
        Ok(group)
    }

    fn check_messages(&self) -> Result<(), GroupError> {
        let header = self.header;
        let kind_fits = match header.kind {
            KIND_MESSAGES => header.count.get() > 0,
            KIND_CLEAN_END => header.count.get() == 0,
            _ => return Err(GroupError::Header),
        };
        let numbers_fit = header.first.get().checked_add(u64::from(header.count.get())).is_some();
        if !kind_fits || !numbers_fit || header.first.get() == 0 {
            return Err(GroupError::Header);
        }
        let mut messages = self.messages();
        for _ in messages.by_ref() {}
        let whole = messages.left == 0 && messages.rest.len() < BLOCK_BYTES;
        if whole { Ok(()) } else { Err(GroupError::Messages) }
    }

    /// The stream the group belongs to.
    pub fn stream(&self) -> Session {
        self.header.stream
    }

    /// The segment the group lies in.
    pub fn segment(&self) -> u64 {
        self.header.segment.get()
    }

    /// Byte offset of the group in its segment.
    pub fn offset(&self) -> u64 {
        u64::from(self.header.offset_blocks.get()) * BLOCK_BYTES as u64
    }

    /// Length in bytes, header and padding included.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Sequence number of the first message; in a clean end that of the message that would have come next.
    pub fn first(&self) -> u64 {
        self.header.first.get()
    }

    /// The sequence number that follows the group's last message.
    pub fn next(&self) -> u64 {
        self.first() + u64::from(self.count())
    }

    /// How many messages the group holds.
    pub fn count(&self) -> u32 {
        self.header.count.get()
    }

    /// True for the mark of an orderly close.
    pub fn is_clean_end(&self) -> bool {
        self.header.kind == KIND_CLEAN_END
    }

    /// Every message up to this number was known to survive a power cut before this group was written.
    pub fn durable_before(&self) -> u64 {
        self.header.durable.get()
    }

    /// CRC-32C of the group.
    pub fn checksum(&self) -> u32 {
        self.header.checksum.get()
    }

    /// CRC-32C of the group before this one in the journal.
    pub fn previous_checksum(&self) -> u32 {
        self.header.previous.get()
    }

    /// The messages in order.
    pub fn messages(&self) -> Messages<'a> {
        Messages { sequence: self.first(), left: self.count(), rest: &self.bytes[GROUP_HEADER_BYTES..] }
    }
}

/// One message of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// The epoch it was first numbered under.
    pub epoch: u32,
    /// The running checksum of all messages up to it.
    pub chain: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Iterates over the messages of a group.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    sequence: u64,
    left: u32,
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        if self.left == 0 {
            return None;
        }
        let Entry { epoch, chain, bytes } = split_message(self.rest)?;
        let message = Message { sequence: self.sequence, epoch, chain, bytes };
        self.rest = &self.rest[MESSAGE_HEADER_BYTES + bytes.len()..];
        self.left -= 1;
        self.sequence += 1;
        Some(message)
    }
}

/// A message as it lies in a group.
pub(super) struct Entry<'a> {
    pub epoch: u32,
    pub chain: u64,
    pub bytes: &'a [u8],
}

/// What a message begins with.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MessageHeader {
    length: U32,
    epoch: U32,
    chain: U64,
}

const _: () = assert!(size_of::<MessageHeader>() == MESSAGE_HEADER_BYTES);

/// The message that begins at byte 0.
pub(super) fn split_message(bytes: &[u8]) -> Option<Entry<'_>> {
    let (header, rest) = MessageHeader::ref_from_prefix(bytes).ok()?;
    let bytes = rest.get(..header.length.get() as usize)?;
    Some(Entry { epoch: header.epoch.get(), chain: header.chain.get(), bytes })
}

fn checksum(group: &[u8]) -> u32 {
    let before = crc32c::crc32c(&group[..CHECKSUM_AT]);
    let field = crc32c::crc32c_append(before, &[0; 4]);
    crc32c::crc32c_append(field, &group[CHECKSUM_AT + 4..])
}

/// Where a group goes and what comes before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub stream: Session,
    pub segment: u64,
    pub offset: u64,
    pub durable: u64,
    pub previous: u32,
}

/// A group being built in a buffer that is used again and again.
pub(super) struct GroupBuffer {
    blocks: Vec<Block>,
    first: u64,
    count: u32,
    used_bytes: usize,
    room_bytes: usize,
    full: bool,
}

impl GroupBuffer {
    /// An empty group in `blocks`, to begin with message `first` and to stay within `room_bytes`.
    pub fn begin(blocks: Vec<Block>, first: u64, room_bytes: usize) -> Self {
        let room_bytes = room_bytes.min(blocks.len() * BLOCK_BYTES);
        assert!(room_bytes >= BLOCK_BYTES, "a group needs a block at least");
        Self { blocks, first, count: 0, used_bytes: GROUP_HEADER_BYTES, room_bytes, full: false }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// The sequence number that follows the last message taken.
    pub fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many blocks the group takes as it is.
    pub fn block_count(&self) -> usize {
        self.used_bytes.div_ceil(BLOCK_BYTES)
    }

    /// True once a message did not fit any more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The next message does not fit.
    pub fn close(&mut self) {
        self.full = true;
    }

    /// Where the next message's bytes go: as much as still fits, perhaps nothing.
    pub fn slot(&mut self) -> &mut [u8] {
        let from = (self.used_bytes + MESSAGE_HEADER_BYTES).min(self.room_bytes);
        &mut self.blocks.as_mut_bytes()[from..self.room_bytes]
    }

    /// Takes what was put into the first `length` bytes of the slot as the next message.
    pub fn take(&mut self, length: usize, epoch: u32, chain: u64) {
        let body = self.used_bytes + MESSAGE_HEADER_BYTES;
        assert!(
            body + length <= self.room_bytes && length <= MESSAGE_BYTES_MAX,
            "message of {length} B does not fit"
        );
        let head = &mut self.blocks.as_mut_bytes()[self.used_bytes..body];
        let header =
            MessageHeader { length: U32::new(length as u32), epoch: epoch.into(), chain: chain.into() };
        head.copy_from_slice(header.as_bytes());
        self.used_bytes = body + length;
        self.count += 1;
    }

    /// Pads and seals the group: its buffer, how many blocks of it count, and the checksum. A group without messages
    /// becomes a clean end.
    pub fn seal(mut self, seal: Seal) -> (Vec<Block>, usize, u32) {
        let count = self.block_count();
        let kind = if self.count == 0 { KIND_CLEAN_END } else { KIND_MESSAGES };
        let header = GroupHeader {
            magic: MAGIC,
            version: U16::new(VERSION),
            kind,
            reserved: 0,
            stream: seal.stream,
            reserved_too: U16::new(0),
            bytes: U32::new((count * BLOCK_BYTES) as u32),
            first: U64::new(self.first),
            count: U32::new(self.count),
            checksum: U32::new(0),
            durable: U64::new(seal.durable),
            segment: U64::new(seal.segment),
            offset_blocks: U32::new(
                u32::try_from(seal.offset / BLOCK_BYTES as u64).expect("segments stay below 16 TiB"),
            ),
            previous: U32::new(seal.previous),
        };
        let bytes = &mut self.blocks.as_mut_bytes()[..count * BLOCK_BYTES];
        bytes[..GROUP_HEADER_BYTES].copy_from_slice(header.as_bytes());
        bytes[self.used_bytes..].fill(0);
        let sum = checksum(bytes);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        (self.blocks, count, sum)
    }

    /// Gives the buffer back without writing.
    pub fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }
}
