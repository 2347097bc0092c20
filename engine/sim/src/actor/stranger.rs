//! A stranger: sends what nobody should take, to every port of the node.
use super::Scene;
use crate::network::{SharedNetwork, SimulatedPort, SimulatedStreams};
use crate::plan::{INGRESS_A, INGRESS_B, NodePort, STRANGER_NET, between, node_address, pick};
use crate::violation::Checked;
use gds_core::port::{ConnectionId, DatagramPort, StreamEvent, StreamPort};
use gds_core::random::Random;
use gds_core::time::MILLISECOND_NS;
use gds_wire::mold::{self, PacketBuilder, end_of_session};
use gds_wire::query::{Query, Request};
use gds_wire::session::Session;
use gds_wire::soup;
use std::net::{Ipv4Addr, SocketAddrV4};

fn write_login(streams: &mut SimulatedStreams, id: ConnectionId) {
    let login = soup::Login::new("reader", "secret", Session::BLANK, 0).expect("a user");
    let mut packet = [0; soup::MAX_LOGIN_PACKET_BYTES];
    let length = login.encode(&mut packet).expect("it fits");
    streams.write(id, &packet[..length]);
}

/// Somebody who does not belong here.
pub struct Stranger {
    network: SharedNetwork,
    port: SimulatedPort,
    /// A connection to the query port, and its name once it stands.
    caller: Option<(SimulatedStreams, ConnectionId)>,
    /// It has logged in, and asks what makes sense.
    polite: bool,
    due_ns: u64,
}

impl Stranger {
    /// A stranger.
    pub fn new(network: &SharedNetwork) -> Self {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, STRANGER_NET, 0, 1), 1);
        let port = SimulatedPort::open(network, address, &[], None);
        Self { network: network.clone(), port, caller: None, polite: false, due_ns: 0 }
    }

    /// One duty cycle.
    pub fn duty(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        super::receive(&mut self.port);
        if scene.now.monotonic_ns < self.due_ns {
            return Ok(0);
        }
        self.due_ns = scene.now.monotonic_ns + between(scene.random, 1, 3 * MILLISECOND_NS);
        let random = &mut *scene.random;
        let sessions: Vec<Session> = scene.truth.senders().map(|(session, _)| *session).collect();
        let own = Session::padded("STRANGER").expect("a name");
        let session = match random.below(5) {
            4 => scene.stream,
            0 => Session::NODE,
            1 => Session::BLANK,
            2 if !sessions.is_empty() => *pick(random, &sessions),
            _ => own,
        };
        let next = scene.truth.sender(&session).map_or(1, |sender| sender.next.max(1));
        let datagram = match random.below(4) {
            0 => (0..random.below(60)).map(|_| random.next_u64() as u8).collect(),
            1 => mold::Request { session, sequence: random.below(50), count: random.next_u64() as u16 }
                .to_bytes()
                .to_vec(),
            2 => end_of_session(session, next).to_vec(),
            _ => {
                let mut buffer = [0; 200];
                let mut builder = PacketBuilder::new(&mut buffer, session, next);
                let _ = builder.push(b"T\x01nothing that anybody submitted");
                let length = builder.finish();
                buffer[..length].to_vec()
            }
        };
        let node = random.below(scene.plan.nodes as u64) as usize;
        let to = *pick(random, &[INGRESS_A, INGRESS_B, node_address(node, NodePort::Rewinder)]);
        self.port.send(to, &datagram);
        self.call(node, random);
        Ok(1)
    }

    /// Hangs up: a call takes a place that others may need.
    pub fn hang_up(&mut self) {
        self.caller = None;
    }

    /// Calls the node's query port, says what makes no sense, or much of what does, and never listens.
    fn call(&mut self, node: usize, random: &mut Random) {
        if random.chance(1, 30) {
            self.hang_up();
        }
        let Some((streams, id)) = &mut self.caller else {
            let address = SocketAddrV4::new(*self.port.address().ip(), 2);
            let mut streams = SimulatedStreams::client(&self.network, address);
            if random.chance(1, 4) && streams.connect(node_address(node, NodePort::Queries)) {
                let mut connected = 0;
                streams.poll(1, &mut |event| {
                    if let StreamEvent::Opened(id, _) = event {
                        connected = id;
                    }
                });
                self.polite = random.chance(1, 2);
                if self.polite {
                    write_login(&mut streams, connected);
                }
                self.caller = Some((streams, connected));
            }
            return;
        };
        let bytes: Vec<u8> = match if self.polite { 2 } else { random.below(3) } {
            0 => (0..random.below(100)).map(|_| random.next_u64() as u8).collect(),
            1 => soup::CLIENT_HEARTBEAT_PACKET.to_vec(),
            _ => {
                let mut payload = [0; 100];
                let query = Query::Range { from: 1, to: 0 };
                let request = Request { request_id: random.next_u64(), at_least: 0, query };
                let length = request.encode(&mut payload).expect("it fits");
                let mut packet = [0; 110];
                let length = soup::encode(soup::UNSEQUENCED_DATA, &[&payload[..length]], &mut packet);
                packet[..length.expect("it fits")].to_vec()
            }
        };
        streams.write(*id, &bytes);
    }
}
