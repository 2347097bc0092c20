//! Floors: what this machine can do at best, measured beside the system in the same run.
//!
//! | module | measures |
//! | --- | --- |
//! | [`crate::echo`] | a packet there and back |
//! | [`stream`] | packets one way, to a group |
//! | [`append`] | bytes to a disk: group-committed at a rate, and buffered as fast as it goes |
//! | [`read`] | random reads of memory and of a disk |
//! | [`tcp`] | bytes there and back over TCP |
//!
//! The hand-over between two cores by a ring is among the [`crate::peer`]s, beside other rings.
pub mod append;
pub mod read;
pub mod stream;
pub mod tcp;
