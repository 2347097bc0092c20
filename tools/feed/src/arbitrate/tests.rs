use super::*;
use crate::capture::{Capture, Filter};
use crate::recorded::recording;
use gds_wire::mold::{HEADER_BYTES, PacketBuilder, end_of_session, heartbeat};
use proptest::prelude::*;

const GROUP: &str = "239.0.0.1:1000";
const SERVER: &str = "10.0.0.1:2000";

fn session(name: &str) -> Session {
    Session::padded(name).unwrap()
}

/// A packet whose messages are their own numbers.
fn packet(name: &str, sequence: u64, count: u64) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, session(name), sequence);
    for number in sequence..sequence + count {
        assert!(builder.push(&number.to_be_bytes()));
    }
    let bytes = builder.finish();
    buffer[..bytes].to_vec()
}

struct Bench {
    arbiter: Arbiter,
    now_ns: u64,
    numbers: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Bench {
    fn new(config: ArbiterConfig) -> Self {
        Self { arbiter: Arbiter::new(config), now_ns: 0, numbers: Vec::new(), gaps: Vec::new() }
    }

    fn take(&mut self, payload: &[u8], to: &str) {
        self.now_ns += 1;
        let datagram = Datagram {
            timestamp_ns: self.now_ns,
            source: "10.0.0.2:3".parse().unwrap(),
            destination: to.parse().unwrap(),
            payload,
        };
        let (numbers, gaps) = (&mut self.numbers, &mut self.gaps);
        self.arbiter.on_datagram(&datagram, &mut |arbitrated| note(numbers, gaps, arbitrated));
    }

    fn packet(&mut self, sequence: u64, count: u64) {
        self.take(&packet("S", sequence, count), GROUP);
    }

    fn finish(&mut self) {
        let (numbers, gaps) = (&mut self.numbers, &mut self.gaps);
        self.arbiter.finish(&mut |arbitrated| note(numbers, gaps, arbitrated));
    }
}

fn note(numbers: &mut Vec<u64>, gaps: &mut Vec<(u64, u64)>, arbitrated: Arbitrated<'_>) {
    match arbitrated {
        Arbitrated::Message { sequence, bytes, .. } => {
            assert_eq!(bytes, sequence.to_be_bytes());
            numbers.push(sequence);
        }
        Arbitrated::Gap(gap) => gaps.push((gap.first, gap.last)),
    }
}

#[test]
fn duplicates_overlaps_and_reordering_come_out_once_and_in_order() {
    let mut bench = Bench::new(ArbiterConfig::default());
    for (sequence, count) in [(1, 3), (1, 3), (7, 3), (3, 3), (8, 5), (5, 4), (2, 1)] {
        bench.packet(sequence, count);
    }
    bench.finish();
    assert_eq!(bench.numbers, (1..=12).collect::<Vec<_>>());
    assert!(bench.gaps.is_empty());
    let counts = bench.arbiter.counts();
    assert_eq!((counts.packets, counts.messages, counts.duplicates, counts.late), (7, 12, 10, 0));
}

#[test]
fn a_gap_that_stays_is_reported_and_stepped_over_at_the_end() {
    let mut bench = Bench::new(ArbiterConfig::default());
    bench.packet(1, 2);
    bench.packet(5, 2);
    bench.packet(10, 1);
    bench.take(&heartbeat(session("S"), 13), GROUP);
    bench.finish();
    assert_eq!(bench.numbers, [1, 2, 5, 6, 10]);
    assert_eq!(bench.gaps, [(3, 4), (7, 9), (11, 12)]);
    assert_eq!((bench.arbiter.counts().gaps, bench.arbiter.counts().missing), (3, 7));
    assert_eq!(bench.arbiter.gaps()[0].to_string(), "session S: messages 3 to 4 are missing");
}

#[test]
fn the_hold_window_is_bounded_by_messages_bytes_and_time() {
    let bounds = [
        ArbiterConfig { held_messages_max: 3, ..ArbiterConfig::default() },
        ArbiterConfig { held_bytes_max: 24, ..ArbiterConfig::default() },
        ArbiterConfig { gap_ns_max: 3, ..ArbiterConfig::default() },
    ];
    for config in bounds {
        let mut bench = Bench::new(config);
        bench.packet(1, 1);
        for sequence in 3..6 {
            bench.packet(sequence, 1);
        }
        assert_eq!(bench.numbers, [1]);
        bench.packet(7, 1);
        if bench.gaps.is_empty() {
            bench.packet(8, 1);
        }
        assert_eq!(bench.gaps, [(2, 2)]);
        assert_eq!(bench.numbers, [1, 3, 4, 5]);
        bench.packet(2, 1);
        assert_eq!(bench.arbiter.counts().late, 1);
    }
}

#[test]
fn requests_are_told_from_packets() {
    let mut bench = Bench::new(ArbiterConfig { request_ports: vec![2001], ..ArbiterConfig::default() });
    bench.packet(1, 2);
    let request = |count| Request { session: session("S"), sequence: 900, count }.to_bytes();
    bench.take(&request(10), SERVER);
    // These two look like a heartbeat and an end of session, but for where they go.
    bench.take(&request(0), SERVER);
    bench.take(&request(END_OF_SESSION), SERVER);
    bench.take(&request(END_OF_SESSION), "10.0.0.9:2001");
    bench.take(&end_of_session(session("S"), 3), GROUP);
    bench.take(&heartbeat(session("S"), 3), "10.0.0.2:3");
    bench.finish();
    assert_eq!((bench.numbers.len(), bench.gaps.len()), (2, 0));
    let counts = bench.arbiter.counts();
    assert_eq!((counts.requests, counts.ends_of_session, counts.heartbeats), (4, 1, 1));
}

#[test]
fn a_session_begins_with_its_first_message_or_with_number_one() {
    let mut bench = Bench::new(ArbiterConfig::default());
    bench.packet(500, 2);
    bench.packet(499, 1);
    bench.finish();
    assert_eq!((bench.numbers, bench.gaps.len()), (vec![500, 501], 0));
    assert_eq!(bench.arbiter.counts().late, 1);

    let mut bench = Bench::new(ArbiterConfig { start: Start::One, ..ArbiterConfig::default() });
    bench.packet(5, 2);
    bench.packet(2, 2);
    bench.finish();
    assert_eq!(bench.numbers, [2, 3, 5, 6]);
    assert_eq!(bench.gaps, [(1, 1), (4, 4)]);
}

#[test]
fn sessions_are_told_apart_and_unwanted_ones_counted() {
    let config = ArbiterConfig { sessions_max: 2, ..ArbiterConfig::default() };
    let mut bench = Bench::new(config.clone());
    for name in ["A", "B", "A", "C"] {
        let next = 1 + bench.numbers.len() as u64 / 2;
        bench.take(&packet(name, next, 1), GROUP);
    }
    assert_eq!(bench.arbiter.counts().foreign, 1);

    let mut bench = Bench::new(ArbiterConfig { session: Some(session("B")), ..config });
    bench.take(&packet("A", 1, 1), GROUP);
    bench.take(&packet("B", 1, 1), GROUP);
    assert_eq!((bench.numbers.len(), bench.arbiter.counts().foreign), (1, 1));
}

#[test]
fn what_is_no_mold_packet_is_counted() {
    let mut bench = Bench::new(ArbiterConfig::default());
    bench.take(b"short", GROUP);
    bench.take(&[0xEE; 40], GROUP);
    assert_eq!(bench.arbiter.counts().not_mold, 2);
}

#[test]
fn a_recorded_recovery_gives_each_message_once_and_in_order() {
    let (Some(path), Some(source)) = (recording("mold/recovery.pcap"), recording("itch/locate-13-10k.bin"))
    else {
        return;
    };
    let Ok(Capture::Messages(mut expected)) = Capture::open(&source, Filter::default()) else {
        panic!("not messages");
    };
    let Ok(Capture::Packets(mut packets)) = Capture::open(&path, Filter::default()) else {
        panic!("not packets");
    };
    let mut arbiter = Arbiter::new(ArbiterConfig::default());
    let mut next = 1;
    let mut check = |arbitrated: Arbitrated<'_>| match arbitrated {
        Arbitrated::Message { session, sequence, bytes, .. } => {
            assert_eq!((session, sequence), (Session(*b"NASSAU0001"), next));
            assert_eq!(bytes, expected.next_message().unwrap().unwrap().bytes);
            next += 1;
        }
        Arbitrated::Gap(gap) => panic!("{gap}"),
    };
    while let Some(datagram) = packets.next_datagram().unwrap() {
        arbiter.on_datagram(&datagram, &mut check);
    }
    arbiter.finish(&mut check);
    assert_eq!(next, 601);
    let expected = Arbitration {
        packets: 120,
        messages: 600,
        duplicates: 65,
        heartbeats: 2,
        ends_of_session: 5,
        requests: 13,
        ..Arbitration::default()
    };
    assert_eq!(*arbiter.counts(), expected);
}

