//! `gds-model`: checks the protocol at a size, or shows how leaving out a rule breaks it.
use clap::{Parser, Subcommand};
use gds_model::{Mutation, Protocol, Size, Verdict, check};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Quiet for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Checks the replication and failover protocol of GDS in every order in which anything can happen.
#[derive(Parser)]
#[command(name = "gds-model", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Walks through all states of a size, up to the first that breaks a promise, and shows the run to it
    Check {
        /// Which size; `sizes` lists them
        #[arg(long, default_value = "pair")]
        size: String,
        /// Leave out one rule
        #[arg(long)]
        mutation: Option<Mutation>,
        /// Threads of the checker
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Stop after so many steps (0: no limit); what is not finished is said so
        #[arg(long, default_value_t = 0)]
        steps_max: usize,
    },
    /// Lists the sizes and their bounds
    Sizes,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check { size, mutation, threads, steps_max } => {
            let Some(size) = Size::named(&size) else {
                eprintln!("{size}: no such size; `gds-model sizes` lists them");
                return ExitCode::from(2);
            };
            run(&Protocol::new(size, mutation), threads.max(1), steps_max)
        }
        Command::Sizes => {
            sizes();
            ExitCode::SUCCESS
        }
    }
}

fn run(protocol: &Protocol, threads: usize, steps_max: usize) -> ExitCode {
    let started = Instant::now();
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{spinner} {human_pos} states, {per_sec}, {elapsed}");
    bar.set_style(style.expect("the template is right"));
    let mut shown = false;
    let verdict = check(protocol, threads, steps_max, |states| {
        if !shown && started.elapsed() > QUIET {
            shown = true;
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        bar.set_position(states as u64);
    });
    bar.finish_and_clear();
    print(&verdict)
}

fn print(verdict: &Verdict) -> ExitCode {
    let states = HumanCount(verdict.states as u64);
    println!(
        "{states} states, runs of up to {} steps, {:.1?}",
        verdict.depth.saturating_sub(1),
        verdict.elapsed
    );
    if let Some(broken) = &verdict.broken {
        println!("broken after {} steps, and after no fewer: {}", broken.steps.len(), broken.property);
        for (step, action) in broken.steps.iter().enumerate() {
            println!("{:>4}  {action}", step + 1);
        }
        return ExitCode::FAILURE;
    }
    for unseen in &verdict.unseen {
        println!("never seen: {unseen}");
    }
    match verdict.complete {
        true => println!("every promise holds in every state"),
        false => println!("every promise holds in the states seen; the limit of steps came first"),
    }
    if verdict.unseen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sizes() {
    println!(
        "{:<22}{:>6}{:>10}{:>8}{:>11}{:>10}{:>8}{:>11}  journal",
        "size", "nodes", "messages", "epochs", "revisions", "restarts", "forced", "rollbacks"
    );
    for size in Size::ALL {
        let messages: u8 = size.sessions.iter().sum();
        let journal = match (size.lag, size.loss) {
            (true, true) => "syncs later, may lose a synced tail",
            (true, false) => "syncs later",
            (false, true) => "may lose a tail",
            (false, false) => "whole",
        };
        let progress = if size.progress { "; progress is checked" } else { "" };
        println!(
            "{:<22}{:>6}{messages:>10}{:>8}{:>11}{:>10}{:>8}{:>11}  {journal}{progress}",
            size.name, size.nodes, size.epochs, size.revisions, size.restarts, size.forced, size.rollbacks
        );
    }
}
