//! Starts from snapshots, and journals pruned behind them.
use super::*;
use crate::agent::{SnapshotAgent, SnapshotConfig, SnapshotDisks, SnapshotOrders};
use crate::bus::StreamRead;
use crate::journal::JournalRead;
use crate::snapshot::CHUNK_BYTES;
use std::sync::atomic::Ordering;

pub(super) const EVERY: SnapshotConfig =
    SnapshotConfig { every_messages: 30, segment_bytes: 2 * CHUNK_BYTES as u64, keep_messages: None };

/// A member with snapshots.
pub(super) fn home() -> Home {
    let mut home = Home::new(Durability::Memory);
    home.snapshots = Some(Handle(Rc::new(RefCell::new(MemoryDisk::new()))));
    home
}

/// A process with the agent that takes its snapshots.
pub(super) struct Taker {
    pub(super) process: Process,
    pub(super) agent: SnapshotAgent<Handle>,
    orders: Arc<SnapshotOrders>,
}

impl Taker {
    pub(super) fn of(home: &Home, mut process: Process, config: SnapshotConfig) -> Self {
        let started = &mut process.started;
        let port = started.store.offer_images();
        let disks = SnapshotDisks {
            snapshots: home.snapshots.clone().expect("a disk for them"),
            bus: home.bus.clone(),
            acknowledgements: home.acknowledgements.clone(),
        };
        let streams =
            [&started.bus, &started.acknowledgements].map(|stream| (stream.session, stream.progress.clone()));
        let orders = Arc::<SnapshotOrders>::default();
        let found = std::mem::take(&mut started.snapshots);
        let agent = SnapshotAgent::new(config, streams, port, found, disks, orders.clone());
        Self { process, agent, orders }
    }

    /// So many more entries, committed and applied, with a step of the snapshot after each.
    pub(super) fn run(&mut self, entries: u64) {
        for _ in 0..entries {
            self.process.append(&[1]);
            self.process.write_journal();
            self.process.commit(self.process.started.bus.ring.last());
            self.step();
        }
    }

    pub(super) fn step(&mut self) -> usize {
        let now = self.process.time();
        self.process.started.store.duty(now).expect("a store");
        self.agent.duty(now).expect("it never stops the node")
    }

    /// Everything begun is ended.
    pub(super) fn settle(&mut self) {
        while self.step() + self.step() + self.step() > 0 {}
    }

    pub(super) fn counter(&self, of: impl Fn(&crate::agent::SnapshotCounters) -> u64) -> u64 {
        of(self.agent.counters())
    }

    fn digest(&mut self) -> u128 {
        // Only the writer can tell; a reader's status may be older.
        self.process.time();
        self.process.started.store.store().reader().status().digest
    }
}

/// A member killed after 200 entries, with snapshots on the way; and the message of the newest.
pub(super) fn killed_with_snapshots(config: SnapshotConfig) -> (Home, u64) {
    let mut home = home();
    let process = home.start().expect("a new member");
    let mut taker = Taker::of(&home, process, config);
    taker.run(200);
    taker.settle();
    let (taken, newest) = (taker.counter(|set| set.taken.get()), taker.counter(|set| set.newest.get()));
    assert!(taken >= 4 && newest > 100, "{taken} taken, the newest at {newest}");
    drop(taker);
    home.power_stays();
    (home, newest)
}

/// The digest of a process right after its start.
pub(super) fn digest(process: &mut Process) -> (u64, u128) {
    let now = Time { monotonic_ns: 1 << 50, wall_ns: 0 };
    process.started.store.duty(now).expect("a store");
    let status = process.started.store.store().reader().status();
    (status.applied, status.digest)
}

/// Flips a bit in the middle of a snapshot's head.
fn damage(home: &Home, segment: u64) {
    home.snapshots.as_ref().expect("a disk").0.borrow_mut().flip(segment, 100 * 8);
}

#[test]
fn a_start_goes_on_from_the_newest_snapshot() {
    let (mut home, newest) = killed_with_snapshots(EVERY);
    let mut from_it = home.start().expect("a member");
    assert_eq!(from_it.started.report.snapshot, newest);
    assert_eq!(from_it.started.report.notices, [""; 0]);
    assert_eq!(from_it.started.snapshots.whole.len(), 2, "two are kept");
    let found = digest(&mut from_it);
    assert_eq!((found.0, from_it.log()), (200, (200, 200)));
    let disk = home.snapshots.take();
    let mut from_the_beginning = home.start().expect("a member");
    assert_eq!((from_the_beginning.started.report.snapshot, digest(&mut from_the_beginning)), (0, found));
    home.snapshots = disk;
}

#[test]
fn an_order_takes_one_at_once() {
    let mut home = home();
    let process = home.start().expect("a new member");
    let mut taker = Taker::of(&home, process, SnapshotConfig { every_messages: 0, ..EVERY });
    taker.run(20);
    taker.settle();
    assert_eq!(taker.counter(|set| set.taken.get()), 0);
    taker.orders.take.store(true, Ordering::Release);
    taker.settle();
    assert_eq!((taker.counter(|set| set.taken.get()), taker.counter(|set| set.newest.get())), (1, 20));
    assert_ne!(taker.digest(), 0);
    drop(taker);
    home.power_stays();
    let process = home.start().expect("a member");
    assert_eq!(process.started.report.snapshot, 20);
    assert_eq!(
        process.started.bus.progress.applied.get(),
        20,
        "all see how far the store is, with nothing to replay"
    );
}

