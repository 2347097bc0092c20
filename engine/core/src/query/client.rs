//! The client: a SoupBinTCP 3.00 (or 4.10) session that survives its connections, and requests with their answers.
//!
//! Sans-I/O like the server. Whoever drives it connects when [`SoupClient::wants_connection`] says so, calls
//! [`SoupClient::duty`] with the port, and gets [`Event`]s. After a broken link the client logs in again to the same session at
//! the next number, and sends again what has no answer yet. If the session is gone and `renew` is set, it opens another one and
//! asks everything open again: ranges and watches go on from the number after the last they delivered (a watch from 0 that had
//! not delivered anything begins anew where the stream then is); other requests are answered from the start.
//!
//! Nothing is delivered twice within one session: answers are counted, and what comes for a request that is answered to its end
//! is dropped and counted.
use super::connection::ReceiveBuffer;
use super::open_requests::{OpenQuery, OpenRequests, RequestId};
use crate::port::{ConnectionId, StreamEvent, StreamPort};
use crate::time::Time;
use gds_wire::query::{Answer, AnswerError, Key, Query, Request, encode_multi_get};
use gds_wire::session::Session;
use gds_wire::soup::{
    self, CLIENT_HEARTBEAT_PACKET, Decoder, LOGOUT_REQUEST_PACKET, Login, LoginAccepted, RejectCode,
    ServerPacket,
};
use std::sync::Arc;

mod config;

pub use config::{ClientConfig, ClientCounters};

/// Why a link broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLoss {
    /// The connection was closed.
    Closed,
    /// The server was silent for too long.
    Silent,
    /// Connecting and logging in took too long.
    NoLogin,
    /// The server sent what is no SoupBinTCP.
    Protocol,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The login was accepted.
    LoggedIn {
        /// The session.
        session: Session,
        /// The number of the next answer.
        sequence: u64,
    },
    /// An answer to an open request; with `answer.last` the request is no longer open.
    Answer {
        /// The answer's number in the session.
        sequence: u64,
        /// The answer; `answer.request_id` says to what.
        answer: Answer<'a>,
    },
    /// A sequenced packet that is no answer.
    Malformed {
        /// Its number in the session.
        sequence: u64,
        /// Why not.
        error: AnswerError,
    },
    /// The link broke; the client will connect again.
    LinkLost(LinkLoss),
    /// The session cannot be resumed; the client opens another one and asks everything open again.
    SessionLost,
    /// The login was rejected; the client stops.
    Rejected(RejectCode),
    /// The session has ended; the client stops.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Not connected, until this time.
    Down(u64),
    /// Somebody connects, since this time.
    Connecting(u64),
    /// The login is on its way, since this time.
    LoggingIn(ConnectionId, u64),
    /// Logged in.
    Up(ConnectionId),
    /// To be closed.
    Closing(ConnectionId),
    /// Rejected, ended or logged out; the connection is to be closed.
    Over(Option<ConnectionId>),
}

/// Bytes written to the port at once at most.
const SEND_BYTES: usize = 2 * soup::MAX_PACKET_BYTES;

/// Events taken from the port in one duty cycle.
const EVENTS_PER_DUTY: usize = 64;

/// See the module.
pub struct SoupClient {
    config: ClientConfig,
    link: Link,
    session: Session,
    /// The number of the next sequenced packet.
    sequence: u64,
    requests: OpenRequests,
    decoder: Decoder,
    receive: ReceiveBuffer,
    out: Vec<u8>,
    out_start: usize,
    scratch: Box<[u8]>,
    received_ns: u64,
    sent_ns: u64,
    wait_ns: u64,
    counters: Arc<ClientCounters>,
}

impl SoupClient {
    /// A client that is not connected.
    ///
    /// # Panics
    /// When user or password are too long or not ASCII: whoever took them from a person checks them.
    pub fn new(config: ClientConfig) -> Self {
        assert!(Login::new(&config.user, &config.password, config.session, 0).is_some(), "no valid user");
        Self {
            link: Link::Down(0),
            session: config.session,
            sequence: config.sequence,
            requests: OpenRequests::new(config.requests_max),
            decoder: Decoder::default(),
            receive: ReceiveBuffer::new(2 * soup::MAX_PACKET_BYTES),
            out: Vec::with_capacity(SEND_BYTES),
            out_start: 0,
            scratch: vec![0; soup::MAX_PACKET_BYTES].into_boxed_slice(),
            received_ns: 0,
            sent_ns: 0,
            wait_ns: config.reconnect_ns,
            counters: Arc::default(),
            config,
        }
    }

