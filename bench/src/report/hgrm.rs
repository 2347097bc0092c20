//! A distribution in HdrHistogram's percentile text format (`.hgrm`), which its plotters read. Values in microseconds.
use crate::measurement::Latency;
use std::fmt::Write as _;

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// What histograms of three significant digits have.
const SUB_BUCKETS: u32 = 2048;
const NS_PER_US: f64 = 1000.0;

/// The file's text.
pub fn text(latency: &Latency) -> String {
    let histogram = latency.histogram();
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let (value, share) = (step.value_iterated_to() as f64 / NS_PER_US, step.quantile_iterated_to());
        let _ = write!(out, "{value:>12.3} {share:>2.12} {total:>10}");
        // The last line has no such factor: the distance to 100 % is nothing.
        let _ = if share < 1.0 { writeln!(out, " {:>14.2}", 1.0 / (1.0 - share)) } else { writeln!(out) };
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_US, histogram.stdev() / NS_PER_US);
    let _ = writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let (max, len) = (histogram.max() as f64 / NS_PER_US, histogram.len());
    let _ = writeln!(out, "#[Max     = {max:>12.3}, Total count    = {len:>12}]");
    let _ = writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {SUB_BUCKETS:>12}]", histogram.buckets());
    out
}
