//! What the record versions of an image come to, table by table, beside what the tables said.
//!
//! Whoever copies versions counts them here, and so does whoever restores them. Only if both sums are equal, digests included, was
//! every version there, and no other.
use super::image::{StoreImage, TableImage};
use super::tally::{RecordHasher, Share, Tally};
use super::versions::VersionEntry;
use std::fmt;

const NO_PLACE: u32 = u32::MAX;
const TABLE_NUMBERS: usize = 1 << 16;
/// Key and value of the longest record.
const HASHER_BYTES: usize = 255 + 65_535;

/// Which of a table's generations a version belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The newest of the table at this place.
    Newest(usize),
    /// The one of [`StoreImage::ended`] with this index; it can still be read.
    Ended(usize),
    /// One that nobody can ask for.
    Dead,
}

/// The sums are not what the tables said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// The table.
    pub table: u16,
    /// What was counted.
    pub counted: Tally,
    /// What it should be.
    pub expected: Tally,
}

impl fmt::Display for Miscount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, counted, expected } = self;
        write!(
            f,
            "table {table} has {} records of {} bytes with digest {:032x}, it should be {} of {} with {:032x}",
            counted.records, counted.bytes, counted.digest, expected.records, expected.bytes, expected.digest
        )
    }
}

impl std::error::Error for Miscount {}

/// See the module. Made once, used again and again.
#[derive(Debug)]
pub(crate) struct Census {
    /// Place of each table number in the image.
    places: Box<[u32]>,
    /// Beside the image's tables.
    tables: Vec<Tally>,
    /// Beside its ended generations.
    ended: Vec<Tally>,
    hasher: RecordHasher,
}

impl Census {
    pub fn new() -> Self {
        Self {
            places: vec![NO_PLACE; TABLE_NUMBERS].into_boxed_slice(),
            tables: Vec::new(),
            ended: Vec::new(),
            hasher: RecordHasher::new(HASHER_BYTES),
        }
    }

    /// Begins to count for this image.
    pub fn begin(&mut self, image: &StoreImage) {
        self.places.fill(NO_PLACE);
        for (place, table) in image.tables.iter().enumerate() {
            self.places[usize::from(table.number)] = place as u32;
        }
        self.tables.clear();
        self.tables.resize(image.tables.len(), Tally::default());
        self.ended.clear();
        self.ended.resize(image.ended.len(), Tally::default());
    }

    /// Place of a table in the image.
    pub fn place(&self, table: u16) -> Option<usize> {
        let place = self.places[usize::from(table)];
        (place != NO_PLACE).then_some(place as usize)
    }

    /// Where a version's generation stands; `None` when there is no such table.
    pub fn generation(&self, image: &StoreImage, table: u16, generation: u16) -> Option<Generation> {
        let place = self.place(table)?;
        if image.tables[place].generation as u16 == generation {
            return Some(Generation::Newest(place));
        }
        let found =
            image.ended.iter().position(|ended| ended.table == table && ended.generation == generation);
        let read = found.filter(|&index| image.ended[index].ended > image.floor);
        Some(read.map_or(Generation::Dead, Generation::Ended))
    }

    /// Counts a version, and returns its digest: 0 for one that is not live.
    pub fn count(&mut self, generation: Generation, entry: &VersionEntry<'_>) -> u128 {
        if entry.replaced_by.is_some() {
            return 0;
        }
        let share = if entry.tombstone {
            Share::deleted(entry.key.len())
        } else {
            let digest = self.hasher.digest(entry.table, entry.version, entry.key, entry.value);
            Share::live(entry.key.len() + entry.value.len(), digest)
        };
        let tally = match generation {
            Generation::Newest(place) => &mut self.tables[place],
            Generation::Ended(index) => &mut self.ended[index],
            Generation::Dead => return share.digest,
        };
        tally.exchange(&Share::default(), &share);
        share.digest
    }

    /// Whether everything was counted.
    pub fn check(&self, image: &StoreImage) -> Result<(), Miscount> {
        for (TableImage { number, tally, .. }, counted) in image.tables.iter().zip(&self.tables) {
            if tally != counted {
                return Err(Miscount { table: *number, counted: *counted, expected: *tally });
            }
        }
        for (ended, counted) in image.ended.iter().zip(&self.ended) {
            let expected = Tally { records: ended.records, bytes: ended.bytes, ..*counted };
            if ended.ended > image.floor && *counted != expected {
                return Err(Miscount { table: ended.table, counted: *counted, expected });
            }
        }
        Ok(())
    }
}
