//! `gds-sim`: runs seeds of the simulator.
use clap::{Args, Parser, Subcommand};
use gds_sim::run::{self, Outcome, Worlds, replay_command};
use std::process::ExitCode;
use std::time::Instant;

/// Runs whole worlds of GDS in one thread, each from one seed, with everything going wrong that can.
///
/// A world is one node, or a cluster of 2, 3 or 5, with clients, feeds, listeners and readers. The same seed gives the same world. Exit code 1: a
/// promise was broken, or a run of 1,000 seeds or more did not show what it is to show.
#[derive(Parser)]
#[command(name = "gds-sim", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds, or tells one world step by step (--seed 888 --trace)
    Run(Options),
    /// Breaks the engine on purpose, one rule at a time: each way must be caught (feature `mutations`)
    Mutations,
}

#[derive(Args)]
struct Options {
    /// The worlds are clusters
    #[arg(long)]
    clusters: bool,
    /// The worlds are nodes and clusters that go back in time: forced leads, restored copies, lost files
    #[arg(long, conflicts_with = "clusters")]
    history: bool,
    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 2_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "seed")]
    first: u64,
    /// Worlds side by side
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// This seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Tell what happens in it
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Leave out a rule, by name (feature `mutations`)
    #[arg(long, value_name = "NAME")]
    mutation: Option<String>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(options) => match options.mutation.as_deref().map_or(Ok(()), set_mutation) {
            Ok(()) => run_command(&options),
            Err(error) => wrong(&error),
        },
        Command::Mutations => mutations_command(),
    }
}

fn wrong(error: &str) -> ExitCode {
    eprintln!("gds-sim: {error}");
    ExitCode::from(2)
}

fn run_command(options: &Options) -> ExitCode {
    run::explain_panics();
    let began = Instant::now();
    let worlds = match options {
        Options { clusters: true, .. } => Worlds::Clusters,
        Options { history: true, .. } => Worlds::History,
        _ => Worlds::Alone,
    };
    let outcome = match options.seed {
        None => run::run(worlds, options.first, options.seeds, options.threads.into(), true),
        Some(seed) => match run::run_one(worlds, seed, options.trace) {
            Ok(tally) => Outcome { seeds: 1, tally, failures: Vec::new() },
            Err(violation) => {
                let failures = vec![run::Failure { worlds, seed, violation }];
                Outcome { failures, ..Outcome::default() }
            }
        },
    };
    report(worlds, &outcome, began)
}

fn report(worlds: Worlds, outcome: &Outcome, began: Instant) -> ExitCode {
    let mut set = "";
    for (name, count) in outcome.tally.iter() {
        let (first, rest) = name.split_once('.').unwrap_or(("", name));
        if first != set {
            print!("\n{first}:");
            set = first;
        }
        print!(" {rest} {count},");
    }
    let seconds = began.elapsed().as_secs_f64();
    let seeds = outcome.seeds;
    println!("\n\n{seeds} seeds in {seconds:.1} s, {:.1} seeds/s", seeds as f64 / seconds);
    for failure in &outcome.failures {
        println!(
            "seed {} failed: {}\n  replay: {}",
            failure.seed,
            failure.violation,
            replay_command(failure.worlds, failure.seed)
        );
    }
    let missing = run::missing(worlds, outcome);
    if !missing.is_empty() {
        println!("these never happened, so the run proves less than it should: {}", missing.join(", "));
    }
    if outcome.failures.is_empty() && missing.is_empty() {
        println!("every promise was kept");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(feature = "mutations")]
fn set_mutation(name: &str) -> Result<(), String> {
    let mutation = gds_sim::mutations::named(name).ok_or_else(|| format!("{name}: no such mutation"))?;
    gds_core::mutation::set(mutation);
    Ok(())
}

#[cfg(feature = "mutations")]
fn mutations_command() -> ExitCode {
    println!("{:<26} {:>6} {:>8}  caught by", "mutation", "seeds", "time");
    let results = gds_sim::mutations::run_all();
    for caught in &results {
        let (name, seconds) = (format!("{:?}", caught.mutation), caught.took.as_secs_f64());
        println!("{name:<26} {:>6} {seconds:>6.1} s  {}", caught.seeds, caught.check);
    }
    if results.iter().all(|caught| caught.seeds > 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "mutations"))]
fn set_mutation(_name: &str) -> Result<(), String> {
    Err("mutations need the feature of that name: cargo run --release -p gds-sim --features mutations -- ..."
        .into())
}

#[cfg(not(feature = "mutations"))]
fn mutations_command() -> ExitCode {
    wrong(
        "mutations need the feature of that name: cargo run --release -p gds-sim --features mutations -- mutations",
    )
}
