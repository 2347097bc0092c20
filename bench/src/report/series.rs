//! Runs put together to what is one line or one bar of a picture.
use crate::measurement::{Latency, Run, Subject, histogram, median};
use plotters::style::RGBColor;
use std::collections::{BTreeMap, BTreeSet};

/// Colours that people tell apart whatever colours they see (after Okabe and Ito): blues of different lightness for GDS, greys for floors,
/// others for peers.
const SYSTEM: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(86, 180, 233), RGBColor(0, 52, 94), RGBColor(120, 94, 200)];
const FLOOR: [RGBColor; 4] =
    [RGBColor(110, 115, 125), RGBColor(60, 64, 72), RGBColor(160, 164, 172), RGBColor(85, 90, 99)];
const PEER: [RGBColor; 4] =
    [RGBColor(230, 159, 0), RGBColor(204, 121, 167), RGBColor(0, 158, 115), RGBColor(213, 94, 0)];

/// Runs that differ in repetition and rate only.
pub struct Series<'a> {
    /// The name, and what tells it apart from its neighbours.
    pub label: String,
    /// System, floor or peer.
    pub subject: Subject,
    /// Its colour.
    pub colour: RGBColor,
    /// All its runs, failed ones too.
    pub runs: Vec<&'a Run>,
}

impl<'a> Series<'a> {
    /// The runs that count.
    pub fn good(&self) -> impl Iterator<Item = &'a Run> + '_ {
        self.runs.iter().copied().filter(|run| run.failed.is_none())
    }

    /// The latencies of all runs that count, as one distribution; `None` when none has any.
    pub fn latency(&self) -> Option<Latency> {
        merged(self.good().filter_map(|run| run.latency.as_ref()))
    }

    /// The rates of the runs that count; `None` when none does.
    pub fn rates(&self) -> Option<Spread> {
        let values: Vec<f64> = self.good().map(|run| run.rate).collect();
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Spread { least, median: median(&values)?, most })
    }
}

/// Several values of one thing.
#[derive(Clone, Copy)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

/// Several distributions as one.
pub fn merged<'a>(latencies: impl Iterator<Item = &'a Latency>) -> Option<Latency> {
    let mut all = histogram();
    for latency in latencies {
        all.add(latency.histogram()).expect("all have the same bounds");
    }
    (!all.is_empty()).then(|| Latency::of(&all))
}

/// The series among these runs, in the order in which they begin; runs that differ in the parameter `along` belong together.
pub fn series<'a>(runs: &[&'a Run], along: Option<&str>) -> Vec<Series<'a>> {
    type Key<'k> = (&'k str, &'k str, Vec<(&'k String, &'k String)>);
    fn key<'k>(run: &'k Run, along: Option<&str>) -> Key<'k> {
        let parameters = run.parameters.iter().filter(|(name, _)| Some(name.as_str()) != along).collect();
        (&run.name, &run.workload, parameters)
    }
    let mut groups: Vec<(Key<'a>, Vec<&'a Run>)> = Vec::new();
    for &run in runs {
        let key = key(run, along);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(run),
            None => groups.push((key, vec![run])),
        }
    }
    let groups: Vec<Vec<&Run>> = groups.into_iter().map(|(_, group)| group).collect();
    let telling = telling(&groups, along);
    let mut used = [0; 3];
    groups.into_iter().map(|runs| one(runs, &telling, &mut used)).collect()
}

/// The parameters whose values differ among the groups. The workload counts as one of them, but for peers, which have their own.
fn telling(groups: &[Vec<&Run>], along: Option<&str>) -> BTreeSet<String> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for run in groups.iter().map(|group| group[0]) {
        if run.subject != Subject::Peer {
            values.entry("workload").or_default().insert(&run.workload);
        }
        for (name, value) in &run.parameters {
            values.entry(name).or_default().insert(value);
        }
    }
    let differ = |(name, values): &(&str, BTreeSet<&str>)| values.len() > 1 && Some(*name) != along;
    values.into_iter().filter(differ).map(|(name, _)| name.to_owned()).collect()
}

fn one<'a>(runs: Vec<&'a Run>, telling: &BTreeSet<String>, used: &mut [usize; 3]) -> Series<'a> {
    let first = runs[0];
    let mut label = first.name.clone();
    if telling.contains("workload") && first.subject != Subject::Peer && !first.workload.is_empty() {
        label += &format!(", {}", first.workload.replace('_', " "));
    }
    for (name, value) in first.parameters.iter().filter(|(name, _)| telling.contains(*name)) {
        // A number says nothing without its name; a word does.
        let bare = value.parse::<f64>().is_err();
        label += &if bare { format!(", {value}") } else { format!(", {} {value}", name.replace('_', " ")) };
    }
    let (colours, used) = match first.subject {
        Subject::System => (SYSTEM, &mut used[0]),
        Subject::Floor => (FLOOR, &mut used[1]),
        Subject::Peer => (PEER, &mut used[2]),
    };
    let colour = colours[*used % colours.len()];
    *used += 1;
    Series { label, subject: first.subject, colour, runs }
}
