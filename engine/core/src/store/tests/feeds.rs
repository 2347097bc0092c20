//! ITCH 5.0 on the bus.
use super::stream::{Bench, ORDERS, STOCKS, limits, op};
use crate::random::Random;
use crate::store::itch::Order;
use crate::store::{RETIRING_MAX, ReadBuffer};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use gds_wire::transaction::OperationKind::Put;
use zerocopy::FromBytes;

/// A message of this type with `body` at offset 11, padded to `bytes`.
fn message(kind: u8, bytes: usize, body: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![kind, 0, 13];
    message.resize(11, 0);
    message.extend(body.concat());
    message.resize(bytes, b' ');
    message
}

pub fn add(reference: u64, shares: u32) -> Vec<u8> {
    let body: [&[u8]; 5] =
        [&reference.to_be_bytes(), b"B", &shares.to_be_bytes(), b"ACME    ", &500_u32.to_be_bytes()];
    message(b'A', 36, &body)
}

fn reduce(kind: u8, bytes: usize, reference: u64, shares: u32) -> Vec<u8> {
    message(kind, bytes, &[&reference.to_be_bytes(), &shares.to_be_bytes()])
}

pub fn delete(reference: u64) -> Vec<u8> {
    message(b'D', 19, &[&reference.to_be_bytes()])
}

fn replace(old: u64, new: u64, shares: u32, price: u32) -> Vec<u8> {
    let body: [&[u8]; 4] =
        [&old.to_be_bytes(), &new.to_be_bytes(), &shares.to_be_bytes(), &price.to_be_bytes()];
    message(b'U', 35, &body)
}

pub fn event(code: u8) -> Vec<u8> {
    message(b'S', 12, &[&[code]])
}

fn order(bench: &Bench, reference: u64, as_of: u64) -> Option<Order> {
    let mut buffer = ReadBuffer::new();
    let reading = bench.store.reader().get(ORDERS, &reference.to_be_bytes(), as_of, &mut buffer).unwrap();
    reading.version.map(|_| Order::read_from_bytes(buffer.value()).unwrap())
}

fn shares(bench: &Bench, reference: u64) -> Option<u32> {
    order(bench, reference, 0).map(|order| order.shares.get())
}

#[test]
fn should_keep_what_an_add_says() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.feed(&add(1, 100)), Outcome::Applied);
    let mut attributed = add(2, 100);
    attributed[0] = b'F';
    attributed.extend(b"MPID");
    assert_eq!(bench.feed(&attributed), Outcome::Applied);
    let first = order(&bench, 1, 0).unwrap();
    assert_eq!((&first.stock, first.side, first.locate.get()), (b"ACME    ", b'B', 13));
    assert_eq!((first.shares.get(), first.price.get(), &first.attribution), (100, 500, b"    "));
    assert_eq!(&order(&bench, 2, 0).unwrap().attribution, b"MPID");
    assert_eq!(bench.feed(&add(1, 5)), Outcome::OrderExists);
    assert_eq!(shares(&bench, 1), Some(100));
}

#[test]
fn should_take_shares_off_until_the_order_is_gone() {
    let mut bench = Bench::new(limits());
    bench.feed(&add(1, 100));
    assert_eq!(bench.feed(&reduce(b'E', 31, 1, 30)), Outcome::Applied);
    assert_eq!(bench.feed(&reduce(b'C', 36, 1, 30)), Outcome::Applied);
    assert_eq!(bench.feed(&reduce(b'X', 23, 1, 30)), Outcome::Applied);
    assert_eq!(shares(&bench, 1), Some(10));
    for (kind, bytes) in [(b'E', 31), (b'C', 36), (b'X', 23)] {
        assert_eq!(bench.feed(&reduce(kind, bytes, 1, 11)), Outcome::QuantityExceeded);
        assert_eq!(bench.feed(&reduce(kind, bytes, 9, 1)), Outcome::UnknownOrder);
    }
    assert_eq!(shares(&bench, 1), Some(10));
    assert_eq!(bench.feed(&reduce(b'E', 31, 1, 10)), Outcome::Applied);
    assert_eq!(shares(&bench, 1), None);
    assert_eq!(bench.feed(&delete(1)), Outcome::UnknownOrder);
    assert_eq!(bench.feed(&add(1, 7)), Outcome::Applied);
    assert_eq!(bench.feed(&delete(1)), Outcome::Applied);
    assert_eq!(bench.store.tally().live, 0);
}

#[test]
fn should_carry_over_what_a_replace_does_not_say() {
    let mut bench = Bench::new(limits());
    bench.feed(&add(1, 100));
    bench.feed(&add(3, 1));
    assert_eq!(bench.feed(&replace(9, 2, 50, 700)), Outcome::UnknownOrder);
    assert_eq!(bench.feed(&replace(1, 3, 50, 700)), Outcome::OrderExists);
    assert_eq!(bench.feed(&replace(1, 1, 50, 700)), Outcome::OrderExists);
    assert_eq!(shares(&bench, 1), Some(100));
    assert_eq!(bench.feed(&replace(1, 2, 50, 700)), Outcome::Applied);
    assert_eq!(shares(&bench, 1), None);
    let new = order(&bench, 2, 0).unwrap();
    assert_eq!((&new.stock, new.side, new.locate.get()), (b"ACME    ", b'B', 13));
    assert_eq!((new.shares.get(), new.price.get()), (50, 700));
    // Back to a reference that was live once.
    assert_eq!(bench.feed(&replace(2, 1, 5, 5)), Outcome::Applied);
}

