//! Receiving from a plain socket, many datagrams per system call.
#![allow(unsafe_code)] // Reason: recvmmsg, which std does not offer; the kernel fills memory it finds by raw pointers.
use super::piece::{Piece, spread};
use super::{Deliver, SOCKET_BATCH, UdpConfig, UdpCounters};
use crate::sys::socket::{ADDRESS_BYTES, CONTROL_BYTES, cut_of, from_raw};
use memmap2::{MmapMut, MmapOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Memory for up to [`SOCKET_BATCH`] pieces with their sources, and the headers by which the kernel finds it.
///
/// All of it lies in one mapping made at the start, so that no address in it ever changes: the headers hold pointers to
/// addresses, vectors, control data and bytes beside them.
pub(super) struct Batch {
    memory: MmapMut,
    headers: *mut libc::mmsghdr,
    /// Pieces taken at most at once.
    count: usize,
    datagram_bytes_max: usize,
    /// Room for control data in each header; 0 when nothing is coalesced.
    control_bytes: usize,
    /// Headers at the front that the kernel has filled in.
    used: usize,
    /// The piece handed out next, and from which byte on.
    next: usize,
    offset: usize,
}

// SAFETY: the pointer leads into `memory`, which the batch owns alone; nothing about it belongs to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for what the configuration lets in.
    pub(super) fn new(config: &UdpConfig) -> io::Result<Self> {
        // Headers must lie one after the other for the kernel, so: all headers, all vectors, all sources, all control data,
        // all bytes. Each kind's size is a multiple of 8, so every element is aligned in a page-aligned mapping.
        const _: () =
            assert!(size_of::<libc::mmsghdr>().is_multiple_of(8) && align_of::<libc::mmsghdr>() <= 8);
        const _: () = assert!(size_of::<libc::iovec>().is_multiple_of(8) && align_of::<libc::iovec>() <= 8);
        const _: () =
            assert!(size_of::<libc::sockaddr_in>().is_multiple_of(8) && align_of::<libc::sockaddr_in>() <= 8);
        const _: () = assert!(CONTROL_BYTES.is_multiple_of(8));
        let (count, control_bytes) =
            if config.coalescing { (SOCKET_BATCH / 4, CONTROL_BYTES) } else { (SOCKET_BATCH, 0) };
        let vectors_at = count * size_of::<libc::mmsghdr>();
        let sources_at = vectors_at + count * size_of::<libc::iovec>();
        let control_at = sources_at + count * size_of::<libc::sockaddr_in>();
        let bytes_at = control_at + count * control_bytes;
        let stride = spread(config.buffer_bytes());
        let mut memory = MmapOptions::new().len(bytes_at + count * stride).populate().map_anon()?;
        let base = memory.as_mut_ptr();
        for index in 0..count {
            // All within the mapping, by the sums above, and aligned, by the assertions above.
            let bytes = base.wrapping_add(bytes_at + index * stride);
            let source = base.wrapping_add(sources_at).cast::<libc::sockaddr_in>().wrapping_add(index);
            let vector = base.wrapping_add(vectors_at).cast::<libc::iovec>().wrapping_add(index);
            let header = base.cast::<libc::mmsghdr>().wrapping_add(index);
            // SAFETY: `vector` is aligned, within the mapping, and nothing else refers to it.
            unsafe { vector.write(libc::iovec { iov_base: bytes.cast(), iov_len: config.buffer_bytes() }) };
            // SAFETY: aligned and within the mapping; nothing else refers to it; zeroed pages are a valid mmsghdr.
            let header = unsafe { &mut *header };
            header.msg_hdr.msg_name = source.cast();
            header.msg_hdr.msg_namelen = ADDRESS_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = base.wrapping_add(control_at + index * control_bytes).cast();
            header.msg_hdr.msg_controllen = control_bytes;
        }
        let (headers, datagram_bytes_max) = (base.cast(), config.datagram_bytes_max);
        Ok(Self { headers, memory, count, datagram_bytes_max, control_bytes, used: 0, next: 0, offset: 0 })
    }

    /// See [`UdpPort::receive`](super::UdpPort::receive).
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        let mut handed = self.hand_out(limit, counters, deliver);
        while handed < limit {
            let asked = self.count.min(limit - handed);
            let got = self.take(socket, asked, counters);
            handed += self.hand_out(limit - handed, counters, deliver);
            if got < asked {
                break;
            }
        }
        handed
    }

    /// Hands out up to `limit` datagrams of what was taken; returns how many.
    #[inline]
    fn hand_out(&mut self, limit: usize, counters: &mut UdpCounters, deliver: &mut Deliver<'_>) -> usize {
        let mut handed = 0;
        while self.next < self.used && handed < limit {
            let rest = match self.piece(self.next) {
                Some(piece) => {
                    let max = self.datagram_bytes_max;
                    let (count, rest) = piece.hand_out(self.offset, limit - handed, max, counters, deliver);
                    handed += count;
                    rest
                }
                None => {
                    counters.oversize += 1;
                    None
                }
            };
            self.next += usize::from(rest.is_none());
            self.offset = rest.unwrap_or(0);
        }
        handed
    }

    /// Asks the kernel for up to `asked` pieces; returns how many it gave.
    #[inline]
    fn take(&mut self, socket: BorrowedFd<'_>, asked: usize, counters: &mut UdpCounters) -> usize {
        assert!(asked <= self.count && self.next == self.used);
        for index in 0..self.used {
            // SAFETY: `used` is at most `count`; the header lies in our mapping and nothing else refers to it.
            let header = unsafe { &mut *self.headers.wrapping_add(index) };
            header.msg_hdr.msg_namelen = ADDRESS_BYTES;
            header.msg_hdr.msg_controllen = self.control_bytes;
        }
        (self.used, self.next) = (0, 0);
        // SAFETY: `headers` are `asked` (at most `count`) valid headers, each leading to a vector, bytes, control data and a
        // source in our mapping with the lengths they state; no reference into any of it is alive.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers,
                asked as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        if let Ok(got) = usize::try_from(result) {
            self.used = got;
            return got;
        }
        if !matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            counters.receive_failed += 1;
        }
        0
    }

    /// The `index`-th piece of the last take; none when it was longer than there was room.
    #[inline]
    fn piece(&self, index: usize) -> Option<Piece<'_>> {
        assert!(index < self.used);
        // SAFETY: below `used`, so a header of our mapping that the kernel filled in; shared reading only.
        let header = unsafe { &*self.headers.wrapping_add(index) };
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        // SAFETY: msg_name leads to this piece's source in our mapping: always a valid sockaddr_in (plain integers).
        let source = unsafe { &*header.msg_hdr.msg_name.cast::<libc::sockaddr_in>() };
        // SAFETY: msg_iov leads to this piece's vector in our mapping.
        let vector = unsafe { &*header.msg_hdr.msg_iov };
        let length = (header.msg_len as usize).min(vector.iov_len);
        // SAFETY: iov_base leads to iov_len bytes in our mapping; length is no more; borrowed from self, and the kernel
        // writes there only inside `take`, which needs self exclusively.
        let bytes = unsafe { std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), length) };
        let control_bytes = header.msg_hdr.msg_controllen.min(self.control_bytes);
        // SAFETY: msg_control leads to `self.control_bytes` bytes in our mapping; the rest as for `bytes`.
        let control = unsafe { std::slice::from_raw_parts(header.msg_hdr.msg_control.cast(), control_bytes) };
        debug_assert!(self.memory.as_ptr_range().contains(&bytes.as_ptr()));
        Some(Piece::new(from_raw(source), bytes, cut_of(control)))
    }
}
