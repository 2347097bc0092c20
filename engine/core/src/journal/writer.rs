//! Writing the journal: group commit, segments made ahead, an orderly end.
use std::collections::VecDeque;
use std::sync::Arc;

use gds_wire::session::Session;

use super::config::{Durability, JournalConfig, JournalCounters, JournalFault};
use super::group::{GROUP_BYTES_MAX, GroupBuffer, MESSAGE_BYTES_MAX, Seal};
use super::recovery::Recovered;
use crate::cursor::{Cursor, Progress};
use crate::disk::{BLOCK_BYTES, Block, Disk, DiskError, DiskWrite};
use crate::memory::{Read, RingReader};
use crate::mutation::{Mutation, active};
use crate::time::{MILLISECOND_NS, Time};

/// How long to wait before a segment is tried again that found no room.
const RETRY_NS: u64 = 100 * MILLISECOND_NS;

/// A segment being filled, or made ahead.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    blocks: u64,
    used_blocks: u64,
}

impl Segment {
    fn free_blocks(&self) -> u64 {
        self.blocks.saturating_sub(self.used_blocks)
    }
}

/// A write on its way.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    first: u64,
    last: u64,
}

/// Takes messages from the ring and writes them to segments. One writer per journal.
pub struct JournalWriter {
    config: JournalConfig,
    stream: Session,
    counters: Arc<JournalCounters>,
    /// What waits to be written. There is one from the first message taken on until it is handed to the disk.
    building: Option<GroupBuffer>,
    building_since_ns: u64,
    buffers: Vec<Vec<Block>>,
    in_flight: VecDeque<InFlight>,
    /// Number of the next message to take.
    next: u64,
    /// CRC-32C of the last group handed to the disk.
    checksum: u32,
    current: Option<Segment>,
    ahead: Option<Segment>,
    /// The segment ahead is being made.
    preparing: bool,
    next_segment: u64,
    retry_at_ns: Option<u64>,
    /// Handed to the operating system up to here.
    journalled: u64,
    /// Known to survive a power cut up to here.
    synced: u64,
    /// The mark of an orderly end is still on the disk. What takes its place is synced, whatever the durability: after a power cut the mark
    /// would stand there again, and say that nothing is missing.
    leaves_clean_end: bool,
    fault: Option<JournalFault>,
    closed: bool,
}

impl JournalWriter {
    /// A writer that goes on where `recovered` ends. Makes its buffers here and no others later.
    ///
    /// # Panics
    /// For a configuration out of its limits, or another stream than the recovered one.
    pub fn new(config: JournalConfig, stream: Session, recovered: &Recovered) -> Self {
        config.check();
        assert!(
            recovered.stream.is_none_or(|found| found == stream),
            "the journal belongs to another stream"
        );
        let blocks = config.group_bytes_max / BLOCK_BYTES;
        let buffers = (0..config.buffers()).map(|_| vec![Block([0; BLOCK_BYTES]); blocks]).collect();
        let current = recovered.position.map(|position| Segment {
            number: position.segment,
            blocks: recovered.segment_bytes / BLOCK_BYTES as u64,
            used_blocks: position.offset / BLOCK_BYTES as u64,
        });
        Self {
            config,
            stream,
            counters: Arc::default(),
            building: None,
            building_since_ns: 0,
            buffers,
            in_flight: VecDeque::with_capacity(config.buffers()),
            next: recovered.last + 1,
            checksum: recovered.checksum,
            next_segment: current.map_or(1, |segment| segment.number + 1),
            current,
            ahead: None,
            preparing: false,
            retry_at_ns: None,
            journalled: recovered.last,
            synced: recovered.last,
            leaves_clean_end: recovered.marked,
            fault: None,
            closed: false,
        }
    }

    /// What the writer counts.
    pub fn counters(&self) -> &Arc<JournalCounters> {
        &self.counters
    }

