//! The table of client sessions: which client sequence number comes next, per session.
//!
//! The table is a pure function of the bus stream. The sequencer keeps one to decide what to take; the store keeps another, which is
//! part of its digest; both only ever change in [`SessionTable::apply`], message by message, so they agree at every bus sequence
//! number. Its bounds come from the stream too: the newest declaration says how many client sessions there may be, and how many
//! messages after its end a session's name is forgotten.
//!
//! Memory is taken when a declaration is applied, never otherwise.
mod image;

pub(crate) use image::SessionImage;

use super::session_map::SessionMap;
use crate::mutation::{Mutation, active};
use gds_wire::declaration::{Declaration, DeclarationError, SchemaDeclaration};
use gds_wire::envelope::{Kind, Message, Skip};
use gds_wire::session::Session;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

/// The session in whose name the node itself puts messages on the bus (declarations, end of stream). Refused from outside.
pub const NODE_SESSION: Session = Session::NODE;

/// The schema number of a session that no declared pattern matches: GDS's own transactions.
pub const NO_SCHEMA: u16 = u16::MAX;
/// Most sessions that a node can be configured to declare, and that a snapshot is believed to have declared.
pub const SESSIONS_MAX: usize = 1 << 20;

/// What the table knows of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// Its name.
    pub session: Session,
    /// The client sequence number wanted next.
    pub next: u64,
    /// The bus sequence number of its end of session; 0 while it lives.
    pub ended_at: u64,
    /// How many client messages were skipped because every line lost them. Not 0: the session's tables are incomplete.
    pub skipped: u64,
    /// First and last client sequence number of the newest skip; zeros before there was one.
    pub skip: (u64, u64),
    /// Index into [`SessionTable::schemas`], or [`NO_SCHEMA`].
    pub schema: u16,
}

/// What a free slot holds.
const BLANK: SessionEntry = SessionEntry {
    session: Session([0; 10]),
    next: 0,
    ended_at: 0,
    skipped: 0,
    skip: (0, 0),
    schema: NO_SCHEMA,
};

impl SessionEntry {
    /// True once its end of session has been sequenced.
    pub fn ended(&self) -> bool {
        self.ended_at != 0
    }

    /// Canonical bytes, for the digest.
    fn digest(&self) -> u128 {
        let mut bytes = [0u8; 52];
        bytes[..10].copy_from_slice(&self.session.0);
        bytes[10..18].copy_from_slice(&self.next.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.ended_at.to_be_bytes());
        bytes[26..34].copy_from_slice(&self.skipped.to_be_bytes());
        bytes[34..42].copy_from_slice(&self.skip.0.to_be_bytes());
        bytes[42..50].copy_from_slice(&self.skip.1.to_be_bytes());
        bytes[50..].copy_from_slice(&self.schema.to_be_bytes());
        xxh3_128(&bytes)
    }
}

/// What a message did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStep {
    /// A transaction (or its void) took the session's next number. The schema that reads the session, or [`NO_SCHEMA`].
    Taken {
        /// Index into [`SessionTable::schemas`], or [`NO_SCHEMA`].
        schema: u16,
    },
    /// The session has ended.
    Ended,
    /// Client sequence numbers were given up.
    Skipped,
    /// A message of the node itself.
    Node,
    /// A new session, and there are as many as declared: nothing changed.
    Full,
    /// Not the session's next number, or after its end: nothing changed. A sequencer never lets this on the bus.
    OutOfOrder,
    /// A declaration that this program cannot read: nothing changed, and whoever goes on all the same comes to something else than who can read it. The node
    /// must stop.
    Unreadable,
}

/// Why a bus message cannot be applied by this program, though another release wrote it: what it declares cannot be read. `None` for every other message.
pub fn unreadable_declaration(message: &Message<'_>) -> Option<DeclarationError> {
    match message.envelope.kind() {
        Kind::Declare => Declaration::parse(message.body).err(),
        _ => None,
    }
}

/// What to do about one, for people.
pub const UNREADABLE_ADVICE: &str = "a newer release wrote it. Nothing of it was taken; upgrade this node, and start it again: it goes on where it is";

