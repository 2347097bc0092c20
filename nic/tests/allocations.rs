//! After opening, the ports and files allocate nothing while they work. A test of its own, with an allocator that counts.
#![allow(unsafe_code)] // Reason: an allocator that counts is an unsafe trait's implementation.
use gds_hosts::{ADDRESS, Hosts, INTERFACE};
use gds_nic::file::BLOCK_BYTES;
use gds_nic::{
    Backend, Directory, DirectoryConfig, Doorbell, Interface, NicError, TcpConfig, TcpEvent, TcpPort,
    Transport, UdpConfig, UdpPort,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations made by `work`.
fn allocations(mut work: impl FnMut()) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    work();
    ALLOCATIONS.load(Relaxed) - before
}

#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn datagrams(a: &mut UdpPort, b: &mut UdpPort, to: SocketAddrV4) {
    for _ in 0..1000 {
        a.send(to, b"datagram");
        while b.receive(64, &mut |_, _| {}) == 0 {}
    }
    // More than there are buffers, so that the receive is armed anew as well.
    for _ in 0..100 {
        a.send(to, b"burst");
    }
    let mut got = 0;
    while got < 100 {
        got += b.receive(64, &mut |_, _| {});
    }
    assert_eq!(a.send_segments(to, b"many datagrams in one call", 2), 13);
    let mut got = 0;
    while got < 13 {
        got += b.receive(4, &mut |_, _| {});
    }
}

/// The same between two hosts, to a group and to an address that must be found out first.
fn over_af_xdp() {
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(why) => {
            println!("skipped: no network namespaces: {why}");
            return;
        }
    };
    let open = |host: usize, bind: SocketAddrV4| {
        let interface = Interface::Name(INTERFACE.into());
        let config = if bind.ip().is_multicast() { UdpConfig::group(bind) } else { UdpConfig::new(bind) };
        let config = UdpConfig { transport: Transport::AfXdp, interface, ..config };
        hosts.on(host, || UdpPort::open(config))
    };
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 192, 0, 73), 26_400);
    let own = |host: usize| SocketAddrV4::new(ADDRESS[host], 26_500);
    let (mut sender, mut member, mut single) = match (open(0, own(0)), open(1, group), open(1, own(1))) {
        (Ok(sender), Ok(member), Ok(single)) => (sender, member, single),
        (Err(error @ NicError::Xdp(_)), ..) => {
            println!("skipped: {error}");
            return;
        }
        (sender, member, single) => panic!("{:?}", [sender.err(), member.err(), single.err()]),
    };
    assert_eq!(allocations(|| datagrams(&mut sender, &mut member, group)), 0, "AF_XDP to a group");
    assert_eq!(allocations(|| datagrams(&mut sender, &mut single, own(1))), 0, "AF_XDP to an address");
    assert_eq!(member.counters().through_kernel, 0);

    let doorbell = Doorbell::new();
    let other_own = SocketAddrV4::new(ADDRESS[0], 26_501);
    let config = UdpConfig {
        transport: Transport::AfXdp,
        doorbell: Some(doorbell.clone()),
        ..UdpConfig::new(other_own)
    };
    let config = UdpConfig { interface: Interface::Name(INTERFACE.into()), ..config };
    let mut sender = hosts.on(0, || UdpPort::open(config)).unwrap();
    let count = allocations(|| {
        for _ in 0..200 {
            assert!(sender.send(group, b"rung for"));
            assert!(doorbell.ring().unwrap());
            while member.receive(1, &mut |_, _| {}) == 0 {}
        }
    });
    assert_eq!(count, 0, "AF_XDP with a doorbell");
}

/// One test, so that no other thread of the harness allocates meanwhile.
#[test]
fn should_not_allocate_after_opening() {
    let own = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    for transport in [Transport::Socket, Transport::IoUring] {
        let open = || UdpPort::open(UdpConfig { transport, buffers: 16, ..UdpConfig::new(own) });
        let (Ok(mut a), Ok(mut b)) = (open(), open()) else {
            println!("skipped: no {transport}");
            continue;
        };
        let to = b.local_address();
        // Once unmeasured: the harness itself allocates a little after it has started the test.
        datagrams(&mut a, &mut b, to);
        assert_eq!(allocations(|| datagrams(&mut a, &mut b, to)), 0, "{transport}");
    }
    over_af_xdp();

    let mut server = TcpPort::listen(own, TcpConfig::default()).unwrap();
    let mut client = TcpPort::new(TcpConfig::default()).unwrap();
    let id = client.connect(server.local_address().unwrap()).unwrap();
    let mut accepted = None;
    while accepted.is_none() || client.poll(8, &mut |_| {}) == 0 {
        server.poll(8, &mut |event| {
            if let TcpEvent::Opened(id, _) = event {
                accepted = Some(id);
            }
        });
    }
    let bytes = [7; 200_000];
    let count = allocations(|| {
        for _ in 0..20 {
            let written = client.write(id, &bytes);
            let mut received = 0;
            while received < written {
                client.poll(8, &mut |_| {});
                server.poll(8, &mut |event| {
                    if let TcpEvent::Received(_, bytes) = event {
                        received += bytes.len();
                    }
                });
            }
        }
    });
    assert_eq!(count, 0, "TCP");

    for backend in [Backend::Plain, Backend::IoUring] {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let Ok(mut directory) =
            Directory::open(DirectoryConfig { backend, ..DirectoryConfig::new(place.path()) })
        else {
            println!("skipped: no {backend:?}");
            continue;
        };
        directory.create(1, 16 * BLOCK_BYTES as u64).unwrap();
        let mut block = Some(Box::new(Block([1; BLOCK_BYTES])));
        directory.submit(1, 0, Boxed(block.take().unwrap()), false);
        let count = allocations(|| {
            directory.create(2, 16 * BLOCK_BYTES as u64).unwrap();
            for offset in 0..16 {
                let boxed = loop {
                    if let Some((boxed, result)) = directory.poll() {
                        result.unwrap();
                        break boxed;
                    }
                };
                directory.submit(1 + offset % 2, offset * BLOCK_BYTES as u64, boxed, true);
            }
        });
        assert_eq!(count, 0, "{backend:?}");
    }
}

/// A buffer as the engine has it: on the heap, handed back and forth.
struct Boxed(Box<Block>);

impl AsRef<[u8]> for Boxed {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}
