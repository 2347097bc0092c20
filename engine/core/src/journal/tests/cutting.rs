//! Cutting back, and dying at every step of it.
use super::*;

/// A journal of several segments and groups of several messages, all of which would survive a power cut.
fn grouped_journal(messages: usize) -> Bench {
    let mut bench = Bench::new(small(Durability::Memory));
    for length in 0..messages {
        assert!(bench.append(length * 37 % 700));
        bench.epoch = 1 + length as u32 / 7;
        if length % 4 == 3 {
            bench.settle();
        }
    }
    bench.settle();
    bench.restart(messages as u64, false);
    bench
}

fn cut_after(bench: &mut Bench, after: u64) {
    cut(&mut bench.disk, Some(stream()), 0, after).expect("a cut");
    bench.disk.finish = usize::MAX;
}

#[test]
fn should_end_with_the_message_named_and_go_on_behind_it() {
    for after in 0..=42 {
        let mut bench = grouped_journal(40);
        let epochs: Vec<u32> = bench.messages.iter().map(|message| message.0).collect();
        cut_after(&mut bench, after);
        let kept = after.min(40);
        let recovered = bench.restart(kept, false);
        assert_eq!((recovered.last, recovered.clean, recovered.torn), (kept, false, None));
        assert_eq!(recovered.epoch, if kept == 0 { 0 } else { epochs[kept as usize - 1] });
        assert!(!bench.disk.segments().unwrap().contains(&0));
        for length in [0, 100, MESSAGE_BYTES_MAX] {
            assert!(bench.append(length));
        }
        bench.settle();
        bench.restart(kept + 3, false);
    }
}

#[test]
fn should_leave_nothing_behind_the_cut() {
    let mut bench = grouped_journal(40);
    cut_after(&mut bench, 10);
    let position = bench.restart(10, false).position.expect("groups are left");
    assert_eq!(bench.disk.segments().unwrap().last(), Some(&position.segment));
    assert!(bench.disk.bytes(position.segment)[position.offset as usize..].iter().all(|&byte| byte == 0));
}

#[test]
fn should_keep_the_orderly_end_of_a_journal_that_ends_there() {
    let mut bench = grouped_journal(20);
    assert!(bench.close());
    assert!(bench.restart(20, false).clean);
    let before = bench.disk.image();
    cut_after(&mut bench, 20);
    assert!(bench.disk.image() == before, "there is nothing to cut");
    assert!(bench.restart(20, false).clean);
    assert!(bench.close());
    cut_after(&mut bench, 19);
    let recovered = bench.restart(19, false);
    assert!(!recovered.clean && recovered.last == 19);
}

#[test]
fn should_remove_everything_where_the_oldest_message_kept_lies_behind_the_cut() {
    let mut bench = fsync_journal(30);
    bench.disk.remove(1).unwrap();
    cut_after(&mut bench, 5);
    assert!(bench.disk.segments().unwrap().is_empty());
}

#[test]
fn should_not_cut_a_damaged_or_foreign_journal() {
    let mut bench = fsync_journal(20);
    let (segment, offset, _) = place_of(&mut bench.disk, 3);
    bench.disk.flip(segment, (offset + 70) * 8);
    let before = bench.disk.image();
    assert!(matches!(cut(&mut bench.disk, Some(stream()), 0, 10), Err(JournalError::Damage(_))));
    let other = Session::padded("1800000000").unwrap();
    assert!(matches!(cut(&mut bench.disk, Some(other), 0, 10), Err(JournalError::Foreign { .. })));
    assert!(bench.disk.image() == before);
}

#[test]
fn should_have_no_room_for_an_image_and_then_change_nothing() {
    let mut bench = fsync_journal(20);
    bench.restart(20, false);
    bench.disk.segments_max = bench.disk.segments().unwrap().len();
    let before = bench.disk.image();
    assert_eq!(cut(&mut bench.disk, Some(stream()), 0, 10), Err(JournalError::Disk(DiskError::Full)));
    assert!(bench.disk.image() == before);
}

