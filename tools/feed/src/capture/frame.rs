//! From one captured frame to the UDP datagram in it: link header, VLAN tags, IPv4, UDP.
use super::skipped::Skip;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What stands in front of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    /// Nothing.
    RawIp,
    /// Four bytes: the address family, in the byte order of the machine that recorded (or in network order).
    Loopback,
    /// Linux cooked capture, 16 bytes.
    LinuxSll,
    /// Linux cooked capture, second version, 20 bytes.
    LinuxSll2,
    /// Not read here.
    #[default]
    Other,
}

impl Link {
    /// From the number that capture files use (tcpdump.org/linktypes.html).
    pub fn from_number(number: u16) -> Self {
        match number {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            // 12 and 14 are what some systems write for 101.
            12 | 14 | 101 | 228 => Self::RawIp,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            _ => Self::Other,
        }
    }
}

/// A datagram, as a range of the frame that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Udp {
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub payload_start: usize,
    pub payload_end: usize,
    pub vlan_tags: u64,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
/// 802.1Q, 802.1ad, and two that came before the latter.
const ETHERTYPES_VLAN: [u16; 4] = [0x8100, 0x88A8, 0x9100, 0x9200];
const VLAN_TAGS_MAX: u64 = 4;
const PROTOCOL_UDP: u8 = 17;
const UDP_HEADER_BYTES: usize = 8;

/// A frame as far as it was captured, and whether that is all of it.
struct Bytes<'a> {
    captured: &'a [u8],
    whole: bool,
}

impl Bytes<'_> {
    fn at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Skip> {
        match self.captured.get(offset..offset + N) {
            Some(bytes) => Ok(bytes.try_into().expect("the range has this length")),
            None => Err(self.short()),
        }
    }

    fn u16(&self, offset: usize) -> Result<u16, Skip> {
        self.at(offset).map(u16::from_be_bytes)
    }

    /// Why bytes that the headers promise are not there.
    fn short(&self) -> Skip {
        if self.whole { Skip::Malformed } else { Skip::Truncated }
    }
}

/// Finds the datagram in a frame of which `captured` was kept out of `original_bytes`.
pub(super) fn decode(link: Link, captured: &[u8], original_bytes: u32) -> Result<Udp, Skip> {
    let frame = Bytes { captured, whole: original_bytes as usize <= captured.len() };
    let (ip, vlan_tags) = find_ip(link, &frame)?;
    let [first, _, length @ ..] = frame.at::<4>(ip)?;
    if first >> 4 != 4 {
        return Err(if link == Link::RawIp && first >> 4 == 6 { Skip::Ipv6 } else { Skip::Malformed });
    }
    let header_bytes = usize::from(first & 0x0F) * 4;
    // Recorded before segmentation by the network card, large packets have no total length yet.
    let total_bytes = match usize::from(u16::from_be_bytes(length)) {
        0 => original_bytes as usize - ip.min(original_bytes as usize),
        total => total,
    };
    if header_bytes < 20 || total_bytes < header_bytes {
        return Err(Skip::Malformed);
    }
    if frame.at::<1>(ip + 9)? != [PROTOCOL_UDP] {
        return Err(Skip::NotUdp);
    }
    // More fragments follow, or this is not the first.
    if frame.u16(ip + 6)? & 0x3FFF != 0 {
        return Err(Skip::Fragment);
    }
    let address = |offset| frame.at::<4>(offset).map(Ipv4Addr::from);
    let (source, destination) = (address(ip + 12)?, address(ip + 16)?);
    let udp = ip + header_bytes;
    let udp_bytes = usize::from(frame.u16(udp + 4)?);
    if udp_bytes < UDP_HEADER_BYTES || header_bytes + udp_bytes > total_bytes {
        return Err(Skip::Malformed);
    }
    if udp + udp_bytes > captured.len() {
        return Err(frame.short());
    }
    Ok(Udp {
        source: SocketAddrV4::new(source, frame.u16(udp)?),
        destination: SocketAddrV4::new(destination, frame.u16(udp + 2)?),
        payload_start: udp + UDP_HEADER_BYTES,
        payload_end: udp + udp_bytes,
        vlan_tags,
    })
}

/// Where the IPv4 header begins, and how many VLAN tags stand before it.
fn find_ip(link: Link, frame: &Bytes<'_>) -> Result<(usize, u64), Skip> {
    match link {
        Link::RawIp => Ok((0, 0)),
        Link::Ethernet => after_tags(frame, frame.u16(12)?, 14),
        Link::LinuxSll => after_tags(frame, frame.u16(14)?, 16),
        Link::LinuxSll2 => after_tags(frame, frame.u16(0)?, 20),
        Link::Loopback => {
            let family = frame.at::<4>(0)?;
            match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
                2 => Ok((4, 0)),
                // Linux, and three BSDs.
                10 | 24 | 28 | 30 => Err(Skip::Ipv6),
                _ => Err(Skip::NotIp),
            }
        }
        Link::Other => Err(Skip::LinkType),
    }
}

/// Steps over VLAN tags (each is two bytes of tag and the next ethertype) to the IPv4 header.
fn after_tags(frame: &Bytes<'_>, mut ethertype: u16, mut at: usize) -> Result<(usize, u64), Skip> {
    let mut tags = 0;
    while ETHERTYPES_VLAN.contains(&ethertype) {
        if tags == VLAN_TAGS_MAX {
            return Err(Skip::Malformed);
        }
        ethertype = frame.u16(at + 2)?;
        at += 4;
        tags += 1;
    }
    match ethertype {
        ETHERTYPE_IPV4 => Ok((at, tags)),
        ETHERTYPE_IPV6 => Err(Skip::Ipv6),
        _ => Err(Skip::NotIp),
    }
}
