use super::super::words::HeapWords;
use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const SMALL: RingConfig = RingConfig { data_bytes: 4096, positions: 64 };

fn identity() -> RingIdentity {
    RingIdentity {
        stream: Session(*b"1404205200"),
        boot_id: *b"0123456789abcdef",
        directory: *b"fedcba9876543210",
    }
}

fn ring(config: RingConfig, first: u64) -> (SharedWords, Arc<Ring>) {
    let words = HeapWords::shared(Ring::words_needed(&config));
    let ring = Ring::create(Arc::clone(&words), config, identity(), first);
    (words, ring)
}

/// A message that says in every byte whose it is; its length follows from its number.
fn message(sequence: u64, length_max: usize) -> Vec<u8> {
    let mut random = Random::new(sequence);
    let length = random.below(length_max as u64 + 1) as usize;
    let mut bytes = vec![0; length];
    bytes.chunks_mut(8).for_each(|chunk| {
        let word = random.next_u64().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    });
    bytes
}

fn append(writer: &mut RingWriter, length_max: usize) -> u64 {
    let bytes = message(writer.next_sequence(), length_max);
    let (front, back) = bytes.split_at(bytes.len() / 3);
    writer.append(7, &[front, back])
}

/// Fills a ring far beyond its capacity, letting everything be overwritten.
fn fill(writer: &mut RingWriter, messages: u64, length_max: usize) {
    for _ in 0..messages {
        assert!(writer.room(u64::MAX) >= length_max);
        append(writer, length_max);
        writer.publish();
        writer.touch_next();
    }
}

fn assert_reads_back(ring: &Arc<Ring>, length_max: usize) {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let (first, last) = (ring.first(), ring.last());
    let mut reader = ring.reader(first);
    // Rings of these tests have one history each, from message 1 or from wherever they began.
    let mut before = ring.chain_of(first - 1);
    for sequence in first..=last {
        let expected = message(sequence, length_max);
        assert_eq!(reader.peek_length(last), Some(expected.len()));
        let read = reader.read(last, &mut buffer);
        let chain = ring.chain_of(sequence).expect("the ring has it");
        assert_eq!(read, Read::Message { sequence, epoch: 7, chain, length: expected.len() });
        assert!(before.is_none_or(|before| chain == chained(before, &expected)), "message {sequence}");
        before = Some(chain);
        assert_eq!(&buffer[..expected.len()], &expected[..]);
    }
    assert_eq!(before.unwrap_or_default(), ring.last_chain());
    assert_eq!(ring.chain_of(last + 1), None);
    assert_eq!(reader.read(u64::MAX, &mut buffer), Read::Empty);
}

#[test]
fn messages_come_out_in_order_once_published() {
    let (_, ring) = ring(SMALL, 1);
    let (mut writer, mut reader, mut buffer) = (ring.writer(), ring.reader(1), [0; 64]);
    let of_one = chained(0, b"abcdefghijk");
    assert_eq!((ring.first(), ring.last(), ring.last_chain()), (1, 0, 0));
    assert_eq!(writer.append(3, &[b"ab", b"", b"cdefghijk"]), 1);
    assert_eq!(reader.read(u64::MAX, &mut buffer), Read::Empty);
    assert_eq!(writer.append(4, &[]), 2);
    writer.publish();
    assert_eq!((ring.first(), ring.last(), writer.next_sequence()), (1, 2, 3));
    assert_eq!(reader.peek_length(1), Some(11));
    assert_eq!(reader.read(0, &mut buffer), Read::Empty);
    assert_eq!(reader.read(1, &mut buffer[..10]), Read::TooSmall { length: 11 });
    assert_eq!(reader.next_sequence(), 1);
    assert_eq!(
        reader.read(1, &mut buffer),
        Read::Message { sequence: 1, epoch: 3, chain: of_one, length: 11 }
    );
    assert_eq!(&buffer[..11], b"abcdefghijk");
    assert_eq!(reader.read(1, &mut buffer), Read::Empty);
    assert_eq!(
        reader.read(2, &mut buffer),
        Read::Message { sequence: 2, epoch: 4, chain: chained(of_one, b""), length: 0 }
    );
    assert_eq!((reader.read(9, &mut buffer), reader.peek_length(9)), (Read::Empty, None));
}

