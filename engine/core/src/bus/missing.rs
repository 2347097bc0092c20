//! Which sequence numbers a receiver misses, and when to ask for which.
//!
//! What is missing is a short sorted list of intervals. An interval is first left alone for a small random time (its packets may only
//! be late, and a whole group of listeners should not ask at the same instant), then asked for in pieces of about what one reply
//! holds, several at a time. Each piece has its own retry timer, which doubles as long as nothing at all is answered: where some answers
//! come and others do not, the network loses packets, and waiting longer helps nobody.

/// Numbers `from..to` are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from: u64,
    to: u64,
    /// Ask (again) at this time.
    due_ns: u64,
    /// How often it has been asked for; 0: not yet.
    attempts: u32,
    /// How often the retry time has doubled.
    doublings: u32,
    /// [`Missing::answers`] when it was last asked for.
    answers: u64,
}

/// The timing and the bounds of asking.
#[derive(Clone, Copy, Debug)]
pub struct MissingConfig {
    /// Most intervals kept.
    pub intervals_max: usize,
    /// First retry after this time.
    pub retry_ns: u64,
    /// The retry time doubles up to this while nothing is answered.
    pub retry_ns_max: u64,
}

/// Messages wanted from `sequence` on; `attempt` is 0 the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The first number wanted.
    pub sequence: u64,
    /// How many.
    pub count: u16,
    /// How often they have been asked for before.
    pub attempt: u32,
}

/// How many messages the first request asks for, before any reply has shown what fits.
const CHUNK_START: u64 = 32;
/// After this many replies that brought all that was asked, more is asked for.
const FULL_REPLIES_TO_GROW: u32 = 16;

/// The sorted list of missing intervals.
#[derive(Debug)]
pub struct Missing {
    config: MissingConfig,
    intervals: Vec<Interval>,
    asked: usize,
    /// How many intervals that were asked for have been answered, at least in part.
    answers: u64,
    chunk: u64,
    full_replies: u32,
    /// No interval is due before this time.
    quiet_until_ns: u64,
}

impl Missing {
    /// Nothing is missing.
    pub fn new(config: MissingConfig) -> Self {
        assert!(config.intervals_max > 0 && config.retry_ns > 0 && config.retry_ns_max >= config.retry_ns);
        let intervals = Vec::with_capacity(config.intervals_max + 1);
        Self {
            config,
            intervals,
            asked: 0,
            answers: 0,
            chunk: CHUNK_START,
            full_replies: 0,
            quiet_until_ns: u64::MAX,
        }
    }

    /// How many of them have been asked for.
    #[cfg(test)]
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// When the next interval is due; `u64::MAX` when none is missing.
    pub fn due_ns(&self) -> u64 {
        self.quiet_until_ns
    }

    /// Adds `from..to`, all above what is in the list; not asked for before `due_ns`. False when the list is full.
    pub fn add(&mut self, from: u64, to: u64, due_ns: u64) -> bool {
        assert!(from < to && self.intervals.last().is_none_or(|last| last.to <= from));
        if let Some(last) = self.intervals.last_mut().filter(|last| last.to == from && last.attempts == 0) {
            last.to = to;
            return true;
        }
        if self.intervals.len() == self.config.intervals_max {
            return false;
        }
        self.intervals.push(Interval { from, to, due_ns, attempts: 0, doublings: 0, answers: 0 });
        self.quiet_until_ns = self.quiet_until_ns.min(due_ns);
        true
    }

    /// Whether any of `from..to` is missing.
    pub fn overlaps(&self, from: u64, to: u64) -> bool {
        let first = self.intervals.partition_point(|interval| interval.to <= from);
        self.intervals.get(first).is_some_and(|interval| interval.from < to)
    }

    /// Numbers `from..to` have arrived; returns how many of them were missing. What is left of an interval that was asked for and
    /// answered in part is asked for at once.
    ///
    /// When an interval would have to be parted and the list is full, it stays as it is: some of it is then asked for in vain.
    pub fn fill(&mut self, from: u64, to: u64, now_ns: u64) -> u64 {
        let mut filled = 0;
        let mut index = self.intervals.partition_point(|interval| interval.to <= from);
        while let Some(interval) = self.intervals.get(index).copied().filter(|interval| interval.from < to) {
            let (low, high) = (interval.from.max(from), interval.to.min(to));
            filled += high - low;
            if low == interval.from {
                self.learn_from_reply(&interval, high - low);
                self.cut_front(index, high, now_ns);
                index += usize::from(high < interval.to);
            } else {
                if high < interval.to {
                    if self.intervals.len() == self.config.intervals_max {
                        break;
                    }
                    let rest = Interval {
                        from: high,
                        to: interval.to,
                        due_ns: now_ns,
                        attempts: 0,
                        doublings: 0,
                        answers: 0,
                    };
                    self.intervals.insert(index + 1, rest);
                    self.quiet_until_ns = now_ns;
                }
                self.intervals[index].to = low;
                index += 1;
            }
        }
        filled
    }

