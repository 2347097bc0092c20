//! The wire formats: what parses must come out of the encoder as it went in.
use gds_wire::acknowledgement::Acknowledgement;
use gds_wire::binary_file::{self as binary, Record, Records};
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{ENVELOPE_BYTES, Envelope, Message};
use gds_wire::itch as itch50;
use gds_wire::mold::{self as mold64, Kind, Packet, PacketBuilder};
use gds_wire::query::{self, Answer, AnswerBody, MessagesBuilder, Query, Request};
use gds_wire::refusal::Refusal;
use gds_wire::session::{Session, SessionPattern};
use gds_wire::snapshot;
use gds_wire::soup::{self as soup_bin, ClientPacket, Decoder, Login, LoginAccepted, ServerPacket};
use gds_wire::transaction::{Transaction, TransactionBuilder};

use crate::script::Script;

/// MoldUDP64 downstream packets and request packets.
pub fn mold(data: &[u8]) {
    match Packet::parse(data) {
        Ok(packet) => rebuild_packet(data, &packet),
        Err(error) => drop(error.to_string()),
    }
    match mold64::Request::parse(data) {
        Some(request) => assert_eq!(request.to_bytes(), data),
        None => assert_ne!(data.len(), mold64::REQUEST_BYTES),
    }
    build_packet(data);
}

fn rebuild_packet(data: &[u8], packet: &Packet<'_>) {
    let used = data.len() - packet.trailing_bytes;
    let bytes = match packet.kind {
        Kind::Heartbeat => mold64::heartbeat(packet.session, packet.sequence).to_vec(),
        Kind::EndOfSession => mold64::end_of_session(packet.session, packet.sequence).to_vec(),
        Kind::Messages(count) => {
            let mut buffer = vec![0; used];
            let mut builder = PacketBuilder::new(&mut buffer, packet.session, packet.sequence);
            for (sequence, message) in packet.messages() {
                assert_eq!(sequence, builder.next_sequence());
                assert!(builder.push(message));
            }
            assert_eq!((builder.count(), builder.next_sequence()), (count, packet.next_sequence()));
            assert_eq!(builder.finish(), used);
            buffer
        }
    };
    assert_eq!(bytes, &data[..used]);
}

/// The other way: what was built parses to what was put in.
fn build_packet(data: &[u8]) {
    let mut script = Script::new(data);
    let mut room = script.below(200);
    let mut buffer = vec![0xA5; mold64::HEADER_BYTES + room];
    let sequence = script.number().min(u64::MAX >> 1);
    let mut builder = PacketBuilder::new(&mut buffer, Session::NODE, sequence);
    let mut pushed = Vec::new();
    while !script.rest().is_empty() {
        let message = script.bytes();
        let fits = room >= mold64::BLOCK_LENGTH_BYTES + message.len();
        assert_eq!(builder.room(), room.saturating_sub(mold64::BLOCK_LENGTH_BYTES));
        assert_eq!(builder.push(message), fits);
        if fits {
            room -= mold64::BLOCK_LENGTH_BYTES + message.len();
            pushed.push(message);
        }
    }
    let length = builder.finish();
    let packet = Packet::parse(&buffer[..length]).expect("it was built");
    assert!(packet.messages().map(|(_, message)| message).eq(pushed));
    assert_eq!((packet.sequence, packet.trailing_bytes), (sequence, 0));
}

/// SoupBinTCP framing, logins, and the packets of both sides.
pub fn soup(data: &[u8]) {
    let decoder = Decoder::default();
    let mut rest = data;
    loop {
        let whole = decoder.decode(rest);
        // However few bytes have come, what is decoded is the same or not there yet.
        let part = &rest[..rest.len() / 2];
        let early = decoder.decode(part);
        assert!(early == Ok(None) || early == whole);
        let (packet, used) = match whole {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(error) => {
                drop(error.to_string());
                break;
            }
        };
        let mut again = vec![0; used];
        assert_eq!(soup_bin::encode(packet.kind, &[packet.payload], &mut again), Some(used));
        assert_eq!(again, &rest[..used]);
        if let Err(error) = ClientPacket::parse(packet) {
            drop(error.to_string());
        }
        if let Err(error) = ServerPacket::parse(packet) {
            drop(error.to_string());
        }
        logins(packet.payload);
        rest = &rest[used..];
    }
    logins(data);
}

