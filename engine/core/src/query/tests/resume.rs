//! Clients that lose their link again and again, against the same run undisturbed.
use super::*;
use crate::port::{StreamEvent, StreamPort};
use crate::query::{ClientConfig, Event, LinkLoss, RequestId, SoupClient};
use crate::random::Random;
use crate::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::query::{AnswerBody, ErrorCode, Key};
use gds_wire::soup::RejectCode;
use network::ClientPort;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A client with its connections, and what it was told.
struct Guest {
    client: SoupClient,
    port: ClientPort,
    connection: ConnectionId,
    /// Payloads by request, as told by the answers' parts.
    heard: BTreeMap<RequestId, Vec<String>>,
    /// Messages by request.
    messages: BTreeMap<RequestId, Vec<(u64, Vec<u8>)>>,
    ended: Vec<RequestId>,
    events: Vec<String>,
}

impl Guest {
    fn new(bench: &Bench, config: ClientConfig) -> Self {
        Self {
            client: SoupClient::new(config),
            port: bench.network.client(0),
            connection: 0,
            heard: BTreeMap::new(),
            messages: BTreeMap::new(),
            ended: Vec::new(),
            events: Vec::new(),
        }
    }

    fn step(&mut self, bench: &Bench) -> usize {
        if self.client.wants_connection(bench.now) {
            self.connection = bench.network.connect();
            self.port = bench.network.client(self.connection);
        }
        let Self { client, port, heard, messages, ended, events, .. } = self;
        client.duty(bench.now, port, &mut |event| match event {
            Event::Answer { answer, .. } => {
                let id = answer.request_id;
                match answer.body {
                    AnswerBody::Messages(batch) => messages.entry(id).or_default().extend(
                        batch
                            .iter()
                            .enumerate()
                            .map(|(at, bytes)| (answer.sequence + at as u64, bytes.to_vec())),
                    ),
                    body => heard.entry(id).or_default().push(format!("{} {body:?}", answer.sequence)),
                }
                if answer.last {
                    ended.push(id);
                }
            }
            Event::LoggedIn { .. } => events.push("logged in".to_owned()),
            other => events.push(format!("{other:?}")),
        })
    }
}

/// Runs both until the client has no open request.
fn run(bench: &mut Bench, guest: &mut Guest, mut disturb: impl FnMut(&mut Bench, &mut Guest)) {
    for _ in 0..1_000_000 {
        if guest.client.is_logged_in() && guest.client.open_requests() == 0 || guest.client.is_over() {
            return;
        }
        let work = guest.step(bench);
        disturb(bench, guest);
        bench.step();
        let pause = if work == 0 { MILLISECOND_NS } else { 10_000 };
        bench.now.monotonic_ns += pause;
    }
    panic!("not answered: {:?}", guest.events);
}

fn bench_with(messages: u64) -> Bench {
    let data = Data::with_messages(messages);
    for key in 0..20_u8 {
        data.put(1, &[key], u64::from(key) + 1, Some(&[key; 40]));
    }
    Bench::new(QueryConfig { retained_bytes: 512 << 10, ..small() }, data)
}

fn config() -> ClientConfig {
    ClientConfig { renew: false, ..ClientConfig::new("ops", "secret") }
}

fn ask_everything(guest: &mut Guest) {
    let client = &mut guest.client;
    for key in 0..15_u8 {
        client.get(1, &[key], 0, 0).unwrap();
    }
    client.range(1, 1500, 0).unwrap();
    let keys: Vec<[u8; 1]> = (0..8).map(|key| [key]).collect();
    let keys: Vec<Key<'_>> = keys.iter().map(|key| Key { table: 1, key }).collect();
    client.multi_get(&keys, 0, 0).unwrap();
    client.range(700, 0, 0).unwrap();
    client.get(1, b"none", 7, 3).unwrap();
    client.get(1, b"none", 7_000, 0).unwrap();
}

