//! Plain models that share no code with what they judge: byte offsets of the specifications, and hash maps.
use std::collections::HashMap;

/// Bytes of an envelope before the body of a bus message.
pub const ENVELOPE_BYTES: usize = 28;

/// A bus message taken apart: client session, kind, the number in that session, body.
pub struct BusMessage<'a> {
    /// The client's session, padded.
    pub session: &'a [u8],
    /// `T`, `E`, `K`, `D`, `V` or `Z`.
    pub kind: u8,
    /// The number in that session.
    pub client_sequence: u64,
    /// What the client sent.
    pub body: &'a [u8],
}

impl<'a> BusMessage<'a> {
    /// Takes a bus message apart.
    pub fn of(bytes: &'a [u8]) -> Self {
        assert!(bytes.len() >= ENVELOPE_BYTES, "a bus message of {} bytes", bytes.len());
        Self {
            session: &bytes[..10],
            kind: bytes[10],
            client_sequence: number(&bytes[12..20]),
            body: &bytes[ENVELOPE_BYTES..],
        }
    }
}

/// A big-endian number.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A live order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// `B` or `S`.
    pub side: u8,
    /// Shares left.
    pub shares: u32,
    /// Price in ten-thousandths.
    pub price: u32,
    /// The stock, padded.
    pub stock: [u8; 8],
    /// The stock's number on this day.
    pub locate: u16,
}

/// The orders of a feed, counted from the message table of the ITCH 5.0 specification.
#[derive(Default)]
pub struct Orders {
    /// Those that are live, by reference number.
    pub live: HashMap<u64, Order>,
    /// Those that were and are not any more.
    pub dead: Vec<u64>,
    /// Messages that did not follow from the ones before.
    pub unexpected: u64,
    /// Stocks of the directory.
    pub stocks: HashMap<[u8; 8], Vec<u8>>,
}

impl Orders {
    /// What the messages leave.
    pub fn of<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut orders = Self::default();
        messages.into_iter().for_each(|message| orders.take(message));
        orders
    }

    /// Takes the next message.
    pub fn take(&mut self, message: &[u8]) {
        let reference = || number(&message[11..19]);
        match message[0] {
            b'A' | b'F' => {
                let order = Order {
                    side: message[19],
                    shares: number(&message[20..24]) as u32,
                    stock: message[24..32].try_into().expect("eight bytes"),
                    price: number(&message[32..36]) as u32,
                    locate: number(&message[1..3]) as u16,
                };
                self.unexpected += u64::from(self.live.insert(reference(), order).is_some());
            }
            b'E' | b'C' | b'X' => self.reduce(reference(), number(&message[19..23]) as u32),
            b'D' => {
                self.remove(reference());
            }
            b'U' => {
                if let Some(old) = self.remove(reference()) {
                    let shares = number(&message[27..31]) as u32;
                    let price = number(&message[31..35]) as u32;
                    self.live.insert(number(&message[19..27]), Order { shares, price, ..old });
                }
            }
            b'R' => {
                self.stocks.insert(message[11..19].try_into().expect("eight bytes"), message.to_vec());
            }
            b'S' if message[11] == b'O' => *self = Self::default(),
            _ => {}
        }
    }

    fn reduce(&mut self, reference: u64, shares: u32) {
        match self.live.get_mut(&reference) {
            Some(order) if order.shares > shares => order.shares -= shares,
            Some(order) if order.shares == shares => {
                self.remove(reference);
            }
            _ => self.unexpected += 1,
        }
    }

    fn remove(&mut self, reference: u64) -> Option<Order> {
        let removed = self.live.remove(&reference);
        match removed {
            Some(_) => self.dead.push(reference),
            None => self.unexpected += 1,
        }
        removed
    }
}

/// Table and key of a record.
pub type Key = (u16, Vec<u8>);
/// Version and value of a record.
pub type Record = (u64, Vec<u8>);

/// Native records, by the operations of docs/PROTOCOL.md.
#[derive(Clone, Default)]
pub struct Records(pub HashMap<Key, Record>);

impl Records {
    /// Applies a transaction as bus message `sequence`; false when it is rejected, and then nothing has changed.
    pub fn apply(&mut self, sequence: u64, transaction: &[u8]) -> bool {
        assert_eq!(transaction[0], b'T');
        let mut rest = &transaction[2..];
        let mut changes: HashMap<Key, Option<Record>> = HashMap::new();
        for _ in 0..transaction[1] {
            let (key_length, value_length) = (usize::from(rest[1]), number(&rest[4..6]) as usize);
            let (header, key_and_value) = rest.split_at(16);
            let (key, after) = key_and_value.split_at(key_length);
            let (value, behind) = after.split_at(value_length);
            rest = behind;
            let place = (number(&header[2..4]) as u16, key.to_vec());
            let there = changes.get(&place).cloned().unwrap_or_else(|| self.0.get(&place).cloned());
            let version = there.as_ref().map_or(0, |(version, _)| *version);
            let expected = number(&header[8..16]);
            let fits = match header[0] {
                b'I' => there.is_none(),
                b'M' | b'D' => there.is_some(),
                b'C' => there.is_some() || expected == 0,
                kind => {
                    assert_eq!(kind, b'P');
                    true
                }
            };
            if !fits || (expected != u64::MAX && expected != version) {
                return false;
            }
            match header[0] {
                b'C' => {}
                b'D' => {
                    changes.insert(place, None);
                }
                _ => {
                    changes.insert(place, Some((sequence, value.to_vec())));
                }
            }
        }
        for (place, change) in changes {
            match change {
                Some(record) => self.0.insert(place, record),
                None => self.0.remove(&place),
            };
        }
        true
    }
}
