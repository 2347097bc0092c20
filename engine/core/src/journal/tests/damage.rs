//! What is damage, what is a torn tail, and what is refused.
use super::*;

#[test]
fn should_call_damage_below_the_durable_number_damage_and_change_nothing() {
    for sequence in 1..20 {
        let mut bench = fsync_journal(20);
        let (segment, offset, length) = place_of(&mut bench.disk, sequence);
        for byte in [0, 5, 24, 36, 63, 100, length as u64 - 1] {
            let bit = (offset + byte) * 8 + 3;
            bench.disk.flip(segment, bit);
            let before = bench.disk.image();
            let error = recover(&mut bench.disk, Some(stream()), 0, &mut |_| {}).unwrap_err();
            let JournalError::Damage(damage) = error else { panic!("{error}") };
            assert_eq!((damage.position, damage.sequence), (Position { segment, offset }, sequence));
            assert_eq!(damage.file, format!("segment {segment}"));
            assert!(bench.disk.image() == before);
            bench.disk.flip(segment, bit);
        }
    }
}

#[test]
fn should_cut_back_the_last_group_when_nothing_says_it_was_durable() {
    let mut bench = fsync_journal(20);
    let (segment, offset, _) = place_of(&mut bench.disk, 20);
    bench.disk.flip(segment, (offset + 70) * 8);
    assert!(
        matches!(recover(&mut bench.disk, None, 20, &mut |_| {}), Err(JournalError::Damage(_))),
        "the caller knows better"
    );
    let torn =
        TornTail { file: format!("segment {segment}"), position: Position { segment, offset }, sequence: 20 };
    assert_eq!(bench.restart(19, false).torn, Some(torn));
    assert!(bench.disk.bytes(segment)[offset as usize..].iter().all(|&byte| byte == 0));
}

#[test]
fn should_call_everything_damage_that_lies_before_a_clean_end() {
    for durability in [Durability::Fsync, Durability::Memory] {
        let mut bench = journal_of(durability, 20);
        assert!(bench.close());
        let (segment, offset, _) = place_of(&mut bench.disk, 20);
        bench.disk.flip(segment, (offset + 70) * 8);
        assert!(matches!(recover(&mut bench.disk, None, 0, &mut |_| {}), Err(JournalError::Damage(_))));
    }
}

#[test]
fn should_lose_nothing_when_the_clean_end_is_half_written() {
    let mut bench = fsync_journal(20);
    assert!(bench.close());
    let mut end = None;
    walk(&mut bench.disk, None, 0, &mut |group| end = Some((group.segment(), group.offset()))).unwrap();
    let (segment, offset) = end.unwrap();
    bench.disk.flip(segment, (offset + 4095) * 8);
    let recovered = bench.restart(20, false);
    assert!(!recovered.clean && recovered.torn.is_some_and(|torn| torn.sequence == 21));
}

#[test]
fn should_miss_a_segment_in_the_middle() {
    let mut bench = fsync_journal(30);
    let segments = bench.disk.segments().unwrap();
    assert!(segments.len() > 3);
    bench.disk.remove(2).unwrap();
    let JournalError::Damage(damage) = recover(&mut bench.disk, None, 0, &mut |_| {}).unwrap_err() else {
        panic!()
    };
    assert_eq!((damage.position, damage.file.as_str()), (Position { segment: 2, offset: 0 }, "segment 2"));
    assert_eq!(damage.sequence, 7);
}

#[test]
fn should_begin_with_any_segment_when_older_ones_were_removed() {
    let mut bench = fsync_journal(30);
    bench.disk.remove(1).unwrap();
    let recovered = recover(&mut bench.disk, None, 0, &mut |_| {}).unwrap();
    assert_eq!((recovered.first, recovered.last), (7, 30));
    let mut reader = JournalReader::new(stream());
    assert_eq!(read(&mut reader, &mut bench.disk, 6), None);
    assert_eq!(reader.first_kept(), Some(7));
    assert_eq!(read(&mut reader, &mut bench.disk, 7).as_ref(), Some(&bench.messages[6]));
}

#[test]
fn should_refuse_another_stream_and_another_format() {
    let mut bench = fsync_journal(3);
    let other = Session::padded("1800000000").unwrap();
    assert_eq!(
        recover(&mut bench.disk, Some(other), 0, &mut |_| {}),
        Err(JournalError::Foreign { file: "segment 1".into(), found: stream(), expected: other })
    );
    let mut bytes = bench.disk.bytes(1).to_vec();
    bytes[5] = 3;
    reseal(&mut bytes[..BLOCK_BYTES]);
    bench.disk.put(1, bytes);
    assert_eq!(
        recover(&mut bench.disk, None, 0, &mut |_| {}),
        Err(JournalError::Version { file: "segment 1".into(), version: 3 })
    );
}

#[test]
fn should_call_segments_that_changed_places_damage_and_change_nothing() {
    for durability in [Durability::Fsync, Durability::Memory] {
        let mut bench = journal_of(durability, 40);
        let segments = bench.disk.segments().unwrap();
        let last = *segments.last().expect("there are some");
        assert!(segments.len() > 3);
        for (one, other) in [(1, 2), (1, last), (2, 3), (last - 1, last)] {
            bench.disk.swap(one, other);
            let before = bench.disk.image();
            let error = recover(&mut bench.disk, Some(stream()), 0, &mut |_| {}).unwrap_err();
            let JournalError::Damage(damage) = error else { panic!("{error}") };
            assert!(bench.disk.image() == before, "{one} and {other}");
            assert!([one, other].contains(&damage.position.segment), "{one} and {other}: {damage}");
            bench.disk.swap(one, other);
        }
        assert!(recover(&mut bench.disk, Some(stream()), 0, &mut |_| {}).is_ok());
    }
    // Two segments, and nothing else that would say what had been safe.
    let mut bench = Bench::new(small(Durability::Memory));
    while bench.disk.segments().unwrap().len() < 2 || bench.progress.journalled.get() < 8 {
        bench.append(3000);
        bench.now.monotonic_ns += MILLISECOND_NS;
        bench.duty().unwrap();
    }
    bench.disk.swap(1, 2);
    let before = bench.disk.image();
    assert!(matches!(recover(&mut bench.disk, None, 0, &mut |_| {}), Err(JournalError::Damage(_))));
    assert!(bench.disk.image() == before);
}