    /// What the client counts.
    pub fn counters(&self) -> &Arc<ClientCounters> {
        &self.counters
    }

    /// The session; blank before the first login.
    pub fn session(&self) -> Session {
        self.session
    }

    /// The number of the next answer: with the session, what another client needs to go on.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a login stands.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether the client has stopped for good: rejected, ended or logged out.
    pub fn is_over(&self) -> bool {
        matches!(self.link, Link::Over(_))
    }

    /// Requests not answered to the end.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// Whether this request is not answered to the end.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.requests.is_open(id)
    }

    /// True once for each connection that should be made now: connect the port, which then reports [`StreamEvent::Opened`],
    /// or call [`Self::connect_failed`].
    pub fn wants_connection(&mut self, now: Time) -> bool {
        match self.link {
            Link::Down(until) if now.monotonic_ns >= until => {
                self.link = Link::Connecting(now.monotonic_ns);
                true
            }
            _ => false,
        }
    }

    /// The connection that was asked for could not be made.
    pub fn connect_failed(&mut self, now: Time) {
        if let Link::Connecting(_) = self.link {
            self.back_off(now);
        }
    }

    /// Asks for a record, as of a sequence number (0: the newest), once `at_least` is applied (0: at once). `None`: too many
    /// requests are open, or the key is not 1 to 255 bytes.
    pub fn get(&mut self, table: u16, key: &[u8], as_of: u64, at_least: u64) -> Option<RequestId> {
        self.ask(OpenQuery::Once, at_least, Query::Get { as_of, key: Key { table, key } })
    }

    /// Asks for several records, all as of one sequence number. `None`: too many requests are open, or too many or bad keys.
    pub fn multi_get(&mut self, keys: &[Key<'_>], as_of: u64, at_least: u64) -> Option<RequestId> {
        let encode = |request_id, into: &mut [u8]| encode_multi_get(into, request_id, at_least, as_of, keys);
        let scratch = &mut self.scratch[..soup::MAX_PAYLOAD_BYTES];
        let id = self.requests.open(OpenQuery::Once, at_least, scratch, encode)?;
        self.counters.requests.increment();
        Some(id)
    }

    /// Asks for the bus messages `from..=to` (0: up to the newest). `None`: too many requests are open.
    pub fn range(&mut self, from: u64, to: u64, at_least: u64) -> Option<RequestId> {
        self.ask(OpenQuery::Range { from, to }, at_least, Query::Range { from, to })
    }

    /// Asks for every bus message from this number on (0: the next). `None`: too many requests are open.
    pub fn watch(&mut self, from: u64, at_least: u64) -> Option<RequestId> {
        self.ask(OpenQuery::Watch { from }, at_least, Query::Watch { from })
    }

    /// Asks where the node stands. `None`: too many requests are open.
    pub fn status(&mut self, at_least: u64) -> Option<RequestId> {
        self.ask(OpenQuery::Once, at_least, Query::Status)
    }

    /// Asks for the running checksum of the stream up to this number (0: the newest committed). `None`: too many requests are open.
    pub fn checksum(&mut self, sequence: u64, at_least: u64) -> Option<RequestId> {
        self.ask(OpenQuery::Once, at_least, Query::Checksum { sequence })
    }

    /// Asks for the end of a range or watch; its last answer still comes. False when there is no such one.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        self.requests.cancel(id)
    }

    /// Logs out and closes; the client stops.
    pub fn logout(&mut self, port: &mut dyn StreamPort) {
        if let Link::Up(id) | Link::LoggingIn(id, _) | Link::Closing(id) = self.link {
            if self.out_start == self.out.len() {
                port.write(id, &LOGOUT_REQUEST_PACKET);
            }
            port.close(id);
        }
        self.link = Link::Over(None);
    }

    /// One duty cycle; returns how much was done.
    pub fn duty(
        &mut self,
        now: Time,
        port: &mut dyn StreamPort,
        deliver: &mut dyn FnMut(Event<'_>),
    ) -> usize {
        let mut work = port.poll(EVENTS_PER_DUTY, &mut |event| self.on_event(now, event, deliver));
        self.timers(now, deliver);
        if let Link::Closing(id) = self.link {
            port.close(id);
            self.back_off(now);
        }
        if let Link::Over(Some(id)) = self.link {
            port.close(id);
            self.link = Link::Over(None);
        }
        if let Link::Up(id) | Link::LoggingIn(id, _) = self.link {
            work += usize::from(self.send(id, now, port));
        }
        work
    }

    fn ask(&mut self, open: OpenQuery, at_least: u64, query: Query<'_>) -> Option<RequestId> {
        let encode = |request_id, into: &mut [u8]| Request { request_id, at_least, query }.encode(into);
        let id = self.requests.open(open, at_least, &mut self.scratch[..soup::MAX_PAYLOAD_BYTES], encode)?;
        self.counters.requests.increment();
        Some(id)
    }

    fn on_event(&mut self, now: Time, event: StreamEvent<'_>, deliver: &mut dyn FnMut(Event<'_>)) {
        match (event, self.link) {
            (StreamEvent::Opened(id, _), Link::Connecting(since)) => self.login(id, since, now),
            (StreamEvent::Received(id, bytes), Link::Up(up) | Link::LoggingIn(up, _)) if id == up => {
                self.received_ns = now.monotonic_ns;
                self.on_received(bytes, deliver);
            }
            (StreamEvent::Closed(id), Link::Up(up) | Link::LoggingIn(up, _) | Link::Closing(up))
                if id == up =>
            {
                if !matches!(self.link, Link::Closing(_)) {
                    self.lose(LinkLoss::Closed, deliver);
                }
                self.back_off(now);
            }
            _ => {}
        }
    }

    fn login(&mut self, id: ConnectionId, since: u64, now: Time) {
        self.link = Link::LoggingIn(id, since);
        (self.received_ns, self.sent_ns) = (now.monotonic_ns, now.monotonic_ns);
        self.receive.clear();
        self.out.clear();
        self.out_start = 0;
        let sequence = self.sequence.min(soup::MAX_SEQUENCE);
        let login = Login::new(&self.config.user, &self.config.password, self.session, sequence);
        let mut login = login.expect("checked at construction");
        login.heartbeat_timeout_ms = self.config.heartbeat_timeout_ms;
        self.out.resize(soup::MAX_LOGIN_PACKET_BYTES, 0);
        let bytes = login.encode(&mut self.out).expect("the room is for the longest login");
        self.out.truncate(bytes);
    }

    fn on_received(&mut self, mut bytes: &[u8], deliver: &mut dyn FnMut(Event<'_>)) {
        while !bytes.is_empty() {
            let count = self.receive.fill(bytes);
            assert!(count > 0, "the buffer is longer than two packets");
            bytes = &bytes[count..];
            loop {
                let (Link::Up(id) | Link::LoggingIn(id, _)) = self.link else { return };
                match self.decoder.decode(self.receive.filled()) {
                    Ok(None) => break,
                    Ok(Some((_, bytes))) => {
                        self.on_packet(id, bytes, deliver);
                        self.receive.consume(bytes);
                    }
                    Err(_) => {
                        self.lose(LinkLoss::Protocol, deliver);
                        self.link = Link::Closing(id);
                    }
                }
            }
        }
    }

    /// Takes the first packet received, of so many bytes.
    fn on_packet(&mut self, id: ConnectionId, bytes: usize, deliver: &mut dyn FnMut(Event<'_>)) {
        let filled = &self.receive.filled()[..bytes];
        let packet = soup::Packet { kind: filled[2], payload: &filled[soup::PACKET_HEADER_BYTES..] };
        match (ServerPacket::parse(packet), self.link) {
            (Ok(ServerPacket::Heartbeat | ServerPacket::Debug(_) | ServerPacket::UnsequencedData(_)), _) => {}
            (Ok(ServerPacket::SequencedData(payload)), Link::Up(_)) => {
                let sequence = self.sequence;
                self.sequence += 1;
                self.counters.answers.increment();
                match Answer::parse(payload) {
                    Ok(answer) if self.requests.on_answer(&answer) => {
                        deliver(Event::Answer { sequence, answer });
                    }
                    Ok(_) => self.counters.answers_repeated.increment(),
                    Err(error) => {
                        self.counters.answers_malformed.increment();
                        deliver(Event::Malformed { sequence, error });
                    }
                }
            }
            (Ok(ServerPacket::LoginAccepted(accepted)), Link::LoggingIn(..)) => {
                self.link = Link::Up(id);
                self.on_accepted(accepted, deliver);
            }
            (Ok(ServerPacket::LoginRejected(code)), Link::LoggingIn(..)) => {
                let resumes = !self.session.is_blank();
                if code == RejectCode::SessionNotAvailable && resumes && self.config.renew {
                    self.link = Link::Closing(id);
                    self.lose_session(deliver);
                    (self.session, self.sequence) = (Session::BLANK, 1);
                } else {
                    self.link = Link::Over(Some(id));
                    deliver(Event::Rejected(code));
                }
            }
            (Ok(ServerPacket::EndOfSession), Link::Up(_)) => {
                self.link = Link::Over(Some(id));
                deliver(Event::Ended);
            }
            _ => {
                self.lose(LinkLoss::Protocol, deliver);
                self.link = Link::Closing(id);
            }
        }
    }

    fn on_accepted(&mut self, accepted: LoginAccepted, deliver: &mut dyn FnMut(Event<'_>)) {
        self.wait_ns = self.config.reconnect_ns;
        self.counters.logins.increment();
        let as_asked = accepted.sequence == self.sequence || self.sequence == 0;
        let goes_on = accepted.session == self.session && as_asked;
        let again = if goes_on {
            self.counters.resumed.increment();
            self.requests.resend()
        } else {
            if !self.session.is_blank() {
                self.lose_session(deliver);
            }
            self.requests.renew()
        };
        (self.session, self.sequence) = (accepted.session, accepted.sequence);
        if self.counters.logins.get() > 1 {
            self.counters.requests_resent.add(again);
        }
        deliver(Event::LoggedIn { session: self.session, sequence: self.sequence });
    }

    fn lose(&mut self, why: LinkLoss, deliver: &mut dyn FnMut(Event<'_>)) {
        self.counters.links_lost.increment();
        deliver(Event::LinkLost(why));
    }

    fn lose_session(&mut self, deliver: &mut dyn FnMut(Event<'_>)) {
        self.counters.sessions_lost.increment();
        deliver(Event::SessionLost);
    }

    /// Not connected for a while.
    fn back_off(&mut self, now: Time) {
        self.link = Link::Down(now.monotonic_ns + self.wait_ns);
        self.wait_ns = (self.wait_ns * 2).min(self.config.reconnect_max_ns);
    }

    fn timers(&mut self, now: Time, deliver: &mut dyn FnMut(Event<'_>)) {
        let since = |then: u64| now.monotonic_ns.saturating_sub(then);
        match self.link {
            Link::Connecting(began) if since(began) >= self.config.login_wait_ns => self.back_off(now),
            Link::LoggingIn(id, began) if since(began) >= self.config.login_wait_ns => {
                self.lose(LinkLoss::NoLogin, deliver);
                self.link = Link::Closing(id);
            }
            Link::Up(id) if since(self.received_ns) >= self.config.silence_ns => {
                self.lose(LinkLoss::Silent, deliver);
                self.link = Link::Closing(id);
            }
            Link::Up(_) if since(self.sent_ns) >= self.config.heartbeat_ns && self.is_all_sent() => {
                self.out.extend_from_slice(&CLIENT_HEARTBEAT_PACKET);
            }
            _ => {}
        }
    }

    fn is_all_sent(&self) -> bool {
        self.out_start == self.out.len()
    }

    fn send(&mut self, id: ConnectionId, now: Time, port: &mut dyn StreamPort) -> bool {
        let mut sent = false;
        loop {
            if self.is_all_sent() {
                self.out.clear();
                self.out_start = 0;
                self.fill();
            }
            let pending = &self.out[self.out_start..];
            let count = if pending.is_empty() { 0 } else { port.write(id, pending) };
            if count == 0 {
                return sent;
            }
            self.out_start += count;
            self.sent_ns = now.monotonic_ns;
            sent = true;
        }
    }

    /// Packs requests into what is sent next.
    fn fill(&mut self) {
        if !self.is_logged_in() {
            return;
        }
        while self.out.len() + soup::MAX_PACKET_BYTES <= SEND_BYTES
            && let Some(bytes) = self.requests.next_payload(&mut self.scratch)
        {
            let start = self.out.len();
            self.out.resize(start + soup::PACKET_HEADER_BYTES + bytes, 0);
            soup::encode(soup::UNSEQUENCED_DATA, &[&self.scratch[..bytes]], &mut self.out[start..])
                .expect("a request fits a packet");
        }
    }
}
