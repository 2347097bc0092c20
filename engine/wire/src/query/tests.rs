use proptest::prelude::*;

use super::*;
use crate::session::Session;

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut into = vec![0; 1000];
    let length = request.encode(&mut into).unwrap();
    into.truncate(length);
    into
}

fn answered(answer: &Answer<'_>) -> Vec<u8> {
    let mut into = vec![0; 40_000];
    let length = answer.encode(&mut into).unwrap();
    into.truncate(length);
    into
}

fn get(key: &[u8]) -> Request<'_> {
    let query = Query::Get { as_of: 3, key: Key { table: 4, key } };
    Request { request_id: 1, at_least: 2, query }
}

#[test]
fn should_lay_out_a_get_in_order() {
    let bytes = encoded(&get(b"key"));
    let expected = b"G\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x04\x03key";
    assert_eq!(bytes, expected);
    assert_eq!(Request::parse(&bytes), Ok(get(b"key")));
    assert_eq!(request_id(&bytes), Some(1));
}

#[test]
fn should_read_back_each_kind_of_request_and_refuse_its_cuts() {
    let kinds = [
        Query::Range { from: 1, to: 0 },
        Query::Watch { from: 9 },
        Query::Cancel,
        Query::Status,
        Query::Checksum { sequence: 9 },
        get(b"key").query,
    ];
    for query in kinds {
        let request = Request { request_id: 7, at_least: 0, query };
        let mut bytes = encoded(&request);
        assert_eq!(bytes[0], query.kind());
        assert_eq!(Request::parse(&bytes), Ok(request));
        for length in 0..bytes.len() {
            assert_eq!(Request::parse(&bytes[..length]), Err(QueryError::Truncated));
        }
        bytes.push(0);
        assert_eq!(Request::parse(&bytes), Err(QueryError::TrailingBytes(1)));
    }
}

#[test]
fn should_keep_the_keys_of_a_multi_get_in_order() {
    let keys = [Key { table: 1, key: b"a" }, Key { table: 2, key: b"bc" }];
    let mut into = [0; 100];
    let length = encode_multi_get(&mut into, 5, 6, 7, &keys).unwrap();
    let request = Request::parse(&into[..length]).unwrap();
    let Query::MultiGet(multi_get) = request.query else { panic!("no multi-get") };
    assert_eq!((request.request_id, request.at_least, multi_get.as_of, multi_get.count()), (5, 6, 7, 2));
    assert_eq!(multi_get.keys().collect::<Vec<_>>(), keys);
    assert_eq!(encoded(&request), into[..length]);
    assert_eq!(encode_multi_get(&mut into, 5, 6, 7, &[]), None);
    assert_eq!(encode_multi_get(&mut into, 5, 6, 7, &[Key { table: 1, key: b"" }]), None);
    assert_eq!(encode_multi_get(&mut into[..30], 5, 6, 7, &keys), None);
}

#[test]
fn should_refuse_requests_that_are_none() {
    let good = encoded(&get(b"k"));
    let with = |offset: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[offset] = byte;
        Request::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(0, b'?'), QueryError::UnknownKind(b'?'));
    assert_eq!(with(1, 1), QueryError::Reserved);
    assert_eq!(with(3, 1), QueryError::Reserved);
    assert_eq!(with(30, 0), QueryError::EmptyKey);
    assert_eq!(with(30, 2), QueryError::Truncated);
    let mut none = encoded(&get(b"k"));
    none[0] = b'M';
    none[28..30].fill(0);
    assert_eq!(Request::parse(&none), Err(QueryError::NoKeys));
    let long = [0; 256];
    assert_eq!(get(&long).encode(&mut [0; 1000]), None);
    assert_eq!(get(b"").encode(&mut [0; 1000]), None);
    assert_eq!(get(b"k").encode(&mut [0; 31]), None);
}

