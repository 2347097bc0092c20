//! The rings shared with the kernel: one side puts entries in and moves the producer, the other takes them out and moves the
//! consumer. Both are counters that wrap at 2^32; entry `n` is at `n % length`.
//!
//! Each end remembers where the other was when it last looked, and looks again only when it must: the other's word is in
//! another core's cache.
#![allow(unsafe_code)] // Reason: memory shared with the kernel, found by offsets that the kernel tells.
use crate::sys::xdp::{self, RingKind};
use memmap2::MmapRaw;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What entries of a ring are: integers, of which any bits are valid.
pub(super) trait Entry: Copy + Send {}
impl Entry for u64 {}
impl Entry for libc::xdp_desc {}

/// The memory of one ring, and where things are in it.
struct Shared<T> {
    memory: Arc<MmapRaw>,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    length: u32,
    of: PhantomData<T>,
}

impl<T: Entry> Shared<T> {
    /// Checks that all of it is there, and aligned.
    fn new(memory: Arc<MmapRaw>, at: libc::xdp_ring_offset, length: u32) -> Self {
        assert!(length.is_power_of_two(), "a ring of {length} entries");
        let word = |offset: u64| {
            let offset = offset as usize;
            assert!(offset.is_multiple_of(4) && offset + 4 <= memory.len(), "a ring's word is outside of it");
            offset
        };
        let (producer, consumer, flags) = (word(at.producer), word(at.consumer), word(at.flags));
        let entries = at.desc as usize;
        assert!(entries.is_multiple_of(align_of::<T>()), "a ring's entries are not aligned");
        assert!(
            entries + length as usize * size_of::<T>() <= memory.len(),
            "a ring's entries are outside of it"
        );
        Self { memory, producer, consumer, flags, entries, length, of: PhantomData }
    }

    /// Makes and maps a ring of a socket.
    fn make(fd: BorrowedFd<'_>, kind: RingKind, length: u32) -> io::Result<Self> {
        xdp::make_ring(fd, kind, length)?;
        let at = kind.offsets(&xdp::offsets(fd)?);
        let bytes = at.desc as usize + length as usize * size_of::<T>();
        Ok(Self::new(Arc::new(xdp::map_ring(fd, kind, bytes)?), at, length))
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        let pointer = self.memory.as_mut_ptr().wrapping_add(offset).cast::<u32>();
        // SAFETY: `new` has seen that four aligned bytes are there (the mapping itself is page-aligned); they live as long as
        // the mapping, which self keeps, and both sides access them as atomics alone.
        unsafe { AtomicU32::from_ptr(pointer) }
    }

    #[inline]
    fn entry(&self, number: u32) -> *mut T {
        let index = (number & (self.length - 1)) as usize;
        self.memory.as_mut_ptr().wrapping_add(self.entries).cast::<T>().wrapping_add(index)
    }

    /// Does the kernel want to be woken up?
    #[inline]
    fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The end that puts entries in. There must be one of it per ring.
pub(super) struct Producer<T> {
    shared: Shared<T>,
    /// The next entry to be filled; what is published may be behind.
    next: u32,
    /// Where the consumer was when last looked at.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    /// The producer's end of a new ring of this socket.
    pub(super) fn make(fd: BorrowedFd<'_>, kind: RingKind, length: u32) -> io::Result<Self> {
        Shared::make(fd, kind, length).map(Self::over)
    }

    fn over(shared: Shared<T>) -> Self {
        let next = shared.word(shared.producer).load(Ordering::Relaxed);
        let consumed = shared.word(shared.consumer).load(Ordering::Acquire);
        Self { shared, next, consumed }
    }

    /// Entries there is room for.
    #[inline]
    fn room(&mut self) -> u32 {
        if self.next.wrapping_sub(self.consumed) == self.shared.length {
            self.consumed = self.shared.word(self.shared.consumer).load(Ordering::Acquire);
        }
        self.shared.length - self.next.wrapping_sub(self.consumed)
    }

    /// Is there room for one more?
    #[cfg(test)]
    fn has_room(&mut self) -> bool {
        self.room() > 0
    }

