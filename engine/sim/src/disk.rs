//! A disk in memory that loses what was never synced, tears what was being written, fills up, and fails.
//!
//! Two deaths are told apart. When a process is killed, what the system took stays; a write on its way may be done, half done or
//! not begun, each by itself. When the power goes, every sector that was not synced is there, or not, each by itself.
use crate::clock::SharedClock;
use crate::death::SharedDeath;
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
    /// Offsets of blocks that may differ, in order of writing.
    unsynced: Vec<usize>,
}

/// Files of a disk, as somebody copied them.
#[derive(Clone, Default)]
pub struct Files(BTreeMap<u64, Segment>);

impl Files {
    /// The part of a file that begins at `from` bytes is as the other copy of it has it. A file that neither copy has is none.
    pub fn add(&mut self, number: u64, from: usize, other: &Self) {
        let Some(newer) = other.0.get(&number) else { return };
        let segment = self.0.entry(number).or_insert_with(|| newer.clone());
        for bytes in [&mut segment.seen, &mut segment.synced] {
            bytes[from..].copy_from_slice(&newer.seen[from..]);
        }
        segment.unsynced.clear();
    }
}

/// A write that has not happened yet.
struct OnItsWay {
    due_ns: u64,
    /// The handle that it came from; it completes there and nowhere else.
    handle: u64,
    write: DiskWrite,
}

/// The disk itself: it outlives the processes that use it.
pub struct Platter {
    clock: SharedClock,
    random: Random,
    segments: BTreeMap<u64, Segment>,
    on_their_way: VecDeque<OnItsWay>,
    handles: u64,
    /// Longest a write takes.
    pub delay_max_ns: u64,
    /// Segments that fit; more are refused as full.
    pub segments_max: usize,
    /// The next write fails.
    pub fails: bool,
    /// Times that there was no room for a segment.
    pub refused: u64,
    /// Blocks that a power cut or a kill left torn or undone.
    pub torn: u64,
}

/// A disk, shared in one thread.
pub type SharedPlatter = Rc<RefCell<Platter>>;

