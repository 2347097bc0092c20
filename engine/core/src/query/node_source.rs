//! A node's store and stream, as the query engine reads them.
use super::source::{Found, Reading, Source};
use super::stream_readers::StreamReaders;
use crate::bus::StreamReader;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::store::{ReadBuffer, ReadError, StoreReader, StoreStatus};
use std::sync::Arc;

/// The store's records and the stream's messages, from ring and journal.
pub struct NodeSource {
    store: StoreReader,
    record: ReadBuffer,
    readers: StreamReaders,
    progress: Arc<Progress>,
}

impl NodeSource {
    /// A source over these.
    ///
    /// # Panics
    /// When there is no stream reader.
    pub fn new(store: StoreReader, readers: Vec<StreamReader>, progress: Arc<Progress>) -> Self {
        Self { store, record: ReadBuffer::new(), readers: StreamReaders::new(readers), progress }
    }
}

impl Source for NodeSource {
    fn applied(&self) -> u64 {
        self.store.applied()
    }

    fn committed(&self) -> u64 {
        self.progress.committed.get()
    }

    fn published(&self) -> u64 {
        self.progress.published.get()
    }

    fn first_kept(&mut self, disk: &mut dyn Disk) -> u64 {
        self.readers.first_kept(disk).unwrap_or(1)
    }

    fn foresee(&mut self, keys: &mut dyn Iterator<Item = (u16, &[u8])>, as_of: u64) {
        self.store.foresee(keys, as_of);
    }

    fn get(&mut self, table: u16, key: &[u8], as_of: u64) -> Result<Found<'_>, ReadError> {
        let reading = self.store.get(table, key, as_of, &mut self.record)?;
        Ok(Found { sequence: reading.as_of, version: reading.version, value: self.record.value() })
    }

    fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading {
        self.readers.read(sequence, limit, disk, into)
    }

    fn store_status(&self) -> StoreStatus {
        self.store.status()
    }
}
