//! Nodes that need another one's snapshot, since the leader's journal begins too late for them.
use crate::SILENCE_MS;
use crate::cluster::{Cluster, MEMBERS, Plan};
use crate::common::PATIENCE;
use crate::faults;
use crate::member::counter;
use serde_json::Value;
use std::time::Instant;

/// Slow enough for journals not to run away from a learner that has just taken its snapshot.
const PLAN: Plan = Plan { rate: 1_000, silence_ms: SILENCE_MS, pruned: true };
/// What a start says that took one.
const BEGAN: &str = "began with the snapshot at message";

/// Looks again and again until this holds.
fn until(cluster: &mut Cluster, what: &str, mut holds: impl FnMut(&mut Cluster) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(cluster) {
        assert!(Instant::now() < deadline, "waited for this in vain: {what}; {}", cluster.state());
        cluster.look();
    }
}

/// The nodes, the leader first; it keeps no more all of its journal.
fn pruned(cluster: &mut Cluster) -> [usize; MEMBERS] {
    let leader = cluster.leader();
    until(cluster, "the leader keeps no more everything", |cluster| cluster.members[leader].first_kept() > 1);
    std::array::from_fn(|turn| (leader + turn) % MEMBERS)
}

/// It has no more what came before its snapshot, and is in sync.
fn is_a_learner_that_learned(cluster: &mut Cluster, node: usize) {
    cluster.heal();
    let member = &mut cluster.members[node];
    assert!(member.has_said(BEGAN), "{}", member.errors());
    let first = member.first_kept();
    assert!(first > 1, "its journal begins with message {first}");
}

#[test]
fn a_wiped_node_joins_by_a_snapshot_and_may_lead_then() {
    let Some(mut cluster) = Cluster::open(&PLAN) else { return };
    let [leader, wiped, other] = pruned(&mut cluster);
    cluster.members[wiped].kill();
    cluster.members[wiped].wipe();
    cluster.members[wiped].start();
    is_a_learner_that_learned(&mut cluster, wiped);
    let report = cluster.members[wiped].status().expect("it is well");
    assert_eq!(counter(&report, "snapshot_giver.strangers"), 0);
    // Nobody else is left to lead.
    let epoch = cluster.leader_but(None).expect("all is well").1.epoch;
    cluster.members[other].kill();
    until(&mut cluster, "the other one is out of the set", |cluster| {
        cluster.leader_but(None).is_some_and(|(_, standing)| standing.in_sync == 2)
    });
    cluster.members[leader].kill();
    assert_eq!(cluster.await_successor(leader, epoch), wiped);
    cluster.members[leader].start();
    cluster.members[other].start();
    cluster.heal();
    cluster.finish();
}

#[test]
fn a_snapshot_on_its_way_survives_the_death_of_either_side() {
    let Some(mut cluster) = Cluster::open(&PLAN) else { return };
    let [leader, wiped, other] = pruned(&mut cluster);
    cluster.members[wiped].kill();
    cluster.members[wiped].wipe();
    for _ in 0..2 {
        cluster.members[wiped].start();
        until(&mut cluster, "a snapshot is coming", |cluster| cluster.members[wiped].takes_a_snapshot());
        cluster.members[wiped].kill();
    }
    cluster.members[wiped].start();
    let gives = |cluster: &mut Cluster, node: usize| {
        let report = cluster.members[node].status();
        report.is_some_and(|report| counter(&report, "snapshot_giver.giving") > 0)
    };
    let mut giver = leader;
    until(&mut cluster, "a snapshot is given", |cluster| {
        giver = if gives(cluster, other) { other } else { leader };
        gives(cluster, giver)
    });
    println!("node {} gives node {} a snapshot, and is killed", giver + 1, wiped + 1);
    cluster.members[giver].kill();
    cluster.members[giver].start();
    is_a_learner_that_learned(&mut cluster, wiped);
    cluster.finish();
}

/// Few messages, so that what a learner needs is kept while it comes slowly.
const SLOW: Plan = Plan { rate: 100, silence_ms: SILENCE_MS, pruned: true };
/// Of a snapshot of several chunks.
const RECORDS: u64 = 6_000;
const VALUE_BYTES: usize = 250;

