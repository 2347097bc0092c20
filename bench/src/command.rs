//! `gds bench`: the rig for operators.
mod all;
mod echo;
mod load;
mod table;

use crate::compare::command as ab;
use clap::{Args, Subcommand};

/// `gds bench`
#[derive(Args)]
pub struct Arguments {
    /// What to measure
    #[command(subcommand)]
    pub command: Command,
}

/// What can be measured.
#[derive(Subcommand)]
pub enum Command {
    /// Measure everything on this machine and write a report: GDS beside what the machine could do at best
    All(all::All),
    /// Build two revisions and say, from repeated pairs of measurements, whether the second is slower
    Ab(ab::Ab),
    /// Name the experiments and workloads there are
    List,
    /// Bring open-loop load to a node that runs, and show how long its acknowledgements take
    Load(load::Load),
    /// Show what this machine's network stack costs by itself: a bare echo over each transport
    Echo(echo::EchoCommand),
}

impl Arguments {
    /// Ends in order when interrupted: what was measured by then is reported, and what was started for it goes.
    pub fn heeds_interrupts(&self) -> bool {
        matches!(self.command, Command::All(_) | Command::Ab(_))
    }
}

/// Does it, until it is done or [`interrupt`](crate::experiment::interrupt)ed.
///
/// # Errors
/// Why it could not be measured, or that what was measured does not count.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    match &arguments.command {
        Command::All(arguments) => all::run(arguments),
        Command::Ab(arguments) => ab::run(arguments),
        Command::List => {
            all::list();
            Ok(())
        }
        Command::Load(arguments) => load::run(arguments),
        Command::Echo(arguments) => echo::run(arguments),
    }
}
