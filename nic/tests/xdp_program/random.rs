//! Packets at random: the kernel's run of the program and a reading of the rules in plain Rust come to the same.
use crate::frame::Frame;
use crate::{load, open_flow, pinned_flow};
use gds_nic::xdp::{FilterConfig, Flow, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The rules, written as they are told in `xdp::program`, apart from how the program goes about it.
fn reference(config: &FilterConfig, queue: u32, frame: &[u8]) -> Verdict {
    let Some(datagram) = datagram(frame).filter(|_| queue == config.queue) else { return Verdict::Pass };
    let Some(flow) = config.flows.iter().find(|flow| flow.to == datagram.1) else { return Verdict::Pass };
    if flow.senders.is_empty() || flow.senders.contains(&datagram.0) {
        Verdict::Redirect
    } else {
        Verdict::Drop
    }
}

/// Source and destination, if the frame is a whole UDP datagram in the form we take.
fn datagram(frame: &[u8]) -> Option<(Ipv4Addr, SocketAddrV4)> {
    let (ethernet, rest) = frame.split_at_checked(14)?;
    let (ip, _) = rest.split_at_checked(20)?;
    let number = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let address = |bytes: &[u8], at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
    let more_fragments = ip[6] & 0x20 != 0;
    let offset = number(ip, 6) % 0x2000;
    let plain = number(ethernet, 12) == 0x0800
        && ip[0] >> 4 == 4
        && ip[0] & 15 == 5
        && ip[9] == 17
        && !more_fragments
        && offset == 0;
    if !plain {
        return None;
    }
    let whole = rest.get(..usize::from(number(ip, 2)))?;
    let udp = whole.get(20..).filter(|udp| udp.len() >= 8)?;
    let length = usize::from(number(udp, 4));
    (8..=udp.len())
        .contains(&length)
        .then(|| (address(ip, 12), SocketAddrV4::new(address(ip, 16), number(udp, 2))))
}

fn flows() -> Vec<Flow> {
    vec![open_flow(0), pinned_flow(1, 1), pinned_flow(2, 5), open_flow(3)]
}

/// An address or port of a flow, or any.
fn frames() -> impl Strategy<Value = Frame> {
    let from = prop_oneof![
        (1u8..4, 0u8..7).prop_map(|(flow, sender)| Ipv4Addr::new(10, 9, flow, sender)),
        any::<u32>().prop_map(Ipv4Addr::from),
    ];
    let to = prop_oneof![
        8 => any::<Index>().prop_map(|index| index.get(&flows()).to),
        1 => (any::<Index>(), any::<Index>())
            .prop_map(|(ip, port)| SocketAddrV4::new(*ip.get(&flows()).to.ip(), port.get(&flows()).to.port())),
        1 => (any::<u32>(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port)),
    ];
    (from, to, prop::collection::vec(any::<u8>(), 0..80), 0usize..30)
        .prop_map(|(from, to, payload, trailer)| Frame { trailer, ..Frame::udp(from, to, &payload) })
}

/// What can happen to a frame's bytes.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Cut(Index),
    Bit(Index, u8),
    /// In the headers, where it matters.
    Header(u8, u8),
    /// A length, by a little.
    Length {
        udp: bool,
        by: i16,
    },
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Nothing),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        4 => (12u8..42, any::<u8>()).prop_map(|(at, value)| Change::Header(at, value)),
        2 => (any::<bool>(), -40i16..40).prop_map(|(udp, by)| Change::Length { udp, by }),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>) {
    match *change {
        Change::Nothing => {}
        // The kernel's test run takes no frame below an Ethernet header.
        Change::Cut(at) => bytes.truncate(14 + at.index(bytes.len() - 13)),
        Change::Bit(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Change::Header(at, value) => {
            if let Some(byte) = bytes.get_mut(usize::from(at)) {
                *byte = value;
            }
        }
        Change::Length { udp, by } => {
            let at = if udp { 38 } else { 16 };
            if let Some([high, low]) = bytes.get_mut(at..at + 2) {
                [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_add_signed(by).to_be_bytes();
            }
        }
    }
}

#[test]
fn the_kernel_decides_as_the_rules_say() {
    let config = FilterConfig { flows: flows(), queue: 0 };
    let Some(filter) = load(&config) else { return };
    let seen = [(); 3].map(|()| Cell::new(0));
    let one_more = |count: &Cell<u32>| count.set(count.get() + 1);
    let packets = (frames(), prop::collection::vec(changes(), 0..3));
    proptest!(ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() }, |((frame, changes) in packets)| {
        let mut bytes = frame.bytes();
        for change in &changes {
            apply(change, &mut bytes);
        }
        let ran = filter.program.test_run(&bytes, 1).unwrap();
        prop_assert_eq!(ran.verdict, reference(&config, 0, &bytes));
        prop_assert_eq!(ran.packet, bytes);
        match ran.verdict {
            Verdict::Drop => one_more(&seen[0]),
            Verdict::Pass => one_more(&seen[1]),
            _ => one_more(&seen[2]),
        }
    });
    assert!(seen.iter().all(|count| count.get() > 500), "too few of drops, passes or redirects: {seen:?}");
}

#[test]
fn bytes_without_any_form_pass() {
    let config = FilterConfig { flows: flows(), queue: 0 };
    let Some(filter) = load(&config) else { return };
    proptest!(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() }, |(bytes in prop::collection::vec(any::<u8>(), 14..200))| {
        prop_assert_eq!(filter.program.test_run(&bytes, 1).unwrap().verdict, reference(&config, 0, &bytes));
    });
}
