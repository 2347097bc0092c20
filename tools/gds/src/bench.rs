//! `gds bench`: the load rig.
use crate::exit::{Failure, Outcome};
use gds_bench::command::{self, Arguments};

/// Measures what is asked for.
pub fn run(arguments: &Arguments) -> Outcome {
    command::run(arguments).map_err(Failure::failed)
}
