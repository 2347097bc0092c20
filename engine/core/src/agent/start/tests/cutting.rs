//! Starts that cut the log back.
use super::*;

#[test]
fn a_cut_log_ends_with_the_entry_named_and_goes_on_behind_it() {
    for journalled in [0, 4, 10] {
        for after in 2..=12 {
            let mut home = killed_with_ten(Durability::Memory, journalled, 2);
            let mut process = home.start_cut(after).expect("a member");
            let last = after.min(10);
            assert_eq!((process.log(), process.life()), ((2, last), (2, 1)), "cut after {after}");
            assert_eq!(process.epochs(), EPOCHS[1..last as usize]);
            let next = process.started.sequencer.table().get(&CLIENT).map(|entry| entry.next);
            assert_eq!(next, Some(last.max(1)), "the table follows the cut log");
            let more = [8, 9];
            process.append(&more);
            process.write_journal();
            process.commit(last + 1);
            drop(process);
            home.power_stays();
            let process = home.start().expect("a member");
            assert_eq!((process.log(), process.life()), ((last + 1, last + 2), (3, 1)));
            let epochs: Vec<u32> = process.entries(&home.bus).iter().map(|entry| entry.0).collect();
            assert_eq!(epochs, [&EPOCHS[..last as usize], &more].concat());
        }
    }
}

#[test]
fn everything_may_be_cut_where_nothing_was_acknowledged() {
    for journalled in [0, 4, 10] {
        let mut home = killed_with_ten(Durability::Memory, journalled, 0);
        let process = home.start_cut(0).expect("a member");
        assert_eq!((process.log(), process.life(), process.epochs()), ((0, 0), (2, 1), vec![0]));
        assert!(process.member().declaration_due, "the declaration was cut");
    }
}

#[test]
fn fsync_is_cut_as_well() {
    let mut home = killed_with_ten(Durability::Fsync, 10, 2);
    home.power_goes();
    let process = home.start_cut(5).expect("a member");
    assert_eq!((process.log(), process.life(), process.epochs()), ((2, 5), (2, 1), vec![1, 1, 2, 2]));
}

#[test]
fn what_was_acknowledged_is_not_cut() {
    let mut home = killed_with_ten(Durability::Memory, 10, 6);
    let before = home.bus.0.borrow().image();
    let fault = home.start_cut(5).err().expect("a fault").0;
    assert!(fault.contains("message 6 has been acknowledged here"), "{fault}");
    assert!(home.bus.0.borrow().image() == before);
    assert_eq!(home.start().expect("a member").log(), (6, 10));
}

#[test]
fn a_cut_that_ended_between_ring_and_journal_is_begun_again() {
    for after in [2, 5, 9] {
        let mut home = killed_with_ten(Durability::Memory, 10, 2);
        let ring = Ring::open(home.ring.clone().expect("a ring")).expect("whole");
        let chain = ring.chain_of(after).expect("it is there");
        drop(ring.cut(after, chain));
        let process = home.start().expect("a member");
        assert_eq!((process.log(), process.life()), ((2, 10), (2, 1)), "the log is as it was");
        drop(process);
        home.power_stays();
        assert_eq!(home.start_cut(after).expect("a member").log(), (2, after));
    }
}
