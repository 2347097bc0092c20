//! What anybody has ever been shown, and what it must have been.
//!
//! Everything that leaves the node is held against this: a number stands for one message and one outcome for ever; the messages
//! are what clients submitted, each once and in its session's order; the outcomes are the plain model's.
use crate::model::{Key, Model};
use crate::violation::{Checked, broken, ensure};
use gds_wire::acknowledgement::{ACKNOWLEDGEMENT_BYTES, Acknowledgement, Outcome};
use gds_wire::declaration::{Declaration, Schema};
use gds_wire::envelope::{Kind, Message, Reason, max_block_bytes};
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is known of one session from its sender's side.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    /// Everything it ever handed to the network; block `n` at `n - 1`.
    pub blocks: Vec<Rc<[u8]>>,
    /// It may have numbers given up, and may be joined in mid-day.
    pub is_feed: bool,
    /// It has ended its session.
    pub ended: bool,
    /// The number that the stream wants next; 0 before the first.
    pub next: u64,
    /// The message that ended it; 0 before.
    pub ended_at: u64,
}

/// A record as an answer showed it.
#[derive(Clone, Debug)]
struct ShownRecord {
    who: String,
    sequence: u64,
    key: Key,
    found: Option<(u64, Vec<u8>)>,
}

/// Everything ever shown.
pub struct Truth {
    /// Message `n` at `n - 1`, as far as anybody saw it.
    messages: Vec<Option<Rc<[u8]>>>,
    /// Acknowledgement `n` at `n - 1`, as far as anybody saw it.
    acknowledgements: Vec<Option<[u8; ACKNOWLEDGEMENT_BYTES]>>,
    /// The acknowledgement that must be, for messages 1 to [`Truth::known`].
    expected: Vec<[u8; ACKNOWLEDGEMENT_BYTES]>,
    shown_last: u64,
    senders: BTreeMap<Session, Sender>,
    declarations: Vec<Declaration>,
    declared: u64,
    may_end: bool,
    ended_at: u64,
    next_own: u64,
    last_timestamp_ns: u64,
    payload_bytes_max: usize,
    model: Model,
    records: Vec<ShownRecord>,
    outcomes: BTreeMap<u16, u64>,
    digests: BTreeMap<u64, u128>,
}

impl Truth {
    /// Nothing has been shown. Packets carry at most `payload_bytes_max`.
    pub fn new(payload_bytes_max: usize) -> Self {
        Self {
            messages: Vec::new(),
            acknowledgements: Vec::new(),
            expected: Vec::new(),
            shown_last: 0,
            senders: BTreeMap::new(),
            declarations: Vec::new(),
            declared: 0,
            may_end: false,
            ended_at: 0,
            next_own: 1,
            last_timestamp_ns: 0,
            payload_bytes_max,
            model: Model::default(),
            records: Vec::new(),
            outcomes: BTreeMap::new(),
            digests: BTreeMap::new(),
        }
    }

    /// The highest number that anybody has heard of.
    pub fn shown_last(&self) -> u64 {
        self.shown_last
    }

    /// Every message up to this number is known.
    pub fn known(&self) -> u64 {
        self.expected.len() as u64
    }

    /// The state after message [`Truth::known`].
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The number of the end of the stream; 0 before.
    pub fn ended_at(&self) -> u64 {
        self.ended_at
    }

    /// How many declarations there are.
    pub fn declared(&self) -> u64 {
        self.declared
    }

    /// How often each outcome came.
    pub fn outcomes(&self) -> &BTreeMap<u16, u64> {
        &self.outcomes
    }

    /// A session, as its sender knows it.
    pub fn sender(&self, session: &Session) -> Option<&Sender> {
        self.senders.get(session)
    }

    /// All sessions.
    pub fn senders(&self) -> impl Iterator<Item = (&Session, &Sender)> {
        self.senders.iter()
    }

    /// A sender begins a session.
    pub fn begin_session(&mut self, session: Session, is_feed: bool) {
        let before = self.senders.insert(session, Sender { is_feed, ..Sender::default() });
        assert!(before.is_none(), "session {session} is used twice");
    }

    /// A sender submits its next block.
    pub fn submit(&mut self, session: &Session, block: &[u8]) {
        self.senders.get_mut(session).expect("the session was begun").blocks.push(block.into());
    }

    /// A sender ends its session.
    pub fn end_session(&mut self, session: &Session) {
        self.senders.get_mut(session).expect("the session was begun").ended = true;
    }

    /// The node may declare this from now on.
    pub fn may_declare(&mut self, declaration: &Declaration) {
        if !self.declarations.contains(declaration) {
            self.declarations.push(declaration.clone());
        }
    }

