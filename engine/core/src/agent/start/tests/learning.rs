//! A learner that begins with another node's snapshot, and journals of the snapshot's message alone.
use super::snapshots::{EVERY, digest, killed_with_snapshots};
use super::*;
use crate::journal::{JournalRead, JournalReader, begin_with};
use crate::snapshot::{Arrival, CHUNK_BYTES, read_chunk, survey};

fn read(journal: &Handle, session: Session, sequence: u64) -> ((u32, u64), Vec<u8>) {
    let mut bytes = [0; 4096];
    let read = JournalReader::new(session).read(sequence, &mut journal.clone(), &mut bytes);
    let Ok(JournalRead::Message { length, epoch, chain }) = read else {
        panic!("message {sequence}: {read:?}")
    };
    ((epoch, chain), bytes[..length].to_vec())
}

/// A node that has taken the newest snapshot of another one, and its message.
fn learner_of(giver: &mut Home) -> (Home, u64) {
    let mut learner = Home::new(giver.config.journal.durability);
    let mut snapshots = Handle(Rc::new(RefCell::new(MemoryDisk::new())));
    let from = giver.snapshots.as_mut().expect("a disk");
    let newest = survey(from, STREAM).expect("a disk").whole.pop().expect("a snapshot");
    let mut arrival = Arrival::new(STREAM, newest.sequence, newest.chunks, 4 * CHUNK_BYTES as u64);
    let mut chunk = Vec::new();
    while !arrival.is_whole() {
        read_chunk(from, STREAM, &newest, arrival.next(), &mut chunk).expect("a chunk");
        arrival.take(&mut snapshots, &chunk).expect("a chunk");
    }
    learner.snapshots = Some(snapshots);
    let acknowledged = acknowledgement_session(STREAM);
    let of = [
        (giver.bus.clone(), &mut learner.bus, STREAM, learner.config.journal),
        (
            giver.acknowledgements.clone(),
            &mut learner.acknowledgements,
            acknowledged,
            learner.config.acknowledgement_journal,
        ),
    ];
    for (from, to, session, config) in of {
        let (place, message) = read(&from, session, newest.sequence);
        let written = begin_with(to, config, session, newest.sequence, place, &message);
        assert_eq!(written, Ok(true));
    }
    (learner, newest.sequence)
}

#[test]
fn a_learner_goes_on_behind_another_nodes_snapshot() {
    let (mut giver, newest) = killed_with_snapshots(EVERY);
    let (mut learner, sequence) = learner_of(&mut giver);
    assert_eq!(sequence, newest);
    let mut process = learner.start().expect("a learner");
    assert_eq!(
        (process.log(), process.epochs()),
        ((newest, newest), vec![1]),
        "with the epoch of the entry before"
    );
    let report = &process.started.report;
    assert_eq!((report.snapshot, report.lost.clone(), report.notices.len()), (newest, None, 0));
    assert_eq!(process.started.acknowledgements.progress.committed.get(), newest);
    assert!(!process.member().declaration_due, "what was declared has come with the snapshot");
    let of_giver = giver.start().expect("the giver");
    let (committed, _) = of_giver.log();
    for sequence in newest + 1..=committed {
        assert_eq!(process.started.sequencer.next_sequence(), sequence);
        process.append(&[1]);
        process.write_journal();
        process.commit(sequence);
    }
    drop((process, of_giver));
    let same = |home: &mut Home| digest(&mut home.start().expect("a member"));
    assert_eq!(same(&mut learner), same(&mut giver));
    let mut reader = JournalReader::new(STREAM);
    reader.refresh(&mut learner.bus).expect("a disk");
    assert_eq!((reader.first_kept(), reader.last(&mut learner.bus)), (Some(newest), Ok(committed)));
}

#[test]
fn a_learner_that_dies_at_once_begins_again_at_its_snapshot() {
    let (mut giver, newest) = killed_with_snapshots(EVERY);
    let (mut learner, _) = learner_of(&mut giver);
    for _ in 0..3 {
        let mut process = learner.start().expect("a learner");
        assert_eq!(process.log(), (newest, newest));
        process.append(&[4]);
        drop(process);
        learner.power_goes();
    }
    learner.dies_before_its_store = true;
    assert!(learner.start().is_err());
    learner.dies_before_its_store = false;
    assert_eq!(learner.start().expect("a learner").log().0, newest);
}

#[test]
fn a_learners_snapshot_that_is_damaged_is_a_fault_that_says_so() {
    let (mut giver, newest) = killed_with_snapshots(EVERY);
    let (mut learner, _) = learner_of(&mut giver);
    let mut snapshots = learner.snapshots.clone().expect("a disk");
    let first = snapshots.segments().expect("a disk")[0];
    snapshots.0.borrow_mut().flip(first, 100 * 8);
    let fault = learner.start().err().expect("a fault").0;
    assert!(fault.contains(&format!("the snapshot at message {newest} cannot be used")), "{fault}");
    assert!(fault.contains(&format!("the journal begins with message {newest}")), "{fault}");
}

#[test]
fn the_last_message_of_a_journal_is_found_in_its_last_segment() {
    let (mut giver, _) = killed_with_snapshots(EVERY);
    let last = |disk: &mut Handle| JournalReader::new(STREAM).last(disk);
    assert_eq!(last(&mut giver.bus), Ok(200));
    assert_eq!(last(&mut Handle(Rc::new(RefCell::new(MemoryDisk::new())))), Ok(0));
    giver.bus.remove(1).expect("a segment");
    assert_eq!(last(&mut giver.bus), Ok(200));
}
