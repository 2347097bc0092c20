use super::*;
use crate::bus::tests::{address, at_us, message_of};
use gds_wire::mold::{Kind as PacketKind, Packet};

const CLIENT: Session = Session(*b"CLIENT    ");

struct Bench {
    submitter: Submitter,
    events: Vec<SubmitEvent>,
    sequence: u64,
}

/// (kind, first number) of each packet.
type Sent = Vec<(PacketKind, u64)>;

impl Bench {
    fn new(change: impl FnOnce(&mut SubmitterConfig)) -> Self {
        let mut config = SubmitterConfig::new(CLIENT, address(1));
        change(&mut config);
        Self { submitter: Submitter::new(config), events: Vec::new(), sequence: 0 }
    }

    fn timer(&mut self, microseconds: u64) -> Sent {
        let mut sent = Vec::new();
        self.submitter.on_timer(at_us(microseconds), &mut |_, burst, segment_bytes| {
            for datagram in burst.chunks(segment_bytes) {
                let packet = Packet::parse(datagram).unwrap();
                packet.messages().for_each(|(number, block)| assert_eq!(block, message_of(number)));
                sent.push((packet.kind, packet.sequence));
            }
        });
        sent
    }

    fn submit(&mut self, count: u64) {
        for _ in 0..count {
            let block = message_of(self.submitter.next_sequence());
            self.submitter.submit(&block).unwrap();
        }
    }

    fn acknowledge(&mut self, microseconds: u64, number: u64, block: &[u8], outcome: Outcome) {
        let acknowledgement = Acknowledgement::new(CLIENT, number, gds_wire::checksum(block), outcome);
        self.sequence += 1;
        let (sequence, events) = (self.sequence, &mut self.events);
        let bytes = acknowledgement.to_bytes();
        self.submitter
            .on_acknowledgement(at_us(microseconds), sequence, &bytes, &mut |event| events.push(event));
    }

    fn hears(&mut self, microseconds: u64, datagram: &[u8]) -> Sent {
        let (events, mut sent) = (&mut self.events, Vec::new());
        self.submitter.on_datagram(
            at_us(microseconds),
            datagram,
            &mut |_, burst, segment_bytes| {
                for datagram in burst.chunks(segment_bytes) {
                    let packet = Packet::parse(datagram).unwrap();
                    sent.push((packet.kind, packet.sequence));
                }
            },
            &mut |event| events.push(event),
        );
        sent
    }
}

#[test]
fn should_pack_neighbours_and_resend_with_doubling_pauses() {
    let mut bench = Bench::new(|_| {});
    bench.submit(3);
    assert_eq!(bench.timer(0), [(PacketKind::Messages(3), 1)]);
    let times: Vec<u64> = (1..20_000).filter(|time| !bench.timer(*time).is_empty()).collect();
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500]);
    bench.acknowledge(20_000, 1, &message_of(1), Outcome::Applied);
    assert_eq!(bench.timer(20_499), []);
    assert_eq!(bench.timer(20_500), [(PacketKind::Messages(2), 2)], "fresh times after progress");
}

#[test]
fn should_report_each_outcome_once() {
    let mut bench = Bench::new(|_| {});
    bench.submit(2);
    bench.timer(0);
    bench.acknowledge(1, 1, &message_of(1), Outcome::Applied);
    bench.acknowledge(1, 1, &message_of(1), Outcome::Applied);
    bench.acknowledge(1, 2, &message_of(2), Outcome::Missing);
    let event =
        |client_sequence, sequence, outcome| SubmitEvent::Acknowledged { client_sequence, sequence, outcome };
    assert_eq!(bench.events, [event(1, 1, Outcome::Applied), event(2, 3, Outcome::Missing)]);
    assert_eq!(bench.submitter.unacknowledged(), 0);
    assert_eq!(bench.timer(900_000), []);
}

#[test]
fn should_report_a_session_clash() {
    let mut bench = Bench::new(|_| {});
    bench.submit(1);
    bench.timer(0);
    bench.acknowledge(1, 1, b"somebody else's", Outcome::Applied);
    bench.acknowledge(1, 2, b"and another", Outcome::Applied);
    let clash = |client_sequence| SubmitEvent::SessionClash { client_sequence };
    assert_eq!(bench.events, [clash(1), clash(2)]);
}

