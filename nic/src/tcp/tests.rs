//! Real connections on the loopback interface.
use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Opened(ConnectionId, SocketAddrV4),
    Received(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
}

fn any() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)
}

fn poll(port: &mut TcpPort, limit: usize) -> Vec<Event> {
    let mut events = Vec::new();
    port.poll(limit, &mut |event| {
        events.push(match event {
            TcpEvent::Opened(id, from) => Event::Opened(id, from),
            TcpEvent::Received(id, bytes) => Event::Received(id, bytes.to_vec()),
            TcpEvent::Closed(id) => Event::Closed(id),
        });
    });
    events
}

/// Polls until the condition holds of all that came, for five seconds at most.
fn poll_until(port: &mut TcpPort, done: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done(&events) && Instant::now() < deadline {
        events.extend(poll(port, 64));
    }
    assert!(done(&events), "still waiting after {events:?}");
    events
}

fn opened(port: &mut TcpPort) -> (ConnectionId, SocketAddrV4) {
    match poll_until(port, |events| !events.is_empty())[0] {
        Event::Opened(id, from) => (id, from),
        ref other => panic!("{other:?}"),
    }
}

/// A listener with one accepted connection from an ordinary blocking socket.
fn accepted(config: TcpConfig) -> (TcpPort, ConnectionId, TcpStream) {
    let mut port = TcpPort::listen(any(), config).unwrap();
    let client = TcpStream::connect(port.local_address().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (id, from) = opened(&mut port);
    assert_eq!(SocketAddr::V4(from), client.local_addr().unwrap());
    (port, id, client)
}

fn bytes_of(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}

#[test]
fn should_echo_between_two_ports() {
    let mut server = TcpPort::listen(any(), TcpConfig::default()).unwrap();
    let mut client = TcpPort::new(TcpConfig::default()).unwrap();
    let mine = client.connect(server.local_address().unwrap()).unwrap();
    assert_eq!(client.write(mine, b"too early"), 0);
    let (theirs, _) = opened(&mut server);
    assert_eq!(opened(&mut client), (mine, server.local_address().unwrap()));
    assert_eq!(client.write(mine, b"hello"), 5);
    assert_eq!(poll_until(&mut server, |e| !e.is_empty()), [Event::Received(theirs, b"hello".to_vec())]);
    assert_eq!(server.write(theirs, b"world!"), 6);
    assert_eq!(poll_until(&mut client, |e| !e.is_empty()), [Event::Received(mine, b"world!".to_vec())]);
    client.close(mine);
    assert_eq!(poll_until(&mut server, |e| !e.is_empty()), [Event::Closed(theirs)]);
    let deadline = Instant::now() + Duration::from_secs(5);
    while client.connections() > 0 && Instant::now() < deadline {
        assert_eq!(poll(&mut client, 64), [], "nothing is told after a close");
    }
    assert_eq!((client.connections(), server.connections()), (0, 0));
}

#[test]
fn should_take_only_what_fits_and_deliver_all_of_it_in_order() {
    let config =
        TcpConfig { send_buffer_bytes: 10_000, kernel_send_buffer_bytes: 8 << 10, ..TcpConfig::default() };
    let (mut port, id, mut client) = accepted(config);
    let bytes = bytes_of(8 << 20);
    let mut taken = 0;
    let mut refused = false;
    let reader = {
        let count = bytes.len();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50)); // Let the writer run into its bounds first.
            let mut got = vec![0; count];
            client.read_exact(&mut got).unwrap();
            got
        })
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while taken < bytes.len() && Instant::now() < deadline {
        let count = port.write(id, &bytes[taken..]);
        assert!(port.unsent(id) <= 10_000);
        refused |= count == 0;
        taken += count;
        poll(&mut port, 64);
    }
    assert_eq!(taken, bytes.len());
    assert!(refused, "the buffers took everything at once: no back-pressure was seen");
    while port.unsent(id) > 0 && Instant::now() < deadline {
        poll(&mut port, 64);
    }
    assert!(reader.join().unwrap() == bytes);
    assert_eq!(port.counters().written_bytes, bytes.len() as u64);
}

#[test]
fn should_send_what_was_written_before_it_closes() {
    let config =
        TcpConfig { send_buffer_bytes: 1 << 20, kernel_send_buffer_bytes: 8 << 10, ..TcpConfig::default() };
    let (mut port, id, mut client) = accepted(config);
    // The peer keeps talking: with unread bytes an outright close would reset the connection.
    client.write_all(b"still talking").unwrap();
    let bytes = bytes_of(1 << 20);
    assert_eq!(port.write(id, &bytes), bytes.len());
    assert!(port.unsent(id) > 0);
    port.close(id);
    assert_eq!((port.write(id, b"x"), port.unsent(id)), (0, 0));
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        client.write_all(b"and talking").unwrap();
        client.read_to_end(&mut got).map(|_| got)
    });
    let deadline = Instant::now() + Duration::from_secs(5);
    while port.connections() > 0 && Instant::now() < deadline {
        assert_eq!(poll(&mut port, 64), []);
    }
    assert_eq!(port.connections(), 0);
    assert!(reader.join().unwrap().unwrap() == bytes);
    assert_eq!(port.counters().cut, 0);
}

