//! Index and record log together: finding, putting, keeping and undoing record versions.
//!
//! # Links
//!
//! A version's `previous` says where the version before lies; readers walk it until they meet one that is old
//! enough. Two values mean something else:
//!
//! - address 0 ([`FIRST`]): there is no version before. No record ever lies at that address.
//! - none: the version is *dead*, nobody will want it again: its transaction was undone, or replaced it
//!   itself; or the horizon has passed the version after it. A reader that meets one comes too late (or too
//!   early) and begins again.
use super::counters::StoreCounters;
use super::execution::{OPERATIONS_MAX, Undo};
use super::shared::Shared;
use super::tables::Tables;
use super::tally::{RecordHasher, Tally};
use crate::memory::{
    Index, IndexWriter, RecordBuf, RecordHeader, RecordLog, RecordLogWriter, RecordVersion, Slot,
};
use gds_wire::acknowledgement::Outcome;
use std::sync::Arc;

/// The link of a version that has none before it.
pub(super) const FIRST: Option<u64> = Some(0);
/// Note of a version that the index finds as its record's newest, or that the next version links to.
pub(super) const IN_CHAIN: u8 = 0;
/// Note of an old version that was moved to the log's head: the next version's link is void, the index finds
/// it beside the newest.
pub(super) const RELOCATED: u8 = 1;

/// Key and value of the longest record.
const HASHER_BYTES: usize = 255 + 65_535;

/// Hash under which the index finds a record's relocated old version.
pub(super) fn relocated_hash(hash: u64) -> u64 {
    hash ^ 0x9E37_79B9_7F4A_7C15
}

/// What the index has for a record: the newest version, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    table: u16,
    place: u32,
    generation: u16,
    hash: u64,
    current: Option<Located>,
}

/// A version that the index points to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub slot: Slot,
    pub position: u64,
    pub header: RecordHeader,
}

impl Found {
    /// The version of the live record; `None` when there is none, or only a deleted one.
    pub fn version(&self) -> Option<u64> {
        self.live().map(|current| current.header.version)
    }

    /// True when writing it adds a record to those that count.
    pub fn adds(&self) -> bool {
        self.current.is_none()
    }

