//! Small recordings made by hand, byte by byte.
use std::io::Write;
use std::net::SocketAddrV4;

pub const SOURCE: &str = "10.0.0.7:4000";
pub const GROUP: &str = "239.1.2.3:26400";

/// An IPv4 packet with one UDP datagram. Checksums are 0, as recorders see them before the network card writes them.
pub fn ipv4(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (source, destination): (SocketAddrV4, SocketAddrV4) =
        (source.parse().unwrap(), destination.parse().unwrap());
    let udp_bytes = 8 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp_bytes).to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, 17, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(destination.ip().octets());
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(udp_bytes.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// An Ethernet frame; `tags` are the ethertypes of VLAN tags before the packet.
pub fn ethernet(tags: &[u16], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0, 0x5E, 1, 2, 3, 2, 0, 0, 0, 0, 7];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 42]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

/// A plain frame to [`GROUP`].
pub fn plain(payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(SOURCE, GROUP, payload))
}

/// Numbers in one byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub fn i64(self, value: i64) -> [u8; 8] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

/// A pcap of frames, the first at second 7 and 5 units, each a second after the one before.
pub fn pcap(order: Order, magic: u32, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    file.extend([0; 8]);
    file.extend(order.u32(65_535));
    file.extend(order.u32(link));
    for (second, frame) in (7..).zip(frames) {
        file.extend(record(order, second, frame, frame.len() as u32));
    }
    file
}

/// A pcap record; `original_bytes` above the frame's length says that it was cut by the recorder.
pub fn record(order: Order, second: u32, frame: &[u8], original_bytes: u32) -> Vec<u8> {
    let mut record = order.u32(second).to_vec();
    record.extend(order.u32(5));
    record.extend(order.u32(frame.len() as u32));
    record.extend(order.u32(original_bytes));
    record.extend(frame);
    record
}

pub const MICROSECONDS: u32 = 0xA1B2_C3D4;
pub const NANOSECONDS: u32 = 0xA1B2_3C4D;

/// A pcapng block around `body`, which is padded to four bytes.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = order.u32(12 + padded as u32);
    let mut block = order.u32(kind).to_vec();
    block.extend(length);
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

pub fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1A2B_3C4D).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend(order.i64(-1));
    block(order, 0x0A0D_0D0A, &body)
}

/// An interface description; `options` are codes and values.
pub fn interface(order: Order, link: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = order.u16(link).to_vec();
    body.extend([0, 0]);
    body.extend(order.u32(0));
    for (code, value) in options {
        body.extend(order.u16(*code));
        body.extend(order.u16(value.len() as u16));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(order, 1, &body)
}

pub fn enhanced(order: Order, interface: u32, units: u64, frame: &[u8]) -> Vec<u8> {
    let mut body = order.u32(interface).to_vec();
    body.extend(order.u32((units >> 32) as u32));
    body.extend(order.u32(units as u32));
    body.extend(order.u32(frame.len() as u32));
    body.extend(order.u32(frame.len() as u32));
    body.extend(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    // A comment, so that options after the data are seen too.
    body.extend(order.u16(1));
    body.extend(order.u16(3));
    body.extend(*b"hi!\0");
    body.extend([0; 4]);
    block(order, 6, &body)
}

pub fn simple(order: Order, frame: &[u8]) -> Vec<u8> {
    let mut body = order.u32(frame.len() as u32).to_vec();
    body.extend(frame);
    block(order, 3, &body)
}

/// A BinaryFILE of these messages, without an end record.
pub fn binary_file(messages: &[&[u8]]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes(), *message].concat()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
