//! The frame of a chunk: what one write carries, and how it is told from anything else.
use crate::disk::{BLOCK_BYTES, Block};
use gds_wire::session::Session;
use std::fmt;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Room of each chunk on the disk. What it does not fill is not written.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a chunk before its first entry.
pub const CHUNK_HEADER_BYTES: usize = 64;

pub(super) const CHUNK_BLOCKS: usize = CHUNK_BYTES / BLOCK_BYTES;
const MAGIC: [u8; 4] = *b"GDSN";
const VERSION: u16 = 1;
const CHECKSUM_AT: usize = 36;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum ChunkKind {
    /// One [`Head`](super::entries::Head).
    Head = b'H',
    Tables = b'T',
    Schemas = b'S',
    Ended = b'G',
    Sessions = b'C',
    Versions = b'V',
    /// The end mark: one [`End`](super::entries::End).
    End = b'E',
}

impl ChunkKind {
    fn of(code: u8) -> Option<Self> {
        let all =
            [Self::Head, Self::Tables, Self::Schemas, Self::Ended, Self::Sessions, Self::Versions, Self::End];
        all.into_iter().find(|&kind| kind as u8 == code)
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ChunkHeader {
    magic: [u8; 4],
    version: U16,
    kind: u8,
    reserved: u8,
    stream: Session,
    reserved_too: U16,
    bytes: U32,
    sequence: U64,
    number: U32,
    checksum: U32,
    entries: U32,
    chain: U32,
    segment: U64,
    reserved_at_the_end: U64,
}

const _: () = assert!(size_of::<ChunkHeader>() == CHUNK_HEADER_BYTES);
const _: () = assert!(std::mem::offset_of!(ChunkHeader, checksum) == CHECKSUM_AT);
const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES));

/// Why bytes are not the chunk wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// No chunk begins here.
    NotAChunk,
    /// A whole chunk in a format this program does not know.
    Version(u16),
    /// A header with an impossible field.
    Header,
    /// The checksum does not match.
    Checksum,
    /// A whole chunk of another place, snapshot or stream, or one that does not continue those before it.
    Misplaced,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAChunk => f.write_str("no chunk begins there"),
            Self::Version(version) => {
                write!(f, "the chunk has format version {version}, this program knows {VERSION}")
            }
            Self::Header => f.write_str("the chunk's header has an impossible field"),
            Self::Checksum => f.write_str("the chunk's checksum does not match"),
            Self::Misplaced => f.write_str("the chunk belongs to another place"),
        }
    }
}

impl std::error::Error for ChunkError {}

/// Where a chunk belongs, and what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub stream: Session,
    /// Of the snapshot.
    pub sequence: u64,
    /// The snapshot's first segment.
    pub segment: u64,
    /// Number of the chunk in its snapshot, from 0.
    pub number: u32,
    /// CRC-32C of the checksums of all chunks before.
    pub chain: u32,
}

impl Frame {
    /// Of the chunk behind the one with this checksum.
    pub fn next(self, checksum: u32) -> Self {
        let chain = crc32c::crc32c_append(self.chain, &checksum.to_be_bytes());
        Self { number: self.number + 1, chain, ..self }
    }
}

/// A chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub kind: ChunkKind,
    pub frame: Frame,
    pub entries: u32,
    pub checksum: u32,
    /// What is behind the header.
    pub body: &'a [u8],
    /// Not all of the body is there.
    cut: bool,
}

impl<'a> Chunk<'a> {
    /// The chunk that begins with these bytes, checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let chunk = Self::claimed(bytes)?;
        let used = CHUNK_HEADER_BYTES + chunk.body.len();
        if chunk.cut || checksum(&bytes[..used]) != chunk.checksum {
            return Err(ChunkError::Checksum);
        }
        Ok(chunk)
    }

    /// Bytes of it, header included.
    pub fn length(&self) -> usize {
        CHUNK_HEADER_BYTES + self.body.len()
    }

    /// What the chunk that begins with these bytes says of itself, perhaps without all of its body. Nothing of it is checked.
    pub fn claimed(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let (header, rest) = ChunkHeader::ref_from_prefix(bytes).map_err(|_| ChunkError::NotAChunk)?;
        if header.magic != MAGIC {
            return Err(ChunkError::NotAChunk);
        }
        if header.version.get() != VERSION {
            return Err(ChunkError::Version(header.version.get()));
        }
        let used = header.bytes.get() as usize;
        if !(CHUNK_HEADER_BYTES..=CHUNK_BYTES).contains(&used) {
            return Err(ChunkError::Header);
        }
        let body = used - CHUNK_HEADER_BYTES;
        Ok(Self {
            kind: ChunkKind::of(header.kind).ok_or(ChunkError::Header)?,
            frame: Frame {
                stream: header.stream,
                sequence: header.sequence.get(),
                segment: header.segment.get(),
                number: header.number.get(),
                chain: header.chain.get(),
            },
            entries: header.entries.get(),
            checksum: header.checksum.get(),
            cut: rest.len() < body,
            body: &rest[..body.min(rest.len())],
        })
    }
}

fn checksum(chunk: &[u8]) -> u32 {
    let before = crc32c::crc32c(&chunk[..CHECKSUM_AT]);
    let field = crc32c::crc32c_append(before, &[0; 4]);
    crc32c::crc32c_append(field, &chunk[CHECKSUM_AT + 4..])
}

/// A chunk being filled.
pub(super) struct ChunkBuffer {
    blocks: Vec<Block>,
    kind: ChunkKind,
    entries: u32,
    used: usize,
}

impl ChunkBuffer {
    /// Blocks for one chunk.
    pub fn blocks() -> Vec<Block> {
        vec![Block([0; BLOCK_BYTES]); CHUNK_BLOCKS]
    }

    pub fn begin(blocks: Vec<Block>, kind: ChunkKind) -> Self {
        assert_eq!(blocks.len(), CHUNK_BLOCKS, "blocks for one chunk");
        Self { blocks, kind, entries: 0, used: CHUNK_HEADER_BYTES }
    }

    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Adds an entry of these parts, if it still fits.
    pub fn push(&mut self, parts: &[&[u8]]) -> bool {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if self.used + bytes > CHUNK_BYTES {
            return false;
        }
        for part in parts {
            self.blocks.as_mut_bytes()[self.used..self.used + part.len()].copy_from_slice(part);
            self.used += part.len();
        }
        self.entries += 1;
        true
    }

    /// Seals it: its buffer, how many blocks of it count, and its checksum.
    pub fn seal(mut self, frame: Frame) -> (Vec<Block>, usize, u32) {
        let header = ChunkHeader {
            magic: MAGIC,
            version: U16::new(VERSION),
            kind: self.kind as u8,
            reserved: 0,
            stream: frame.stream,
            reserved_too: U16::new(0),
            bytes: U32::new(self.used as u32),
            sequence: U64::new(frame.sequence),
            number: U32::new(frame.number),
            checksum: U32::new(0),
            entries: U32::new(self.entries),
            chain: U32::new(frame.chain),
            segment: U64::new(frame.segment),
            reserved_at_the_end: U64::new(0),
        };
        let count = self.used.div_ceil(BLOCK_BYTES);
        let bytes = &mut self.blocks.as_mut_bytes()[..count * BLOCK_BYTES];
        bytes[..CHUNK_HEADER_BYTES].copy_from_slice(header.as_bytes());
        bytes[self.used..].fill(0);
        let sum = checksum(&bytes[..self.used]);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        (self.blocks, count, sum)
    }

    /// Gives the buffer back without writing.
    pub fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }
}
