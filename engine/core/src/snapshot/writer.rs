//! Writing a snapshot, a slice at a time.
use super::Snapshot;
use super::chunk::{CHUNK_BYTES, ChunkBuffer, ChunkKind, Frame};
use super::entries::{ClientEntry, End, EndedEntry, Head, SchemaEntry, TableEntry, VersionHeader};
use crate::disk::{Block, Disk, DiskError, DiskWrite};
use crate::store::census::Census;
use crate::store::versions::Step;
use crate::store::{Miscount, StoreImage, VersionWalk};
use gds_wire::session::Session;
use std::fmt;
use zerocopy::IntoBytes;

/// Bytes of log, or of entries, that one slice goes over: some ten microseconds.
const SLICE_BYTES: u64 = 16 << 10;
/// What looking at anything costs, in bytes.
const LOOK_BYTES: u64 = 64;
/// Chunks on their way to the disk, or being filled.
const BUFFERS: usize = 3;

/// Why a snapshot was given up. The next may succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The store's log ran short of room before the snapshot had got through it.
    LogShort,
    /// The disk has no room.
    DiskFull,
    /// The disk failed.
    Disk(DiskError),
    /// The versions found are not those that the store counted.
    Miscount(Box<Miscount>),
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogShort => f.write_str(
                "the store's record log ran short of room first: declare larger limits, or give the snapshots a quicker disk",
            ),
            Self::DiskFull => f.write_str("no space left on the disk of the snapshots"),
            Self::Disk(error) => error.fmt(f),
            Self::Miscount(miscount) => write!(f, "not every record was found: {miscount}"),
        }
    }
}

impl std::error::Error for GivenUp {}

/// What a slice came to.
#[derive(Debug)]
pub enum Writing {
    /// There is more to do; so much was done now.
    Going(usize),
    /// The snapshot is whole, and on the disk for good.
    Taken(Snapshot, Box<StoreImage>),
    /// It was given up; nothing is on its way any more. These segments are to be removed.
    Over(GivenUp, std::ops::Range<u64>, Box<StoreImage>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Filling,
    /// All but the end mark is on its way to the disk.
    Settling,
    /// All but the end mark is there; whether it survives a power cut is being seen to.
    Syncing,
    /// All but the end mark is there for good.
    Ready,
    Ending,
    GivingUp,
}

struct Job {
    image: Box<StoreImage>,
    stage: Stage,
    given_up: Option<GivenUp>,
    /// Of the next chunk.
    frame: Frame,
    kind: ChunkKind,
    /// Entries of this kind that were written.
    index: usize,
    building: Option<ChunkBuffer>,
    versions: u64,
    in_flight: usize,
    /// The last segment that is there; one before the first: none.
    made: u64,
    preparing: bool,
}

/// Writes one snapshot after the other.
pub struct SnapshotWriter {
    stream: Session,
    segment_bytes: u64,
    walk: VersionWalk,
    census: Census,
    buffers: Vec<Vec<Block>>,
    job: Option<Job>,
}

impl SnapshotWriter {
    /// A writer for the store of which `walk` is; segments have `segment_bytes`, whole chunks.
    ///
    /// # Panics
    /// For segments of no whole number of chunks.
    pub fn new(stream: Session, segment_bytes: u64, walk: VersionWalk) -> Self {
        let chunks = segment_bytes / CHUNK_BYTES as u64;
        assert!(
            chunks > 0 && segment_bytes.is_multiple_of(CHUNK_BYTES as u64),
            "{segment_bytes} B of segment"
        );
        let buffers = (0..BUFFERS).map(|_| ChunkBuffer::blocks()).collect();
        Self { stream, segment_bytes, walk, census: Census::new(), buffers, job: None }
    }

    /// Begins with a whole image; its first segment is to be `segment`.
    ///
    /// # Panics
    /// While another snapshot is being written.
    pub fn begin(&mut self, image: Box<StoreImage>, segment: u64) {
        assert!(self.job.is_none(), "one snapshot at a time");
        self.walk.begin(&image);
        self.census.begin(&image);
        let frame = Frame { stream: self.stream, sequence: image.applied, segment, number: 0, chain: 0 };
        self.job = Some(Job {
            image,
            stage: Stage::Filling,
            given_up: None,
            frame,
            kind: ChunkKind::Head,
            index: 0,
            building: None,
            versions: 0,
            in_flight: 0,
            made: segment - 1,
            preparing: false,
        });
    }

    /// Bytes of the log still to be gone over.
    pub fn left_bytes(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| self.walk.left_bytes(&job.image))
    }