#[test]
fn a_stream_may_begin_anywhere() {
    let (_, ring) = ring(SMALL, 1_000_000);
    assert_eq!((ring.first(), ring.last()), (1_000_000, 999_999));
    fill(&mut ring.writer(), 500, 200);
    assert_eq!(ring.last(), 1_000_499);
    assert_reads_back(&ring, 200);
}

#[test]
fn a_reader_left_behind_is_told_and_stays_where_it_is() {
    let (_, ring) = ring(SMALL, 1);
    let (mut slow, mut buffer) = (ring.reader(1), vec![0; 4096]);
    let mut writer = ring.writer();
    fill(&mut writer, 2, 100);
    assert!(matches!(slow.read(9, &mut buffer), Read::Message { sequence: 1, .. }));
    fill(&mut writer, 1000, 100);
    for _ in 0..2 {
        assert_eq!(slow.read(u64::MAX, &mut buffer), Read::Overrun);
        assert_eq!((slow.peek_length(u64::MAX), slow.next_sequence()), (None, 2));
        assert!(slow.has_next(2));
    }
    slow.seek(ring.first());
    assert!(matches!(slow.read(u64::MAX, &mut buffer), Read::Message { .. }));
    slow.seek(0);
    assert_eq!(slow.read(u64::MAX, &mut buffer), Read::Overrun);
    slow.seek(5000);
    assert_eq!(slow.read(u64::MAX, &mut buffer), Read::Empty);
    assert!(ring.last() - ring.first() > 40, "the ring keeps most of what fits");
    assert_reads_back(&ring, 100);
}

#[test]
fn tiny_messages_are_bounded_by_positions() {
    let (_, ring) = ring(RingConfig { data_bytes: 1 << 16, positions: 16 }, 1);
    let mut writer = ring.writer();
    for _ in 0..16 {
        assert!(writer.room(0) > 0);
        writer.append(7, &[&message(writer.next_sequence(), 8)]);
    }
    assert_eq!(writer.room(u64::MAX), 0, "unpublished messages are never given up");
    writer.publish();
    assert_eq!(writer.room(0), 0);
    assert!(writer.room(1) > 0);
    writer.append(7, &[&message(17, 8)]);
    writer.publish();
    assert_eq!((writer.room(1), ring.first(), ring.last()), (0, 2, 17));
    assert_reads_back(&ring, 8);
}

#[test]
fn the_longest_message_fits() {
    let (_, ring) = ring(RingConfig { data_bytes: 1 << 18, positions: 64 }, 1);
    let (mut writer, mut buffer) = (ring.writer(), vec![0; MAX_MESSAGE_BYTES]);
    let longest: Vec<u8> = (0..MAX_MESSAGE_BYTES).map(|index| (index % 251) as u8).collect();
    let mut reader = ring.reader(1);
    for sequence in 1..20 {
        assert!(writer.room(sequence - 1) >= MAX_MESSAGE_BYTES);
        writer.append(1, &[&longest]);
        writer.publish();
        let read = reader.read(sequence, &mut buffer);
        assert!(matches!(read, Read::Message { epoch: 1, length: 65_536, .. }), "{read:?}");
        assert!(buffer == longest);
    }
    let mut too_long = longest.clone();
    too_long.push(0);
    assert!(catch_unwind(AssertUnwindSafe(|| writer.append(1, &[&too_long]))).is_err());
}

#[test]
fn as_many_messages_fit_as_there_is_said_to_be_room_for() {
    for (config, bytes) in [(SMALL, 8), (SMALL, 100), (RingConfig { positions: 8, ..SMALL }, 24)] {
        let (_, ring) = ring(config, 1);
        let mut writer = ring.writer();
        for gate in [0, 3, 5, 40, u64::MAX] {
            let room = writer.room_for(gate, bytes);
            for left in (0..room).rev() {
                assert!(writer.room(gate) >= bytes);
                writer.append(7, &[&vec![1; bytes]]);
                assert_eq!(writer.room_for(gate, bytes), left);
            }
            assert!(writer.room(gate) < bytes);
            writer.publish();
        }
    }
}

#[test]
fn appending_without_room_panics_and_a_second_writer_too() {
    let (_, ring) = ring(SMALL, 1);
    let mut writer = ring.writer();
    while writer.room(0) >= 100 {
        writer.append(1, &[&[1; 100]]);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| writer.append(1, &[&[1; 100]]))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| ring.writer())).is_err());
    drop(writer);
    assert_eq!(ring.writer().next_sequence(), 1, "what was not published went with its writer");
}

