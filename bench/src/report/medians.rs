//! What stands beside the table of bounds: peers, floors of their own, and curves, as medians over the repetitions that count.
use super::numbers;
use super::pictures::experiments;
use super::series::series;
use crate::experiment::Figure;
use crate::measurement::{Results, Run, Subject, median};
use std::collections::BTreeSet;

/// The columns of a line.
pub const HEAD: [&str; 5] = ["beside the table (medians)", "rate /s", "p50", "p99", ""];

/// A line for all repetitions of one run: those of experiments without a bound, and every peer's.
pub fn lines(results: &Results) -> Vec<[String; 5]> {
    let bounded = |experiment: &str| results.rows.iter().any(|row| row.experiment == experiment);
    let mut lines = Vec::new();
    for experiment in experiments(results) {
        let runs: Vec<&Run> = results.runs.iter().filter(|run| run.experiment == experiment).collect();
        let all = series(&runs, None);
        for one in all.iter().filter(|one| one.subject == Subject::Peer || !bounded(experiment)) {
            let rates: BTreeSet<Option<u64>> = one.runs.iter().map(|run| wanted(run)).collect();
            for rate in &rates {
                let runs: Vec<&Run> = one.runs.iter().copied().filter(|run| wanted(run) == *rate).collect();
                let at = rate.filter(|_| rates.len() > 1);
                let at = at.map(|rate| format!(", {}", numbers::rate(rate as f64))).unwrap_or_default();
                lines.push(line(format!("{experiment}: {}{at}", one.label), &runs));
            }
        }
    }
    lines
}

fn wanted(run: &Run) -> Option<u64> {
    run.rate_wanted.map(|rate| rate.round() as u64)
}

fn line(label: String, runs: &[&Run]) -> [String; 5] {
    let middle = |figure: Figure| median(&runs.iter().filter_map(|run| figure.of(run)).collect::<Vec<_>>());
    let latency = |share| middle(Figure::Latency(share)).map_or("–".into(), numbers::time);
    let rate = middle(Figure::Rate).map_or("–".into(), numbers::count);
    let failed = runs.iter().filter(|run| run.failed.is_some()).count();
    let verdict = if failed == 0 { String::new() } else { format!("{failed} of {} FAILED", runs.len()) };
    [label, rate, latency(0.5), latency(0.99), verdict]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Draft;
    use crate::measurement::{Bound, Row};

    fn run(experiment: &str, name: &str, subject: Subject, repetition: u32, rate: f64) -> Run {
        Draft::new(experiment, name, subject, repetition).with("transport", "socket").rate(10, rate)
    }

    #[test]
    fn peers_and_what_has_no_bound_have_a_line_and_the_rest_has_none() {
        let row = Row {
            experiment: "bounded".into(),
            what: "w".into(),
            bound: Bound::RateAtLeast(1.0),
            values: vec![],
            detail: String::new(),
            note: String::new(),
        };
        let mut lost = run("free", "gds", Subject::System, 2, 900.0);
        lost.failed = Some("lost an answer".into());
        let runs = vec![
            run("bounded", "gds", Subject::System, 1, 10.0),
            run("bounded", "aeron", Subject::Peer, 1, 20.0),
            run("bounded", "aeron", Subject::Peer, 2, 40.0),
            run("free", "gds", Subject::System, 1, 500.0),
            lost,
        ];
        let results = Results { runs, rows: vec![row], ..Results::default() };
        let lines = lines(&results);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0][..2], ["bounded: aeron".to_owned(), "30".to_owned()]);
        // The failed one counts for nothing.
        assert_eq!(lines[1][..2], ["free: gds".to_owned(), "500".to_owned()]);
        assert_eq!(lines[1][4], "1 of 2 FAILED");
    }
}
