//! What the kernel knows of the way to an address: the interface, the route, and the neighbour's Ethernet address (rtnetlink(7)).
//! Asking takes some microseconds and no memory.
use super::packet::Mac;
use crate::sys::netlink::Netlink;
use std::io;
use std::net::Ipv4Addr;

const HEAD_BYTES: usize = 16;
const ROUTE_BYTES: usize = 12;
const NEIGHBOUR_BYTES: usize = 12;
const LINK_BYTES: usize = 16;
/// A head, the longest of the bodies above, and an attribute of one address.
const REQUEST_BYTES_MAX: usize = HEAD_BYTES + LINK_BYTES + 8;
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
    netlink: Netlink,
    number: u32,
}

impl Routing {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()?, number: 0 })
    }

    /// The interface of this number.
    pub(super) fn link(&mut self, interface: u32) -> io::Result<Link> {
        let mut body = [0; LINK_BYTES];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let mut reply = [0; 16 << 10];
        let got = self.ask(libc::RTM_GETLINK, &body, None, &mut reply)?;
        let message = answer(&reply[..got], libc::RTM_NEWLINK)?;
        let flags = message.get(8..12).map_or(0, number);
        let attribute = |kind| attribute(message, LINK_BYTES, kind);
        Ok(Link {
            mac: attribute(LINK_ADDRESS).and_then(|bytes| bytes.try_into().ok()),
            mtu: attribute(LINK_MTU).map_or(0, number) as usize,
            is_loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
            is_up: flags & libc::IFF_UP as u32 != 0,
        })
    }

    /// The route to an address of another host; none when there is none, or it is one of this host's own or a broadcast.
    pub(super) fn route(&mut self, to: Ipv4Addr) -> Option<Route> {
        let mut body = [0; ROUTE_BYTES];
        (body[0], body[1]) = (libc::AF_INET as u8, 32);
        let mut reply = [0; 1024];
        let got = self.ask(libc::RTM_GETROUTE, &body, Some((libc::RTA_DST, to)), &mut reply).ok()?;
        let message = answer(&reply[..got], libc::RTM_NEWROUTE).ok()?;
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

    /// The neighbour of this address on an interface; none when the kernel does not know its Ethernet address.
    pub(super) fn neighbour(&mut self, interface: u32, at: Ipv4Addr) -> Option<Neighbour> {
        let mut body = [0; NEIGHBOUR_BYTES];
        body[0] = libc::AF_INET as u8;
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let mut reply = [0; 1024];
        let got = self.ask(libc::RTM_GETNEIGH, &body, Some((libc::NDA_DST, at)), &mut reply).ok()?;
        let message = answer(&reply[..got], libc::RTM_NEWNEIGH).ok()?;
        let state = u16::from_ne_bytes(*message.get(8..10)?.first_chunk()?);
        const USABLE: u16 = libc::NUD_REACHABLE
            | libc::NUD_STALE
            | libc::NUD_DELAY
            | libc::NUD_PROBE
            | libc::NUD_NOARP
            | libc::NUD_PERMANENT;
        let mac = attribute(message, NEIGHBOUR_BYTES, libc::NDA_LLADDR)?.try_into().ok()?;
        (state & USABLE != 0).then_some(Neighbour { mac, is_stale: state & libc::NUD_STALE != 0 })
    }

    fn ask(
        &mut self,
        kind: u16,
        body: &[u8],
        attribute: Option<(u16, Ipv4Addr)>,
        reply: &mut [u8],
    ) -> io::Result<usize> {
        self.number = self.number.wrapping_add(1);
        let mut request = [0; REQUEST_BYTES_MAX];
        let mut length = HEAD_BYTES + body.len();
        request[4..6].copy_from_slice(&kind.to_ne_bytes());
        request[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        request[8..12].copy_from_slice(&self.number.to_ne_bytes());
        request[HEAD_BYTES..length].copy_from_slice(body);
        if let Some((kind, address)) = attribute {
            request[length..length + 2].copy_from_slice(&8u16.to_ne_bytes());
            request[length + 2..length + 4].copy_from_slice(&kind.to_ne_bytes());
            request[length + 4..length + 8].copy_from_slice(&address.octets());
            length += 8;
        }
        request[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        self.netlink.ask(&request[..length], reply)
    }
}

/// The body of a reply of this kind; an error when the kernel answered with one, or with something else.
fn answer(reply: &[u8], kind: u16) -> io::Result<&[u8]> {
    let Some((head, body)) = reply.split_first_chunk::<HEAD_BYTES>() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let got = u16::from_ne_bytes([head[4], head[5]]);
    if got == libc::NLMSG_ERROR as u16
        && let Some(code) = body.first_chunk()
    {
        return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(*code)));
    }
    if got == kind { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The value of an attribute behind the first `skip` bytes; none when it is not there.
fn attribute(message: &[u8], skip: usize, kind: u16) -> Option<&[u8]> {
    let mut rest = message.get(skip..)?;
    loop {
        let (head, _) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        // The two highest bits say how the value is made up.
        if u16::from_ne_bytes([head[2], head[3]]) & 0x3fff == kind {
            return rest.get(4..length);
        }
        if length < 4 {
            return None;
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
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

    #[test]
    fn should_take_any_reply_without_panic() {
        for length in 0..64u16 {
            let mut message = [0; 64];
            message[0..2].copy_from_slice(&length.to_ne_bytes());
            for cut in 0..64 {
                let _ = attribute(&message[..cut], 0, 5);
                let _ = answer(&message[..cut], 24);
            }
        }
    }
}
