//! Takes snapshots of the store beside it, keeps the newest two, and lets go of what the journals need no more.
use super::images::{ImageOrders, ImagePort, Made};
use super::pruner::{Pruner, SegmentHold};
use super::{Agent, Fault};
use crate::counter_set;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::JournalReader;
use crate::snapshot::{GivenUp, Snapshot, SnapshotWriter, Survey, Writing};
use crate::store::{ImageRoom, StoreImage};
use crate::time::{SECOND_NS, Time};
use gds_wire::session::Session;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many whole snapshots are kept: one may turn out to be damaged.
const KEPT: usize = 2;
/// How long to wait after a snapshot was given up.
const RETRY_NS: u64 = SECOND_NS;

/// When snapshots are taken, and what goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// One is taken when so many messages have been applied since the last; 0: only on order.
    pub every_messages: u64,
    /// Length of a segment; whole chunks of [`CHUNK_BYTES`](crate::snapshot::CHUNK_BYTES).
    pub segment_bytes: u64,
    /// The journals keep so many of the newest messages, and all that the older of the snapshots kept needs; `None`: everything.
    pub keep_messages: Option<u64>,
}

impl Default for SnapshotConfig {
    /// None but on order, segments of 64 MiB; the journals keep everything.
    fn default() -> Self {
        Self { every_messages: 0, segment_bytes: 64 << 20, keep_messages: None }
    }
}

/// What the agent is told while it runs.
#[derive(Debug, Default)]
pub struct SnapshotOrders {
    /// Take a snapshot now. The agent resets it when it begins.
    pub take: AtomicBool,
    /// The message of the snapshot that is being given to another node, which keeps it and what the journals have behind it; 0: none.
    pub lent: AtomicU64,
}

counter_set! {
    /// What the agent of the snapshots counts.
    pub struct SnapshotCounters {
        /// Snapshots taken.
        taken,
        /// Message of the newest snapshot kept; 0: there is none.
        newest,
        /// Message of the snapshot that is being taken; 0: none is.
        taking,
        /// Bytes of the store's log that it has still to go over.
        left_bytes,
        /// Nanoseconds that the last one took.
        duration_ns,
        /// Snapshots given up because the store's log ran short of room: larger limits, or a quicker disk, would help.
        given_up_log_short,
        /// Snapshots given up because their disk was full or failed.
        given_up_disk,
        /// Snapshots given up because they were not what the store had counted. Should be 0.
        given_up_miscounted,
        /// Segments that could not be removed, of snapshots or of journals.
        not_removed,
        /// Journal segments removed because nobody needs their messages any more.
        segments_pruned,
        /// Journal segments that no start needs, held because a rewinder (network.rewinders) lacks messages of them.
        segments_held,
        /// Their length, in bytes.
        held_bytes,
        /// Bytes of such segments that are held at most (journal.rewinder_hold_bytes).
        held_bytes_max,
        /// Of those removed, the ones that a rewinder lacked messages of: more bytes were held than may be, or a disk was full.
        segments_not_fetched,
    }
}

/// The disks the agent works on.
pub struct SnapshotDisks<D> {
    /// Of the snapshots, for writing.
    pub snapshots: D,
    /// The bus journal's.
    pub bus: D,
    /// The acknowledgements' journal's.
    pub acknowledgements: D,
}

enum Phase {
    Waiting(Box<StoreImage>),
    Asked,
    Writing,
}

/// See the module.
pub struct SnapshotAgent<D> {
    config: SnapshotConfig,
    orders: Arc<SnapshotOrders>,
    images: ImageOrders,
    room: ImageRoom,
    writer: SnapshotWriter,
    disk: D,
    /// How far the stream and its acknowledgements are.
    progress: [Arc<Progress>; 2],
    pruner: Pruner<D>,
    phase: Phase,
    /// Whole snapshots, the newest last.
    kept: VecDeque<Snapshot>,
    /// Segments to be removed.
    strays: VecDeque<u64>,
    /// The next snapshot's first segment.
    next_segment: u64,
    began_ns: u64,
    retry_at_ns: u64,
    counters: Arc<SnapshotCounters>,
}

impl<D: Disk> SnapshotAgent<D> {
    /// For the store at the other end of `port`. `found` is what is on the disk of the snapshots; both streams come with their names
    /// and how far they are, the bus first.
    pub fn new(
        config: SnapshotConfig,
        streams: [(Session, Arc<Progress>); 2],
        port: ImagePort,
        found: Survey,
        disks: SnapshotDisks<D>,
        orders: Arc<SnapshotOrders>,
    ) -> Self {
        let (images, room, walk) = port.split();
        let [bus, acknowledgements] = streams;
        let writer = SnapshotWriter::new(bus.0, config.segment_bytes, walk);
        let counters = Arc::<SnapshotCounters>::default();
        let journals = [
            (JournalReader::new(bus.0), disks.bus),
            (JournalReader::new(acknowledgements.0), disks.acknowledgements),
        ];
        let last = found.whole.last().map(|snapshot| snapshot.last_segment);
        let mut image = Box::<StoreImage>::default();
        image.clear(room);
        let mut agent = Self {
            config,
            orders,
            images,
            room,
            writer,
            disk: disks.snapshots,
            progress: [bus.1, acknowledgements.1],
            pruner: Pruner::new(journals, counters.clone()),
            phase: Phase::Waiting(image),
            next_segment: last.max(found.strays.last().copied()).map_or(1, |last| last + 1),
            kept: found.whole.into(),
            strays: found.strays.into(),
            began_ns: 0,
            retry_at_ns: 0,
            counters,
        };
        agent.keep_newest();
        agent
    }

