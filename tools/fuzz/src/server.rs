//! The query server: whatever clients send, it writes whole packets of the protocol, and a number of a session's answers always
//! means the same answer.
use gds_core::disk::Disk;
use gds_core::port::ConnectionId;
use gds_core::query::source::{Found, Reading, Source};
use gds_core::query::{QueryConfig, QueryServer, SameUser, User, Users};
use gds_core::store::{ReadError, StoreStatus};
use gds_core::time::{MILLISECOND_NS, Time};
use gds_wire::query::{Answer, AnswerBody};
use gds_wire::session::Session;
use gds_wire::soup::{self, ClientPacket, Decoder, Login, ServerPacket};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::disk::MemoryDisk;
use crate::port::Port;
use crate::script::Script;

const CONNECTIONS: usize = 4;
const MESSAGE_BYTES_MAX: u64 = 60;

/// Connections, bytes and times into a query server.
pub fn query_server(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        let at = usize::from(step >> 4) % CONNECTIONS;
        match step % 12 {
            0 => run.connect(at),
            1 => run.hang_up(at),
            2 => run.send(at, script.bytes()),
            3 => run.login(at, &mut script),
            4 | 5 => run.request(at, &mut script),
            6 => run.frame(at, script.byte(), script.bytes()),
            7 => run.time(script.number().saturating_mul(100 * MILLISECOND_NS)),
            8 => run.port.room = usize::from(script.byte()) * 16,
            9 => run.data.add(u64::from(script.byte() / 16)),
            10 if step >= 0xF0 => run.server.end_sessions(run.now, &mut run.port, &mut run.disk),
            _ => run.port.room = usize::MAX,
        }
        run.duty();
    }
    run.port.room = usize::MAX;
    (0..20).for_each(|_| run.duty());
    run.check();
}