#[test]
fn should_tell_a_record_from_none() {
    let record = Record { found: true, table: 4, key: b"key", version: 9, value: b"value" };
    let found = Answer { request_id: 1, last: true, sequence: 12, body: AnswerBody::Record(record) };
    let bytes = answered(&found);
    let expected =
        b"g\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0c\x01\x03\0\x04\0\0\0\x05\0\0\0\0\0\0\0\x09keyvalue";
    assert_eq!(bytes, expected);
    assert_eq!(Answer::parse(&bytes), Ok(found));
    let none = Record { found: false, version: 0, value: b"", ..record };
    let missing = Answer { body: AnswerBody::Record(none), ..found };
    let bytes = answered(&missing);
    assert_eq!(bytes[2..4], [0, 1]);
    assert_eq!(Answer::parse(&bytes), Ok(missing));
    let contradiction = Record { found: false, ..record };
    assert_eq!(Answer { body: AnswerBody::Record(contradiction), ..found }.encode(&mut [0; 99]), None);
}

#[test]
fn should_pack_bus_messages_up_to_the_cap() {
    let mut into = vec![0; 60_000];
    let mut builder = MessagesBuilder::new(&mut into, 3, 100);
    assert_eq!(builder.room(), 32_766 - 24);
    assert!(builder.push(b"first") && builder.push(b""));
    builder.reserve(3).unwrap().copy_from_slice(b"abc");
    let room = builder.room();
    assert!(!builder.push(&vec![0; room + 1]) && builder.push(&vec![1; room]));
    assert!(!builder.push(b""));
    assert_eq!((builder.count(), builder.room()), (4, 0));
    let length = builder.finish(false);
    assert_eq!(length, crate::soup::MAX_PAYLOAD_BYTES);
    let answer = Answer::parse(&into[..length]).unwrap();
    let AnswerBody::Messages(messages) = answer.body else { panic!("no messages") };
    assert_eq!((answer.sequence, answer.last, messages.count()), (100, false, 4));
    let read: Vec<_> = messages.iter().take(3).collect();
    assert_eq!(read, [&b"first"[..], b"", b"abc"]);
    assert_eq!(answered(&answer), into[..length]);
}

fn status() -> Status {
    Status {
        applied: 1,
        committed: 2,
        published: 3,
        first_kept: 4,
        records: 5,
        bytes: 6,
        digest: 7,
        stream: Session(*b"1670788904"),
    }
}

#[test]
fn should_carry_the_counters_of_a_status() {
    let mut into = [0; 200];
    let counters = [("packets", 10), ("gaps", 11)];
    let length = encode_status(&mut into, 9, &status(), counters).unwrap();
    let answer = Answer::parse(&into[..length]).unwrap();
    let AnswerBody::Status(read, read_counters) = answer.body else { panic!("no status") };
    assert_eq!((answer.request_id, answer.last, answer.sequence, read), (9, true, 1, status()));
    assert_eq!((read_counters.count(), read_counters.iter().collect::<Vec<_>>()), (2, counters.to_vec()));
    assert_eq!(answered(&answer), into[..length]);
    for cut in 0..length {
        assert_eq!(Answer::parse(&into[..cut]), Err(AnswerError::Truncated), "{cut}");
        assert_eq!(encode_status(&mut [0; 200][..cut], 9, &status(), counters), None);
    }
    let mut name = into;
    name[97] = 0xFF;
    assert_eq!(Answer::parse(&name[..length]), Err(AnswerError::Text));
    assert_eq!(encode_status(&mut into, 9, &status(), []), Some(96));
}

#[test]
fn should_read_back_ends_and_errors() {
    for body in [
        AnswerBody::End,
        AnswerBody::Checksum(Checksum { epoch: 3, chain: 0x0102_0304_0506_0708 }),
        AnswerBody::Error(ErrorCode::BelowHorizon, "below 7"),
        AnswerBody::Status(status(), Counters::NONE),
    ] {
        let answer = Answer { request_id: 1, last: true, sequence: 5, body };
        assert_eq!(Answer::parse(&answered(&answer)), Ok(answer));
    }
    for code in 1..=8 {
        assert_eq!(ErrorCode::from_u16(code).map(|error| error as u16), Some(code));
    }
    assert_eq!(ErrorCode::from_u16(9), None);
}

