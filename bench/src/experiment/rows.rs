//! From what was measured to runs and rows.
use crate::measurement::{Bound, Latency, Row, Run, Stage, Subject, median};
use crate::report::numbers;
use crate::schedule::Measured;
use std::collections::BTreeMap;

/// What is known of a run before it is made.
#[derive(Clone, Debug)]
pub struct Draft(Run);

impl Draft {
    /// A run of this experiment.
    pub fn new(experiment: &str, name: &str, subject: Subject, repetition: u32) -> Self {
        Self(Run {
            experiment: experiment.into(),
            name: name.into(),
            subject,
            repetition,
            workload: String::new(),
            parameters: BTreeMap::new(),
            rate_wanted: None,
            rate: 0.0,
            sent: 0,
            answered: 0,
            late: 0,
            latency: None,
            stages: Vec::new(),
            figures: BTreeMap::new(),
            failed: None,
        })
    }

    /// With this workload.
    pub fn workload(mut self, name: &str) -> Self {
        self.0.workload = name.into();
        self
    }

    /// With this to tell it apart.
    pub fn with(mut self, parameter: &str, value: impl ToString) -> Self {
        self.0.parameters.insert(parameter.into(), value.to_string());
        self
    }

    /// With this figure beside what is measured.
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.0.figures.insert(name.into(), value);
        self
    }

    /// With these stages.
    pub fn stages(mut self, stages: Vec<Stage>) -> Self {
        self.0.stages = stages;
        self
    }

    /// The run as it was measured.
    pub fn measured(self, measured: &Measured) -> Run {
        let mut run = self.0;
        run.rate_wanted = measured.rate_wanted;
        run.rate = measured.rate;
        (run.sent, run.answered, run.late) = (measured.sent, measured.answered, measured.late);
        run.latency = (!measured.latency.is_empty()).then(|| Latency::of(&measured.latency));
        if !measured.lateness.is_empty() {
            let late = |share| measured.lateness.value_at_quantile(share) as f64 / 1e3;
            run.figures.insert("sender_late_p50_us".into(), late(0.5));
            run.figures.insert("sender_late_p99_us".into(), late(0.99));
        }
        run.failed = run.failed.or(measured.failed());
        run
    }

    /// The run when all it has is how many it did a second.
    pub fn rate(self, operations: u64, per_second: f64) -> Run {
        let mut run = self.0;
        (run.rate, run.sent, run.answered) = (per_second, operations, operations);
        run
    }

    /// It does not count, for this reason.
    pub fn failing(mut self, why: Option<String>) -> Self {
        self.0.failed = self.0.failed.or(why);
        self
    }

    /// The run when it came to nothing.
    pub fn failed(self, why: String) -> Run {
        self.failing(Some(why)).0
    }
}

/// What of a run a row looks at.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// The latency in ns that this share stays at or below.
    Latency(f64),
    /// Operations a second.
    Rate,
    /// A figure by name.
    Named(&'static str),
}

impl Figure {
    /// Of this run; `None` when it failed or has none.
    pub fn of(self, run: &Run) -> Option<f64> {
        if run.failed.is_some() {
            return None;
        }
        match self {
            Self::Latency(share) => run.latency.as_ref().map(|latency| latency.quantile_ns(share) as f64),
            Self::Rate => Some(run.rate),
            Self::Named(name) => run.figures.get(name).copied(),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Latency(share) => format!("p{} {}", share * 100.0, numbers::time(value)),
            Self::Rate => numbers::rate(value),
            Self::Named(name) => format!("{} {value:.1}", name.replace('_', " ")),
        }
    }
}

/// Which runs are meant.
pub type Which<'a> = &'a dyn Fn(&Run) -> bool;

/// One line of the table: for each repetition, the figure of one run over that of the other.
pub fn ratio(
    what: &str,
    bound: Bound,
    runs: &[Run],
    figure: Figure,
    system: Which<'_>,
    floor: Which<'_>,
) -> Row {
    let over = |system: f64, floor: f64| (floor > 0.0).then(|| system / floor);
    compared(what, bound, runs, figure, [system, floor], "over", &over)
}

/// One line of the table: for each repetition, by how much the figure of one run is above that of the other; 0 where it is not.
pub fn beyond(
    what: &str,
    bound: Bound,
    runs: &[Run],
    figure: Figure,
    system: Which<'_>,
    quiet: Which<'_>,
) -> Row {
    let above = |system: f64, quiet: f64| Some((system - quiet).max(0.0));
    compared(what, bound, runs, figure, [system, quiet], "beyond", &above)
}

