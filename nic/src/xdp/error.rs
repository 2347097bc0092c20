//! Why the AF_XDP fast path is not to be had: what failed, on what, what the system said, and what to do about it.
use crate::pages::PagesError;
use crate::xdp::attached::AttachedProgram;
use crate::xdp::program::{FLOWS_MAX, SENDERS_MAX};
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddrV4;

/// Why the AF_XDP fast path is not to be had.
#[derive(Debug)]
pub enum XdpError {
    /// More flows than a program is written for.
    TooManyFlows {
        /// How many there are.
        flows: usize,
    },
    /// More senders than a flow can be pinned to.
    TooManySenders {
        /// The flow.
        to: SocketAddrV4,
        /// How many there are.
        senders: usize,
    },
    /// Two flows with one address and port: a packet can go to one socket only.
    FlowTwice {
        /// The address and port.
        to: SocketAddrV4,
    },
    /// A flow's socket has no place in the map.
    NoSuchSlot {
        /// The flow.
        to: SocketAddrV4,
        /// Its socket's index.
        socket: u32,
        /// Slots the map has.
        entries: u32,
    },
    /// The process lacks capabilities.
    Capability {
        /// What was attempted.
        action: &'static str,
        /// Those missing.
        missing: Vec<Capability>,
    },
    /// More memory would have to be locked than the limit allows.
    LockedMemory {
        /// What was attempted.
        action: &'static str,
        /// The limit, as the system tells it.
        limit: String,
    },
    /// The kernel's verifier does not take the program: a mistake of ours.
    Verifier {
        /// What the system said.
        cause: io::Error,
        /// What the verifier said.
        log: String,
    },
    /// The driver takes no XDP programs, or none as the interface is set up now.
    NoNativeMode {
        /// The interface.
        interface: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The driver takes no XDP programs while frames may be as long as they may be now.
    FramesTooLong {
        /// The interface.
        interface: String,
    },
    /// The interface has a program already.
    Occupied {
        /// The interface.
        interface: String,
        /// The programs there are, so far as they could be told.
        programs: Vec<AttachedProgram>,
    },
    /// The loopback interface, which has neither frames nor a driver.
    Loopback {
        /// The interface.
        interface: String,
    },
    /// An interface that is no Ethernet.
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// The interface is down.
    Down {
        /// The interface.
        interface: String,
    },
    /// The interface has no IPv4 address to send from.
    NoAddress {
        /// The interface.
        interface: String,
    },
    /// The interface's packets are longer than a frame holds.
    MtuTooLarge {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: usize,
        /// The largest that fits.
        mtu_max: usize,
        /// Bytes of a frame.
        frame_bytes: u32,
    },
    /// The interface's packets are too short for what is to be sent.
    MtuTooSmall {
        /// The interface.
        interface: String,
        /// Bytes of the longest datagram.
        bytes: usize,
        /// The interface's MTU.
        mtu: usize,
    },
    /// Another process has the queue, or another socket of this one.
    QueueTaken {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The interface has no queue of this number.
    NoSuchQueue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The driver cannot read and write the frames itself.
    NoZeroCopy {
        /// The interface.
        interface: String,
        /// What the system said.
        cause: io::Error,
    },
    /// None of the modes works.
    NoMode {
        /// The interface.
        interface: String,
        /// Why not, each.
        tried: Vec<String>,
    },
    /// A port wants the queue with other settings than those it is open with.
    OtherSettings {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The queue has as many ports as it was opened for.
    TooManyPorts {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// How many.
        ports_max: u32,
    },
    /// There is no memory for the frames.
    Frames {
        /// Why.
        cause: PagesError,
    },
    /// Another call failed.
    Call {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

/// What a process may be allowed to do (capabilities(7)), of those that AF_XDP takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_BPF: to load programs and make maps.
    Bpf,
    /// CAP_NET_ADMIN: to load and attach programs for networking.
    NetAdmin,
    /// CAP_NET_RAW: to open AF_XDP sockets.
    NetRaw,
}

impl Capability {
    // linux/capability.h
    fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::Bpf => 39,
        }
    }

    /// Whether the calling thread has it; false where the system does not tell.
    pub fn is_held(self) -> bool {
        const SYS_ADMIN: u32 = 21;
        let held = effective_capabilities();
        // Who may do everything may do this; the other two are apart from that.
        let instead = self == Self::Bpf && held >> SYS_ADMIN & 1 == 1;
        instead || held >> self.bit() & 1 == 1
    }
}

fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

/// The soft limit of locked memory as `/proc` shows it.
fn locked_memory_limit() -> String {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|line| line.split_whitespace().next()).unwrap_or("unknown");
    soft.parse::<u64>().map_or_else(|_| soft.to_owned(), |bytes| format!("{} KiB", bytes >> 10))
}

impl XdpError {
    /// Is it about a mode, so that another may do?
    pub(super) fn is_of_the_mode(&self) -> bool {
        matches!(self, Self::NoNativeMode { .. } | Self::FramesTooLong { .. } | Self::NoZeroCopy { .. })
    }

    /// The error for a failed call: `action` takes the capabilities `needed`.
    pub(crate) fn call(
        action: &'static str,
        needed: &'static [Capability],
    ) -> impl Fn(io::Error) -> Self + Copy {
        move |cause| match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                let missing: Vec<_> = needed.iter().copied().filter(|needed| !needed.is_held()).collect();
                if missing.is_empty() {
                    Self::Call { action, cause }
                } else {
                    Self::Capability { action, missing }
                }
            }
            Some(libc::ENOBUFS) => Self::LockedMemory { action, limit: locked_memory_limit() },
            _ => Self::Call { action, cause },
        }
    }
}

