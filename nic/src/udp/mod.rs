//! Datagrams in and out, to one and to groups, over io_uring or plain sockets behind one interface.
//!
//! # Which address to bind
//! A socket bound to a group's address receives that group alone. Its own datagrams leave with the interface's address and
//! the group's *port* as their source, so an answer to them would not reach it: whoever wants answers opens a second port at
//! its own address. Any number of sockets may join one group; each receives every datagram.
//!
//! # Threads
//! A port may be opened in one thread and used in another. With io_uring, the thread that first calls
//! [`UdpPort::receive`] is from then on the only one that may.
//!
//! # Bursts
//! [`UdpPort::send_segments`] gives the kernel up to [`SEGMENTS_MAX`] datagrams of equal length with one call, and what left as one
//! burst arrives as one piece where the receiving port takes such: most of the cost of a datagram is then paid once a burst. What is
//! on the wire is the same. [`UdpPort::receive`] cuts pieces up and keeps the rest of one for its next call, so its limit holds.
//!
//! # When datagrams come faster than they are taken
//! They wait in the kernel's receive buffer; beyond it the kernel drops them, and [`UdpPort::drops`] tells how many.
mod batch;
mod config;
mod piece;
#[cfg(test)]
mod tests;
mod uring;

use crate::error::NicError;
use crate::interface::ResolvedInterface;
use crate::loss::Loss;
use crate::sys::socket;
use batch::Batch;
pub use config::{COALESCED_BYTES, SOCKET_BATCH, Transport, UdpConfig};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use uring::Uring;

/// Most datagrams the kernel takes with one call.
pub const SEGMENTS_MAX: usize = 64;

/// Receives source and bytes of one datagram.
type Deliver<'a> = dyn FnMut(SocketAddrV4, &[u8]) + 'a;

/// What a port counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams handed out.
    pub received: u64,
    /// Datagrams longer than `datagram_bytes_max`, dropped.
    pub oversize: u64,
    /// Receive calls that failed for another reason than there being nothing.
    pub receive_failed: u64,
    /// Times the io_uring receive had run out of buffers and was armed anew. Nothing is lost by it.
    pub rearmed: u64,
    /// Datagrams the kernel took for sending.
    pub sent: u64,
    /// Datagrams not taken because the send buffer was full.
    pub send_full: u64,
    /// Datagrams not taken for another reason; see [`UdpPort::last_send_error`].
    pub send_failed: u64,
    /// Received datagrams dropped on purpose.
    pub loss_received: u64,
    /// Datagrams dropped on purpose instead of being sent.
    pub loss_sent: u64,
}

enum Receiver {
    Socket(Batch),
    IoUring(Box<Uring>),
}

/// One UDP socket.
pub struct UdpPort {
    // Declared before the socket: the ring goes before what it receives from.
    receiver: Receiver,
    socket: OwnedFd,
    local: SocketAddrV4,
    receive_buffer_bytes: usize,
    send_buffer_bytes: usize,
    notices: Vec<String>,
    reason: String,
    /// Does the kernel cut bursts?
    segmentation: bool,
    segmentation_reason: String,
    coalescing_reason: String,
    loss: Option<Loss>,
    counters: UdpCounters,
    last_send_error: Option<i32>,
}

impl UdpPort {
    /// Opens, binds and joins. The error says what failed, on what, and what to do.
    pub fn open(mut config: UdpConfig) -> Result<Self, NicError> {
        config
            .check()
            .map_err(|what| NicError::Setting { what: format!("UDP port {}: {what}", config.bind) })?;
        let interface = config.interface.resolve()?;
        let socket = open_socket(&config, &interface)?;
        let local = socket::local_address(socket.as_fd())
            .map_err(NicError::socket("read the address of a UDP socket", config.bind))?;
        let mut notices = Vec::new();
        let receive_buffer_bytes =
            ask_buffer(&socket, &config, Buffer::RECEIVE, config.receive_buffer_bytes, &mut notices)?;
        let send_buffer_bytes =
            ask_buffer(&socket, &config, Buffer::SEND, config.send_buffer_bytes, &mut notices)?;
        let (segmentation_reason, coalescing_reason) = settle_bursts(&mut config, &socket, &mut notices);
        let (receiver, reason) = open_receiver(&config, &socket)?;
        Ok(Self {
            receiver,
            socket,
            local,
            receive_buffer_bytes,
            send_buffer_bytes,
            notices,
            reason,
            segmentation: config.segmentation,
            segmentation_reason,
            coalescing_reason,
            loss: config.loss.map(Loss::new),
            counters: UdpCounters::default(),
            last_send_error: None,
        })
    }

