//! Finding snapshots, and making a store from one.
use super::Snapshot;
use super::chunk::{CHUNK_BYTES, Chunk, ChunkBuffer, ChunkError, ChunkKind, Frame};
use super::entries::{ClientEntry, End, EndedEntry, Head, SchemaEntry, TableEntry, declared, split_version};
use crate::bus::sessions::SessionImage;
use crate::disk::{BLOCK_BYTES, Block, Disk, DiskError};
use crate::store::{
    Declared, Recount, RestoreError, Restoring, Store, StoreConfig, StoreImage, StoreMemory, VersionEntry,
};
use gds_wire::session::Session;
use std::fmt;
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

/// What is on a disk of snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whole snapshots, the newest last.
    pub whole: Vec<Snapshot>,
    /// Segments of none of them: what was given up, or torn by a crash.
    pub strays: Vec<u64>,
    /// The first file with a part of a snapshot of another stream, and that stream.
    pub foreign: Option<(String, Session)>,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotProblem {
    /// A chunk is not what it should be.
    Chunk(ChunkError),
    /// A chunk holds something that is no entry of its kind, or comes out of turn.
    Entries,
    /// What it holds is no store.
    Restore(RestoreError),
    /// The restored store has another digest.
    Digest {
        /// What it has.
        restored: u128,
        /// What it should have.
        expected: u128,
    },
    /// The disk could not be read.
    Disk(DiskError),
}

impl fmt::Display for SnapshotProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(error) => error.fmt(f),
            Self::Entries => f.write_str("its entries are not what its head says"),
            Self::Restore(error) => error.fmt(f),
            Self::Digest { restored, expected } => {
                write!(f, "the restored store has digest {restored:032x}, it should be {expected:032x}")
            }
            Self::Disk(error) => error.fmt(f),
        }
    }
}

/// A snapshot that cannot be used, and where the reason lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError {
    /// Its sequence number.
    pub sequence: u64,
    /// The file, as a person would look for it.
    pub file: String,
    /// The reason.
    pub problem: SnapshotProblem,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, file, problem } = self;
        write!(f, "the snapshot at message {sequence} cannot be used, {file}: {problem}")
    }
}

impl std::error::Error for SnapshotError {}

/// Looks for whole snapshots of this stream, by their chunks' headers and their end marks. What chunks hold is checked when it is read.
pub fn survey(disk: &mut dyn Disk, stream: Session) -> Result<Survey, DiskError> {
    let segments = disk.segments()?;
    let mut found = Survey::default();
    let mut next = 0;
    while let Some(&segment) = segments.get(next) {
        match look(disk, stream, segment, &segments[next..])? {
            Some(snapshot) => {
                next += (snapshot.last_segment - segment + 1) as usize;
                found.whole.push(snapshot);
            }
            None => {
                next += 1;
                found.strays.push(segment);
                if let (None, Some(other)) = (&found.foreign, foreign(disk, stream, segment)?) {
                    found.foreign = Some((disk.describe(segment), other));
                }
            }
        }
    }
    Ok(found)
}

/// The whole snapshot that begins in `segment`; `segments` are those from it on.
fn look(
    disk: &mut dyn Disk,
    stream: Session,
    segment: u64,
    segments: &[u64],
) -> Result<Option<Snapshot>, DiskError> {
    let mut places = Places::of(disk, segment)?;
    let mut frame = Frame { stream, sequence: 0, segment, number: 0, chain: 0 };
    let mut block = [Block([0; BLOCK_BYTES])];
    loop {
        let (place, offset) = places.next();
        if segments.get((place - segment) as usize) != Some(&place) || places.chunks == 0 {
            return Ok(None);
        }
        let read = disk.read(place, offset, block.as_mut_bytes())?;
        let bytes = &block.as_bytes()[..read];
        let Ok(chunk) = Chunk::claimed(bytes) else { return Ok(None) };
        let first = frame.number == 0;
        if first {
            frame.sequence = chunk.frame.sequence;
        }
        if chunk.frame != frame || first != (chunk.kind == ChunkKind::Head) {
            return Ok(None);
        }
        if chunk.kind == ChunkKind::End {
            let (sequence, chunks) = (frame.sequence, frame.number + 1);
            let snapshot = Snapshot { sequence, first_segment: segment, last_segment: place, chunks };
            return Ok(Chunk::parse(bytes).is_ok().then_some(snapshot));
        }
        let Some(number) = frame.number.checked_add(1) else { return Ok(None) };
        frame = Frame { number, ..frame.next(chunk.checksum) };
    }
}

/// The other stream of whose snapshots this segment is a part, if it is of one.
fn foreign(disk: &mut dyn Disk, stream: Session, segment: u64) -> Result<Option<Session>, DiskError> {
    let mut block = [Block([0; BLOCK_BYTES])];
    let read = disk.read(segment, 0, block.as_mut_bytes())?;
    let found = Chunk::claimed(&block.as_bytes()[..read]).ok().map(|chunk| chunk.frame.stream);
    Ok(found.filter(|&found| found != stream))
}

