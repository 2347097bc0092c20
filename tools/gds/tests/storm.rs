//! A storm of foreign traffic on the node's interface: as much as the other host can send, of other ports, other groups, and strangers'
//! to our own. No acknowledged transaction is lost, and what was dropped is counted.
mod common;

use common::hosts::between_hosts;
use common::load::Load;
use common::{Node, Place, Settings};
use gds_hosts::{ADDRESS, INTERFACE};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long it blows.
const STORM: Duration = Duration::from_secs(10);
const WRITERS: usize = 3;
/// More than they can submit meanwhile.
const BLOCKS: u64 = 10_000_000;
/// A port where nobody listens.
const DISCARD_PORT: u16 = 9;
/// Of the test's host, and not one that may submit.
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

/// Sends to all of these in turn until told otherwise; returns how many datagrams left.
fn blow(from: Ipv4Addr, to: &[SocketAddrV4], over: &AtomicBool) -> u64 {
    let socket = UdpSocket::bind((from, 0)).expect("the address is there");
    let datagram = [0x5a; 1_000];
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        // What does not fit the sender's own queue is lost there, as on any interface at its limit.
        sent += to.iter().filter(|to| socket.send_to(&datagram, to).is_ok()).count() as u64;
    }
    sent
}

fn storm() {
    let added =
        Command::new("ip").args(["address", "add", &format!("{STRANGER}/24"), "dev", INTERFACE]).status();
    assert!(added.is_ok_and(|status| status.success()), "the test's host gets a second address");
    let place = Place::new(&Settings { transport: "af_xdp", ring_bytes: 16 << 20, ..Settings::default() });
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, BLOCKS, 0);
    let (ours, addresses) = (place.ingress(), place.network().addresses().clone());
    let foreign = [
        SocketAddrV4::new(ADDRESS[0], DISCARD_PORT),
        SocketAddrV4::new(*ours.ip(), DISCARD_PORT),
        SocketAddrV4::new(*addresses.downstream.ip(), ours.port()),
    ];
    let over = AtomicBool::new(false);
    let sent: u64 = std::thread::scope(|scope| {
        let others = scope.spawn(|| blow(ADDRESS[1], &foreign, &over));
        let strangers = scope.spawn(|| blow(STRANGER, &[ours], &over));
        load.go_on(STORM);
        over.store(true, Ordering::Relaxed);
        [others, strangers].into_iter().map(|blower| blower.join().expect("it ends")).sum()
    });
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    load.check(&place);

    let status = place.status(0);
    let counter =
        |name: &str| status.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value);
    let dropped = counter("sequencer_port.strangers");
    println!("{sent} foreign datagrams, {dropped} of strangers dropped, {} messages", load.known());
    assert!(sent > 100_000, "that was no storm: {sent} datagrams");
    assert!(dropped > 0, "strangers were not dropped");
    assert_eq!(counter("sequencer_port.malformed"), 0, "foreign packets reached the node");
    node.stop();
}

#[test]
fn a_storm_of_foreign_traffic_loses_nothing_in_native_mode() {
    between_hosts("a_storm_of_foreign_traffic_loses_nothing_in_native_mode", "native", storm);
}

#[test]
fn a_storm_of_foreign_traffic_loses_nothing_in_generic_mode() {
    between_hosts("a_storm_of_foreign_traffic_loses_nothing_in_generic_mode", "generic", storm);
}
