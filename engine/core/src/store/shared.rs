//! What the writer and the readers of a store share.
use super::hold::LogHold;
use super::status::StatusCell;
use super::tables::SharedTables;
use crate::cursor::Cursor;
use crate::memory::{Index, RecordLog};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

/// The store's memory and positions. One writer, any number of readers.
pub(super) struct Shared {
    pub index: Arc<Index>,
    pub log: Arc<RecordLog>,
    pub tables: SharedTables,
    pub status: StatusCell,
    /// Of whoever copies the log.
    pub hold: LogHold,
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
            hold: LogHold::default(),
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
    /// Before [`Shared::seed`].
    #[inline]
    pub fn hash(&self, table: u16, generation: u16, key: &[u8]) -> u64 {
        let secrets =
            self.secrets.get().expect("tables exist only after the first declaration, which has the seed");
        // The key's hash is as good in all its bits as it was before; that tables and generations lie apart is enough.
        let of_table = u64::from(table) << 16 | u64::from(generation);
        rapidhash_v3_seeded(key, secrets) ^ of_table.wrapping_mul(0x9E37_79B9_7F4A_7C15)
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
