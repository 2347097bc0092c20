//! `gds bench`: the load rig.
use crate::exit::{Failure, Outcome};
use gds_bench::command::{self, Arguments};
use gds_bench::experiment::interrupt;

/// What a shell reports of a command that was interrupted.
const INTERRUPTED: i32 = 130;

/// Measures what is asked for. The first interrupt ends it in order, the second at once.
pub fn run(arguments: &Arguments) -> Outcome {
    if arguments.heeds_interrupts() {
        let on_signal = || {
            if interrupt() {
                std::process::exit(INTERRUPTED);
            }
        };
        ctrlc::set_handler(on_signal).map_err(Failure::failed)?;
    }
    command::run(arguments).map_err(Failure::failed)
}