    /// Puts an entry in; the kernel sees it after [`Producer::publish`].
    ///
    /// # Panics
    /// When there is no room.
    #[inline]
    pub(super) fn put(&mut self, entry: T) {
        assert!(self.room() > 0, "a full ring was written to");
        // SAFETY: the entry is within the mapping and aligned (`new`); the consumer is past it and reads it again only when
        // the producer has moved, which only this end does.
        unsafe { self.shared.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows what was put in to the other end.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.shared.word(self.shared.producer).store(self.next, Ordering::Release);
    }

    /// Entries that the other end has not taken yet, published or not.
    #[inline]
    pub(super) fn waiting(&mut self) -> u32 {
        self.consumed = self.shared.word(self.shared.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(self.consumed)
    }

    /// Takes back the oldest entry that the other end has not taken. Only for when that end is gone.
    pub(super) fn take_back(&mut self) -> Option<T> {
        if self.waiting() == 0 {
            return None;
        }
        // SAFETY: the entry is within the mapping and aligned (`new`), and was written by `put`.
        let entry = unsafe { self.shared.entry(self.consumed).read() };
        self.shared.word(self.shared.consumer).store(self.consumed.wrapping_add(1), Ordering::Release);
        Some(entry)
    }

    /// Does the kernel want to be woken up?
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.shared.needs_wakeup()
    }
}

/// The end that takes entries out. There must be one of it per ring.
pub(super) struct Consumer<T> {
    shared: Shared<T>,
    /// The next entry to be taken; what is given back may be behind.
    next: u32,
    /// Where the producer was when last looked at.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    /// The consumer's end of a new ring of this socket.
    pub(super) fn make(fd: BorrowedFd<'_>, kind: RingKind, length: u32) -> io::Result<Self> {
        Shared::make(fd, kind, length).map(Self::over)
    }

    fn over(shared: Shared<T>) -> Self {
        let next = shared.word(shared.consumer).load(Ordering::Relaxed);
        Self { shared, next, produced: next }
    }

    /// The next entry, if there is one. Its place is used again after [`Consumer::release`].
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        if self.next == self.produced {
            self.produced = self.shared.word(self.shared.producer).load(Ordering::Acquire);
            if self.next == self.produced {
                return None;
            }
        }
        // SAFETY: the entry is within the mapping and aligned (`new`); the producer is past it, and writes it again only when
        // the consumer has moved, which only this end does.
        let entry = unsafe { self.shared.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of what was taken back to the other end.
    #[inline]
    pub(super) fn release(&mut self) {
        self.shared.word(self.shared.consumer).store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap2::MmapOptions;

    /// Both ends over the same ordinary memory, laid out as the kernel does: words a cache line apart, then entries.
    fn ring(length: u32, start: u32) -> (Producer<u64>, Consumer<u64>) {
        let at = libc::xdp_ring_offset { producer: 0, consumer: 64, flags: 72, desc: 128 };
        let memory = MmapOptions::new().len(128 + length as usize * 8).map_anon().unwrap();
        let memory = Arc::new(MmapRaw::from(memory));
        let shared = || Shared::new(memory.clone(), at, length);
        shared().word(0).store(start, Ordering::Relaxed);
        shared().word(64).store(start, Ordering::Relaxed);
        (Producer::over(shared()), Consumer::over(shared()))
    }

    #[test]
    fn should_show_nothing_before_it_is_published_and_keep_places_until_released() {
        let (mut producer, mut consumer) = ring(2, 0);
        producer.put(1);
        assert_eq!(consumer.take(), None);
        producer.publish();
        assert_eq!((consumer.take(), consumer.take()), (Some(1), None));
        producer.put(2);
        assert!(!producer.has_room(), "the first place was taken but not released");
        consumer.release();
        assert!(producer.has_room());
        producer.publish();
        assert_eq!(producer.waiting(), 1);
        assert_eq!((producer.take_back(), producer.take_back()), (Some(2), None));
    }

    #[test]
    fn should_pass_every_entry_in_order_between_two_threads_across_the_wrap_of_the_counters() {
        const COUNT: u64 = 200_000;
        let (mut producer, mut consumer) = ring(64, u32::MAX - 1000);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..COUNT {
                    while !producer.has_room() {
                        producer.publish();
                        std::thread::yield_now();
                    }
                    producer.put(number);
                    if number.is_multiple_of(7) {
                        producer.publish();
                    }
                }
                producer.publish();
            });
            for number in 0..COUNT {
                let got = loop {
                    match consumer.take() {
                        Some(got) => break got,
                        None => {
                            consumer.release();
                            std::thread::yield_now();
                        }
                    }
                };
                assert_eq!(got, number);
            }
        });
    }

    #[test]
    #[should_panic(expected = "a full ring was written to")]
    fn should_refuse_to_overwrite_what_was_not_taken() {
        let (mut producer, _consumer) = ring(2, 0);
        (0..3).for_each(|number| producer.put(number));
    }
}