    /// The node may end the stream from now on.
    pub fn may_end(&mut self) {
        self.may_end = true;
    }

    /// What was shown above number `last` is gone, and whoever saw it was told so: from there on the stream may be another one.
    pub fn forget_above(&mut self, last: u64) -> Checked {
        let mut messages = std::mem::take(&mut self.messages);
        messages.truncate(last as usize);
        self.acknowledgements.truncate(last as usize);
        self.records.retain(|record| record.sequence <= last);
        self.digests.retain(|sequence, _| *sequence <= last);
        for sender in self.senders.values_mut() {
            (sender.next, sender.ended_at) = (0, 0);
        }
        self.expected.clear();
        self.outcomes.clear();
        self.model = Model::default();
        (self.shown_last, self.declared, self.ended_at) = (last, 0, 0);
        (self.next_own, self.last_timestamp_ns) = (1, 0);
        for (sequence, message) in (1..).zip(messages) {
            if let Some(message) = message {
                self.show("everybody", sequence, &message)?;
            }
        }
        Ok(())
    }

    /// The message that was shown with this number, if anybody saw one.
    pub fn message(&self, sequence: u64) -> Option<&Rc<[u8]>> {
        self.messages.get((sequence as usize).checked_sub(1)?)?.as_ref()
    }

    /// Somebody heard that number `sequence` exists.
    pub fn heard_of(&mut self, sequence: u64) {
        self.shown_last = self.shown_last.max(sequence);
    }

    /// Somebody saw message `sequence`.
    pub fn show(&mut self, who: &str, sequence: u64, bytes: &[u8]) -> Checked {
        ensure!(sequence > 0, "total order", "{who} was shown a message with number 0");
        self.heard_of(sequence);
        let place = sequence as usize - 1;
        if self.messages.len() <= place {
            self.messages.resize(place + 1, None);
        }
        if let Some(before) = &self.messages[place] {
            if **before != *bytes {
                let (before, now) = (describe(before), describe(bytes));
                return broken(
                    "uniform agreement",
                    format!("{who} was shown {now} as message {sequence}; it had been shown as {before}"),
                );
            }
            return Ok(());
        }
        self.messages[place] = Some(bytes.into());
        while let Some(Some(message)) = self.messages.get(self.expected.len()).cloned() {
            self.accept(&message)?;
        }
        self.check_records()
    }

    /// Somebody saw acknowledgement `sequence`.
    pub fn acknowledge(&mut self, who: &str, sequence: u64, bytes: &[u8]) -> Checked {
        ensure!(sequence > 0, "acknowledgements", "{who} was shown an acknowledgement with number 0");
        let Ok(bytes) = <[u8; ACKNOWLEDGEMENT_BYTES]>::try_from(bytes) else {
            return broken("acknowledgements", format!("{who}: number {sequence} has {} bytes", bytes.len()));
        };
        self.heard_of(sequence);
        let place = sequence as usize - 1;
        if self.acknowledgements.len() <= place {
            self.acknowledgements.resize(place + 1, None);
        }
        if let Some(before) = self.acknowledgements[place].filter(|before| *before != bytes) {
            let (now, before) = (describe_acknowledgement(&bytes), describe_acknowledgement(&before));
            return broken(
                "uniform agreement",
                format!("{who} was shown {now} as acknowledgement {sequence}; it had been shown as {before}"),
            );
        }
        self.acknowledgements[place] = Some(bytes);
        self.check_acknowledgement(sequence)
    }

    /// A client was told that its block had this outcome with bus message `sequence`.
    pub fn told(&self, session: &Session, number: u64, sequence: u64, outcome: Outcome) -> Checked {
        let shown = self.acknowledgements.get(sequence as usize - 1).copied().flatten();
        let parsed = shown.as_ref().and_then(|shown| Acknowledgement::parse(shown).ok());
        ensure!(
            parsed.is_some_and(|it| it.session == *session
                && it.client_sequence() == number
                && it.outcome() == outcome),
            "acknowledgements",
            "client {session} was told that its block {number} had outcome {outcome} with message {sequence}, whose \
             acknowledgement is {:?}",
            shown.map(|shown| describe_acknowledgement(&shown))
        );
        Ok(())
    }

    /// A query showed a record, or that there is none (`found`: version and value), in state `sequence`.
    pub fn show_record(
        &mut self,
        who: &str,
        sequence: u64,
        key: Key,
        found: Option<(u64, Vec<u8>)>,
    ) -> Checked {
        self.heard_of(sequence);
        self.records.push(ShownRecord { who: who.to_owned(), sequence, key, found });
        self.check_records()
    }

