//! Frames over a connection; every wait is bounded.
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, LENGTH_BYTES};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(1);

/// One end of a connection between two nodes.
pub(super) struct Link {
    connection: TcpStream,
    stream: Session,
    frame: Vec<u8>,
}

impl Link {
    /// Over this connection; whoever reads or writes waits so long at most for anything to move.
    pub fn new(connection: TcpStream, stream: Session, patience: Duration) -> io::Result<Self> {
        connection.set_nonblocking(false)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(patience))?;
        connection.set_write_timeout(Some(patience))?;
        Ok(Self { connection, stream, frame: Vec::new() })
    }

    /// To a peer, from this node's own address, by which the peer knows it.
    pub fn open(own: Ipv4Addr, peer: SocketAddrV4, stream: Session, patience: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddrV4::new(own, 0).into())?;
        socket.connect_timeout(&peer.into(), CONNECT)?;
        Self::new(socket.into(), stream, patience)
    }

    /// Says something.
    pub fn say(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        frame.write(self.stream, &mut self.frame);
        self.connection.write_all(&self.frame)
    }

    /// What the other side says next, and of which stream.
    pub fn hear(&mut self) -> io::Result<(Session, Frame<'_>)> {
        let strange = || io::Error::new(ErrorKind::InvalidData, "what came is no frame, or damaged");
        let mut head = [0; LENGTH_BYTES];
        self.connection.read_exact(&mut head)?;
        let length = Frame::length(&head).ok_or_else(strange)?;
        self.frame.resize(length, 0);
        self.frame[..LENGTH_BYTES].copy_from_slice(&head);
        self.connection.read_exact(&mut self.frame[LENGTH_BYTES..])?;
        Frame::parse(&self.frame).ok_or_else(strange)
    }
}
