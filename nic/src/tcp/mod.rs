//! Connections with bounded buffers, told about as events. Nothing waits.
//!
//! A port listens, or connects, or both. [`TcpPort::poll`] is called every lap: it accepts, finishes connects, hands out bytes,
//! sends on what had to wait, and closes. One read per connection and call, so that no connection starves the others.
//!
//! # Slow readers
//! [`TcpPort::write`] takes what fits into the kernel's buffer and then the connection's own, and says how much that was.
//! The rest is the caller's to keep, or to give the connection up.
//!
//! # Closing
//! [`TcpPort::close`] ends the caller's part at once: the id is dead, no event follows. The port goes on to send what was
//! written, tells the peer that it was all, and waits for the peer to close; bytes still coming in are thrown away. (Closing a
//! socket outright with unread bytes would make the kernel reset the connection and take the last answers with it.) When
//! that takes longer than `close_ns_max`, the connection is cut. A peer that closes its side is taken to have gone.
mod config;
mod connection;
mod send_buffer;
#[cfg(test)]
mod tests;

use crate::clock;
use crate::error::NicError;
use crate::sys::epoll::{Epoll, READABLE};
use crate::sys::socket;
pub use config::TcpConfig;
use connection::{Connection, State};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// Names one connection; never used again after its end.
pub type ConnectionId = u64;

/// What happened on a [`TcpPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEvent<'a> {
    /// A connection stands: accepted from, or connected to, this address.
    Opened(ConnectionId, SocketAddrV4),
    /// Bytes arrived, in order.
    Received(ConnectionId, &'a [u8]),
    /// The connection is gone, by the peer or by a fault; also: a connect failed. Not reported after [`TcpPort::close`].
    Closed(ConnectionId),
}

/// What a port counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away because `connections_max` were open.
    pub turned_away: u64,
    /// Accepts that failed.
    pub accept_failed: u64,
    /// Connects that succeeded.
    pub connected: u64,
    /// Connects that failed.
    pub connect_failed: u64,
    /// Connections that ended by the peer's orderly close.
    pub closed_by_peer: u64,
    /// Connections that ended by a fault, such as a reset.
    pub faulted: u64,
    /// Closed connections that were cut because they took longer than `close_ns_max`.
    pub cut: u64,
    /// Bytes handed out.
    pub received_bytes: u64,
    /// Bytes taken for sending.
    pub written_bytes: u64,
}

/// A listener, or an endpoint of connections made, or both.
pub struct TcpPort {
    epoll: Epoll,
    listener: Option<TcpListener>,
    local: Option<SocketAddrV4>,
    connections: Box<[Connection]>,
    /// Places in `connections` that are free; the last is taken next.
    free: Vec<usize>,
    closing: usize,
    closing_checked_ns: u64,
    receive: Box<[u8]>,
    config: TcpConfig,
    counters: TcpCounters,
    last_connect_error: Option<i32>,
}

/// The listener's token; places of connections are below it.
const LISTENER: u64 = u64::MAX;
/// An id is generation and place: this many low bits are the place.
const PLACE_BITS: u32 = 16;
/// How often closing connections are looked at for being too slow.
const CLOSING_CHECK_NS: u64 = 10_000_000;

impl TcpPort {
    /// A port that does nothing yet; for [`TcpPort::connect`].
    pub fn new(config: TcpConfig) -> Result<Self, NicError> {
        if config.connections_max == 0
            || config.connections_max > 1 << PLACE_BITS
            || config.receive_bytes_max == 0
        {
            let what = format!(
                "TCP port: connections_max = {} must be 1 to 65536, receive_bytes_max = {} at least 1",
                config.connections_max, config.receive_bytes_max
            );
            return Err(NicError::Setting { what });
        }
        let nowhere = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
        let epoll = Epoll::new(config.connections_max.clamp(1, 256))
            .map_err(NicError::socket("open epoll", nowhere))?;
        Ok(Self {
            epoll,
            listener: None,
            local: None,
            connections: (0..config.connections_max)
                .map(|_| Connection::new(config.send_buffer_bytes))
                .collect(),
            free: (0..config.connections_max).rev().collect(),
            closing: 0,
            closing_checked_ns: 0,
            receive: vec![0; config.receive_bytes_max].into_boxed_slice(),
            config,
            counters: TcpCounters::default(),
            last_connect_error: None,
        })
    }

