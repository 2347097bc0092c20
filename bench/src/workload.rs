//! What is sent: named workloads, made ahead of the hot loop.
//!
//! The canonical one is **`put_uniform_200`**: each message block is a native transaction of 200 bytes, envelope and packet header apart, with
//! one operation: put (insert or replace) a record of table 1 under an eight-byte key, drawn uniformly from a million.
//! (200 = 2 transaction header + 16 operation header + 8 key + 174 value.)
//!
//! | name | messages |
//! | --- | --- |
//! | `put_uniform_200` | the canonical one |
//! | `put_zipf_200` | the same with keys by Zipf's law, exponent 0.99: one in fourteen messages goes to the most popular key |
//! | `mix_200` | of 20: 4 insert a new record, 6 modify one of these, 4 delete one of these, 6 put uniformly; 200 bytes but for deletions |
//! | `itch_day` | a made-up ITCH 5.0 trading day, its messages as they are: 12 to 50 bytes, 36 for most |
//!
//! A workload is a round of about a million messages in one flat buffer, and begins anew at its end: every message succeeds in every
//! round (`mix_200` deletes at its end what it inserted; a day's first message empties the day before's tables). It is a function of
//! its name and seed alone. Packed or unpacked is a matter of the schedule: [`Workload::per_packet`] says how many fit a packet.
use gds_core::random::Random;
use gds_feed::day::{Day, DayConfig, MESSAGE_BYTES_MAX};
use gds_wire::mold;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::collections::VecDeque;

/// The canonical workload.
pub const CANONICAL: &str = "put_uniform_200";
/// All workloads, with a word on each.
pub const NAMES: [(&str, &str); 4] = [
    (CANONICAL, "put 200-byte transactions, a million keys, uniform"),
    ("put_zipf_200", "the same, keys by Zipf's law"),
    ("mix_200", "insert, modify, delete and put"),
    ("itch_day", "a made-up ITCH 5.0 trading day"),
];

/// Bytes of a message block of the native workloads.
pub const BLOCK_BYTES: usize = 200;
/// Bytes of a value such that the block has [`BLOCK_BYTES`].
pub const VALUE_BYTES: usize = BLOCK_BYTES - 2 - 16 - KEY_BYTES;
/// Bytes of a key.
pub const KEY_BYTES: usize = 8;
/// How many keys there are.
pub const KEYS: u64 = 1_000_000;
/// Operations of a batch: what fits a packet.
pub const BATCH: u64 = 40;
/// Bytes of a value in it.
pub const SMALL_VALUE_BYTES: usize = 8;
/// The table of the native records, as in the default configuration.
pub const TABLE: u16 = 1;
/// Messages of a round.
const MESSAGES: u64 = 1 << 20;
/// Keys that `mix_200` inserts begin here, apart from those that it puts.
const INSERTED_KEYS: u64 = 1 << 40;
/// Zipf's exponent.
const EXPONENT: f64 = 0.99;

/// Messages to be sent, round after round.
#[derive(Clone, Debug)]
pub struct Workload {
    name: &'static str,
    bytes: Vec<u8>,
    /// Where each message begins in `bytes`, and where the last ends.
    starts: Vec<u32>,
}

impl Workload {
    /// The workload of this name.
    ///
    /// # Errors
    /// When there is none; says which there are.
    pub fn named(name: &str, seed: u64) -> Result<Self, String> {
        let Some((name, _)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            return Err(format!("no workload {name:?}; there are {}", known.join(", ")));
        };
        let mut random = Random::new(seed);
        Ok(match *name {
            "put_zipf_200" => {
                let zipf = Zipf::new(KEYS);
                Self::puts(name, MESSAGES, &mut random, |random| zipf.key(random))
            }
            "mix_200" => Self::mix(name, &mut random),
            "itch_day" => Self::day(name, seed),
            _ => Self::puts(name, MESSAGES, &mut random, |random| random.below(KEYS)),
        })
    }

    /// The canonical messages once for each of these keys: what fills a store with so many records.
    pub fn filling(keys: u64) -> Self {
        let mut next = 0;
        Self::puts("fill", keys, &mut Random::new(1), |_| {
            next += 1;
            next - 1
        })
    }

