//! Sending: one datagram, or a burst.
use super::{COALESCED_BYTES, Receiver, SEGMENTS_MAX, UdpPort};
use crate::loss::Loss;
use crate::sys::socket;
use crate::xdp::port::Sending;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;

impl UdpPort {
    /// Sends one datagram; never waits. False when the kernel did not take it: it is then lost like any lost packet, and
    /// counted. (With a doorbell it is taken when it is in the ring; what the kernel says is for whoever rings.)
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
        if let Receiver::Bypass(bypass) = &mut self.receiver {
            let (taken, next, told) = bypass.port().send_segments(to, burst, segment_bytes);
            self.counters.sent += taken as u64;
            let others = (burst.len().div_ceil(segment_bytes) - taken) as u64;
            if self.settle(next, told, others) != Sending::Kernel {
                return taken;
            }
        }
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
        if let Receiver::Bypass(bypass) = &mut self.receiver {
            let (sending, told) = bypass.port().send(to, datagram);
            self.counters.sent += u64::from(sending == Sending::Taken);
            if self.settle(sending, told, 1) != Sending::Kernel {
                return sending == Sending::Taken;
            }
        }
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

    /// Counts what became of `datagrams` that were not all taken, and what the kernel said of earlier ones.
    #[inline]
    fn settle(&mut self, sending: Sending, told: io::Result<()>, datagrams: u64) -> Sending {
        match sending {
            Sending::Taken => {}
            Sending::Full => self.counters.send_full += datagrams,
            Sending::TooLong => self.refused(&io::Error::from_raw_os_error(libc::EMSGSIZE), datagrams),
            Sending::Kernel => self.counters.sent_through_kernel += datagrams,
        }
        if let Err(error) = told {
            self.refused(&error, 1);
        }
        sending
    }

    #[cold]
    pub(super) fn refused(&mut self, error: &io::Error, datagrams: u64) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::EBUSY) => self.counters.send_full += datagrams,
            code => {
                self.counters.send_failed += datagrams;
                self.last_send_error = code;
            }
        }
    }
}

/// Will this socket or device never take a burst, so that each datagram must go by itself? EMSGSIZE and EINVAL also say that one
/// segment is longer than the device takes: by itself it leaves in fragments.
fn cannot_segment(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}