fn logins(payload: &[u8]) {
    let mut into = [0; soup_bin::MAX_LOGIN_PACKET_BYTES];
    let payload_of = |into: &[u8], used: Option<usize>| {
        let used = used.expect("there is room for any login");
        into[soup_bin::PACKET_HEADER_BYTES..used].to_vec()
    };
    if let Ok(login) = Login::parse(payload) {
        let used = login.encode(&mut into);
        let strict = payload_of(&into, used);
        let again = Login::parse(&strict).expect("it was encoded");
        let mut expected = login;
        expected.sequence = login.sequence.min(soup_bin::MAX_SEQUENCE);
        assert_eq!(again, expected);
        assert_eq!(again.user(), login.user());
        // Once strict, always the same bytes.
        let used = again.encode(&mut into);
        assert_eq!(payload_of(&into, used), strict);
        drop(format!("{login:?}"));
    }
    if let Ok(accepted) = LoginAccepted::parse(payload) {
        let used = accepted.encode(&mut into);
        assert_eq!(LoginAccepted::parse(&payload_of(&into, used)), Ok(accepted));
    }
}

/// Query requests.
pub fn query_request(data: &[u8]) {
    let request = match Request::parse(data) {
        Ok(request) => request,
        Err(error) => return drop(error.to_string()),
    };
    assert_eq!(query::request_id(data), Some(request.request_id));
    let mut again = vec![0; data.len()];
    assert_eq!(request.encode(&mut again), Some(data.len()));
    assert_eq!(again, data);
    if let Query::MultiGet(multi_get) = request.query {
        let keys: Vec<_> = multi_get.keys().collect();
        assert_eq!(keys.len(), multi_get.count());
        again.fill(0);
        let (id, at_least, as_of) = (request.request_id, request.at_least, multi_get.as_of);
        assert_eq!(query::encode_multi_get(&mut again, id, at_least, as_of, &keys), Some(data.len()));
        assert_eq!(again, data);
    }
}

/// Query answers.
pub fn query_answer(data: &[u8]) {
    let answer = match Answer::parse(data) {
        Ok(answer) => answer,
        Err(error) => return drop(error.to_string()),
    };
    let mut again = vec![0; data.len()];
    assert_eq!(answer.encode(&mut again), Some(data.len()));
    assert_eq!(again, data);
    again.fill(0);
    match answer.body {
        AnswerBody::Messages(messages) => {
            assert_eq!(messages.iter().count(), messages.count());
            if data.len() <= soup_bin::MAX_PAYLOAD_BYTES {
                let mut builder = MessagesBuilder::new(&mut again, answer.request_id, answer.sequence);
                assert!(messages.iter().all(|message| builder.push(message)));
                assert_eq!(usize::from(builder.count()), messages.count());
                assert_eq!(builder.finish(answer.last), data.len());
                assert_eq!(again, data);
            }
        }
        AnswerBody::Status(status, counters) => {
            assert_eq!(counters.iter().count(), counters.count());
            if answer.last && answer.sequence == status.applied {
                let used = query::encode_status(&mut again, answer.request_id, &status, counters.iter());
                assert_eq!(used, Some(data.len()));
                assert_eq!(again, data);
            }
        }
        AnswerBody::Record(_) | AnswerBody::Checksum(_) | AnswerBody::End | AnswerBody::Error(..) => {}
    }
}

/// Native transactions.
pub fn transaction(data: &[u8]) {
    let transaction = match Transaction::parse(data) {
        Ok(transaction) => transaction,
        Err(error) => return drop(error.to_string()),
    };
    let mut again = vec![0; data.len()];
    let mut builder = TransactionBuilder::new(&mut again);
    for operation in transaction.operations() {
        builder.push(&operation).expect("it was in a transaction of this size");
    }
    assert_eq!(builder.count(), transaction.count());
    assert_eq!(builder.finish(), data.len());
    assert_eq!(again, data);
}

/// Bus messages.
pub fn envelope(data: &[u8]) {
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => return drop(error.to_string()),
    };
    let envelope = message.envelope;
    let (kind, reason) = (envelope.kind(), envelope.reason());
    let (number, timestamp_ns) = (envelope.client_sequence(), envelope.timestamp_ns());
    let again = Envelope::new(envelope.session, kind, reason, number, timestamp_ns);
    assert_eq!(again.to_bytes(), data[..ENVELOPE_BYTES]);
    assert_eq!(message.body, &data[ENVELOPE_BYTES..]);
    if let Some(skip) = message.skip() {
        assert!(skip.from() <= skip.to() && skip.from() == number);
        assert_eq!(gds_wire::envelope::Skip::new(skip.from(), skip.to()).to_bytes(), message.body);
    }
    if let Some(void) = message.void() {
        assert_eq!(void.to_bytes(), message.body);
        assert_eq!(void.checksum(), message.checksum());
    }
    drop(format!("{message:?}"));
}

