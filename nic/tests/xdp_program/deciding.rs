//! Each kind of packet by name.
use crate::frame::Frame;
use crate::{Filter, load, open_flow, pinned_flow};
use gds_nic::xdp::{FilterConfig, SocketCounters, Verdict};
use std::net::{Ipv4Addr, SocketAddrV4};

const ANYONE: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);
/// High in every byte, so that a mistake with signs would show.
const OWN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 200, 250), 65_000);

/// Flow 0 from anyone, flow 1 from 10.9.1.1 to 10.9.1.3, flow 2 to an address of our own, flow 3 from a sender high in every byte.
fn config() -> FilterConfig {
    let mut flows = vec![open_flow(0), pinned_flow(1, 3), open_flow(2), pinned_flow(3, 0)];
    flows[2].to = OWN;
    flows[3].senders = vec![Ipv4Addr::new(255, 254, 253, 252)];
    FilterConfig { flows, queue: 0 }
}

fn good() -> Frame {
    Frame::udp(ANYONE, open_flow(0).to, b"twenty bytes of data")
}

impl Filter {
    /// The program's verdict; the packet must come out as it went in.
    fn verdict(&self, bytes: &[u8]) -> Verdict {
        let ran = self.program.test_run(bytes, 1).unwrap();
        assert_eq!(ran.packet, bytes, "the packet was changed");
        ran.verdict
    }

    #[track_caller]
    fn expect(&self, verdict: Verdict, frame: &Frame) {
        assert_eq!(self.verdict(&frame.bytes()), verdict, "{frame:?}");
    }
}

#[test]
fn each_of_our_flows_is_redirected_and_counted_for_its_socket() {
    let Some(filter) = load(&config()) else { return };
    let senders = [ANYONE, Ipv4Addr::new(10, 9, 1, 2), ANYONE, Ipv4Addr::new(255, 254, 253, 252)];
    for (slot, (flow, from)) in config().flows.iter().zip(senders).enumerate() {
        assert_eq!(filter.map.read(slot as u32), SocketCounters::default());
        for length in [0, 1, 1472] {
            filter.expect(Verdict::Redirect, &Frame::udp(from, flow.to, &vec![7; length]));
        }
        assert_eq!(filter.map.read(slot as u32), SocketCounters { redirected: 3, strangers: 0 });
    }
}

#[test]
fn other_groups_ports_and_addresses_pass() {
    let Some(filter) = load(&config()) else { return };
    let ours = open_flow(0).to;
    for ip in [Ipv4Addr::new(239, 1, 1, 9), Ipv4Addr::new(1, 1, 1, 239), Ipv4Addr::new(192, 168, 200, 251)] {
        filter.expect(Verdict::Pass, &Frame::udp(ANYONE, SocketAddrV4::new(ip, ours.port()), b"x"));
    }
    for port in [ours.port() - 1, ours.port().swap_bytes(), OWN.port(), 0, 65_535] {
        filter.expect(Verdict::Pass, &Frame::udp(ANYONE, SocketAddrV4::new(*ours.ip(), port), b"x"));
    }
    assert_eq!(filter.map.read(0), SocketCounters::default());
}

#[test]
fn strangers_to_a_pinned_flow_are_dropped_and_counted() {
    let Some(filter) = load(&config()) else { return };
    let pinned = pinned_flow(1, 3);
    for sender in &pinned.senders {
        filter.expect(Verdict::Redirect, &Frame::udp(*sender, pinned.to, b"x"));
    }
    for stranger in [ANYONE, Ipv4Addr::new(10, 9, 1, 4), Ipv4Addr::new(1, 1, 9, 10), Ipv4Addr::UNSPECIFIED] {
        filter.expect(Verdict::Drop, &Frame::udp(stranger, pinned.to, b"x"));
    }
    assert_eq!(filter.map.read(1), SocketCounters { redirected: 3, strangers: 4 });
    // The senders of one flow are strangers to another.
    let far = &config().flows[3];
    filter.expect(Verdict::Drop, &Frame::udp(pinned.senders[0], far.to, b"x"));
    assert_eq!(filter.map.read(3), SocketCounters { redirected: 0, strangers: 1 });
}

#[test]
fn a_stranger_is_dropped_only_when_the_datagram_would_be_ours() {
    let Some(filter) = load(&config()) else { return };
    let from_stranger = Frame::udp(ANYONE, pinned_flow(1, 3).to, b"x");
    filter.expect(Verdict::Drop, &from_stranger);
    filter.expect(Verdict::Pass, &Frame { fragment: 0x2000, ..from_stranger.clone() });
    filter.expect(Verdict::Pass, &Frame { protocol: 6, ..from_stranger.clone() });
    filter.expect(Verdict::Pass, &Frame { version_and_length: 0x46, total_length: 33, ..from_stranger });
}

#[test]
fn other_protocols_pass() {
    let Some(filter) = load(&config()) else { return };
    filter.expect(Verdict::Redirect, &good());
    // ICMP, IGMP, TCP, UDP-Lite.
    for protocol in [1, 2, 6, 136] {
        filter.expect(Verdict::Pass, &Frame { protocol, ..good() });
    }
    // ARP, IPv6, EtherCAT, PTP, and lengths of IEEE 802.3.
    for ether_type in [0x0806, 0x86dd, 0x88a4, 0x88f7, 0x0008, 46] {
        filter.expect(Verdict::Pass, &Frame { ether_type, ..good() });
    }
    // Another version of IP, and a header shorter than it can be.
    for version_and_length in [0x65, 0x44, 0x40, 0x05] {
        filter.expect(Verdict::Pass, &Frame { version_and_length, ..good() });
    }
}