#[test]
fn a_damaged_snapshot_is_passed_over_with_a_notice() {
    let (mut home, newest) = killed_with_snapshots(EVERY);
    let whole = home.start().expect("a member").started.snapshots.whole;
    let expected = digest(&mut home.start().expect("a member"));
    damage(&home, whole[1].first_segment);
    let mut process = home.start().expect("a member");
    let report = process.started.report.clone();
    assert_eq!(report.snapshot, whole[0].sequence);
    assert!(
        report.notices[0].contains(&format!("the snapshot at message {newest} cannot be used")),
        "{report:?}"
    );
    assert_eq!(digest(&mut process), expected);
    damage(&home, whole[0].first_segment);
    let mut process = home.start().expect("a member");
    assert_eq!((process.started.report.snapshot, process.started.report.notices.len()), (0, 2));
    assert_eq!(digest(&mut process), expected);
    assert_eq!(process.started.snapshots.whole, []);
    let mut taker = Taker::of(&home, process, EVERY);
    taker.run(1);
    taker.settle();
    assert_eq!(taker.counter(|set| set.newest.get()), 201);
}

#[test]
fn journals_forget_what_the_older_snapshot_does_not_need() {
    let config = SnapshotConfig { keep_messages: Some(10), ..EVERY };
    let (mut home, newest) = killed_with_snapshots(config);
    let first = home.bus.segments().expect("a disk")[0];
    assert!(first > 1, "the first segments are gone");
    let process = home.start().expect("a member");
    let older = process.started.snapshots.whole[0].sequence;
    assert_eq!(process.started.report.snapshot, newest);
    let mut reader = process.started.bus.reader(1);
    assert_eq!(reader.read(200, &mut home.bus, &mut [0; 4096]), Ok(StreamRead::Gone));
    let kept = reader.first_kept().expect("a journal");
    assert!((2..=older).contains(&kept), "message {kept} is the first, the older snapshot is at {older}");
    drop(process);
    // Without snapshots there is no way to begin.
    let disk = home.snapshots.take();
    let fault = home.start().err().expect("a fault").0;
    assert!(fault.contains(&format!("the journal begins with message {kept}")), "{fault}");
    home.snapshots = disk;
    // From the older one there is.
    let whole = home.start().expect("a member").started.snapshots.whole;
    damage(&home, whole[1].first_segment);
    assert_eq!(home.start().expect("a member").started.report.snapshot, whole[0].sequence);
}

#[test]
fn a_reader_finds_what_was_removed_while_it_read_to_be_gone() {
    let (mut home, _) = killed_with_snapshots(EVERY);
    let mut reader = JournalReader::new(STREAM);
    let mut bytes = [0; 4096];
    assert!(matches!(reader.read(100, &mut home.bus, &mut bytes), Ok(JournalRead::Message { .. })));
    assert_eq!(reader.first_kept(), Some(1));
    home.bus.remove(1).expect("a segment");
    assert_eq!(reader.read(1, &mut home.bus, &mut bytes), Ok(JournalRead::Absent));
    assert!(reader.first_kept() > Some(1));
    assert!(matches!(reader.read(100, &mut home.bus, &mut bytes), Ok(JournalRead::Message { .. })));
}

#[test]
fn a_power_cut_while_one_is_taken_leaves_those_before() {
    for cut in 0..40 {
        let (mut home, newest) = killed_with_snapshots(EVERY);
        let process = home.start().expect("a member");
        let mut taker = Taker::of(&home, process, EVERY);
        taker.run(25 + cut);
        let known = taker.counter(|set| set.newest.get());
        drop(taker);
        home.power_goes();
        let process = home.start().expect("a member, which may have lost something");
        let from = process.started.report.snapshot;
        let (committed, _) = process.log();
        // The cut may have taken acknowledgements of messages that the newest shows: then the one before counts.
        assert!(
            from <= committed && (from >= newest || committed < known),
            "{from} of {committed}, {newest}"
        );
        assert_eq!(process.started.report.notices, [""; 0], "what is not whole is not even tried; {known}");
    }
}

#[test]
fn snapshots_of_another_stream_are_refused() {
    let (mut home, _) = killed_with_snapshots(EVERY);
    let handle = || Handle(Rc::new(RefCell::new(MemoryDisk::new())));
    (home.bus, home.acknowledgements, home.ring) = (handle(), handle(), None);
    home.config.stream = Session::padded("1800000000");
    let fault = home.start().err().expect("a fault").0;
    assert!(fault.contains("is of a snapshot of stream 1700000000, not of 1800000000"), "{fault}");
}

#[test]
fn a_snapshot_that_is_lent_is_kept_with_what_follows_it() {
    let config = SnapshotConfig { keep_messages: Some(10), ..EVERY };
    let mut home = home();
    let process = home.start().expect("a new member");
    let mut taker = Taker::of(&home, process, config);
    taker.run(70);
    taker.settle();
    let lent = taker.counter(|set| set.newest.get());
    taker.orders.lent.store(lent, Ordering::Release);
    taker.run(200);
    taker.settle();
    let mut disk = home.snapshots.clone().expect("a disk");
    let mut kept = || -> Vec<u64> {
        let whole = crate::snapshot::survey(&mut disk, STREAM).expect("a disk").whole;
        whole.iter().map(|snapshot| snapshot.sequence).collect()
    };
    assert_eq!((kept().len(), kept()[0]), (3, lent));
    let mut reader = JournalReader::new(STREAM);
    let mut bytes = [0; 4096];
    assert!(matches!(reader.read(lent, &mut home.bus, &mut bytes), Ok(JournalRead::Message { .. })));
    taker.orders.lent.store(0, Ordering::Release);
    taker.run(40);
    taker.settle();
    assert_eq!(kept().len(), 2);
    assert!(!kept().contains(&lent));
    reader.refresh(&mut home.bus).expect("a disk");
    assert!(reader.first_kept() > Some(lent));
}
