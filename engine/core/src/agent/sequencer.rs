//! Takes client packets and puts their messages into one order.
use super::{Agent, Fault};
use crate::bus::sequencer::Sequencer;
use crate::port::DatagramPort;
use crate::time::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Datagrams taken in one duty cycle: enough to make batches worth their while, few enough that the agents behind are not kept waiting.
const DATAGRAMS_PER_DUTY: usize = 32;

/// What the sequencer is told from outside.
#[derive(Debug, Default)]
pub struct SequencerOrders {
    /// Take nothing more; the node is about to stop.
    pub drain: AtomicBool,
    /// End the stream for good, once.
    pub end_stream: AtomicBool,
}

/// The sequencer with its ingress port.
pub struct SequencerAgent<P> {
    sequencer: Sequencer,
    port: P,
    orders: Arc<SequencerOrders>,
}

impl<P: DatagramPort> SequencerAgent<P> {
    /// `port` receives the ingress groups, and what is sent to it alone (answers to its requests).
    pub fn new(sequencer: Sequencer, port: P, orders: Arc<SequencerOrders>) -> Self {
        Self { sequencer, port, orders }
    }

    /// The sequencer itself.
    pub fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }
}

impl<P: DatagramPort> Agent for SequencerAgent<P> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        if self.orders.end_stream.load(Ordering::Acquire) && self.sequencer.end_stream(now).is_ok() {
            self.orders.end_stream.store(false, Ordering::Release);
        }
        if self.orders.drain.load(Ordering::Acquire) {
            self.sequencer.finish_batch();
            return Ok(0);
        }
        Ok(self.sequencer.duty(now, &mut self.port, DATAGRAMS_PER_DUTY))
    }
}
