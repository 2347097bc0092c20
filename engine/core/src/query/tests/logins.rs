use super::*;
use crate::query::SameUser;
use crate::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::query::Query;
use proptest::prelude::*;

const REJECTED_A: (u8, &[u8]) = (b'J', b"A");
const REJECTED_S: (u8, &[u8]) = (b'J', b"S");

fn is(packets: &[Packet], expected: (u8, &[u8])) -> bool {
    packets.len() == 1 && packets[0].0 == expected.0 && packets[0].1 == expected.1
}

fn status(request_id: u64) -> Request<'static> {
    Request { request_id, at_least: 0, query: Query::Status }
}

#[test]
fn should_open_a_new_session_for_a_blank_login_of_47_or_52_bytes() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (first, one) = bench.login("OPS", "Secret");
    let mut raw = login("ops", "secret", Session::BLANK, 1);
    assert_eq!(raw.len(), 49, "length field and 47 bytes");
    raw.extend_from_slice(b" 2000");
    raw[1] += 5;
    let second = bench.network.connect();
    bench.network.send(second, &raw);
    bench.settle();
    let packets = bench.packets(second);
    let two = accepted(&packets[0]).session;
    assert_ne!(one, two);
    assert!(two.0.iter().all(u8::is_ascii_graphic), "ten characters, so padding does not matter");
    // Its own timeout counts for the second, the configured one for the first.
    bench.wait(2 * SECOND_NS);
    assert!(bench.network.is_closed(second) && !bench.network.is_closed(first));
    assert_eq!(bench.counters().closed_silent.get(), 1);
}

#[test]
fn should_accept_lenient_padding_byte_by_byte() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, session) = bench.login("ops", "secret");
    bench.network.hang_up(id);
    bench.settle();
    let mut raw = b"\0\x2fL".to_vec();
    raw.extend_from_slice(b"ops\0\0\0");
    raw.extend_from_slice(b"   SECRET\0");
    raw.extend_from_slice(&session.0);
    raw.extend_from_slice(b"1                   ");
    bench.network.set_piece(1);
    let id = bench.network.connect();
    bench.network.send(id, &raw);
    bench.settle();
    let packets = bench.packets(id);
    assert_eq!(accepted(&packets[0]).session, session);
    assert_eq!(bench.counters().resumed.get(), 1);
}

#[test]
fn should_reject_with_a_what_is_not_authorized_and_close() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    for (user, password) in [("ops", "wrong"), ("nobody", "secret"), ("", "")] {
        let (id, packets) = bench.try_login(user, password, Session::BLANK, 0);
        assert!(is(&packets, REJECTED_A), "{packets:?}");
        assert!(bench.network.is_closed(id));
    }
    assert_eq!(bench.counters().rejected_not_authorized.get(), 3);
    assert_eq!(bench.counters().connections_open.get(), 0);
}

#[test]
fn should_reject_with_s_a_session_that_is_unknown_or_another_users() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (_, session) = bench.login("ops", "secret");
    let (_, packets) = bench.try_login("other", "x", session, 1);
    assert!(is(&packets, REJECTED_S));
    let (_, packets) = bench.try_login("ops", "secret", Session::padded("NOTHERE").unwrap(), 1);
    assert!(is(&packets, REJECTED_S));
    assert_eq!(bench.counters().rejected_session_unknown.get(), 2);
}

#[test]
fn should_forget_a_session_ten_minutes_after_the_break() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, session) = bench.login("ops", "secret");
    bench.network.hang_up(id);
    bench.settle();
    bench.wait(599 * SECOND_NS);
    let (id, packets) = bench.try_login("ops", "secret", session, 1);
    assert_eq!(accepted(&packets[0]).session, session);
    bench.network.hang_up(id);
    bench.settle();
    bench.wait(601 * SECOND_NS);
    let (_, packets) = bench.try_login("ops", "secret", session, 1);
    assert!(is(&packets, REJECTED_S));
    assert_eq!(bench.counters().sessions_expired.get(), 1);
}

#[test]
fn should_take_sequence_0_for_the_next_new_answer_and_clamp_what_is_beyond() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, session) = bench.login("ops", "secret");
    let first = bench.answers(id, &status(1)).remove(0);
    let second = bench.answers(id, &status(2)).remove(0);
    for (asked, told) in [(0, 3), (3, 3), (99, 3), (u64::MAX >> 1, 3), (2, 2), (1, 1)] {
        let (_, packets) = bench.try_login("ops", "secret", session, asked);
        assert_eq!(accepted(&packets[0]).sequence, told, "asked for {asked}");
        let again = sequenced(&packets);
        let all = [first.clone(), second.clone()];
        assert_eq!(again, all[told as usize - 1..]);
    }
    assert_eq!(bench.counters().closed_superseded.get(), 6);
}

