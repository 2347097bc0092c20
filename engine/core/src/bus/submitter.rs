//! The submitter: the client's side of the bus.
//!
//! It numbers the client's blocks from 1 in the client's own session, packs them into MoldUDP64 packets to the ingress group, packets of equal
//! length into bursts, and keeps each block until its acknowledgement has come. What is not acknowledged after half a millisecond is sent again, then after twice that, and so on;
//! since ingress takes every number once, resending is always safe. Acknowledgements come from a [`Receiver`](super::Receiver) on the
//! acknowledgement session, so none is missed. Request packets for the session are answered to the ingress groups, where
//! standbys hear it too.
//!
//! A session is one life of one client: a client that does not know what it sent takes a new name.
mod event;

pub use event::{SubmitError, SubmitEvent, SubmitterCounters};

use super::burst::Burst;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS, Time};
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::mold::{self, PacketBuilder, Request};
use gds_wire::refusal::{Refusal, RefusalReason};
use gds_wire::session::Session;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// What a [`Submitter`] needs to know.
#[derive(Clone, Debug)]
pub struct SubmitterConfig {
    /// The client's session, its identity; never used before.
    pub session: Session,
    /// The ingress groups sent to: one, or the lines A and B.
    pub groups: Vec<SocketAddrV4>,
    /// The largest packet.
    pub payload_bytes_max: usize,
    /// Most blocks waiting for their acknowledgement.
    pub window_messages: usize,
    /// Most bytes of these.
    pub window_bytes: usize,
    /// The oldest block is sent again when neither it was sent nor anything was acknowledged for this long; doubles.
    pub resend_ns: u64,
    /// ... up to this.
    pub resend_ns_max: u64,
    /// How many packets are sent again at first; doubles too, sixteenfold at most.
    pub resend_packets: usize,
    /// After a refusal nothing is sent again for this long.
    pub refusal_ns: u64,
    /// A heartbeat after this much silence.
    pub heartbeat_ns: u64,
}

impl SubmitterConfig {
    /// The ordinary bounds and times.
    pub fn new(session: Session, group: SocketAddrV4) -> Self {
        Self {
            session,
            groups: vec![group],
            payload_bytes_max: mold::MAX_PAYLOAD_BYTES,
            window_messages: 4096,
            window_bytes: 1 << 20,
            resend_ns: 500 * MICROSECOND_NS,
            resend_ns_max: 100 * MILLISECOND_NS,
            resend_packets: 4,
            refusal_ns: 10 * MILLISECOND_NS,
            heartbeat_ns: SECOND_NS,
        }
    }
}

/// A block that waits for its acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Where its bytes are, counted on without end ...
    position: u64,
    /// ... and in the window.
    start: usize,
    length: u32,
    checksum: u32,
    sent_ns: u64,
}

/// Submits one client's blocks.
pub struct Submitter {
    config: SubmitterConfig,
    /// Blocks `first..next`, oldest first.
    waiting: VecDeque<Waiting>,
    bytes: Vec<u8>,
    /// Where the newest block ends.
    end: Place,
    first: u64,
    unsent: u64,
    next: u64,
    progress_ns: u64,
    /// Resends since the last progress.
    attempts: u32,
    /// Nothing is sent again before this time.
    held_until_ns: u64,
    last_sent_ns: u64,
    ending: Option<Ending>,
    stream_ended: bool,
    /// Packets built and not sent yet; empty between calls.
    burst: Burst,
    counters: Arc<SubmitterCounters>,
}

/// A place in the window: counted on without end, and in the window.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    start: usize,
}

/// The end of session, on its way.
#[derive(Clone, Copy, Debug)]
struct Ending {
    due_ns: u64,
    attempts: u32,
    acknowledged: bool,
}

/// Sends a burst: datagrams to one address, one behind another, each of this many bytes, the last one possibly of fewer.
pub type Send<'a> = &'a mut dyn FnMut(SocketAddrV4, &[u8], usize);

