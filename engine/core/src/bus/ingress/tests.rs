use super::*;
use crate::bus::admission::AdmissionRule;
use crate::bus::tests::{address, at_us};
use crate::time::MILLISECOND_NS;
use gds_wire::mold::{PacketBuilder, end_of_session, heartbeat};
use std::collections::BTreeMap;

const CLIENT: Session = Session(*b"CLIENT    ");
const HERE: u16 = 7;

/// A sink that writes down what it is given, and can be told to take nothing, or only so many blocks.
#[derive(Default)]
struct Book {
    taken: Vec<(u64, Vec<u8>)>,
    skips: Vec<(u64, u64)>,
    next: BTreeMap<Session, u64>,
    skip: (u64, u64),
    ended: bool,
    full: bool,
    stream_ended: bool,
    blocks_left: Option<(u64, Option<RefusalReason>)>,
    sent: Vec<(SocketAddrV4, Vec<u8>)>,
}

impl Book {
    fn numbers(&self) -> Vec<u64> {
        self.taken.iter().map(|(number, _)| *number).collect()
    }

    fn room(&mut self) -> Result<(), Hold> {
        match &mut self.blocks_left {
            Some((0, None)) => Err(Hold::NoRoom),
            Some((0, Some(reason))) => Err(Hold::Refused(*reason)),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn requests(&mut self) -> Vec<(u16, u64, u16)> {
        let requests = self.sent.iter().filter_map(|(to, datagram)| {
            Request::parse(datagram).map(|request| (to.port(), request.sequence, request.count))
        });
        let requests = requests.collect();
        self.sent.clear();
        requests
    }

    fn refusals(&mut self) -> Vec<(RefusalReason, u64)> {
        let refusals = self.sent.iter().filter_map(|(_, datagram)| Refusal::parse(datagram));
        let refusals = refusals.map(|refusal| (refusal.reason, refusal.next)).collect();
        self.sent.clear();
        refusals
    }
}

impl IngressSink for Book {
    fn standing(&self, session: &Session) -> Standing {
        match self.next.get(session) {
            next if self.stream_ended => {
                Standing::Refused { reason: RefusalReason::StreamEnded, next: next.copied().unwrap_or(1) }
            }
            Some(_) if self.ended => Standing::Ended,
            Some(next) => Standing::Next { next: *next, skip: self.skip },
            None if self.full => Standing::Refused { reason: RefusalReason::SessionsFull, next: 1 },
            None => Standing::New,
        }
    }

    fn take(&mut self, _: Time, session: Session, sequence: u64, block: &[u8]) -> Result<(), Hold> {
        self.room()?;
        let next = self.next.entry(session).or_insert(sequence);
        assert_eq!(*next, sequence, "offered out of turn");
        *next += 1;
        self.taken.push((sequence, block.to_vec()));
        Ok(())
    }

    fn end(&mut self, _: Time, session: Session, sequence: u64) -> Result<(), Hold> {
        self.room()?;
        assert_eq!(*self.next.entry(session).or_insert(sequence), sequence);
        self.ended = true;
        Ok(())
    }

    fn skip(&mut self, _: Time, session: Session, from: u64, to: u64) -> Result<(), Hold> {
        self.room()?;
        let next = self.next.entry(session).or_insert(from);
        assert!(*next == from && to >= from);
        *next = to + 1;
        self.skip = (from, to);
        self.skips.push((from, to));
        Ok(())
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) {
        self.sent.push((to, datagram.to_vec()));
    }
}

fn packet(session: Session, first: u64, count: u64) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, session, first);
    (first..first + count).for_each(|number| assert!(builder.push(&number.to_be_bytes())));
    let length = builder.finish();
    buffer[..length].to_vec()
}

struct Bench {
    ingress: Ingress,
    book: Book,
}

impl Bench {
    fn new(change: impl FnOnce(&mut IngressConfig)) -> Self {
        let mut config = IngressConfig { first_request_ns_max: 0, ..IngressConfig::default() };
        change(&mut config);
        Self { ingress: Ingress::new(config), book: Book::default() }
    }

