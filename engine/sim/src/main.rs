//! `gds-sim`: runs seeds of the simulator.
use gds_sim::run::{self, Outcome, Worlds, replay_command};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "\
gds-sim run [--seeds N] [--first SEED] [--threads N]   runs N seeds (default 2000)
gds-sim run --seed SEED [--trace]                      runs one seed, telling what happens
gds-sim run --clusters ...                             the worlds are clusters of 2, 3 and 5 nodes
gds-sim mutations                                      breaks the engine on purpose: each way must be caught (feature `mutations`)
gds-sim run ... --mutation NAME                        runs the engine broken this way (feature `mutations`)";

struct Options {
    worlds: Worlds,
    seeds: u64,
    first: u64,
    threads: usize,
    seed: Option<u64>,
    trace: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "run" => match options(rest) {
            Ok(options) => run_command(&options),
            Err(error) => wrong(&error),
        },
        Some((command, [])) if command == "mutations" => mutations_command(),
        _ => wrong("no such command"),
    }
}

fn wrong(error: &str) -> ExitCode {
    eprintln!("{error}\n{USAGE}");
    ExitCode::from(2)
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options =
        Options { worlds: Worlds::Alone, seeds: 2_000, first: 1, threads: 2, seed: None, trace: false };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        if name == "--trace" {
            options.trace = true;
            continue;
        }
        if name == "--clusters" {
            options.worlds = Worlds::Clusters;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        if name == "--mutation" {
            set_mutation(value)?;
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{name} {value}: not a number"))?;
        match name.as_str() {
            "--seeds" => options.seeds = number,
            "--first" => options.first = number,
            "--threads" => options.threads = number.clamp(1, 64) as usize,
            "--seed" => options.seed = Some(number),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(options)
}

fn run_command(options: &Options) -> ExitCode {
    run::explain_panics();
    let began = Instant::now();
    let outcome = match options.seed {
        None => run::run(options.worlds, options.first, options.seeds, options.threads, true),
        Some(seed) => match run::run_one(options.worlds, seed, options.trace) {
            Ok(tally) => Outcome { seeds: 1, tally, failures: Vec::new() },
            Err(violation) => {
                let failures = vec![run::Failure { worlds: options.worlds, seed, violation }];
                Outcome { failures, ..Outcome::default() }
            }
        },
    };
    report(options.worlds, &outcome, began)
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