#[test]
fn should_make_dropped_answers_of_a_range_again_and_reject_what_cannot_be() {
    let data = Data::with_messages(3_000);
    let mut bench = Bench::new(small(), data.clone());
    let (id, session) = bench.login("ops", "secret");
    let first = bench.answers(id, &status(9)).remove(0);
    let range = Request { request_id: 1, at_least: 0, query: Query::Range { from: 1, to: 0 } };
    let mut answers = vec![first];
    answers.extend(bench.answers(id, &range));
    assert!(answers.iter().map(Vec::len).sum::<usize>() > 2 * small().retained_bytes);
    // A status is not in the stream, so what it said is gone.
    let (_, packets) = bench.try_login("ops", "secret", session, 1);
    assert!(is(&packets, REJECTED_S));
    assert!(!bench.network.is_closed(id), "who is there stays");
    for asked in [2, 5, answers.len() as u64] {
        let (_, packets) = bench.try_login("ops", "secret", session, asked);
        assert!(sequenced(&packets) == answers[asked as usize - 1..], "from {asked}");
    }
    assert!(bench.counters().answers_repeated.get() > 10);
    data.change(|lists| lists.first_kept = 2);
    let (_, packets) = bench.try_login("ops", "secret", session, 2);
    assert!(is(&packets, REJECTED_S), "its first message is no longer kept");
    let (_, packets) = bench.try_login("ops", "secret", session, 3);
    assert!(sequenced(&packets) == answers[2..]);
    assert_eq!(bench.counters().rejected_pruned.get(), 2);
}

#[test]
fn should_close_when_what_is_to_be_sent_again_is_gone_meanwhile() {
    let data = Data::with_messages(3_000);
    let mut bench = Bench::new(small(), data.clone());
    let (id, session) = bench.login("ops", "secret");
    let range = Request { request_id: 1, at_least: 0, query: Query::Range { from: 1, to: 0 } };
    bench.answers(id, &range);
    let id = bench.network.connect();
    bench.network.send(id, &login("ops", "secret", session, 1));
    bench.step();
    data.change(|lists| lists.first_kept = 2_000);
    bench.settle();
    assert!(bench.network.is_closed(id));
    assert_eq!(bench.counters().closed_unreadable.get(), 1);
    let (_, packets) = bench.try_login("ops", "secret", session, 4);
    assert!(is(&packets, REJECTED_S), "once is enough");
}

#[test]
fn should_let_the_same_user_in_as_configured() {
    let data = Data::with_messages(3);
    let mut bench = Bench::new(small(), data.clone());
    let (first, _) = bench.login("ops", "secret");
    bench.login("ops", "secret");
    assert!(!bench.network.is_closed(first), "together");

    let mut bench = Bench::new(QueryConfig { same_user: SameUser::Supersede, ..small() }, data.clone());
    let (first, session) = bench.login("ops", "secret");
    let (other, _) = bench.login("other", "x");
    let (second, _) = bench.login("ops", "secret");
    assert!(bench.network.is_closed(first) && !bench.network.is_closed(other));
    let (_, packets) = bench.try_login("ops", "secret", session, 1);
    assert_eq!(accepted(&packets[0]).session, session, "its session can be resumed");
    assert!(bench.network.is_closed(second));
    assert_eq!(bench.counters().closed_superseded.get(), 2);

    let mut bench = Bench::new(QueryConfig { same_user: SameUser::Refuse, ..small() }, data);
    let (first, _) = bench.login("ops", "secret");
    let (_, packets) = bench.try_login("ops", "secret", Session::BLANK, 1);
    assert!(is(&packets, REJECTED_S) && !bench.network.is_closed(first));
    assert_eq!(bench.counters().rejected_same_user.get(), 1);
}

#[test]
fn should_close_what_does_not_log_in_within_thirty_seconds() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let id = bench.network.connect();
    bench.settle();
    bench.wait(29 * SECOND_NS);
    bench.send(id, b'+', b"still there");
    bench.settle();
    assert!(!bench.network.is_closed(id));
    bench.wait(SECOND_NS);
    assert!(bench.network.is_closed(id) && bench.network.take(id).is_empty());
    assert_eq!(bench.counters().closed_no_login.get(), 1);
}

#[test]
fn should_heartbeat_within_a_second_and_close_after_fifteen_of_silence() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, _) = bench.login("ops", "secret");
    for _ in 0..140 {
        bench.wait(100 * MILLISECOND_NS);
    }
    let heartbeats = bench.packets(id);
    assert!(
        heartbeats.len() >= 14 && heartbeats.iter().all(|packet| packet.0 == b'H' && packet.1.is_empty())
    );
    bench.send(id, b'R', b"");
    bench.settle();
    bench.wait(14_900 * MILLISECOND_NS);
    assert!(!bench.network.is_closed(id));
    bench.wait(200 * MILLISECOND_NS);
    assert!(bench.network.is_closed(id));
    assert_eq!(bench.counters().closed_silent.get(), 1);
}

#[test]
fn should_not_heartbeat_while_answers_flow() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, _) = bench.login("ops", "secret");
    for round in 0..20 {
        bench.ask(id, &status(round));
        bench.wait(800 * MILLISECOND_NS);
    }
    assert_eq!(bench.counters().heartbeats.get(), 0);
}

