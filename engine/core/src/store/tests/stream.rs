//! Bus messages for tests.
use crate::store::{Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration, TableDeclaration};
use gds_wire::envelope::{Envelope, Kind, Reason};
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

/// Tables of every test: two native ones, then orders and stocks.
pub const TABLES: [u16; 4] = [1, 2, 10, 11];
pub const ORDERS: u16 = 10;
pub const STOCKS: u16 = 11;

pub fn limits() -> Limits {
    Limits {
        records_max: 1000,
        bytes_max: 100_000,
        sessions_max: 8,
        session_forget_messages: 1000,
        horizon_messages: 100,
        index_seed: 7,
    }
}

pub fn declaration(limits: Limits) -> Declaration {
    let table = |&table: &u16| TableDeclaration { table, name: format!("table{table}").parse().unwrap() };
    Declaration {
        limits,
        tables: TABLES.iter().map(table).collect(),
        schemas: vec![SchemaDeclaration {
            pattern: "FEED*".parse().unwrap(),
            schema: Schema::Itch50,
            version: 1,
            first_table: ORDERS,
        }],
    }
}

/// Numbers messages as a sequencer does.
#[derive(Default)]
pub struct Stream {
    pub sequence: u64,
    sent: BTreeMap<Session, u64>,
}

impl Stream {
    pub fn message(&mut self, session: Session, kind: Kind, reason: Reason, body: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let sent = self.sent.entry(session).or_default();
        *sent += 1;
        let envelope = Envelope::new(session, kind, reason, *sent, self.sequence * 1000);
        [envelope.as_bytes(), body].concat()
    }

    pub fn block(&mut self, session: &str, block: &[u8]) -> Vec<u8> {
        self.message(Session::padded(session).unwrap(), Kind::Transaction, Reason::None, block)
    }

    pub fn declare(&mut self, declaration: &Declaration) -> Vec<u8> {
        self.message(Session::NODE, Kind::Declare, Reason::None, &declaration.to_bytes())
    }
}

/// One operation, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub kind: OperationKind,
    pub table: u16,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub expected: Option<u64>,
}

pub fn op(kind: OperationKind, table: u16, key: &[u8], value: &[u8], expected: Option<u64>) -> Op {
    Op { kind, table, key: key.to_vec(), value: value.to_vec(), expected }
}

pub fn transaction(operations: &[Op]) -> Vec<u8> {
    let mut buffer = vec![0; 60_000];
    let mut builder = TransactionBuilder::new(&mut buffer);
    for op in operations {
        let (key, value) = (&op.key[..], &op.value[..]);
        builder
            .push(&Operation { kind: op.kind, table: op.table, key, value, expected: op.expected })
            .unwrap();
    }
    let length = builder.finish();
    buffer.truncate(length);
    buffer
}

/// A store with a stream of its own.
pub struct Bench {
    pub stream: Stream,
    pub store: Store,
}

impl Bench {
    pub fn new(limits: Limits) -> Self {
        let mut bench = Self { stream: Stream::default(), store: store_for(limits, 1) };
        let message = bench.stream.declare(&declaration(limits));
        assert_eq!(bench.apply(&message), Outcome::Applied);
        bench
    }

    pub fn apply(&mut self, message: &[u8]) -> Outcome {
        self.store.apply(self.stream.sequence, message).outcome()
    }

    pub fn native(&mut self, operations: &[Op]) -> Outcome {
        let message = self.stream.block("CLIENT", &transaction(operations));
        self.apply(&message)
    }

    pub fn feed(&mut self, block: &[u8]) -> Outcome {
        let message = self.stream.block("FEED", block);
        self.apply(&message)
    }

    pub fn idle(&mut self, messages: u64) {
        for _ in 0..messages {
            assert_eq!(
                self.native(&[op(OperationKind::Check, 1, b"never", b"", Some(0))]),
                Outcome::NoOperation
            );
        }
    }
}

/// A store of `times` the memory that these limits need.
pub fn store_for(limits: Limits, times: usize) -> Store {
    Store::new(CONFIG, memory_for(limits, times))
}

/// Settings of every store.
pub const CONFIG: StoreConfig = StoreConfig { block_bytes_max: 400 };

/// `times` the memory that these limits need.
pub fn memory_for(limits: Limits, times: usize) -> StoreMemory {
    let capacity = StoreCapacity::for_declaration(&declaration(limits), &CONFIG);
    let (index_words, log_words) = (capacity.index_words * times, capacity.log_words * times);
    StoreMemory::heap(&StoreCapacity { index_words, log_words })
}
