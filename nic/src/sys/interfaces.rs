//! The network interfaces of this host.
#![allow(unsafe_code)] // Reason: getifaddrs hands out a linked list by raw pointer; std has nothing for it.
use std::ffi::{CStr, CString};
use std::io;
use std::net::Ipv4Addr;

/// One IPv4 address of one interface; an interface without any appears once, with none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) address: Option<Ipv4Addr>,
}

/// All interfaces with their IPv4 addresses, in the kernel's order.
pub(crate) fn list() -> io::Result<Vec<Listed>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `first` is writable; on success it points to a list that stays valid until freeifaddrs below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found: Vec<Listed> = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: `next` is a node of the list, not yet freed, and nobody writes to it.
        let node = unsafe { &*next };
        // SAFETY: getifaddrs gives every node a NUL-terminated name that lives as long as the list.
        let name = unsafe { CStr::from_ptr(node.ifa_name) };
        // SAFETY: ifa_addr is null or points to a socket address of the list; `address_of` reads only what its family has.
        let address = unsafe { address_of(node.ifa_addr) };
        let name_text = name.to_string_lossy().into_owned();
        let known = found.iter().any(|l| l.name == name_text);
        if address.is_some() || !known {
            found.retain(|l| l.name != name_text || l.address.is_some());
            found.push(Listed { index: index_of(name), name: name_text, address });
        }
        next = node.ifa_next;
    }
    // SAFETY: `first` came from getifaddrs, is freed once, and no reference into the list is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// # Safety
/// `address` is null, or points to a readable socket address as long as its family says.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<Ipv4Addr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, so it points to a socket address, whose first field is the family.
    if i32::from(unsafe { (*address).sa_family }) != libc::AF_INET {
        return None;
    }
    // SAFETY: the family is AF_INET, so a whole sockaddr_in is there; read_unaligned asks nothing of its alignment.
    let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
    Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()))
}

fn index_of(name: &CStr) -> u32 {
    // SAFETY: `name` is NUL-terminated and only read.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// The index of the interface of this name; none when there is no such interface.
pub(crate) fn index_by_name(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    Some(index_of(&name)).filter(|&index| index != 0)
}
