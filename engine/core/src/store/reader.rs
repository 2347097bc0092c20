//! Reading the store from any thread, while it is written.
//!
//! A read names the state it wants to see by sequence number. The index leads to the record's newest version;
//! from there the links lead back to the newest one that is old enough. What the horizon passes while a read
//! is on its way may be gone under its hands: so the read asks at its end whether the horizon has passed its
//! state, and if so begins again with a newer one (when the newest was wanted), or says that the state lies
//! below the horizon.
use super::foresight::{self, Places};
use super::records::MOVED;
use super::shared::Shared;
use super::status::StoreStatus;
use crate::memory::{Fate, Reclaimed, RecordBuf, RecordHeader, RecordView};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where a read puts what it found; made once, used again and again.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    record: RecordBuf,
    found: bool,
}

impl ReadBuffer {
    /// Room for any record.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value that the last read found; empty when it found none.
    pub fn value(&self) -> &[u8] {
        if self.found { self.record.value() } else { &[] }
    }
}

/// Result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The sequence number whose state was read.
    pub as_of: u64,
    /// The record's version, which is the sequence number that wrote it; its value is in the [`ReadBuffer`].
    /// `None`: no such record.
    pub version: Option<u64>,
}

/// Why a read was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The state asked for lies below the declared horizon.
    BelowHorizon {
        /// What was asked for.
        as_of: u64,
        /// The oldest state that can be read now.
        oldest: u64,
    },
    /// The state asked for does not exist yet.
    AheadOfStream {
        /// What was asked for.
        as_of: u64,
        /// The newest there is.
        applied: u64,
    },
    /// No such table is declared.
    UnknownTable(u16),
    /// A key of no byte, or of more than 255.
    KeyLength(usize),
    /// The node keeps the stream, and no records.
    NoStore,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowHorizon { as_of, oldest } => {
                write!(
                    f,
                    "state {as_of} lies below the declared horizon; the oldest that can be read is {oldest}"
                )
            }
            Self::AheadOfStream { as_of, applied } => {
                write!(
                    f,
                    "state {as_of} does not exist yet; the newest is {applied}, wait for it or ask for less"
                )
            }
            Self::UnknownTable(table) => write!(f, "table {table} is not declared on this stream"),
            Self::KeyLength(length) => write!(f, "a key has 1 to 255 bytes, not {length}"),
            Self::NoStore => f.write_str("a rewinder keeps the stream and no records: ask a node"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The writer was faster: what led here is gone.
struct Moved;

impl From<Reclaimed> for Moved {
    fn from(_: Reclaimed) -> Self {
        Self
    }
}

/// Reads a store. Never blocks its writer, takes no lock, allocates nothing.
#[derive(Clone)]
pub struct StoreReader {
    shared: Arc<Shared>,
}

impl StoreReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The last message applied: the newest state that can be read.
    pub fn applied(&self) -> u64 {
        self.shared.applied.get()
    }

    /// The oldest state that can be read now.
    pub fn oldest(&self) -> u64 {
        let horizon_messages = self.shared.horizon_messages.load(Ordering::Relaxed);
        self.shared.floor().max(self.applied().saturating_sub(horizon_messages))
    }

    /// The counts that [`Store::publish_status`](super::Store::publish_status) published last.
    pub fn status(&self) -> StoreStatus {
        self.shared.status.read()
    }

    /// Reads one record in the state that message `as_of` left behind (0: the newest). Several reads with the
    /// same `as_of` see one and the same state.
    pub fn get(
        &self,
        table: u16,
        key: &[u8],
        as_of: u64,
        into: &mut ReadBuffer,
    ) -> Result<Reading, ReadError> {
        into.found = false;
        if !(1..=255).contains(&key.len()) {
            return Err(ReadError::KeyLength(key.len()));
        }
        loop {
            let applied = self.applied();
            let state = if as_of == 0 { applied } else { as_of };
            if state > applied {
                return Err(ReadError::AheadOfStream { as_of, applied });
            }
            let oldest = self.oldest();
            // The newest is always there to be read: if the horizon is beyond it, it is not the newest any
            // more.
            if state < oldest && as_of != 0 {
                return Err(ReadError::BelowHorizon { as_of, oldest });
            }
            let found = self.find(table, key, state, &mut into.record)?;
            if self.shared.floor() > state {
                continue;
            }
            if let Ok(found) = found {
                into.found = found.is_some();
                return Ok(Reading { as_of: state, version: found.map(|header| header.version) });
            }
            std::hint::spin_loop();
        }
    }

    /// Tells of records that will be read one after the other, so that the waits for memory are over before they are: worth it
    /// for two and more, and best for some dozen. Those beyond 256 are passed over. Changes nothing that a read finds.
    pub fn foresee<'k>(&self, keys: impl Iterator<Item = (u16, &'k [u8])>, as_of: u64) {
        let shared = &self.shared;
        let state = if as_of == 0 { self.applied() } else { as_of };
        let mut places = Places::new();
        for (table, key) in keys {
            if let Some(generation) = shared.tables.generation_at(table, state)
                && !places.is_full()
            {
                places.push(shared.index.candidates(shared.hash(table, generation, key)));
            }
        }
        foresight::touch_places(shared, &places);
        foresight::touch_records(shared, &places, true);
    }

    /// The record's version in this state, if it is live there. Right only if the horizon has not passed the
    /// state afterwards.
    fn find(
        &self,
        table: u16,
        key: &[u8],
        state: u64,
        into: &mut RecordBuf,
    ) -> Result<Result<Option<RecordHeader>, Moved>, ReadError> {
        let shared = &self.shared;
        let generation = shared.tables.generation_at(table, state).ok_or(ReadError::UnknownTable(table))?;
        let hash = shared.hash(table, generation, key);
        let log = shared.log.view();
        let front = shared
            .index
            .lookup(hash, |address| log.is_of(log.position(address), table, generation, key) == Ok(true));
        Ok(match front {
            Some(address) => walk(&log, log.position(address), key, state, into),
            None => Ok(None),
        })
    }
}

/// The version that this state shows, in the chain that begins at `front`.
fn walk(
    log: &RecordView<'_>,
    front: u64,
    key: &[u8],
    state: u64,
    into: &mut RecordBuf,
) -> Result<Option<RecordHeader>, Moved> {
    let mut position = front;
    loop {
        let header = log.header(position)?;
        if shows(&header, state) {
            let header = log.read(position, into)?;
            return if into.key() == key { Ok((!header.tombstone).then_some(header)) } else { Err(Moved) };
        }
        let Some(previous) = header.previous else { return Ok(None) };
        position = previous;
    }
}

/// Whether a state shows this version, when it shows none of those before it in the chain.
fn shows(header: &RecordHeader, state: u64) -> bool {
    // The fate of a moved version stands; that of the others may be changing just now.
    let later = match header.fate {
        Fate::Replaced { by } if header.note == MOVED => by > state,
        _ => true,
    };
    header.version <= state && later
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").field("applied", &self.applied()).finish_non_exhaustive()
    }
}
