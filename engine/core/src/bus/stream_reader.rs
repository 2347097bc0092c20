//! Reads a stream from the ring, and what the ring no longer has from the journal.
use crate::disk::{Disk, DiskError};
use crate::journal::{JournalError, JournalRead, JournalReader, Unreadable};
use crate::memory::{Read, RingReader};
use std::sync::Arc;

crate::counter_set! {
    /// Where a stream reader got its messages.
    pub struct StreamReaderCounters {
        /// Messages read from the journal because the ring had overwritten them.
        from_journal,
        /// Messages asked for that neither the ring nor the journal has any more.
        gone,
    }
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRead {
    /// One message, its bytes at the front of the buffer. The reader is at the next.
    Message {
        /// Its number.
        sequence: u64,
        /// The epoch it was first numbered under.
        epoch: u32,
        /// The running checksum of all messages up to it.
        chain: u64,
        /// Its bytes.
        length: usize,
    },
    /// Nothing there yet, or nothing up to the limit.
    Empty,
    /// The buffer is too small. The reader stays where it is.
    TooSmall {
        /// Bytes that the message has.
        length: usize,
    },
    /// The message is older than anything kept. The reader stays where it is.
    Gone,
}

/// A cursor in a stream.
pub struct StreamReader {
    ring: RingReader,
    journal: Option<JournalReader>,
    /// Where what cannot be read is told.
    unreadable: Arc<Unreadable>,
    counters: Arc<StreamReaderCounters>,
}

impl StreamReader {
    /// A reader that begins where the ring's reader stands. Without a journal, what the ring has overwritten is gone.
    pub fn new(ring: RingReader, journal: Option<JournalReader>) -> Self {
        Self { ring, journal, unreadable: Arc::default(), counters: Arc::default() }
    }

    /// Tells there what it cannot read of the journal.
    #[must_use]
    pub fn telling(mut self, unreadable: Arc<Unreadable>) -> Self {
        self.unreadable = unreadable;
        self
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<StreamReaderCounters> {
        &self.counters
    }

    /// The number of the message that is read next.
    pub fn next_sequence(&self) -> u64 {
        self.ring.next_sequence()
    }

    /// Goes to another message, which need not be there.
    pub fn seek(&mut self, sequence: u64) {
        self.ring.seek(sequence);
    }

    /// Looks which segments the journal has now: the oldest may have been removed, or come since the reader last looked.
    pub fn refresh(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.refresh(disk))
    }

    /// Number of the first message that the journal keeps, as far as the reader has looked; `None` without a journal or a message.
    pub fn first_kept(&self) -> Option<u64> {
        self.journal.as_ref().and_then(JournalReader::first_kept)
    }

    /// Copies the next message into `into`, if there is one that is not above `limit`. Only a message that the ring has overwritten
    /// costs a look at `disk`, and that may wait.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, or does not have what it must have.
    pub fn read(
        &mut self,
        limit: u64,
        disk: &mut dyn Disk,
        into: &mut [u8],
    ) -> Result<StreamRead, JournalError> {
        match self.ring.read(limit, into) {
            Read::Message { sequence, epoch, chain, length } => {
                Ok(StreamRead::Message { sequence, epoch, chain, length })
            }
            Read::Empty => Ok(StreamRead::Empty),
            Read::TooSmall { length } => Ok(StreamRead::TooSmall { length }),
            Read::Overrun => self.read_journal(disk, into).inspect_err(|error| self.unreadable.note(error)),
        }
    }

    fn read_journal(&mut self, disk: &mut dyn Disk, into: &mut [u8]) -> Result<StreamRead, JournalError> {
        let sequence = self.ring.next_sequence();
        let Some(journal) = &mut self.journal else {
            self.counters.gone.increment();
            return Ok(StreamRead::Gone);
        };
        match journal.read(sequence, disk, into)? {
            JournalRead::Message { length, epoch, chain } => {
                self.counters.from_journal.increment();
                self.ring.seek(sequence + 1);
                Ok(StreamRead::Message { sequence, epoch, chain, length })
            }
            JournalRead::TooSmall { length } => Ok(StreamRead::TooSmall { length }),
            JournalRead::Absent if !journal.should_have(sequence) => {
                self.counters.gone.increment();
                Ok(StreamRead::Gone)
            }
            // The ring overwrites only what the journal has.
            JournalRead::Absent => Err(journal.damage(sequence, disk)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
