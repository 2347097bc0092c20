//! The frames: memory that the kernel and we write packets to in turn, and the rings by which each is handed over.
//!
//! A [`Frame`] is the right to one frame. There is never more than one for the same: those the kernel has are in a ring, and come
//! out of one again. So whoever holds one may read and write the memory it stands for, and nobody else does.
#![allow(unsafe_code)] // Reason: memory that the kernel writes to, divided among owners by tokens.
use super::ring::{Consumer, Producer};
use crate::pages::{HugePages, PagePolicy, Pages, PagesError};
use crate::sys::xdp::{self, RingKind};
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The right to one frame of the memory it came from.
#[derive(Debug)]
pub(super) struct Frame(u32);

/// The memory of all frames.
pub(super) struct Umem {
    pages: Pages,
    frame_bytes: usize,
    count: u32,
}

impl Umem {
    /// Memory for so many frames, and the frames in order; on hugepages if there are any.
    pub(super) fn new(count: u32, frame_bytes: usize) -> Result<(Self, Vec<Frame>), PagesError> {
        assert!(frame_bytes.is_power_of_two(), "frames of {frame_bytes} bytes");
        let policy = PagePolicy { huge: HugePages::Prefer, lock: false };
        let pages = Pages::anonymous(count as usize * frame_bytes, policy)?;
        Ok((Self { pages, frame_bytes, count }, (0..count).map(Frame).collect()))
    }

    /// Makes it the memory of this socket. It must outlive what the socket receives, which the owner of both sees to.
    pub(super) fn register(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let address = self.pages.words().as_ptr() as u64;
        let bytes = self.count as usize * self.frame_bytes;
        // SAFETY: mapped and writable as long as self lives; the kernel pins the pages, so even a socket that is closed later
        // writes to nobody else's memory; frames are referred to by their one holder alone (see above).
        unsafe { xdp::register_memory(fd, address, bytes, self.frame_bytes as u32) }
    }

    /// What the memory is on, and why not on hugepages.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    fn start(&self, frame: &Frame) -> *mut u8 {
        assert!(frame.0 < self.count, "a frame of another memory");
        self.pages.words().as_ptr().cast_mut().cast::<u8>().wrapping_add(frame.0 as usize * self.frame_bytes)
    }

    /// What is in a frame.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        // SAFETY: within the mapping, which self keeps; plain bytes; nobody writes there while the frame's holder lends it.
        unsafe { std::slice::from_raw_parts(self.start(frame), self.frame_bytes) }
    }

    /// The same, to be written.
    #[inline]
    pub(super) fn bytes_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        // SAFETY: as above; the words are atomics, so writable through a shared reference; the frame is lent exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start(frame), self.frame_bytes) }
    }

    #[inline]
    fn address(&self, frame: &Frame) -> u64 {
        u64::from(frame.0) * self.frame_bytes as u64
    }

    /// The frame the kernel names by an address in it.
    #[inline]
    fn frame(&self, address: u64) -> Frame {
        let index = address / self.frame_bytes as u64;
        assert!(index < u64::from(self.count), "the kernel named a frame that is not there");
        Frame(index as u32)
    }
}

/// Frames that hold packets, from the kernel.
pub(super) struct ReceiveRing(Consumer<libc::xdp_desc>);

impl ReceiveRing {
    pub(super) fn make(fd: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        Consumer::make(fd, RingKind::Receive, length).map(Self)
    }

    /// The next packet: its frame, and where in it.
    #[inline]
    pub(super) fn take(&mut self, umem: &Umem) -> Option<(Frame, Range<usize>)> {
        let entry = self.0.take()?;
        let start = (entry.addr % umem.frame_bytes as u64) as usize;
        let end = start + entry.len as usize;
        assert!(end <= umem.frame_bytes, "the kernel wrote beyond a frame");
        Some((umem.frame(entry.addr), start..end))
    }

    /// Gives the places of what was taken back to the kernel (not the frames).
    #[inline]
    pub(super) fn release(&mut self) {
        self.0.release();
    }
}

/// Entries of a ring that so many frames are put into again and again, so that there is always room for all of them: the kernel tells
/// only now and then how many it has taken, when it runs out of those it knows of, and by then they may be back.
fn entries_for(frames: u32) -> u32 {
    2 * frames
}

/// Frames to be sent, to the kernel.
pub(super) struct SendRing(Producer<libc::xdp_desc>);

impl SendRing {
    /// For one or several who have so many frames in all, a power of two.
    pub(super) fn make(fd: BorrowedFd<'_>, frames: u32) -> io::Result<Self> {
        Producer::make(fd, RingKind::Send, entries_for(frames)).map(Self)
    }

