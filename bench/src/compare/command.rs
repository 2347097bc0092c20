//! `gds bench ab`.
use super::{build, driver, metrics};
use clap::Args;
use std::io::IsTerminal;

/// `gds bench ab`
#[derive(Args)]
#[command(
    after_help = "Each revision is built in a git worktree of its own below target/ab, so this wants a checkout and cargo; \
binaries want neither. The two are measured in turn, pair by pair, until it is sure that B is better, worse, or no different; on a noisy machine that takes more pairs.\n\n\
Exit code 1: B is worse in something, or something could not be measured.\n\n\
Examples:\n  gds bench ab HEAD~1 HEAD         did the last commit make anything slower?\n  \
gds bench ab main .              the working tree as it is, against main\n  \
gds bench ab v0.1.0 HEAD --only throughput\n  \
gds bench ab old/gds new/gds     two binaries that are there already"
)]
pub struct Ab {
    /// Revision A: what it was; or the file of a binary
    #[arg(value_name = "A")]
    a: String,
    /// Revision B: what it is now; `.` is the working tree; or the file of a binary
    #[arg(value_name = "B")]
    b: String,
    /// Pairs of measurements at most, for each metric
    #[arg(long, value_name = "N", default_value_t = 60)]
    pairs_max: u32,
    /// Only the metrics whose names contain one of these, e.g. `throughput`
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
}

/// Builds both, compares them, prints the table.
pub fn run(arguments: &Ab) -> Result<(), String> {
    let mut metrics = metrics::all();
    let wanted = |name: &str| arguments.only.iter().any(|part| name.contains(part.as_str()));
    metrics.retain(|metric| arguments.only.is_empty() || wanted(metric.name()));
    if metrics.is_empty() {
        return Err(format!("no metric is named like {}", arguments.only.join(" or ")));
    }
    let a = build::build(&arguments.a, "a")?;
    let b = build::build(&arguments.b, "b")?;
    let terminal = std::io::stderr().is_terminal();
    let mut tell = |name: &str, pairs: usize, look: usize| {
        if terminal {
            eprint!("\r\x1b[K{name}: pair {} of {look}", pairs + 1);
        } else if pairs == 0 {
            eprintln!("{name}");
        }
    };
    let binaries = (a.binary.as_path(), b.binary.as_path());
    let outcomes = driver::compare_binaries(binaries, &mut metrics, arguments.pairs_max as usize, &mut tell);
    if terminal {
        eprint!("\r\x1b[K");
    }
    println!("A  {} ({})\nB  {} ({})\n", a.revision, a.commit, b.revision, b.commit);
    print!("{}", driver::text(&outcomes));
    let bad: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.is_bad()).map(|outcome| outcome.name.as_str()).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("worse or not measured: {}", bad.join("; "))) }
}
