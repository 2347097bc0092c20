//! One run of the checker, and what it found.
use crate::{Action, Protocol};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(20);

/// A promise that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub property: &'static str,
    /// The steps from the first state to one where it does not hold. With one thread no run is shorter.
    pub steps: Vec<Action>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Different states seen.
    pub states: usize,
    /// The longest run among them, in states.
    pub depth: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Every state within the bounds was looked at.
    pub complete: bool,
    /// The promise that does not hold, with the shortest run if there are several.
    pub broken: Option<Broken>,
    /// What should come about in some state and never did. Empty unless complete.
    pub unseen: Vec<&'static str>,
}

/// Walks through all states of `protocol`, up to the first that breaks a promise, or until so many steps were taken (0: no limit). `tell` hears
/// now and then how many states were seen.
pub fn check(protocol: &Protocol, threads: usize, steps_max: usize, mut tell: impl FnMut(usize)) -> Verdict {
    let started = Instant::now();
    let mut verdict = walk(protocol, threads, steps_max, None, &mut tell);
    // The checker goes on for a while after what it found first, and keeps what it found last: look for shorter runs until there is none.
    while let Some(known) = &verdict.broken {
        let shorter = walk(protocol, threads, steps_max, Some(known.steps.len()), &mut |_| ());
        if shorter.broken.is_none() {
            break;
        }
        verdict.broken = shorter.broken;
    }
    verdict.elapsed = started.elapsed();
    verdict
}

/// One walk, of runs shorter than `steps_below` if given.
fn walk(
    protocol: &Protocol,
    threads: usize,
    steps_max: usize,
    steps_below: Option<usize>,
    tell: &mut impl FnMut(usize),
) -> Verdict {
    let started = Instant::now();
    let mut builder = protocol.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    if steps_max > 0 {
        builder = builder.target_state_count(steps_max);
    }
    if let Some(steps) = steps_below {
        // The checker counts states, and leaves out the depth it is given.
        builder = builder.target_max_depth(steps + 1);
    }
    let mut checker = builder.spawn_bfs();
    let handles = checker.handles();
    while !handles.iter().all(|handle| handle.is_finished()) {
        tell(checker.unique_state_count());
        std::thread::sleep(TELL);
    }
    for handle in handles {
        handle.join().expect("the checker's threads end without a panic");
    }
    let (broken, mut unseen) = sort(&checker);
    let limited = steps_below.is_some() || steps_max > 0 && checker.state_count() >= steps_max;
    let complete = broken.is_none() && !limited;
    if !complete {
        unseen.clear();
    }
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    Verdict { states, depth, elapsed: started.elapsed(), complete, broken, unseen }
}

/// What a finished checker found: the shortest run that breaks a promise, and what never came about.
fn sort(checker: &impl Checker<Protocol>) -> (Option<Broken>, Vec<&'static str>) {
    let mut found = checker.discoveries();
    let (mut broken, mut unseen) = (None::<Broken>, Vec::new());
    for property in checker.model().properties() {
        match (property.expectation, found.remove(property.name)) {
            (Expectation::Sometimes, None) => unseen.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                let steps = path.into_actions();
                if broken.as_ref().is_none_or(|known| steps.len() < known.steps.len()) {
                    broken = Some(Broken { property: property.name, steps });
                }
            }
        }
    }
    (broken, unseen)
}
