use proptest::prelude::*;

use super::*;

fn operation<'a>(kind: OperationKind, key: &'a [u8], value: &'a [u8]) -> Operation<'a> {
    Operation { kind, table: 1, key, value, expected: None }
}

fn build(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut buffer = vec![0; 100_000];
    let mut builder = TransactionBuilder::new(&mut buffer);
    for operation in operations {
        builder.push(operation).unwrap();
    }
    let length = builder.finish();
    buffer.truncate(length);
    buffer
}

#[test]
fn should_lay_out_the_fields_in_order() {
    let put =
        Operation { kind: OperationKind::Put, table: 0x0102, key: b"k", value: b"vw", expected: Some(9) };
    let bytes = build(&[put]);
    assert_eq!(bytes, b"T\x01P\x01\x01\x02\0\x02\0\0\0\0\0\0\0\0\0\x09kvw");
    let transaction = Transaction::parse(&bytes).unwrap();
    assert_eq!((transaction.count(), transaction.operations().next()), (1, Some(put)));
}

#[test]
fn should_tell_any_version_from_no_record() {
    let mut check = operation(OperationKind::Check, b"k", b"");
    let any = build(&[check]);
    assert_eq!(any[10..18], [0xFF; 8]);
    assert_eq!(Transaction::parse(&any).unwrap().operations().next().unwrap().expected, None);
    check.expected = Some(0);
    let none = build(&[check]);
    assert_eq!(Transaction::parse(&none).unwrap().operations().next().unwrap().expected, Some(0));
}

#[test]
fn should_refuse_every_cut_and_every_addition() {
    let bytes = build(&[
        operation(OperationKind::Insert, b"key", b"value"),
        operation(OperationKind::Delete, b"other", b""),
    ]);
    assert_eq!(Transaction::parse(&bytes).unwrap().operations().count(), 2);
    for length in 0..bytes.len() {
        let error = Transaction::parse(&bytes[..length]).unwrap_err();
        let expected = match length {
            0..2 => TransactionError::Header,
            2..26 => TransactionError::Truncated { operation: 0 },
            _ => TransactionError::Truncated { operation: 1 },
        };
        assert_eq!(error, expected, "{length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Transaction::parse(&longer).unwrap_err(), TransactionError::TrailingBytes(1));
}

#[test]
fn should_refuse_fields_out_of_their_range() {
    let good = build(&[operation(OperationKind::Put, b"k", b"v")]);
    let with = |offset: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[offset] = byte;
        Transaction::parse(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(0, b'X'), TransactionError::Header);
    assert_eq!(with(1, 0), TransactionError::OperationCount(0));
    assert_eq!(with(1, 65), TransactionError::OperationCount(65));
    assert_eq!(with(2, b'Q'), TransactionError::UnknownKind { operation: 0, kind: b'Q' });
    assert_eq!(with(3, 0), TransactionError::KeyLength { operation: 0, length: 0 });
    assert_eq!(with(9, 1), TransactionError::Reserved { operation: 0 });
    assert_eq!(with(2, b'D'), TransactionError::ValueLength { operation: 0, length: 1 });
    assert_eq!(with(2, b'C'), TransactionError::ValueLength { operation: 0, length: 1 });
}

#[test]
fn should_change_nothing_when_an_operation_cannot_be_added() {
    let mut buffer = [0; 40];
    let mut builder = TransactionBuilder::new(&mut buffer);
    builder.push(&operation(OperationKind::Put, b"k", b"v")).unwrap();
    let long = [0; 256];
    let mut refused = |operation: &Operation<'_>| builder.push(operation).unwrap_err();
    let room = TransactionError::NoRoom { operation: 1, needed: 21, room: 20 };
    assert_eq!(refused(&operation(OperationKind::Put, b"key", b"ab")), room);
    let key = TransactionError::KeyLength { operation: 1, length: 256 };
    assert_eq!(refused(&operation(OperationKind::Put, &long, b"")), key);
    let value = TransactionError::ValueLength { operation: 1, length: 1 };
    assert_eq!(refused(&operation(OperationKind::Delete, b"k", b"v")), value);
    let expected = Operation { expected: Some(u64::MAX), ..operation(OperationKind::Put, b"k", b"") };
    assert_eq!(refused(&expected), TransactionError::ExpectedVersion { operation: 1 });
    assert_eq!(builder.count(), 1);
    assert_eq!(builder.finish(), 20);
    assert_eq!(Transaction::parse(&buffer[..20]).unwrap().count(), 1);
}

#[test]
fn should_hold_at_most_sixty_four_operations() {
    let mut buffer = [0; 4096];
    let mut builder = TransactionBuilder::new(&mut buffer);
    for _ in 0..MAX_OPERATIONS {
        builder.push(&operation(OperationKind::Check, b"k", b"")).unwrap();
    }
    let error = builder.push(&operation(OperationKind::Check, b"k", b"")).unwrap_err();
    assert_eq!(error, TransactionError::OperationCount(65));
    let length = builder.finish();
    assert_eq!(Transaction::parse(&buffer[..length]).unwrap().operations().count(), 64);
}

type Owned = (u8, u16, Vec<u8>, Vec<u8>, Option<u64>);

fn any_operation() -> impl Strategy<Value = Owned> {
    let key = prop::collection::vec(any::<u8>(), 1..=255);
    let value = prop::collection::vec(any::<u8>(), 0..100);
    let expected = prop::option::of(0..u64::MAX);
    (prop::sample::select(&b"IMPDC"[..]), any::<u16>(), key, value, expected)
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(operations in prop::collection::vec(any_operation(), 1..=64)) {
        let operations: Vec<_> = operations
            .iter()
            .map(|(kind, table, key, value, expected)| {
                let kind = OperationKind::from_u8(*kind).unwrap();
                let value = if kind.has_value() { &value[..] } else { &[] };
                Operation { kind, table: *table, key, value, expected: *expected }
            })
            .collect();
        let bytes = build(&operations);
        let read: Vec<_> = Transaction::parse(&bytes).unwrap().operations().collect();
        prop_assert_eq!(read, operations);
    }

    #[test]
    fn should_never_panic_on_bytes(mut bytes in prop::collection::vec(0..4_u8, 2..80), kind in any::<u8>()) {
        bytes[0] = b'T';
        if bytes.len() > 10 {
            bytes[2] = if kind < 128 { kind } else { b"IMPDC"[usize::from(kind % 5)] };
            bytes[6] = 0;
            bytes[8] = 0;
            bytes[9] = 0;
        }
        if let Ok(transaction) = Transaction::parse(&bytes) {
            prop_assert_eq!(transaction.operations().count(), transaction.count());
        }
    }

    #[test]
    fn should_never_panic_on_noise(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Transaction::parse(&bytes);
    }
}
