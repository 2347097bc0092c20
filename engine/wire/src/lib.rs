//! Wire formats of GDS.
