//! One receive queue of one interface, and what all ports of this process on it share: the program, the frames, and the two rings
//! by which empty frames go to the kernel and sent ones come back.
//!
//! # One owner
//! The kernel gives a queue to one memory of frames at a time, so a process has one [`Queue`] for each, and its ports are members
//! of it. Another process that wants the queue is refused. The queue goes when its last port does, and the last doorbell.
//!
//! # Members
//! Each port has a socket of its own on the shared memory (`XDP_SHARED_UMEM`), with a receive ring that only it touches, and one to send
//! by, which ports of one thread may share ([`Doorbell`](super::Doorbell)); so ports may be on different threads. For the two shared rings there is a lock each that nobody ever waits for: who does not get
//! it keeps its frames until its next lap. Frames for sending belong to a port each; who finds another's in the completion ring puts
//! it where that one finds it. Frames for receiving belong to nobody: the kernel fills the next one for whomever the packet is.
//!
//! The memory is registered with a socket that neither sends nor receives, so that any port may close before the others.
use super::config::{XdpConfig, XdpMode};
use super::packet::{DATAGRAM_HEAD_BYTES, ETHERNET_BYTES, Mac};
use super::routing::{Link, Routing};
use super::umem::{CompletionRing, FillRing, Frame, ReceiveRing, Returned, SendRing, Umem};
use super::{AttachMode, Attachment, Capability, FilterConfig, Flow, Program, SocketMap, XdpError};
use crate::clock::monotonic_ns;
use crate::error::NicError;
use crate::interface::{Interface, ResolvedInterface};
use crate::sys::{socket, xdp};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What the kernel keeps free in front of each packet.
const HEADROOM_BYTES: u32 = 256;
/// How long to wait for a queue that is being let go of: the kernel clears up a moment after the process that had it is gone.
const RELEASE_NS: u64 = 1_500_000_000;
/// Entries of the receive ring that the socket of the memory has because it must have one.
const UNUSED_RING: u32 = 64;

/// The queues of this process, by network namespace, interface and number.
static QUEUES: Mutex<Vec<(Key, Weak<Queue>)>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    namespace: u64,
    interface: u32,
    queue: u32,
}

/// A queue with its program attached and its frames with the kernel.
pub(crate) struct Queue {
    // Declared first, so dropped first: after that no packet comes. The memory goes last.
    members: Mutex<Members>,
    map: SocketMap,
    fill: Mutex<FillRing>,
    completions: Mutex<CompletionRing>,
    anchor: OwnedFd,
    returned: Returned,
    umem: Umem,
    config: XdpConfig,
    interface: ResolvedInterface,
    mac: Mac,
    mtu: usize,
    summary: String,
}

struct Members {
    attachment: Attachment,
    /// What each member receives; none: the place is free.
    flows: Vec<Option<Vec<Flow>>>,
}

/// What a port needs of its queue.
pub(super) struct Membership {
    pub(super) slot: u32,
    pub(super) socket: OwnedFd,
    pub(super) receive: ReceiveRing,
    /// Strangers that were counted in its place before it came.
    pub(super) strangers_before: u64,
}

/// One way to have packets.
#[derive(Clone, Copy)]
struct Candidate {
    attach: AttachMode,
    zero_copy: bool,
}

impl Candidate {
    fn of(mode: XdpMode) -> &'static [Self] {
        const ZERO_COPY: Candidate = Candidate { attach: AttachMode::Native, zero_copy: true };
        const NATIVE: Candidate = Candidate { attach: AttachMode::Native, zero_copy: false };
        const GENERIC: Candidate = Candidate { attach: AttachMode::Generic, zero_copy: false };
        match mode {
            XdpMode::Auto => &[ZERO_COPY, NATIVE, GENERIC],
            XdpMode::ZeroCopy => &[ZERO_COPY],
            XdpMode::Native => &[NATIVE],
            XdpMode::Generic => &[GENERIC],
        }
    }

    fn describe(self) -> &'static str {
        match (self.attach, self.zero_copy) {
            (_, true) => "native mode without copies",
            (AttachMode::Native, _) => "native mode with a copy",
            (AttachMode::Generic, _) => "generic mode",
        }
    }
}