#[test]
fn should_report_what_was_skipped() {
    let mut bench = Bench::new(|_| {});
    bench.submit(4);
    bench.timer(0);
    bench.acknowledge(1, 1, b"the body of the skip", Outcome::Skipped);
    bench.acknowledge(1, 4, &message_of(4), Outcome::Applied);
    let outcomes: Vec<Outcome> = bench
        .events
        .iter()
        .map(|event| match event {
            SubmitEvent::Acknowledged { outcome, .. } => *outcome,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Skipped, Outcome::Skipped, Outcome::Skipped, Outcome::Applied]);
}

#[test]
fn should_refuse_blocks_when_the_window_is_full_in_messages_or_bytes() {
    let mut bench = Bench::new(|config| {
        config.window_messages = 8;
        config.window_bytes = 3_000;
    });
    let mut random = crate::random::Random::new(5);
    let mut acknowledged = 0;
    for round in 0..2_000 {
        let number = bench.submitter.next_sequence();
        if random.chance(1, 2) {
            if bench.submitter.submit(&message_of(number)).is_err() {
                assert!(bench.submitter.unacknowledged() == 8 || number - acknowledged > 6);
            }
        } else if acknowledged + 1 < number {
            bench.timer(round);
            acknowledged += 1;
            bench.acknowledge(round, acknowledged, &message_of(acknowledged), Outcome::Applied);
        }
    }
    assert!(acknowledged > 500);
    assert_eq!(bench.events.len() as u64, acknowledged);
    let too_long = vec![0; 1_379];
    assert_eq!(
        bench.submitter.submit(&too_long),
        Err(SubmitError::TooLong { length: 1_379, length_max: 1_378 })
    );
}

#[test]
fn should_answer_requests_for_what_waits() {
    let mut bench = Bench::new(|_| {});
    bench.submit(3);
    let request = |sequence, count| Request { session: CLIENT, sequence, count }.to_bytes();
    assert_eq!(bench.hears(0, &request(1, 3)), [], "not sent yet");
    bench.timer(0);
    assert_eq!(bench.hears(0, &request(2, 1)), [(PacketKind::Messages(1), 2)]);
    assert_eq!(bench.hears(0, &request(2, 9)), [(PacketKind::Messages(2), 2)]);
    bench.acknowledge(1, 1, &message_of(1), Outcome::Applied);
    assert_eq!(bench.hears(1, &request(1, 1)), []);
    assert_eq!(bench.hears(1, &Request { session: Session::NODE, sequence: 2, count: 1 }.to_bytes()), []);
    assert_eq!(bench.submitter.counters().foreign.get(), 1);
}

#[test]
fn should_hold_back_after_a_refusal_and_stop_when_the_stream_has_ended() {
    let mut bench = Bench::new(|_| {});
    bench.submit(1);
    bench.timer(0);
    let refusal = |reason| Refusal { reason, session: CLIENT, next: 1 }.to_bytes();
    bench.hears(100, &refusal(RefusalReason::DiskFull));
    assert_eq!(bench.timer(10_099), []);
    assert_eq!(bench.timer(10_100).len(), 1);
    bench.hears(10_200, &refusal(RefusalReason::StreamEnded));
    assert_eq!(bench.timer(1_000_000), []);
    assert_eq!(bench.submitter.submit(b"x"), Err(SubmitError::StreamEnded));
    assert_eq!(bench.events.len(), 2);
}

#[test]
fn should_repeat_the_end_of_session_until_it_is_acknowledged() {
    let mut bench = Bench::new(|_| {});
    bench.submit(1);
    bench.submitter.end();
    assert_eq!(bench.submitter.submit(b"x"), Err(SubmitError::Ended));
    assert_eq!(bench.timer(0), [(PacketKind::Messages(1), 1), (PacketKind::EndOfSession, 2)]);
    bench.acknowledge(1, 1, &message_of(1), Outcome::Applied);
    assert_eq!(bench.timer(500), [(PacketKind::EndOfSession, 2)]);
    assert!(!bench.submitter.finished());
    bench.acknowledge(600, 2, b"", Outcome::NoOperation);
    assert!(bench.submitter.finished());
    assert_eq!(bench.events.last(), Some(&SubmitEvent::Ended { sequence: 2 }));
    assert_eq!(bench.timer(10_000_000), []);
}

#[test]
fn should_send_a_heartbeat_each_second_once_it_has_sent_something() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.timer(5_000_000), []);
    bench.submit(1);
    bench.timer(5_000_000);
    bench.acknowledge(5_000_100, 1, &message_of(1), Outcome::Applied);
    assert_eq!(bench.timer(5_999_999), []);
    assert_eq!(bench.timer(6_000_000), [(PacketKind::Heartbeat, 2)]);
    assert_eq!(bench.timer(6_000_001), []);
}
