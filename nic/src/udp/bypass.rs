//! A port over AF_XDP, with an ordinary socket beside it.
//!
//! The socket keeps the address from others, holds the groups' memberships (AF_XDP sends no IGMP), and receives what does not come
//! past the program on our queue: fragments that the kernel put together, packets of other queues, and what was sent on this host.
//! That is seldom, so it is looked at seldom, but on when there was something: it costs a system call, and a packet that comes past the
//! kernel meanwhile waits for it.
use super::batch::Batch;
use super::{Deliver, UdpConfig, UdpCounters};
use crate::clock::monotonic_ns;
use crate::error::NicError;
use crate::interface::ResolvedInterface;
use crate::xdp::port::XdpPort;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::BorrowedFd;

/// The socket is looked at when it was not for so long...
const PAUSE_NS: u64 = 20_000;
/// ... which the clock is asked after this many steps...
const STEPS: u32 = 1024;
/// ... of which a lap that found nothing is so many, and another one.
const STEPS_SILENT: u32 = STEPS / 64;

/// Both ways of receiving.
pub(super) struct Bypass {
    port: XdpPort,
    kernel: Batch,
    /// Who may send; empty: anyone.
    senders: Box<[Ipv4Addr]>,
    steps_left: u32,
    /// When the socket was last looked at; 0: there was something, so look on.
    looked_ns: u64,
}

impl Bypass {
    /// Beside a socket that is bound to `local`.
    pub(super) fn open(
        config: &UdpConfig,
        interface: &ResolvedInterface,
        local: SocketAddrV4,
    ) -> Result<Self, NicError> {
        // Pieces of many datagrams would be put together of what comes one by one, after the program.
        let config = &UdpConfig { coalescing: false, ..config.clone() };
        let port = XdpPort::open(config, interface, local)?;
        let kernel = Batch::new(config).map_err(NicError::socket("allocate receive buffers", config.bind))?;
        Ok(Self { port, kernel, senders: config.senders.clone().into(), steps_left: 0, looked_ns: 0 })
    }

    /// The port past the kernel.
    #[inline]
    pub(super) fn port(&mut self) -> &mut XdpPort {
        &mut self.port
    }

    /// The same, to be asked.
    pub(super) fn about(&self) -> &XdpPort {
        &self.port
    }

    /// See [`UdpPort::receive`](super::UdpPort::receive).
    #[inline]
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        let handed = self.port.receive(limit, counters, deliver);
        self.steps_left = self.steps_left.saturating_sub(if handed == 0 { STEPS_SILENT } else { 1 });
        if self.steps_left > 0 || handed >= limit {
            return handed;
        }
        let now_ns = monotonic_ns();
        if now_ns < self.looked_ns.saturating_add(PAUSE_NS) {
            self.steps_left = STEPS;
            return handed;
        }
        // What could not be sent now waits for the next time; it was counted as sent, and is no loss yet.
        let _ = self.port.tend();
        self.looked_ns = now_ns;
        handed + self.through_kernel(socket, limit - handed, counters, deliver)
    }

    fn through_kernel(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        let Self { kernel, senders, .. } = self;
        let mut strangers = 0;
        let taken = kernel.receive(socket, limit, counters, &mut |source, datagram| {
            if senders.is_empty() || senders.contains(source.ip()) {
                deliver(source, datagram);
            } else {
                strangers += 1;
            }
        });
        if taken == 0 {
            self.steps_left = STEPS;
        } else {
            (self.steps_left, self.looked_ns) = (0, 0);
        }
        counters.strangers += strangers as u64;
        counters.through_kernel += (taken - strangers) as u64;
        taken - strangers
    }
}
