//! The rules of outcomes, one by one.
use super::stream::{Bench, Stream, declaration, limits, op, store_for, transaction};
use crate::store::{ReadBuffer, ReadError, Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::{Limits, TableDeclaration};
use gds_wire::envelope::{Kind, Reason, Skip, Void};
use gds_wire::session::Session;
use gds_wire::transaction::OperationKind::{Check, Delete, Insert, Modify, Put};
use zerocopy::IntoBytes;

fn read(store: &Store, key: &[u8], as_of: u64) -> Option<(u64, Vec<u8>)> {
    let mut buffer = ReadBuffer::new();
    let reading = store.reader().get(1, key, as_of, &mut buffer).unwrap();
    reading.version.map(|version| (version, buffer.value().to_vec()))
}

#[test]
fn should_tell_apart_insert_modify_put_delete_and_check() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.native(&[op(Modify, 1, b"a", b"1", None)]), Outcome::Missing);
    assert_eq!(bench.native(&[op(Delete, 1, b"a", b"", None)]), Outcome::Missing);
    assert_eq!(bench.native(&[op(Check, 1, b"a", b"", None)]), Outcome::Missing);
    assert_eq!(bench.native(&[op(Check, 1, b"a", b"", Some(0))]), Outcome::NoOperation);
    assert_eq!(bench.native(&[op(Insert, 1, b"a", b"1", None)]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 0), Some((6, b"1".to_vec())));
    assert_eq!(bench.native(&[op(Insert, 1, b"a", b"2", None)]), Outcome::Exists);
    assert_eq!(bench.native(&[op(Check, 1, b"a", b"", None)]), Outcome::NoOperation);
    assert_eq!(bench.native(&[op(Modify, 1, b"a", b"3", None)]), Outcome::Applied);
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"", None)]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 0), Some((10, Vec::new())));
    assert_eq!(bench.native(&[op(Delete, 1, b"a", b"", None)]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 0), None);
    assert_eq!(read(&bench.store, b"a", 9), Some((9, b"3".to_vec())));
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"4", None)]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 11), None);
    assert_eq!(bench.native(&[op(Put, 77, b"a", b"4", None)]), Outcome::UnknownTable);
}

#[test]
fn should_compare_the_expected_version_of_any_operation() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.native(&[op(Insert, 1, b"a", b"", Some(5))]), Outcome::VersionMismatch);
    assert_eq!(bench.native(&[op(Insert, 1, b"a", b"", Some(0))]), Outcome::Applied);
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"", Some(0))]), Outcome::VersionMismatch);
    assert_eq!(bench.native(&[op(Check, 1, b"a", b"", Some(2))]), Outcome::VersionMismatch);
    assert_eq!(bench.native(&[op(Check, 1, b"a", b"", Some(3))]), Outcome::NoOperation);
    assert_eq!(bench.native(&[op(Modify, 1, b"a", b"", Some(3))]), Outcome::Applied);
    assert_eq!(bench.native(&[op(Delete, 1, b"a", b"", Some(3))]), Outcome::VersionMismatch);
    assert_eq!(bench.native(&[op(Delete, 1, b"a", b"", Some(7))]), Outcome::Applied);
}

#[test]
fn should_let_later_operations_of_a_transaction_see_earlier_ones() {
    let mut bench = Bench::new(limits());
    let operations = [
        op(Insert, 1, b"a", b"1", None),
        op(Check, 1, b"a", b"", Some(2)),
        op(Modify, 1, b"a", b"2", Some(2)),
        op(Delete, 1, b"a", b"", None),
        op(Insert, 1, b"a", b"3", None),
    ];
    assert_eq!(bench.native(&operations), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 0), Some((2, b"3".to_vec())));
    assert_eq!(read(&bench.store, b"a", 1), None);
    assert_eq!(bench.store.tally().records, 1);
}

#[test]
fn should_change_nothing_when_one_operation_cannot_be_done() {
    let mut bench = Bench::new(limits());
    bench.native(&[op(Insert, 1, b"a", b"1", None), op(Insert, 2, b"b", b"2", None)]);
    let (tally, digest) = (bench.store.tally(), bench.store.table_tally(1));
    let operations = [
        op(Put, 1, b"a", b"9", None),
        op(Put, 1, b"new", b"9", None),
        op(Put, 1, b"new", b"10", None),
        op(Delete, 2, b"b", b"", None),
        op(Modify, 1, b"none", b"", None),
    ];
    assert_eq!(bench.native(&operations), Outcome::Missing);
    assert_eq!((bench.store.tally(), bench.store.table_tally(1)), (tally, digest));
    assert_eq!(read(&bench.store, b"a", 0), Some((2, b"1".to_vec())));
    assert_eq!(read(&bench.store, b"new", 0), None);
    // What was undone is no obstacle.
    assert_eq!(bench.native(&operations[..4]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"new", 0), Some((4, b"10".to_vec())));
}

