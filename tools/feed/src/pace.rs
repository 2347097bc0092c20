//! When a message of a recording is due again.
//!
//! No clock is read here: a [`Pacer`] turns recorded timestamps into nanoseconds from the start of the replay, and whoever
//! replays waits until then.
use std::fmt;
use std::str::FromStr;

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// As it was recorded.
    #[default]
    Recorded,
    /// So many times as fast; a fraction is slower.
    Times(f64),
    /// As fast as it goes.
    Unlimited,
}

/// A text that names no [`Pace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceError(String);

impl fmt::Display for PaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no pace; say \"recorded\", \"unlimited\", or how many times as fast, like \"10x\"",
            self.0
        )
    }
}

impl std::error::Error for PaceError {}

impl FromStr for Pace {
    type Err = PaceError;

    /// Reads `recorded`, `unlimited`, or a number above zero that `x` may follow.
    fn from_str(text: &str) -> Result<Self, PaceError> {
        match text {
            "recorded" => return Ok(Self::Recorded),
            "unlimited" => return Ok(Self::Unlimited),
            _ => {}
        }
        match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
            Ok(times) if times.is_normal() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(PaceError(text.into())),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded => f.write_str("recorded"),
            Self::Times(times) => write!(f, "{times}x"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// Says when each message is due.
#[derive(Clone, Debug)]
pub struct Pacer {
    pace: Pace,
    first_ns: Option<u64>,
    due_ns: u64,
}

impl Pacer {
    /// A pacer that has seen no message.
    ///
    /// # Panics
    /// On a [`Pace::Times`] that is not above zero.
    pub fn new(pace: Pace) -> Self {
        if let Pace::Times(times) = pace {
            assert!(times > 0.0, "a pace of {times} never ends");
        }
        Self { pace, first_ns: None, due_ns: 0 }
    }

    /// When the message recorded at `timestamp_ns` is due, in nanoseconds from the start of the replay; `None` for a message
    /// without a timestamp. The first is due at 0, and none before another that came first: where timestamps run back, or
    /// are missing, a message is due at once after the one before it.
    pub fn due_ns(&mut self, timestamp_ns: Option<u64>) -> u64 {
        let Some(timestamp_ns) = timestamp_ns else {
            return self.due_ns;
        };
        let first_ns = *self.first_ns.get_or_insert(timestamp_ns);
        let elapsed_ns = timestamp_ns.saturating_sub(first_ns);
        let due_ns = match self.pace {
            Pace::Unlimited => 0,
            Pace::Recorded => elapsed_ns,
            // A day in nanoseconds is well within what a double tells apart; the conversion back saturates.
            Pace::Times(times) => (elapsed_ns as f64 / times) as u64,
        };
        self.due_ns = self.due_ns.max(due_ns);
        self.due_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_recorded_pace_keeps_the_distances() {
        let mut pacer = Pacer::new(Pace::Recorded);
        assert_eq!([1_000, 1_000, 1_500, 9_000].map(|at| pacer.due_ns(Some(at))), [0, 0, 500, 8_000]);
    }

    #[test]
    fn ten_times_as_fast_takes_a_tenth() {
        let mut pacer = Pacer::new(Pace::Times(10.0));
        assert_eq!([5, 1_005, 2_005].map(|at| pacer.due_ns(Some(at))), [0, 100, 200]);
        let mut pacer = Pacer::new(Pace::Times(0.5));
        assert_eq!([0, 100].map(|at| pacer.due_ns(Some(at))), [0, 200]);
    }

    #[test]
    fn unlimited_is_always_due() {
        let mut pacer = Pacer::new(Pace::Unlimited);
        assert_eq!([0, 100, u64::MAX].map(|at| pacer.due_ns(Some(at))), [0, 0, 0]);
    }

    #[test]
    fn a_missing_timestamp_is_due_with_the_one_before() {
        let mut pacer = Pacer::new(Pace::Recorded);
        assert_eq!([None, Some(10), None, Some(30), None].map(|at| pacer.due_ns(at)), [0, 0, 0, 20, 20]);
    }

    #[test]
    fn paces_are_read_as_they_are_written() {
        for pace in [Pace::Recorded, Pace::Unlimited, Pace::Times(10.0), Pace::Times(0.25)] {
            assert_eq!(pace.to_string().parse(), Ok(pace));
        }
        assert_eq!("8".parse(), Ok(Pace::Times(8.0)));
        for wrong in ["", "x", "0x", "-1x", "NaNx", "infx", "fast", "1xx"] {
            let error = wrong.parse::<Pace>().unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn due_times_never_run_back(times in 0.001_f64..1000.0, stamps in proptest::collection::vec(any::<u64>(), 0..50)) {
            for pace in [Pace::Recorded, Pace::Times(times), Pace::Unlimited] {
                let mut pacer = Pacer::new(pace);
                let due: Vec<u64> = stamps.iter().map(|&at| pacer.due_ns(Some(at))).collect();
                prop_assert!(due.is_sorted());
            }
        }
    }
}
