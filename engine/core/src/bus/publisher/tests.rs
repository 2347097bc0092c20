use super::*;
use crate::bus::tests::{NoDisk, STREAM, TestPort, address, at_us, message_of, ring};
use gds_wire::envelope::{Envelope, Reason};
use gds_wire::mold::{Kind as PacketKind, Packet};

fn publisher(ring: &Arc<crate::memory::Ring>, bus_messages: bool) -> Publisher {
    let config = PublisherConfig { bus_messages, ..PublisherConfig::new(STREAM, address(1)) };
    Publisher::new(config, StreamReader::new(ring.reader(1), None))
}

/// Time of each packet in microseconds, its kind, its number.
fn run(
    publisher: &mut Publisher,
    limit: u64,
    from_us: u64,
    to_us: u64,
    step_us: usize,
) -> Vec<(u64, PacketKind, u64)> {
    let mut port = TestPort::default();
    let mut sent = Vec::new();
    for microseconds in (from_us..to_us).step_by(step_us) {
        publisher.duty(at_us(microseconds), limit, &mut NoDisk, &mut port).unwrap();
        for (_, datagram) in port.outbox.drain(..) {
            let packet = Packet::parse(&datagram).unwrap();
            assert_eq!(packet.session, STREAM);
            sent.push((microseconds, packet.kind, packet.sequence));
        }
    }
    sent
}

#[test]
fn should_pack_what_is_committed_and_nothing_above() {
    let ring = ring(1 << 16);
    let mut writer = ring.writer();
    (1..=10).for_each(|number| assert_eq!(writer.append(1, &[&message_of(number)]), number));
    writer.publish();
    let mut publisher = publisher(&ring, false);
    assert_eq!(run(&mut publisher, 0, 0, 1, 1), [(0, PacketKind::Heartbeat, 1)]);
    let sent = run(&mut publisher, 4, 10, 11, 1);
    assert_eq!(sent, [(10, PacketKind::Messages(4), 1)]);
    let rest = run(&mut publisher, 10, 20, 21, 1);
    assert_eq!(rest.first().unwrap().2, 5);
    assert_eq!(publisher.published(), 10);
    assert_eq!(publisher.counters().messages.get(), 10);
}

#[test]
fn should_send_heartbeats_quickly_at_first_and_then_each_second() {
    let ring = ring(1 << 16);
    let mut writer = ring.writer();
    writer.append(1, &[b"message"]);
    writer.publish();
    let mut publisher = publisher(&ring, false);
    let sent = run(&mut publisher, 1, 1_000, 3_200_000, 100);
    assert_eq!(sent[0], (1_000, PacketKind::Messages(1), 1));
    let times: Vec<u64> = sent[1..].iter().map(|(time, _, _)| time - 1_000).collect();
    assert_eq!(times, [200, 1_000, 10_000, 100_000, 1_100_000, 2_100_000, 3_100_000]);
    assert!(sent[1..].iter().all(|(_, kind, number)| (*kind, *number) == (PacketKind::Heartbeat, 2)));
}

#[test]
fn should_end_with_a_train_of_five_seconds_and_then_be_silent() {
    let ring = ring(1 << 16);
    let mut writer = ring.writer();
    let last = Envelope::new(Session::NODE, Kind::EndOfStream, Reason::None, 1, 0);
    writer.append(1, &[&last.to_bytes()]);
    writer.publish();
    let mut publisher = publisher(&ring, true);
    let sent = run(&mut publisher, 1, 0, 20_000_000, 100);
    assert_eq!(sent[0], (0, PacketKind::Messages(1), 1));
    assert!(sent[1..].iter().all(|(_, kind, number)| (*kind, *number) == (PacketKind::EndOfSession, 2)));
    let times: Vec<u64> = sent[1..].iter().map(|(time, _, _)| time / 1_000).collect();
    assert_eq!(times, [0, 0, 1, 10, 100, 200, 400, 600, 800, 1_000, 2_000, 3_000, 4_000, 5_000]);
    assert!(publisher.finished());
}

