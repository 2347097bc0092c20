//! How cost grows: time per message against the number of records.
use super::RECORDS;
use crate::measurement::{Run, Subject, median};
use crate::report::axis::Axis;
use crate::report::canvas::{Anchor, BAD, Canvas, Error, TOP};
use crate::report::numbers::{count, digits, time};
use crate::report::series::{Series, series};

const HEIGHT: i32 = 860;
/// A run's own figure for it; the rate says it otherwise.
const COST: &str = "ns_per_message";

/// The picture and its caption; `None` when no run counts.
pub fn draw(title: &str, runs: &[&Run], bound: Option<f64>) -> Result<Option<(String, String)>, Error> {
    let all = series(runs, Some(RECORDS));
    let curves: Vec<(&Series, Vec<(f64, f64)>)> =
        all.iter().map(|series| (series, points(series))).filter(|(_, points)| !points.is_empty()).collect();
    let Some(first) = curves.iter().find(|(s, _)| s.subject == Subject::System).or(curves.first()) else {
        return Ok(None);
    };
    let limit = bound.map(|bound| (bound, bound * first.1[0].1));
    let points = || curves.iter().flat_map(|(_, points)| points);
    let most = points().map(|point| point.1).chain(limit.map(|(_, ns)| ns)).fold(0.0, f64::max);
    let fewest = points().map(|point| point.0).fold(f64::MAX, f64::min);
    let largest = points().map(|point| point.0).fold(0.0, f64::max);

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, HEIGHT, &format!("{title}: how cost grows"))?;
    let plot = canvas.plot(
        Axis::log(fewest, largest, count),
        Axis::from_zero(most, 5, time),
        "records",
        "time per message",
    )?;
    if let Some((bound, ns)) = limit {
        plot.curve(&[(fewest, ns), (largest, ns)], BAD, true)?;
        let (x, y) = plot.at(fewest, ns);
        canvas.text(&format!("bound: {} x the first", digits(bound)), (x + 20, y - 26), BAD, Anchor::Left)?;
    }
    let mut key = TOP + 16;
    for (series, points) in &curves {
        let dashed = series.subject == Subject::Floor;
        plot.curve(points, series.colour, dashed)?;
        for &(x, y) in points {
            canvas.dot(plot.at(x, y), series.colour, true)?;
        }
        let (from, to) = (points[0].1, points[points.len() - 1].1);
        let short = format!("{} to {}: {:.2} x", time(from), time(to), to / from);
        key = canvas.key(key, series.colour, dashed, &series.label, &short)?;
    }
    canvas.finish()?;
    let caption =
        "Medians over the repetitions; the number of records on a logarithmic axis, the time from zero on.";
    Ok(Some((svg, caption.to_owned())))
}

/// Records and ns per message, ascending.
fn points(series: &Series) -> Vec<(f64, f64)> {
    let records = |run: &Run| run.parameters.get(RECORDS).and_then(|text| text.parse::<f64>().ok());
    let cost = |run: &Run| run.figures.get(COST).copied().or((run.rate > 0.0).then(|| 1e9 / run.rate));
    let mut all: Vec<f64> = series.good().filter_map(records).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let at = |wanted: f64| {
        let costs: Vec<f64> =
            series.good().filter(|run| records(run) == Some(wanted)).filter_map(cost).collect();
        Some((wanted, median(&costs)?))
    };
    all.into_iter().filter_map(at).collect()
}
