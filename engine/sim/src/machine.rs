//! A node's machine: what outlives its processes, and how a process starts on it and dies.
mod storage;

pub use storage::{Copying, Loss, PutBack, Remains, RingPutBack, Storage};

use crate::clock::{MachineClock, SharedClock, SharedMachineClock};
use crate::death::{Death, SharedDeath};
use crate::disk::{Platter, SharedPlatter, SimulatedDisk};
use crate::network::SharedNetwork;
use crate::node::Node;
use crate::plan::{ClusterPlan, Plan, between, own_sizes, pick};
use crate::register::SharedRegister;
use gds_core::agent::Fault;
use gds_core::agent::start::{
    ClusterStart, JournalName, StartConfig, StartMemory, StartReport, Started, Surroundings, start,
};
use gds_core::disk::DiskError;
use gds_core::journal::Durability;
use gds_core::label::Label;
use gds_core::memory::words::SharedWords;
use gds_core::memory::{HeapWords, Ring};
use gds_core::random::Random;
use gds_core::replication::{Life, NodeId, RegisterState};
use gds_core::store::{StoreCapacity, StoreMemory};
use gds_core::time::{MILLISECOND_NS, SECOND_NS, Time};
use gds_wire::session::Session;
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// A start that waits for room longer than this finds some.
const ROOM_AFTER_NS: u64 = 300 * MILLISECOND_NS;
/// No start takes longer.
const START_NS_MAX: u64 = 30 * SECOND_NS;

/// Longest a write takes when nothing goes wrong any more, in a cluster.
const CALM_DISK_DELAY_NS: u64 = 50_000;