struct Run {
    server: QueryServer,
    port: Port,
    disk: MemoryDisk,
    data: Arc<Data>,
    now: Time,
    /// The connections of the script's four clients, newest of each.
    clients: [ConnectionId; CONNECTIONS],
    opened: ConnectionId,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let mut config = QueryConfig {
            connections_max: 3,
            sessions_max: 1 + script.below(3),
            streams_max: 2,
            waits_max: 2,
            keys_max: 3,
            request_bytes_max: 120,
            request_buffer_bytes: 120 + script.below(200),
            value_bytes_max: 40,
            answer_bytes_max: 256,
            slices_per_duty: 1 + script.below(3),
            events_per_duty: 1 + script.below(3),
            same_user: [SameUser::Together, SameUser::Supersede, SameUser::Refuse][script.below(3)],
            ..QueryConfig::default()
        };
        config.retained_bytes = config.retained_bytes_min() + script.below(8) * 64;
        let users = Users::new(vec![User::all("a", "b"), User::only("c", "", &[1, 2])]);
        let data = Arc::new(Data::default());
        data.add(u64::from(script.byte() % 32));
        let source = Box::new(Shared(Arc::clone(&data), Vec::new()));
        let server = QueryServer::with_source(config, users, Session::NODE, source, Vec::new());
        let port = Port::new();
        let (disk, now) = (MemoryDisk::default(), Time { monotonic_ns: 1, wall_ns: 1 });
        Self { server, port, disk, data, now, clients: [0; CONNECTIONS], opened: 0 }
    }

    fn duty(&mut self) {
        self.server.duty(self.now, &mut self.port, &mut self.disk);
    }

    fn connect(&mut self, at: usize) {
        self.port.hang_up(self.clients[at]);
        self.opened += 1;
        self.clients[at] = self.opened;
        self.port.open(self.opened);
    }

    fn hang_up(&mut self, at: usize) {
        self.port.hang_up(self.clients[at]);
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        self.port.receive(self.clients[at], bytes);
    }

    fn frame(&mut self, at: usize, kind: u8, payload: &[u8]) {
        let mut packet = [0; 300];
        let length = soup::encode(kind, &[payload], &mut packet).expect("it is short");
        self.send(at, &packet[..length]);
    }

    /// A login, mostly a right one: a new session, or one of those there were.
    fn login(&mut self, at: usize, script: &mut Script<'_>) {
        let (user, password) = [("a", "b"), ("C", ""), ("a", "B "), ("x", "y")][script.below(4)];
        let names = self.sessions();
        let session = match script.byte() {
            choice if choice & 1 == 1 && !names.is_empty() => names[usize::from(choice / 2) % names.len()],
            _ => Session::BLANK,
        };
        let sequence = script.number().min(soup::MAX_SEQUENCE);
        let mut login = Login::new(user, password, session, sequence).expect("they are short");
        login.heartbeat_timeout_ms = script.flag().then(|| 1 + u32::from(script.byte()));
        let mut packet = [0; soup::MAX_LOGIN_PACKET_BYTES];
        let length = login.encode(&mut packet).expect("the room is for any login");
        self.send(at, &packet[..length]);
    }

    /// A request, mostly well formed: its kind, id, condition and body as the script has them.
    fn request(&mut self, at: usize, script: &mut Script<'_>) {
        let kind = match b"GMRWCSx"[script.below(7)] {
            b'x' if script.flag() => b'H',
            kind => kind,
        };
        let mut payload = vec![kind, 0, 0, 0];
        payload.extend(u64::from(script.byte() % 8).to_be_bytes());
        let newest = self.data.newest.load(Relaxed);
        payload.extend((if script.flag() { script.near(newest) } else { 0 }).to_be_bytes());
        match kind {
            b'G' | b'M' => {
                payload.extend((if script.flag() { script.near(newest) } else { 0 }).to_be_bytes());
                let keys = if kind == b'G' { 1 } else { u16::from(script.byte() % 5) };
                if kind == b'M' {
                    payload.extend(keys.to_be_bytes());
                }
                for _ in 0..keys {
                    payload.extend(u16::from(script.byte() % 4).to_be_bytes());
                    let key = script.byte() % 6;
                    payload.extend(
                        [key; 7][..1 + usize::from(key)]
                            .iter()
                            .enumerate()
                            .map(|(index, _)| if index == 0 { key } else { b'k' }),
                    );
                }
            }
            b'R' => {
                payload.extend(script.near(newest).to_be_bytes());
                payload.extend((if script.flag() { script.near(newest) } else { 0 }).to_be_bytes());
            }
            b'W' | b'H' => {
                payload.extend((if script.flag() { script.near(newest) } else { 0 }).to_be_bytes())
            }
            _ => {}
        }
        if script.byte() == 0xFF {
            payload.pop();
        }
        self.frame(at, soup::UNSEQUENCED_DATA, &payload);
    }

    fn time(&mut self, ns: u64) {
        self.now.monotonic_ns = self.now.monotonic_ns.saturating_add(ns).min(1 << 60);
    }

    /// Every session that was ever granted.
    fn sessions(&self) -> Vec<Session> {
        self.port
            .written
            .values()
            .filter_map(|bytes| packets(bytes).first().copied())
            .filter_map(accepted)
            .collect()
    }

    /// All that was ever written, connection by connection.
    fn check(&self) {
        let mut answers: HashMap<(Session, u64), &[u8]> = HashMap::new();
        for bytes in self.port.written.values() {
            let mut at: Option<(Session, u64)> = None;
            let mut over = false;
            for packet in packets(bytes) {
                assert!(!over, "something follows the end");
                match (ServerPacket::parse(packet).expect("the server writes its own packets"), &mut at) {
                    (ServerPacket::LoginAccepted(accepted), None) => {
                        at = Some((accepted.session, accepted.sequence));
                    }
                    (ServerPacket::LoginRejected(_), None) | (ServerPacket::EndOfSession, Some(_)) => {
                        over = true
                    }
                    (ServerPacket::Heartbeat, Some(_)) => {}
                    (ServerPacket::SequencedData(payload), Some(at)) => {
                        check_answer(payload);
                        let before = answers.insert(*at, payload);
                        assert!(before.is_none_or(|before| before == payload), "{at:?} means two answers");
                        at.1 += 1;
                    }
                    (packet, at) => panic!("{packet:?} at {at:?}"),
                }
            }
        }
    }
}

