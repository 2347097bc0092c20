//! Opening: the socket, its buffers, and what receives.
use super::batch::Batch;
use super::bypass::Bypass;
use super::uring::Uring;
use super::{Receiver, Transport, UdpConfig};
use crate::error::NicError;
use crate::interface::ResolvedInterface;
use crate::sys::socket;
use crate::xdp::XdpError;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

/// A socket bound and joined as the configuration says.
pub(super) fn open_socket(config: &UdpConfig, interface: &ResolvedInterface) -> Result<OwnedFd, NicError> {
    let at = |action| NicError::socket(action, config.bind);
    let owned = socket::open(libc::SOCK_DGRAM).map_err(at("open a UDP socket"))?;
    let fd = owned.as_fd();
    if config.share_address || !config.join.is_empty() {
        socket::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).map_err(at("set SO_REUSEADDR"))?;
    }
    // Before binding, so that no group is let in on the strength of what other sockets joined.
    socket::set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)
        .map_err(at("set IP_MULTICAST_ALL"))?;
    socket::bind(fd, config.bind).map_err(|cause| match cause.raw_os_error() {
        Some(libc::EADDRINUSE) => NicError::AddressInUse { protocol: "UDP", address: config.bind },
        _ => NicError::Socket { action: "bind a UDP socket", address: config.bind, cause },
    })?;
    // A socket with an address of its own sends from that, and any other from the interface's.
    let own = !config.bind.ip().is_unspecified() && !config.bind.ip().is_multicast();
    let source = if own { *config.bind.ip() } else { interface.address };
    socket::set_multicast(fd, libc::IP_MULTICAST_IF, Ipv4Addr::UNSPECIFIED, source, interface.index)
        .map_err(at("set IP_MULTICAST_IF"))?;
    socket::set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, i32::from(config.multicast_loop))
        .map_err(at("set IP_MULTICAST_LOOP"))?;
    socket::set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, i32::from(config.multicast_ttl))
        .map_err(at("set IP_MULTICAST_TTL"))?;
    for &group in &config.join {
        socket::set_multicast(fd, libc::IP_ADD_MEMBERSHIP, group, Ipv4Addr::UNSPECIFIED, interface.index)
            .map_err(|cause| NicError::Join { group, interface: interface.name.clone(), cause })?;
    }
    Ok(owned)
}

/// Names of the options for one direction's buffer.
pub(super) struct Buffer {
    direction: &'static str,
    option: libc::c_int,
    forced: libc::c_int,
    sysctl: &'static str,
}

impl Buffer {
    pub(super) const RECEIVE: Self = Self {
        direction: "receive",
        option: libc::SO_RCVBUF,
        forced: libc::SO_RCVBUFFORCE,
        sysctl: "net.core.rmem_max",
    };
    pub(super) const SEND: Self = Self {
        direction: "send",
        option: libc::SO_SNDBUF,
        forced: libc::SO_SNDBUFFORCE,
        sysctl: "net.core.wmem_max",
    };
}

/// Asks for a buffer, past the limit when we may; returns what was given and notes when that is less.
pub(super) fn ask_buffer(
    socket: &OwnedFd,
    config: &UdpConfig,
    buffer: Buffer,
    bytes: usize,
    notices: &mut Vec<String>,
) -> Result<usize, NicError> {
    let fd = socket.as_fd();
    let at = || NicError::socket("size the buffers of a UDP socket", config.bind);
    let wanted = bytes as libc::c_int; // Below 2 GiB: checked by `UdpConfig::check`.
    if socket::set_option(fd, libc::SOL_SOCKET, buffer.forced, wanted).is_err() {
        socket::set_option(fd, libc::SOL_SOCKET, buffer.option, wanted).map_err(at())?;
    }
    // The kernel doubles what is asked, for its own bookkeeping, and tells the double.
    let given = socket::option(fd, libc::SOL_SOCKET, buffer.option).map_err(at())? as usize / 2;
    if given < bytes {
        notices.push(format!(
            "{} buffer of {}: asked for {bytes} bytes, got {given}; raise {} to {bytes}, or bursts may be dropped",
            buffer.direction, config.bind, buffer.sysctl
        ));
    }
    Ok(given)
}

/// Turns off what the kernel does not have; returns why, or what it has: for bursts out and in.
pub(super) fn settle_bursts(
    config: &mut UdpConfig,
    socket: &OwnedFd,
    notices: &mut Vec<String>,
) -> (String, String) {
    let fd = socket.as_fd();
    let mut settle = |wanted: &mut bool, name: &str, result: &dyn Fn() -> io::Result<()>| {
        let refused = if *wanted { result().err() } else { None };
        let reason = match &refused {
            Some(error) => format!("no {name}: {error}"),
            None if *wanted => name.to_owned(),
            None => format!("no {name}: configured"),
        };
        if refused.is_some() {
            notices.push(format!("bursts: {reason}; each datagram is handled by itself"));
            *wanted = false;
        }
        reason
    };
    let probe = || socket::option(fd, libc::SOL_UDP, libc::UDP_SEGMENT).map(|_| ());
    let enable = || socket::set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    (
        settle(&mut config.segmentation, "UDP_SEGMENT", &probe),
        settle(&mut config.coalescing, "UDP_GRO", &enable),
    )
}

/// The AF_XDP port beside the socket, if there is to be one; else why not, if it was tried.
pub(super) fn open_bypass(
    config: &UdpConfig,
    interface: &ResolvedInterface,
    local: SocketAddrV4,
) -> Result<Result<Bypass, Option<String>>, NicError> {
    match config.transport {
        Transport::Kernel | Transport::IoUring | Transport::Socket => Ok(Err(None)),
        Transport::AfXdp => Bypass::open(config, interface, local).map(Ok),
        Transport::Auto => match Bypass::open(config, interface, local) {
            Ok(bypass) => Ok(Ok(bypass)),
            // Nobody expects it there.
            Err(NicError::Xdp(XdpError::Loopback { .. })) => Ok(Err(None)),
            // Another port of ours takes what this one is for: over another transport it would hear nothing.
            Err(NicError::Xdp(error @ XdpError::FlowTwice { .. })) => Err(error.into()),
            Err(error) => Ok(Err(Some(error.to_string()))),
        },
    }
}

/// What receives from the socket alone, and why it is the one.
pub(super) fn open_receiver(config: &UdpConfig, socket: &OwnedFd) -> Result<(Receiver, String), NicError> {
    let plain = || {
        Batch::new(config)
            .map(Receiver::Socket)
            .map_err(NicError::socket("allocate receive buffers", config.bind))
    };
    let ring = || Uring::open(socket, config);
    match config.transport {
        Transport::Socket => Ok((plain()?, "socket: configured".into())),
        Transport::IoUring => Ok((Receiver::IoUring(Box::new(ring()?)), "io_uring: configured".into())),
        Transport::AfXdp | Transport::Auto | Transport::Kernel => match ring() {
            Ok(uring) => {
                Ok((Receiver::IoUring(Box::new(uring)), "io_uring: the kernel has all it needs".into()))
            }
            Err(error) => Ok((plain()?, format!("socket: {error}"))),
        },
    }
}
