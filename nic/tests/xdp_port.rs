//! Ports over AF_XDP between two hosts (network namespaces on a veth pair). On the other side is an ordinary socket, whose kernel
//! checks every header and checksum.
use gds_hosts::{ADDRESS, Hosts, INTERFACE, NOBODY};
use gds_nic::udp::UdpCounters;
use gds_nic::xdp::{XdpConfig, XdpError, XdpMode};
use gds_nic::{Doorbell, Interface, NicError, Transport, UdpConfig, UdpPort};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 7, 1);
const OTHER_GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 7, 2);
const PORT: u16 = 26_400;

const MODES: [XdpMode; 2] = [XdpMode::Generic, XdpMode::Native];

fn at(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(ip, port)
}

fn on_interface(transport: Transport, bind: SocketAddrV4) -> UdpConfig {
    let join = if bind.ip().is_multicast() { vec![*bind.ip()] } else { Vec::new() };
    let interface = Interface::Name(INTERFACE.into());
    UdpConfig { transport, interface, join, ..UdpConfig::new(bind) }
}

fn over_xdp(mode: XdpMode, bind: SocketAddrV4) -> UdpConfig {
    let xdp = XdpConfig { mode, ..XdpConfig::default() };
    UdpConfig { xdp, ..on_interface(Transport::AfXdp, bind) }
}

fn over_socket(bind: SocketAddrV4) -> UdpConfig {
    on_interface(Transport::Socket, bind)
}

