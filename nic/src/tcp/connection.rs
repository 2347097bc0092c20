//! One connection of a port: its socket, what waits to be sent, how far it has come.
use super::send_buffer::SendBuffer;
use crate::sys::epoll::{Epoll, READABLE, WRITABLE};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The place is free.
    Free,
    /// Under way to the peer.
    Connecting,
    /// Stands.
    Open,
    /// Closed by us: what was written is on its way out, or the peer's close on its way in.
    Closing,
}

/// A place for one connection, used again and again; the generation tells its users apart.
pub(super) struct Connection {
    pub(super) state: State,
    pub(super) generation: u64,
    pub(super) peer: SocketAddrV4,
    pub(super) close_by_ns: u64,
    stream: Option<TcpStream>,
    waiting: SendBuffer,
    /// What epoll watches for.
    interest: u32,
    /// Has the peer been told that nothing follows?
    finished: bool,
    /// Has the peer told us so, while we were closing?
    peer_finished: bool,
}

impl Connection {
    pub(super) fn new(send_buffer_bytes: usize) -> Self {
        Self {
            state: State::Free,
            generation: 0,
            peer: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            close_by_ns: 0,
            stream: None,
            waiting: SendBuffer::new(send_buffer_bytes),
            interest: 0,
            finished: false,
            peer_finished: false,
        }
    }

    /// Takes up a socket; on an error the place stays free.
    pub(super) fn open(
        &mut self,
        stream: TcpStream,
        peer: SocketAddrV4,
        state: State,
        epoll: &Epoll,
        place: usize,
    ) -> io::Result<()> {
        assert!(self.state == State::Free);
        let interest = if state == State::Connecting { WRITABLE } else { READABLE };
        epoll.add(stream.as_fd(), place as u64, interest)?;
        self.generation += 1;
        (self.state, self.peer, self.interest) = (state, peer, interest);
        (self.finished, self.peer_finished) = (false, false);
        self.stream = Some(stream);
        Ok(())
    }

    /// Closes the socket, which also takes it out of epoll, and frees the place.
    pub(super) fn release(&mut self) {
        self.stream = None;
        self.state = State::Free;
        self.waiting.clear();
    }

    fn watch(&mut self, interest: u32, epoll: &Epoll, place: usize) -> io::Result<()> {
        if interest == self.interest {
            return Ok(());
        }
        self.interest = interest;
        match &self.stream {
            Some(stream) => epoll.change(stream.as_fd(), place as u64, interest),
            None => Ok(()),
        }
    }

    /// Finishes a connect that is decided.
    pub(super) fn connected(&mut self, epoll: &Epoll, place: usize) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        self.state = State::Open;
        self.watch(READABLE, epoll, place)
    }

    /// Reads once; none when there is nothing.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        match stream.read(into) {
            Ok(count) => Ok(Some(count)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the front of `bytes`. A fault of the socket is left for the next read to tell, so that whoever writes need not
    /// handle the end of a connection in two places.
    pub(super) fn write(&mut self, bytes: &[u8], epoll: &Epoll, place: usize) -> usize {
        if self.state != State::Open {
            return 0;
        }
        let mut sent = 0;
        if self.waiting.is_empty() {
            while sent < bytes.len() {
                let Some(mut stream) = self.stream.as_ref() else { return 0 };
                match stream.write(&bytes[sent..]) {
                    Ok(count) if count > 0 => sent += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
        }
        let kept = self.waiting.push(&bytes[sent..]);
        if !self.waiting.is_empty() && self.watch(READABLE | WRITABLE, epoll, place).is_err() {
            // Without being watched it would never be sent: give the connection up, which its next read tells.
            let _ = self.stream.as_ref().map(|stream| stream.shutdown(Shutdown::Both));
        }
        sent + kept
    }

    /// Sends on what waited; once all is sent on a closing connection, tells the peer that it was all.
    pub(super) fn flush(&mut self, epoll: &Epoll, place: usize) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        if !self.waiting.is_empty() {
            self.waiting.drain(stream)?;
        }
        if !self.waiting.is_empty() {
            let readable = if self.peer_finished { 0 } else { READABLE };
            return self.watch(readable | WRITABLE, epoll, place);
        }
        if self.state == State::Closing && !self.finished {
            self.finished = true;
            stream.shutdown(Shutdown::Write)?;
        }
        self.watch(READABLE, epoll, place)
    }

    /// Notes, while closing, that the peer sends nothing more. True when that was the last thing to wait for; otherwise what
    /// was written is still to be sent, and only that is watched for from now on.
    pub(super) fn peer_finished(&mut self, epoll: &Epoll, place: usize) -> bool {
        self.peer_finished = true;
        self.finished || self.watch(WRITABLE, epoll, place).is_err()
    }

    /// Closed by us and by the peer, with nothing left to send?
    pub(super) fn ended(&self) -> bool {
        self.state == State::Closing && self.finished && self.peer_finished
    }

    pub(super) fn unsent(&self) -> usize {
        self.waiting.len()
    }
}