/// The memory of the last process's store.
type SharedStoreMemory = Rc<RefCell<Option<StoreMemory>>>;

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`, or a fault.
    Killed,
    /// The power went.
    PowerCut,
    /// It closed in order.
    Closed,
}

/// Why there is no process.
pub struct NotStarted {
    /// What the start said.
    pub fault: Fault,
    /// It was killed.
    pub killed: bool,
}

/// What a process of a cluster's node is told when it starts.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Its number.
    pub node: NodeId,
    /// How many there are.
    pub nodes: usize,
    /// How they deal with each other.
    pub plan: ClusterPlan,
    /// What the register held before the start.
    pub register: RegisterState,
}

/// A process that has started, and whose agents nobody has driven yet.
pub struct Process {
    /// Its life.
    pub death: SharedDeath,
    member: Option<MemberConfig>,
    started: Started<SimulatedDisk>,
    seed: u64,
}

impl Process {
    /// What its start found.
    pub fn report(&self) -> &StartReport {
        &self.started.report
    }
}

/// Disks, clocks, and the ring's memory between two processes.
pub struct Machine {
    /// Which node it is, from 0.
    pub node: usize,
    /// Its clocks.
    pub time: SharedMachineClock,
    /// The bus journal's disk.
    pub bus: SharedPlatter,
    /// The acknowledgement journal's disk.
    pub acknowledgements: SharedPlatter,
    /// The disk of the snapshots.
    pub snapshots: SharedPlatter,
    /// How many processes were started.
    pub incarnations: u64,
    /// Behind which message the next start cuts the log back.
    pub cut_after: Option<u64>,
    /// The node's life as its directory has it.
    life: Rc<Cell<Option<Life>>>,
    /// The label of its directory.
    label: Rc<RefCell<Option<Label>>>,
    /// Something that was called durable may be missing, and no start has seen it yet.
    lost: bool,
    wiped: bool,
    /// The last life that an emptied directory had.
    lived: u64,
    config: StartConfig,
    clock: SharedClock,
    network: SharedNetwork,
    register: SharedRegister,
    /// The words of the last process's ring, when they outlived it.
    ring: Option<SharedWords>,
    /// They were there when the last process began.
    had_ring: bool,
    /// ... and when they are out of sight.
    hidden: Option<SharedWords>,
    store_memory: SharedStoreMemory,
    random: Random,
}

impl Machine {
    /// A machine on which nothing was ever started.
    pub fn new(
        node: usize,
        plan: &Plan,
        clock: &SharedClock,
        network: &SharedNetwork,
        register: &SharedRegister,
    ) -> Self {
        let own = (node as u64) << 32;
        let platter = |seed: u64| {
            let platter = Platter::new(seed, clock);
            platter.borrow_mut().delay_max_ns = plan.chaos.disk_delay_max_ns;
            platter
        };
        let mut random = Random::new(plan.seed ^ 0x51A7 ^ own);
        let mut config = plan.start.clone();
        let mut wall_offset_ns = 0;
        if plan.cluster.is_some() {
            own_sizes(&mut config, &mut random);
            // Where time runs back all may be on one machine, and each other's ring looks like their own.
            let is_one_machine = plan.history.is_some() && plan.seed.is_multiple_of(2);
            config.boot_id[0] = if is_one_machine { 0 } else { node as u8 };
            wall_offset_ns = random.below(SECOND_NS) as i64 - SECOND_NS as i64 / 2;
        }
        Self {
            node,
            time: MachineClock::new(clock, wall_offset_ns),
            bus: platter(plan.seed ^ 0xB05 ^ own),
            acknowledgements: platter(plan.seed ^ 0xACE ^ own),
            snapshots: platter(plan.seed ^ 0x5A9 ^ own),
            incarnations: 0,
            cut_after: None,
            life: Rc::default(),
            label: Rc::default(),
            lost: false,
            wiped: false,
            lived: 0,
            config,
            clock: clock.clone(),
            network: network.clone(),
            register: register.clone(),
            ring: None,
            had_ring: false,
            hidden: None,
            store_memory: Rc::default(),
            random,
        }
    }

    /// What the next start is configured with.
    pub fn config(&mut self) -> &mut StartConfig {
        &mut self.config
    }

    /// Starts a process. `death_after`: it dies after so many operations.
    pub fn start(
        &mut self,
        death_after: Option<u64>,
        member: Option<MemberConfig>,
    ) -> Result<Process, NotStarted> {
        self.incarnations += 1;
        self.join(member.as_ref());
        let needed = Ring::words_needed(&self.config.ring);
        let ring_existed = self.ring.is_some();
        self.had_ring = ring_existed;
        let ring = self.ring.take().unwrap_or_else(|| HeapWords::shared(needed));
        // A new name for each attempt at a new stream, as the clock would give.
        let name = format!("{:010}", 1_700_000_000 + self.incarnations);
        self.config.new_stream = Session::padded(&name).expect("ten digits");
        let death = Death::of_process(ring.clone(), self.random.next_u64());
        if let Some(operations) = death_after {
            death.borrow_mut().arm(operations);
        }
        let words = Ring::words_needed(&self.config.acknowledgement_ring);
        let memory = StartMemory {
            ring: ring.clone(),
            ring_existed,
            ring_needed: true,
            ring_name: "the ring".into(),
            acknowledgement_ring: HeapWords::shared(words),
        };
        let mut around = Around {
            clock: self.clock.clone(),
            time: self.time.clone(),
            bus: self.bus.clone(),
            acknowledgements: self.acknowledgements.clone(),
            snapshots: self.snapshots.clone(),
            death: death.clone(),
            store_memory: self.store_memory.clone(),
            life: self.life.clone(),
            label: self.label.clone(),
            random: Random::new(self.random.next_u64()),
            began_ns: self.clock.now_ns(),
        };
        let started = start(&self.config, memory, &mut around);
        match started {
            Ok(started) if !death.borrow().is_dead() => {
                if member.is_none() {
                    self.config.stream =
                        pick(&mut self.random, &[None, Some(started.bus.session)]).to_owned();
                }
                self.lost = false;
                Ok(Process { death, member, started, seed: self.random.next_u64() })
            }
            started => {
                let fault = started.err().unwrap_or_else(|| Fault("it died as its start ended".into()));
                let killed = death.borrow().is_dead() && self.clock.now_ns() - around.began_ns < START_NS_MAX;
                drop(around);
                let end = if killed && self.config.journal.durability == Durability::Fsync {
                    *pick(&mut self.random, &[End::Killed, End::PowerCut])
                } else {
                    End::Killed
                };
                self.bury(&death, end);
                Err(NotStarted { fault, killed })
            }
        }
    }

    /// What a member's start is configured with.
    fn join(&mut self, member: Option<&MemberConfig>) {
        let value = member.and_then(|it| it.register.value.as_ref().map(|value| (it.node, value)));
        if let Some((node, value)) = value {
            self.config.stream = Some(value.stream);
            self.config.sessions = Some(value.sessions.clone());
            let start = ClusterStart::of(node, value, self.life.get(), self.time.time());
            // A clock that is set back while the directory is emptied would make the next life look older than those before, until there is a new
            // epoch; that is left out here.
            let start = ClusterStart { registered: start.registered.max(self.lived), ..start };
            // A process that dies of its start has forgotten what it was to cut.
            self.config.cluster = Some(ClusterStart { cut_after: self.cut_after.take(), ..start });
        }
    }

    /// Whether nothing was ever journalled here.
    pub fn is_blank(&self) -> bool {
        self.bus.borrow().segments() == 0
    }

    /// Whether this machine has all that the life `incarnation` of the node ever called durable.
    pub fn is_whole(&self, incarnation: u64) -> bool {
        !self.lost && self.life.get().is_some_and(|life| life.whole_since <= incarnation)
    }

    /// Whether its directory was emptied once.
    pub fn was_wiped(&self) -> bool {
        self.wiped
    }

    /// The node's directory is replaced by an empty one. There is no process.
    pub fn wipe(&mut self) {
        self.wiped = true;
        self.lived = self.life.get().map_or(self.lived, |life| life.incarnation);
        self.bus.borrow_mut().wipe();
        self.acknowledgements.borrow_mut().wipe();
        self.snapshots.borrow_mut().wipe();
        (self.ring, self.cut_after) = (None, None);
        self.life.set(None);
        *self.label.borrow_mut() = None;
        self.lost = true;
    }

    /// Its disks are fast from here on.
    pub fn quicken_disks(&self) {
        for platter in [&self.bus, &self.acknowledgements, &self.snapshots] {
            let mut platter = platter.borrow_mut();
            platter.delay_max_ns = platter.delay_max_ns.min(CALM_DISK_DELAY_NS);
        }
    }

    /// Puts the agents of a process over ports and disks.
    pub fn assemble(&self, plan: &Plan, process: Process) -> Node {
        let Process { death, member, started, seed } = process;
        let parts = crate::node::Parts {
            node: self.node,
            bus: &self.bus,
            acknowledgements: &self.acknowledgements,
            snapshots: &self.snapshots,
            network: &self.network,
            death: &death,
            member: member.as_ref(),
            register: &self.register,
            declaration: &self.config.declaration,
            now: self.time.time(),
            seed,
        };
        Node::assemble(plan, started, &parts)
    }

    /// The ring that outlived the last process is lost, as far as the next start can see. False when there is none.
    pub fn hide_ring(&mut self) -> bool {
        self.hidden = self.ring.take();
        self.hidden.is_some()
    }

    /// It was not lost after all.
    pub fn find_ring(&mut self) {
        self.ring = self.hidden.take();
    }

    /// A process is gone; what outlives it is as its end left it.
    pub fn bury(&mut self, death: &SharedDeath, end: End) {
        death.borrow_mut().die();
        for platter in [&self.bus, &self.acknowledgements, &self.snapshots] {
            match end {
                End::PowerCut => platter.borrow_mut().cut_power(),
                End::Killed | End::Closed => platter.borrow_mut().kill(),
            }
        }
        // A file that a process has no use for stays where it was.
        let is_file = self.config.journal.durability == Durability::Memory || self.had_ring;
        let survives = is_file && end != End::PowerCut;
        self.ring = survives.then(|| {
            let death = death.borrow();
            let words = HeapWords::shared(death.last_words().len());
            for (word, value) in words.words().iter().zip(death.last_words()) {
                word.store(*value, Relaxed);
            }
            words
        });
        // Without its ring, a journal that was not closed in order may lack what the ring alone had.
        self.lost |= end == End::PowerCut && self.config.journal.durability == Durability::Memory;
        if end == End::PowerCut {
            self.time.restart();
            self.config.boot_id = (u128::from(self.random.next_u64())).to_be_bytes();
        }
    }

    /// Room for this many more segments on each disk; `None`: no end of it.
    pub fn set_room(&mut self, more: Option<usize>) {
        for platter in [&self.bus, &self.acknowledgements, &self.snapshots] {
            let mut platter = platter.borrow_mut();
            platter.segments_max = more.map_or(usize::MAX, |more| platter.segments() + more);
        }
    }

    /// Whether the disks are full or will be.
    pub fn is_tight(&self) -> bool {
        self.bus.borrow().segments_max < usize::MAX
    }
}

/// What the start of one process takes from the machine.
struct Around {
    clock: SharedClock,
    time: SharedMachineClock,
    bus: SharedPlatter,
    acknowledgements: SharedPlatter,
    snapshots: SharedPlatter,
    death: SharedDeath,
    store_memory: SharedStoreMemory,
    life: Rc<Cell<Option<Life>>>,
    label: Rc<RefCell<Option<Label>>>,
    random: Random,
    began_ns: u64,
}

impl Surroundings for Around {
    type Disk = SimulatedDisk;

    fn disk(&mut self, journal: JournalName) -> Result<SimulatedDisk, DiskError> {
        let platter = match journal {
            JournalName::Bus => &self.bus,
            JournalName::Acknowledgements => &self.acknowledgements,
        };
        Ok(SimulatedDisk::new(platter, Some(self.death.clone())))
    }

    fn writer(&mut self, journal: JournalName) -> Result<SimulatedDisk, DiskError> {
        self.disk(journal)
    }

    fn snapshots(&mut self) -> Result<Option<SimulatedDisk>, DiskError> {
        Ok(Some(SimulatedDisk::new(&self.snapshots, Some(self.death.clone()))))
    }

    fn store_memory(&mut self, capacity: &StoreCapacity) -> Result<StoreMemory, Fault> {
        // What a process leaves behind is as good as fresh memory, and comes without the price of clearing it.
        let mut kept = self.store_memory.borrow_mut();
        let fits = |memory: &&StoreMemory| memory.capacity() == *capacity;
        let memory = kept.as_ref().filter(fits).cloned().unwrap_or_else(|| StoreMemory::heap(capacity));
        Ok(kept.insert(memory).clone())
    }

    fn label(&mut self) -> Result<Option<Label>, Fault> {
        Ok(self.label.borrow().clone())
    }

    fn keep_label(&mut self, label: &Label) -> Result<(), Fault> {
        // As with its life.
        if !self.death.borrow_mut().operation() {
            return Err(Fault("it died before its label was kept".into()));
        }
        *self.label.borrow_mut() = Some(label.clone());
        Ok(())
    }

    fn life(&mut self) -> Result<Option<Life>, Fault> {
        Ok(self.life.get())
    }

    fn keep_life(&mut self, life: Life) -> Result<(), Fault> {
        // Its old file is replaced by a new one as a whole: the process dies before that or after it.
        if !self.death.borrow_mut().operation() {
            return Err(Fault("it died before its life was kept".into()));
        }
        self.life.set(Some(life));
        Ok(())
    }

    fn now(&mut self) -> Time {
        self.clock.advance(between(&mut self.random, 1_000, 20_000));
        let waited_ns = self.clock.now_ns() - self.began_ns;
        if waited_ns > ROOM_AFTER_NS {
            for platter in [&self.bus, &self.acknowledgements, &self.snapshots] {
                platter.borrow_mut().segments_max = usize::MAX;
            }
        }
        if waited_ns > START_NS_MAX {
            self.death.borrow_mut().die();
        }
        assert!(waited_ns < 2 * START_NS_MAX, "a start does not end, not even with a disk that fails");
        self.time.time()
    }

    fn replayed(&mut self, _applied: u64, _of: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
