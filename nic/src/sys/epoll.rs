//! Which sockets are ready.
#![allow(unsafe_code)] // Reason: epoll, which std does not offer; each call is wrapped in a safe function.
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Bytes or a connection wait, or the peer closed.
pub(crate) const READABLE: u32 = libc::EPOLLIN as u32 | libc::EPOLLRDHUP as u32;
/// There is room to send again, or the connect is decided.
pub(crate) const WRITABLE: u32 = libc::EPOLLOUT as u32;

/// A set of watched sockets and room for what is told about them.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Box<[libc::epoll_event]>,
}

impl Epoll {
    /// An empty set that tells at most `events_max` at a time.
    pub(crate) fn new(events_max: usize) -> io::Result<Self> {
        // SAFETY: an integer by value only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; events_max].into_boxed_slice() })
    }

    fn control(&self, operation: i32, socket: BorrowedFd<'_>, token: u64, interest: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token };
        // SAFETY: both descriptors are open for the call (owned, borrowed); `event` is live and only read.
        let result =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, socket.as_raw_fd(), &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches a socket; it leaves the set by being closed.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, token: u64, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, interest)
    }

    /// Changes what a watched socket is watched for.
    pub(crate) fn change(&self, socket: BorrowedFd<'_>, token: u64, interest: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    /// How many sockets are ready now (at most `limit`); does not wait. [`Epoll::ready`] tells which.
    pub(crate) fn poll(&mut self, limit: usize) -> usize {
        let room = limit.min(self.events.len()) as libc::c_int;
        if room == 0 {
            return 0;
        }
        // SAFETY: `events` is writable for at least `room` entries.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, 0) };
        // An error can only be EINTR here: asked again at the next call.
        usize::try_from(count).unwrap_or(0)
    }

    /// Token and conditions of the `index`-th ready socket of the last [`Epoll::poll`].
    pub(crate) fn ready(&self, index: usize) -> (u64, u32) {
        let event = self.events[index];
        (event.u64, event.events)
    }
}
