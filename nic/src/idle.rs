//! What a thread does when a lap over its agents found nothing to do.
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The choice of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleStrategy {
    /// Look again at once. Least delay; takes the core whole, so only for cores that nothing else needs.
    Spin,
    /// Let others run first (`sched_yield`). Little delay on an idle machine, and fair where threads outnumber cores.
    Yield,
    /// Sleep for this many microseconds after a few laps of yielding. Waking takes the kernel another 50 to 100 us.
    Sleep {
        /// Microseconds.
        us: u32,
    },
}

impl fmt::Display for IdleStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spin => f.write_str("spin"),
            Self::Yield => f.write_str("yield"),
            Self::Sleep { us } => write!(f, "sleep:{us}"),
        }
    }
}

impl FromStr for IdleStrategy {
    type Err = String;

    /// `spin`, `yield`, or `sleep:MICROSECONDS`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "spin" => Ok(Self::Spin),
            "yield" => Ok(Self::Yield),
            _ => text
                .strip_prefix("sleep:")
                .and_then(|us| us.parse().ok())
                .map(|us| Self::Sleep { us })
                .ok_or_else(|| {
                    format!("idle strategy \"{text}\": expected spin, yield, or sleep:MICROSECONDS")
                }),
        }
    }
}

/// Idle laps spent yielding before the first sleep: work that comes in waves is met without a sleep between.
const YIELDS_BEFORE_SLEEP: u32 = 16;

/// What to do after a lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    GoOn,
    Spin,
    Yield,
    Sleep { us: u32 },
}

/// The strategy at work in one thread.
#[derive(Debug)]
pub struct Idle {
    strategy: IdleStrategy,
    idle_laps: u32,
}

impl Idle {
    /// Idles by this strategy; to be made in the thread that idles, because sleeping precisely is a setting of the thread.
    pub fn new(strategy: IdleStrategy) -> Self {
        if matches!(strategy, IdleStrategy::Sleep { .. }) {
            crate::sys::process::sleep_precisely();
        }
        Self { strategy, idle_laps: 0 }
    }

    /// To be called after each lap with how much was done in it.
    #[inline]
    pub fn idle(&mut self, work: usize) {
        match self.step(work) {
            Step::GoOn => {}
            Step::Spin => std::hint::spin_loop(),
            Step::Yield => std::thread::yield_now(),
            Step::Sleep { us } => std::thread::sleep(Duration::from_micros(u64::from(us))),
        }
    }

    /// Decides what to do.
    #[inline]
    fn step(&mut self, work: usize) -> Step {
        if work > 0 {
            self.idle_laps = 0;
            return Step::GoOn;
        }
        self.idle_laps = self.idle_laps.saturating_add(1);
        match self.strategy {
            IdleStrategy::Spin => Step::Spin,
            IdleStrategy::Sleep { us } if self.idle_laps > YIELDS_BEFORE_SLEEP => Step::Sleep { us },
            IdleStrategy::Yield | IdleStrategy::Sleep { .. } => Step::Yield,
        }
    }

    /// The strategy given.
    pub fn strategy(&self) -> IdleStrategy {
        self.strategy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn should_read_what_it_prints() {
        for strategy in [IdleStrategy::Spin, IdleStrategy::Yield, IdleStrategy::Sleep { us: 50 }] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        assert!("sleep".parse::<IdleStrategy>().unwrap_err().contains("sleep:MICROSECONDS"));
    }

    #[test]
    fn should_sleep_only_after_some_idle_laps_and_not_after_work() {
        let mut idle = Idle::new(IdleStrategy::Sleep { us: 70 });
        for round in 0..3 {
            for lap in 0..YIELDS_BEFORE_SLEEP {
                assert_eq!(idle.step(0), Step::Yield, "round {round}, lap {lap}");
            }
            assert_eq!(idle.step(0), Step::Sleep { us: 70 });
            assert_eq!(idle.step(0), Step::Sleep { us: 70 });
            assert_eq!(idle.step(1), Step::GoOn);
        }
    }

    #[test]
    fn should_do_what_its_strategy_says() {
        assert_eq!(Idle::new(IdleStrategy::Spin).step(0), Step::Spin);
        assert_eq!(Idle::new(IdleStrategy::Yield).step(0), Step::Yield);
        let start = Instant::now();
        let mut idle = Idle::new(IdleStrategy::Sleep { us: 3_000 });
        for _ in 0..=YIELDS_BEFORE_SLEEP {
            idle.idle(0);
        }
        assert!(start.elapsed() >= Duration::from_millis(3));
    }
}