#[test]
fn should_send_the_rest_to_a_peer_that_closed_its_own_side_after_our_close() {
    let config =
        TcpConfig { send_buffer_bytes: 1 << 20, kernel_send_buffer_bytes: 8 << 10, ..TcpConfig::default() };
    let (mut port, id, mut client) = accepted(config);
    let bytes = bytes_of(1 << 20);
    assert_eq!(port.write(id, &bytes), bytes.len());
    port.close(id);
    client.shutdown(Shutdown::Write).unwrap();
    for _ in 0..1000 {
        poll(&mut port, 64);
    }
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        client.read_to_end(&mut got).map(|_| got)
    });
    let deadline = Instant::now() + Duration::from_secs(5);
    while port.connections() > 0 && Instant::now() < deadline {
        poll(&mut port, 64);
    }
    assert!(reader.join().unwrap().unwrap() == bytes);
}

#[test]
fn should_cut_a_closed_connection_whose_peer_does_not_read() {
    let config = TcpConfig {
        send_buffer_bytes: 8 << 20,
        kernel_send_buffer_bytes: 8 << 10,
        close_ns_max: 50_000_000,
        ..TcpConfig::default()
    };
    let (mut port, id, client) = accepted(config);
    port.write(id, &bytes_of(8 << 20));
    port.close(id);
    let start = Instant::now();
    while port.connections() > 0 && start.elapsed() < Duration::from_secs(5) {
        poll(&mut port, 64);
    }
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!((port.connections(), port.counters().cut), (0, 1));
    drop(client);
}

#[test]
fn should_tell_once_that_the_peer_reset_the_connection() {
    let (mut port, id, client) = accepted(TcpConfig::default());
    port.write(id, b"unread at the peer, so that its close is a reset");
    std::thread::sleep(Duration::from_millis(10));
    drop(client);
    assert_eq!(poll_until(&mut port, |e| !e.is_empty()), [Event::Closed(id)]);
    assert_eq!((port.counters().faulted, port.connections()), (1, 0));
    assert_eq!(port.write(id, b"gone"), 0);
    port.close(id);
    assert_eq!(poll(&mut port, 64), []);
}

#[test]
fn should_hand_out_the_last_bytes_before_the_close() {
    let (mut port, id, mut client) = accepted(TcpConfig { receive_bytes_max: 4, ..TcpConfig::default() });
    client.write_all(b"0123456789").unwrap();
    drop(client);
    let events = poll_until(&mut port, |e| e.contains(&Event::Closed(id)));
    let bytes: Vec<u8> = events
        .iter()
        .filter_map(|e| if let Event::Received(_, b) = e { Some(b.clone()) } else { None })
        .flatten()
        .collect();
    assert_eq!(bytes, b"0123456789");
    assert_eq!(events.len(), 4);
    assert_eq!(port.counters().closed_by_peer, 1);
}

#[test]
fn should_turn_away_those_above_the_bound_and_take_others_once_there_is_room() {
    let (mut port, first, client) = accepted(TcpConfig { connections_max: 1, ..TcpConfig::default() });
    let mut surplus = TcpStream::connect(port.local_address().unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while port.counters().turned_away == 0 && Instant::now() < deadline {
        assert_eq!(poll(&mut port, 64), []);
    }
    assert_eq!(surplus.read(&mut [0]).unwrap_or(0), 0);
    assert!(port.connect(port.local_address().unwrap()).is_err());
    drop(client);
    poll_until(&mut port, |e| e == [Event::Closed(first)]);
    let _again = TcpStream::connect(port.local_address().unwrap()).unwrap();
    let (second, _) = opened(&mut port);
    assert_ne!(first, second, "an id is never used again");
    assert_eq!(port.write(first, b"to nobody"), 0);
    port.close(first);
    assert_eq!(port.connections(), 1);
}

#[test]
fn should_tell_that_a_connect_failed() {
    let free = TcpListener::bind(any()).unwrap().local_addr().unwrap();
    let SocketAddr::V4(free) = free else { panic!("asked for IPv4") };
    let mut port = TcpPort::new(TcpConfig::default()).unwrap();
    match port.connect(free) {
        Ok(id) => {
            assert_eq!(poll_until(&mut port, |e| !e.is_empty()), [Event::Closed(id)]);
            assert_eq!(port.last_connect_error().unwrap().kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!((port.counters().connect_failed, port.connections()), (1, 0));
        }
        Err(error) => assert!(error.to_string().contains(&free.to_string()), "{error}"),
    }
}

#[test]
fn should_keep_about_to_the_limit_of_events() {
    let mut port = TcpPort::listen(any(), TcpConfig::default()).unwrap();
    let _clients: Vec<_> =
        (0..10).map(|_| TcpStream::connect(port.local_address().unwrap()).unwrap()).collect();
    let mut total = 0;
    while total < 10 {
        let count = poll(&mut port, 3).len();
        assert!(count <= 3);
        total += count;
    }
}

#[test]
fn should_explain_why_it_cannot_listen() {
    let holder = TcpPort::listen(any(), TcpConfig::default()).unwrap();
    let explain =
        |address| TcpPort::listen(address, TcpConfig::default()).err().expect("it must not open").to_string();
    let in_use = explain(holder.local_address().unwrap());
    assert!(
        in_use.starts_with("TCP 127.0.0.1:") && in_use.contains("is in use by another process"),
        "{in_use}"
    );
    let elsewhere = explain("192.0.2.1:0".parse().unwrap());
    assert!(elsewhere.contains("`ip address`"), "{elsewhere}");
    assert!(TcpPort::new(TcpConfig { connections_max: 0, ..TcpConfig::default() }).is_err());
}