fn open(hosts: &Hosts, host: usize, config: UdpConfig) -> UdpPort {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match hosts.on(host, || UdpPort::open(config.clone())) {
            Ok(port) => return port,
            // A program that another test starts has all our sockets for a moment, those just closed as well.
            Err(NicError::AddressInUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Two hosts, when ports over AF_XDP can be had there.
fn hosts() -> Option<Hosts> {
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(why) => {
            println!("skipped: no network namespaces: {why}");
            return None;
        }
    };
    let probe = over_xdp(XdpMode::Auto, at(ADDRESS[0], 0));
    match hosts.on(0, || UdpPort::open(probe)) {
        Ok(_) => Some(hosts),
        Err(error @ NicError::Xdp(XdpError::Capability { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Receives until `count` datagrams came, or two seconds passed.
fn collect(port: &mut UdpPort, count: usize) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(2);
    while got.len() < count && Instant::now() < deadline {
        port.receive(64, &mut |source, datagram| got.push((source, datagram.to_vec())));
    }
    got
}

fn text(got: &[(SocketAddrV4, Vec<u8>)]) -> Vec<&[u8]> {
    got.iter().map(|(_, bytes)| bytes.as_slice()).collect()
}

#[test]
fn groups_and_single_addresses_go_both_ways() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let groups = vec![GROUP, OTHER_GROUP];
        let any = UdpConfig { join: groups, ..over_xdp(mode, at(Ipv4Addr::UNSPECIFIED, PORT)) };
        let mut port = open(&hosts, 0, any);
        println!("{}", port.transport_reason());
        assert_eq!(port.transport(), Transport::AfXdp);
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        let mut member = open(&hosts, 1, over_socket(at(OTHER_GROUP, 26_500)));

        assert!(peer.send(at(GROUP, PORT), b"to a group"));
        assert!(peer.send(at(OTHER_GROUP, PORT), b"to another"));
        assert!(peer.send(at(ADDRESS[0], PORT), b"to one"));
        let got = collect(&mut port, 3);
        assert_eq!(text(&got), [b"to a group".as_slice(), b"to another", b"to one"], "{mode}");
        assert!(got.iter().all(|(source, _)| *source == peer.local_address()));

        // Of any length there is no room for padding to hide in, and with odd ones the checksum's last byte counts.
        for length in [0, 1, 2, 17, 18, 19, 200, 1_471, 1_472] {
            let datagram: Vec<u8> = (0..length).map(|byte| byte as u8 ^ 0x5a).collect();
            assert!(port.send(peer.local_address(), &datagram), "{length}");
            assert!(port.send(at(OTHER_GROUP, 26_500), &datagram), "{length}");
            let expected = [(at(ADDRESS[0], PORT), datagram)];
            assert_eq!(collect(&mut peer, 1), expected, "{mode}, {length} bytes to one");
            assert_eq!(collect(&mut member, 1), expected, "{mode}, {length} bytes to a group");
        }
        let UdpCounters { received, through_kernel, sent, sent_through_kernel, .. } = port.counters();
        assert_eq!((received, through_kernel, sent), (3, 0, 18), "{mode}");
        // The neighbour was known, from its own datagrams; or after the first.
        assert!(sent_through_kernel <= 2, "{mode}: {sent_through_kernel} through the kernel");
    }
}

#[test]
fn a_burst_is_received_or_its_loss_is_accounted_for() {
    const COUNT: u32 = 10_000;
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let mut port = open(&hosts, 0, over_xdp(mode, at(GROUP, PORT)));
        let mut sender = open(&hosts, 1, over_xdp(mode, at(ADDRESS[1], 0)));
        let mut numbers = Vec::new();
        let sending = std::thread::spawn(move || {
            for number in 0..COUNT {
                while !sender.send(at(GROUP, PORT), &number.to_be_bytes()) {
                    std::thread::yield_now();
                }
            }
            sender.counters().send_failed
        });
        let silence = Duration::from_millis(200);
        let mut deadline = Instant::now() + silence;
        while Instant::now() < deadline {
            let got = port.receive(64, &mut |_, bytes| {
                numbers.push(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
            });
            if got > 0 {
                deadline = Instant::now() + silence;
            }
        }
        assert_eq!(sending.join().unwrap(), 0, "{mode}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{mode}: in order, each once");
        let drops = port.ring_drops();
        println!("{mode}: {} received, {drops:?}", numbers.len());
        assert_eq!(
            numbers.len() as u64 + drops.ring_full + drops.frames_short,
            u64::from(COUNT),
            "{mode}: {drops:?}"
        );
        assert_eq!(port.drops(), drops.ring_full + drops.frames_short);
    }
}

#[test]
fn what_does_not_fit_the_rings_is_counted_and_the_port_goes_on() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let few = XdpConfig { mode, receive_frames: 64, send_frames: 64, ..XdpConfig::default() };
        let mut port = open(&hosts, 0, UdpConfig { xdp: few, ..over_xdp(mode, at(GROUP, PORT)) });
        let mut sender = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        for number in 0..500u32 {
            assert!(sender.send(at(GROUP, PORT), &number.to_be_bytes()));
        }
        // The ring has half as many places as there are frames.
        let got = collect(&mut port, 32);
        assert_eq!(got.len(), 32, "{mode}");
        assert_eq!(port.ring_drops().ring_full, 500 - 32, "{mode}");
        for round in 0..300 {
            assert!(sender.send(at(GROUP, PORT), b"afterwards"));
            assert_eq!(collect(&mut port, 1).len(), 1, "{mode}, {round}: frames were lost on the way");
        }
    }
}

#[test]
fn two_ports_on_two_threads_share_a_queue() {
    const COUNT: u32 = 20_000;
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let ports = [PORT, PORT + 1].map(|port| open(&hosts, 0, over_xdp(mode, at(ADDRESS[0], port))));
        let mut peers = [0, 1].map(|_| open(&hosts, 1, over_socket(at(ADDRESS[1], 0))));
        let to = peers.each_ref().map(UdpPort::local_address);
        let deadline = Instant::now() + Duration::from_secs(30);
        std::thread::scope(|scope| {
            // Each echoes to its own peer what comes, and nothing else comes.
            for (mut port, to) in ports.into_iter().zip(to) {
                scope.spawn(move || {
                    let (mut numbers, mut echoed) = (Vec::with_capacity(64), 0);
                    while echoed < COUNT && Instant::now() < deadline {
                        port.receive(64, &mut |source, bytes| {
                            assert_eq!(source, to);
                            numbers.push(<[u8; 4]>::try_from(bytes).expect("four bytes"));
                        });
                        for number in numbers.drain(..) {
                            // Sent frames are not seen to be back while the other has the completions, and it may be
                            // off its core for long just then.
                            while !port.send(to, &number) && Instant::now() < deadline {
                                std::thread::yield_now();
                            }
                            echoed += 1;
                        }
                    }
                });
            }
            let mut next = [0u32; 2];
            let mut sent = [0u32; 2];
            while next != [COUNT; 2] {
                assert!(Instant::now() < deadline, "{mode}: {next:?} of {sent:?} came back");
                for (index, peer) in peers.iter_mut().enumerate() {
                    while sent[index] < COUNT && sent[index] - next[index] < 200 {
                        assert!(peer.send(at(ADDRESS[0], PORT + index as u16), &sent[index].to_be_bytes()));
                        sent[index] += 1;
                    }
                    peer.receive(64, &mut |_, bytes| {
                        assert_eq!(bytes, next[index].to_be_bytes(), "{mode}");
                        next[index] += 1;
                    });
                }
            }
        });
    }
}

#[test]
fn a_port_that_is_closed_leaves_its_frames_to_the_next() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let few =
            XdpConfig { mode, receive_frames: 64, send_frames: 64, ports_max: 2, ..XdpConfig::default() };
        let config = |port| UdpConfig { xdp: few, ..over_xdp(mode, at(ADDRESS[0], port)) };
        let mut stays = open(&hosts, 0, config(PORT));
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        for round in 0..20 {
            let mut goes = open(&hosts, 0, config(PORT + 1));
            let third = hosts.on(0, || UdpPort::open(config(PORT + 2))).map(|_| ());
            assert!(third.unwrap_err().to_string().contains("raise ports_max"));
            for number in 0..50u32 {
                assert!(peer.send(at(ADDRESS[0], PORT + 1), &number.to_be_bytes()));
                assert!(goes.send(peer.local_address(), &number.to_be_bytes()), "{mode}, {round}");
            }
            assert_eq!(collect(&mut peer, 50).len(), 50, "{mode}, {round}");
            // It goes with packets in its ring.
            assert!(goes.receive(3, &mut |_, _| {}) > 0, "{mode}, {round}");
            drop(goes);
            assert!(peer.send(at(ADDRESS[0], PORT), b"still here"));
            assert_eq!(text(&collect(&mut stays, 1)), [b"still here"], "{mode}, {round}");
        }
    }
}

