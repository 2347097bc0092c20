//! Sockets: creation, options, addresses, sending.
#![allow(unsafe_code)] // Reason: options and flags that std does not offer; each call is wrapped in a safe function.
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Length of an IPv4 socket address.
pub(crate) const ADDRESS_BYTES: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

/// Turns a libc result into a std one.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A non-blocking IPv4 socket, closed on exec. `kind` is SOCK_DGRAM or SOCK_STREAM.
pub(crate) fn open(kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: integers by value only.
    let fd =
        check(unsafe { libc::socket(libc::AF_INET, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The kernel's form of an address.
pub(crate) fn to_raw(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// Our form of the kernel's address.
pub(crate) fn from_raw(raw: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()), u16::from_be(raw.sin_port))
}

/// Sets an option whose value is one integer.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer of exactly the length passed; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    check(result).map(|_| ())
}

/// Reads an option whose value is one integer.
pub(crate) fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: value and length are live and writable; the kernel writes at most `length` bytes to value.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &mut length) })?;
    Ok(value)
}

/// Sets IP_MULTICAST_IF or IP_ADD_MEMBERSHIP, by interface index.
pub(crate) fn set_multicast(
    fd: BorrowedFd<'_>,
    name: libc::c_int,
    group: Ipv4Addr,
    address: Ipv4Addr,
    index: u32,
) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(group.octets()) },
        imr_address: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        imr_ifindex: index as libc::c_int,
    };
    let length = size_of_val(&request) as libc::socklen_t;
    // SAFETY: the pointer is to a live ip_mreqn of exactly the length passed; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::IPPROTO_IP, name, (&raw const request).cast(), length)
    };
    check(result).map(|_| ())
}

/// Datagrams the kernel dropped because the receive buffer was full, since the socket was opened; 0 when it does not say.
pub(crate) fn drops(fd: BorrowedFd<'_>) -> u64 {
    const DROPS_WORD: usize = 8; // SK_MEMINFO_DROPS
    let mut words = [0u32; DROPS_WORD + 1];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: words and length are live and writable; the kernel writes at most `length` bytes to words.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result == 0 { u64::from(words[DROPS_WORD]) } else { 0 }
}

/// Gives the socket its address.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: SocketAddrV4) -> io::Result<()> {
    let raw = to_raw(address);
    // SAFETY: the pointer is to a live sockaddr_in of exactly the length passed; the kernel only reads it.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), ADDRESS_BYTES) }).map(|_| ())
}

/// Starts connecting; [`io::ErrorKind::InProgress`] is no failure but means that it goes on.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: SocketAddrV4) -> io::Result<()> {
    let raw = to_raw(address);
    // SAFETY: the pointer is to a live sockaddr_in of exactly the length passed; the kernel only reads it.
    check(unsafe { libc::connect(fd.as_raw_fd(), (&raw const raw).cast(), ADDRESS_BYTES) }).map(|_| ())
}

/// The address the socket has.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddrV4> {
    let mut raw = to_raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut length = ADDRESS_BYTES;
    // SAFETY: raw and length are live and writable; the kernel writes at most `length` bytes to raw.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut raw).cast(), &mut length) })?;
    Ok(from_raw(&raw))
}

/// Sends one datagram without waiting.
#[inline]
pub(crate) fn send_to(fd: BorrowedFd<'_>, to: SocketAddrV4, datagram: &[u8]) -> io::Result<()> {
    let raw = to_raw(to);
    // SAFETY: datagram and raw are live and of exactly the lengths passed; the kernel only reads them, before it returns.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            datagram.as_ptr().cast(),
            datagram.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            (&raw const raw).cast(),
            ADDRESS_BYTES,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Room for the one control message we send or receive: a header and an integer, padded as the kernel wants it.
pub(crate) const CONTROL_BYTES: usize = CONTROL_HEAD_BYTES + 8;
const CONTROL_HEAD_BYTES: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(CONTROL_HEAD_BYTES == 16, "length, level and type, without padding");

/// The control message that tells the kernel where to cut.
fn cut_at(segment_bytes: u16) -> [u8; CONTROL_BYTES] {
    let mut control = [0; CONTROL_BYTES];
    control[..8].copy_from_slice(&(CONTROL_HEAD_BYTES + size_of::<u16>()).to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control[12..16].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    control[16..18].copy_from_slice(&segment_bytes.to_ne_bytes());
    control
}

/// Where to cut what was received with this control data; none when it is one datagram.
#[inline]
pub(crate) fn cut_of(control: &[u8]) -> Option<usize> {
    let (head, rest) = control.split_first_chunk::<CONTROL_HEAD_BYTES>()?;
    let value = i32::from_ne_bytes(*rest.first_chunk()?);
    let word = |at: usize| i32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    (word(8) == libc::SOL_UDP && word(12) == libc::UDP_GRO && value > 0).then_some(value as usize)
}

/// Sends datagrams of `segment_bytes`, one behind another in `bytes`, without waiting: all or none.
#[inline]
pub(crate) fn send_segments(
    fd: BorrowedFd<'_>,
    to: SocketAddrV4,
    bytes: &[u8],
    segment_bytes: u16,
) -> io::Result<()> {
    let mut raw = to_raw(to);
    let mut control = cut_at(segment_bytes);
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a msghdr of zeros is valid: null pointers with lengths 0.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut raw).cast();
    message.msg_namelen = ADDRESS_BYTES;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    // SAFETY: message leads to an address, a vector, its bytes and control data that are live and of the lengths stated; the
    // kernel only reads them, before it returns.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
