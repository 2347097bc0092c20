//! Snapshots on their way to another node: chunks as they lie on one disk, put on another one as they come.
//!
//! Chunks say where they belong and what came before them, so the receiver takes nothing that it has not checked, a chunk of another snapshot least of
//! all. They keep the numbers of their segments: a snapshot lies in the learner's folder as it lay in the giver's. What has come so far is told from the
//! disk alone, so that another process goes on behind it.
use super::Snapshot;
use super::chunk::{CHUNK_BYTES, Chunk, ChunkBuffer, ChunkError, ChunkKind, Frame};
use super::reader::Places;
use crate::disk::{BLOCK_BYTES, Disk, DiskError, DiskWrite};
use gds_wire::session::Session;
use std::fmt;
use zerocopy::IntoBytes;

/// Why a chunk is not given, or not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// It is not the chunk wanted.
    Chunk(u32, ChunkError),
    /// The snapshot ends before it should, or does not end.
    End(u32),
    /// The disk cannot be read or written.
    Disk(DiskError),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(number, error) => write!(f, "chunk {number} of the snapshot: {error}"),
            Self::End(number) => {
                write!(f, "chunk {number} of the snapshot is not where its end mark should be")
            }
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransferError {}

/// Copies chunk `number` of a snapshot of `stream` into `into`, in the place of what was there; checked, but for its place behind those before it.
pub fn read_chunk(
    disk: &mut dyn Disk,
    stream: Session,
    snapshot: &Snapshot,
    number: u32,
    into: &mut Vec<u8>,
) -> Result<(), TransferError> {
    let places = Places::of(disk, snapshot.first_segment).map_err(TransferError::Disk)?;
    let (segment, offset) = places.at(number);
    into.resize(CHUNK_BYTES, 0);
    let read = disk.read(segment, offset, into).map_err(TransferError::Disk)?;
    let chunk = Chunk::parse(&into[..read]).map_err(|error| TransferError::Chunk(number, error))?;
    let place = (chunk.frame.stream, chunk.frame.sequence, chunk.frame.segment, chunk.frame.number);
    if place != (stream, snapshot.sequence, snapshot.first_segment, number) {
        return Err(TransferError::Chunk(number, ChunkError::Misplaced));
    }
    let length = chunk.length();
    into.truncate(length);
    Ok(())
}

/// A snapshot that comes chunk by chunk, each checked and put on a disk that holds nothing else.
pub struct Arrival {
    stream: Session,
    sequence: u64,
    chunks: u32,
    segment_bytes: u64,
    /// Of the next chunk; `None` before the first, which says in which segment the snapshot begins.
    frame: Option<Frame>,
    /// The last segment that is there.
    made: Option<u64>,
}

impl Arrival {
    /// Of the snapshot of `stream` at message `sequence`, which has so many chunks; segments have `segment_bytes`, whole chunks.
    pub fn new(stream: Session, sequence: u64, chunks: u32, segment_bytes: u64) -> Self {
        assert!(segment_bytes >= CHUNK_BYTES as u64, "{segment_bytes} B of segment");
        Self { stream, sequence, chunks, segment_bytes, frame: None, made: None }
    }

    /// The same, of one of which a process that has ended took a part, or nothing, on this disk: goes on behind the last chunk that is there, whole and
    /// in its place. From the return on these would survive a power cut.
    pub fn resume(self, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let mut arrival = self;
        let segments = disk.segments()?;
        let Some(&first) = segments.first() else { return Ok(arrival) };
        let places = Places::new(first, arrival.segment_bytes);
        let mut bytes = vec![0; CHUNK_BYTES];
        let mut last = None;
        while !arrival.is_whole() {
            let (segment, offset) = places.at(arrival.next());
            if !segments.contains(&segment) || disk.length(segment)? != arrival.segment_bytes {
                break;
            }
            let read = disk.read(segment, offset, &mut bytes)?;
            let length = Chunk::parse(&bytes[..read]).map_or(0, |chunk| chunk.length());
            let Ok((frame, chunk)) = arrival.check(&bytes[..length]) else { break };
            if frame.segment != first {
                break;
            }
            arrival.frame = Some(frame.next(chunk.checksum));
            last = Some(segment);
        }
        arrival.made = segments.last().copied();
        if let Some(segment) = last {
            // Those before it were on the disk for good when it began.
            finish(disk, DiskWrite { segment, offset: 0, blocks: Vec::new(), count: 0, sync: true })?;
        }
        Ok(arrival)
    }

    /// The message of the snapshot.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The chunk wanted next.
    pub fn next(&self) -> u32 {
        self.frame.map_or(0, |frame| frame.number)
    }

    /// Everything has come, and is on the disk for good.
    pub fn is_whole(&self) -> bool {
        self.next() == self.chunks
    }

    /// Takes the next chunk; waits for the disk.
    ///
    /// # Errors
    /// When these bytes are not that chunk, and nothing is changed then; or when they cannot be written.
    pub fn take(&mut self, disk: &mut dyn Disk, bytes: &[u8]) -> Result<(), TransferError> {
        let (frame, chunk) = self.check(bytes)?;
        let last = frame.number + 1 == self.chunks;
        self.write(disk, &frame, bytes, last).map_err(TransferError::Disk)?;
        self.frame = Some(frame.next(chunk.checksum));
        Ok(())
    }

    /// These bytes as the next chunk, which they must be, and where it belongs.
    fn check<'b>(&self, bytes: &'b [u8]) -> Result<(Frame, Chunk<'b>), TransferError> {
        let number = self.next();
        let chunk = Chunk::parse(bytes).map_err(|error| TransferError::Chunk(number, error))?;
        let segment = self.frame.map_or(chunk.frame.segment, |frame| frame.segment);
        let first = Frame { stream: self.stream, sequence: self.sequence, segment, number: 0, chain: 0 };
        let frame = self.frame.unwrap_or(first);
        let in_turn = (number == 0) == (chunk.kind == ChunkKind::Head);
        if chunk.frame != frame || !in_turn || chunk.length() != bytes.len() || segment == 0 {
            return Err(TransferError::Chunk(number, ChunkError::Misplaced));
        }
        let last = number + 1 == self.chunks;
        if number >= self.chunks || last != (chunk.kind == ChunkKind::End) {
            return Err(TransferError::End(number));
        }
        Ok((frame, chunk))
    }

    fn write(
        &mut self,
        disk: &mut dyn Disk,
        frame: &Frame,
        bytes: &[u8],
        last: bool,
    ) -> Result<(), DiskError> {
        let places = Places::new(frame.segment, self.segment_bytes);
        let (segment, offset) = places.at(frame.number);
        if self.made < Some(segment) {
            disk.create(segment, self.segment_bytes)?;
            self.made = Some(segment);
        }
        let mut blocks = ChunkBuffer::blocks();
        blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        let sync = last || offset + 2 * CHUNK_BYTES as u64 > self.segment_bytes;
        finish(disk, DiskWrite { segment, offset, blocks, count: bytes.len().div_ceil(BLOCK_BYTES), sync })
    }
}

/// Writes, and waits for the disk.
fn finish(disk: &mut dyn Disk, write: DiskWrite) -> Result<(), DiskError> {
    disk.submit(write);
    match disk.wait() {
        Some((_, result)) => result,
        None => Err(DiskError::Failed("the disk lost track of a write".into())),
    }
}
