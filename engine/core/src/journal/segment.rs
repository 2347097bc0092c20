//! A view on the blocks of a segment, read in large pieces.
use zerocopy::IntoBytes;

use super::group::{GROUP_BYTES_MAX, Group, GroupError};
use crate::disk::{BLOCK_BYTES, Block, Disk, DiskError};

/// What a window reads at a time until it meets a longer group.
const READ_BYTES: usize = 64 << 10;

/// The segment that holds the image of a group while a journal is cut; the journal itself begins with 1.
pub(super) const SCRATCH: u64 = 0;

/// The journal's segments, ascending.
pub(super) fn segments(disk: &mut dyn Disk) -> Result<Vec<u64>, DiskError> {
    let mut segments = disk.segments()?;
    segments.retain(|&segment| segment != SCRATCH);
    Ok(segments)
}

/// Holds one stretch of one segment; grows to the longest group met, at most [`GROUP_BYTES_MAX`].
pub(super) struct Window {
    blocks: Vec<Block>,
    segment: u64,
    start: u64,
    filled_bytes: usize,
}

impl Window {
    pub fn new() -> Self {
        let blocks = vec![Block([0; BLOCK_BYTES]); READ_BYTES / BLOCK_BYTES];
        Self { blocks, segment: 0, start: 0, filled_bytes: 0 }
    }

    /// Forgets what it holds, so that the next look reads the disk.
    pub fn forget(&mut self) {
        self.filled_bytes = 0;
    }

    /// What it holds of `segment` from `offset` on; at least `least_bytes`, unless the segment ends before that.
    pub fn view(
        &mut self,
        disk: &mut dyn Disk,
        segment: u64,
        offset: u64,
        least_bytes: usize,
    ) -> Result<&[u8], DiskError> {
        assert!(least_bytes <= GROUP_BYTES_MAX, "a window holds {GROUP_BYTES_MAX} bytes, not {least_bytes}");
        let end = self.start + self.filled_bytes as u64;
        let held = segment == self.segment && offset >= self.start && offset + least_bytes as u64 <= end;
        if !held {
            self.filled_bytes = 0;
            let least_blocks = least_bytes.div_ceil(BLOCK_BYTES);
            if least_blocks > self.blocks.len() {
                self.blocks.resize(least_blocks.next_power_of_two(), Block([0; BLOCK_BYTES]));
            }
            self.filled_bytes = disk.read(segment, offset, self.blocks.as_mut_bytes())?;
            self.segment = segment;
            self.start = offset;
        }
        Ok(&self.blocks.as_bytes()[(offset - self.start) as usize..self.filled_bytes])
    }

    /// The group at `offset` of `segment`.
    pub fn group(
        &mut self,
        disk: &mut dyn Disk,
        segment: u64,
        offset: u64,
    ) -> Result<Result<Group<'_>, GroupError>, DiskError> {
        let head = self.view(disk, segment, offset, BLOCK_BYTES)?;
        let claimed = match Group::claimed_bytes(head) {
            Ok(claimed) => claimed,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = self.view(disk, segment, offset, claimed)?;
        Ok(Group::parse(bytes, segment, offset))
    }
}

/// Length of a segment in whole blocks, in bytes; what lies behind the last whole block is not used.
pub(super) fn whole_bytes(disk: &mut dyn Disk, segment: u64) -> Result<u64, DiskError> {
    let length = disk.length(segment)?;
    Ok(length - length % BLOCK_BYTES as u64)
}
