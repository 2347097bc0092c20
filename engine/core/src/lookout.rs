//! When to look at a port on which little arrives.
//!
//! A look at a socket that has nothing is a system call for nothing, and on a shared core the agents beside pay for it. So a port that has
//! been silent for a while is looked at now and then; one on which something has just arrived, in every duty cycle.
use crate::time::{MICROSECOND_NS, Time};

/// How long after an arrival the port is looked at in every duty cycle.
const LIVELY_NS: u64 = 200 * MICROSECOND_NS;

/// Decides when one port is looked at.
#[derive(Clone, Debug)]
pub struct Lookout {
    pause_ns: u64,
    found_ns: u64,
    looked_ns: u64,
}

impl Lookout {
    /// A silent port waits up to `pause_ns`.
    pub fn new(pause_ns: u64) -> Self {
        Self { pause_ns, found_ns: 0, looked_ns: 0 }
    }

    /// From now on a silent port waits up to `pause_ns`.
    pub fn pause(&mut self, pause_ns: u64) {
        self.pause_ns = pause_ns;
    }

    /// Is it time to look? Then do, and say what was [found](Lookout::found).
    pub fn is_due(&self, now: Time) -> bool {
        let now_ns = now.monotonic_ns;
        now_ns < self.found_ns.saturating_add(LIVELY_NS)
            || now_ns >= self.looked_ns.saturating_add(self.pause_ns)
    }

    /// A look found so many things.
    pub fn found(&mut self, now: Time, count: usize) {
        self.looked_ns = now.monotonic_ns;
        if count > 0 {
            self.found_ns = now.monotonic_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_look_all_the_time_while_something_arrives_and_seldom_in_silence() {
        let at = |ns| Time { monotonic_ns: ns, wall_ns: 0 };
        let mut lookout = Lookout::new(5_000);
        assert!(lookout.is_due(at(1_000_000)));
        lookout.found(at(1_000_000), 0);
        assert!(!lookout.is_due(at(1_004_999)));
        assert!(lookout.is_due(at(1_005_000)));
        lookout.found(at(1_005_000), 3);
        assert!(lookout.is_due(at(1_005_001)));
        lookout.found(at(1_005_001), 0);
        assert!(lookout.is_due(at(1_005_002)), "it may not be over yet");
        assert!(lookout.is_due(at(1_005_000 + LIVELY_NS - 1)));
        lookout.found(at(1_005_000 + LIVELY_NS), 0);
        assert!(!lookout.is_due(at(1_005_001 + LIVELY_NS)));
        lookout.pause(100_000);
        assert!(!lookout.is_due(at(1_104_999 + LIVELY_NS)));
        assert!(lookout.is_due(at(1_105_000 + LIVELY_NS)));
        lookout.pause(5_000);
        assert!(lookout.is_due(at(1_010_000 + LIVELY_NS)));
    }
}
