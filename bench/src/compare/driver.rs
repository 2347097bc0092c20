//! Measures two binaries in turn until every metric has its verdict, and shows what came out.
use super::pairs::{self, Comparison, Direction, Verdict};
use crate::experiment::interrupted;
use crate::report::numbers::{rate, time};
use std::fmt::Write as _;
use std::path::Path;

/// A measurement may fail so often in a row (a lost answer, a missed rate) before its metric is given up.
const FAILURES_MAX: u32 = 3;

/// Something that can be measured of a `gds` binary.
pub trait Metric {
    /// Its name, e.g. `acknowledgement p50`.
    fn name(&self) -> &str;
    /// Which way is better. Lower: values are ns; higher: values are a second.
    fn direction(&self) -> Direction;
    /// Measures once, with a node of this binary started for it.
    fn measure(&mut self, binary: &Path) -> Result<f64, String>;
}

/// What became of a metric.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Which way is better.
    pub direction: Direction,
    /// Values of A and B, pair by pair.
    pub pairs: Vec<(f64, f64)>,
    /// Measurements that failed and were made again.
    pub retries: u32,
    /// What they tell; the failure when it could not be measured.
    pub result: Result<Comparison, String>,
}

impl Outcome {
    /// Whether B is worse, or could not be measured.
    pub fn is_bad(&self) -> bool {
        !matches!(&self.result, Ok(comparison) if comparison.verdict != Some(Verdict::Worse))
    }
}

/// Compares binary B with A. `tell` hears after each pair: the metric, pairs done, pairs until the next look.
pub fn compare_binaries(
    (a, b): (&Path, &Path),
    metrics: &mut [Box<dyn Metric>],
    pairs_max: usize,
    tell: &mut dyn FnMut(&str, usize, usize),
) -> Vec<Outcome> {
    metrics.iter_mut().map(|metric| outcome((a, b), metric.as_mut(), pairs_max, tell)).collect()
}

fn outcome(
    binaries: (&Path, &Path),
    metric: &mut dyn Metric,
    pairs_max: usize,
    tell: &mut dyn FnMut(&str, usize, usize),
) -> Outcome {
    let (mut pairs, mut retries) = (Vec::new(), 0);
    let result = verdict(binaries, metric, pairs_max, (&mut pairs, &mut retries), tell);
    Outcome { name: metric.name().to_owned(), direction: metric.direction(), pairs, retries, result }
}

fn verdict(
    (a, b): (&Path, &Path),
    metric: &mut dyn Metric,
    pairs_max: usize,
    (pairs, retries): (&mut Vec<(f64, f64)>, &mut u32),
    tell: &mut dyn FnMut(&str, usize, usize),
) -> Result<Comparison, String> {
    let pairs_max = pairs_max.max(1);
    loop {
        let look = pairs::next_look(pairs.len(), pairs_max).expect("the last look has a verdict");
        while pairs.len() < look {
            tell(metric.name(), pairs.len(), look);
            // Who goes first alternates: a machine that becomes slower is unfair to both in turn.
            let pair = if pairs.len().is_multiple_of(2) {
                let value = measure(metric, a, retries)?;
                (value, measure(metric, b, retries)?)
            } else {
                let value = measure(metric, b, retries)?;
                (measure(metric, a, retries)?, value)
            };
            pairs.push(pair);
        }
        let comparison = pairs::compare(pairs, metric.direction(), pairs_max);
        if comparison.verdict.is_some() {
            return Ok(comparison);
        }
    }
}

fn measure(metric: &mut dyn Metric, binary: &Path, retries: &mut u32) -> Result<f64, String> {
    let mut failures = 0;
    loop {
        if interrupted() {
            return Err("interrupted".into());
        }
        match metric.measure(binary) {
            Ok(value) if value > 0.0 && value.is_finite() => return Ok(value),
            Ok(value) => return Err(format!("{}: measured {value}", binary.display())),
            Err(why) if failures + 1 == FAILURES_MAX => return Err(why),
            Err(_) => {
                failures += 1;
                *retries += 1;
            }
        }
    }
}

/// The table of verdicts, for a terminal of 100 columns.
pub fn text(outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "{:<34}{:>11}{:>11}{:>9}  {:<17}{:>5}  {}\n{}\n",
        "metric",
        "A",
        "B",
        "B / A",
        "between",
        "pairs",
        "verdict",
        "─".repeat(100)
    );
    for outcome in outcomes {
        let middle = |of: fn(&(f64, f64)) -> f64| {
            let values: Vec<f64> = outcome.pairs.iter().map(of).collect();
            crate::measurement::median(&values).map_or_else(String::new, |value| match outcome.direction {
                Direction::Lower => time(value),
                Direction::Higher => rate(value),
            })
        };
        let _ = match &outcome.result {
            Ok(comparison) => {
                let word = match comparison.verdict {
                    Some(Verdict::Better) => "better",
                    Some(Verdict::Worse) => "WORSE",
                    Some(Verdict::NoDifference) => "no difference",
                    Some(Verdict::Unsettled) | None => "unsettled: too noisy",
                };
                let between = if comparison.to.is_finite() {
                    format!("{:.3} – {:.3}", comparison.from, comparison.to)
                } else {
                    "too few pairs".to_owned()
                };
                let (a, b) = (middle(|pair| pair.0), middle(|pair| pair.1));
                writeln!(
                    out,
                    "{:<34}{a:>11}{b:>11}{:>9.3}  {between:<17}{:>5}  {word}",
                    outcome.name, comparison.ratio, comparison.pairs
                )
            }
            Err(why) => writeln!(out, "{:<34}FAILED: {why}", outcome.name),
        };
        if outcome.retries > 0 {
            let _ = writeln!(out, "    {} measurements failed and were made again", outcome.retries);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary is as fast as the number that is its path, with a little noise.
    struct Pretended {
        measured: u32,
        fails_every: u32,
    }

    impl Metric for Pretended {
        fn name(&self) -> &str {
            "pretended p50"
        }

        fn direction(&self) -> Direction {
            Direction::Lower
        }

        fn measure(&mut self, binary: &Path) -> Result<f64, String> {
            self.measured += 1;
            if self.fails_every > 0 && self.measured.is_multiple_of(self.fails_every) {
                return Err("lost an answer".into());
            }
            let truth: f64 = binary.to_string_lossy().parse().unwrap();
            Ok(truth * (1.0 + 0.01 * f64::from(self.measured * 7919 % 11) / 11.0))
        }
    }

    fn run(a: &str, b: &str, fails_every: u32) -> Outcome {
        let mut metrics: Vec<Box<dyn Metric>> = vec![Box::new(Pretended { measured: 0, fails_every })];
        compare_binaries((a.as_ref(), b.as_ref()), &mut metrics, 40, &mut |_, _, _| ()).remove(0)
    }

    #[test]
    fn the_slower_binary_is_called() {
        let outcome = run("8000", "9200", 5);
        assert_eq!(outcome.result.as_ref().unwrap().verdict, Some(Verdict::Worse));
        let shown = text(std::slice::from_ref(&outcome));
        assert!(outcome.is_bad() && shown.contains("WORSE"));
        assert!(outcome.retries > 0 && shown.contains("failed and were made again"), "{shown}");
        assert!(!run("8000", "8000", 0).is_bad());
    }

    #[test]
    fn what_cannot_be_measured_is_bad() {
        let outcome = run("8000", "8000", 1);
        assert!(outcome.is_bad() && text(&[outcome]).contains("FAILED: lost an answer"));
    }
}
