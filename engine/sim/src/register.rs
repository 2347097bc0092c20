//! The register that says who leads, as a service that may be late, silent, or away.
//!
//! It is one value, swapped as a whole and compared by its revision, and never wrong. What goes wrong is the way there and back: a request
//! may be lost, or arrive long after its asker has given it up or has died; an answer may be lost or late; for a while nobody may reach
//! it, or one node may not. An asker that hears nothing within its time is told so and knows nothing.
use crate::clock::SharedClock;
use gds_core::mutation::{Mutation, active};
use gds_core::random::Random;
use gds_core::replication::{RegisterAnswer, RegisterPort, RegisterRequest, RegisterState, RegisterValue};
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// How bad the ways to the register are.
#[derive(Clone, Copy, Debug)]
pub struct RegisterFaults {
    /// Requests, and answers, that are lost, per thousand each.
    pub loss_per_mille: u64,
    /// Longest way, mostly.
    pub delay_max_ns: u64,
    /// Requests, and answers, that take much longer, per thousand each.
    pub late_per_mille: u64,
    /// ... up to this.
    pub late_max_ns: u64,
}

impl RegisterFaults {
    /// The register on its good days.
    pub const NONE: Self =
        Self { loss_per_mille: 0, delay_max_ns: 500 * MICROSECOND_NS, late_per_mille: 0, late_max_ns: 0 };
}

/// What became of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterFates {
    /// Reads that arrived.
    pub reads: u64,
    /// Swaps that happened.
    pub swaps: u64,
    /// Swaps that were refused.
    pub refused: u64,
    /// Requests that never arrived.
    pub lost: u64,
    /// Swaps that happened after their asker had died or given up.
    pub orphaned: u64,
    /// Askers that heard nothing.
    pub silences: u64,
}

/// A request on its way.
struct UnderWay {
    node: usize,
    ticket: u64,
    request: RegisterRequest,
}

/// The register.
pub struct Register {
    /// What goes wrong at present.
    pub faults: RegisterFaults,
    /// What became of requests.
    pub fates: RegisterFates,
    /// Each value it ever held, with its revision.
    pub history: Vec<(u64, RegisterValue)>,
    /// Revisions that no node asked for, but a person.
    pub forced: BTreeSet<u64>,
    clock: SharedClock,
    random: Random,
    state: RegisterState,
    /// Nobody reaches it until then.
    away_until_ns: u64,
    /// Nodes that do not reach it, and until when.
    cuts: BTreeMap<usize, u64>,
    /// By the time they arrive, and their ticket.
    under_way: BTreeMap<(u64, u64), UnderWay>,
    /// Answers by ticket, with the time they arrive.
    answers: BTreeMap<u64, (u64, RegisterAnswer)>,
    /// Tickets that somebody waits for.
    open: BTreeSet<u64>,
    tickets: u64,
}

/// The register, shared in one thread.
pub type SharedRegister = Rc<RefCell<Register>>;

impl Register {
    /// A register that has never held anything.
    pub fn new(seed: u64, clock: &SharedClock) -> SharedRegister {
        Rc::new(RefCell::new(Self {
            faults: RegisterFaults::NONE,
            fates: RegisterFates::default(),
            history: Vec::new(),
            forced: BTreeSet::new(),
            clock: clock.clone(),
            random: Random::new(seed),
            state: RegisterState { revision: 0, value: None },
            away_until_ns: 0,
            cuts: BTreeMap::new(),
            under_way: BTreeMap::new(),
            answers: BTreeMap::new(),
            open: BTreeSet::new(),
            tickets: 0,
        }))
    }

    /// What it holds.
    pub fn state(&mut self) -> &RegisterState {
        self.settle();
        &self.state
    }

    /// Nobody reaches it until then.
    pub fn go_away(&mut self, until_ns: u64) {
        self.away_until_ns = until_ns.max(self.away_until_ns);
    }

    /// A node does not reach it until then.
    pub fn cut(&mut self, node: usize, until_ns: u64) {
        let until = self.cuts.entry(node).or_default();
        *until = until_ns.max(*until);
    }

