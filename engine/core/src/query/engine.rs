//! Answers requests: reads records, opens ranges and watches, and lays the answers down in the session's log.
//!
//! A request is taken whole or not at all: before anything is answered there is room for the whole answer, so a request that
//! finds no room is left where it is and tried again. Every record answered is read as of one sequence number, which the answer
//! names.
use super::answer_log::{Note, PACKET_HEADER_BYTES};
use super::config::QueryConfig;
use super::counters::QueryCounters;
use super::sessions::{OpenStream, SoupSession};
use super::source::{Reading, Source};
use super::users::User;
use crate::counters::CounterSet;
use crate::disk::Disk;
use crate::store::ReadError;
use arrayvec::ArrayString;
use gds_wire::query::{
    ANSWER_HEADER_BYTES, Answer, AnswerBody, CHECKSUM_ANSWER_BYTES, Checksum, ErrorCode, Key,
    MessagesBuilder, Query, Record, Request, Status, encode_status, request_id,
};
use gds_wire::session::Session;
use gds_wire::soup;
use std::fmt::Write as _;
use std::sync::Arc;

/// Text of an error, for people.
type Text = ArrayString<120>;

/// Bytes the longest bus message has.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Named sets of counters, for status answers.
pub type CounterSets = Vec<(String, Arc<dyn CounterSet>)>;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is answered, or its stream is open.
    Done,
    /// There is no room for the answer now; nothing has been done.
    NoRoom,
    /// It has to wait until this sequence number is applied; nothing has been done.
    Wait {
        /// The request.
        id: u64,
        /// The number.
        at_least: u64,
    },
}

/// What became of a session's turn to go on with its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sliced {
    /// One answer was made.
    Made,
    /// There was nothing to answer.
    Idle,
    /// There is something to answer and no room.
    NoRoom,
}

/// See the module.
pub struct Engine {
    source: Box<dyn Source>,
    stream: Session,
    counter_names: Vec<String>,
    counter_values: Vec<u64>,
    counter_sets: CounterSets,
    message: Box<[u8]>,
    again: Box<[u8]>,
    keys_max: usize,
    streams_max: usize,
    answer_bytes_max: usize,
    multi_get_bytes_max: usize,
    record_bytes_max: usize,
    unsent_max: u64,
    /// A range or watch was opened.
    opened: bool,
    counters: Arc<QueryCounters>,
}

impl Engine {
    /// An engine over this data. `stream` is what status answers call the stream.
    pub fn new(
        config: &QueryConfig,
        stream: Session,
        source: Box<dyn Source>,
        counter_sets: CounterSets,
        counters: Arc<QueryCounters>,
    ) -> Self {
        let mut counter_names = Vec::new();
        for (set, values) in &counter_sets {
            values.for_each(&mut |name, _, _| {
                let mut name = format!("{set}.{name}");
                name.truncate(255);
                counter_names.push(name);
            });
        }
        Self {
            source,
            stream,
            counter_values: Vec::with_capacity(counter_names.len()),
            counter_names,
            counter_sets,
            message: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
            again: vec![0; soup::MAX_PACKET_BYTES].into_boxed_slice(),
            keys_max: config.keys_max,
            streams_max: config.streams_max,
            answer_bytes_max: config.answer_bytes_max,
            multi_get_bytes_max: config.multi_get_bytes_max(),
            record_bytes_max: config.record_bytes_max(),
            unsent_max: config.unsent_max(),
            opened: false,
            counters,
        }
    }

    /// Whether a range or watch was opened since this was last asked.
    pub fn has_opened(&mut self) -> bool {
        std::mem::take(&mut self.opened)
    }

    /// The last message applied.
    pub fn applied(&self) -> u64 {
        self.source.applied()
    }

    /// The oldest bus message kept.
    pub fn first_kept(&mut self, disk: &mut dyn Disk) -> u64 {
        self.source.first_kept(disk)
    }

    /// Makes an answer to a range or watch again, as the whole packet it was. `None` when its messages can no longer be read.
    pub fn repeat(&mut self, note: &Note, disk: &mut dyn Disk) -> Option<&[u8]> {
        let (head, room) = self.again.split_at_mut(PACKET_HEADER_BYTES);
        let bytes = if note.count == 0 {
            end_of(note.request, note.first).encode(room)?
        } else {
            let mut answer = MessagesBuilder::new(room, note.request, note.first);
            let limit = self.source.committed();
            for sequence in (note.first..).take(usize::from(note.count)) {
                let length = match self.source.read(sequence, limit, disk, &mut self.message) {
                    Reading::Message { length, .. } => length,
                    Reading::Failed => {
                        self.counters.unreadable.increment();
                        return None;
                    }
                    Reading::Empty | Reading::TooSmall | Reading::Gone => return None,
                };
                if !answer.push(&self.message[..length]) {
                    return None;
                }
            }
            answer.finish(false)
        };
        head[..2].copy_from_slice(&(1 + bytes as u16).to_be_bytes());
        head[2] = soup::SEQUENCED_DATA;
        self.counters.answers_repeated.increment();
        Some(&self.again[..PACKET_HEADER_BYTES + bytes])
    }

