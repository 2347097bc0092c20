use super::*;
use crate::bus::tests::{NoDisk, STREAM, TestPort, address, at_us, message_of, ring};
use gds_wire::mold::Packet;

const OTHER: Session = Session(*b"OTHER     ");

/// Serves messages 1 to 100, of which 90 are committed.
fn rewinder(config: RewinderConfig) -> Rewinder {
    let ring = ring(1 << 16);
    let mut writer = ring.writer();
    (1..=100).for_each(|number| assert_eq!(writer.append(1, &[&message_of(number)]), number));
    writer.publish();
    let source = RewindSource {
        session: STREAM,
        reader: StreamReader::new(ring.reader(1), None),
        limit: Box::new(|| 90),
    };
    Rewinder::new(config, vec![source])
}

fn ask(rewinder: &mut Rewinder, session: Session, sequence: u64, count: u16) -> Option<(u64, u16, usize)> {
    let request = Request { session, sequence, count }.to_bytes();
    let reply = rewinder.on_datagram(at_us(0), address(5), &request, &mut [&mut NoDisk])?;
    let packet = Packet::parse(reply).unwrap();
    assert_eq!((packet.session, packet.trailing_bytes), (STREAM, 0));
    packet.messages().for_each(|(number, message)| assert_eq!(message, message_of(number)));
    Some((packet.sequence, packet.count(), reply.len()))
}

#[test]
fn should_answer_with_what_fits_and_no_more_than_asked() {
    let mut rewinder = rewinder(RewinderConfig::default());
    assert_eq!(ask(&mut rewinder, STREAM, 3, 2).map(|reply| (reply.0, reply.1)), Some((3, 2)));
    let (first, count, length) = ask(&mut rewinder, STREAM, 10, u16::MAX).unwrap();
    assert_eq!(first, 10);
    let next = message_of(10 + u64::from(count)).len() + 2;
    assert!(length <= 1400 && length + next > 1400, "{count} messages in {length} bytes");
    assert_eq!(
        ask(&mut rewinder, STREAM, 89, 50).map(|reply| (reply.0, reply.1)),
        Some((89, 2)),
        "to the commit point"
    );
}

#[test]
fn should_be_silent_for_everything_else() {
    let mut rewinder = rewinder(RewinderConfig::default());
    for (session, sequence, count) in
        [(OTHER, 1, 1), (STREAM, 0, 1), (STREAM, 1, 0), (STREAM, 91, 1), (STREAM, u64::MAX, 0xFFFF)]
    {
        assert_eq!(ask(&mut rewinder, session, sequence, count), None);
    }
    let long = [Request { session: STREAM, sequence: 1, count: 1 }.to_bytes().as_slice(), b"x"].concat();
    assert!(rewinder.on_datagram(at_us(0), address(5), &long, &mut [&mut NoDisk]).is_none());
    let counters = rewinder.counters();
    assert_eq!((counters.foreign.get(), counters.out_of_range.get(), counters.malformed.get()), (1, 4, 1));
}

#[test]
fn should_be_silent_for_what_cannot_be_read_and_serve_all_else() {
    const LAST: u64 = 2_000;
    let (ring, mut disk) = crate::bus::stream_reader::tests::overrun_ring(LAST);
    let asked = |disk: &mut dyn Disk, counters: &mut Vec<u64>| {
        let reader = StreamReader::new(ring.reader(1), Some(crate::journal::JournalReader::new(STREAM)));
        let source = RewindSource { session: STREAM, reader, limit: Box::new(|| LAST) };
        let mut rewinder = Rewinder::new(RewinderConfig::default(), vec![source]);
        let mut answered = Vec::new();
        for sequence in (1..=LAST).step_by(10) {
            let request = Request { session: STREAM, sequence, count: 3 }.to_bytes();
            let reply = rewinder.on_datagram(at_us(0), address(5), &request, &mut [disk]);
            let count = reply.map_or(0, |reply| {
                let packet = Packet::parse(reply).unwrap();
                packet.messages().for_each(|(number, message)| assert_eq!(message, message_of(number)));
                packet.count()
            });
            answered.push(count);
        }
        *counters = vec![rewinder.counters().unreadable.get(), rewinder.counters().gone.get()];
        answered
    };
    let mut counters = Vec::new();
    let whole = asked(&mut disk, &mut counters);
    assert_eq!(counters, [0, 0]);
    let bytes = disk.segments.values_mut().next().expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let answered = asked(&mut disk, &mut counters);
    let silent = answered.iter().filter(|count| **count == 0).count() as u64;
    assert!(silent > 0 && silent < 200, "{silent} of 200 were not answered");
    assert_eq!(counters, [silent, 0]);
    assert!(answered.iter().zip(&whole).all(|(now, before)| now <= before));
    assert_eq!(answered.last(), whole.last());
}

