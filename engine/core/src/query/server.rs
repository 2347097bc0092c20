//! The server: connections, logins, timers, and whose turn it is.
//!
//! One duty cycle takes what arrived and answers it, tries again what found no room or had to wait, gives ranges and watches
//! their turns, and hands the port what is to be sent. Nothing in it depends on when it runs but the times it is given.
use super::config::QueryConfig;
use super::connection::{Close, Connection};
use super::counters::QueryCounters;
use super::engine::{CounterSets, Engine, Sliced, Taken};
use super::node_source::NodeSource;
use super::sessions::{ConnectionIndex, Link, SessionIndex, Sessions, SoupSession};
use super::source::Source;
use super::users::Users;
use crate::bus::StreamReader;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::port::{ConnectionId, StreamEvent, StreamPort};
use crate::store::StoreReader;
use crate::time::{MILLISECOND_NS, Time};
use gds_wire::query::ErrorCode;
use gds_wire::session::Session;
use gds_wire::soup::{ClientPacket, Decoder, END_OF_SESSION_PACKET, SERVER_HEARTBEAT_PACKET, SoupError};
use std::sync::Arc;

mod login;

/// How often timers are looked at.
const TIMER_NS: u64 = 5 * MILLISECOND_NS;

/// The SoupBinTCP server of a node. See [`super`].
pub struct QueryServer {
    config: QueryConfig,
    users: Users,
    engine: Engine,
    sessions: Sessions,
    connections: Vec<Connection>,
    /// The places taken, so that a duty cycle looks at no others.
    live: Vec<ConnectionIndex>,
    /// Opened beyond the bound, to be closed.
    refused: Vec<ConnectionId>,
    decoder: Decoder,
    /// Which session gets the first slice.
    turn: SessionIndex,
    /// A session may have a range or watch open: without one, no session needs to be looked at.
    streaming: bool,
    timers_ns: u64,
    counters: Arc<QueryCounters>,
}

impl QueryServer {
    /// A node's server. `stream` is what status answers call the stream, `counter_sets` what they list besides the server's own
    /// counters, which are always there as `query`. Ranges and watches share the stream readers; a few do.
    ///
    /// # Panics
    /// When the bounds in `config` contradict each other, or there is no stream reader.
    pub fn new(
        config: QueryConfig,
        users: Users,
        stream: Session,
        store: StoreReader,
        readers: Vec<StreamReader>,
        progress: Arc<Progress>,
        counter_sets: CounterSets,
    ) -> Self {
        let source = Box::new(NodeSource::new(store, readers, progress));
        Self::with_source(config, users, stream, source, counter_sets)
    }

    /// A server over any source of records and messages; the rest as for [`Self::new`].
    ///
    /// # Panics
    /// When the bounds in `config` contradict each other.
    pub fn with_source(
        config: QueryConfig,
        users: Users,
        stream: Session,
        source: Box<dyn Source>,
        mut counter_sets: CounterSets,
    ) -> Self {
        config.check();
        let counters = Arc::new(QueryCounters::default());
        counter_sets.push(("query".to_owned(), counters.clone()));
        let engine = Engine::new(&config, stream, source, counter_sets, counters.clone());
        let sessions =
            Sessions::new(config.sessions_max, config.retained_bytes, config.streams_max, config.seed);
        let place =
            || Connection::new(config.request_buffer_bytes, config.waits_max, config.request_bytes_max);
        Self {
            users,
            engine,
            sessions,
            connections: (0..config.connections_max).map(|_| place()).collect(),
            live: Vec::with_capacity(config.connections_max),
            refused: Vec::with_capacity(config.events_per_duty),
            decoder: Decoder::new(config.request_bytes_max),
            turn: 0,
            streaming: false,
            timers_ns: 0,
            counters,
            config,
        }
    }

    /// What the server counts.
    pub fn counters(&self) -> &Arc<QueryCounters> {
        &self.counters
    }

    /// Nobody is connected.
    pub fn is_alone(&self) -> bool {
        self.live.is_empty()
    }

