//! What writers and feeds send: drawn from a seed, right most of the time and wrong in every way otherwise.
use gds_core::random::Random;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};

/// Keys of the native table: more than the limit of records in `SETTINGS`, so that it is reached.
pub const KEYS: u64 = 4_000;
const REFERENCES: u64 = 500;
const TABLE: u16 = 1;
/// As long as a client can send; longer than what fits a downstream packet with its envelope.
const LONG_BYTES: usize = 1_378;

/// Makes blocks, each in the same buffer.
pub struct Blocks {
    random: Random,
    buffer: [u8; LONG_BYTES],
    orders: u64,
}

impl Blocks {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), buffer: [0; LONG_BYTES], orders: 0 }
    }

    /// A transaction, or what pretends to be one.
    pub fn transaction(&mut self) -> &[u8] {
        let key = self.random.below(KEYS);
        match self.random.below(100) {
            0 => &[b'T', 1, b'?'],
            1 => b"no transaction",
            2 => {
                self.buffer[0] = b'T';
                &self.buffer
            }
            3 => self.operations(&[(OperationKind::Put, 999, key, None)]),
            4 => self.operations(&[(OperationKind::Put, TABLE, key, Some(1))]),
            5..=14 => self.operations(&[(OperationKind::Delete, TABLE, key, None)]),
            15..=29 => self.operations(&[(OperationKind::Modify, TABLE, key, None)]),
            30..=39 => {
                let other = self.random.below(KEYS);
                let moved =
                    [(OperationKind::Delete, TABLE, key, None), (OperationKind::Insert, TABLE, other, None)];
                self.operations(&moved)
            }
            40..=49 => self.operations(&[(OperationKind::Check, TABLE, key, None)]),
            50..=79 => self.operations(&[(OperationKind::Insert, TABLE, key, None)]),
            _ => self.put(key),
        }
    }

    /// Writes one record.
    pub fn put(&mut self, key: u64) -> &[u8] {
        self.operations(&[(OperationKind::Put, TABLE, key, None)])
    }

    fn operations(&mut self, operations: &[(OperationKind, u16, u64, Option<u64>)]) -> &[u8] {
        let value = [b'v'; 200];
        let length = self.random.below(value.len() as u64) as usize;
        let mut builder = TransactionBuilder::new(&mut self.buffer);
        for &(kind, table, key, expected) in operations {
            let valued = matches!(kind, OperationKind::Insert | OperationKind::Modify | OperationKind::Put);
            let (key, value) = (key.to_be_bytes(), if valued { &value[..length] } else { &[] });
            builder.push(&Operation { kind, table, key: &key, value, expected }).expect("it fits");
        }
        let length = builder.finish();
        &self.buffer[..length]
    }

    /// An ITCH 5.0 message, by the table of its specification: offset, width, value.
    pub fn order(&mut self) -> &[u8] {
        self.orders += 1;
        let (reference, other) = (self.random.below(REFERENCES), self.random.below(REFERENCES));
        let shares = 1 + self.random.below(300);
        let stock = self.random.below(20);
        let (kind, fields): (u8, &[(usize, usize, u64)]) = match self.orders % 100 {
            // Once in a while a new day, which empties the tables at once.
            _ if self.orders % 3_000 == 1 => (b'S', &[(11, 1, u64::from(b'O'))]),
            0 => (b'Q', &[]),
            1..=4 => (b'R', &[(11, 8, stock)]),
            5..=44 => {
                (b'A', &[(11, 8, reference), (19, 1, 66), (20, 4, 100), (24, 8, stock), (32, 4, 10_000)])
            }
            45..=49 => {
                (b'F', &[(11, 8, reference), (19, 1, 83), (20, 4, 100), (24, 8, stock), (32, 4, 10_000)])
            }
            50..=64 => (b'E', &[(11, 8, reference), (19, 4, shares)]),
            65..=69 => (b'C', &[(11, 8, reference), (19, 4, shares)]),
            70..=79 => (b'X', &[(11, 8, reference), (19, 4, shares)]),
            80..=89 => (b'D', &[(11, 8, reference)]),
            _ => (b'U', &[(11, 8, reference), (19, 8, other), (27, 4, shares), (31, 4, 20_000)]),
        };
        let length = gds_wire::itch::size_of_type(kind).expect("a type of ITCH 5.0");
        self.buffer[..length].fill(0);
        self.buffer[0] = kind;
        for &(offset, width, value) in fields {
            self.buffer[offset..offset + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
        }
        &self.buffer[..length]
    }
}
