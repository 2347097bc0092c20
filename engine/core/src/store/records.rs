//! Index and record log together: finding, putting, keeping and undoing record versions.
//!
//! # Links
//!
//! The index has one entry for each record. It leads to the record's newest version, and each version's `previous` to the one
//! before, for readers of older states. The links of versions that no state shows any more stay as they are; nobody follows
//! them.
//!
//! When the log's tail reaches an old version that can still be read, the version is moved to the log's head. It cannot stay
//! where it was in the chain, since links lead only backwards. So the copy, noted as [`MOVED`], goes in front: the index leads
//! to it, and it links to the newest version. Whoever walks the chain takes it if it is the version wanted, and goes on
//! otherwise: the copy knows by which version it was replaced. The next version to be written links to the copy in turn, so
//! the chain stays one. There are never two copies without an ordinary version between them, and a copy is never moved again:
//! when the tail reaches it, the horizon has passed the version that replaced it, which lay before it.
use super::counters::StoreCounters;
use super::execution::{OPERATIONS_MAX, Undo};
use super::foresight::PLACES_MAX;
use super::horizon::Expiring;
use super::shared::Shared;
use super::tables::Tables;
use super::tally::{RecordHasher, Share};
use crate::memory::index::Candidates;
use crate::memory::{
    Fate, Index, IndexWriter, RecordBuf, RecordHeader, RecordLog, RecordLogWriter, RecordVersion, Slot,
};
use gds_wire::acknowledgement::Outcome;
use std::collections::VecDeque;
use std::sync::Arc;

/// Note of a version that lies in the chain where it belongs.
pub(super) const IN_CHAIN: u8 = 0;
/// Note of an old version that was moved in front of newer ones.
pub(super) const MOVED: u8 = 1;

/// Key and value of the longest record.
const HASHER_BYTES: usize = 255 + 65_535;

/// What the index has for a record: the newest version, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    table: u16,
    place: u32,
    generation: u16,
    candidates: Candidates,
    current: Option<Located>,
}

/// A record's newest version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub slot: Slot,
    /// Where the index leads: to it, or to a moved version in front of it.
    pub front: u64,
    pub position: u64,
    pub version: u64,
    pub tombstone: bool,
}

impl Found {
    /// The version of the live record; `None` when there is none, or only a deleted one.
    #[inline]
    pub fn version(&self) -> Option<u64> {
        self.live().map(|current| current.version)
    }

    /// True when writing it adds a record to those that count.
    #[inline]
    pub fn adds(&self) -> bool {
        self.current.is_none()
    }

    #[inline]
    fn live(&self) -> Option<&Located> {
        self.current.as_ref().filter(|current| !current.tombstone)
    }
}

/// The writer's side of all records.
pub(super) struct Records {
    pub index: IndexWriter,
    pub log: RecordLogWriter,
    pub shared: Arc<Shared>,
    pub tables: Tables,
    pub undo: Vec<Undo>,
    pub buffer: RecordBuf,
    pub counters: Arc<StoreCounters>,
    hasher: RecordHasher,
    /// The oldest record that was not looked at yet for the horizon to pass it.
    pub cursor: u64,
    /// Up to this state, all that the horizon passes was looked at.
    pub looked_to: u64,
    /// Deleted records among those looked at that the horizon has still to pass, oldest first.
    pub expiring: VecDeque<Expiring>,
    /// The oldest state that may be read.
    pub floor: u64,
    /// A table was emptied once: the index may hold entries of dead generations.
    pub emptied: bool,
    /// The tail is cleaned while the log has more bytes in use.
    pub clean_above_bytes: usize,
    /// Whoever holds the tail loses it when the log has more bytes in use.
    pub hold_up_to_bytes: usize,
    /// Bytes of the tail that are cleaned with one message.
    pub clean_bytes_max: usize,
}

