//! Runs the peers alone and prints what they do: `cargo run --release -p gds-bench --example peers`.
use gds_bench::cores::Cores;
use gds_bench::peer::{self, Experiments};
use std::time::Duration;

fn main() {
    let experiments = Experiments { depth_1: "depth 1", throughput: "throughput" };
    let (runs, skipped) = peer::all(experiments, 0, Cores::choose(), Duration::from_secs(1));
    for run in runs {
        let ns = |share| run.latency.as_ref().map_or(0, |latency| latency.quantile_ns(share));
        let (p50, p99) = (ns(0.5), ns(0.99));
        println!("{:<16}{:<12}{:>12.0}/s  p50 {p50} ns, p99 {p99} ns", run.experiment, run.name, run.rate);
    }
    skipped.iter().for_each(|line| println!("skipped: {line}"));
}
