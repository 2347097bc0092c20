use super::*;
use proptest::prelude::*;

const STREAM: Session = Session(*b"1700000000");

fn prefix() -> Prefix {
    Prefix {
        node: 2,
        drains: true,
        epoch: 7,
        before: 5,
        entry_epoch: 6,
        incarnation: 11,
        committed: 99,
        revision: 1234,
        chain: 77,
        compared: 64,
    }
}

fn sender(node: u8) -> Sender {
    Sender { node, stream: STREAM, epoch: 7, incarnation: 2 }
}

fn watermark() -> Watermark {
    let abilities = Abilities { records_max: 5, bytes_max: 6, format: 7 };
    let (matched, last, applied, shown) = (100, 120, 98, 99);
    Watermark { sender: sender(3), whole_since: 1, matched, last, applied, shown, chain: 78, abilities }
}

fn request() -> HistoryRequest {
    HistoryRequest { sender: sender(3), from: 101, to: 119 }
}

fn digest() -> StoreDigest {
    let digest = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210;
    StoreDigest { sender: sender(1), sequence: 65_536, digest }
}

fn contradiction() -> Contradiction {
    let kind = ContradictionKind::Differs;
    Contradiction { sender: sender(2), incarnation: 5, sequence: 90, last: 95, chain: 79, kind }
}

fn leader_packet() -> Vec<u8> {
    let mut buffer = vec![0xAA; 200];
    let mut entries = LeaderPacketBuilder::entries(&mut buffer, STREAM, 101);
    assert!(entries.push(b"first") && entries.push(b""));
    let bytes = entries.finish();
    let length = LeaderPacketBuilder::finish(&mut buffer, bytes, &prefix());
    buffer.truncate(length);
    buffer
}

#[test]
fn should_read_back_a_leaders_packet() {
    let datagram = leader_packet();
    let packet = LeaderPacket::parse(&datagram).expect("it is whole");
    assert_eq!(packet.prefix, prefix());
    assert_eq!((packet.entries.session, packet.entries.sequence), (STREAM, 101));
    let entries: Vec<_> = packet.entries.messages().collect();
    assert_eq!(entries, [(101, &b"first"[..]), (102, b"")]);
}

#[test]
fn should_read_back_heartbeat_watermark_and_request() {
    let packet = heartbeat(STREAM, 121, &prefix());
    let heartbeat = LeaderPacket::parse(&packet).expect("it is whole");
    assert_eq!((heartbeat.entries.kind, heartbeat.entries.sequence), (mold::Kind::Heartbeat, 121));
    assert_eq!(Watermark::parse(&watermark().to_bytes()), Some(watermark()));
    assert_eq!(HistoryRequest::parse(&request().to_bytes()), Some(request()));
    assert_eq!(StoreDigest::parse(&digest().to_bytes()), Some(digest()));
    assert_eq!(Contradiction::parse(&contradiction().to_bytes()), Some(contradiction()));
}

#[test]
fn should_hold_the_longest_message_of_a_downstream_packet() {
    let payload = 1400;
    let longest = vec![1; payload - mold::HEADER_BYTES - mold::BLOCK_LENGTH_BYTES];
    let mut buffer = vec![0; leader_packet_bytes(payload)];
    assert!(LeaderPacketBuilder::entries(&mut buffer, STREAM, 1).push(&longest));
}

#[test]
fn should_refuse_what_was_damaged_anywhere() {
    let parses = |bytes: &[u8]| {
        LeaderPacket::parse(bytes).is_some()
            || Watermark::parse(bytes).is_some()
            || HistoryRequest::parse(bytes).is_some()
            || StoreDigest::parse(bytes).is_some()
            || Contradiction::parse(bytes).is_some()
    };
    let others = [
        &watermark().to_bytes()[..],
        &request().to_bytes(),
        &digest().to_bytes(),
        &contradiction().to_bytes(),
    ];
    for packet in others.map(<[u8]>::to_vec).into_iter().chain([leader_packet()]) {
        assert!(parses(&packet));
        for place in 0..packet.len() {
            for bit in 0..8 {
                let mut damaged = packet.clone();
                damaged[place] ^= 1 << bit;
                assert!(!parses(&damaged), "bit {bit} of byte {place}");
            }
            assert!(!parses(&packet[..place]), "cut at {place}");
        }
        let longer = [&packet[..], b"x"].concat();
        assert!(!parses(&longer));
    }
}

proptest! {
    #[test]
    fn should_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..5usize) {
        let mut bytes = bytes;
        if bytes.len() >= CHECKED_FROM {
            let magics =
                [LEADER_MAGIC, WATERMARK_MAGIC, HISTORY_MAGIC, DIGEST_MAGIC, CONTRADICTION_MAGIC];
            bytes[..CHECKSUM_AT].copy_from_slice(&magics[kind]);
            seal(&mut bytes);
        }
        let _ = (LeaderPacket::parse(&bytes), Watermark::parse(&bytes));
        let _ = (HistoryRequest::parse(&bytes), StoreDigest::parse(&bytes), Contradiction::parse(&bytes));
    }
}
