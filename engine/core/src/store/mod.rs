//! The store (being written: the public API below stands, bodies follow).
use gds_wire::acknowledgement::Acknowledgement;
use gds_wire::declaration::Declaration;
use std::fmt;

/// Settings of one node's store; none of them changes an outcome.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Longest client block the stream may carry, in bytes.
    pub block_bytes_max: usize,
}

/// Words of memory a store needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCapacity {
    /// Words of 8 bytes for the index.
    pub index_words: usize,
    /// Words of 8 bytes for the record log.
    pub log_words: usize,
}

impl StoreCapacity {
    /// What provably suffices for this declaration (all declarations of a stream merged).
    pub fn for_declaration(_declaration: &Declaration, _config: &StoreConfig) -> Self {
        unreachable!("being written")
    }
}

/// The memory of a store. Will hold `index: SharedWords, log: SharedWords` (public fields).
pub struct StoreMemory {}

impl StoreMemory {
    /// Memory of this capacity on the heap, for tests and tools.
    pub fn heap(_capacity: &StoreCapacity) -> Self {
        Self {}
    }
}

/// The store: applies the bus stream. `sessions()` returning `&SessionTable` follows.
pub struct Store {}

impl Store {
    /// An empty store that has applied nothing.
    pub fn new(_config: StoreConfig, _memory: StoreMemory) -> Self {
        Self {}
    }

    /// Applies bus message `sequence` (envelope and body); they come one by one from 1 on.
    pub fn apply(&mut self, _sequence: u64, _message: &[u8]) -> Acknowledgement {
        unreachable!("being written")
    }

    /// The last message applied.
    pub fn applied(&self) -> u64 {
        unreachable!("being written")
    }

    /// Digest of newest live records, session table and declarations.
    pub fn digest(&mut self) -> u128 {
        unreachable!("being written")
    }

    /// Makes counts and digest visible to readers as one snapshot: call now and then, not per message.
    pub fn publish_status(&mut self) {}

    /// A reader, for another thread.
    pub fn reader(&self) -> StoreReader {
        StoreReader {}
    }
}

/// Where a reader puts what it found; made once, used again and again.
pub struct ReadBuffer {}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadBuffer {
    /// Room for any record.
    pub fn new() -> Self {
        Self {}
    }

    /// The value found by the last successful read.
    pub fn value(&self) -> &[u8] {
        &[]
    }
}

/// Result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The sequence number whose state was read.
    pub as_of: u64,
    /// The record's version (the sequence number that wrote it), its value being in the [`ReadBuffer`]; `None`: no such record.
    pub version: Option<u64>,
}

/// Why a read was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The state asked for lies behind the declared horizon.
    BelowHorizon {
        /// The oldest state that can be read now.
        oldest: u64,
    },
    /// The state asked for does not exist yet.
    AheadOfStream {
        /// The newest there is.
        applied: u64,
    },
    /// The table is not declared.
    UnknownTable(u16),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for ReadError {}

/// Counts and digest of the store at one sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// The sequence number at which the rest holds.
    pub applied: u64,
    /// Records that count against the limit.
    pub records: u64,
    /// Bytes that count against the limit.
    pub bytes: u64,
    /// Live records.
    pub live: u64,
    /// As [`Store::digest`].
    pub digest: u128,
}

/// Reads the store from any thread, without ever blocking its writer.
#[derive(Clone)]
pub struct StoreReader {}

impl StoreReader {
    /// The last message applied: the newest state that can be read.
    pub fn applied(&self) -> u64 {
        unreachable!("being written")
    }

    /// Reads the newest version of a record that is not newer than `as_of` (0: the newest applied).
    pub fn get(
        &self,
        _table: u16,
        _key: &[u8],
        _as_of: u64,
        _into: &mut ReadBuffer,
    ) -> Result<Reading, ReadError> {
        unreachable!("being written")
    }

    /// The counts last published by [`Store::publish_status`].
    pub fn status(&self) -> StoreStatus {
        unreachable!("being written")
    }
}
