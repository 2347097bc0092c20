//! Real processes on hosts of their own, with a real etcd: three nodes hold one stream under load, and the world is unkind to them.
//!
//! ```text
//!  hosts 0 to 2: nodes 1 to 3     host 3: etcd     host 4: this test: writers, listeners, a witness of every packet, readers
//! ```
//!
//! Nodes are killed, frozen, cut off from each other or from etcd, and stopped in order; etcd is killed. Then: every acknowledged transaction is
//! there exactly once and with the outcome that was acknowledged, listeners saw one gapless sequence, all nodes have the same bytes and digests,
//! and no packet of anybody, whenever it was sent, contradicts any of it.
//!
//! | variable | for a longer run of `everything_survives_every_kind_of_fault` |
//! | --- | --- |
//! | `GDS_CLUSTER_FAULTS` | so many faults |
//! | `GDS_CLUSTER_KIND` | of this kind alone, the primary's |
//! | `GDS_CLUSTER_RATE` | messages a second |
//! | `GDS_CLUSTER_SEED` | the seed of the faults |
//! | `GDS_CLUSTER_SILENCE_MS` | after so much silence a node takes another for dead |
#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod ears;
mod etcd;
mod faults;
mod learners;
mod member;
mod verdict;
mod writers;

use cluster::{Cluster, Plan};
use faults::{Fault, Figures, KINDS, Target};
use gds_core::random::Random;
use std::time::Duration;

/// Of the short runs: beside other tests, on few processors.
const RATE: u64 = 5_000;
const SILENCE_MS: u64 = 200;

/// A number from the environment, for runs by hand.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

#[test]
fn the_primary_is_killed_and_nothing_acknowledged_is_lost() {
    let plan = Plan { rate: RATE, silence_ms: SILENCE_MS, pruned: false };
    let Some(mut cluster) = Cluster::open(&plan) else { return };
    let mut figures = Figures::default();
    for _ in 0..2 {
        faults::suffer(
            &mut cluster,
            Fault { kind: "kill", target: Target::Leader, rest: Duration::from_millis(300) },
            &mut figures,
        );
    }
    cluster.finish();
    figures.print();
}

#[test]
fn everything_survives_every_kind_of_fault() {
    let plan = Plan {
        rate: asked("GDS_CLUSTER_RATE", RATE),
        silence_ms: asked("GDS_CLUSTER_SILENCE_MS", SILENCE_MS),
        pruned: false,
    };
    let count = asked("GDS_CLUSTER_FAULTS", KINDS.len() as u64);
    let seed = asked("GDS_CLUSTER_SEED", 1);
    let Some(mut cluster) = Cluster::open(&plan) else { return };
    println!("{count} faults of seed {seed}, {} messages a second, {plan}", plan.rate);
    let mut random = Random::new(seed);
    let mut figures = Figures::default();
    let kind = std::env::var("GDS_CLUSTER_KIND").ok();
    for fault in faults::draw(&mut random, count, kind.as_deref()) {
        faults::suffer(&mut cluster, fault, &mut figures);
    }
    cluster.finish();
    figures.print();
}

#[test]
fn a_primary_that_was_cut_off_acknowledges_nothing_that_its_successor_does_not() {
    old_primary("cut off from nodes and etcd");
}

#[test]
fn a_primary_that_was_frozen_acknowledges_nothing_that_its_successor_does_not() {
    old_primary("freeze");
}

/// A primary that clients still reach while another leads, and that comes back as if nothing had been. What it says is held against the stream with
/// all the rest, by the number.
fn old_primary(kind: &'static str) {
    let Some(mut cluster) = Cluster::open(&Plan { rate: RATE, silence_ms: SILENCE_MS, pruned: false }) else {
        return;
    };
    let mut figures = Figures::default();
    for _ in 0..3 {
        let old = cluster.leader();
        let before = cluster.ears.acknowledgements_from(old);
        let rest = Duration::from_millis(500);
        faults::suffer(&mut cluster, Fault { kind, target: Target::Leader, rest }, &mut figures);
        assert_ne!(cluster.leader(), old, "nobody took over");
        println!(
            "node {}: {before} acknowledgements before, {} since",
            old + 1,
            cluster.ears.acknowledgements_from(old) - before
        );
    }
    cluster.finish();
    figures.print();
}
