//! The threads of a node: each runs the agents of one core in turn, until told otherwise.
use crate::clocks::Clocks;
use crate::config;
use gds_core::agent::{Agent, Fault};
use gds_core::counter_set;
use gds_core::stages::{Receipts, StageWatch};
use gds_core::time::Time;
use gds_nic::{Doorbell, Idle, IdleStrategy, clock, cores};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

counter_set! {
    /// What one core counts.
    pub struct CoreCounters {
        /// Laps over the core's agents.
        laps,
        /// Laps in which there was something to do.
        busy_laps,
        /// The longest lap, in nanoseconds: the cheapest alarm for a disturbed core.
        longest_lap_ns,
        /// Times the core has told the kernel what its agents had sent over AF_XDP.
        doorbell_rings,
        /// Times it was told and said that it failed: it dropped a packet, or what it did not take waits for the next time.
        doorbell_failures,
    }
}

/// One core's part of the layout.
pub struct CorePlan {
    /// Pinning and idle strategy.
    pub core: config::Core,
    /// What it counts.
    pub counters: Arc<CoreCounters>,
    /// Its agents, in the order in which they run.
    pub agents: Vec<Seat>,
    /// What its agents' ports send over AF_XDP waits for this.
    pub doorbell: Doorbell,
}

/// An agent's place on a core.
pub struct Seat {
    /// The agent.
    pub agent: Box<dyn Agent + Send>,
    /// The stage that messages have reached when it has done something; none for agents off a message's way.
    pub stamp: Option<Stamp>,
    /// The agent behind it sends mostly when it does, so the kernel hears of both at once.
    pub rings_with_next: bool,
}

/// Notes how long messages took to a stage.
pub struct Stamp {
    /// The sequencer also notes when they were received.
    pub receipts: Option<Receipts>,
    /// The stage.
    pub watch: StageWatch,
    /// The cursor that says how far the stage has come.
    pub reached: Box<dyn Fn() -> u64 + Send>,
}

impl Stamp {
    /// The agent's duty cycle, in a lap that began at `began_ns`, has done something by `now_ns`.
    fn note(&mut self, began_ns: u64, now_ns: u64) {
        let reached = (self.reached)();
        if let Some(receipts) = &mut self.receipts {
            receipts.note(reached, began_ns);
        }
        self.watch.note(reached, now_ns);
    }
}

const RUNNING: u8 = 0;
const CLOSING: u8 = 1;
const FAILED: u8 = 2;

#[derive(Default)]
struct Control {
    phase: AtomicU8,
    fault: Mutex<Option<Fault>>,
}

impl Control {
    fn fail(&self, fault: Fault) {
        // The first fault is the cause; what follows is its consequence.
        self.fault.lock().expect("nobody panics while holding the fault").get_or_insert(fault);
        self.phase.store(FAILED, Ordering::Release);
    }
}

/// The running threads.
pub struct Crew {
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts a thread per plan and waits until all are pinned. The first that cannot be is the error.
    pub fn start(plans: Vec<CorePlan>) -> Result<Self, Fault> {
        let mut crew = Self { control: Arc::default(), threads: Vec::new() };
        let (ready, made): (Sender<Result<(), Fault>>, Receiver<_>) = channel();
        let count = plans.len();
        for (position, plan) in plans.into_iter().enumerate() {
            let (control, ready) = (crew.control.clone(), ready.clone());
            let thread = std::thread::Builder::new()
                .name(format!("gds-core-{position}"))
                .spawn(move || run(plan, &control, &ready))
                .map_err(|error| Fault(format!("cannot start a thread: {error}")))?;
            crew.threads.push(thread);
        }
        for _ in 0..count {
            let result =
                made.recv().unwrap_or_else(|_| Err(Fault("a core's thread died at its start".into())));
            if let Err(fault) = result {
                crew.control.fail(fault.clone());
                crew.join();
                return Err(fault);
            }
        }
        Ok(crew)
    }

    /// Why the node stopped by itself, if it did.
    pub fn fault(&self) -> Option<Fault> {
        if let Some(fault) = self.control.fault.lock().expect("nobody panics while holding the fault").clone()
        {
            return Some(fault);
        }
        let early = self.control.phase.load(Ordering::Acquire) == RUNNING
            && self.threads.iter().any(JoinHandle::is_finished);
        early.then(|| Fault("a core's thread ended by itself".into()))
    }

    /// Ends all threads: agents are closed in their order, core by core at the same time.
    pub fn close(mut self) -> Result<(), Fault> {
        // A failed node stays failed: its agents are not closed, so nothing is marked as in order.
        let _ = self.control.phase.compare_exchange(RUNNING, CLOSING, Ordering::AcqRel, Ordering::Acquire);
        self.join();
        let fault = self.control.fault.lock().expect("nobody panics while holding the fault").take();
        fault.map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.control.fail(Fault("a core's thread panicked".into()));
            }
        }
    }
}

fn run(mut plan: CorePlan, control: &Control, ready: &Sender<Result<(), Fault>>) {
    let mut idle = match prepare(&plan.core) {
        Ok(idle) => {
            let _ = ready.send(Ok(()));
            idle
        }
        Err(fault) => {
            let _ = ready.send(Err(fault));
            return;
        }
    };
    if let Err(fault) = laps(&mut plan, &mut idle, control) {
        control.fail(fault);
    }
}

