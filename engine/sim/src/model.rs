//! The plain model of the store: ordinary maps that apply the stream message by message.
//!
//! It shares nothing with the engine's store but the wire formats, and keeps every version there ever was, so that
//! any answer as of any sequence number can be checked.
mod itch;
mod native;
mod records;
mod sessions;

pub use records::{Counts, Key, Records};
pub use sessions::Sessions;

use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::{Declaration, Limits, Schema};
use gds_wire::envelope::{Kind, Message, Reason};

/// The state after some message.
#[derive(Default)]
pub struct Model {
    applied: u64,
    limits: Option<Limits>,
    sessions: Sessions,
    records: Records,
}

impl Model {
    /// The last message applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The limits in force; `None` before the first declaration.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// The client sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The records.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Applies message `sequence`, the next one; what becomes of it.
    pub fn apply(&mut self, sequence: u64, message: &Message<'_>) -> Outcome {
        assert_eq!(sequence, self.applied + 1, "the model applies the stream in order");
        self.applied = sequence;
        self.records.advance(sequence, self.limits.map_or(0, |limits| limits.horizon_messages));
        let outcome = self.outcome(sequence, message);
        self.sessions.forget(sequence);
        outcome
    }

    fn outcome(&mut self, sequence: u64, message: &Message<'_>) -> Outcome {
        let envelope = message.envelope;
        let (session, number) = (envelope.session, envelope.client_sequence());
        match envelope.kind() {
            Kind::Transaction => match self.sessions.take(session, number, number + 1) {
                Some(schema) => self.execute(sequence, message.body, schema),
                None => Outcome::SessionsLimit,
            },
            Kind::Void => match (self.sessions.take(session, number, number + 1), envelope.reason()) {
                (None, _) => Outcome::SessionsLimit,
                (_, Reason::TooLong) => Outcome::TooLong,
                _ => Outcome::UnknownType,
            },
            Kind::EndOfSession => match self.sessions.end(session, number, sequence) {
                true => Outcome::Applied,
                false => Outcome::SessionsLimit,
            },
            Kind::Skip => {
                let to = message.skip().map_or(number, |skip| skip.to());
                match self.sessions.take(session, number, to + 1) {
                    Some(_) => Outcome::Skipped,
                    None => Outcome::SessionsLimit,
                }
            }
            Kind::Declare => {
                if let Ok(declaration) = Declaration::parse(message.body) {
                    self.declare(&declaration);
                }
                Outcome::Applied
            }
            Kind::EndOfStream => Outcome::Applied,
        }
    }

    fn declare(&mut self, declaration: &Declaration) {
        self.limits = Some(declaration.limits);
        self.sessions.declare(declaration);
        for table in &declaration.tables {
            self.records.declare(table.table);
        }
    }

    fn execute(&mut self, sequence: u64, block: &[u8], schema: Option<(Schema, u16)>) -> Outcome {
        let Some(limits) = self.limits else { return Outcome::Malformed };
        self.records.begin(sequence, limits);
        let outcome = match schema {
            Some((Schema::Itch50, orders)) => itch::execute(block, orders, &mut self.records),
            _ => native::execute(block, &mut self.records),
        };
        self.records.finish(outcome)
    }
}
