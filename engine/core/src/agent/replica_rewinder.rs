//! Answers replicas' requests for older entries.
use super::{Agent, Fault};
use crate::disk::Disk;
use crate::lookout::Lookout;
use crate::port::DatagramPort;
use crate::replication::ReplicaRewinder;
use crate::time::{MICROSECOND_NS, Time};

/// The replicas' rewinder with its port and the journal it reads.
pub struct ReplicaRewinderAgent<P, D> {
    rewinder: ReplicaRewinder,
    port: P,
    disk: D,
    lookout: Lookout,
}

/// A request may wait so long on a silent port.
const PAUSE_NS: u64 = 5 * MICROSECOND_NS;

impl<P: DatagramPort, D: Disk> ReplicaRewinderAgent<P, D> {
    /// `port` is where replicas ask.
    pub fn new(rewinder: ReplicaRewinder, port: P, disk: D) -> Self {
        Self { rewinder, port, disk, lookout: Lookout::new(PAUSE_NS) }
    }
}

impl<P: DatagramPort, D: Disk> Agent for ReplicaRewinderAgent<P, D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        if !self.lookout.is_due(now) {
            return Ok(0);
        }
        let received = self.rewinder.duty(&mut self.disk, &mut self.port);
        self.lookout.found(now, received);
        Ok(received)
    }
}
