//! A GDS node: the engine's agents on cores, over real packets and files.
#![forbid(unsafe_code)]
pub mod check;
pub mod config;