    /// Puts in the first `length` bytes of a frame.
    #[inline]
    pub(super) fn put(&mut self, umem: &Umem, frame: Frame, length: usize) {
        assert!(length <= umem.frame_bytes, "a packet longer than its frame");
        self.0.put(libc::xdp_desc { addr: umem.address(&frame), len: length as u32, options: 0 });
    }

    #[inline]
    pub(super) fn publish(&mut self) {
        self.0.publish();
    }

    /// Packets the kernel has not taken yet.
    #[inline]
    pub(super) fn waiting(&mut self) -> u32 {
        self.0.waiting()
    }

    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.0.needs_wakeup()
    }

    /// A frame that the kernel will not take any more, because the socket is closed.
    pub(super) fn take_back(&mut self, umem: &Umem) -> Option<Frame> {
        self.0.take_back().map(|entry| umem.frame(entry.addr))
    }
}

/// Empty frames for packets, to the kernel.
pub(super) struct FillRing(Producer<u64>);

impl FillRing {
    /// For so many frames in all, a power of two.
    pub(super) fn make(fd: BorrowedFd<'_>, frames: u32) -> io::Result<Self> {
        Producer::make(fd, RingKind::Fill, entries_for(frames)).map(Self)
    }

    /// Lends all of `frames` to the kernel.
    #[inline]
    pub(super) fn lend(&mut self, umem: &Umem, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            self.0.put(umem.address(&frame));
        }
        self.0.publish();
    }

    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.0.needs_wakeup()
    }
}

/// Frames the kernel is done sending.
pub(super) struct CompletionRing(Consumer<u64>);

impl CompletionRing {
    pub(super) fn make(fd: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        Consumer::make(fd, RingKind::Completion, length).map(Self)
    }

    /// Puts all of them where their owners find them.
    #[inline]
    pub(super) fn hand_back(&mut self, umem: &Umem, returned: &Returned) {
        let mut any = false;
        while let Some(address) = self.0.take() {
            returned.put(umem.frame(address));
            any = true;
        }
        if any {
            self.0.release();
        }
    }
}

/// Where sent frames wait for their owners: a bit each. Anybody may put one in; its owner takes it.
pub(super) struct Returned(Box<[AtomicU64]>);

impl Returned {
    /// Room for so many frames, of which none is there.
    pub(super) fn new(count: u32) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    pub(super) fn put(&self, frame: Frame) {
        let before = self.0[frame.0 as usize / 64].fetch_or(1 << (frame.0 % 64), Ordering::Release);
        assert!(before & 1 << (frame.0 % 64) == 0, "a frame came back twice");
    }

    /// Moves all of `owned` (whole words: multiples of 64) that are there to `into`.
    #[inline]
    pub(super) fn take(&self, owned: Range<u32>, into: &mut Vec<Frame>) {
        assert!(owned.start.is_multiple_of(64) && owned.end.is_multiple_of(64), "frames of half a word");
        for word in owned.start / 64..owned.end / 64 {
            let place = &self.0[word as usize];
            // Mostly there is none, and looking is much cheaper than exchanging.
            if place.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = place.swap(0, Ordering::Acquire);
            while bits != 0 {
                into.push(Frame(word * 64 + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_give_each_frame_its_own_memory() {
        let (umem, mut frames) = Umem::new(8, 2048).unwrap();
        for (number, frame) in frames.iter_mut().enumerate() {
            umem.bytes_mut(frame).fill(number as u8);
        }
        for (number, frame) in frames.iter().enumerate() {
            assert!(umem.bytes(frame).iter().all(|byte| *byte == number as u8));
            assert_eq!(umem.address(frame), number as u64 * 2048);
            assert_eq!(umem.frame(umem.address(frame) + 2047).0, frame.0);
        }
    }

    #[test]
    fn should_hand_frames_back_to_their_owners_from_any_thread() {
        let (returned, (_, frames)) = (Returned::new(256), Umem::new(256, 2048).unwrap());
        let (even, odd): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| frame.0 % 2 == 0);
        std::thread::scope(|scope| {
            for half in [even, odd] {
                scope.spawn(|| half.into_iter().for_each(|frame| returned.put(frame)));
            }
        });
        let mut mine = Vec::new();
        returned.take(64..192, &mut mine);
        assert_eq!(mine.iter().map(|frame| frame.0).collect::<Vec<_>>(), (64..192).collect::<Vec<_>>());
        mine.clear();
        returned.take(64..192, &mut mine);
        assert!(mine.is_empty());
    }

    #[test]
    #[should_panic(expected = "a frame came back twice")]
    fn should_refuse_a_frame_that_is_there_already() {
        let returned = Returned::new(64);
        (0..2).for_each(|_| returned.put(Frame(3)));
    }
}
