use super::*;
use crate::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::query::{AnswerBody, Checksum, ErrorCode, Key, Query, encode_multi_get};
use network::Network;

fn ask(request_id: u64, at_least: u64, query: Query<'_>) -> Request<'_> {
    Request { request_id, at_least, query }
}

fn get(request_id: u64, table: u16, key: &[u8], as_of: u64) -> Request<'_> {
    ask(request_id, 0, Query::Get { as_of, key: Key { table, key } })
}

/// The only answer, which must be an error with this code.
fn failed(answers: &[Vec<u8>], request_id: u64, expected: ErrorCode) {
    assert_eq!(answers.len(), 1);
    let answer = answer(&answers[0]);
    assert!(answer.last && answer.request_id == request_id);
    match answer.body {
        AnswerBody::Error(code, text) => {
            assert_eq!(code, expected, "{text}");
            assert!(!text.is_empty());
        }
        other => panic!("expected {expected}, got {other:?}"),
    }
}

/// Numbers and bytes of all messages in these answers to a range or watch.
fn messages(answers: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    for payload in answers {
        let answer = answer(payload);
        if let AnswerBody::Messages(messages) = answer.body {
            assert!(!answer.last && messages.count() > 0);
            all.extend(
                messages.iter().enumerate().map(|(at, bytes)| (answer.sequence + at as u64, bytes.to_vec())),
            );
        }
    }
    all
}

fn expected(from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    (from..=to).map(|sequence| (sequence, data::message(sequence))).collect()
}

#[test]
fn should_answer_a_get_with_the_record_as_of_the_number_asked() {
    let data = Data::with_messages(9);
    data.put(1, b"k", 3, Some(b"three"));
    data.put(1, b"k", 7, Some(b"seven"));
    data.put(1, b"k", 8, None);
    let mut bench = Bench::new(small(), data);
    let (id, _) = bench.login("reader", "");
    for (as_of, state, version, value) in
        [(0, 9, 0, &b""[..]), (9, 9, 0, b""), (7, 7, 7, b"seven"), (6, 6, 3, b"three"), (2, 2, 0, b"")]
    {
        let answers = bench.answers(id, &get(as_of + 100, 1, b"k", as_of));
        assert_eq!(answers.len(), 1);
        let answer = answer(&answers[0]);
        assert_eq!((answer.request_id, answer.last, answer.sequence), (as_of + 100, true, state));
        let AnswerBody::Record(record) = answer.body else { panic!("{answer:?}") };
        assert_eq!((record.table, record.key), (1, &b"k"[..]));
        assert_eq!(
            (record.found, record.version, record.value),
            (version != 0, version, value),
            "as of {as_of}"
        );
    }
    assert_eq!(bench.counters().records.get(), 5);
}

#[test]
fn should_answer_a_multi_get_in_the_order_asked_all_as_of_one_number() {
    let data = Data::with_messages(9);
    data.put(1, b"a", 3, Some(b"A"));
    data.put(2, b"b", 4, Some(b"B"));
    let mut bench = Bench::new(small(), data);
    let (id, _) = bench.login("reader", "");
    let keys = [(2, &b"b"[..]), (1, b"none"), (1, b"a")].map(|(table, key)| Key { table, key });
    let mut payload = vec![0; 200];
    let bytes = encode_multi_get(&mut payload, 5, 0, 0, &keys).unwrap();
    bench.send(id, b'U', &payload[..bytes]);
    bench.settle();
    let answers = sequenced(&bench.packets(id));
    let got: Vec<_> = answers
        .iter()
        .map(|payload| {
            let answer = answer(payload);
            let AnswerBody::Record(record) = answer.body else { panic!("{answer:?}") };
            (answer.last, answer.sequence, record.key, record.value)
        })
        .collect();
    let expected: Vec<(bool, u64, &[u8], &[u8])> =
        vec![(false, 9, b"b", b"B"), (false, 9, b"none", b""), (true, 9, b"a", b"A")];
    assert_eq!(got, expected);

    let keys = [Key { table: 1, key: b"k" }; 9];
    let bytes = encode_multi_get(&mut payload, 6, 0, 0, &keys).unwrap();
    bench.send(id, b'U', &payload[..bytes]);
    bench.settle();
    failed(&sequenced(&bench.packets(id)), 6, ErrorCode::TooLarge);

    let keys = [Key { table: 1, key: b"k" }, Key { table: 3, key: b"k" }];
    let bytes = encode_multi_get(&mut payload, 7, 0, 0, &keys).unwrap();
    bench.send(id, b'U', &payload[..bytes]);
    bench.settle();
    failed(&sequenced(&bench.packets(id)), 7, ErrorCode::NotPermitted);
}

