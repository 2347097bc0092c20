//! The load rig: how fast GDS is, measured so that the figures can be trusted.
#![forbid(unsafe_code)]
pub mod measurement;
