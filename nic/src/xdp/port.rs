//! One port's part of a queue: datagrams from its receive ring, datagrams into its send ring.
use super::doorbell::{Outlet, Sender};
use super::neighbours::{Neighbours, Way};
use super::packet::{self, Head, group_mac};
use super::queue::{Membership, Queue};
use super::umem::{Frame, ReceiveRing};
use super::{XdpConfig, XdpError};
use crate::error::NicError;
use crate::interface::ResolvedInterface;
use crate::sys::xdp;
use crate::udp::{Deliver, UdpConfig, UdpCounters};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Routers that a datagram to a single address may pass, plus one: what the kernel's own have.
const UNICAST_HOPS: u8 = 64;

/// What became of a datagram that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// In a frame.
    Taken,
    /// Not sent: all frames are under way.
    Full,
    /// Not sent: longer than what fits a packet.
    TooLong,
    /// Not sent: it must go through the kernel.
    Kernel,
}

/// What the kernel and the rings dropped of a port's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingDrops {
    /// Packets for which there was no place in the port's receive ring: it was not emptied in time.
    pub ring_full: u64,
    /// Packets for which there was no empty frame, or that were longer than one.
    pub frames_short: u64,
    /// Datagrams from others than the port's senders.
    pub strangers: u64,
}

/// A member of a queue.
pub(crate) struct XdpPort {
    queue: Arc<Queue>,
    slot: u32,
    /// There until the port is dropped.
    socket: Option<OwnedFd>,
    receive: ReceiveRing,
    outlet: Arc<Outlet>,
    /// Others send by the outlet too, and a doorbell tells the kernel; else the port does whenever it has sent.
    waits_for_bell: bool,
    stock: Stock,
    /// Frames that have been read, to be lent to the kernel again.
    read: Vec<Frame>,
    neighbours: Neighbours,
    local: SocketAddrV4,
    datagram_bytes_max: usize,
    multicast_hops: u8,
    busy_polling: bool,
    strangers_before: u64,
}

/// The frames of a port that it may write to.
struct Stock {
    slot: u32,
    free: Vec<Frame>,
    /// Of the packet written last.
    identification: u16,
}

impl Stock {
    /// Takes the frames that are back. Those sent last mostly are by now and still in the cache: they are taken next.
    #[inline]
    fn refill(&mut self, queue: &Queue) {
        queue.take_sent(self.slot, &mut self.free);
    }

    /// Puts a datagram into a frame and that into the ring; the kernel is not told yet.
    #[inline]
    fn put(&mut self, queue: &Queue, sender: &mut Sender<'_>, head: Head, datagram: &[u8]) -> Sending {
        if datagram.len() > queue.datagram_bytes_max() {
            return Sending::TooLong;
        }
        if self.free.is_empty() {
            self.refill(queue);
        }
        let Some(mut frame) = self.free.pop() else { return Sending::Full };
        self.identification = self.identification.wrapping_add(1);
        let head = Head { identification: self.identification, ..head };
        let length = head.write(queue.umem().bytes_mut(&mut frame), datagram);
        sender.put(frame, length);
        Sending::Taken
    }

    /// The same; where no frame is left the kernel is told of those in the ring, since some may be back then.
    #[inline]
    fn put_or_ring(
        &mut self,
        queue: &Queue,
        sender: &mut Sender<'_>,
        head: Head,
        datagram: &[u8],
    ) -> io::Result<Sending> {
        match self.put(queue, sender, head, datagram) {
            Sending::Full => sender.ring().map(|()| self.put(queue, sender, head, datagram)),
            settled => Ok(settled),
        }
    }
}

impl XdpPort {
    /// Joins the queue that the configuration names, to receive what an ordinary socket at `local` would.
    pub(crate) fn open(
        config: &UdpConfig,
        interface: &ResolvedInterface,
        local: SocketAddrV4,
    ) -> Result<Self, NicError> {
        let queue = Queue::of(interface, config.xdp)?;
        if config.sent_bytes_max > queue.datagram_bytes_max() {
            let (interface, bytes, mtu) = (interface.name.clone(), config.sent_bytes_max, queue.mtu());
            return Err(XdpError::MtuTooSmall { interface, bytes, mtu }.into());
        }
        let neighbours =
            Neighbours::open(interface.index).map_err(XdpError::call("ask for neighbours", &[]))?;
        let doorbell = config.doorbell.as_ref();
        let shared = doorbell.map(|bell| bell.outlet(&queue)).transpose()?.flatten();
        let waits_for_bell = shared.is_some();
        let outlet = shared.map_or_else(|| Outlet::open(&queue, 1).map(Arc::new), Ok)?;
        let Membership { slot, socket, receive, strangers_before } =
            queue.join(&config.received(interface.address, local), &config.senders)?;
        if let Some(doorbell) = doorbell.filter(|_| waits_for_bell) {
            doorbell.settle(&outlet);
        }
        let single = !local.ip().is_unspecified() && !local.ip().is_multicast();
        let source = if single { *local.ip() } else { interface.address };
        let XdpConfig { receive_frames, send_frames, busy_poll_us, .. } = *queue.config();
        Ok(Self {
            slot,
            socket: Some(socket),
            receive,
            outlet,
            waits_for_bell,
            stock: Stock { slot, free: Vec::with_capacity(send_frames as usize), identification: 0 },
            read: Vec::with_capacity(receive_frames as usize),
            neighbours,
            local: SocketAddrV4::new(source, local.port()),
            datagram_bytes_max: config.datagram_bytes_max,
            multicast_hops: config.multicast_ttl,
            busy_polling: busy_poll_us > 0,
            strangers_before,
            queue,
        })
    }

