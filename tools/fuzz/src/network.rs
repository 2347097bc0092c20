//! What AF_XDP reads for itself: packets, and the kernel's answers about links, routes and neighbours.
use gds_nic::xdp::readers;

/// A packet: what is read of it lies in it, and reads the same once written again.
pub fn packet(data: &[u8]) {
    let Some((from, to, datagram)) = readers::packet(data) else { return };
    assert!(data.as_ptr_range().contains(&datagram.as_ptr()) || datagram.is_empty());
    let mut frame = vec![0; 60.max(data.len())];
    let length = readers::write_packet(&mut frame, from, to, datagram);
    assert_eq!(readers::packet(&frame[..length]), Some((from, to, datagram)));
}

/// An answer: read as any of the kinds, without harm.
pub fn netlink(data: &[u8]) {
    readers::kernel_answer(data);
}
