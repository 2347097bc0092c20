//! The model's client sessions.
use gds_wire::declaration::{Declaration, Schema, SchemaDeclaration};
use gds_wire::session::Session;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
struct Entry {
    next: u64,
    ended_at: u64,
    schema: Option<(Schema, u16)>,
}

/// Which sessions there are, and what each wants next.
#[derive(Default)]
pub struct Sessions {
    entries: BTreeMap<Session, Entry>,
    schemas: Vec<SchemaDeclaration>,
    sessions_max: usize,
    forget_messages: u64,
    forgotten: u64,
}

impl Sessions {
    /// True when no further session can be opened.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.sessions_max
    }

    /// Whether the session is known.
    pub fn knows(&self, session: &Session) -> bool {
        self.entries.contains_key(session)
    }

    /// How many have been forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The schema that reads a session's blocks; `None`: native.
    pub fn schema(&self, session: &Session) -> Option<(Schema, u16)> {
        match self.entries.get(session) {
            Some(entry) => entry.schema,
            None => self.matching(session),
        }
    }

    pub(super) fn declare(&mut self, declaration: &Declaration) {
        self.sessions_max = declaration.limits.sessions_max as usize;
        self.forget_messages = declaration.limits.session_forget_messages;
        for schema in &declaration.schemas {
            if !self.schemas.contains(schema) {
                self.schemas.push(*schema);
            }
        }
    }

    /// A message of this session, after which it wants `next`. `None` when it cannot be opened.
    pub(super) fn take(&mut self, session: Session, number: u64, next: u64) -> Option<Option<(Schema, u16)>> {
        let schema = self.matching(&session);
        if !self.entries.contains_key(&session) {
            if self.is_full() {
                return None;
            }
            self.entries.insert(session, Entry { next: number, ended_at: 0, schema });
        }
        let entry = self.entries.get_mut(&session).expect("it is there now");
        entry.next = next;
        Some(entry.schema)
    }

    pub(super) fn end(&mut self, session: Session, number: u64, sequence: u64) -> bool {
        let taken = self.take(session, number, number).is_some();
        if let Some(entry) = self.entries.get_mut(&session).filter(|_| taken) {
            entry.ended_at = sequence;
        }
        taken
    }

    pub(super) fn forget(&mut self, sequence: u64) {
        let (forget_messages, before) = (self.forget_messages, self.entries.len());
        if forget_messages > 0 {
            self.entries
                .retain(|_, entry| entry.ended_at == 0 || entry.ended_at + forget_messages > sequence);
        }
        self.forgotten += (before - self.entries.len()) as u64;
    }

    fn matching(&self, session: &Session) -> Option<(Schema, u16)> {
        let found = self.schemas.iter().find(|schema| schema.pattern.matches(session));
        found.map(|found| (found.schema, found.first_table))
    }
}