impl Queue {
    /// The queue that `config` names, which this process has already or opens now.
    pub(crate) fn of(interface: &ResolvedInterface, config: XdpConfig) -> Result<Arc<Self>, NicError> {
        config.check().map_err(|what| NicError::Setting { what: format!("AF_XDP: {what}") })?;
        let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |about| about.ino());
        let key = Key { namespace, interface: interface.index, queue: config.queue };
        let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|(_, queue)| queue.strong_count() > 0);
        let known = queues.iter().find(|(known, _)| *known == key).and_then(|(_, queue)| queue.upgrade());
        if let Some(queue) = known {
            if queue.config != config {
                let interface = interface.name.clone();
                return Err(XdpError::OtherSettings { interface, queue: config.queue }.into());
            }
            return Ok(queue);
        }
        let queue = Arc::new(Self::open(interface, config)?);
        queues.push((key, Arc::downgrade(&queue)));
        Ok(queue)
    }

    fn open(interface: &ResolvedInterface, config: XdpConfig) -> Result<Self, NicError> {
        let link = Routing::open()
            .and_then(|mut routing| routing.link(interface.index))
            .map_err(XdpError::call("ask for the interface", &[]))?;
        let mac = suitable(interface, &link, &config)?;
        let mut tried = Vec::new();
        for candidate in Candidate::of(config.mode) {
            match Self::attempt(interface, config, (mac, link.mtu), *candidate, &tried) {
                Err(NicError::Xdp(error)) if error.is_of_the_mode() && config.mode == XdpMode::Auto => {
                    tried.push(error.to_string());
                }
                settled => return settled,
            }
        }
        Err(XdpError::NoMode { interface: interface.name.clone(), tried }.into())
    }

    fn attempt(
        interface: &ResolvedInterface,
        config: XdpConfig,
        (mac, mtu): (Mac, usize),
        candidate: Candidate,
        tried: &[String],
    ) -> Result<Self, NicError> {
        let map = SocketMap::new(config.ports_max)?;
        let nothing = FilterConfig { flows: Vec::new(), queue: config.queue };
        let program = Program::assemble(&nothing)?.load(&map)?;
        let by_name = Interface::Name(interface.name.clone());
        let attachment = when_let_go(|| program.attach(&by_name, candidate.attach))?;
        let memory = when_let_go(|| Memory::bind(interface, config, candidate))?;
        let Memory { umem, anchor, fill, completions, returned } = memory;
        let members = Members { attachment, flows: vec![None; config.ports_max as usize] };
        let zero_copy = xdp::is_zero_copy(anchor.as_fd());
        let described = Candidate { zero_copy, ..candidate }.describe();
        let instead = tried.last().map(|reason| format!(", since {reason}")).unwrap_or_default();
        let summary = format!("queue {} of {} in {described}{instead}", config.queue, interface.name);
        let (fill, completions) = (Mutex::new(fill), Mutex::new(completions));
        let (members, interface) = (Mutex::new(members), interface.clone());
        Ok(Self {
            members,
            map,
            fill,
            completions,
            anchor,
            returned,
            umem,
            config,
            interface,
            mac,
            mtu,
            summary,
        })
    }

    /// Makes a port a member, which receives what is sent to these addresses, from these senders or, when none is named, anyone.
    pub(super) fn join(&self, to: &[SocketAddrV4], senders: &[Ipv4Addr]) -> Result<Membership, NicError> {
        let mut members = self.members();
        let Some(slot) = members.flows.iter().position(Option::is_none) else {
            let (interface, ports_max) = (self.interface.name.clone(), self.config.ports_max);
            return Err(XdpError::TooManyPorts { interface, queue: self.config.queue, ports_max }.into());
        };
        let membership = self.open_socket(slot as u32)?;
        let flow = |to: &SocketAddrV4| Flow { to: *to, senders: senders.to_vec(), socket: slot as u32 };
        members.flows[slot] = Some(to.iter().map(flow).collect());
        if let Err(error) = self.redirect(&members) {
            members.flows[slot] = None;
            return Err(error);
        }
        Ok(membership)
    }

    fn open_socket(&self, slot: u32) -> Result<Membership, NicError> {
        let owned = open_socket()?;
        let fd = owned.as_fd();
        let at = |action| XdpError::call(action, &[]);
        // Half of the frames at most are in one port's hands, so that one that is slow leaves the others some.
        let receive = ReceiveRing::make(fd, self.config.receive_frames / 2)
            .map_err(at("make the receive ring of an AF_XDP socket"))?;
        self.bind(&owned)?;
        self.map.set(slot, fd)?;
        Ok(Membership { slot, socket: owned, receive, strangers_before: self.strangers(slot) })
    }

    /// A socket that only sends, with room for the frames of so many ports, and whether one call sends all of them.
    pub(super) fn open_sender(&self, ports: u32) -> Result<(OwnedFd, SendRing, bool), XdpError> {
        let owned = open_socket()?;
        let frames = (self.config.send_frames * ports).next_power_of_two();
        let ring = SendRing::make(owned.as_fd(), frames)
            .map_err(XdpError::call("make the send ring of an AF_XDP socket", &[]))?;
        self.bind(&owned)?;
        // Without the first, a wake-up sends 32 at a time, and takes more of them; without the other, what the kernel copies and the card has
        // not sent may be as little as a hundred packets.
        let takes_all = xdp::allow_sends(owned.as_fd(), frames);
        let copied =
            i32::try_from(u64::from(frames) * u64::from(self.config.frame_bytes)).unwrap_or(i32::MAX / 2);
        let _ = socket::set_option(owned.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, copied);
        Ok((owned, ring, takes_all))
    }

    /// Binds a socket that has its ring to the shared frames.
    fn bind(&self, owned: &OwnedFd) -> Result<(), XdpError> {
        let at = |action| XdpError::call(action, &[]);
        let (index, anchor) = (self.interface.index, self.anchor.as_fd());
        xdp::bind(owned.as_fd(), index, self.config.queue, 0, Some(anchor))
            .map_err(at("bind an AF_XDP socket to the shared frames"))?;
        if self.config.busy_poll_us > 0 {
            busy_poll(owned, &self.config).map_err(at("set busy polling (SO_PREFER_BUSY_POLL)"))?;
        }
        Ok(())
    }

    /// Ends a membership whose socket is closed. The kernel had the first of these frames for receiving; the others are for sending.
    pub(super) fn leave(&self, slot: u32, mut received: Vec<Frame>, free: impl Iterator<Item = Frame>) {
        let mut fill = self.fill.lock().unwrap_or_else(PoisonError::into_inner);
        fill.lend(&self.umem, &mut received);
        drop(fill);
        free.for_each(|frame| self.give_back(frame));
        let mut members = self.members();
        members.flows[slot as usize] = None;
        // When it fails, the packets of a place without socket go to the kernel.
        let _ = self.redirect(&members);
    }

    /// Has the kernel redirect what the members want.
    fn redirect(&self, members: &Members) -> Result<(), NicError> {
        let flows = members.flows.iter().flatten().flatten().cloned().collect();
        let config = FilterConfig { flows, queue: self.config.queue };
        let program = Program::assemble(&config)?.load(&self.map)?;
        members.attachment.replace(&program)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends frames to the kernel for receiving, if nobody else does so just now. True when the kernel wants to be woken up for it.
    #[inline]
    pub(super) fn lend(&self, frames: &mut Vec<Frame>) -> bool {
        let Ok(mut fill) = self.fill.try_lock() else { return false };
        fill.lend(&self.umem, frames);
        fill.needs_wakeup()
    }

    /// Moves the frames of a member that were sent to `into`.
    #[inline]
    pub(super) fn take_sent(&self, slot: u32, into: &mut Vec<Frame>) {
        if let Ok(mut completions) = self.completions.try_lock() {
            completions.hand_back(&self.umem, &self.returned);
        }
        let (first, count) = (self.config.receive_frames, self.config.send_frames);
        self.returned.take(first + slot * count..first + (slot + 1) * count, into);
    }

    /// Puts a frame for sending where its owner finds it.
    pub(super) fn give_back(&self, frame: Frame) {
        self.returned.put(frame);
    }

    /// The frames.
    #[inline]
    pub(super) fn umem(&self) -> &Umem {
        &self.umem
    }

    /// What it was opened with.
    pub(super) fn config(&self) -> &XdpConfig {
        &self.config
    }

    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Most bytes of an IP packet.
    pub(super) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Most bytes of a datagram that is sent.
    #[inline]
    pub(super) fn datagram_bytes_max(&self) -> usize {
        self.mtu.saturating_sub(DATAGRAM_HEAD_BYTES)
    }

    /// Datagrams of strangers that were dropped in a place, for whichever members it had.
    pub(super) fn strangers(&self, slot: u32) -> u64 {
        self.map.read(slot).strangers
    }

    /// Which queue it is, and how packets get from it to us, in words.
    pub(crate) fn summary(&self) -> &str {
        &self.summary
    }

    /// What was wanted and not had.
    pub(crate) fn notices(&self) -> Vec<String> {
        let pages = self.umem.pages();
        let fallback = pages.fallback().map(|reason| format!("AF_XDP frames: {reason}"));
        pages.notices().iter().cloned().chain(fallback).collect()
    }
}