impl Submitter {
    /// A submitter that has sent nothing. All its memory is taken here.
    pub fn new(config: SubmitterConfig) -> Self {
        let length_max = block_bytes_max(&config);
        assert!(
            length_max > 0 && config.window_messages > 0 && config.resend_ns > 0 && config.resend_packets > 0
        );
        assert!(
            config.window_bytes >= 2 * length_max,
            "the window must hold two blocks of {length_max} bytes"
        );
        Self {
            waiting: VecDeque::with_capacity(config.window_messages),
            bytes: vec![0; config.window_bytes],
            end: Place { position: 0, start: 0 },
            first: 1,
            unsent: 1,
            next: 1,
            progress_ns: 0,
            attempts: 0,
            held_until_ns: 0,
            last_sent_ns: 0,
            ending: None,
            stream_ended: false,
            burst: Burst::new(config.payload_bytes_max),
            counters: Arc::default(),
            config,
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<SubmitterCounters> {
        &self.counters
    }

    /// The client's session.
    pub fn session(&self) -> Session {
        self.config.session
    }

    /// The number the next block gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// How many blocks wait for their acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }

    /// True once the session's end has been acknowledged.
    pub fn finished(&self) -> bool {
        self.ending.is_some_and(|ending| ending.acknowledged)
    }

    /// Takes a block; returns its number. It leaves with the next [`Submitter::flush`], in a packet with its neighbours.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`]; nothing changed then.
    pub fn submit(&mut self, block: &[u8]) -> Result<u64, SubmitError> {
        let length_max = block_bytes_max(&self.config);
        if self.stream_ended {
            return Err(SubmitError::StreamEnded);
        }
        if self.ending.is_some() {
            return Err(SubmitError::Ended);
        }
        if block.len() > length_max {
            return Err(SubmitError::TooLong { length: block.len(), length_max });
        }
        let Some(Place { position, start }) = self.place_for(block.len()) else {
            self.counters.window_full.increment();
            return Err(SubmitError::Full);
        };
        let end = start + block.len();
        self.bytes[start..end].copy_from_slice(block);
        self.end = Place { position: position + block.len() as u64, start: end };
        let (length, checksum) = (block.len() as u32, gds_wire::checksum(block));
        self.waiting.push_back(Waiting { position, start, length, checksum, sent_ns: 0 });
        self.counters.submitted.increment();
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Ends the session once everything submitted is taken.
    pub fn end(&mut self) {
        self.ending.get_or_insert(Ending { due_ns: 0, attempts: 0, acknowledged: false });
    }

    /// Sends what was submitted and not sent yet; returns how many packets.
    pub fn flush(&mut self, now: Time, send: Send<'_>) -> usize {
        if self.unsent == self.next {
            return 0;
        }
        if self.unsent == self.first {
            // Nothing was outstanding: the clock of resending starts now.
            (self.progress_ns, self.attempts) = (now.monotonic_ns, 0);
        }
        let packets = self.send_packets(now, self.unsent..self.next, usize::MAX, send);
        self.unsent = self.next;
        self.counters.packets.add(packets as u64);
        packets
    }

    /// Sends what is due: new blocks, old ones again, the end of session, a heartbeat. Returns how many packets.
    pub fn on_timer(&mut self, now: Time, send: Send<'_>) -> usize {
        if self.stream_ended || self.finished() {
            return 0;
        }
        let mut packets = self.flush(now, send);
        packets += self.resend_due(now, send);
        packets += self.end_due(now, send);
        if now.monotonic_ns >= self.last_sent_ns.saturating_add(self.config.heartbeat_ns) && self.unsent > 1 {
            self.send_to_groups(now, &mold::heartbeat(self.config.session, self.unsent), send);
            packets += 1;
        }
        packets
    }

    /// When [`Submitter::on_timer`] next has something to do, on the monotonic clock.
    pub fn due_ns(&self) -> u64 {
        if self.stream_ended || self.finished() {
            return u64::MAX;
        }
        if self.unsent < self.next {
            return 0;
        }
        let heartbeat_ns =
            if self.unsent > 1 { self.last_sent_ns + self.config.heartbeat_ns } else { u64::MAX };
        let end_ns = self.ending.map_or(u64::MAX, |ending| ending.due_ns);
        self.resend_due_ns().min(heartbeat_ns).min(end_ns)
    }

    /// Takes message `sequence` of the acknowledgement session, in order; those of other sessions are ignored.
    pub fn on_acknowledgement(
        &mut self,
        now: Time,
        sequence: u64,
        message: &[u8],
        event: &mut dyn FnMut(SubmitEvent),
    ) {
        let Ok(acknowledgement) = Acknowledgement::parse(message) else { return };
        if acknowledgement.session != self.config.session {
            return;
        }
        let number = acknowledgement.client_sequence();
        if number < self.first || self.finished() {
            self.counters.acknowledged_again.increment();
            return;
        }
        let is_end = number == self.unsent && self.unsent == self.next && self.ending.is_some();
        if number >= self.unsent && !is_end {
            self.counters.clashes.increment();
            event(SubmitEvent::SessionClash { client_sequence: number });
            return;
        }
        (self.progress_ns, self.attempts) = (now.monotonic_ns, 0);
        // Acknowledgements come in the stream's order: what has none before a later one was given up.
        while self.first < number {
            self.acknowledge(sequence, Outcome::Skipped, event);
        }
        if is_end {
            self.ending = Some(Ending { due_ns: u64::MAX, attempts: 0, acknowledged: true });
            event(SubmitEvent::Ended { sequence });
            return;
        }
        let outcome = acknowledgement.outcome();
        let checksum = self.waiting.front().expect("it waits").checksum;
        if outcome == Outcome::Skipped || acknowledgement.checksum() == checksum {
            self.acknowledge(sequence, outcome, event);
        } else {
            self.waiting.pop_front();
            self.first += 1;
            self.counters.clashes.increment();
            event(SubmitEvent::SessionClash { client_sequence: number });
        }
    }

    /// Takes a datagram that came to the address the client sends from: a refusal, or a request for messages.
    pub fn on_datagram(
        &mut self,
        now: Time,
        datagram: &[u8],
        send: Send<'_>,
        event: &mut dyn FnMut(SubmitEvent),
    ) {
        let session = self.config.session;
        if let Some(refusal) = Refusal::parse(datagram).filter(|refusal| refusal.session == session) {
            self.counters.refusals.increment();
            self.stream_ended |= refusal.reason == RefusalReason::StreamEnded;
            self.held_until_ns = now.monotonic_ns + self.config.refusal_ns;
            event(SubmitEvent::Refused { reason: refusal.reason, next: refusal.next });
        } else if let Some(request) = Request::parse(datagram).filter(|request| request.session == session) {
            self.answer(now, &request, send);
        } else {
            self.counters.foreign.increment();
        }
    }

    fn answer(&mut self, now: Time, request: &Request, send: Send<'_>) {
        let end = request.sequence.saturating_add(u64::from(request.count)).min(self.unsent);
        if request.sequence < self.first || request.sequence >= end {
            self.counters.unanswerable.increment();
            return;
        }
        let packets = self.send_packets(now, request.sequence..end, self.config.resend_packets, send);
        self.counters.answered.add(packets as u64);
    }

    fn acknowledge(&mut self, sequence: u64, outcome: Outcome, event: &mut dyn FnMut(SubmitEvent)) {
        self.waiting.pop_front();
        self.counters.acknowledged.increment();
        event(SubmitEvent::Acknowledged { client_sequence: self.first, sequence, outcome });
        self.first += 1;
    }

    fn resend_due_ns(&self) -> u64 {
        if self.first == self.unsent {
            return u64::MAX;
        }
        let sent_ns = self.waiting[0].sent_ns;
        sent_ns.max(self.progress_ns).saturating_add(self.backoff_ns(self.attempts)).max(self.held_until_ns)
    }

    fn backoff_ns(&self, attempts: u32) -> u64 {
        self.config.resend_ns.saturating_mul(1 << attempts.min(20)).min(self.config.resend_ns_max)
    }

    fn resend_due(&mut self, now: Time, send: Send<'_>) -> usize {
        if now.monotonic_ns < self.resend_due_ns() {
            return 0;
        }
        let packets_max = self.config.resend_packets << self.attempts.min(4);
        let packets = self.send_packets(now, self.first..self.unsent, packets_max, send);
        self.counters.resent.add(packets as u64);
        self.attempts += 1;
        packets
    }

    fn end_due(&mut self, now: Time, send: Send<'_>) -> usize {
        let Some(ending) = self.ending.filter(|ending| now.monotonic_ns >= ending.due_ns) else { return 0 };
        let due_ns = now.monotonic_ns + self.backoff_ns(ending.attempts);
        self.ending = Some(Ending { due_ns, attempts: ending.attempts + 1, acknowledged: false });
        self.send_to_groups(now, &mold::end_of_session(self.config.session, self.next), send);
        1
    }

    /// Sends the blocks of these numbers, in so many packets at most; returns how many it took.
    fn send_packets(
        &mut self,
        now: Time,
        numbers: std::ops::Range<u64>,
        packets_max: usize,
        send: Send<'_>,
    ) -> usize {
        let (mut from, mut packets) = (numbers.start, 0);
        while from < numbers.end && packets < packets_max {
            let next = self.pack(now, from..numbers.end);
            if next > from {
                packets += 1;
            } else {
                assert!(!self.burst.is_empty(), "block {from} fits no packet");
            }
            if next == from || self.burst.is_complete() {
                self.send_burst(send);
            }
            from = next;
        }
        self.send_burst(send);
        self.last_sent_ns = now.monotonic_ns;
        packets
    }

    /// Builds a packet of as many of these blocks as fit, behind those of the burst; returns the first that did not.
    fn pack(&mut self, now: Time, numbers: std::ops::Range<u64>) -> u64 {
        let mut builder = PacketBuilder::new(self.burst.room(), self.config.session, numbers.start);
        let waiting = (numbers.start - self.first) as usize..(numbers.end - self.first) as usize;
        for block in self.waiting.range_mut(waiting) {
            if !builder.push(&self.bytes[block.start..][..block.length as usize]) {
                break;
            }
            block.sent_ns = now.monotonic_ns;
        }
        let next = builder.next_sequence();
        if next > numbers.start {
            let length = builder.finish();
            self.burst.add(length);
        }
        next
    }

    /// Sends what has been built.
    fn send_burst(&mut self, send: Send<'_>) {
        if self.burst.is_empty() {
            return;
        }
        let (packets, segment_bytes) = self.burst.take();
        for group in &self.config.groups {
            send(*group, packets, segment_bytes);
        }
    }

    fn send_to_groups(&mut self, now: Time, datagram: &[u8], send: Send<'_>) {
        for group in &self.config.groups {
            send(*group, datagram, datagram.len());
        }
        self.last_sent_ns = now.monotonic_ns;
    }

    /// Where a block of this length can be put in one piece.
    fn place_for(&self, length: usize) -> Option<Place> {
        if self.waiting.len() == self.config.window_messages {
            return None;
        }
        let Place { mut position, mut start } = self.end;
        if start + length > self.bytes.len() {
            position += (self.bytes.len() - start) as u64;
            start = 0;
        }
        let oldest = self.waiting.front().map_or(position, |block| block.position);
        (position + length as u64 - oldest <= self.bytes.len() as u64).then_some(Place { position, start })
    }
}

fn block_bytes_max(config: &SubmitterConfig) -> usize {
    config
        .payload_bytes_max
        .saturating_sub(mold::HEADER_BYTES + mold::BLOCK_LENGTH_BYTES)
        .min(usize::from(u16::MAX))
}

#[cfg(test)]
mod tests;