#[test]
fn ip_options_pass() {
    let Some(filter) = load(&config()) else { return };
    for words in 1..=10u16 {
        let frame = Frame {
            version_and_length: 0x45 + words as u8,
            total_length: good().total_length + 4 * words,
            ..good()
        };
        filter.expect(Verdict::Pass, &frame);
    }
}

#[test]
fn first_and_later_fragments_pass() {
    let Some(filter) = load(&config()) else { return };
    for fragment in [0x2000, 0x2001, 0x0001, 0x0100, 0x1fff, 0x6000] {
        filter.expect(Verdict::Pass, &Frame { fragment, ..good() });
    }
    for whole in [0x0000, 0x4000] {
        filter.expect(Verdict::Redirect, &Frame { fragment: whole, ..good() });
    }
}

#[test]
fn tagged_frames_pass() {
    let Some(filter) = load(&config()) else { return };
    for tags in [vec![0], vec![5], vec![5, 6]] {
        filter.expect(Verdict::Pass, &Frame { tags, ..good() });
    }
}

#[test]
fn runts_of_every_length_pass() {
    let Some(filter) = load(&config()) else { return };
    let shortest = Frame::udp(ANYONE, open_flow(0).to, b"").bytes();
    assert_eq!(shortest.len(), 42);
    for length in 14..42 {
        assert_eq!(filter.verdict(&shortest[..length]), Verdict::Pass, "{length} bytes");
    }
    assert_eq!(filter.verdict(&shortest), Verdict::Redirect);
}

#[test]
fn lengths_that_do_not_fit_the_frame_pass() {
    let Some(filter) = load(&config()) else { return };
    let (ip, udp) = (good().total_length, good().udp_length);
    for total_length in [0, 19, 20, 27, ip - 1, ip + 1, 0x8000, 0xffff] {
        filter.expect(Verdict::Pass, &Frame { total_length, ..good() });
    }
    for udp_length in [0, 1, 7, udp + 1, 0x7fff, 0xffec, 0xffff] {
        filter.expect(Verdict::Pass, &Frame { udp_length, ..good() });
    }
    // Cut on the way: every length too short for what the headers say.
    let bytes = good().bytes();
    for length in 42..bytes.len() {
        assert_eq!(filter.verdict(&bytes[..length]), Verdict::Pass, "{length} bytes");
    }
}

#[test]
fn padding_after_the_datagram_is_allowed() {
    let Some(filter) = load(&config()) else { return };
    // Ethernet pads to 60 bytes; and the kernel takes a datagram shorter than its IP packet.
    filter.expect(Verdict::Redirect, &Frame { trailer: 18, ..Frame::udp(ANYONE, open_flow(0).to, b"") });
    filter.expect(Verdict::Redirect, &Frame { udp_length: 8, ..good() });
}

#[test]
fn another_receive_queue_passes_all() {
    let Some(filter) = load(&FilterConfig { queue: 1, ..config() }) else { return };
    filter.expect(Verdict::Pass, &good());
    filter.expect(Verdict::Pass, &Frame::udp(ANYONE, pinned_flow(1, 3).to, b"x"));
}

#[test]
fn a_flow_without_a_socket_passes_and_is_not_counted() {
    let Some(mut filter) = load(&config()) else { return };
    filter.expect(Verdict::Redirect, &good());
    filter._sockets.remove(0);
    filter.expect(Verdict::Pass, &good());
    assert_eq!(filter.map.read(0), SocketCounters { redirected: 1, strangers: 0 });
    // Strangers stay outside even then.
    filter._sockets.clear();
    filter.expect(Verdict::Drop, &Frame::udp(ANYONE, pinned_flow(1, 3).to, b"x"));
}

#[test]
fn the_first_and_the_last_sender_of_each_of_16_flows_of_16_are_told_from_strangers() {
    reaches_all(16, 16);
}

#[test]
fn the_kernel_takes_the_largest_program() {
    reaches_all(64, 64);
}

fn reaches_all(flows: u8, senders: u8) {
    let flows: Vec<_> = (0..flows).map(|number| pinned_flow(number, senders)).collect();
    let Some(filter) = load(&FilterConfig { flows: flows.clone(), queue: 0 }) else { return };
    for flow in &flows {
        for sender in &flow.senders {
            filter.expect(Verdict::Redirect, &Frame::udp(*sender, flow.to, b"x"));
        }
        filter.expect(Verdict::Drop, &Frame::udp(ANYONE, flow.to, b"x"));
        let expected = SocketCounters { redirected: u64::from(senders), strangers: 1 };
        assert_eq!(filter.map.read(flow.socket), expected, "{flow:?}");
    }
}

#[test]
fn flows_may_all_be_open_or_all_pinned() {
    let Some(open) = load(&FilterConfig { flows: vec![open_flow(0)], queue: 0 }) else { return };
    open.expect(Verdict::Redirect, &good());
    let Some(pinned) = load(&FilterConfig { flows: vec![pinned_flow(0, 1)], queue: 0 }) else { return };
    pinned.expect(Verdict::Drop, &good());
}

#[test]
fn a_program_without_flows_passes_all() {
    let Some(filter) = load(&FilterConfig::default()) else { return };
    filter.expect(Verdict::Pass, &good());
}