#[test]
fn should_close_at_once_on_logout_and_let_the_session_be_resumed() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, session) = bench.login("ops", "secret");
    bench.send(id, b'O', b"");
    bench.settle();
    assert!(bench.network.is_closed(id));
    assert_eq!(bench.counters().closed_logout.get(), 1);
    let (_, packets) = bench.try_login("ops", "secret", session, 1);
    assert_eq!(accepted(&packets[0]).session, session);
}

#[test]
fn should_refuse_more_connections_and_sessions_than_are_allowed() {
    let config = QueryConfig { connections_max: 2, sessions_max: 1, ..small() };
    let mut bench = Bench::new(config, Data::with_messages(3));
    bench.login("ops", "secret");
    let (_, packets) = bench.try_login("other", "x", Session::BLANK, 1);
    assert!(is(&packets, REJECTED_S));
    assert_eq!(bench.counters().rejected_sessions_full.get(), 1);
    bench.network.connect();
    bench.settle();
    let third = bench.network.connect();
    bench.settle();
    assert!(bench.network.is_closed(third));
    assert_eq!(bench.counters().connections_refused.get(), 1);
}

#[test]
fn should_end_every_session_with_z_when_the_stream_ends() {
    let mut bench = Bench::new(small(), Data::with_messages(3));
    let (id, session) = bench.login("ops", "secret");
    bench.ask(id, &status(1));
    bench.settle();
    bench.server.end_sessions(bench.now, &mut bench.port, &mut NoDisk);
    let packets = bench.packets(id);
    assert_eq!(packets.iter().map(|packet| packet.0).collect::<Vec<_>>(), b"SZ");
    assert!(bench.network.is_closed(id));
    let (_, packets) = bench.try_login("ops", "secret", session, 1);
    assert!(is(&packets, REJECTED_S));
}

#[test]
fn should_close_with_a_counted_reason_on_what_is_no_packet() {
    let before: [&[u8]; 5] = [b"\0\0", b"\0\x01X", b"\0\x01U", b"\0\x05Labcd", b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in before {
        let mut bench = Bench::new(small(), Data::with_messages(3));
        let id = bench.network.connect();
        bench.network.send(id, bytes);
        bench.settle();
        // "GE" is a length that never arrives: the wait for a login ends it.
        bench.wait(30 * SECOND_NS);
        assert!(bench.network.is_closed(id), "{bytes:?}");
        let counters = bench.counters();
        assert_eq!(counters.closed_protocol.get() + counters.closed_no_login.get(), 1, "{bytes:?}");
    }
    let after: [&[u8]; 3] = [b"\0\0", b"\0\x01S", &login("ops", "secret", Session::BLANK, 1)];
    for bytes in after {
        let mut bench = Bench::new(small(), Data::with_messages(3));
        let (id, _) = bench.login("ops", "secret");
        bench.network.send(id, bytes);
        bench.settle();
        assert!(bench.network.is_closed(id), "{bytes:?}");
        assert_eq!(bench.counters().closed_protocol.get(), 1, "{bytes:?}");
    }
}

#[test]
fn should_close_on_a_packet_longer_than_the_bound() {
    let config = QueryConfig { request_bytes_max: 1_000, ..small() };
    let mut bench = Bench::new(config, Data::with_messages(3));
    let (id, _) = bench.login("ops", "secret");
    bench.send(id, b'+', &[b'x'; 997]);
    bench.settle();
    assert!(!bench.network.is_closed(id));
    bench.send(id, b'+', &[b'x'; 998]);
    bench.settle();
    assert!(bench.network.is_closed(id));
    assert_eq!(bench.counters().closed_oversize.get(), 1);
}

#[test]
fn should_close_when_requests_pile_up_behind_answers_nobody_reads() {
    let config = QueryConfig { request_buffer_bytes: 40_000, ..small() };
    let mut bench = Bench::new(config, Data::with_messages(3));
    bench.network = Network::new(4_096, 64);
    bench.port = bench.network.server();
    let (id, _) = bench.login("ops", "secret");
    for round in 0..20_000 {
        bench.ask(id, &status(round));
    }
    bench.settle();
    assert_eq!(bench.counters().closed_requests_overflow.get(), 1);
    assert!(bench.counters().pauses.get() >= 1);
    assert!(bench.network.is_closed(id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever arrives, before or after a login, in whatever pieces: no panic, and every connection is accounted for.
    #[test]
    fn should_survive_garbage(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20),
        framed in any::<bool>(),
        logged_in in any::<bool>(),
        piece in 1usize..50,
    ) {
        let mut bench = Bench::new(small(), Data::with_messages(3));
        let id = if logged_in { bench.login("ops", "secret").0 } else { bench.network.connect() };
        bench.network.set_piece(piece);
        for bytes in &pieces {
            if framed {
                // A packet of the right shape with anything in it.
                let kind = [b'U', b'R', b'+', b'L'][bytes.len() % 4];
                bench.send(id, kind, bytes);
            } else {
                bench.network.send(id, bytes);
            }
            bench.step();
        }
        bench.settle();
        let counters = bench.counters();
        let closed = counters.closed_protocol.get() + counters.closed_oversize.get() + counters.closed_logout.get()
            + counters.closed_rejected.get();
        prop_assert_eq!(counters.connections_open.get() + closed, 1);
    }
}
