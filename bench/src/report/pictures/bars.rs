//! Throughput: one bar for each subject, with the bound where there is one.
use crate::measurement::Run;
use crate::report::axis::Axis;
use crate::report::canvas::{Anchor, BAD, BELOW, Canvas, Error, FAINT, GRID, INK, TOP, WIDTH, scaled};
use crate::report::numbers::rate;
use crate::report::series::{Series, Spread, series};

/// Where bars begin and how long the longest may be.
const FROM: i32 = 640;
const LENGTH: i32 = WIDTH - FROM - 330;
/// Distance from bar to bar, and a bar's own thickness.
const PITCH: i32 = 74;
const THICK: i32 = 44;
const BARS_MAX: usize = 14;

/// The picture and its caption; `None` when there is nothing to show.
pub fn draw(title: &str, runs: &[&Run], bound: Option<f64>) -> Result<Option<(String, String)>, Error> {
    let all = series(runs, None);
    let mut bars: Vec<(&Series, Option<Spread>)> =
        all.iter().map(|series| (series, series.rates())).collect();
    if bars.iter().all(|(_, rates)| rates.is_none()) {
        return Ok(None);
    }
    let median = |rates: &Option<Spread>| rates.map_or(0.0, |rates| rates.median);
    bars.sort_by(|a, b| median(&b.1).total_cmp(&median(&a.1)));
    bars.truncate(BARS_MAX);
    let most =
        bars.iter().filter_map(|(_, rates)| rates.map(|rates| rates.most)).chain(bound).fold(0.0, f64::max);

    let mut svg = String::new();
    let bottom = TOP + PITCH * bars.len() as i32;
    let canvas = Canvas::new(&mut svg, bottom + BELOW, &format!("{title}: throughput"))?;
    let axis = Axis::from_zero(most, 5, rate);
    let x = |value: f64| FROM + scaled(axis.place(value), LENGTH);
    for (value, text) in &axis.ticks {
        canvas.line(&[(x(*value), TOP), (x(*value), bottom)], GRID, 2, false)?;
        canvas.text(text, (x(*value), bottom + 32), FAINT, Anchor::Middle)?;
    }
    for (number, (series, rates)) in bars.iter().enumerate() {
        let middle = TOP + PITCH * number as i32 + PITCH / 2;
        canvas.text(&series.label, (FROM - 20, middle), INK, Anchor::Right)?;
        let Some(rates) = rates else {
            canvas.text("failed", (FROM + 16, middle), BAD, Anchor::Left)?;
            continue;
        };
        canvas.block((FROM, middle - THICK / 2), (x(rates.median), middle + THICK / 2), series.colour)?;
        canvas.line(&[(x(rates.least), middle), (x(rates.most), middle)], INK, 3, false)?;
        canvas.text(&rate(rates.median), (x(rates.most) + 16, middle), INK, Anchor::Left)?;
    }
    canvas.line(&[(FROM, TOP), (FROM, bottom)], INK, 3, false)?;
    if let Some(bound) = bound {
        canvas.line(&[(x(bound), TOP - 14), (x(bound), bottom)], BAD, 3, true)?;
        canvas.text(&format!("bound {}", rate(bound)), (x(bound), TOP - 34), BAD, Anchor::Middle)?;
    }
    canvas.finish()?;
    let caption = "Medians over the repetitions; the thin line goes from the slowest to the fastest. Blue: GDS. Grey: what the \
                   machine could do at best. Other colours: peers.";
    Ok(Some((svg, caption.to_owned())))
}
