//! A real feed through the schema, held against a count that shares nothing with it.
use super::stream::{Bench, ORDERS, limits};
use crate::store::ReadBuffer;
use crate::store::itch::Order;
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

fn capture(name: &str) -> Option<Vec<u8>> {
    let folder = match std::env::var_os("GDS_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("shared/captures"))
            .find(|folder| folder.is_dir())?,
    };
    std::fs::read(folder.join(name)).ok()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Side, shares and price by reference, counted straight from the messages' bytes.
#[derive(Default)]
struct Book {
    orders: HashMap<u64, (u8, u64, u64)>,
    unknown: u64,
}

impl Book {
    fn take(&mut self, message: &[u8]) {
        let reference = if message.len() >= 19 { number(&message[11..19]) } else { 0 };
        match message[0] {
            b'A' | b'F' => {
                let order = (message[19], number(&message[20..24]), number(&message[32..36]));
                assert!(self.orders.insert(reference, order).is_none());
            }
            b'E' | b'C' | b'X' => match self.orders.get_mut(&reference) {
                Some(order) => {
                    order.1 -= number(&message[19..23]);
                    if order.1 == 0 {
                        self.orders.remove(&reference);
                    }
                }
                None => self.unknown += 1,
            },
            b'D' => self.unknown += u64::from(self.orders.remove(&reference).is_none()),
            b'U' => match self.orders.remove(&reference) {
                Some(old) => {
                    let order = (old.0, number(&message[27..31]), number(&message[31..35]));
                    assert!(self.orders.insert(number(&message[19..27]), order).is_none());
                }
                None => self.unknown += 1,
            },
            _ => {}
        }
    }
}

#[test]
fn should_leave_exactly_the_live_orders_of_a_real_feed() {
    let Some(file) = capture("itch/locate-13-10k.bin") else {
        println!(
            "skipped: itch/locate-13-10k.bin is not there; GDS_CAPTURES may name the folder of captures"
        );
        return;
    };
    let limits = Limits { records_max: 10_000, bytes_max: 1 << 20, horizon_messages: 500, ..limits() };
    let mut bench = Bench::new(limits);
    let mut book = Book::default();
    let (mut messages, mut unknown, mut rest) = (0, 0, &file[..]);
    while !rest.is_empty() {
        let (message, after) = rest[2..].split_at(number(&rest[..2]) as usize);
        book.take(message);
        let outcome = bench.feed(message);
        assert!(
            matches!(outcome, Outcome::Applied | Outcome::NoOperation | Outcome::UnknownOrder),
            "{outcome}"
        );
        unknown += u64::from(outcome == Outcome::UnknownOrder);
        (messages, rest) = (messages + 1, after);
    }
    assert_eq!(messages, 10_000);
    assert_eq!(unknown, book.unknown);
    let live = bench.store.table_tally(ORDERS).unwrap().live;
    assert_eq!(live, book.orders.len() as u64);
    let (reader, mut buffer) = (bench.store.reader(), ReadBuffer::new());
    for (reference, expected) in &book.orders {
        let reading = reader.get(ORDERS, &reference.to_be_bytes(), 0, &mut buffer).unwrap();
        assert!(reading.version.is_some(), "order {reference} is missing");
        let order = Order::read_from_bytes(buffer.value()).unwrap();
        assert_eq!((order.side, u64::from(order.shares.get()), u64::from(order.price.get())), *expected);
    }
    println!("{live} live orders after {messages} messages, {unknown} of unknown orders");
}
