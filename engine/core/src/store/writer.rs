//! Applying the stream.
use super::capacity::{StoreCapacity, growth_bytes, index_config, log_config};
use super::counters::StoreCounters;
use super::declared::Declared;
use super::execution::Execution;
use super::foresight::{self, Foreseen, Places};
use super::plan::{Block, Plan};
use super::reader::StoreReader;
use super::records::Records;
use super::status::StoreStatus;
use super::tally::Tally;
use super::{StoreConfig, StoreMemory, itch, native};
use crate::bus::{SessionStep, SessionTable, UNREADABLE_ADVICE};
use crate::memory::{Index, RecordLog};
use crate::mutation::{Mutation, active};
use arrayvec::ArrayVec;
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message, Reason};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages that [`Store::apply_all`] takes at a time.
pub const MESSAGES_TOGETHER: usize = 64;

/// Messages for which the horizon is looked at in a quiet moment.
const MESSAGES_AHEAD: u64 = 16;

/// The store: all records, and everything else that the outcome of a message depends on.
pub struct Store {
    config: StoreConfig,
    capacity: StoreCapacity,
    pub(super) records: Records,
    pub(super) sessions: SessionTable,
    /// Shared with whoever takes a snapshot.
    pub(super) declared: Arc<Declared>,
    pub(super) applied: u64,
    pub(super) timestamp_ns: u64,
    counters: Arc<StoreCounters>,
    /// The message behind which [`Store::touch_next`] last touched anything.
    touched: u64,
}

impl Store {
    /// An empty store that has applied nothing.
    ///
    /// # Panics
    /// When the memory is too small for any store at all.
    pub fn new(config: StoreConfig, memory: StoreMemory) -> Self {
        let capacity = memory.capacity();
        let index = Index::create(memory.index, index_config(capacity.index_words));
        let log = RecordLog::create(memory.log, log_config(capacity.log_words));
        let counters = Arc::new(StoreCounters::default());
        let records = Records::new(&index, &log, growth_bytes(&config), Arc::clone(&counters));
        let (sessions, declared) = (SessionTable::new(), Arc::default());
        let (applied, timestamp_ns, touched) = (0, 0, u64::MAX);
        Self { config, capacity, records, sessions, declared, applied, timestamp_ns, counters, touched }
    }

    /// Applies bus message `sequence`, envelope and body; they come one by one, from 1 on. Its outcome is a
    /// function of the messages up to it and of nothing else.
    ///
    /// # Panics
    /// When the message is not the next one or is no bus message; or when a declaration cannot be read or asks for
    /// more than the store's memory holds ([`declaration_in`](Self::declaration_in) says so before): a node that cannot
    /// hold what is declared stops, since it must not reject what the others accept.
    pub fn apply(&mut self, sequence: u64, message: &[u8]) -> Acknowledgement {
        assert!(sequence == self.applied + 1, "message {sequence} applied after message {}", self.applied);
        let mut foreseen = self.foreseen();
        let mut plan = Plan::new(sequence, message, &self.sessions, &self.records, &mut foreseen.places);
        plan.checksum = plan.message.checksum();
        self.apply_plan(sequence, &plan, &foreseen)
    }