    /// Hands up to `limit` datagrams that have arrived to `deliver(source, datagram)`, in order of arrival; returns how many.
    /// Never waits.
    ///
    /// # Panics
    /// With io_uring, when called from another thread than the first call.
    #[inline]
    pub fn receive(&mut self, limit: usize, deliver: &mut Deliver<'_>) -> usize {
        let Self { receiver, counters, socket, loss, .. } = self;
        let handed = match loss {
            None => receive_from(receiver, socket, limit, counters, deliver),
            Some(loss) => {
                let mut dropped = 0;
                let taken = receive_from(receiver, socket, limit, counters, &mut |source, datagram| {
                    if loss.drops_received() {
                        dropped += 1;
                    } else {
                        deliver(source, datagram);
                    }
                });
                counters.loss_received += dropped as u64;
                taken - dropped
            }
        };
        self.counters.received += handed as u64;
        handed
    }

    /// Sends one datagram; never waits. False when the kernel did not take it: it is then lost like any lost packet, and
    /// counted.
    #[inline]
    pub fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        if self.loss.as_mut().is_some_and(Loss::drops_sent) {
            self.counters.loss_sent += 1;
            return true; // Lost on its way, as far as the caller can tell.
        }
        self.send_one(to, datagram)
    }

    /// Sends datagrams of `segment_bytes` that lie one behind another in `bytes`; the last may be shorter. Never waits. Returns how
    /// many the kernel took; the others are lost like any lost packet, and counted.
    ///
    /// # Panics
    /// When `segment_bytes` is 0.
    pub fn send_segments(&mut self, to: SocketAddrV4, bytes: &[u8], segment_bytes: usize) -> usize {
        assert!(segment_bytes > 0, "datagrams of no length cannot lie one behind another");
        if self.loss.is_some() {
            return self.send_lossy(to, bytes, segment_bytes);
        }
        self.send_all(to, bytes, segment_bytes)
    }

    /// The same with loss: what lies between two that are lost leaves as a burst.
    fn send_lossy(&mut self, to: SocketAddrV4, bytes: &[u8], segment_bytes: usize) -> usize {
        let (mut start, mut taken) = (0, 0);
        for (index, segment) in bytes.chunks(segment_bytes).enumerate() {
            if self.loss.as_mut().is_some_and(Loss::drops_sent) {
                let at = index * segment_bytes;
                taken += 1 + self.send_all(to, &bytes[start..at], segment_bytes);
                self.counters.loss_sent += 1;
                start = at + segment.len();
            }
        }
        taken + self.send_all(to, &bytes[start..], segment_bytes)
    }

    fn send_all(&mut self, to: SocketAddrV4, bytes: &[u8], segment_bytes: usize) -> usize {
        let per_call = (COALESCED_BYTES / segment_bytes).clamp(1, SEGMENTS_MAX);
        bytes.chunks(per_call * segment_bytes).map(|burst| self.send_burst(to, burst, segment_bytes)).sum()
    }

    /// Sends what fits one call.
    #[inline]
    fn send_burst(&mut self, to: SocketAddrV4, burst: &[u8], segment_bytes: usize) -> usize {
        if !self.segmentation || burst.len() <= segment_bytes {
            return burst
                .chunks(segment_bytes)
                .map(|datagram| usize::from(self.send_one(to, datagram)))
                .sum();
        }
        let count = burst.len().div_ceil(segment_bytes);
        // Above one segment and at most COALESCED_BYTES in all, so it fits.
        match socket::send_segments(self.socket.as_fd(), to, burst, segment_bytes as u16) {
            Ok(()) => {
                self.counters.sent += count as u64;
                count
            }
            Err(error) if cannot_segment(&error) => {
                let taken = self.send_each(to, burst, segment_bytes);
                // When none can be sent by itself either, it was not the burst.
                if taken > 0 {
                    self.segmentation = false;
                    self.segmentation_reason = format!("no UDP_SEGMENT: a burst was refused: {error}");
                }
                taken
            }
            Err(error) => {
                self.refused(&error, count as u64);
                0
            }
        }
    }

    fn send_each(&mut self, to: SocketAddrV4, burst: &[u8], segment_bytes: usize) -> usize {
        burst.chunks(segment_bytes).map(|datagram| usize::from(self.send_one(to, datagram))).sum()
    }

    #[inline]
    fn send_one(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        match socket::send_to(self.socket.as_fd(), to, datagram) {
            Ok(()) => {
                self.counters.sent += 1;
                true
            }
            Err(error) => {
                self.refused(&error, 1);
                false
            }
        }
    }

    #[cold]
    fn refused(&mut self, error: &io::Error, datagrams: u64) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => self.counters.send_full += datagrams,
            code => {
                self.counters.send_failed += datagrams;
                self.last_send_error = code;
            }
        }
    }

    /// The address bound, with the port the kernel chose when 0 was asked for.
    pub fn local_address(&self) -> SocketAddrV4 {
        self.local
    }

    /// Datagrams the kernel dropped because the receive buffer was full. Asks the kernel: not for every lap.
    pub fn drops(&self) -> u64 {
        socket::drops(self.socket.as_fd())
    }

    /// What was taken: [`Transport::IoUring`] or [`Transport::Socket`].
    pub fn transport(&self) -> Transport {
        match self.receiver {
            Receiver::Socket(_) => Transport::Socket,
            Receiver::IoUring(_) => Transport::IoUring,
        }
    }

    /// Why that was taken, in words.
    pub fn transport_reason(&self) -> &str {
        &self.reason
    }

    /// Whether bursts leave with one call, and if not, why, in words. Changes when the first burst is refused for good.
    pub fn segmentation_reason(&self) -> &str {
        &self.segmentation_reason
    }

    /// Whether bursts arrive in one piece, and if not, why, in words.
    pub fn coalescing_reason(&self) -> &str {
        &self.coalescing_reason
    }

    /// Lines an operator should see: what was asked for and not given.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The receive buffer the kernel gave, in bytes.
    pub fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// The send buffer the kernel gave, in bytes.
    pub fn send_buffer_bytes(&self) -> usize {
        self.send_buffer_bytes
    }

    /// What was counted.
    pub fn counters(&self) -> UdpCounters {
        self.counters
    }

    /// Why the last datagram counted in `send_failed` was not taken.
    pub fn last_send_error(&self) -> Option<io::Error> {
        self.last_send_error.map(io::Error::from_raw_os_error)
    }
}