/// All sessions at one bus sequence number.
#[derive(Clone, Debug)]
pub struct SessionTable {
    /// The last bus message applied.
    applied: u64,
    map: SessionMap,
    entries: Vec<SessionEntry>,
    /// Beside `entries`: what each contributes to `sum`, and whether that is out of date.
    summed: Vec<(u128, bool)>,
    changed: Vec<u32>,
    sum: u128,
    free: Vec<u32>,
    /// Ended sessions, oldest end first: (bus sequence number of the end, slot).
    ended: VecDeque<(u64, u32)>,
    /// The slot of the newest message's session: packets carry runs of one session.
    newest: u32,
    sessions_max: usize,
    forget_messages: u64,
    schemas: Vec<SchemaDeclaration>,
    stream_ended: bool,
    /// A copy that is being made.
    image: Option<Box<SessionImage>>,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionTable {
    /// The table before the first message: no client session may be opened until a declaration says how many.
    pub fn new() -> Self {
        let mut table = Self {
            applied: 0,
            map: SessionMap::new(1),
            entries: Vec::new(),
            summed: Vec::new(),
            changed: Vec::new(),
            sum: 0,
            free: Vec::new(),
            ended: VecDeque::new(),
            newest: 0,
            sessions_max: 0,
            forget_messages: 0,
            schemas: Vec::new(),
            stream_ended: false,
            image: None,
        };
        table.reserve(0);
        table
    }

    /// The last bus message applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// True once the last message of the stream has been applied.
    pub fn stream_ended(&self) -> bool {
        self.stream_ended
    }

    /// How many client sessions there are, ended ones that are not forgotten included.
    pub fn len(&self) -> usize {
        self.map.len() - usize::from(self.map.get(&NODE_SESSION).is_some())
    }

    /// True when there is no client session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many client sessions the declaration allows.
    pub fn sessions_max(&self) -> usize {
        self.sessions_max
    }

    /// True when no further client session can be opened.
    pub fn is_full(&self) -> bool {
        self.len() >= self.sessions_max
    }

    /// What is known of a session.
    pub fn get(&self, session: &Session) -> Option<&SessionEntry> {
        self.slot(session).map(|slot| &self.entries[slot as usize])
    }

    /// All sessions, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = &SessionEntry> {
        self.entries.iter().filter(|entry| entry.next != 0)
    }

    /// The schemas declared so far, in order of declaration.
    pub fn schemas(&self) -> &[SchemaDeclaration] {
        &self.schemas
    }

    /// The schema a session has, or would get with its first message.
    pub fn schema_of(&self, session: &Session) -> u16 {
        match self.get(session) {
            Some(entry) => entry.schema,
            None => self.matching_schema(session),
        }
    }

    /// The schema behind a number; `None` for [`NO_SCHEMA`].
    pub fn schema(&self, number: u16) -> Option<&SchemaDeclaration> {
        self.schemas.get(usize::from(number))
    }

    /// Applies bus message `sequence`; they come one by one. Behind a declaration that cannot be read nothing may be applied: what it decides is not known.
    pub fn apply(&mut self, sequence: u64, message: &Message<'_>) -> SessionStep {
        assert!(sequence == self.applied + 1, "message {sequence} applied after message {}", self.applied);
        self.applied = sequence;
        let step = self.step(sequence, message);
        self.forget(sequence);
        step
    }

    /// Wrapping sum over all sessions of xxh3-128 of their canonical bytes, so the order in which they came to be does not matter.
    /// The cost is that of the sessions touched since the last call.
    pub fn digest(&mut self) -> u128 {
        while let Some(slot) = self.changed.pop() {
            let slot = slot as usize;
            let (old, _) = self.summed[slot];
            let new = if self.entries[slot].next == 0 { 0 } else { self.entries[slot].digest() };
            self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
            self.summed[slot] = (new, false);
        }
        self.sum
    }

    fn step(&mut self, sequence: u64, message: &Message<'_>) -> SessionStep {
        let session = message.envelope.session;
        let number = message.envelope.client_sequence();
        match message.envelope.kind() {
            Kind::Transaction | Kind::Void => self.take(session, number),
            Kind::EndOfSession => self.end(sequence, session, number),
            Kind::Skip => self.skip(session, number, message.skip().expect("Message::parse checks the body")),
            Kind::Declare => {
                let Ok(declaration) = Declaration::parse(message.body) else {
                    return SessionStep::Unreadable;
                };
                self.declare(&declaration);
                self.node(number)
            }
            Kind::EndOfStream => {
                self.stream_ended = true;
                self.node(number)
            }
        }
    }

    fn node(&mut self, number: u64) -> SessionStep {
        match self.take(NODE_SESSION, number) {
            SessionStep::Taken { .. } => SessionStep::Node,
            other => other,
        }
    }

    fn take(&mut self, session: Session, number: u64) -> SessionStep {
        match self.slot_for(session, number) {
            Ok(slot) => {
                let entry = &mut self.entries[slot as usize];
                entry.next = number.saturating_add(1);
                let schema = entry.schema;
                self.touch(slot);
                SessionStep::Taken { schema }
            }
            Err(step) => step,
        }
    }

