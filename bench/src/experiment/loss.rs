//! What loss does to latency: packets dropped in the node, at ingress, downstream and acknowledgement alike.
use super::{Bench, Draft, Figure, Found, absolute, ratio};
use crate::load::Transactions;
use crate::measurement::{Bound, Run, Subject};
use crate::node::Settings;
use crate::peer::{Asked, Pace};
use crate::schedule::{Measured, closed_loop, open_loop};
use crate::workload::CANONICAL;

/// Its name.
pub const NAME: &str = "loss";
/// None, one in a thousand, one in a hundred.
const PER_MILLE: [u32; 3] = [0, 1, 10];
const RATE: f64 = 20_000.0;
const SYSTEM: &str = "gds";
/// How the messages come.
const PACES: [&str; 2] = ["depth 1", "20,000 msg/s"];

/// Each share of loss, one message at a time and at a rate.
pub fn run(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let plan = bench.plan(4.0);
    for repetition in bench.repetitions() {
        for pace in PACES {
            for per_mille in PER_MILLE {
                (bench.tell)(&format!("{NAME}: repetition {repetition}, {pace}, {per_mille} of 1000 lost"));
                let settings = Settings { loss_per_mille: per_mille, ..bench.node() };
                let draft = Draft::new(NAME, SYSTEM, Subject::System, repetition)
                    .with("pace", pace)
                    .with("loss_percent", percent(per_mille));
                let measure = |target: &mut Transactions| -> Measured {
                    if pace == PACES[0] {
                        closed_loop(target, &plan)
                    } else {
                        open_loop(target, &plan.at_rate(RATE))
                    }
                };
                found.runs.push(bench.transactions(draft, &settings, &workload, measure));
                let pacing = if pace == PACES[0] { Pace::OneByOne } else { Pace::AtRate(RATE) };
                let parameters = [("pace", pace.to_owned()), ("loss_percent", percent(per_mille))];
                let asked = Asked::new(NAME, repetition, pacing, plan.duration);
                bench.aeron(
                    &mut found,
                    &Asked { parameters: &parameters, loss_per_mille: per_mille, ..asked },
                );
            }
        }
    }
    for pace in PACES {
        let at = |per_mille: u32| {
            move |run: &Run| {
                run.name == SYSTEM
                    && run.parameters["pace"] == pace
                    && run.parameters["loss_percent"] == percent(per_mille)
            }
        };
        let (lossy, clean) = (at(10), at(0));
        let what = format!("1 % loss injected per segment, {pace}: p50 over that without loss");
        let median = Figure::Latency(0.5);
        found.rows.push(ratio(&what, Bound::RatioAtMost(1.1), &found.runs, median, &lossy, &clean));
        let what = format!("1 % loss injected per segment, {pace}: p99");
        let tail = Figure::Latency(0.99);
        found.rows.push(absolute(&what, Bound::NsAtMost(1e6), &found.runs, tail, &lossy));
    }
    found
}

fn percent(per_mille: u32) -> String {
    (f64::from(per_mille) / 10.0).to_string()
}