    /// One duty cycle; returns how much was done. `disk` is read where a range or watch is older than the ring.
    pub fn duty(&mut self, now: Time, port: &mut dyn StreamPort, disk: &mut dyn Disk) -> usize {
        let limit = self.config.events_per_duty;
        let mut work = port.poll(limit, &mut |event| self.on_event(now, event, disk));
        for id in self.refused.drain(..) {
            port.close(id);
        }
        for at in 0..self.live.len() {
            self.retry(self.live[at], now, disk);
        }
        work += self.slice(now, disk);
        if now.monotonic_ns >= self.timers_ns {
            self.timers_ns = now.monotonic_ns + TIMER_NS;
            self.timers(now);
        }
        for at in 0..self.live.len() {
            work += usize::from(self.send(self.live[at], now, port, disk));
        }
        work + self.close_marked(now, port)
    }

    /// Tells every client that its session has ended, closes, and forgets all sessions: the stream has ended.
    pub fn end_sessions(&mut self, now: Time, port: &mut dyn StreamPort, disk: &mut dyn Disk) {
        for place in 0..self.live.len() {
            let at = self.live[place];
            self.send(at, now, port, disk);
            let connection = &mut self.connections[at];
            if let Some(session) = connection.session
                && self.sessions.get(session).is_between_packets()
            {
                connection.control.push(&END_OF_SESSION_PACKET);
                self.send(at, now, port, disk);
            }
            self.connections[at].closing = Some(Close::End);
        }
        self.close_marked(now, port);
        self.sessions.forget_all();
        self.counters.sessions_kept.set(0);
    }

    fn on_event(&mut self, now: Time, event: StreamEvent<'_>, disk: &mut dyn Disk) {
        match event {
            StreamEvent::Opened(id, _) => {
                match self.connections.iter().position(|connection| connection.id.is_none()) {
                    Some(at) => {
                        self.connections[at].open(id, now.monotonic_ns, self.config.login_wait_ns);
                        self.live.push(at);
                        self.counters.connections_open.set(self.live.len() as u64);
                    }
                    None => {
                        self.counters.connections_refused.increment();
                        self.refused.push(id);
                    }
                }
            }
            StreamEvent::Received(id, bytes) => {
                if let Some(at) = self.find(id) {
                    self.on_received(at, now, bytes, disk);
                }
            }
            StreamEvent::Closed(id) => {
                if let Some(at) = self.find(id) {
                    self.release(at, now, self.connections[at].closing.unwrap_or(Close::Peer));
                }
            }
        }
    }

    fn find(&self, id: ConnectionId) -> Option<ConnectionIndex> {
        self.live.iter().copied().find(|at| self.connections[*at].id == Some(id))
    }

    fn on_received(&mut self, at: ConnectionIndex, now: Time, mut bytes: &[u8], disk: &mut dyn Disk) {
        while !bytes.is_empty() && self.connections[at].closing.is_none() {
            let connection = &mut self.connections[at];
            if connection.session.is_some() {
                connection.received_ns = now.monotonic_ns;
            }
            let count = connection.receive.fill(bytes);
            if count == 0 {
                connection.closing = Some(Close::RequestsOverflow);
            }
            bytes = &bytes[count..];
            self.process(at, now, disk);
        }
    }

    /// Takes whole packets from what was received, until one finds no room for its answer.
    fn process(&mut self, at: ConnectionIndex, now: Time, disk: &mut dyn Disk) {
        while self.connections[at].closing.is_none() {
            let connection = &mut self.connections[at];
            let (packet, bytes) = match self.decoder.decode(connection.receive.filled()) {
                Ok(Some(packet)) => packet,
                Ok(None) => return,
                Err(SoupError::TooLong { .. }) => {
                    connection.closing = Some(Close::Oversize);
                    return;
                }
                Err(_) => {
                    connection.closing = Some(Close::Protocol);
                    return;
                }
            };
            match (ClientPacket::parse(packet), connection.session) {
                (Ok(ClientPacket::Login(login)), None) => self.login(at, now, &login, disk),
                (Ok(ClientPacket::Heartbeat | ClientPacket::Debug(_)), _) => {}
                (Ok(ClientPacket::Logout), _) => connection.closing = Some(Close::Logout),
                (Ok(ClientPacket::UnsequencedData(_)), Some(session)) => {
                    if !self.request(at, session, bytes, now, disk) {
                        return;
                    }
                }
                _ => connection.closing = Some(Close::Protocol),
            }
            self.connections[at].receive.consume(bytes);
        }
    }

