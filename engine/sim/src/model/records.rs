//! The model's records, with every version there ever was.
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Table and key.
pub type Key = (u16, Vec<u8>);

/// By how many messages the horizon advances with one message, at most.
const FLOOR_STEP_MAX: u64 = 2;
/// Emptied tables that may count at the same time.
const RETIRING_MAX: usize = 24;

/// A record, or what counts of a deleted one.
#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    value: Option<Rc<[u8]>>,
}

impl Entry {
    fn bytes(&self, key: &Key) -> u64 {
        (key.1.len() + self.value.as_ref().map_or(0, |value| value.len())) as u64
    }
}

/// An emptied table that still counts.
#[derive(Debug)]
struct Retired {
    ended: u64,
    entries: BTreeMap<Key, Entry>,
    sweep_messages: u64,
    /// 0 until the horizon has passed its end, then the message with which it stops counting.
    released: u64,
}

/// What counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Against the limit of records.
    pub records: u64,
    /// Against the limit of bytes.
    pub bytes: u64,
    /// Live records.
    pub live: u64,
}

/// All records.
#[derive(Default)]
pub struct Records {
    tables: Vec<u16>,
    entries: BTreeMap<Key, Entry>,
    retired: Vec<Retired>,
    floor: u64,
    history: BTreeMap<Key, Vec<Entry>>,
    sequence: u64,
    limits: Option<Limits>,
    /// What the message's operations replaced, oldest first.
    undo: Vec<(Key, Option<Entry>)>,
    bytes_before: u64,
    emptied: u64,
}

impl Records {
    /// What counts now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let old = self.retired.iter().flat_map(|retired| &retired.entries);
        for (key, entry) in self.entries.iter().chain(old) {
            counts.records += 1;
            counts.bytes += entry.bytes(key);
        }
        counts.live = self.entries.values().filter(|entry| entry.value.is_some()).count() as u64;
        counts
    }

    /// Every key there ever was.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.history.keys()
    }

    /// Times that a table was emptied.
    pub fn emptied(&self) -> u64 {
        self.emptied
    }

    /// A live record as it was right after message `sequence`: its version and value.
    pub fn as_of(&self, sequence: u64, key: &Key) -> Option<(u64, Rc<[u8]>)> {
        let versions = self.history.get(key)?;
        let entry = versions.iter().rev().find(|entry| entry.version <= sequence)?;
        entry.value.clone().map(|value| (entry.version, value))
    }

    pub(super) fn declare(&mut self, table: u16) {
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    /// Message `sequence` is about to be applied: the horizon moves, and what it passes stops counting.
    pub(super) fn advance(&mut self, sequence: u64, horizon_messages: u64) {
        let wanted = (sequence - 1).saturating_sub(horizon_messages);
        let floor = wanted.min(self.floor + FLOOR_STEP_MAX).max(self.floor);
        if floor > self.floor {
            self.floor = floor;
            let counts = |entry: &Entry| entry.value.is_some() || entry.version > floor;
            self.entries.retain(|_, entry| counts(entry));
            for retired in &mut self.retired {
                retired.entries.retain(|_, entry| counts(entry));
            }
        }
        for retired in self.retired.iter_mut().filter(|retired| retired.released == 0) {
            if retired.ended <= floor {
                retired.released = sequence + retired.sweep_messages;
            }
        }
        self.retired.retain(|retired| retired.released == 0 || retired.released > sequence);
    }

    pub(super) fn begin(&mut self, sequence: u64, limits: Limits) {
        self.sequence = sequence;
        self.limits = Some(limits);
        self.bytes_before = self.counts().bytes;
        self.undo.clear();
    }

    /// Keeps or undoes what the message did; its final outcome.
    pub(super) fn finish(&mut self, outcome: Outcome) -> Outcome {
        let bytes = self.counts().bytes;
        let bytes_max = self.limits.expect("begun").bytes_max;
        let outcome = match outcome {
            outcome if !outcome.is_success() => outcome,
            _ if bytes > bytes_max && bytes > self.bytes_before => Outcome::BytesLimit,
            outcome => outcome,
        };
        while let Some((key, before)) = self.undo.pop() {
            if outcome.is_success() {
                let entry = self.entries[&key].clone();
                let versions = self.history.entry(key).or_default();
                if versions.last().is_none_or(|last| last.version < entry.version) {
                    versions.push(entry);
                }
            } else {
                match before {
                    Some(before) => self.entries.insert(key, before),
                    None => self.entries.remove(&key),
                };
            }
        }
        outcome
    }

    pub(super) fn is_declared(&self, table: u16) -> bool {
        self.tables.contains(&table)
    }

    /// A live record.
    pub(super) fn live(&self, key: &Key) -> Option<(u64, Rc<[u8]>)> {
        let entry = self.entries.get(key)?;
        entry.value.clone().map(|value| (entry.version, value))
    }

    pub(super) fn write(&mut self, key: &Key, value: &[u8]) -> Result<(), Outcome> {
        let records_max = self.limits.expect("begun").records_max;
        if !self.entries.contains_key(key) && self.counts().records >= records_max {
            return Err(Outcome::RecordsLimit);
        }
        self.put(key, Some(value.into()));
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.put(key, None);
    }

    fn put(&mut self, key: &Key, value: Option<Rc<[u8]>>) {
        let before = self.entries.insert(key.clone(), Entry { version: self.sequence, value });
        self.undo.push((key.clone(), before));
    }

    /// Begins empty tables, all or none.
    pub(super) fn empty(&mut self, tables: &[u16]) -> Result<(), Outcome> {
        if !tables.iter().all(|table| self.is_declared(*table)) {
            return Err(Outcome::UnknownTable);
        }
        let holds = |table: &u16| self.entries.keys().any(|key| key.0 == *table);
        if self.retired.len() + tables.iter().filter(|table| holds(table)).count() > RETIRING_MAX {
            return Err(Outcome::RecordsLimit);
        }
        let sweep_messages = (self.limits.expect("begun").records_max / 4).max(64);
        for table in tables {
            let entries: BTreeMap<Key, Entry> =
                self.entries.extract_if(.., |key, _| key.0 == *table).collect();
            if entries.is_empty() {
                continue;
            }
            for (key, _) in entries.iter().filter(|(_, entry)| entry.value.is_some()) {
                let versions = self.history.get_mut(key).expect("it was written once");
                versions.push(Entry { version: self.sequence, value: None });
            }
            self.emptied += 1;
            self.retired.push(Retired { ended: self.sequence, entries, sweep_messages, released: 0 });
        }
        Ok(())
    }
}
