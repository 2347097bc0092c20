//! Shows that the simulator finds faults: each mutation of the engine must be caught, and soon.
//!
//! A mutation holds for a whole process, and the engine may assert, abort or hang with it; so each is run in a process of its own.
use crate::run::Worlds;
use gds_core::mutation::Mutation;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What 500 seeds, and 1,400, were not broken by, and more were not tried: the model catches them (`engine/model/tests/mutations.rs`).
const ONLY_IN_THE_MODEL: [Mutation; 2] = [Mutation::EpochForgotten, Mutation::OldIncarnation];
/// A mutation must be caught within so many seeds...
const SEEDS_MAX: u64 = 2_000;
/// ... and so much time.
const TIME_MAX: Duration = Duration::from_secs(400);
/// Mutations run at the same time.
const AT_ONCE: usize = 2;

/// How a mutation was caught.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The mutation.
    pub mutation: Mutation,
    /// After how many seeds; 0: not at all.
    pub seeds: u64,
    /// By which check, or why not.
    pub check: String,
    /// How long it took.
    pub took: Duration,
}

/// The mutation with this name.
pub fn named(name: &str) -> Option<Mutation> {
    let mut all = Mutation::ALL.into_iter().chain(Mutation::CLUSTER).chain(Mutation::HISTORY);
    all.find(|mutation| format!("{mutation:?}") == name)
}

/// Runs every mutation until it is caught, with this program: those of a lone node, those that only clusters can show, and those that only
/// worlds can show in which time runs back.
pub fn run_all() -> Vec<Caught> {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut results = run_some(&program, &Mutation::ALL, Worlds::Alone);
    let shown: Vec<Mutation> =
        Mutation::CLUSTER.into_iter().filter(|mutation| !ONLY_IN_THE_MODEL.contains(mutation)).collect();
    results.extend(run_some(&program, &shown, Worlds::Clusters));
    results.extend(run_some(&program, &Mutation::HISTORY, Worlds::History));
    results
}

fn run_some(program: &std::path::Path, mutations: &[Mutation], worlds: Worlds) -> Vec<Caught> {
    let mut results = Vec::new();
    for mutations in mutations.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let run = |&mutation| scope.spawn(move || run_one(program, mutation, worlds));
            let threads: Vec<_> = mutations.iter().map(run).collect();
            for thread in threads {
                results.push(thread.join().expect("it does not panic"));
            }
        });
    }
    results
}

fn run_one(program: &std::path::Path, mutation: Mutation, worlds: Worlds) -> Caught {
    let began = Instant::now();
    let (seeds, name) = (SEEDS_MAX.to_string(), format!("{mutation:?}"));
    let child = Command::new(program)
        .args(["run", "--threads", "1", "--seeds", &seeds, "--mutation", &name])
        .args(worlds.option())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let (seeds, check) = match child {
        Ok(child) => watch(child, began),
        Err(error) => (0, format!("could not be run: {error}")),
    };
    Caught { mutation, seeds, check, took: began.elapsed() }
}

fn watch(mut child: Child, began: Instant) -> (u64, String) {
    let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let readers = [thread::spawn(move || read_all(&mut out)), thread::spawn(move || read_all(&mut err))];
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if began.elapsed() < TIME_MAX => thread::sleep(Duration::from_millis(10)),
            _ => {
                // A hang would be noticed by people only.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let text: String = readers.into_iter().map(|reader| reader.join().unwrap_or_default()).collect();
    match status {
        None => (0, format!("not caught within {} s", TIME_MAX.as_secs())),
        Some(status) if status.success() => (0, format!("not caught within {SEEDS_MAX} seeds")),
        Some(_) => first_failure(&text).unwrap_or((0, format!("failed without saying why: {text}"))),
    }
}

fn read_all(from: &mut dyn Read) -> String {
    let mut text = String::new();
    // What was read until an error is all there is.
    let _ = from.read_to_string(&mut text);
    text
}

/// The line "seed N failed: check: ...".
fn first_failure(text: &str) -> Option<(u64, String)> {
    let line = text.lines().find(|line| line.starts_with("seed ") && line.contains(" failed: "))?;
    let (seed, what) = line.strip_prefix("seed ")?.split_once(" failed: ")?;
    let check = what.split(':').next().unwrap_or(what);
    Some((seed.parse().ok()?, check.to_owned()))
}