    /// Number of the next message the writer takes; the source must stand there.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Nothing is on its way to the disk, neither a write nor a segment.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && !self.preparing
    }

    /// One duty cycle: takes finished writes, makes the next segment when it is time, groups what `source` has up to
    /// `limit`, hands groups to the disk, and shows in `progress` how far journalled, durable and reserved have come.
    /// Returns how much it did. After an error every later call gives the same error and does nothing.
    ///
    /// # Panics
    /// When `source` stands elsewhere than [`next_sequence`](Self::next_sequence), or holds a message above
    /// [`MESSAGE_BYTES_MAX`].
    pub fn duty(
        &mut self,
        now: Time,
        source: &mut RingReader,
        limit: u64,
        disk: &mut dyn Disk,
        progress: &Progress,
    ) -> Result<usize, JournalFault> {
        if self.closed {
            return Ok(0);
        }
        match self.cycle(now, source, limit, disk, false) {
            Ok(done) => {
                self.show(progress);
                Ok(done)
            }
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// Writes what `source` still has up to `limit`, waits for it, syncs, and marks the orderly end. False when there was
    /// no room for all of that; the journal is then as after a crash, which loses nothing that was journalled. Only a
    /// recovery may follow: a closed writer does nothing.
    pub fn close(
        &mut self,
        now: Time,
        source: &mut RingReader,
        limit: u64,
        disk: &mut dyn Disk,
        progress: &Progress,
    ) -> Result<bool, JournalFault> {
        if self.closed {
            return Ok(true);
        }
        self.closed = true;
        self.retry_at_ns = None;
        while self.cycle(now, source, limit, disk, true)? > 0 || !self.in_flight.is_empty() {
            self.wait_for_one(disk)?;
        }
        self.show(progress);
        // With a free block and nothing on its way, the last cycle has read the source to its end.
        let Some(current) = self.current.filter(|segment| segment.free_blocks() > 0) else {
            return Ok(false);
        };
        assert!(self.building.is_none(), "a group is left over");
        if self.synced < self.journalled {
            let (blocks, last) = (self.free_buffer(), self.journalled);
            let write = DiskWrite { segment: current.number, offset: 0, blocks, count: 0, sync: true };
            self.submit(disk, write, InFlight { first: last, last });
            self.wait_for_one(disk)?;
        }
        let clean_end = GroupBuffer::begin(self.free_buffer(), self.next, BLOCK_BYTES);
        self.write(clean_end, true, disk);
        self.wait_for_one(disk)?;
        self.show(progress);
        Ok(true)
    }

    fn show(&self, progress: &Progress) {
        let durable = match self.config.durability {
            Durability::Fsync if active(Mutation::DurableBeforeSync) => self.next - 1,
            Durability::Fsync => self.synced,
            Durability::Memory => self.journalled,
        };
        // Each message needs one block at most. One block is kept for the clean end.
        let free = [&self.current, &self.ahead].into_iter().flatten().map(Segment::free_blocks).sum::<u64>();
        let promised = 1 + self.building.as_ref().map_or(0, |group| group.block_count() as u64);
        set(&progress.journalled, self.journalled);
        set(&progress.durable, durable);
        set(&progress.reserved, self.next - 1 + free.saturating_sub(promised));
        set(&progress.full, u64::from(self.retry_at_ns.is_some()));
    }

    fn cycle(
        &mut self,
        now: Time,
        source: &mut RingReader,
        limit: u64,
        disk: &mut dyn Disk,
        flush: bool,
    ) -> Result<usize, JournalFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut done = 0;
        while let Some((write, result)) = disk.poll() {
            self.finish(disk, write, result)?;
            done += 1;
        }
        loop {
            done += self.make_room(now, disk, flush)?;
            done += self.take(now, source, limit)?;
            if !self.write_if_due(now, disk, flush) {
                return Ok(done);
            }
            done += 1;
        }
    }

    /// Goes on to the segment made ahead when the current one is full, and has the next made when the current one is half full. Only
    /// with `flush` is it waited for.
    fn make_room(&mut self, now: Time, disk: &mut dyn Disk, flush: bool) -> Result<usize, JournalFault> {
        let half_full = self.current.is_none_or(|segment| segment.free_blocks() * 2 <= segment.blocks);
        let due = self.retry_at_ns.is_none_or(|retry_at_ns| now.monotonic_ns >= retry_at_ns);
        let mut done = 0;
        if self.ahead.is_none() && (half_full && due || self.preparing) {
            let bytes = self.config.segment_bytes;
            let made = match flush {
                true => disk.create(self.next_segment, bytes).map(|()| true),
                false => disk.prepare(self.next_segment, bytes),
            };
            self.preparing = made == Ok(false);
            match made {
                Ok(false) => {}
                Ok(true) => {
                    self.retry_at_ns = None;
                    let blocks = bytes / BLOCK_BYTES as u64;
                    self.ahead = Some(Segment { number: self.next_segment, blocks, used_blocks: 0 });
                    self.next_segment += 1;
                    self.counters.segments_created.increment();
                    done = 1;
                }
                Err(DiskError::Full) => {
                    self.counters.disk_full.increment();
                    self.retry_at_ns = Some(now.monotonic_ns + RETRY_NS);
                }
                Err(cause) => return Err(JournalFault::Create(cause)),
            }
        }
        let full = self.current.is_none_or(|segment| segment.free_blocks() == 0);
        if full && self.ahead.is_some() {
            self.current = self.ahead.take();
        }
        Ok(done)
    }

    /// Takes messages into the group being built until there is none, or no room.
    fn take(&mut self, now: Time, source: &mut RingReader, limit: u64) -> Result<usize, JournalFault> {
        assert_eq!(source.next_sequence(), self.next, "the journal's source stands elsewhere");
        if !source.has_next(limit) {
            return Ok(0);
        }
        if self.building.as_ref().is_some_and(GroupBuffer::is_full) {
            self.counters.held_back.increment();
            return Ok(0);
        }
        let free_blocks = self.current.map_or(0, |segment| segment.free_blocks());
        if self.building.is_none() && (free_blocks == 0 || self.buffers.is_empty()) {
            self.counters.held_back.increment();
            return Ok(0);
        }
        let mut group = match self.building.take() {
            Some(group) => group,
            None => {
                let room_bytes =
                    free_blocks.min((GROUP_BYTES_MAX / BLOCK_BYTES) as u64) as usize * BLOCK_BYTES;
                self.building_since_ns = now.monotonic_ns;
                GroupBuffer::begin(self.free_buffer(), self.next, room_bytes)
            }
        };
        let taken = fill(&mut group, source, limit);
        self.next = group.next();
        if group.count() == 0 {
            self.buffers.push(group.into_blocks());
        } else {
            self.building = Some(group);
        }
        taken
    }

    /// Hands the group being built to the disk, if its time has come. False when it has not, or there is none.
    fn write_if_due(&mut self, now: Time, disk: &mut dyn Disk, flush: bool) -> bool {
        let waited_ns = now.monotonic_ns.saturating_sub(self.building_since_ns);
        let due = |group: &GroupBuffer| match self.config.durability {
            Durability::Fsync => self.in_flight.is_empty(),
            Durability::Memory => flush || group.is_full() || waited_ns >= self.config.linger_ns,
        };
        if !self.building.as_ref().is_some_and(due) {
            return false;
        }
        let group = self.building.take().expect("it is due");
        self.counters.messages.add(u64::from(group.count()));
        self.write(group, self.config.durability == Durability::Fsync, disk);
        true
    }

    /// Seals the group and hands it to the disk. The last group of a segment is always synced, and with it all others in it.
    fn write(&mut self, group: GroupBuffer, sync: bool, disk: &mut dyn Disk) {
        let current = self.current.as_mut().expect("a group was begun in it");
        let offset = current.used_blocks * BLOCK_BYTES as u64;
        let way = InFlight { first: group.first(), last: group.next() - 1 };
        let (durable, previous) = (self.synced, self.checksum);
        let seal = Seal { stream: self.stream, segment: current.number, offset, durable, previous };
        let (blocks, count, checksum) = group.seal(seal);
        self.checksum = checksum;
        current.used_blocks += count as u64;
        let sync = sync || current.free_blocks() == 0 || std::mem::take(&mut self.leaves_clean_end);
        let lost = active(Mutation::JournalLosesGroups) && way.first.is_multiple_of(3);
        let written = if lost { 0 } else { count };
        let write = DiskWrite { segment: current.number, offset, blocks, count: written, sync };
        self.counters.groups.increment();
        self.counters.bytes.add((count * BLOCK_BYTES) as u64);
        self.submit(disk, write, way);
    }

    fn submit(&mut self, disk: &mut dyn Disk, write: DiskWrite, way: InFlight) {
        self.in_flight.push_back(way);
        disk.submit(write);
    }

    fn free_buffer(&mut self) -> Vec<Block> {
        self.buffers.pop().expect("a buffer is free")
    }

    /// Waits for the oldest write on its way, if there is one.
    fn wait_for_one(&mut self, disk: &mut dyn Disk) -> Result<(), JournalFault> {
        let Some(way) = self.in_flight.front() else { return Ok(()) };
        let Some((write, result)) = disk.wait() else {
            let file = disk.describe(self.current.map_or(1, |segment| segment.number));
            let cause = DiskError::Failed("the disk lost track of a write".into());
            return Err(JournalFault::Write { file, offset: 0, sequence: way.first, cause });
        };
        self.finish(disk, write, result)
    }

    /// A write is finished: everything before it is, too, since the disk keeps the order.
    fn finish(
        &mut self,
        disk: &dyn Disk,
        write: DiskWrite,
        result: Result<(), DiskError>,
    ) -> Result<(), JournalFault> {
        let way = self.in_flight.pop_front().expect("the disk finishes what was submitted, once");
        if let Err(cause) = result {
            let (file, offset) = (disk.describe(write.segment), write.offset);
            return Err(JournalFault::Write { file, offset, sequence: way.first, cause });
        }
        self.journalled = way.last;
        if write.sync {
            self.synced = way.last;
            self.counters.syncs.increment();
        }
        self.buffers.push(write.blocks);
        Ok(())
    }
}

