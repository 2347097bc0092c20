//! A disk in memory for tests: writes finish when the test says so, and a crash leaves any mixture of what was not synced.
use std::collections::{BTreeMap, VecDeque};

use zerocopy::IntoBytes;

use crate::disk::{BLOCK_BYTES, Disk, DiskError, DiskWrite};
use crate::random::Random;

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
struct File {
    /// What reads see: every finished write.
    seen: Vec<u8>,
    /// What a power cut leaves for certain.
    synced: Vec<u8>,
    /// Finished writes since the last sync, block by block.
    unsynced: Vec<(usize, [u8; BLOCK_BYTES])>,
}

/// See the module.
pub(crate) struct MemoryDisk {
    files: BTreeMap<u64, File>,
    on_the_way: VecDeque<DiskWrite>,
    /// How many more writes [`Disk::poll`] finishes.
    pub finish: usize,
    /// How many more writes [`Disk::wait`] finishes before it says that there are none.
    pub wait: usize,
    /// How many segments there may be.
    pub segments_max: usize,
    /// The next write that finishes does so with this error.
    pub fail_next: Option<DiskError>,
    /// Reads, for tests of what a reader costs.
    pub reads: usize,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            on_the_way: VecDeque::with_capacity(16),
            finish: usize::MAX,
            wait: usize::MAX,
            segments_max: usize::MAX,
            fail_next: None,
            reads: 0,
        }
    }

    /// Two segments change their places.
    pub fn swap(&mut self, one: u64, other: u64) {
        let taken = self.files.remove(&one).expect("segment");
        let taken = self.files.insert(other, taken).expect("segment");
        self.files.insert(one, taken);
    }

    /// A segment is taken away, or put back.
    pub fn take(&mut self, segment: u64) -> impl FnOnce(&mut Self) + use<> {
        let file = self.files.remove(&segment).expect("segment");
        move |disk| drop(disk.files.insert(segment, file))
    }

    /// `kill -9`: finished writes stay, those on their way stay in part.
    pub fn kill(&mut self, random: &mut Random) {
        for write in std::mem::take(&mut self.on_the_way) {
            let file = self.files.get_mut(&write.segment).expect("segment");
            for (at, block) in blocks_of(&write) {
                mix(&mut file.seen[at..at + BLOCK_BYTES], &block, random);
                file.unsynced.push((at, file.seen[at..at + BLOCK_BYTES].try_into().expect("a block")));
            }
        }
    }

    /// A power cut: of everything not synced, any part stays, in any order.
    pub fn cut_power(&mut self, random: &mut Random) {
        for write in std::mem::take(&mut self.on_the_way) {
            self.files.get_mut(&write.segment).expect("segment").unsynced.extend(blocks_of(&write));
        }
        for file in self.files.values_mut() {
            let keep_of_eight = random.below(9);
            for (at, block) in std::mem::take(&mut file.unsynced) {
                if random.chance(keep_of_eight, 8) {
                    mix(&mut file.synced[at..at + BLOCK_BYTES], &block, random);
                }
            }
            file.seen.clone_from(&file.synced);
        }
    }

    /// Changes one bit, on the platters as well.
    pub fn flip(&mut self, segment: u64, bit: u64) {
        let file = self.files.get_mut(&segment).expect("segment");
        for image in [&mut file.seen, &mut file.synced] {
            image[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }

    /// Puts a file there as it stands.
    pub fn put(&mut self, segment: u64, bytes: Vec<u8>) {
        self.files.insert(segment, File { seen: bytes.clone(), synced: bytes, unsynced: Vec::new() });
    }

    /// What reads of a segment see.
    pub fn bytes(&self, segment: u64) -> &[u8] {
        &self.files[&segment].seen
    }

    /// Everything reads see, to compare before and after.
    pub fn image(&self) -> BTreeMap<u64, Vec<u8>> {
        self.files.iter().map(|(&segment, file)| (segment, file.seen.clone())).collect()
    }

    fn file(&mut self, segment: u64) -> Result<&mut File, DiskError> {
        self.files.get_mut(&segment).ok_or_else(|| DiskError::Failed(format!("no segment {segment}")))
    }

    fn finish_one(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        let write = self.on_the_way.pop_front()?;
        if let Some(error) = self.fail_next.take() {
            return Some((write, Err(error)));
        }
        let file = self.files.get_mut(&write.segment).expect("segment");
        for (at, block) in blocks_of(&write) {
            file.seen[at..at + BLOCK_BYTES].copy_from_slice(&block);
            file.unsynced.push((at, block));
        }
        if write.sync {
            file.synced.clone_from(&file.seen);
            file.unsynced.clear();
        }
        Some((write, Ok(())))
    }
}

fn blocks_of(write: &DiskWrite) -> Vec<(usize, [u8; BLOCK_BYTES])> {
    let place = |index: usize| write.offset as usize + index * BLOCK_BYTES;
    write.blocks[..write.count].iter().enumerate().map(|(index, block)| (place(index), block.0)).collect()
}

/// A block written in whole, not at all, or sector by sector at random.
fn mix(into: &mut [u8], block: &[u8; BLOCK_BYTES], random: &mut Random) {
    let whole = random.chance(1, 2);
    let sectors = into.chunks_mut(SECTOR_BYTES).zip(block.chunks(SECTOR_BYTES));
    let not_at_all = random.chance(1, 2);
    for (into, sector) in sectors {
        if whole || (!not_at_all && random.chance(1, 2)) {
            into.copy_from_slice(sector);
        }
    }
}

impl Disk for MemoryDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(self.files.keys().copied().collect())
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        if self.files.len() >= self.segments_max {
            return Err(DiskError::Full);
        }
        if self.files.contains_key(&segment) {
            return Err(DiskError::Failed(format!("segment {segment} exists")));
        }
        self.put(segment, vec![0; bytes as usize]);
        Ok(())
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        Ok(self.file(segment)?.seen.len() as u64)
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.files
            .remove(&segment)
            .map(|_| ())
            .ok_or_else(|| DiskError::Failed(format!("no segment {segment}")))
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.reads += 1;
        let bytes = self.file(segment)?.seen.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn submit(&mut self, write: DiskWrite) {
        assert!(write.offset.is_multiple_of(BLOCK_BYTES as u64) && write.count <= write.blocks.len());
        assert!(
            write.blocks[..write.count].as_bytes().len() as u64 + write.offset
                <= self.bytes(write.segment).len() as u64
        );
        self.on_the_way.push_back(write);
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        if self.finish == 0 {
            return None;
        }
        self.finish -= usize::from(self.finish != usize::MAX && !self.on_the_way.is_empty());
        self.finish_one()
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.wait = self.wait.checked_sub(1)?;
        self.finish_one()
    }

    fn describe(&self, segment: u64) -> String {
        format!("segment {segment}")
    }
}