#[test]
fn should_refuse_answers_that_are_none() {
    let end = answered(&Answer { request_id: 1, last: true, sequence: 5, body: AnswerBody::End });
    let with = |offset: usize, byte: u8| {
        let mut bytes = end.clone();
        bytes[offset] = byte;
        Answer::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(0, b'?'), AnswerError::UnknownKind(b'?'));
    assert_eq!(with(1, 2), AnswerError::UnknownFlags(2));
    assert_eq!(with(3, 1), AnswerError::Code(1));
    assert_eq!(with(0, b'x'), AnswerError::Code(0));
    assert_eq!(Answer::parse(&[&end[..], b"x"].concat()), Err(AnswerError::TrailingBytes(1)));
}

#[test]
fn should_lay_out_a_running_checksum_in_order() {
    let body = AnswerBody::Checksum(Checksum { epoch: 3, chain: 0x0102_0304_0506_0708 });
    let mut bytes = answered(&Answer { request_id: 1, last: true, sequence: 12, body });
    let expected = b"h\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0c\0\0\0\x03\x01\x02\x03\x04\x05\x06\x07\x08";
    assert_eq!((&bytes[..], bytes.len()), (&expected[..], CHECKSUM_ANSWER_BYTES));
    for length in 0..bytes.len() {
        assert_eq!(Answer::parse(&bytes[..length]), Err(AnswerError::Truncated));
    }
    bytes.push(0);
    assert_eq!(Answer::parse(&bytes), Err(AnswerError::TrailingBytes(1)));
}

#[test]
fn should_say_how_long_a_value_can_be() {
    let (key, value) = ([1; 255], vec![2; max_value_bytes(255)]);
    let record = Record { found: true, table: 1, key: &key, version: 1, value: &value };
    let answer = Answer { request_id: 1, last: true, sequence: 1, body: AnswerBody::Record(record) };
    assert_eq!(answered(&answer).len(), crate::soup::MAX_PAYLOAD_BYTES);
}

proptest! {
    #[test]
    fn should_read_back_every_multi_get(
        numbers in any::<(u64, u64, u64)>(),
        keys in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 1..=255)), 1..20),
    ) {
        let keys: Vec<_> = keys.iter().map(|(table, key)| Key { table: *table, key }).collect();
        let mut into = [0; 6000];
        let length = encode_multi_get(&mut into, numbers.0, numbers.1, numbers.2, &keys).unwrap();
        let Query::MultiGet(read) = Request::parse(&into[..length]).unwrap().query else { panic!() };
        prop_assert_eq!(read.keys().collect::<Vec<_>>(), keys);
    }

    #[test]
    fn should_never_panic_on_requests(
        kind in prop::sample::select(&b"GMRWCSH"[..]),
        noise in prop::collection::vec(prop_oneof![2 => 0..4_u8, 1 => any::<u8>()], 0..80),
    ) {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend(noise);
        let _ = request_id(&bytes);
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(encoded(&request), bytes);
        }
    }

    #[test]
    fn should_never_panic_on_answers(
        kind in prop::sample::select(&b"gmsexh"[..]),
        code in 0..2_u8,
        noise in prop::collection::vec(prop_oneof![2 => 0..4_u8, 1 => any::<u8>()], 0..140),
    ) {
        let mut bytes = vec![kind, 0, 0, code];
        bytes.extend(noise);
        if let Ok(answer) = Answer::parse(&bytes) {
            prop_assert_eq!(answered(&answer), bytes);
        }
    }

    #[test]
    fn should_never_panic_on_noise(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
        let _ = Request::parse(&bytes);
        let _ = Answer::parse(&bytes);
    }
}
