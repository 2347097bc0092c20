//! Takes client packets and puts their messages into one order.
use super::{Agent, Fault};
use crate::bus::sequencer::Sequencer;
use crate::port::DatagramPort;
use crate::replication::{RegisterPort, Replication};
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
    /// Take nothing more and let another node lead, as long as this is set.
    pub hand_over: AtomicBool,
    /// The ring does not outlive this process any more: from here on only what the journal has is committed.
    pub ring_lost: AtomicBool,
    /// The sequencer has heard that, and says so. What it had committed before may be in the ring alone.
    pub ring_loss_heard: AtomicBool,
}

/// A member's part of replication: its role machine, its port, and its way to the register.
pub struct Membership<P> {
    /// The role machine.
    pub replication: Replication,
    /// Receives what is sent to this node alone, and sends.
    pub port: P,
    /// Receives the replication group.
    pub group: P,
    /// The register.
    pub register: Box<dyn RegisterPort + Send>,
}

/// The sequencer with its ingress port, and with its membership in a cluster, if it is in one.
pub struct SequencerAgent<P> {
    sequencer: Sequencer,
    port: P,
    orders: Arc<SequencerOrders>,
    membership: Option<Membership<P>>,
}

impl<P: DatagramPort> SequencerAgent<P> {
    /// `port` receives the ingress groups, and what is sent to it alone (answers to its requests).
    pub fn new(sequencer: Sequencer, port: P, orders: Arc<SequencerOrders>) -> Self {
        Self { sequencer, port, orders, membership: None }
    }

    /// In a cluster: leads or follows as its membership says.
    pub fn with_membership(mut self, membership: Membership<P>) -> Self {
        self.membership = Some(membership);
        self
    }

    /// The sequencer itself.
    pub fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Its membership.
    pub fn membership(&self) -> Option<&Membership<P>> {
        self.membership.as_ref()
    }
}

impl<P: DatagramPort> Agent for SequencerAgent<P> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        let Self { sequencer, port, orders, membership } = self;
        if orders.end_stream.load(Ordering::Acquire) && sequencer.end_stream(now).is_ok() {
            orders.end_stream.store(false, Ordering::Release);
        }
        if orders.ring_lost.load(Ordering::Acquire) && !orders.ring_loss_heard.load(Ordering::Relaxed) {
            sequencer.commit_what_is_journalled();
            orders.ring_loss_heard.store(true, Ordering::Release);
        }
        let drains = orders.drain.load(Ordering::Acquire);
        let received = if drains { 0 } else { sequencer.receive(now, port, DATAGRAMS_PER_DUTY) };
        if received == 0 {
            sequencer.touch_next();
        }
        let Some(Membership { replication, port: own, group, register }) = membership else {
            sequencer.finish_batch();
            sequencer.flush(port);
            return Ok(received);
        };
        if !replication.is_leading() {
            // Done, or nothing to hand over: an order is for this leadership alone.
            orders.hand_over.store(false, Ordering::Release);
        }
        replication.hand_over(drains || orders.hand_over.load(Ordering::Acquire));
        sequencer.publish_batch();
        let replicated =
            replication.duty(now, sequencer, own, group, register.as_mut()).map_err(Fault::from)?;
        sequencer.flush(port);
        Ok(received + replicated)
    }
}
