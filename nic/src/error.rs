//! Why a port could not be opened: what failed, on what, what the system said, and what to do about it.
use crate::xdp::XdpError;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why a port could not be opened or used.
#[derive(Debug)]
pub enum NicError {
    /// There is no interface of this name, or none that has this address.
    NoSuchInterface {
        /// What was asked for.
        interface: String,
        /// What there is, as `name (address)`.
        available: Vec<String>,
    },
    /// The interfaces could not be listed.
    Interfaces {
        /// What the system said.
        cause: io::Error,
    },
    /// Another socket holds this address.
    AddressInUse {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddrV4,
    },
    /// A group could not be joined.
    Join {
        /// The group.
        group: Ipv4Addr,
        /// The interface it was to be joined on.
        interface: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A call on a socket failed.
    Socket {
        /// What was attempted.
        action: &'static str,
        /// The address of the port.
        address: SocketAddrV4,
        /// What the system said.
        cause: io::Error,
    },
    /// io_uring is not to be had.
    IoUring {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
        /// What would help.
        advice: String,
    },
    /// AF_XDP is not to be had.
    Xdp(XdpError),
    /// A setting makes no sense; nothing was attempted.
    Setting {
        /// What is wrong with it.
        what: String,
    },
}

impl NicError {
    /// The error for a failed call on the socket of `address`.
    pub(crate) fn socket(action: &'static str, address: SocketAddrV4) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Socket { action, address, cause }
    }

    /// The error for a failed step of setting up io_uring, with advice that fits the errno.
    pub(crate) fn uring(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| {
            let advice = uring_advice(&cause);
            Self::IoUring { action, cause, advice }
        }
    }
}

/// What would help against an error of io_uring's setup.
pub(crate) fn uring_advice(cause: &io::Error) -> String {
    let release = read_line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match read_line("/proc/sys/kernel/io_uring_disabled").as_deref() {
            Some("0") => {
                "a seccomp filter or container profile forbids it: allow io_uring_setup, io_uring_enter and \
                          io_uring_register, or set transport = \"socket\""
                    .into()
            }
            Some(level) => {
                format!(
                    "kernel.io_uring_disabled is {level}: set it to 0 with sysctl, or set transport = \"socket\""
                )
            }
            None => "the kernel forbids it: set transport = \"socket\"".into(),
        },
        Some(libc::ENOSYS) => {
            format!("kernel {release} has no io_uring: Linux 6.1 or newer, or transport = \"socket\"")
        }
        Some(libc::EINVAL) => {
            format!(
                "kernel {release} lacks what is used; Linux 6.1 or newer is needed, or transport = \"socket\""
            )
        }
        Some(libc::ENOMEM) => {
            "the limit of locked memory is too low: raise LimitMEMLOCK (ulimit -l), or use fewer buffers"
                .into()
        }
        Some(libc::EMFILE | libc::ENFILE) => "too many open files: raise LimitNOFILE (ulimit -n)".into(),
        _ => "set transport = \"socket\" to do without".into(),
    }
}

fn read_line(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

/// What would help against an error on a socket, as a continuation of the message, or nothing.
fn socket_advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => {
            "; the address belongs to no interface of this host: `ip address` lists them"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE; a firewall may forbid it too"
        }
        Some(libc::EMFILE | libc::ENFILE) => "; too many open files: raise LimitNOFILE (ulimit -n)",
        Some(libc::ENOBUFS | libc::ENOMEM) => "; the kernel has no memory for it",
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => {
            "; there is no route there: check the address and `ip route`"
        }
        _ => "",
    }
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchInterface { interface, available } => {
                write!(f, "no interface \"{interface}\" on this host; there are: {}", available.join(", "))
            }
            Self::Interfaces { cause } => write!(f, "cannot list the network interfaces: {cause}"),
            Self::AddressInUse { protocol, address } => write!(
                f,
                "{protocol} {address} is in use by another process: stop it or choose another port \
                 (`ss -lnp | grep :{}` shows which it is)",
                address.port()
            ),
            Self::Join { group, interface, cause } => {
                let advice = match cause.raw_os_error() {
                    Some(libc::ENOBUFS) => {
                        "; too many groups on one socket: raise net.ipv4.igmp_max_memberships"
                    }
                    Some(libc::EINVAL) => "; groups are 224.0.0.0 to 239.255.255.255",
                    Some(libc::ENODEV) => "; the interface is gone",
                    _ => "",
                };
                write!(f, "cannot join group {group} on interface {interface}: {cause}{advice}")
            }
            Self::Socket { action, address, cause } => {
                write!(f, "cannot {action} ({address}): {cause}{}", socket_advice(cause))
            }
            Self::IoUring { action, cause, advice } => {
                write!(f, "io_uring: cannot {action}: {cause}; {advice}")
            }
            Self::Xdp(error) => error.fmt(f),
            Self::Setting { what } => f.write_str(what),
        }
    }
}

impl std::error::Error for NicError {}

impl From<XdpError> for NicError {
    fn from(error: XdpError) -> Self {
        Self::Xdp(error)
    }
}
