//! Both backends over real sockets on the loopback interface.
use super::*;
use crate::interface::Interface;
use crate::loss::LossConfig;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const GROUP_A: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 71);
const GROUP_B: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 72);

/// The backends that can be had here; the other is named once.
fn transports() -> Vec<Transport> {
    let probe = UdpConfig { transport: Transport::IoUring, ..UdpConfig::new(own()) };
    match UdpPort::open(probe) {
        Ok(_) => vec![Transport::Socket, Transport::IoUring],
        Err(error) => {
            println!("skipped for io_uring: {error}");
            vec![Transport::Socket]
        }
    }
}

fn own() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)
}

fn open(transport: Transport, config: UdpConfig) -> UdpPort {
    UdpPort::open(UdpConfig { transport, ..config }).unwrap()
}

/// Receives until `count` datagrams came, or two seconds passed.
fn collect(port: &mut UdpPort, count: usize) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(2);
    while got.len() < count && Instant::now() < deadline {
        port.receive(usize::MAX, &mut |source, datagram| got.push((source, datagram.to_vec())));
    }
    got
}

/// Whatever else comes within a short while.
fn silence(port: &mut UdpPort) -> usize {
    let mut count = 0;
    let deadline = Instant::now() + Duration::from_millis(30);
    while Instant::now() < deadline {
        count += port.receive(usize::MAX, &mut |_, _| {});
    }
    count
}

#[test]
fn should_tell_the_source_so_that_it_can_be_answered() {
    for transport in transports() {
        let mut server = open(transport, UdpConfig::new(own()));
        let mut client = open(transport, UdpConfig::new(own()));
        assert!(client.send(server.local_address(), b"question"));
        let got = collect(&mut server, 1);
        assert_eq!(got, [(client.local_address(), b"question".to_vec())]);
        assert!(server.send(got[0].0, b"answer"));
        assert_eq!(collect(&mut client, 1), [(server.local_address(), b"answer".to_vec())]);
        assert_eq!((server.counters().received, server.counters().sent), (1, 1));
    }
}

#[test]
fn should_deliver_a_group_once_to_every_member_and_let_them_answer() {
    for transport in transports() {
        let mut first = open(transport, UdpConfig::group(SocketAddrV4::new(GROUP_A, 0)));
        let group = first.local_address();
        assert_eq!(*group.ip(), GROUP_A);
        let mut second = open(transport, UdpConfig::group(group));
        let mut sender = open(transport, UdpConfig::new(own()));
        assert!(sender.send(group, b"to all"));
        for member in [&mut first, &mut second] {
            let got = collect(member, 1);
            assert_eq!(got, [(sender.local_address(), b"to all".to_vec())], "{transport}");
            assert_eq!(silence(member), 0);
            assert!(member.send(got[0].0, b"heard"));
        }
        assert_eq!(collect(&mut sender, 2).len(), 2);
    }
}

