//! The threads of a node: each runs the agents of one core in turn, until told otherwise.
use crate::clocks::Clocks;
use crate::config;
use gds_core::agent::{Agent, Fault};
use gds_core::counter_set;
use gds_core::stages::{Receipts, StageWatch};
use gds_nic::{Idle, IdleStrategy, clock, cores};
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
}

/// An agent's place on a core.
pub struct Seat {
    /// The agent.
    pub agent: Box<dyn Agent + Send>,
    /// The stage that messages have reached when it has done something; none for agents off a message's way.
    pub stamp: Option<Stamp>,
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
    /// The agent's duty cycle, which began at `began_ns`, has done something.
    fn note(&mut self, began_ns: u64) {
        let reached = (self.reached)();
        if let Some(receipts) = &mut self.receipts {
            receipts.note(reached, began_ns);
        }
        self.watch.note(reached, clock::monotonic_ns());
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

fn run(plan: CorePlan, control: &Control, ready: &Sender<Result<(), Fault>>) {
    let counters = plan.counters.clone();
    let made = prepare(plan);
    let (mut seats, mut idle) = match made {
        Ok(made) => {
            let _ = ready.send(Ok(()));
            made
        }
        Err(fault) => {
            let _ = ready.send(Err(fault));
            return;
        }
    };
    if let Err(fault) = laps(&mut seats, &mut idle, control, &counters) {
        control.fail(fault);
    }
}

type Prepared = (Vec<Seat>, Idle);

fn prepare(plan: CorePlan) -> Result<Prepared, Fault> {
    if let Ok(cpu) = usize::try_from(plan.core.cpu) {
        cores::pin(cpu).map_err(Fault::from)?;
    }
    let strategy = match plan.core.idle {
        config::Idle::Spin => IdleStrategy::Spin,
        config::Idle::Yield => IdleStrategy::Yield,
        config::Idle::Sleep => IdleStrategy::Sleep { us: plan.core.idle_sleep_us as u32 },
    };
    Ok((plan.agents, Idle::new(strategy)))
}

fn laps(
    seats: &mut [Seat],
    idle: &mut Idle,
    control: &Control,
    counters: &CoreCounters,
) -> Result<(), Fault> {
    let mut clocks = Clocks::new();
    let mut time = clocks.now();
    loop {
        let mut work = 0;
        for Seat { agent, stamp } in seats.iter_mut() {
            let done = agent.duty(time)?;
            if done > 0
                && let Some(stamp) = stamp
            {
                stamp.note(time.monotonic_ns);
            }
            work += done;
        }
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
    for Seat { agent, .. } in seats.iter_mut() {
        agent.close(clocks.now())?;
    }
    Ok(())
}
