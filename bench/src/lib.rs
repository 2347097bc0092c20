//! The load rig: how fast GDS is, measured so that the figures can be trusted.
//!
//! | module | holds |
//! | --- | --- |
//! | [`measurement`] | what is measured, as it is kept: runs, rows, results |
//! | [`schedule`] | open loop, closed loop, saturation: when operations are begun, and what became of them |
//! | [`echo`] | the floor under every acknowledgement, and what the rig is tested against |
#![forbid(unsafe_code)]
pub mod addresses;
pub mod compare;
pub mod cores;
pub mod echo;
pub mod measurement;
pub mod peer;
pub mod report;
pub mod schedule;
