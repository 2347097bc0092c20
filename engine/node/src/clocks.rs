//! The clocks as agents want them.
use gds_core::time::{MILLISECOND_NS, Time};
use gds_nic::clock;

/// How long the wall clock is taken to run as the monotonic one does. A clock that is set meanwhile shows this much later.
const LOOK_NS: u64 = MILLISECOND_NS;

/// Both clocks, read once.
pub fn now() -> Time {
    Time { monotonic_ns: clock::monotonic_ns(), wall_ns: clock::wall_ns() }
}

/// Both clocks for little more than the price of one: reading them is a good part of a lap that finds nothing to do.
pub struct Clocks {
    /// When both were read.
    looked: Time,
}

impl Clocks {
    /// Reads both.
    pub fn new() -> Self {
        Self { looked: now() }
    }

    /// The time now.
    #[inline]
    pub fn now(&mut self) -> Time {
        let monotonic_ns = clock::monotonic_ns();
        let since_ns = monotonic_ns - self.looked.monotonic_ns;
        if since_ns < LOOK_NS {
            return Time { monotonic_ns, wall_ns: self.looked.wall_ns + since_ns };
        }
        self.looked = Time { monotonic_ns, wall_ns: clock::wall_ns() };
        self.looked
    }
}

impl Default for Clocks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_to_both_clocks() {
        let mut clocks = Clocks::new();
        let began = now();
        let mut last = began;
        while last.monotonic_ns < began.monotonic_ns + 5 * LOOK_NS {
            let time = clocks.now();
            let read = now();
            assert!(last.monotonic_ns <= time.monotonic_ns && time.monotonic_ns <= read.monotonic_ns);
            let (ahead, read_ahead) =
                (time.wall_ns.abs_diff(time.monotonic_ns), read.wall_ns.abs_diff(read.monotonic_ns));
            // Unless somebody sets the clock, the two keep their distance, but for what the disciplining of the clock moves.
            assert!(ahead.abs_diff(read_ahead) < MILLISECOND_NS, "{time:?} {read:?}");
            last = time;
        }
    }
}
