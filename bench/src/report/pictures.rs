//! Which pictures there are: for each experiment those that its runs have the data for.
mod bars;
mod growth;
mod percentiles;
mod rates;
mod stages;

use super::canvas::Error;
use super::file_name;
use crate::measurement::{Bound, Results, Row, Run};
use std::collections::BTreeSet;

/// One picture.
pub struct Picture {
    /// Name of its file.
    pub file: String,
    /// What it shows and how to read it, for below it.
    pub caption: String,
    /// The picture itself.
    pub svg: String,
}

/// The parameter that says how operations come.
const PACE: &str = "pace";
/// The parameter that a growth curve runs along.
const RECORDS: &str = "records";
/// From so many different values on, something is a curve.
const CURVE_MIN: usize = 3;

/// All pictures, experiments with a row first.
pub fn all(results: &Results) -> Result<Vec<Picture>, Error> {
    let mut pictures = Vec::new();
    for experiment in experiments(results) {
        let runs: Vec<&Run> = results.runs.iter().filter(|run| run.experiment == experiment).collect();
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.experiment == experiment).collect();
        of(experiment, &runs, &rows, &mut pictures)?;
    }
    Ok(pictures)
}

fn of(experiment: &str, runs: &[&Run], rows: &[&Row], pictures: &mut Vec<Picture>) -> Result<(), Error> {
    let mut add = |kind: &str, drawn: Option<(String, String)>| {
        if let Some((svg, caption)) = drawn {
            pictures.push(Picture { file: format!("{}-{kind}.svg", file_name(experiment)), caption, svg });
        }
    };
    let title = title(experiment);
    let bound = rows.iter().find_map(|row| match row.bound {
        Bound::RateAtLeast(least) => Some(least),
        _ => None,
    });
    if different(runs, |run| run.parameters.get(RECORDS).cloned()) >= CURVE_MIN {
        let most = rows.iter().find_map(|row| match row.bound {
            Bound::RatioAtMost(most) => Some(most),
            _ => None,
        });
        add("growth", growth::draw(&title, runs, most)?);
        return Ok(());
    }
    let ladder = different(runs, |run| run.rate_wanted.map(|rate| format!("{rate:.0}"))) >= CURVE_MIN;
    let (rated, latencies) = (bound.is_some(), runs.iter().any(|run| run.latency.is_some()));
    if ladder {
        add("rates", rates::draw(&title, runs)?);
    } else if latencies && !rated {
        // One picture for each pace: what comes one by one has little to do with what comes at a rate.
        let paces: BTreeSet<Option<&String>> = runs.iter().map(|run| run.parameters.get(PACE)).collect();
        for pace in &paces {
            let runs: Vec<&Run> =
                runs.iter().copied().filter(|run| run.parameters.get(PACE) == *pace).collect();
            let (kind, title) = match pace {
                Some(pace) => (format!("{}-percentiles", file_name(pace)), format!("{title}, {pace}")),
                None => ("percentiles".to_owned(), title.clone()),
            };
            add(&kind, percentiles::draw(&title, &runs)?);
        }
    }
    let unhurried: Vec<&Run> = runs
        .iter()
        .copied()
        .filter(|run| run.rate_wanted.is_none() && (rated || run.latency.is_none()))
        .collect();
    add("throughput", bars::draw(&title, &unhurried, bound)?);
    add("stages", stages::draw(&title, runs)?);
    Ok(())
}

/// How many different values the runs have.
fn different(runs: &[&Run], of: impl Fn(&Run) -> Option<String>) -> usize {
    runs.iter().filter_map(|run| of(run)).collect::<BTreeSet<_>>().len()
}

/// Names of experiments in the order of the table, then in the order in which they were run.
pub fn experiments(results: &Results) -> Vec<&str> {
    let named = results.rows.iter().map(|row| row.experiment.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in named.chain(results.runs.iter().map(|run| run.experiment.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// An experiment's name as a title.
fn title(experiment: &str) -> String {
    let mut text = experiment.replace('_', " ");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}
