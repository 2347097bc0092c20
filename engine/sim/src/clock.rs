//! Simulated time: one clock for the world, and the two clocks that each machine makes of it.
use gds_core::time::{SECOND_NS, Time};
use std::cell::Cell;
use std::rc::Rc;

/// Where everybody's wall clock stands when the world begins.
const WALL_START_NS: u64 = 1_700_000_000 * SECOND_NS;

/// The world's time, shared by everything in it.
#[derive(Debug, Default)]
pub struct Clock {
    now_ns: Cell<u64>,
}

/// The clock, shared in one thread.
pub type SharedClock = Rc<Clock>;

impl Clock {
    /// Nanoseconds since the world began.
    pub fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// Goes on by so many nanoseconds.
    pub fn advance(&self, by_ns: u64) {
        self.now_ns.set(self.now_ns.get() + by_ns);
    }

    /// Goes on to this time, if it is not past.
    pub fn advance_to(&self, at_ns: u64) {
        self.now_ns.set(self.now_ns.get().max(at_ns));
    }

    /// Does something at one go that takes a while, beside which the world goes on: when it ends, and what came of it.
    pub fn beside<T>(&self, act: impl FnOnce() -> T) -> (u64, T) {
        let began_ns = self.now_ns.get();
        let result = act();
        (self.now_ns.replace(began_ns), result)
    }

    /// The clocks of a machine on which nothing ever goes wrong.
    pub fn time(&self) -> Time {
        let now_ns = self.now_ns.get();
        Time { monotonic_ns: now_ns, wall_ns: WALL_START_NS + now_ns }
    }
}

/// The clocks of one node's machine.
#[derive(Debug)]
pub struct MachineClock {
    world: SharedClock,
    /// When the machine was started: its monotonic clock begins there.
    started_ns: Cell<u64>,
    wall_offset_ns: Cell<i64>,
}

/// A machine's clocks, shared in one thread.
pub type SharedMachineClock = Rc<MachineClock>;

impl MachineClock {
    /// The clocks of a machine that is started now, whose wall clock is wrong by so much.
    pub fn new(world: &SharedClock, wall_offset_ns: i64) -> SharedMachineClock {
        let started_ns = Cell::new(world.now_ns());
        Rc::new(Self { world: world.clone(), started_ns, wall_offset_ns: Cell::new(wall_offset_ns) })
    }

    /// The wall clock is set to another time.
    pub fn jump_wall(&self, by_ns: i64) {
        self.wall_offset_ns.set(self.wall_offset_ns.get() + by_ns);
    }

    /// The machine is started anew: its monotonic clock begins again.
    pub fn restart(&self) {
        self.started_ns.set(self.world.now_ns());
    }

    /// What they show.
    pub fn time(&self) -> Time {
        let now_ns = self.world.now_ns();
        let wall_ns = (WALL_START_NS + now_ns).saturating_add_signed(self.wall_offset_ns.get());
        Time { monotonic_ns: now_ns - self.started_ns.get(), wall_ns }
    }
}
