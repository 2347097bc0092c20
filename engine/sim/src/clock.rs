//! Simulated time: one clock for the world, and the two clocks that the node's machine makes of it.
use gds_core::time::{SECOND_NS, Time};
use std::cell::Cell;
use std::rc::Rc;

/// Where the node's wall clock stands when the world begins.
const WALL_START_NS: u64 = 1_700_000_000 * SECOND_NS;

/// The world's time, shared by everything in it.
#[derive(Debug, Default)]
pub struct Clock {
    now_ns: Cell<u64>,
    /// When the node's machine was started: its monotonic clock begins there.
    started_ns: Cell<u64>,
    wall_offset_ns: Cell<i64>,
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

    /// The node's wall clock is set to another time.
    pub fn jump_wall(&self, by_ns: i64) {
        self.wall_offset_ns.set(self.wall_offset_ns.get() + by_ns);
    }

    /// The node's machine is started: its monotonic clock begins anew.
    pub fn restart_machine(&self) {
        self.started_ns.set(self.now_ns.get());
    }

    /// The clocks of the node's machine.
    pub fn node_time(&self) -> Time {
        let now_ns = self.now_ns.get();
        let wall_ns = (WALL_START_NS + now_ns).saturating_add_signed(self.wall_offset_ns.get());
        Time { monotonic_ns: now_ns - self.started_ns.get(), wall_ns }
    }

    /// The clocks of every other machine.
    pub fn time(&self) -> Time {
        let now_ns = self.now_ns.get();
        Time { monotonic_ns: now_ns, wall_ns: WALL_START_NS + now_ns }
    }
}
