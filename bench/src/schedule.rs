//! When operations are begun, and what became of them.
//!
//! | function | begins an operation | measures |
//! | --- | --- | --- |
//! | [`open_loop`] | when it is due, whatever became of those before it | latency from the time it was due |
//! | [`closed_loop`] | when the one before is answered | latency of the round trip |
//! | [`saturate`] | as soon as the target takes it | how many are answered in a second |
//! | [`send`] | as soon as the target takes it | nothing: it fills a store |
//!
//! # Open loop
//! Operation *i* is due at `start + i / rate`. With groups of *g*, those of a group come together: all of them are due when the first is, which
//! is never later than their own turn. The sender never waits for an answer. When it is late (it was not scheduled, the target's window was full, a call
//! took long), it sends at once what is due, and the latency still counts from when it was due: so a stall is seen by all who had to
//! wait for its end, and not by the one alone whom it met. (Recording only the time between sending and answer would omit just those;
//! [`closed_loop`] does so by its nature, and is for round trips on a quiet machine.)
//!
//! # What counts
//! The warm-up belongs to the same schedule and is left out of every figure. An answer is late when it comes more than [`GRACE`] after
//! the last operation was due; its latency counts like any other. What is not answered [`PATIENCE`] after that is lost. A run that lost
//! an answer, or did less than [`RATE_SHARE_MIN`] of its rate, has failed. Time is read once a lap: answers of one lap count as
//! heard at its end, so what the rig itself needs to take them is part of their latency.
use crate::measurement::histogram;
use gds_nic::{Idle, IdleStrategy, clock};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Answers so long after the end of the schedule are in time.
pub const GRACE: Duration = Duration::from_millis(100);
/// So long without an answer, and it is lost.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// The least share of its rate that a run must have reached.
pub const RATE_SHARE_MIN: f64 = 0.99;
/// Most operations begun between two looks at the answers.
const BURST: usize = 512;
/// Operations told apart at a time, a power of two. One that is so far behind the newest is lost.
const FLIGHT: u64 = 1 << 22;
/// The schedule begins so long after the call, so that the first operation is not late.
const LEAD_NS: u64 = 1_000_000;

/// Whatever takes operations and answers them. Operations are numbered from 0.
pub trait Target {
    /// Fetches what operation `number` is made of, which is about to be submitted: whoever has just made a message has it in the cache, so
    /// that is no part of what is measured.
    fn fetch(&mut self, _number: u64) {}

    /// Takes operation `number`, to be sent with the next [`Target::poll`] at the latest; false when there is no room for it now.
    fn submit(&mut self, number: u64) -> bool;

    /// Sends what was taken and calls `answered` with the number of each operation whose answer has come; returns how much it did.
    /// `now_ns` is the monotonic time of this lap.
    fn poll(&mut self, now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize;
}

/// How long, how fast, and what to do when there is nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Operations a second; for [`open_loop`] alone.
    pub rate: f64,
    /// How many operations are due together; for [`open_loop`] alone.
    pub group: u64,
    /// What comes before the measurement.
    pub warm_up: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// `Spin` on a core of its own; `Yield` where the core is shared.
    pub idle: IdleStrategy,
}

impl Plan {
    /// Measures for this long after a fifth of it as warm-up; one operation at a time, spinning.
    pub fn new(duration: Duration) -> Self {
        Self { rate: 0.0, group: 1, warm_up: duration / 5, duration, idle: IdleStrategy::Spin }
    }

    /// The same at a rate.
    pub fn at_rate(self, rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "a rate of {rate}");
        Self { rate, ..self }
    }

    /// The same with this many operations due together.
    pub fn in_groups_of(self, group: u64) -> Self {
        assert!(group > 0, "a group of none");
        Self { group, ..self }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations a second wanted.
    pub rate_wanted: Option<f64>,
    /// Operations a second answered.
    pub rate: f64,
    /// Operations begun, warm-up apart.
    pub sent: u64,
    /// Answered in time.
    pub answered: u64,
    /// Answered after the end.
    pub late: u64,
    /// From when they were due (open loop) or begun (closed loop); ns. Empty where only the rate was measured.
    pub latency: Histogram<u64>,
    /// How late the sender itself was; ns. Empty but for the open loop.
    pub lateness: Histogram<u64>,
    /// The longest time in which nothing was answered, ns. Of the open loop alone.
    pub longest_gap_ns: u64,
    /// Answers to operations that were answered before, or not begun.
    pub unexpected: u64,
}

impl Measured {
    /// Operations never answered.
    pub fn lost(&self) -> u64 {
        self.sent - self.answered - self.late
    }

