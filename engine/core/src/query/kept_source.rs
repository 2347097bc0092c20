//! What a node that only rewinds answers queries from: the stream, and no store.
//!
//! Packets carry no running checksum. One that has kept the stream from message 1 on knows it by its own count; one that began in the middle does not.
use super::source::{Found, Reading, Source};
use super::stream_readers::StreamReaders;
use crate::bus::StreamReader;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::store::{ReadError, StoreStatus};
use std::sync::Arc;

/// The stream's messages, from ring and journal. What is kept counts as applied and published; there are no records.
pub struct KeptSource {
    readers: StreamReaders,
    progress: Arc<Progress>,
    first_kept: u64,
}

impl KeptSource {
    /// A source over these; nothing from `first_kept` on is ever removed.
    ///
    /// # Panics
    /// When there is no stream reader.
    pub fn new(readers: Vec<StreamReader>, progress: Arc<Progress>, first_kept: u64) -> Self {
        Self { readers: StreamReaders::new(readers), progress, first_kept }
    }
}

impl Source for KeptSource {
    fn applied(&self) -> u64 {
        self.committed()
    }

    fn committed(&self) -> u64 {
        self.progress.committed.get()
    }

    fn published(&self) -> u64 {
        self.progress.published.get()
    }

    fn first_kept(&mut self, _: &mut dyn Disk) -> u64 {
        self.first_kept
    }

    fn get(&mut self, _: u16, _: &[u8], _: u64) -> Result<Found<'_>, ReadError> {
        Err(ReadError::NoStore)
    }

    fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading {
        match self.readers.read(sequence, limit, disk, into) {
            Reading::Message { length, chain, .. } => {
                Reading::Message { length, epoch: 0, chain: chain.filter(|_| self.first_kept == 1) }
            }
            other => other,
        }
    }

    fn store_status(&self) -> StoreStatus {
        StoreStatus { applied: self.committed(), ..StoreStatus::default() }
    }
}
