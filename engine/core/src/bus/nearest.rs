//! Which rewinder a receiver asks: the nearest that answers.
//!
//! The order in which rewinders are named is the preference. What is missing is asked of the first; what that one does not answer in time, of the
//! next, and so on, round and round: it may be down, or behind, or not have it any more. One that has answered nothing at all for a while is
//! passed over for a time, which doubles up to a bound; after it a single request tries whether it is back. Any answer makes it what it was.
use crate::time::{MILLISECOND_NS, SECOND_NS};
use std::net::SocketAddrV4;
use std::sync::Arc;

crate::counter_set! {
    /// What one rewinder was asked by a receiver, and answered.
    pub struct AskedCounters {
        /// Request packets sent to it.
        asked,
        /// Packets it answered with.
        answered,
        /// Times that it was passed over for a while because it answered nothing.
        passed_over,
    }
}

/// So many requests without any answer, and one is passed over.
const UNANSWERED_MAX: u32 = 3;
/// For so long at first, and at most.
const PASS_NS: u64 = 100 * MILLISECOND_NS;
const PASS_NS_MAX: u64 = 5 * SECOND_NS;

struct Rewinder {
    address: SocketAddrV4,
    /// Requests since its last answer, the first of them at `since_ns`.
    unanswered: u32,
    since_ns: u64,
    passed_until_ns: u64,
    /// How long it is passed over the next time.
    pass_ns: u64,
    counters: Arc<AskedCounters>,
}

/// The rewinders that a receiver may ask, nearest first.
pub(super) struct Nearest {
    rewinders: Vec<Rewinder>,
    /// No answer for so long is no accident of the network.
    patience_ns: u64,
}

impl Nearest {
    pub fn new(addresses: &[SocketAddrV4], patience_ns: u64) -> Self {
        let rewinder = |address: &SocketAddrV4| Rewinder {
            address: *address,
            unanswered: 0,
            since_ns: 0,
            passed_until_ns: 0,
            pass_ns: PASS_NS,
            counters: Arc::default(),
        };
        Self { rewinders: addresses.iter().map(rewinder).collect(), patience_ns }
    }

    pub fn is_empty(&self) -> bool {
        self.rewinders.is_empty()
    }

    /// Each with its counters, nearest first.
    pub fn counters(&self) -> impl Iterator<Item = (SocketAddrV4, &Arc<AskedCounters>)> {
        self.rewinders.iter().map(|rewinder| (rewinder.address, &rewinder.counters))
    }

    /// Whom to ask for what has been asked for `attempt` times before.
    pub fn ask(&mut self, now_ns: u64, attempt: u32) -> SocketAddrV4 {
        let is_there = |rewinder: &&mut Rewinder| rewinder.passed_until_ns <= now_ns;
        let there = self.rewinders.iter_mut().filter(is_there).count();
        let turn = |count: usize| attempt as usize % count;
        let rewinder = match there {
            // Better in vain than not at all.
            0 => {
                let turn = turn(self.rewinders.len());
                &mut self.rewinders[turn]
            }
            there => self.rewinders.iter_mut().filter(is_there).nth(turn(there)).expect("counted"),
        };
        rewinder.counters.asked.increment();
        if rewinder.unanswered == 0 {
            rewinder.since_ns = now_ns;
        }
        rewinder.unanswered = rewinder.unanswered.saturating_add(1);
        let waited_ns = now_ns.saturating_sub(rewinder.since_ns);
        if there > 0 && rewinder.unanswered >= UNANSWERED_MAX && waited_ns >= self.patience_ns {
            rewinder.passed_until_ns = now_ns.saturating_add(rewinder.pass_ns);
            rewinder.pass_ns = (rewinder.pass_ns * 2).min(PASS_NS_MAX);
            rewinder.counters.passed_over.increment();
        }
        rewinder.address
    }

    /// This one has answered, if it is one of them.
    pub fn answered(&mut self, from: SocketAddrV4) {
        if let Some(rewinder) = self.rewinders.iter_mut().find(|rewinder| rewinder.address == from) {
            rewinder.counters.answered.increment();
            (rewinder.unanswered, rewinder.passed_until_ns, rewinder.pass_ns) = (0, 0, PASS_NS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE_NS: u64 = 5 * MILLISECOND_NS;

    fn address(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([127, 0, 0, 1].into(), port)
    }

    fn nearest() -> Nearest {
        Nearest::new(&[address(1), address(2), address(3)], PATIENCE_NS)
    }

    #[test]
    fn should_ask_the_first_and_the_others_only_for_what_it_did_not_answer() {
        let mut nearest = nearest();
        for attempt in [0, 0, 1, 2, 3, 0] {
            let expected = address(attempt as u16 % 3 + 1);
            assert_eq!(nearest.ask(0, attempt), expected, "attempt {attempt}");
            nearest.answered(expected);
        }
        let asked: Vec<u64> = nearest.counters().map(|(_, counters)| counters.asked.get()).collect();
        assert_eq!(asked, [4, 1, 1]);
    }

    #[test]
    fn should_pass_over_a_silent_one_and_come_back_to_it_with_one_request() {
        let mut nearest = nearest();
        let mut now_ns = 0;
        let mut asked_first = Vec::new();
        // A gap each millisecond; only the second and the third answer.
        while now_ns < 2 * SECOND_NS {
            let mut attempt = 0;
            while nearest.ask(now_ns, attempt) == address(1) {
                asked_first.push(now_ns / MILLISECOND_NS);
                attempt += 1;
            }
            nearest.answered(address(2));
            now_ns += MILLISECOND_NS;
        }
        assert_eq!(asked_first, [0, 1, 2, 3, 4, 5, 105, 305, 705, 1505]);
        assert_eq!(nearest.counters().next().unwrap().1.passed_over.get(), 5);
        nearest.answered(address(1));
        for _ in 0..9 {
            assert_eq!(nearest.ask(now_ns, 0), address(1), "it is back");
        }
    }

    #[test]
    fn should_not_pass_over_one_that_is_asked_for_much_at_once() {
        let mut nearest = nearest();
        for _ in 0..100 {
            assert_eq!(nearest.ask(0, 0), address(1));
        }
        nearest.answered(address(1));
        assert_eq!(nearest.ask(PATIENCE_NS, 0), address(1));
    }

    #[test]
    fn should_ask_all_in_turn_when_none_answers() {
        let mut nearest = nearest();
        for attempt in 0..1_000 {
            nearest.ask(u64::from(attempt) * MILLISECOND_NS, attempt);
        }
        for (address, counters) in nearest.counters() {
            assert!(counters.asked.get() > 250, "{address} was asked {} times", counters.asked.get());
        }
    }
}