    fn with_rule(rule: AdmissionRule) -> Self {
        Self::new(|config| config.rules = vec![rule])
    }

    fn hears(&mut self, microseconds: u64, datagram: &[u8]) {
        self.ingress.on_packet(at_us(microseconds), address(HERE), datagram, &mut self.book);
    }

    fn gets(&mut self, microseconds: u64, first: u64, count: u64) {
        self.hears(microseconds, &packet(CLIENT, first, count));
    }

    fn timer(&mut self, microseconds: u64) {
        self.ingress.on_timer(at_us(microseconds), &mut self.book);
    }

    fn is_idle(&self) -> bool {
        self.ingress.held.len() == 0 && self.ingress.active.is_empty()
    }
}

#[test]
fn should_take_in_order_and_trim_overlaps() {
    let mut bench = Bench::new(|_| {});
    for (first, count) in [(1, 3), (1, 3), (2, 4), (6, 1), (3, 2)] {
        bench.gets(0, first, count);
    }
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(bench.ingress.counters().duplicates.get(), 2);
    assert!(bench.is_idle());
}

#[test]
fn should_hold_what_is_ahead_and_ask_the_source() {
    let mut bench = Bench::new(|_| {});
    for (first, count) in [(4, 2), (8, 1), (5, 2), (4, 2)] {
        bench.gets(10, first, count);
    }
    assert!(bench.book.taken.is_empty());
    bench.timer(10);
    assert_eq!(bench.book.requests(), [(HERE, 1, 3)]);
    bench.timer(1_009);
    assert_eq!(bench.book.requests(), []);
    bench.timer(1_010);
    assert_eq!(bench.book.requests(), [(HERE, 1, 3)]);
    bench.gets(1_100, 1, 4);
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4, 5, 6]);
    bench.timer(1_100);
    assert_eq!(bench.book.requests(), [(HERE, 7, 1)], "the next gap, with fresh times");
    bench.gets(1_200, 7, 1);
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(bench.is_idle());
    bench.timer(5_000_000);
    assert_eq!(bench.book.requests(), []);
}

#[test]
fn should_notice_a_lost_tail_by_a_heartbeat_and_end_only_when_caught_up() {
    let mut bench = Bench::new(|_| {});
    bench.gets(0, 1, 1);
    bench.hears(0, &heartbeat(CLIENT, 3));
    bench.timer(0);
    assert_eq!(bench.book.requests(), [(HERE, 2, 1)]);
    bench.hears(10, &end_of_session(CLIENT, 5));
    bench.gets(20, 2, 1);
    assert!(!bench.book.ended);
    bench.timer(20);
    assert_eq!(bench.book.requests(), [(HERE, 3, 2)]);
    bench.gets(30, 3, 2);
    assert!(bench.book.ended && bench.is_idle());
    bench.gets(40, 5, 1);
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4]);
    assert_eq!(bench.ingress.counters().after_end.get(), 1);
}

#[test]
fn should_begin_a_feed_where_it_is_first_seen() {
    let mut bench = Bench::with_rule(AdmissionRule { start: StartAt::FirstSeen, ..AdmissionRule::anyone() });
    bench.hears(0, &heartbeat(CLIENT, 500));
    bench.gets(0, 501, 2);
    bench.gets(0, 499, 2);
    bench.gets(0, 503, 1);
    assert_eq!(bench.book.numbers(), [501, 502, 503]);
    assert!(bench.is_idle());
}

#[test]
fn should_keep_the_start_of_a_feed_while_the_sequencer_has_no_room() {
    let mut bench = Bench::with_rule(AdmissionRule { start: StartAt::FirstSeen, ..AdmissionRule::anyone() });
    bench.book.blocks_left = Some((0, None));
    bench.gets(0, 501, 2);
    bench.gets(0, 503, 2);
    bench.book.blocks_left = None;
    bench.timer(100);
    assert_eq!(bench.book.numbers(), [501, 502, 503, 504]);
    assert!(bench.is_idle());
}

