//! Interleavings of one writer and one reader, explored by loom. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p gds-core --release --lib models`.
use super::super::words::HeapWords;
use super::*;

/// Two frames of three words each, two positions: the third message overwrites the first.
const TINY: RingConfig = RingConfig { data_bytes: 128, positions: 2 };
const BYTES: usize = 24;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn bytes(sequence: u64) -> [u8; BYTES] {
    [sequence as u8; BYTES]
}

fn append(writer: &mut RingWriter, gate: u64) {
    assert!(writer.room(gate) >= BYTES);
    let sequence = writer.next_sequence();
    writer.append(sequence as u32, &[&bytes(sequence)]);
}

fn ring() -> Arc<Ring> {
    let identity = RingIdentity { stream: Session(*b"1404205200"), boot_id: [0; 16], directory: [0; 16] };
    Ring::create(HeapWords::shared(Ring::words_needed(&TINY)), TINY, identity, 1)
}

/// Reads once: whatever comes is whole.
fn read(reader: &mut RingReader) -> Read {
    let (mut buffer, sequence) = ([0; BYTES], reader.next_sequence());
    let read = reader.read(u64::MAX, &mut buffer);
    match read {
        Read::Message { length, chain, .. } => {
            let epoch = sequence as u32;
            assert_eq!(read, Read::Message { sequence, epoch, chain, length: BYTES });
            assert_eq!((length, buffer), (BYTES, bytes(sequence)), "a torn message was accepted");
        }
        Read::Empty | Read::Overrun => {}
        Read::TooSmall { length } => panic!("a torn length of {length} was believed"),
    }
    read
}

#[test]
fn a_message_is_whole_or_overrun() {
    explore(|| {
        let ring = ring();
        let mut writer = ring.writer();
        append(&mut writer, 0);
        append(&mut writer, 0);
        writer.publish();
        let mut reader = ring.reader(1);
        let thread = loom::thread::spawn(move || {
            append(&mut writer, 1);
            writer.publish();
        });
        assert_ne!(read(&mut reader), Read::Empty);
        thread.join().unwrap();
        let mut late = ring.reader(1);
        assert_eq!(read(&mut late), Read::Overrun);
        late.seek(3);
        assert!(matches!(read(&mut late), Read::Message { .. }));
    });
}

#[test]
fn published_messages_are_seen_whole_and_in_order() {
    explore(|| {
        let ring = ring();
        let mut writer = ring.writer();
        let thread = loom::thread::spawn(move || {
            append(&mut writer, 0);
            writer.publish();
            append(&mut writer, 0);
            writer.publish();
        });
        let mut reader = ring.reader(1);
        for _ in 0..2 {
            assert_ne!(read(&mut reader), Read::Overrun);
        }
        thread.join().unwrap();
        while reader.next_sequence() <= 2 {
            assert!(matches!(read(&mut reader), Read::Message { .. }));
        }
    });
}

#[test]
fn a_reused_position_is_not_believed() {
    explore(|| {
        let ring = ring();
        let mut writer = ring.writer();
        append(&mut writer, 0);
        append(&mut writer, 0);
        writer.publish();
        let reading = Arc::clone(&ring);
        let thread = loom::thread::spawn(move || {
            append(&mut writer, 1);
            writer.publish();
        });
        // Looks the position up: its entry becomes that of message 3 meanwhile.
        let found = reading.parts().locate(1);
        assert!(found.is_none() || found == Some(0));
        thread.join().unwrap();
    });
}