#[test]
fn another_writer_goes_on_behind_the_published() {
    let (_, ring) = ring(SMALL, 1);
    for round in 1..100 {
        let mut writer = ring.writer();
        fill(&mut writer, 3, 300);
        writer.room(u64::MAX);
        writer.append(9, &[&[0xEE; 77]]);
        drop(writer);
        assert_eq!(ring.last(), round * 3);
        assert_reads_back(&ring, 300);
    }
}

proptest! {
    #[test]
    fn nothing_above_the_gate_is_ever_overrun(
        seed in any::<u64>(), positions in 1u32..7, lag in 1u64..40, length_max in 1usize..400,
    ) {
        let (_, ring) = ring(RingConfig { data_bytes: 2048, positions: 1 << positions }, 1);
        let (mut writer, mut reader, mut buffer) = (ring.writer(), ring.reader(1), vec![0; 512]);
        let mut random = Random::new(seed);
        for _ in 0..400 {
            let gate = reader.next_sequence() - 1;
            for _ in 0..random.below(4) {
                if writer.room(gate) >= length_max {
                    append(&mut writer, length_max);
                }
            }
            writer.publish();
            let behind = random.below(lag);
            while ring.last() >= reader.next_sequence() + behind {
                let sequence = reader.next_sequence();
                let expected = message(sequence, length_max);
                let other = ring.reader(sequence).read(u64::MAX, &mut buffer);
                prop_assert_eq!(other, reader.read(u64::MAX, &mut buffer));
                let chain = ring.chain_of(sequence).expect("the ring has it");
                prop_assert_eq!(other, Read::Message { sequence, epoch: 7, chain, length: expected.len() });
                prop_assert_eq!(&buffer[..expected.len()], &expected[..]);
            }
        }
        prop_assert!(ring.last() > 10);
    }
}

#[test]
fn a_ring_survives_its_process() {
    let (words, old) = ring(SMALL, 5);
    let reopened = Ring::open(Arc::clone(&words)).unwrap();
    assert_eq!((reopened.first(), reopened.last(), reopened.identity()), (5, 4, identity()));
    let mut writer = old.writer();
    for round in 0..200 {
        fill(&mut writer, 1 + round % 7, 300);
        // Not published: must not count, and what it overwrote must not either.
        for _ in 0..round % 4 {
            writer.room(u64::MAX);
            append(&mut writer, 300);
        }
        let reopened = Ring::open(Arc::clone(&words)).unwrap();
        assert_eq!(reopened.last(), old.last());
        assert_eq!(reopened.config(), SMALL);
        assert!(reopened.first() <= reopened.last());
        assert_reads_back(&reopened, 300);
        writer = reopened.writer();
    }
}

#[test]
fn a_frame_half_written_costs_only_what_it_covers() {
    let (words, ring) = ring(SMALL, 1);
    let mut writer = ring.writer();
    fill(&mut writer, 300, 100);
    let (first, last) = (ring.first(), ring.last());
    // As if the process had died in the middle of its next append: under a claim, before publishing.
    let area = ring.parts();
    let end = area.header[END_AT].load(Relaxed);
    for word in 0..5 {
        area.span(end, 8).store(word, 0xDEAD_BEEF);
    }
    drop(writer);
    let reopened = Ring::open(words).unwrap();
    assert_eq!(reopened.last(), last);
    assert!(reopened.first() <= first + 3, "{first} became {}", reopened.first());
    assert_reads_back(&reopened, 100);
}