#[test]
fn should_lose_nothing_when_the_sequencer_stops_in_the_middle_of_a_packet() {
    let mut bench = Bench::new(|_| {});
    bench.book.blocks_left = Some((2, Some(RefusalReason::DiskFull)));
    bench.gets(0, 1, 4);
    assert_eq!(bench.book.refusals(), [(RefusalReason::DiskFull, 3)]);
    bench.gets(10, 5, 1);
    bench.gets(10, 1, 4);
    bench.gets(10, 3, 2);
    assert_eq!(bench.book.refusals(), [], "at most one in ten milliseconds");
    bench.timer(10_000);
    assert_eq!(bench.book.refusals(), [(RefusalReason::DiskFull, 3)]);
    bench.book.blocks_left = None;
    bench.timer(10_100);
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4, 5]);
    assert!(bench.is_idle());
}

#[test]
fn should_skip_after_the_time_and_count_what_comes_late() {
    let after_ns = 5 * MILLISECOND_NS;
    let rule = AdmissionRule {
        gap: GapPolicy::Skip { after_ns },
        rerequest: Rerequest::Nobody,
        ..AdmissionRule::anyone()
    };
    let mut bench = Bench::with_rule(rule);
    bench.gets(0, 1, 1);
    bench.gets(100, 4, 1);
    bench.gets(200, 7, 1);
    bench.timer(5_099);
    assert_eq!(bench.book.skips, []);
    bench.timer(5_100);
    assert_eq!(bench.book.skips, [(2, 3)]);
    assert_eq!(bench.book.numbers(), [1, 4]);
    bench.gets(5_200, 2, 2);
    assert_eq!(bench.ingress.counters().late.get(), 1);
    bench.timer(10_099);
    bench.timer(10_100);
    assert_eq!(bench.book.skips, [(2, 3), (5, 6)]);
    assert_eq!(bench.book.numbers(), [1, 4, 7]);
    bench.hears(10_200, &heartbeat(CLIENT, 10));
    bench.timer(15_200);
    assert_eq!(bench.book.skips[2..], [(8, 9)]);
    assert!(bench.is_idle());
}

#[test]
fn should_retry_a_skip_that_had_no_room() {
    let rule = AdmissionRule {
        gap: GapPolicy::Skip { after_ns: 1_000 },
        rerequest: Rerequest::Nobody,
        ..AdmissionRule::anyone()
    };
    let mut bench = Bench::with_rule(rule);
    bench.gets(0, 3, 1);
    bench.book.blocks_left = Some((0, None));
    bench.timer(10);
    bench.book.blocks_left = None;
    bench.timer(100);
    assert_eq!(bench.book.skips, [(1, 2)]);
    assert_eq!(bench.book.numbers(), [3]);
}

#[test]
fn should_drop_what_is_beyond_the_window_and_not_skip_for_a_stray_number() {
    let rule = AdmissionRule {
        gap: GapPolicy::Skip { after_ns: 1_000 },
        rerequest: Rerequest::Nobody,
        ..AdmissionRule::anyone()
    };
    let mut bench = Bench::new(|config| {
        config.rules = vec![rule];
        config.window_messages = 100;
    });
    bench.gets(0, 1, 1);
    bench.gets(0, 1_000_000, 1);
    bench.hears(0, &heartbeat(CLIENT, u64::MAX));
    bench.timer(1_000);
    assert_eq!(bench.book.skips, []);
    bench.gets(1_100, 2, 1);
    assert_eq!(bench.book.numbers(), [1, 2]);
    assert!(bench.is_idle());
    assert_eq!(bench.ingress.counters().beyond_window.get(), 2);
    for number in 0..300 {
        bench.gets(2_000 + number * 10, 150 + number, 1);
        bench.timer(2_000 + number * 10);
    }
    bench.timer(10_000);
    assert_eq!(bench.book.skips[0], (3, 102), "a feed that has moved on is followed, window by window");
    assert_eq!(bench.book.next[&CLIENT], 450);
}