    /// Holds journal segments that others need, too.
    pub fn holding(mut self, hold: SegmentHold) -> Self {
        self.pruner.hold(hold);
        self
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<SnapshotCounters> {
        &self.counters
    }

    fn applied(&self) -> u64 {
        self.progress[0].applied.get()
    }

    /// Whether a snapshot is to be begun now.
    fn is_due(&self, now: Time) -> bool {
        let newest = self.kept.back().map_or(0, |snapshot| snapshot.sequence);
        let applied = self.applied();
        let ordered = self.orders.take.load(Ordering::Acquire);
        let every = self.config.every_messages;
        let due = ordered || (every > 0 && applied >= newest.saturating_add(every));
        due && applied > newest && now.monotonic_ns >= self.retry_at_ns
    }

    /// The image has come, or has to be larger.
    fn begin(&mut self, now: Time, made: Made) {
        match made {
            Made::Image(image) => {
                self.counters.taking.set(image.applied);
                self.writer.begin(image, self.next_segment);
                self.phase = Phase::Writing;
            }
            Made::Room(image, room) => {
                if room == self.room {
                    // Nothing is declared yet.
                    self.retry_at_ns = now.monotonic_ns + RETRY_NS;
                }
                self.room = room;
                self.orders.take.store(true, Ordering::Release);
                self.phase = Phase::Waiting(image);
            }
        }
    }

    fn write(&mut self, now: Time) -> usize {
        let sequence = self.counters.taking.get();
        // What a start goes on with from the snapshot must be there after it, whatever happens to the snapshot's node meanwhile.
        let journalled = self.progress.iter().all(|progress| progress.durable.get() >= sequence);
        match self.writer.duty(&mut self.disk, journalled) {
            Writing::Going(done) => {
                self.counters.left_bytes.set(self.writer.left_bytes());
                done
            }
            Writing::Taken(snapshot, image) => {
                self.counters.taken.increment();
                self.counters.duration_ns.set(now.monotonic_ns - self.began_ns);
                self.next_segment = snapshot.last_segment + 1;
                self.kept.push_back(snapshot);
                self.keep_newest();
                self.wait(image);
                1
            }
            Writing::Over(why, segments, image) => {
                self.count(&why);
                self.next_segment = self.next_segment.max(segments.end);
                self.strays.extend(segments);
                self.retry_at_ns = now.monotonic_ns + RETRY_NS;
                self.orders.take.store(true, Ordering::Release);
                self.wait(image);
                1
            }
        }
    }

    fn wait(&mut self, image: Box<StoreImage>) {
        self.counters.taking.set(0);
        self.counters.left_bytes.set(0);
        self.phase = Phase::Waiting(image);
    }

    fn count(&self, why: &GivenUp) {
        let counters = &self.counters;
        match why {
            GivenUp::LogShort => counters.given_up_log_short.increment(),
            GivenUp::DiskFull | GivenUp::Disk(_) => counters.given_up_disk.increment(),
            GivenUp::Miscount(_) => counters.given_up_miscounted.increment(),
        }
    }

    /// Lets go of all but the newest snapshots, and of the messages that the older of them does not need.
    fn keep_newest(&mut self) {
        let lent = self.orders.lent.load(Ordering::Acquire);
        let is_free = |snapshot: &Snapshot| snapshot.sequence != lent;
        while self.kept.iter().filter(|snapshot| is_free(snapshot)).count() > KEPT {
            let oldest = self.kept.iter().position(is_free).expect("there are more than are kept");
            let old = self.kept.remove(oldest).expect("it was found there");
            self.strays.extend(old.first_segment..=old.last_segment);
        }
        self.counters.newest.set(self.kept.back().map_or(0, |snapshot| snapshot.sequence));
        if let (Some(keep), true) = (self.config.keep_messages, self.kept.len() >= KEPT) {
            self.pruner.may_go(self.kept[0].sequence.min(self.applied().saturating_sub(keep)));
        }
    }

    /// Removes one segment that nobody needs, if there is one. What cannot be removed stays: the node goes on without it.
    fn clear_away(&mut self, now: Time) -> bool {
        let Some(segment) = self.strays.pop_front() else {
            let is_full = self.progress.iter().any(|progress| progress.full.get() > 0);
            return self.pruner.duty(now, is_full);
        };
        if self.disk.remove(segment).is_err() {
            self.counters.not_removed.increment();
        }
        true
    }
}

impl<D: Disk> Agent for SnapshotAgent<D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        match &mut self.phase {
            Phase::Writing => return Ok(self.write(now)),
            Phase::Asked => {
                let made = self.images.take();
                let came = made.is_some();
                made.into_iter().for_each(|made| self.begin(now, made));
                return Ok(usize::from(came));
            }
            Phase::Waiting(_) => {}
        }
        if self.clear_away(now) {
            return Ok(1);
        }
        if !self.is_due(now) {
            return Ok(0);
        }
        let Phase::Waiting(mut image) = std::mem::replace(&mut self.phase, Phase::Asked) else {
            unreachable!("it waits")
        };
        self.orders.take.store(false, Ordering::Release);
        self.began_ns = now.monotonic_ns;
        image.clear(self.room);
        self.images.ask(image);
        Ok(1)
    }
}