/// Where the chunks of a snapshot are, in order.
pub(super) struct Places {
    segment: u64,
    number: u32,
    /// Chunks in a segment.
    chunks: u64,
}

impl Places {
    /// Of the one that begins in this segment of a disk.
    pub(super) fn of(disk: &mut dyn Disk, segment: u64) -> Result<Self, DiskError> {
        Ok(Self::new(segment, disk.length(segment)?))
    }

    /// Of one that begins in this segment, where segments have so many bytes.
    pub(super) fn new(segment: u64, segment_bytes: u64) -> Self {
        Self { segment, number: 0, chunks: segment_bytes / CHUNK_BYTES as u64 }
    }

    /// Segment and offset of a chunk.
    pub(super) fn at(&self, number: u32) -> (u64, u64) {
        let (number, chunks) = (u64::from(number), self.chunks.max(1));
        (self.segment + number / chunks, number % chunks * CHUNK_BYTES as u64)
    }

    fn next(&mut self) -> (u64, u64) {
        let place = self.at(self.number);
        self.number = self.number.saturating_add(1);
        place
    }
}

/// A snapshot of which all but the record versions has been read.
pub struct OpenSnapshot<'d> {
    reader: ChunkReader<'d>,
    image: StoreImage,
    digest: u128,
}

impl<'d> OpenSnapshot<'d> {
    /// Reads what comes before the record versions.
    pub fn open(disk: &'d mut dyn Disk, stream: Session, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut reader = ChunkReader::begin(disk, stream, snapshot)?;
        match reader.image() {
            Ok((image, digest)) => Ok(Self { reader, image, digest }),
            Err(problem) => Err(reader.error(problem)),
        }
    }

    /// Everything declared up to it.
    pub fn declared(&self) -> &Declared {
        self.image.declared()
    }

    /// The digest that its store must have.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The store as it was at the snapshot's sequence number.
    pub fn restore(self, config: StoreConfig, memory: StoreMemory) -> Result<Store, SnapshotError> {
        let Self { mut reader, image, digest } = self;
        match reader.restore(config, memory, image, digest) {
            Ok(store) => Ok(store),
            Err(problem) => Err(reader.error(problem)),
        }
    }

    /// Reads all of it, and says whether it is what it should be, its digest included; makes no store, and needs no memory for one.
    pub fn verify(self) -> Result<(), SnapshotError> {
        let Self { mut reader, image, digest } = self;
        reader.verify(image, digest).map_err(|problem| reader.error(problem))
    }
}

/// Reads chunk after chunk.
struct ChunkReader<'d> {
    disk: &'d mut dyn Disk,
    sequence: u64,
    places: Places,
    /// Of the chunk in the buffer.
    frame: Frame,
    segment: u64,
    blocks: Vec<Block>,
    filled: usize,
}

impl<'d> ChunkReader<'d> {
    /// Stands at the first chunk.
    fn begin(disk: &'d mut dyn Disk, stream: Session, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let (segment, sequence) = (snapshot.first_segment, snapshot.sequence);
        let error = |disk: &mut dyn Disk, error| SnapshotError {
            sequence,
            file: disk.describe(segment),
            problem: SnapshotProblem::Disk(error),
        };
        let places = match Places::of(disk, segment) {
            Ok(places) => places,
            Err(cause) => return Err(error(disk, cause)),
        };
        let frame = Frame { stream, sequence, segment, number: 0, chain: 0 };
        let blocks = ChunkBuffer::blocks();
        let mut reader = Self { disk, sequence, places, frame, segment, blocks, filled: 0 };
        match reader.fill() {
            Ok(()) => Ok(reader),
            Err(problem) => Err(reader.error(problem)),
        }
    }

    fn error(&self, problem: SnapshotProblem) -> SnapshotError {
        SnapshotError { sequence: self.sequence, file: self.disk.describe(self.segment), problem }
    }

    fn fill(&mut self) -> Result<(), SnapshotProblem> {
        let (segment, offset) = self.places.next();
        self.segment = segment;
        self.filled =
            self.disk.read(segment, offset, self.blocks.as_mut_bytes()).map_err(SnapshotProblem::Disk)?;
        Ok(())
    }

