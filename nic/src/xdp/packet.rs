//! Ethernet, IPv4 and UDP headers: written in front of what is sent, and read from what is received.
use std::net::{Ipv4Addr, SocketAddrV4};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// Bytes of an Ethernet header without VLAN tag.
pub(super) const ETHERNET_BYTES: usize = 14;
/// Bytes of an IPv4 header without options.
const IPV4_BYTES: usize = 20;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;
/// IPv4 and UDP together: what a datagram has less than the interface's MTU.
pub(super) const DATAGRAM_HEAD_BYTES: usize = IPV4_BYTES + UDP_BYTES;
/// All of them.
const HEAD_BYTES: usize = ETHERNET_BYTES + DATAGRAM_HEAD_BYTES;
/// The shortest frame there is on the wire, its checksum apart. Not all drivers fill up what is shorter.
const FRAME_BYTES_MIN: usize = 60;

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const VERSION_AND_LENGTH: u8 = 0x45;
const DO_NOT_FRAGMENT: [u8; 2] = [0x40, 0x00];
const PROTOCOL_UDP: u8 = 17;

/// The Ethernet address that an IPv4 group has (RFC 1112, 6.4): a prefix and the group's last 23 bits.
pub(super) fn group_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// What the headers of one datagram say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) from_mac: Mac,
    pub(super) to_mac: Mac,
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    /// Routers it may pass, plus one.
    pub(super) hops: u8,
    /// Tells datagrams apart where they may be fragmented; these may not.
    pub(super) identification: u16,
}

impl Head {
    /// Writes headers and datagram to the front of `frame`; returns their length.
    ///
    /// # Panics
    /// When they do not fit.
    #[inline]
    pub(super) fn write(&self, frame: &mut [u8], datagram: &[u8]) -> usize {
        let (length, udp_bytes) = (HEAD_BYTES + datagram.len(), UDP_BYTES + datagram.len());
        let head = frame.first_chunk_mut::<HEAD_BYTES>().expect("a frame has room for headers");
        head[0..6].copy_from_slice(&self.to_mac);
        head[6..12].copy_from_slice(&self.from_mac);
        head[12..14].copy_from_slice(&ETHERTYPE_IPV4);
        head[14] = VERSION_AND_LENGTH;
        head[15] = 0;
        head[16..18].copy_from_slice(&((IPV4_BYTES + udp_bytes) as u16).to_be_bytes());
        head[18..20].copy_from_slice(&self.identification.to_be_bytes());
        head[20..22].copy_from_slice(&DO_NOT_FRAGMENT);
        head[22] = self.hops;
        head[23] = PROTOCOL_UDP;
        head[24..26].fill(0);
        head[26..30].copy_from_slice(&self.from.ip().octets());
        head[30..34].copy_from_slice(&self.to.ip().octets());
        let checksum = fold(sum(&head[14..34]));
        head[24..26].copy_from_slice(&checksum);
        head[34..36].copy_from_slice(&self.from.port().to_be_bytes());
        head[36..38].copy_from_slice(&self.to.port().to_be_bytes());
        head[38..40].copy_from_slice(&(udp_bytes as u16).to_be_bytes());
        head[40..42].fill(0);
        // Over addresses, protocol and length (the pseudo-header), the header, and the datagram (RFC 768).
        let pseudo = sum(&head[26..34]) + sum(&[0, PROTOCOL_UDP]) + sum(&head[38..40]);
        let checksum = fold(pseudo + sum(&head[34..42]) + sum(datagram));
        // All zeros would say that there is none.
        head[40..42].copy_from_slice(if checksum == [0, 0] { &[0xff, 0xff] } else { &checksum });
        frame[HEAD_BYTES..length].copy_from_slice(datagram);
        let padded = length.max(FRAME_BYTES_MIN);
        frame[length..padded].fill(0);
        padded
    }
}

/// A received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received<'a> {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) datagram: &'a [u8],
}

