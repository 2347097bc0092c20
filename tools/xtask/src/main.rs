//! `cargo xtask test`: everything that must hold, one step after the other, here and on a fresh machine alike.
//! `cargo xtask release`: `gds` built by a profile of itself.
//!
//! A step passes, fails, or is skipped with its reason. Tests inside a step that cannot run here (no root, no captures, no
//! hugepages) print a line `skipped: why`; those lines are shown and counted too. Logs are kept in `target/xtask/`.
#![forbid(unsafe_code)]
mod documents;
mod release;
mod structure;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// One thing that must hold.
struct Step {
    name: &'static str,
    shows: &'static str,
    /// Why it cannot run here, if it cannot.
    obstacle: fn() -> Option<String>,
    work: Work,
}

enum Work {
    /// A command that must succeed.
    Command(fn() -> Command),
    /// A check of our own: what it finds wrong, and the `skipped:` lines, go to the log; false when something is wrong.
    Check(fn(&mut File) -> std::io::Result<bool>),
}

enum Verdict {
    Passed,
    Failed,
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        shows: "the code is formatted",
        obstacle: none,
        work: Work::Command(|| cargo(&["fmt", "--all", "--check"])),
    },
    Step {
        name: "lints",
        shows: "no warning from compiler or clippy",
        obstacle: none,
        work: Work::Command(|| cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    },
    Step {
        name: "structure",
        shows: "arrows between folders point one way, unsafe code is where nic says, files are of a readable length",
        obstacle: none,
        work: Work::Check(structure::check),
    },
    Step {
        name: "licences",
        shows: "every dependency has an accepted licence, and comes from the registry",
        obstacle: deny_missing,
        work: Work::Command(|| cargo(&["deny", "check", "licenses", "bans", "sources"])),
    },
    Step {
        name: "advisories",
        shows: "no known vulnerability in a dependency",
        obstacle: advisories_missing,
        work: Work::Command(|| cargo(&["deny", "check", "advisories"])),
    },
    Step {
        name: "tests",
        shows: "unit, property and end-to-end tests, captures, kill -9, dissector",
        obstacle: none,
        work: Work::Command(|| cargo(&["test", "--workspace", "--", "--nocapture"])),
    },
    Step {
        name: "concurrency",
        shows: "ring, index and record log in every interleaving (loom)",
        obstacle: none,
        work: Work::Command(|| {
            let mut command = cargo(&["test", "--package", "gds-core", "--lib", "models"]);
            command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", "target/loom");
            command
        }),
    },
    Step {
        name: "sanitizer",
        shows: "the unsafe modules under the address sanitizer",
        obstacle: nightly_missing,
        work: Work::Command(|| {
            let mut command = Command::new("cargo");
            command.args([
                "+nightly",
                "test",
                "--package",
                "gds-nic",
                "--target",
                "x86_64-unknown-linux-gnu",
            ]);
            // That one leaks on purpose: buffers the kernel may still write to are better lost than freed.
            command.args(["--", "--skip", "should_survive_being_dropped_by_another_thread"]);
            command.env("RUSTFLAGS", "-Zsanitizer=address").env("CARGO_TARGET_DIR", "target/sanitizer");
            command
        }),
    },
    Step {
        name: "simulator",
        shows: "2,000 seeds of a whole node under every fault, against a plain model",
        obstacle: none,
        work: Work::Command(|| {
            cargo(&["run", "--profile", "test", "--package", "gds-sim", "--", "run", "--seeds", "2000"])
        }),
    },
    Step {
        name: "clusters",
        shows: "999 seeds of clusters of two, three and five nodes: takeovers under every fault, against a plain model",
        obstacle: none,
        work: Work::Command(|| {
            let run = [
                "run",
                "--profile",
                "test",
                "--package",
                "gds-sim",
                "--",
                "run",
                "--clusters",
                "--seeds",
                "999",
            ];
            cargo(&run)
        }),
    },
    Step {
        name: "history",
        shows: "500 seeds of worlds in which time runs back: forced leads, copies put back, lost files, another durability",
        obstacle: none,
        work: Work::Command(|| {
            let run = [
                "run",
                "--profile",
                "test",
                "--package",
                "gds-sim",
                "--",
                "run",
                "--history",
                "--seeds",
                "500",
            ];
            cargo(&run)
        }),
    },
    Step {
        name: "mutations",
        shows: "the simulator notices broken deduplication, gap fill and journal order, and each safety rule of replication left out",
        obstacle: none,
        work: Work::Command(|| {
            let build = ["run", "--profile", "test", "--package", "gds-sim", "--features", "mutations"];
            let mut command = cargo(&build);
            command.args(["--", "mutations"]).env("CARGO_TARGET_DIR", "target/mutations");
            command
        }),
    },
    Step {
        name: "documents",
        shows: "the commands shown in README and docs work as they stand, and what they name is there",
        obstacle: none,
        work: Work::Check(documents::check),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(&root).expect("the workspace is where it was built");
    match words.as_slice() {
        ["release"] => release::make().map_or_else(
            |why| {
                eprintln!("no release was made: {why}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ),
        ["test"] => test(&|_| true),
        ["test", names @ ..] if names.iter().all(|name| STEPS.iter().any(|step| step.name == *name)) => {
            test(&|step| names.contains(&step.name))
        }
        _ => {
            eprintln!("cargo xtask release           build gds by a profile of itself, for production");
            eprintln!("cargo xtask test [STEP...]    check everything, or only the steps named:");
            for step in STEPS {
                eprintln!("  {:12} {}", step.name, step.shows);
            }
            ExitCode::from(2)
        }
    }
}

fn test(wanted: &dyn Fn(&Step) -> bool) -> ExitCode {
    fs::create_dir_all("target/xtask").expect("target/ can be written");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for step in STEPS.iter().filter(|step| wanted(step)) {
        let started = Instant::now();
        println!("{:12} {} ...", step.name, step.shows);
        let (verdict, inner_skips) = run(step);
        let seconds = started.elapsed().as_secs();
        for line in &inner_skips {
            println!("{:12}   {line}", "");
        }
        skipped += inner_skips.len();
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("{:12} passed ({seconds} s)", step.name);
            }
            Verdict::Failed => {
                failed += 1;
                println!("{:12} FAILED ({seconds} s)", step.name);
            }
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("{:12} skipped: {why}", step.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one step with its output in a log; a failure prints the log's end. Also gives the `skipped:` lines in it.
fn run(step: &Step) -> (Verdict, Vec<String>) {
    if let Some(why) = (step.obstacle)() {
        return (Verdict::Skipped(why), Vec::new());
    }
    let path = PathBuf::from(format!("target/xtask/{}.log", step.name));
    let mut log = File::create(&path).expect("target/xtask can be written");
    let holds = match step.work {
        Work::Check(check) => check(&mut log).unwrap_or_else(|error| {
            let _ = writeln!(log, "the check itself failed: {error}");
            false
        }),
        Work::Command(command) => {
            let errors = log.try_clone().expect("a file handle can be cloned");
            let status = command().stdin(Stdio::null()).stdout(log).stderr(errors).status();
            status.is_ok_and(|status| status.success())
        }
    };
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
    let skips = text.lines().filter_map(|line| Some(line[line.find("skipped: ")?..].to_owned())).collect();
    if holds {
        return (Verdict::Passed, skips);
    }
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(60)..] {
        println!("    {line}");
    }
    println!("    (the whole log: {})", path.display());
    (Verdict::Failed, skips)
}

fn none() -> Option<String> {
    None
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn deny_missing() -> Option<String> {
    let there = succeeds(cargo(&["deny", "--version"]));
    (!there).then(|| "cargo-deny is not installed (cargo install cargo-deny@0.20.2 --locked)".to_owned())
}

fn advisories_missing() -> Option<String> {
    deny_missing().or_else(|| {
        let fetched = succeeds(cargo(&["deny", "fetch", "db"]));
        (!fetched).then(|| "the advisory database cannot be fetched here".to_owned())
    })
}

fn nightly_missing() -> Option<String> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "--version"]);
    (!succeeds(command)).then(|| "no nightly toolchain (rustup toolchain install nightly)".to_owned())
}
