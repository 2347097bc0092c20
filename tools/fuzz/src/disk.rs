//! A disk in memory whose writes are done when they are asked for.
use gds_core::disk::{BLOCK_BYTES, Disk, DiskError, DiskWrite};
use std::collections::{BTreeMap, VecDeque};

/// Segments by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(pub BTreeMap<u64, Vec<u8>>);

/// The disk.
#[derive(Default)]
pub struct MemoryDisk {
    /// What is on it.
    pub segments: Segments,
    done: VecDeque<DiskWrite>,
}

impl MemoryDisk {
    /// A disk with these segments.
    pub fn new(segments: Segments) -> Self {
        Self { segments, done: VecDeque::new() }
    }

    fn segment(&mut self, segment: u64) -> Result<&mut Vec<u8>, DiskError> {
        self.segments.0.get_mut(&segment).ok_or_else(|| DiskError::Failed(format!("no segment {segment}")))
    }
}

impl Disk for MemoryDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(self.segments.0.keys().copied().collect())
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        assert!(!self.segments.0.contains_key(&segment), "segment {segment} is made twice");
        self.segments.0.insert(segment, vec![0; bytes as usize]);
        Ok(())
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        Ok(self.segment(segment)?.len() as u64)
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.segment(segment)?;
        self.segments.0.remove(&segment);
        Ok(())
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let bytes = self.segment(segment)?;
        let bytes = bytes.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn submit(&mut self, write: DiskWrite) {
        assert!(write.offset.is_multiple_of(BLOCK_BYTES as u64), "a write at {}", write.offset);
        let bytes = self.segment(write.segment).expect("a segment that was made");
        for (index, block) in write.blocks[..write.count].iter().enumerate() {
            let at = write.offset as usize + index * BLOCK_BYTES;
            bytes[at..at + BLOCK_BYTES].copy_from_slice(&block.0);
        }
        self.done.push_back(write);
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        Some((self.done.pop_front()?, Ok(())))
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.poll()
    }

    fn describe(&self, segment: u64) -> String {
        format!("segment {segment}")
    }
}
