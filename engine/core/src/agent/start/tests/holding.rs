//! Journal segments that are held until rewinders elsewhere keep their messages.
use super::snapshots::{EVERY, Taker, home};
use super::*;
use crate::agent::{SegmentHold, SnapshotConfig};
use crate::bus::FarRewinders;
use crate::journal::JournalReader;
use crate::port::DatagramPort;
use gds_wire::mold::{PacketBuilder, Request};
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

const KEEP_TEN: SnapshotConfig = SnapshotConfig { keep_messages: Some(10), ..EVERY };
const SEGMENT_BYTES: u64 = 24 * BLOCK;
const PLENTY: u64 = 1 << 40;
const NOTHING: RangeInclusive<u64> = RangeInclusive::new(1, 0);
const EVERYTHING: RangeInclusive<u64> = RangeInclusive::new(1, u64::MAX);

/// A rewinder elsewhere: which messages of the stream and of its acknowledgements it has. Without it there is no answer.
struct Far {
    address: SocketAddrV4,
    keeps: Option<[RangeInclusive<u64>; 2]>,
}

/// The rewinders elsewhere, and the way to them.
#[derive(Default)]
struct Elsewhere {
    rewinders: Vec<Far>,
    replies: VecDeque<(SocketAddrV4, Vec<u8>)>,
}

#[derive(Clone)]
struct Way(Arc<Mutex<Elsewhere>>);

impl Way {
    /// To so many rewinders that have nothing yet.
    fn to(rewinders: u16) -> Self {
        let far = |number| Far {
            address: SocketAddrV4::new([10, 0, 1, 9].into(), 26_403 + number),
            keeps: Some([NOTHING; 2]),
        };
        let rewinders = (0..rewinders).map(far).collect();
        Self(Arc::new(Mutex::new(Elsewhere { rewinders, ..Elsewhere::default() })))
    }

    fn keeps(&self, rewinder: usize, keeps: Option<[RangeInclusive<u64>; 2]>) {
        self.0.lock().expect("one thread").rewinders[rewinder].keeps = keeps;
    }
}

impl DatagramPort for Way {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        let replies: Vec<_> = {
            let replies = &mut self.0.lock().expect("one thread").replies;
            let count = limit.min(replies.len());
            replies.drain(..count).collect()
        };
        replies.iter().for_each(|(from, reply)| deliver(*from, reply));
        replies.len()
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        let request = Request::parse(datagram).expect("a request packet");
        let session = usize::from(request.session != STREAM);
        let mut elsewhere = self.0.lock().expect("one thread");
        let far = elsewhere.rewinders.iter().find(|far| far.address == to).expect("one of them");
        if far.keeps.as_ref().is_some_and(|keeps| keeps[session].contains(&request.sequence)) {
            let mut buffer = [0; 64];
            let mut builder = PacketBuilder::new(&mut buffer, request.session, request.sequence);
            assert!(builder.push(b"a message"));
            let length = builder.finish();
            elsewhere.replies.push_back((to, buffer[..length].to_vec()));
        }
        true
    }
}

/// A node that holds segments for those at the other end of `way`, with 200 messages applied.
fn node(way: &Way, bytes_max: u64) -> (Home, Taker) {
    let mut home = home();
    let process = home.start().expect("a new member");
    let mut taker = Taker::of(&home, process, KEEP_TEN);
    let addresses: Vec<SocketAddrV4> =
        way.0.lock().expect("one thread").rewinders.iter().map(|far| far.address).collect();
    let sessions = [STREAM, acknowledgement_session(STREAM)];
    let rewinders = FarRewinders::new(&addresses, sessions, Box::new(way.clone()));
    taker.agent = taker.agent.holding(SegmentHold { rewinders, bytes_max });
    taker.run(200);
    taker.settle();
    (home, taker)
}

/// The first message kept of the stream and of its acknowledgements.
fn first_kept(home: &Home) -> [u64; 2] {
    let first = |disk: &Handle, session| {
        let mut reader = JournalReader::new(session);
        reader.refresh(&mut disk.clone()).expect("a disk");
        reader.first_kept().expect("a journal")
    };
    [first(&home.bus, STREAM), first(&home.acknowledgements, acknowledgement_session(STREAM))]
}

/// The segments held, their bytes, and how many went.
fn held(taker: &Taker) -> [u64; 3] {
    [
        taker.counter(|set| set.segments_held.get()),
        taker.counter(|set| set.held_bytes.get()),
        taker.counter(|set| set.segments_pruned.get()),
    ]
}

/// Time goes by, and nothing else happens.
fn wait(taker: &mut Taker, milliseconds: u64) {
    for _ in 0..milliseconds {
        taker.step();
    }
}

/// What is kept by a node that waits for nobody.
fn first_kept_alone() -> [u64; 2] {
    let (home, taker) = node(&Way::to(0), PLENTY);
    assert_eq!(held(&taker)[..2], [0, 0]);
    let kept = first_kept(&home);
    assert!(kept[0] > 24 && kept[1] > 24, "{kept:?}");
    kept
}