    /// Forgets everything below `next`.
    pub fn trim(&mut self, next: u64) {
        while self.intervals.first().is_some_and(|interval| interval.from < next) {
            let first = self.intervals[0];
            self.cut_front(0, next.min(first.to), first.due_ns);
        }
    }

    /// What to ask for now, at most `requests_max` outstanding, at most one not yet answered beyond the first interval when
    /// `first_only`. Call until it says `None`.
    pub fn next_wanted(&mut self, now_ns: u64, requests_max: usize, first_only: bool) -> Option<Wanted> {
        if now_ns < self.quiet_until_ns {
            return None;
        }
        let considered = if first_only { self.intervals.len().min(1) } else { self.intervals.len() };
        let mut quiet_until_ns = u64::MAX;
        for index in 0..considered {
            let interval = self.intervals[index];
            let may_ask = interval.attempts > 0 || self.asked < requests_max || index == 0;
            if interval.due_ns <= now_ns && may_ask {
                return Some(self.ask(index, now_ns));
            }
            // One that waits for its turn becomes possible when another is answered, and `fill` makes that known.
            if interval.due_ns > now_ns {
                quiet_until_ns = quiet_until_ns.min(interval.due_ns);
            }
        }
        let left_out = considered < self.intervals.len() || quiet_until_ns == u64::MAX;
        self.quiet_until_ns = if left_out { now_ns + 1 } else { quiet_until_ns };
        if self.intervals.is_empty() {
            self.quiet_until_ns = u64::MAX;
        }
        None
    }

    fn ask(&mut self, index: usize, now_ns: u64) -> Wanted {
        let length = self.intervals[index].to - self.intervals[index].from;
        if length > self.chunk
            && self.intervals[index].attempts == 0
            && self.intervals.len() < self.config.intervals_max
        {
            let middle = self.intervals[index].from + self.chunk;
            let rest = Interval {
                from: middle,
                to: self.intervals[index].to,
                due_ns: now_ns,
                attempts: 0,
                doublings: 0,
                answers: 0,
            };
            self.intervals[index].to = middle;
            self.intervals.insert(index + 1, rest);
        }
        let answers = self.answers;
        let interval = &mut self.intervals[index];
        let answered_since = interval.attempts == 0 || interval.answers != answers;
        (interval.doublings, interval.answers) =
            (if answered_since { 0 } else { interval.doublings + 1 }, answers);
        let doublings = interval.doublings;
        let backoff_ns = self.backoff_ns(doublings);
        let interval = &mut self.intervals[index];
        self.asked += usize::from(interval.attempts == 0);
        let attempt = interval.attempts;
        interval.attempts = interval.attempts.saturating_add(1);
        interval.due_ns = now_ns.saturating_add(backoff_ns);
        // 65,535 would read as an end of session to some eyes; nobody needs that many at once.
        let count = (interval.to - interval.from).min(0xFFFE) as u16;
        Wanted { sequence: interval.from, count, attempt }
    }

    fn backoff_ns(&self, doublings: u32) -> u64 {
        self.config.retry_ns.saturating_mul(1 << doublings.min(32)).min(self.config.retry_ns_max)
    }

    /// Takes everything below `from` off an interval; removes it when nothing is left.
    fn cut_front(&mut self, index: usize, from: u64, now_ns: u64) {
        let interval = &mut self.intervals[index];
        self.asked -= usize::from(interval.attempts > 0);
        if from == interval.to {
            self.intervals.remove(index);
        } else {
            interval.from = from;
            if interval.attempts > 0 {
                (interval.attempts, interval.due_ns) = (0, now_ns);
            }
        }
        self.quiet_until_ns =
            if self.intervals.is_empty() { u64::MAX } else { self.quiet_until_ns.min(now_ns) };
    }