#[test]
fn words_that_are_no_ring_are_refused() {
    let open = |count: usize, set: &[(usize, u64)]| {
        let words = HeapWords::shared(count);
        let ring = Ring::create(HeapWords::shared(10_000), SMALL, identity(), 1);
        let whole = ring.words.words();
        for (word, from) in words.words().iter().zip(whole) {
            word.store(from.load(Relaxed), Relaxed);
        }
        set.iter().for_each(|&(index, value)| words.words()[index].store(value, Relaxed));
        Ring::open(words).map(|_| ())
    };
    let needed = Ring::words_needed(&SMALL);
    assert_eq!(open(needed, &[]), Ok(()));
    assert_eq!(open(needed + 4096, &[]), Ok(()));
    assert_eq!(open(0, &[]), Err(RingError::NotARing));
    assert_eq!(open(HEADER_WORDS - 1, &[]), Err(RingError::NotARing));
    assert_eq!(
        open(needed - 1, &[]),
        Err(RingError::Geometry { needed: needed as u64, there: needed as u64 - 1 })
    );
    assert_eq!(open(needed, &[(MAGIC_AT, 0)]), Err(RingError::NotARing));
    assert_eq!(open(needed, &[(VERSION_AT, 99)]), Err(RingError::Version { found: 99 }));
    assert_eq!(open(needed, &[(DATA_WORDS_AT, u64::MAX)]), Err(RingError::HeaderDamaged));
    assert_eq!(open(needed, &[(PUBLISHED_AT, 1)]), Err(RingError::EndDamaged { sequence: 1 }));
    assert_eq!(open(needed, &[(PUBLISHED_AT, u64::MAX)]), Err(RingError::EndDamaged { sequence: u64::MAX }));
    for error in [RingError::NotARing, RingError::HeaderDamaged, RingError::Version { found: 2 }] {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_header_with_a_right_checksum_and_absurd_sizes_is_refused() {
    for (index, value) in [
        (DATA_WORDS_AT, 0),
        (DATA_WORDS_AT, 7),
        (DATA_WORDS_AT, u64::MAX),
        (POSITIONS_AT, 0),
        (POSITIONS_AT, 3),
    ]
    .into_iter()
    .chain([(POSITIONS_AT, u64::MAX - 40), (FIRST_SEQUENCE_AT, 0), (FIRST_SEQUENCE_AT, u64::MAX)])
    {
        let (words, _) = ring(SMALL, 1);
        let mut fixed = fixed_words(&SMALL, &identity(), 1, 0);
        fixed[index] = value;
        fixed[CHECKSUM_AT] = u64::from(fixed_checksum(&fixed));
        for (word, value) in words.words().iter().zip(fixed) {
            word.store(value, Relaxed);
        }
        assert!(Ring::open(words).is_err(), "word {index} = {value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damage_is_never_believed(
        messages in 0u64..150,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), damaged_word()), 1..6),
    ) {
        let (words, ring) = ring(SMALL, 1);
        fill(&mut ring.writer(), messages, 200);
        for (place, in_front, value) in damage {
            let count = if in_front { HEADER_WORDS + SMALL.positions } else { words.words().len() };
            let word = &words.words()[place.index(count)];
            word.store(match value {
                Damage::Set(value) => value,
                Damage::Flip(bit) => word.load(Relaxed) ^ 1 << bit,
                Damage::Add(amount) => word.load(Relaxed).wrapping_add(amount as u64),
            }, Relaxed);
        }
        let Ok(opened) = Ring::open(words) else { return Ok(()) };
        prop_assert!(opened.last() <= messages && opened.first() <= opened.last() + 1);
        assert_reads_back(&opened, 200);
        let mut writer = opened.writer();
        fill(&mut writer, 100, 200);
        assert_reads_back(&opened, 200);
    }

    #[test]
    fn damage_under_a_reader_stops_it_and_no_more(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u64>()), 1..20),
        from in 0u64..200,
    ) {
        let (words, ring) = ring(SMALL, 1);
        fill(&mut ring.writer(), 150, 200);
        let (mut reader, mut buffer) = (ring.reader(from), vec![0; 300]);
        for (place, in_front, value) in damage {
            let count = if in_front { HEADER_WORDS + SMALL.positions } else { words.words().len() };
            words.words()[place.index(count)].store(value, Relaxed);
            reader.peek_length(u64::MAX);
            if reader.read(u64::MAX, &mut buffer) == Read::Overrun {
                reader.seek(ring.first());
            }
        }
    }

    #[test]
    fn garbage_is_no_ring(garbage in prop::collection::vec(any::<u64>(), 0..500), header in any::<bool>()) {
        let words = HeapWords::shared(garbage.len());
        words.words().iter().zip(&garbage).for_each(|(word, value)| word.store(*value, Relaxed));
        if header {
            // The header of a ring as large as can be here, and garbage behind it.
            let config = RingConfig { data_bytes: 1024, positions: 16 };
            words.words().iter().zip(fixed_words(&config, &identity(), 1, 0)).for_each(|(word, value)| word.store(value, Relaxed));
            if let Some(published) = words.words().get(PUBLISHED_AT) {
                published.store(garbage[PUBLISHED_AT] % 100 + 1, Relaxed);
            }
        }
        prop_assert!(Ring::open(words).is_err());
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Set(u64),
    Flip(u32),
    Add(i64),
}

