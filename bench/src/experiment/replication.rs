//! What several nodes that hold one stream cost, and what happens when one joins or dies: two nodes, each on a host of its own on this machine,
//! and the load on a third.
//!
//! The first node's agents have the system's processor, spinning. Everything else, the second node, the load and what reads, shares the other one: this
//! way a machine with two processors has the least hand-overs.
pub mod pauses;
pub mod round_trip;
pub mod takeovers;

use super::{Bench, Found};
use crate::measurement::Row;
use gds_hosts::Mesh;
use std::sync::Arc;

/// Hosts: of two nodes, and of the load.
const NODE_1: usize = 0;
const NODE_2: usize = 1;
const LOAD: usize = 2;

/// After so much silence a node takes another for dead, where none is to die: processors are shared.
const PATIENT_MS: u64 = 2_000;

/// Makes the hosts, and what is measured on them.
fn on_hosts(name: &str, measure: impl FnOnce(&Arc<Mesh>, &mut Found)) -> Found {
    let mut found = Found::default();
    match Mesh::new(LOAD + 1) {
        Ok(mesh) => measure(&Arc::new(mesh), &mut found),
        Err(why) => found.skipped.push(format!("{name}: no hosts on this machine: {why}")),
    }
    found
}

/// Who runs where, in words.
fn cores(bench: &Bench<'_>) -> String {
    let name =
        |core: Option<usize>| core.map_or("any processor".to_owned(), |core| format!("processor {core}"));
    format!("node 1 on {}, node 2 and the load on {}", name(bench.cores.system), name(bench.cores.load))
}

/// A row with more to say below it.
fn noted(mut row: Row, more: impl IntoIterator<Item = String>) -> Row {
    let note = std::mem::take(&mut row.note);
    let parts = std::iter::once(note).chain(more).filter(|part| !part.is_empty());
    row.note = parts.collect::<Vec<_>>().join("; ");
    row
}
