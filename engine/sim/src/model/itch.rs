//! The model's reading of ITCH 5.0, byte by byte from the published layout.
use super::records::{Key, Records};
use gds_wire::acknowledgement::Outcome;
use std::rc::Rc;

/// Length of each message type.
const LENGTHS: &[(u8, usize)] = &[
    (b'S', 12),
    (b'R', 39),
    (b'H', 25),
    (b'Y', 20),
    (b'L', 26),
    (b'V', 35),
    (b'W', 12),
    (b'K', 28),
    (b'J', 35),
    (b'h', 21),
    (b'A', 36),
    (b'F', 40),
    (b'E', 31),
    (b'C', 36),
    (b'X', 23),
    (b'D', 19),
    (b'U', 35),
    (b'P', 44),
    (b'Q', 40),
    (b'B', 19),
    (b'I', 50),
    (b'N', 20),
    (b'O', 48),
];

pub(super) fn execute(block: &[u8], orders: u16, records: &mut Records) -> Outcome {
    let known = block.first().and_then(|kind| LENGTHS.iter().find(|(other, _)| other == kind));
    if known.is_none_or(|(_, length)| *length != block.len()) {
        return Outcome::Malformed;
    }
    let changed = match block[0] {
        b'S' if block[11] == b'O' => records.empty(&[orders, orders + 1]),
        b'R' => put_stock(block, orders, records),
        b'A' => add(block, b"    ", orders, records),
        b'F' => add(block, &block[36..40], orders, records),
        b'E' | b'C' | b'X' => reduce(block, orders, records),
        b'D' => delete(block, orders, records),
        b'U' => replace(block, orders, records),
        _ => return Outcome::NoOperation,
    };
    changed.map_or_else(|outcome| outcome, |()| Outcome::Applied)
}

fn put_stock(block: &[u8], orders: u16, records: &mut Records) -> Result<(), Outcome> {
    let key = (orders + 1, block[11..19].to_vec());
    if !records.is_declared(key.0) {
        return Err(Outcome::UnknownTable);
    }
    records.write(&key, block)
}

fn add(block: &[u8], attribution: &[u8], orders: u16, records: &mut Records) -> Result<(), Outcome> {
    let key = reference(&block[11..19], orders);
    if !records.is_declared(orders) {
        return Err(Outcome::UnknownTable);
    }
    if records.live(&key).is_some() {
        return Err(Outcome::OrderExists);
    }
    let (stock, side, locate) = (&block[24..32], block[19], &block[1..3]);
    let (shares, price) = (&block[20..24], &block[32..36]);
    records.write(&key, &[stock, &[side, 0], locate, shares, price, attribution].concat())
}

fn reduce(block: &[u8], orders: u16, records: &mut Records) -> Result<(), Outcome> {
    let key = reference(&block[11..19], orders);
    let order = live(&key, records)?;
    let (there, taken) = (number(&order[12..16]), number(&block[19..23]));
    if taken > there {
        return Err(Outcome::QuantityExceeded);
    }
    if taken == there {
        records.delete(&key);
        return Ok(());
    }
    let mut order = order.to_vec();
    order[12..16].copy_from_slice(&(there - taken).to_be_bytes());
    records.write(&key, &order)
}

fn delete(block: &[u8], orders: u16, records: &mut Records) -> Result<(), Outcome> {
    let key = reference(&block[11..19], orders);
    live(&key, records)?;
    records.delete(&key);
    Ok(())
}

fn replace(block: &[u8], orders: u16, records: &mut Records) -> Result<(), Outcome> {
    let (old, new) = (reference(&block[11..19], orders), reference(&block[19..27], orders));
    let mut order = live(&old, records)?.to_vec();
    if records.live(&new).is_some() {
        return Err(Outcome::OrderExists);
    }
    order[12..16].copy_from_slice(&block[27..31]);
    order[16..20].copy_from_slice(&block[31..35]);
    records.delete(&old);
    records.write(&new, &order)
}

/// A live order; a record that is none counts as none.
fn live(key: &Key, records: &Records) -> Result<Rc<[u8]>, Outcome> {
    if !records.is_declared(key.0) {
        return Err(Outcome::UnknownTable);
    }
    let (_, order) = records.live(key).ok_or(Outcome::UnknownOrder)?;
    if order.len() == 24 { Ok(order) } else { Err(Outcome::UnknownOrder) }
}

fn reference(bytes: &[u8], orders: u16) -> Key {
    (orders, bytes.to_vec())
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}
