//! Connections in memory: what arrives is queued by the script, what is written is kept.
use gds_core::port::{ConnectionId, StreamEvent, StreamPort};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

enum Event {
    Opened(ConnectionId),
    Received(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
}

/// The port of one side.
#[derive(Default)]
pub struct Port {
    events: VecDeque<Event>,
    /// What this side wrote, for each connection that ever was.
    pub written: BTreeMap<ConnectionId, Vec<u8>>,
    open: Vec<ConnectionId>,
    /// Bytes taken by all writes together until this is set anew.
    pub room: usize,
}

impl Port {
    /// A port without connections that takes all it is given.
    pub fn new() -> Self {
        Self { room: usize::MAX, ..Self::default() }
    }

    /// A connection is there.
    pub fn open(&mut self, id: ConnectionId) {
        self.events.push_back(Event::Opened(id));
        self.open.push(id);
        self.written.insert(id, Vec::new());
    }

    /// Bytes arrive, if the connection still stands.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        if self.is_open(id) && !bytes.is_empty() {
            self.events.push_back(Event::Received(id, bytes.to_vec()));
        }
    }

    /// The peer is gone.
    pub fn hang_up(&mut self, id: ConnectionId) {
        if self.is_open(id) {
            self.events.push_back(Event::Closed(id));
            self.open.retain(|open| *open != id);
        }
    }

    /// Whether neither side has closed it.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.open.contains(&id)
    }
}

impl StreamPort for Port {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        let count = limit.min(self.events.len());
        for event in self.events.drain(..count) {
            match event {
                Event::Opened(id) => {
                    deliver(StreamEvent::Opened(id, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1)));
                }
                Event::Received(id, bytes) => deliver(StreamEvent::Received(id, &bytes)),
                Event::Closed(id) => deliver(StreamEvent::Closed(id)),
            }
        }
        count
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        let open = self.is_open(connection);
        let Some(written) = self.written.get_mut(&connection).filter(|_| open) else { return 0 };
        let count = bytes.len().min(self.room);
        self.room -= count;
        written.extend_from_slice(&bytes[..count]);
        count
    }

    fn close(&mut self, connection: ConnectionId) {
        // Nothing is reported of a connection that this side has closed.
        self.open.retain(|open| *open != connection);
        self.events.retain(|event| {
            let (Event::Opened(id) | Event::Received(id, _) | Event::Closed(id)) = event;
            *id != connection
        });
    }
}
