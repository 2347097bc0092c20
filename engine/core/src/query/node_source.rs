//! A node's store and stream, as the query engine reads them.
use super::source::{Found, Reading, Source};
use crate::bus::{StreamRead, StreamReader};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::store::{ReadBuffer, ReadError, StoreReader, StoreStatus};
use std::sync::Arc;

/// The store's records and the stream's messages, from ring and journal.
///
/// Ranges and watches share a few stream readers. Each read takes the reader that stands at the number wanted, else the one not
/// used for longest: so as many of them as there are readers go on in their journal segment without looking for it again.
pub struct NodeSource {
    store: StoreReader,
    record: ReadBuffer,
    readers: Vec<(u64, StreamReader)>,
    reads: u64,
    progress: Arc<Progress>,
}

impl NodeSource {
    /// A source over these.
    ///
    /// # Panics
    /// When there is no stream reader.
    pub fn new(store: StoreReader, readers: Vec<StreamReader>, progress: Arc<Progress>) -> Self {
        assert!(!readers.is_empty(), "ranges and watches need a stream reader");
        let readers = readers.into_iter().map(|reader| (0, reader)).collect();
        Self { store, record: ReadBuffer::new(), readers, reads: 0, progress }
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

    fn first_kept(&mut self, _: &mut dyn Disk) -> u64 {
        // The oldest segments may have been removed since some of them looked.
        self.readers.iter().filter_map(|(_, reader)| reader.first_kept()).max().unwrap_or(1)
    }

    fn foresee(&mut self, keys: &mut dyn Iterator<Item = (u16, &[u8])>, as_of: u64) {
        self.store.foresee(keys, as_of);
    }

    fn get(&mut self, table: u16, key: &[u8], as_of: u64) -> Result<Found<'_>, ReadError> {
        let reading = self.store.get(table, key, as_of, &mut self.record)?;
        Ok(Found { sequence: reading.as_of, version: reading.version, value: self.record.value() })
    }

    fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading {
        self.reads += 1;
        let there = self.readers.iter().position(|(_, reader)| reader.next_sequence() == sequence);
        let at = there.unwrap_or_else(|| {
            let oldest = self.readers.iter().enumerate().min_by_key(|(_, (used, _))| *used);
            oldest.expect("there is a reader").0
        });
        let (used, reader) = &mut self.readers[at];
        *used = self.reads;
        if there.is_none() {
            reader.seek(sequence);
        }
        match reader.read(limit, disk, into) {
            Ok(StreamRead::Message { length, .. }) => Reading::Message(length),
            Ok(StreamRead::Empty) => Reading::Empty,
            Ok(StreamRead::TooSmall { .. }) => Reading::TooSmall,
            Ok(StreamRead::Gone) => Reading::Gone,
            Err(_) => Reading::Failed,
        }
    }

    fn store_status(&self) -> StoreStatus {
        self.store.status()
    }
}
