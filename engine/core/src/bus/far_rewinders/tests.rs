use super::*;
use crate::bus::tests::{TestPort, address, at_us};
use gds_wire::mold::PacketBuilder;
use std::sync::{Mutex, MutexGuard};

const STREAM: Session = Session(*b"1700000000");
const OUTCOMES: Session = Session(*b"B700000000");
const ASK_US: u64 = ASK_NS / 1_000;
const PATIENCE_US: u64 = PATIENCE_NS / 1_000;

/// A port that the test keeps a hand on.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<TestPort>>);

impl Wire {
    fn port(&self) -> MutexGuard<'_, TestPort> {
        self.0.lock().expect("one thread")
    }

    /// What has been asked since the last look: whom, and for what.
    fn asked(&self) -> Vec<(u16, Session, u64)> {
        let requests = std::mem::take(&mut self.port().outbox);
        let parse = |(to, request): (SocketAddrV4, Vec<u8>)| {
            let request = Request::parse(&request).expect("a request packet");
            assert_eq!(request.count, 1);
            (to.port(), request.session, request.sequence)
        };
        requests.into_iter().map(parse).collect()
    }

    fn answer(&self, from: u16, session: Session, sequence: u64) {
        let mut buffer = [0; 100];
        let mut builder = PacketBuilder::new(&mut buffer, session, sequence);
        assert!(builder.push(b"message"));
        let length = builder.finish();
        self.port().inbox.push_back((address(from), buffer[..length].to_vec()));
    }
}

impl DatagramPort for Wire {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        self.port().receive(limit, deliver)
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        self.port().send(to, datagram)
    }
}

/// Those at ports 1 and 2.
fn two() -> (FarRewinders, Wire) {
    let wire = Wire::default();
    (FarRewinders::new(&[address(1), address(2)], [STREAM, OUTCOMES], Box::new(wire.clone())), wire)
}

fn wanted(least: u64, most: u64) -> [Option<Wanted>; 2] {
    [Some(Wanted { least, most }), None]
}

fn lacks(far: &FarRewinders) -> Vec<u64> {
    far.counters().map(|(_, counters)| counters.lacks.get()).collect()
}

#[test]
fn should_ask_each_for_the_least_and_the_most_until_it_answers() {
    let (mut far, wire) = two();
    far.begin();
    far.duty(at_us(0), wanted(10, 90));
    assert_eq!(wire.asked(), [(1, STREAM, 10), (1, STREAM, 90), (2, STREAM, 10), (2, STREAM, 90)]);
    far.duty(at_us(1), wanted(10, 90));
    assert_eq!(wire.asked(), [], "it is not time");
    wire.answer(1, STREAM, 10);
    far.duty(at_us(ASK_US), wanted(10, 90));
    assert_eq!(wire.asked(), [(2, STREAM, 10), (2, STREAM, 90)]);
    assert!(!far.keep(0, 10), "one is not all");
    wire.answer(2, STREAM, 90);
    far.duty(at_us(ASK_US + 1), wanted(10, 90));
    assert!(far.keep(0, 10) && !far.keep(0, 11));
    far.duty(at_us(ASK_US + 2), wanted(20, 90));
    assert_eq!(
        wire.asked(),
        [(1, STREAM, 20), (1, STREAM, 90)],
        "the next at once, and only who may lack it"
    );
    wire.answer(1, STREAM, 90);
    far.duty(at_us(ASK_US + 3), wanted(20, 90));
    assert!(far.keep(0, 90));
    far.duty(at_us(2 * ASK_US), wanted(90, 90));
    assert_eq!(wire.asked(), [], "both keep everything");
}

#[test]
fn should_tell_the_two_sessions_apart_and_count_only_answers_to_what_is_asked() {
    let (mut far, wire) = two();
    let both = [Some(Wanted { least: 5, most: 5 }), Some(Wanted { least: 5, most: 5 })];
    far.begin();
    far.duty(at_us(0), both);
    assert_eq!(wire.asked().len(), 4);
    for (from, session, sequence) in
        [(1, OUTCOMES, 5), (2, OUTCOMES, 5), (1, STREAM, 6), (2, Session(*b"OTHER     "), 5), (3, STREAM, 5)]
    {
        wire.answer(from, session, sequence);
    }
    // A heartbeat has no message.
    let heartbeat = gds_wire::mold::heartbeat(STREAM, 5);
    wire.port().inbox.push_back((address(1), heartbeat.to_vec()));
    wire.port().inbox.push_back((address(1), b"no packet".to_vec()));
    far.duty(at_us(1), both);
    assert!(far.keep(1, 5) && !far.keep(0, 1));
    let answered: Vec<u64> = far.counters().map(|(_, counters)| counters.answered.get()).collect();
    assert_eq!(answered, [1, 1]);
}

#[test]
fn should_forget_between_rounds_what_was_answered() {
    let (mut far, wire) = two();
    far.begin();
    far.duty(at_us(0), wanted(10, 10));
    wire.answer(1, STREAM, 10);
    wire.answer(2, STREAM, 10);
    far.duty(at_us(1), wanted(10, 10));
    assert!(far.keep(0, 10));
    assert_eq!(wire.asked().len(), 2);
    far.begin();
    assert!(!far.keep(0, 1));
    far.duty(at_us(2), wanted(10, 10));
    assert_eq!(wire.asked().len(), 2, "both are asked at once");
}

#[test]
fn should_show_who_lacks_something_for_long_and_until_when() {
    let (mut far, wire) = two();
    far.begin();
    far.duty(at_us(0), wanted(10, 10));
    wire.answer(1, STREAM, 10);
    far.duty(at_us(PATIENCE_US - 1), wanted(10, 10));
    assert_eq!(lacks(&far), [0, 0]);
    // A round does not make it younger.
    far.begin();
    far.duty(at_us(PATIENCE_US), wanted(10, 10));
    assert_eq!(lacks(&far), [0, 10]);
    wire.answer(1, STREAM, 10);
    wire.answer(2, STREAM, 10);
    far.duty(at_us(PATIENCE_US + 1), wanted(10, 10));
    assert_eq!(lacks(&far), [0, 0]);
}
