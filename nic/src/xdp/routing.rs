//! What the kernel knows of the way to an address: the interface, the route, and the neighbour's Ethernet address (rtnetlink(7)).
//! Asking takes some microseconds and no memory.
use super::packet::Mac;
use super::questions::{LINK_BYTES, LINK_REPLY_BYTES, Questions, attribute, number};
use std::io;
use std::net::Ipv4Addr;

const ROUTE_BYTES: usize = 12;
const NEIGHBOUR_BYTES: usize = 12;
/// Attributes of `RTM_NEWLINK` (include/uapi/linux/if_link.h).
const LINK_ADDRESS: u16 = 1;
const LINK_MTU: u16 = 4;

/// An interface as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its Ethernet address; none when it has none of six bytes.
    pub(super) mac: Option<Mac>,
    /// Most bytes of an IP packet.
    pub(super) mtu: usize,
    pub(super) is_loopback: bool,
    pub(super) is_up: bool,
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The interface it leads out of.
    pub(super) interface: u32,
    /// The neighbour the packet is given to: the address itself, or a gateway.
    pub(super) next: Ipv4Addr,
}

/// A neighbour's Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) mac: Mac,
    /// It is long ago that it was heard of. Only a packet of the kernel's own makes it ask again.
    pub(super) is_stale: bool,
}

/// Asks the kernel.
pub(super) struct Routing {
    questions: Questions,
}

impl Routing {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { questions: Questions::open()? })
    }

    /// The interface of this number.
    pub(super) fn link(&mut self, interface: u32) -> io::Result<Link> {
        let mut reply = [0; LINK_REPLY_BYTES];
        self.questions.link(interface, &mut reply).map(read_link)
    }

    /// The route to an address of another host; none when there is none, or it is one of this host's own or a broadcast.
    pub(super) fn route(&mut self, to: Ipv4Addr) -> Option<Route> {
        let mut body = [0; ROUTE_BYTES];
        (body[0], body[1]) = (libc::AF_INET as u8, 32);
        let mut reply = [0; 1024];
        let kinds = (libc::RTM_GETROUTE, libc::RTM_NEWROUTE);
        let message = self.questions.ask(kinds, &body, Some((libc::RTA_DST, to)), &mut reply).ok()?;
        read_route(message, to)
    }

    /// The neighbour of this address on an interface; none when the kernel does not know its Ethernet address.
    pub(super) fn neighbour(&mut self, interface: u32, at: Ipv4Addr) -> Option<Neighbour> {
        let mut body = [0; NEIGHBOUR_BYTES];
        body[0] = libc::AF_INET as u8;
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let mut reply = [0; 1024];
        let kinds = (libc::RTM_GETNEIGH, libc::RTM_NEWNEIGH);
        let message = self.questions.ask(kinds, &body, Some((libc::NDA_DST, at)), &mut reply).ok()?;
        read_neighbour(message)
    }
}

/// The interface that a message is about.
pub(super) fn read_link(message: &[u8]) -> Link {
    let flags = message.get(8..12).map_or(0, number);
    let attribute = |kind| attribute(message, LINK_BYTES, kind);
    Link {
        mac: attribute(LINK_ADDRESS).and_then(|bytes| bytes.try_into().ok()),
        mtu: attribute(LINK_MTU).map_or(0, number) as usize,
        is_loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
        is_up: flags & libc::IFF_UP as u32 != 0,
    }
}

/// The route to `to` that a message is about, where it is one of ours.
pub(super) fn read_route(message: &[u8], to: Ipv4Addr) -> Option<Route> {
    if message.get(7) != Some(&libc::RTN_UNICAST) {
        return None;
    }
    let attribute = |kind| attribute(message, ROUTE_BYTES, kind);
    // A gateway with an IPv6 address: left to the kernel.
    if attribute(libc::RTA_VIA).is_some() {
        return None;
    }
    Some(Route {
        interface: number(attribute(libc::RTA_OIF)?),
        next: attribute(libc::RTA_GATEWAY).and_then(address).unwrap_or(to),
    })
}

/// The neighbour that a message is about, where its Ethernet address is known.
pub(super) fn read_neighbour(message: &[u8]) -> Option<Neighbour> {
    const USABLE: u16 = libc::NUD_REACHABLE
        | libc::NUD_STALE
        | libc::NUD_DELAY
        | libc::NUD_PROBE
        | libc::NUD_NOARP
        | libc::NUD_PERMANENT;
    let state = u16::from_ne_bytes(*message.get(8..10)?.first_chunk()?);
    let mac = attribute(message, NEIGHBOUR_BYTES, libc::NDA_LLADDR)?.try_into().ok()?;
    (state & USABLE != 0).then_some(Neighbour { mac, is_stale: state & libc::NUD_STALE != 0 })
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;

    #[test]
    fn should_describe_the_loopback_interface() {
        let lo = Interface::default().resolve().unwrap();
        let link = Routing::open().unwrap().link(lo.index).unwrap();
        assert!(link.is_loopback && link.is_up && link.mtu > 1500, "{link:?}");
        let error = Routing::open().unwrap().link(0x7fff_ffff).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn should_leave_addresses_of_this_host_to_the_kernel() {
        let mut routing = Routing::open().unwrap();
        assert_eq!(routing.route(Ipv4Addr::LOCALHOST), None);
        let lo = Interface::default().resolve().unwrap();
        assert_eq!(routing.neighbour(lo.index, Ipv4Addr::new(203, 0, 113, 9)), None);
    }
}
