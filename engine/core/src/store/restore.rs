//! A store from an image and its record versions.
//!
//! Versions come in the order of the log they were copied from, so each finds those before it in place: an ordinary version becomes the
//! newest of its record; a moved one, older than the newest, goes in front of it, as it did in the log. What comes is not trusted:
//! whatever could not have come from a store is an error, and at the end the [census](super::census) must agree.
use super::capacity::StoreCapacity;
use super::census::{Census, Generation, Miscount};
use super::execution::sweep_messages;
use super::image::{StoreImage, TableImage};
use super::records::{IN_CHAIN, Located, MOVED};
use super::tables::RETIRING_MAX;
use super::tally::Tally;
use super::versions::VersionEntry;
use super::writer::Store;
use super::{StoreConfig, StoreMemory};
use crate::bus::SessionTable;
use crate::memory::{Fate, RecordLog, RecordVersion};
use gds_wire::declaration::Limits;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why an image is none of a store, or of none that fits here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Numbers, tables or generations contradict each other.
    Tables,
    /// The sessions are those of no table.
    Sessions,
    /// A version that could not have come at its place.
    Version {
        /// How many versions came before it.
        after: u64,
    },
    /// Versions are missing, or there are others.
    Count(Box<Miscount>),
    /// The memory given is smaller than what is declared needs.
    Memory {
        /// What it needs.
        needed: StoreCapacity,
        /// What there is.
        given: StoreCapacity,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables => f.write_str("its tables contradict each other"),
            Self::Sessions => f.write_str("its sessions are those of no stream"),
            Self::Version { after } => {
                write!(f, "the record version after {after} others does not belong there")
            }
            Self::Count(miscount) => miscount.fmt(f),
            Self::Memory { needed, given } => {
                write!(f, "what is declared needs {needed}; this node has {given}: give it more memory")
            }
        }
    }
}

impl std::error::Error for RestoreError {}

/// A store that is being filled.
pub struct Restoring {
    store: Store,
    image: StoreImage,
    census: Census,
    /// Versions so far, records they belong to, and how many of those have their newest.
    versions: u64,
    records: u64,
    newest: u64,
    /// The newest of the versions above the floor so far, and where the first of them lies.
    recent: u64,
    cursor: Option<u64>,
}

impl Restoring {
    /// An empty store for this image.
    pub fn begin(config: StoreConfig, memory: StoreMemory, image: StoreImage) -> Result<Self, RestoreError> {
        check_tables(&image)?;
        let largest = image.declared().largest_limits().ok_or(RestoreError::Tables)?;
        let (needed, given) = (StoreCapacity::for_limits(largest, &config), memory.capacity());
        if !given.holds(&needed) {
            return Err(RestoreError::Memory { needed, given });
        }
        let mut census = Census::new();
        census.begin(&image);
        let mut store = Store::new(config, memory);
        store.restore_declared(&image).ok_or(RestoreError::Tables)?;
        Ok(Self { store, image, census, versions: 0, records: 0, newest: 0, recent: 0, cursor: None })
    }

    /// Takes the next version.
    pub fn push(&mut self, entry: &VersionEntry<'_>) -> Result<(), RestoreError> {
        self.add(entry).ok_or(RestoreError::Version { after: self.versions })?;
        self.versions += 1;
        Ok(())
    }

    /// All versions have come: the store, just as the one of the image was.
    pub fn finish(self) -> Result<Store, RestoreError> {
        let Self { mut store, image, census, records, newest, cursor, .. } = self;
        census.check(&image).map_err(|miscount| RestoreError::Count(Box::new(miscount)))?;
        if records != newest {
            return Err(RestoreError::Tables);
        }
        let sessions = image.sessions.as_ref().ok_or(RestoreError::Sessions)?;
        let declaration = image.declared().declaration().ok_or(RestoreError::Tables)?;
        store.sessions = SessionTable::restore(image.applied, declaration, sessions, image.stream_ended)
            .map_err(|_| RestoreError::Sessions)?;
        store.restore_position(&image, cursor);
        Ok(store)
    }

    /// `None`: it does not belong here.
    fn add(&mut self, entry: &VersionEntry<'_>) -> Option<()> {
        self.check(entry)?;
        let generation = self.census.generation(&self.image, entry.table, entry.generation)?;
        if generation == Generation::Dead {
            return None;
        }
        let records = &mut self.store.records;
        let hash = records.shared.hash(entry.table, entry.generation, entry.key);
        let candidates = records.shared.index.candidates(hash);
        let found = records.locate(&candidates, entry.table, entry.generation, entry.key);
        let previous = match &found {
            Some(found) if entry.moved => Some(self.behind(found, entry)?),
            Some(found) => Some(self.after(found, entry)?),
            None if entry.moved => return None,
            None => None,
        };
        let digest = self.census.count(generation, entry);
        let records = &mut self.store.records;
        let position = records.log.append(&RecordVersion {
            version: entry.version,
            previous,
            tombstone: entry.tombstone,
            note: if entry.moved { MOVED } else { IN_CHAIN },
            table: entry.table,
            generation: entry.generation,
            key: entry.key,
            value: entry.value,
            fate: entry.replaced_by.map_or(Fate::Current { digest }, |by| Fate::Replaced { by }),
        })?;
        match found {
            Some(found) => records.index.replace(found.slot, RecordLog::address(position)),
            None => {
                let address = RecordLog::address(position);
                records.index.insert_candidates(&candidates, address, |_| false).ok()?;
                self.records += 1;
            }
        }
        self.newest += u64::from(entry.replaced_by.is_none());
        Some(())
    }

