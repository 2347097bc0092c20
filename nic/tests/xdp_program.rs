//! The kernel program against the kernel itself: what it decides about packets (BPF_PROG_TEST_RUN), and how it is attached.
//! Needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW; the attaching root and iproute2.
#[path = "xdp_program/attaching.rs"]
mod attaching;
#[path = "xdp_program/deciding.rs"]
mod deciding;
#[path = "xdp_program/frame.rs"]
mod frame;
#[path = "xdp_program/random.rs"]
mod random;

use gds_nic::NicError;
use gds_nic::xdp::{FilterConfig, Flow, LoadedProgram, Program, SocketMap, XdpError};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;

/// A program in the kernel with an AF_XDP socket in every slot of its map.
struct Filter {
    program: LoadedProgram,
    map: SocketMap,
    /// They leave the map when they are closed.
    _sockets: Vec<Socket>,
}

/// Loads the program for these flows, or tells why this machine cannot.
fn load(config: &FilterConfig) -> Option<Filter> {
    let slots = config.flows.iter().map(|flow| flow.socket + 1).max().unwrap_or(1);
    let map = unless_forbidden(SocketMap::new(slots))?;
    let program = unless_forbidden(Program::assemble(config).unwrap().load(&map))?;
    let sockets: Vec<Socket> = (0..slots).map(|_| xdp_socket()).collect::<Option<_>>()?;
    for (slot, socket) in sockets.iter().enumerate() {
        map.set(slot as u32, socket.as_fd()).unwrap();
    }
    Some(Filter { program, map, _sockets: sockets })
}

/// The value; none, and told, where the process lacks capabilities. Every other error fails the test.
fn unless_forbidden<T>(result: Result<T, NicError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(NicError::Xdp(error @ XdpError::Capability { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// An AF_XDP socket bound to nothing: enough to be in a map.
fn xdp_socket() -> Option<Socket> {
    const AF_XDP: i32 = 44;
    match Socket::new(Domain::from(AF_XDP), Type::from(3), None::<Protocol>) {
        Ok(socket) => Some(socket),
        Err(error) => {
            println!("skipped: no AF_XDP socket: {error}");
            None
        }
    }
}

/// 239.1.1.NUMBER:(26400 + NUMBER), from anyone, to socket NUMBER.
fn open_flow(number: u8) -> Flow {
    Flow {
        to: SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, number), 26_400 + u16::from(number)),
        senders: Vec::new(),
        socket: u32::from(number),
    }
}

/// The same, from 10.9.NUMBER.1 to 10.9.NUMBER.COUNT alone.
fn pinned_flow(number: u8, count: u8) -> Flow {
    let senders = (1..=count).map(|sender| Ipv4Addr::new(10, 9, number, sender)).collect();
    Flow { senders, ..open_flow(number) }
}
