//! Asks a node over SoupBinTCP, and waits for the answers.
use crate::network::{ClientError, Network};
use gds_core::label::counters_of;
use gds_core::query::{ClientConfig, Event, RequestId, SoupClient};
use gds_nic::{TcpConfig, TcpPort};
use gds_node::clocks;
use gds_node::ports::Streams;
use gds_wire::query::{Answer, AnswerBody, Checksum, Key, Status};
use gds_wire::session::Session;
use gds_wire::soup::{PASSWORD_BYTES, USER_BYTES};
use std::cell::Cell;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// How long a waiting call sleeps between two looks.
const LOOK: Duration = Duration::from_micros(50);

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The table.
    pub table: u16,
    /// The key.
    pub key: Vec<u8>,
    /// The bus sequence number that wrote it.
    pub version: u64,
    /// The value.
    pub value: Vec<u8>,
    /// The state it was read from.
    pub as_of: u64,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// How far it is, how much it holds.
    pub status: Status,
    /// Its counters, `set.name` and value.
    pub counters: Vec<(String, u64)>,
}

impl StatusReport {
    /// From which number on the stream may say something else than it did as session `old`; `None`: it does not know that it went out under that name, or still has it.
    pub fn differs_from(&self, old: Session) -> Option<u64> {
        if old == self.status.stream {
            return None;
        }
        let named = |name: &str| name.strip_prefix("session_").is_some_and(|rest| rest.ends_with(".from"));
        let names: Vec<_> = self.counters.iter().filter(|(name, _)| named(name)).collect();
        // The first name is the stream id, which has no counters.
        let old = format!("{}.from", counters_of(old));
        let after = names.iter().position(|(name, _)| *name == old).map_or(0, |place| place + 1);
        names[after..].iter().map(|(_, from)| *from).min()
    }
}

/// The running checksum of a stream up to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamChecksum {
    /// The number.
    pub sequence: u64,
    /// The epoch that its message was first numbered under; 0 where that is not known.
    pub epoch: u32,
    /// The running checksum of all messages up to it.
    pub chain: u64,
}

/// One login. Broken links are made up for: the session is resumed where it was.
pub struct Reader {
    client: SoupClient,
    port: Streams,
    server: SocketAddrV4,
    timeout: Duration,
    /// The session whose numbers ranges and watches mean, once known.
    stream: Option<Session>,
}

impl Reader {
    /// Connects and logs in: to the node, or when it does not answer in time to another one of its cluster.
    pub fn open(
        network: &Network,
        user: &str,
        password: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let mut silence = None;
        for server in network.queries() {
            match Self::open_at(server, user, password, timeout) {
                Err(error @ ClientError::Silence { .. }) => silence = silence.or(Some(error)),
                opened => return opened,
            }
        }
        Err(silence.expect("there is a node"))
    }

    /// The same towards this address.
    pub fn open_at(
        server: SocketAddrV4,
        user: &str,
        password: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        for (what, text, most) in [("user", user, USER_BYTES), ("password", password, PASSWORD_BYTES)] {
            if text.is_empty() || text.len() > most || !text.is_ascii() {
                return Err(ClientError::Argument(format!("a {what} has 1 to {most} ASCII characters")));
            }
        }
        let port = TcpPort::new(TcpConfig { connections_max: 4, ..TcpConfig::default() })?;
        let client = SoupClient::new(ClientConfig::new(user, password));
        let mut reader = Self { client, port: Streams(port), server, timeout, stream: None };
        reader.wait("answer to the login", &mut |_| {}, &SoupClient::is_logged_in)?;
        Ok(reader)
    }

    /// Reads a record as of a sequence number (0: the newest); at least `at_least` has been applied then.
    pub fn get(
        &mut self,
        table: u16,
        key: &[u8],
        as_of: u64,
        at_least: u64,
    ) -> Result<Option<Record>, ClientError> {
        Ok(self.get_all(&[Key { table, key }], as_of, at_least)?.pop().expect("one key has one answer"))
    }