fn prepare(core: &config::Core) -> Result<Idle, Fault> {
    if let Ok(cpu) = usize::try_from(core.cpu) {
        cores::pin(cpu).map_err(Fault::from)?;
    }
    Ok(Idle::new(match core.idle {
        config::Idle::Spin => IdleStrategy::Spin,
        config::Idle::Yield => IdleStrategy::Yield,
        config::Idle::Sleep => IdleStrategy::Sleep { us: core.idle_sleep_us as u32 },
    }))
}

fn laps(plan: &mut CorePlan, idle: &mut Idle, control: &Control) -> Result<(), Fault> {
    let counters = plan.counters.clone();
    let mut clocks = Clocks::new();
    let mut time = clocks.now();
    loop {
        let work = lap(plan, time)?;
        counters.laps.increment();
        idle.idle(work);
        let after = clocks.now();
        if work > 0 {
            counters.busy_laps.increment();
            let lap_ns = after.monotonic_ns - time.monotonic_ns;
            if lap_ns > counters.longest_lap_ns.get() {
                counters.longest_lap_ns.set(lap_ns);
            }
        }
        time = after;
        match control.phase.load(Ordering::Acquire) {
            RUNNING => {}
            CLOSING => break,
            _ => return Ok(()),
        }
    }
    let closed = plan.agents.iter_mut().try_for_each(|seat| seat.agent.close(clocks.now()));
    ring(&plan.doorbell, &counters);
    closed
}

/// One duty cycle of each agent. Returns how much they did.
fn lap(plan: &mut CorePlan, time: Time) -> Result<usize, Fault> {
    let mut work = 0;
    for together in plan.agents.chunk_by_mut(|seat, _| seat.rings_with_next) {
        let done = together.iter_mut().try_fold(0, |done, seat| Ok(done + seat.agent.duty(time)?));
        // Whatever came of it: what has been sent is with the kernel before anybody else's turn, and before a fault.
        ring(&plan.doorbell, &plan.counters);
        let done = done?;
        if done > 0 {
            note(together, time.monotonic_ns);
        }
        work += done;
    }
    Ok(work)
}

/// Tells the kernel what the agents have sent. What it drops is lost like any packet; what it does not take stays for the next time.
fn ring(doorbell: &Doorbell, counters: &CoreCounters) {
    match doorbell.ring() {
        Ok(false) => {}
        Ok(true) => counters.doorbell_rings.increment(),
        Err(_) => counters.doorbell_failures.increment(),
    }
}

/// Some of these agents have done something, and what they sent is with the kernel.
fn note(together: &mut [Seat], began_ns: u64) {
    let mut stamps = together.iter_mut().filter_map(|seat| seat.stamp.as_mut()).peekable();
    if stamps.peek().is_some() {
        let now_ns = clock::monotonic_ns();
        stamps.for_each(|stamp| stamp.note(began_ns, now_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_core::memory::words::HeapWords;
    use gds_core::stages::{Stage, Stages};

    /// Does so much in its only duty cycle, and says that it did.
    struct Once {
        name: &'static str,
        work: usize,
        calls: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Agent for Once {
        fn duty(&mut self, _now: Time) -> Result<usize, Fault> {
            self.calls.lock().unwrap().push(self.name);
            Ok(std::mem::take(&mut self.work))
        }
    }

    #[test]
    fn agents_that_ring_together_reach_their_stages_together_and_all_run_in_order() {
        let stages = Stages::create(HeapWords::shared(Stages::WORDS));
        let calls = Arc::<Mutex<Vec<&'static str>>>::default();
        let mut seats = [
            ("sequencer", 1, Some(Stage::Sequenced), false),
            ("store", 0, Some(Stage::Applied), false),
            ("acknowledgements", 0, Some(Stage::Acknowledged), true),
            ("publisher", 2, Some(Stage::Published), false),
            ("query", 0, None, false),
        ]
        .map(|(name, work, stage, rings_with_next)| Seat {
            agent: Box::new(Once { name, work, calls: calls.clone() }),
            stamp: stage.map(|stage| Stamp {
                receipts: (stage == Stage::Sequenced).then(|| stages.receipts(0)),
                watch: stages.watch(stage, 0),
                reached: Box::new(|| 1),
            }),
            rings_with_next,
        })
        .into_iter();
        let mut plan = CorePlan {
            core: config::Config::default().core[0].clone(),
            counters: Arc::default(),
            agents: seats.by_ref().collect(),
            doorbell: Doorbell::new(),
        };
        let time = crate::clocks::now();
        assert_eq!(lap(&mut plan, time), Ok(3));
        assert_eq!(lap(&mut plan, time), Ok(0));
        let once = ["sequencer", "store", "acknowledgements", "publisher", "query"];
        assert_eq!(*calls.lock().unwrap(), [once, once].concat());
        let noted = Stage::ALL.map(|stage| stages.read(stage).counts.iter().sum::<u64>());
        // The store did nothing, and is no neighbour of the publisher's.
        assert_eq!(noted, [1, 0, 1, 1, 0]);
        assert_eq!(plan.counters.doorbell_rings.get(), 0, "no port has the bell");
    }
}