/// Stores only what changed, so that those who watch keep the line in their caches.
fn set(cursor: &Cursor, value: u64) {
    if cursor.get() != value {
        cursor.set(value);
    }
}

/// Reads the other message of the pair that `number` belongs to, if it is there: what a mutation does.
fn read_swapped(source: &mut RingReader, number: u64, limit: u64, slot: &mut [u8]) -> Read {
    source.seek(((number - 1) ^ 1) + 1);
    let swapped = source.read(limit, slot);
    source.seek(number);
    match swapped {
        Read::Message { .. } => source.seek(number + 1),
        _ => return source.read(limit, slot),
    }
    swapped
}

fn fill(group: &mut GroupBuffer, source: &mut RingReader, limit: u64) -> Result<usize, JournalFault> {
    let mut taken = 0;
    loop {
        let number = group.next();
        let slot = group.slot();
        if slot.is_empty() {
            group.close();
            return Ok(taken);
        }
        let read = match active(Mutation::JournalSwapsMessages) {
            true => read_swapped(source, number, limit, slot),
            false => source.read(limit, slot),
        };
        match read {
            Read::Message { length, epoch, chain, .. } => group.take(length, epoch, chain),
            Read::Empty => return Ok(taken),
            Read::TooSmall { length } => {
                assert!(
                    length <= MESSAGE_BYTES_MAX,
                    "the journal takes messages of {MESSAGE_BYTES_MAX} B, not {length}"
                );
                group.close();
                return Ok(taken);
            }
            Read::Overrun => return Err(JournalFault::Overrun(group.next())),
        }
        taken += 1;
    }
}
