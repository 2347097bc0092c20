//! Starts on what a process left behind: members of a cluster, and beside them a node that is alone.
use super::*;
use crate::disk::DiskWrite;
use crate::journal::Durability;
use crate::journal::memory_disk::MemoryDisk;
use crate::memory::words::HeapWords;
use crate::random::Random;
use crate::time::MILLISECOND_NS;
use gds_wire::declaration::Limits;
use gds_wire::envelope::{Envelope, Kind, Reason};
use std::cell::RefCell;
use std::rc::Rc;

mod cutting;
mod guard;
mod holding;
mod learning;
mod lives;
mod outcomes;
mod rings;
mod snapshots;

const STREAM: Session = Session(*b"1700000000");
const CLIENT: Session = Session(*b"CLIENT    ");
const BLOCK: u64 = crate::disk::BLOCK_BYTES as u64;

fn declaration() -> Declaration {
    let limits = Limits {
        records_max: 10,
        bytes_max: 1_000,
        sessions_max: 4,
        session_forget_messages: 0,
        horizon_messages: 1,
        index_seed: 0,
    };
    Declaration { limits, tables: Vec::new(), schemas: Vec::new() }
}

/// A handle to a disk that outlives the process.
#[derive(Clone)]
struct Handle(Rc<RefCell<MemoryDisk>>);

impl Disk for Handle {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        self.0.borrow_mut().segments()
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        self.0.borrow_mut().create(segment, bytes)
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        self.0.borrow_mut().length(segment)
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.0.borrow_mut().remove(segment)
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.0.borrow_mut().read(segment, offset, into)
    }

    fn submit(&mut self, write: DiskWrite) {
        self.0.borrow_mut().submit(write);
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.0.borrow_mut().poll()
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.0.borrow_mut().wait()
    }

    fn describe(&self, segment: u64) -> String {
        self.0.borrow().describe(segment)
    }
}

/// The machine of a node: what outlives its processes.
struct Home {
    config: StartConfig,
    bus: Handle,
    acknowledgements: Handle,
    /// Where its snapshots are, if it has any.
    snapshots: Option<Handle>,
    /// The ring file.
    ring: Option<SharedWords>,
    life: Option<Life>,
    label: Option<Label>,
    /// What the ring has may be nowhere else.
    ring_needed: bool,
    now_ns: u64,
    /// The process dies when it asks for the store's memory.
    dies_before_its_store: bool,
    /// The start is told to stop as it replays.
    is_told_to_stop: bool,
}

impl Home {
    fn new(durability: Durability) -> Self {
        let handle = || Handle(Rc::new(RefCell::new(MemoryDisk::new())));
        let ring = RingConfig { data_bytes: 1 << 14, positions: 1 << 8 };
        let (segment_bytes, group_bytes_max) = (24 * BLOCK, 2 * BLOCK as usize);
        let journal = JournalConfig { segment_bytes, group_bytes_max, linger_ns: MILLISECOND_NS, durability };
        let config = StartConfig {
            stream: Some(STREAM),
            new_stream: STREAM,
            sessions: None,
            boot_id: [7; 16],
            directory: [9; 16],
            ring,
            acknowledgement_ring: ring,
            journal,
            acknowledgement_journal: JournalConfig { durability: Durability::Memory, ..journal },
            declaration: declaration(),
            sequencer: SequencerConfig { durability, ..SequencerConfig::default() },
            store: StoreConfig::default(),
            outcomes_may_go_first: false,
            cluster: Some(ClusterStart::default()),
        };
        Self {
            config,
            bus: handle(),
            acknowledgements: handle(),
            snapshots: None,
            ring: None,
            life: None,
            label: None,
            ring_needed: true,
            now_ns: 0,
            dies_before_its_store: false,
            is_told_to_stop: false,
        }
    }

    fn start(&mut self) -> Result<Process, Fault> {
        let words = |config| HeapWords::shared(Ring::words_needed(&config));
        let ring_existed = self.ring.is_some();
        let ring = self.ring.get_or_insert_with(|| words(self.config.ring)).clone();
        let acknowledgement_ring = words(self.config.acknowledgement_ring);
        let config = self.config.clone();
        let memory = StartMemory {
            ring,
            ring_existed,
            ring_needed: self.ring_needed,
            ring_name: "the ring file".into(),
            acknowledgement_ring,
        };
        let started = start(&config, memory, self).inspect_err(|_| self.power_stays())?;
        Ok(Process::of(started))
    }