#[test]
fn should_send_each_packet_to_every_group() {
    let ring = ring(1 << 16);
    let mut writer = ring.writer();
    writer.append(1, &[b"message"]);
    writer.publish();
    let groups = vec![address(1), address(2)];
    let config = PublisherConfig { groups, bus_messages: false, ..PublisherConfig::new(STREAM, address(1)) };
    let mut publisher = Publisher::new(config, StreamReader::new(ring.reader(1), None));
    let mut port = TestPort::default();
    publisher.duty(at_us(0), 1, &mut NoDisk, &mut port).unwrap();
    assert_eq!(port.outbox.len(), 2);
    assert_eq!(port.outbox[0].1, port.outbox[1].1);
}

#[test]
fn should_stop_when_a_committed_message_is_nowhere() {
    let ring = ring(1 << 14);
    let mut writer = ring.writer();
    for number in 1..=1_000 {
        assert!(writer.room(number - 1) > 300);
        writer.append(1, &[&message_of(number)]);
        writer.publish();
    }
    let mut publisher = publisher(&ring, false);
    let error = publisher.duty(at_us(0), 1_000, &mut NoDisk, &mut TestPort::default()).unwrap_err();
    assert!(error.to_string().contains("message 1 "), "{error}");
}

/// Keeps each burst as it was sent: how many bytes, in packets of how many.
#[derive(Default)]
struct BurstPort {
    bursts: Vec<(usize, usize)>,
    inner: TestPort,
}

impl DatagramPort for BurstPort {
    fn receive(&mut self, _: usize, _: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        0
    }
    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        self.inner.send(to, datagram)
    }
    fn send_segments(&mut self, to: SocketAddrV4, datagrams: &[u8], segment_bytes: usize) -> usize {
        self.bursts.push((datagrams.len(), segment_bytes));
        self.inner.send_segments(to, datagrams, segment_bytes)
    }
}

/// Publishes messages of these lengths; the bursts, after a look at every packet.
fn bursts(lengths: &[usize], packets_max: usize) -> Vec<(usize, usize)> {
    let ring = ring(1 << 20);
    let mut writer = ring.writer();
    for length in lengths {
        writer.append(1, &[&vec![*length as u8; *length]]);
    }
    writer.publish();
    let config =
        PublisherConfig { bus_messages: false, packets_max, ..PublisherConfig::new(STREAM, address(1)) };
    let mut publisher = Publisher::new(config, StreamReader::new(ring.reader(1), None));
    let mut port = BurstPort::default();
    let last = lengths.len() as u64;
    while publisher.published() < last {
        let before = port.inner.outbox.len();
        let made = publisher.duty(at_us(0), last, &mut NoDisk, &mut port).unwrap();
        assert_eq!(made, port.inner.outbox.len() - before);
        assert!((1..=packets_max).contains(&made));
    }
    let mut messages = Vec::new();
    for (_, datagram) in &port.inner.outbox {
        let packet = Packet::parse(datagram).unwrap();
        messages.extend(packet.messages().map(|(number, message)| (number, message.len())));
    }
    assert_eq!(messages, (1..).zip(lengths.iter().copied()).collect::<Vec<_>>());
    port.bursts
}

#[test]
fn should_send_packets_of_equal_length_as_one_burst() {
    assert_eq!(
        bursts(&[228; 6 * 100 + 3], 64),
        [(46 * 1400, 1400), (18 * 1400, 1400), (36 * 1400 + 20 + 3 * 230, 1400)]
    );
    assert_eq!(bursts(&[228], 64), [(250, 250)]);
}

#[test]
fn should_begin_a_burst_anew_for_a_longer_packet_and_end_it_with_a_shorter_one() {
    // 1300 does not fit behind 100, so the first packet is short and the second, longer one goes by itself.
    assert_eq!(bursts(&[100, 1300, 1300, 50], 64), [(122, 122), (2 * 1322 + 72, 1322)]);
    let varying: Vec<usize> = (0..2_000).map(|index| 30 + index * 7 % 61).collect();
    let bursts = bursts(&varying, 64);
    let packets: usize = bursts.iter().map(|(bytes, segment)| bytes.div_ceil(*segment)).sum();
    assert!(packets >= 2 * (bursts.len() - 3), "{packets} packets in {} bursts", bursts.len());
}