    /// Everybody reaches it, and at once. What is on its way arrives when it would have.
    pub fn heal(&mut self) {
        self.settle();
        (self.faults, self.away_until_ns) = (RegisterFaults::NONE, 0);
        self.cuts.clear();
    }

    /// Whether requests are on their way.
    pub fn is_busy(&mut self) -> bool {
        self.settle();
        !self.under_way.is_empty()
    }

    /// What it holds, as a node that asks and waits hears it; `None`: nothing is heard.
    pub fn read_at_once(&mut self, node: usize) -> Option<RegisterState> {
        self.settle();
        let reached = self.reached_ns(node, self.clock.now_ns()) == self.clock.now_ns();
        let heard = reached && !self.random.chance(self.faults.loss_per_mille, 1000);
        heard.then(|| self.state.clone())
    }

    /// A first value from a node that asks and waits; what the register holds then. `None`: nothing is heard.
    pub fn swap_at_once(&mut self, node: usize, value: RegisterValue) -> Option<RegisterState> {
        self.read_at_once(node)?;
        if self.state.value.is_none() {
            self.history.push((1, value.clone()));
            self.state = RegisterState { revision: 1, value: Some(value) };
        }
        self.read_at_once(node)
    }

    /// A person puts this value into it, whatever it held.
    pub fn force(&mut self, value: RegisterValue) {
        self.settle();
        let newest = self.history.last().map_or(0, |(revision, _)| *revision);
        let revision = newest.max(self.state.revision) + 1;
        self.forced.insert(revision);
        self.history.push((revision, value.clone()));
        self.state = RegisterState { revision, value: Some(value) };
    }

    /// Everything that has arrived by now takes place, in order.
    pub fn settle(&mut self) {
        let now_ns = self.clock.now_ns();
        while let Some(entry) = self.under_way.first_entry() {
            let (at_ns, ticket) = *entry.key();
            if at_ns > now_ns {
                return;
            }
            let asked = entry.remove();
            let reached_ns = self.reached_ns(asked.node, at_ns);
            if reached_ns == at_ns {
                self.arrive(at_ns, asked);
            } else if self.random.chance(1, 2) {
                // It waits somewhere on the way, and goes on when it can.
                let again_ns = reached_ns + self.delay_ns();
                self.under_way.insert((again_ns, ticket), asked);
            } else {
                self.fates.lost += 1;
            }
        }
    }

    /// The first time from `at_ns` on at which the node reaches the register.
    fn reached_ns(&self, node: usize, at_ns: u64) -> u64 {
        let cut_until_ns = self.cuts.get(&node).copied().unwrap_or(0);
        at_ns.max(self.away_until_ns).max(cut_until_ns)
    }

    fn arrive(&mut self, at_ns: u64, asked: UnderWay) {
        let answer = match asked.request {
            RegisterRequest::Read => {
                self.fates.reads += 1;
                RegisterAnswer::Holds(self.state.clone())
            }
            RegisterRequest::Swap { revision, value } => {
                if self.is_same(revision) {
                    self.fates.swaps += 1;
                    self.fates.orphaned += u64::from(!self.open.contains(&asked.ticket));
                    // Other keys of the service have revisions too.
                    let revision = self.state.revision + 1 + self.random.below(3);
                    self.history.push((revision, value.clone()));
                    self.state = RegisterState { revision, value: Some(value) };
                    RegisterAnswer::Swapped(revision)
                } else {
                    self.fates.refused += 1;
                    RegisterAnswer::Holds(self.state.clone())
                }
            }
        };
        let lost = self.random.chance(self.faults.loss_per_mille, 1000);
        if self.open.contains(&asked.ticket) && !lost {
            let due_ns = at_ns + self.delay_ns();
            self.answers.insert(asked.ticket, (due_ns, answer));
        }
    }

    fn is_same(&self, revision: u64) -> bool {
        if active(Mutation::RegisterByEpoch) {
            let epoch_of = |revision| {
                let held = self.history.iter().rev().find(|(held, _)| *held <= revision);
                held.map_or(0, |(_, value)| value.epoch)
            };
            return epoch_of(revision) == epoch_of(self.state.revision);
        }
        revision == self.state.revision
    }

