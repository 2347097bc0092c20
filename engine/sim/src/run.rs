//! Many seeds, on a few threads, and what came of them.
use crate::plan::Plan;
use crate::tally::{MUST_HAPPEN, MUST_HAPPEN_IN_CLUSTERS, MUST_HAPPEN_IN_HISTORY, Tally};
use crate::violation::Violation;
use crate::world::World;
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which worlds seeds stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worlds {
    /// One node, alone.
    Alone,
    /// Clusters of two, three and five nodes.
    Clusters,
    /// One node or a cluster, in which people and disks go back in time.
    History,
}

impl Worlds {
    /// The option of `gds-sim run` that stands for them.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Self::Alone => None,
            Self::Clusters => Some("--clusters"),
            Self::History => Some("--history"),
        }
    }

    /// The plan of a seed.
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::Alone => Plan::of(seed),
            Self::Clusters => Plan::of_cluster(seed),
            Self::History => Plan::of_history(seed),
        }
    }
}

/// Fewer seeds need not have seen everything.
const SEEDS_FOR_EVERYTHING: u64 = 1_000;

thread_local! {
    /// The seed that this thread is at, for whoever panics.
    static SEED: Cell<Option<(Worlds, u64)>> = const { Cell::new(None) };
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of world.
    pub worlds: Worlds,
    /// The seed.
    pub seed: u64,
    /// What was violated.
    pub violation: Violation,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Seeds that were run to their end.
    pub seeds: u64,
    /// What happened in them.
    pub tally: Tally,
    /// The failures, of which there is at most one per thread.
    pub failures: Vec<Failure>,
}

/// The command that shows a seed again.
pub fn replay_command(worlds: Worlds, seed: u64) -> String {
    let option = worlds.option().map_or(String::new(), |option| format!(" {option}"));
    format!("cargo run --release -p gds-sim -- run{option} --seed {seed} --trace")
}

/// From here on a panic says which seed it came from, and ends the process with code 1.
pub fn explain_panics() {
    let inner = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        inner(info);
        if let Some((worlds, seed)) = SEED.get() {
            eprintln!("seed {seed} failed: the engine asserts\n  replay: {}", replay_command(worlds, seed));
            std::process::exit(1);
        }
    }));
}

/// Runs seeds `first..first + count` on `threads` threads, telling now and then how far it is.
pub fn run(worlds: Worlds, first: u64, count: u64, threads: usize, progress: bool) -> Outcome {
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let outcome = Mutex::new(Outcome::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(count) {
                        break;
                    }
                    let result = run_one(worlds, seed, false);
                    let mut outcome = outcome.lock().expect("nobody panics while holding it");
                    match result {
                        Ok(tally) => {
                            outcome.seeds += 1;
                            outcome.tally.merge(&tally);
                        }
                        Err(violation) => {
                            outcome.failures.push(Failure { worlds, seed, violation });
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        if progress {
            tell_progress(&outcome, count, &stop, began);
        }
    });
    outcome.into_inner().expect("nobody panics while holding it")
}

/// Runs one seed.
pub fn run_one(worlds: Worlds, seed: u64, tracing: bool) -> Result<Tally, Violation> {
    SEED.set(Some((worlds, seed)));
    let result = World::of(worlds.plan(seed), tracing).run();
    SEED.set(None);
    result.map(|report| report.tally)
}

/// What should have happened and did not.
pub fn missing(worlds: Worlds, outcome: &Outcome) -> Vec<&'static str> {
    if outcome.seeds < SEEDS_FOR_EVERYTHING {
        return Vec::new();
    }
    let must_happen = match worlds {
        Worlds::Alone => MUST_HAPPEN,
        Worlds::Clusters => MUST_HAPPEN_IN_CLUSTERS,
        Worlds::History => MUST_HAPPEN_IN_HISTORY,
    };
    must_happen.iter().copied().filter(|name| outcome.tally.get(name) == 0).collect()
}

fn tell_progress(outcome: &Mutex<Outcome>, count: u64, stop: &AtomicBool, began: Instant) {
    let mut told = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let (seeds, messages) = {
            let outcome = outcome.lock().expect("nobody panics while holding it");
            (outcome.seeds, outcome.tally.get("world.messages"))
        };
        if stop.load(Ordering::Relaxed) || seeds >= count {
            return;
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            let rate = seeds as f64 / began.elapsed().as_secs_f64();
            println!("{seeds} of {count} seeds, {messages} messages, {rate:.1} seeds/s");
        }
    }
}
