//! What the program and we share: which AF_XDP socket is in which slot, and what was counted for each slot.
use crate::error::NicError;
use crate::xdp::bpf::{self, MapKind};
use crate::xdp::error::{Capability, XdpError};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Most slots of a map.
pub const SOCKETS_MAX: u32 = 64;

/// Bytes of counters for each slot.
pub(super) const COUNTER_BYTES: u32 = 16;
/// Where, among these, redirected packets are counted.
pub(super) const REDIRECTED: i16 = 0;
/// Where, among these, packets of strangers are counted.
pub(super) const STRANGERS: i16 = 8;

/// Capabilities that making maps takes.
const MAPPING: &[Capability] = &[Capability::Bpf, Capability::NetAdmin];

/// What the program counted for one slot since the map was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Packets given to the socket. It still drops those for which it has no room; [its own counters] tell.
    ///
    /// [its own counters]: https://docs.kernel.org/networking/af_xdp.html#xdp-statistics-getsockopt
    pub redirected: u64,
    /// Packets from others than the flow's senders, dropped.
    pub strangers: u64,
}

/// AF_XDP sockets by slot. Programs may be loaded anew with the same map: sockets and counts stay.
#[derive(Debug)]
pub struct SocketMap {
    sockets: OwnedFd,
    counters: OwnedFd,
    counts: bpf::SharedWords,
    entries: u32,
}

impl SocketMap {
    /// A map of `entries` empty slots, 1 to [`SOCKETS_MAX`].
    ///
    /// # Errors
    /// [`XdpError::Capability`] and other refusals of the kernel.
    ///
    /// # Panics
    /// When `entries` is out of range.
    pub fn new(entries: u32) -> Result<Self, NicError> {
        assert!((1..=SOCKETS_MAX).contains(&entries), "{entries} slots, not 1 to {SOCKETS_MAX}");
        let failed = XdpError::call("make the program's maps", MAPPING);
        let sockets = bpf::create_map(MapKind::Sockets { entries }, "gds_sockets").map_err(&failed)?;
        let bytes = entries * COUNTER_BYTES;
        let counters = bpf::create_map(MapKind::Words { bytes }, "gds_counters").map_err(&failed)?;
        let counts = bpf::SharedWords::map(counters.as_fd(), bytes as usize).map_err(&failed)?;
        Ok(Self { sockets, counters, counts, entries })
    }

    /// Puts an AF_XDP socket into a slot, instead of the one that was there. A socket that is closed leaves its slot by itself.
    ///
    /// # Errors
    /// The kernel's, where `socket` is no AF_XDP socket.
    ///
    /// # Panics
    /// When there is no such slot.
    pub fn set(&self, slot: u32, socket: BorrowedFd<'_>) -> Result<(), NicError> {
        assert!(slot < self.entries, "slot {slot} of {}", self.entries);
        bpf::set_descriptor(self.sockets.as_fd(), slot, socket)
            .map_err(XdpError::call("put the socket into the program's map", MAPPING))?;
        Ok(())
    }

    /// What was counted for a slot. Reads memory; no system call.
    ///
    /// # Panics
    /// When there is no such slot.
    pub fn read(&self, slot: u32) -> SocketCounters {
        assert!(slot < self.entries, "slot {slot} of {}", self.entries);
        let word = |offset: i16| self.counts.read((slot * COUNTER_BYTES) as usize + offset as usize);
        SocketCounters { redirected: word(REDIRECTED), strangers: word(STRANGERS) }
    }

    /// How many slots there are.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    pub(super) fn sockets(&self) -> impl AsRawFd {
        self.sockets.as_fd()
    }

    pub(super) fn counters(&self) -> impl AsRawFd {
        self.counters.as_fd()
    }
}
