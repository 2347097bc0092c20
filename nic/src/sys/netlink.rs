//! Questions to the kernel about links, routes and neighbours: one message there, one back.
#![allow(unsafe_code)] // Reason: netlink sockets, which std does not offer; each call is wrapped in a safe function.
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Where in a message its number is.
const NUMBER: std::ops::Range<usize> = 8..12;

/// A netlink socket for routing.
pub(crate) struct Netlink {
    fd: OwnedFd,
}

impl Netlink {
    /// Opens one, in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: integers by value only.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Sends a request and gives the length of the reply to it that is now in `reply`, cut off at its end. The kernel answers
    /// before the sending returns, so this does not wait.
    pub(crate) fn ask(&self, request: &[u8], reply: &mut [u8]) -> io::Result<usize> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the pointer is to `request`, live and of the length passed; the kernel only reads it.
        let sent = unsafe { libc::send(fd, request.as_ptr().cast(), request.len(), libc::MSG_DONTWAIT) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        loop {
            // SAFETY: the pointer is to `reply`, live, writable, and of the length passed.
            let got = unsafe { libc::recv(fd, reply.as_mut_ptr().cast(), reply.len(), libc::MSG_DONTWAIT) };
            let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
            // What is left of an earlier request that failed half-way is passed over: each of ours has its own number.
            if reply[..got].get(NUMBER) == request.get(NUMBER) {
                return Ok(got);
            }
        }
    }
}