    /// A store that has applied message `sequence` has this digest.
    pub fn show_digest(&mut self, who: &str, sequence: u64, digest: u128) -> Checked {
        let before = *self.digests.entry(sequence).or_insert(digest);
        ensure!(
            before == digest,
            "digests",
            "{who}: the state after message {sequence} has digest {digest:032x}; it had been {before:032x}"
        );
        Ok(())
    }

    /// What was shown is right as far as it is known.
    pub fn check_shown(&self) -> Checked {
        (1..=self.known()).try_for_each(|sequence| self.check_acknowledgement(sequence))
    }

    /// Nothing that was shown waits for a message that nobody saw.
    pub fn check_complete(&self) -> Checked {
        ensure!(
            self.known() == self.shown_last && self.acknowledgements.len() as u64 <= self.known(),
            "total order",
            "messages up to {} are known and number {} was shown: there is a hole",
            self.known(),
            self.shown_last
        );
        if let Some(record) = self.records.first() {
            return broken("answers", format!("{record:?} shows a state that never was"));
        }
        Ok(())
    }

    /// Every message has been acknowledged to somebody.
    pub fn check_acknowledged(&self) -> Checked {
        let missing = self.acknowledgements.iter().position(Option::is_none);
        ensure!(
            missing.is_none() && self.acknowledgements.len() as u64 == self.known(),
            "acknowledgements",
            "there are {} acknowledgements for {} messages; the first one missing is {:?}",
            self.acknowledgements.len(),
            self.known(),
            missing
        );
        Ok(())
    }

    /// A known message, for context.
    pub fn describe(&self, sequence: u64) -> String {
        let message = (sequence as usize).checked_sub(1).and_then(|place| self.messages.get(place)?.as_ref());
        message.map_or_else(|| "not seen".into(), |message| describe(message))
    }

