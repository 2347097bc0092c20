//! Receiving through io_uring: one multishot receive that fills buffers of ours until it runs out of them.
//!
//! The ring belongs to the thread that first receives (`SINGLE_ISSUER`), and the kernel does its part of the work only when
//! that thread enters it (`DEFER_TASKRUN`), which it does when the kernel raises a flag in shared memory (`TASKRUN_FLAG`).
//! So a lap that finds nothing reads two words of memory and makes no system call, and nothing interrupts the thread.
//! Waiting on the completion queue alone without looking at the flag would wait for ever.
//!
//! `DEFER_TASKRUN` is also what makes the buffers safe: the kernel writes to them only inside `io_uring_enter` on this ring.
#![allow(unsafe_code)] // Reason: memory shared with the kernel; the crate io-uring leaves its validity to the caller.
use super::piece::{Piece, spread};
use super::{Deliver, UdpConfig, UdpCounters};
use crate::error::NicError;
use crate::sys::socket::{ADDRESS_BYTES, CONTROL_BYTES, cut_of, from_raw};
use io_uring::types::{BufRingEntry, Fd, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode};
use memmap2::{MmapMut, MmapOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

/// The only buffer group of a ring.
const GROUP: u16 = 0;
/// Before each piece the kernel puts a header of 16 bytes, the source, and the control data where there is room for it.
const HEAD_BYTES: usize = 16 + ADDRESS_BYTES as usize;

/// One ring receiving from one socket.
pub(super) struct Uring {
    // Declared first so that it is dropped first: after that nobody writes to the memory below.
    ring: IoUring,
    pool: Pool,
    /// The form of what is received; read by the kernel when a receive is armed. Boxed: its address must not change.
    form: Box<libc::msghdr>,
    socket: OwnedFd,
    enabled: bool,
    armed: bool,
    datagram_bytes_max: usize,
    /// A piece of which not all has been handed out.
    open: Option<Open>,
}

/// Where to go on in a piece: its buffer, how much of that is filled, and the first byte not handed out.
#[derive(Clone, Copy)]
struct Open {
    buffer: u16,
    length: usize,
    offset: usize,
}

// SAFETY: `form` holds null pointers only; `pool` is owned memory; the ring may be used by one thread, and which one that is
// is settled by the first `receive`, after which the kernel itself refuses others.
unsafe impl Send for Uring {}

impl Uring {
    /// Sets up a ring over `socket` with room for what the configuration lets in.
    pub(super) fn open(socket: &OwnedFd, config: &UdpConfig) -> Result<Self, NicError> {
        let buffers = config.buffers_held();
        let control_bytes = if config.coalescing { CONTROL_BYTES } else { 0 };
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled() // The thread that enables it becomes its owner: the one that receives.
            .setup_cqsize(u32::from(buffers) * 2)
            .build(8)
            .map_err(NicError::uring("set up a ring"))?;
        let pool = Pool::new(buffers, HEAD_BYTES + control_bytes + config.buffer_bytes())
            .map_err(NicError::uring("allocate receive buffers"))?;
        // SAFETY: the pool's entries are `buffers` many, page-aligned, and live until the ring is dropped (field order).
        let registered = unsafe {
            ring.submitter().register_buf_ring_with_flags(pool.entries_address(), buffers, GROUP, 0)
        };
        registered.map_err(NicError::uring("register receive buffers"))?;
        // SAFETY: a msghdr of zeros is valid: null pointers with lengths 0.
        let mut form: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        form.msg_namelen = ADDRESS_BYTES;
        form.msg_controllen = control_bytes;
        let socket = socket.as_fd().try_clone_to_owned().map_err(NicError::uring("share the socket"))?;
        let datagram_bytes_max = config.datagram_bytes_max;
        Ok(Self { ring, pool, form, socket, enabled: false, armed: false, datagram_bytes_max, open: None })
    }

    /// See [`UdpPort::receive`](super::UdpPort::receive).
    #[inline]
    pub(super) fn receive(
        &mut self,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> usize {
        if !self.armed {
            self.arm();
        }
        let mut handed = 0;
        while handed < limit {
            let (taken, seen) = self.take(limit - handed, counters, deliver);
            handed += taken;
            // Enter only when the queue is empty: what is there is handed out before more is fetched.
            if seen == 0 && (!self.armed || !self.enter_if_asked()) {
                break;
            }
        }
        handed
    }

    /// Lets the kernel do its part if it asked for that; false when it did not.
    #[inline]
    fn enter_if_asked(&mut self) -> bool {
        let submission = self.ring.submission();
        // An entry still queued was refused for want of memory: try again.
        let asked = submission.taskrun() || submission.cq_overflow() || !submission.is_empty();
        drop(submission);
        if asked {
            self.enter();
        }
        asked
    }

    fn enter(&self) {
        match self.ring.submit() {
            Ok(_) => {}
            // EBUSY: completions that found no room come first; the caller is about to take some. EAGAIN: no memory just now.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                panic!(
                    "a UDP port over io_uring was used from a second thread; receive from the first one only"
                )
            }
            Err(error) => panic!("io_uring_enter failed on a valid ring: {error}"),
        }
    }

    /// Starts the multishot receive, which goes on until an error or the lack of buffers ends it.
    #[cold]
    fn arm(&mut self) {
        if !self.enabled {
            self.ring
                .submitter()
                .register_enable_rings()
                .expect("the ring was made disabled and is enabled once");
            self.enabled = true;
        }
        let entry = opcode::RecvMsgMulti::new(Fd(self.socket.as_raw_fd()), &*self.form, GROUP).build();
        // SAFETY: the form and the socket live as long as the ring; the buffers are the registered group's.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        self.armed = pushed.is_ok();
        self.enter();
    }

    /// Hands out up to `limit` datagrams that completed; returns (handed, pieces seen).
    #[inline]
    fn take(
        &mut self,
        limit: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> (usize, usize) {
        let Self { ring, pool, form, armed, datagram_bytes_max, open, .. } = self;
        let (mut handed, mut seen) = (0, 0);
        let mut completions = ring.completion();
        while handed < limit {
            let now = match open.take() {
                Some(rest) => rest,
                None => {
                    let Some(completion) = completions.next() else { break };
                    seen += 1;
                    if !cqueue::more(completion.flags()) {
                        *armed = false;
                    }
                    let Some(buffer) = cqueue::buffer_select(completion.flags()) else {
                        count_failure(-completion.result(), counters);
                        continue;
                    };
                    let length = usize::try_from(completion.result()).unwrap_or(0);
                    Open { buffer, length, offset: 0 }
                }
            };
            let rest = match piece(pool.buffer(now.buffer, now.length), form) {
                Some(piece) => {
                    let (count, rest) =
                        piece.hand_out(now.offset, limit - handed, *datagram_bytes_max, counters, deliver);
                    handed += count;
                    rest
                }
                None => {
                    counters.oversize += 1;
                    None
                }
            };
            match rest {
                Some(offset) => *open = Some(Open { offset, ..now }),
                None => pool.give_back(now.buffer),
            }
        }
        drop(completions);
        if handed > 0 || seen > 0 {
            pool.publish();
        }
        (handed, seen)
    }
}

/// A receive that brought nothing.
#[cold]
fn count_failure(code: i32, counters: &mut UdpCounters) {
    match code {
        libc::ENOBUFS => counters.rearmed += 1,
        libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
        _ => counters.receive_failed += 1,
    }
}

/// What a filled buffer holds; none when that was longer than there was room.
#[inline]
fn piece<'a>(filled: &'a [u8], form: &libc::msghdr) -> Option<Piece<'a>> {
    let out = RecvMsgOut::parse(filled, form).ok()?;
    if out.is_payload_truncated() || out.name_data().len() < ADDRESS_BYTES as usize {
        return None;
    }
    // SAFETY: at least ADDRESS_BYTES are there; sockaddr_in is plain integers; read_unaligned asks nothing of alignment.
    let source = unsafe { out.name_data().as_ptr().cast::<libc::sockaddr_in>().read_unaligned() };
    // Parsing borrows `out`, but its payload is a part of `filled`: cut it out there, to live as long.
    let (length, start) = (out.payload_data().len(), HEAD_BYTES + form.msg_controllen);
    Some(Piece::new(from_raw(&source), &filled[start..start + length], cut_of(out.control_data())))
}