impl Platter {
    /// An empty disk.
    pub fn new(seed: u64, clock: &SharedClock) -> SharedPlatter {
        Rc::new(RefCell::new(Self {
            clock: clock.clone(),
            random: Random::new(seed),
            segments: BTreeMap::new(),
            on_their_way: VecDeque::new(),
            handles: 0,
            delay_max_ns: 0,
            segments_max: usize::MAX,
            fails: false,
            refused: 0,
            torn: 0,
        }))
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The process died.
    pub fn kill(&mut self) {
        self.fails = false;
        for OnItsWay { write, .. } in std::mem::take(&mut self.on_their_way) {
            let blocks = match self.random.below(3) {
                0 => 0,
                1 => write.count,
                _ => self.random.below(write.count as u64 + 1) as usize,
            };
            self.torn += (write.count - blocks) as u64;
            self.take(&write, blocks);
        }
    }

    /// The power went.
    pub fn cut_power(&mut self) {
        self.kill();
        let Self { random, segments, torn, .. } = self;
        for segment in segments.values_mut() {
            let Segment { seen, synced, unsynced } = segment;
            for offset in std::mem::take(unsynced) {
                // Nothing, everything, or sector by sector.
                let kind = random.below(3);
                for sector in (offset..offset + BLOCK_BYTES).step_by(SECTOR_BYTES) {
                    let kept = match kind {
                        0 => false,
                        1 => true,
                        _ => random.chance(1, 2),
                    };
                    let range = sector..sector + SECTOR_BYTES;
                    if kept {
                        synced[range.clone()].copy_from_slice(&seen[range]);
                    }
                }
                *torn += u64::from(kind != 1);
            }
            seen.copy_from_slice(synced);
        }
    }

    /// The numbers of its segments.
    pub fn numbers(&self) -> Vec<u64> {
        self.segments.keys().copied().collect()
    }

    /// Everything on it, with what a power cut may still take from it.
    pub fn files(&self) -> Files {
        Files(self.segments.clone())
    }

    /// Half the length of a segment, in whole blocks; 0 where there is none.
    pub fn middle(&self, number: u64) -> usize {
        self.segments.get(&number).map_or(0, |segment| segment.seen.len() / BLOCK_BYTES / 2 * BLOCK_BYTES)
    }

    /// Somebody puts these files in the place of all that is on it.
    pub fn replace(&mut self, files: Files) {
        self.wipe();
        self.segments = files.0;
    }

    /// Somebody removes a segment.
    pub fn lose(&mut self, number: u64) {
        self.segments.remove(&number);
    }

    /// Somebody gives each of two segments the other's name.
    pub fn swap(&mut self, one: u64, other: u64) {
        if let (Some(first), Some(second)) = (self.segments.remove(&one), self.segments.remove(&other)) {
            self.segments.insert(one, second);
            self.segments.insert(other, first);
        }
    }

    /// Somebody empties it.
    pub fn wipe(&mut self) {
        self.segments.clear();
        self.on_their_way.clear();
    }

    /// Changes one byte of the first block of a segment that is not the last, or of the first there is. Done twice it is undone.
    pub fn flip(&mut self, choice: u64) -> Option<u64> {
        let count = self.segments.len().saturating_sub(1).max(1) as u64;
        let (number, segment) = self.segments.iter_mut().nth((choice % count) as usize)?;
        let offset = (choice / count) as usize % BLOCK_BYTES;
        segment.seen[offset] ^= 0x10;
        Some(*number)
    }

    fn take(&mut self, write: &DiskWrite, blocks: usize) {
        let segment =
            self.segments.get_mut(&write.segment).expect("a write goes to a segment that was created");
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

    /// The oldest write of a handle, and when it is due.
    fn oldest(&self, handle: u64) -> Option<(usize, u64)> {
        let place = self.on_their_way.iter().position(|other| other.handle == handle)?;
        Some((place, self.on_their_way[place].due_ns))
    }

    fn finish(&mut self, place: usize) -> Option<(DiskWrite, Result<(), DiskError>)> {
        let write = self.on_their_way.remove(place)?.write;
        if std::mem::take(&mut self.fails) {
            let blocks = self.random.below(write.count as u64 + 1) as usize;
            let broken = DiskWrite { blocks: write.blocks.clone(), sync: false, ..write };
            self.take(&broken, blocks);
            return Some((write, Err(DiskError::Failed("simulated write error".into()))));
        }
        self.take(&write, write.count);
        Some((write, Ok(())))
    }
}

/// One handle to a disk, of a process that may die, or of a bystander.
pub struct SimulatedDisk {
    platter: SharedPlatter,
    number: u64,
    death: Option<SharedDeath>,
    /// Writes that a dead process believes to have made.
    lost: VecDeque<DiskWrite>,
    /// The segment that is being made, and when it is known to be there.
    preparing: Option<(u64, u64)>,
}

impl SimulatedDisk {
    /// A handle.
    pub fn new(platter: &SharedPlatter, death: Option<SharedDeath>) -> Self {
        platter.borrow_mut().handles += 1;
        let number = platter.borrow().handles;
        Self { platter: platter.clone(), number, death, lost: VecDeque::new(), preparing: None }
    }

    fn alive(&self) -> Result<(), DiskError> {
        let alive = self.death.as_ref().is_none_or(|death| death.borrow_mut().operation());
        if alive { Ok(()) } else { Err(dead()) }
    }

    fn is_dead(&self) -> bool {
        self.death.as_ref().is_some_and(|death| death.borrow().is_dead())
    }

    /// What a dead process gets back: first what it wrote before its death, then what it did not.
    fn next_of_dead(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.lost.pop_front().map(|write| (write, Err(dead())))
    }
}

impl Disk for SimulatedDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        self.alive()?;
        Ok(self.platter.borrow().segments.keys().copied().collect())
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        self.alive()?;
        let waited_for = self.preparing.take();
        let mut platter = self.platter.borrow_mut();
        if waited_for.is_some() && platter.segments.contains_key(&segment) {
            return Ok(());
        }
        if platter.segments.len() >= platter.segments_max {
            platter.refused += 1;
            return Err(DiskError::Full);
        }
        let zeros = vec![0; bytes as usize];
        let fresh = Segment { seen: zeros.clone(), synced: zeros, unsynced: Vec::new() };
        let before = platter.segments.insert(segment, fresh);
        assert!(before.is_none(), "segment {segment} is created twice");
        Ok(())
    }