impl Records {
    pub fn new(
        index: &Arc<Index>,
        log: &Arc<RecordLog>,
        growth_bytes: usize,
        counters: Arc<StoreCounters>,
    ) -> Self {
        Self {
            index: index.writer(),
            log: log.writer(),
            shared: Arc::new(Shared::new(Arc::clone(index), Arc::clone(log))),
            tables: Tables::new(),
            undo: Vec::with_capacity(OPERATIONS_MAX),
            buffer: RecordBuf::new(),
            counters,
            hasher: RecordHasher::new(HASHER_BYTES),
            cursor: 0,
            looked_to: 0,
            expiring: VecDeque::with_capacity(PLACES_MAX),
            floor: 0,
            emptied: false,
            clean_above_bytes: log.capacity_bytes() / 8 * 7,
            // A pass over the log that begins here still ends before the log is full: see `capacity`.
            hold_up_to_bytes: log.capacity_bytes() / 32 * 29,
            clean_bytes_max: 16 * growth_bytes,
        }
    }

    /// Where a record's index entry may be; `None` when its table is not declared.
    #[inline]
    pub fn candidates(&self, table: u16, key: &[u8]) -> Option<Candidates> {
        let place = self.tables.place(table)?;
        let generation = self.tables.list[place as usize].generation as u16;
        Some(self.shared.index.candidates(self.shared.hash(table, generation, key)))
    }

    /// Looks a record up; `None` when its table is not declared. `candidates` are given where they are known.
    #[inline(always)]
    pub fn find(&mut self, table: u16, key: &[u8], candidates: Option<&Candidates>) -> Option<Found> {
        let place = self.tables.place(table)?;
        let generation = self.tables.list[place as usize].generation as u16;
        let candidates = match candidates {
            Some(candidates) => *candidates,
            None => self.candidates(table, key)?,
        };
        debug_assert_eq!(Some(candidates), self.candidates(table, key), "another record was foreseen");
        let current = self.locate(&candidates, table, generation, key);
        Some(Found { table, place, generation, candidates, current })
    }

    /// Copies the value of a live record.
    pub fn value(&mut self, found: &Found) -> &[u8] {
        let position = found.live().expect("only a live record has a value").position;
        self.shared.log.read(position, &mut self.buffer).expect("a live record is kept");
        self.buffer.value()
    }

    /// Appends a record's new version (`None`: it is deleted) and lets the index point to it.
    pub fn put(&mut self, found: &Found, key: &[u8], value: Option<&[u8]>, sequence: u64) {
        let current = found.current.map(|current| self.header(current.position));
        let before = current.map_or_else(Share::default, |header| Share::of(&header));
        let after = self.share_of(found.table, sequence, key, value);
        let previous = found.current.zip(current).and_then(|(current, header)| {
            // What this message replaces itself, nobody ever sees.
            if current.version == sequence { header.previous } else { Some(current.front) }
        });
        let version = RecordVersion {
            version: sequence,
            previous,
            tombstone: value.is_none(),
            note: IN_CHAIN,
            table: found.table,
            generation: found.generation,
            key,
            value: value.unwrap_or_default(),
            fate: Fate::Current { digest: after.digest },
        };
        let position = self.log.append(&version).unwrap_or_else(|| panic_without_room(&self.log));
        match &found.current {
            Some(current) => {
                self.log.set_fate(current.position, Fate::Replaced { by: sequence });
                self.index.replace(current.slot, RecordLog::address(position));
            }
            None => self.insert(&found.candidates, position),
        }
        self.tables.exchange(found.place, &before, &after);
        let replaced = found.current.map(|current| (current.front, current.position));
        let (candidates, place) = (found.candidates, found.place);
        self.undo.push(Undo { candidates, place, position, version: sequence, replaced, before, after });
    }