#[test]
fn should_receive_the_groups_it_joined_and_no_others() {
    for transport in transports() {
        let mut both = open(
            transport,
            UdpConfig {
                join: vec![GROUP_A, GROUP_B],
                ..UdpConfig::new(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
            },
        );
        let any = both.local_address();
        let mut one = open(transport, UdpConfig { join: vec![GROUP_B], ..UdpConfig::new(any) });
        let mut sender = open(transport, UdpConfig::new(own()));
        assert!(sender.send(SocketAddrV4::new(GROUP_A, any.port()), b"a"));
        assert!(sender.send(SocketAddrV4::new(GROUP_B, any.port()), b"b"));
        let bytes: Vec<Vec<u8>> = collect(&mut both, 2).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(bytes, [b"a", b"b"]);
        assert_eq!(collect(&mut one, 1), [(sender.local_address(), b"b".to_vec())]);
        assert_eq!(silence(&mut one), 0, "{transport}: another's group leaked in");
    }
}

#[test]
fn should_send_to_groups_from_a_port_bound_to_a_group() {
    for transport in transports() {
        let mut member = open(transport, UdpConfig::group(SocketAddrV4::new(GROUP_A, 0)));
        let group = member.local_address();
        assert!(member.send(group, b"self"));
        let expected = SocketAddrV4::new(Ipv4Addr::LOCALHOST, group.port());
        assert_eq!(collect(&mut member, 1), [(expected, b"self".to_vec())]);
    }
}

#[test]
fn should_lose_nothing_of_a_burst_larger_than_its_buffers() {
    for transport in transports() {
        let mut receiver = open(transport, UdpConfig { buffers: 8, ..UdpConfig::new(own()) });
        let mut sender = open(transport, UdpConfig::new(own()));
        // Receiving is armed before the burst as well as after it.
        for round in 0..3u32 {
            for number in 0..200u32 {
                assert!(sender.send(receiver.local_address(), &(round * 1000 + number).to_be_bytes()));
            }
            let got = collect(&mut receiver, 200);
            let numbers: Vec<u32> =
                got.iter().map(|(_, bytes)| u32::from_be_bytes(bytes[..].try_into().unwrap())).collect();
            assert_eq!(numbers, (round * 1000..round * 1000 + 200).collect::<Vec<_>>(), "{transport}");
        }
        assert_eq!(receiver.drops(), 0);
        assert_eq!(receiver.counters().receive_failed, 0);
        assert_eq!(receiver.counters().rearmed > 0, transport == Transport::IoUring);
    }
}

#[test]
fn should_keep_to_the_limit_and_hand_out_the_rest_later() {
    for transport in transports() {
        let mut receiver = open(transport, UdpConfig::new(own()));
        let mut sender = open(transport, UdpConfig::new(own()));
        for number in 0..150u8 {
            sender.send(receiver.local_address(), &[number]);
        }
        std::thread::sleep(Duration::from_millis(5));
        let mut numbers = Vec::new();
        let mut laps = 0;
        while numbers.len() < 150 && laps < 10_000 {
            let got = receiver.receive(7, &mut |_, bytes| numbers.push(bytes[0]));
            assert!(got <= 7);
            laps += 1;
        }
        assert_eq!(numbers, (0..150).collect::<Vec<u8>>(), "{transport}");
        assert_eq!(receiver.receive(0, &mut |_, _| panic!("asked for none")), 0);
    }
}

#[test]
fn should_drop_and_count_what_is_longer_than_the_limit_and_take_what_just_fits() {
    for transport in transports() {
        let mut receiver = open(transport, UdpConfig { datagram_bytes_max: 100, ..UdpConfig::new(own()) });
        let mut sender = open(transport, UdpConfig::new(own()));
        for length in [0, 101, 100, 1000, 1] {
            assert!(sender.send(receiver.local_address(), &vec![b'x'; length]));
        }
        let lengths: Vec<usize> = collect(&mut receiver, 3).iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [0, 100, 1], "{transport}");
        assert_eq!(receiver.counters().oversize, 2);
    }
}

#[test]
fn should_take_the_largest_datagram_there_is() {
    for transport in transports() {
        let config = UdpConfig { datagram_bytes_max: 65_507, buffers: 8, ..UdpConfig::new(own()) };
        let mut receiver = open(transport, config);
        let mut sender = open(transport, UdpConfig::new(own()));
        let bytes: Vec<u8> = (0..65_507u32).map(|i| i as u8).collect();
        assert!(sender.send(receiver.local_address(), &bytes));
        assert_eq!(collect(&mut receiver, 1)[0].1, bytes);
    }
}

#[test]
fn should_tell_how_many_the_kernel_dropped() {
    for transport in transports() {
        let config = UdpConfig { receive_buffer_bytes: 16 << 10, buffers: 8, ..UdpConfig::new(own()) };
        let mut receiver = open(transport, config);
        let mut sender = open(transport, UdpConfig::new(own()));
        receiver.receive(1, &mut |_, _| {});
        for _ in 0..500 {
            sender.send(receiver.local_address(), &[0; 1000]);
        }
        let mut got = collect(&mut receiver, 1).len();
        got += silence(&mut receiver);
        assert!(receiver.drops() > 0);
        assert_eq!(got as u64 + receiver.drops(), 500, "{transport}");
    }
}

#[test]
fn should_lose_on_purpose_in_both_directions_and_count_it() {
    for transport in transports() {
        let loss = Some(LossConfig { seed: 3, receive_per_mille: 200, send_per_mille: 300 });
        let mut lossy = open(transport, UdpConfig { loss, ..UdpConfig::new(own()) });
        let mut other = open(transport, UdpConfig::new(own()));
        for number in 0..200u32 {
            assert!(other.send(lossy.local_address(), &number.to_be_bytes()));
            assert!(lossy.send(other.local_address(), &number.to_be_bytes()));
        }
        let received = silence(&mut lossy) as u64;
        let counters = lossy.counters();
        assert_eq!(received + counters.loss_received, 200);
        assert_eq!(counters.received, received);
        assert_eq!(counters.sent + counters.loss_sent, 200);
        assert_eq!(silence(&mut other) as u64, counters.sent);
        assert!(counters.loss_received > 10 && counters.loss_sent > 20, "{counters:?}");
    }
}

