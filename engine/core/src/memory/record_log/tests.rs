use super::super::words::HeapWords;
use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic;

fn log(capacity_bytes: usize) -> Arc<RecordLog> {
    let config = RecordLogConfig { capacity_bytes };
    RecordLog::create(HeapWords::shared(RecordLog::words_needed(&config)), config)
}

/// Key and value that follow from a version.
fn content(version: u64, key_max: u64, value_max: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(version);
    let key = (0..1 + random.below(key_max)).map(|_| random.next_u64() as u8).collect();
    let value = (0..random.below(value_max + 1)).map(|_| random.next_u64() as u8).collect();
    (key, value)
}

fn fate(version: u64) -> Fate {
    match version % 3 {
        0 => Fate::Replaced { by: version + 1 },
        _ => Fate::Current { digest: u128::from(version) << 60 },
    }
}

fn append(writer: &mut RecordLogWriter, version: u64, previous: Option<u64>) -> Option<u64> {
    let (key, value) = content(version, 30, 300);
    writer.append(&RecordVersion {
        version,
        previous,
        table: version as u16,
        generation: !version as u16,
        key: &key,
        value: &value,
        fate: fate(version),
        ..Default::default()
    })
}

fn assert_is(log: &RecordLog, position: u64, version: u64, previous: Option<u64>) {
    let (key, value) = content(version, 30, 300);
    let mut buffer = RecordBuf::new();
    let header = log.read(position, &mut buffer).unwrap();
    let expected = RecordHeader {
        version,
        previous,
        tombstone: false,
        note: 0,
        table: version as u16,
        generation: !version as u16,
        key_length: key.len(),
        value_length: value.len(),
        fate: fate(version),
    };
    assert_eq!(header, expected);
    assert_eq!((buffer.key(), buffer.value()), (&key[..], &value[..]));
    assert_eq!(log.header(position), Ok(expected));
    let is_of = |table, generation, key: &[u8]| log.view().is_of(position, table, generation, key);
    let (table, generation) = (version as u16, !version as u16);
    assert_eq!(is_of(table, generation, &key), Ok(true));
    assert_eq!(is_of(table ^ 1, generation, &key), Ok(false));
    assert_eq!(is_of(table, generation ^ 1, &key), Ok(false));
    assert_eq!(is_of(table, generation, &key[1..]), Ok(false));
    assert_eq!(is_of(table, generation, &[&key[..], &[0]].concat()), Ok(false));
    assert_eq!(is_of(table, generation, &key.iter().map(|byte| !byte).collect::<Vec<_>>()), Ok(false));
    let mut own = [0xAA; 400];
    assert_eq!(log.read_value(position, &mut own), Ok(expected));
    assert_eq!(own[..value.len()], value);
    assert!(own[value.len()..].iter().all(|&byte| byte == 0xAA));
    let mut short = vec![0; value.len() / 2];
    assert_eq!(log.read_value(position, &mut short), Ok(expected));
    assert_eq!(short[..], value[..value.len() / 2]);
}

#[test]
fn a_record_comes_back_with_all_it_says() {
    let log = log(4096);
    let mut writer = log.writer();
    assert_eq!((log.head(), log.tail(), log.used_bytes()), (0, 0, 0));
    let first = writer
        .append(&RecordVersion {
            version: 1,
            table: 2,
            generation: 3,
            key: b"key",
            value: b"a value",
            ..Default::default()
        })
        .unwrap();
    let second = writer
        .append(&RecordVersion {
            version: 9,
            previous: Some(first),
            tombstone: true,
            note: 0xA5,
            key: b"key",
            ..Default::default()
        })
        .unwrap();
    let mut buffer = RecordBuf::new();
    let header = log.read(first, &mut buffer).unwrap();
    assert_eq!((buffer.key(), buffer.value()), (&b"key"[..], &b"a value"[..]));
    assert_eq!((header.previous, header.tombstone, header.note, header.bytes()), (None, false, 0, 56));
    let header = log.read(second, &mut buffer).unwrap();
    assert_eq!(
        (header.previous, header.tombstone, header.note, header.bytes()),
        (Some(first), true, 0xA5, 48)
    );
    assert_eq!((buffer.key(), buffer.value()), (&b"key"[..], &b""[..]));
    assert_eq!((log.next(first), log.next(second)), (Ok(Some(second)), Ok(None)));
    for fate in [Fate::Replaced { by: 10 }, Fate::Current { digest: u128::MAX - 5 }] {
        writer.set_fate(second, fate);
        let header = log.header(second).unwrap();
        assert_eq!((header.fate, header.version), (fate, 9));
        assert_eq!((header.previous, header.tombstone, header.note), (Some(first), true, 0xA5));
    }
    log.view().prefetch(&[first, second]);
    log.view().prefetch_values(&[first, second, 4096]);
    let header = log.view().read_key(first, &mut buffer).unwrap();
    assert_eq!((buffer.key(), buffer.value(), header.value_length), (&b"key"[..], &b""[..], 7));
    assert_eq!((log.head(), writer.head(), log.used_bytes()), (104, 104, 104));
    assert_eq!(log.header(104), Err(Reclaimed), "nothing is there yet");
    assert_eq!(log.position(RecordLog::address(second)), second);
}

