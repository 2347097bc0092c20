//! Frames for the tests: a good one, and what can be changed about it.
use std::net::{Ipv4Addr, SocketAddrV4};

pub const TYPE_IPV4: u16 = 0x0800;
pub const UDP: u8 = 17;

/// A frame by its fields. [`Frame::udp`] is a good one.
#[derive(Clone, Debug)]
pub struct Frame {
    pub tags: Vec<u16>,
    pub ether_type: u16,
    pub version_and_length: u8,
    pub total_length: u16,
    pub fragment: u16,
    pub protocol: u8,
    pub from: Ipv4Addr,
    pub to: SocketAddrV4,
    pub udp_length: u16,
    pub payload: Vec<u8>,
    /// After the IP packet.
    pub trailer: usize,
}

impl Frame {
    pub fn udp(from: Ipv4Addr, to: SocketAddrV4, payload: &[u8]) -> Self {
        Self {
            tags: Vec::new(),
            ether_type: TYPE_IPV4,
            version_and_length: 0x45,
            total_length: 28 + payload.len() as u16,
            fragment: 0x4000, // Don't fragment.
            protocol: UDP,
            from,
            to,
            udp_length: 8 + payload.len() as u16,
            payload: payload.to_vec(),
            trailer: 0,
        }
    }

    /// Its bytes. The checksums are left out: nobody here looks at them.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x01, 0x00, 0x5e, 0x01, 0x01, 0x01, 0x02, 0, 0, 0, 0, 0x0a];
        for tag in &self.tags {
            bytes.extend([0x81, 0x00]);
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(self.ether_type.to_be_bytes());
        bytes.extend([self.version_and_length, 0]);
        bytes.extend(self.total_length.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([64, self.protocol, 0, 0]);
        bytes.extend(self.from.octets());
        bytes.extend(self.to.ip().octets());
        let option_words = usize::from(self.version_and_length & 0x0f).saturating_sub(5);
        bytes.extend(std::iter::repeat_n(1, option_words * 4)); // "No operation".
        bytes.extend(40_000u16.to_be_bytes());
        bytes.extend(self.to.port().to_be_bytes());
        bytes.extend(self.udp_length.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&self.payload);
        bytes.extend(std::iter::repeat_n(0, self.trailer));
        bytes
    }
}
