//! Sends a stream to its group.
use super::{Agent, Fault};
use crate::bus::publisher::Publisher;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
use crate::replication::Leadership;
use crate::time::Time;
use std::sync::Arc;

/// A publisher with its port and the journal it falls back on. One for the bus, one for the acknowledgements.
pub struct PublisherAgent<P, D> {
    publisher: Publisher,
    port: P,
    disk: D,
    progress: Arc<Progress>,
    /// The last number of the stream once it has ended elsewhere: the acknowledgements end when the bus does.
    ends_with: Option<Arc<Progress>>,
    /// Only the leader publishes.
    leadership: Arc<Leadership>,
}

/// What a new leader publishes once more: the old one may have committed it, and died before it had sent it. What is further back
/// a receiver asks for.
const REPEATED_MESSAGES: u64 = 256;

impl<P: DatagramPort, D: Disk> PublisherAgent<P, D> {
    /// `progress` is the stream's.
    pub fn new(publisher: Publisher, port: P, disk: D, progress: Arc<Progress>) -> Self {
        // A node that is started after the end says so again, though it publishes nothing any more.
        let ends_with = Some(progress.clone());
        Self { publisher, port, disk, progress, ends_with, leadership: Arc::new(Leadership::alone()) }
    }

    /// For the acknowledgements: ends when the bus, whose progress this is, has ended and all of it is acknowledged.
    pub fn ending_with(mut self, bus: Arc<Progress>) -> Self {
        self.ends_with = Some(bus);
        self
    }

    /// In a cluster: publishes while the node leads, and is silent otherwise.
    pub fn led_by(mut self, leadership: Arc<Leadership>) -> Self {
        self.leadership = leadership;
        self
    }

    /// The publisher itself.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }
}

impl<P: DatagramPort, D: Disk> Agent for PublisherAgent<P, D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        if let Some(bus) = &self.ends_with
            && bus.ended.get() > 0
        {
            self.publisher.end_after(bus.ended.get());
            self.ends_with = None;
        }
        let ignores = active(Mutation::PublisherIgnoresCommit);
        let limit = if ignores { self.progress.sequenced.get() } else { self.progress.committed.get() };
        if !self.leadership.is_leading() {
            // The next message to publish stays a little behind what is committed.
            self.publisher.pass(now, limit.saturating_sub(REPEATED_MESSAGES));
            self.progress.published.set(limit);
            return Ok(0);
        }
        let sent = self.publisher.duty(now, limit, &mut self.disk, &mut self.port).map_err(Fault::from)?;
        self.progress.published.set(self.publisher.published());
        self.progress.finished.set(u64::from(self.publisher.finished()));
        Ok(sent)
    }
}
