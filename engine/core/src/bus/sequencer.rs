//! The sequencer: gives every message taken at ingress its place in the one total order.
//!
//! It owns the session table, the ingress and the writing end of the ring. A message's number is given and its bytes are in the ring in
//! one step, and only when the journal has reserved room for it ([`Progress::reserved`]) and the ring need not overwrite what the
//! journal does not have yet. So a numbered message is never refused. What can never be accepted (a block too long for a downstream packet,
//! one that is no message of GDS's own schema) is sequenced empty, as a void, with the reason.
//!
//! A batch is published to the readers of the ring, and then committed, by [`Sequencer::finish_batch`]: at once when the stream's durability
//! is `memory`, and as far as the journal is durable when it is `fsync`.
//!
//! Requests and refusals leave through a small outbox that [`Sequencer::flush`] empties.
//!
//! In a cluster it owns the end of the log in both roles. While it leads it numbers what clients send; while it follows it appends the leader's
//! entries as they are ([`Sequencer::append_replicated`]), and holds what it hears from clients, bounded, for the case that it leads next. Its session
//! table follows the log either way, so a takeover changes nothing but the role (R17, R18 of `docs/FAILOVER.md`). How far may be committed is
//! then said from outside.
use super::ingress::{Hold, Ingress, IngressConfig, IngressSink, Standing};
use super::sessions::{SessionStep, SessionTable, UNREADABLE_ADVICE, unreadable_declaration};
use crate::cursor::Progress;
use crate::journal::Durability;
use crate::memory::{Ring, RingWriter};
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
use crate::time::Time;
use gds_wire::declaration::{Declaration, DeclarationError, Schema};
use gds_wire::envelope::{
    ENVELOPE_BYTES, Envelope, EnvelopeError, Kind, Message, Reason, Skip, Void, max_block_bytes,
};
use gds_wire::mold;
use gds_wire::refusal::{REFUSAL_BYTES, RefusalReason};
use gds_wire::session::Session;
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

crate::counter_set! {
    /// What the sequencer did.
    pub struct SequencerCounters {
        /// Messages sequenced, of every kind.
        messages,
        /// Bytes of these, envelopes included.
        bytes,
        /// Blocks sequenced empty because they were too long.
        too_long,
        /// Blocks sequenced empty because their type is unknown.
        unknown_type,
        /// Sessions ended.
        sessions_ended,
        /// Client sequence numbers given up.
        skipped,
        /// Times that a message was refused because a journal had no room and found none.
        disk_full,
        /// Times that a message had to wait because a journal was behind: each that is not in a group yet has a block reserved.
        journal_behind,
        /// Times that a message was not taken because the ring had no room.
        ring_full,
        /// Duty cycles without receiving because the ring had no room.
        not_accepting,
        /// Requests and refusals dropped because the outbox was full.
        outbox_full,
    }
}

/// What a [`Sequencer`] needs to know.
#[derive(Clone, Debug)]
pub struct SequencerConfig {
    /// The receiving side.
    pub ingress: IngressConfig,
    /// The largest downstream packet: what does not fit one is sequenced as a void.
    pub payload_bytes_max: usize,
    /// What the journal must have before a message is committed, on a node that is alone.
    pub durability: Durability,
    /// The epoch that messages are numbered under.
    pub epoch: u32,
}

impl Default for SequencerConfig {
    fn default() -> Self {
        Self {
            ingress: IngressConfig::default(),
            payload_bytes_max: mold::MAX_PAYLOAD_BYTES,
            durability: Durability::Memory,
            epoch: 1,
        }
    }
}

/// Why the node's own message was not sequenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequencerError {
    /// It may be taken later.
    NotNow(Hold),
    /// The declaration does not fit a downstream packet; part it.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// What fits.
        length_max: usize,
    },
    /// The declaration contradicts itself.
    Declaration(DeclarationError),
}

