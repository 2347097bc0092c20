//! Worlds of some seeds keep every promise; the same seed gives the same world.
use gds_sim::run;
use gds_sim::world::World;

#[test]
fn should_keep_every_promise_in_some_worlds() {
    let outcome = run::run(1, 60, 2, false);
    if let Some(failure) = outcome.failures.first() {
        let replay = run::replay_command(failure.seed);
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
fn should_do_the_same_for_the_same_seed_and_something_else_for_another() {
    let trace = |seed| World::new(seed, false).run().expect("every promise is kept").trace;
    assert_eq!(trace(11), trace(11));
    assert_ne!(trace(11), trace(12));
}
