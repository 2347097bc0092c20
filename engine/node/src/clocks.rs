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
        let began_ns = clock::monotonic_ns();
        let mut last_ns = began_ns;
        while last_ns < began_ns + 5 * LOOK_NS {
            let wall_before_ns = clock::wall_ns();
            let time = clocks.now();
            let (wall_after_ns, monotonic_after_ns) = (clock::wall_ns(), clock::monotonic_ns());
            assert!(last_ns <= time.monotonic_ns && time.monotonic_ns <= monotonic_after_ns);
            // However long the thread stands still between two lines: the clocks are looked at anew unless both were read within LOOK_NS, so
            // that the wall clock is wrong by less than that. As much again is for whoever disciplines it meanwhile.
            assert!(
                (wall_before_ns - 2 * LOOK_NS..=wall_after_ns + 2 * LOOK_NS).contains(&time.wall_ns),
                "{wall_before_ns} {time:?} {wall_after_ns}"
            );
            last_ns = time.monotonic_ns;
        }
    }
}
