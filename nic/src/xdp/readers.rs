//! The readers of foreign bytes by themselves, for the fuzzers (`tools/fuzz`).
use super::packet::{self, Head, group_mac};
use super::{attached, questions, routing};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Source, destination and datagram of an Ethernet frame; none unless it is one whole UDP datagram over IPv4.
pub fn packet(frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, &[u8])> {
    packet::read(frame).map(|read| (read.from, read.to, read.datagram))
}

/// Writes such a frame to the front of `frame`; returns its length.
///
/// # Panics
/// When it does not fit.
pub fn write_packet(frame: &mut [u8], from: SocketAddrV4, to: SocketAddrV4, datagram: &[u8]) -> usize {
    let (from_mac, to_mac) = ([2, 0, 0, 0, 0, 1], group_mac(*to.ip()));
    Head { from_mac, to_mac, from, to, hops: 1, identification: 0 }.write(frame, datagram)
}

/// Reads a message of the kernel as an answer to each question that is asked of it.
pub fn kernel_answer(message: &[u8]) {
    for kind in [libc::RTM_NEWLINK, libc::RTM_NEWROUTE, libc::RTM_NEWNEIGH] {
        let Ok(body) = questions::answer(message, kind) else { continue };
        let _ = routing::read_link(body);
        drop(attached::programs(body));
        let _ = routing::read_route(body, Ipv4Addr::LOCALHOST);
        let _ = routing::read_neighbour(body);
    }
}
