//! A node's dealings with the register: one swap at a time, open until its outcome is known.
//!
//! An answer that does not come says nothing, and neither does a read that shows the old revision: the request may still arrive (R2). So
//! a swap stays open, and is asked for again, until the register has moved on.
use super::register::{RegisterAnswer, RegisterPort, RegisterRequest, RegisterState, RegisterValue};
use crate::mutation::{Mutation, active};

/// A swap whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenSwap {
    revision: u64,
    value: RegisterValue,
}

/// What a node knows of the register, and what it asks of it.
#[derive(Debug)]
pub(super) struct RegisterClient {
    known: RegisterState,
    open: Option<OpenSwap>,
    read_wanted: bool,
    /// A request is under way.
    waiting: bool,
    /// The swap that it asks for, if it is one. It need not be the one that is open: that may have been abandoned, and another proposed.
    asked: Option<OpenSwap>,
    /// Nothing is asked before this time.
    due_ns: u64,
    retry_ns: u64,
    /// Answers that no cluster can have come to, or of another stream: as good as none.
    unfit: u64,
}

impl RegisterClient {
    /// It was read as `known`. After silence it is asked again `retry_ns` later.
    pub fn new(known: RegisterState, retry_ns: u64) -> Self {
        Self {
            known,
            open: None,
            read_wanted: false,
            waiting: false,
            asked: None,
            due_ns: 0,
            retry_ns,
            unfit: 0,
        }
    }

    /// What it was last known to hold.
    pub fn known(&self) -> &RegisterState {
        &self.known
    }

    /// What it may hold already: the value of the open swap.
    pub fn proposed(&self) -> Option<&RegisterValue> {
        self.open.as_ref().map(|open| &open.value)
    }

    /// Asks for this value in the place of the one known. There must be no open swap.
    pub fn propose(&mut self, value: RegisterValue) {
        assert!(self.open.is_none(), "one swap at a time: the outcome of the one before is not known");
        self.open = Some(OpenSwap { revision: self.known.revision, value });
    }

    /// Asks for the open swap no more. It may still happen: only who commits nothing by it may do this.
    pub fn abandon(&mut self) {
        if self.open.take().is_some() {
            self.read_wanted = true;
        }
    }

    /// Wants to know what it holds now.
    pub fn want_read(&mut self) {
        self.read_wanted = true;
    }

    /// Takes the answer, if one has come, and asks what is due. True when what is known has changed.
    pub fn duty(&mut self, now_ns: u64, port: &mut dyn RegisterPort) -> bool {
        let changed = port.poll().is_some_and(|answer| self.answered(now_ns, answer));
        if !self.waiting && now_ns >= self.due_ns {
            let request = match &self.open {
                Some(open) => RegisterRequest::Swap { revision: open.revision, value: open.value.clone() },
                None if self.read_wanted => RegisterRequest::Read,
                None => return changed,
            };
            self.waiting = port.ask(&request);
            self.asked = self.open.clone().filter(|_| self.waiting);
        }
        changed
    }

    fn answered(&mut self, now_ns: u64, answer: RegisterAnswer) -> bool {
        self.waiting = false;
        let asked = self.asked.take();
        if active(Mutation::SilenceIsNo) && !matches!(answer, RegisterAnswer::Swapped(_)) {
            self.open = None;
        }
        match answer {
            RegisterAnswer::Swapped(revision) if asked == self.open => match self.open.take() {
                Some(open) => self.learn(RegisterState { revision, value: Some(open.value) }),
                None => false,
            },
            RegisterAnswer::Swapped(_) => {
                // It was abandoned meanwhile. What has been proposed since names an older revision, and will be refused.
                self.read_wanted = true;
                false
            }
            RegisterAnswer::Holds(state) if !self.is_possible(&state) => {
                self.unfit += 1;
                self.due_ns = now_ns.saturating_add(self.retry_ns);
                false
            }
            RegisterAnswer::Holds(state) => {
                self.read_wanted = false;
                self.learn(state)
            }
            RegisterAnswer::Silence => {
                self.due_ns = now_ns.saturating_add(self.retry_ns);
                false
            }
        }
    }

    /// How many answers were as good as none.
    pub fn unfit(&self) -> u64 {
        self.unfit
    }

    /// Whether the register of this cluster can hold this: its stream, and nothing older than was known.
    fn is_possible(&self, state: &RegisterState) -> bool {
        let (known, Some(value)) = (self.known.value.as_ref(), &state.value) else { return true };
        let goes_on = known.is_none_or(|known| known.stream == value.stream && known.epoch <= value.epoch);
        value.flaw().is_none() && (goes_on || state.revision <= self.known.revision)
    }

