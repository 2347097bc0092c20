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
}

impl RegisterClient {
    /// It was read as `known`. After silence it is asked again `retry_ns` later.
    pub fn new(known: RegisterState, retry_ns: u64) -> Self {
        Self { known, open: None, read_wanted: false, waiting: false, asked: None, due_ns: 0, retry_ns }
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
            RegisterAnswer::Holds(state) => {
                self.read_wanted = false;
                self.learn(state)
            }
            RegisterAnswer::Silence => {
                self.due_ns = now_ns + self.retry_ns;
                false
            }
        }
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
