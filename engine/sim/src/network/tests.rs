use super::*;
use crate::clock::Clock;
use std::collections::BTreeSet;

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 9);

fn address(host: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 1)
}

fn network(seed: u64) -> (SharedClock, SharedNetwork) {
    let clock: SharedClock = SharedClock::new(Clock::default());
    let network = Network::new(seed, &clock, vec![*address(1).ip()]);
    (clock, network)
}

fn received(port: &mut SimulatedPort) -> Vec<u8> {
    let mut bytes = Vec::new();
    port.receive(1_000, &mut |_, datagram| bytes.push(datagram[0]));
    bytes
}

#[test]
fn should_deliver_to_the_group_after_a_while_and_not_over_a_cut() {
    let (clock, network) = network(1);
    let mut sender = SimulatedPort::open(&network, address(1), &[], None);
    let mut near = SimulatedPort::open(&network, address(2), &[GROUP], None);
    let mut far = SimulatedPort::open(&network, address(3), &[GROUP], None);
    network.borrow_mut().cut(*address(1).ip(), *address(3).ip(), u64::MAX);
    assert!(sender.send(GROUP, &[7]));
    assert_eq!(received(&mut near), []);
    clock.advance(5_000);
    assert_eq!((received(&mut near), received(&mut far)), (vec![7], vec![]));
    assert_eq!(network.borrow().tapped.len(), 1);
}

#[test]
fn should_carry_what_a_muted_node_says_to_other_nodes_alone() {
    let (clock, network) = network(5);
    let mut sender = SimulatedPort::open(&network, address(1), &[], None);
    let mut node = SimulatedPort::open(&network, address(2), &[GROUP], None);
    let listener = SocketAddrV4::new(Ipv4Addr::new(10, 3, 0, 1), 1);
    let mut listener = SimulatedPort::open(&network, listener, &[GROUP], None);
    for (is_muted, number) in [(true, 1), (false, 2)] {
        network.borrow_mut().mute(*address(1).ip(), is_muted);
        assert!(sender.send(GROUP, &[number]));
    }
    clock.advance(5_000);
    assert_eq!((received(&mut node), received(&mut listener)), (vec![1, 2], vec![2]));
}

#[test]
fn should_lose_repeat_and_reorder_as_told() {
    let (clock, network) = network(2);
    network.borrow_mut().faults = Faults {
        loss_per_mille: 200,
        duplicate_per_mille: 200,
        delay_min_ns: 1,
        delay_max_ns: 1_000,
        ..Faults::NONE
    };
    let mut sender = SimulatedPort::open(&network, address(1), &[], None);
    let mut receiver = SimulatedPort::open(&network, address(2), &[], None);
    for number in 0..100 {
        sender.send(address(2), &[number]);
    }
    clock.advance(1_000);
    let got = received(&mut receiver);
    let different: BTreeSet<u8> = got.iter().copied().collect();
    assert!((60..95).contains(&different.len()) && got.len() > different.len() && !got.is_sorted());
}

#[test]
fn should_carry_bytes_in_order_until_the_connection_breaks() {
    let (clock, network) = network(3);
    let mut server = SimulatedStreams::listen(
        &network,
        address(1),
        crate::death::Death::of_process(gds_core::memory::HeapWords::shared(64), 1),
    );
    let mut client = SimulatedStreams::client(&network, address(2));
    assert!(client.connect(address(1)) && !client.connect(address(9)));
    let mut id = 0;
    client.poll(9, &mut |event| {
        if let StreamEvent::Opened(opened, _) = event {
            id = opened;
        }
    });
    let mut sent = 0;
    while sent < 1_000 {
        sent += client.write(id, &[1; 100]);
    }
    clock.advance(5_000);
    let (mut got, mut opened) = (0, false);
    server.poll(1_000, &mut |event| match event {
        StreamEvent::Received(_, bytes) => got += bytes.len(),
        StreamEvent::Opened(..) => opened = true,
        StreamEvent::Closed(_) => {}
    });
    assert!(opened && got == sent);
    network.borrow_mut().break_connections(*address(1).ip());
    let mut closed = false;
    server.poll(9, &mut |event| closed |= matches!(event, StreamEvent::Closed(_)));
    assert!(closed && client.write(id, &[1]) == 0);
}
