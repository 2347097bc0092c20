//! One connection of a client: bytes that came and are not yet understood, requests that wait, and its timers.
use super::sessions::SessionIndex;
use crate::port::ConnectionId;

/// Why the server closes a connection, or what closed it. Each has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The client logged out.
    Logout,
    /// The client or the network closed it.
    Peer,
    /// No login in time.
    NoLogin,
    /// The client was silent for too long.
    Silent,
    /// Bytes that are no packet, or a packet that may not come there.
    Protocol,
    /// A packet longer than the bound.
    Oversize,
    /// More requests than the buffer holds while answers wait.
    RequestsOverflow,
    /// The reader was too slow for too long.
    SlowReader,
    /// The same session or user logged in again.
    Superseded,
    /// What was to be sent again can no longer be read.
    Unreadable,
    /// The login was rejected.
    Rejected,
    /// The sessions ended.
    End,
}

/// Bytes received, in a buffer that never grows.
#[derive(Debug)]
pub struct ReceiveBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReceiveBuffer {
    /// An empty buffer of this size.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What is there.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes as much as fits from the front of `bytes`; returns how much.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        if self.bytes.len() - self.end < bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let count = bytes.len().min(self.bytes.len() - self.end);
        self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Drops what was understood from the front.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "consumed more than there is");
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// A request kept until the sequence number it names is applied.
#[derive(Debug)]
pub struct Wait {
    /// The request, as it came; empty when the place is free.
    pub request: Vec<u8>,
    /// Its id.
    pub id: u64,
    /// The sequence number it names.
    pub at_least: u64,
    /// Since when it waits.
    pub since_ns: u64,
}

impl Wait {
    /// Whether a request waits here.
    pub fn is_taken(&self) -> bool {
        !self.request.is_empty()
    }

    /// Keeps a request.
    pub fn take(&mut self, request: &[u8], id: u64, at_least: u64, now_ns: u64) {
        assert!(request.len() <= self.request.capacity(), "a request is longer than the bound on requests");
        self.request.extend_from_slice(request);
        (self.id, self.at_least, self.since_ns) = (id, at_least, now_ns);
    }
}

/// One connection. The memory stays with its place in the table.
#[derive(Debug)]
pub struct Connection {
    /// The port's name for it; `None` when the place is free.
    pub id: Option<ConnectionId>,
    /// The session it is logged in to.
    pub session: Option<SessionIndex>,
    /// When it was opened, or last heard from.
    pub received_ns: u64,
    /// When something was last sent.
    pub sent_ns: u64,
    /// How long its client may be silent.
    pub silence_ns: u64,
    /// Not yet understood, or waiting for room.
    pub receive: ReceiveBuffer,
    /// Requests waiting for a sequence number.
    pub waits: Vec<Wait>,
    /// Packets outside the sequence, to go out before anything else: a login's answer.
    pub control: Control,
    /// To be closed once `control` is handed over.
    pub closing: Option<Close>,
}

impl Connection {
    /// A free place.
    pub fn new(request_buffer_bytes: usize, waits_max: usize, request_bytes_max: usize) -> Self {
        let wait =
            || Wait { request: Vec::with_capacity(request_bytes_max), id: 0, at_least: 0, since_ns: 0 };
        Self {
            id: None,
            session: None,
            received_ns: 0,
            sent_ns: 0,
            silence_ns: 0,
            receive: ReceiveBuffer::new(request_buffer_bytes),
            waits: (0..waits_max).map(|_| wait()).collect(),
            control: Control::default(),
            closing: None,
        }
    }

    /// Takes the place for a connection that was just opened.
    pub fn open(&mut self, id: ConnectionId, now_ns: u64, login_wait_ns: u64) {
        assert!(self.id.is_none(), "the place is taken");
        self.id = Some(id);
        (self.received_ns, self.sent_ns, self.silence_ns) = (now_ns, now_ns, login_wait_ns);
    }

    /// Frees the place.
    pub fn free(&mut self) {
        (self.id, self.session, self.closing, self.control) = (None, None, None, Control::default());
        self.receive.clear();
        self.waits.iter_mut().for_each(|wait| wait.request.clear());
    }
}

/// A few bytes that are sent as one.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    bytes: [u8; 48],
    start: usize,
    end: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { bytes: [0; 48], start: 0, end: 0 }
    }
}

impl Control {
    /// Appends what `encode` writes to the free room; it returns how many bytes that was.
    pub fn encode(&mut self, encode: impl FnOnce(&mut [u8]) -> usize) {
        self.end += encode(&mut self.bytes[self.end..]);
    }

    /// Appends a packet.
    pub fn push(&mut self, packet: &[u8]) {
        self.encode(|into| {
            into[..packet.len()].copy_from_slice(packet);
            packet.len()
        });
    }

    /// What is still to be sent.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Drops what was sent from the front.
    pub fn sent(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}