fn damaged_word() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<u64>().prop_map(Damage::Set),
        (0u64..5000).prop_map(Damage::Set),
        (0u32..64).prop_map(Damage::Flip),
        (-64i64..64).prop_map(Damage::Add),
    ]
}

#[test]
fn readers_on_other_threads_never_see_a_torn_message() {
    const MESSAGES: u64 = 100_000;
    let (_, ring) = ring(RingConfig { data_bytes: 1 << 14, positions: 128 }, 1);
    let read_all = |ring: Arc<Ring>| {
        let (mut reader, mut buffer, mut overruns, mut seen) = (ring.reader(1), vec![0; 512], 0u64, 0u64);
        while reader.next_sequence() <= MESSAGES {
            match reader.read(u64::MAX, &mut buffer) {
                Read::Message { sequence, epoch, length, .. } => {
                    assert_eq!(buffer[..length], message(sequence, 300), "message {sequence}");
                    assert_eq!(epoch, 7);
                    seen += 1;
                }
                Read::Empty => std::thread::yield_now(),
                Read::Overrun => {
                    overruns += 1;
                    reader.seek(ring.first().max(reader.next_sequence() + 1));
                }
                Read::TooSmall { length } => panic!("a length of {length} was believed"),
            }
        }
        (seen, overruns)
    };
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let ring = Arc::clone(&ring);
            std::thread::spawn(move || read_all(ring))
        })
        .collect();
    let mut writer = ring.writer();
    while writer.next_sequence() <= MESSAGES {
        for _ in 0..1 + writer.next_sequence() % 5 {
            assert!(writer.room(u64::MAX) >= 300);
            append(&mut writer, 300);
        }
        writer.publish();
        if writer.next_sequence() % 64 == 0 {
            std::thread::yield_now();
        }
    }
    for thread in threads {
        let (seen, overruns) = thread.join().unwrap();
        println!("{seen} messages read, {overruns} overruns");
        assert!(seen > 0);
    }
}

#[test]
fn a_ring_is_cut_anywhere_and_goes_on_there() {
    for cut_after in 0..=210 {
        for reopened in [false, true] {
            let (words, mut ring) = ring(SMALL, 1);
            fill(&mut ring.writer(), 200, 150);
            if reopened {
                ring = Ring::open(words.clone()).expect("a whole ring");
            }
            let first = ring.first();
            assert!(first > 1 && ring.last() == 200);
            let chain = ring.chain_of(cut_after).unwrap_or(77);
            let cut = ring.cut(cut_after, chain);
            let last = cut_after.min(200);
            let kept_from = if cut_after < first { cut_after + 1 } else { first };
            assert_eq!((cut.first(), cut.last()), (kept_from, last));
            assert!(cut.last_chain() == chain || cut_after > 200);
            assert_reads_back(&cut, 150);
            let opened = Ring::open(words).expect("as whole as before");
            // What was claimed and not yet overwritten is back.
            assert!(opened.first() <= kept_from && opened.last() == last);
            assert_reads_back(&opened, 150);
            let mut writer = opened.writer();
            assert_eq!(writer.next_sequence(), last + 1);
            fill(&mut writer, 300, 150);
            assert_reads_back(&opened, 150);
        }
    }
}

#[test]
fn a_ring_cut_by_a_process_that_dies_at_any_store_is_whole() {
    // Whatever else of the cut is done, the published number alone decides.
    let (words, ring) = ring(SMALL, 1);
    fill(&mut ring.writer(), 200, 150);
    let (first, after) = (ring.first(), 195);
    drop(ring);
    words.words()[PUBLISHED_AT].store(after, Relaxed);
    let opened = Ring::open(words).expect("a whole ring");
    assert!(opened.first() <= first && opened.last() == after);
    assert_reads_back(&opened, 150);
}

#[test]
#[should_panic = "before it has a writer or readers"]
fn a_ring_with_readers_is_not_cut() {
    let (_, ring) = ring(SMALL, 1);
    fill(&mut ring.writer(), 10, 8);
    let _reader = ring.reader(1);
    let _ = ring.cut(5, 0);
}