    /// Applies bus messages, the first of them message `first`, and hands each one's acknowledgement to `outcome`. The same as
    /// to [`apply`](Self::apply) one after the other, but much faster, since the waits for the memory that they need are one
    /// wait. Best for some dozen, at most [`MESSAGES_TOGETHER`]; more are taken so many at a time.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
    pub fn apply_all<'m>(
        &mut self,
        first: u64,
        messages: impl IntoIterator<Item = &'m [u8]>,
        mut outcome: impl FnMut(u64, &Acknowledgement),
    ) {
        assert!(first == self.applied + 1, "message {first} applied after message {}", self.applied);
        let mut sequence = first;
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut foreseen = self.foreseen();
            let mut plans = ArrayVec::<Plan<'m>, MESSAGES_TOGETHER>::new();
            for (message, number) in messages.by_ref().take(MESSAGES_TOGETHER).zip(sequence..) {
                let places = &mut foreseen.places;
                plans.push(Plan::new(number, message, &self.sessions, &self.records, places));
            }
            foresight::touch_places(&self.records.shared, &foreseen.places);
            // On their own, so that the processor computes several at a time, and while it waits for what was touched just now.
            for plan in &mut plans {
                plan.checksum = plan.message.checksum();
            }
            self.foresee(plans.len() as u64, &foreseen.places);
            for plan in &plans {
                outcome(sequence, &self.apply_plan(sequence, plan, &foreseen));
                sequence += 1;
            }
        }
    }

    /// Touches what the next message will need whatever it is: where a new version will lie, and what the horizon comes to. For whoever has
    /// nothing else to do, so that the message need not wait for it.
    pub fn touch_next(&mut self) {
        if self.touched != self.applied {
            self.touched = self.applied;
            self.records.log.touch_next();
            self.foresee(MESSAGES_AHEAD, &Places::new());
        }
    }

    /// Nothing is foreseen yet.
    fn foreseen(&self) -> Foreseen {
        Foreseen { places: Places::new(), layout: self.records.tables.layout }
    }

    /// Touches what the next `messages` messages will need beside these places, which are touched already.
    fn foresee(&mut self, messages: u64, places: &Places) {
        foresight::touch_records(&self.records.shared, places, false);
        if let Some(limits) = self.declared.limits() {
            let last = self.applied + messages;
            self.records.foresee_horizon(self.applied, last, limits.horizon_messages);
        }
    }

    fn apply_plan(&mut self, sequence: u64, plan: &Plan<'_>, foreseen: &Foreseen) -> Acknowledgement {
        let horizon_messages = self.declared.limits().map_or(0, |limits| limits.horizon_messages);
        self.records.advance_horizon(sequence, horizon_messages);
        self.records.sweep_emptied(sequence);
        self.records.clean();
        let outcome = match self.sessions.apply(sequence, &plan.message) {
            SessionStep::Taken { schema } => self.execute(sequence, plan, schema, foreseen),
            SessionStep::Ended => Outcome::Applied,
            SessionStep::Skipped => Outcome::Skipped,
            SessionStep::Node => self.execute_own(&plan.message),
            SessionStep::Full => Outcome::SessionsLimit,
            SessionStep::OutOfOrder => Outcome::Malformed,
            // Never an outcome: whoever can read it comes to something else.
            SessionStep::Unreadable => panic!("message {sequence} declares what cannot be read"),
        };
        let envelope = plan.message.envelope;
        self.applied = sequence;
        self.timestamp_ns = envelope.timestamp_ns();
        self.records.shared.applied.set(sequence);
        self.count(outcome);
        Acknowledgement::new(envelope.session, envelope.client_sequence(), plan.checksum, outcome)
    }

    /// The timestamp of the last message applied; 0 before the first.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// The last message applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Digest of the state: newest versions of the live records, session table, declarations. Two stores that
    /// applied the same messages have the same, whatever their memory looks like.
    pub fn digest(&mut self) -> u128 {
        let records = self.records.tables.total.digest;
        records.wrapping_add(self.sessions.digest()).wrapping_add(self.declared.digest())
    }

    /// The session table as of the last message.
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// What has been declared.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Counts over all tables.
    pub fn tally(&self) -> Tally {
        self.records.tables.total
    }

    /// Counts of one table, without what was in it before it was emptied; `None` when it is not declared.
    pub fn table_tally(&self, table: u16) -> Option<Tally> {
        let tables = &self.records.tables;
        tables.place(table).map(|place| tables.list[place as usize].tally)
    }

    /// The memory it has.
    pub fn capacity(&self) -> StoreCapacity {
        self.capacity
    }

    /// Makes counts and digest visible to readers, and to the counters, as of the last message. For once a
    /// duty cycle, not for each message.
    pub fn publish_status(&mut self) {
        let digest = self.digest();
        let Tally { records, bytes, live, .. } = self.records.tables.total;
        self.records.shared.status.write(&StoreStatus {
            applied: self.applied,
            records,
            bytes,
            live,
            digest,
        });
        self.counters.records.set(records);
        self.counters.bytes.set(bytes);
        self.counters.log_used_bytes.set(self.records.log.head() - self.records.log.tail());
        self.counters.index_stashed.set(self.records.index.index().stashed() as u64);
    }

    /// A reader, for any thread.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.records.shared))
    }

    /// Whether this message is a declaration, and if so, why it cannot be applied, if it cannot: this program cannot read it, or the store's memory was made
    /// for less. Whoever goes on all the same panics. A start makes the memory by all that the journal declares.
    pub fn declaration_in(&self, message: &[u8]) -> Option<Result<(), String>> {
        let message = Message::parse_kind(message, Kind::Declare)?;
        let mut declared = Declared::clone(&self.declared);
        let declaration = match Declaration::parse(message.body) {
            Ok(declaration) => declaration,
            Err(why) => return Some(Err(format!("{why}: {UNREADABLE_ADVICE}"))),
        };
        declared.accept(&declaration);
        Some(self.lack(&declared).map_or(Ok(()), Err))
    }

    /// What is missing to hold as much as this declares.
    fn lack(&self, declared: &Declared) -> Option<String> {
        let needed = StoreCapacity::for_limits(declared.largest_limits()?, &self.config);
        let has = &self.capacity;
        (!has.holds(&needed)).then(|| {
            format!(
                "what is declared needs {needed}; this node has {has}: give it more memory or declare less, and start it again"
            )
        })
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<StoreCounters> {
        &self.counters
    }

    /// A client's block.
    fn execute(&mut self, sequence: u64, plan: &Plan<'_>, schema: u16, foreseen: &Foreseen) -> Outcome {
        let Message { envelope, body } = plan.message;
        if envelope.kind() == Kind::Void {
            return match envelope.reason() {
                Reason::TooLong => Outcome::TooLong,
                Reason::UnknownType | Reason::None => Outcome::UnknownType,
            };
        }
        // No session is known before a declaration says how many there may be.
        let mut limits = *self.declared.limits().expect("a session is taken only after a declaration");
        if active(Mutation::LocalLimit) {
            limits.records_max = limits.records_max.min(self.capacity.log_words as u64 >> 14);
        }
        let same = foreseen.layout == self.records.tables.layout;
        let places = if same { plan.places(&foreseen.places, schema) } else { &[] };
        let mut execution = Execution::begin(&mut self.records, limits, sequence, places);
        let outcome = match Block::parse(body, schema, &self.sessions) {
            Block::Malformed => Outcome::Malformed,
            Block::Native(transaction) => native::execute(&transaction, &mut execution),
            Block::Itch(message, orders) => itch::execute(&message, orders, &mut execution),
        };
        execution.finish(outcome)
    }

    /// A message of the node itself.
    fn execute_own(&mut self, message: &Message<'_>) -> Outcome {
        if message.envelope.kind() != Kind::Declare {
            return Outcome::Applied;
        }
        let declaration = Declaration::parse(message.body).expect("the session table has read it");
        self.declare(&declaration);
        Outcome::Applied
    }

    fn declare(&mut self, declaration: &Declaration) {
        Arc::make_mut(&mut self.declared).accept(declaration);
        let limits = *self.declared.limits().expect("accepted just now");
        let lack = self.lack(&self.declared);
        assert!(lack.is_none(), "{}", lack.unwrap_or_default());
        let shared = &self.records.shared;
        shared.seed(limits.index_seed);
        shared.horizon_messages.store(limits.horizon_messages, Ordering::Relaxed);
        for table in &declaration.tables {
            self.records.tables.declare(table.table, &shared.tables);
        }
    }

    fn count(&self, outcome: Outcome) {
        self.counters.messages.increment();
        match outcome {
            Outcome::Applied => self.counters.transactions.increment(),
            Outcome::NoOperation | Outcome::Skipped => {}
            Outcome::RecordsLimit | Outcome::BytesLimit => {
                self.counters.rejected.increment();
                self.counters.rejected_limit.increment();
            }
            _ => self.counters.rejected.increment(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("applied", &self.applied)
            .field("tally", &self.records.tables.total)
            .finish_non_exhaustive()
    }
}
