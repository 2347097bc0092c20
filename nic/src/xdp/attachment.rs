//! A program in its place on an interface.
//!
//! It stays there through a link, a descriptor of this process: when that is closed, dropped or lost with the process, however it
//! ends, the kernel takes the program off.
use crate::error::NicError;
use crate::interface::{Interface, ResolvedInterface};
use crate::xdp::attached;
use crate::xdp::bpf;
use crate::xdp::error::{Capability, XdpError};
use crate::xdp::program::LoadedProgram;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before the kernel makes a packet of its own of what came.
    Native,
    /// In the kernel's stack, with any driver, at the cost of that work.
    Generic,
}

impl AttachMode {
    // linux/if_link.h: XDP_FLAGS_DRV_MODE and XDP_FLAGS_SKB_MODE.
    fn flag(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// A program attached to an interface, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Attachment {
    link: OwnedFd,
    interface: ResolvedInterface,
    mode: AttachMode,
}

impl LoadedProgram {
    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// [`NicError::NoSuchInterface`]; [`XdpError::NoNativeMode`] and [`XdpError::FramesTooLong`], against which generic mode helps;
    /// [`XdpError::Occupied`]; [`XdpError::Capability`].
    pub fn attach(&self, interface: &Interface, mode: AttachMode) -> Result<Attachment, NicError> {
        let interface = interface.resolve()?;
        match bpf::create_link(self.fd(), interface.index, mode.flag()) {
            Ok(link) => Ok(Attachment { link, interface, mode }),
            Err(cause) => Err(refused(&interface, mode, cause).into()),
        }
    }
}

fn refused(interface: &ResolvedInterface, mode: AttachMode, cause: io::Error) -> XdpError {
    let name = interface.name.clone();
    match (cause.raw_os_error(), mode) {
        (Some(libc::EBUSY | libc::EEXIST), _) => {
            let programs = attached::on(interface.index).unwrap_or_default();
            XdpError::Occupied { interface: name, programs }
        }
        (Some(libc::ERANGE), AttachMode::Native) => XdpError::FramesTooLong { interface: name },
        // Drivers differ in what they say about frames that are too long, LRO, and channels that are too many.
        (Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOMEM | libc::ENOSPC), AttachMode::Native) => {
            XdpError::NoNativeMode { interface: name, cause }
        }
        _ => XdpError::call("attach the program", &[Capability::NetAdmin])(cause),
    }
}

impl Attachment {
    /// Puts another program in the place of this one, between two packets.
    ///
    /// # Errors
    /// The kernel's, such as [`XdpError::Capability`]; the old program then stays.
    pub fn replace(&self, program: &LoadedProgram) -> Result<(), NicError> {
        bpf::update_link(self.link.as_fd(), program.fd())
            .map_err(XdpError::call("replace the program", &[Capability::NetAdmin]))?;
        Ok(())
    }

    /// Where the program runs.
    pub fn mode(&self) -> AttachMode {
        self.mode
    }

    /// The interface it is attached to.
    pub fn interface(&self) -> &ResolvedInterface {
        &self.interface
    }
}
