//! Holds the hexadecimal examples of `docs/PROTOCOL.md` against the code: every example there is built here, byte for byte.
use std::collections::BTreeMap;

use crate::acknowledgement::{Acknowledgement, Outcome};
use crate::declaration::{Declaration, Limits, SCHEMA_VERSION, Schema, SchemaDeclaration, TableDeclaration};
use crate::envelope::{Envelope, Kind, Message, Reason, Skip, Void};
use crate::mold::{self, PacketBuilder, Request as MoldRequest};
use crate::query::{
    Answer, AnswerBody, Checksum, ErrorCode, Key, MessagesBuilder, Query, Record, Request, Status,
    encode_multi_get, encode_status,
};
use crate::refusal::{Refusal, RefusalReason};
use crate::replication::{
    Abilities, Contradiction, ContradictionKind, HistoryRequest, LeaderPacketBuilder, Prefix, STREAM_FORMAT,
    Sender, StoreDigest, Watermark, heartbeat,
};
use crate::session::Session;
use crate::snapshot::{Frame, Offer, SnapshotRefusal};
use crate::soup::{self, Login, LoginAccepted, RejectCode};
use crate::transaction::{Operation, OperationKind, Transaction, TransactionBuilder};

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");
const STREAM: Session = Session(*b"1670788904");
const CLIENT: Session = Session(*b"DEMO000001");
const TIMESTAMP_NS: u64 = 1_700_000_000_123_456_789;

type Examples = BTreeMap<String, Vec<u8>>;