impl fmt::Display for SequencerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow(Hold::NoRoom) => f.write_str("the ring has no room now; try again"),
            Self::NotNow(Hold::Refused(reason)) => write!(f, "not taken: {reason}"),
            Self::TooLong { length, length_max } => write!(
                f,
                "the declaration has {length} bytes and one message holds {length_max}; declare its tables and schemas in several"
            ),
            Self::Declaration(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SequencerError {}

/// Why an entry of the leader was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// There is no room now; it is asked for again.
    NotNow(Hold),
    /// It cannot follow what is in the log: the logs differ where they must not.
    Divergent(String),
    /// It is one that this program cannot read.
    Unreadable(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNow(Hold::NoRoom) => f.write_str("no room for the leader's entry now"),
            Self::NotNow(Hold::Refused(reason)) => write!(f, "no room for the leader's entry: {reason}"),
            Self::Divergent(why) => write!(f, "the leader's log does not go on where ours ends: {why}"),
            Self::Unreadable(why) => write!(f, "the leader's {why}: {UNREADABLE_ADVICE}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Most requests and refusals between two flushes.
const OUTBOX_MAX: usize = 256;
const OUTBOX_BYTES: usize =
    if REFUSAL_BYTES > mold::REQUEST_BYTES { REFUSAL_BYTES } else { mold::REQUEST_BYTES };

/// Puts client messages into one order.
pub struct Sequencer {
    ingress: Ingress,
    numbering: Numbering,
    /// Bytes of the ring that one datagram may take at most.
    packet_ring_bytes: usize,
}

/// The part that gives numbers; ingress hands it what is next.
struct Numbering {
    table: SessionTable,
    writer: RingWriter,
    progress: Arc<Progress>,
    acknowledgements: Option<Arc<Progress>>,
    durability: Durability,
    /// With durability `memory`: nothing is committed before the journal has this message.
    first_journalled: u64,
    /// It numbers what clients send; otherwise it appends what the leader sends.
    leads: bool,
    /// Why nothing new is taken, if it is not.
    hold: Option<Hold>,
    /// What it numbers in while it leads.
    epoch: u32,
    /// The epoch of the log's last entry.
    last_epoch: u32,
    block_bytes_max: usize,
    last_timestamp_ns: u64,
    /// What the journal had reserved when it was last looked at.
    reserved: u64,
    outbox: Vec<(SocketAddrV4, [u8; OUTBOX_BYTES], usize)>,
    counters: Arc<SequencerCounters>,
}

impl Sequencer {
    /// A sequencer for a new stream. Its first message must be [`Sequencer::declare`]d; before that no session is let in.
    pub fn new(config: SequencerConfig, writer: RingWriter, progress: Arc<Progress>) -> Self {
        Self::resume(config, SessionTable::new(), writer, progress, 0)
    }

    /// A sequencer that goes on where a stream stands: the table after its last message, the ring's writer behind that message, and that
    /// message's timestamp.
    pub fn resume(
        config: SequencerConfig,
        table: SessionTable,
        writer: RingWriter,
        progress: Arc<Progress>,
        last_timestamp_ns: u64,
    ) -> Self {
        assert!(
            table.applied() + 1 == writer.next_sequence(),
            "the session table stands at {}, the ring goes on with {}",
            table.applied(),
            writer.next_sequence()
        );
        let block_bytes_max = max_block_bytes(config.payload_bytes_max);
        assert!(block_bytes_max > 0, "a payload of {} bytes holds no message", config.payload_bytes_max);
        // The worst packet is full of empty blocks, each of which becomes an envelope in a frame of its own.
        let packet_bytes = config.ingress.packet_bytes_max;
        let worst =
            packet_bytes / mold::BLOCK_LENGTH_BYTES * Ring::frame_bytes(ENVELOPE_BYTES) + packet_bytes;
        let packet_ring_bytes = worst.min(writer.ring().config().data_bytes / 4);
        let reserved = progress.reserved.get();
        Self {
            ingress: Ingress::new(config.ingress),
            packet_ring_bytes,
            numbering: Numbering {
                table,
                writer,
                progress,
                acknowledgements: None,
                durability: config.durability,
                first_journalled: 0,
                leads: true,
                hold: None,
                epoch: config.epoch,
                last_epoch: config.epoch,
                block_bytes_max,
                last_timestamp_ns,
                reserved,
                outbox: Vec::with_capacity(OUTBOX_MAX),
                counters: Arc::default(),
            },
        }
    }

    /// Gives no number that the acknowledgements' journal, whose progress this is, has no room for either: message n and
    /// acknowledgement n need room each in its own.
    pub fn heeding(mut self, acknowledgements: Arc<Progress>) -> Self {
        self.numbering.acknowledgements = Some(acknowledgements);
        self.numbering.reserved = 0;
        self
    }

    /// Commits nothing before the journal has message `number`, the first behind its orderly end, whatever the durability: until then
    /// a journal without its ring would pass for complete.
    pub fn committing_once_journalled(mut self, number: u64) -> Self {
        self.numbering.first_journalled = number;
        self
    }

    /// From here on nothing is committed that the journal does not have, whatever the durability: the ring does not outlive the process
    /// any more.
    pub fn commit_what_is_journalled(&mut self) {
        self.numbering.first_journalled = u64::MAX;
    }

    /// Follows from the start, as every member of a cluster does.
    pub fn following(mut self) -> Self {
        self.follow();
        self
    }

    /// From here it appends what the leader sends, and numbers nothing.
    pub fn follow(&mut self) {
        self.numbering.leads = false;
        self.numbering.hold = None;
    }

    /// From here it numbers what clients send, behind the log as it is, under this epoch.
    pub fn lead(&mut self, epoch: u32) {
        assert!(epoch > 0 && epoch >= self.numbering.epoch, "epoch {epoch} is none of ours");
        self.numbering.epoch = epoch;
        self.numbering.leads = true;
    }

    /// Takes nothing new from clients, for this reason; `None`: takes again.
    pub fn hold(&mut self, hold: Option<Hold>) {
        self.numbering.hold = hold;
    }

    /// Appends the leader's next entry, numbered first in `epoch`, to a log that follows.
    ///
    /// # Errors
    /// When there is no room now, or the entry is none that can follow.
    pub fn append_replicated(&mut self, epoch: u32, message: &[u8]) -> Result<u64, AppendError> {
        self.numbering.append_replicated(epoch, message)
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<SequencerCounters> {
        &self.numbering.counters
    }

    /// The receiving side, for its counters and its timer.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// The sessions as of the last message sequenced.
    pub fn table(&self) -> &SessionTable {
        &self.numbering.table
    }

    /// The number the next message gets.
    pub fn next_sequence(&self) -> u64 {
        self.numbering.writer.next_sequence()
    }

    /// The running checksum of the log up to its last message, published or not.
    pub fn last_chain(&self) -> u64 {
        self.numbering.writer.last_chain()
    }

    /// Whether the ring has room for any one more datagram. While it has not, leave datagrams where they are.
    pub fn accepts(&mut self) -> bool {
        self.numbering.room() >= self.packet_ring_bytes
    }

    /// Takes one datagram from the ingress port.
    pub fn on_packet(&mut self, now: Time, source: SocketAddrV4, datagram: &[u8]) {
        self.ingress.on_packet(now, source, datagram, &mut self.numbering);
    }

    /// Does what is due: offers held packets, skips, asks.
    pub fn on_timer(&mut self, now: Time) {
        self.ingress.on_timer(now, &mut self.numbering);
    }

    /// Publishes what was sequenced since the last call to the ring's readers and moves the commit point. Call it in every duty cycle: the
    /// journal may have become durable meanwhile.
    pub fn finish_batch(&mut self) {
        self.publish_batch();
        self.commit(u64::MAX);
    }

    /// Touches where the next message will lie. For whoever has nothing else to do.
    pub fn touch_next(&mut self) {
        self.numbering.writer.touch_next();
    }

    /// Publishes what was sequenced since the last call to the ring's readers; commits nothing.
    pub fn publish_batch(&mut self) {
        let Numbering { writer, progress, .. } = &mut self.numbering;
        writer.publish();
        progress.sequenced.set(writer.next_sequence() - 1);
    }

    /// The last number that this node has as durable as the stream says.
    pub fn durable(&self) -> u64 {
        let Numbering { progress, durability, first_journalled, .. } = &self.numbering;
        let (sequenced, durable) = (progress.sequenced.get(), progress.durable.get());
        match durability {
            Durability::Memory if durable >= *first_journalled => sequenced,
            Durability::Fsync if active(Mutation::CommitBeforeDurable) => sequenced,
            Durability::Memory | Durability::Fsync => durable.min(sequenced),
        }
    }

    /// Moves the commit point as far as this node has what is published, and not beyond `limit`. Never back.
    pub fn commit(&mut self, limit: u64) {
        let progress = &self.numbering.progress;
        let uncounted = active(Mutation::LeaderUncounted);
        let durable = if uncounted { progress.sequenced.get() } else { self.durable() };
        let committed = &progress.committed;
        committed.set(durable.min(limit).max(committed.get()));
    }

    /// How far the node has come.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.numbering.progress
    }

    /// Sends the requests and refusals that have come up.
    pub fn flush(&mut self, port: &mut dyn DatagramPort) {
        for (to, bytes, length) in self.numbering.outbox.drain(..) {
            port.send(to, &bytes[..length]);
        }
    }

    /// One duty cycle: receives at most `limit` datagrams, does what is due, publishes, commits, sends. Returns how many it received.
    pub fn duty(&mut self, now: Time, port: &mut dyn DatagramPort, limit: usize) -> usize {
        let received = self.receive(now, port, limit);
        self.finish_batch();
        self.flush(port);
        received
    }

    /// Receives at most `limit` datagrams and does what is due. Returns how many it received.
    pub fn receive(&mut self, now: Time, port: &mut dyn DatagramPort, limit: usize) -> usize {
        // What follows takes no room for what it hears: it only holds it.
        let room = if self.numbering.leads { self.numbering.room() / self.packet_ring_bytes } else { limit };
        let mut received = 0;
        if room == 0 {
            self.numbering.counters.not_accepting.increment();
        } else {
            received =
                port.receive(limit.min(room), &mut |source, datagram| self.on_packet(now, source, datagram));
        }
        self.on_timer(now);
        received
    }

    /// Sequences a declaration; returns its number.
    pub fn declare(&mut self, now: Time, declaration: &Declaration) -> Result<u64, SequencerError> {
        declaration.check().map_err(SequencerError::Declaration)?;
        let (length, length_max) = (declaration.encoded_bytes(), self.numbering.block_bytes_max);
        if length > length_max {
            return Err(SequencerError::TooLong { length, length_max });
        }
        self.numbering.append_own(now, Kind::Declare, &declaration.to_bytes()).map_err(SequencerError::NotNow)
    }

    /// Sequences the end of the stream, its last message; returns its number. From then on everything is refused.
    pub fn end_stream(&mut self, now: Time) -> Result<u64, SequencerError> {
        self.numbering.append_own(now, Kind::EndOfStream, &[]).map_err(SequencerError::NotNow)
    }
}

impl Numbering {
    /// Bytes of the longest message that the ring takes now.
    fn room(&mut self) -> usize {
        // Whoever is overrun reads on from the journal, so what the journal does not have is not overwritten.
        // The last committed message stays: whom this node follows next is compared with it there.
        let committed = self.progress.committed.get().saturating_sub(1);
        self.writer.room(self.progress.durable.get().min(committed))
    }

    /// The last number that both journals have room for.
    fn look_reserved(&self) -> u64 {
        let acknowledgements =
            self.acknowledgements.as_ref().map_or(u64::MAX, |progress| progress.reserved.get());
        self.progress.reserved.get().min(acknowledgements)
    }

    /// Why nothing more is reserved: a full disk is something that the source should know, a journal that is behind is not.
    fn no_reserve(&self) -> Hold {
        let is_full = |progress: &Progress| progress.full.get() > 0;
        if is_full(&self.progress) || self.acknowledgements.as_deref().is_some_and(is_full) {
            self.counters.disk_full.increment();
            return Hold::Refused(RefusalReason::DiskFull);
        }
        self.counters.journal_behind.increment();
        Hold::NoRoom
    }

    fn append_own(&mut self, now: Time, kind: Kind, body: &[u8]) -> Result<u64, Hold> {
        if self.table.stream_ended() {
            return Err(Hold::Refused(RefusalReason::StreamEnded));
        }
        let number = self.table.get(&Session::NODE).map_or(1, |entry| entry.next);
        self.append(now, Session::NODE, kind, Reason::None, number, body)
    }

    /// The next number, if there is room for a message of this length in the journals and in the ring.
    fn place_for(&mut self, length: usize) -> Result<u64, Hold> {
        let sequence = self.writer.next_sequence();
        if sequence > self.reserved {
            self.reserved = self.look_reserved();
            if sequence > self.reserved {
                return Err(self.no_reserve());
            }
        }
        if self.room() < length {
            self.counters.ring_full.increment();
            return Err(Hold::NoRoom);
        }
        Ok(sequence)
    }

    fn append_replicated(&mut self, epoch: u32, message: &[u8]) -> Result<u64, AppendError> {
        assert!(!self.leads, "a leader appends what clients send");
        let sequence = self.place_for(message.len()).map_err(AppendError::NotNow)?;
        let divergent =
            |why: String| AppendError::Divergent(format!("entry {sequence} of epoch {epoch}: {why}"));
        let unreadable = |why: String| {
            AppendError::Unreadable(format!("entry {sequence} of epoch {epoch} cannot be read ({why})"))
        };
        let parsed = Message::parse(message).map_err(|error| match error {
            EnvelopeError::UnknownKind(_) | EnvelopeError::UnknownReason(_) => unreadable(error.to_string()),
            error => divergent(error.to_string()),
        })?;
        if let Some(error) = unreadable_declaration(&parsed) {
            return Err(unreadable(error.to_string()));
        }
        let timestamp_ns = parsed.envelope.timestamp_ns();
        if epoch < self.last_epoch || timestamp_ns < self.last_timestamp_ns {
            return Err(divergent(format!(
                "it is older than the entry before, of epoch {} and at {} ns",
                self.last_epoch, self.last_timestamp_ns
            )));
        }
        let step = self.table.apply(sequence, &parsed);
        if matches!(step, SessionStep::Full | SessionStep::OutOfOrder | SessionStep::Unreadable) {
            let (number, session) = (parsed.envelope.client_sequence(), parsed.envelope.session);
            return Err(divergent(format!("number {number} of session {session}: {step:?}")));
        }
        self.writer.append(epoch, &[message]);
        (self.last_epoch, self.last_timestamp_ns) = (epoch, timestamp_ns);
        self.counters.messages.increment();
        self.counters.bytes.add(message.len() as u64);
        Ok(sequence)
    }

    /// Gives a message the next bus number: into the ring, and into the session table.
    fn append(
        &mut self,
        now: Time,
        session: Session,
        kind: Kind,
        reason: Reason,
        number: u64,
        body: &[u8],
    ) -> Result<u64, Hold> {
        if !self.leads {
            return Err(Hold::NoRoom);
        }
        if let Some(hold) = self.hold {
            return Err(hold);
        }
        let length = ENVELOPE_BYTES + body.len();
        let sequence = self.place_for(length)?;
        let runs_back = active(Mutation::TimestampsRunBack);
        let timestamp_ns = if runs_back { now.wall_ns } else { self.last_timestamp_ns.max(now.wall_ns) };
        let envelope = Envelope::new(session, kind, reason, number, timestamp_ns);
        let step = self.table.apply(sequence, &Message { envelope: &envelope, body });
        assert!(
            !matches!(step, SessionStep::Full | SessionStep::OutOfOrder | SessionStep::Unreadable),
            "message {number} of session {session} was taken out of turn: {step:?}"
        );
        self.writer.append(self.epoch, &[&envelope.to_bytes(), body]);
        self.last_epoch = self.epoch;
        self.last_timestamp_ns = timestamp_ns;
        self.counters.messages.increment();
        self.counters.bytes.add(length as u64);
        Ok(sequence)
    }

    /// Whether a block is no message of the session's schema by its first byte. Foreign schemas are the store's business.
    fn is_unknown(&self, session: &Session, block: &[u8]) -> bool {
        let schema = self
            .table
            .schema(self.table.schema_of(session))
            .map_or(Schema::Native, |declared| declared.schema);
        schema == Schema::Native && block.first() != Some(&b'T')
    }
}

impl IngressSink for Numbering {
    fn standing(&self, session: &Session) -> Standing {
        let entry = self.table.get(session);
        if !self.leads {
            // Only the leader refuses; who follows holds what is new to it, and drops the rest.
            return match entry {
                Some(entry) if entry.ended() => Standing::Ended,
                Some(entry) => Standing::Next { next: entry.next, skip: entry.skip },
                None if self.table.is_full() || self.table.stream_ended() => Standing::Ended,
                None => Standing::New,
            };
        }
        if self.table.stream_ended() {
            let next = entry.map_or(1, |entry| entry.next);
            return Standing::Refused { reason: RefusalReason::StreamEnded, next };
        }
        match entry {
            Some(entry) if entry.ended() => Standing::Ended,
            Some(entry) => Standing::Next { next: entry.next, skip: entry.skip },
            None if self.table.is_full() => {
                Standing::Refused { reason: RefusalReason::SessionsFull, next: 1 }
            }
            None => Standing::New,
        }
    }

    fn take(&mut self, now: Time, session: Session, sequence: u64, block: &[u8]) -> Result<(), Hold> {
        if block.len() > self.block_bytes_max {
            let body = Void::of(block).to_bytes();
            self.append(now, session, Kind::Void, Reason::TooLong, sequence, &body)?;
            self.counters.too_long.increment();
        } else if self.is_unknown(&session, block) {
            let body = Void::of(block).to_bytes();
            self.append(now, session, Kind::Void, Reason::UnknownType, sequence, &body)?;
            self.counters.unknown_type.increment();
        } else {
            self.append(now, session, Kind::Transaction, Reason::None, sequence, block)?;
        }
        Ok(())
    }

    fn end(&mut self, now: Time, session: Session, sequence: u64) -> Result<(), Hold> {
        self.append(now, session, Kind::EndOfSession, Reason::None, sequence, &[])?;
        self.counters.sessions_ended.increment();
        Ok(())
    }

    fn skip(&mut self, now: Time, session: Session, from: u64, to: u64) -> Result<(), Hold> {
        // Sessions are skipped by the clock: since this one was let in, the table may have filled up or the stream ended.
        if let Standing::Refused { reason, .. } = self.standing(&session) {
            return Err(Hold::Refused(reason));
        }
        self.append(now, session, Kind::Skip, Reason::None, from, &Skip::new(from, to).to_bytes())?;
        self.counters.skipped.add(to - from + 1);
        Ok(())
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) {
        // Only the leader asks and refuses.
        if !self.leads {
            return;
        }
        if self.outbox.len() == OUTBOX_MAX {
            self.counters.outbox_full.increment();
            return;
        }
        let mut bytes = [0; OUTBOX_BYTES];
        bytes[..datagram.len()].copy_from_slice(datagram);
        self.outbox.push((to, bytes, datagram.len()));
    }
}

#[cfg(test)]
mod tests;
