//! What happens behind the horizon: versions die, deleted records stop counting, the log's tail is given
//! back.
//!
//! All that counts happens in the order of the stream, a fixed number of messages after its cause; when
//! memory is given back counts for nothing.
use super::records::{FIRST, IN_CHAIN, RELOCATED, Records, append, relocated_hash};
use crate::memory::{RecordHeader, RecordLog, RecordVersion};

/// By how many messages the oldest readable state advances with one message, at most: more than one only
/// after a declaration has shortened the horizon.
const FLOOR_STEP_MAX: u64 = 2;

impl Records {
    /// Message `sequence` is about to be applied: the state before it, and so many before that, stay
    /// readable.
    pub fn advance_horizon(&mut self, sequence: u64, horizon_messages: u64) {
        let wanted = (sequence - 1).saturating_sub(horizon_messages);
        let floor = wanted.min(self.floor + FLOOR_STEP_MAX).max(self.floor);
        if floor == self.floor {
            return;
        }
        self.floor = floor;
        self.shared.raise_floor(floor);
        while self.cursor < self.log.head() {
            let header = self.shared.log.header(self.cursor).expect("the tail never passes the horizon");
            // Copies lie behind their turn, but the horizon had passed them before they were copied.
            if header.version > floor {
                break;
            }
            self.pass(self.cursor, &header);
            self.cursor += header.bytes() as u64;
        }
    }

    /// Goes on removing emptied tables from the index, and lets go of those that are removed.
    pub fn sweep_emptied(&mut self, sequence: u64) {
        if let Some(messages) = self.tables.release(sequence, self.floor) {
            // Twice round, for entries that were moved to where the first round had been already.
            let buckets = self.index.index().buckets() as u64 * 2;
            self.sweep(buckets.div_ceil(messages) as usize);
        }
    }

    /// Gives back what the log's tail holds, while the log is rather full: a bounded number of bytes.
    pub fn clean(&mut self) {
        let mut budget = self.clean_bytes_max;
        while self.log.tail() < self.cursor && budget > 0 {
            let tail = self.log.tail();
            if (self.log.head() - tail) as usize <= self.clean_above_bytes {
                break;
            }
            let header = self.shared.log.header(tail).expect("the tail is kept");
            self.relocate(tail, &header);
            self.log.advance_tail(tail + header.bytes() as u64);
            self.counters.cleaned_bytes.add(header.bytes() as u64);
            budget = budget.saturating_sub(header.bytes());
        }
    }

    /// The horizon passes a version.
    fn pass(&mut self, position: u64, header: &RecordHeader) {
        let Some(previous) = header.previous else { return };
        if RecordLog::address(previous) != 0 {
            self.kill_previous(position, header, previous);
        }
        if !header.tombstone {
            return;
        }
        self.load(position);
        let hash = self.shared.hash(header.table, header.generation, self.buffer.key());
        let newest = self.locate(hash, header.table, header.generation, self.buffer.key(), IN_CHAIN);
        if let Some(newest) = newest.filter(|newest| newest.position == position) {
            self.index.remove(newest.slot);
            self.tables.expire(header.table, header.generation, header.key_length as u64);
            self.log.set_previous(position, None);
        }
    }

    /// No state that can be read shows the version before this one any more.
    fn kill_previous(&mut self, position: u64, header: &RecordHeader, previous: u64) {
        if previous >= self.log.tail() {
            self.log.set_previous(previous, None);
            return;
        }
        // It was at the tail once and was moved. If its table was emptied meanwhile, nothing of it may be
        // left.
        self.load(position);
        let hash = relocated_hash(self.shared.hash(header.table, header.generation, self.buffer.key()));
        let moved = self.locate(hash, header.table, header.generation, self.buffer.key(), RELOCATED);
        if let Some(moved) = moved {
            self.index.remove(moved.slot);
            self.log.set_previous(moved.position, None);
        }
    }

    /// Copies the record at the tail to the head if a state that can be read shows it.
    fn relocate(&mut self, tail: u64, header: &RecordHeader) {
        if header.previous.is_none() || self.tables.is_dead(header.table, header.generation, self.floor) {
            return;
        }
        self.load(tail);
        let (table, generation) = (header.table, header.generation);
        let hash = self.shared.hash(table, generation, self.buffer.key());
        let newest = self.locate(hash, table, generation, self.buffer.key(), IN_CHAIN);
        if let Some(newest) = newest.filter(|newest| newest.position == tail) {
            let position = self.copy(header, IN_CHAIN);
            self.index.replace(newest.slot, RecordLog::address(position));
            return;
        }
        // A newer version exists that the horizon has not passed. Its link cannot lead to a place behind
        // itself.
        let hash = relocated_hash(hash);
        let moved = self.locate(hash, table, generation, self.buffer.key(), RELOCATED);
        let position = self.copy(header, RELOCATED);
        match moved {
            Some(moved) => {
                assert!(
                    moved.position == tail,
                    "a record has one version that the horizon passed and a reader wants"
                );
                self.index.replace(moved.slot, RecordLog::address(position));
            }
            None => self.insert(hash, position),
        }
    }

    /// Appends the record in the buffer once more.
    fn copy(&mut self, header: &RecordHeader, note: u8) -> u64 {
        let version = RecordVersion {
            version: header.version,
            previous: FIRST,
            tombstone: header.tombstone,
            note,
            table: header.table,
            generation: header.generation,
            key: self.buffer.key(),
            value: self.buffer.value(),
        };
        let position = append(&mut self.log, &version);
        self.counters.relocated.increment();
        position
    }
}