#[test]
fn the_longest_record_fits() {
    let (key, value) = (vec![7; KEY_BYTES_MAX], vec![9; VALUE_BYTES_MAX]);
    let bytes = RecordLog::record_bytes(key.len(), value.len());
    let log = log(bytes);
    let mut writer = log.writer();
    let record = RecordVersion { version: 1, key: &key, value: &value, ..Default::default() };
    for lap in 0..3 {
        assert_eq!(writer.append(&record), Some(lap * bytes as u64));
        assert_eq!(writer.append(&record), None);
        let mut buffer = RecordBuf::new();
        log.read(lap * bytes as u64, &mut buffer).unwrap();
        assert!(buffer.key() == key && buffer.value() == value);
        writer.advance_tail(writer.head());
    }
    let long = vec![0; VALUE_BYTES_MAX + 1];
    let too_long = RecordVersion { value: &long, ..record };
    assert!(catch_unwind(AssertUnwindSafe(|| writer.append(&too_long))).is_err());
}

#[test]
fn a_copy_says_the_same_but_for_link_and_note() {
    let log = log(1000);
    let mut writer = log.writer();
    let mut kept = append(&mut writer, 1, None).unwrap();
    for lap in 0..20 {
        let front = writer.append(&RecordVersion::default()).unwrap();
        let before = log.header(kept).unwrap();
        let copy = writer.append_copy(kept, Some(front), lap).unwrap();
        assert_eq!(log.header(copy).unwrap(), RecordHeader { previous: Some(front), note: lap, ..before });
        writer.advance_tail(copy);
        kept = writer.append_copy(copy, None, 0).unwrap();
        assert_is(&log, kept, 1, None);
        writer.advance_tail(kept);
    }
    while writer.append_copy(kept, None, 0).is_some() {}
    assert!(writer.room_bytes() < log.header(kept).unwrap().bytes());
}

proptest! {
    #[test]
    fn remainders_are_exact(divisor in 1usize..1 << 47, small in 1usize..100, dividend in 0u64..1 << 61, near in 0u64..1 << 14) {
        for divisor in [divisor, small, 1 << (small % 47)] {
            let modulus = Modulus::new(divisor);
            let divisor = divisor as u64;
            let whole = dividend / divisor * divisor;
            for dividend in [dividend, whole, whole.saturating_sub(1), (1 << 61) - 1 - near, near] {
                prop_assert_eq!(modulus.remainder(dividend), dividend % divisor);
            }
        }
    }
}

#[test]
fn addresses_go_round_and_positions_do_not() {
    let turn = 1u64 << 51;
    assert_eq!(RecordLog::address(turn + 64), 8);
    assert_eq!(position_before(turn + 128, RecordLog::address(turn + 64)), turn + 64);
    assert_eq!(position_before(turn + 8, RecordLog::address(turn - 16)), turn - 16);
    assert_eq!(position_before(3 * turn, 0), 3 * turn);
    assert_eq!(position_before(64, 8), 64);
    assert_eq!(position_before(64, 9), 0, "an address that was never given out does not overflow");
}

