//! Datagrams in and out, to one and to groups, over AF_XDP, io_uring or plain sockets behind one interface.
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
//! # Past the kernel
//! With AF_XDP ([`crate::xdp`]) a program on the interface takes the port's datagrams before the kernel sees them, and what the port
//! sends goes to the interface without it. So:
//! - No other socket of this host, of this process or another, receives what the port does, nor what it sends to groups.
//! - A datagram longer than a packet (the interface's MTU less 28 bytes) is not sent, where others leave in fragments.
//! - The UDP checksum of what comes is not looked at; the frame's own is checked by the NIC.
//!
//! # When datagrams come faster than they are taken
//! They wait in the kernel's receive buffer, or over AF_XDP in the ring; beyond that the kernel drops them, and [`UdpPort::drops`] tells
//! how many.
mod batch;
mod bypass;
mod config;
mod open;
mod piece;
mod send;
#[cfg(test)]
mod tests;
mod uring;

use crate::error::NicError;
use crate::loss::Loss;
use crate::sys::socket;
use crate::xdp::RingDrops;
use batch::Batch;
use bypass::Bypass;
pub use config::{COALESCED_BYTES, SOCKET_BATCH, Transport, UdpConfig};
use open::{Buffer, ask_buffer, open_bypass, open_receiver, open_socket, settle_bursts};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use uring::Uring;

/// Most datagrams the kernel takes with one call.
pub const SEGMENTS_MAX: usize = 64;

/// Receives source and bytes of one datagram.
pub(crate) type Deliver<'a> = dyn FnMut(SocketAddrV4, &[u8]) + 'a;

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
    /// Over AF_XDP, those of them that came through the kernel: fragments, from other queues, or from this host.
    pub through_kernel: u64,
    /// Over AF_XDP, datagrams through the kernel that were dropped because they are not from one of `senders`.
    pub strangers: u64,
    /// Over AF_XDP, packets dropped because they are no whole datagram for this port.
    pub malformed: u64,
    /// Datagrams the kernel took for sending, or over AF_XDP the send ring.
    pub sent: u64,
    /// Over AF_XDP, datagrams that went through the kernel, or were refused there: it had to find out the Ethernet address first, or
    /// the way does not lead out of the interface.
    pub sent_through_kernel: u64,
    /// Datagrams not taken because the send buffer was full, or over AF_XDP all frames under way.
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
    Bypass(Box<Bypass>),
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
        let bypass = open_bypass(&config, &interface, local)?;
        config.coalescing &= bypass.is_err();
        let (mut segmentation_reason, mut coalescing_reason) =
            settle_bursts(&mut config, &socket, &mut notices);
        let (receiver, reason) = match bypass {
            Ok(bypass) => {
                let queue = bypass.about().queue();
                let reason = format!("af_xdp: {}", queue.summary());
                notices.append(&mut queue.notices());
                segmentation_reason = "each datagram in a frame of its own, one wake-up a burst".into();
                coalescing_reason = "each datagram as it comes".into();
                (Receiver::Bypass(Box::new(bypass)), reason)
            }
            Err(not_tried_or_why) => {
                let (receiver, reason) = open_receiver(&config, &socket)?;
                let but = not_tried_or_why.map(|why| format!("; not af_xdp: {why}")).unwrap_or_default();
                (receiver, reason + &but)
            }
        };
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

    /// The address bound, with the port the kernel chose when 0 was asked for.
    pub fn local_address(&self) -> SocketAddrV4 {
        self.local
    }

    /// Datagrams the kernel dropped because the receive buffer was full, or over AF_XDP the rings. Asks the kernel: not for every lap.
    pub fn drops(&self) -> u64 {
        let RingDrops { ring_full, frames_short, .. } = self.ring_drops();
        socket::drops(self.socket.as_fd()) + ring_full + frames_short
    }

    /// Over AF_XDP: what was dropped before it came to us, by reason. Asks the kernel: not for every lap.
    pub fn ring_drops(&self) -> RingDrops {
        let Receiver::Bypass(bypass) = &self.receiver else { return RingDrops::default() };
        let drops = bypass.about().drops();
        RingDrops { strangers: drops.strangers + self.counters.strangers, ..drops }
    }

    /// What was taken; never [`Transport::Auto`] or [`Transport::Kernel`].
    pub fn transport(&self) -> Transport {
        match self.receiver {
            Receiver::Socket(_) => Transport::Socket,
            Receiver::IoUring(_) => Transport::IoUring,
            Receiver::Bypass(_) => Transport::AfXdp,
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
        Receiver::Bypass(bypass) => bypass.receive(socket.as_fd(), limit, counters, deliver),
    }
}