    /// Takes one request of this user for this session.
    pub fn take(
        &mut self,
        user: &User,
        session: &mut SoupSession,
        payload: &[u8],
        disk: &mut dyn Disk,
    ) -> Taken {
        let request = match Request::parse(payload) {
            Ok(request) => request,
            Err(error) => {
                let id = request_id(payload).unwrap_or(0);
                return self.fail(session, id, ErrorCode::Malformed, format_args!("{error}"));
            }
        };
        let id = request.request_id;
        let reached = match request.query {
            Query::Cancel => u64::MAX,
            // Its counts hold for a number of their own.
            Query::Status => self.source.store_status().applied,
            _ => self.source.applied(),
        };
        if request.at_least > reached {
            return Taken::Wait { id, at_least: request.at_least };
        }
        match request.query {
            Query::Get { as_of, key } => self.get(user, session, id, as_of, 1, std::iter::once(key)),
            Query::MultiGet(keys) => self.get(user, session, id, keys.as_of, keys.count(), keys.keys()),
            Query::Range { from, to } => {
                let committed = self.source.committed();
                self.open(user, session, id, (from, if to == 0 { committed } else { to }), disk)
            }
            Query::Watch { from } => {
                let next = self.source.committed() + 1;
                self.open(user, session, id, (if from == 0 { next } else { from }, u64::MAX), disk)
            }
            Query::Cancel => self.cancel(session, id),
            Query::Status => self.status(session, id, disk),
            Query::Checksum { sequence } => self.checksum(user, session, id, sequence, disk),
        }
    }

    /// Answers a request with an error, which is the last answer to it.
    pub fn fail(
        &mut self,
        session: &mut SoupSession,
        id: u64,
        code: ErrorCode,
        text: std::fmt::Arguments<'_>,
    ) -> Taken {
        let unsent_max = self.unsent_max;
        self.fail_within(unsent_max, session, id, code, text)
    }

    fn fail_within(
        &mut self,
        unsent_max: u64,
        session: &mut SoupSession,
        id: u64,
        code: ErrorCode,
        text: std::fmt::Arguments<'_>,
    ) -> Taken {
        let mut room = Text::new();
        // A text that is too long loses its end.
        let _ = room.write_fmt(text);
        let body = AnswerBody::Error(code, &room);
        let answer = Answer { request_id: id, last: true, sequence: self.source.applied(), body };
        let taken = self.lay_down(unsent_max, session, ANSWER_HEADER_BYTES + room.len(), &answer);
        if taken == Taken::Done {
            self.counters.requests_failed.increment();
        }
        taken
    }

    /// Ends a request that waits, or one whose stream was open: the answer to a cancel.
    pub fn end(&mut self, session: &mut SoupSession, id: u64, next: u64) -> Taken {
        self.lay_down(self.unsent_max, session, ANSWER_HEADER_BYTES, &end_of(id, next))
    }

    /// Goes on with one of the session's ranges and watches, in turn: at most one answer.
    pub fn slice(&mut self, session: &mut SoupSession, disk: &mut dyn Disk) -> Sliced {
        let committed = self.source.committed();
        for _ in 0..session.streams.len() {
            let at = session.turn % session.streams.len();
            session.turn = at + 1;
            let stream = session.streams[at];
            if stream.next > stream.to {
                return self.finish(session, at);
            }
            if stream.next <= committed.min(stream.to) {
                return self.answer_messages(session, at, committed.min(stream.to), disk);
            }
        }
        Sliced::Idle
    }