proptest! {
    #[test]
    fn any_mixture_of_packets_comes_out_in_order_with_gaps_where_messages_are_missing(
        packets in proptest::collection::vec((1_u64..200, 1_u64..12), 1..80),
        held_messages_max in 1_usize..40,
    ) {
        let mut bench = Bench::new(ArbiterConfig { start: Start::One, held_messages_max, ..ArbiterConfig::default() });
        for (sequence, count) in packets {
            bench.packet(sequence, count);
        }
        bench.finish();
        prop_assert!(bench.numbers.is_sorted_by(|one, next| one < next));
        let mut covered: Vec<u64> = bench.gaps.iter().flat_map(|&(first, last)| first..=last).collect();
        covered.extend(&bench.numbers);
        covered.sort_unstable();
        prop_assert_eq!(&covered, &(1..=covered.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn no_datagram_panics(payload in proptest::collection::vec(any::<u8>(), 0..60), count in any::<u16>()) {
        let mut bench = Bench::new(ArbiterConfig::default());
        bench.take(&packet("S", u64::from(count) + 1, 1), GROUP);
        let mut payload = payload;
        if payload.len() >= HEADER_BYTES {
            payload[..10].copy_from_slice(&session("S").0);
        }
        let datagram = Datagram {
            timestamp_ns: 1,
            source: SERVER.parse().unwrap(),
            destination: SERVER.parse().unwrap(),
            payload: &payload,
        };
        bench.arbiter.on_datagram(&datagram, &mut |_| ());
        bench.arbiter.finish(&mut |_| ());
    }
}