    /// Reads several records of one and the same state.
    pub fn get_all(
        &mut self,
        keys: &[Key<'_>],
        as_of: u64,
        at_least: u64,
    ) -> Result<Vec<Option<Record>>, ClientError> {
        let opened = match keys {
            [key] => self.client.get(key.table, key.key, as_of, at_least),
            keys => self.client.multi_get(keys, as_of, at_least),
        };
        let id = opened.ok_or_else(|| {
            ClientError::Argument("too many keys, or a key that is not 1 to 255 bytes".into())
        })?;
        let mut records = Vec::with_capacity(keys.len());
        self.collect(id, &mut |answer| {
            if let AnswerBody::Record(record) = &answer.body {
                records.push(record.found.then(|| Record {
                    table: record.table,
                    key: record.key.to_vec(),
                    version: record.version,
                    value: record.value.to_vec(),
                    as_of: answer.sequence,
                }));
            }
        })?;
        Ok(records)
    }

    /// Ranges and watches mean the numbers of this session of the stream, and no other; without this, of the one that the node has when it is first asked.
    pub fn expect_stream(&mut self, session: Session) {
        self.stream = Some(session);
    }

    /// Reads the bus messages `from..=to` (0: up to the newest).
    ///
    /// # Errors
    /// Also when the stream goes on under another session name than the one that this reader has followed: from some number on it may say something else.
    pub fn range(&mut self, from: u64, to: u64, each: &mut dyn FnMut(u64, &[u8])) -> Result<(), ClientError> {
        let mut next = from;
        loop {
            self.check_stream()?;
            if self.range_once(&mut next, to, each)? || to > 0 && next > to {
                return Ok(());
            }
        }
    }

    /// Reads on from `next`. False when the server lost the login's session: whether it is the same stream must be seen first.
    fn range_once(
        &mut self,
        next: &mut u64,
        to: u64,
        each: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<bool, ClientError> {
        let id = self.client.range(*next, to, 0).expect("no other request is open");
        let (lost, mut error) = (Cell::new(false), None);
        let mut on_event = |event: &Event<'_>| match event {
            Event::SessionLost => lost.set(true),
            Event::Answer { answer, .. } if answer.request_id == id && !lost.get() => match answer.body {
                AnswerBody::Error(code, text) => {
                    error = Some(ClientError::Refused(format!("{code}: {text}")));
                }
                _ => {
                    each_message(answer, &mut |sequence, message| {
                        *next = sequence + 1;
                        each(sequence, message);
                        true
                    });
                }
            },
            _ => {}
        };
        self.wait("answer", &mut on_event, &|client| lost.get() || !client.is_open(id))?;
        if lost.get() {
            self.client.cancel(id);
        }
        error.map_or(Ok(!lost.get()), Err)
    }

    /// Follows the bus from this number on (0: the next) until `each` says false, or `tick`, called between answers, does.
    ///
    /// # Errors
    /// As [`Reader::range`].
    pub fn watch(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(u64, &[u8]) -> bool,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<(), ClientError> {
        let mut next = from;
        loop {
            self.check_stream()?;
            if self.watch_once(&mut next, each, tick)? {
                return Ok(());
            }
        }
    }

    /// Follows on from `next`. False when the server lost the login's session.
    fn watch_once(
        &mut self,
        next: &mut u64,
        each: &mut dyn FnMut(u64, &[u8]) -> bool,
        tick: &mut dyn FnMut() -> bool,
    ) -> Result<bool, ClientError> {
        let id = self.client.watch(*next, 0).expect("no other request is open");
        let (mut going, mut lost) = (true, false);
        while going && !lost {
            let mut error = None;
            let work = self.poll(&mut |event| match event {
                Event::SessionLost => lost = true,
                Event::Answer { answer, .. } if answer.request_id == id && !lost => match answer.body {
                    AnswerBody::Messages(_) => {
                        going = going
                            && each_message(answer, &mut |sequence, message| {
                                *next = sequence + 1;
                                each(sequence, message)
                            });
                    }
                    AnswerBody::Error(code, text) => {
                        error = Some(ClientError::Refused(format!("{code}: {text}")));
                    }
                    _ => going = false,
                },
                _ => {}
            })?;
            if let Some(error) = error {
                return Err(error);
            }
            if work == 0 {
                going = going && tick();
                std::thread::sleep(LOOK);
            }
        }
        self.client.cancel(id);
        Ok(!lost)
    }

    /// Sees to it that the node has the session whose numbers are meant.
    fn check_stream(&mut self) -> Result<(), ClientError> {
        let report = self.status(0)?;
        let (new, old) = (report.status.stream, *self.stream.get_or_insert(report.status.stream));
        if old == new {
            return Ok(());
        }
        Err(ClientError::OtherSession { old, new, from: report.differs_from(old) })
    }

    /// Asks where the node stands, once it has applied `at_least`.
    pub fn status(&mut self, at_least: u64) -> Result<StatusReport, ClientError> {
        let id = self.client.status(at_least).expect("no other request is open");
        let mut report = None;
        self.collect(id, &mut |answer| {
            if let AnswerBody::Status(status, counters) = &answer.body {
                let counters = counters.iter().map(|(name, value)| (name.to_owned(), value)).collect();
                report = Some(StatusReport { status: *status, counters });
            }
        })?;
        report.ok_or_else(|| ClientError::Refused("the status answer had no status".into()))
    }

    /// Asks for the running checksum of the stream up to this number (0: the newest committed).
    pub fn checksum(&mut self, sequence: u64) -> Result<StreamChecksum, ClientError> {
        let id = self.client.checksum(sequence, 0).expect("no other request is open");
        let mut found = None;
        self.collect(id, &mut |answer| {
            if let AnswerBody::Checksum(Checksum { epoch, chain }) = answer.body {
                found = Some(StreamChecksum { sequence: answer.sequence, epoch, chain });
            }
        })?;
        found.ok_or_else(|| ClientError::Refused("the checksum answer had no checksum".into()))
    }

    /// Logs out.
    pub fn close(mut self) {
        self.client.logout(&mut self.port);
        let deadline = Instant::now() + Duration::from_millis(100);
        while Instant::now() < deadline && self.port.0.connections() > 0 {
            self.port.0.poll(16, &mut |_| {});
        }
    }

    /// Takes answers to one request until the last.
    fn collect(&mut self, id: RequestId, take: &mut dyn FnMut(&Answer<'_>)) -> Result<(), ClientError> {
        let mut error = None;
        let mut on_event = |event: &Event<'_>| {
            if let Event::Answer { answer, .. } = event
                && answer.request_id == id
            {
                match answer.body {
                    AnswerBody::Error(code, text) => {
                        error = Some(ClientError::Refused(format!("{code}: {text}")))
                    }
                    _ => take(answer),
                }
            }
        };
        self.wait("answer", &mut on_event, &|client| !client.is_open(id))?;
        error.map_or(Ok(()), Err)
    }

    /// Works until `done` says so; each event starts the time anew.
    fn wait(
        &mut self,
        what: &str,
        on_event: &mut dyn FnMut(&Event<'_>),
        done: &dyn Fn(&SoupClient) -> bool,
    ) -> Result<(), ClientError> {
        let mut deadline = Instant::now() + self.timeout;
        while !done(&self.client) {
            let mut heard = false;
            let work = self.poll(&mut |event| {
                heard |= !matches!(event, Event::LinkLost(_));
                on_event(event);
            })?;
            if heard {
                deadline = Instant::now() + self.timeout;
            }
            if Instant::now() > deadline {
                let what = format!("{what} from {}", self.server);
                return Err(ClientError::Silence { what, seconds: self.timeout.as_secs_f64() });
            }
            if work == 0 {
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// One duty cycle; what ends the client is an error.
    fn poll(&mut self, on_event: &mut dyn FnMut(&Event<'_>)) -> Result<usize, ClientError> {
        let Self { client, port, server, .. } = self;
        let now = clocks::now();
        if client.wants_connection(now) && port.0.connect(*server).is_err() {
            client.connect_failed(now);
        }
        let mut end = None;
        let work = client.duty(now, port, &mut |event| {
            match event {
                Event::Rejected(code) => end = Some(ClientError::Rejected(code)),
                Event::Ended => end = Some(ClientError::Ended),
                _ => {}
            }
            on_event(&event);
        });
        end.map_or(Ok(work), Err)
    }
}

/// Hands on the bus messages of an answer, until `each` says false; says whether to go on.
fn each_message(answer: &Answer<'_>, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> bool {
    let AnswerBody::Messages(messages) = &answer.body else { return true };
    (answer.sequence..).zip(messages.iter()).all(|(sequence, message)| each(sequence, message))
}
