//! The keeper: every request is answered, trouble is visible, and a register that goes back is not believed.
mod common;

use common::value;
use gds_core::replication::{RegisterAnswer, RegisterPort, RegisterRequest, RegisterState, RegisterValue};
use gds_register::{Keeper, KeeperPort, LockFile, Register, RegisterError, SharedRegister, SwapAnswer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fs, thread};

fn answer(port: &mut dyn RegisterPort) -> RegisterAnswer {
    loop {
        match port.poll() {
            Some(answer) => return answer,
            None => thread::yield_now(),
        }
    }
}

fn ask(port: &mut dyn RegisterPort, request: &RegisterRequest) -> RegisterAnswer {
    assert!(port.ask(request), "nothing is under way");
    let answer = answer(port);
    assert_eq!(port.poll(), None, "an answer comes once");
    answer
}

fn swap(revision: u64, value: RegisterValue) -> RegisterRequest {
    RegisterRequest::Swap { revision, value }
}

#[test]
fn every_request_is_answered_and_counted() {
    let register = SharedRegister::new();
    let (keeper, mut port) = Keeper::start(Box::new(register.clone())).expect("a thread");
    let empty = RegisterState { revision: 0, value: None };
    assert_eq!(ask(&mut port, &RegisterRequest::Read), RegisterAnswer::Holds(empty));
    assert_eq!(ask(&mut port, &swap(0, value(1, 1, 1))), RegisterAnswer::Swapped(1));
    let state = RegisterState { revision: 1, value: Some(value(1, 1, 1)) };
    assert_eq!(ask(&mut port, &swap(0, value(1, 2, 1))), RegisterAnswer::Holds(state.clone()));
    let mut other = register.port();
    assert_eq!(ask(&mut other, &RegisterRequest::Read), RegisterAnswer::Holds(state));
    assert_eq!(ask(&mut other, &swap(1, value(2, 2, 1))), RegisterAnswer::Swapped(2));
    for epoch in 3..2_000 {
        let next = swap(u64::from(epoch) - 1, value(epoch, 1, 1));
        assert_eq!(ask(&mut port, &next), RegisterAnswer::Swapped(u64::from(epoch)));
    }
    let counters = keeper.counters();
    assert_eq!((counters.asked.get(), counters.swapped.get()), (2_000, 1_998));
    assert_eq!((counters.refused.get(), counters.silent.get()), (1, 0));
    assert_eq!(keeper.trouble(), None);
}

/// A register that says when it is asked, and answers what it is given.
struct Staged {
    asked: Sender<()>,
    answers: Receiver<Result<RegisterState, RegisterError>>,
}

impl Register for Staged {
    fn read(&mut self) -> Result<RegisterState, RegisterError> {
        self.asked.send(()).expect("the test listens");
        self.answers.recv().expect("the test answers")
    }

    fn swap(&mut self, _: u64, _: &RegisterValue) -> Result<SwapAnswer, RegisterError> {
        self.read().map(SwapAnswer::Holds)
    }
}

#[test]
fn one_request_at_a_time_is_under_way() {
    let (asked, was_asked) = channel();
    let (give, answers) = channel();
    let (_keeper, mut port) = Keeper::start(Box::new(Staged { asked, answers })).expect("a thread");
    assert!(port.ask(&RegisterRequest::Read));
    was_asked.recv().expect("asked");
    assert!(!port.ask(&RegisterRequest::Read), "the first has no answer yet");
    assert_eq!(port.poll(), None);
    give.send(Ok(RegisterState { revision: 1, value: Some(value(1, 1, 1)) })).expect("it waits");
    assert!(matches!(answer(&mut port), RegisterAnswer::Holds(state) if state.revision == 1));
    assert!(port.ask(&RegisterRequest::Read), "the way is free again");
    was_asked.recv().expect("asked");
    give.send(Ok(RegisterState { revision: 1, value: Some(value(1, 1, 1)) })).expect("it waits");
}

#[test]
fn a_register_that_goes_back_is_not_believed() {
    let (asked, _was_asked) = channel();
    let (give, answers) = channel();
    let (keeper, mut port) = Keeper::start(Box::new(Staged { asked, answers })).expect("a thread");
    let at = |revision| Ok(RegisterState { revision, value: Some(value(1, 1, 1)) });
    let mut next = |state| {
        give.send(state).expect("it waits");
        ask(&mut port, &RegisterRequest::Read)
    };
    assert!(matches!(next(at(7)), RegisterAnswer::Holds(_)));
    assert_eq!(next(at(6)), RegisterAnswer::Silence);
    let trouble = keeper.trouble().expect("it is told");
    assert!(trouble.contains("from revision 7 to 6"), "{trouble}");
    assert_eq!(next(Ok(RegisterState { revision: 0, value: None })), RegisterAnswer::Silence);
    assert!(matches!(next(at(7)), RegisterAnswer::Holds(_)));
    assert_eq!(keeper.trouble(), None);
}

#[test]
fn trouble_is_silence_to_the_node_and_words_to_people_until_it_is_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("later/register");
    let (keeper, mut port) = Keeper::start(Box::new(LockFile::new(&path))).expect("a thread");
    assert_eq!(ask(&mut port, &swap(0, value(1, 1, 1))), RegisterAnswer::Silence);
    let trouble = keeper.trouble().expect("there is no such folder");
    assert!(trouble.contains("later/register"), "{trouble}");
    fs::create_dir(folder.path().join("later")).expect("a folder");
    assert_eq!(ask(&mut port, &swap(0, value(1, 1, 1))), RegisterAnswer::Swapped(1));
    assert_eq!((keeper.trouble(), keeper.counters().silent.get()), (None, 1));
}

#[test]
fn a_keeper_ends_whether_its_port_is_there_or_not() {
    let (keeper, port) = Keeper::start(Box::new(SharedRegister::new())).expect("a thread");
    drop(port);
    drop(keeper);
    let (keeper, mut port): (Keeper, KeeperPort) =
        Keeper::start(Box::new(SharedRegister::new())).expect("a thread");
    drop(keeper);
    port.ask(&RegisterRequest::Read);
    assert_eq!(port.poll(), None, "nobody is there to answer");
}
