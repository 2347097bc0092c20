//! How a journal is written, what is counted, and what stops it.
use std::fmt;

use super::group::GROUP_BYTES_MAX;
use crate::disk::{BLOCK_BYTES, DiskError};
use crate::time::MILLISECOND_NS;

/// What an acknowledgement of this stream stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The message outlives the process (`kill -9`): the ring does, and the journal follows behind.
    Memory,
    /// The message outlives a power cut: its group is synced.
    Fsync,
}

/// How a journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Length of a segment; a multiple of [`BLOCK_BYTES`], at least two blocks.
    pub segment_bytes: u64,
    /// Longest group; a multiple of [`BLOCK_BYTES`], at most [`GROUP_BYTES_MAX`].
    pub group_bytes_max: usize,
    /// With [`Durability::Memory`]: how long a message may wait for others to share its group.
    pub linger_ns: u64,
    /// When a group counts as durable.
    pub durability: Durability,
}

impl Default for JournalConfig {
    /// Segments of 64 MiB, groups of up to 256 KiB, 1 ms of linger, [`Durability::Memory`].
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            group_bytes_max: 256 << 10,
            linger_ns: MILLISECOND_NS,
            durability: Durability::Memory,
        }
    }
}

impl JournalConfig {
    pub(super) fn check(&self) {
        let blocks = |bytes: u64| bytes.is_multiple_of(BLOCK_BYTES as u64) && bytes > 0;
        assert!(
            blocks(self.segment_bytes) && self.segment_bytes >= 2 * BLOCK_BYTES as u64,
            "{self:?}: segment_bytes"
        );
        assert!(
            self.segment_bytes / BLOCK_BYTES as u64 <= u64::from(u32::MAX),
            "{self:?}: segment_bytes above 16 TiB"
        );
        assert!(
            blocks(self.group_bytes_max as u64) && self.group_bytes_max <= GROUP_BYTES_MAX,
            "{self:?}: group_bytes_max"
        );
    }

    /// How many group buffers there are, one of them being filled. A group of the `fsync` kind waits for the one before;
    /// the other kind may have several on their way.
    pub(super) fn buffers(&self) -> usize {
        match self.durability {
            Durability::Fsync => 2,
            Durability::Memory => 4,
        }
    }
}

crate::counter_set! {
    /// What a journal's writer counts.
    pub struct JournalCounters {
        /// Groups handed to the disk.
        groups,
        /// Messages handed to the disk.
        messages,
        /// Bytes handed to the disk, padding included.
        bytes,
        /// Writes finished that had to survive a power cut.
        syncs,
        /// Segments made.
        segments_created,
        /// Attempts to make a segment that found the disk full; while this grows, room runs out or has run out.
        disk_full,
        /// Duty cycles that had to leave messages in the ring: every buffer was on its way, or no block was free.
        held_back,
    }
}

/// Why the journal, and with it the node, must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalFault {
    /// A write or sync failed. It is never tried again: what the operating system could not write it may have dropped.
    Write {
        /// The file, as a person would look for it.
        file: String,
        /// Byte offset of the write.
        offset: u64,
        /// First message that may be missing from the file.
        sequence: u64,
        /// The cause.
        cause: DiskError,
    },
    /// A segment could not be made, for another reason than room.
    Create(DiskError),
    /// The ring was overrun before the journal had taken this message: whoever gates the ring does not heed the journal.
    Overrun(u64),
}

impl fmt::Display for JournalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { file, offset, sequence, cause } => write!(
                f,
                "journal write to {file} at offset {offset} failed: {cause}; messages from {sequence} on may be missing \
                 there; check the disk before the node is started again"
            ),
            Self::Create(cause) => {
                write!(f, "journal segment could not be made: {cause}; check the disk and its mount")
            }
            Self::Overrun(sequence) => {
                write!(f, "message {sequence} was overwritten in the ring before it was journalled")
            }
        }
    }
}

impl std::error::Error for JournalFault {}
