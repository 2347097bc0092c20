//! Latency by percentile: how long the lucky half waits, and how long one in a thousand does.
use crate::measurement::{Latency, Run, Subject};
use crate::report::axis::Axis;
use crate::report::canvas::{Canvas, Error, TOP};
use crate::report::numbers::time;
use crate::report::series::{Series, series};

const HEIGHT: i32 = 960;
/// More would hide each other.
const SERIES_MAX: usize = 8;

/// The picture and its caption; `None` when no run that counts has latencies.
pub fn draw(title: &str, runs: &[&Run]) -> Result<Option<(String, String)>, Error> {
    let all = series(runs, None);
    let mut curves: Vec<(&Series, Latency)> =
        all.iter().filter_map(|series| Some((series, series.latency()?))).collect();
    curves.truncate(SERIES_MAX);
    if curves.is_empty() {
        return Ok(None);
    }
    let least = curves.iter().map(|(_, latency)| latency.counts[0].0).min().unwrap_or(1);
    let most =
        curves.iter().filter_map(|(_, latency)| latency.counts.last()).map(|last| last.0).max().unwrap_or(1);
    let samples = curves.iter().map(|(_, latency)| total(latency)).max().unwrap_or(1);

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, HEIGHT, &format!("{title}: latency by percentile"))?;
    let x = Axis::percentiles(samples as f64);
    let y = Axis::log(least as f64, most as f64, time);
    let plot = canvas.plot(x, y, "share of all that took at most so long", "latency")?;
    let mut key = TOP + 16;
    for (series, latency) in &curves {
        let dashed = series.subject == Subject::Floor;
        plot.curve(&steps(latency), series.colour, dashed)?;
        let quantile = |share| time(latency.quantile_ns(share) as f64);
        let short = format!("p50 {}, p99 {}", quantile(0.5), quantile(0.99));
        key = canvas.key(key, series.colour, dashed, &series.label, &short)?;
    }
    canvas.finish()?;
    let caption = "Each step to the right leaves a tenth of the messages. Dashed: what the machine could do at best. \
                   All repetitions together; from the scheduled time on.";
    Ok(Some((svg, caption.to_owned())))
}

fn total(latency: &Latency) -> u64 {
    latency.counts.iter().map(|(_, count)| count).sum()
}

/// Share of all at or below, and the latency there.
fn steps(latency: &Latency) -> Vec<(f64, f64)> {
    let total = total(latency) as f64;
    let mut below = 0;
    let mut points = Vec::new();
    for &(value, count) in &latency.counts {
        points.push((below as f64 / total, value as f64));
        below += count;
        // The last stays short of 100 %, which has no place on such an axis.
        let share = (below as f64 / total).min(1.0 - 1.0 / total);
        points.push((share, value as f64));
    }
    points
}