    /// Replies show how many messages fit into one.
    fn learn_from_reply(&mut self, interval: &Interval, got: u64) {
        if interval.attempts == 0 {
            return;
        }
        self.answers += 1;
        if got < interval.to - interval.from {
            self.chunk = got;
            self.full_replies = 0;
        } else if got >= self.chunk {
            self.full_replies += 1;
            if self.full_replies == FULL_REPLIES_TO_GROW {
                self.chunk = (self.chunk + self.chunk / 4 + 1).min(0xFFFE);
                self.full_replies = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::BTreeSet;

    fn missing(intervals_max: usize) -> Missing {
        Missing::new(MissingConfig { intervals_max, retry_ns: 1000, retry_ns_max: 8000 })
    }

    #[test]
    fn should_agree_with_a_plain_set_of_numbers() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut list = missing(1000);
            let mut model = BTreeSet::new();
            let mut top = 1;
            for now in 0..300 {
                if random.chance(1, 3) {
                    let from = top + random.below(5);
                    top = from + 1 + random.below(20);
                    assert!(list.add(from, top, now));
                    model.extend(from..top);
                } else {
                    let from = random.below(top);
                    let to = from + 1 + random.below(12);
                    assert_eq!(list.overlaps(from, to), model.range(from..to).next().is_some());
                    let expected = model.range(from..to).count() as u64;
                    assert_eq!(list.fill(from, to, now), expected);
                    model.retain(|number| !(from..to).contains(number));
                }
                while list.next_wanted(now, 4, false).is_some() {}
                assert_eq!(
                    list.asked(),
                    list.intervals.iter().filter(|interval| interval.attempts > 0).count()
                );
                let numbers: BTreeSet<u64> =
                    list.intervals.iter().flat_map(|interval| interval.from..interval.to).collect();
                assert_eq!(numbers, model, "seed {seed}");
            }
        }
    }

    #[test]
    fn should_ask_after_the_delay_and_again_with_doubling_pauses() {
        let mut list = missing(8);
        list.add(5, 7, 100);
        assert_eq!(list.next_wanted(99, 4, false), None);
        let mut times = Vec::new();
        for now in 100..40_000 {
            if let Some(wanted) = list.next_wanted(now, 4, false) {
                assert_eq!((wanted.sequence, wanted.count, wanted.attempt), (5, 2, times.len() as u32));
                times.push(now);
            }
        }
        assert_eq!(times, [100, 1100, 3100, 7100, 15_100, 23_100, 31_100, 39_100]);
    }

    #[test]
    fn should_not_wait_longer_while_others_are_answered() {
        let mut list = missing(64);
        for number in 0..40 {
            list.add(10 * number + 5, 10 * number + 6, 0);
        }
        let mut times = Vec::new();
        for now in 0..10_000 {
            while let Some(wanted) = list.next_wanted(now, 64, false) {
                if wanted.sequence == 5 {
                    times.push(now);
                }
            }
            if now % 500 == 0 {
                let answered = 15 + 10 * (now / 500);
                list.fill(answered, answered + 1, now);
            }
        }
        assert_eq!(times, [0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000]);
    }

    #[test]
    fn should_ask_for_several_pieces_but_no_more_than_allowed() {
        let mut list = missing(64);
        list.add(1, 1001, 0);
        let mut asked = Vec::new();
        while let Some(wanted) = list.next_wanted(0, 3, false) {
            asked.push((wanted.sequence, wanted.count));
        }
        assert_eq!(asked, [(1, 32), (33, 32), (65, 32)]);
        assert_eq!(list.fill(1, 11, 5), 10, "a reply with ten messages");
        let wanted = list.next_wanted(5, 3, false).unwrap();
        assert_eq!((wanted.sequence, wanted.count), (11, 10), "the rest at once, in pieces of what fits");
    }

    #[test]
    fn should_ask_only_for_the_first_interval_when_nothing_else_can_be_kept() {
        let mut list = missing(64);
        list.add(1, 3, 0);
        list.add(5, 6, 0);
        assert_eq!(list.next_wanted(0, 8, true).unwrap().sequence, 1);
        assert_eq!(list.next_wanted(0, 8, true), None);
        assert_eq!(list.next_wanted(1, 8, false).unwrap().sequence, 5);
    }

    #[test]
    fn should_refuse_more_intervals_than_allowed_and_forget_what_is_below() {
        let mut list = missing(2);
        assert!(list.add(1, 3, 0) && list.add(5, 7, 0) && !list.add(9, 10, 0));
        list.trim(6);
        assert!(!list.overlaps(1, 6) && list.overlaps(6, 7));
        assert!(list.add(9, 10, 0));
    }
}
