//! What happens behind the horizon: versions die, deleted records stop counting, the log's tail is given
//! back.
//!
//! All that counts happens in the order of the stream, a fixed number of messages after its cause; when
//! memory is given back counts for nothing.
use super::foresight::{PLACES_MAX, Places};
use super::records::{IN_CHAIN, Located, MOVED, Records, panic_without_room};
use crate::memory::index::Candidates;
use crate::memory::{Fate, RecordHeader, RecordLog, Slot};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// By how many messages the oldest readable state advances with one message, at most: more than one only
/// after a declaration has shortened the horizon.
const FLOOR_STEP_MAX: u64 = 2;

/// Records of the tail that are looked at together.
const CLEAN_RECORDS: usize = 32;

/// A deleted record that the horizon comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiring {
    position: u64,
    version: u64,
    candidates: Candidates,
}

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
        loop {
            let all = self.look_ahead(floor);
            while let Some(expiring) = self.expiring.front().copied().filter(|next| next.version <= floor) {
                self.expiring.pop_front();
                self.expire(&expiring);
            }
            if all {
                break;
            }
        }
    }

    /// Touches what [`advance_horizon`](Self::advance_horizon) will look up until message `sequence`, as far as it is `applied`.
    pub fn foresee_horizon(&mut self, applied: u64, sequence: u64, horizon_messages: u64) {
        let known = self.expiring.len();
        self.look_ahead((sequence - 1).saturating_sub(horizon_messages).min(applied));
        // Filled where it lies: mostly there is nothing, and moving an empty one costs as much as a full one.
        let mut places = Places::new();
        places.extend(self.expiring.range(known..).map(|next| next.candidates));
        self.index.index().prefetch(&places);
    }

    /// Looks for deleted records among those that the horizon passes until it comes to `floor`, which is applied. False when there
    /// are more than can be remembered.
    fn look_ahead(&mut self, floor: u64) -> bool {
        if floor <= self.looked_to {
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let log = shared.log.view();
        while self.cursor < self.log.head() {
            let header = log.header(self.cursor).expect("the tail never passes the horizon");
            // Copies lie behind their turn, but the horizon had passed them before they were copied.
            if header.version > floor {
                break;
            }
            if header.tombstone && matches!(header.fate, Fate::Current { .. }) {
                if self.expiring.len() == PLACES_MAX {
                    return false;
                }
                let candidates = self.candidates_at(self.cursor, &header);
                let (position, version) = (self.cursor, header.version);
                self.expiring.push_back(Expiring { position, version, candidates });
            }
            self.cursor += header.bytes() as u64;
        }
        self.looked_to = floor;
        true
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
        while budget > 0 && self.log.tail() < self.cursor && self.used_bytes() > self.clean_above_bytes {
            let until = self.clean_until();
            let cleaned = self.clean_records(budget, until);
            if cleaned == 0 {
                break;
            }
            self.counters.cleaned_bytes.add(cleaned as u64);
            budget = budget.saturating_sub(cleaned);
        }
    }

    fn used_bytes(&self) -> usize {
        (self.log.head() - self.log.tail()) as usize
    }

    /// The tail may go as far as the horizon was looked at, but not beyond where somebody holds it, unless room is short.
    fn clean_until(&mut self) -> u64 {
        let held = self.shared.hold.position();
        if held == self.log.tail() && self.used_bytes() > self.hold_up_to_bytes {
            self.shared.hold.take_back();
            self.counters.holds_taken_back.increment();
            return self.cursor;
        }
        held.min(self.cursor)
    }

    /// Gives back the next records of the tail up to `until`, as many as are looked at together, or `budget` bytes. Returns how many
    /// bytes.
    fn clean_records(&mut self, budget: usize, until: u64) -> usize {
        let shared = Arc::clone(&self.shared);
        let log = shared.log.view();
        let tail = self.log.tail();
        let mut wanted = ArrayVec::<u64, CLEAN_RECORDS>::new();
        let mut places = ArrayVec::<Candidates, CLEAN_RECORDS>::new();
        let mut end = tail;
        while end < until && ((end - tail) as usize) < budget && !wanted.is_full() {
            let header = log.header(end).expect("the tail is kept");
            // Only looked at in advance.
            if header.version > self.floor {
                break;
            }
            if self.is_wanted(&header) {
                places.push(self.candidates_at(end, &header));
                wanted.push(end);
            }
            end += header.bytes() as u64;
        }
        self.index.index().prefetch(&places);
        for (&position, candidates) in wanted.iter().zip(&places) {
            // What was looked at before is given back first, to make room for the copy.
            self.log.advance_tail(position);
            self.relocate(position, candidates);
        }
        self.log.advance_tail(end);
        (end - tail) as usize
    }

    /// Whether a state that can be read shows this version, which the horizon has passed.
    fn is_wanted(&self, header: &RecordHeader) -> bool {
        let shown = match header.fate {
            Fate::Current { .. } => !header.tombstone,
            Fate::Replaced { by } => by > self.floor,
        };
        assert!(
            !shown || header.note != MOVED,
            "a moved version outlived the one that replaced it: {header:?}"
        );
        shown && !self.tables.is_dead(header.table, header.generation, self.floor)
    }

    /// A deleted record stops counting when the horizon has passed the version that says so, unless it was written since.
    fn expire(&mut self, Expiring { position, candidates, .. }: &Expiring) {
        let header = self.header(*position);
        if let Fate::Current { .. } = header.fate {
            let slot = self.slot(*position, &header, candidates);
            self.index.remove(slot);
            self.tables.expire(header.table, header.generation, header.key_length as u64);
        }
    }

    /// Copies a wanted record to the log's head.
    fn relocate(&mut self, position: u64, candidates: &Candidates) {
        let header = self.header(position);
        let (slot, previous, note) = match header.fate {
            Fate::Current { .. } => (self.slot(position, &header, candidates), None, IN_CHAIN),
            Fate::Replaced { .. } => {
                let newest = self.newest(position, &header, candidates);
                (newest.slot, Some(newest.position), MOVED)
            }
        };
        let copy = self.log.append_copy(position, previous, note);
        let copy = copy.unwrap_or_else(|| panic_without_room(&self.log));
        self.index.replace(slot, RecordLog::address(copy));
        self.counters.relocated.increment();
    }

    /// The index entry of the record whose newest version lies at `position`.
    fn slot(&mut self, position: u64, header: &RecordHeader, candidates: &Candidates) -> Slot {
        let address = RecordLog::address(position);
        match self.index.find_candidates(candidates, |other| other == address) {
            Some((slot, _)) => slot,
            // A moved version is in front of it.
            None => self.newest(position, header, candidates).slot,
        }
    }

    /// The newest version of the record of which a version lies at `position`.
    fn newest(&mut self, position: u64, header: &RecordHeader, candidates: &Candidates) -> Located {
        self.read_key(position);
        self.locate(candidates, header.table, header.generation, self.buffer.key())
            .expect("a record that counts is in the index")
    }

    /// Where the index entry may be of the record of which a version lies at `position`.
    fn candidates_at(&mut self, position: u64, header: &RecordHeader) -> Candidates {
        self.read_key(position);
        let hash = self.shared.hash(header.table, header.generation, self.buffer.key());
        self.shared.index.candidates(hash)
    }

    fn read_key(&mut self, position: u64) {
        self.shared.log.view().read_key(position, &mut self.buffer).expect("the record is kept");
    }
}