#[test]
fn what_ports_with_one_doorbell_send_waits_for_it_and_keeps_its_order() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let doorbell = Doorbell::new();
        assert!(!doorbell.ring().unwrap(), "{mode}: no port has it");
        let shared =
            |port| UdpConfig { doorbell: Some(doorbell.clone()), ..over_xdp(mode, at(ADDRESS[0], port)) };
        let mut ports = [PORT, PORT + 1].map(|port| open(&hosts, 0, shared(port)));
        // Of another queue: it sends at once.
        let far = UdpConfig { bind: at(ADDRESS[1], PORT), ..shared(PORT) };
        let mut far = open(&hosts, 1, far);
        let mut member = open(&hosts, 1, over_socket(at(GROUP, PORT)));
        for round in 0..200u32 {
            let numbers: Vec<[u8; 4]> = (0..5).map(|index| (round * 5 + index).to_be_bytes()).collect();
            assert!(ports[0].send(at(GROUP, PORT), &numbers[0]));
            assert!(ports[1].send(at(GROUP, PORT), &numbers[1]));
            assert_eq!(ports[0].send_segments(at(GROUP, PORT), &numbers[2..4].concat(), 4), 2);
            assert!(ports[1].send(at(GROUP, PORT), &numbers[4]));
            // What is sent on veth is there when the call is over.
            assert_eq!(member.receive(64, &mut |_, _| {}), 0, "{mode}, {round}: nobody has rung");
            assert!(doorbell.ring().unwrap() && !doorbell.ring().unwrap(), "{mode}, {round}");
            let got = collect(&mut member, 5);
            assert_eq!(
                text(&got),
                numbers.iter().map(|number| number.as_slice()).collect::<Vec<_>>(),
                "{mode}"
            );
            let from = got.iter().map(|(source, _)| source.port() - PORT).collect::<Vec<_>>();
            assert_eq!(from, [0, 1, 0, 0, 1], "{mode}, {round}");
        }
        assert!(far.send(at(ADDRESS[0], PORT), b"at once"));
        assert_eq!(text(&collect(&mut ports[0], 1)), [b"at once"], "{mode}");
        assert_eq!(ports.map(|port| port.counters().sent), [600, 400], "{mode}");
    }
}

