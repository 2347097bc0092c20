//! Rings that outlived a process and are not what they should be.
use super::*;
use std::sync::atomic::Ordering::Relaxed;

/// Alone from here on.
fn alone(home: &mut Home) {
    (home.config.cluster, home.life) = (None, None);
}

fn ring(home: &Home) -> SharedWords {
    home.ring.clone().expect("there is one")
}

/// A ring file of another length, with what of the old one fits.
fn resize(home: &mut Home, words: usize) {
    let (old, new) = (ring(home), HeapWords::shared(words));
    for (to, from) in new.words().iter().zip(old.words()) {
        to.store(from.load(Relaxed), Relaxed);
    }
    home.ring = Some(new);
}

fn no_journal() -> Handle {
    Handle(Rc::new(RefCell::new(MemoryDisk::new())))
}

/// A journal of which nothing is left but a segment that was made ahead.
fn only_ahead() -> Handle {
    let mut disk = no_journal();
    disk.create(2, 1 << 16).expect("room");
    disk
}

#[test]
fn a_member_whose_journal_is_gone_has_lost_something_and_does_not_take_its_ring_for_the_rest() {
    for (messages, gone) in [(10, no_journal()), (300, no_journal()), (10, only_ahead())] {
        let mut home = Home::new(Durability::Memory);
        let mut process = home.start().expect("a new member");
        for _ in 0..messages / 10 {
            process.append(&[1; 10]);
            process.write_journal();
            process.commit(process.log().1);
        }
        drop(process);
        home.power_stays();
        home.bus = gone;
        let process = home.start().expect("a member learns the rest from the others");
        assert_eq!((process.log(), process.life()), ((0, 0), (2, 2)));
        let lost = process.started.report.lost.clone().expect("it has lost something");
        let ring = format!("the ring file is the ring of stream 1700000000, up to message {messages}");
        assert_eq!(lost, format!("{ring}, and its journal is gone"));
    }
}

#[test]
fn a_lone_node_whose_journal_is_gone_stops_until_journal_or_ring_is_seen_to() {
    let mut home = killed_with_ten(Durability::Memory, 4, 2);
    alone(&mut home);
    let journal = std::mem::replace(&mut home.bus, no_journal());
    for gone in [no_journal(), only_ahead(), no_journal()] {
        let fault = home.start().err().expect("the journal is gone").0;
        assert!(
            fault.starts_with("the ring file is the ring of stream 1700000000, up to message 10,"),
            "{fault}"
        );
        assert!(
            fault.contains("Restore the journal; or")
                && fault.contains("begin a new stream in another directory"),
            "{fault}"
        );
        home.bus = gone;
    }
    home.bus = journal;
    assert_eq!(home.start().expect("both are there").log().1, 10);
}

#[test]
fn a_ring_whose_journal_has_no_group_yet_is_merged() {
    let mut home = killed_with_ten(Durability::Memory, 0, 0);
    alone(&mut home);
    // Starts that died as soon as they had recovered the journal.
    for _ in 0..3 {
        recover(&mut home.bus.clone(), None, 0, &mut |_| {}).expect("a journal without a group");
    }
    assert_eq!(home.start().expect("its segments are there").log().1, 10);
}

#[test]
fn a_ring_of_another_directory_is_refused_and_left_alone() {
    for is_member in [true, false] {
        let mut home = killed_with_ten(Durability::Memory, 4, 2);
        if !is_member {
            alone(&mut home);
        }
        home.config.directory = [8; 16];
        let fault = home.start().err().expect("it is not its own").0;
        assert!(fault.starts_with("the ring file was written for another directory"), "{fault}");
        home.config.directory = [9; 16];
        assert_eq!(home.start().expect("it is as it was").log().1, 10);
    }
}

#[test]
fn what_a_directory_does_without_counts_for_nothing() {
    // The journal has everything acknowledged; the ring is gone, or another's, or noise.
    for what in 0..4 {
        for is_member in [true, false] {
            let mut home = killed_with_ten(Durability::Memory, 10, 10);
            if !is_member {
                alone(&mut home);
            }
            match what {
                0 => home.ring = None,
                1 => ring(&home).words().iter().for_each(|word| word.store(0x5A5A, Relaxed)),
                2 => resize(&mut home, 7),
                _ => home.config.boot_id = [1; 16],
            }
            home.ring_needed = false;
            let process = home.start().expect("nothing is missing");
            assert_eq!((process.log().1, process.started.report.lost.clone()), (10, None));
            assert_eq!(process.started.bus.ring.identity().directory, [9; 16]);
            if is_member {
                assert_eq!(process.life(), (2, 1), "it is whole");
            }
        }
    }
}

#[test]
fn a_damaged_ring_is_lost_and_never_a_panic() {
    type Damage = fn(&mut Home);
    let damage: [(&str, Damage); 7] = [
        ("zeros", |home| ring(home).words().iter().for_each(|word| word.store(0, Relaxed))),
        ("ones", |home| ring(home).words().iter().for_each(|word| word.store(u64::MAX, Relaxed))),
        ("empty", |home| resize(home, 0)),
        ("less than a header", |home| resize(home, Ring::HEADER_WORDS - 1)),
        ("a header", |home| resize(home, Ring::HEADER_WORDS)),
        ("half", |home| resize(home, ring(home).words().len() / 2)),
        ("its end", |home| {
            let words = ring(home);
            let published = &words.words()[32];
            published.store(published.load(Relaxed) + 3, Relaxed);
        }),
    ];
    for (name, damage) in damage {
        let mut home = killed_with_ten(Durability::Memory, 4, 6);
        damage(&mut home);
        let process = home.start().expect("a member learns");
        let lost = process.started.report.lost.clone().expect(name);
        assert!(lost.starts_with("the ring file is damaged: "), "{name}: {lost}");
        assert_eq!((process.log(), process.life()), ((4, 4), (2, 2)), "{name}");
        drop(process);

        let mut home = killed_with_ten(Durability::Memory, 4, 4);
        alone(&mut home);
        damage(&mut home);
        let fault = home.start().err().expect(name).0;
        assert!(fault.starts_with("the ring file is damaged: "), "{name}: {fault}");
        assert!(
            fault.contains("messages above 4 may have been acknowledged and are lost"),
            "{name}: {fault}"
        );
    }
}

#[test]
fn a_grown_ring_is_the_same_ring() {
    let mut home = killed_with_ten(Durability::Memory, 4, 6);
    let words = ring(&home).words().len();
    resize(&mut home, words * 3);
    let process = home.start().expect("a member");
    assert_eq!((process.log(), process.started.report.lost.clone()), ((6, 10), None));
}
