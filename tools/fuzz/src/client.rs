//! The query client: whatever a server sends, it goes on or stops, delivers each answer once, and writes its own protocol.
use gds_core::port::ConnectionId;
use gds_core::query::{ClientConfig, Event, SoupClient};
use gds_core::time::{MILLISECOND_NS, Time};
use gds_wire::query::{Answer, AnswerBody, ErrorCode, Key, Query, Record, Request};
use gds_wire::session::Session;
use gds_wire::soup::{self, ClientPacket, LoginAccepted, RejectCode};

use crate::port::Port;
use crate::script::Script;
use crate::server::client_packets;

/// A server's bytes, its closes, and times into a client.
pub fn soup_client(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        match step % 12 {
            0 => run.ask(&mut script),
            1 => drop(run.client.cancel(run.some_request(script.byte()))),
            2 => run.port.receive(run.connection, script.bytes()),
            3 => run.accept(&mut script),
            4..=6 => run.answer(&mut script),
            7 => run.frame(script.byte(), script.bytes()),
            8 => run.port.hang_up(run.connection),
            9 => run.time(script.number().saturating_mul(10 * MILLISECOND_NS)),
            10 => run.port.room = usize::from(script.byte()) * 8,
            _ if step == 0xFB => run.client.logout(&mut run.port),
            _ if step == 0xEF => run.reject(script.flag()),
            _ => run.port.room = usize::MAX,
        }
        run.duty();
    }
    run.check();
}

struct Run {
    client: SoupClient,
    port: Port,
    connection: ConnectionId,
    requests: Vec<u64>,
    now: Time,
    /// The number of the next sequenced packet, once logged in.
    sequence: Option<u64>,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let mut config = ClientConfig::new("user", "password");
        config.renew = script.flag();
        config.requests_max = 4;
        config.heartbeat_timeout_ms = script.flag().then_some(500);
        if script.flag() {
            config.session = Session(*b"KNOWN     ");
            config.sequence = script.number();
        }
        let port = Port::new();
        let (now, requests) = (Time { monotonic_ns: 1, wall_ns: 1 }, Vec::new());
        let client = SoupClient::new(config);
        Self { client, port, connection: 0, requests, now, sequence: None }
    }

    fn duty(&mut self) {
        if self.client.wants_connection(self.now) {
            self.connection += 1;
            self.port.open(self.connection);
        }
        let sequence = &mut self.sequence;
        self.client.duty(self.now, &mut self.port, &mut |event| match event {
            Event::LoggedIn { sequence: next, .. } => *sequence = Some(next),
            Event::Answer { sequence: number, .. } | Event::Malformed { sequence: number, .. } => {
                let expected = sequence.expect("an answer before the login");
                assert!(number >= expected, "{number} is delivered again");
                *sequence = Some(number + 1);
            }
            Event::LinkLost(_) | Event::SessionLost | Event::Rejected(_) | Event::Ended => *sequence = None,
        });
    }

    fn ask(&mut self, script: &mut Script<'_>) {
        let at_least = u64::from(script.byte() & 1);
        let id = match script.below(5) {
            0 => self.client.get(script.u16(), script.bytes(), script.number(), at_least),
            1 => {
                let key = script.bytes();
                let keys = [Key { table: 1, key }, Key { table: 2, key: b"k" }];
                self.client.multi_get(&keys[..1 + script.below(2)], script.number(), at_least)
            }
            2 => self.client.range(script.number(), script.number(), at_least),
            3 => self.client.watch(script.number(), at_least),
            _ => self.client.status(at_least),
        };
        self.requests.extend(id);
    }

    fn some_request(&self, choice: u8) -> u64 {
        match self.requests.len() {
            0 => u64::from(choice),
            count => self.requests[usize::from(choice) % count],
        }
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) {
        let mut packet = [0; 400];
        let length = soup::encode(kind, &[payload], &mut packet).expect("it is short");
        self.port.receive(self.connection, &packet[..length]);
    }

    /// The login is accepted, as asked or otherwise.
    fn accept(&mut self, script: &mut Script<'_>) {
        let sequence = script.near(self.client.sequence()).min(soup::MAX_SEQUENCE);
        let session = match script.below(3) {
            0 => Session(*b"ANOTHER   "),
            _ if self.client.session().is_blank() => Session(*b"FIRST     "),
            _ => self.client.session(),
        };
        let mut packet = [0; 64];
        let length = LoginAccepted { session, sequence }.encode(&mut packet).expect("there is room");
        self.port.receive(self.connection, &packet[..length]);
    }

    fn reject(&mut self, authorized: bool) {
        let code = if authorized { RejectCode::SessionNotAvailable } else { RejectCode::NotAuthorized };
        self.port.receive(self.connection, &code.packet());
    }

    /// A well-formed answer to some request, whether or not it fits it.
    fn answer(&mut self, script: &mut Script<'_>) {
        let request_id = self.some_request(script.byte());
        let last = script.flag();
        let sequence = script.number();
        let mut payload = [0; 300];
        let body = match script.below(4) {
            0 => AnswerBody::End,
            1 => AnswerBody::Error(ErrorCode::Unavailable, "later"),
            2 => {
                let record = Record { found: true, table: 1, key: b"k", version: sequence, value: b"v" };
                AnswerBody::Record(record)
            }
            _ => {
                let mut builder = gds_wire::query::MessagesBuilder::new(&mut payload, request_id, sequence);
                (0..script.below(5)).for_each(|_| assert!(builder.push(b"message")));
                let length = builder.finish(last);
                return self.frame(soup::SEQUENCED_DATA, &payload[..length]);
            }
        };
        let answer = Answer { request_id, last, sequence, body };
        let length = answer.encode(&mut payload).expect("there is room");
        self.frame(soup::SEQUENCED_DATA, &payload[..length]);
    }

    fn time(&mut self, ns: u64) {
        self.now.monotonic_ns = self.now.monotonic_ns.saturating_add(ns).min(1 << 60);
    }

    /// All that was ever written, connection by connection.
    fn check(&self) {
        for bytes in self.port.written.values() {
            for (index, packet) in client_packets(bytes).into_iter().enumerate() {
                match packet {
                    ClientPacket::Login(login) => assert!(index == 0 && login.is("user", "password")),
                    ClientPacket::UnsequencedData(payload) => {
                        let request = Request::parse(payload).expect("the client writes its own requests");
                        let known = self.requests.contains(&request.request_id);
                        assert!(index > 0 && known, "{request:?}");
                        assert!(!matches!(request.query, Query::Cancel) || request.at_least == 0);
                    }
                    ClientPacket::Heartbeat | ClientPacket::Logout => assert!(index > 0),
                    ClientPacket::Debug(_) => panic!("the client has nothing to say"),
                }
            }
        }
        assert!(self.client.open_requests() <= 4);
    }
}