    /// Takes the request that is the first packet received, of so many bytes; false when it found no room.
    fn request(
        &mut self,
        at: ConnectionIndex,
        session: SessionIndex,
        bytes: usize,
        now: Time,
        disk: &mut dyn Disk,
    ) -> bool {
        let connection = &mut self.connections[at];
        let session = self.sessions.get(session);
        let payload = &connection.receive.filled()[gds_wire::soup::PACKET_HEADER_BYTES..bytes];
        let waiting = match payload.first() {
            Some(b'C') => gds_wire::query::request_id(payload)
                .and_then(|id| connection.waits.iter_mut().find(|wait| wait.is_taken() && wait.id == id)),
            _ => None,
        };
        let taken = match waiting {
            Some(wait) => {
                let taken = self.engine.end(session, wait.id, 0);
                if taken == Taken::Done {
                    wait.request.clear();
                }
                taken
            }
            None => self.engine.take(self.users.get(session.user), session, payload, disk),
        };
        let taken = match taken {
            Taken::Wait { id, at_least } => match connection.waits.iter_mut().find(|wait| !wait.is_taken()) {
                Some(wait) => {
                    wait.take(payload, id, at_least, now.monotonic_ns);
                    self.counters.requests_waited.increment();
                    Taken::Done
                }
                None => {
                    let text = format_args!("{} requests wait already", self.config.waits_max);
                    self.engine.fail(session, id, ErrorCode::TooMany, text)
                }
            },
            taken => taken,
        };
        if taken == Taken::NoRoom {
            session.pause(now.monotonic_ns, &self.counters);
            return false;
        }
        self.counters.requests.increment();
        true
    }

    /// Tries again what had to wait, and what found no room.
    fn retry(&mut self, at: ConnectionIndex, now: Time, disk: &mut dyn Disk) {
        let connection = &mut self.connections[at];
        let (Some(session), None) = (connection.session, connection.closing) else { return };
        let session = self.sessions.get(session);
        let applied = self.engine.applied();
        for wait in connection.waits.iter_mut().filter(|wait| wait.is_taken()) {
            let late = now.monotonic_ns.saturating_sub(wait.since_ns) >= self.config.wait_ns;
            if wait.at_least > applied && !late {
                continue;
            }
            let mut taken = self.engine.take(self.users.get(session.user), session, &wait.request, disk);
            if matches!(taken, Taken::Wait { .. }) && late {
                let text = format_args!("{} was not applied in time; {applied} is the newest", wait.at_least);
                taken = self.engine.fail(session, wait.id, ErrorCode::AheadOfStream, text);
            }
            match taken {
                Taken::Done => wait.request.clear(),
                Taken::NoRoom => session.pause(now.monotonic_ns, &self.counters),
                Taken::Wait { .. } => {}
            }
        }
        if !connection.receive.filled().is_empty() {
            self.process(at, now, disk);
        }
    }

    /// Gives ranges and watches their turns, session by session, one answer each.
    fn slice(&mut self, now: Time, disk: &mut dyn Disk) -> usize {
        self.streaming |= self.engine.has_opened();
        if !self.streaming {
            return 0;
        }
        let (mut made, mut open) = (0, false);
        for step in 0..self.sessions.capacity() {
            let at = (self.turn + step) % self.sessions.capacity();
            let session = self.sessions.get(at);
            if session.link == Link::Free || session.streams.is_empty() {
                continue;
            }
            open = true;
            if made == self.config.slices_per_duty {
                // Whoever is left out now is first next time.
                self.turn = at;
                return made;
            }
            match self.engine.slice(session, disk) {
                Sliced::Made => made += 1,
                Sliced::NoRoom => session.pause(now.monotonic_ns, &self.counters),
                Sliced::Idle => {}
            }
        }
        self.streaming = open;
        made
    }

    fn timers(&mut self, now: Time) {
        for &at in &self.live {
            let connection = &mut self.connections[at];
            let silent_ns = now.monotonic_ns.saturating_sub(connection.received_ns);
            let Some(session) = connection.session else {
                if silent_ns >= connection.silence_ns {
                    connection.closing.get_or_insert(Close::NoLogin);
                }
                continue;
            };
            let session = self.sessions.get(session);
            if silent_ns >= connection.silence_ns {
                connection.closing.get_or_insert(Close::Silent);
            }
            if session.paused_ns(now.monotonic_ns, self.config.unsent_max()) >= self.config.slow_reader_ns {
                connection.closing.get_or_insert(Close::SlowReader);
            }
            let quiet_ns = now.monotonic_ns.saturating_sub(connection.sent_ns);
            if quiet_ns >= self.config.heartbeat_ns
                && connection.control.pending().is_empty()
                && session.is_between_packets()
            {
                connection.control.push(&SERVER_HEARTBEAT_PACKET);
                self.counters.heartbeats.increment();
            }
        }
        let expired = self.sessions.expire(now, self.config.resume_ns);
        self.counters.sessions_expired.add(expired);
        self.counters.sessions_kept.set(self.sessions.kept() as u64);
        self.counters.streams_open.set(self.sessions.streams_open() as u64);
    }