    /// The queue.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_ref().expect("a port has its socket until it is dropped").as_fd()
    }

    /// See [`UdpPort::receive`](crate::udp::UdpPort::receive). Datagrams are delivered from where the NIC or the kernel wrote them.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        let umem = self.queue.umem();
        let mut handed = 0;
        // What is not handed out counts too, so that no flood of it holds up the caller.
        for _ in 0..limit {
            let Some((frame, place)) = self.receive.take(umem) else { break };
            match packet::read(&umem.bytes(&frame)[place]) {
                Some(packet) if packet.to.port() != self.local.port() => counters.malformed += 1,
                Some(packet) if packet.datagram.len() > self.datagram_bytes_max => counters.oversize += 1,
                Some(packet) => {
                    deliver(packet.from, packet.datagram);
                    handed += 1;
                }
                None => counters.malformed += 1,
            }
            self.read.push(frame);
        }
        if !self.read.is_empty() {
            self.receive.release();
            if self.queue.lend(&mut self.read) {
                xdp::wake_receiver(self.fd());
            }
        } else if self.busy_polling {
            xdp::wake_receiver(self.fd());
        }
        handed
    }

    /// Sends one datagram. An error is the kernel's, about what was sent before.
    #[inline]
    pub(crate) fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> (Sending, io::Result<()>) {
        let Some(head) = self.head(to) else { return (Sending::Kernel, Ok(())) };
        let Self { queue, outlet, stock, waits_for_bell, .. } = self;
        let mut sender = outlet.lock();
        match stock.put_or_ring(queue, &mut sender, head, datagram) {
            Ok(sending) => (sending, if *waits_for_bell { Ok(()) } else { sender.ring() }),
            Err(error) => (Sending::Full, Err(error)),
        }
    }

    /// Sends datagrams of `segment_bytes` that lie one behind another, with one wake-up; says how many were taken, and what became
    /// of the next.
    pub(crate) fn send_segments(
        &mut self,
        to: SocketAddrV4,
        bytes: &[u8],
        segment_bytes: usize,
    ) -> (usize, Sending, io::Result<()>) {
        let Some(head) = self.head(to) else { return (0, Sending::Kernel, Ok(())) };
        let Self { queue, outlet, stock, waits_for_bell, .. } = self;
        let mut sender = outlet.lock();
        let (mut taken, mut sending) = (0, Sending::Taken);
        for datagram in bytes.chunks(segment_bytes) {
            sending = match stock.put_or_ring(queue, &mut sender, head, datagram) {
                Ok(sending) => sending,
                Err(error) => return (taken, Sending::Full, Err(error)),
            };
            if sending != Sending::Taken {
                break;
            }
            taken += 1;
        }
        (taken, sending, if *waits_for_bell { Ok(()) } else { sender.ring() })
    }

    /// The headers of a datagram to this address; none when it must go through the kernel.
    #[inline]
    fn head(&mut self, to: SocketAddrV4) -> Option<Head> {
        let (to_mac, source, hops) = if to.ip().is_multicast() {
            (group_mac(*to.ip()), *self.local.ip(), self.multicast_hops)
        } else {
            match self.neighbours.way(*to.ip()) {
                Way::Frame(mac) => (mac, *self.local.ip(), UNICAST_HOPS),
                Way::Kernel => return None,
            }
        };
        self.stock.refill(&self.queue);
        let from = SocketAddrV4::new(source, self.local.port());
        Some(Head { from_mac: self.queue.mac(), to_mac, from, to, hops, identification: 0 })
    }

    /// What can wait for a quiet moment: frames nobody has sent yet, and neighbours that were looked up long ago.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        self.neighbours.tend();
        self.outlet.lock().tend()
    }

    /// What was dropped of its packets. Asks the kernel: not for every lap.
    pub(crate) fn drops(&self) -> RingDrops {
        let strangers = self.queue.strangers(self.slot) - self.strangers_before;
        let Ok(kernel) = xdp::statistics(self.fd()) else {
            return RingDrops { strangers, ..RingDrops::default() };
        };
        RingDrops { ring_full: kernel.rx_ring_full, frames_short: kernel.rx_dropped, strangers }
    }
}

impl Drop for XdpPort {
    fn drop(&mut self) {
        // Once the socket is closed the kernel touches its ring no more, and it still says which frames it had. (Its only descriptor
        // is ours: it is closed on exec, and never lent.)
        self.socket = None;
        let (queue, mut received) = (self.queue.clone(), std::mem::take(&mut self.read));
        received.extend(std::iter::from_fn(|| self.receive.take(queue.umem()).map(|(frame, _)| frame)));
        // Those under way come back by themselves, and those not rung for once they are.
        queue.leave(self.slot, received, self.stock.free.drain(..));
    }
}
