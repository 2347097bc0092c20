//! What the writer and the readers of a store share.
use super::status::StatusCell;
use super::tables::SharedTables;
use crate::cursor::Cursor;
use crate::memory::{Index, RecordLog};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

const MAX_KEY_BYTES: usize = 255;

/// The store's memory and positions. One writer, any number of readers.
pub(super) struct Shared {
    pub index: Arc<Index>,
    pub log: Arc<RecordLog>,
    pub tables: SharedTables,
    pub status: StatusCell,
    /// The last message applied.
    pub applied: Cursor,
    /// Declared horizon in messages.
    pub horizon_messages: AtomicU64,
    /// States below this one may have been reclaimed. Set before anything of them is.
    floor: Cursor,
    secrets: OnceLock<RapidSecrets>,
}

impl Shared {
    pub fn new(index: Arc<Index>, log: Arc<RecordLog>) -> Self {
        Self {
            index,
            log,
            tables: SharedTables::new(),
            status: StatusCell::default(),
            applied: Cursor::new(0),
            horizon_messages: AtomicU64::new(0),
            floor: Cursor::new(0),
            secrets: OnceLock::new(),
        }
    }

    /// Seeds the hash function; only the first seed counts.
    pub fn seed(&self, index_seed: u64) {
        self.secrets.get_or_init(|| RapidSecrets::seed(index_seed));
    }

    /// Hash of a record's place in the index: table, generation, key.
    ///
    /// # Panics
    /// Before [`Shared::seed`], or for a key of more than 255 bytes.
    pub fn hash(&self, table: u16, generation: u16, key: &[u8]) -> u64 {
        let secrets =
            self.secrets.get().expect("tables exist only after the first declaration, which has the seed");
        let mut bytes = [0u8; 4 + MAX_KEY_BYTES];
        bytes[..2].copy_from_slice(&table.to_le_bytes());
        bytes[2..4].copy_from_slice(&generation.to_le_bytes());
        bytes[4..4 + key.len()].copy_from_slice(key);
        rapidhash_v3_seeded(&bytes[..4 + key.len()], secrets)
    }

    /// The oldest state that is certain to be whole. What was read before the call was whole if its state is
    /// not below.
    pub fn floor(&self) -> u64 {
        fence(Ordering::Acquire);
        self.floor.get()
    }

    /// Only the writer calls this, before it takes anything away that a lower state needs.
    pub fn raise_floor(&self, floor: u64) {
        self.floor.set(floor);
        fence(Ordering::Release);
    }
}