    fn prepare(&mut self, segment: u64, bytes: u64) -> Result<bool, DiskError> {
        let now_ns = self.platter.borrow().clock.now_ns();
        match self.preparing {
            None => {
                let (early, due_ns) = {
                    let mut platter = self.platter.borrow_mut();
                    let longest_ns = platter.delay_max_ns;
                    (platter.random.chance(1, 2), now_ns + platter.random.below(longest_ns + 1))
                };
                // A process may die when the segment is there already and it does not know.
                if early {
                    self.create(segment, bytes)?;
                }
                self.preparing = Some((segment, due_ns));
                Ok(false)
            }
            Some((number, due_ns)) => {
                assert_eq!(number, segment, "another segment is being made");
                if now_ns < due_ns {
                    return Ok(false);
                }
                self.create(segment, bytes).map(|()| true)
            }
        }
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        let platter = self.platter.borrow();
        let found = platter.segments.get(&segment);
        found.map(|segment| segment.seen.len() as u64).ok_or_else(|| missing("length", segment))
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.alive()?;
        let removed = self.platter.borrow_mut().segments.remove(&segment);
        removed.map(|_| ()).ok_or_else(|| missing("remove", segment))
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.alive()?;
        let platter = self.platter.borrow();
        let seen = &platter.segments.get(&segment).ok_or_else(|| missing("read", segment))?.seen;
        let start = (offset as usize).min(seen.len());
        let count = into.len().min(seen.len() - start);
        into[..count].copy_from_slice(&seen[start..start + count]);
        Ok(count)
    }

    fn submit(&mut self, write: DiskWrite) {
        if self.alive().is_err() {
            self.lost.push_back(write);
            return;
        }
        let mut platter = self.platter.borrow_mut();
        let longest_ns = platter.delay_max_ns;
        let due_ns = platter.clock.now_ns() + platter.random.below(longest_ns + 1);
        platter.on_their_way.push_back(OnItsWay { due_ns, handle: self.number, write });
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        if self.is_dead() {
            return self.next_of_dead();
        }
        let mut platter = self.platter.borrow_mut();
        let now_ns = platter.clock.now_ns();
        let (place, due_ns) = platter.oldest(self.number)?;
        if due_ns <= now_ns { platter.finish(place) } else { None }
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        if self.is_dead() {
            // What is on its way stays there for the kill to judge; the process must not wait for it.
            let waiting = self.platter.borrow().oldest(self.number).is_some();
            let stand_in = || DiskWrite { segment: 0, offset: 0, blocks: Vec::new(), count: 0, sync: false };
            return self.next_of_dead().or_else(|| waiting.then(|| (stand_in(), Err(dead()))));
        }
        let mut platter = self.platter.borrow_mut();
        let (place, due_ns) = platter.oldest(self.number)?;
        platter.clock.advance_to(due_ns);
        platter.finish(place)
    }

    fn describe(&self, segment: u64) -> String {
        format!("simulated segment {segment}")
    }
}

fn dead() -> DiskError {
    DiskError::Failed("the process is dead".into())
}

