//! The `gds` command: run, demo, replay, query and inspect a GENIUM Data Store.
#![forbid(unsafe_code)]
mod arguments;
mod bench;
mod cluster;
mod config;
mod demo;
mod describe;
mod exit;
mod failover;
mod force_lead;
mod journal;
mod progress;
mod query;
mod replay;
mod rewind;
mod run;
mod set_aside;
mod stages;
mod text;
mod trouble;
mod tune;
mod verify;
mod write;
mod xdp;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Rewind(arguments) => rewind::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Get(arguments) => query::get(arguments),
        Command::Range(arguments) => query::range(arguments),
        Command::Watch(arguments) => query::watch(arguments),
        Command::Put(arguments) => write::put(arguments),
        Command::Delete(arguments) => write::delete(arguments),
        Command::Status(arguments) => query::status(arguments),
        Command::Cluster(arguments) => cluster::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Failover(arguments) => failover::run(arguments),
        Command::ForceLead(arguments) => force_lead::run(arguments),
        Command::SetAside(arguments) => set_aside::run(arguments),
        Command::Stages(arguments) => stages::run(arguments),
        Command::Xdp(arguments) => xdp::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Tune(arguments) => tune::run(arguments),
        Command::Journal(arguments) => journal::run(&arguments.command),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "gds", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}
