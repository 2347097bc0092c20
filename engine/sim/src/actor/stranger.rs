//! A stranger: sends what nobody should take, to every port of the node.
use super::Scene;
use crate::network::{SharedNetwork, SimulatedPort};
use crate::plan::{INGRESS_A, INGRESS_B, REWINDER, STRANGER_NET, between, pick};
use crate::violation::Checked;
use gds_core::port::DatagramPort;
use gds_core::time::MILLISECOND_NS;
use gds_wire::mold::{PacketBuilder, Request, end_of_session};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Somebody who does not belong here.
pub struct Stranger {
    port: SimulatedPort,
    due_ns: u64,
}

impl Stranger {
    /// A stranger.
    pub fn new(network: &SharedNetwork) -> Self {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, STRANGER_NET, 0, 1), 1);
        Self { port: SimulatedPort::open(network, address, &[], None), due_ns: 0 }
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
            1 => Request { session, sequence: random.below(50), count: random.next_u64() as u16 }
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
        let to = *pick(random, &[INGRESS_A, INGRESS_B, REWINDER]);
        self.port.send(to, &datagram);
        Ok(1)
    }
}
