//! How much memory a store needs so that the declared limits, and nothing else, decide what is rejected.
//!
//! With `R` records, `B` bytes and a horizon of `H` messages declared, and `G` the most bytes of log that one
//! message can write:
//!
//! - Any state that the limits allow takes at most `S = B + 47 R` bytes of log: 40 bytes of header and at
//!   most 7 of padding for each record that counts.
//! - What must not be given back is the oldest readable state, at most `S`, and what was written since, at
//!   most `G H`. The tail may have to wait for a version that the horizon has not passed while the copies
//!   made meanwhile are kept too: another `G H`.
//! - Cleaning begins when the log is 7/8 full and reads up to `16 G` bytes of tail with each message, so one
//!   pass over the log lets it grow by 1/16 at most. With a capacity `C` of at least `1.22 (S + 2 G H)`, what
//!   a pass leaves is less than 7/8 of C again, and the log never fills. We take `2 S + 2.5 G H` and some:
//!   then even a store full of live records copies each of them once for every time its bytes are written
//!   anew.
//! - The index holds one entry for each record that counts and no other, since old versions are reached through
//!   newer ones, wherever they lie (see `records`): and in the middle of a transaction one more for each of its
//!   operations, which may have to be undone. At 80 % load that is 10 bytes for each record declared.
use super::{OPERATIONS_MAX, StoreConfig};
use crate::memory::words::WORD_BYTES;
use crate::memory::{Index, IndexConfig, RecordLog, RecordLogConfig};
use gds_wire::declaration::{Declaration, Limits};
use gds_wire::transaction::OPERATION_HEADER_BYTES;
use std::fmt;

/// Entries of the index's stash.
const STASH: usize = 64;
/// Most that a record takes in the log beside its key and value.
const RECORD_OVERHEAD_BYTES: usize = RecordLog::record_bytes(0, 0) + WORD_BYTES - 1;
/// Bytes of log that exist whatever is declared, in units of what one message can write.
const SPARE_MESSAGES: u64 = 32;

/// Words of memory that a store needs for what is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCapacity {
    /// Words of 8 bytes for the index.
    pub index_words: usize,
    /// Words of 8 bytes for the record log.
    pub log_words: usize,
}

impl StoreCapacity {
    /// What suffices for this declaration, whatever the stream brings; `usize::MAX` words where it is beyond
    /// all memory.
    pub fn for_declaration(declaration: &Declaration, config: &StoreConfig) -> Self {
        Self::for_limits(&declaration.limits, config)
    }

    /// What suffices for these limits. Where a stream has several declarations, take
    /// [`Declared::largest_limits`](super::Declared::largest_limits).
    pub fn for_limits(limits: &Limits, config: &StoreConfig) -> Self {
        let growth = growth_bytes(config) as u64;
        let overhead = RECORD_OVERHEAD_BYTES as u64;
        let state = limits.records_max.saturating_mul(overhead).saturating_add(limits.bytes_max);
        let history = growth.saturating_mul(limits.horizon_messages.saturating_add(2));
        let log_bytes = state
            .saturating_mul(2)
            .saturating_add(history.saturating_mul(5) / 2)
            .saturating_add(growth * SPARE_MESSAGES);
        let entries = limits.records_max.saturating_add(OPERATIONS_MAX as u64);
        // Beyond these no machine goes; the sizes are then computed without overflow and refused by whoever
        // asks for the memory.
        if log_bytes > 1 << 49 || entries > 1 << 43 {
            return Self { index_words: usize::MAX, log_words: usize::MAX };
        }
        Self {
            index_words: Index::words_needed(&IndexConfig { entries_max: entries as usize, stash: STASH }),
            log_words: RecordLog::words_needed(&RecordLogConfig { capacity_bytes: log_bytes as usize }),
        }
    }

    /// True when memory of this capacity suffices where `needed` is needed.
    pub fn holds(&self, needed: &Self) -> bool {
        self.index_words >= needed.index_words && self.log_words >= needed.log_words
    }

    /// Bytes altogether.
    pub fn bytes(&self) -> usize {
        self.index_words.saturating_add(self.log_words).saturating_mul(WORD_BYTES)
    }
}

impl fmt::Display for StoreCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |words: usize| words.saturating_mul(WORD_BYTES).div_ceil(1 << 20);
        write!(
            f,
            "store: index {} MiB, record log {} MiB",
            mebibytes(self.index_words),
            mebibytes(self.log_words)
        )
    }
}

/// The most bytes of log that one message writes: a block full of the smallest operations, whose headers are
/// larger in the log than on the wire. No foreign schema writes more.
pub(super) fn growth_bytes(config: &StoreConfig) -> usize {
    let record_bytes = RECORD_OVERHEAD_BYTES - OPERATION_HEADER_BYTES;
    (config.block_bytes_max + OPERATIONS_MAX * record_bytes).next_multiple_of(WORD_BYTES)
}

/// The largest index that these words hold.
pub(super) fn index_config(words: usize) -> IndexConfig {
    let fits = |entries_max: usize| Index::words_needed(&IndexConfig { entries_max, stash: STASH }) <= words;
    assert!(fits(1), "{words} words hold no index");
    let (mut low, mut high) = (1, words + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    IndexConfig { entries_max: low, stash: STASH }
}

/// The largest record log that these words hold.
pub(super) fn log_config(words: usize) -> RecordLogConfig {
    let overhead = RecordLog::words_needed(&RecordLogConfig { capacity_bytes: 0 });
    assert!(words > overhead, "{words} words hold no record log");
    RecordLogConfig { capacity_bytes: (words - overhead) * WORD_BYTES }
}
