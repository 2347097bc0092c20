//! Writes through io_uring: in flight while the thread goes on.
//!
//! The ring belongs to the thread that first submits (see `udp::uring` for the flags and why).
#![allow(unsafe_code)] // Reason: buffers lent to the kernel; the crate io-uring leaves their validity to the caller.
use super::Finished;
use super::directory::OpenFile;
use crate::sys::storage::DSYNC;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Marks the completion of a sync among those of writes.
const SYNC: u64 = 1 << 63;

/// What completes a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Durability {
    /// The bytes are taken.
    #[default]
    None,
    /// The bytes would survive a power cut, by the write's own flag.
    Write,
    /// Everything written to the file would, by a sync that follows the write.
    File,
}

/// What is known of one write.
#[derive(Default)]
struct Progress {
    /// Open until the write is done: a part of it may have to be submitted again.
    file: Option<Arc<OpenFile>>,
    offset: u64,
    durability: Durability,
    /// Address and length of what is lent to the kernel, found once when it was submitted.
    address: usize,
    length: usize,
    /// Bytes written so far.
    written: usize,
    result: Option<io::Result<()>>,
}

/// Up to `depth` writes in flight.
pub(super) struct UringWrites<B: AsRef<[u8]> + 'static> {
    ring: IoUring,
    /// Buffers in flight. Never resized, and a buffer is not touched from its submission to its completion: not even moved.
    buffers: Vec<Option<B>>,
    /// Beside the buffers, place by place.
    progress: Vec<Progress>,
    /// Writes handed out by `poll`, and writes submitted; a write's place is its number modulo the depth.
    first: u64,
    next: u64,
    enabled: bool,
}

impl<B: AsRef<[u8]> + 'static> UringWrites<B> {
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        let entries = u32::try_from(depth).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_r_disabled() // The thread that enables it becomes its owner: the one that submits.
            .build(entries.next_power_of_two())?;
        let buffers = std::iter::repeat_with(|| None).take(depth).collect();
        let progress = std::iter::repeat_with(Progress::default).take(depth).collect();
        Ok(Self { ring, buffers, progress, first: 0, next: 0, enabled: false })
    }

    fn place(&self, number: u64) -> usize {
        (number % self.buffers.len() as u64) as usize
    }

    pub(super) fn in_flight(&self) -> usize {
        (self.next - self.first) as usize
    }

    pub(super) fn submit(
        &mut self,
        file: io::Result<&Arc<OpenFile>>,
        offset: u64,
        buffer: B,
        durability: Durability,
    ) {
        assert!(self.in_flight() < self.buffers.len(), "more than {} writes in flight", self.buffers.len());
        if !self.enabled {
            self.ring
                .submitter()
                .register_enable_rings()
                .expect("the ring was made disabled and is enabled once");
            self.enabled = true;
        }
        let number = self.next;
        self.next += 1;
        let place = self.place(number);
        assert!(self.buffers[place].is_none());
        // First to its place, then its address: some buffers hold their bytes in themselves.
        let lent: &B = self.buffers[place].insert(buffer);
        let bytes: &[u8] = lent.as_ref();
        let (address, length) = (bytes.as_ptr() as usize, bytes.len());
        let (file, result) = match file {
            Ok(file) => (Some(file.clone()), None),
            Err(error) => (None, Some(Err(error))),
        };
        let failed = result.is_some();
        self.progress[place] = Progress { file, offset, durability, address, length, written: 0, result };
        if !failed {
            self.push(number);
            self.enter();
        }
    }

    /// Queues what is left of a write, or the sync that follows it.
    fn push(&mut self, number: u64) {
        let place = self.place(number);
        let progress = &self.progress[place];
        let file = progress.file.as_ref().expect("only writes to open files are queued");
        if progress.written >= progress.length {
            let entry = opcode::Fsync::new(Fd(file.as_raw_fd()))
                .flags(FsyncFlags::DATASYNC)
                .build()
                .user_data(number | SYNC);
            // SAFETY: no memory is lent; the file is kept open by `progress.file`.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.expect("the submission queue has an entry for every write in flight");
            return;
        }
        let left = u32::try_from(progress.length - progress.written).expect("a write is below 4 GiB");
        let entry = opcode::Write::new(
            Fd(file.as_raw_fd()),
            (progress.address + progress.written) as *const u8,
            left,
        )
        .offset(progress.offset + progress.written as u64)
        .rw_flags(if progress.durability == Durability::Write { DSYNC } else { 0 })
        .build()
        .user_data(number);
        // SAFETY: the bytes are those `as_ref` of the buffer gave, and the kernel only reads them. They stay valid until the
        // completion: the buffer lies in `buffers[place]`, borrowed by nobody, not touched or moved until then, and `Drop`
        // waits for the completion, or else leaks the buffer. The file is kept open by `progress.file`.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the submission queue has an entry for every write in flight");
    }

    fn enter(&self) {
        match self.ring.submit() {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                panic!(
                    "a directory's io_uring was used from a second thread; submit and poll from the first one only"
                )
            }
            Err(error) => panic!("io_uring_enter failed on a valid ring: {error}"),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Finished<B>> {
        if self.first == self.next {
            return None;
        }
        let front = self.place(self.first);
        if self.progress[front].result.is_none() {
            let submission = self.ring.submission();
            let enter = submission.taskrun() || submission.cq_overflow() || !submission.is_empty();
            drop(submission);
            if enter {
                self.enter();
            }
            self.take();
        }
        let result = self.progress[front].result.take()?;
        self.progress[front].file = None;
        self.first += 1;
        let buffer = self.buffers[front].take().expect("a write in flight has its buffer");
        Some((buffer, result))
    }

    /// Takes note of all completions there are.
    fn take(&mut self) {
        loop {
            // A statement of its own, so that the queue's head is written back before anything else happens.
            let completion = self.ring.completion().next();
            let Some(completion) = completion else { return };
            let synced = completion.user_data() & SYNC != 0;
            let number = completion.user_data() & !SYNC;
            let place = self.place(number);
            let progress = &mut self.progress[place];
            match usize::try_from(completion.result()) {
                Ok(0) if progress.length > progress.written => {
                    progress.result = Some(Err(io::ErrorKind::WriteZero.into()));
                }
                Ok(count) => progress.written += count,
                Err(_) if !synced && matches!(-completion.result(), libc::EINTR | libc::EAGAIN) => {}
                // A failed sync is never tried again.
                Err(_) => progress.result = Some(Err(io::Error::from_raw_os_error(-completion.result()))),
            }
            let written = progress.written >= progress.length;
            if progress.result.is_none() && written && (synced || progress.durability != Durability::File) {
                progress.result = Some(Ok(()));
            }
            if progress.result.is_none() {
                self.push(number);
                self.enter();
            }
        }
    }
}

impl<B: AsRef<[u8]> + 'static> Drop for UringWrites<B> {
    /// Waits for what is in flight, so that no buffer is freed while the kernel reads it.
    fn drop(&mut self) {
        loop {
            self.take();
            let waiting =
                (self.first..self.next).any(|number| self.progress[self.place(number)].result.is_none());
            if !waiting {
                return;
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
                Err(_) => {
                    // Dropped by another thread, which may not wait here: better lose the buffers than free them too early.
                    std::mem::forget(std::mem::take(&mut self.buffers));
                    return;
                }
            }
        }
    }
}