/// The buffers, and the ring by which they are lent to the kernel.
struct Pool {
    entries: MmapMut,
    bytes: MmapMut,
    /// Distance between buffers.
    stride: usize,
    /// What a buffer holds: head and piece and not a byte more, or datagrams over the limit would be let in.
    room: usize,
    count: u16,
    tail: u16,
}

impl Pool {
    fn new(count: u16, room: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two());
        let stride = spread(room);
        let entries =
            MmapOptions::new().len(usize::from(count) * size_of::<BufRingEntry>()).populate().map_anon()?;
        let bytes = MmapOptions::new().len(usize::from(count) * stride).populate().map_anon()?;
        let mut pool = Self { entries, bytes, stride, room, count, tail: 0 };
        for buffer in 0..count {
            pool.lend(buffer);
        }
        pool.publish();
        Ok(pool)
    }

    fn entries_address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// The first `length` bytes of a buffer the kernel gave us.
    #[inline]
    fn buffer(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(buffer < self.count && length <= self.stride);
        let start = usize::from(buffer) * self.stride;
        &self.bytes[start..start + length]
    }

    /// Puts a buffer into the next entry, with all that the entry says.
    #[inline]
    fn lend(&mut self, buffer: u16) {
        let room = self.room;
        let address = self.bytes.as_mut_ptr().wrapping_add(usize::from(buffer) * self.stride) as u64;
        let entry = self.entry(self.tail);
        entry.set_addr(address);
        entry.set_len(room as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lends a buffer to the kernel again, from the next [`Pool::publish`] on.
    #[inline]
    fn give_back(&mut self, buffer: u16) {
        assert!(buffer < self.count);
        self.lend(buffer);
    }

    #[inline]
    fn entry(&mut self, position: u16) -> &mut BufRingEntry {
        let index = usize::from(position & (self.count - 1));
        let entry = self.entries.as_mut_ptr().cast::<BufRingEntry>().wrapping_add(index);
        // SAFETY: index is below `count`, so within the mapping, page-aligned base and 16-byte entries; any bytes are a
        // valid entry. The kernel only reads entries between its head and the published tail, and this one is not among
        // them: it holds no more buffers than were given back. The tail word shares entry 0 and is not touched by the
        // entry's setters.
        unsafe { &mut *entry }
    }

    /// Makes what was lent visible to the kernel.
    #[inline]
    fn publish(&mut self) {
        // SAFETY: the base of the mapping is the first entry of the ring.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr().cast()) };
        // SAFETY: the tail word is two aligned bytes inside the mapping, written by us alone and read by the kernel; the
        // mapping is writable (an MmapMut held exclusively).
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
