//! The acknowledgements' journal without a part of it, and the stream's; and a stream that another release wrote.
use super::snapshots::{EVERY, killed_with_snapshots};
use super::*;
use crate::agent::SnapshotConfig;
use crate::journal::begin_with;

/// A member, or a node that is alone, killed after so many entries that either journal has some segments.
fn killed(alone: bool) -> Home {
    let mut home = Home::new(Durability::Fsync);
    let mut process = home.start().expect("a new member");
    for _ in 0..200 {
        process.append(&[1]);
        process.write_journal();
        process.commit(process.started.bus.ring.last());
    }
    drop(process);
    home.power_stays();
    // With this durability there is no ring that outlives the process.
    home.ring = None;
    if alone {
        home.config.cluster = None;
        home.life = None;
        // What is declared is what the first entry declared.
        home.config.declaration = declaration();
    }
    home
}

fn segments(disk: &Handle) -> Vec<u64> {
    disk.clone().segments().expect("a disk")
}

fn refused(home: &mut Home) -> String {
    let before = [&home.bus, &home.acknowledgements].map(segments);
    let fault = home.start().err().expect("a fault").0;
    assert_eq!([&home.bus, &home.acknowledgements].map(segments), before, "nothing was removed");
    fault
}

#[test]
fn a_missing_beginning_of_the_outcomes_is_a_fault_that_says_what_to_do() {
    for alone in [false, true] {
        let mut home = killed(alone);
        assert!(segments(&home.acknowledgements).len() > 3);
        let back = home.acknowledgements.0.borrow_mut().take(1);
        let fault = refused(&mut home);
        assert!(fault.contains("the acknowledgements' journal begins with outcome "), "{fault}");
        assert!(fault.contains("move the folder away and start again"), "{fault}");
        back(&mut home.acknowledgements.0.borrow_mut());
        assert_eq!(home.start().expect("it is whole again").started.report.notices, [""; 0]);
    }
}

#[test]
fn without_any_outcome_all_are_computed_again() {
    let mut home = killed(true);
    home.acknowledgements = Handle(Rc::new(RefCell::new(MemoryDisk::new())));
    let process = home.start().expect("a node");
    assert_eq!(process.started.acknowledgements.progress.committed.get(), 200);
}

#[test]
fn segments_missing_elsewhere_are_named() {
    for alone in [false, true] {
        let mut home = killed(alone);
        for (disk, middle) in [(home.bus.clone(), 2), (home.acknowledgements.clone(), 3)] {
            let back = disk.0.borrow_mut().take(middle);
            let fault = refused(&mut home);
            assert!(fault.contains(&format!("segment {middle} ")) && fault.contains("missing"), "{fault}");
            back(&mut disk.0.borrow_mut());
        }
        // The stream without its beginning.
        let disk = home.bus.clone();
        let back = disk.0.borrow_mut().take(1);
        let fault = refused(&mut home);
        assert!(fault.contains("a stream can be replayed only from its beginning"), "{fault}");
        back(&mut disk.0.borrow_mut());
        // ... and without its end: what was acknowledged is not there.
        let last = *segments(&disk).last().expect("some");
        let ends: Vec<_> = (last - 1..=last).map(|segment| disk.0.borrow_mut().take(segment)).collect();
        let fault = refused(&mut home);
        let says = ["was acknowledged and the stream ends with", "the journal ends here"];
        assert!(says.iter().any(|says| fault.contains(says)), "{fault}");
        ends.into_iter().for_each(|back| back(&mut disk.0.borrow_mut()));
        // The last outcomes are computed again.
        let disk = home.acknowledgements.clone();
        let last = *segments(&disk).last().expect("some");
        (last - 1..=last).for_each(|segment| drop(disk.0.borrow_mut().take(segment)));
        let process = home.start().expect("a node");
        let acknowledged = process.started.acknowledgements.progress.committed.get();
        assert_eq!(
            alone,
            acknowledged == 200,
            "a member learns from the others how far it may go: {acknowledged}"
        );
    }
}

#[test]
fn outcomes_let_go_of_behind_a_snapshot_are_no_fault_and_others_are() {
    let (mut home, _) = killed_with_snapshots(SnapshotConfig { keep_messages: Some(0), ..EVERY });
    let outcomes = segments(&home.acknowledgements);
    assert!(outcomes[0] > 1, "some went: {outcomes:?}");
    assert!(home.start().is_ok());
    let (mut home, newest) = killed_with_snapshots(EVERY);
    let disk = home.acknowledgements.clone();
    let back = disk.0.borrow_mut().take(1);
    let fault = refused(&mut home);
    assert!(
        fault.contains("outcomes 1 to "),
        "{fault}: the snapshot at {newest} explains nothing, since the stream has all its segments"
    );
    home.config.outcomes_may_go_first = true;
    assert!(home.start().is_ok(), "here each journal's segments are held on their own");
    back(&mut disk.0.borrow_mut());
}

#[test]
fn a_declaration_of_a_newer_release_stops_the_start() {
    let mut home = Home::new(Durability::Fsync);
    let mut body = declaration().to_bytes();
    body[0] = 9;
    let envelope = Envelope::new(Session::NODE, Kind::Declare, Reason::None, 1, 1_000);
    let message = [&envelope.to_bytes()[..], &body].concat();
    let begun = begin_with(&mut home.bus.clone(), home.config.journal, STREAM, 1, (1, 1), &message);
    assert_eq!(begun, Ok(true));
    for cluster in [home.config.cluster, None] {
        home.config.cluster = cluster;
        home.life = None;
        let fault = home.start().err().expect("a fault").0;
        assert!(
            fault.starts_with("message 1 of the stream cannot be read (the declaration has layout version 9"),
            "{fault}"
        );
        assert!(fault.contains("a newer release wrote it") && fault.contains("upgrade this node"), "{fault}");
    }
}

#[test]
fn a_declaration_of_a_newer_release_is_not_followed() {
    let mut home = Home::new(Durability::Fsync);
    let mut process = home.start().expect("a new member");
    process.append(&[1]);
    let mut body = declaration().to_bytes();
    body[0] = 9;
    let envelope = Envelope::new(Session::NODE, Kind::Declare, Reason::None, 2, 2_000);
    let refused = process.started.sequencer.append_replicated(1, &[&envelope.to_bytes()[..], &body].concat());
    let error = refused.expect_err("it cannot be read");
    assert!(matches!(error, crate::bus::AppendError::Unreadable(_)), "{error:?}");
    assert!(error.to_string().contains("upgrade this node"), "{error}");
    let mut envelope = Envelope::new(CLIENT, Kind::Transaction, Reason::None, 1, 2_000).to_bytes();
    let kind =
        10 + envelope[10..].iter().position(|&byte| byte == Kind::Transaction as u8).expect("the kind");
    envelope[kind] = b'?';
    let refused =
        process.started.sequencer.append_replicated(1, &envelope).expect_err("no kind that is known");
    assert!(refused.to_string().contains("upgrade this node"), "{refused}");
    assert_eq!(process.append_next(), 2, "what this release knows goes on");
}