#[test]
fn should_count_a_deleted_record_until_the_horizon_has_passed_it() {
    let mut bench = Bench::new(Limits { records_max: 2, horizon_messages: 3, ..limits() });
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"", None), op(Put, 1, b"b", b"", None)]), Outcome::Applied);
    assert_eq!(bench.native(&[op(Put, 1, b"c", b"", None)]), Outcome::RecordsLimit);
    assert_eq!(bench.native(&[op(Delete, 1, b"a", b"", None)]), Outcome::Applied);
    // Deleted with message 4: counts up to message 7, whose own read of state 3 is the last.
    for _ in 0..3 {
        assert_eq!(bench.native(&[op(Put, 1, b"c", b"", None)]), Outcome::RecordsLimit);
    }
    assert_eq!(bench.native(&[op(Put, 1, b"c", b"", None)]), Outcome::Applied);
    assert_eq!(bench.store.tally().records, 2);
    // Writing what is there already needs no room.
    assert_eq!(bench.native(&[op(Put, 1, b"b", b"x", None)]), Outcome::Applied);
}

#[test]
fn should_hold_the_limit_of_bytes_at_the_end_of_a_transaction() {
    let mut bench = Bench::new(Limits { bytes_max: 10, ..limits() });
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"123456789", None)]), Outcome::Applied);
    assert_eq!(bench.native(&[op(Put, 1, b"b", b"", None)]), Outcome::BytesLimit);
    // More in between, not at the end.
    let shift = [op(Put, 1, b"b", b"12345", None), op(Put, 1, b"a", b"1", None)];
    assert_eq!(bench.native(&shift), Outcome::Applied);
    assert_eq!(bench.store.tally().bytes, 8);
    // A limit declared below what is there allows to shrink and nothing else.
    let message = bench.stream.declare(&declaration(Limits { bytes_max: 3, ..limits() }));
    assert_eq!(bench.apply(&message), Outcome::Applied);
    assert_eq!(bench.native(&[op(Put, 1, b"b", b"123456", None)]), Outcome::BytesLimit);
    assert_eq!(bench.native(&[op(Put, 1, b"b", b"1234", None)]), Outcome::Applied);
}

#[test]
fn should_refuse_reads_outside_of_what_can_be_read() {
    let mut bench = Bench::new(Limits { horizon_messages: 3, ..limits() });
    let reader = bench.store.reader();
    let mut buffer = ReadBuffer::new();
    bench.native(&[op(Put, 1, b"a", b"1", None)]);
    bench.idle(8);
    assert_eq!(reader.applied(), 10);
    let below = ReadError::BelowHorizon { as_of: 6, oldest: 7 };
    assert_eq!(reader.get(1, b"a", 6, &mut buffer), Err(below));
    assert_eq!(reader.get(1, b"a", 7, &mut buffer).unwrap().version, Some(2));
    let ahead = ReadError::AheadOfStream { as_of: 11, applied: 10 };
    assert_eq!(reader.get(1, b"a", 11, &mut buffer), Err(ahead));
    assert_eq!(reader.get(9, b"a", 0, &mut buffer), Err(ReadError::UnknownTable(9)));
    assert_eq!(reader.get(1, b"", 0, &mut buffer), Err(ReadError::KeyLength(0)));
    assert!(ahead.to_string().contains("11"));
}

#[test]
fn should_give_every_kind_of_message_its_outcome() {
    let mut stream = Stream::default();
    let mut store = store_for(limits(), 1);
    let client = Session::padded("CLIENT").unwrap();
    let mut apply = |message: (u64, Vec<u8>)| store.apply(message.0, &message.1).outcome();
    let mut send = |stream: &mut Stream, kind, reason, session, body: &[u8]| {
        let message = stream.message(session, kind, reason, body);
        apply((stream.sequence, message))
    };
    // Before a declaration no session is known.
    let block = transaction(&[op(Put, 1, b"a", b"", None)]);
    let none = Reason::None;
    assert_eq!(
        send(&mut stream, Kind::Transaction, none, Session::padded("EARLY").unwrap(), &block),
        Outcome::SessionsLimit
    );
    let declared = declaration(Limits { sessions_max: 1, ..limits() }).to_bytes();
    assert_eq!(send(&mut stream, Kind::Declare, none, Session::NODE, &declared), Outcome::Applied);
    assert_eq!(send(&mut stream, Kind::Transaction, none, client, &block), Outcome::Applied);
    assert_eq!(
        send(&mut stream, Kind::Transaction, none, Session::padded("OTHER").unwrap(), &block),
        Outcome::SessionsLimit
    );
    assert_eq!(send(&mut stream, Kind::Transaction, none, client, b"nonsense"), Outcome::Malformed);
    let void = Void::of(b"what it was");
    assert_eq!(send(&mut stream, Kind::Void, Reason::TooLong, client, void.as_bytes()), Outcome::TooLong);
    assert_eq!(
        send(&mut stream, Kind::Void, Reason::UnknownType, client, void.as_bytes()),
        Outcome::UnknownType
    );
    let skip = Skip::new(5, 5);
    assert_eq!(send(&mut stream, Kind::Skip, none, client, skip.as_bytes()), Outcome::Skipped);
    assert_eq!(send(&mut stream, Kind::EndOfSession, none, client, b""), Outcome::Applied);
    assert_eq!(send(&mut stream, Kind::EndOfStream, none, Session::NODE, b""), Outcome::Applied);
    assert_eq!(store.applied(), 10);
    // What a newer release declares is no outcome.
    let unreadable = stream.message(Session::NODE, Kind::Declare, none, b"nonsense");
    assert!(matches!(store.declaration_in(&unreadable), Some(Err(why)) if why.contains("upgrade this node")));
    assert!(store.sessions().get(&client).unwrap().ended());
}

