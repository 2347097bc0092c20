//! The protocol as it is: every promise holds in every state of each small size.
use gds_model::{Protocol, Size, check};

fn holds(name: &str) {
    let size = Size::named(name).expect("the size is listed");
    let verdict = check(&Protocol::new(size, None), 1, 0, |_| ());
    println!("{name}: {} states, {} steps, {:.1?}", verdict.states, verdict.depth - 1, verdict.elapsed);
    assert!(verdict.broken.is_none(), "{name}: {:#?}", verdict.broken);
    assert!(verdict.complete, "{name}: not all states were looked at");
    assert!(verdict.unseen.is_empty(), "{name}: never came to: {:?}", verdict.unseen);
}

#[test]
fn promises_hold_when_two_nodes_take_over_and_return() {
    holds("pair");
}

#[test]
fn promises_hold_when_restarts_lose_what_was_not_synced() {
    holds("pair-fsync");
}

#[test]
fn promises_hold_when_restarts_lose_a_tail() {
    holds("pair-memory");
}

#[test]
fn promises_hold_when_a_member_that_lost_its_tail_comes_back() {
    holds("pair-returns");
}

/// Too large to be walked to its end here: as far as the run that breaks a promise without the whole of rule R6.
#[test]
fn promises_hold_when_a_restarted_leader_takes_a_learner_in() {
    let size = Size::named("trio-rejoins").expect("the size is listed");
    let verdict = check(&Protocol::new(size, None), 1, 8_000_000, |_| ());
    println!("trio-rejoins: {} states, {} steps, {:.1?}", verdict.states, verdict.depth - 1, verdict.elapsed);
    assert!(verdict.broken.is_none(), "{:#?}", verdict.broken);
    assert!(verdict.depth > 16, "runs of up to {} steps", verdict.depth - 1);
}

#[test]
fn promises_hold_when_a_node_that_is_behind_is_forced_to_lead() {
    holds("pair-forced");
}

#[test]
fn promises_hold_when_a_node_starts_with_an_earlier_copy_of_its_directory() {
    holds("pair-rollback");
}

#[test]
fn promises_hold_when_a_node_is_forced_to_lead_and_one_starts_with_a_copy() {
    holds("pair-forced-rollback");
}

#[test]
fn promises_hold_when_one_of_three_nodes_is_forced_to_lead() {
    holds("trio-forced");
}

#[test]
fn promises_hold_for_three_nodes() {
    holds("trio");
}