    /// Puts of these many keys, [`BATCH`] in each transaction, with a value of [`SMALL_VALUE_BYTES`]: what fills a large store quickly.
    pub fn batches(keys: u64) -> Self {
        let mut workload = Self::empty("batches");
        let mut block = [0; mold::MAX_PAYLOAD_BYTES];
        for first in (0..keys).step_by(BATCH as usize) {
            let mut builder = TransactionBuilder::new(&mut block);
            for key in first..keys.min(first + BATCH) {
                let (key, value) = (key.to_be_bytes(), key.to_le_bytes());
                let put = Operation {
                    kind: OperationKind::Put,
                    table: TABLE,
                    key: &key,
                    value: &value,
                    expected: None,
                };
                builder.push(&put).expect("a packet holds a batch");
            }
            let length = builder.finish();
            workload.push(&block[..length]);
        }
        workload
    }

    fn empty(name: &'static str) -> Self {
        Self { name, bytes: Vec::new(), starts: vec![0] }
    }

    fn push(&mut self, block: &[u8]) {
        self.bytes.extend_from_slice(block);
        self.starts.push(u32::try_from(self.bytes.len()).expect("a round is far below 4 GiB"));
    }

    fn push_operation(&mut self, kind: OperationKind, key: u64, random: &mut Random) {
        let mut value = [0; VALUE_BYTES];
        value[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        let value = if kind == OperationKind::Delete { &[][..] } else { &value };
        let mut block = [0; BLOCK_BYTES];
        let mut builder = TransactionBuilder::new(&mut block);
        let key = key.to_be_bytes();
        let operation = Operation { kind, table: TABLE, key: &key, value, expected: None };
        builder.push(&operation).expect("the block has room for just this");
        let length = builder.finish();
        self.push(&block[..length]);
    }

    fn puts(
        name: &'static str,
        messages: u64,
        random: &mut Random,
        mut key: impl FnMut(&mut Random) -> u64,
    ) -> Self {
        let mut workload = Self::empty(name);
        for _ in 0..messages {
            let key = key(random);
            workload.push_operation(OperationKind::Put, key, random);
        }
        workload
    }

    fn mix(name: &'static str, random: &mut Random) -> Self {
        let mut workload = Self::empty(name);
        let mut live = VecDeque::new();
        let mut next = INSERTED_KEYS;
        for _ in 0..MESSAGES {
            let (kind, key) = match random.below(20) {
                0..4 => {
                    live.push_back(next);
                    next += 1;
                    (OperationKind::Insert, next - 1)
                }
                4..10 if !live.is_empty() => {
                    (OperationKind::Modify, live[random.below(live.len() as u64) as usize])
                }
                10..14 if !live.is_empty() => {
                    (OperationKind::Delete, live.pop_front().expect("there is one"))
                }
                _ => (OperationKind::Put, random.below(KEYS)),
            };
            workload.push_operation(kind, key, random);
        }
        for key in live {
            workload.push_operation(OperationKind::Delete, key, random);
        }
        workload
    }

    fn day(name: &'static str, seed: u64) -> Self {
        let mut workload = Self::empty(name);
        let mut day = Day::new(DayConfig::new(seed, MESSAGES)).expect("a million messages make a day");
        let mut message = [0; MESSAGE_BYTES_MAX];
        while let Some(length) = day.next_message(&mut message) {
            workload.push(&message[..length]);
        }
        workload
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The messages of a round.
    pub fn messages(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// Message `number`, counted on without end.
    pub fn block(&self, number: u64) -> &[u8] {
        let place = (number % self.messages()) as usize;
        &self.bytes[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// Reads message `number`, so that it is in the cache: a round is much larger than that.
    pub fn fetch(&self, number: u64) {
        let lines = self.block(number).iter().step_by(64);
        std::hint::black_box(lines.fold(0, |touched, byte| touched ^ byte));
    }

    /// The key of a native message.
    pub fn key(&self, number: u64) -> &[u8] {
        &self.block(number)[BLOCK_BYTES - VALUE_BYTES - KEY_BYTES..][..KEY_BYTES]
    }

    /// How many messages of the usual size fit a packet.
    pub fn per_packet(&self) -> u64 {
        let usual = self.bytes.len().div_ceil(self.messages() as usize);
        ((mold::MAX_PAYLOAD_BYTES - mold::HEADER_BYTES) / (usual + mold::BLOCK_LENGTH_BYTES)) as u64
    }

    /// How its sessions' names begin: the default configuration reads a session by that.
    pub fn session_prefix(&self) -> &'static str {
        if self.name == "itch_day" { "ITCH" } else { "RIG" }
    }
}

/// Draws keys by Zipf's law (the method of Gray and others, "Quickly generating billion-record synthetic databases").
struct Zipf {
    keys: u64,
    zeta: f64,
    zeta_two: f64,
    eta: f64,
}

impl Zipf {
    fn new(keys: u64) -> Self {
        let term = |rank: u64| (rank as f64).powf(-EXPONENT);
        let zeta = (1..=keys).map(term).sum::<f64>();
        let zeta_two = 1.0 + term(2);
        let eta = (1.0 - (2.0 / keys as f64).powf(1.0 - EXPONENT)) / (1.0 - zeta_two / zeta);
        Self { keys, zeta, zeta_two, eta }
    }

    fn key(&self, random: &mut Random) -> u64 {
        let share = random.next_u64() as f64 / (u64::MAX as f64 + 1.0);
        let scaled = share * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.zeta_two {
            return 1;
        }
        let rank = (self.eta * share - self.eta + 1.0).powf(1.0 / (1.0 - EXPONENT));
        ((self.keys as f64 * rank) as u64).min(self.keys - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_wire::transaction::Transaction;
    use std::collections::BTreeSet;

    #[test]
    fn the_canonical_workload_is_what_it_says() {
        let workload = Workload::named(CANONICAL, 7).unwrap();
        for number in [0, 1, MESSAGES - 1, MESSAGES] {
            let block = workload.block(number);
            assert_eq!(block.len(), BLOCK_BYTES);
            let transaction = Transaction::parse(block).unwrap();
            let operation = transaction.operations().next().unwrap();
            assert_eq!((operation.kind, operation.table), (OperationKind::Put, TABLE));
            assert_eq!(operation.key, workload.key(number));
        }
        assert_eq!(workload.per_packet(), 6);
        assert_eq!(workload.block(3), Workload::named(CANONICAL, 7).unwrap().block(3));
        assert_ne!(workload.block(3), Workload::named(CANONICAL, 8).unwrap().block(3));
        let distinct: BTreeSet<&[u8]> = (0..100_000).map(|number| workload.key(number)).collect();
        assert!(distinct.len() > 90_000, "{}", distinct.len());
    }

    #[test]
    fn batches_put_every_key_once() {
        let workload = Workload::batches(100);
        assert_eq!(workload.messages(), 100_u64.div_ceil(BATCH));
        let keys: Vec<Vec<u8>> = (0..workload.messages())
            .flat_map(|number| {
                let block = workload.block(number);
                assert!(
                    block.len() + mold::HEADER_BYTES + mold::BLOCK_LENGTH_BYTES <= 1400,
                    "it fits a packet"
                );
                let transaction = Transaction::parse(block).unwrap();
                transaction.operations().map(|put| put.key.to_vec()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(keys, (0..100_u64).map(|key| key.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn zipf_has_favourites_and_a_long_tail() {
        let zipf = Zipf::new(1_000);
        let mut random = Random::new(1);
        let mut counts = [0_u32; 1_000];
        (0..100_000).for_each(|_| counts[zipf.key(&mut random) as usize] += 1);
        assert!((11_000..16_000).contains(&counts[0]), "{}", counts[0]);
        assert!(counts[0] > counts[1] && counts[1] > counts[10]);
        assert!(counts[500..].iter().sum::<u32>() > 3_000);
    }

    #[test]
    fn the_mix_succeeds_round_after_round() {
        let workload = Workload::named("mix_200", 7).unwrap();
        let mut live = BTreeSet::new();
        for number in 0..workload.messages() {
            let transaction = Transaction::parse(workload.block(number)).unwrap();
            let operation = transaction.operations().next().unwrap();
            let key = u64::from_be_bytes(operation.key.try_into().unwrap());
            assert!(match operation.kind {
                OperationKind::Insert => live.insert(key),
                OperationKind::Modify => live.contains(&key),
                OperationKind::Delete => live.remove(&key),
                _ => key < KEYS,
            });
        }
        assert!(live.is_empty());
    }

    #[test]
    fn all_names_are_known() {
        for (name, _) in NAMES {
            assert_eq!(Workload::named(name, 1).unwrap().name(), name);
        }
        assert!(Workload::named("x", 1).unwrap_err().contains(CANONICAL));
    }
}
