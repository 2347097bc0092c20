//! An append to a disk: the bytes that a journal writes for as many messages, and nothing else.
use crate::schedule::Target;
use gds_core::disk::{BLOCK_BYTES, Block, Disk, DiskWrite};
use gds_nic::{Directory, DirectoryConfig, clock};
use gds_node::ports::Files;
use gds_wire::envelope::ENVELOPE_BYTES;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// What the journal keeps of a message of the rig beside its block: number of its epoch and length, and the envelope.
pub const OVERHEAD_BYTES: usize = 8 + ENVELOPE_BYTES;
/// Most blocks of one write, as the journal has it by default.
const GROUP_BLOCKS: usize = 64;
/// Bytes written at once by the buffered append.
const BUFFERED_BYTES: usize = 256 << 10;

/// Group commit: everything that has come is written in one piece, with direct I/O, and answered when it is on the disk; meanwhile the
/// next group gathers.
pub struct GroupCommit {
    disk: Files,
    message: Vec<u8>,
    /// The group that gathers: its blocks, bytes used, first operation and how many.
    blocks: Vec<Block>,
    used: usize,
    first: u64,
    count: u64,
    /// Operations of the write in flight, and its buffer when there is none.
    writing: Option<(u64, u64)>,
    spare: Option<Vec<Block>>,
    offset: u64,
    bytes: u64,
    trouble: Option<String>,
    /// Holds the file; goes last.
    _folder: TempDir,
}

impl GroupCommit {
    /// Into a file of so many bytes, made beforehand in a folder of its own under this one, for messages with blocks of `block_bytes`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(place: &Path, bytes: u64, block_bytes: usize) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| format!("{}: {error}", place.display());
        std::fs::create_dir_all(place).map_err(|error| text(&error))?;
        let folder =
            tempfile::Builder::new().prefix("gds-append-").tempdir_in(place).map_err(|e| text(&e))?;
        let mut disk = Files(Directory::open(DirectoryConfig::new(folder.path())).map_err(|e| text(&e))?);
        let bytes = bytes.next_multiple_of(BLOCK_BYTES as u64);
        disk.create(1, bytes).map_err(|error| text(&error))?;
        let blocks = || vec![Block([0; BLOCK_BYTES]); GROUP_BLOCKS];
        Ok(Self {
            disk,
            message: vec![b'a'; block_bytes + OVERHEAD_BYTES],
            blocks: blocks(),
            used: 0,
            first: 0,
            count: 0,
            writing: None,
            spare: Some(blocks()),
            offset: 0,
            bytes,
            trouble: None,
            _folder: folder,
        })
    }

    /// What went wrong, if anything.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn write(&mut self) {
        let Some(spare) = self.spare.take() else { return };
        let count = self.used.div_ceil(BLOCK_BYTES);
        if self.offset + (count * BLOCK_BYTES) as u64 > self.bytes {
            // Round and round in the same file: the disk sees writes all the same.
            self.offset = 0;
        }
        let blocks = std::mem::replace(&mut self.blocks, spare);
        self.disk.submit(DiskWrite { segment: 1, offset: self.offset, blocks, count, sync: true });
        self.offset += (count * BLOCK_BYTES) as u64;
        self.writing = Some((self.first, self.count));
        (self.used, self.count) = (0, 0);
    }
}

impl Target for GroupCommit {
    fn submit(&mut self, number: u64) -> bool {
        if self.used + self.message.len() > GROUP_BLOCKS * BLOCK_BYTES || self.trouble.is_some() {
            return false;
        }
        if self.count == 0 {
            self.first = number;
        }
        let mut rest = &self.message[..];
        while !rest.is_empty() {
            let (block, start) = (self.used / BLOCK_BYTES, self.used % BLOCK_BYTES);
            let length = rest.len().min(BLOCK_BYTES - start);
            self.blocks[block].0[start..start + length].copy_from_slice(&rest[..length]);
            self.used += length;
            rest = &rest[length..];
        }
        self.count += 1;
        true
    }

    fn poll(&mut self, _now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let mut work = 0;
        if let Some((write, result)) = self.disk.poll() {
            let (first, count) = self.writing.take().expect("one write is in flight");
            self.spare = Some(write.blocks);
            match result {
                Ok(()) => (first..first + count).for_each(answered),
                Err(error) => self.trouble = Some(error.to_string()),
            }
            work += 1;
        }
        if self.count > 0 && self.writing.is_none() {
            self.write();
            work += 1;
        }
        work
    }
}

/// Messages a second that a plain buffered append takes, written for so long; the kernel brings them to the disk as it sees fit.
///
/// # Errors
/// What the file system says.
pub fn buffered(place: &Path, duration: Duration, block_bytes: usize) -> Result<f64, String> {
    let text = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::create_dir_all(place).map_err(text)?;
    let folder = tempfile::Builder::new().prefix("gds-append-").tempdir_in(place).map_err(text)?;
    let mut file = File::create(folder.path().join("append")).map_err(text)?;
    let bytes = vec![b'a'; BUFFERED_BYTES];
    let begun_ns = clock::monotonic_ns();
    let end_ns = begun_ns + duration.as_nanos() as u64;
    let mut written = 0_u64;
    while clock::monotonic_ns() < end_ns {
        file.write_all(&bytes).map_err(text)?;
        written += bytes.len() as u64;
    }
    let seconds = (clock::monotonic_ns() - begun_ns) as f64 / 1e9;
    Ok(written as f64 / (block_bytes + OVERHEAD_BYTES) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Plan, open_loop};
    use gds_nic::IdleStrategy;

    #[test]
    fn every_append_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let mut append = GroupCommit::open(folder.path(), 1 << 20, 200).unwrap();
        let plan = Plan { idle: IdleStrategy::Yield, ..Plan::new(Duration::from_millis(200)) };
        let measured = open_loop(&mut append, &plan.at_rate(20_000.0));
        assert_eq!((measured.lost(), append.trouble()), (0, None), "{:?}", measured.failed());
        assert!(buffered(folder.path(), Duration::from_millis(20), 200).unwrap() > 0.0);
    }
}