    fn ask(&mut self, node: usize, request: RegisterRequest) -> u64 {
        self.settle();
        self.tickets += 1;
        let ticket = self.tickets;
        self.open.insert(ticket);
        if self.random.chance(self.faults.loss_per_mille, 1000) {
            self.fates.lost += 1;
        } else {
            let at_ns = self.clock.now_ns() + self.delay_ns();
            self.under_way.insert((at_ns, ticket), UnderWay { node, ticket, request });
        }
        ticket
    }

    fn delay_ns(&mut self) -> u64 {
        let late = self.random.chance(self.faults.late_per_mille, 1000);
        let longest_ns = if late { self.faults.late_max_ns } else { self.faults.delay_max_ns };
        1 + self.random.below(longest_ns + 1)
    }

    fn take_answer(&mut self, ticket: u64) -> Option<RegisterAnswer> {
        self.settle();
        let (due_ns, _) = self.answers.get(&ticket)?;
        if *due_ns > self.clock.now_ns() {
            return None;
        }
        self.close(ticket).map(|(_, answer)| answer)
    }

    fn close(&mut self, ticket: u64) -> Option<(u64, RegisterAnswer)> {
        self.open.remove(&ticket);
        self.answers.remove(&ticket)
    }
}

/// What lies between a process and whoever carries its requests: the process never waits for it.
#[derive(Default)]
struct Mailbox {
    request: Option<RegisterRequest>,
    answer: Option<RegisterAnswer>,
    /// A request has no answer yet.
    waits: bool,
}

/// A process's end of its way to the register.
pub struct SimulatedRegister(Arc<Mutex<Mailbox>>);

impl RegisterPort for SimulatedRegister {
    fn ask(&mut self, request: &RegisterRequest) -> bool {
        let mut mailbox = self.0.lock().expect("nobody panics while holding it");
        if mailbox.waits {
            return false;
        }
        (mailbox.request, mailbox.waits) = (Some(request.clone()), true);
        true
    }

    fn poll(&mut self) -> Option<RegisterAnswer> {
        let mut mailbox = self.0.lock().expect("nobody panics while holding it");
        let answer = mailbox.answer.take();
        mailbox.waits &= answer.is_none();
        answer
    }
}

/// Carries what one process asks to the register, and what it hears back.
pub struct RegisterLine {
    register: SharedRegister,
    mailbox: Arc<Mutex<Mailbox>>,
    node: usize,
    /// What is waited for, and since when.
    asked: Option<(u64, u64)>,
    silence_ns: u64,
}

impl RegisterLine {
    /// The line of one process of a node, and the process's end of it. It waits `silence_ns` for an answer.
    pub fn new(register: &SharedRegister, node: usize, silence_ns: u64) -> (Self, SimulatedRegister) {
        let mailbox: Arc<Mutex<Mailbox>> = Arc::default();
        let port = SimulatedRegister(mailbox.clone());
        (Self { register: register.clone(), mailbox, node, asked: None, silence_ns }, port)
    }

    /// Carries what there is, both ways. What a process asked in the lap in which it died may have left it or not.
    pub fn carry(&mut self, is_dead: bool) {
        let mut mailbox = self.mailbox.lock().expect("nobody panics while holding it");
        let mut register = self.register.borrow_mut();
        let now_ns = register.clock.now_ns();
        if let Some(request) = mailbox.request.take()
            && (!is_dead || register.random.chance(1, 2))
        {
            self.asked = Some((register.ask(self.node, request), now_ns));
        }
        let Some((ticket, asked_ns)) = self.asked else { return };
        if let Some(answer) = register.take_answer(ticket) {
            (mailbox.answer, self.asked) = (Some(answer), None);
        } else if now_ns >= asked_ns + self.silence_ns {
            register.close(ticket);
            register.fates.silences += 1;
            (mailbox.answer, self.asked) = (Some(RegisterAnswer::Silence), None);
        }
    }
}

impl Drop for RegisterLine {
    fn drop(&mut self) {
        if let Some((ticket, _)) = self.asked {
            self.register.borrow_mut().close(ticket);
        }
    }
}

