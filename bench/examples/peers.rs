//! Runs the peers alone and prints what they do: `cargo run --release -p gds-bench --example peers`.
use gds_bench::cores::Cores;
use gds_bench::peer::{self, Asked, Pace, aeron};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let (cores, program) = (Cores::choose(), aeron::built());
    let (mut runs, mut skipped) = (Vec::new(), Vec::new());
    for (name, pace) in [
        ("depth 1", Pace::OneByOne),
        ("at 20,000/s", Pace::AtRate(20_000.0)),
        ("as fast as it goes", Pace::AsFastAsItGoes),
        ("one way", Pace::OneWay),
    ] {
        let asked = Asked::new(name, 1, pace, SECOND);
        let (more, lines) = peer::stores(&asked, cores);
        runs.extend(more);
        skipped.extend(lines);
        match aeron::measure(program.as_deref(), &asked, cores) {
            Ok(run) => runs.push(run),
            Err(why) => skipped.push(why),
        }
    }
    match peer::rings(1, cores, SECOND) {
        Ok(more) => runs.extend(more),
        Err(why) => skipped.push(why),
    }
    for run in runs {
        let ns = |share| run.latency.as_ref().map_or(0, |latency| latency.quantile_ns(share));
        let (p50, p99) = (ns(0.5), ns(0.99));
        println!("{:<20}{:<12}{:>12.0}/s  p50 {p50} ns, p99 {p99} ns", run.experiment, run.name, run.rate);
    }
    skipped.dedup();
    skipped.iter().for_each(|line| println!("skipped: {line}"));
}