#[inline]
fn receive_from(
    receiver: &mut Receiver,
    socket: &OwnedFd,
    limit: usize,
    counters: &mut UdpCounters,
    deliver: &mut Deliver<'_>,
) -> usize {
    match receiver {
        Receiver::Socket(batch) => batch.receive(socket.as_fd(), limit, counters, deliver),
        Receiver::IoUring(uring) => uring.receive(limit, counters, deliver),
    }
}

/// A socket bound and joined as the configuration says.
fn open_socket(config: &UdpConfig, interface: &ResolvedInterface) -> Result<OwnedFd, NicError> {
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
struct Buffer {
    direction: &'static str,
    option: libc::c_int,
    forced: libc::c_int,
    sysctl: &'static str,
}

impl Buffer {
    const RECEIVE: Self = Self {
        direction: "receive",
        option: libc::SO_RCVBUF,
        forced: libc::SO_RCVBUFFORCE,
        sysctl: "net.core.rmem_max",
    };
    const SEND: Self = Self {
        direction: "send",
        option: libc::SO_SNDBUF,
        forced: libc::SO_SNDBUFFORCE,
        sysctl: "net.core.wmem_max",
    };
}

/// Asks for a buffer, past the limit when we may; returns what was given and notes when that is less.
fn ask_buffer(
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

/// Will this socket or device never take a burst, so that each datagram must go by itself? EMSGSIZE and EINVAL also say that one
/// segment is longer than the device takes: by itself it leaves in fragments.
fn cannot_segment(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

/// Turns off what the kernel does not have; returns why, or what it has: for bursts out and in.
fn settle_bursts(config: &mut UdpConfig, socket: &OwnedFd, notices: &mut Vec<String>) -> (String, String) {
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

/// The receiving side and why it is the one.
fn open_receiver(config: &UdpConfig, socket: &OwnedFd) -> Result<(Receiver, String), NicError> {
    let plain = || {
        Batch::new(config)
            .map(Receiver::Socket)
            .map_err(NicError::socket("allocate receive buffers", config.bind))
    };
    let ring = || Uring::open(socket, config);
    match config.transport {
        Transport::Socket => Ok((plain()?, "socket: configured".into())),
        Transport::IoUring => Ok((Receiver::IoUring(Box::new(ring()?)), "io_uring: configured".into())),
        Transport::Auto => match ring() {
            Ok(uring) => {
                Ok((Receiver::IoUring(Box::new(uring)), "io_uring: the kernel has all it needs".into()))
            }
            Err(error) => Ok((plain()?, format!("socket: {error}"))),
        },
    }
}