    fn live(&self) -> Option<&Located> {
        self.current.as_ref().filter(|current| !current.header.tombstone)
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
    /// Position of the record in `buffer`.
    pub buffered: Option<u64>,
    pub counters: Arc<StoreCounters>,
    hasher: RecordHasher,
    /// The oldest record that the horizon has not passed.
    pub cursor: u64,
    /// The oldest state that may be read.
    pub floor: u64,
    /// A table was emptied once: the index may hold entries of dead generations.
    pub emptied: bool,
    /// The tail is cleaned while the log has more bytes in use.
    pub clean_above_bytes: usize,
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
            buffered: None,
            counters,
            hasher: RecordHasher::new(HASHER_BYTES),
            cursor: 0,
            floor: 0,
            emptied: false,
            clean_above_bytes: log.capacity_bytes() / 8 * 7,
            clean_bytes_max: 16 * growth_bytes,
        }
    }

    /// Looks a record up; `None` when its table is not declared. A live one's key and value are then in the
    /// buffer.
    pub fn find(&mut self, table: u16, key: &[u8]) -> Option<Found> {
        let place = self.tables.place(table)?;
        let generation = self.tables.list[place as usize].generation as u16;
        let hash = self.shared.hash(table, generation, key);
        let current = self.locate(hash, table, generation, key, IN_CHAIN);
        let found = Found { table, place, generation, hash, current };
        if let Some(live) = found.live() {
            self.load(live.position);
        }
        Some(found)
    }

    /// The value of the live record found last.
    pub fn value(&self, found: &Found) -> &[u8] {
        let position = found.live().expect("only a live record has a value").position;
        assert!(self.buffered == Some(position), "another record was looked up since");
        self.buffer.value()
    }

    /// Appends a record's new version (`None`: it is deleted) and lets the index point to it.
    pub fn put(&mut self, found: &Found, key: &[u8], value: Option<&[u8]>, sequence: u64) {
        let before = self.contribution(found);
        let after = self.contribution_of(found.table, sequence, key, value);
        let (previous, replaced_own) = match &found.current {
            None => (FIRST, false),
            Some(current) if current.header.version == sequence => (current.header.previous, true),
            Some(current) => (Some(current.position), false),
        };
        let version = RecordVersion {
            version: sequence,
            previous,
            tombstone: value.is_none(),
            note: IN_CHAIN,
            table: found.table,
            generation: found.generation,
            key,
            value: value.unwrap_or_default(),
        };
        let position = append(&mut self.log, &version);
        match &found.current {
            Some(current) => self.index.replace(current.slot, RecordLog::address(position)),
            None => self.insert(found.hash, position),
        }
        self.tables.exchange(found.place, &before, &after);
        let replaced = found.current.map(|current| current.position);
        let (hash, place) = (found.hash, found.place);
        self.undo.push(Undo { hash, place, position, replaced, replaced_own, before, after });
    }

    /// The message stands: what it wrote and replaced itself is dead.
    pub fn keep(&mut self) {
        for undo in &self.undo {
            if undo.replaced_own {
                let replaced = undo.replaced.expect("what replaced its own, replaced something");
                self.log.set_previous(replaced, None);
            }
        }
        self.undo.clear();
    }

    /// Takes back everything since the last [`Records::keep`].
    pub fn undo(&mut self) {
        while let Some(undo) = self.undo.pop() {
            let address = RecordLog::address(undo.position);
            let (slot, _) =
                self.index.find(undo.hash, |other| other == address).expect("what was put is in the index");
            match undo.replaced {
                Some(replaced) => self.index.replace(slot, RecordLog::address(replaced)),
                None => self.index.remove(slot),
            }
            self.tables.exchange(undo.place, &undo.after, &undo.before);
            self.log.set_previous(undo.position, None);
        }
        self.buffered = None;
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

    /// The version under this hash in the index, of this record and with this note.
    pub fn locate(&self, hash: u64, table: u16, generation: u16, key: &[u8], note: u8) -> Option<Located> {
        let log = &self.shared.log;
        let mut located = None;
        let (slot, _) = self.index.find(hash, |address| {
            let position = log.position(address);
            let Ok(Some(header)) = log.header_if_key(position, table, key) else { return false };
            let same = header.generation == generation && header.note == note;
            if same {
                located = Some((position, header));
            }
            same
        })?;
        located.map(|(position, header)| Located { slot, position, header })
    }

    /// Adds an index entry for a key that has none under this hash.
    pub fn insert(&mut self, hash: u64, position: u64) {
        let (log, tables, floor) = (&self.shared.log, &self.tables, self.floor);
        let reclaimable = self.emptied;
        let inserted = self.index.insert(hash, RecordLog::address(position), |address| {
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

    /// Copies a kept record into the buffer.
    pub fn load(&mut self, position: u64) {
        self.shared.log.read(position, &mut self.buffer).expect("the record is kept");
        self.buffered = Some(position);
    }

    fn contribution(&mut self, found: &Found) -> Tally {
        let Some(current) = &found.current else { return Tally::default() };
        let header = &current.header;
        if header.tombstone {
            return Tally { records: 1, bytes: header.key_length as u64, ..Tally::default() };
        }
        assert!(self.buffered == Some(current.position), "another record was looked up since");
        let (key, value) = (self.buffer.key(), self.buffer.value());
        let digest = self.hasher.digest(found.table, header.version, key, value);
        Tally { records: 1, bytes: (key.len() + value.len()) as u64, live: 1, digest }
    }

    fn contribution_of(&mut self, table: u16, version: u64, key: &[u8], value: Option<&[u8]>) -> Tally {
        let Some(value) = value else {
            return Tally { records: 1, bytes: key.len() as u64, ..Tally::default() };
        };
        let digest = self.hasher.digest(table, version, key, value);
        Tally { records: 1, bytes: (key.len() + value.len()) as u64, live: 1, digest }
    }
}

/// Appends to the log. That there is room is what [`StoreCapacity`](super::StoreCapacity) computes.
pub(super) fn append(log: &mut RecordLogWriter, record: &RecordVersion<'_>) -> u64 {
    if RecordLog::address(log.head()) == 0 {
        // Nothing that counts may lie at the address that means "none".
        let filler = log.append(&RecordVersion::default());
        assert!(filler.is_some(), "the store's record log has no room: {log:?}");
    }
    log.append(record).unwrap_or_else(|| {
        let capacity = log.log().capacity_bytes();
        panic!("the store's record log of {capacity} bytes is smaller than the declared limits need: {log:?}")
    })
}

/// True when the index entry with this address is of a generation that nobody can ask for.
fn is_dead(log: &RecordLog, tables: &Tables, floor: u64, address: u64) -> bool {
    match log.header(log.position(address)) {
        Ok(header) => tables.is_dead(header.table, header.generation, floor),
        // Entries of living generations never point below the tail.
        Err(_) => true,
    }
}