/// The blocks that begin with "```hex name": what is left of `|` on each line.
fn documented() -> Examples {
    let mut examples = Examples::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```hex ") else { continue };
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            let (hex, _) = line.split_once('|').expect("a | between bytes and what they are");
            bytes.extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("a byte")));
        }
        assert!(examples.insert(name.into(), bytes).is_none(), "{name} stands there twice");
    }
    examples
}

fn filled(fill: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut buffer = vec![0; 2000];
    let length = fill(&mut buffer);
    buffer.truncate(length);
    buffer
}

fn bus_message(kind: Kind, session: Session, client_sequence: u64, body: &[u8]) -> Vec<u8> {
    let reason = if kind == Kind::Void { Reason::UnknownType } else { Reason::None };
    let envelope = Envelope::new(session, kind, reason, client_sequence, TIMESTAMP_NS);
    let message = [&envelope.to_bytes(), body].concat();
    Message::parse(&message).expect("an example is well formed");
    message
}

fn transaction() -> Vec<u8> {
    let put = Operation { kind: OperationKind::Put, table: 1, key: b"AAPL", value: b"190.5", expected: None };
    let check =
        Operation { kind: OperationKind::Check, table: 1, key: b"MSFT", value: b"", expected: Some(0) };
    let block = filled(|buffer| {
        let mut builder = TransactionBuilder::new(buffer);
        builder.push(&put).unwrap();
        builder.push(&check).unwrap();
        builder.finish()
    });
    Transaction::parse(&block).expect("an example is well formed");
    block
}

fn declaration() -> Declaration {
    let table = |table, name: &str| TableDeclaration { table, name: name.parse().unwrap() };
    let schema = |pattern: &str, schema, first_table| SchemaDeclaration {
        pattern: pattern.parse().unwrap(),
        schema,
        version: SCHEMA_VERSION,
        first_table,
    };
    Declaration {
        limits: Limits {
            records_max: 1_000_000,
            bytes_max: 1 << 30,
            sessions_max: 1024,
            session_forget_messages: 1_000_000,
            horizon_messages: 100_000,
            index_seed: 0x5EED,
        },
        tables: vec![table(1, "records"), table(10, "orders"), table(11, "stocks")],
        schemas: vec![schema("ITCH*", Schema::Itch50, 10), schema("*", Schema::Native, 0)],
    }
}

fn bus(examples: &mut Examples) {
    let block = transaction();
    let first = bus_message(Kind::Transaction, CLIENT, 1, &block);
    let second = bus_message(Kind::EndOfSession, CLIENT, 9, &[]);
    let packet = filled(|buffer| {
        let mut builder = PacketBuilder::new(buffer, STREAM, 2);
        assert!(builder.push(&first) && builder.push(&second));
        builder.finish()
    });
    let request = MoldRequest { session: STREAM, sequence: 2, count: 2 };
    let acknowledgement = Acknowledgement::new(CLIENT, 1, crate::checksum(&block), Outcome::Applied);
    let refusal = Refusal { reason: RefusalReason::DiskFull, session: CLIENT, next: 7 };
    let void = Void::of(b"?what").to_bytes();
    let body = declaration().to_bytes();
    assert_eq!(Declaration::parse(&body), Ok(declaration()));
    examples.extend([
        ("transaction".into(), block),
        ("downstream".into(), packet),
        ("heartbeat".into(), mold::heartbeat(STREAM, 4).to_vec()),
        ("end-of-session".into(), mold::end_of_session(STREAM, 4).to_vec()),
        ("request".into(), request.to_bytes().to_vec()),
        ("bus-transaction".into(), first),
        ("bus-end-of-session".into(), second),
        ("bus-skip".into(), bus_message(Kind::Skip, CLIENT, 4, &Skip::new(4, 6).to_bytes())),
        ("bus-void".into(), bus_message(Kind::Void, CLIENT, 3, &void)),
        ("bus-declare".into(), bus_message(Kind::Declare, Session::NODE, 1, &body)),
        ("bus-end-of-stream".into(), bus_message(Kind::EndOfStream, Session::NODE, 2, &[])),
        ("acknowledgement".into(), acknowledgement.to_bytes().to_vec()),
        ("refusal".into(), refusal.to_bytes().to_vec()),
    ]);
}

fn logins(examples: &mut Examples) {
    let login = Login::new("demo", "secret", Session::BLANK, 0).unwrap();
    let session = Session::padded("Q000000001").unwrap();
    let mut resumed = Login::new("demo", "secret", session, 42).unwrap();
    resumed.heartbeat_timeout_ms = Some(5000);
    let accepted = LoginAccepted { session, sequence: 1 };
    examples.extend([
        ("login".into(), filled(|buffer| login.encode(buffer).unwrap())),
        ("login-4.10".into(), filled(|buffer| resumed.encode(buffer).unwrap())),
        ("login-accepted".into(), filled(|buffer| accepted.encode(buffer).unwrap())),
        ("login-rejected".into(), RejectCode::NotAuthorized.packet().to_vec()),
    ]);
}

fn requests(examples: &mut Examples) {
    let request = |request_id, at_least, query| {
        filled(|buffer| Request { request_id, at_least, query }.encode(buffer).unwrap())
    };
    let keys = [Key { table: 1, key: b"AAPL" }, Key { table: 1, key: b"MSFT" }];
    let get = request(1, 2, Query::Get { as_of: 0, key: keys[0] });
    let packet = filled(|buffer| soup::encode(soup::UNSEQUENCED_DATA, &[&get], buffer).unwrap());
    examples.extend([
        ("get".into(), get),
        ("get-packet".into(), packet),
        ("multi-get".into(), filled(|buffer| encode_multi_get(buffer, 2, 0, 2, &keys).unwrap())),
        ("range".into(), request(3, 0, Query::Range { from: 2, to: 0 })),
        ("watch".into(), request(4, 0, Query::Watch { from: 0 })),
        ("cancel".into(), request(4, 0, Query::Cancel)),
        ("status".into(), request(5, 0, Query::Status)),
        ("checksum".into(), request(7, 0, Query::Checksum { sequence: 3 })),
    ]);
}

fn answers(examples: &mut Examples) {
    let answer = |request_id, sequence, body| {
        filled(|buffer| Answer { request_id, last: true, sequence, body }.encode(buffer).unwrap())
    };
    let found = Record { found: true, table: 1, key: b"AAPL", version: 2, value: b"190.5" };
    let none = Record { found: false, table: 1, key: b"MSFT", version: 0, value: b"" };
    let messages = filled(|buffer| {
        let mut builder = MessagesBuilder::new(buffer, 3, 3);
        assert!(builder.push(&bus_message(Kind::EndOfSession, CLIENT, 9, &[])));
        builder.finish(false)
    });
    let status = Status {
        applied: 3,
        committed: 3,
        published: 3,
        first_kept: 1,
        records: 1,
        bytes: 9,
        digest: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
        stream: STREAM,
    };
    let checksum = Checksum { epoch: 3, chain: CHAIN };
    let error = AnswerBody::Error(ErrorCode::BelowHorizon, "1 is no longer kept");
    examples.extend([
        ("answer-record".into(), answer(1, 2, AnswerBody::Record(found))),
        ("answer-no-record".into(), answer(2, 2, AnswerBody::Record(none))),
        ("answer-messages".into(), messages),
        ("answer-checksum".into(), answer(7, 3, AnswerBody::Checksum(checksum))),
        ("answer-end".into(), answer(3, 4, AnswerBody::End)),
        ("answer-error".into(), answer(6, 3, error)),
        ("answer-status".into(), filled(|buffer| encode_status(buffer, 5, &status, [("gaps", 2)]).unwrap())),
    ]);
}

/// Any running checksum.
const CHAIN: u64 = 0x0b0c_0d0e_0f10_1112;

fn replication(examples: &mut Examples) {
    let prefix = Prefix {
        node: 1,
        drains: false,
        epoch: 3,
        before: 2,
        entry_epoch: 3,
        incarnation: 7,
        committed: 2,
        revision: 9,
        chain: CHAIN,
        compared: 2,
    };
    let packet = filled(|buffer| {
        let mut builder = LeaderPacketBuilder::entries(buffer, STREAM, 3);
        assert!(builder.push(&bus_message(Kind::EndOfSession, CLIENT, 9, &[])));
        let entries_bytes = builder.finish();
        LeaderPacketBuilder::finish(buffer, entries_bytes, &prefix)
    });
    let drains = Prefix { drains: true, entry_epoch: 0, ..prefix };
    let sender = Sender { node: 2, stream: STREAM, epoch: 3, incarnation: 5 };
    let abilities = Abilities { records_max: 1_000, bytes_max: 60_000, format: STREAM_FORMAT };
    let watermark = Watermark {
        sender,
        whole_since: 4,
        matched: 3,
        last: 3,
        applied: 2,
        shown: 2,
        chain: CHAIN,
        abilities,
    };
    let request = HistoryRequest { sender, from: 2, to: 3 };
    let digest = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
    let digest = StoreDigest { sender: Sender { node: 1, incarnation: 7, ..sender }, sequence: 3, digest };
    let contradiction = Contradiction {
        sender: digest.sender,
        incarnation: 5,
        sequence: 3,
        last: 2,
        chain: 0,
        kind: ContradictionKind::Lacks,
    };
    examples.extend([
        ("contradiction".into(), contradiction.to_bytes().to_vec()),
        ("leader-packet".into(), packet),
        ("leader-heartbeat".into(), heartbeat(STREAM, 4, &drains).to_vec()),
        ("watermark".into(), watermark.to_bytes().to_vec()),
        ("history-request".into(), request.to_bytes().to_vec()),
        ("store-digest".into(), digest.to_bytes().to_vec()),
    ]);
}

fn snapshots(examples: &mut Examples) {
    let message = bus_message(Kind::EndOfSession, CLIENT, 9, &[]);
    let acknowledgement = examples["acknowledgement"].clone();
    let (message, acknowledgement) = (&message[..], &acknowledgement[..]);
    let offer = Offer {
        first_kept: 2,
        sequence: 3,
        chunks: 6,
        epoch: 3,
        chain: CHAIN,
        acknowledgement_chain: 0x1314_1516_1718_191a,
        message,
        acknowledgement,
    };
    let frame = |frame: Frame<'_>| {
        let mut bytes = Vec::new();
        frame.write(STREAM, &mut bytes);
        bytes
    };
    examples.extend([
        ("snapshot-question".into(), frame(Frame::Question)),
        ("snapshot-offer".into(), frame(Frame::Offer(offer))),
        ("snapshot-get".into(), frame(Frame::Get { sequence: 3, chunk: 4 })),
        ("snapshot-chunk".into(), frame(Frame::Chunk(b"GDSN"))),
        ("snapshot-refusal".into(), frame(Frame::Refusal(SnapshotRefusal::Busy))),
    ]);
}

#[test]
fn should_produce_every_example_of_the_document() {
    let mut produced = Examples::new();
    bus(&mut produced);
    logins(&mut produced);
    requests(&mut produced);
    answers(&mut produced);
    replication(&mut produced);
    snapshots(&mut produced);
    let documented = documented();
    for (name, bytes) in &produced {
        assert_eq!(documented.get(name), Some(bytes), "the example {name} in docs/PROTOCOL.md");
    }
    let extra: Vec<_> = documented.keys().filter(|name| !produced.contains_key(*name)).collect();
    assert!(extra.is_empty(), "examples that nothing checks: {extra:?}");
}

#[test]
fn should_document_every_outcome_error_and_reason() {
    for &outcome in Outcome::ALL {
        assert!(DOCUMENT.contains(&format!("\n| {} | ", outcome as u16)), "outcome {outcome}");
    }
    for kind in ["`T`", "`E`", "`K`", "`D`", "`V`", "`Z`"] {
        assert!(DOCUMENT.contains(&format!("\n| {kind} | ")), "kind {kind}");
    }
}