/// A cut of 40 messages after the 18th, the process gone after so many steps.
fn cut_short(steps_left: usize) -> Bench {
    let mut bench = grouped_journal(40);
    let mut dying = properties::DyingDisk { disk: &mut bench.disk, steps_left };
    let _ = cut(&mut dying, Some(stream()), 0, 18);
    bench.disk.finish = usize::MAX;
    bench
}

#[test]
fn should_keep_what_stays_and_be_all_or_nothing_whenever_the_power_goes() {
    let mut ends = std::collections::BTreeSet::new();
    for steps_left in 0..40 {
        for seed in 0..20 {
            let mut bench = cut_short(steps_left);
            bench.disk.cut_power(&mut Random::new(seed));
            let recovered = bench.restart(18, false);
            assert!(recovered.torn.is_none() && [18, 40].contains(&recovered.last), "{recovered:?}");
            ends.insert((steps_left, recovered.last));
            cut_after(&mut bench, 18);
            assert_eq!(bench.restart(18, false).last, 18);
            bench.append(100);
            bench.settle();
            assert_eq!(bench.restart(19, false).last, 19);
        }
    }
    let both = |steps| ends.contains(&(steps, 18)) && ends.contains(&(steps, 40));
    assert_eq!(
        (0..40).filter(|&steps| both(steps)).count(),
        2,
        "only writing and syncing the image may end either way"
    );
    assert!(ends.contains(&(0, 40)) && ends.contains(&(39, 18)));
}

#[test]
fn should_finish_a_cut_that_was_interrupted_again_and_again() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut bench = cut_short(random.below(16) as usize);
        for _ in 0..random.below(20) {
            match random.chance(1, 2) {
                true => bench.disk.kill(&mut random),
                false => bench.disk.cut_power(&mut random),
            }
            let steps_left = random.below(8) as usize;
            let mut dying = properties::DyingDisk { disk: &mut bench.disk, steps_left };
            let _ = recover(&mut dying, Some(stream()), 0, &mut |_| {});
        }
        bench.disk.cut_power(&mut random);
        let recovered = bench.restart(18, false);
        assert!(recovered.torn.is_none() && [18, 40].contains(&recovered.last), "{recovered:?}");
        bench.append(100);
        bench.settle();
        bench.disk.cut_power(&mut random);
        bench.restart(18, false);
    }
}

#[test]
fn should_refuse_an_image_of_another_stream_or_for_another_place() {
    let other = Session::padded("1800000000").unwrap();
    let image = image_of(&mut grouped_journal(40));
    let mut bench = grouped_journal(40);
    bench.disk.put(0, image.clone());
    let before = bench.disk.image();
    let refused = recover(&mut bench.disk, Some(other), 0, &mut |_| {});
    assert_eq!(
        refused,
        Err(JournalError::Foreign { file: "segment 0".into(), found: stream(), expected: other })
    );
    let mut elsewhere = image;
    elsewhere[56..60].copy_from_slice(&9u32.to_be_bytes());
    reseal(&mut elsewhere);
    bench.disk.put(0, elsewhere);
    let refused = recover(&mut bench.disk, None, 0, &mut |_| {});
    assert!(matches!(refused, Err(JournalError::Disk(DiskError::Failed(_)))), "{refused:?}");
    bench.disk.remove(0).unwrap();
    let mut after = before;
    after.remove(&0);
    assert!(bench.disk.image() == after, "nothing else was changed");
}

/// The image that a cut writes, taken before it goes on.
fn image_of(bench: &mut Bench) -> Vec<u8> {
    for steps_left in 0..40 {
        let mut dying = properties::DyingDisk { disk: &mut bench.disk, steps_left };
        if cut(&mut dying, Some(stream()), 0, 18).is_err() && bench.disk.segments().unwrap().contains(&0) {
            bench.disk.finish = usize::MAX;
            while bench.disk.wait().is_some() {}
            return bench.disk.bytes(0).to_vec();
        }
    }
    panic!("no image was written");
}
