//! The load rig: how fast GDS is, measured so that the figures can be trusted.
//!
//! | module | holds |
//! | --- | --- |
//! | [`measurement`] | what is measured, as it is kept: runs, rows, results |
//! | [`schedule`] | open loop, closed loop, saturation: when operations are begun, and what became of them |
//! | [`workload`] | what is sent |
//! | [`node`], [`cluster`], [`load`] | the system under test as a process of its own, or several, and load on it through the client library |
//! | [`experiment`] | the lines of the table of bounds, each with its runs |
//! | [`command`] | `gds bench` |
//! | [`echo`], [`floor`] | what the machine can do at best; the echo is also what the rig is tested against |
//! | [`peer`] | what users would have elsewhere |
//! | [`cores`], [`addresses`] | which processor does what; ports and groups of one's own |
//! | [`road`] | by which backend packets move, and between which ends |
//! | [`guard`] | what the rig starts ends with it |
//! | [`report`] | what a measurement looks like when it is done |
//! | [`compare`] | two revisions against each other: `gds bench ab` |
#![forbid(unsafe_code)]
pub mod addresses;
pub mod cluster;
pub mod command;
pub mod compare;
pub mod cores;
pub mod echo;
pub mod experiment;
pub mod floor;
pub mod guard;
pub mod load;
pub mod measurement;
pub mod node;
pub mod peer;
pub mod report;
pub mod road;
pub mod schedule;
pub mod workload;

/// Version and commit that this was built from, e.g. `0.1.0 (3f2a6c01b9d4)`.
pub const VERSION: &str = env!("GDS_VERSION");
