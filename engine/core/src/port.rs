//! Where bytes come in and go out: datagrams and connections, as the engine sees them.
//!
//! `gds-node` implements these over `gds-nic`, the simulator over its network. Nothing here blocks.
use std::net::SocketAddrV4;

/// Sends and receives datagrams.
pub trait DatagramPort {
    /// Hands up to `limit` datagrams that have arrived to `deliver(source, datagram)`, in order of arrival; returns how many.
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize;

    /// Sends one datagram. False when it was not taken (a full queue, a transient refusal): it is then lost like any
    /// other lost packet and whoever misses it asks again; the port counts it.
    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool;

    /// Sends a burst: datagrams of `segment_bytes` (not 0) each, one behind another in `datagrams`, of which the last may be shorter.
    /// Returns how many were taken; the others are lost as with [`DatagramPort::send`]. A port may have a cheaper way than one by one.
    fn send_segments(&mut self, to: SocketAddrV4, datagrams: &[u8], segment_bytes: usize) -> usize {
        datagrams.chunks(segment_bytes).map(|datagram| usize::from(self.send(to, datagram))).sum()
    }
}

/// Names one connection of a [`StreamPort`]; never used again after its close.
pub type ConnectionId = u64;

/// What happened on a [`StreamPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// A client connected from this address (on the connecting side: the connection stands).
    Opened(ConnectionId, SocketAddrV4),
    /// Bytes arrived, in order.
    Received(ConnectionId, &'a [u8]),
    /// The connection is gone, by the peer or by a fault. Not reported after [`StreamPort::close`].
    Closed(ConnectionId),
}

/// Accepts connections and carries bytes on them.
pub trait StreamPort {
    /// Hands what has happened since the last call to `deliver`, at most `limit` events; returns how many.
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize;

    /// Takes as many of `bytes` as fit into the connection's bounded send buffer, from the front; returns how many. 0 for
    /// an unknown or closed connection.
    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize;

    /// Closes after what was written has been sent. Unknown ids are ignored.
    fn close(&mut self, connection: ConnectionId);
}