    /// Why the run does not count, if it does not.
    pub fn failed(&self) -> Option<String> {
        if self.sent == 0 {
            return Some("nothing was sent".into());
        }
        let lost = (self.lost() > 0).then(|| format!("lost {} of {} answers", self.lost(), self.sent));
        let slow = self.rate_wanted.filter(|wanted| self.rate < wanted * RATE_SHARE_MIN);
        let slow = slow.map(|wanted| format!("reached {:.0} of {wanted:.0} operations a second", self.rate));
        let reasons: Vec<String> = lost.into_iter().chain(slow).collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}

/// Which operations are under way, and the answers of one lap.
struct Flight {
    /// One bit for each of the newest [`FLIGHT`] operations: begun and not answered.
    open: Vec<u64>,
    next: u64,
    open_count: u64,
    heard: Vec<u64>,
    unexpected: u64,
}

impl Flight {
    fn new() -> Self {
        Self {
            open: vec![0; (FLIGHT / 64) as usize],
            next: 0,
            open_count: 0,
            heard: Vec::with_capacity(1 << 16),
            unexpected: 0,
        }
    }

    fn place(number: u64) -> (usize, u64) {
        let bit = number % FLIGHT;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    /// The next operation was begun.
    fn begin(&mut self) {
        let (word, bit) = Self::place(self.next);
        // A bit that is still set is of an operation long lost: it stays unanswered.
        self.open_count += u64::from(self.open[word] & bit == 0);
        self.open[word] |= bit;
        self.next += 1;
    }

    /// An answer has come.
    fn answer(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if number >= self.next || self.next - number > FLIGHT || self.open[word] & bit == 0 {
            self.unexpected += 1;
            return;
        }
        self.open[word] &= !bit;
        self.open_count -= 1;
        self.heard.push(number);
    }

    /// One lap of the target; the answers are then in `heard`.
    fn poll(&mut self, target: &mut dyn Target, now_ns: u64) -> usize {
        self.heard.clear();
        target.poll(now_ns, &mut |number| self.answer(number))
    }
}

fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Sends on schedule; see the module.
pub fn open_loop(target: &mut dyn Target, plan: &Plan) -> Measured {
    open_loop_while(target, plan, &|| true)
}

/// The same, and no longer than `more` says.
pub fn open_loop_while(target: &mut dyn Target, plan: &Plan, more: &dyn Fn() -> bool) -> Measured {
    assert!(plan.rate > 0.0 && plan.group > 0, "{plan:?} is no schedule");
    let count = |duration: Duration| (plan.rate * duration.as_secs_f64()).round() as u64;
    let first = count(plan.warm_up).next_multiple_of(plan.group);
    let mut total = first + count(plan.duration).max(1);
    let start_ns = clock::monotonic_ns() + LEAD_NS;
    let spacing_ns = 1e9 / plan.rate;
    let due_ns = |number: u64| start_ns + ((number - number % plan.group) as f64 * spacing_ns) as u64;
    let mut end_ns = due_ns(total - 1) + ns(GRACE);
    let mut measured = Measured::begin(Some(plan.rate));
    let (mut flight, mut idle) = (Flight::new(), Idle::new(plan.idle));
    let (mut now_ns, mut last_ns, mut fetched) = (clock::monotonic_ns(), due_ns(first), None);
    while (flight.next < total || flight.open_count > 0) && now_ns < end_ns + ns(PATIENCE) {
        let mut work = 0;
        if (first + 1..total).contains(&flight.next) && !more() {
            total = flight.next;
            end_ns = due_ns(total - 1) + ns(GRACE);
        }
        while flight.next < total && work < BURST && due_ns(flight.next) <= now_ns {
            if !target.submit(flight.next) {
                break;
            }
            if flight.next >= first {
                measured.lateness.saturating_record((now_ns - due_ns(flight.next)).max(1));
            }
            flight.begin();
            work += 1;
        }
        work += flight.poll(target, now_ns);
        if work == 0 && fetched != Some(flight.next) {
            target.fetch(flight.next);
            fetched = Some(flight.next);
        }
        now_ns = clock::monotonic_ns();
        for &number in flight.heard.iter().filter(|number| **number >= first) {
            measured.latency.saturating_record((now_ns - due_ns(number)).max(1));
            if now_ns <= end_ns {
                measured.answered += 1
            } else {
                measured.late += 1
            }
            measured.longest_gap_ns = measured.longest_gap_ns.max(now_ns.saturating_sub(last_ns));
            last_ns = now_ns;
        }
        idle.idle(work);
    }
    measured.sent = flight.next.saturating_sub(first);
    measured.unexpected = flight.unexpected;
    let seconds = (last_ns - due_ns(first)) as f64 / 1e9;
    measured.rate = per_second(measured.answered + measured.late, seconds);
    measured
}

/// Begins so many operations as fast as the target takes them and waits until all are answered: to fill a store, not to measure.
///
/// # Errors
/// That no answer came for [`PATIENCE`].
pub fn send(target: &mut dyn Target, count: u64) -> Result<(), String> {
    let mut flight = Flight::new();
    let mut heard_ns = clock::monotonic_ns();
    while flight.next < count || flight.open_count > 0 {
        let mut begun = 0;
        while begun < BURST && flight.next < count && target.submit(flight.next) {
            flight.begin();
            begun += 1;
        }
        let now_ns = clock::monotonic_ns();
        flight.poll(target, now_ns);
        if !flight.heard.is_empty() {
            heard_ns = now_ns;
        } else if now_ns > heard_ns + ns(PATIENCE) {
            return Err(format!("{} of {count} were not answered", count - flight.next + flight.open_count));
        }
    }
    Ok(())
}

/// One operation at a time; see the module.
///
/// # Panics
/// When the target takes no operation though none is under way.
pub fn closed_loop(target: &mut dyn Target, plan: &Plan) -> Measured {
    let mut measured = Measured::begin(None);
    let (mut flight, mut idle) = (Flight::new(), Idle::new(plan.idle));
    let mut now_ns = clock::monotonic_ns();
    let first_ns = now_ns + ns(plan.warm_up);
    let end_ns = first_ns + ns(plan.duration);
    let mut measured_ns = 0;
    while now_ns < end_ns {
        target.fetch(flight.next);
        now_ns = clock::monotonic_ns();
        let begun_ns = now_ns;
        assert!(target.submit(flight.next), "the target takes no operation though none is under way");
        flight.begin();
        while flight.open_count > 0 && now_ns < begun_ns + ns(PATIENCE) {
            let work = flight.poll(target, now_ns);
            now_ns = clock::monotonic_ns();
            idle.idle(work);
        }
        let lost = flight.open_count > 0;
        if begun_ns < first_ns && !lost {
            continue;
        }
        measured.sent += 1;
        if lost {
            break;
        }
        measured.answered += 1;
        measured.latency.saturating_record((now_ns - begun_ns).max(1));
        measured_ns += now_ns - begun_ns;
    }
    measured.unexpected = flight.unexpected;
    measured.rate = per_second(measured.answered, measured_ns as f64 / 1e9);
    measured
}

/// As fast as it goes; see the module.
pub fn saturate(target: &mut dyn Target, plan: &Plan) -> Measured {
    let mut measured = Measured::begin(None);
    let (mut flight, mut idle) = (Flight::new(), Idle::new(plan.idle));
    let mut now_ns = clock::monotonic_ns();
    let first_ns = now_ns + ns(plan.warm_up);
    let end_ns = first_ns + ns(plan.duration);
    // The first operation that counts as sent, and the answers within the time measured.
    let (mut first, mut heard) = (None, 0);
    let mut last_ns = now_ns;
    while now_ns < end_ns || (flight.open_count > 0 && now_ns < last_ns.max(end_ns) + ns(PATIENCE)) {
        let mut work = 0;
        if now_ns >= first_ns {
            first.get_or_insert(flight.next);
        }
        while now_ns < end_ns && work < BURST && target.submit(flight.next) {
            flight.begin();
            work += 1;
        }
        work += flight.poll(target, now_ns);
        now_ns = clock::monotonic_ns();
        if !flight.heard.is_empty() {
            last_ns = now_ns;
        }
        if now_ns >= first_ns && now_ns < end_ns {
            heard += flight.heard.len() as u64;
        }
        let first = first.unwrap_or(u64::MAX);
        measured.answered += flight.heard.iter().filter(|number| **number >= first).count() as u64;
        idle.idle(work);
    }
    measured.sent = flight.next - first.unwrap_or(flight.next);
    measured.unexpected = flight.unexpected;
    measured.rate = per_second(heard, plan.duration.as_secs_f64());
    measured
}

impl Measured {
    /// What operations that were made one behind the other came to, all of which were answered.
    pub fn of_latencies(latency: Histogram<u64>) -> Self {
        let count = latency.len();
        let seconds = latency.mean() * count as f64 / 1e9;
        let rate = per_second(count, seconds);
        Self { rate, sent: count, answered: count, latency, ..Self::begin(None) }
    }

    fn begin(rate_wanted: Option<f64>) -> Self {
        Self {
            rate_wanted,
            rate: 0.0,
            sent: 0,
            answered: 0,
            late: 0,
            latency: histogram(),
            lateness: histogram(),
            longest_gap_ns: 0,
            unexpected: 0,
        }
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