#[test]
fn should_answer_everything_over_a_link_that_holds() {
    let mut bench = bench_with(2_000);
    let mut guest = Guest::new(&bench, config());
    ask_everything(&mut guest);
    run(&mut bench, &mut guest, |_, _| ());
    assert_eq!(guest.ended.len(), 20);
    let whole = |from: u64, to: u64| (from..=to).map(|n| (n, data::message(n))).collect::<Vec<_>>();
    let ranges: Vec<_> = guest.messages.values().cloned().collect();
    assert_eq!(ranges, [whole(1, 1500), whole(700, 2000)]);
    assert_eq!(guest.events, ["logged in"]);
    assert!(guest.client.sequence() > 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The link is cut again and again, anywhere, with anything on its way lost: the answers are those of a link that holds.
    #[test]
    fn should_answer_the_same_over_a_link_that_breaks(
        seed in any::<u64>(),
        piece in prop_oneof![Just(1usize), 2usize..3000, Just(usize::MAX)],
        capacity in prop_oneof![Just(100_000_usize), 100usize..40_000],
        per_mille in 1u64..40,
    ) {
        // Deliveries byte by byte of megabytes prove no more than of tens of kilobytes.
        let piece = if capacity > 10_000 { piece.max(64) } else { piece };
        let mut quiet = bench_with(2_000);
        let mut undisturbed = Guest::new(&quiet, config());
        ask_everything(&mut undisturbed);
        run(&mut quiet, &mut undisturbed, |_, _| ());

        let mut bench = bench_with(2_000);
        bench.network = Network::new(piece, capacity);
        bench.port = bench.network.server();
        let mut guest = Guest::new(&bench, config());
        ask_everything(&mut guest);
        let mut random = Random::new(seed);
        let mut cuts_left = 30;
        run(&mut bench, &mut guest, |bench, guest| {
            if cuts_left > 0 && random.chance(per_mille, 1000) {
                cuts_left -= 1;
                let (to_server, to_client) = bench.network.on_the_way(guest.connection);
                let some = |random: &mut Random, most: usize| random.below(most as u64 + 1) as usize;
                let (to_server, to_client) = (some(&mut random, to_server), some(&mut random, to_client));
                bench.network.cut(guest.connection, to_server, to_client);
            }
        });
        prop_assert_eq!(&guest.heard, &undisturbed.heard);
        prop_assert!(guest.messages == undisturbed.messages, "other messages");
        let mut ended = [guest.ended, undisturbed.ended];
        ended.iter_mut().for_each(|ended| ended.sort_unstable());
        prop_assert_eq!(&ended[0], &ended[1]);
        prop_assert!(guest.events.iter().all(|event| event == "logged in" || event == "LinkLost(Closed)"), "{:?}", guest.events);
    }

    /// The bytes of the answer stream itself: whatever is cut where, what arrives is one and the same stream, byte for byte.
    #[test]
    fn should_continue_a_range_byte_for_byte(
        cuts in proptest::collection::vec((0usize..200_000, 0usize..15), 0..12),
        capacity in prop_oneof![500usize..80_000, Just(1 << 20)],
    ) {
        let mut quiet = bench_with(2_000);
        // Far more may be on its way than is kept.
        let mut bench = Bench::new(QueryConfig { retained_bytes: 180 << 10, ..small() }, Data::with_messages(2_000));
        let range = Request { request_id: 7, at_least: 0, query: gds_wire::query::Query::Range { from: 1, to: 0 } };
        let (id, _) = quiet.login("ops", "secret");
        let undisturbed = quiet.answers(id, &range);

        bench.network = Network::new(usize::MAX, capacity);
        bench.port = bench.network.server();
        let (mut id, session) = bench.login("ops", "secret");
        bench.ask(id, &range);
        let mut answers = Vec::new();
        let mut cuts = cuts.into_iter();
        let mut next_cut = cuts.next();
        let mut bytes = Vec::new();
        while answers.len() < undisturbed.len() {
            bench.step();
            bytes.extend(bench.network.take(id));
            let cut = next_cut.is_some_and(|(after, _)| bytes.len() >= after);
            let mut used = 0;
            while let Ok(Some((packet, count))) = Decoder::default().decode(&bytes[used..]) {
                if packet.kind == b'S' {
                    answers.push(packet.payload.to_vec());
                }
                used += count;
            }
            bytes.drain(..used);
            if cut {
                // It forgets what it has of a packet, and perhaps a few whole ones, and comes back.
                bytes.clear();
                answers.truncate(answers.len().saturating_sub(next_cut.unwrap().1));
                next_cut = cuts.next();
                bench.network.hang_up(id);
                bench.step();
                id = bench.network.connect();
                bench.network.send(id, &login("ops", "secret", session, answers.len() as u64 + 1));
            }
        }
        prop_assert!(answers == undisturbed);
    }
}

#[test]
fn should_go_on_with_a_watch_and_its_cancel_after_a_break() {
    let mut bench = bench_with(100);
    let mut guest = Guest::new(&bench, config());
    let watch = guest.client.watch(95, 0).unwrap();
    for round in 0..200 {
        guest.step(&bench);
        bench.step();
        bench.now.monotonic_ns += MILLISECOND_NS;
        if round % 20 == 10 {
            bench.network.cut(guest.connection, 0, 0);
            bench.data.append(7);
        }
    }
    for _ in 0..50 {
        guest.step(&bench);
        bench.step();
        bench.now.monotonic_ns += MILLISECOND_NS;
    }
    assert!(guest.client.cancel(watch) && !guest.client.cancel(watch));
    guest.step(&bench);
    bench.network.cut(guest.connection, 0, 0);
    run(&mut bench, &mut guest, |_, _| ());
    assert_eq!(guest.messages[&watch], (95..=170).map(|n| (n, data::message(n))).collect::<Vec<_>>());
    assert_eq!(guest.heard[&watch], ["171 End"]);
    assert_eq!(guest.client.counters().links_lost.get(), 11);
}

#[test]
fn should_open_another_session_and_go_on_from_the_cursor_when_the_session_is_gone() {
    let mut bench = bench_with(2_000);
    let mut guest = Guest::new(&bench, ClientConfig { renew: true, ..config() });
    let range = guest.client.range(1, 2_000, 0).unwrap();
    let get = guest.client.get(1, &[3], 0, 2_001).unwrap();
    bench.network = Network::new(4_000, 4_000);
    bench.port = bench.network.server();
    while guest.messages.get(&range).is_none_or(|messages| messages.len() < 500) {
        guest.step(&bench);
        bench.step();
        bench.now.monotonic_ns += 10_000;
    }
    // Another node takes over: it has the same stream and knows no session.
    let mut other = bench_with(2_001);
    other.now = bench.now;
    bench.network.cut(guest.connection, 0, 0);
    guest.step(&bench);
    run(&mut other, &mut guest, |_, _| ());
    assert!(guest.messages[&range] == (1..=2_000).map(|n| (n, data::message(n))).collect::<Vec<_>>());
    assert!(guest.ended.contains(&get));
    assert_eq!(guest.events, ["logged in", "LinkLost(Closed)", "SessionLost", "logged in"]);
}

#[test]
fn should_stop_when_rejected_or_ended() {
    let mut bench = bench_with(10);
    let mut guest = Guest::new(&bench, ClientConfig::new("ops", "wrong"));
    run(&mut bench, &mut guest, |_, _| ());
    assert_eq!(guest.events, [format!("Rejected({:?})", RejectCode::NotAuthorized)]);
    assert!(!guest.client.wants_connection(Time { monotonic_ns: u64::MAX / 2, wall_ns: 0 }));

    let mut guest = Guest::new(&bench, ClientConfig::new("ops", "secret"));
    run(&mut bench, &mut guest, |_, _| ());
    bench.server.end_sessions(bench.now, &mut bench.port, &mut NoDisk);
    guest.step(&bench);
    assert!(guest.client.is_over());
    assert_eq!(guest.events, ["logged in", "Ended"]);
}

#[test]
fn should_heartbeat_notice_a_silent_server_and_log_out() {
    let mut bench = bench_with(10);
    let mut guest = Guest::new(&bench, config());
    for _ in 0..300 {
        guest.step(&bench);
        bench.step();
        bench.now.monotonic_ns += 100 * MILLISECOND_NS;
    }
    assert_eq!(guest.events, ["logged in"], "both sides' heartbeats keep an idle link for half a minute");
    for _ in 0..160 {
        guest.step(&bench);
        bench.now.monotonic_ns += 100 * MILLISECOND_NS;
    }
    assert_eq!(guest.events[1], format!("LinkLost({:?})", LinkLoss::Silent));
    run(&mut bench, &mut guest, |_, _| ());
    guest.client.logout(&mut guest.port);
    bench.settle();
    assert!(guest.client.is_over());
    assert_eq!(bench.counters().closed_logout.get(), 1);
}

#[test]
fn should_back_off_between_connections_that_fail() {
    let mut client = SoupClient::new(config());
    let at = |ns: u64| Time { monotonic_ns: ns, wall_ns: 0 };
    let mut now = 0;
    let mut attempts = Vec::new();
    while now < 10 * SECOND_NS {
        if client.wants_connection(at(now)) {
            attempts.push(now);
            client.connect_failed(at(now));
        }
        now += MILLISECOND_NS;
    }
    let gaps: Vec<u64> = attempts.windows(2).map(|pair| (pair[1] - pair[0]) / MILLISECOND_NS).collect();
    assert_eq!(gaps[..8], [10, 20, 40, 80, 160, 320, 640, 1000]);
    assert!(gaps[8..].iter().all(|gap| *gap == 1000));
}

/// A server of another make: what it may send, and what ends a link.
#[test]
fn should_take_what_other_servers_send_and_close_on_what_is_no_packet() {
    let bench = bench_with(1);
    let mut guest = Guest::new(&bench, config());
    guest.step(&bench);
    let mut port = bench.network.server();
    let mut logged_in = Vec::new();
    port.poll(10, &mut |event| {
        if let StreamEvent::Received(_, bytes) = event {
            logged_in.extend_from_slice(bytes);
        }
    });
    guest.step(&bench);
    port.poll(10, &mut |event| {
        if let StreamEvent::Received(_, bytes) = event {
            logged_in.extend_from_slice(bytes);
        }
    });
    assert_eq!(&logged_in[..3], b"\0\x2fL");
    let session = Session::padded("S").unwrap();
    let mut accepted = vec![0; 33];
    LoginAccepted { session, sequence: 1 }.encode(&mut accepted).unwrap();
    for bytes in
        [&packet(b'+', b"hello")[..], &accepted, &packet(b'H', b""), &packet(b'U', b"x"), &packet(b'S', b"")]
    {
        port.write(guest.connection, bytes);
    }
    guest.step(&bench);
    assert_eq!(guest.client.sequence(), 2, "an empty sequenced packet counts");
    assert_eq!(guest.client.counters().answers_malformed.get(), 1);
    port.write(guest.connection, b"\0\0");
    guest.step(&bench);
    assert_eq!(guest.events.last().unwrap(), "LinkLost(Protocol)");
    assert!(!guest.client.is_logged_in());
}

#[test]
fn should_refuse_more_requests_than_are_allowed_and_bad_keys() {
    let mut client = SoupClient::new(ClientConfig { requests_max: 2, ..config() });
    assert_eq!(client.get(1, b"", 0, 0), None);
    assert_eq!(client.get(1, &[b'k'; 256], 0, 0), None);
    assert!(client.get(1, b"k", 0, 0).is_some() && client.status(0).is_some());
    assert_eq!(client.watch(0, 0), None);
    assert_eq!(client.open_requests(), 2);
    assert_eq!(ErrorCode::TooMany as u16, 6);
}