fn missing(operation: &str, segment: u64) -> DiskError {
    DiskError::Failed(format!("{operation} of simulated segment {segment}: there is none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use gds_core::disk::Block;

    fn write(segment: u64, block: u64, byte: u8, sync: bool) -> DiskWrite {
        let offset = block * BLOCK_BYTES as u64;
        DiskWrite { segment, offset, blocks: vec![Block([byte; BLOCK_BYTES])], count: 1, sync }
    }

    fn first_bytes(disk: &mut SimulatedDisk) -> [u8; 3] {
        std::array::from_fn(|block| {
            let mut byte = [0];
            disk.read(1, (block * BLOCK_BYTES) as u64, &mut byte).unwrap();
            byte[0]
        })
    }

    #[test]
    fn should_keep_what_was_synced_and_all_before_it_in_the_segment() {
        for seed in 0..50 {
            let platter = Platter::new(seed, &Default::default());
            let mut disk = SimulatedDisk::new(&platter, None);
            disk.create(1, 3 * BLOCK_BYTES as u64).unwrap();
            disk.submit(write(1, 0, 1, false));
            disk.submit(write(1, 1, 2, true));
            while disk.wait().is_some() {}
            disk.submit(write(1, 2, 3, true));
            platter.borrow_mut().cut_power();
            let [first, second, third] = first_bytes(&mut disk);
            assert_eq!([first, second], [1, 2]);
            assert!(third == 0 || third == 3);
        }
    }

    #[test]
    fn should_lose_what_was_not_synced_only_with_the_power() {
        let lost = (0..50).filter(|&seed| {
            let platter = Platter::new(seed, &Default::default());
            let mut disk = SimulatedDisk::new(&platter, None);
            disk.create(1, 3 * BLOCK_BYTES as u64).unwrap();
            disk.submit(write(1, 0, 1, false));
            disk.wait().unwrap().1.unwrap();
            platter.borrow_mut().kill();
            assert_eq!(first_bytes(&mut disk), [1, 0, 0]);
            platter.borrow_mut().cut_power();
            first_bytes(&mut disk) == [0, 0, 0]
        });
        assert!((5..45).contains(&lost.count()));
    }

    #[test]
    fn should_finish_writes_in_order_when_their_time_has_come() {
        let clock: SharedClock = SharedClock::new(Clock::default());
        let platter = Platter::new(3, &clock);
        platter.borrow_mut().delay_max_ns = 1_000;
        let mut disk = SimulatedDisk::new(&platter, None);
        disk.create(1, 3 * BLOCK_BYTES as u64).unwrap();
        disk.submit(write(1, 0, 1, false));
        disk.submit(write(1, 1, 2, false));
        clock.advance(1_001);
        assert_eq!(disk.poll().unwrap().0.offset, 0);
        assert_eq!(disk.poll().unwrap().0.offset, BLOCK_BYTES as u64);
        assert!(disk.poll().is_none());
    }

    #[test]
    fn should_put_back_what_was_copied_each_half_as_it_was_at_its_moment() {
        let platter = Platter::new(1, &Default::default());
        let mut disk = SimulatedDisk::new(&platter, None);
        disk.create(1, 3 * BLOCK_BYTES as u64).unwrap();
        let (mut copy, middle) = (Files::default(), platter.borrow().middle(1));
        assert_eq!(middle, BLOCK_BYTES);
        for (from, byte) in [(0, 1), (middle, 2)] {
            (0..3).for_each(|block| disk.submit(write(1, block, byte, true)));
            while disk.wait().is_some() {}
            copy.add(1, from, &platter.borrow().files());
        }
        (0..3).for_each(|block| disk.submit(write(1, block, 3, false)));
        while disk.wait().is_some() {}
        platter.borrow_mut().replace(copy);
        platter.borrow_mut().cut_power();
        assert_eq!(first_bytes(&mut disk), [1, 2, 2]);
    }

    #[test]
    fn should_refuse_segments_beyond_its_room_and_fail_a_write_when_told() {
        let platter = Platter::new(1, &Default::default());
        platter.borrow_mut().segments_max = 1;
        let mut disk = SimulatedDisk::new(&platter, None);
        disk.create(1, BLOCK_BYTES as u64).unwrap();
        assert_eq!(disk.create(2, BLOCK_BYTES as u64), Err(DiskError::Full));
        platter.borrow_mut().fails = true;
        disk.submit(write(1, 0, 1, true));
        assert!(disk.wait().unwrap().1.is_err());
    }
}
