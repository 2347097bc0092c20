//! Where journal segments live, as the engine sees them.
//!
//! `gds-node` implements this over files (io_uring with direct I/O, or plain calls), the simulator over a disk with
//! torn writes. A segment is named by an ordinal number, from 1 up without a hole: it is made ahead of its use, when the
//! sequence number of its first message is not known yet.
use std::fmt;

/// The unit of every write: offsets and lengths are multiples of it.
pub const BLOCK_BYTES: usize = 4096;

/// One block, aligned as direct I/O wants it.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
#[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)]
pub struct Block(pub [u8; BLOCK_BYTES]);

const _: () = assert!(size_of::<Block>() == BLOCK_BYTES && align_of::<Block>() == BLOCK_BYTES);

/// Why a disk operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No room. The only error that passes by itself.
    Full,
    /// Anything else; the node stops with this text, which names operation, file and cause.
    Failed(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no space left on the journal's disk"),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DiskError {}

/// A write on its way: the buffer is lent to the disk until the write completes.
pub struct DiskWrite {
    /// The segment written to.
    pub segment: u64,
    /// Byte offset in the segment, a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// What is written; whole blocks.
    pub blocks: Vec<Block>,
    /// How many of `blocks`, from the front, are to be written. 0 with `sync` only syncs.
    pub count: usize,
    /// Complete only once these bytes, and those of every earlier write to the same segment, would survive a power cut.
    pub sync: bool,
}

/// One directory of journal segments.
pub trait Disk {
    /// The segments there are, ascending.
    fn segments(&mut self) -> Result<Vec<u64>, DiskError>;

    /// Makes an empty segment of `bytes` zeros and makes its name durable; waits for that, also when [`Disk::prepare`] has begun it.
    /// [`DiskError::Full`] leaves nothing behind.
    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError>;

    /// Like [`Disk::create`], but without waiting: true once the segment is there, false while it is being made. Then it is asked for
    /// again, and no other segment before.
    fn prepare(&mut self, segment: u64, bytes: u64) -> Result<bool, DiskError> {
        self.create(segment, bytes).map(|()| true)
    }

    /// Length of a segment in bytes.
    fn length(&mut self, segment: u64) -> Result<u64, DiskError>;

    /// Removes a segment and makes that durable.
    fn remove(&mut self, segment: u64) -> Result<(), DiskError>;

    /// Reads at most `into.len()` bytes from `offset`; fewer only at the end of the segment. Waits for the disk: only
    /// recovery and readers that fell out of the ring call it.
    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError>;

    /// Starts a write. Completions come from [`Disk::poll`] in the order of submission.
    fn submit(&mut self, write: DiskWrite);

    /// The next finished write, with its buffer given back.
    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)>;

    /// Like [`Disk::poll`], but waits for the oldest write on its way; `None` when there is none. Only recovery and an
    /// orderly close call it.
    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)>;

    /// The name a person would look for, for messages: a path, or a description.
    fn describe(&self, segment: u64) -> String;
}
