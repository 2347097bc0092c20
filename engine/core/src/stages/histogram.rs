//! The buckets of a stage's histogram: exact below 64 ns, then 32 to each doubling, so that a value is known to about 3 %.
const STEPS_BITS: u32 = 5;
const STEPS: usize = 1 << STEPS_BITS;
/// Everything from 2^40 ns (18 minutes) on is in the last bucket.
const VALUE_BITS: u32 = 40;

/// How many buckets there are.
pub const BUCKETS: usize = (VALUE_BITS - STEPS_BITS + 1) as usize * STEPS;

/// The bucket that a time belongs to.
pub fn bucket_of(ns: u64) -> usize {
    let ns = ns.min((1 << VALUE_BITS) - 1);
    let magnitude = (ns | 1).ilog2();
    let shift = magnitude.saturating_sub(STEPS_BITS);
    shift as usize * STEPS + (ns >> shift) as usize
}

/// The longest time that belongs to a bucket.
pub fn highest_of(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - shift * STEPS) as u64;
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_whose_bounds_hold_it() {
        let mut times: Vec<u64> = (0..1000).collect();
        times.extend((6..40).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << (bit - 1)]));
        for ns in times.into_iter().filter(|ns| *ns < 1 << VALUE_BITS) {
            let bucket = bucket_of(ns);
            assert!(ns <= highest_of(bucket), "{ns}");
            assert!(bucket == 0 || ns > highest_of(bucket - 1), "{ns}");
            assert!(highest_of(bucket) - ns <= ns / STEPS as u64, "{ns} is known to a {STEPS}th");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
        assert_eq!(highest_of(BUCKETS - 1), (1 << VALUE_BITS) - 1);
    }
}