    /// What can be said of a version by itself, and of its place among those above the floor.
    fn check(&mut self, entry: &VersionEntry<'_>) -> Option<()> {
        let StoreImage { applied, floor, .. } = self.image;
        let known = (1..=applied).contains(&entry.version) && (1..=255).contains(&entry.key.len());
        let shown = match entry.replaced_by {
            None => !entry.moved && (!entry.tombstone || entry.version > floor),
            Some(by) => by > floor && by > entry.version && by <= applied,
        };
        if !known || !shown || (entry.moved && entry.version > floor) {
            return None;
        }
        if entry.version > floor {
            if entry.version < self.recent {
                return None;
            }
            self.recent = entry.version;
            self.cursor.get_or_insert(self.store.records.log.head());
        }
        Some(())
    }

    /// An ordinary version: the record's newest so far is the one that it replaced.
    fn after(&self, found: &Located, entry: &VersionEntry<'_>) -> Option<u64> {
        let fate = self.store.records.header(found.position).fate;
        (fate == Fate::Replaced { by: entry.version }).then_some(found.front)
    }

    /// A moved version, which was replaced by one no newer than the record's newest so far.
    fn behind(&self, found: &Located, entry: &VersionEntry<'_>) -> Option<u64> {
        let alone = found.front == found.position;
        (alone && entry.replaced_by? <= found.version).then_some(found.position)
    }
}

/// Counts the versions of an image, and makes no store of them: whether they are all that the image says, digests included.
pub struct Recount {
    image: StoreImage,
    census: Census,
    versions: u64,
}

impl Recount {
    /// Nothing is counted yet.
    pub fn begin(image: StoreImage) -> Result<Self, RestoreError> {
        check_tables(&image)?;
        let mut census = Census::new();
        census.begin(&image);
        Ok(Self { image, census, versions: 0 })
    }

    /// Counts the next version.
    pub fn push(&mut self, entry: &VersionEntry<'_>) -> Result<(), RestoreError> {
        let of = self.census.generation(&self.image, entry.table, entry.generation);
        let generation = of.filter(|generation| *generation != Generation::Dead);
        let generation = generation.ok_or(RestoreError::Version { after: self.versions })?;
        self.census.count(generation, entry);
        self.versions += 1;
        Ok(())
    }

    /// All versions have come: the digest of the store that they make.
    pub fn finish(self) -> Result<u128, RestoreError> {
        self.census.check(&self.image).map_err(|miscount| RestoreError::Count(Box::new(miscount)))?;
        Ok(self.image.digest())
    }
}

/// What can be said without the versions.
fn check_tables(image: &StoreImage) -> Result<(), RestoreError> {
    let limits = image.declared().largest_limits().ok_or(RestoreError::Tables)?;
    let named = &image.declared().declaration().ok_or(RestoreError::Tables)?.tables;
    let numbers = named.iter().map(|table| table.table);
    let declared = named.len() == image.tables.len()
        && numbers.zip(&image.tables).all(|(number, table)| number == table.number);
    let numbered = (1..=i64::MAX as u64).contains(&image.applied) && image.floor <= image.applied;
    let retiring = image.ended.len() <= RETIRING_MAX
        && (0..image.ended.len()).all(|index| ended_fits(image, index, limits));
    let total = total(image);
    if declared && numbered && retiring && total == Some(image.total) {
        Ok(())
    } else {
        Err(RestoreError::Tables)
    }
}

/// An ended generation that can be one, and is none of those before it.
fn ended_fits(image: &StoreImage, index: usize, limits: &Limits) -> bool {
    let ended = &image.ended[index];
    let Some(table) = image.tables.iter().find(|table| table.number == ended.table) else { return false };
    let back = (table.generation as u16).wrapping_sub(ended.generation);
    let other = image.ended[..index]
        .iter()
        .all(|other| (other.table, other.generation) != (ended.table, ended.generation));
    let sweep_messages = sweep_messages(limits);
    let dead = ended.released == 0 || ended.ended <= image.floor;
    other
        && (1..=RETIRING_MAX as u16).contains(&back)
        && u64::from(back) <= table.generation
        && (1..=image.applied).contains(&ended.ended)
        && ended.sweep_messages <= sweep_messages
        && ended.released <= image.applied + sweep_messages
        && dead
}

/// The sum over all that counts; `None`: beyond all numbers.
fn total(image: &StoreImage) -> Option<Tally> {
    let mut total = Tally::default();
    for TableImage { tally, .. } in &image.tables {
        total.records = total.records.checked_add(tally.records)?;
        total.bytes = total.bytes.checked_add(tally.bytes)?;
        total.live = total.live.checked_add(tally.live)?;
        total.digest = total.digest.wrapping_add(tally.digest);
    }
    for ended in &image.ended {
        total.records = total.records.checked_add(ended.records)?;
        total.bytes = total.bytes.checked_add(ended.bytes)?;
    }
    Some(total)
}

impl Store {
    /// `None`: the tables declared are not those of the image.
    fn restore_declared(&mut self, image: &StoreImage) -> Option<()> {
        let limits = *image.declared().limits()?;
        self.declared = Arc::clone(image.declared.as_ref()?);
        let shared = &self.records.shared;
        shared.seed(limits.index_seed);
        shared.horizon_messages.store(limits.horizon_messages, Ordering::Relaxed);
        self.records.tables.restore(image, &shared.tables)
    }

    /// `cursor`: where the first version lies that the horizon has not passed.
    fn restore_position(&mut self, image: &StoreImage, cursor: Option<u64>) {
        let records = &mut self.records;
        records.cursor = cursor.unwrap_or(records.log.head());
        records.looked_to = image.floor;
        records.floor = image.floor;
        records.emptied = image.tables.iter().any(|table| table.generation > 0);
        records.shared.raise_floor(image.floor);
        self.applied = image.applied;
        self.timestamp_ns = image.timestamp_ns;
        records.shared.applied.set(image.applied);
    }
}