    /// The message stands.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back everything since the last [`Records::keep`].
    pub fn undo(&mut self) {
        while let Some(undo) = self.undo.pop() {
            let address = RecordLog::address(undo.position);
            let found = self.index.find_candidates(&undo.candidates, |other| other == address);
            let (slot, _) = found.expect("what was put is in the index");
            match undo.replaced {
                Some((front, position)) => {
                    self.index.replace(slot, RecordLog::address(front));
                    self.log.set_fate(position, Fate::Current { digest: undo.before.digest });
                }
                None => self.index.remove(slot),
            }
            self.tables.exchange(undo.place, &undo.after, &undo.before);
            self.log.set_fate(undo.position, Fate::Replaced { by: undo.version });
        }
    }

    /// Empties tables with message `sequence`, all or none of them.
    pub fn empty(&mut self, tables: &[u16], sequence: u64, sweep_messages: u64) -> Result<(), Outcome> {
        assert!(self.undo.is_empty(), "emptying tables is not undone");
        for &table in tables {
            self.tables.place(table).ok_or(Outcome::UnknownTable)?;
        }
        if !self.tables.can_empty(tables) {
            return Err(Outcome::RecordsLimit);
        }
        for &table in tables {
            self.emptied |= self.tables.empty(table, sequence, sweep_messages, &self.shared.tables);
        }
        Ok(())
    }

    /// The newest version of a record that the index has.
    #[inline(always)]
    pub fn locate(
        &self,
        candidates: &Candidates,
        table: u16,
        generation: u16,
        key: &[u8],
    ) -> Option<Located> {
        let log = self.shared.log.view();
        let (slot, address) = self.index.find_candidates(candidates, |address| {
            log.is_of(log.position(address), table, generation, key) == Ok(true)
        })?;
        let front = log.position(address);
        let mut position = front;
        let mut header = log.header(position).expect("what the index leads to is kept");
        if header.note == MOVED {
            position = header.previous.expect("a moved version links to a newer one");
            header = log.header(position).expect("a moved version goes before what it links to");
        }
        Some(Located { slot, front, position, version: header.version, tombstone: header.tombstone })
    }

    /// What a kept record says about itself.
    #[inline(always)]
    pub fn header(&self, position: u64) -> RecordHeader {
        self.shared.log.view().header(position).expect("the record is kept")
    }

    /// Adds an index entry for a key that has none under this hash.
    fn insert(&mut self, candidates: &Candidates, position: u64) {
        let (log, tables, floor) = (&self.shared.log, &self.tables, self.floor);
        let reclaimable = self.emptied;
        let inserted = self.index.insert_candidates(candidates, RecordLog::address(position), |address| {
            reclaimable && is_dead(log, tables, floor, address)
        });
        if let Err(full) = inserted {
            panic!("the store's index is smaller than the declared limits need: {full}");
        }
    }

    /// Removes index entries of dead generations from the next `buckets` buckets.
    pub fn sweep(&mut self, buckets: usize) {
        let (log, tables, floor) = (&self.shared.log, &self.tables, self.floor);
        let removed = self.index.sweep(buckets, |address| is_dead(log, tables, floor, address));
        self.counters.swept.add(removed as u64);
    }

    #[inline]
    fn share_of(&mut self, table: u16, version: u64, key: &[u8], value: Option<&[u8]>) -> Share {
        match value {
            None => Share::deleted(key.len()),
            Some(value) => {
                let digest = self.hasher.digest(table, version, key, value);
                Share::live(key.len() + value.len(), digest)
            }
        }
    }
}

/// There is always room: that is what [`StoreCapacity`](super::StoreCapacity) computes.
pub(super) fn panic_without_room(log: &RecordLogWriter) -> ! {
    let capacity = log.log().capacity_bytes();
    panic!("the store's record log of {capacity} bytes is smaller than the declared limits need: {log:?}")
}

/// True when the index entry with this address is of a generation that nobody can ask for.
fn is_dead(log: &RecordLog, tables: &Tables, floor: u64, address: u64) -> bool {
    match log.header(log.position(address)) {
        Ok(header) => tables.is_dead(header.table, header.generation, floor),
        // Entries of living generations never point below the tail.
        Err(_) => true,
    }
}
