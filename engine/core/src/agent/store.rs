//! Applies the stream and writes the outcomes to the acknowledgement ring.
use super::images::{ImageDesk, ImagePort};
use super::{Agent, Fault};
use crate::bus::stream_reader::{StreamRead, StreamReader};
use crate::counter_set;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::MESSAGE_BYTES_MAX;
use crate::memory::ring::RingWriter;
use crate::mutation::{Mutation, active};
use crate::replication::Digests;
use crate::store::{MESSAGES_TOGETHER, Store};
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use arrayvec::ArrayVec;
use gds_wire::acknowledgement::ACKNOWLEDGEMENT_BYTES;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Messages applied in one duty cycle.
const MESSAGES_PER_DUTY: usize = 256;
/// Bytes of messages read together, beside the longest one: more than as many of the usual size as are applied together.
const TOGETHER_BYTES: usize = 32 << 10;
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
    messages: Messages,
    status_shown_ns: u64,
    status_applied: u64,
    counters: Arc<StoreAgentCounters>,
    /// For whoever takes snapshots.
    images: Option<ImageDesk>,
    /// Where it leaves its digests, in a cluster.
    digests: Option<Arc<Digests>>,
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
        let agent = Self {
            store,
            source,
            disk,
            acknowledgements,
            progress,
            acknowledgement_progress,
            messages: Messages::new(),
            status_shown_ns: 0,
            status_applied: u64::MAX,
            digests: None,
            counters: Arc::default(),
            images: None,
        };
        agent.show_applied();
        agent
    }

    fn show_applied(&self) {
        self.progress.applied.set(self.store.applied());
        if self.store.sessions().stream_ended() {
            self.progress.ended.set(self.store.applied());
        }
    }

    /// From now on makes images for the one with the other end.
    pub fn offer_images(&mut self) -> ImagePort {
        let (desk, port) = ImageDesk::open(&self.store);
        self.images = Some(desk);
        port
    }

    /// From here it leaves its digests there.
    pub fn note_digests(&mut self, digests: Arc<Digests>) {
        self.digests = Some(digests);
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The timestamp of the last message applied.
    pub fn last_timestamp_ns(&self) -> u64 {
        self.store.timestamp_ns()
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
        while applied < MESSAGES_PER_DUTY && self.source.next_sequence() <= limit {
            // A digest is that behind one certain message, so nothing is applied together with what follows it.
            let stop =
                self.digests.as_ref().map_or(u64::MAX, |digests| digests.next_after(self.store.applied()));
            self.read(limit.min(stop))?;
            let together = self.apply_read();
            if let Some(digests) = self.digests.as_ref().filter(|_| self.store.applied() == stop) {
                digests.note(stop, self.store.digest());
            }
            if together == 0 {
                break;
            }
            applied += together;
        }
        Ok(applied)
    }

    /// A digest that is wanted behind the last message applied: nothing need follow it.
    fn note_wanted_digest(&mut self) {
        let applied = self.store.applied();
        if let Some(digests) = self.digests.as_ref().filter(|digests| digests.lacks(applied)) {
            digests.note(applied, self.store.digest());
        }
    }

    /// Reads the messages that are applied together next: as many as are there.
    fn read(&mut self, limit: u64) -> Result<(), Fault> {
        self.messages.clear();
        // An outcome is written as soon as there is one, so there must be room for it before.
        let gate = self.acknowledgement_progress.journalled.get();
        let room = self.acknowledgements.room_for(gate, ACKNOWLEDGEMENT_BYTES);
        if room == 0 {
            self.counters.held_back.increment();
        }
        while self.messages.count() < room.min(MESSAGES_TOGETHER) {
            let next = self.source.next_sequence();
            match self.source.read(limit, &mut self.disk, self.messages.room()).map_err(Fault::from)? {
                StreamRead::Message { length, .. } => {
                    let declared = self.store.declaration_in(&self.messages.room()[..length]);
                    self.messages.push(length);
                    match declared {
                        None => {}
                        // The next one is looked at when this one is applied.
                        Some(Ok(())) => break,
                        Some(Err(why)) => {
                            return Err(Fault(format!("message {next} cannot be applied: {why}")));
                        }
                    }
                }
                StreamRead::Empty => break,
                StreamRead::TooSmall { .. } if self.messages.count() > 0 => break,
                StreamRead::TooSmall { length } => {
                    return Err(Fault(format!("message {next} of {length} bytes is longer than any can be")));
                }
                StreamRead::Gone => {
                    return Err(Fault(format!(
                        "message {next} must be applied and is neither in the ring nor in the journal"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Applies the messages read; returns how many.
    fn apply_read(&mut self) -> usize {
        let Self { store, messages, acknowledgements, .. } = self;
        let first = store.applied() + 1;
        store.apply_all(first, messages.iter(), |sequence, acknowledgement| {
            if sequence >= acknowledgements.next_sequence() {
                acknowledgements.append(0, &[acknowledgement.as_bytes()]);
            }
        });
        messages.count()
    }
}

/// Messages one behind the other.
struct Messages {
    bytes: Box<[u8]>,
    ends: ArrayVec<usize, MESSAGES_TOGETHER>,
}

impl Messages {
    fn new() -> Self {
        Self { bytes: vec![0; TOGETHER_BYTES + MESSAGE_BYTES_MAX].into_boxed_slice(), ends: ArrayVec::new() }
    }

    fn clear(&mut self) {
        self.ends.clear();
    }

    fn count(&self) -> usize {
        self.ends.len()
    }

    /// Where the next message goes.
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.ends.last().copied().unwrap_or(0)..]
    }

    /// There is a message of so many bytes at the front of the room.
    fn push(&mut self, length: usize) {
        self.ends.push(self.ends.last().copied().unwrap_or(0) + length);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(&begin, &end)| &self.bytes[begin..end])
    }
}

impl<D: Disk> Agent for StoreAgent<D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        let ahead = active(Mutation::QueryAhead);
        let limit = if ahead { self.progress.sequenced.get() } else { self.progress.committed.get() };
        self.note_wanted_digest();
        let applied = self.apply(limit)?;
        if applied > 0 {
            self.acknowledgements.publish();
            let acknowledged = self.acknowledgements.next_sequence() - 1;
            self.acknowledgement_progress.sequenced.set(acknowledged);
            // The number of an acknowledgement is known to all who have the message: outcomes need no commit of their own.
            self.acknowledgement_progress.committed.set(acknowledged);
            self.show_applied();
        } else {
            self.store.touch_next();
            self.acknowledgements.touch_next();
        }
        let status_ns = if applied > 0 { STATUS_BUSY_NS } else { STATUS_IDLE_NS };
        if self.status_applied != self.store.applied() && now.monotonic_ns >= self.status_shown_ns + status_ns
        {
            self.status_shown_ns = now.monotonic_ns;
            self.status_applied = self.store.applied();
            self.store.publish_status();
        }
        let imaged = self.images.as_mut().map_or(0, |images| images.duty(&mut self.store));
        Ok(applied + imaged)
    }
}
