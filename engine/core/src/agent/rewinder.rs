//! Answers request packets for both streams.
use super::{Agent, Fault};
use crate::bus::rewinder::Rewinder;
use crate::disk::Disk;
use crate::lookout::Lookout;
use crate::port::DatagramPort;
use crate::time::{MICROSECOND_NS, Time};

/// A rewinder with its port and a journal per source.
pub struct RewinderAgent<P, D> {
    rewinder: Rewinder,
    port: P,
    bus: D,
    acknowledgements: D,
    lookout: Lookout,
}

/// A request may wait so long on a silent port: little beside the time that a requester waits before it asks.
const PAUSE_NS: u64 = 10 * MICROSECOND_NS;

impl<P: DatagramPort, D: Disk> RewinderAgent<P, D> {
    /// The rewinder's first source is the bus, its second the acknowledgements.
    pub fn new(rewinder: Rewinder, port: P, bus: D, acknowledgements: D) -> Self {
        assert_eq!(rewinder.sources().len(), 2, "a node's rewinder serves the bus and the acknowledgements");
        Self { rewinder, port, bus, acknowledgements, lookout: Lookout::new(PAUSE_NS) }
    }
}

impl<P: DatagramPort, D: Disk> Agent for RewinderAgent<P, D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        if !self.lookout.is_due(now) {
            return Ok(0);
        }
        let mut disks: [&mut dyn Disk; 2] = [&mut self.bus, &mut self.acknowledgements];
        let received = self.rewinder.duty(now, &mut disks, &mut self.port);
        self.lookout.found(now, received);
        Ok(received)
    }
}
