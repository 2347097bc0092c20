//! What a UDP port is opened with.
use crate::interface::Interface;
use crate::loss::LossConfig;
use crate::xdp::{Doorbell, XdpConfig};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// How datagrams move between the kernel and us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// AF_XDP where it works, else io_uring, else plain sockets; [`UdpPort::transport_reason`](super::UdpPort::transport_reason)
    /// tells why.
    #[default]
    Auto,
    /// AF_XDP or nothing: past the kernel, over a network interface other than the loopback one. See [`crate::xdp`].
    AfXdp,
    /// Through the kernel: io_uring where it works, else plain sockets. For who comes and goes, and has no queue of its own.
    Kernel,
    /// io_uring or nothing. A lap that finds nothing costs no system call.
    IoUring,
    /// Plain sockets: one system call per batch, also when there is nothing. Works everywhere.
    Socket,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::AfXdp => "af_xdp",
            Self::Kernel => "kernel",
            Self::IoUring => "io_uring",
            Self::Socket => "socket",
        })
    }
}

impl FromStr for Transport {
    type Err = String;

    /// `auto`, `af_xdp`, `kernel`, `io_uring` or `socket`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "af_xdp" => Ok(Self::AfXdp),
            "kernel" => Ok(Self::Kernel),
            "io_uring" => Ok(Self::IoUring),
            "socket" => Ok(Self::Socket),
            _ => Err(format!("transport \"{text}\": expected auto, af_xdp, kernel, io_uring or socket")),
        }
    }
}

/// Everything a UDP port is opened with. [`UdpConfig::new`] has defaults for all but the address.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// How datagrams move.
    pub transport: Transport,
    /// The local address. To receive one group: the group and its port (nothing else then arrives, and replies must go to
    /// another port). To receive several groups, or groups and datagrams sent to us alone: 0.0.0.0 and the port. To send
    /// and be answered: our own address, port 0 for any.
    pub bind: SocketAddrV4,
    /// Groups to join on `interface`. Others are never received, even when another socket of this host joined them.
    pub join: Vec<Ipv4Addr>,
    /// Where groups are joined, and where datagrams to groups leave.
    pub interface: Interface,
    /// Receive buffer asked of the kernel, in bytes; what it gave is told by `UdpPort::receive_buffer_bytes`.
    pub receive_buffer_bytes: usize,
    /// Send buffer asked of the kernel, in bytes.
    pub send_buffer_bytes: usize,
    /// Largest datagram taken; longer ones are dropped and counted. At most 65,507.
    pub datagram_bytes_max: usize,
    /// Largest datagram that will be sent; 0: any. Over AF_XDP nothing is sent in fragments, so it must fit a packet of the interface.
    pub sent_bytes_max: usize,
    /// Datagrams the io_uring backend holds before the kernel must wait for us: above the largest burst. A power of two, at
    /// most 16,384. The socket backend takes up to [`SOCKET_BATCH`] of them at a time.
    pub buffers: u16,
    /// Do sockets on this host receive what we send to groups? (The loopback interface delivers in any case.)
    pub multicast_loop: bool,
    /// How many routers a datagram to a group may pass, plus one.
    pub multicast_ttl: u8,
    /// May other sockets have the same address? Always so when groups are joined.
    pub share_address: bool,
    /// May [`UdpPort::send_segments`](super::UdpPort::send_segments) give the kernel many datagrams in one call (UDP_SEGMENT)?
    /// Where the kernel cannot, each is sent by itself.
    pub segmentation: bool,
    /// May the kernel hand over many datagrams that came as one burst in one piece (UDP_GRO)? They are delivered one by one all
    /// the same. Buffers are then [`COALESCED_BYTES`] each and fewer: see [`UdpConfig::buffers_held`].
    pub coalescing: bool,
    /// Packets to drop on purpose.
    pub loss: Option<LossConfig>,
    /// Who may send to the port over AF_XDP; empty: anyone. What others send is dropped before it reaches us. At most
    /// [`SENDERS_MAX`](crate::xdp::SENDERS_MAX).
    pub senders: Vec<Ipv4Addr>,
    /// The queue and its frames, for AF_XDP.
    pub xdp: XdpConfig,
    /// What is sent over AF_XDP leaves when this is rung; none: at once.
    pub doorbell: Option<Doorbell>,
}

/// Most datagrams the socket backend takes with one system call; a quarter of that many pieces when they may be coalesced.
pub const SOCKET_BATCH: usize = 64;
/// Room for one coalesced piece: the longest UDP payload.
pub const COALESCED_BYTES: usize = 65_507;
/// Most buffers of that size that the io_uring backend holds: 4 MiB.
const COALESCED_BUFFERS: u16 = 64;

impl UdpConfig {
    /// A port at this address on the loopback interface, with 4 MiB buffers and room for 1024 datagrams of 2048 bytes.
    pub fn new(bind: SocketAddrV4) -> Self {
        Self {
            transport: Transport::Auto,
            bind,
            join: Vec::new(),
            interface: Interface::default(),
            receive_buffer_bytes: 4 << 20,
            send_buffer_bytes: 4 << 20,
            datagram_bytes_max: 2048,
            sent_bytes_max: 0,
            buffers: 1024,
            multicast_loop: true,
            multicast_ttl: 1,
            share_address: false,
            segmentation: true,
            coalescing: true,
            loss: None,
            senders: Vec::new(),
            xdp: XdpConfig::default(),
            doorbell: None,
        }
    }

    /// The same, receiving one group at its port.
    pub fn group(group: SocketAddrV4) -> Self {
        Self { join: vec![*group.ip()], ..Self::new(group) }
    }

    /// Buffers the io_uring backend holds: `buffers`, but no more than 64 when each has room for a coalesced piece.
    pub fn buffers_held(&self) -> u16 {
        if self.coalescing { self.buffers.min(COALESCED_BUFFERS) } else { self.buffers }
    }

    /// What one buffer has room for.
    pub(crate) fn buffer_bytes(&self) -> usize {
        if self.coalescing { COALESCED_BYTES } else { self.datagram_bytes_max }
    }

    /// The addresses whose datagrams it is for, once it is bound to `local`; `own` is the interface's address.
    pub fn received(&self, own: Ipv4Addr, local: SocketAddrV4) -> Vec<SocketAddrV4> {
        let to = |ip: &Ipv4Addr| SocketAddrV4::new(*ip, local.port());
        if local.ip().is_unspecified() {
            self.join.iter().map(to).chain([to(&own)]).collect()
        } else {
            vec![local]
        }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.buffers.is_power_of_two() || self.buffers > 16_384 {
            return Err(format!("buffers = {}: must be a power of two, at most 16384", self.buffers));
        }
        if self.datagram_bytes_max == 0 || self.datagram_bytes_max > 65_507 {
            return Err(format!("datagram_bytes_max = {}: must be 1 to 65507", self.datagram_bytes_max));
        }
        if let Some(group) = self.join.iter().find(|group| !group.is_multicast()) {
            return Err(format!("cannot join {group}: groups are 224.0.0.0 to 239.255.255.255"));
        }
        if self.bind.ip().is_multicast() && !self.join.contains(self.bind.ip()) {
            return Err(format!(
                "bound to group {} without joining it: nothing would arrive",
                self.bind.ip()
            ));
        }
        if i32::try_from(self.receive_buffer_bytes.max(self.send_buffer_bytes)).is_err() {
            return Err("receive_buffer_bytes and send_buffer_bytes must be below 2 GiB".into());
        }
        Ok(())
    }
}