#[test]
fn should_be_opened_in_one_thread_and_used_in_another() {
    for transport in transports() {
        let mut receiver = open(transport, UdpConfig::new(own()));
        let mut sender = open(transport, UdpConfig::new(own()));
        let to = receiver.local_address();
        assert!(sender.send(to, b"before anyone received"));
        let worker = std::thread::spawn(move || {
            let got = collect(&mut receiver, 2).len();
            (got, receiver)
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(sender.send(to, b"while the other thread receives"));
        let (got, receiver) = worker.join().unwrap();
        assert_eq!(got, 2);
        // Dropped here, in a third role: neither the thread that received nor with anything in order.
        assert!(sender.send(to, b"never taken"));
        drop(receiver);
    }
}

#[test]
fn should_count_and_explain_what_could_not_be_sent() {
    let mut sender = open(Transport::Socket, UdpConfig::new(own()));
    assert!(!sender.send(sender.local_address(), &[0; 65_508]));
    assert_eq!(sender.counters().send_failed, 1);
    assert_eq!(sender.last_send_error().unwrap().raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn should_explain_what_it_took_and_why() {
    let port = open(Transport::Auto, UdpConfig::new(own()));
    assert_ne!(port.transport(), Transport::Auto);
    assert!(
        port.transport_reason().starts_with(&port.transport().to_string()),
        "{}",
        port.transport_reason()
    );
    assert_eq!(open(Transport::Socket, UdpConfig::new(own())).transport_reason(), "socket: configured");
}

#[test]
fn should_tell_when_the_kernel_gives_smaller_buffers() {
    let port = open(Transport::Socket, UdpConfig { receive_buffer_bytes: 1 << 20, ..UdpConfig::new(own()) });
    let noticed = port.notices().iter().any(|notice| notice.contains("net.core.rmem_max"));
    assert_eq!(port.receive_buffer_bytes() < 1 << 20, noticed, "{:?}", port.notices());
}

#[test]
fn should_explain_why_it_cannot_open() {
    let explain = |config| UdpPort::open(config).err().expect("it must not open").to_string();
    let holder = open(Transport::Socket, UdpConfig::new(own()));
    let in_use = explain(UdpConfig::new(holder.local_address()));
    assert!(in_use.contains("is in use by another process") && in_use.contains("ss -lnp"), "{in_use}");

    let elsewhere = explain(UdpConfig::new("192.0.2.1:0".parse().unwrap()));
    assert!(elsewhere.contains("192.0.2.1") && elsewhere.contains("`ip address`"), "{elsewhere}");

    let interface = explain(UdpConfig { interface: Interface::Name("nic9".into()), ..UdpConfig::new(own()) });
    assert!(interface.contains("nic9") && interface.contains("there are: "), "{interface}");

    let group = explain(UdpConfig { join: vec![Ipv4Addr::new(10, 0, 0, 1)], ..UdpConfig::new(own()) });
    assert!(group.contains("10.0.0.1") && group.contains("224.0.0.0"), "{group}");

    let unjoined = explain(UdpConfig::new(SocketAddrV4::new(GROUP_A, 0)));
    assert!(unjoined.contains("without joining"), "{unjoined}");

    let buffers = explain(UdpConfig { buffers: 1000, ..UdpConfig::new(own()) });
    assert!(buffers.contains("power of two"), "{buffers}");

    let many = (0..1000u16).map(|n| Ipv4Addr::new(239, 192, 1 + (n >> 8) as u8, n as u8)).collect();
    let many = UdpPort::open(UdpConfig {
        join: many,
        ..UdpConfig::new(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
    });
    if let Err(error) = many {
        assert!(error.to_string().contains("igmp_max_memberships"), "{error}");
    }
}

/// `count` datagrams of `bytes`, each filled with its number, the last one `last` long, one behind another.
fn burst(count: usize, bytes: usize, last: usize) -> Vec<u8> {
    let mut burst: Vec<u8> = (0..count).flat_map(|number| vec![number as u8; bytes]).collect();
    burst.truncate((count - 1) * bytes + last);
    burst
}

/// Each backend with and without coalescing.
fn ways() -> Vec<(Transport, bool)> {
    transports().into_iter().flat_map(|transport| [(transport, false), (transport, true)]).collect()
}

#[test]
fn should_deliver_the_datagrams_of_a_burst_one_by_one() {
    for (transport, coalescing) in ways() {
        for segmentation in [false, true] {
            let mut receiver = open(transport, UdpConfig { coalescing, ..UdpConfig::new(own()) });
            let mut sender = open(transport, UdpConfig { segmentation, ..UdpConfig::new(own()) });
            // More than one call takes by number; by bytes; the last one as long; only one; one that is shorter than a segment.
            for (count, bytes, last) in
                [(150, 40, 7), (100, 1400, 1), (64, 1000, 1000), (1, 500, 500), (1, 500, 3)]
            {
                let sent = burst(count, bytes, last);
                assert_eq!(sender.send_segments(receiver.local_address(), &sent, bytes), count);
                let got = collect(&mut receiver, count);
                assert!(got.iter().all(|(source, _)| *source == sender.local_address()));
                let expected: Vec<Vec<u8>> = sent.chunks(bytes).map(<[u8]>::to_vec).collect();
                let got: Vec<Vec<u8>> = got.into_iter().map(|(_, bytes)| bytes).collect();
                assert!(got == expected, "{transport}, coalescing {coalescing}, {count} of {bytes}");
            }
            assert_eq!(silence(&mut receiver), 0);
            assert_eq!((sender.counters().sent, receiver.counters().received), (316, 316));
            assert_eq!(sender.send_segments(receiver.local_address(), &[], 100), 0);
        }
    }
}

#[test]
fn should_hand_out_the_rest_of_a_burst_later() {
    for (transport, coalescing) in ways() {
        let mut receiver = open(transport, UdpConfig { coalescing, ..UdpConfig::new(own()) });
        let mut sender = open(transport, UdpConfig::new(own()));
        let sent = burst(60, 100, 100);
        assert_eq!(sender.send_segments(receiver.local_address(), &sent, 100), 60);
        assert!(sender.send(receiver.local_address(), &[60]));
        std::thread::sleep(Duration::from_millis(5));
        let mut numbers = Vec::new();
        while numbers.len() < 61 {
            let got = receiver.receive(7, &mut |_, bytes| numbers.push(bytes[0]));
            assert_eq!(got, 7.min(61 - (numbers.len() - got)), "{transport}, coalescing {coalescing}");
        }
        assert_eq!(numbers, (0..61).collect::<Vec<u8>>());
        assert_eq!(receiver.receive(7, &mut |_, _| {}), 0);
    }
}

#[test]
fn should_lose_single_datagrams_of_a_burst_in_both_directions() {
    for (transport, coalescing) in ways() {
        let loss = Some(LossConfig { seed: 9, receive_per_mille: 100, send_per_mille: 100 });
        let mut lossy = open(transport, UdpConfig { loss, coalescing, ..UdpConfig::new(own()) });
        let mut other = open(transport, UdpConfig { coalescing, ..UdpConfig::new(own()) });
        let sent = burst(250, 200, 9);
        assert_eq!(lossy.send_segments(other.local_address(), &sent, 200), 250);
        assert_eq!(other.send_segments(lossy.local_address(), &sent, 200), 250);
        let arrived = collect(&mut other, 250 - lossy.counters().loss_sent as usize);
        let numbers: Vec<u8> = arrived.iter().map(|(_, bytes)| bytes[0]).collect();
        assert!(numbers.is_sorted() && silence(&mut other) == 0);
        assert!((5..60).contains(&lossy.counters().loss_sent), "{:?}", lossy.counters());
        assert_eq!(lossy.counters().sent + lossy.counters().loss_sent, 250);
        let received = silence(&mut lossy) as u64;
        assert!((5..60).contains(&lossy.counters().loss_received), "{:?}", lossy.counters());
        assert_eq!(received + lossy.counters().loss_received, 250);
    }
}

#[test]
fn should_drop_and_count_each_datagram_of_a_burst_that_is_longer_than_the_limit() {
    for (transport, coalescing) in ways() {
        let mut receiver =
            open(transport, UdpConfig { datagram_bytes_max: 100, coalescing, ..UdpConfig::new(own()) });
        let mut sender = open(transport, UdpConfig::new(own()));
        assert_eq!(sender.send_segments(receiver.local_address(), &burst(5, 101, 50), 101), 5);
        assert_eq!(sender.send_segments(receiver.local_address(), &burst(3, 100, 1), 100), 3);
        let lengths: Vec<usize> = collect(&mut receiver, 4).iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [50, 100, 100, 1], "{transport}, coalescing {coalescing}");
        assert_eq!(receiver.counters().oversize, 4);
    }
}

#[test]
fn should_go_on_with_bursts_after_an_address_that_takes_nothing_and_explain_itself() {
    let mut sender = open(Transport::Socket, UdpConfig::new(own()));
    let before = sender.segmentation_reason().to_owned();
    assert_eq!(sender.send_segments(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), &burst(9, 10, 10), 10), 0);
    assert_eq!(sender.counters().send_failed, 9);
    assert_eq!(sender.segmentation_reason(), before);
    let configured = UdpConfig { segmentation: false, coalescing: false, ..UdpConfig::new(own()) };
    let configured = open(Transport::Socket, configured);
    assert_eq!(configured.segmentation_reason(), "no UDP_SEGMENT: configured");
    assert_eq!(configured.coalescing_reason(), "no UDP_GRO: configured");
}