/// What would help against another error, as a continuation of the message, or nothing.
fn advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "; the process has the capabilities, so a container (user namespace), seccomp filter or kernel lockdown \
             forbids it: give it the host's, or choose another transport"
        }
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL | libc::EAFNOSUPPORT) => {
            "; Linux 6.1 or newer is needed, built with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS, or another transport"
        }
        Some(libc::ENOMEM) => "; no memory for it: raise the memory limit of its control group",
        Some(libc::EMFILE | libc::ENFILE) => "; too many open files: raise LimitNOFILE (ulimit -n)",
        Some(libc::ENODEV | libc::ENXIO) => "; the interface is gone: `ip link` lists those there are",
        _ => "",
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
        })
    }
}

fn listed<T: fmt::Display>(items: &[T], between: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

impl fmt::Display for XdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AF_XDP: ")?;
        match self {
            Self::TooManyFlows { flows } => {
                write!(f, "{flows} flows, at most {FLOWS_MAX}: take fewer groups on this interface")
            }
            Self::TooManySenders { to, senders } => write!(
                f,
                "{senders} senders of {to}, at most {SENDERS_MAX}: name fewer, or none to take from anyone"
            ),
            Self::FlowTwice { to } => {
                write!(f, "{to} would go to two sockets, and a packet goes to one: give one another port")
            }
            Self::NoSuchSlot { to, socket, entries } => {
                write!(f, "{to} would go to socket {socket} of a map of {entries}")
            }
            Self::Capability { action, missing } => write!(
                f,
                "cannot {action} without {0}: run as root, or give the program {0} (AmbientCapabilities= in its unit, \
                 or setcap)",
                listed(missing, " and ")
            ),
            Self::LockedMemory { action, limit } => write!(
                f,
                "cannot {action}: the limit of locked memory is {limit}: raise LimitMEMLOCK (ulimit -l), give the \
                 program CAP_IPC_LOCK, or use fewer frames"
            ),
            Self::Verifier { cause, log } => write!(
                f,
                "the kernel's verifier refuses the program ({cause}), a mistake in GDS: report it with this, and choose \
                 another transport meanwhile\n{log}"
            ),
            Self::NoNativeMode { interface, cause } => write!(
                f,
                "the driver of {interface} takes no XDP program ({cause}): use generic mode or another transport, or, where \
                 it is a driver that could (`ethtool -i {interface}` names it), turn LRO off (`ethtool -K {interface} lro \
                 off`) and have no more than half of the channels (`ethtool -l {interface}`); the kernel's log may say more"
            ),
            Self::FramesTooLong { interface } => write!(
                f,
                "the driver of {interface} takes no XDP program with this MTU: `ip link set dev {interface} mtu 1500` \
                 (on a veth pair, that of the peer counts), or use generic mode"
            ),
            Self::Occupied { interface, programs } => write!(
                f,
                "{interface} has another XDP program ({}): stop the process that attached it, or \
                 `ip link set dev {interface} xdp off` where none holds it",
                if programs.is_empty() {
                    "it cannot be told which".to_owned()
                } else {
                    listed(programs, ", ")
                }
            ),
            Self::Loopback { interface } => write!(
                f,
                "{interface} is the loopback interface, which has no packets to take past the kernel: name a network \
                 interface, or choose another transport"
            ),
            Self::NotEthernet { interface } => write!(
                f,
                "{interface} is no Ethernet interface: name the one beneath it, or choose another transport"
            ),
            Self::Down { interface } => {
                write!(f, "{interface} is down: `ip link set dev {interface} up`")
            }
            Self::NoAddress { interface } => write!(
                f,
                "{interface} has no IPv4 address to send from: `ip address add ADDRESS/LENGTH dev {interface}`"
            ),
            Self::MtuTooLarge { interface, mtu, mtu_max, frame_bytes } => write!(
                f,
                "{interface} has packets of up to {mtu} bytes, and frames of {frame_bytes} hold {mtu_max}: {}\
                 `ip link set dev {interface} mtu {}`",
                if *frame_bytes < 4096 { "set frame_bytes = 4096, or " } else { "" },
                (*mtu_max).min(1500)
            ),
            Self::MtuTooSmall { interface, bytes, mtu } => write!(
                f,
                "datagrams of {bytes} bytes do not fit the packets of {interface}, which with headers have up to {mtu} \
                 (`ip link` shows its MTU): send shorter ones (network.max_payload_bytes), or raise it"
            ),
            Self::QueueTaken { interface, queue } => write!(
                f,
                "queue {queue} of {interface} is in use by another process (`ss -f xdp -p` shows it): stop that, or \
                 choose another queue"
            ),
            Self::NoSuchQueue { interface, queue } => write!(
                f,
                "{interface} has no queue {queue}, or the kernel (Linux 6.1 or newer is needed) cannot share it: \
                 `ls /sys/class/net/{interface}/queues` shows those there are, from 0 on"
            ),
            Self::NoZeroCopy { interface, cause } => write!(
                f,
                "the driver of {interface} cannot do without copies ({cause}): set mode = \"auto\" or \"native\""
            ),
            Self::NoMode { interface, tried } => {
                write!(f, "no mode works on {interface}: {}", tried.join("; "))
            }
            Self::OtherSettings { interface, queue } => write!(
                f,
                "queue {queue} of {interface} is open in this process with other settings: all its ports must have the same"
            ),
            Self::TooManyPorts { interface, queue, ports_max } => {
                write!(f, "queue {queue} of {interface} has {ports_max} ports already: raise ports_max")
            }
            Self::Frames { cause } => write!(f, "no memory for the frames: {cause}"),
            Self::Call { action, cause } => write!(f, "cannot {action}: {cause}{}", advice(cause)),
        }
    }
}

impl std::error::Error for XdpError {}