/// The whole packets of what was written; the last may be cut off.
fn packets(mut bytes: &[u8]) -> Vec<soup::Packet<'_>> {
    let mut packets = Vec::new();
    while let Some((packet, used)) = Decoder::default().decode(bytes).expect("the server frames its packets")
    {
        packets.push(packet);
        bytes = &bytes[used..];
    }
    packets
}

fn accepted(packet: soup::Packet<'_>) -> Option<Session> {
    match ServerPacket::parse(packet) {
        Ok(ServerPacket::LoginAccepted(accepted)) => Some(accepted.session),
        _ => None,
    }
}

fn check_answer(payload: &[u8]) {
    let answer = Answer::parse(payload).expect("the server writes its own answers");
    match answer.body {
        AnswerBody::Messages(messages) => {
            for (sequence, found) in (answer.sequence..).zip(messages.iter()) {
                assert_eq!(found, message(sequence));
            }
        }
        AnswerBody::Checksum(checksum) => assert_eq!(checksum.chain, chain(answer.sequence)),
        AnswerBody::Record(record) if record.found => {
            assert_eq!((record.value, record.version), (record.key, u64::from(record.key[0])));
            assert!(record.version <= answer.sequence);
        }
        _ => {}
    }
}

/// A stream of messages that their numbers say everything about, and a record for each key, written by the message of that number.
#[derive(Default)]
struct Data {
    newest: AtomicU64,
}

impl Data {
    fn add(&self, messages: u64) {
        self.newest.fetch_add(messages, Relaxed);
    }
}

fn message(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; 28 + (sequence % MESSAGE_BYTES_MAX) as usize]
}

/// Of the stream up to a number: whatever it is, it is one.
fn chain(sequence: u64) -> u64 {
    sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The data, and room for a value.
struct Shared(Arc<Data>, Vec<u8>);

impl Source for Shared {
    fn applied(&self) -> u64 {
        self.0.newest.load(Relaxed)
    }

    fn committed(&self) -> u64 {
        self.applied()
    }

    fn published(&self) -> u64 {
        self.applied()
    }

    fn first_kept(&mut self, _: &mut dyn Disk) -> u64 {
        1 + self.applied() / 4
    }

    fn get(&mut self, table: u16, key: &[u8], as_of: u64) -> Result<Found<'_>, ReadError> {
        let applied = self.applied();
        let sequence = if as_of == 0 { applied } else { as_of };
        let oldest = applied / 8;
        if sequence > applied {
            return Err(ReadError::AheadOfStream { as_of, applied });
        }
        if sequence < oldest {
            return Err(ReadError::BelowHorizon { as_of, oldest });
        }
        let version = Some(u64::from(key[0])).filter(|version| *version <= sequence);
        self.1.clear();
        match (table, version) {
            (3, _) => return Err(ReadError::UnknownTable(table)),
            // A value that no answer carries.
            (2, Some(5)) => self.1.resize(40_000, 0),
            (_, Some(_)) => self.1.extend_from_slice(key),
            (_, None) => {}
        }
        Ok(Found { sequence, version, value: &self.1 })
    }

    fn read(&mut self, sequence: u64, limit: u64, _: &mut dyn Disk, into: &mut [u8]) -> Reading {
        assert!(limit <= self.applied() && sequence > 0);
        if sequence > limit {
            return Reading::Empty;
        }
        if sequence < 1 + self.applied() / 4 {
            return Reading::Gone;
        }
        let message = message(sequence);
        into[..message.len()].copy_from_slice(&message);
        let (length, chain) = (message.len(), Some(chain(sequence)));
        Reading::Message { length, epoch: 0, chain }
    }

    fn store_status(&self) -> StoreStatus {
        StoreStatus { applied: self.applied(), ..StoreStatus::default() }
    }
}

/// A client's bytes are those of the protocol: for the client's target.
pub fn client_packets(bytes: &[u8]) -> Vec<ClientPacket<'_>> {
    let parse = |packet| ClientPacket::parse(packet).expect("the client writes its own packets");
    packets(bytes).into_iter().map(parse).collect()
}
