//! Writes a stream's ring to its journal.
use super::{Agent, Fault};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::{JournalCounters, JournalWriter};
use crate::memory::ring::RingReader;
use crate::time::Time;
use std::sync::Arc;

/// A journal writer with its end of the ring and its disk. One for the bus, one for the acknowledgements.
pub struct JournalAgent<D> {
    writer: JournalWriter,
    source: RingReader,
    disk: D,
    progress: Arc<Progress>,
}

impl<D: Disk> JournalAgent<D> {
    /// `source` stands at the writer's next message. `progress` is the stream's.
    pub fn new(writer: JournalWriter, source: RingReader, disk: D, progress: Arc<Progress>) -> Self {
        assert_eq!(writer.next_sequence(), source.next_sequence(), "the journal goes on where it ended");
        Self { writer, source, disk, progress }
    }

    /// Nothing is on its way to the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.writer.is_quiet()
    }

    /// Goes on with another handle to the same disk.
    pub(super) fn exchange_disk(&mut self, disk: D) {
        assert!(self.is_quiet(), "a write on its way belongs to the handle it was given to");
        self.disk = disk;
    }

    /// What the journal counts.
    pub fn counters(&self) -> Arc<JournalCounters> {
        self.writer.counters().clone()
    }
}

impl<D: Disk> Agent for JournalAgent<D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        // The journal takes what is not committed yet: with durability `fsync`, being here is what commits it.
        self.writer.duty(now, &mut self.source, u64::MAX, &mut self.disk, &self.progress).map_err(Fault::from)
    }

    fn close(&mut self, now: Time) -> Result<(), Fault> {
        let closed = self.writer.close(now, &mut self.source, u64::MAX, &mut self.disk, &self.progress);
        // Without room for the clean end the journal is as after a crash, which loses nothing that was written.
        closed.map(|_| ()).map_err(Fault::from)
    }
}
