//! Which life begins, and what was lost before it.
use super::*;

#[test]
fn a_power_cut_with_memory_begins_a_life_that_is_whole_since_now() {
    let mut home = killed_with_ten(Durability::Memory, 4, 6);
    home.power_goes();
    let process = home.start().expect("others have what it lost");
    let (committed, last) = process.log();
    assert!(committed <= last && last <= 4, "the acknowledgements end with the log");
    assert_eq!(process.life(), (2, 2));
    assert_eq!(process.started.report.lost.as_deref(), Some("the ring file is gone"));
    drop(process);
    home.power_stays();
    let process = home.start().expect("a member");
    assert_eq!((process.life(), process.log()), ((3, 2), (committed, last)), "nothing was lost since");
    assert_eq!(process.started.report.lost, None);
}

#[test]
fn a_member_whose_ring_was_lost_goes_on_behind_its_journal() {
    for (journalled, committed, expected) in
        [(4, 6, (4, 4)), (4, 2, (2, 4)), (0, 6, (0, 0)), (10, 6, (6, 10))]
    {
        let mut home = killed_with_ten(Durability::Memory, journalled, committed);
        home.ring = None;
        let mut process = home.start().expect("others have what it lost");
        assert_eq!((process.log(), process.life()), (expected, (2, 2)));
        process.append(&EPOCHS[expected.1 as usize..]);
        process.write_journal();
        process.commit(10);
        drop(process);
        home.power_stays();
        let process = home.start().expect("a member");
        assert_eq!((process.log(), process.life()), ((10, 10), (3, 2)));
        assert_eq!(process.started.acknowledgements.ring.last(), 10);
    }
}

#[test]
fn a_member_that_never_journalled_anything_may_have_lost_all_the_same() {
    let mut home = Home::new(Durability::Memory);
    drop(home.start().expect("a new member"));
    home.power_goes();
    assert_eq!(home.start().expect("a member").life(), (2, 2));
}

#[test]
fn a_journal_closed_in_order_lost_nothing_without_its_ring() {
    let mut home = Home::new(Durability::Memory);
    let mut process = home.start().expect("a new member");
    process.append(&EPOCHS);
    process.commit(7);
    process.write_journal();
    process.close();
    drop(process);
    home.power_goes();
    let process = home.start().expect("a member");
    assert_eq!((process.life(), process.log()), ((2, 1), (7, 10)));
    assert_eq!(process.epochs(), [2, 5, 5, 5]);
}

#[test]
fn fsync_keeps_what_it_called_durable_through_a_power_cut() {
    let mut home = killed_with_ten(Durability::Fsync, 6, 6);
    home.power_goes();
    let process = home.start().expect("a member");
    assert_eq!(process.life(), (2, 1));
    let (committed, last) = process.log();
    assert!(committed <= 6 && last >= 6);
}

#[test]
fn a_start_that_dies_does_not_hide_what_was_lost() {
    let mut home = killed_with_ten(Durability::Memory, 4, 6);
    home.ring = None;
    home.dies_before_its_store = true;
    for incarnation in 2..5 {
        assert!(home.start().is_err());
        assert!(home.life.is_some_and(|life| life.incarnation == incarnation && life.whole_since >= 2));
    }
    home.dies_before_its_store = false;
    let process = home.start().expect("a member");
    assert_eq!(process.log(), (4, 4));
    assert!(process.life().0 == 5 && process.life().1 >= 2);
}

#[test]
fn a_life_that_the_register_knows_better_is_not_whole() {
    for forgotten in [true, false] {
        let mut home = killed_with_ten(Durability::Memory, 10, 6);
        if forgotten {
            home.life = None;
        }
        home.config.cluster = Some(ClusterStart { registered: 7, ..ClusterStart::default() });
        let process = home.start().expect("a member");
        assert_eq!(process.life(), (8, 8));
        let lost = process.started.report.lost.clone().expect("something");
        assert!(lost.contains("the register names a later life"), "{lost}");
    }
    let mut home = killed_with_ten(Durability::Memory, 10, 6);
    home.config.cluster = Some(ClusterStart { registered: 1, ..ClusterStart::default() });
    assert_eq!(home.start().expect("a member").life(), (2, 1));
}

#[test]
fn damage_stays_a_fault() {
    let mut home = Home::new(Durability::Fsync);
    let mut process = home.start().expect("a new member");
    for epoch in EPOCHS {
        process.append(&[epoch]);
        process.write_journal();
    }
    drop(process);
    home.bus.0.borrow_mut().flip(1, 100 * 8);
    let fault = home.start().err().expect("a fault").0;
    assert!(fault.contains("damaged"), "{fault}");
    assert_eq!(home.life.map(|life| life.incarnation), Some(1), "it did not begin to live");
}

#[test]
fn a_lone_node_stays_stopped_without_its_ring_and_keeps_no_life() {
    let mut home = Home::new(Durability::Memory);
    home.config.cluster = None;
    let started = home.start().expect("a new node").started;
    assert!(started.member.is_none() && started.bus.progress.committed.get() == 1, "it declares itself");
    drop(started);
    home.power_stays();
    let again = home.start().expect("the node again").started;
    assert_eq!((again.report.new, again.bus.progress.committed.get()), (false, 1));
    drop(again);
    home.ring = None;
    let fault = home.start().err().expect("a fault").0;
    assert!(fault.contains("the ring file is gone, and the journal was written with durability \"memory\" and was not closed in order"), "{fault}");
    assert_eq!(home.life, None);
}
