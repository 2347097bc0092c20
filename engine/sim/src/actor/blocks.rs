//! What clients and feeds submit: mostly sensible, now and then not.
use crate::model::Key;
use crate::plan::{LATER_TABLE, NATIVE_TABLES, Plan, UNKNOWN_TABLE, pick};
use crate::truth::Truth;
use gds_core::random::Random;
use gds_wire::envelope::max_block_bytes;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};

/// Most operations of an ordinary transaction.
const OPERATIONS_MAX: u64 = 5;
/// Bytes of a buffer for any transaction made here.
const BLOCK_BYTES_MAX: usize = 1378;

const KINDS: [OperationKind; 6] = [
    OperationKind::Put,
    OperationKind::Put,
    OperationKind::Insert,
    OperationKind::Modify,
    OperationKind::Delete,
    OperationKind::Check,
];

/// A client's next block.
pub fn native(plan: &Plan, truth: &Truth, random: &mut Random) -> Vec<u8> {
    match random.below(60) {
        // No message of any schema.
        0 => Vec::new(),
        1 => some_bytes(20, random),
        // Begins like a transaction and is none.
        2 => [b"T", &bytes(random, 10)[..]].concat(),
        // Longer than a downstream packet of this stream holds, where a packet upstream may be.
        3 => {
            let longest = max_block_bytes(plan.payload_bytes_max);
            let length = (longest + 1 + random.below(20) as usize).min(BLOCK_BYTES_MAX);
            bytes(random, length)
        }
        _ => transaction(plan, truth, random),
    }
}

fn transaction(plan: &Plan, truth: &Truth, random: &mut Random) -> Vec<u8> {
    let mut buffer = [0; BLOCK_BYTES_MAX];
    let mut builder = TransactionBuilder::new(&mut buffer);
    for _ in 0..1 + random.below(OPERATIONS_MAX) {
        let (table, name) = key(plan, random);
        let plain = plan.busy && random.chance(7, 8);
        let kind = if plain { OperationKind::Put } else { *pick(random, &KINDS) };
        let length =
            if kind.has_value() { random.below(plan.value_bytes_max as u64 + 1) as usize } else { 0 };
        let value = bytes(random, length);
        let expected = if plain { None } else { expected(truth, &(table, name.clone()), random) };
        // What does not fit any more is left out.
        let _ = builder.push(&Operation { kind, table, key: &name, value: &value, expected });
    }
    if builder.count() == 0 {
        return vec![b'T', 0];
    }
    let length = builder.finish();
    buffer[..length].to_vec()
}

/// A table and a key of those in use.
pub fn key(plan: &Plan, random: &mut Random) -> Key {
    let table = match random.below(40) {
        0 => UNKNOWN_TABLE,
        1 | 2 => LATER_TABLE,
        _ => *pick(random, &NATIVE_TABLES),
    };
    let number = random.below(plan.keys);
    (table, format!("key{number}").into_bytes())
}

/// Mostly no expectation; else the version known, which may be old by the time it counts, or none.
fn expected(truth: &Truth, key: &Key, random: &mut Random) -> Option<u64> {
    match random.below(6) {
        0 => Some(0),
        1 => Some(truth.model().records().as_of(truth.known(), key).map_or(0, |(version, _)| version)),
        2 => Some(random.below(truth.known() + 1)),
        _ => None,
    }
}

fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next_u64() as u8).collect()
}

/// A feed's next message: ITCH 5.0 on few references, so that orders meet again.
pub fn itch(first: bool, random: &mut Random) -> Vec<u8> {
    let kind = if first { b'O' } else { *pick(random, b"AAAAFFEECXXDDUURPSZZ") };
    let reference = |random: &mut Random| (1 + random.below(40)).to_be_bytes();
    let shares = |random: &mut Random| (1 + random.below(5) as u32).to_be_bytes();
    let stock = format!("STOCK{:<3}", random.below(4));
    let prefix = |kind: u8| [&[kind][..], &[0, 1, 0, 2, 0, 0, 0, 0, 0, 3]].concat();
    let add = |kind: u8, random: &mut Random| {
        let side = *pick(random, b"BS");
        [&prefix(kind)[..], &reference(random), &[side], &shares(random), stock.as_bytes(), &[0, 0, 3, 4]]
            .concat()
    };
    match kind {
        b'A' => add(b'A', random),
        b'F' => [&add(b'F', random)[..], b"MPID"].concat(),
        b'E' => [&prefix(b'E')[..], &reference(random), &shares(random), &[0; 8]].concat(),
        b'C' => [&prefix(b'C')[..], &reference(random), &shares(random), &[0; 8], b"Y", &[0; 4]].concat(),
        b'X' => [&prefix(b'X')[..], &reference(random), &shares(random)].concat(),
        b'D' => [&prefix(b'D')[..], &reference(random)].concat(),
        b'U' => {
            let (old, new) = (reference(random), reference(random));
            [&prefix(b'U')[..], &old, &new, &shares(random), &[0, 0, 5, 6]].concat()
        }
        b'R' => [&prefix(b'R')[..], stock.as_bytes(), &bytes(random, 20)].concat(),
        b'P' => [&prefix(b'P')[..], &[0; 33]].concat(),
        // A new day begins now and then.
        b'S' => [&prefix(b'S')[..], if random.chance(1, 4) { b"O" } else { b"Q" }].concat(),
        b'O' => [&prefix(b'S')[..], b"O"].concat(),
        // No ITCH, or of the wrong size.
        _ => some_bytes(30, random),
    }
}

fn some_bytes(length_max: u64, random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(length_max) as usize;
    bytes(random, length)
}
