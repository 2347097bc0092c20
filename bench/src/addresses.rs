//! Ports and groups on the loopback interface that nobody else uses.
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

/// Free UDP ports, one for each place.
///
/// # Errors
/// When there are not so many.
pub fn udp_ports<const COUNT: usize>() -> Result<[u16; COUNT], String> {
    let failed = |error: std::io::Error| format!("no free UDP port: {error}");
    let sockets: Vec<UdpSocket> =
        (0..COUNT).map(|_| UdpSocket::bind("0.0.0.0:0")).collect::<Result<_, _>>().map_err(failed)?;
    let mut ports = [0; COUNT];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket.local_addr().map_err(failed)?.port();
    }
    Ok(ports)
}

/// The ports of a node, or the same of all nodes of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Of the ingress, and another one whose group is the second line.
    pub ingress: [u16; 2],
    /// Of the stream.
    pub downstream: u16,
    /// Of the acknowledgements.
    pub acknowledgement: u16,
    /// Of requests for older messages of both.
    pub rewinder: u16,
    /// Of queries, TCP.
    pub query: u16,
    /// Between nodes: of the replication group and watermarks, and of older messages.
    pub replication: [u16; 2],
}

impl Ports {
    /// Free ones.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn draw() -> Result<Self, String> {
        let [ingress, other, downstream, acknowledgement, rewinder, replication, history] = udp_ports()?;
        let query = tcp_port()?;
        let (ingress, replication) = ([ingress, other], [replication, history]);
        Ok(Self { ingress, downstream, acknowledgement, rewinder, query, replication })
    }
}

/// A free TCP port.
///
/// # Errors
/// When there is none.
pub fn tcp_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free TCP port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// A multicast group that goes with a port: as nobody else has the port, nobody else has the group.
pub fn group(port: u16) -> Ipv4Addr {
    let [high, low] = port.to_be_bytes();
    Ipv4Addr::new(239, 193, high, low)
}

/// Group and port.
pub fn group_address(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(group(port), port)
}
