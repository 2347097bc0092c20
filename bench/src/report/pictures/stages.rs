//! Where the time goes: a bar for each kind of run, cut where its messages reached each stage.
use crate::measurement::{Latency, Run};
use crate::report::axis::Axis;
use crate::report::canvas::{Anchor, BELOW, Canvas, Error, FAINT, GRID, INK, TOP, scaled};
use crate::report::numbers::{rate, time};
use crate::report::series::{merged, series};
use plotters::style::RGBColor;

/// Colours told apart whatever colours one sees, neighbours most of all; and the colour of a text on each.
const COLOURS: [(RGBColor, RGBColor); 7] = [
    (RGBColor(0, 114, 178), RGBColor(254, 254, 254)),
    (RGBColor(230, 159, 0), RGBColor(20, 20, 20)),
    (RGBColor(0, 158, 115), RGBColor(254, 254, 254)),
    (RGBColor(204, 121, 167), RGBColor(20, 20, 20)),
    (RGBColor(86, 180, 233), RGBColor(20, 20, 20)),
    (RGBColor(213, 94, 0), RGBColor(254, 254, 254)),
    (RGBColor(110, 115, 125), RGBColor(254, 254, 254)),
];
const BARS_MAX: usize = 6;
const FROM: i32 = 470;
const LENGTH: i32 = 1400;
const PITCH: i32 = 78;
const THICK: i32 = 54;
/// About the width of a character.
const CHARACTER: i32 = 17;

/// The stage at which the client knows.
const ACKNOWLEDGED: &str = "acknowledged";
/// A stage later than so many times that one is shown cut.
const NEAR: f64 = 4.0;

/// What one bar shows.
struct Bar {
    label: String,
    stages: Vec<(String, Latency)>,
}

/// The picture and its caption; `None` when no run that counts has stages.
pub fn draw(title: &str, runs: &[&Run]) -> Result<Option<(String, String)>, Error> {
    let bars = bars(runs);
    if bars.is_empty() {
        return Ok(None);
    }
    let mut names: Vec<(u64, &str)> = Vec::new();
    for (name, latency) in bars.iter().flat_map(|bar| &bar.stages) {
        if names.iter().all(|(_, known)| known != name) {
            names.push((latency.quantile_ns(0.5), name));
        }
    }
    names.sort_unstable();
    let panel = PITCH * bars.len() as i32 + 150;
    let mut svg = String::new();
    let canvas =
        Canvas::new(&mut svg, TOP + 60 + 2 * panel + BELOW - 110, &format!("{title}: where the time goes"))?;
    legend(&canvas, &names)?;
    for (number, (share, name)) in [(0.5, "p50"), (0.99, "p99")].into_iter().enumerate() {
        let top = TOP + 60 + panel * number as i32;
        canvas.text(name, (30, top + PITCH / 2), INK, Anchor::Left)?;
        draw_panel(&canvas, top, share, &bars, &names)?;
    }
    canvas.finish()?;
    let caption = "From being received on. A colour ends where its stage was reached by half (above) and by 99 % (below) of the \
                   messages; each half has its own scale. An arrow: that stage is reached far to the right.";
    Ok(Some((svg, caption.to_owned())))
}

/// One bar for each series, and for each rate where it has several; evenly chosen when there are too many.
fn bars(runs: &[&Run]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for series in series(runs, None) {
        let mut rates: Vec<Option<u64>> =
            series.runs.iter().map(|run| run.rate_wanted.map(|rate| rate as u64)).collect();
        rates.sort_unstable();
        rates.dedup();
        for &wanted in &rates {
            let runs: Vec<&Run> =
                series.good().filter(|run| run.rate_wanted.map(|rate| rate as u64) == wanted).collect();
            let Some(first) = runs.first().filter(|run| !run.stages.is_empty()) else { continue };
            let stage = |name: &str| {
                merged(
                    runs.iter()
                        .flat_map(|run| &run.stages)
                        .filter(|stage| stage.name == name)
                        .map(|stage| &stage.latency),
                )
            };
            let stages =
                first.stages.iter().filter_map(|s| Some((s.name.clone(), stage(&s.name)?))).collect();
            let label = match wanted {
                Some(wanted) if rates.len() > 1 => format!("{}, {}", series.label, rate(wanted as f64)),
                _ => series.label.clone(),
            };
            bars.push(Bar { label, stages });
        }
    }
    let step = bars.len().div_ceil(BARS_MAX).max(1);
    bars.into_iter().step_by(step).collect()
}