/// How long a process waits for an answer.
pub const ANSWER_WAIT_NS: u64 = 5 * MILLISECOND_NS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use gds_core::label::SessionNames;
    use gds_core::replication::{Member, NodeId, Set};
    use gds_wire::session::Session;

    fn value(epoch: u32) -> RegisterValue {
        let leader = NodeId(1);
        let set = Set::of(Member { node: leader, incarnation: 1 });
        RegisterValue { stream: Session::BLANK, epoch, leader, set, sessions: SessionNames::default() }
    }

    /// Nodes with their ways to one register.
    fn lines(count: usize) -> (SharedClock, SharedRegister, Vec<(RegisterLine, SimulatedRegister)>) {
        let clock = SharedClock::new(Clock::default());
        let register = Register::new(1, &clock);
        let lines = (0..count).map(|node| RegisterLine::new(&register, node, ANSWER_WAIT_NS)).collect();
        (clock, register, lines)
    }

    fn answer(clock: &SharedClock, (line, port): &mut (RegisterLine, SimulatedRegister)) -> RegisterAnswer {
        loop {
            clock.advance(MICROSECOND_NS);
            line.carry(false);
            if let Some(answer) = port.poll() {
                return answer;
            }
        }
    }

    fn ask(lines: &mut [(RegisterLine, SimulatedRegister)], request: &RegisterRequest) {
        for (line, port) in lines {
            assert!(port.ask(request));
            assert!(!port.ask(&RegisterRequest::Read), "one at a time");
            line.carry(false);
        }
    }

    #[test]
    fn should_take_one_of_two_swaps_of_the_same_revision() {
        let (clock, register, mut lines) = lines(2);
        ask(&mut lines[..1], &RegisterRequest::Swap { revision: 0, value: value(1) });
        ask(&mut lines[1..], &RegisterRequest::Swap { revision: 0, value: value(2) });
        let answers: Vec<RegisterAnswer> = lines.iter_mut().map(|line| answer(&clock, line)).collect();
        let state = register.borrow_mut().state().clone();
        assert_eq!(register.borrow().fates.swaps, 1);
        assert!(answers.contains(&RegisterAnswer::Swapped(state.revision)), "{answers:?}");
        assert!(answers.contains(&RegisterAnswer::Holds(state)), "{answers:?}");
    }

    #[test]
    fn should_let_a_swap_happen_after_its_asker_gave_it_up() {
        let (clock, register, mut lines) = lines(1);
        let late_ns = 100 * MILLISECOND_NS;
        register.borrow_mut().faults =
            RegisterFaults { late_per_mille: 1000, late_max_ns: late_ns, ..RegisterFaults::NONE };
        ask(&mut lines, &RegisterRequest::Swap { revision: 0, value: value(1) });
        assert_eq!(answer(&clock, &mut lines[0]), RegisterAnswer::Silence);
        clock.advance(late_ns);
        assert!(register.borrow_mut().state().value.is_some());
        assert_eq!(register.borrow().fates.orphaned, 1);
    }

    #[test]
    fn should_refuse_swaps_of_what_was_there_before_a_person_put_something_else() {
        let (clock, register, mut lines) = lines(1);
        ask(&mut lines, &RegisterRequest::Swap { revision: 0, value: value(1) });
        register.borrow_mut().force(value(7));
        let RegisterAnswer::Holds(state) = answer(&clock, &mut lines[0]) else { panic!("it was swapped") };
        assert_eq!(state.value, Some(value(7)));
        assert!(register.borrow().forced.contains(&state.revision));
    }

    #[test]
    fn should_be_silent_while_it_is_away_or_cut_off() {
        let (clock, register, mut lines) = lines(2);
        register.borrow_mut().cut(0, MILLISECOND_NS * 20);
        ask(&mut lines, &RegisterRequest::Read);
        assert_eq!(answer(&clock, &mut lines[0]), RegisterAnswer::Silence);
        assert!(matches!(answer(&clock, &mut lines[1]), RegisterAnswer::Holds(_)));
        register.borrow_mut().go_away(clock.now_ns() + MILLISECOND_NS);
        assert!(register.borrow_mut().read_at_once(1).is_none());
        clock.advance(MILLISECOND_NS);
        assert!(register.borrow_mut().read_at_once(1).is_some());
    }
}