    fn get<'k>(
        &mut self,
        user: &User,
        session: &mut SoupSession,
        id: u64,
        as_of: u64,
        count: usize,
        keys: impl Iterator<Item = Key<'k>> + Clone,
    ) -> Taken {
        let keys_max = self.keys_max;
        if count > keys_max {
            let text = format_args!("{count} keys are asked for; at most {keys_max} may be");
            return self.fail(session, id, ErrorCode::TooLarge, text);
        }
        if let Some(key) = keys.clone().find(|key| !user.may_read(key.table)) {
            let text = format_args!("table {} may not be read by this user", key.table);
            return self.fail(session, id, ErrorCode::NotPermitted, text);
        }
        let bytes = if count == 1 { self.record_bytes_max } else { self.multi_get_bytes_max };
        if !session.has_room(bytes, self.record_bytes_max, self.unsent_max) {
            return Taken::NoRoom;
        }
        if count > 1 {
            self.source.foresee(&mut keys.clone().map(|key| (key.table, key.key)), as_of);
        }
        let mut state = as_of;
        for (at, key) in keys.enumerate() {
            let found = match self.source.get(key.table, key.key, state) {
                Ok(found) => found,
                Err(error) => {
                    let code = code_of(&error);
                    return self.fail_within(u64::MAX, session, id, code, format_args!("{error}"));
                }
            };
            // The newest state for the first key is the state for all, even if the store goes on meanwhile.
            state = found.sequence;
            let version = found.version.unwrap_or(0);
            let (found, value) = (found.version.is_some(), found.value);
            let record = Record { found, table: key.table, key: key.key, version, value };
            let last = at + 1 == count;
            let answer = Answer { request_id: id, last, sequence: state, body: AnswerBody::Record(record) };
            let room = session.reserve(self.record_bytes_max, u64::MAX).expect("room was made");
            let Some(bytes) = answer.encode(room) else {
                let text = format_args!("the value is longer than an answer may carry");
                return self.fail_within(u64::MAX, session, id, ErrorCode::TooLarge, text);
            };
            session.log.commit(bytes);
            self.counters.records.increment();
            self.counters.answers.increment();
            self.counters.answer_bytes.add(bytes as u64);
        }
        Taken::Done
    }

    fn open(
        &mut self,
        user: &User,
        session: &mut SoupSession,
        id: u64,
        (from, to): (u64, u64),
        disk: &mut dyn Disk,
    ) -> Taken {
        let committed = self.source.committed();
        if session.streams.iter().any(|stream| stream.request == id) {
            // The client's link broke and it could not know whether this had arrived.
            self.counters.requests_resent.increment();
            return Taken::Done;
        }
        if !user.stream {
            let text = format_args!("ranges and watches show every table; this user may not read all");
            return self.fail(session, id, ErrorCode::NotPermitted, text);
        }
        let streams_max = self.streams_max;
        if session.streams.len() == streams_max {
            let text = format_args!("{streams_max} ranges and watches are open in this session");
            return self.fail(session, id, ErrorCode::TooMany, text);
        }
        if from > committed + 1 || (to > committed && to != u64::MAX) {
            let ahead = if to == u64::MAX { from } else { from.max(to) };
            let text = format_args!("{ahead} is not committed yet; {committed} is the newest");
            return self.fail(session, id, ErrorCode::AheadOfStream, text);
        }
        if from == 0 || from - 1 > to {
            let text = format_args!("a range from {from} to {to}: numbers begin at 1 and go up");
            return self.fail(session, id, ErrorCode::Malformed, text);
        }
        let first_kept = self.source.first_kept(disk);
        if from < first_kept {
            let text = format_args!("{from} is no longer kept; {first_kept} is the oldest");
            return self.fail(session, id, ErrorCode::BelowHorizon, text);
        }
        session.streams.push(OpenStream { request: id, next: from, to });
        self.opened = true;
        Taken::Done
    }

    fn cancel(&mut self, session: &mut SoupSession, id: u64) -> Taken {
        let Some(at) = session.streams.iter().position(|stream| stream.request == id) else {
            let text = format_args!("no range or watch with this request id is open");
            return self.fail(session, id, ErrorCode::NotFound, text);
        };
        match self.finish(session, at) {
            Sliced::NoRoom => Taken::NoRoom,
            _ => Taken::Done,
        }
    }

    fn status(&mut self, session: &mut SoupSession, id: u64, disk: &mut dyn Disk) -> Taken {
        let Some(room) = session.reserve(soup::MAX_PAYLOAD_BYTES, self.unsent_max) else {
            return Taken::NoRoom;
        };
        self.counter_values.clear();
        for (_, set) in &self.counter_sets {
            set.for_each(&mut |_, _, value| self.counter_values.push(value));
        }
        let store = self.source.store_status();
        let status = Status {
            applied: store.applied,
            committed: self.source.committed(),
            published: self.source.published(),
            first_kept: self.source.first_kept(disk),
            records: store.live,
            bytes: store.bytes,
            digest: store.digest,
            stream: self.stream,
        };
        let pairs = || self.counter_names.iter().map(String::as_str).zip(self.counter_values.iter().copied());
        let bytes = encode_status(room, id, &status, pairs())
            .or_else(|| encode_status(room, id, &status, pairs().take(100)))
            .expect("a hundred counters fit a packet");
        session.log.commit(bytes);
        self.counters.answers.increment();
        self.counters.answer_bytes.add(bytes as u64);
        Taken::Done
    }

    /// Answers with the running checksum of the stream up to a committed number: one message is read for it.
    fn checksum(
        &mut self,
        user: &User,
        session: &mut SoupSession,
        id: u64,
        sequence: u64,
        disk: &mut dyn Disk,
    ) -> Taken {
        if !user.stream {
            let text =
                format_args!("the running checksum is that of every table; this user may not read all");
            return self.fail(session, id, ErrorCode::NotPermitted, text);
        }
        let committed = self.source.committed();
        let sequence = if sequence == 0 { committed } else { sequence };
        if sequence == 0 || sequence > committed {
            let text = format_args!("{} is not committed yet; {committed} is the newest", sequence.max(1));
            return self.fail(session, id, ErrorCode::AheadOfStream, text);
        }
        if !session.has_room(CHECKSUM_ANSWER_BYTES, CHECKSUM_ANSWER_BYTES, self.unsent_max) {
            return Taken::NoRoom;
        }
        let (code, why) = match self.source.read(sequence, committed, disk, &mut self.message) {
            Reading::Message { epoch, chain: Some(chain), .. } => {
                let body = AnswerBody::Checksum(Checksum { epoch, chain });
                let answer = Answer { request_id: id, last: true, sequence, body };
                return self.lay_down(self.unsent_max, session, CHECKSUM_ANSWER_BYTES, &answer);
            }
            Reading::Message { chain: None, .. } => {
                (ErrorCode::Unavailable, "has no running checksum here: what is kept does not begin with 1")
            }
            Reading::TooSmall => (ErrorCode::TooLarge, "is longer than a message may be"),
            Reading::Gone => (ErrorCode::BelowHorizon, "is no longer kept"),
            Reading::Empty | Reading::Failed => (ErrorCode::Unavailable, "cannot be read"),
        };
        self.fail(session, id, code, format_args!("message {sequence} {why}"))
    }

    /// One `m` with the next messages of the session's stream `at`, as many as fit and are there.
    fn answer_messages(
        &mut self,
        session: &mut SoupSession,
        at: usize,
        limit: u64,
        disk: &mut dyn Disk,
    ) -> Sliced {
        let stream = session.streams[at];
        let Some(room) = session.reserve(self.answer_bytes_max, self.unsent_max) else {
            return Sliced::NoRoom;
        };
        let mut answer = MessagesBuilder::new(room, stream.request, stream.next);
        let mut next = stream.next;
        let ended = loop {
            match self.source.read(next, limit, disk, &mut self.message) {
                Reading::Message { length, .. } if answer.push(&self.message[..length]) => next += 1,
                Reading::Message { .. } | Reading::Empty => break None,
                Reading::TooSmall => break Some((ErrorCode::TooLarge, "is longer than a message may be")),
                Reading::Gone => break Some((ErrorCode::BelowHorizon, "is no longer kept")),
                Reading::Failed => {
                    self.counters.unreadable.increment();
                    break Some((ErrorCode::Unavailable, "cannot be read"));
                }
            }
        };
        let count = u64::from(answer.count());
        if count > 0 {
            let bytes = answer.finish(false);
            session.log.commit(bytes);
            session.streams[at].next = next;
            self.counters.messages.add(count);
            self.counters.answers.increment();
            self.counters.answer_bytes.add(bytes as u64);
            return Sliced::Made;
        }
        // What is there does not fit even alone, or cannot be read: the stream ends here.
        let Some((code, why)) =
            ended.or((limit >= next).then_some((ErrorCode::TooLarge, "does not fit an answer")))
        else {
            return Sliced::Idle;
        };
        match self.fail(session, stream.request, code, format_args!("message {next} {why}")) {
            Taken::Done => {
                session.streams.remove(at);
                Sliced::Made
            }
            _ => Sliced::NoRoom,
        }
    }

    fn finish(&mut self, session: &mut SoupSession, at: usize) -> Sliced {
        let stream = session.streams[at];
        match self.end(session, stream.request, stream.next) {
            Taken::Done => {
                session.streams.remove(at);
                Sliced::Made
            }
            _ => Sliced::NoRoom,
        }
    }

    fn lay_down(
        &mut self,
        unsent_max: u64,
        session: &mut SoupSession,
        payload: usize,
        answer: &Answer<'_>,
    ) -> Taken {
        let Some(room) = session.reserve(payload, unsent_max) else {
            return Taken::NoRoom;
        };
        let bytes = answer.encode(room).expect("the room is as long as the answer");
        session.log.commit(bytes);
        self.counters.answers.increment();
        self.counters.answer_bytes.add(bytes as u64);
        Taken::Done
    }
}

/// The last answer to a range or watch; `next` is the first number not delivered.
fn end_of(request_id: u64, next: u64) -> Answer<'static> {
    Answer { request_id, last: true, sequence: next, body: AnswerBody::End }
}

fn code_of(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::BelowHorizon { .. } => ErrorCode::BelowHorizon,
        ReadError::AheadOfStream { .. } => ErrorCode::AheadOfStream,
        ReadError::UnknownTable(_) | ReadError::NoStore => ErrorCode::NotFound,
        ReadError::KeyLength(_) => ErrorCode::Malformed,
    }
}