    /// The next message is known: is it one that may be, and what becomes of it?
    fn accept(&mut self, bytes: &[u8]) -> Checked {
        let sequence = self.known() + 1;
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(error) => return broken("uniform integrity", format!("message {sequence}: {error}")),
        };
        ensure!(
            self.ended_at == 0,
            "uniform integrity",
            "message {sequence} follows the end of the stream, {}",
            self.ended_at
        );
        let timestamp_ns = message.envelope.timestamp_ns();
        ensure!(
            timestamp_ns >= self.last_timestamp_ns,
            "timestamps",
            "message {sequence} has timestamp {timestamp_ns}, the one before {}",
            self.last_timestamp_ns
        );
        self.last_timestamp_ns = timestamp_ns;
        let checksum = self.check_origin(sequence, &message)?;
        let outcome = self.model.apply(sequence, &message);
        *self.outcomes.entry(outcome as u16).or_default() += 1;
        let envelope = message.envelope;
        let expected = Acknowledgement::new(envelope.session, envelope.client_sequence(), checksum, outcome);
        self.expected.push(expected.to_bytes());
        self.check_acknowledgement(sequence)
    }

    fn check_acknowledgement(&self, sequence: u64) -> Checked {
        let place = sequence as usize - 1;
        let (Some(Some(shown)), Some(expected)) =
            (self.acknowledgements.get(place), self.expected.get(place))
        else {
            return Ok(());
        };
        ensure!(
            shown == expected,
            "outcomes",
            "acknowledgement {sequence} is {}; it must be {} for {}",
            describe_acknowledgement(shown),
            describe_acknowledgement(expected),
            self.describe(sequence)
        );
        Ok(())
    }

    /// Whether the message was submitted, exactly so, and is its session's next; the checksum of the block.
    fn check_origin(&mut self, sequence: u64, message: &Message<'_>) -> Checked<u32> {
        let envelope = message.envelope;
        let (session, number) = (envelope.session, envelope.client_sequence());
        let what = describe_parsed(message);
        if session == Session::NODE {
            return self.check_own(sequence, message);
        }
        let schema = self.model.sessions().schema(&session);
        let Some(sender) = self.senders.get_mut(&session) else {
            return broken(
                "uniform integrity",
                format!("message {sequence}, {what}: nobody has that session"),
            );
        };
        ensure!(
            sender.ended_at == 0,
            "exactly once",
            "message {sequence}, {what}: the session had ended with message {}",
            sender.ended_at
        );
        let in_order = sender.next == number || (sender.next == 0 && (number == 1 || sender.is_feed));
        ensure!(
            in_order,
            "exactly once",
            "message {sequence} is {what}, and the session's next number is {}",
            sender.next
        );
        let block = (number as usize).checked_sub(1).and_then(|place| sender.blocks.get(place));
        let checksum = match (envelope.kind(), block) {
            (Kind::EndOfSession, None) => {
                let is_end = sender.ended && number == sender.blocks.len() as u64 + 1;
                ensure!(
                    is_end,
                    "uniform integrity",
                    "message {sequence}, {what}: the client did not end there"
                );
                sender.ended_at = sequence;
                sender.next = number;
                return Ok(gds_wire::checksum(&[]));
            }
            (Kind::Skip, Some(_)) => {
                let to = message.skip().map_or(0, |skip| skip.to());
                ensure!(
                    sender.is_feed && to <= sender.blocks.len() as u64,
                    "uniform integrity",
                    "message {sequence}, {what}: skips up to {to} of {}",
                    sender.blocks.len()
                );
                sender.next = to + 1;
                return Ok(gds_wire::checksum(message.body));
            }
            (Kind::Transaction, Some(block)) => {
                ensure!(
                    **block == *message.body,
                    "uniform integrity",
                    "message {sequence}, {what}: its {} bytes are not the {} bytes submitted",
                    message.body.len(),
                    block.len()
                );
                gds_wire::checksum(block)
            }
            (Kind::Void, Some(block)) => {
                let native = schema.is_none_or(|(schema, _)| schema == Schema::Native);
                let void = message.void().map(|void| (void.length(), void.checksum()));
                let expected = (block.len() as u32, gds_wire::checksum(block));
                let reason = if block.len() > max_block_bytes(self.payload_bytes_max) {
                    Reason::TooLong
                } else if native && block.first() != Some(&b'T') {
                    Reason::UnknownType
                } else {
                    Reason::None
                };
                ensure!(
                    void == Some(expected) && envelope.reason() == reason,
                    "uniform integrity",
                    "message {sequence}, {what} ({:?}, {void:?}): must be {reason:?}, {expected:?}",
                    envelope.reason()
                );
                expected.1
            }
            _ => {
                return broken(
                    "uniform integrity",
                    format!(
                        "message {sequence} is {what}; the client has submitted {} blocks",
                        sender.blocks.len()
                    ),
                );
            }
        };
        sender.next = number + 1;
        Ok(checksum)
    }

    fn check_own(&mut self, sequence: u64, message: &Message<'_>) -> Checked<u32> {
        let what = describe_parsed(message);
        let number = message.envelope.client_sequence();
        ensure!(
            number == self.next_own,
            "exactly once",
            "message {sequence} is {what}, and the node's next number is {}",
            self.next_own
        );
        self.next_own += 1;
        let legitimate = match message.envelope.kind() {
            Kind::Declare => {
                Declaration::parse(message.body).is_ok_and(|declared| self.declarations.contains(&declared))
            }
            Kind::EndOfStream => self.may_end,
            _ => false,
        };
        ensure!(legitimate, "uniform integrity", "message {sequence}, {what}: the node had no reason for it");
        match message.envelope.kind() {
            Kind::EndOfStream => self.ended_at = sequence,
            _ => self.declared += 1,
        }
        Ok(gds_wire::checksum(message.body))
    }

    fn check_records(&mut self) -> Checked {
        let known = self.known();
        let mut index = 0;
        while index < self.records.len() {
            if self.records[index].sequence > known {
                index += 1;
                continue;
            }
            let ShownRecord { who, sequence, key, found } = self.records.swap_remove(index);
            let expected = self.model.records().as_of(sequence, &key);
            let same = match (&expected, &found) {
                (Some((version, value)), Some((other_version, other))) => {
                    version == other_version && **value == **other
                }
                (None, None) => true,
                _ => false,
            };
            ensure!(
                same,
                "answers",
                "{who} was shown {found:?} for {key:?} in state {sequence}; it must be {expected:?}"
            );
        }
        Ok(())
    }
}

fn describe(bytes: &[u8]) -> String {
    match Message::parse(bytes) {
        Ok(message) => describe_parsed(&message),
        Err(error) => format!("{} bytes that are no bus message ({error})", bytes.len()),
    }
}

fn describe_parsed(message: &Message<'_>) -> String {
    let envelope = message.envelope;
    format!(
        "{:?} {} of session {} ({} bytes, crc {:08x}, at {})",
        envelope.kind(),
        envelope.client_sequence(),
        envelope.session,
        message.body.len(),
        gds_wire::checksum(message.body),
        envelope.timestamp_ns()
    )
}

fn describe_acknowledgement(bytes: &[u8]) -> String {
    match Acknowledgement::parse(bytes) {
        Ok(it) => format!(
            "{} for {} of session {} (crc {:08x})",
            it.outcome(),
            it.client_sequence(),
            it.session,
            it.checksum()
        ),
        Err(error) => format!("no acknowledgement ({error})"),
    }
}
