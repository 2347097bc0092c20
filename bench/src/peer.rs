//! What users would have elsewhere: other stores behind a socket, other rings between two cores.
//!
//! | experiment | subjects |
//! | --- | --- |
//! | given by [`Experiments`] | Redis and memcached, where installed: a store of 200-byte records over TCP on the loopback interface |
//! | [`RING_HAND_OVER`], [`RING_ROUND_TRIP`] | the ring, and the crates `disruptor` and `rtrb`: 200-byte messages between two cores |
//!
//! They do less than GDS does (no order over all clients, no acknowledgement after others were told, no checksums), which favours them.
mod rings;
mod server;
mod store;

pub use rings::{RING_HAND_OVER, RING_ROUND_TRIP};

use crate::cores::Cores;
use crate::measurement::{Run, Subject};
use crate::schedule::Measured;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of a record or message, its key among them.
pub const RECORD_BYTES: usize = 200;

/// The experiments that the stores' runs belong to, so that they stand beside GDS's own.
#[derive(Clone, Copy, Debug)]
pub struct Experiments<'a> {
    /// One operation at a time.
    pub depth_1: &'a str,
    /// As fast as it goes.
    pub throughput: &'a str,
}

/// Runs every peer once, each experiment for this long; gives the runs, and a line for each peer that is not there.
pub fn all(
    experiments: Experiments<'_>,
    repetition: u32,
    cores: Cores,
    duration: Duration,
) -> (Vec<Run>, Vec<String>) {
    let (mut runs, mut skipped) = (Vec::new(), Vec::new());
    let mut take = |result: Result<Vec<Run>, String>| match result {
        Ok(more) => runs.extend(more),
        Err(why) => skipped.push(why),
    };
    for kind in server::ALL {
        take(store::measure(kind, experiments, repetition, cores, duration));
    }
    take(rings::measure(repetition, cores, duration));
    (runs, skipped)
}

/// A run of these figures.
fn run(experiment: &str, name: &str, subject: Subject, repetition: u32, measured: &Measured) -> Run {
    Run {
        experiment: experiment.to_owned(),
        name: name.to_owned(),
        subject,
        repetition,
        workload: format!("put_uniform_{RECORD_BYTES}"),
        parameters: BTreeMap::new(),
        rate_wanted: measured.rate_wanted,
        rate: measured.rate,
        sent: measured.sent,
        answered: measured.answered,
        late: measured.late,
        latency: (!measured.latency.is_empty()).then(|| crate::measurement::Latency::of(&measured.latency)),
        stages: Vec::new(),
        figures: BTreeMap::new(),
        failed: measured.failed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_runs_or_a_line() {
        let experiments = Experiments { depth_1: "depth_1", throughput: "saturation" };
        let (runs, skipped) = all(experiments, 3, Cores::unpinned(), Duration::from_millis(30));
        for name in ["redis", "memcached", "disruptor", "rtrb"] {
            let lines = skipped.iter().filter(|line| line.contains(name)).count();
            let of_it: Vec<&Run> = runs.iter().filter(|run| run.name == name).collect();
            assert!(of_it.len() == 2 || lines > 0, "{name}: {} runs, skipped: {skipped:?}", of_it.len());
            assert!(of_it.iter().all(|run| run.failed.is_none() && run.rate > 0.0 && run.repetition == 3));
        }
        if let Some(redis) = runs.iter().find(|run| run.name == "redis" && run.experiment == "depth_1") {
            assert!(redis.latency.as_ref().unwrap().quantile_ns(0.5) > 1_000);
        }
    }
}