    /// A port that accepts connections at `address`; port 0 for any, then told by [`TcpPort::local_address`].
    pub fn listen(address: SocketAddrV4, config: TcpConfig) -> Result<Self, NicError> {
        let mut port = Self::new(config)?;
        let at = |action| NicError::socket(action, address);
        let listener = TcpListener::bind(address).map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => NicError::AddressInUse { protocol: "TCP", address },
            _ => NicError::Socket { action: "listen on a TCP socket", address, cause },
        })?;
        listener.set_nonblocking(true).map_err(at("make a TCP socket non-blocking"))?;
        port.local =
            Some(socket::local_address(listener.as_fd()).map_err(at("read the address of a TCP socket"))?);
        port.epoll.add(listener.as_fd(), LISTENER, READABLE).map_err(at("watch a TCP socket"))?;
        port.listener = Some(listener);
        Ok(port)
    }

    /// Starts a connection; [`TcpEvent::Opened`] or [`TcpEvent::Closed`] tells how it went. An error says that it could not
    /// even be started.
    pub fn connect(&mut self, to: SocketAddrV4) -> Result<ConnectionId, NicError> {
        let at = |action| NicError::socket(action, to);
        let Some(&place) = self.free.last() else {
            let what = format!(
                "cannot connect to {to}: {} connections are open, the most",
                self.config.connections_max
            );
            return Err(NicError::Setting { what });
        };
        let owned = socket::open(libc::SOCK_STREAM).map_err(at("open a TCP socket"))?;
        match socket::connect(owned.as_fd(), to) {
            Err(cause) if cause.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(at("connect")(cause));
            }
            _ => {}
        }
        let stream = TcpStream::from(owned);
        self.prepare(&stream).map_err(at("set the options of a TCP socket"))?;
        let connection = &mut self.connections[place];
        connection
            .open(stream, to, State::Connecting, &self.epoll, place)
            .map_err(at("watch a TCP socket"))?;
        self.free.pop();
        Ok(self.id(place))
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let bytes = self.config.kernel_send_buffer_bytes;
        if bytes > 0 {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            socket::set_option(stream.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
        }
        Ok(())
    }

    fn id(&self, place: usize) -> ConnectionId {
        self.connections[place].generation << PLACE_BITS | place as u64
    }

    /// The place of a living connection.
    fn place(&self, id: ConnectionId) -> Option<usize> {
        let place = (id & ((1 << PLACE_BITS) - 1)) as usize;
        let connection = self.connections.get(place)?;
        let alive = matches!(connection.state, State::Connecting | State::Open);
        (alive && connection.generation == id >> PLACE_BITS).then_some(place)
    }

    /// Hands what has happened since the last call to `deliver`, about `limit` events at most; returns how many.
    pub fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(TcpEvent<'_>)) -> usize {
        if self.closing > 0 {
            self.cut_the_slow();
        }
        let mut events = 0;
        let ready = self.epoll.poll(limit);
        for index in 0..ready {
            let (token, conditions) = self.epoll.ready(index);
            if token == LISTENER {
                events += self.accept(limit - events.min(limit), deliver);
            } else {
                events += self.serve(token as usize, conditions, deliver);
            }
        }
        events
    }

    fn accept(&mut self, limit: usize, deliver: &mut dyn FnMut(TcpEvent<'_>)) -> usize {
        let mut events = 0;
        // Those turned away are no events, but the number looked at in one call must have a bound too.
        for _ in 0..limit.max(1) {
            let Some(listener) = &self.listener else { break };
            let (stream, from) = match listener.accept() {
                Ok((stream, SocketAddr::V4(from))) => (stream, from),
                Ok((_, SocketAddr::V6(_))) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.counters.accept_failed += 1;
                    break;
                }
            };
            let Some(&place) = self.free.last() else {
                self.counters.turned_away += 1;
                continue;
            };
            let prepared = self.prepare(&stream);
            let connection = &mut self.connections[place];
            let opened =
                prepared.and_then(|()| connection.open(stream, from, State::Open, &self.epoll, place));
            if opened.is_err() {
                self.counters.accept_failed += 1;
                continue;
            }
            self.free.pop();
            self.counters.accepted += 1;
            events += 1;
            deliver(TcpEvent::Opened(self.id(place), from));
        }
        events
    }

    /// Does what a ready connection is ready for; returns the number of events.
    fn serve(&mut self, place: usize, conditions: u32, deliver: &mut dyn FnMut(TcpEvent<'_>)) -> usize {
        let id = self.id(place);
        let mut events = 0;
        assert!(self.connections[place].state != State::Free, "a closed socket is not watched");
        if self.connections[place].state == State::Connecting {
            match self.connections[place].connected(&self.epoll, place) {
                Ok(()) => {
                    self.counters.connected += 1;
                    deliver(TcpEvent::Opened(id, self.connections[place].peer));
                    return 1; // What else it is ready for is told again at the next call.
                }
                Err(error) => {
                    self.counters.connect_failed += 1;
                    self.last_connect_error = error.raw_os_error();
                    self.release(place);
                    deliver(TcpEvent::Closed(id));
                    return 1;
                }
            }
        }
        if self.connections[place].flush(&self.epoll, place).is_err() {
            return self.fault(place, deliver);
        }
        if self.connections[place].ended() {
            self.release(place);
            return events;
        }
        if conditions & !crate::sys::epoll::WRITABLE == 0 {
            return events;
        }
        let Self { connections, receive, counters, .. } = self;
        match connections[place].read(receive) {
            Ok(Some(0)) if connections[place].state == State::Open => {
                counters.closed_by_peer += 1;
                self.release(place);
                deliver(TcpEvent::Closed(id));
                events += 1;
            }
            Ok(Some(0)) => {
                if connections[place].peer_finished(&self.epoll, place) {
                    self.release(place);
                }
            }
            Ok(Some(count)) if connections[place].state == State::Open => {
                counters.received_bytes += count as u64;
                deliver(TcpEvent::Received(id, &receive[..count]));
                events += 1;
            }
            Ok(_) => {} // Nothing after all, or thrown away because we are closing.
            Err(_) => return self.fault(place, deliver),
        }
        events
    }

    fn fault(&mut self, place: usize, deliver: &mut dyn FnMut(TcpEvent<'_>)) -> usize {
        let id = self.id(place);
        let told = self.connections[place].state == State::Open;
        self.release(place);
        if told {
            self.counters.faulted += 1;
            deliver(TcpEvent::Closed(id));
        }
        usize::from(told)
    }

    /// Closes the socket and frees the place.
    fn release(&mut self, place: usize) {
        if self.connections[place].state == State::Closing {
            self.closing -= 1;
        }
        self.connections[place].release();
        self.free.push(place);
    }

    fn cut_the_slow(&mut self) {
        let now = clock::monotonic_ns();
        if now < self.closing_checked_ns + CLOSING_CHECK_NS {
            return;
        }
        self.closing_checked_ns = now;
        for place in 0..self.connections.len() {
            let connection = &self.connections[place];
            if connection.state == State::Closing && now >= connection.close_by_ns {
                self.counters.cut += 1;
                self.release(place);
            }
        }
    }

    /// Takes as many of `bytes` as the kernel and the connection's bounded buffer have room for, from the front; returns how
    /// many. 0 for a connection that is gone or does not stand yet.
    pub fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        let Some(place) = self.place(connection) else { return 0 };
        let taken = self.connections[place].write(bytes, &self.epoll, place);
        self.counters.written_bytes += taken as u64;
        taken
    }

    /// Bytes written that the kernel has not taken yet; 0 for a connection that is gone.
    pub fn unsent(&self, connection: ConnectionId) -> usize {
        self.place(connection).map_or(0, |place| self.connections[place].unsent())
    }

    /// Closes after what was written has been sent. Unknown ids are ignored.
    pub fn close(&mut self, connection: ConnectionId) {
        let Some(place) = self.place(connection) else { return };
        if self.connections[place].state == State::Connecting {
            return self.release(place);
        }
        self.connections[place].state = State::Closing;
        self.connections[place].close_by_ns = clock::monotonic_ns() + self.config.close_ns_max;
        self.closing += 1;
        if self.connections[place].flush(&self.epoll, place).is_err() {
            self.release(place);
        }
    }

    /// Connections that stand, are being made, or are being closed.
    pub fn connections(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// The address listened on, with the port the kernel chose when 0 was asked for.
    pub fn local_address(&self) -> Option<SocketAddrV4> {
        self.local
    }

    /// What was counted.
    pub fn counters(&self) -> TcpCounters {
        self.counters
    }

    /// Why the last connect that failed did.
    pub fn last_connect_error(&self) -> Option<io::Error> {
        self.last_connect_error.map(io::Error::from_raw_os_error)
    }
}
