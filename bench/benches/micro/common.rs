//! What the microbenchmarks share: the canonical 200-byte transaction, packets full of it, and how long to measure.
use criterion::Criterion;
use gds_wire::declaration::{Declaration, Limits, TableDeclaration};
use gds_wire::mold::PacketBuilder;
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::time::Duration;

/// Bytes of a transaction.
pub const BLOCK_BYTES: usize = 200;
/// Bytes of its key.
pub const KEY_BYTES: usize = 8;
/// Where the key begins.
pub const KEY_AT: usize = 18;
/// The table it writes to.
pub const TABLE: u16 = 1;
/// Who sends it.
pub const CLIENT: Session = Session(*b"CLIENT    ");
/// The stream it goes to.
pub const STREAM: Session = Session(*b"1700000000");

/// Quick, and long enough for three digits on a quiet machine.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args()
}

/// Whether each benchmark is only to be tried once (`cargo test --benches`, or `--test`): then what is large should be small.
pub fn smoke() -> bool {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    given("--test") || !given("--bench")
}

/// A transaction of 200 bytes that puts one record.
pub fn block(key: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let value = [0x56; BLOCK_BYTES - KEY_AT - KEY_BYTES];
    let mut builder = TransactionBuilder::new(&mut block);
    let put = Operation {
        kind: OperationKind::Put,
        table: TABLE,
        key: &key.to_be_bytes(),
        value: &value,
        expected: None,
    };
    builder.push(&put).expect("it fits");
    assert_eq!(builder.finish(), BLOCK_BYTES);
    block
}

/// A packet with as many transactions as fit 1,400 bytes, and how many these are.
pub fn packet(sequence: u64) -> (Vec<u8>, u64) {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, CLIENT, sequence);
    let count = (0..).take_while(|number| builder.push(&block(*number))).count();
    let length = builder.finish();
    (buffer[..length].to_vec(), count as u64)
}

/// One table for so many records.
pub fn declaration(records: u64) -> Declaration {
    let limits = Limits {
        records_max: records,
        bytes_max: records * BLOCK_BYTES as u64,
        sessions_max: 8,
        session_forget_messages: 1_000_000_000,
        horizon_messages: 1000,
        index_seed: 7,
    };
    let tables = vec![TableDeclaration { table: TABLE, name: "table".parse().expect("a name") }];
    Declaration { limits, tables, schemas: Vec::new() }
}
