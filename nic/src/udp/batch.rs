//! Receiving from a plain socket, many datagrams per system call.
#![allow(unsafe_code)] // Reason: recvmmsg, which std does not offer; the kernel fills memory it finds by raw pointers.
use super::{Deliver, SOCKET_BATCH, UdpCounters};
use crate::sys::socket::{ADDRESS_BYTES, from_raw};
use memmap2::{MmapMut, MmapOptions};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Memory for [`SOCKET_BATCH`] datagrams with their sources, and the headers by which the kernel finds it.
///
/// All of it lies in one mapping made at the start, so that no address in it ever changes: the headers hold pointers to
/// addresses, vectors and bytes beside them.
pub(super) struct Batch {
    memory: MmapMut,
    headers: *mut libc::mmsghdr,
    /// Headers at the front that the kernel may have changed since they were last made ready.
    used: usize,
}

// SAFETY: the pointer leads into `memory`, which the batch owns alone; nothing about it belongs to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for datagrams of up to `datagram_bytes_max`.
    pub(super) fn new(datagram_bytes_max: usize) -> io::Result<Self> {
        // Headers must lie one after the other for the kernel, so: all headers, all vectors, all sources, all bytes.
        // Each kind's size is a multiple of 8, so every element is aligned in a page-aligned mapping.
        const _: () =
            assert!(size_of::<libc::mmsghdr>().is_multiple_of(8) && align_of::<libc::mmsghdr>() <= 8);
        const _: () = assert!(size_of::<libc::iovec>().is_multiple_of(8) && align_of::<libc::iovec>() <= 8);
        const _: () =
            assert!(size_of::<libc::sockaddr_in>().is_multiple_of(8) && align_of::<libc::sockaddr_in>() <= 8);
        let vectors_at = SOCKET_BATCH * size_of::<libc::mmsghdr>();
        let sources_at = vectors_at + SOCKET_BATCH * size_of::<libc::iovec>();
        let bytes_at = sources_at + SOCKET_BATCH * size_of::<libc::sockaddr_in>();
        let stride = datagram_bytes_max.next_multiple_of(64);
        let mut memory = MmapOptions::new().len(bytes_at + SOCKET_BATCH * stride).populate().map_anon()?;
        let base = memory.as_mut_ptr();
        for index in 0..SOCKET_BATCH {
            // All within the mapping, by the sums above, and aligned, by the assertions above.
            let bytes = base.wrapping_add(bytes_at + index * stride);
            let source = base.wrapping_add(sources_at).cast::<libc::sockaddr_in>().wrapping_add(index);
            let vector = base.wrapping_add(vectors_at).cast::<libc::iovec>().wrapping_add(index);
            let header = base.cast::<libc::mmsghdr>().wrapping_add(index);
            // SAFETY: `vector` is aligned, within the mapping, and nothing else refers to it.
            unsafe { vector.write(libc::iovec { iov_base: bytes.cast(), iov_len: datagram_bytes_max }) };
            // SAFETY: aligned and within the mapping; nothing else refers to it; zeroed pages are a valid mmsghdr.
            let header = unsafe { &mut *header };
            header.msg_hdr.msg_name = source.cast();
            header.msg_hdr.msg_namelen = ADDRESS_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = ptr::null_mut();
            header.msg_hdr.msg_controllen = 0;
        }
        Ok(Self { headers: base.cast(), memory, used: 0 })
    }

    /// See [`UdpPort::receive`](super::UdpPort::receive).
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        let mut handed = 0;
        while handed < limit {
            let asked = SOCKET_BATCH.min(limit - handed);
            let got = self.take(socket, asked, counters);
            for index in 0..got {
                match self.datagram(index) {
                    Some((source, bytes)) => {
                        handed += 1;
                        deliver(source, bytes);
                    }
                    None => counters.oversize += 1,
                }
            }
            if got < asked {
                break;
            }
        }
        handed
    }

    /// Asks the kernel for up to `asked` datagrams; returns how many it gave.
    #[inline]
    fn take(&mut self, socket: BorrowedFd<'_>, asked: usize, counters: &mut UdpCounters) -> usize {
        for index in 0..self.used {
            // SAFETY: `used` is at most SOCKET_BATCH; the header lies in our mapping and nothing else refers to it.
            let header = unsafe { &mut *self.headers.wrapping_add(index) };
            header.msg_hdr.msg_namelen = ADDRESS_BYTES;
        }
        self.used = 0;
        // SAFETY: `headers` are `asked` (at most SOCKET_BATCH) valid headers, each leading to a vector, bytes and a source
        // in our mapping with the lengths they state; no reference into any of it is alive.
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

    /// The `index`-th datagram of the last take; none when it was longer than there was room.
    #[inline]
    fn datagram(&self, index: usize) -> Option<(SocketAddrV4, &[u8])> {
        assert!(index < self.used);
        // SAFETY: below `used`, so a header of our mapping that the kernel filled in; shared reading only.
        let header = unsafe { &*self.headers.wrapping_add(index) };
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        // SAFETY: msg_name leads to this datagram's source in our mapping: always a valid sockaddr_in (plain integers).
        let source = unsafe { &*header.msg_hdr.msg_name.cast::<libc::sockaddr_in>() };
        // SAFETY: msg_iov leads to this datagram's vector in our mapping.
        let vector = unsafe { &*header.msg_hdr.msg_iov };
        let length = (header.msg_len as usize).min(vector.iov_len);
        // SAFETY: iov_base leads to iov_len bytes in our mapping; length is no more; borrowed from self, and the kernel
        // writes there only inside `take`, which needs self exclusively.
        let bytes = unsafe { std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), length) };
        debug_assert!(self.memory.as_ptr_range().contains(&bytes.as_ptr()));
        Some((from_raw(source), bytes))
    }
}
