//! A disk in memory that loses what was never synced, tears what was being written, and fills up.
//!
//! Two deaths are told apart. When a process is killed, what the system took stays; a write on its way may be half done.
//! When the power goes, every unsynced block is there, or not, or torn at a sector, each by itself.
use gds_core::disk::{BLOCK_BYTES, Disk, DiskError, DiskWrite};
use gds_core::random::Random;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What a power cut may tear a block at.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
struct Segment {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What a power cut leaves for certain.
    synced: Vec<u8>,
    /// Offsets of blocks that differ, in order of writing.
    unsynced: Vec<usize>,
}

/// The disk itself: it outlives the nodes that use it.
pub struct Platter {
    random: Random,
    segments: BTreeMap<u64, Segment>,
    on_their_way: VecDeque<(u64, DiskWrite)>,
    /// Simulated time.
    pub now_ns: u64,
    /// Longest a write takes.
    pub delay_max_ns: u64,
    /// Segments that fit; more are refused as full.
    pub segments_max: usize,
}

/// A disk, shared in one thread.
pub type SharedPlatter = Rc<RefCell<Platter>>;

impl Platter {
    /// An empty disk.
    pub fn new(seed: u64) -> SharedPlatter {
        Rc::new(RefCell::new(Self {
            random: Random::new(seed),
            segments: BTreeMap::new(),
            on_their_way: VecDeque::new(),
            now_ns: 0,
            delay_max_ns: 0,
            segments_max: usize::MAX,
        }))
    }

    /// The process died: writes on their way are done, half done, or not begun, in order.
    pub fn kill(&mut self) {
        let writes = std::mem::take(&mut self.on_their_way);
        let whole = self.random.below(writes.len() as u64 + 1) as usize;
        for (position, (_, write)) in writes.into_iter().enumerate() {
            let blocks = match position.cmp(&whole) {
                std::cmp::Ordering::Less => write.count,
                std::cmp::Ordering::Equal => self.random.below(write.count as u64 + 1) as usize,
                std::cmp::Ordering::Greater => 0,
            };
            self.take(&write, blocks);
        }
    }

    /// The power went: of what was not synced, each block is there, or not, or in part.
    pub fn cut_power(&mut self) {
        self.kill();
        let random = &mut self.random;
        for segment in self.segments.values_mut() {
            let Segment { seen, synced, unsynced } = segment;
            for offset in std::mem::take(unsynced) {
                let kept = match random.below(3) {
                    0 => 0,
                    1 => BLOCK_BYTES,
                    _ => SECTOR_BYTES * random.below((BLOCK_BYTES / SECTOR_BYTES) as u64) as usize,
                };
                synced[offset..offset + kept].copy_from_slice(&seen[offset..offset + kept]);
            }
            seen.copy_from_slice(synced);
        }
    }

    fn take(&mut self, write: &DiskWrite, blocks: usize) {
        let segment = self.segments.get_mut(&write.segment).expect("a write goes to a segment that was created");
        for (position, block) in write.blocks[..blocks].iter().enumerate() {
            let offset = write.offset as usize + position * BLOCK_BYTES;
            segment.seen[offset..offset + BLOCK_BYTES].copy_from_slice(&block.0);
            segment.unsynced.push(offset);
        }
        if write.sync && blocks == write.count {
            for offset in std::mem::take(&mut segment.unsynced) {
                let range = offset..offset + BLOCK_BYTES;
                segment.synced[range.clone()].copy_from_slice(&segment.seen[range]);
            }
        }
    }

    fn finish(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        let (_, write) = self.on_their_way.pop_front()?;
        self.take(&write, write.count);
        Some((write, Ok(())))
    }
}

/// One handle to a disk.
pub struct SimulatedDisk(pub SharedPlatter);

impl Disk for SimulatedDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(self.0.borrow().segments.keys().copied().collect())
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        let mut platter = self.0.borrow_mut();
        if platter.segments.len() >= platter.segments_max {
            return Err(DiskError::Full);
        }
        let zeros = vec![0; bytes as usize];
        let fresh = Segment { seen: zeros.clone(), synced: zeros, unsynced: Vec::new() };
        let before = platter.segments.insert(segment, fresh);
        assert!(before.is_none(), "segment {segment} is created twice");
        Ok(())
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        let platter = self.0.borrow();
        let found = platter.segments.get(&segment);
        found.map(|segment| segment.seen.len() as u64).ok_or_else(|| missing("length", segment))
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.0.borrow_mut().segments.remove(&segment).map(|_| ()).ok_or_else(|| missing("remove", segment))
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let platter = self.0.borrow();
        let seen = &platter.segments.get(&segment).ok_or_else(|| missing("read", segment))?.seen;
        let start = (offset as usize).min(seen.len());
        let count = into.len().min(seen.len() - start);
        into[..count].copy_from_slice(&seen[start..start + count]);
        Ok(count)
    }

    fn submit(&mut self, write: DiskWrite) {
        let mut platter = self.0.borrow_mut();
        let longest_ns = platter.delay_max_ns;
        let due_ns = platter.now_ns + platter.random.below(longest_ns + 1);
        platter.on_their_way.push_back((due_ns, write));
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        let mut platter = self.0.borrow_mut();
        let due = platter.on_their_way.front().is_some_and(|(due_ns, _)| *due_ns <= platter.now_ns);
        if due { platter.finish() } else { None }
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.0.borrow_mut().finish()
    }

    fn describe(&self, segment: u64) -> String {
        format!("simulated segment {segment}")
    }
}

fn missing(operation: &str, segment: u64) -> DiskError {
    DiskError::Failed(format!("{operation} of simulated segment {segment}: there is none"))
}