    /// Starts with the log cut after this message.
    fn start_cut(&mut self, after: u64) -> Result<Process, Fault> {
        self.config.cluster = Some(ClusterStart { cut_after: Some(after), ..ClusterStart::default() });
        let process = self.start();
        self.config.cluster = Some(ClusterStart::default());
        process
    }

    /// A process is gone and the machine goes on: what was on its way to the disks is there, or not.
    fn power_stays(&mut self) {
        let mut random = Random::new(self.now_ns);
        for disk in [&self.bus, &self.acknowledgements].into_iter().chain(&self.snapshots) {
            disk.0.borrow_mut().kill(&mut random);
        }
    }

    /// The machine is started anew.
    fn power_goes(&mut self) {
        let mut random = Random::new(self.now_ns);
        for disk in [&self.bus, &self.acknowledgements].into_iter().chain(&self.snapshots) {
            disk.0.borrow_mut().cut_power(&mut random);
        }
        self.ring = None;
        self.config.boot_id[0] += 1;
    }
}

impl Surroundings for Home {
    type Disk = Handle;

    fn disk(&mut self, journal: JournalName) -> Result<Handle, DiskError> {
        Ok(match journal {
            JournalName::Bus => self.bus.clone(),
            JournalName::Acknowledgements => self.acknowledgements.clone(),
        })
    }

    fn writer(&mut self, journal: JournalName) -> Result<Handle, DiskError> {
        self.disk(journal)
    }

    fn snapshots(&mut self) -> Result<Option<Handle>, DiskError> {
        Ok(self.snapshots.clone())
    }

    fn ring_words(&mut self) -> Result<SharedWords, Fault> {
        Ok(self.ring.insert(HeapWords::shared(Ring::words_needed(&self.config.ring))).clone())
    }

    fn store_memory(&mut self, capacity: &StoreCapacity) -> Result<StoreMemory, Fault> {
        match self.dies_before_its_store {
            true => Err(Fault("it died".into())),
            false => Ok(StoreMemory::heap(capacity)),
        }
    }

    fn label(&mut self) -> Result<Option<Label>, Fault> {
        Ok(self.label.clone())
    }

    fn keep_label(&mut self, label: &Label) -> Result<(), Fault> {
        self.label = Some(label.clone());
        Ok(())
    }

    fn life(&mut self) -> Result<Option<Life>, Fault> {
        Ok(self.life)
    }

    fn keep_life(&mut self, life: Life) -> Result<(), Fault> {
        self.life = Some(life);
        Ok(())
    }

    fn now(&mut self) -> Time {
        self.now_ns += MILLISECOND_NS;
        Time { monotonic_ns: self.now_ns, wall_ns: self.now_ns }
    }