    /// The chunk it stands at.
    fn chunk(&self) -> Result<Chunk<'_>, SnapshotProblem> {
        let bytes = &self.blocks.as_bytes()[..self.filled];
        let chunk = Chunk::parse(bytes).map_err(SnapshotProblem::Chunk)?;
        if chunk.frame == self.frame { Ok(chunk) } else { Err(SnapshotProblem::Chunk(ChunkError::Misplaced)) }
    }

    fn go_on(&mut self) -> Result<(), SnapshotProblem> {
        let checksum = self.chunk()?.checksum;
        if self.frame.number == u32::MAX {
            return Err(SnapshotProblem::Entries);
        }
        self.frame = self.frame.next(checksum);
        self.fill()
    }

    /// All entries of a kind, as many as there should be.
    fn entries<E: FromBytes + Copy + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned>(
        &mut self,
        kind: ChunkKind,
        count: u32,
    ) -> Result<Vec<E>, SnapshotProblem> {
        let mut entries = Vec::new();
        while entries.len() < count as usize {
            let chunk = self.chunk()?;
            let found = <[E]>::ref_from_bytes(chunk.body).map_err(|_| SnapshotProblem::Entries)?;
            let fits = chunk.kind == kind
                && chunk.entries as usize == found.len()
                && (1..=count as usize - entries.len()).contains(&found.len());
            if !fits {
                return Err(SnapshotProblem::Entries);
            }
            entries.extend_from_slice(found);
            self.go_on()?;
        }
        Ok(entries)
    }

    /// The image, and the store's digest.
    fn image(&mut self) -> Result<(StoreImage, u128), SnapshotProblem> {
        let head = self.entries::<Head>(ChunkKind::Head, 1)?[0];
        let [tables, schemas, ended, sessions] = head.counts();
        let tables = self.entries::<TableEntry>(ChunkKind::Tables, tables)?;
        let schemas = self.entries::<SchemaEntry>(ChunkKind::Schemas, schemas)?;
        let ended = self.entries::<EndedEntry>(ChunkKind::Ended, ended)?;
        let sessions = self.entries::<ClientEntry>(ChunkKind::Sessions, sessions)?;
        let wrong = SnapshotProblem::Entries;
        let tables = tables.iter().map(TableEntry::table).collect::<Option<Vec<_>>>().ok_or(wrong.clone())?;
        let schemas = schemas.iter().map(SchemaEntry::schema).collect::<Option<Vec<_>>>();
        let sessions = sessions.iter().map(ClientEntry::entry).collect::<Option<Vec<_>>>();
        let (tables, names) = tables.into_iter().unzip();
        let image = StoreImage {
            declared: Some(Arc::new(declared(&head, names, schemas.ok_or(wrong.clone())?))),
            tables,
            ended: ended.iter().map(EndedEntry::ended).collect(),
            sessions: Some(Box::new(SessionImage::of(sessions.ok_or(wrong)?))),
            ..head.image(self.sequence)
        };
        Ok((image, head.digest()))
    }

    /// The store, from here on.
    fn restore(
        &mut self,
        config: StoreConfig,
        memory: StoreMemory,
        image: StoreImage,
        digest: u128,
    ) -> Result<Store, SnapshotProblem> {
        let mut restoring = Restoring::begin(config, memory, image).map_err(SnapshotProblem::Restore)?;
        self.versions(digest, &mut |entry| restoring.push(entry))?;
        let mut store = restoring.finish().map_err(SnapshotProblem::Restore)?;
        let restored = store.digest();
        same(restored, digest).map(|()| store)
    }

    /// Whether a store can come of it, as far as can be told without one.
    fn verify(&mut self, image: StoreImage, digest: u128) -> Result<(), SnapshotProblem> {
        let mut recount = Recount::begin(image).map_err(SnapshotProblem::Restore)?;
        self.versions(digest, &mut |entry| recount.push(entry))?;
        same(recount.finish().map_err(SnapshotProblem::Restore)?, digest)
    }

    /// All record versions, and the end mark.
    fn versions(&mut self, digest: u128, push: &mut Push<'_>) -> Result<(), SnapshotProblem> {
        let mut versions = 0;
        loop {
            let chunk = self.chunk()?;
            match chunk.kind {
                ChunkKind::Versions => versions += push_versions(&chunk, push)?,
                ChunkKind::End => {
                    let end = End::read_from_bytes(chunk.body).map_err(|_| SnapshotProblem::Entries)?;
                    if chunk.entries != 1 || end.versions.get() != versions || end.digest.get() != digest {
                        return Err(SnapshotProblem::Entries);
                    }
                    return Ok(());
                }
                _ => return Err(SnapshotProblem::Entries),
            }
            self.go_on()?;
        }
    }
}

/// Takes a record version.
type Push<'a> = dyn FnMut(&VersionEntry<'_>) -> Result<(), RestoreError> + 'a;

fn same(restored: u128, expected: u128) -> Result<(), SnapshotProblem> {
    if restored == expected { Ok(()) } else { Err(SnapshotProblem::Digest { restored, expected }) }
}

fn push_versions(chunk: &Chunk<'_>, push: &mut Push<'_>) -> Result<u64, SnapshotProblem> {
    let (mut rest, mut count) = (chunk.body, 0);
    while !rest.is_empty() {
        let (entry, behind) = split_version(rest).ok_or(SnapshotProblem::Entries)?;
        push(&entry).map_err(SnapshotProblem::Restore)?;
        rest = behind;
        count += 1;
    }
    if count == u64::from(chunk.entries) && count > 0 { Ok(count) } else { Err(SnapshotProblem::Entries) }
}