#[test]
fn should_answer_with_an_error_what_cannot_be_answered() {
    let data = Data::with_messages(100);
    data.change(|lists| (lists.first_kept, lists.horizon) = (10, 20));
    let mut bench = Bench::new(small(), data);
    let (id, _) = bench.login("ops", "secret");
    let range = |from, to| ask(1, 0, Query::Range { from, to });
    for (request, code) in [
        (get(1, 1, b"k", 101), ErrorCode::AheadOfStream),
        (get(1, 1, b"k", 19), ErrorCode::BelowHorizon),
        (get(1, 99, b"k", 0), ErrorCode::NotFound),
        (range(9, 20), ErrorCode::BelowHorizon),
        (range(0, 20), ErrorCode::Malformed),
        (range(20, 15), ErrorCode::Malformed),
        (range(20, 101), ErrorCode::AheadOfStream),
        (range(102, 0), ErrorCode::AheadOfStream),
        (ask(1, 0, Query::Watch { from: 102 }), ErrorCode::AheadOfStream),
        (ask(1, 0, Query::Watch { from: 9 }), ErrorCode::BelowHorizon),
        (ask(1, 0, Query::Cancel), ErrorCode::NotFound),
        (ask(1, 0, Query::Checksum { sequence: 9 }), ErrorCode::BelowHorizon),
        (ask(1, 0, Query::Checksum { sequence: 101 }), ErrorCode::AheadOfStream),
    ] {
        let answers = bench.answers(id, &request);
        failed(&answers, 1, code);
    }
    bench.send(id, b'U', b"G");
    bench.settle();
    failed(&sequenced(&bench.packets(id)), 0, ErrorCode::Malformed);
    bench.send(id, b'U', &[b'?', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    bench.settle();
    failed(&sequenced(&bench.packets(id)), 7, ErrorCode::Malformed);
    assert_eq!(bench.counters().requests_failed.get(), 15);
    assert_eq!(bench.counters().requests.get(), 15);
}

#[test]
fn should_keep_users_to_what_they_may_read() {
    let mut bench = Bench::new(small(), Data::with_messages(5));
    let (id, _) = bench.login("reader", "");
    let answers = bench.answers(id, &get(1, 3, b"k", 0));
    failed(&answers, 1, ErrorCode::NotPermitted);
    let answers = bench.answers(id, &ask(2, 0, Query::Range { from: 1, to: 2 }));
    failed(&answers, 2, ErrorCode::NotPermitted);
    let answers = bench.answers(id, &ask(3, 0, Query::Watch { from: 1 }));
    failed(&answers, 3, ErrorCode::NotPermitted);
    let answers = bench.answers(id, &ask(5, 0, Query::Checksum { sequence: 1 }));
    failed(&answers, 5, ErrorCode::NotPermitted);
    assert_eq!(bench.answers(id, &ask(4, 0, Query::Status)).len(), 1);
}

#[test]
fn should_answer_a_range_in_packets_as_full_as_they_can_be() {
    let mut bench = Bench::new(small(), Data::with_messages(700));
    let (id, _) = bench.login("ops", "secret");
    let answers = bench.answers(id, &ask(8, 0, Query::Range { from: 2, to: 0 }));
    assert_eq!(messages(&answers), expected(2, 700));
    let (last, full) = answers.split_last().unwrap();
    let end = answer(last);
    assert_eq!((end.body, end.last, end.request_id, end.sequence), (AnswerBody::End, true, 8, 701));
    for payload in &full[..full.len() - 1] {
        assert!((32_766 - 600..=32_766).contains(&payload.len()), "{}", payload.len());
    }
    let answers = bench.answers(id, &ask(9, 0, Query::Range { from: 5, to: 5 }));
    assert_eq!(messages(&answers), expected(5, 5));
    let answers = bench.answers(id, &ask(10, 0, Query::Range { from: 701, to: 0 }));
    assert_eq!(answers.len(), 1);
    assert_eq!(answer(&answers[0]).body, AnswerBody::End);
}

#[test]
fn should_show_a_watch_what_is_committed_and_nothing_else() {
    let data = Data::with_messages(5);
    let mut bench = Bench::new(small(), data.clone());
    let (id, _) = bench.login("ops", "secret");
    assert_eq!(bench.answers(id, &ask(1, 0, Query::Watch { from: 0 })).len(), 0);
    assert_eq!(messages(&bench.answers(id, &ask(2, 0, Query::Watch { from: 4 }))), expected(4, 5));
    data.append(3);
    data.change(|lists| lists.committed = 7);
    bench.settle();
    let mut seen = messages(&sequenced(&bench.packets(id)));
    seen.sort();
    assert_eq!(
        seen,
        [expected(6, 7), expected(6, 7)].concat().into_iter().fold(Vec::new(), |mut all, one| {
            all.push(one);
            all.sort();
            all
        })
    );
    let ends = bench.answers(id, &ask(2, 0, Query::Cancel));
    let end = answer(&ends[0]);
    assert_eq!((end.body, end.last, end.request_id, end.sequence), (AnswerBody::End, true, 2, 8));
    data.append(1);
    bench.settle();
    assert_eq!(messages(&sequenced(&bench.packets(id))), expected(8, 9), "the other watch goes on");
}

#[test]
fn should_wait_until_the_number_named_is_applied() {
    let data = Data::with_messages(5);
    data.put(1, b"k", 6, Some(b"mine"));
    let mut bench = Bench::new(small(), data.clone());
    let (id, _) = bench.login("ops", "secret");
    let own = ask(1, 6, Query::Get { as_of: 0, key: Key { table: 1, key: b"k" } });
    assert_eq!(bench.answers(id, &own).len(), 0);
    assert_eq!(bench.answers(id, &get(2, 1, b"k", 0)).len(), 1, "others are not held up");
    data.append(1);
    bench.settle();
    let answers = sequenced(&bench.packets(id));
    let AnswerBody::Record(record) = answer(&answers[0]).body else { panic!() };
    assert_eq!(record.value, b"mine");
    assert_eq!(bench.counters().requests_waited.get(), 1);
}

#[test]
fn should_not_wait_for_ever_nor_for_too_many() {
    let data = Data::with_messages(5);
    let mut bench = Bench::new(QueryConfig { waits_max: 2, ..small() }, data);
    let (id, _) = bench.login("ops", "secret");
    for request_id in 1..=2 {
        assert_eq!(bench.answers(id, &ask(request_id, 10, Query::Status)).len(), 0);
    }
    let answers = bench.answers(id, &ask(3, 10, Query::Status));
    failed(&answers, 3, ErrorCode::TooMany);
    let ends = bench.answers(id, &ask(1, 0, Query::Cancel));
    assert_eq!((answer(&ends[0]).body, answer(&ends[0]).request_id), (AnswerBody::End, 1));
    bench.wait(5 * SECOND_NS + MILLISECOND_NS);
    let answers = sequenced(&bench.packets(id));
    failed(&answers, 2, ErrorCode::AheadOfStream);
}

#[test]
fn should_bound_the_streams_of_a_session_and_take_a_repeated_one_for_a_resend() {
    let mut bench = Bench::new(QueryConfig { streams_max: 2, ..small() }, Data::with_messages(5));
    let (id, _) = bench.login("ops", "secret");
    let watch = |request_id| ask(request_id, 0, Query::Watch { from: 0 });
    for request_id in [1, 2, 1, 2] {
        assert_eq!(bench.answers(id, &watch(request_id)).len(), 0);
    }
    assert_eq!(bench.counters().requests_resent.get(), 2);
    let answers = bench.answers(id, &watch(3));
    failed(&answers, 3, ErrorCode::TooMany);
    bench.wait(10 * MILLISECOND_NS);
    assert_eq!(bench.counters().streams_open.get(), 2);
}

#[test]
fn should_tell_where_the_node_stands() {
    let mut bench = Bench::new(small(), Data::with_messages(5));
    let (id, _) = bench.login("reader", "");
    let answers = bench.answers(id, &ask(1, 5, Query::Status));
    let AnswerBody::Status(status, counters) = answer(&answers[0]).body else { panic!() };
    assert_eq!((status.applied, status.committed, status.published, status.first_kept), (5, 5, 5, 1));
    assert_eq!(
        (status.bytes, status.digest, status.stream),
        (77, 0xD1, Session::padded("1700000000").unwrap())
    );
    let logins = counters.iter().find(|(name, _)| *name == "query.logins");
    assert_eq!(logins, Some(("query.logins", 1)));
}

#[test]
fn should_tell_the_running_checksum_of_what_is_committed() {
    let data = Data::with_messages(9);
    data.change(|lists| lists.committed = 7);
    let mut bench = Bench::new(small(), data.clone());
    let (id, _) = bench.login("ops", "secret");
    for (asked, sequence) in [(1, 1), (5, 5), (7, 7), (0, 7)] {
        let answers = bench.answers(id, &ask(asked + 1, 0, Query::Checksum { sequence: asked }));
        let chain = data.0.lock().unwrap().chains[sequence as usize - 1];
        let expected = AnswerBody::Checksum(Checksum { epoch: 3, chain });
        let answer = answer(&answers[0]);
        assert_eq!((answers.len(), answer.last, answer.sequence, answer.body), (1, true, sequence, expected));
    }
    let answers = bench.answers(id, &ask(9, 0, Query::Checksum { sequence: 8 }));
    failed(&answers, 9, ErrorCode::AheadOfStream);
    data.change(|lists| lists.committed = 0);
    let answers = bench.answers(id, &ask(10, 0, Query::Checksum { sequence: 0 }));
    failed(&answers, 10, ErrorCode::AheadOfStream);
}

#[test]
fn should_serve_others_while_a_long_range_is_under_way() {
    let mut bench = Bench::new(QueryConfig { slices_per_duty: 1, ..small() }, Data::with_messages(20_000));
    bench.network = Network::new(usize::MAX, 8 << 20);
    bench.port = bench.network.server();
    let (long, _) = bench.login("ops", "secret");
    let (short, _) = bench.login("other", "x");
    bench.ask(long, &ask(1, 0, Query::Range { from: 1, to: 0 }));
    bench.step();
    bench.ask(short, &get(2, 1, b"k", 0));
    bench.ask(short, &ask(3, 0, Query::Range { from: 1, to: 5 }));
    for _ in 0..6 {
        bench.step();
    }
    assert_eq!(sequenced(&bench.packets(short)).len(), 3);
    assert!(bench.network.on_the_way(long).1 < 8 * 32_769, "one slice a cycle");
    bench.settle();
    assert_eq!(messages(&sequenced(&bench.packets(long))), expected(1, 20_000));
}

#[test]
fn should_pause_a_slow_reader_and_close_it_when_it_stays_slow() {
    let mut bench = Bench::new(small(), Data::with_messages(20_000));
    bench.network = Network::new(usize::MAX, 10_000);
    bench.port = bench.network.server();
    let (slow, session) = bench.login("ops", "secret");
    bench.ask(slow, &ask(1, 0, Query::Range { from: 1, to: 0 }));
    bench.settle();
    assert_eq!(bench.counters().pauses.get(), 1);
    let bytes = bench.counters().answer_bytes.get();
    assert!(bytes < small().retained_bytes as u64, "only so much is made ahead of the reader");
    bench.wait(9 * SECOND_NS);
    assert_eq!(bench.counters().answer_bytes.get(), bytes);
    assert!(!bench.network.is_closed(slow));
    // It reads a little, and is given time again.
    let mut received = Vec::new();
    while bench.counters().answer_bytes.get() == bytes {
        received.extend(bench.network.take(slow));
        bench.settle();
    }
    bench.send(slow, b'R', b"");
    bench.wait(9 * SECOND_NS);
    assert!(!bench.network.is_closed(slow));
    bench.wait(2 * SECOND_NS);
    assert!(bench.network.is_closed(slow));
    assert_eq!(bench.counters().closed_slow_reader.get(), 1);
    // Nothing is lost: the session goes on where the reader was.
    received.extend(bench.network.take(slow));
    let mut whole = Vec::new();
    let mut rest = &received[..];
    while let Ok(Some((packet, count))) = Decoder::default().decode(rest) {
        whole.push((packet.kind, packet.payload.to_vec()));
        rest = &rest[count..];
    }
    let before = sequenced(&whole);
    let id = bench.network.connect();
    bench.network.send(id, &login("ops", "secret", session, before.len() as u64 + 1));
    bench.settle();
    let mut tail = Vec::new();
    loop {
        let more = bench.network.take(id);
        if more.is_empty() {
            break;
        }
        tail.extend(more);
        bench.settle();
    }
    let tail = split(&tail);
    assert_eq!(accepted(&tail[0]).sequence, before.len() as u64 + 1);
    let all = [before, sequenced(&tail)].concat();
    assert_eq!(messages(&all), expected(1, 20_000));
    assert!(answer(all.last().unwrap()).last);
}
