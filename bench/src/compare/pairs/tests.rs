use super::*;

/// Seeded numbers.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// No variance at all: the worst tails there are.
    fn cauchy(&mut self) -> f64 {
        self.normal() / self.normal().abs().max(1e-3)
    }
}

/// A machine with its moods.
#[derive(Clone, Copy)]
struct Machine {
    /// Noise of one measurement, as a share.
    noise: f64,
    /// How often something else takes up to four times the time.
    outliers: f64,
    /// How far the machine's speed wanders from one measurement to the next.
    wander: f64,
    /// How much slower it becomes with each measurement.
    drift: f64,
    heavy: bool,
    /// How often a neighbour begins to take its share, which lasts four measurements or so, and what everything takes meanwhile.
    neighbour: (f64, f64),
}

const NONE: (f64, f64) = (0.0, 1.0);
const CALM: Machine =
    Machine { noise: 0.01, outliers: 0.0, wander: 0.0, drift: 0.0, heavy: false, neighbour: NONE };
const NOISY: Machine =
    Machine { noise: 0.07, outliers: 0.05, wander: 0.0, drift: 0.0, heavy: false, neighbour: NONE };
const LOUD: Machine =
    Machine { noise: 0.10, outliers: 0.05, wander: 0.02, drift: 0.0, heavy: false, neighbour: NONE };
const HEAVY: Machine =
    Machine { noise: 0.04, outliers: 0.0, wander: 0.0, drift: 0.0, heavy: true, neighbour: NONE };
const DRIFTING: Machine =
    Machine { noise: 0.05, outliers: 0.05, wander: 0.02, drift: 0.01, heavy: false, neighbour: NONE };
const SLIDING: Machine =
    Machine { noise: 0.005, outliers: 0.0, wander: 0.0, drift: 0.02, heavy: false, neighbour: NONE };
/// As a machine that builds other things meanwhile.
const SHARED: Machine =
    Machine { noise: 0.06, outliers: 0.05, wander: 0.02, drift: 0.005, heavy: false, neighbour: (0.15, 1.6) };
const ALL: [Machine; 7] = [CALM, NOISY, LOUD, HEAVY, DRIFTING, SLIDING, SHARED];

const PAIRS_MAX: usize = 60;

/// How often which verdict, and how many pairs it took in all.
#[derive(Debug, Default)]
struct Called {
    better: u64,
    worse: u64,
    none: u64,
    unsettled: u64,
    pairs: usize,
}

fn simulate(machine: Machine, of: (f64, Direction), trials: u64, seed: u64) -> Called {
    let (mut called, mut dice) = (Called::default(), Dice(seed));
    for _ in 0..trials {
        let comparison = trial(machine, of, &mut dice);
        called.pairs += comparison.pairs;
        match comparison.verdict.unwrap() {
            Verdict::Better => called.better += 1,
            Verdict::Worse => called.worse += 1,
            Verdict::NoDifference => called.none += 1,
            Verdict::Unsettled => called.unsettled += 1,
        }
    }
    println!("{of:?}: {called:?} in {trials} trials");
    called
}

/// As the driver does it: pairs until a look settles it. Rates go the other way: what takes longer is fewer a second.
fn trial(machine: Machine, (effect, direction): (f64, Direction), dice: &mut Dice) -> Comparison {
    let (mut mood, mut pairs): (f64, Vec<(f64, f64)>) = (0.0, Vec::new());
    let mut beside = false;
    let mut measure = |truth: f64, dice: &mut Dice| {
        let (begins, takes) = machine.neighbour;
        beside = dice.uniform() < if beside { 0.75 } else { begins };
        let truth = if beside { truth * takes } else { truth };
        mood += machine.drift + machine.wander * dice.normal();
        let noise = if machine.heavy { dice.cauchy().clamp(-40.0, 40.0) } else { dice.normal() };
        let outlier = if dice.uniform() < machine.outliers { 1.2 + 2.8 * dice.uniform() } else { 1.0 };
        let time = truth * (mood + machine.noise * noise).exp() * outlier;
        if direction == Direction::Lower { time } else { 1e9 / time }
    };
    loop {
        let look = next_look(pairs.len(), PAIRS_MAX).expect("the last look has a verdict");
        while pairs.len() < look {
            let pair = if pairs.len().is_multiple_of(2) {
                let a = measure(8000.0, dice);
                (a, measure(8000.0 * effect, dice))
            } else {
                let b = measure(8000.0 * effect, dice);
                (measure(8000.0, dice), b)
            };
            pairs.push(pair);
        }
        let comparison = compare(&pairs, direction, PAIRS_MAX);
        if comparison.verdict.is_some() {
            return comparison;
        }
    }
}