#[test]
fn should_undo_a_replace_that_finds_no_room() {
    let mut bench = Bench::new(Limits { records_max: 1, ..limits() });
    assert_eq!(bench.feed(&add(1, 100)), Outcome::Applied);
    assert_eq!(bench.feed(&replace(1, 2, 50, 700)), Outcome::RecordsLimit);
    assert_eq!(shares(&bench, 1), Some(100));
}

#[test]
fn should_keep_the_stock_directory_and_pass_over_the_rest() {
    let mut bench = Bench::new(limits());
    let directory = message(b'R', 39, &[b"ACME    "]);
    assert_eq!(bench.feed(&directory), Outcome::Applied);
    let mut buffer = ReadBuffer::new();
    bench.store.reader().get(STOCKS, b"ACME    ", 0, &mut buffer).unwrap();
    assert_eq!(buffer.value(), directory);
    for (kind, bytes) in [(b'H', 25), (b'P', 44), (b'Q', 40), (b'I', 50), (b'h', 21)] {
        assert_eq!(bench.feed(&message(kind, bytes, &[])), Outcome::NoOperation);
    }
    assert_eq!(bench.feed(&event(b'Q')), Outcome::NoOperation);
    for malformed in [&b""[..], b"A", b"?", &add(1, 1)[..35], &[add(1, 1), vec![0]].concat()] {
        assert_eq!(bench.feed(malformed), Outcome::Malformed);
    }
    assert_eq!(bench.store.tally().live, 1);
}

#[test]
fn should_take_no_order_from_what_a_client_wrote_into_the_table() {
    let mut bench = Bench::new(limits());
    bench.native(&[op(Put, ORDERS, &1_u64.to_be_bytes(), b"no order", None)]);
    assert_eq!(bench.feed(&reduce(b'E', 31, 1, 1)), Outcome::UnknownOrder);
    assert_eq!(bench.feed(&delete(1)), Outcome::UnknownOrder);
    assert_eq!(bench.feed(&add(1, 1)), Outcome::OrderExists);
}

#[test]
fn should_begin_empty_tables_with_a_new_day_and_still_show_the_old_one() {
    let mut bench = Bench::new(Limits { horizon_messages: 10, ..limits() });
    bench.native(&[op(Put, 1, b"native", b"stays", None)]);
    bench.feed(&message(b'R', 39, &[b"ACME    "]));
    bench.feed(&add(1, 100));
    bench.feed(&add(2, 100));
    bench.feed(&delete(2));
    let last = bench.stream.sequence;
    assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    assert_eq!(shares(&bench, 1), None);
    assert_eq!(order(&bench, 1, last).unwrap().shares.get(), 100);
    assert_eq!((bench.store.tally().live, bench.store.tally().records), (1, 4));
    assert_eq!(bench.feed(&reduce(b'E', 31, 1, 1)), Outcome::UnknownOrder);
    assert_eq!(bench.feed(&add(1, 7)), Outcome::Applied);
    assert_eq!((shares(&bench, 1), order(&bench, 1, last).unwrap().shares.get()), (Some(7), 100));
    // The deleted order stops counting when the horizon passes it, the rest when it is swept: 250 messages
    // after the horizon.
    bench.idle(9);
    assert_eq!(bench.store.tally().records, 4);
    bench.idle(249);
    assert_eq!(bench.store.tally().records, 4);
    bench.idle(5);
    assert_eq!(bench.store.tally().records, 2);
    assert_eq!(bench.store.counters().swept.get(), 2);
    assert_eq!(shares(&bench, 1), Some(7));
}

#[test]
fn should_refuse_to_empty_tables_more_often_than_can_be_kept_apart() {
    let mut bench = Bench::new(limits());
    for _ in 0..RETIRING_MAX {
        assert_eq!(bench.feed(&add(1, 1)), Outcome::Applied);
        assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
        // Empty already: nothing to keep.
        assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    }
    assert_eq!(bench.feed(&add(1, 1)), Outcome::Applied);
    assert_eq!(bench.feed(&event(b'O')), Outcome::RecordsLimit);
    assert_eq!(shares(&bench, 1), Some(1));
    bench.idle(500);
    assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    assert_eq!(shares(&bench, 1), None);
}

/// The index is as full as the limits allow, of dead entries, when the new day fills it again.
#[test]
fn should_hold_a_full_day_after_a_full_day() {
    let records_max = 5000;
    let mut bench = Bench::new(Limits { records_max, bytes_max: 1 << 20, horizon_messages: 5, ..limits() });
    let mut random = Random::new(1);
    for day in 0..6 {
        let mut taken = 0;
        while taken < records_max {
            taken += u64::from(bench.feed(&add(random.next_u64(), 1)) == Outcome::Applied);
        }
        assert_eq!(bench.feed(&add(random.next_u64(), 1)), Outcome::RecordsLimit, "day {day}");
        assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    }
    bench.idle(2000);
    assert_eq!((bench.store.tally().records, bench.store.counters().swept.get()), (0, 6 * records_max));
}