/// Declarations.
pub fn declaration(data: &[u8]) {
    let declaration = match Declaration::parse(data) {
        Ok(declaration) => declaration,
        Err(error) => return drop(error.to_string()),
    };
    assert_eq!(declaration.encoded_bytes(), data.len());
    assert_eq!(declaration.to_bytes(), data);
    for table in &declaration.tables {
        assert_eq!(table.name.to_string().parse(), Ok(table.name));
    }
}

/// Acknowledgements.
pub fn acknowledgement(data: &[u8]) {
    let found = match Acknowledgement::parse(data) {
        Ok(found) => found,
        Err(error) => return drop(error.to_string()),
    };
    let again =
        Acknowledgement::new(found.session, found.client_sequence(), found.checksum(), found.outcome());
    assert_eq!(again.to_bytes(), data);
    drop(format!("{found:?} {}", found.outcome()));
}

/// Refusals.
pub fn refusal(data: &[u8]) {
    if let Some(refusal) = Refusal::parse(data) {
        assert_eq!(refusal.to_bytes(), data);
        drop(refusal.reason.to_string());
    }
}

/// Snapshots on their way between nodes.
pub fn snapshot_frame(data: &[u8]) {
    let Some((stream, frame)) = snapshot::Frame::parse(data) else { return };
    let head = data.first_chunk().expect("a frame is longer");
    assert_eq!(snapshot::Frame::length(head), Some(data.len()));
    let mut written = Vec::new();
    frame.write(stream, &mut written);
    assert_eq!(written, data);
}

/// ITCH 5.0 messages.
pub fn itch(data: &[u8]) {
    let expected = data.first().and_then(|&kind| itch50::size_of_type(kind));
    match itch50::parse(data) {
        Ok(message) => {
            assert_eq!(expected, Some(data.len()));
            assert_eq!(message.prefix().kind, data[0]);
            let timestamp_ns = message.prefix().timestamp.ns();
            assert_eq!(gds_feed::capture::itch_timestamp_ns(data), Some(timestamp_ns));
            assert_eq!(itch50::Timestamp::new(timestamp_ns), message.prefix().timestamp);
            drop(format!("{message:?}"));
        }
        Err(error) => {
            assert_ne!(expected, Some(data.len()));
            drop(error.to_string());
        }
    }
}

/// BinaryFILE records in memory.
pub fn binary_file(data: &[u8]) {
    let mut records = Records::new(data);
    let mut again = vec![0; data.len()];
    let mut used = 0;
    let mut cut = None;
    for record in records.by_ref() {
        match record {
            Ok(message) => used += binary::write_record(message, &mut again[used..]).expect("it has room"),
            Err(error) => cut = Some(error),
        }
    }
    assert_eq!(again[..used], data[..used]);
    match cut {
        Some(cut) => {
            assert_eq!((cut.offset as usize, cut.bytes), (used, data.len() - used));
            assert_eq!(binary::next_record(&data[used..]), Record::NeedMore);
            drop(cut.to_string());
        }
        None if records.ended() => assert_eq!(data[used..used + 2], binary::END_RECORD),
        None => assert_eq!(used, data.len()),
    }
}

/// Session names and patterns, as bytes and as text.
pub fn session(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        match text.parse::<Session>() {
            Ok(session) => assert_eq!(session.to_string().parse(), Ok(session)),
            Err(error) => drop(error.to_string()),
        }
        match text.parse::<SessionPattern>() {
            Ok(pattern) => assert_eq!(pattern.to_string().parse(), Ok(pattern)),
            Err(error) => drop(error.to_string()),
        }
        if let Some(session) = Session::padded(text) {
            assert_eq!(session.name(), text.trim_end_matches(' ').as_bytes());
        }
    }
    let Some((bytes, rest)) = data.split_first_chunk::<10>() else { return };
    let session = Session(*bytes);
    assert_eq!(session.to_string().parse::<Session>().ok(), (!session.is_blank()).then_some(session));
    let Some(bytes) = rest.first_chunk::<10>() else { return };
    match SessionPattern::from_bytes(*bytes) {
        Ok(pattern) => {
            assert_eq!(pattern.to_bytes(), *bytes);
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
            let length = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            assert_eq!(pattern.matches(&session), matches_plainly(&bytes[..length], session.name()));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// The rule of patterns, written down a second time.
fn matches_plainly(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([b'*'], _) | ([], []) => true,
        ([wanted, pattern @ ..], [byte, name @ ..]) => {
            (*wanted == b'?' || wanted == byte) && matches_plainly(pattern, name)
        }
        _ => false,
    }
}
