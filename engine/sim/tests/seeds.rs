//! Worlds of some seeds keep every promise; the same seed gives the same world.
use gds_sim::run::{self, Worlds};
use gds_sim::world::World;

#[test]
fn should_keep_every_promise_in_some_worlds() {
    let outcome = run::run(Worlds::Alone, 1, 60, 2, false);
    if let Some(failure) = outcome.failures.first() {
        let replay = run::replay_command(failure.worlds, failure.seed);
        panic!("seed {}: {}\n  replay: {replay}", failure.seed, failure.violation);
    }
    assert_eq!(outcome.seeds, 60);
    for name in
        ["world.process kills", "world.power cuts", "network.lost", "receiver.filled", "ingress.duplicates"]
    {
        assert!(outcome.tally.get(name) > 0, "no {name} in sixty worlds");
    }
}

#[test]
fn should_keep_every_promise_in_some_clusters() {
    let outcome = run::run(Worlds::Clusters, 1, 60, 2, false);
    if let Some(failure) = outcome.failures.first() {
        let replay = run::replay_command(failure.worlds, failure.seed);
        panic!("seed {}: {}\n  replay: {replay}", failure.seed, failure.violation);
    }
    assert_eq!(outcome.seeds, 60);
    for name in ["cluster.takeovers", "cluster.set changes", "cluster.nodes isolated", "register.silences"] {
        assert!(outcome.tally.get(name) > 0, "no {name} in sixty clusters");
    }
}

#[test]
fn should_keep_every_promise_in_some_worlds_in_which_time_runs_back() {
    let outcome = run::run(Worlds::History, 1, 100, 2, false);
    if let Some(failure) = outcome.failures.first() {
        let replay = run::replay_command(failure.worlds, failure.seed);
        panic!("seed {}: {}\n  replay: {replay}", failure.seed, failure.violation);
    }
    assert_eq!(outcome.seeds, 100);
    for name in [
        "history.leads forced",
        "history.copies restored",
        "history.durability changed",
        "history.sessions begun",
        "history.pasts changed",
        "history.nodes that differ",
        "history.contradictions",
        "history.starts refused",
    ] {
        assert!(outcome.tally.get(name) > 0, "no {name} in a hundred worlds");
    }
}

#[test]
fn should_do_the_same_for_the_same_seed_and_something_else_for_another() {
    let trace = |worlds: Worlds, seed| {
        World::of(worlds.plan(seed), false).run().expect("every promise is kept").trace
    };
    for worlds in [Worlds::Alone, Worlds::Clusters, Worlds::History] {
        assert_eq!(trace(worlds, 11), trace(worlds, 11));
        assert_ne!(trace(worlds, 11), trace(worlds, 12));
    }
}