#[test]
fn programmer_errors_panic() {
    let log = log(256);
    let mut writer = log.writer();
    let record = RecordVersion { key: b"k", ..Default::default() };
    writer.append(&record).unwrap();
    let fails = |attempt: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
    fails(&mut || drop(log.writer()));
    fails(&mut || writer.advance_tail(56));
    fails(&mut || writer.set_fate(48, Fate::default()));
    fails(&mut || assert_ne!(writer.append(&RecordVersion { previous: Some(48), ..record }), None));
    writer.advance_tail(48);
    fails(&mut || writer.advance_tail(0));
    drop(writer);
    let writer = log.writer();
    assert_eq!((writer.head(), writer.tail()), (48, 48));
}

proptest! {
    #[test]
    fn what_is_kept_is_whole_and_what_is_not_is_said_so(seed in any::<u64>(), capacity in 450usize..3000) {
        let log = log(capacity);
        let mut writer = log.writer();
        let mut kept: VecDeque<(u64, u64, Option<u64>)> = VecDeque::new();
        let mut random = Random::new(seed);
        for version in 1..300 {
            let previous = (!kept.is_empty() && random.chance(1, 2)).then(|| kept[random.below(kept.len() as u64) as usize].0);
            loop {
                if let Some(position) = append(&mut writer, version, previous) {
                    kept.push_back((position, version, previous));
                    break;
                }
                let gone = kept.pop_front().unwrap().0;
                writer.advance_tail(kept.front().map_or(writer.head(), |next| next.0));
                prop_assert_eq!(log.header(gone), Err(Reclaimed));
                prop_assert_eq!(log.next(gone), Err(Reclaimed));
                prop_assert_eq!(log.read(gone, &mut RecordBuf::new()), Err(Reclaimed));
            }
            prop_assert!(log.used_bytes() <= log.capacity_bytes());
        }
        let mut walk = Some(log.tail());
        for (position, version, previous) in kept {
            prop_assert_eq!(walk, Some(position));
            assert_is(&log, position, version, previous);
            prop_assert_eq!(log.position(RecordLog::address(position)), position);
            walk = log.next(position).unwrap();
        }
        prop_assert_eq!(walk, None);
    }
}

#[test]
fn readers_on_other_threads_never_see_a_torn_record() {
    const VERSIONS: u64 = 100_000;
    let log = log(8000);
    // Position and version of some record, written together under a lock: how the reader learns it is not
    // what is tested.
    let newest = Arc::new(std::sync::Mutex::new((0, 0)));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (log, newest, stop) = (Arc::clone(&log), Arc::clone(&newest), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut whole, mut reclaimed, mut buffer) = (0u64, 0u64, RecordBuf::new());
                while !stop.load(atomic::Ordering::Relaxed) {
                    let (mut position, mut version) = *newest.lock().unwrap();
                    // From there towards the head, with the writer close behind.
                    while version > 0 {
                        let Ok(header) = log.read(position, &mut buffer) else {
                            reclaimed += 1;
                            break;
                        };
                        let (key, value) = content(version, 30, 300);
                        assert_eq!(header.version, version);
                        assert_eq!((buffer.key(), buffer.value()), (&key[..], &value[..]));
                        whole += 1;
                        match log.next(position) {
                            Ok(Some(next)) => (position, version) = (next, version + 1),
                            _ => break,
                        }
                    }
                }
                (whole, reclaimed)
            })
        })
        .collect();
    let mut writer = log.writer();
    for version in 1..=VERSIONS {
        let position = loop {
            if let Some(position) = append(&mut writer, version, None) {
                break position;
            }
            let next = log.next(writer.tail()).unwrap();
            writer.advance_tail(next.unwrap_or(writer.head()));
        };
        if version % 20 == 0 {
            *newest.lock().unwrap() = (position, version);
        }
        if version % 128 == 0 {
            std::thread::yield_now();
        }
    }
    stop.store(true, atomic::Ordering::Relaxed);
    for thread in threads {
        let (whole, reclaimed) = thread.join().unwrap();
        println!("{whole} records read, {reclaimed} reclaimed");
        assert!(whole > 0);
    }
}
