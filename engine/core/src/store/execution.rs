//! One message's operations on records: all of them or none.
//!
//! Operations take effect in the index at once, each appending a version that carries the message's sequence
//! number. Readers look at states up to the last message applied, so they pass over these versions to the
//! ones before. When the message cannot be done as a whole, the undo list puts every index entry back before
//! the message counts as applied; what was appended stays behind in the log as dead bytes.
use super::records::{Found, Records};
use super::tally::Share;
use crate::memory::index::Candidates;
use crate::mutation::{Mutation, active};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;

/// Operations of one message, at most; the native schema's bound is the largest.
pub(super) const OPERATIONS_MAX: usize = gds_wire::transaction::MAX_OPERATIONS;

/// The index is swept of an emptied table while so large a part of the declared records could be written, one
/// a message...
const SWEEP_SHARE: u64 = 4;
/// ... but in no fewer messages than this.
const SWEEP_MESSAGES_MIN: u64 = 64;

/// How many messages sweeping the index of an emptied table may take.
pub(super) fn sweep_messages(limits: &Limits) -> u64 {
    (limits.records_max / SWEEP_SHARE).max(SWEEP_MESSAGES_MIN)
}

/// How to take one operation back, and what to tidy up once it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    pub candidates: Candidates,
    pub place: u32,
    /// Position and number of the version this operation appended.
    pub position: u64,
    pub version: u64,
    /// Where the index led before, and where the version lay that was replaced; `None`: there was none.
    pub replaced: Option<(u64, u64)>,
    pub before: Share,
    pub after: Share,
}

/// The message being executed.
pub(super) struct Execution<'a> {
    records: &'a mut Records,
    /// Places in the index of the records that will be looked up first.
    places: &'a [Candidates],
    limits: Limits,
    sequence: u64,
    bytes_before: u64,
}

impl<'a> Execution<'a> {
    /// Begins with message `sequence`. Of the records that it looks up, `places` are those of the first ones, in order.
    pub fn begin(records: &'a mut Records, limits: Limits, sequence: u64, places: &'a [Candidates]) -> Self {
        let bytes_before = records.tables.total.bytes;
        assert!(records.undo.is_empty(), "the message before {sequence} was neither kept nor undone");
        Self { records, places, limits, sequence, bytes_before }
    }

    /// Looks a record up for reading and changing. Stays good until this record is changed, or any is added.
    #[inline(always)]
    pub fn find(&mut self, table: u16, key: &[u8]) -> Result<Found, Outcome> {
        let place = self.places.split_off_first();
        self.records.find(table, key, place).ok_or(Outcome::UnknownTable)
    }

    /// The value of a live record.
    pub fn value(&mut self, found: &Found) -> &[u8] {
        self.records.value(found)
    }

    /// Writes a record's new version.
    #[inline]
    pub fn write(&mut self, found: &Found, key: &[u8], value: &[u8]) -> Result<(), Outcome> {
        if found.adds() && self.records.tables.total.records >= self.limits.records_max {
            return Err(Outcome::RecordsLimit);
        }
        self.records.put(found, key, Some(value), self.sequence);
        Ok(())
    }

    /// Deletes a live record. Never refused: the limits count a deleted record as they did the live one.
    pub fn delete(&mut self, found: &Found, key: &[u8]) {
        assert!(found.version().is_some(), "only a live record can be deleted");
        self.records.put(found, key, None, self.sequence);
    }

    /// Empties tables, all or none. Not undone: the only operation of its message.
    pub fn empty(&mut self, tables: &[u16]) -> Result<(), Outcome> {
        self.records.empty(tables, self.sequence, sweep_messages(&self.limits))
    }

    /// Keeps or undoes what was done; returns the final outcome.
    #[inline]
    pub fn finish(self, outcome: Outcome) -> Outcome {
        let bytes = self.records.tables.total.bytes;
        let too_large = bytes > self.limits.bytes_max && bytes > self.bytes_before;
        match (outcome.is_success(), too_large) {
            (true, false) => {
                self.records.keep();
                outcome
            }
            (true, true) => {
                self.records.undo();
                Outcome::BytesLimit
            }
            (false, _) if active(Mutation::UndoForgotten) => {
                self.records.keep();
                outcome
            }
            (false, _) => {
                self.records.undo();
                outcome
            }
        }
    }
}