    fn end(&mut self, sequence: u64, session: Session, number: u64) -> SessionStep {
        match self.slot_for(session, number) {
            Ok(slot) => {
                self.entries[slot as usize].ended_at = sequence;
                self.ended.push_back((sequence, slot));
                self.touch(slot);
                SessionStep::Ended
            }
            Err(step) => step,
        }
    }

    fn skip(&mut self, session: Session, number: u64, skip: &Skip) -> SessionStep {
        let (from, to) = (skip.from(), skip.to());
        match self.slot_for(session, number) {
            Ok(slot) => {
                let entry = &mut self.entries[slot as usize];
                entry.next = to.saturating_add(1);
                entry.skipped = entry.skipped.saturating_add((to - from).saturating_add(1));
                entry.skip = (from, to);
                self.touch(slot);
                SessionStep::Skipped
            }
            Err(step) => step,
        }
    }

    /// The slot of a session whose next number is `number`, opened when the session is new.
    fn slot_for(&mut self, session: Session, number: u64) -> Result<u32, SessionStep> {
        if let Some(slot) = self.slot(&session) {
            self.newest = slot;
            self.before_change(slot);
            let entry = &self.entries[slot as usize];
            let again = active(Mutation::IngressTakesTwice) || active(Mutation::OverlapNotTrimmed);
            return if (entry.next == number || again) && !entry.ended() {
                Ok(slot)
            } else {
                Err(SessionStep::OutOfOrder)
            };
        }
        if number == 0 {
            return Err(SessionStep::OutOfOrder);
        }
        if session != NODE_SESSION && self.is_full() {
            return Err(SessionStep::Full);
        }
        let schema = if session == NODE_SESSION { NO_SCHEMA } else { self.matching_schema(&session) };
        let slot = self.free.pop().expect("a slot for every session the declaration allows, and the node's");
        self.before_change(slot);
        self.entries[slot as usize] =
            SessionEntry { session, next: number, ended_at: 0, skipped: 0, skip: (0, 0), schema };
        self.map.insert(session, slot);
        self.newest = slot;
        Ok(slot)
    }

    fn slot(&self, session: &Session) -> Option<u32> {
        let newest = &self.entries[self.newest as usize];
        if newest.session == *session && newest.next != 0 {
            return Some(self.newest);
        }
        self.map.get(session)
    }

    fn matching_schema(&self, session: &Session) -> u16 {
        let found = self.schemas.iter().position(|schema| schema.pattern.matches(session));
        found.map_or(NO_SCHEMA, |index| index as u16)
    }

    fn touch(&mut self, slot: u32) {
        let changed = &mut self.summed[slot as usize].1;
        if !*changed {
            *changed = true;
            self.changed.push(slot);
        }
    }

    fn forget(&mut self, sequence: u64) {
        while let Some((ended_at, slot)) = self.ended.front().copied() {
            if self.forget_messages == 0 || ended_at.saturating_add(self.forget_messages) > sequence {
                break;
            }
            self.ended.pop_front();
            self.before_change(slot);
            let entry = &mut self.entries[slot as usize];
            entry.next = 0;
            let session = entry.session;
            let removed = self.map.remove(&session);
            assert!(removed == Some(slot), "session {session} ended in slot {slot}, the map has {removed:?}");
            self.free.push(slot);
            self.touch(slot);
        }
    }

    fn declare(&mut self, declaration: &Declaration) {
        self.sessions_max = declaration.limits.sessions_max as usize;
        self.forget_messages = declaration.limits.session_forget_messages;
        for schema in &declaration.schemas {
            if !self.schemas.contains(schema) && self.schemas.len() < usize::from(NO_SCHEMA) {
                self.schemas.push(*schema);
            }
        }
        self.reserve(self.sessions_max);
    }

    /// Takes memory for `sessions` client sessions and the node's own; never gives any back.
    fn reserve(&mut self, sessions: usize) {
        let slots = sessions + 1;
        if slots <= self.entries.len() {
            return;
        }
        let before = self.entries.len();
        self.entries.resize(slots, BLANK);
        self.summed.resize(slots, (0, false));
        self.free.reserve(slots);
        self.free.extend((before as u32..slots as u32).rev());
        self.changed.reserve(slots);
        self.ended.reserve(slots);
        let mut map = SessionMap::new(slots);
        for (slot, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.next != 0) {
            map.insert(entry.session, slot as u32);
        }
        self.map = map;
    }
}

#[cfg(test)]
mod tests;