fn compared(
    what: &str,
    bound: Bound,
    runs: &[Run],
    figure: Figure,
    [one, other]: [Which<'_>; 2],
    word: &str,
    value: &dyn Fn(f64, f64) -> Option<f64>,
) -> Row {
    let values = pairs(runs, one, other)
        .filter_map(|(one, other)| value(figure.of(one)?, figure.of(other)?))
        .collect();
    let sides: Vec<String> = [one, other].iter().filter_map(|which| side(runs, figure, *which)).collect();
    row(what, bound, runs, values, sides.join(&format!(" {word} ")), &|run| one(run) || other(run))
}

/// One line of the table: the figure of each run itself.
pub fn absolute(what: &str, bound: Bound, runs: &[Run], figure: Figure, system: Which<'_>) -> Row {
    let values = runs.iter().filter(|run| system(run)).filter_map(|run| figure.of(run)).collect();
    row(what, bound, runs, values, side(runs, figure, system).unwrap_or_default(), system)
}

fn pairs<'a>(
    runs: &'a [Run],
    system: Which<'a>,
    floor: Which<'a>,
) -> impl Iterator<Item = (&'a Run, &'a Run)> + 'a {
    runs.iter().filter(move |run| system(run)).filter_map(move |one| {
        let other = runs.iter().find(|run| floor(run) && run.repetition == one.repetition)?;
        Some((one, other))
    })
}

/// The name and the median of one side.
fn side(runs: &[Run], figure: Figure, which: Which<'_>) -> Option<String> {
    let chosen: Vec<&Run> = runs.iter().filter(|run| which(run)).collect();
    let values: Vec<f64> = chosen.iter().filter_map(|run| figure.of(run)).collect();
    Some(format!("{} {}", chosen.first()?.name, figure.show(median(&values)?)))
}

fn row(what: &str, bound: Bound, runs: &[Run], values: Vec<f64>, detail: String, which: Which<'_>) -> Row {
    let reasons: BTreeMap<&str, usize> =
        runs.iter().filter(|run| which(run)).fold(BTreeMap::new(), |mut all, run| {
            if let Some(why) = &run.failed {
                *all.entry(why.as_str()).or_default() += 1;
            }
            all
        });
    let reasons: Vec<String> = reasons.into_iter().map(|(why, times)| format!("{times} x {why}")).collect();
    let note =
        if reasons.is_empty() { String::new() } else { format!("FAILED runs: {}", reasons.join("; ")) };
    let experiment = runs.first().map(|run| run.experiment.clone()).unwrap_or_default();
    Row { experiment, what: what.into(), bound, values, detail, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Results, histogram};
    use crate::report;

    fn run(name: &str, repetition: u32, ns: u64, lost: u64) -> Run {
        let mut latency = histogram();
        latency.record_n(ns, 1000).unwrap();
        let measured = Measured {
            rate_wanted: None,
            rate: 1e9 / ns as f64,
            sent: 1000 + lost,
            answered: 1000,
            late: 0,
            latency,
            lateness: histogram(),
            longest_gap_ns: 0,
            unexpected: 0,
        };
        Draft::new("e", name, Subject::System, repetition).measured(&measured)
    }

    fn is<'a>(name: &'a str) -> impl Fn(&Run) -> bool + 'a {
        move |run| run.name == name
    }

    #[test]
    fn what_failed_prints_no_figure() {
        let runs = [run("gds", 1, 8_765_000, 1), run("echo", 1, 1_000, 0), run("gds", 2, 8_765_000, 3)];
        let bound = Bound::RatioAtMost(1.25);
        let ratio = ratio("over", bound, &runs, Figure::Latency(0.5), &is("gds"), &is("echo"));
        let absolute = absolute("by itself", Bound::NsAtMost(1e9), &runs, Figure::Latency(0.5), &is("gds"));
        let results = Results { runs: runs.to_vec(), rows: vec![ratio, absolute], ..Results::default() };
        let text = report::text(&results);
        // 8.77 ms, and 8765 times the echo.
        assert!(!text.contains("8.7") && !text.contains("876"), "{text}");
        assert_eq!(text.matches("no verdict").count(), 2, "{text}");
        assert!(
            text.contains("FAILED runs: 1 x lost 1 of 1001 answers") && text.contains("2 without a verdict")
        );
        assert!(report::medians::lines(&results).is_empty(), "both have a row");
    }

    #[test]
    fn a_pair_with_a_failed_run_has_no_value() {
        let runs = [
            run("gds", 1, 1200, 0),
            run("echo", 1, 1000, 0),
            run("gds", 2, 9000, 1),
            run("echo", 2, 1000, 0),
        ];
        let row = ratio("w", Bound::RatioAtMost(1.25), &runs, Figure::Latency(0.5), &is("gds"), &is("echo"));
        assert_eq!(row.values.len(), 1);
        assert!((row.values[0] - 1.2).abs() < 0.01, "{row:?}");
        assert!(row.note.contains("1 x lost 1 of 1001 answers"), "{}", row.note);
        let row = absolute("w", Bound::NsAtMost(1e6), &runs, Figure::Latency(0.5), &is("gds"));
        assert_eq!((row.values.len(), row.holds()), (1, Some(true)));
        let failed = [run("gds", 1, 1200, 5)];
        let row = absolute("w", Bound::NsAtMost(1e6), &failed, Figure::Latency(0.5), &is("gds"));
        assert_eq!((row.values.len(), row.holds()), (0, None));
    }
}