#[test]
fn should_refuse_new_sessions_when_the_table_is_full_and_all_after_the_end_of_the_stream() {
    let mut bench = Bench::new(|_| {});
    bench.book.full = true;
    bench.gets(0, 5, 1);
    assert_eq!(bench.book.refusals(), [(RefusalReason::SessionsFull, 1)]);
    assert!(bench.is_idle());
    bench.book.full = false;
    bench.gets(20_000, 1, 1);
    bench.gets(20_000, 3, 1);
    bench.book.stream_ended = true;
    bench.gets(30_000, 2, 1);
    assert_eq!(bench.book.refusals(), [(RefusalReason::StreamEnded, 2)]);
}

#[test]
fn should_admit_by_the_first_matching_rule() {
    let far = AdmissionRule {
        pattern: "CLIENT".parse().unwrap(),
        sources: vec![("10.0.0.0".parse().unwrap(), 8)],
        ..AdmissionRule::anyone()
    };
    let other = AdmissionRule { pattern: "OTHER".parse().unwrap(), ..AdmissionRule::anyone() };
    let mut bench = Bench::new(|config| config.rules = vec![far, other]);
    bench.gets(0, 1, 1);
    bench.hears(0, &packet(Session::padded("OTHER").unwrap(), 1, 1));
    bench.hears(0, &packet(Session::NODE, 1, 1));
    bench.hears(0, &packet(Session::BLANK, 1, 1));
    bench.hears(0, b"noise");
    assert_eq!(bench.book.taken.len(), 1);
    let counters = bench.ingress.counters();
    assert_eq!((counters.not_admitted.get(), counters.reserved.get(), counters.malformed.get()), (1, 2, 1));
}

#[test]
fn should_stay_live_when_pool_and_receptions_are_full() {
    let mut bench = Bench::new(|config| {
        config.packets_max = 2;
        config.receptions_max = 1;
    });
    for first in [3, 5, 7] {
        bench.gets(0, first, 1);
    }
    bench.hears(0, &packet(Session::padded("OTHER").unwrap(), 2, 1));
    let counters = bench.ingress.counters();
    assert_eq!((counters.pool_full.get(), counters.receptions_full.get()), (1, 1));
    for number in 1..=8 {
        bench.gets(10, number, 1);
    }
    assert_eq!(bench.book.numbers(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(bench.is_idle());
}

#[test]
fn should_give_up_what_is_held_for_a_session_gone_silent() {
    let mut bench = Bench::new(|_| {});
    bench.gets(0, 2, 1);
    bench.timer(9_999_999);
    assert!(!bench.is_idle());
    bench.timer(10_000_000);
    assert!(bench.is_idle());
    assert_eq!(bench.ingress.counters().abandoned.get(), 1);
    bench.gets(11_000_000, 1, 2);
    assert_eq!(bench.book.numbers(), [1, 2]);
}

#[test]
fn should_keep_track_of_many_sessions_with_gaps() {
    let mut random = Random::new(11);
    let mut bench = Bench::new(|config| config.receptions_max = 8);
    let sessions: Vec<Session> = (0..12).map(|name| Session::padded(&format!("S{name}")).unwrap()).collect();
    for round in 0..5_000 {
        let session = sessions[random.below(12) as usize];
        let next = bench.book.next.get(&session).copied().unwrap_or(1);
        bench.hears(round, &packet(session, next + random.below(3), 1));
        bench.timer(round);
        let ingress = &bench.ingress;
        assert_eq!(ingress.active.len() + ingress.free.len(), 8);
        for (place, slot) in ingress.active.iter().enumerate() {
            assert_eq!(ingress.receptions[*slot as usize].place, place);
        }
    }
    for session in sessions {
        let next = bench.book.next.get(&session).copied().unwrap_or(1);
        (next..next + 4).for_each(|number| bench.hears(6_000, &packet(session, number, 1)));
    }
    assert!(bench.is_idle());
}