#[test]
fn should_limit_what_one_requester_draws_and_not_another() {
    let config =
        RewinderConfig { bytes_per_second: 1_000_000, burst_bytes: 3_000, ..RewinderConfig::default() };
    let mut rewinder = rewinder(config);
    let request = Request { session: STREAM, sequence: 1, count: 100 }.to_bytes();
    let mut draw = |microseconds, port| {
        let reply = rewinder.on_datagram(at_us(microseconds), address(port), &request, &mut [&mut NoDisk]);
        reply.is_some()
    };
    let first: Vec<bool> = (0..5).map(|_| draw(0, 5)).collect();
    assert_eq!(first, [true, true, true, false, false]);
    assert!(draw(0, 6), "another requester");
    assert!(draw(10_000, 5), "refilled");
    assert_eq!(rewinder.counters().limited.get(), 2);
}

#[test]
fn should_remember_a_bounded_number_of_requesters() {
    let mut rewinder = rewinder(RewinderConfig { requesters_max: 8, ..RewinderConfig::default() });
    let request = Request { session: STREAM, sequence: 1, count: 1 }.to_bytes();
    for port in 1..1_000 {
        let reply = rewinder.on_datagram(at_us(port.into()), address(port), &request, &mut [&mut NoDisk]);
        assert!(reply.is_some());
    }
    assert_eq!(rewinder.counters().requesters_evicted.get(), 999 - 8);
}

#[test]
fn should_answer_to_the_source_of_the_request() {
    let mut rewinder = rewinder(RewinderConfig { requests_max: 2, ..RewinderConfig::default() });
    let mut port = TestPort::default();
    for source in 1..=3 {
        let request = Request { session: STREAM, sequence: u64::from(source), count: 1 };
        port.inbox.push_back((address(source), request.to_bytes().to_vec()));
    }
    assert_eq!(rewinder.duty(at_us(0), &mut [&mut NoDisk], &mut port), 2);
    assert_eq!(rewinder.duty(at_us(0), &mut [&mut NoDisk], &mut port), 1);
    let to: Vec<u16> = port.outbox.iter().map(|(to, _)| to.port()).collect();
    assert_eq!(to, [1, 2, 3]);
}

#[test]
fn should_send_each_reply_to_its_requester_whatever_their_lengths() {
    let mut rewinder = rewinder(RewinderConfig::default());
    let asked = [
        (5, 1, 2),
        (5, 3, 2),
        (5, 1, 60),
        (5, 1, 60),
        (5, 1, 60),
        (5, 30, 1),
        (6, 30, 1),
        (6, 40, 1),
        (5, 9, 9),
    ];
    let mut port = TestPort::default();
    let mut expected = Vec::new();
    for (to, sequence, count) in asked {
        let request = Request { session: STREAM, sequence, count }.to_bytes();
        let reply = rewinder.on_datagram(at_us(0), address(to), &request, &mut [&mut NoDisk]);
        expected.push((address(to), reply.unwrap().to_vec()));
        port.inbox.push_back((address(to), request.to_vec()));
        // One without an answer must not disturb the burst.
        let silent = Request { session: STREAM, sequence: 95, count: 1 }.to_bytes();
        port.inbox.push_back((address(7), silent.to_vec()));
    }
    assert_eq!(rewinder.duty(at_us(0), &mut [&mut NoDisk], &mut port), 18);
    assert_eq!(port.outbox, expected);
}