/// The Ethernet address of an interface that will do; else why it will not.
fn suitable(interface: &ResolvedInterface, link: &Link, config: &XdpConfig) -> Result<Mac, XdpError> {
    let name = interface.name.clone();
    let mtu_max = (config.frame_bytes - HEADROOM_BYTES) as usize - ETHERNET_BYTES;
    match link.mac {
        _ if link.is_loopback => Err(XdpError::Loopback { interface: name }),
        None => Err(XdpError::NotEthernet { interface: name }),
        _ if !link.is_up => Err(XdpError::Down { interface: name }),
        _ if interface.address.is_unspecified() => Err(XdpError::NoAddress { interface: name }),
        _ if link.mtu > mtu_max => {
            let (mtu, frame_bytes) = (link.mtu, config.frame_bytes);
            Err(XdpError::MtuTooLarge { interface: name, mtu, mtu_max, frame_bytes })
        }
        Some(mac) => Ok(mac),
    }
}

/// Tries for a while what a process that has just ended may still hold.
fn when_let_go<T>(attempt: impl Fn() -> Result<T, NicError>) -> Result<T, NicError> {
    let deadline_ns = monotonic_ns() + RELEASE_NS;
    loop {
        match attempt() {
            Err(NicError::Xdp(XdpError::QueueTaken { .. } | XdpError::Occupied { .. }))
                if monotonic_ns() < deadline_ns =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            settled => return settled,
        }
    }
}