#[test]
fn a_doorbell_that_nobody_rings_holds_up_no_more_than_there_are_frames() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let doorbell = Doorbell::new();
        let few =
            XdpConfig { mode, receive_frames: 64, send_frames: 64, ports_max: 2, ..XdpConfig::default() };
        let config = |port| UdpConfig {
            xdp: few,
            doorbell: Some(doorbell.clone()),
            ..over_xdp(mode, at(ADDRESS[0], port))
        };
        let mut member = open(&hosts, 1, over_socket(at(GROUP, PORT)));
        let mut stays = open(&hosts, 0, config(PORT));
        for round in 0..10 {
            let mut goes = open(&hosts, 0, config(PORT + 1));
            for port in [&mut stays, &mut goes] {
                for number in 0..100u32 {
                    assert!(port.send(at(GROUP, PORT), &number.to_be_bytes()), "{mode}, {round}");
                }
            }
            // The rest of one port's waits in the ring when it goes, and leaves with the other's.
            drop(goes);
            assert!(doorbell.ring().unwrap());
            assert_eq!(collect(&mut member, 200).len(), 200, "{mode}, {round}");
        }
        // A port that looks around in silence takes care of what was forgotten.
        assert!(stays.send(at(GROUP, PORT), b"forgotten"));
        let deadline = Instant::now() + Duration::from_secs(2);
        while member.receive(1, &mut |_, _| {}) == 0 {
            stays.receive(1, &mut |_, _| {});
            assert!(Instant::now() < deadline, "{mode}: it is still in the ring");
        }
    }
}

#[test]
fn what_the_kernel_refuses_is_told_to_whoever_rings_and_leaves_when_it_can() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let doorbell = Doorbell::new();
        let shared = UdpConfig { doorbell: Some(doorbell.clone()), ..over_xdp(mode, at(ADDRESS[0], PORT)) };
        let mut port = open(&hosts, 0, shared);
        let mut member = open(&hosts, 1, over_socket(at(GROUP, PORT)));
        hosts.run(0, &format!("ip link set dev {INTERFACE} down")).unwrap();
        for number in 0..3u32 {
            assert!(port.send(at(GROUP, PORT), &number.to_be_bytes()), "{mode}: it is in the ring");
            let refused = doorbell.ring().unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ENETDOWN), "{mode}");
            assert!(!doorbell.ring().unwrap(), "{mode}: it is no use to ask again at once");
        }
        hosts.run(0, &format!("ip link set dev {INTERFACE} up")).unwrap();
        assert!(port.send(at(GROUP, PORT), &3u32.to_be_bytes()));
        assert!(doorbell.ring().unwrap(), "{mode}");
        let numbers: Vec<[u8; 4]> = (0..4u32).map(u32::to_be_bytes).collect();
        let expected: Vec<&[u8]> = numbers.iter().map(|number| number.as_slice()).collect();
        assert_eq!(text(&collect(&mut member, 4)), expected, "{mode}");
    }
}

#[test]
fn an_address_not_heard_of_yet_is_found_out_through_the_kernel() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        for host in [0, 1] {
            hosts.run(host, &format!("ip neighbour flush dev {INTERFACE}")).unwrap();
        }
        let mut port = open(&hosts, 0, over_xdp(mode, at(ADDRESS[0], PORT)));
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        // Nobody is there: the kernel asks in vain, and the port is none the worse for it.
        assert!(port.send(at(NOBODY, 9), b"nobody"));
        // No less to itself and to an address beyond its network.
        assert!(port.send(at(Ipv4Addr::LOCALHOST, 9), b"itself"));
        port.send(at(Ipv4Addr::new(192, 0, 2, 1), 9), b"no route");
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut sent = 0;
        loop {
            let through_kernel = port.counters().sent_through_kernel;
            assert!(port.send(peer.local_address(), b"hello"));
            sent += 1;
            assert_eq!(text(&collect(&mut peer, 1)), [b"hello"], "{mode}: the first waits in the kernel");
            if port.counters().sent_through_kernel == through_kernel {
                break;
            }
            assert!(Instant::now() < deadline, "{mode}: still through the kernel after {sent}");
        }
        assert!(sent > 1, "{mode}: the first cannot go without an address");
    }
}

