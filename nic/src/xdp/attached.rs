//! What XDP programs an interface has now, whoever attached them.
use crate::error::NicError;
use crate::interface::Interface;
use crate::sys::netlink::Netlink;
use crate::xdp::attachment::AttachMode;
use crate::xdp::bpf;
use crate::xdp::error::XdpError;
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
    let mut reply = vec![0; REPLY_BYTES];
    let length = Netlink::open()?.ask(&request(index), &mut reply)?;
    Ok(programs(link_attributes(&reply[..length])?))
}

/// A link with many virtual functions has a long description; we ask for it without them.
const REPLY_BYTES: usize = 32 << 10;

// linux/netlink.h: struct nlmsghdr, the messages and flags; linux/rtnetlink.h: struct ifinfomsg.
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;

// linux/if_link.h: attributes of a link, and those inside IFLA_XDP.
const IFLA_XDP: u16 = 43;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

/// RTM_GETLINK for one interface.
fn request(index: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(HEADER_BYTES + LINK_BYTES);
    request.extend(((HEADER_BYTES + LINK_BYTES) as u32).to_ne_bytes());
    request.extend(RTM_GETLINK.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]); // Sequence number and port: one question, one socket.
    request.extend([0; 4]); // Any family, any type of device.
    request.extend(index.to_ne_bytes());
    request.extend([0; 8]); // No flags to change.
    request
}

/// The attributes of RTM_NEWLINK.
fn link_attributes(reply: &[u8]) -> io::Result<&[u8]> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's answer is cut short");
    let kind = half(reply, 4).ok_or_else(cut)?;
    match kind {
        RTM_NEWLINK => reply.get(HEADER_BYTES + LINK_BYTES..).ok_or_else(cut),
        NLMSG_ERROR => {
            let error = word(reply, HEADER_BYTES).ok_or_else(cut)?;
            Err(io::Error::from_raw_os_error(error.cast_signed().saturating_neg()))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel answered something else")),
    }
}

fn programs(link: &[u8]) -> Vec<AttachedProgram> {
    let modes = [
        (IFLA_XDP_DRV_PROG_ID, Some(AttachMode::Native)),
        (IFLA_XDP_SKB_PROG_ID, Some(AttachMode::Generic)),
        (IFLA_XDP_HW_PROG_ID, None),
    ];
    let Some(xdp) = attribute(link, IFLA_XDP) else { return Vec::new() };
    let found = modes.into_iter().filter_map(|(kind, mode)| {
        let id = attribute(xdp, kind).and_then(|value| word(value, 0))?;
        Some(AttachedProgram { id, mode, name: bpf::program_name(id).ok() })
    });
    found.collect()
}

/// The value of the first attribute of this kind: each is a length, a kind and a value, padded to four bytes.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// Bits of the kind that tell of the value's form.
    const FORM: u16 = 0xc000;
    loop {
        let length = usize::from(half(attributes, 0)?);
        let kind = half(attributes, 2)? & !FORM;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().expect("two bytes")))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().expect("four bytes")))
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
        let link = [with(3, b"eth0\0"), with(IFLA_XDP | 0x8000, &inside), with(50, &[1; 6])].concat();
        let expected = AttachedProgram { id: NEVER, mode: Some(AttachMode::Generic), name: None };
        assert_eq!(programs(&link), [expected]);
        assert_eq!(programs(&with(3, b"eth0\0")), []);
        for length in 0..link.len() {
            programs(&link[..length]); // Cut anywhere, it is read without harm.
        }
    }

    #[test]
    fn an_answer_that_is_an_error_gives_its_number() {
        let mut reply = vec![0; 36];
        reply[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        reply[16..20].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        assert_eq!(link_attributes(&reply).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(link_attributes(&reply[..3]).is_err());
    }

    #[test]
    fn an_interface_that_exists_answers_and_no_other() {
        attached(&Interface::default()).unwrap();
        assert_eq!(on(i32::MAX as u32).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
