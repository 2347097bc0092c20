//! What users would have elsewhere: other stores behind a socket, another messaging over multicast, other rings between two cores.
//!
//! | peer | subject |
//! | --- | --- |
//! | Redis and memcached ([`stores`]), where installed | a store of 200-byte records over TCP on the loopback interface |
//! | Aeron ([`aeron`]), where built | 200-byte messages over multicast on the loopback interface: to another processor and back, or one way |
//! | the crates `disruptor` and `rtrb` ([`rings`]) | 200-byte messages between two cores, beside the ring: [`RING_HAND_OVER`], [`RING_ROUND_TRIP`] |
//!
//! Their runs belong to the experiments that measure the same of GDS, and are made in turn with it. They do less than GDS does (no order over
//! all clients, no acknowledgement after others were told, no checksums), which favours them.
pub mod aeron;
mod rings;
mod server;
mod store;

pub use rings::{RING_HAND_OVER, RING_ROUND_TRIP, measure as rings};

use crate::cores::Cores;
use crate::experiment::Draft;
use crate::measurement::{Run, Subject};
use std::time::Duration;

/// Bytes of a record or message, its key among them.
pub const RECORD_BYTES: usize = 200;

/// How operations come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// One at a time.
    OneByOne,
    /// So many a second, open loop.
    AtRate(f64),
    /// As fast as it goes.
    AsFastAsItGoes,
    /// The same, and none comes back.
    OneWay,
}

/// What a peer is to do.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The experiment that its runs belong to.
    pub experiment: &'a str,
    /// The repetition they are made in.
    pub repetition: u32,
    /// What else is to tell them apart, as it does with GDS's runs.
    pub parameters: &'a [(&'a str, String)],
    /// How operations come.
    pub pace: Pace,
    /// How long it is measured.
    pub duration: Duration,
    /// Dropped per thousand of all that comes in.
    pub loss_per_mille: u32,
}

impl<'a> Asked<'a> {
    /// This, without loss or parameters.
    pub fn new(experiment: &'a str, repetition: u32, pace: Pace, duration: Duration) -> Self {
        Self { experiment, repetition, parameters: &[], pace, duration, loss_per_mille: 0 }
    }

    /// The run of a peer, to be made.
    fn draft(&self, name: &str) -> Draft {
        Draft::new(self.experiment, name, Subject::Peer, self.repetition)
            .workload(&format!("put_uniform_{RECORD_BYTES}"))
    }
}

/// The stores that are asked this; the runs, and a line for each store that is not there.
pub fn stores(asked: &Asked<'_>, cores: Cores) -> (Vec<Run>, Vec<String>) {
    let (mut runs, mut skipped) = (Vec::new(), Vec::new());
    for kind in server::ALL {
        match store::measure(kind, asked, cores) {
            Ok(run) => runs.extend(run),
            Err(why) => skipped.push(why),
        }
    }
    (runs, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    #[test]
    fn every_store_has_runs_or_a_line() {
        for pace in [Pace::OneByOne, Pace::AsFastAsItGoes] {
            let (runs, skipped) = stores(&Asked::new("e", 3, pace, SHORT), Cores::unpinned());
            for name in ["redis", "memcached"] {
                let lines = skipped.iter().filter(|line| line.contains(name)).count();
                let of_it: Vec<&Run> = runs.iter().filter(|run| run.name == name).collect();
                assert!(of_it.len() + lines == 1, "{name}: {} runs, skipped: {skipped:?}", of_it.len());
                for run in of_it {
                    assert!(
                        run.failed.is_none() && run.rate > 0.0 && run.repetition == 3,
                        "{:?}",
                        run.failed
                    );
                }
            }
            let redis = runs.iter().find(|run| run.name == "redis" && run.latency.is_some());
            assert!(redis.is_none_or(|run| run.latency.as_ref().unwrap().quantile_ns(0.5) > 1_000));
        }
        // They cannot be asked that.
        let (runs, skipped) = stores(&Asked::new("e", 1, Pace::OneWay, SHORT), Cores::unpinned());
        assert!(runs.is_empty() && skipped.is_empty());
    }

    #[test]
    fn every_ring_has_runs_or_a_line() {
        match rings(3, Cores::unpinned(), SHORT) {
            Ok(runs) => {
                assert!(runs.len() == 6 && runs.iter().all(|run| run.failed.is_none() && run.rate > 0.0))
            }
            Err(why) => assert!(why.contains("disruptor") && why.contains("rtrb"), "{why}"),
        }
    }

    #[test]
    fn aeron_tells_how_to_build_it_and_a_broken_one_fails() {
        let asked = Asked::new("e", 2, Pace::AtRate(1000.0), SHORT);
        let missing = aeron::measure(None, &asked, Cores::unpinned()).unwrap_err();
        assert!(missing.contains("cargo build") && missing.contains("--aeron"), "{missing}");
        let parameters = [("pace", "slow".to_owned())];
        let asked = Asked { parameters: &parameters, ..asked };
        let broken = aeron::measure(Some("/bin/false".as_ref()), &asked, Cores::unpinned()).unwrap();
        assert!(broken.failed.is_some() && broken.repetition == 2 && broken.parameters["pace"] == "slow");
    }
}
