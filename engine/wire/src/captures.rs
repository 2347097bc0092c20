//! Finds recorded bytes that are not part of the project, for tests.
use std::path::PathBuf;

/// The bytes of a capture, `None` (and a line saying so) when it is not there.
pub fn read(name: &str) -> Option<Vec<u8>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = std::env::var_os("GDS_CAPTURES").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            println!("skipped: {} cannot be read: {error}", path.display());
            None
        }
    }
}

/// A UDP or TCP payload in a recording.
pub struct Segment {
    /// Source and destination port.
    pub ports: (u16, u16),
    /// Destination address.
    pub destination: [u8; 4],
    /// TCP sequence number; 0 for UDP.
    pub sequence: u32,
    /// What was carried.
    pub payload: Vec<u8>,
}

/// The IPv4 payloads of a little-endian pcap of Ethernet or raw loopback frames, in order: just enough for the captures used here.
pub fn segments(pcap: &[u8]) -> Vec<Segment> {
    let word = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().unwrap()) as usize;
    assert!(word(0) == 0xA1B2_C3D4 || word(0) == 0xA1B2_3C4D, "not a little-endian pcap");
    let link_bytes = match word(20) {
        1 => 14,
        113 => 16,
        101 => 0,
        other => panic!("link type {other}"),
    };
    let mut found = Vec::new();
    let mut at = 24;
    while at < pcap.len() {
        let length = word(at + 8);
        let packet = &pcap[at + 16 + link_bytes..at + 16 + length];
        at += 16 + length;
        let header_bytes = usize::from(packet[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let segment = &packet[header_bytes..total];
        let port = |offset: usize| u16::from_be_bytes([segment[offset], segment[offset + 1]]);
        let (sequence, payload) = match packet[9] {
            17 => (0, &segment[8..]),
            6 => (
                u32::from_be_bytes(segment[4..8].try_into().unwrap()),
                &segment[usize::from(segment[12] >> 4) * 4..],
            ),
            _ => continue,
        };
        let destination = packet[16..20].try_into().unwrap();
        found.push(Segment { ports: (port(0), port(2)), destination, sequence, payload: payload.to_vec() });
    }
    found
}