fn open_socket() -> Result<OwnedFd, XdpError> {
    xdp::open().map_err(XdpError::call("open an AF_XDP socket", &[Capability::NetRaw]))
}

fn busy_poll(owned: &OwnedFd, config: &XdpConfig) -> io::Result<()> {
    let set =
        |name, value: u32| socket::set_option(owned.as_fd(), libc::SOL_SOCKET, name, value.cast_signed());
    set(libc::SO_PREFER_BUSY_POLL, 1)?;
    set(libc::SO_BUSY_POLL, config.busy_poll_us)?;
    set(libc::SO_BUSY_POLL_BUDGET, config.busy_poll_budget)
}

/// The frames, bound to a queue.
struct Memory {
    umem: Umem,
    anchor: OwnedFd,
    fill: FillRing,
    completions: CompletionRing,
    returned: Returned,
}

impl Memory {
    fn bind(
        interface: &ResolvedInterface,
        config: XdpConfig,
        candidate: Candidate,
    ) -> Result<Self, NicError> {
        let XdpConfig { queue, receive_frames, send_frames, ports_max, .. } = config;
        let all_sent = send_frames * ports_max;
        let (umem, mut frames) = Umem::new(receive_frames + all_sent, config.frame_bytes as usize)
            .map_err(|error| XdpError::Frames { cause: error })?;
        let anchor = open_socket()?;
        let fd = anchor.as_fd();
        let at = |action| XdpError::call(action, &[]);
        umem.register(fd).map_err(at("lock the frames into memory"))?;
        let mut fill = FillRing::make(fd, receive_frames).map_err(at("make the fill ring"))?;
        let completions =
            CompletionRing::make(fd, all_sent.next_power_of_two()).map_err(at("make the completion ring"))?;
        ReceiveRing::make(fd, UNUSED_RING).map_err(at("make a receive ring"))?;
        let returned = Returned::new(receive_frames + all_sent);
        frames.drain(Self::sending(&config)).for_each(|frame| returned.put(frame));
        // Before binding: some drivers take their first frames then, and never again if there are none.
        fill.lend(&umem, &mut frames);
        let copy = if candidate.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
        xdp::bind(fd, interface.index, queue, copy | libc::XDP_USE_NEED_WAKEUP, None)
            .map_err(|cause| not_bound(interface, queue, candidate, cause))?;
        Ok(Self { umem, anchor, fill, completions, returned })
    }

    /// The frames for sending, of all ports.
    fn sending(config: &XdpConfig) -> Range<usize> {
        let first = config.receive_frames as usize;
        first..first + (config.send_frames * config.ports_max) as usize
    }
}

fn not_bound(interface: &ResolvedInterface, queue: u32, candidate: Candidate, cause: io::Error) -> XdpError {
    let interface = interface.name.clone();
    match cause.raw_os_error() {
        Some(libc::EBUSY) => XdpError::QueueTaken { interface, queue },
        Some(libc::ENETDOWN) => XdpError::Down { interface },
        Some(libc::EINVAL) if !candidate.zero_copy => XdpError::NoSuchQueue { interface, queue },
        _ if candidate.zero_copy => XdpError::NoZeroCopy { interface, cause },
        _ => XdpError::call("bind an AF_XDP socket to the queue", &[Capability::NetRaw])(cause),
    }
}