#[test]
fn a_neighbour_that_changes_its_ethernet_address_is_followed() {
    let Some(hosts) = hosts() else { return };
    let mut port = open(&hosts, 0, over_xdp(XdpMode::Auto, at(ADDRESS[0], PORT)));
    let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], PORT)));
    assert!(peer.send(at(ADDRESS[0], PORT), b"hello"));
    assert_eq!(collect(&mut port, 1).len(), 1);
    assert!(port.send(peer.local_address(), b"before"));
    assert_eq!(text(&collect(&mut peer, 1)), [b"before"]);
    hosts.run(1, &format!("ip link set dev {INTERFACE} address 02:00:00:00:00:77")).unwrap();
    // It tells when it asks.
    hosts.run(1, &format!("ip neighbour flush dev {INTERFACE}")).unwrap();
    assert!(peer.send(at(ADDRESS[0], PORT), b"moved"));
    // Quiet laps look it up again, a second later at the latest.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        port.receive(64, &mut |_, _| {});
        port.send(peer.local_address(), b"after");
        let mut heard = 0;
        peer.receive(64, &mut |_, _| heard += 1);
        if heard > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing arrives at the new address");
    }
}

#[test]
fn what_is_too_long_is_refused_and_counted_and_the_rest_of_a_burst_as_well() {
    let Some(hosts) = hosts() else { return };
    let mut port = open(&hosts, 0, over_xdp(XdpMode::Auto, at(ADDRESS[0], PORT)));
    let mut member = open(&hosts, 1, over_socket(at(GROUP, PORT)));
    assert!(!port.send(at(GROUP, PORT), &[7; 1_473]));
    assert_eq!(port.last_send_error().unwrap().raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(port.send_segments(at(GROUP, PORT), &[7; 5_000], 1_500), 0);
    assert_eq!((port.counters().sent, port.counters().send_failed), (0, 1 + 4));
    assert_eq!(port.send_segments(at(GROUP, PORT), &[8; 3_000], 1_472), 3);
    let lengths: Vec<usize> = collect(&mut member, 3).iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [1_472, 1_472, 56]);
    // What the port itself takes no longer datagrams than is a setting of its own.
    let narrow = UdpConfig { datagram_bytes_max: 100, ..over_xdp(XdpMode::Auto, at(ADDRESS[0], PORT + 1)) };
    let mut narrow = open(&hosts, 0, narrow);
    assert!(member.send(narrow.local_address(), &[1; 101]));
    assert!(member.send(narrow.local_address(), &[1; 100]));
    assert_eq!(collect(&mut narrow, 1)[0].1.len(), 100);
    assert_eq!(narrow.counters().oversize, 1);
}

#[test]
fn bursts_leave_with_one_call_and_arrive_whole() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let mut port = open(&hosts, 0, over_xdp(mode, at(ADDRESS[0], PORT)));
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        assert!(peer.send(at(ADDRESS[0], PORT), b"hello"));
        assert_eq!(collect(&mut port, 1).len(), 1);
        for round in 0..20u8 {
            let bytes: Vec<u8> = (0..63 * 100 + 1).map(|at| (at / 100) as u8 ^ round).collect();
            assert_eq!(port.send_segments(peer.local_address(), &bytes, 100), 64, "{mode}");
            let got = collect(&mut peer, 64);
            assert_eq!(got.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), bytes, "{mode}");
            // The other way the peer's kernel cuts the burst, unless it leaves that to an interface in generic mode.
            if mode == XdpMode::Generic {
                continue;
            }
            assert_eq!(peer.send_segments(at(ADDRESS[0], PORT), &bytes, 100), 64);
            let got = collect(&mut port, 64);
            assert_eq!(got.len(), 64, "{mode}, {round}: {:?} {:?}", port.counters(), port.ring_drops());
            assert_eq!(got.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), bytes, "{mode}");
        }
    }
}

