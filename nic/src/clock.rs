//! The two clocks, as nanoseconds. Both are read without entering the kernel.
use crate::sys::process::clock_ns;

/// Nanoseconds on a clock that never runs back, since an arbitrary start (Linux: since the machine came up). Processes of
/// one host share it. For timers and durations.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the Unix epoch; may jump either way when the clock is set. For stamps only.
pub fn wall_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn should_never_run_back() {
        let mut last = monotonic_ns();
        for _ in 0..10_000 {
            let now = monotonic_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn should_tell_the_time_of_day() {
        let std = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(wall_ns().abs_diff(std) < 1_000_000_000);
    }
}
