//! Frames over a connection; every wait is bounded, and can be broken off.
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, LENGTH_BYTES};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(1);
/// How often whoever waits is asked whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// One end of a connection between two nodes.
pub(super) struct Link {
    connection: TcpStream,
    stream: Session,
    patience: Duration,
    frame: Vec<u8>,
}

impl Link {
    /// Over this connection; whoever reads or writes waits so long at most for anything to move.
    pub fn new(connection: TcpStream, stream: Session, patience: Duration) -> io::Result<Self> {
        connection.set_nonblocking(false)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(LOOK.min(patience)))?;
        connection.set_write_timeout(Some(patience))?;
        Ok(Self { connection, stream, patience, frame: Vec::new() })
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
        self.hear_while(&mut || true)
    }

    /// The same, for as long as this goes on; it is asked many times a second.
    pub fn hear_while(&mut self, goes_on: &mut dyn FnMut() -> bool) -> io::Result<(Session, Frame<'_>)> {
        let strange = || io::Error::new(ErrorKind::InvalidData, "what came is no frame, or damaged");
        let mut head = [0; LENGTH_BYTES];
        self.fill(&mut head, goes_on)?;
        let length = Frame::length(&head).ok_or_else(strange)?;
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(length, 0);
        frame[..LENGTH_BYTES].copy_from_slice(&head);
        let filled = self.fill(&mut frame[LENGTH_BYTES..], goes_on);
        self.frame = frame;
        filled?;
        Frame::parse(&self.frame).ok_or_else(strange)
    }

    fn fill(&mut self, mut into: &mut [u8], goes_on: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let mut moved = Instant::now();
        while !into.is_empty() {
            if !goes_on() {
                return Err(io::Error::other("broken off"));
            }
            match self.connection.read(into) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    into = &mut into[read..];
                    moved = Instant::now();
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if moved.elapsed() < self.patience => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}