    /// Does a slice of the work. `may_end`: the journals have got as far as the snapshot has, so it may count.
    ///
    /// # Panics
    /// When nothing was begun.
    pub fn duty(&mut self, disk: &mut dyn Disk, may_end: bool) -> Writing {
        let mut job = self.job.take().expect("a snapshot was begun");
        let done = self.slice(&mut job, disk, may_end);
        match done {
            Ok(_) if job.stage == Stage::Ending && job.in_flight == 0 => {
                let (number, frame) = (job.frame.number, job.frame);
                let snapshot = Snapshot {
                    sequence: frame.sequence,
                    first_segment: frame.segment,
                    last_segment: job.made,
                    chunks: number,
                };
                Writing::Taken(snapshot, job.image)
            }
            Ok(_) if job.stage == Stage::GivingUp && job.in_flight == 0 && !job.preparing => {
                let why = job.given_up.expect("giving up has a reason");
                Writing::Over(why, job.frame.segment..job.made + 1, job.image)
            }
            Ok(done) => {
                self.job = Some(job);
                Writing::Going(done)
            }
            Err(why) => {
                self.give_up(&mut job, why);
                self.job = Some(job);
                Writing::Going(1)
            }
        }
    }

    fn give_up(&mut self, job: &mut Job, why: GivenUp) {
        job.stage = Stage::GivingUp;
        job.given_up.get_or_insert(why);
        self.buffers.extend(job.building.take().map(ChunkBuffer::into_blocks));
        self.walk.let_go();
    }

    fn slice(&mut self, job: &mut Job, disk: &mut dyn Disk, may_end: bool) -> Result<usize, GivenUp> {
        let mut done = 0;
        while let Some((write, result)) = disk.poll() {
            job.in_flight -= 1;
            self.buffers.push(write.blocks);
            done += 1;
            if let (Err(error), true) = (result, job.stage != Stage::GivingUp) {
                return Err(disk_fault(error));
            }
        }
        let stage = job.stage;
        match stage {
            Stage::Filling => done += self.fill(job, disk)?,
            Stage::Settling if job.in_flight == 0 => {
                let blocks = self.buffers.pop().expect("nothing is on its way");
                let write = DiskWrite { segment: job.made, offset: 0, blocks, count: 0, sync: true };
                disk.submit(write);
                job.in_flight += 1;
                job.stage = Stage::Syncing;
                done += 1;
            }
            Stage::Syncing if job.in_flight == 0 => job.stage = Stage::Ready,
            Stage::Ready if may_end && self.chunk_may_begin(job, disk)? => {
                let end = End { versions: job.versions.into(), digest: job.image.digest().into() };
                self.begin_chunk(job, ChunkKind::End).push(&[end.as_bytes()]);
                self.submit(job, disk, true);
                job.stage = Stage::Ending;
                done += 1;
            }
            Stage::GivingUp if job.preparing => {
                // What was asked for comes, or fails: then there is nothing to be removed.
                let asked = disk.prepare(job.made + 1, self.segment_bytes);
                job.preparing = asked == Ok(false);
                job.made += u64::from(asked == Ok(true));
            }
            _ => {}
        }
        Ok(done)
    }

    /// Goes on filling chunks.
    fn fill(&mut self, job: &mut Job, disk: &mut dyn Disk) -> Result<usize, GivenUp> {
        let mut cost = 0;
        while cost < SLICE_BYTES && job.stage == Stage::Filling {
            if job.building.is_none() {
                if !self.chunk_may_begin(job, disk)? {
                    break;
                }
                self.begin_chunk(job, job.kind);
            }
            match self.push(job)? {
                Pushed::Entry(bytes) => cost += bytes + LOOK_BYTES,
                Pushed::Full => self.submit(job, disk, false),
                Pushed::NoMore => {
                    cost += LOOK_BYTES;
                    self.end_kind(job, disk)?;
                }
            }
        }
        if cost > 0 {
            self.walk.release_passed().or_else(|_| if_needed(job))?;
        }
        Ok(cost as usize)
    }

    /// Everything of a kind is in its chunks.
    fn end_kind(&mut self, job: &mut Job, disk: &mut dyn Disk) -> Result<(), GivenUp> {
        match job.building.take_if(|chunk| chunk.entries() == 0) {
            Some(chunk) => self.buffers.push(chunk.into_blocks()),
            None => self.submit(job, disk, false),
        }
        job.index = 0;
        job.kind = match job.kind {
            ChunkKind::Head => ChunkKind::Tables,
            ChunkKind::Tables => ChunkKind::Schemas,
            ChunkKind::Schemas => ChunkKind::Ended,
            ChunkKind::Ended => ChunkKind::Sessions,
            ChunkKind::Sessions => ChunkKind::Versions,
            ChunkKind::Versions | ChunkKind::End => {
                self.walk.let_go();
                self.census.check(&job.image).map_err(|miscount| GivenUp::Miscount(Box::new(miscount)))?;
                job.stage = Stage::Settling;
                ChunkKind::End
            }
        };
        Ok(())
    }

