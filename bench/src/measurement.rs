//! What is measured, as it is kept in `results.json`: runs, the rows that compare them, and the curves drawn of them.
//!
//! A [`Run`] is one timed piece of work on one subject: the system under test, a floor or a peer. Runs of a comparison are interleaved
//! and carry the same repetition, so that each pair saw the same weather. A [`Row`] is one line of the table of bounds: the median over its pairs
//! against the bound. A run that failed has no figures in any row.
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest latency told apart from larger ones: above it counts as this.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant digits that histograms keep.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// What a run measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// GDS.
    System,
    /// What the machine can do at best.
    Floor,
    /// What users would have elsewhere.
    Peer,
}

/// A distribution of latencies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Value in ns and how often, ascending; values as the histogram tells them apart.
    pub counts: Vec<(u64, u64)>,
}

impl Latency {
    /// What a histogram holds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let counts =
            histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        Self { counts }
    }

    /// The histogram again.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = histogram();
        for &(value, count) in &self.counts {
            histogram.saturating_record_n(value, count);
        }
        histogram
    }

    /// The latency in ns that this share (0 to 1) of all stay at or below; 0 when there is none.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        self.histogram().value_at_quantile(share)
    }
}

/// An empty histogram with the bounds that all of them have: 1 ns to [`LATENCY_NS_MAX`].
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are fixed and valid")
}

/// One timed piece of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Which row, curve or experiment it belongs to, e.g. `acknowledgement_depth_1`.
    pub experiment: String,
    /// What was measured, e.g. `gds`, `multicast echo`, `redis`.
    pub name: String,
    /// System, floor or peer.
    pub subject: Subject,
    /// Runs with the same number were made one behind the other.
    pub repetition: u32,
    /// Name of the workload, e.g. `put_uniform_200`.
    pub workload: String,
    /// What else tells it apart: `transport`, `durability`, `loss_percent`, `records`, `version` ...
    pub parameters: BTreeMap<String, String>,
    /// Operations a second wanted; `None`: closed loop, or as fast as it goes.
    pub rate_wanted: Option<f64>,
    /// Operations a second done.
    pub rate: f64,
    /// Operations begun, warm-up apart.
    pub sent: u64,
    /// Of these answered in time.
    pub answered: u64,
    /// Answered, but after the end of the run.
    pub late: u64,
    /// Latencies from the scheduled time on; `None` where only the rate was measured.
    pub latency: Option<Latency>,
    /// Where the time went, stage by stage (GDS only).
    pub stages: Vec<Stage>,
    /// Bytes of resident memory, bytes of index per record and the like: name and value.
    pub figures: BTreeMap<String, f64>,
    /// Why it does not count: it lost an answer, or did not reach its rate.
    pub failed: Option<String>,
}

/// One stage of a message's way through a node, from being received on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `sequenced`, `journalled`, `published`, `applied`, `acknowledged`.
    pub name: String,
    /// From received to there.
    pub latency: Latency,
}

/// What a row demands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// At most so many times the reference.
    RatioAtMost(f64),
    /// At least so many times the reference.
    RatioAtLeast(f64),
    /// At most so many nanoseconds.
    NsAtMost(f64),
    /// At least so many a second.
    RateAtLeast(f64),
    /// At most so many bytes.
    BytesAtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The experiment that fills it.
    pub experiment: String,
    /// What is promised, in words.
    pub what: String,
    /// The bound.
    pub bound: Bound,
    /// One value for each repetition whose runs did not fail, in the bound's unit.
    pub values: Vec<f64>,
    /// Figures behind the values, for people: `gds p50 8.1 us, echo p50 7.2 us`.
    pub detail: String,
    /// Why there is no verdict, or what stands in the way of the bound.
    pub note: String,
}

impl Row {
    /// The median over the repetitions; `None` when all failed.
    pub fn median(&self) -> Option<f64> {
        median(&self.values)
    }

    /// Does the median hold the bound? `None` when all repetitions failed.
    pub fn holds(&self) -> Option<bool> {
        self.median().map(|value| match self.bound {
            Bound::RatioAtMost(most) | Bound::NsAtMost(most) | Bound::BytesAtMost(most) => value <= most,
            Bound::RateAtLeast(least) | Bound::RatioAtLeast(least) => value >= least,
        })
    }
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The machine and the build.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Name and value, in the order to be shown: CPU, kernel, cores, pinning, hugepages, clock source, commit, time.
    pub facts: Vec<(String, String)>,
    /// What about it makes figures worse than they could be: no hugepages, shared cores, a busy machine.
    pub warnings: Vec<String>,
}

/// Everything one command measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// Where.
    pub environment: Environment,
    /// All runs, in the order they were made.
    pub runs: Vec<Run>,
    /// The table.
    pub rows: Vec<Row>,
    /// What was left out and why: `redis: not installed`.
    pub skipped: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_its_histogram() {
        let mut histogram = histogram();
        (1..=1000u64).for_each(|value| histogram.record(value * 1000).unwrap());
        let latency = Latency::of(&histogram);
        assert_eq!(latency.histogram(), histogram);
        assert_eq!(latency.quantile_ns(0.5), histogram.value_at_quantile(0.5));
        assert_eq!(Latency::default().quantile_ns(0.99), 0);
    }

    #[test]
    fn the_median_decides() {
        let row = |bound, values: &[f64]| Row {
            experiment: "e".into(),
            what: "w".into(),
            bound,
            values: values.to_vec(),
            detail: String::new(),
            note: String::new(),
        };
        assert_eq!(row(Bound::RatioAtMost(1.25), &[1.0, 9.0, 1.2]).holds(), Some(true));
        assert_eq!(row(Bound::RatioAtMost(1.25), &[1.0, 1.6]).holds(), Some(false));
        assert_eq!(row(Bound::RateAtLeast(4e6), &[3.9e6]).holds(), Some(false));
        assert_eq!(row(Bound::RatioAtLeast(2.0), &[1.9, 2.1, 2.0]).holds(), Some(true));
        assert_eq!(row(Bound::RateAtLeast(4e6), &[]).holds(), None);
    }
}
