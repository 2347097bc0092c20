//! The store: applies the bus stream to records, answers reads as of any recent message.
//!
//! [`Store::apply`] takes the messages of the bus one by one and returns each one's acknowledgement. Outcome
//! and digest are a function of the stream alone: limits, tables and schemas come with declarations on the
//! stream, limits are counted logically, and memory is sized beforehand ([`StoreCapacity`]) so that it never
//! decides anything.
//!
//! | module | holds |
//! | --- | --- |
//! | `writer` | [`Store`]: messages in, acknowledgements out |
//! | `plan` | what is known of a message before its turn |
//! | `native`, [`itch`] | the schemas: what a block means, in operations on records |
//! | `execution` | one message's operations, all of them or none |
//! | `records` | index and record log together; links between versions |
//! | `foresight` | touching memory before it is wanted |
//! | `horizon` | what happens when messages fall behind the horizon; cleaning of the log's tail |
//! | `tables` | tables, generations, counts |
//! | `declared` | all declarations so far, as one |
//! | `reader` | [`StoreReader`]: reads as of a sequence number, from any thread |
//! | `image`, `versions`, `hold` | the store as of one message, copied while it goes on |
//! | `restore` | a store from such a copy |
//! | `census` | whether a copy is whole |
//!
//! # Versions
//!
//! A record version carries the number of the bus message that wrote it and links to the version before. A
//! read as of message `n` sees what messages 1 to `n` left behind, for every `n` from the last applied down
//! to as many messages before it as the declared horizon says. A deleted record is a version too; it counts
//! as a record until the horizon has passed it. An emptied table (ITCH's event `O`) counts until the horizon
//! has passed that message and a quarter as many messages more as there are records declared.
//!
//! # Rules of outcomes
//!
//! The operations of a transaction are done in order, each on what those before it left; the first that
//! cannot be done decides the outcome, and nothing is changed. For each: the table exists, else
//! `UnknownTable`; the record is there or not as the kind demands, else `Exists` or `Missing` (a check
//! demands a record unless it expects version 0); its version is the expected one, else `VersionMismatch` (0:
//! there is none); a new record is within the limit of records, else `RecordsLimit`. At the end the bytes are
//! within their limit, or fewer than before, else `BytesLimit`. A transaction of checks alone is
//! `NoOperation`.
//!
//! Sessions without a declared schema are native. End of session, end of stream and declarations are
//! `Applied`.
mod capacity;
pub(crate) mod census;
mod counters;
mod declared;
mod execution;
mod foresight;
mod hold;
mod horizon;
mod image;
pub mod itch;
mod native;
mod plan;
mod reader;
mod records;
mod restore;
mod shared;
mod status;
mod tables;
mod tally;
#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
pub(crate) mod versions;
mod writer;

pub use capacity::StoreCapacity;
pub use census::Miscount;
pub use counters::StoreCounters;
pub use declared::Declared;
pub use image::{EndedGeneration, ImageRoom, StoreImage, TableImage};
pub use reader::{ReadBuffer, ReadError, Reading, StoreReader};
pub use restore::{Recount, RestoreError, Restoring};
pub use status::StoreStatus;
pub use tables::RETIRING_MAX;
pub use tally::Tally;
pub use versions::{VersionEntry, VersionWalk};
pub use writer::{MESSAGES_TOGETHER, Store};

use crate::memory::{HeapWords, SharedWords};
use execution::OPERATIONS_MAX;
use gds_wire::envelope::max_block_bytes;

/// Settings of one node's store. None of them changes an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Longest client block that the stream may carry, in bytes: decides how much log one message can need.
    pub block_bytes_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { block_bytes_max: max_block_bytes(gds_wire::mold::MAX_PAYLOAD_BYTES) }
    }
}

/// The memory of a store, best as large as [`StoreCapacity::for_declaration`] says.
#[derive(Clone)]
pub struct StoreMemory {
    /// For the index.
    pub index: SharedWords,
    /// For the record log.
    pub log: SharedWords,
}

impl StoreMemory {
    /// Memory on the heap, for tests and where no pages are configured.
    pub fn heap(capacity: &StoreCapacity) -> Self {
        Self { index: HeapWords::shared(capacity.index_words), log: HeapWords::shared(capacity.log_words) }
    }

    /// How much it is.
    pub fn capacity(&self) -> StoreCapacity {
        StoreCapacity { index_words: self.index.words().len(), log_words: self.log.words().len() }
    }
}