const BOTH: [Direction; 2] = [Direction::Lower, Direction::Higher];

#[test]
fn equal_builds_are_not_called() {
    for (machine, direction) in ALL.into_iter().flat_map(|machine| BOTH.map(|direction| (machine, direction)))
    {
        let called = simulate(machine, (1.0, direction), 1000, 7);
        assert!(called.better + called.worse <= 30, "{called:?}");
    }
}

#[test]
fn a_regression_of_15_percent_is_called() {
    for (machine, direction) in ALL.into_iter().flat_map(|machine| BOTH.map(|direction| (machine, direction)))
    {
        let called = simulate(machine, (1.15, direction), 400, 11);
        assert!(called.worse >= 380 && called.better == 0, "{called:?}");
    }
}

#[test]
fn an_improvement_is_called_and_a_small_difference_is_not() {
    let called = simulate(NOISY, (1.0 / 1.15, Direction::Lower), 200, 13);
    assert!(called.better >= 196 && called.worse == 0, "{called:?}");
    let called = simulate(CALM, (1.02, Direction::Lower), 200, 17);
    assert_eq!((called.better, called.worse), (0, 0));
}

/// That nothing was shown is not that there is nothing.
#[test]
fn a_difference_that_noise_may_hide_is_not_called_none() {
    let wild = Machine { noise: 0.6, ..NOISY };
    let called = simulate(wild, (1.15, Direction::Lower), 200, 23);
    assert!(called.none <= 10 && called.unsettled >= 150, "{called:?}");
    let called = simulate(CALM, (1.0, Direction::Lower), 200, 29);
    assert_eq!((called.none, called.unsettled), (200, 0));
}

#[test]
fn a_clear_case_takes_few_pairs() {
    let called = simulate(CALM, (1.15, Direction::Lower), 100, 19);
    assert_eq!((called.worse, called.pairs), (100, 1200));
}

#[test]
fn the_interval_is_the_one_in_the_tables() {
    // Wilcoxon: with 12 pairs, sums up to 1 have 3 of 4096 chances ... so one rank is within 1 in 2000, a second not.
    assert_eq!(rank(12, 1000.0), 2);
    assert_eq!(rank(10, 1000.0), 0);
    let pairs: Vec<(f64, f64)> = (0..12).map(|_| (100.0, 120.0)).collect();
    let comparison = compare(&pairs, Direction::Higher, PAIRS_MAX);
    assert!((comparison.ratio - 1.2).abs() < 1e-9);
    assert_eq!(comparison.verdict, Some(Verdict::Better));
    assert_eq!(compare(&pairs, Direction::Lower, PAIRS_MAX).verdict, Some(Verdict::Worse));
}

#[test]
fn few_pairs_tell_nothing() {
    let pairs = [(100.0, 200.0); 4];
    let comparison = compare(&pairs, Direction::Lower, PAIRS_MAX);
    assert_eq!((comparison.from, comparison.to, comparison.verdict), (0.0, f64::INFINITY, None));
    assert_eq!(compare(&pairs, Direction::Lower, 4).verdict, Some(Verdict::Unsettled));
    assert_eq!((next_look(0, 40), next_look(12, 14), next_look(40, 40)), (Some(12), Some(14), None));
    assert_eq!((next_look(40, 50), next_look(60, 80)), (Some(50), Some(80)));
}
