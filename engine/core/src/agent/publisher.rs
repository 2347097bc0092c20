//! Sends a stream to its group.
use super::{Agent, Fault};
use crate::bus::publisher::Publisher;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
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
}

impl<P: DatagramPort, D: Disk> PublisherAgent<P, D> {
    /// `progress` is the stream's.
    pub fn new(publisher: Publisher, port: P, disk: D, progress: Arc<Progress>) -> Self {
        // A node that is started after the end says so again, though it publishes nothing any more.
        let ends_with = Some(progress.clone());
        Self { publisher, port, disk, progress, ends_with }
    }

    /// For the acknowledgements: ends when the bus, whose progress this is, has ended and all of it is acknowledged.
    pub fn ending_with(mut self, bus: Arc<Progress>) -> Self {
        self.ends_with = Some(bus);
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
        let sent = self.publisher.duty(now, limit, &mut self.disk, &mut self.port).map_err(Fault::from)?;
        self.progress.published.set(self.publisher.published());
        self.progress.finished.set(u64::from(self.publisher.finished()));
        Ok(sent)
    }
}
