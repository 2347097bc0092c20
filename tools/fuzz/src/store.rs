//! The store: whatever is on the stream, nodes with different memories find the same outcomes, and a state once read stays as it
//! was for as long as it may be read.
use gds_core::bus::unreadable_declaration;
use gds_core::store::{ReadBuffer, ReadError, Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration, TableDeclaration};
use gds_wire::envelope::{ENVELOPE_BYTES, Envelope, Kind, Message, Reason, Skip, Void};
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::collections::BTreeMap;

use crate::script::Script;

const BLOCK_BYTES_MAX: usize = 200;
const TABLES: [u16; 4] = [1, 2, 100, 101];
const KEYS: [&[u8]; 5] = [b"a", b"b", b"key", &1_u64.to_be_bytes(), &2_u64.to_be_bytes()];
const SESSIONS: [Session; 5] = [
    Session(*b"NATIVE    "),
    Session(*b"ITCH      "),
    Session(*b"OTHER     "),
    Session(*b"I2        "),
    Session::NODE,
];

/// Bus messages into two stores.
pub fn store(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        run.step(step, &mut script);
    }
    assert_eq!(run.small.digest(), run.large.digest());
}

/// Version and value of every key of every table.
type State = Vec<Option<(u64, Vec<u8>)>>;

struct Run {
    small: Store,
    large: Store,
    sequence: u64,
    buffer: ReadBuffer,
    next: BTreeMap<Session, u64>,
    /// What reads said when a state was new.
    seen: BTreeMap<u64, State>,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let first = declaration(script);
        // Later declarations may ask for no more than these.
        let most = Declaration {
            limits: Limits { records_max: 16, bytes_max: 1_024, horizon_messages: 8, ..first.limits },
            ..first.clone()
        };
        let config = StoreConfig { block_bytes_max: BLOCK_BYTES_MAX };
        let capacity = StoreCapacity::for_declaration(&most, &config);
        let twice =
            StoreCapacity { index_words: 2 * capacity.index_words, log_words: 2 * capacity.log_words };
        let store = |capacity| Store::new(config.clone(), StoreMemory::heap(capacity));
        let mut run = Self {
            small: store(&capacity),
            large: store(&twice),
            sequence: 0,
            buffer: ReadBuffer::new(),
            next: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        run.apply(Session::NODE, Kind::Declare, Reason::None, 1, &first.to_bytes());
        run
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let session = SESSIONS[script.below(SESSIONS.len())];
        let number = script.near(self.next.get(&session).copied().unwrap_or(1));
        let mut block = [0; BLOCK_BYTES_MAX];
        match step % 10 {
            0..=3 => {
                let length = transaction(script, &mut block);
                self.apply(session, Kind::Transaction, Reason::None, number, &block[..length]);
            }
            4..=6 => {
                let length = itch(script, &mut block);
                self.apply(session, Kind::Transaction, Reason::None, number, &block[..length]);
            }
            7 => {
                let body = script.take(BLOCK_BYTES_MAX.min(usize::from(step)));
                self.apply(session, Kind::Transaction, Reason::None, number, body);
            }
            8 => match script.below(4) {
                0 => self.apply(session, Kind::EndOfSession, Reason::None, number, &[]),
                1 => {
                    let to = number.saturating_add(u64::from(script.byte()));
                    self.apply(session, Kind::Skip, Reason::None, number, &Skip::new(number, to).to_bytes());
                }
                2 => {
                    let reason = if script.flag() { Reason::TooLong } else { Reason::UnknownType };
                    self.apply(session, Kind::Void, reason, number, &Void::of(script.bytes()).to_bytes());
                }
                _ => self.apply(Session::NODE, Kind::EndOfStream, Reason::None, number, &[]),
            },
            _ => {
                let next = self.next.get(&Session::NODE).copied().unwrap_or(1);
                let body = declaration(script).to_bytes();
                let body = if script.byte() < 8 { &body[..body.len() - 1] } else { &body };
                self.apply(Session::NODE, Kind::Declare, Reason::None, next, body);
            }
        }
    }

    fn apply(&mut self, session: Session, kind: Kind, reason: Reason, number: u64, body: &[u8]) {
        self.sequence += 1;
        let mut message = Envelope::new(session, kind, reason, number, self.sequence).to_bytes().to_vec();
        message.extend_from_slice(body);
        assert!(Message::parse(&message).is_ok() && message.len() <= ENVELOPE_BYTES + 400);
        if Message::parse(&message).is_ok_and(|message| unreadable_declaration(&message).is_some()) {
            // A node stops here; this one goes on as if it had not come.
            assert!(matches!(self.small.declaration_in(&message), Some(Err(_))));
            self.sequence -= 1;
            return;
        }
        let outcome = self.small.apply(self.sequence, &message);
        assert_eq!(outcome, self.large.apply(self.sequence, &message), "message {}", self.sequence);
        assert_eq!((outcome.session, outcome.client_sequence()), (session, number));
        for session in SESSIONS {
            if let Some(entry) = self.small.sessions().get(&session) {
                self.next.insert(session, entry.next);
            }
        }
        self.read();
    }

