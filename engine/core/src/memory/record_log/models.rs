//! Interleavings of a read and of the reclaim of what it reads, explored by loom. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p gds-core --release --lib models`.
use super::super::words::HeapWords;
use super::*;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A log of exactly one record; version, table, key and value all say the same.
fn log() -> (Arc<RecordLog>, RecordLogWriter) {
    let config = RecordLogConfig { capacity_bytes: 48 };
    let log = RecordLog::create(HeapWords::shared(RecordLog::words_needed(&config)), config);
    let mut writer = log.writer();
    append(&mut writer, 1).unwrap();
    (log, writer)
}

fn append(writer: &mut RecordLogWriter, version: u8) -> Option<u64> {
    writer.append(&RecordVersion {
        version: u64::from(version),
        table: u16::from(version),
        key: &[version; 1],
        value: &[version; 7],
        ..Default::default()
    })
}

#[test]
fn a_record_is_whole_or_reclaimed() {
    explore(|| {
        let (log, mut writer) = log();
        let thread = loom::thread::spawn(move || {
            assert_eq!(append(&mut writer, 2), None);
            writer.advance_tail(48);
            assert_eq!(append(&mut writer, 2), Some(48));
        });
        let mut value = [0; 7];
        match log.read_value(0, &mut value) {
            Ok(header) => assert_eq!(
                (header.version, header.table, value),
                (1, 1, [1; 7]),
                "a torn record was accepted"
            ),
            Err(Reclaimed) => assert_eq!(log.tail(), 48),
        }
        thread.join().unwrap();
        assert_eq!(log.header(0), Err(Reclaimed));
    });
}

#[test]
fn a_key_is_compared_with_a_whole_record_or_not_at_all() {
    explore(|| {
        let (log, mut writer) = log();
        let thread = loom::thread::spawn(move || {
            writer.advance_tail(48);
            append(&mut writer, 2);
        });
        if let Ok(same) = log.view().is_of(0, 1, 0, &[1]) {
            assert!(same);
        }
        if let Ok(same) = log.view().is_of(48, 2, 0, &[2]) {
            assert!(same);
        }
        thread.join().unwrap();
    });
}