#[test]
fn segments_go_once_every_rewinder_keeps_their_messages_and_not_before() {
    let way = Way::to(2);
    way.keeps(0, Some([EVERYTHING, EVERYTHING]));
    way.keeps(1, None);
    let (home, mut taker) = node(&way, PLENTY);
    assert_eq!(first_kept(&home), [1, 1], "one of them may lack everything");
    let [segments, bytes, pruned] = held(&taker);
    assert!(segments > 4 && pruned == 0, "{segments} held, {pruned} gone");
    assert_eq!(bytes, segments * SEGMENT_BYTES);
    wait(&mut taker, 10_000);
    assert_eq!(first_kept(&home), [1, 1], "whatever the time");

    // It is back, and catches up.
    let mut kept = [1, 1];
    for last in (0..200).step_by(20) {
        way.keeps(1, Some([1..=last, 1..=last]));
        wait(&mut taker, 1_000);
        let now = first_kept(&home);
        assert!(now[0] <= last + 1 && now[1] <= last + 1, "{now:?} of {last}");
        assert!(now[0] >= kept[0] && now[1] >= kept[1]);
        kept = now;
    }
    assert_eq!(kept, first_kept_alone());
    assert_eq!(held(&taker), [0, 0, segments]);
    assert_eq!(taker.counter(|set| set.segments_not_fetched.get()), 0);
}

#[test]
fn the_stream_and_its_acknowledgements_are_held_each_for_itself() {
    let alone = first_kept_alone();
    for (stream, keeps) in [[EVERYTHING, NOTHING], [NOTHING, EVERYTHING]].into_iter().enumerate() {
        let way = Way::to(1);
        way.keeps(0, Some(keeps));
        let (home, mut taker) = node(&way, PLENTY);
        wait(&mut taker, 1_000);
        let kept = first_kept(&home);
        assert_eq!((kept[stream], kept[1 - stream]), (alone[stream], 1));
        assert!(held(&taker)[0] > 2);
    }
}

#[test]
fn one_that_began_in_the_middle_is_not_waited_for_below() {
    let way = Way::to(1);
    way.keeps(0, Some([100..=1_000, 100..=1_000]));
    let (home, mut taker) = node(&way, PLENTY);
    wait(&mut taker, 1_000);
    // It has nothing of what the oldest segments hold, and answers for the newest of those that may go.
    assert_eq!(first_kept(&home), first_kept_alone());
    assert_eq!(held(&taker)[0], 0);
}

#[test]
fn above_the_bound_the_oldest_go_all_the_same_and_are_counted() {
    let way = Way::to(1);
    way.keeps(0, None);
    let most = 3;
    let (home, mut taker) = node(&way, most * SEGMENT_BYTES);
    wait(&mut taker, 2_000);
    let [segments, bytes, pruned] = held(&taker);
    assert_eq!((segments, bytes), (most, most * SEGMENT_BYTES));
    assert!(pruned > 2);
    assert_eq!(taker.counter(|set| set.segments_not_fetched.get()), pruned);
    let kept = first_kept(&home);
    assert!(kept[0] > 1 && kept[1] > 1, "the older of both journals first: {kept:?}");
    assert_eq!(taker.counter(|set| set.held_bytes_max.get()), most * SEGMENT_BYTES);
    // Back in time for the rest.
    way.keeps(0, Some([EVERYTHING, EVERYTHING]));
    wait(&mut taker, 1_000);
    assert_eq!(held(&taker), [0, 0, pruned + segments]);
    assert_eq!(taker.counter(|set| set.segments_not_fetched.get()), pruned);
}

#[test]
fn a_full_disk_comes_before_a_rewinder_that_is_away() {
    let way = Way::to(1);
    way.keeps(0, None);
    let (_, mut taker) = node(&way, PLENTY);
    let [segments, _, pruned] = held(&taker);
    assert_eq!(pruned, 0);
    let full = |taker: &Taker, is_full| taker.process.started.bus.progress.full.set(is_full);
    full(&taker, 1);
    while held(&taker)[2] < 2 {
        wait(&mut taker, 100);
    }
    assert_eq!(taker.counter(|set| set.segments_not_fetched.get()), 2, "one at a time");
    full(&taker, 0);
    wait(&mut taker, 2_000);
    assert_eq!(held(&taker)[0], segments - 2, "there is room: the others wait on");
}

#[test]
fn a_rewinder_that_lost_its_disk_is_found_out_in_the_next_round() {
    let way = Way::to(1);
    way.keeps(0, Some([EVERYTHING, EVERYTHING]));
    let (home, mut taker) = node(&way, PLENTY);
    let before = first_kept(&home);
    assert_eq!(before, first_kept_alone());
    way.keeps(0, Some([NOTHING; 2]));
    taker.run(200);
    wait(&mut taker, 1_000);
    assert_eq!(first_kept(&home), before, "what it said an hour ago does not count");
    assert!(held(&taker)[0] > 4);
}

#[test]
fn a_start_asks_before_too_much_goes() {
    let way = Way::to(1);
    way.keeps(0, Some([NOTHING; 2]));
    let (mut home, taker) = node(&way, PLENTY);
    let [segments, ..] = held(&taker);
    drop(taker);
    home.power_stays();
    way.keeps(0, Some([EVERYTHING, EVERYTHING]));
    let process = home.start().expect("a member");
    let mut taker = Taker::of(&home, process, KEEP_TEN);
    let rewinders = FarRewinders::new(
        &[way.0.lock().expect("one thread").rewinders[0].address],
        [STREAM, acknowledgement_session(STREAM)],
        Box::new(way.clone()),
    );
    taker.agent = taker.agent.holding(SegmentHold { rewinders, bytes_max: 0 });
    wait(&mut taker, 1_000);
    assert_eq!(held(&taker), [0, 0, segments]);
    assert_eq!(taker.counter(|set| set.segments_not_fetched.get()), 0, "it had them all");
}