/// How the snapshot stands that a node gives this one: its giver's counters.
#[derive(Clone, Copy, Debug)]
struct Given {
    giver: usize,
    sequence: u64,
    chunks: u64,
    there: u64,
    before: u64,
    bytes: u64,
}

fn given(cluster: &mut Cluster, learner: usize) -> Option<Given> {
    (0..MEMBERS).filter(|giver| *giver != learner).find_map(|giver| {
        let report = cluster.members[giver].status()?;
        let of = |name: &str| counter(&report, &format!("snapshot_giver.giving{name}"));
        let given = Given {
            giver,
            sequence: of(""),
            chunks: of("_chunks"),
            there: of("_there"),
            before: of("_before"),
            bytes: of("_bytes"),
        };
        (of("_to") == learner as u64 + 1 && given.chunks > 0).then_some(given)
    })
}

/// Starts it, and waits until some of its snapshot has come; then it is in the middle of it, since it comes slowly.
fn begin_to_learn(cluster: &mut Cluster, learner: usize) -> Given {
    // The giver may not know yet that the last life is over.
    until(cluster, "nobody gives it anything", |cluster| given(cluster, learner).is_none());
    cluster.members[learner].start();
    let mut found = None;
    until(cluster, "some of a snapshot has come", |cluster| {
        found = given(cluster, learner).filter(|given| given.bytes > 300_000);
        found.is_some()
    });
    let given = found.expect("it was waited for");
    println!("node {} learns: {given:?}", learner + 1);
    assert!(given.there < given.chunks, "{given:?}");
    given
}

#[test]
fn a_learner_that_dies_or_is_stopped_goes_on_where_it_was_and_is_seen_to_learn() {
    let Some(mut cluster) = Cluster::open(&SLOW) else { return };
    cluster.fill(RECORDS, VALUE_BYTES);
    let [leader, wiped, _] = pruned(&mut cluster);
    cluster.members[wiped].kill();
    cluster.members[wiped].wipe();
    let first = begin_to_learn(&mut cluster, wiped);
    let [text, json] = cluster.told(leader);
    println!("{text}");
    let learns = format!("! node {} learns from node {}: ", wiped + 1, first.giver + 1);
    assert!(text.contains(&learns) && !text.contains("does not answer"), "{text}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let told = &json["nodes"][wiped]["learns"];
    assert_eq!(told["from"], first.giver + 1, "{told}");
    assert_eq!(told["transfer"]["sequence"], first.sequence, "{told}");
    cluster.members[wiped].kill();
    // The same snapshot is gone on with, though there is a newer one by now.
    let second = begin_to_learn(&mut cluster, wiped);
    assert_eq!((second.giver, second.sequence, second.chunks), (first.giver, first.sequence, first.chunks));
    assert!(second.before > 0, "{second:?} after {first:?}");
    let told = Instant::now();
    cluster.members[wiped].stop();
    println!("node {} ended {:?} after SIGTERM", wiped + 1, told.elapsed());
    let member = &cluster.members[wiped];
    assert!(member.has_begun_a_snapshot() && member.had_said(r#""ready":false,"stopped":true"#));
    assert!(member.had_said("learns from node "), "it says how far it is: {}", member.errors());
    cluster.members[wiped].start();
    is_a_learner_that_learned(&mut cluster, wiped);
    let member = &mut cluster.members[wiped];
    assert!(member.has_said("of them from an earlier start"), "{}", member.errors());
    assert!(!member.has_begun_a_snapshot());
    cluster.finish();
}

#[test]
fn a_node_that_was_away_for_too_long_starts_again_with_a_snapshot() {
    let Some(mut cluster) = Cluster::open(&PLAN) else { return };
    let [leader, away, _] = pruned(&mut cluster);
    faults::cut(&cluster, away, true);
    until(&mut cluster, "it is out of the set", |cluster| {
        cluster.members[leader].standing().is_some_and(|standing| standing.in_sync == 2)
    });
    let applied = cluster.members[away].standing().expect("clients reach it").applied;
    until(&mut cluster, "the leader keeps no more what it needs", |cluster| {
        cluster.members[leader].first_kept() > applied + PLAN.rate
    });
    cluster.mesh.mend_all();
    is_a_learner_that_learned(&mut cluster, away);
    assert!(
        cluster.members[away].has_said("it needs a snapshot of another node"),
        "it was told so as it ran"
    );
    cluster.finish();
}