#[test]
fn should_acknowledge_with_the_checksum_of_the_clients_block() {
    let mut stream = Stream::default();
    let mut store = store_for(limits(), 1);
    let message = stream.declare(&declaration(limits()));
    store.apply(1, &message);
    let block = transaction(&[op(Put, 1, b"a", b"", None)]);
    let message = stream.block("CLIENT", &block);
    let acknowledgement = store.apply(2, &message);
    assert_eq!(acknowledgement.session, Session::padded("CLIENT").unwrap());
    assert_eq!(
        (acknowledgement.client_sequence(), acknowledgement.checksum()),
        (1, gds_wire::checksum(&block))
    );
}

#[test]
fn should_add_tables_and_keep_the_seed_with_a_later_declaration() {
    let mut bench = Bench::new(limits());
    bench.native(&[op(Put, 1, b"a", b"1", None)]);
    let before = bench.store.digest();
    let mut later = declaration(Limits { index_seed: 99, ..limits() });
    later.tables = vec![TableDeclaration { table: 5, name: "late".parse().unwrap() }];
    later.schemas.clear();
    let message = bench.stream.declare(&later);
    assert_eq!(bench.apply(&message), Outcome::Applied);
    assert_ne!(bench.store.digest(), before);
    assert_eq!(bench.native(&[op(Put, 5, b"a", b"1", None)]), Outcome::Applied);
    assert_eq!(read(&bench.store, b"a", 0), Some((2, b"1".to_vec())));
    let declared = bench.store.declared().declaration().unwrap();
    assert_eq!((declared.limits.index_seed, declared.tables.len(), declared.schemas.len()), (7, 5, 1));
}

#[test]
#[should_panic(expected = "give it more memory or declare less")]
fn should_stop_when_more_is_declared_than_it_holds() {
    let mut bench = Bench::new(limits());
    let message = bench.stream.declare(&declaration(Limits { records_max: 1 << 30, ..limits() }));
    bench.apply(&message);
}

#[test]
#[should_panic(expected = "message 5 applied after message 1")]
fn should_insist_on_the_order_of_the_stream() {
    let mut bench = Bench::new(limits());
    bench.store.apply(5, b"");
}

#[test]
fn should_size_memory_without_overflow_for_any_declaration() {
    let huge = Limits { records_max: u64::MAX, bytes_max: u64::MAX, horizon_messages: u64::MAX, ..limits() };
    let capacity = StoreCapacity::for_declaration(&declaration(huge), &StoreConfig::default());
    assert_eq!(capacity.bytes(), usize::MAX);
    assert!(
        !StoreMemory::heap(&StoreCapacity { index_words: 300, log_words: 300 }).capacity().holds(&capacity)
    );
    let none = Limits { records_max: 0, bytes_max: 0, horizon_messages: 0, ..limits() };
    let mut bench = Bench::new(none);
    assert_eq!(bench.native(&[op(Put, 1, b"a", b"", None)]), Outcome::RecordsLimit);
    assert_eq!(bench.store.capacity().to_string(), "store: index 1 MiB, record log 1 MiB");
}

#[test]
fn should_publish_counts_and_digest_as_one() {
    let mut bench = Bench::new(limits());
    let reader = bench.store.reader();
    bench.native(&[op(Put, 1, b"a", b"12", None)]);
    bench.store.publish_status();
    let status = reader.status();
    assert_eq!((status.applied, status.records, status.bytes, status.live), (2, 1, 3, 1));
    assert_eq!(status.digest, bench.store.digest());
    assert_eq!(bench.store.counters().records.get(), 1);
}