fn legend(canvas: &Canvas, names: &[(u64, &str)]) -> Result<(), Error> {
    let mut x = 30;
    for ((_, name), (colour, _)) in names.iter().zip(COLOURS.iter().cycle()) {
        canvas.block((x, TOP - 18), (x + 36, TOP + 18), *colour)?;
        canvas.text(name, (x + 48, TOP), INK, Anchor::Left)?;
        x += 48 + CHARACTER * name.chars().count() as i32 + 50;
    }
    Ok(())
}

/// How far the panel goes: to the last stage, unless that comes so long after the acknowledgement (a journal that waits for a full group)
/// that nothing else would be seen; then only its beginning is shown.
fn shown_to(bars: &[Bar], reached: &impl Fn(&Latency) -> f64) -> f64 {
    let all: Vec<(&str, f64)> = bars
        .iter()
        .flat_map(|bar| &bar.stages)
        .map(|(name, latency)| (name.as_str(), reached(latency)))
        .collect();
    let most = |counts: &dyn Fn(&str, f64) -> bool| {
        all.iter().filter(|(name, ns)| counts(name, *ns)).map(|(_, ns)| *ns).fold(0.0, f64::max)
    };
    let (last, near) = (most(&|_, _| true), most(&|name, _| name == ACKNOWLEDGED) * NEAR);
    if near == 0.0 || last <= near { last } else { 1.2 * most(&|_, ns| ns <= near) }
}

fn draw_panel(
    canvas: &Canvas,
    top: i32,
    share: f64,
    bars: &[Bar],
    names: &[(u64, &str)],
) -> Result<(), Error> {
    let reached = |latency: &Latency| latency.quantile_ns(share) as f64;
    let axis = Axis::from_zero(shown_to(bars, &reached), 6, time);
    let x = |ns: f64| FROM + scaled(axis.place(ns), LENGTH);
    let bottom = top + PITCH * bars.len() as i32;
    for (ns, text) in &axis.ticks {
        canvas.line(&[(x(*ns), top), (x(*ns), bottom)], GRID, 2, false)?;
        canvas.text(text, (x(*ns), bottom + 32), FAINT, Anchor::Middle)?;
    }
    for (number, bar) in bars.iter().enumerate() {
        let middle = top + PITCH * number as i32 + PITCH / 2;
        canvas.text(&bar.label, (FROM - 20, middle), INK, Anchor::Right)?;
        let mut stages: Vec<(f64, &str)> =
            bar.stages.iter().map(|(name, l)| (reached(l), name.as_str())).collect();
        stages.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut from = 0.0;
        for (ns, name) in stages {
            let place = names.iter().position(|(_, known)| *known == name).unwrap_or_default();
            let (colour, ink) = COLOURS[place % COLOURS.len()];
            canvas.block((x(from), middle - THICK / 2), (x(ns), middle + THICK / 2), colour)?;
            let text = if ns > axis.to() { format!("→ {}", time(ns)) } else { time(ns - from) };
            if x(ns) - x(from) > CHARACTER * text.chars().count() as i32 + 16 {
                canvas.text(&text, ((x(from) + x(ns)) / 2, middle), ink, Anchor::Middle)?;
            }
            from = ns;
        }
    }
    canvas.line(&[(FROM, top), (FROM, bottom)], INK, 3, false)
}
