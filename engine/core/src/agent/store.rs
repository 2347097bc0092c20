//! Applies the stream and writes the outcomes to the acknowledgement ring.
use super::{Agent, Fault};
use crate::bus::stream_reader::{StreamRead, StreamReader};
use crate::counter_set;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::MESSAGE_BYTES_MAX;
use crate::memory::ring::RingWriter;
use crate::store::Store;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::acknowledgement::ACKNOWLEDGEMENT_BYTES;
use gds_wire::envelope::Message;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Messages applied in one duty cycle.
const MESSAGES_PER_DUTY: usize = 256;
/// How old the status that readers see may get while there is work, and how old when there is none.
const STATUS_BUSY_NS: u64 = 20 * MILLISECOND_NS;
const STATUS_IDLE_NS: u64 = 200 * MICROSECOND_NS;

counter_set! {
    /// What the store's agent counts.
    pub struct StoreAgentCounters {
        /// Duty cycles in which it waited for the acknowledgements' journal to take what the ring holds.
        held_back,
    }
}

/// The store with its end of the bus ring and of the acknowledgement ring.
pub struct StoreAgent<D> {
    store: Store,
    source: StreamReader,
    disk: D,
    acknowledgements: RingWriter,
    progress: Arc<Progress>,
    acknowledgement_progress: Arc<Progress>,
    message: Box<[u8]>,
    last_timestamp_ns: u64,
    status_shown_ns: u64,
    status_applied: u64,
    counters: Arc<StoreAgentCounters>,
}

impl<D: Disk> StoreAgent<D> {
    /// `source` stands behind what `store` has applied. Outcomes below the next number of `acknowledgements` are in its journal
    /// already and are not written again.
    pub fn new(
        store: Store,
        source: StreamReader,
        disk: D,
        acknowledgements: RingWriter,
        progress: Arc<Progress>,
        acknowledgement_progress: Arc<Progress>,
    ) -> Self {
        assert_eq!(store.applied() + 1, source.next_sequence(), "the store goes on where it stands");
        Self {
            store,
            source,
            disk,
            acknowledgements,
            progress,
            acknowledgement_progress,
            message: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
            last_timestamp_ns: 0,
            status_shown_ns: 0,
            status_applied: u64::MAX,
            counters: Arc::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The timestamp of the last message applied.
    pub fn last_timestamp_ns(&self) -> u64 {
        self.last_timestamp_ns
    }

    /// What the agent counts; the store has counters of its own.
    pub fn counters(&self) -> Arc<StoreAgentCounters> {
        self.counters.clone()
    }

    /// What reading the stream counts.
    pub fn source(&self) -> &StreamReader {
        &self.source
    }

    fn apply(&mut self, limit: u64) -> Result<usize, Fault> {
        let mut applied = 0;
        while applied < MESSAGES_PER_DUTY {
            // An outcome is written as soon as there is one, so there must be room for it before.
            if self.acknowledgements.room(self.acknowledgement_progress.journalled.get())
                < ACKNOWLEDGEMENT_BYTES
            {
                self.counters.held_back.increment();
                break;
            }
            match self.source.read(limit, &mut self.disk, &mut self.message).map_err(Fault::from)? {
                StreamRead::Message { sequence, length, .. } => self.apply_one(sequence, length),
                StreamRead::Empty => break,
                StreamRead::TooSmall { length } => {
                    return Err(Fault(format!(
                        "message {} of {length} bytes is longer than any can be",
                        self.source.next_sequence()
                    )));
                }
                StreamRead::Gone => {
                    return Err(Fault(format!(
                        "message {} must be applied and is neither in the ring nor in the journal",
                        self.source.next_sequence()
                    )));
                }
            }
            applied += 1;
        }
        Ok(applied)
    }

    fn apply_one(&mut self, sequence: u64, length: usize) {
        let message = &self.message[..length];
        let acknowledgement = self.store.apply(sequence, message);
        if let Ok(message) = Message::parse(message) {
            self.last_timestamp_ns = message.envelope.timestamp_ns();
        }
        if sequence >= self.acknowledgements.next_sequence() {
            self.acknowledgements.append(0, &[acknowledgement.as_bytes()]);
        }
    }
}

impl<D: Disk> Agent for StoreAgent<D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        let applied = self.apply(self.progress.committed.get())?;
        if applied > 0 {
            self.acknowledgements.publish();
            let acknowledged = self.acknowledgements.next_sequence() - 1;
            self.acknowledgement_progress.sequenced.set(acknowledged);
            // The number of an acknowledgement is known to all who have the message: outcomes need no commit of their own.
            self.acknowledgement_progress.committed.set(acknowledged);
            self.progress.applied.set(self.store.applied());
            if self.store.sessions().stream_ended() {
                self.progress.ended.set(self.store.applied());
            }
        }
        let status_ns = if applied > 0 { STATUS_BUSY_NS } else { STATUS_IDLE_NS };
        if self.status_applied != self.store.applied() && now.monotonic_ns >= self.status_shown_ns + status_ns
        {
            self.status_shown_ns = now.monotonic_ns;
            self.status_applied = self.store.applied();
            self.store.publish_status();
        }
        Ok(applied)
    }
}