    /// Reads the newest state, and one that was read before.
    fn read(&mut self) {
        let reader = self.small.reader();
        let buffer = &mut self.buffer;
        let mut read = |as_of| {
            let mut all = Vec::new();
            for table in TABLES {
                for key in KEYS {
                    match reader.get(table, key, as_of, buffer) {
                        Ok(reading) => {
                            let value = buffer.value().to_vec();
                            all.push(reading.version.map(|version| (version, value)));
                        }
                        Err(ReadError::UnknownTable(_)) => all.push(None),
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(all)
        };
        let newest = read(self.sequence).expect("the newest state can be read");
        for as_of in [reader.oldest(), self.sequence.saturating_sub(1)] {
            if as_of >= reader.oldest()
                && let Some(before) = self.seen.get(&as_of)
            {
                assert_eq!(read(as_of).as_ref(), Ok(before), "the state at {as_of} has changed");
            }
        }
        self.seen.insert(self.sequence, newest);
    }
}

fn declaration(script: &mut Script<'_>) -> Declaration {
    let limits = Limits {
        records_max: 1 + script.below(16) as u64,
        bytes_max: u64::from(script.byte()) * 4,
        sessions_max: script.below(5) as u32,
        session_forget_messages: u64::from(script.byte() % 8),
        horizon_messages: u64::from(script.byte() % 8),
        index_seed: 6,
    };
    let declared = script.byte();
    let table = |(index, table): (usize, u16)| {
        let name = ["one", "two", "orders", "stocks"][index].parse().expect("a table name");
        (declared >> index & 1 == 0).then_some(TableDeclaration { table, name })
    };
    let tables = TABLES.into_iter().enumerate().filter_map(table).collect();
    let schema = |pattern: &str, schema, first_table| SchemaDeclaration {
        pattern: pattern.parse().expect("a pattern"),
        schema,
        version: 1,
        first_table,
    };
    let mut schemas = vec![schema("I*", Schema::Itch50, 100)];
    if declared & 0x10 != 0 {
        schemas = vec![schema("N*", Schema::Native, 0), schema("I2", Schema::Itch50, 1)];
    }
    Declaration { limits, tables, schemas }
}

fn transaction(script: &mut Script<'_>, block: &mut [u8]) -> usize {
    let mut builder = TransactionBuilder::new(block);
    for _ in 0..1 + script.below(4) {
        let what = script.byte();
        let kinds = [
            OperationKind::Insert,
            OperationKind::Modify,
            OperationKind::Put,
            OperationKind::Delete,
            OperationKind::Check,
        ];
        let kind = kinds[usize::from(what) % kinds.len()];
        let value = if kind.has_value() { script.take(usize::from(what) / 5) } else { &[] };
        let table = TABLES.get(script.below(5)).copied().unwrap_or(9);
        let key = KEYS[script.below(KEYS.len())];
        let expected = script.flag().then(|| script.number()).filter(|version| *version != u64::MAX);
        // What does not fit any more is left out.
        let _ = builder.push(&Operation { kind, table, key, value, expected });
    }
    if builder.count() == 0 {
        let check =
            Operation { kind: OperationKind::Check, table: 1, key: b"a", value: &[], expected: Some(0) };
        builder.push(&check).expect("it fits an empty block");
    }
    builder.finish()
}

/// An ITCH message about one of few orders, of its right size but rarely.
fn itch(script: &mut Script<'_>, block: &mut [u8]) -> usize {
    let kind = b"SRAFECXDUPz"[script.below(11)];
    let size = gds_wire::itch::size_of_type(kind).unwrap_or(20);
    block[0] = kind;
    let body = &mut block[11..size];
    let reference = |script: &mut Script<'_>| u64::from(script.byte() % 3).to_be_bytes();
    match kind {
        b'S' => body[0] = b"OSQMEC"[script.below(6)],
        b'A' | b'F' | b'E' | b'C' | b'X' | b'D' => {
            body[..8].copy_from_slice(&reference(script));
            if let Some(shares) = body.get_mut(8..12) {
                shares.copy_from_slice(&u32::from(script.byte() % 4).to_be_bytes());
            }
            if matches!(kind, b'A' | b'F') {
                body[8] = b'B';
                body[9..13].copy_from_slice(&u32::from(script.byte() % 8).to_be_bytes());
            }
        }
        b'U' => {
            body[..8].copy_from_slice(&reference(script));
            body[8..16].copy_from_slice(&reference(script));
            body[16..20].copy_from_slice(&u32::from(script.byte() % 8).to_be_bytes());
        }
        _ => {}
    }
    if script.byte() == 0xFF { size - 1 } else { size }
}
