//! Latency against rate: flat as long as there is room, then the wall.
use crate::measurement::{Run, Subject, median};
use crate::report::axis::Axis;
use crate::report::canvas::{Anchor, BAD, Canvas, Error, FAINT, KEY, Plot, TOP};
use crate::report::numbers::{rate, time};
use crate::report::series::{Series, series};
use plotters::style::RGBColor;

const HEIGHT: i32 = 960;
const SERIES_MAX: usize = 5;
/// Share of all, its name.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// One rate of a series: wanted, and the latency in ns at each of [`QUANTILES`]; `None` when no run there counts.
struct Point {
    rate: f64,
    ns: Option<[f64; 3]>,
}

/// The picture and its caption; `None` when no run that counts has latencies.
pub fn draw(title: &str, runs: &[&Run]) -> Result<Option<(String, String)>, Error> {
    let all = series(runs, None);
    let mut curves: Vec<(&Series, Vec<Point>)> = all.iter().map(|series| (series, points(series))).collect();
    curves.retain(|(_, points)| points.iter().any(|point| point.ns.is_some()));
    curves.truncate(SERIES_MAX);
    let points = || curves.iter().flat_map(|(_, points)| points);
    let ns = || points().filter_map(|point| point.ns);
    let (Some(least), Some(most)) =
        (ns().map(|ns| ns[0]).min_by(f64::total_cmp), ns().map(|ns| ns[2]).max_by(f64::total_cmp))
    else {
        return Ok(None);
    };
    let rates = || points().map(|point| point.rate);
    let slowest = rates().min_by(f64::total_cmp).unwrap_or(1.0);
    let fastest = rates().max_by(f64::total_cmp).unwrap_or(1.0);

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, HEIGHT, &format!("{title}: latency against rate"))?;
    let (x, y) = (Axis::log(slowest, fastest, rate), Axis::log(least, most, time));
    let plot = canvas.plot(x, y, "messages a second, open loop", "latency")?;
    let mut key = TOP + 16;
    let mut names = Vec::new();
    for (series, points) in &curves {
        let best = points.iter().filter(|point| point.ns.is_some()).map(|point| point.rate).next_back();
        let short = best.map(|best| format!("keeps up to {}", rate(best))).unwrap_or_default();
        let dashed = series.subject == Subject::Floor;
        key = canvas.key(key, series.colour, dashed, &series.label, &short)?;
        lines(&canvas, &plot, series.colour, dashed, points, &mut names)?;
    }
    if points().any(|point| point.ns.is_none()) {
        canvas.cross((KEY + 22, key), BAD)?;
        canvas.text("did not keep up", (KEY + 60, key), FAINT, Anchor::Left)?;
    }
    for (at, name, colour) in apart(names) {
        canvas.text(name, at, colour, Anchor::Left)?;
    }
    canvas.finish()?;
    let caption = "From below: p50, p99, p99.9, medians over the repetitions. A cross at the top: a run at that rate lost \
                   answers or fell behind its schedule, so it has no latency.";
    Ok(Some((svg, caption.to_owned())))
}

/// The rates of a series, ascending. A rate where half of the repetitions or more failed has no latency.
fn points(series: &Series) -> Vec<Point> {
    let mut rates: Vec<f64> = series.runs.iter().filter_map(|run| run.rate_wanted).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let point = |rate: f64| {
        let runs: Vec<&Run> =
            series.runs.iter().copied().filter(|run| run.rate_wanted == Some(rate)).collect();
        let good: Vec<_> =
            runs.iter().filter(|run| run.failed.is_none()).filter_map(|run| run.latency.as_ref()).collect();
        let at = |share| {
            let values: Vec<f64> = good.iter().map(|latency| latency.quantile_ns(share) as f64).collect();
            median(&values)
        };
        let enough = good.len() * 2 > runs.len();
        let ns = QUANTILES.map(|(share, _)| if enough { at(share) } else { None });
        Point { rate, ns: ns[0].zip(ns[1]).zip(ns[2]).map(|((a, b), c)| [a, b, c]) }
    };
    rates.into_iter().map(point).collect()
}

type Name = ((i32, i32), &'static str, RGBColor);

fn lines(
    canvas: &Canvas,
    plot: &Plot,
    colour: RGBColor,
    dashed: bool,
    points: &[Point],
    names: &mut Vec<Name>,
) -> Result<(), Error> {
    for (number, (_, name)) in QUANTILES.into_iter().enumerate() {
        let line: Vec<(f64, f64)> =
            points.iter().filter_map(|point| Some((point.rate, point.ns?[number]))).collect();
        plot.curve(&line, colour, dashed)?;
        for &(x, y) in &line {
            canvas.dot(plot.at(x, y), colour, number == 0)?;
        }
        if let Some(&(x, y)) = line.last() {
            let (x, y) = plot.at(x, y);
            names.push(((x + 20, y), name, colour));
        }
    }
    for point in points.iter().filter(|point| point.ns.is_none()) {
        let (x, top) = plot.at(point.rate, plot.y.to());
        canvas.line(&[(x, top), (x, canvas.bottom())], BAD, 2, true)?;
        canvas.cross((x, top), colour)?;
    }
    Ok(())
}

/// Names moved so that none lies on another.
fn apart(mut names: Vec<Name>) -> Vec<Name> {
    const CLEAR: i32 = 34;
    names.sort_by_key(|((_, y), ..)| -*y);
    for at in 1..names.len() {
        let (below, above) = (names[at - 1].0, names[at].0);
        if (below.0 - above.0).abs() < 110 && below.1 - above.1 < CLEAR {
            names[at].0.1 = below.1 - CLEAR;
        }
    }
    names
}