    fn learn(&mut self, state: RegisterState) -> bool {
        if state.revision <= self.known.revision {
            return false;
        }
        if self.open.as_ref().is_some_and(|open| open.revision < state.revision) {
            self.open = None;
        }
        self.known = state;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::member::{Member, NodeId, Set};
    use super::*;
    use crate::label::SessionNames;
    use gds_wire::session::Session;
    use std::collections::VecDeque;

    #[derive(Default)]
    struct Port {
        asked: Vec<RegisterRequest>,
        answers: VecDeque<RegisterAnswer>,
    }

    impl RegisterPort for Port {
        fn ask(&mut self, request: &RegisterRequest) -> bool {
            self.asked.push(request.clone());
            true
        }

        fn poll(&mut self) -> Option<RegisterAnswer> {
            self.answers.pop_front()
        }
    }

    fn value(epoch: u32) -> RegisterValue {
        let member = Member { node: NodeId(1), incarnation: 1 };
        RegisterValue {
            stream: Session(*b"1700000000"),
            epoch,
            leader: NodeId(1),
            set: Set::of(member),
            sessions: SessionNames::default(),
        }
    }

    fn state(revision: u64, epoch: u32) -> RegisterState {
        RegisterState { revision, value: Some(value(epoch)) }
    }

    #[test]
    fn a_swap_stays_open_until_the_register_has_moved_on() {
        let (mut client, mut port) = (RegisterClient::new(state(4, 1), 100), Port::default());
        client.propose(value(2));
        assert!(!client.duty(0, &mut port));
        assert!(!client.duty(1, &mut port));
        assert_eq!(port.asked.len(), 1, "one request at a time");

        port.answers.push_back(RegisterAnswer::Silence);
        assert!(!client.duty(10, &mut port));
        assert!(!client.duty(109, &mut port));
        assert_eq!(port.asked.len(), 1);
        assert!(!client.duty(110, &mut port));
        assert_eq!(port.asked[0], port.asked[1], "the same swap again");

        port.answers.push_back(RegisterAnswer::Holds(state(4, 1)));
        assert!(!client.duty(111, &mut port), "the old revision says nothing");
        assert!(client.proposed().is_some());
        port.answers.push_back(RegisterAnswer::Holds(state(5, 2)));
        assert!(client.duty(112, &mut port));
        assert_eq!((client.known().revision, client.proposed()), (5, None));
    }

    #[test]
    fn what_no_cluster_can_have_come_to_is_as_good_as_no_answer() {
        let (mut client, mut port) = (RegisterClient::new(state(4, 3), 100), Port::default());
        let of = |change: &dyn Fn(&mut RegisterValue)| {
            let mut value = value(4);
            change(&mut value);
            RegisterAnswer::Holds(RegisterState { revision: 9, value: Some(value) })
        };
        let member = |node, incarnation| Member { node: NodeId(node), incarnation };
        let cases: [&dyn Fn(&mut RegisterValue); 8] = [
            &|value| value.epoch = u32::MAX,
            &|value| value.epoch = 0,
            &|value| value.epoch = 2,
            &|value| value.leader = NodeId(2),
            &|value| value.set = Set::default(),
            &|value| value.set = Set::of(member(1, u64::MAX)),
            &|value| value.set = Set::of(member(1, 1)).with(member(0, 1)),
            &|value| value.stream = Session(*b"OTHER     "),
        ];
        for (count, case) in cases.into_iter().enumerate() {
            client.want_read();
            let now_ns = count as u64 * 1_000;
            client.duty(now_ns, &mut port);
            port.answers.push_back(of(case));
            assert!(!client.duty(now_ns + 1, &mut port), "case {count}");
            assert_eq!((client.known(), client.unfit()), (&state(4, 3), count as u64 + 1));
        }
        client.duty(1 << 40, &mut port);
        port.answers.push_back(of(&|_| ()));
        assert!(client.duty((1 << 40) + 1, &mut port), "it is asked again");
        assert_eq!(client.known().value.as_ref().map(|value| value.epoch), Some(4));
    }

    #[test]
    fn a_swap_that_was_done_is_known_with_its_revision() {
        let (mut client, mut port) = (RegisterClient::new(state(4, 1), 100), Port::default());
        client.propose(value(2));
        client.duty(0, &mut port);
        port.answers.push_back(RegisterAnswer::Swapped(9));
        assert!(client.duty(1, &mut port));
        assert_eq!(client.known(), &state(9, 2));
    }

    #[test]
    fn what_was_abandoned_is_found_out_by_reading() {
        let (mut client, mut port) = (RegisterClient::new(state(4, 1), 100), Port::default());
        client.propose(value(2));
        client.duty(0, &mut port);
        client.abandon();
        port.answers.push_back(RegisterAnswer::Swapped(5));
        assert!(!client.duty(1, &mut port));
        assert_eq!(port.asked[1], RegisterRequest::Read);
        port.answers.push_back(RegisterAnswer::Holds(state(5, 2)));
        assert!(client.duty(2, &mut port));
    }

    #[test]
    fn an_answer_to_what_was_abandoned_is_none_to_what_was_proposed_since() {
        let (mut client, mut port) = (RegisterClient::new(state(4, 1), 100), Port::default());
        client.propose(value(2));
        client.duty(0, &mut port);
        client.abandon();
        client.propose(value(3));
        port.answers.push_back(RegisterAnswer::Swapped(5));
        assert!(!client.duty(1, &mut port), "epoch 2 is in the register, and not epoch 3");
        assert_eq!(port.asked[1], RegisterRequest::Swap { revision: 4, value: value(3) });
        port.answers.push_back(RegisterAnswer::Holds(state(5, 2)));
        assert!(client.duty(2, &mut port));
        assert_eq!((client.known(), client.proposed()), (&state(5, 2), None));
    }
}
