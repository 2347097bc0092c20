//! Simulator of GDS.
