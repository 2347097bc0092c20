//! Connections in memory, delivered in pieces of any size, broken at will.
use crate::port::{ConnectionId, StreamEvent, StreamPort};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// One direction of a connection.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    /// The writer will write no more.
    closed: bool,
    /// The reader was told so, or does not want to know.
    told: bool,
}

#[derive(Default)]
struct Pipe {
    to_server: Lane,
    to_client: Lane,
    server_knows: bool,
    client_knows: bool,
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct Network(Rc<RefCell<Inner>>);

struct Inner {
    pipes: BTreeMap<ConnectionId, Pipe>,
    next: ConnectionId,
    /// Bytes delivered in one event at most.
    piece: usize,
    /// Bytes a send buffer holds.
    capacity: usize,
}

impl Network {
    pub fn new(piece: usize, capacity: usize) -> Self {
        Self(Rc::new(RefCell::new(Inner { pipes: BTreeMap::new(), next: 1, piece, capacity })))
    }

    pub fn set_piece(&self, piece: usize) {
        self.0.borrow_mut().piece = piece;
    }

    /// A client connects.
    pub fn connect(&self) -> ConnectionId {
        let mut inner = self.0.borrow_mut();
        let id = inner.next;
        inner.next += 1;
        inner.pipes.insert(id, Pipe::default());
        id
    }

    /// Breaks a connection: of what is on its way, only this many bytes still arrive in each direction.
    pub fn cut(&self, id: ConnectionId, to_server: usize, to_client: usize) {
        let mut inner = self.0.borrow_mut();
        let Some(pipe) = inner.pipes.get_mut(&id) else { return };
        pipe.to_server.bytes.truncate(to_server);
        pipe.to_client.bytes.truncate(to_client);
        pipe.to_server.closed = true;
        pipe.to_client.closed = true;
    }

    pub fn on_the_way(&self, id: ConnectionId) -> (usize, usize) {
        let inner = self.0.borrow();
        inner.pipes.get(&id).map_or((0, 0), |pipe| (pipe.to_server.bytes.len(), pipe.to_client.bytes.len()))
    }

    pub fn server(&self) -> ServerPort {
        ServerPort(self.clone())
    }

    pub fn client(&self, id: ConnectionId) -> ClientPort {
        ClientPort(self.clone(), id)
    }

    /// Writes raw bytes as a client.
    pub fn send(&self, id: ConnectionId, bytes: &[u8]) {
        self.0.borrow_mut().pipes.get_mut(&id).expect("connected").to_server.bytes.extend(bytes);
    }

    /// Takes the raw bytes that arrived for a client.
    pub fn take(&self, id: ConnectionId) -> Vec<u8> {
        self.0.borrow_mut().pipes.get_mut(&id).expect("connected").to_client.bytes.drain(..).collect()
    }

    /// The client closes.
    pub fn hang_up(&self, id: ConnectionId) {
        self.0.borrow_mut().pipes.get_mut(&id).expect("connected").to_server.closed = true;
    }

    /// Whether the server closed the connection.
    pub fn is_closed(&self, id: ConnectionId) -> bool {
        self.0.borrow().pipes.get(&id).expect("connected").to_client.closed
    }
}

fn address() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000)
}

pub struct ServerPort(Network);

impl StreamPort for ServerPort {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        let mut inner = self.0.0.borrow_mut();
        let piece = inner.piece;
        let mut events = 0;
        for (id, pipe) in &mut inner.pipes {
            if events < limit && !pipe.server_knows {
                pipe.server_knows = true;
                deliver(StreamEvent::Opened(*id, address()));
                events += 1;
            }
            while events < limit && !pipe.to_server.bytes.is_empty() && !pipe.to_server.told {
                let count = piece.min(pipe.to_server.bytes.len());
                let bytes: Vec<u8> = pipe.to_server.bytes.drain(..count).collect();
                deliver(StreamEvent::Received(*id, &bytes));
                events += 1;
            }
            if events < limit && pipe.to_server.closed && !pipe.to_server.told {
                pipe.to_server.told = true;
                pipe.to_client.closed = true;
                deliver(StreamEvent::Closed(*id));
                events += 1;
            }
        }
        events
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        let mut inner = self.0.0.borrow_mut();
        let capacity = inner.capacity;
        let Some(pipe) = inner.pipes.get_mut(&connection) else { return 0 };
        if pipe.to_client.closed || pipe.to_server.told {
            return 0;
        }
        let count = bytes.len().min(capacity - pipe.to_client.bytes.len());
        pipe.to_client.bytes.extend(&bytes[..count]);
        count
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(pipe) = self.0.0.borrow_mut().pipes.get_mut(&connection) {
            pipe.to_client.closed = true;
            pipe.to_server.told = true;
        }
    }
}

pub struct ClientPort(Network, ConnectionId);

impl StreamPort for ClientPort {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        let mut inner = self.0.0.borrow_mut();
        let piece = inner.piece;
        let Some(pipe) = inner.pipes.get_mut(&self.1) else { return 0 };
        let mut events = 0;
        if events < limit && !pipe.client_knows {
            pipe.client_knows = true;
            deliver(StreamEvent::Opened(self.1, address()));
            events += 1;
        }
        while events < limit && !pipe.to_client.bytes.is_empty() && !pipe.to_client.told {
            let count = piece.min(pipe.to_client.bytes.len());
            let bytes: Vec<u8> = pipe.to_client.bytes.drain(..count).collect();
            deliver(StreamEvent::Received(self.1, &bytes));
            events += 1;
        }
        if events < limit && pipe.to_client.closed && !pipe.to_client.told {
            pipe.to_client.told = true;
            pipe.to_server.closed = true;
            deliver(StreamEvent::Closed(self.1));
            events += 1;
        }
        events
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        let mut inner = self.0.0.borrow_mut();
        let capacity = inner.capacity;
        let Some(pipe) = inner.pipes.get_mut(&connection) else { return 0 };
        if pipe.to_server.closed || pipe.to_client.told {
            return 0;
        }
        let count = bytes.len().min(capacity - pipe.to_server.bytes.len());
        pipe.to_server.bytes.extend(&bytes[..count]);
        count
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(pipe) = self.0.0.borrow_mut().pipes.get_mut(&connection) {
            pipe.to_server.closed = true;
            pipe.to_client.told = true;
        }
    }
}