#[test]
fn fragments_and_datagrams_of_this_host_come_through_the_kernel() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let config = UdpConfig { datagram_bytes_max: 9_000, ..over_xdp(mode, at(GROUP, PORT)) };
        let mut port = open(&hosts, 0, config);
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        let mut neighbour = open(&hosts, 0, over_socket(at(ADDRESS[0], 0)));
        assert!(peer.send(at(GROUP, PORT), &[5; 4_000]));
        assert!(neighbour.send(at(GROUP, PORT), &[6; 100]));
        let mut lengths: Vec<usize> = collect(&mut port, 2).iter().map(|(_, bytes)| bytes.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [100, 4_000], "{mode}");
        assert_eq!(port.counters().through_kernel, 2);
    }
}

#[test]
fn strangers_are_dropped_and_counted_whichever_way_they_come() {
    let Some(hosts) = hosts() else { return };
    hosts.run(1, &format!("ip address add 10.77.0.3/24 dev {INTERFACE}")).unwrap();
    for mode in MODES {
        let senders = vec![ADDRESS[1]];
        let config = UdpConfig { senders, datagram_bytes_max: 9_000, ..over_xdp(mode, at(GROUP, PORT)) };
        let mut port = open(&hosts, 0, config);
        let mut friend = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        let mut stranger = open(&hosts, 1, over_socket(at(Ipv4Addr::new(10, 77, 0, 3), 0)));
        assert!(stranger.send(at(GROUP, PORT), b"stranger"));
        assert!(stranger.send(at(GROUP, PORT), &[7; 4_000]));
        assert!(friend.send(at(GROUP, PORT), b"friend"));
        assert!(friend.send(at(GROUP, PORT), &[8; 4_000]));
        let got = collect(&mut port, 2);
        assert!(got.iter().all(|(source, _)| *source == friend.local_address()), "{mode}");
        assert_eq!((got.len(), port.ring_drops().strangers), (2, 2), "{mode}");
    }
}

#[test]
fn a_port_that_takes_over_a_place_does_not_answer_for_the_strangers_before_it() {
    let Some(hosts) = hosts() else { return };
    let _keeps_the_queue = open(&hosts, 0, over_xdp(XdpMode::Auto, at(ADDRESS[0], PORT)));
    let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
    for round in 1..=3 {
        let config = over_xdp(XdpMode::Auto, at(GROUP, PORT + 1));
        let mut port = open(&hosts, 0, UdpConfig { senders: vec![NOBODY], ..config });
        assert_eq!(port.ring_drops().strangers, 0, "{round}");
        for _ in 0..round {
            assert!(peer.send(at(GROUP, PORT + 1), b"stranger"));
        }
        assert_eq!(collect(&mut port, 1).len(), 0, "{round}");
        assert_eq!(port.ring_drops().strangers, round, "{round}");
    }
}

#[test]
fn a_port_can_be_opened_again_at_once_and_its_queue_by_nobody_else() {
    let Some(hosts) = hosts() else { return };
    let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
    for mode in [XdpMode::Generic, XdpMode::Native, XdpMode::Auto, XdpMode::Native] {
        let mut port = open(&hosts, 0, over_xdp(mode, at(GROUP, PORT)));
        assert!(peer.send(at(GROUP, PORT), b"again"));
        assert_eq!(text(&collect(&mut port, 1)), [b"again"], "{mode}");
        let twice = hosts.on(0, || UdpPort::open(over_xdp(mode, at(GROUP, PORT))).map(|_| ()));
        assert!(twice.unwrap_err().to_string().contains("would go to two sockets"));
        let auto = UdpConfig { transport: Transport::Auto, ..over_xdp(mode, at(GROUP, PORT)) };
        assert!(hosts.on(0, || UdpPort::open(auto).map(|_| ())).is_err(), "it would hear nothing");
        let other = UdpConfig {
            xdp: XdpConfig { mode, send_frames: 64, ..XdpConfig::default() },
            ..over_xdp(mode, at(GROUP, PORT + 1))
        };
        let other = hosts.on(0, || UdpPort::open(other).map(|_| ())).unwrap_err().to_string();
        assert!(other.contains("with other settings"), "{other}");
    }
}

