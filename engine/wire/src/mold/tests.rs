use proptest::prelude::*;

use super::*;
use crate::captures;

const SESSION: Session = Session(*b"TEST      ");

fn build(sequence: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, sequence);
    for message in messages {
        assert!(builder.push(message));
    }
    let length = builder.finish();
    buffer.truncate(length);
    buffer
}

#[test]
fn should_lay_out_a_downstream_packet_as_published() {
    let packet = build(0x0102, &[b"ab", b""]);
    assert_eq!(packet, b"TEST      \0\0\0\0\0\0\x01\x02\0\x02\0\x02ab\0\0");
    let parsed = Packet::parse(&packet).unwrap();
    assert_eq!((parsed.session, parsed.sequence, parsed.kind), (SESSION, 0x0102, Kind::Messages(2)));
    assert_eq!(parsed.messages().collect::<Vec<_>>(), [(0x0102, &b"ab"[..]), (0x0103, b"")]);
    assert_eq!((parsed.next_sequence(), parsed.trailing_bytes), (0x0104, 0));
    assert_eq!(parsed.messages().len(), 2);
}

#[test]
fn should_tell_heartbeat_and_end_of_session_by_their_counts() {
    let bytes = heartbeat(SESSION, 7);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.kind, packet.sequence, packet.next_sequence()), (Kind::Heartbeat, 7, 7));
    let bytes = end_of_session(SESSION, 9);
    assert_eq!(bytes[18..], [0xFF, 0xFF]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.kind, packet.next_sequence(), packet.count()), (Kind::EndOfSession, 9, 0));
    assert_eq!(packet.messages().next(), None);
    assert_eq!(build(3, &[]), heartbeat(SESSION, 3));
}

#[test]
fn should_drop_a_packet_whole_when_it_is_cut() {
    let packet = build(1, &[b"one", b"two"]);
    for length in 0..packet.len() {
        let expected = match length {
            0..20 => MoldError::ShortHeader { length },
            20..25 => MoldError::TruncatedBlock { block: 0, offset: 20 },
            _ => MoldError::TruncatedBlock { block: 1, offset: 25 },
        };
        assert_eq!(Packet::parse(&packet[..length]).unwrap_err(), expected);
    }
}

#[test]
fn should_count_trailing_bytes_and_otherwise_ignore_them() {
    let mut packet = build(1, &[b"one"]);
    packet.extend([9; 5]);
    let parsed = Packet::parse(&packet).unwrap();
    assert_eq!((parsed.trailing_bytes, parsed.messages().count()), (5, 1));
    let mut idle = heartbeat(SESSION, 1).to_vec();
    idle.extend([0, 3, 1, 2, 3]);
    let parsed = Packet::parse(&idle).unwrap();
    assert_eq!((parsed.kind, parsed.trailing_bytes, parsed.messages().count()), (Kind::Heartbeat, 5, 0));
}

#[test]
fn should_refuse_numbers_that_run_over() {
    let error = Packet::parse(&build(u64::MAX, &[b"x"])).unwrap_err();
    assert_eq!(error, MoldError::SequenceOverflow { sequence: u64::MAX, count: 1 });
    let packet = build(u64::MAX - 1, &[b"x"]);
    assert_eq!(Packet::parse(&packet).unwrap().next_sequence(), u64::MAX);
    assert!(Packet::parse(&heartbeat(SESSION, u64::MAX)).is_ok());
}

#[test]
fn should_stop_filling_when_the_packet_is_full() {
    let mut buffer = [0; 30];
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, 1);
    assert_eq!(builder.room(), 8);
    assert!(!builder.push(&[0; 9]));
    builder.reserve(4).unwrap().copy_from_slice(b"abcd");
    assert_eq!((builder.room(), builder.count(), builder.next_sequence()), (2, 1, 2));
    assert!(!builder.push(b"abc"));
    assert!(builder.push(b"e") && !builder.push(b""));
    assert_eq!(builder.room(), 0);
    assert_eq!(builder.finish(), 29);
    assert_eq!(Packet::parse(&buffer[..29]).unwrap().count(), 2);
    assert!(PacketBuilder::new(&mut [0; 70_000], SESSION, 1).reserve(65_536).is_none());
}

#[test]
fn should_never_count_up_to_the_end_of_session_mark() {
    let mut buffer = vec![0; 200_000];
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, 1);
    let mut pushed = 0;
    while builder.push(b"") {
        pushed += 1;
    }
    assert_eq!((pushed, builder.room()), (65_534, 0));
    let length = builder.finish();
    assert_eq!(Packet::parse(&buffer[..length]).unwrap().kind, Kind::Messages(65_534));
}

