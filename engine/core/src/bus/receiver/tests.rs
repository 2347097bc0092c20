use super::*;
use gds_wire::mold::{PacketBuilder, end_of_session, heartbeat};

const SESSION: Session = Session(*b"STREAM    ");

fn packet(first: u64, count: u64) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, first);
    for number in first..first + count {
        assert!(builder.push(&number.to_be_bytes()));
    }
    let length = builder.finish();
    buffer[..length].to_vec()
}

fn at(microseconds: u64) -> Time {
    Time { monotonic_ns: microseconds * MICROSECOND_NS, wall_ns: 0 }
}

struct Listener {
    receiver: Receiver,
    delivered: Vec<u64>,
}

impl Listener {
    fn new(config: ReceiverConfig) -> Self {
        Self { receiver: Receiver::new(config), delivered: Vec::new() }
    }

    fn hears(&mut self, datagram: &[u8]) {
        let delivered = &mut self.delivered;
        self.receiver.on_packet(at(0), datagram, &mut |number, message| {
            assert_eq!(message, number.to_be_bytes());
            delivered.push(number);
        });
    }

    fn asks(&mut self, microseconds: u64) -> Vec<(u64, u16)> {
        let mut asked = Vec::new();
        self.receiver.on_timer(at(microseconds), &mut |_, bytes| {
            let request = Request::parse(bytes).unwrap();
            assert_eq!(request.session, SESSION);
            asked.push((request.sequence, request.count));
        });
        asked
    }
}

fn config() -> ReceiverConfig {
    ReceiverConfig { rewinders: vec!["127.0.0.1:1".parse().unwrap()], ..ReceiverConfig::default() }
}

#[test]
fn should_deliver_in_order_and_drop_duplicates() {
    let mut listener = Listener::new(config());
    for (first, count) in [(1, 2), (1, 2), (2, 3), (4, 1), (5, 1)] {
        listener.hears(&packet(first, count));
    }
    assert_eq!(listener.delivered, [1, 2, 3, 4, 5]);
    assert_eq!(listener.receiver.counters().duplicates.get(), 2);
    assert!(listener.asks(1_000_000).is_empty());
}

#[test]
fn should_keep_packets_ahead_and_ask_only_for_what_is_missing() {
    let mut listener = Listener::new(config());
    listener.hears(&packet(3, 2));
    listener.hears(&packet(7, 1));
    listener.hears(&packet(7, 1));
    assert_eq!(listener.asks(50), [(1, 2), (5, 2)]);
    listener.hears(&packet(4, 3));
    assert!(listener.delivered.is_empty());
    listener.hears(&packet(1, 3));
    assert_eq!(listener.delivered, [1, 2, 3, 4, 5, 6, 7]);
    assert!(listener.asks(1_000_000).is_empty());
    let counters = listener.receiver.counters();
    assert_eq!((counters.missed.get(), counters.filled.get(), counters.gaps.get()), (4, 4, 2));
    assert_eq!(counters.duplicates.get(), 1);
}

#[test]
fn should_notice_a_lost_tail_from_a_heartbeat_and_from_the_end_of_session() {
    let mut listener = Listener::new(config());
    listener.hears(&packet(1, 1));
    listener.hears(&heartbeat(SESSION, 3));
    assert_eq!(listener.asks(50), [(2, 1)]);
    listener.hears(&packet(2, 1));
    listener.hears(&end_of_session(SESSION, 5));
    assert!(!listener.receiver.ended());
    assert_eq!(listener.asks(100), [(3, 2)]);
    listener.hears(&packet(3, 2));
    assert!(listener.receiver.ended());
    assert_eq!(listener.delivered, [1, 2, 3, 4]);
}

