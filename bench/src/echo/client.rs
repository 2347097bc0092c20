//! The near side of an echo: operations go out as message blocks in MoldUDP64 packets, and are answered when their packet is back.
use super::Echo;
use crate::road::End;
use crate::schedule::Target;
use gds_nic::UdpPort;
use gds_wire::mold::{self, Kind, Packet, PacketBuilder};
use gds_wire::session::Session;
use std::net::SocketAddrV4;

/// Datagrams taken in one poll.
const DATAGRAMS_PER_POLL: usize = 64;

/// Sends operations of one size to an echo. It knows no window and sends nothing again.
pub struct EchoClient {
    requests: UdpPort,
    answers: UdpPort,
    to: SocketAddrV4,
    session: Session,
    block: Vec<u8>,
    packet: Vec<u8>,
    /// Operations taken and not sent: from the first on, so many.
    first: u64,
    waiting: u64,
}

impl EchoClient {
    /// Towards this echo, with blocks of so many bytes.
    ///
    /// # Errors
    /// What could not be opened.
    ///
    /// # Panics
    /// When a packet does not hold a block.
    pub fn open(echo: &Echo, block_bytes: usize) -> Result<Self, String> {
        let per_packet = mold::MAX_PAYLOAD_BYTES - mold::HEADER_BYTES - mold::BLOCK_LENGTH_BYTES;
        assert!(block_bytes <= per_packet, "a packet holds {per_packet} bytes, not {block_bytes}");
        let (way, road) = (echo.way(), &echo.config().road);
        Ok(Self {
            requests: road.open(End::Near, road.sending(End::Near))?,
            answers: road.open(End::Near, road.receiving(way.answers))?,
            to: way.requests,
            session: Session::padded("ECHO").expect("four letters are a name"),
            block: vec![b'e'; block_bytes],
            packet: vec![0; mold::MAX_PAYLOAD_BYTES],
            first: 0,
            waiting: 0,
        })
    }

    /// Sends what waits, as many blocks a packet as fit.
    fn flush(&mut self) -> usize {
        let mut packets = 0;
        while self.waiting > 0 {
            let mut builder = PacketBuilder::new(&mut self.packet, self.session, self.first + 1);
            let mut count = 0;
            while count < self.waiting && builder.push(&self.block) {
                count += 1;
            }
            let length = builder.finish();
            self.requests.send(self.to, &self.packet[..length]);
            self.first += count;
            self.waiting -= count;
            packets += 1;
        }
        packets
    }
}

impl Target for EchoClient {
    fn submit(&mut self, number: u64) -> bool {
        if self.waiting == 0 {
            self.first = number;
        }
        assert_eq!(number, self.first + self.waiting, "operations come in their order");
        self.waiting += 1;
        true
    }

    fn poll(&mut self, _now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let sent = self.flush();
        let session = self.session;
        let heard = self.answers.receive(DATAGRAMS_PER_POLL, &mut |_, datagram| {
            if let Ok(packet) = Packet::parse(datagram)
                && packet.session == session
                && let Kind::Messages(count) = packet.kind
            {
                (0..u64::from(count)).for_each(|place| answered(packet.sequence - 1 + place));
            }
        });
        sent + heard
    }
}