    /// Adds the next entry of the kind.
    fn push(&mut self, job: &mut Job) -> Result<Pushed, GivenUp> {
        let Job { image, kind, index, building, versions, .. } = job;
        let chunk = building.as_mut().expect("a chunk was begun");
        let declared = image.declared().declaration().expect("only a declared store has an image");
        let largest = image.declared().largest_limits().expect("only a declared store has an image");
        let sessions = image.sessions.as_ref().expect("the image is whole");
        let pushed = match kind {
            ChunkKind::Head if *index == 0 => chunk.push(&[Head::of(image, declared, largest).as_bytes()]),
            ChunkKind::Tables if *index < image.tables.len() => {
                chunk.push(&[TableEntry::of(&image.tables[*index], &declared.tables[*index]).as_bytes()])
            }
            ChunkKind::Schemas if *index < declared.schemas.len() => {
                chunk.push(&[SchemaEntry::of(&declared.schemas[*index]).as_bytes()])
            }
            ChunkKind::Ended if *index < image.ended.len() => {
                chunk.push(&[EndedEntry::of(&image.ended[*index]).as_bytes()])
            }
            ChunkKind::Sessions if *index < sessions.slots() => match sessions.entry(*index) {
                Some(entry) => chunk.push(&[ClientEntry::of(entry).as_bytes()]),
                None => true,
            },
            ChunkKind::Versions => {
                return push_version(&mut self.walk, &mut self.census, image, chunk, versions);
            }
            _ => return Ok(Pushed::NoMore),
        };
        *index += usize::from(pushed);
        Ok(if pushed { Pushed::Entry(LOOK_BYTES) } else { Pushed::Full })
    }

    /// Whether a buffer is free, and the segment is there that the next chunk goes to.
    fn chunk_may_begin(&mut self, job: &mut Job, disk: &mut dyn Disk) -> Result<bool, GivenUp> {
        if self.buffers.is_empty() {
            return Ok(false);
        }
        let (segment, _) = self.place(&job.frame);
        if segment > job.made {
            let made = disk.prepare(segment, self.segment_bytes).map_err(disk_fault);
            job.preparing = made == Ok(false);
            job.made += u64::from(made?);
        }
        Ok(segment == job.made)
    }

    fn begin_chunk<'j>(&mut self, job: &'j mut Job, kind: ChunkKind) -> &'j mut ChunkBuffer {
        let blocks = self.buffers.pop().expect("a buffer is free");
        job.building.insert(ChunkBuffer::begin(blocks, kind))
    }

    /// Segment and offset of a chunk.
    fn place(&self, frame: &Frame) -> (u64, u64) {
        let chunks = self.segment_bytes / CHUNK_BYTES as u64;
        let number = u64::from(frame.number);
        (frame.segment + number / chunks, number % chunks * CHUNK_BYTES as u64)
    }

    /// Hands the chunk being filled to the disk. The last of a segment is always synced, and with it all others in it.
    fn submit(&mut self, job: &mut Job, disk: &mut dyn Disk, sync: bool) {
        let chunk = job.building.take().expect("a chunk was begun");
        let (segment, offset) = self.place(&job.frame);
        let last = offset + CHUNK_BYTES as u64 == self.segment_bytes;
        let (blocks, count, checksum) = chunk.seal(job.frame);
        job.frame = job.frame.next(checksum);
        job.in_flight += 1;
        disk.submit(DiskWrite { segment, offset, blocks, count, sync: sync || last });
    }
}

enum Pushed {
    /// So many bytes were gone over.
    Entry(u64),
    /// The entry does not fit any more.
    Full,
    NoMore,
}

fn push_version(
    walk: &mut VersionWalk,
    census: &mut Census,
    image: &StoreImage,
    chunk: &mut ChunkBuffer,
    versions: &mut u64,
) -> Result<Pushed, GivenUp> {
    let step = walk.next(image, census).map_err(|_| GivenUp::LogShort)?;
    let bytes = match step {
        Step::End => return Ok(Pushed::NoMore),
        Step::Passed(bytes) => return Ok(Pushed::Entry(bytes)),
        Step::Version(entry, generation) => {
            if !chunk.push(&[VersionHeader::of(&entry).as_bytes(), entry.key, entry.value]) {
                return Ok(Pushed::Full);
            }
            census.count(generation, &entry);
            entry.key.len() + entry.value.len()
        }
    };
    *versions += 1;
    walk.pass().map_err(|_| GivenUp::LogShort)?;
    Ok(Pushed::Entry(bytes as u64))
}

/// Without the hold nothing is lost once the walk is over.
fn if_needed(job: &Job) -> Result<(), GivenUp> {
    if job.stage == Stage::Filling { Err(GivenUp::LogShort) } else { Ok(()) }
}

fn disk_fault(error: DiskError) -> GivenUp {
    match error {
        DiskError::Full => GivenUp::DiskFull,
        failed => GivenUp::Disk(failed),
    }
}