#[test]
fn should_ask_the_nearest_rewinder_first_and_the_others_when_it_is_silent() {
    let rewinder = |port| SocketAddrV4::new([127, 0, 0, 1].into(), port);
    let rewinders = vec![rewinder(1), rewinder(2), rewinder(3)];
    let mut listener = Listener::new(ReceiverConfig { rewinders, ..config() });
    let ask = |listener: &mut Listener, milliseconds: u64| {
        let mut asked = Vec::new();
        listener.receiver.on_timer(at(milliseconds * 1000), &mut |to, _| asked.push(to.port()));
        asked
    };
    listener.hears(&heartbeat(SESSION, 2));
    assert_eq!([1, 2, 4].map(|milliseconds| ask(&mut listener, milliseconds)), [[1], [2], [3]]);
    let receiver = &mut listener.receiver;
    receiver.on_reply(at(4_100), rewinder(3), &packet(1, 1), &mut |_, _| {});
    receiver.on_reply(at(4_100), rewinder(2), b"no packet", &mut |_, _| {});
    let answered: Vec<u64> = receiver.asked().map(|(_, counters)| counters.answered.get()).collect();
    assert_eq!(answered, [0, 0, 1]);
    listener.hears(&heartbeat(SESSION, 3));
    assert_eq!(ask(&mut listener, 5), [1], "what is new is asked of the nearest");
}

#[test]
fn should_ask_for_several_pieces_at_a_time_however_much_comes_ahead() {
    let mut listener = Listener::new(ReceiverConfig { window_packets: 8, ..config() });
    for number in 1_000..1_100 {
        listener.hears(&packet(number, 1));
    }
    assert_eq!(listener.receiver.counters().window_full.get(), 94);
    assert_eq!(listener.asks(50).len(), 3, "one more than what is left of the window");
    listener.hears(&packet(33, 32));
    assert_eq!(listener.receiver.counters().window_high.get(), 7);
}

#[test]
fn should_drop_foreign_malformed_and_too_late_packets() {
    let mut listener = Listener::new(config());
    listener.hears(&packet(1, 1));
    listener.hears(&heartbeat(Session(*b"OTHER     "), 9));
    listener.hears(&packet(2, 3)[..30]);
    listener.hears(b"short");
    let counters = listener.receiver.counters();
    assert_eq!((counters.foreign.get(), counters.malformed.get()), (1, 2));
    assert_eq!(listener.receiver.next_sequence(), 2);
}

#[test]
fn should_start_where_it_first_hears_when_told_so() {
    let mut listener = Listener::new(ReceiverConfig { next: 0, ..config() });
    listener.hears(&heartbeat(SESSION, 40));
    listener.hears(&packet(40, 2));
    assert_eq!(listener.delivered, [40, 41]);
}

#[test]
fn should_stay_live_with_a_window_of_one_packet() {
    let mut listener = Listener::new(ReceiverConfig { window_packets: 1, gaps_max: 1, ..config() });
    listener.hears(&packet(3, 1));
    listener.hears(&packet(5, 1));
    assert_eq!(listener.receiver.counters().window_full.get(), 1);
    assert_eq!(listener.asks(50), [(1, 2)]);
    listener.hears(&packet(1, 2));
    assert_eq!(listener.delivered, [1, 2, 3]);
    listener.hears(&heartbeat(SESSION, 6));
    assert_eq!(listener.asks(100), [(4, 2)]);
    listener.hears(&packet(4, 2));
    assert_eq!(listener.delivered, [1, 2, 3, 4, 5]);
}

#[test]
fn should_ignore_an_end_of_session_below_what_exists() {
    let mut listener = Listener::new(config());
    listener.hears(&packet(1, 5));
    listener.hears(&end_of_session(SESSION, 3));
    assert!(!listener.receiver.ended());
}

#[test]
fn should_survive_a_heartbeat_with_the_highest_number() {
    let mut listener = Listener::new(config());
    listener.hears(&heartbeat(SESSION, u64::MAX));
    for number in 1..100 {
        listener.hears(&packet(number, 1));
        listener.asks(number);
    }
    assert_eq!(listener.delivered.len(), 99);
}
