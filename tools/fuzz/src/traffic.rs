//! MoldUDP64 datagrams, most of them nearly right, and the memory of what was in them.
use gds_wire::mold::{self, Packet, PacketBuilder};
use gds_wire::session::Session;
use std::collections::HashSet;

use crate::script::Script;

/// The sessions that senders use; the last is the node's own, which nobody may.
pub const SESSIONS: [Session; 5] = [
    Session(*b"WAIT      "),
    Session(*b"SKIP      "),
    Session(*b"NOBODY    "),
    Session(*b"ITCH      "),
    Session::NODE,
];

// Kinds of datagrams, by the byte that says so; 0 are plain messages.
const HEARTBEAT: u8 = 1;
const END_OF_SESSION: u8 = 2;
const OTHER_CONTENT: u8 = 3;
const TRAILING: u8 = 4;
const RAW: u8 = 5;
const KINDS: usize = 6;

/// Everything that was ever in a packet.
#[derive(Debug, Default)]
pub struct Traffic {
    messages: HashSet<(Session, u64, Vec<u8>)>,
}

impl Traffic {
    /// The next datagram of the script: kind, session, number near `next_of(session)`, then what the kind needs.
    pub fn datagram(&mut self, script: &mut Script<'_>, next_of: impl Fn(&Session) -> u64) -> Vec<u8> {
        let kind = script.below(KINDS) as u8;
        if kind == RAW {
            let datagram = script.bytes().to_vec();
            self.learn(&datagram);
            return datagram;
        }
        let session = SESSIONS[script.below(SESSIONS.len())];
        let sequence = script.near(next_of(&session));
        let datagram = match kind {
            HEARTBEAT => mold::heartbeat(session, sequence).to_vec(),
            END_OF_SESSION => mold::end_of_session(session, sequence).to_vec(),
            _ => {
                let count = 1 + script.below(8) as u64;
                let mut datagram = packet(session, sequence, count, u64::from(kind == OTHER_CONTENT));
                if kind == TRAILING {
                    datagram.extend(b"more");
                }
                datagram
            }
        };
        self.learn(&datagram);
        datagram
    }

    /// A packet with the usual content of these numbers.
    pub fn packet(&mut self, session: Session, sequence: u64, count: u64) -> Vec<u8> {
        let datagram = packet(session, sequence, count, 0);
        self.learn(&datagram);
        datagram
    }

    fn learn(&mut self, datagram: &[u8]) {
        if let Ok(packet) = Packet::parse(datagram) {
            for (sequence, message) in packet.messages() {
                self.messages.insert((packet.session, sequence, message.to_vec()));
            }
        }
    }

    /// Whether a packet had this message under this number.
    pub fn had(&self, session: Session, sequence: u64, message: &[u8]) -> bool {
        self.messages.contains(&(session, sequence, message.to_vec()))
    }

    /// Whether a packet had a message of this length and checksum under this number.
    pub fn had_checksum(&self, session: Session, sequence: u64, length: u32, checksum: u32) -> bool {
        self.messages.iter().any(|(of, number, message)| {
            (*of, *number, message.len()) == (session, sequence, length as usize)
                && gds_wire::checksum(message) == checksum
        })
    }
}

/// Messages of all kinds that the bus tells apart: transactions, too long ones, of no type, empty.
fn packet(session: Session, sequence: u64, count: u64, salt: u64) -> Vec<u8> {
    let mut buffer = vec![0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, session, sequence.min(u64::MAX - 9));
    for number in sequence..sequence.saturating_add(count) {
        let mixed = number.wrapping_mul(31).wrapping_add(salt);
        let length = match mixed % 16 {
            0 => 150,
            1 => 0,
            other => other as usize * 2,
        };
        let mut message = vec![mixed as u8; length];
        if let Some(first) = message.first_mut().filter(|_| mixed % 5 != 0) {
            *first = b'T';
        }
        assert!(builder.push(&message));
    }
    let length = builder.finish();
    buffer.truncate(length);
    buffer
}
