use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::captures;

#[test]
fn should_take_records_from_the_front() {
    assert_eq!(next_record(b"\0\x02ab\0\x01"), Record::Message(b"ab", 4));
    assert_eq!(next_record(b"\0\0rest"), Record::EndOfSession);
    for cut in [&b""[..], b"\0", b"\0\x02", b"\0\x02a"] {
        assert_eq!(next_record(cut), Record::NeedMore);
    }
}

#[test]
fn should_write_no_record_that_cannot_be_read() {
    let mut into = [9; 8];
    assert_eq!(write_record(b"", &mut into), None);
    assert_eq!(write_record(&[0; 7], &mut into), None);
    assert_eq!(write_record(&[0; 65_536], &mut vec![0; 70_000]), None);
    assert_eq!(into, [9; 8]);
    assert_eq!(write_record(b"abc", &mut into), Some(5));
    assert_eq!(into, *b"\0\x03abc\x09\x09\x09");
}

#[test]
fn should_tell_a_complete_session_from_a_boundary_and_a_cut() {
    let mut ended = Records::new(b"\0\x01a\0\0tail");
    assert_eq!(ended.by_ref().collect::<Vec<_>>(), [Ok(&b"a"[..])]);
    assert_eq!((ended.ended(), ended.offset()), (true, 5));
    let mut open = Records::new(b"\0\x01a");
    assert_eq!(open.by_ref().count(), 1);
    assert!(!open.ended());
    let cut = Records::new(b"\0\x01a\0\x05bc").collect::<Vec<_>>();
    assert_eq!(cut, [Ok(&b"a"[..]), Err(CutRecord { offset: 3, bytes: 4 })]);
}

#[test]
fn should_read_a_real_day_of_one_stock() {
    let Some(bytes) = captures::read("itch/locate-13-10k.bin") else { return };
    let mut counts = BTreeMap::new();
    for message in Records::new(&bytes) {
        let message = crate::itch::parse(message.unwrap()).unwrap();
        *counts.entry(char::from(message.prefix().kind)).or_insert(0) += 1;
    }
    let expected = [
        ('A', 4758),
        ('D', 4083),
        ('E', 849),
        ('F', 2),
        ('H', 1),
        ('L', 52),
        ('P', 240),
        ('R', 1),
        ('U', 7),
        ('X', 6),
        ('Y', 1),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn should_report_where_a_real_file_is_cut() {
    let Some(bytes) = captures::read("itch/cut-mid-record.itch") else { return };
    let records: Vec<_> = Records::new(&bytes).collect();
    let (last, whole) = records.split_last().unwrap();
    assert_eq!(whole.len(), 101);
    assert!(whole.iter().all(|message| crate::itch::parse(message.unwrap()).is_ok()));
    assert_eq!(*last, Err(CutRecord { offset: bytes.len() as u64 - 15, bytes: 15 }));
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 0..20)) {
        let mut file = vec![0; 2000];
        let mut used = 0;
        for message in &messages {
            used += write_record(message, &mut file[used..]).unwrap();
        }
        file.truncate(used);
        file.extend(END_RECORD);
        let read: Vec<_> = Records::new(&file).map(|message| message.unwrap().to_vec()).collect();
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn should_never_panic_on_bytes(bytes in prop::collection::vec(prop_oneof![3 => 0..3_u8, 1 => any::<u8>()], 0..80)) {
        let mut records = Records::new(&bytes);
        let _ = records.by_ref().count();
        prop_assert!(records.ended() || records.offset() == bytes.len());
    }
}
