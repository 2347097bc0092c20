//! AF_XDP sockets: creation, rings, binding, wake-ups, statistics.
#![allow(unsafe_code)] // Reason: options and addresses that std does not offer; each call is wrapped, safe but for the memory.
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

// What the kernel reads and writes, byte for byte (include/uapi/linux/if_xdp.h).
const _: () = assert!(size_of::<libc::xdp_desc>() == 16 && align_of::<libc::xdp_desc>() == 8);
const _: () = assert!(size_of::<libc::xdp_ring_offset>() == 32);
const _: () = assert!(size_of::<libc::xdp_mmap_offsets>() == 128);
const _: () = assert!(size_of::<libc::sockaddr_xdp>() == 16);
// A kernel takes any length from that of its first version (without `flags`) on, and reads what it knows.
const _: () = assert!(size_of::<libc::xdp_umem_reg>() == 32 && size_of::<libc::xdp_umem_reg_v1>() == 24);
const _: () = assert!(size_of::<libc::xdp_statistics>() == 48 && size_of::<libc::xdp_statistics_v1>() == 24);

/// The rings of a socket and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingKind {
    /// Frames received.
    Receive,
    /// Frames to be sent.
    Send,
    /// Frames lent to the kernel for receiving.
    Fill,
    /// Frames the kernel is done sending.
    Completion,
}

impl RingKind {
    fn option(self) -> libc::c_int {
        match self {
            Self::Receive => libc::XDP_RX_RING,
            Self::Send => libc::XDP_TX_RING,
            Self::Fill => libc::XDP_UMEM_FILL_RING,
            Self::Completion => libc::XDP_UMEM_COMPLETION_RING,
        }
    }

    /// Where in the socket's file the ring is mapped from.
    fn page_offset(self) -> u64 {
        match self {
            Self::Receive => libc::XDP_PGOFF_RX_RING as u64,
            Self::Send => libc::XDP_PGOFF_TX_RING as u64,
            Self::Fill => libc::XDP_UMEM_PGOFF_FILL_RING,
            Self::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING,
        }
    }

    /// Its part of what the kernel told.
    pub(crate) fn offsets(self, all: &libc::xdp_mmap_offsets) -> libc::xdp_ring_offset {
        match self {
            Self::Receive => all.rx,
            Self::Send => all.tx,
            Self::Fill => all.fr,
            Self::Completion => all.cr,
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A socket without rings, closed on exec.
pub(crate) fn open() -> io::Result<OwnedFd> {
    // SAFETY: integers by value only.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option of the level SOL_XDP.
fn set<T>(fd: BorrowedFd<'_>, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a live value of exactly the length passed; the kernel only reads it.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_XDP,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Reads an option of the level SOL_XDP into `value`, a structure of integers in which a shorter answer leaves zeros.
fn get<T>(fd: BorrowedFd<'_>, name: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: value and length are live and writable; the kernel writes at most `length` bytes to value.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, ptr::from_mut(value).cast(), &mut length)
    })
}

/// Makes memory that of the frames, and pins it.
///
/// # Safety
/// The `bytes` from `address` on are mapped and writable, are only referred to as frame ownership allows, and stay so as long
/// as any socket uses them.
pub(crate) unsafe fn register_memory(
    fd: BorrowedFd<'_>,
    address: u64,
    bytes: usize,
    frame_bytes: u32,
) -> io::Result<()> {
    // SAFETY: plain integers: zeros are valid.
    let mut memory: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
    (memory.addr, memory.len, memory.chunk_size) = (address, bytes as u64, frame_bytes);
    set(fd, libc::XDP_UMEM_REG, &memory)
}

/// Gives the socket a ring of so many entries, a power of two.
pub(crate) fn make_ring(fd: BorrowedFd<'_>, kind: RingKind, entries: u32) -> io::Result<()> {
    set(fd, kind.option(), &entries)
}

/// Lets one wake-up send this many frames in copy mode; the kernel's default is 32. False where the kernel cannot (before 6.17).
pub(crate) fn allow_sends(fd: BorrowedFd<'_>, frames: u32) -> bool {
    const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
    set(fd, XDP_MAX_TX_SKB_BUDGET, &frames).is_ok()
}

/// Where in each ring its words are.
pub(crate) fn offsets(fd: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: plain integers: zeros are valid.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    get(fd, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

/// Maps `bytes` of a ring. The mapping stays good when the socket is closed.
pub(crate) fn map_ring(fd: BorrowedFd<'_>, kind: RingKind, bytes: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().offset(kind.page_offset()).len(bytes).populate().map_raw(fd.as_raw_fd())
}

/// Binds to a queue of an interface, with memory of its own or, if `shared` is given, that of another socket.
pub(crate) fn bind(
    fd: BorrowedFd<'_>,
    interface: u32,
    queue: u32,
    flags: u16,
    shared: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: if shared.is_some() { flags | libc::XDP_SHARED_UMEM } else { flags },
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: shared.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: the pointer is to a live sockaddr_xdp of exactly the length passed; the kernel only reads it.
    check(unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })
}

/// What the kernel counted for this socket.
pub(crate) fn statistics(fd: BorrowedFd<'_>) -> io::Result<libc::xdp_statistics> {
    // SAFETY: plain integers: zeros are valid.
    let mut statistics: libc::xdp_statistics = unsafe { std::mem::zeroed() };
    get(fd, libc::XDP_STATISTICS, &mut statistics)?;
    Ok(statistics)
}

/// Does the driver read and write the frames itself?
pub(crate) fn is_zero_copy(fd: BorrowedFd<'_>) -> bool {
    let mut options = libc::xdp_options { flags: 0 };
    get(fd, libc::XDP_OPTIONS, &mut options).is_ok() && options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0
}

/// Has the kernel send what is in the send ring; does not wait.
#[inline]
pub(crate) fn wake_sender(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is passed: null pointers with lengths 0.
    let result = unsafe { libc::sendto(fd.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the driver look at the fill ring and, where busy polling is on, at its queue; does not wait.
#[inline]
pub(crate) fn wake_receiver(fd: BorrowedFd<'_>) {
    // SAFETY: no memory is passed: null pointers with length 0.
    unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
}
