//! From pairs of values to a verdict.
//!
//! Each pair gives the logarithm of its ratio. If A and B are the same program, that is as often above 0 as below and equally far,
//! whatever the noise looks like; so Wilcoxon's signed ranks give an exact interval for it, and outliers weigh no more than their rank.
//! The estimate is the median of all means of two (Hodges and Lehmann), which belongs to that interval.
//!
//! The verdict is looked for after [`LOOKS`] pairs, not after each, since every look is a chance to be fooled. The interval of one
//! look misses the truth once in [`ONE_IN`] times, that of the last look, at which nothing is left to wait for, once in [`ONE_IN_LAST`].
//! Over all looks, two equal builds are called different in fewer than 3 of 100 comparisons, and a difference of 15 % is called in
//! at least 95: the tests simulate it, on machines with noise, outliers, drift, and neighbours. A difference below [`MINIMUM_EFFECT`]
//! is none: two builds of one program differ by that much through where the linker put things.
//!
//! That nothing was shown is not that there is nothing: [`Verdict::NoDifference`] needs an interval that rules out more than
//! [`RULED_OUT`]. Else it is [`Verdict::Unsettled`], and wants a quieter machine or more pairs.

/// Numbers of pairs after which the verdict is looked for.
pub const LOOKS: [usize; 6] = [12, 16, 22, 30, 40, 60];
/// The interval of one look misses the true ratio so rarely.
pub const ONE_IN: f64 = 400.0;
/// That of the last look.
pub const ONE_IN_LAST: f64 = 50.0;
/// Ratios closer to 1 than this are no difference.
pub const MINIMUM_EFFECT: f64 = 0.05;
/// There is no difference once none larger than this can be.
pub const RULED_OUT: f64 = 0.10;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Latencies.
    Lower,
    /// Rates.
    Higher,
}

/// What B is against A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Better, by more than the minimum.
    Better,
    /// Worse, by more than the minimum.
    Worse,
    /// Neither: a difference larger than [`RULED_OUT`] is ruled out.
    NoDifference,
    /// So many pairs did not tell: a difference may hide in the noise.
    Unsettled,
}

/// What pairs tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// How many.
    pub pairs: usize,
    /// B over A.
    pub ratio: f64,
    /// The true ratio is at least this; 0 when too few pairs tell anything.
    pub from: f64,
    /// And at most this; infinite when too few pairs tell anything.
    pub to: f64,
    /// `None`: more pairs are wanted.
    pub verdict: Option<Verdict>,
}

/// The number of pairs to have at the next look; `None` when there were `pairs_max`.
pub fn next_look(pairs: usize, pairs_max: usize) -> Option<usize> {
    let look = LOOKS.into_iter().find(|look| *look > pairs).unwrap_or(pairs_max).min(pairs_max);
    (look > pairs).then_some(look)
}

/// Compares B with A by pairs (a, b), all above 0. To be asked at the looks only.
///
/// # Panics
///
/// When there is no pair, or a value is not a positive number.
pub fn compare(pairs: &[(f64, f64)], direction: Direction, pairs_max: usize) -> Comparison {
    assert!(!pairs.is_empty(), "nothing to compare");
    let logarithm = |&(a, b): &(f64, f64)| {
        assert!(a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite(), "a pair of {a} and {b}");
        (b / a).ln()
    };
    let means = walsh(&pairs.iter().map(logarithm).collect::<Vec<_>>());
    let ratio = middle(&means).exp();
    let last = pairs.len() >= pairs_max;
    let (from, to) = match rank(pairs.len(), if last { ONE_IN_LAST } else { ONE_IN }) {
        0 => (0.0, f64::INFINITY),
        rank => (means[rank - 1].exp(), means[means.len() - rank].exp()),
    };
    let least = 1.0 + MINIMUM_EFFECT;
    let higher = from > 1.0 && ratio >= least;
    let lower = to < 1.0 && ratio <= 1.0 / least;
    let same = from > 1.0 / (1.0 + RULED_OUT) && to < 1.0 + RULED_OUT;
    let near = ratio < least && ratio > 1.0 / least;
    let verdict = match (higher, lower, direction) {
        (true, _, Direction::Higher) | (_, true, Direction::Lower) => Some(Verdict::Better),
        (true, _, Direction::Lower) | (_, true, Direction::Higher) => Some(Verdict::Worse),
        _ if same && (near || last) => Some(Verdict::NoDifference),
        _ if last => Some(Verdict::Unsettled),
        _ => None,
    };
    Comparison { pairs: pairs.len(), ratio, from, to, verdict }
}

/// The means of all twos, each value with itself too; ascending.
fn walsh(values: &[f64]) -> Vec<f64> {
    let mut means = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (at, value) in values.iter().enumerate() {
        means.extend(values[at..].iter().map(|other| (value + other) / 2.0));
    }
    means.sort_by(f64::total_cmp);
    means
}

/// The middle of ascending values.
fn middle(sorted: &[f64]) -> f64 {
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// The interval goes from the mean with this rank to the one with the same rank from above, and misses the truth once in so many times; 0
/// when there is no such interval.
fn rank(pairs: usize, one_in: f64) -> usize {
    // How probable each sum of signed ranks is: every rank counts or not, as a coin falls.
    let mut probable = vec![0.0; pairs * (pairs + 1) / 2 + 1];
    probable[0] = 1.0;
    for rank in 1..=pairs {
        for sum in (0..probable.len()).rev() {
            let with = if sum >= rank { probable[sum - rank] } else { 0.0 };
            probable[sum] = (probable[sum] + with) / 2.0;
        }
    }
    let mut below = 0.0;
    probable
        .iter()
        .take_while(|share| {
            below += **share;
            below <= 0.5 / one_in
        })
        .count()
}

#[cfg(test)]
mod tests;
