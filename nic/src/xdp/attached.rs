//! What XDP programs an interface has now, whoever attached them.
use crate::error::NicError;
use crate::interface::Interface;
use crate::xdp::attachment::AttachMode;
use crate::xdp::bpf;
use crate::xdp::error::XdpError;
use crate::xdp::questions::{LINK_BYTES, LINK_REPLY_BYTES, Questions, attribute, number};
use std::fmt;
use std::io;

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// The kernel's number for it.
    pub id: u32,
    /// Where it runs; none: in the card itself.
    pub mode: Option<AttachMode>,
    /// Its name, where the kernel tells it us (CAP_SYS_ADMIN).
    pub name: Option<String>,
}

impl fmt::Display for AttachedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        match self.mode {
            Some(mode) => write!(f, ", {mode}"),
            None => f.write_str(", in the card"),
        }
    }
}

/// The programs attached to an interface: none, or one for each mode.
///
/// # Errors
/// [`NicError::NoSuchInterface`]; [`XdpError::Call`] where the kernel does not answer.
pub fn attached(interface: &Interface) -> Result<Vec<AttachedProgram>, NicError> {
    let index = interface.resolve()?.index;
    Ok(on(index).map_err(XdpError::call("ask for the interface's programs", &[]))?)
}

/// The programs attached to the interface of this index.
pub(super) fn on(index: u32) -> io::Result<Vec<AttachedProgram>> {
    let mut reply = [0; LINK_REPLY_BYTES];
    Ok(programs(Questions::open()?.link(index, &mut reply)?))
}

// linux/if_link.h: an attribute of a link, and those inside of it.
const IFLA_XDP: u16 = 43;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

/// The programs that the kernel's description of a link names.
pub(super) fn programs(link: &[u8]) -> Vec<AttachedProgram> {
    let modes = [
        (IFLA_XDP_DRV_PROG_ID, Some(AttachMode::Native)),
        (IFLA_XDP_SKB_PROG_ID, Some(AttachMode::Generic)),
        (IFLA_XDP_HW_PROG_ID, None),
    ];
    let Some(xdp) = attribute(link, LINK_BYTES, IFLA_XDP) else { return Vec::new() };
    let found = modes.into_iter().filter_map(|(kind, mode)| {
        let id = attribute(xdp, 0, kind).map(number)?;
        Some(AttachedProgram { id, mode, name: bpf::program_name(id).ok() })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn programs_are_found_among_other_attributes() {
        const NEVER: u32 = u32::MAX; // No program has this number, so there is no name.
        let inside = [with(2, &[2]), with(IFLA_XDP_SKB_PROG_ID, &NEVER.to_ne_bytes())].concat();
        let link =
            [vec![0; LINK_BYTES], with(3, b"eth0\0"), with(IFLA_XDP | 0x8000, &inside), with(50, &[1; 6])]
                .concat();
        let expected = AttachedProgram { id: NEVER, mode: Some(AttachMode::Generic), name: None };
        assert_eq!(programs(&link), [expected]);
        assert_eq!(programs(&link[..LINK_BYTES + 12]), []);
        for length in 0..link.len() {
            programs(&link[..length]); // Cut anywhere, it is read without harm.
        }
    }

    #[test]
    fn an_interface_that_exists_answers_and_no_other() {
        attached(&Interface::default()).unwrap();
        assert_eq!(on(i32::MAX as u32).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