/// Sends an ICMP echo request and waits for the answer.
fn ping(to: Ipv4Addr) -> io::Result<()> {
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(&SocketAddrV4::new(to, 0).into())?;
    // Type, code, checksum, and otherwise zeros, of which the checksum is made.
    socket.send(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0])?;
    let mut answer = [0; 28];
    socket.read_exact(&mut answer)?;
    assert_eq!(answer[20], 0, "an echo reply behind the IPv4 header");
    Ok(())
}

#[test]
fn the_host_beside_it_goes_on_as_before() {
    let Some(hosts) = hosts() else { return };
    for mode in MODES {
        let _port = open(&hosts, 0, over_xdp(mode, at(GROUP, PORT)));
        hosts
            .on(1, || ping(ADDRESS[0]))
            .unwrap_or_else(|error| panic!("{mode}: no answer to a ping: {error}"));
        let listener = hosts.on(0, || TcpListener::bind((ADDRESS[0], PORT))).unwrap();
        let mut connection = hosts.on(1, || TcpStream::connect((ADDRESS[0], PORT))).unwrap();
        connection.write_all(b"over TCP").unwrap();
        let mut heard = [0; 8];
        listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"over TCP", "{mode}");
        let mut other = open(&hosts, 0, over_socket(at(OTHER_GROUP, PORT)));
        let mut peer = open(&hosts, 1, over_socket(at(ADDRESS[1], 0)));
        assert!(peer.send(at(OTHER_GROUP, PORT), b"other group"));
        assert_eq!(text(&collect(&mut other, 1)), [b"other group"]);
        let groups = hosts.run(0, &format!("ip maddress show dev {INTERFACE}")).unwrap();
        assert!(groups.contains(&GROUP.to_string()), "{mode}: the membership is the kernel's: {groups}");
    }
}

#[test]
fn what_cannot_be_is_told_with_what_would_do() {
    let Some(hosts) = hosts() else { return };
    let refused = |config: UdpConfig, hint: &str| {
        let error = hosts.on(0, || UdpPort::open(config).map(|_| ())).unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains(hint), "{error}");
    };
    let xdp = |xdp| UdpConfig { xdp, ..over_xdp(XdpMode::Auto, at(GROUP, PORT)) };
    let base = XdpConfig::default();
    let group = || over_xdp(XdpMode::Auto, at(GROUP, PORT));
    refused(UdpConfig { interface: Interface::default(), ..group() }, "loopback interface");
    refused(UdpConfig { interface: Interface::Name("eth77".into()), ..group() }, "no interface \"eth77\"");
    refused(xdp(XdpConfig { queue: 7, ..base }), "/sys/class/net/gds0/queues");
    refused(xdp(XdpConfig { mode: XdpMode::ZeroCopy, ..base }), "mode = \"auto\"");
    refused(xdp(XdpConfig { receive_frames: 100, ..base }), "receive_frames = 100");
    hosts.run(0, &format!("ip link set dev {INTERFACE} mtu 4000")).unwrap();
    refused(group(), "ip link set dev gds0 mtu 1500");
    hosts.run(0, &format!("ip link set dev {INTERFACE} mtu 1500")).unwrap();
    hosts.run(0, &format!("ip link set dev {INTERFACE} down")).unwrap();
    refused(group(), "ip link set dev gds0 up");
    let auto = UdpConfig { transport: Transport::Auto, ..group() };
    let port = hosts.on(0, || UdpPort::open(auto)).unwrap();
    assert_ne!(port.transport(), Transport::AfXdp);
    assert!(port.transport_reason().contains("; not af_xdp: "), "{}", port.transport_reason());
}