    fn replayed(&mut self, _: u64, _: u64) -> ControlFlow<()> {
        match self.is_told_to_stop {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// A process that was started; the test plays the leader.
struct Process {
    started: Started<Handle>,
    now_ns: u64,
}

impl Process {
    fn of(started: Started<Handle>) -> Self {
        Self { started, now_ns: 1 << 40 }
    }

    fn member(&self) -> &MemberStart {
        self.started.member.as_ref().expect("a member of a cluster")
    }

    fn life(&self) -> (u64, u64) {
        let life = self.member().life;
        (life.incarnation, life.whole_since)
    }

    /// (committed, last) of the log.
    fn log(&self) -> (u64, u64) {
        let progress = &self.started.bus.progress;
        assert_eq!(self.started.store.store().applied(), progress.committed.get());
        assert_eq!(self.started.bus.ring.last(), progress.sequenced.get());
        assert_eq!(self.started.sequencer.table().applied(), progress.sequenced.get());
        (progress.committed.get(), progress.sequenced.get())
    }

    /// The leader's next entries, each of the epoch given. What is taken is in the ring alone.
    fn append(&mut self, epochs: &[u32]) {
        let progress = self.started.bus.progress.clone();
        for &epoch in epochs {
            let sequence = self.started.sequencer.next_sequence();
            let appended = self.started.sequencer.append_replicated(epoch, &entry(sequence));
            assert_eq!(appended.expect("an entry"), sequence);
            self.started.sequencer.publish_batch();
        }
        assert_eq!(progress.sequenced.get(), self.started.bus.ring.last());
    }

    /// The number of the leader's next entry, once it is taken.
    fn append_next(&mut self) -> u64 {
        let sequence = self.started.sequencer.next_sequence();
        self.append(&[1]);
        sequence
    }

    fn time(&mut self) -> Time {
        self.now_ns += MILLISECOND_NS;
        Time { monotonic_ns: self.now_ns, wall_ns: self.now_ns }
    }

    /// What the ring has goes to the journal.
    fn write_journal(&mut self) {
        let progress = self.started.bus.progress.clone();
        while progress.journalled.get() < progress.sequenced.get() {
            let now = self.time();
            self.started.journal.duty(now).expect("a journal");
        }
    }

    /// Everything up to this message is committed, applied and acknowledged.
    fn commit(&mut self, sequence: u64) {
        self.started.bus.progress.committed.set(sequence);
        let acknowledged = self.started.acknowledgements.progress.clone();
        while acknowledged.journalled.get() < sequence {
            let now = self.time();
            self.started.store.duty(now).expect("a store");
            self.started.acknowledgement_journal.duty(now).expect("a journal");
        }
    }

    fn close(&mut self) {
        let now = self.time();
        self.started.journal.close(now).expect("a journal");
        self.started.acknowledgement_journal.close(now).expect("a journal");
    }

    /// The epochs of the entries from the last committed one on.
    fn epochs(&self) -> Vec<u32> {
        let epochs = &self.member().epochs;
        let (committed, last) = self.log();
        assert_eq!((epochs.first(), epochs.last()), (committed, last));
        (committed..=last).map(|sequence| epochs.epoch_of(sequence).expect("it is in the log")).collect()
    }

    /// The log as it is, each entry with its epoch.
    fn entries(&self, disk: &Handle) -> Vec<(u32, Vec<u8>)> {
        let (mut reader, last) = (self.started.bus.reader(1), self.started.bus.ring.last());
        let (mut disk, mut bytes) = (disk.clone(), [0; 4096]);
        let mut next = |_| match reader.read(last, &mut disk, &mut bytes).expect("a journal") {
            crate::bus::StreamRead::Message { epoch, length, .. } => (epoch, bytes[..length].to_vec()),
            other => panic!("{other:?}"),
        };
        (1..=last).map(&mut next).collect()
    }
}

/// Entry 1 declares; the others are transactions of one client.
fn entry(sequence: u64) -> Vec<u8> {
    let of = |session, kind, number, body: &[u8]| {
        let envelope = Envelope::new(session, kind, Reason::None, number, 1_000 + sequence);
        [&envelope.to_bytes()[..], body].concat()
    };
    match sequence {
        1 => of(Session::NODE, Kind::Declare, 1, &declaration().to_bytes()),
        _ => of(CLIENT, Kind::Transaction, sequence - 1, &vec![b'T'; sequence as usize * 29 % 400]),
    }
}

/// Ten entries of the epochs 1, 1, 1, 2, 2, 2, 2, 5, 5, 5.
const EPOCHS: [u32; 10] = [1, 1, 1, 2, 2, 2, 2, 5, 5, 5];

/// A member that was killed with ten entries, the first `journalled` of them in its journal, and `committed` of them acknowledged.
fn killed_with_ten(durability: Durability, journalled: usize, committed: u64) -> Home {
    let mut home = Home::new(durability);
    let mut process = home.start().expect("a new member");
    process.append(&EPOCHS[..journalled]);
    process.write_journal();
    process.append(&EPOCHS[journalled..]);
    process.commit(committed);
    drop(process);
    home.power_stays();
    home
}

#[test]
fn a_start_that_is_told_to_stop_leaves_everything_in_the_journals() {
    for durability in [Durability::Memory, Durability::Fsync] {
        // With `fsync` only what is in the journal is ever committed.
        let journalled = if durability == Durability::Fsync { 10 } else { 6 };
        let mut home = killed_with_ten(durability, journalled, 8);
        for _ in 0..3 {
            home.is_told_to_stop = true;
            let fault = home.start().err().expect("it was told to stop").0;
            assert_eq!(fault, "the start was told to stop");
            home.power_goes();
            home.is_told_to_stop = false;
        }
        let process = home.start().expect("a member");
        assert_eq!((process.log(), process.started.report.lost.clone()), ((8, 10), None));
        assert_eq!(process.epochs(), EPOCHS[7..]);
    }
}

#[test]
fn a_new_member_begins_with_nothing_and_declares_nothing() {
    for durability in [Durability::Memory, Durability::Fsync] {
        let mut home = Home::new(durability);
        let process = home.start().expect("a new member");
        assert_eq!((process.log(), process.life(), process.epochs()), ((0, 0), (1, 1), vec![0]));
        assert!(process.member().declaration_due && process.started.report.new);
        assert_eq!((home.life, process.started.report.lost.clone()), (Some(process.member().life), None));
        let again = home.start().expect("the member again");
        assert_eq!((again.log(), again.life().0), ((0, 0), 2));
    }
}

#[test]
fn what_was_acknowledged_is_committed_and_the_rest_is_a_tail() {
    for (journalled, committed) in [(10, 0), (10, 1), (10, 6), (10, 10), (4, 0), (4, 6), (0, 10), (7, 7)] {
        let mut home = killed_with_ten(Durability::Memory, journalled, committed);
        let process = home.start().expect("a member");
        assert_eq!((process.log(), process.life()), ((committed, 10), (2, 1)));
        let before = if committed == 0 { 0 } else { EPOCHS[committed as usize - 1] };
        assert_eq!(process.epochs(), [&[before], &EPOCHS[committed as usize..]].concat());
        assert_eq!(process.started.sequencer.table().get(&CLIENT).map(|entry| entry.next), Some(10));
        let seen = process.started.store.store().sessions().get(&CLIENT).map_or(1, |entry| entry.next);
        assert_eq!(seen, committed.max(1), "what is not committed is not applied");
        assert!(!process.member().declaration_due, "the tail has it");
        let publish_from = process.started.bus.publish_from;
        assert!(publish_from <= committed + 1 && publish_from <= journalled as u64 + 1);
        assert_eq!(process.started.acknowledgements.progress.committed.get(), committed);
    }
}

#[test]
fn a_member_goes_on_with_the_tail_and_what_follows() {
    let mut home = killed_with_ten(Durability::Memory, 4, 2);
    let mut process = home.start().expect("a member");
    process.append(&[5, 6]);
    process.write_journal();
    process.commit(12);
    let entries = process.entries(&home.bus);
    drop(process);
    home.power_stays();
    let process = home.start().expect("a member");
    assert_eq!((process.log(), process.epochs()), ((12, 12), vec![6]));
    assert_eq!(process.entries(&home.bus), entries);
    let epochs: Vec<u32> = entries.iter().map(|entry| entry.0).collect();
    assert_eq!(epochs, [&EPOCHS[..], &[5, 6]].concat());
    assert!(entries.iter().zip(1..).all(|((_, bytes), sequence)| *bytes == entry(sequence)));
}

#[test]
fn a_configuration_that_says_something_new_is_a_declaration_due() {
    let mut home = killed_with_ten(Durability::Memory, 10, 10);
    home.config.declaration.limits.sessions_max += 1;
    assert!(home.start().expect("a member").member().declaration_due);
}

#[test]
fn a_member_refuses_another_stream() {
    let mut home = killed_with_ten(Durability::Memory, 10, 10);
    home.config.stream = Session::padded("1800000000");
    let fault = home.start().err().expect("a fault").0;
    assert!(fault.contains("belongs to stream 1700000000, not to 1800000000"), "{fault}");
    let fault = home.start_cut(3).err().expect("a fault").0;
    assert!(fault.contains("belongs to stream 1700000000, not to 1800000000"), "{fault}");
    home.config.stream = Some(STREAM);
    assert_eq!(home.start().expect("nothing was cut").log(), (10, 10));
}