    /// Hands the port what there is for this connection; whether it took anything.
    fn send(
        &mut self,
        at: ConnectionIndex,
        now: Time,
        port: &mut dyn StreamPort,
        disk: &mut dyn Disk,
    ) -> bool {
        let connection = &mut self.connections[at];
        let Some(id) = connection.id else { return false };
        let mut sent_bytes = 0;
        while !connection.control.pending().is_empty() {
            let count = port.write(id, connection.control.pending());
            connection.control.sent(count);
            sent_bytes += count;
            if count == 0 {
                break;
            }
        }
        // A rejected or superseded connection has no session, so nothing follows what was said last.
        if let (Some(session), true) = (connection.session, connection.control.pending().is_empty()) {
            let session = self.sessions.get(session);
            let slices = self.config.slices_per_duty;
            match send_again(&mut self.engine, session, slices, disk, &mut |bytes| port.write(id, bytes)) {
                Some(count) => sent_bytes += count,
                None => connection.closing = Some(Close::Unreadable),
            }
            while session.repeating.is_none() {
                let chunk = session.log.chunk(&session.sent);
                let count = if chunk.is_empty() { 0 } else { port.write(id, chunk) };
                if count == 0 {
                    break;
                }
                session.log.advance(&mut session.sent, count);
                sent_bytes += count;
            }
        }
        if sent_bytes > 0 {
            connection.sent_ns = now.monotonic_ns;
            self.counters.sent_bytes.add(sent_bytes as u64);
        }
        sent_bytes > 0
    }

    fn close_marked(&mut self, now: Time, port: &mut dyn StreamPort) -> usize {
        let mut closed = 0;
        while let Some(place) = self.live.iter().position(|at| self.connections[*at].closing.is_some()) {
            let at = self.live[place];
            let connection = &self.connections[at];
            let (id, why) = (connection.id.expect("it is live"), connection.closing.expect("it is marked"));
            port.close(id);
            self.release(at, now, why);
            closed += 1;
        }
        closed
    }

    /// Frees a connection's place and parts it from its session.
    fn release(&mut self, at: ConnectionIndex, now: Time, why: Close) {
        self.counters.closed(why).increment();
        if let Some(session) = self.connections[at].session {
            let session = self.sessions.get(session);
            session.link = match why {
                Close::Logout => Link::LoggedOut(now.monotonic_ns),
                _ => Link::Broken(now.monotonic_ns),
            };
            session.paused_since_ns = None;
            session.repeating = None;
        }
        self.connections[at].free();
        self.live.retain(|live| *live != at);
        self.counters.connections_open.set(self.live.len() as u64);
    }
}

/// Sends dropped packets again that a resume asked for, at most `slices` of them; returns how many bytes were taken. `None`: they
/// cannot be read any more, and a login that asks for them again will be rejected.
fn send_again(
    engine: &mut Engine,
    session: &mut SoupSession,
    slices: usize,
    disk: &mut dyn Disk,
    write: &mut dyn FnMut(&[u8]) -> usize,
) -> Option<usize> {
    let mut sent_bytes = 0;
    for _ in 0..slices {
        let Some((sequence, sent)) = session.repeating else { break };
        let packet = session.log.note(sequence).and_then(|note| engine.repeat(&note, disk));
        let Some(packet) = packet else {
            session.log.forget_notes();
            return None;
        };
        let count = write(&packet[sent..]);
        sent_bytes += count;
        session.repeating = match sent + count {
            whole if whole == packet.len() && sequence + 1 == session.log.first() => None,
            whole if whole == packet.len() => Some((sequence + 1, 0)),
            part => Some((sequence, part)),
        };
        if count == 0 {
            break;
        }
        // It reads, so it is not slow: what it is to be sent first was not made just now.
        session.paused_since_ns = None;
    }
    Some(sent_bytes)
}
