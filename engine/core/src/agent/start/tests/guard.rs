//! What may be missing is judged by how the journal was written, and not by what the configuration says now.
use super::*;

/// A lone node.
fn alone(durability: Durability) -> Home {
    let mut home = Home::new(durability);
    home.config.cluster = None;
    home
}

/// A lone node that was killed with six messages, all of them acknowledged, and `journalled` of them in its journal.
fn killed_with_six(durability: Durability, journalled: usize) -> Home {
    let mut home = alone(durability);
    let mut process = home.start().expect("a new node");
    append(&mut process, &vec![1; journalled - 1]);
    process.write_journal();
    append(&mut process, &vec![1; 6 - journalled]);
    process.commit(6);
    drop(process);
    home.power_stays();
    home
}

/// What clients of a lone node send; it gets its numbers here.
fn append(process: &mut Process, epochs: &[u32]) {
    let sequencer = &mut process.started.sequencer;
    sequencer.follow();
    for &epoch in epochs {
        let sequence = sequencer.next_sequence();
        let time_ns = (1 << 50) + sequence;
        let number = sequencer.table().get(&CLIENT).map_or(1, |entry| entry.next);
        let envelope = Envelope::new(CLIENT, Kind::Transaction, Reason::None, number, time_ns);
        let entry = [&envelope.to_bytes()[..], b"T"].concat();
        assert_eq!(sequencer.append_replicated(epoch, &entry).expect("an entry"), sequence);
        sequencer.publish_batch();
    }
}

fn with(mut home: Home, durability: Durability) -> Home {
    home.config.journal.durability = durability;
    home.config.sequencer.durability = durability;
    home
}

fn last(process: &Process) -> u64 {
    process.started.bus.ring.last()
}

fn refused(home: &mut Home) -> String {
    home.start().err().expect("a fault").0
}

#[test]
fn a_setting_does_not_make_a_loss_undone() {
    for durability in [Durability::Memory, Durability::Fsync] {
        let mut home = with(killed_with_six(Durability::Memory, 3), durability);
        home.ring = None;
        for _ in 0..2 {
            let fault = refused(&mut home);
            assert!(fault.contains("messages above 3 may have been acknowledged"), "{fault}");
            assert!(fault.contains("`gds force-lead --config node.toml --accept-loss`"), "{fault}");
            home.ring = None;
        }
        home.config.boot_id[0] += 1;
        assert!(refused(&mut home).contains("messages above 3 may have been acknowledged"));
        // A member has others, and says so by its life.
        home.config.cluster = Some(ClusterStart::default());
        let process = home.start().expect("others have what it lost");
        assert_eq!((process.life().1, process.log()), (1, (3, 3)));
    }
}

#[test]
fn a_ring_that_is_there_goes_into_the_journal_before_the_journal_is_all() {
    let mut home = with(killed_with_six(Durability::Memory, 3), Durability::Fsync);
    let process = home.start().expect("nothing is missing");
    assert_eq!(last(&process), 6);
    drop(process);
    home.power_goes();
    let process = home.start().expect("the journal has everything");
    assert_eq!(last(&process), 6);
}

#[test]
fn a_label_changes_only_once_what_was_acknowledged_is_as_it_says() {
    let mut home = with(killed_with_six(Durability::Memory, 3), Durability::Fsync);
    home.dies_before_its_store = true;
    assert!(home.start().is_err());
    home.dies_before_its_store = false;
    home.power_goes();
    // Whether it died before the label was changed or after: nothing is missing, or it says so.
    match home.start() {
        Ok(process) => assert_eq!(last(&process), 6),
        Err(Fault(fault)) => assert!(fault.contains("may have been acknowledged"), "{fault}"),
    }
}

#[test]
fn an_old_ring_says_nothing_beside_a_journal_that_has_everything() {
    let mut home = killed_with_six(Durability::Memory, 6);
    let old = home.ring.clone();
    home = with(home, Durability::Fsync);
    let mut process = home.start().expect("nothing is missing");
    append(&mut process, &[1; 4]);
    process.write_journal();
    process.commit(10);
    drop(process);
    home.power_stays();
    // A ring that ends with message 6.
    home.ring = old;
    let process = with(home, Durability::Memory).start().expect("nothing is missing");
    assert_eq!(last(&process), 10);
}

#[test]
fn a_journal_closed_in_order_may_go_on_under_any_durability() {
    for [before, after] in [[Durability::Memory, Durability::Fsync], [Durability::Fsync, Durability::Memory]]
    {
        let mut home = alone(before);
        let mut process = home.start().expect("a new node");
        append(&mut process, &[1; 5]);
        process.commit(6);
        process.close();
        drop(process);
        home.power_goes();
        let mut home = with(home, after);
        let mut process = home.start().expect("nothing is missing");
        assert!(last(&process) >= 6);
        append(&mut process, &[1]);
        drop(process);
        home.ring = None;
        home.power_goes();
        match after {
            Durability::Memory => assert!(refused(&mut home).contains("may have been acknowledged")),
            Durability::Fsync => assert!(home.start().is_ok()),
        }
    }
}

#[test]
fn a_journal_without_a_label_counts_as_one_that_needed_its_ring() {
    let mut home = killed_with_six(Durability::Fsync, 6);
    (home.label, home.ring) = (None, None);
    let fault = refused(&mut home);
    assert!(fault.contains("no label") && fault.contains("messages above 6 may"), "{fault}");
}

#[test]
fn a_stream_of_which_nothing_is_left_is_not_begun_again() {
    let mut home = alone(Durability::Memory);
    drop(home.start().expect("a new node"));
    let handle = || Handle(Rc::new(RefCell::new(MemoryDisk::new())));
    (home.bus, home.acknowledgements, home.ring) = (handle(), handle(), None);
    let fault = refused(&mut home);
    assert!(fault.contains("nothing is left of stream 1700000000"), "{fault}");
}

#[test]
fn a_members_directory_is_no_lone_nodes() {
    let mut home = killed_with_ten(Durability::Fsync, 10, 6);
    home.config.cluster = None;
    let fault = refused(&mut home);
    assert!(fault.contains("was a member's of a cluster (life 1)"), "{fault}");
    assert!(fault.contains("gds force-lead"), "{fault}");
}

#[test]
fn another_streams_label_is_named() {
    let mut home = killed_with_six(Durability::Memory, 6);
    home.label.as_mut().expect("kept").stream = Session(*b"1800000000");
    let fault = refused(&mut home);
    assert!(
        fault.contains("belong to stream 1700000000, and the directory's label says 1800000000"),
        "{fault}"
    );
}

#[test]
fn the_stream_goes_out_under_its_newest_name_and_its_files_keep_theirs() {
    let mut home = killed_with_six(Durability::Memory, 6);
    let label = home.label.as_mut().expect("kept");
    label.sessions = label.sessions.renewed(STREAM, 7, Time::default());
    let process = home.start().expect("whole");
    let Started { bus, acknowledgements, .. } = &process.started;
    assert_eq!((bus.session, bus.name.to_string()), (STREAM, "1700000001".to_owned()));
    assert_eq!(acknowledgements.session, acknowledgement_session(STREAM));
    assert_eq!(acknowledgements.name, acknowledgement_session(bus.name));
    drop(process);
    // What the register says counts, and is kept.
    home.config.sessions = Some(SessionNames::default());
    assert_eq!(home.start().expect("whole").started.bus.name, STREAM);
    assert_eq!(home.label.expect("kept").sessions, SessionNames::default());
}
