//! A few places in the stream, shared by those who read it.
use super::source::Reading;
use crate::bus::{StreamRead, StreamReader};
use crate::disk::Disk;

/// The stream's messages, from ring and journal.
///
/// Ranges and watches share a few stream readers. Each read takes the reader that stands at the number wanted, else the one not
/// used for longest: so as many of them as there are readers go on in their journal segment without looking for it again.
pub(super) struct StreamReaders {
    readers: Vec<(u64, StreamReader)>,
    reads: u64,
}

impl StreamReaders {
    /// Over these.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(readers: Vec<StreamReader>) -> Self {
        assert!(!readers.is_empty(), "ranges and watches need a stream reader");
        Self { readers: readers.into_iter().map(|reader| (0, reader)).collect(), reads: 0 }
    }

    /// The oldest message that the journal keeps; `None` while it has none.
    pub fn first_kept(&mut self, disk: &mut dyn Disk) -> Option<u64> {
        let (_, reader) = &mut self.readers[0];
        // Where the disk cannot be read, what it knew stands: a reader that needs the disk says why.
        let _ = reader.refresh(disk);
        reader.first_kept()
    }

    /// As [`Source::read`](super::source::Source::read).
    pub fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading {
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
            Ok(StreamRead::Message { epoch, chain, length, .. }) => {
                Reading::Message { length, epoch, chain: Some(chain) }
            }
            Ok(StreamRead::Empty) => Reading::Empty,
            Ok(StreamRead::TooSmall { .. }) => Reading::TooSmall,
            Ok(StreamRead::Gone) => Reading::Gone,
            Err(_) => Reading::Failed,
        }
    }
}