#[test]
fn should_read_requests_of_exactly_twenty_bytes() {
    let request = Request { session: SESSION, sequence: 12, count: 3 };
    let bytes = request.to_bytes();
    assert_eq!(bytes, *b"TEST      \0\0\0\0\0\0\0\x0c\0\x03");
    assert_eq!(Request::parse(&bytes), Some(request));
    assert_eq!(Request::parse(&bytes[..19]), None);
    assert_eq!(Request::parse(&[0; 21]), None);
}

#[test]
fn should_read_what_a_genium_venue_sent() {
    let Some(mut bytes) = captures::read("mold/bist-three-packets.dat") else { return };
    // The file stops five bytes before the end of its last message, so its third packet as it stands is a cut one.
    let third = bytes.len() - 894;
    let cut = MoldError::TruncatedBlock { block: 12, offset: 872 };
    assert_eq!(Packet::parse(&bytes[third..]).unwrap_err(), cut);
    bytes.extend([0; 5]);
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let packet = Packet::parse(rest).unwrap();
        assert_eq!(packet.session, Session([0; 10]));
        assert_eq!(packet.messages().count(), usize::from(packet.count()));
        found.push((packet.sequence, packet.count()));
        rest = &rest[rest.len() - packet.trailing_bytes..];
    }
    assert_eq!(found, [(1, 15), (16, 13), (29, 13)]);
}

#[test]
fn should_read_what_another_server_and_client_exchanged() {
    let Some(pcap) = captures::read("mold/recovery.pcap") else { return };
    let (mut heartbeats, mut ends, mut requests) = (0, 0, 0);
    let (mut multicast, mut unicast) = ((0, 0), (0, 0));
    for segment in captures::segments(&pcap) {
        if segment.ports.1 == 26_478 {
            let request = Request::parse(&segment.payload).unwrap();
            assert_eq!(request.to_bytes()[..], segment.payload[..]);
            requests += 1;
            continue;
        }
        let packet = Packet::parse(&segment.payload).unwrap();
        assert_eq!((packet.session, packet.trailing_bytes), (Session(*b"NASSAU0001"), 0));
        let tally = if segment.destination[0] >= 224 { &mut multicast } else { &mut unicast };
        match packet.kind {
            Kind::Heartbeat => heartbeats += 1,
            Kind::EndOfSession => ends += 1,
            Kind::Messages(count) => {
                tally.0 += 1;
                tally.1 += count;
                let mut rebuilt = vec![0; segment.payload.len()];
                let mut builder = PacketBuilder::new(&mut rebuilt, packet.session, packet.sequence);
                assert!(packet.messages().all(|(_, message)| builder.push(message)));
                assert_eq!(builder.finish(), segment.payload.len());
                assert_eq!(rebuilt, segment.payload);
            }
        }
    }
    assert_eq!((multicast, unicast, requests, heartbeats, ends), ((107, 535), (13, 130), 13, 2, 5));
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(
        session in any::<[u8; 10]>(),
        sequence in 0..u64::MAX - 100,
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..30),
    ) {
        let mut buffer = [0; 4096];
        let mut builder = PacketBuilder::new(&mut buffer, Session(session), sequence);
        for message in &messages {
            prop_assert!(builder.push(message));
        }
        let length = builder.finish();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        prop_assert_eq!((packet.session, packet.sequence), (Session(session), sequence));
        let read: Vec<_> = packet.messages().map(|(_, message)| message.to_vec()).collect();
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn should_never_panic_on_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..120), count in 0..6_u8) {
        if bytes.len() > 30 && count != 5 {
            bytes[18] = 0;
            bytes[19] = count;
            bytes[20] = 0;
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert_eq!(packet.messages().count(), usize::from(packet.count()));
            let blocks: usize = packet.messages().map(|(_, message)| message.len() + 2).sum();
            prop_assert_eq!(HEADER_BYTES + blocks + packet.trailing_bytes, bytes.len());
        }
        let _ = Request::parse(&bytes);
    }
}

#[test]
fn should_take_messages_that_were_filled_in_in_place() {
    let mut buffer = [0xAA; HEADER_BYTES + 9];
    let mut builder = PacketBuilder::new(&mut buffer, Session(*b"SESSION   "), 7);
    assert_eq!(builder.vacant().len(), 7);
    builder.vacant()[..3].copy_from_slice(b"abc");
    builder.accept(3);
    assert_eq!((builder.vacant().len(), builder.next_sequence()), (2, 8));
    builder.accept(0);
    assert_eq!((builder.vacant().len(), builder.room()), (0, 0));
    builder.accept(0);
    assert!(builder.vacant().is_empty());
    let length = builder.finish();
    let messages: Vec<_> = Packet::parse(&buffer[..length]).unwrap().messages().collect();
    assert_eq!(messages, [(7, b"abc".as_slice()), (8, b""), (9, b"")]);
}