/// Reads a packet; none unless it is a whole UDP datagram over IPv4 without options or VLAN tag.
///
/// The UDP checksum is not looked at: between virtual interfaces of one machine the kernel leaves it to be filled in by a device
/// that is not there, and on a wire the frame's own has been checked by the NIC.
#[inline]
pub(super) fn read(packet: &[u8]) -> Option<Received<'_>> {
    let (head, _) = packet.split_first_chunk::<HEAD_BYTES>()?;
    if head[12..14] != ETHERTYPE_IPV4 || head[14] != VERSION_AND_LENGTH || head[23] != PROTOCOL_UDP {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // All but the don't-fragment bit: more fragments follow, or this is not the first.
    if word(20) & 0xbfff != 0 {
        return None;
    }
    let (ipv4_bytes, udp_bytes) = (usize::from(word(16)), usize::from(word(38)));
    if udp_bytes < UDP_BYTES || udp_bytes > ipv4_bytes.checked_sub(IPV4_BYTES)? {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    Some(Received {
        from: SocketAddrV4::new(address(26), word(34)),
        to: SocketAddrV4::new(address(30), word(36)),
        // Less than is there when the frame was filled up to the shortest.
        datagram: packet.get(HEAD_BYTES..ETHERNET_BYTES + IPV4_BYTES + udp_bytes)?,
    })
}

/// The sum of 16-bit words that checksums are made of (RFC 1071), in the order of this machine: it comes to the same, swapped.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let (pairs, odd) = rest.as_chunks::<2>();
    sum += pairs.iter().map(|pair| u64::from(u16::from_ne_bytes(*pair))).sum::<u64>();
    sum + odd.first().map_or(0, |byte| u64::from(u16::from_ne_bytes([*byte, 0])))
}

/// A sum folded to 16 bits and turned over, as it stands in a header.
#[inline]
fn fold(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            from_mac: [2, 0, 0, 0, 0, 1],
            to_mac: group_mac(Ipv4Addr::new(239, 192, 7, 4)),
            from: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 26402),
            to: SocketAddrV4::new(Ipv4Addr::new(239, 192, 7, 4), 26400),
            hops: 1,
            identification: 7,
        }
    }

    fn written(datagram: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xee; 2048];
        let length = head().write(&mut frame, datagram);
        frame.truncate(length);
        frame
    }

    #[test]
    fn should_map_groups_by_their_last_23_bits() {
        assert_eq!(group_mac(Ipv4Addr::new(239, 192, 7, 4)), [0x01, 0x00, 0x5e, 0x40, 0x07, 0x04]);
        assert_eq!(group_mac(Ipv4Addr::new(224, 128, 0, 1)), [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01]);
    }

    #[test]
    fn should_compute_the_checksum_of_the_example_in_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), [!0xdd, !0xf2]);
        // An odd byte counts as if a zero followed.
        assert_eq!(fold(sum(&bytes[..7])), fold(sum(&[&bytes[..7], &[0]].concat())));
    }

    #[test]
    fn should_write_checksums_that_come_to_nothing_when_summed_up() {
        for length in [0, 1, 17, 18, 19, 1400] {
            let frame = written(&vec![0xa7; length]);
            assert_eq!(frame.len(), (HEAD_BYTES + length).max(FRAME_BYTES_MIN));
            assert_eq!(fold(sum(&frame[14..34])), [0, 0]);
            let udp = &frame[34..HEAD_BYTES + length];
            let pseudo = sum(&frame[26..34]) + sum(&[0, 17]) + sum(&frame[38..40]);
            assert_eq!(fold(pseudo + sum(udp)), [0, 0], "{length}");
        }
    }

    #[test]
    fn should_read_what_it_wrote() {
        for length in [0, 1, 18, 1400] {
            let datagram = vec![0x5a; length];
            let frame = written(&datagram);
            let expected = Received { from: head().from, to: head().to, datagram: &datagram };
            assert_eq!(read(&frame), Some(expected));
        }
    }

    #[test]
    fn should_refuse_whatever_is_no_whole_datagram() {
        let frame = written(&[1; 100]);
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length]), None, "cut at {length}");
        }
        let changes: [(usize, u8, &str); 8] = [
            (12, 0x86, "IPv6"),
            (13, 0x06, "ARP"),
            (14, 0x46, "options"),
            (20, 0x20, "first fragment"),
            (21, 0x01, "later fragment"),
            (23, 6, "TCP"),
            (39, 7, "UDP length below its header"),
            (38, 0x10, "UDP length beyond the packet"),
        ];
        for (at, value, what) in changes {
            let mut changed = frame.clone();
            changed[at] = value;
            assert_eq!(read(&changed), None, "{what}");
        }
        let mut short = frame;
        short[16..18].copy_from_slice(&10u16.to_be_bytes());
        assert_eq!(read(&short), None, "IPv4 length below its header");
    }

    #[test]
    fn should_take_any_bytes_without_panic() {
        let mut state = 1u64;
        for length in 0..300 {
            let mut bytes = written(&[0; 200]);
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 60 == 0 {
                    *byte = (state >> 33) as u8;
                }
            }
            bytes.truncate(length);
            if let Some(received) = read(&bytes) {
                assert!(received.datagram.len() <= length);
            }
        }
    }
}
