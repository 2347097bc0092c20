//! Server and client together, over connections in memory and simulated time.
mod agent;
mod data;
mod logins;
mod network;
mod node;
mod queries;
mod resume;

use super::{CounterSets, QueryConfig, QueryCounters, QueryServer, User, Users};
use crate::port::ConnectionId;
use crate::time::Time;
use data::{Data, NoDisk};
use gds_wire::query::{Answer, Request};
use gds_wire::session::Session;
use gds_wire::soup::{self, Decoder, Login, LoginAccepted, ServerPacket};
use network::{Network, ServerPort};
use std::sync::Arc;

/// A server, what it reads, and the network to it.
pub struct Bench {
    pub server: QueryServer,
    pub port: ServerPort,
    pub network: Network,
    pub data: Data,
    pub now: Time,
}

pub fn small() -> QueryConfig {
    QueryConfig {
        connections_max: 8,
        sessions_max: 8,
        keys_max: 8,
        retained_bytes: 256 << 10,
        ..QueryConfig::default()
    }
}

pub fn users() -> Users {
    Users::new(vec![User::all("ops", "secret"), User::only("reader", "", &[1, 2]), User::all("other", "x")])
}

impl Bench {
    pub fn new(config: QueryConfig, data: Data) -> Self {
        let network = Network::new(usize::MAX, 1 << 20);
        let port = network.server();
        let stream = Session::padded("1700000000").unwrap();
        let source = Box::new(data.clone());
        let server = QueryServer::with_source(config, users(), stream, source, CounterSets::new());
        Self { server, port, network, data, now: Time { monotonic_ns: 1, wall_ns: 1 } }
    }

    pub fn counters(&self) -> Arc<QueryCounters> {
        self.server.counters().clone()
    }

    pub fn step(&mut self) {
        self.server.duty(self.now, &mut self.port, &mut NoDisk);
    }

    /// Duty cycles until nothing is done any more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.server.duty(self.now, &mut self.port, &mut NoDisk) == 0 {
                return;
            }
        }
        panic!("the server never comes to rest");
    }

    pub fn wait(&mut self, nanoseconds: u64) {
        self.now.monotonic_ns += nanoseconds;
        self.now.wall_ns += nanoseconds;
        self.settle();
    }

    /// Connects and logs in; what came back.
    pub fn try_login(
        &mut self,
        user: &str,
        password: &str,
        session: Session,
        sequence: u64,
    ) -> (ConnectionId, Vec<Packet>) {
        let id = self.network.connect();
        self.network.send(id, &login(user, password, session, sequence));
        self.settle();
        (id, self.packets(id))
    }

    /// Connects and logs in to a new session, which must work.
    pub fn login(&mut self, user: &str, password: &str) -> (ConnectionId, Session) {
        let (id, packets) = self.try_login(user, password, Session::BLANK, 0);
        let accepted = accepted(&packets[0]);
        assert_eq!(accepted.sequence, 1);
        (id, accepted.session)
    }

    /// What arrived for this client.
    pub fn packets(&mut self, id: ConnectionId) -> Vec<Packet> {
        split(&self.network.take(id))
    }

    pub fn ask(&mut self, id: ConnectionId, request: &Request<'_>) {
        let mut payload = vec![0; 1024];
        let bytes = request.encode(&mut payload).unwrap();
        self.send(id, soup::UNSEQUENCED_DATA, &payload[..bytes]);
    }

    pub fn send(&mut self, id: ConnectionId, kind: u8, payload: &[u8]) {
        self.network.send(id, &packet(kind, payload));
    }

    /// Asks and collects what arrives at once.
    pub fn answers(&mut self, id: ConnectionId, request: &Request<'_>) -> Vec<Vec<u8>> {
        self.ask(id, request);
        self.settle();
        sequenced(&self.packets(id))
    }
}

pub type Packet = (u8, Vec<u8>);

pub fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; soup::PACKET_HEADER_BYTES + payload.len()];
    soup::encode(kind, &[payload], &mut bytes).unwrap();
    bytes
}

pub fn login(user: &str, password: &str, session: Session, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; 100];
    let count = Login::new(user, password, session, sequence).unwrap().encode(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

pub fn split(mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some((packet, count)) = Decoder::default().decode(bytes).expect("the server sends packets") {
        packets.push((packet.kind, packet.payload.to_vec()));
        bytes = &bytes[count..];
    }
    assert!(bytes.is_empty(), "a packet in pieces: {} bytes", bytes.len());
    packets
}

pub fn sequenced(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets
        .iter()
        .filter(|(kind, _)| *kind == soup::SEQUENCED_DATA)
        .map(|(_, payload)| payload.clone())
        .collect()
}

pub fn accepted(packet: &Packet) -> LoginAccepted {
    let packet = soup::Packet { kind: packet.0, payload: &packet.1 };
    match ServerPacket::parse(packet) {
        Ok(ServerPacket::LoginAccepted(accepted)) => accepted,
        other => panic!("expected Login Accepted, got {other:?}"),
    }
}

pub fn answer(payload: &[u8]) -> Answer<'_> {
    Answer::parse(payload).expect("the server sends answers")
}
