//! The experiments: one for each line of the table of bounds, and the curves beside it.
//!
//! An experiment makes its runs interleaved: one repetition is the system and what it is compared with, one right behind the other, so that
//! both saw the same weather; then the next. A row's values are one for each repetition in which no run failed. Every run on
//! a node starts a new one, and what spins on the system's processor is gone before the floor takes its place.
mod acknowledgement;
mod backends;
mod bench;
mod floors;
mod fsync;
mod gets;
mod growth;
mod ladder;
mod loss;
mod replication;
mod restart;
mod rows;
mod saturation;

pub use bench::{Bench, Extent, interrupt, interrupted};
pub use rows::{Draft, Figure, absolute, beyond, ratio};

use crate::measurement::{Row, Run};

/// What an experiment found.
#[derive(Debug, Default)]
pub struct Found {
    /// Its runs, in the order in which they were made.
    pub runs: Vec<Run>,
    /// Its lines of the table.
    pub rows: Vec<Row>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// One experiment.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name in results and on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// Makes its runs.
    pub run: fn(&Bench<'_>) -> Found,
}

/// All experiments: those of the table in its order, then curves and floors. Peers run in those of what they do, too.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: acknowledgement::DEPTH_1,
        what: "acknowledgement, one message at a time, against the bare multicast echo",
        run: acknowledgement::depth_1,
    },
    Experiment {
        name: acknowledgement::AT_RATE,
        what: "acknowledgement at 250,000 messages a second",
        run: acknowledgement::at_rate,
    },
    Experiment {
        name: saturation::NAME,
        what: "messages a second from ingest to acknowledgement, as fast as it goes",
        run: saturation::run,
    },
    Experiment { name: loss::NAME, what: "acknowledgement while packets are lost", run: loss::run },
    Experiment {
        name: fsync::NAME,
        what: "acknowledgement that survives a power cut, against the disk by itself",
        run: fsync::run,
    },
    Experiment { name: gets::INDEX, what: "gets from the index, in the store's process", run: gets::index },
    Experiment { name: gets::QUERY, what: "gets over SoupBinTCP, against a bare TCP echo", run: gets::query },
    Experiment {
        name: backends::NAME,
        what: "sockets, io_uring and AF_XDP side by side, between two hosts",
        run: backends::run,
    },
    Experiment {
        name: replication::round_trip::NAME,
        what: "two nodes in sync against one, one message at a time",
        run: replication::round_trip::run,
    },
    Experiment {
        name: replication::pauses::NAME,
        what: "acknowledgement while a large store is written to a snapshot, and while a replica joins",
        run: replication::pauses::run,
    },
    Experiment {
        name: replication::takeovers::NAME,
        what: "how long nothing is acknowledged when the leader is killed",
        run: replication::takeovers::run,
    },
    Experiment { name: restart::NAME, what: "how quickly a journal is replayed", run: restart::run },
    Experiment {
        name: growth::NAME,
        what: "what a message costs the more records there are",
        run: growth::run,
    },
    Experiment {
        name: ladder::LADDER,
        what: "latency against rate, up to where it goes no further",
        run: ladder::ladder,
    },
    Experiment {
        name: ladder::WORKLOADS,
        what: "each workload as fast as it goes, an ITCH day among them",
        run: ladder::workloads,
    },
    Experiment {
        name: floors::ECHOES,
        what: "a packet there and back, over each transport",
        run: floors::echoes,
    },
    Experiment { name: floors::STREAM, what: "a multicast stream one way", run: floors::stream },
    Experiment { name: floors::READS, what: "random reads of memory and of the disk", run: floors::reads },
    Experiment {
        name: floors::RINGS,
        what: "messages between two processors: the ring, and those of other crates",
        run: floors::rings,
    },
];

/// The experiment of this name.
///
/// # Errors
/// When there is none; says which there are.
pub fn named(name: &str) -> Result<&'static Experiment, String> {
    ALL.iter().find(|experiment| experiment.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|experiment| experiment.name).collect();
        format!("no experiment {name:?}; there are {}", known.join(", "))
    })
}
