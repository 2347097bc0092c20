//! The simulator: a node or a cluster of them, clients, feeds, listeners and query clients in one thread, over a network, disks and clocks on which
//! everything goes wrong that can, all of it decided by one seed.
//!
//! The engine that it drives is the engine that runs on cores: [`node`] puts `gds_core`'s own agents over simulated ports and disks.
//! What leaves the node is held against [`truth`], which applies the stream to a plain [`model`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`plan`] | what a seed decides: sizes, numbers of everything, how bad it gets |
//! | [`world`] | whose turn it is, chaos, the end |
//! | [`machine`], [`node`], [`death`] | what outlives a process, a process, how it dies |
//! | [`network`], [`disk`], [`clock`], [`register`] | the simulated surroundings |
//! | [`actor`] | clients, feeds, listeners, query clients, strangers |
//! | [`truth`], [`model`] | what was shown, and what it must be |
//! | [`tally`], [`run`] | what happened, over many seeds |
//!
//! With the feature `mutations` the engine can be broken on purpose, to show that it is noticed: `gds-sim mutations`.
#![forbid(unsafe_code)]
pub mod actor;
pub mod clock;
pub mod death;
pub mod disk;
pub mod machine;
pub mod model;
#[cfg(feature = "mutations")]
pub mod mutations;
pub mod network;
pub mod node;
pub mod plan;
pub mod register;
pub mod run;
pub mod tally;
pub mod truth;
pub mod violation;
pub mod world;
