//! Gap fill: delivers every message of a MoldUDP64 session in order and exactly once, whatever the network does to the packets.
//!
//! A gap shows in any packet or heartbeat whose number is ahead of what is known. Packets ahead of a gap are kept in a bounded
//! window; what is missing is asked of the nearest rewinder that answers, several pieces at a time, each with its own retry timer. What arrives
//! twice, or overlaps what was delivered, is trimmed. Lines A and B of a feed may both go into one receiver.
//!
//! When the window or the list of gaps is full, packets ahead are dropped and counted, and are missing like any others. A quarter of the window
//! is only for what fills a gap, so that whoever is far behind still asks for several pieces at a time. The oldest gap can always be filled,
//! so nothing gets stuck.
//!
//! Readings M6, M7, M8, M10, M11, M12 in `docs/PROTOCOL.md`.
use super::missing::{Missing, MissingConfig};
use super::nearest::{AskedCounters, Nearest};
use super::packet_pool::PacketPool;
use crate::mutation::{Mutation, active};
use crate::random::Random;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::mold::{Kind, Packet, REQUEST_BYTES, Request};
use gds_wire::session::Session;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddrV4;
use std::sync::Arc;

crate::counter_set! {
    /// What a receiver saw.
    pub struct ReceiverCounters {
        /// Packets of the session, heartbeats and ends of session included.
        packets,
        /// Messages delivered.
        messages,
        /// Packets that brought nothing new.
        duplicates,
        /// Gaps noticed.
        gaps,
        /// Messages noticed missing.
        missed,
        /// Missing messages that arrived.
        filled,
        /// Request packets sent.
        requests,
        /// Of these, repetitions of one that was not answered in time.
        retries,
        /// Packets of another session, dropped.
        foreign,
        /// Datagrams that are no MoldUDP64 packet, dropped.
        malformed,
        /// Packets with bytes after their last message, which were ignored.
        trailing,
        /// Packets ahead of a gap, dropped because the window was full or they did not fit a slot of it.
        window_full,
        /// Packets ahead of a gap, dropped because there were too many gaps.
        gaps_full,
        /// Most packets that were held in the window at once.
        window_high,
    }
}

/// What a [`Receiver`] needs to know.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The session; `None`: that of the first packet.
    pub session: Option<Session>,
    /// The first number to deliver; 0: the first that is seen.
    pub next: u64,
    /// How many packets ahead of a gap are kept.
    pub window_packets: usize,
    /// The longest datagram that can be kept.
    pub packet_bytes_max: usize,
    /// Where to ask, nearest first. Empty: wait for the sender to repeat.
    pub rewinders: Vec<SocketAddrV4>,
    /// A gap is first asked for after a random time up to this.
    pub first_request_ns_max: u64,
    /// A request is repeated after this time, which doubles while nothing at all is answered.
    pub retry_ns: u64,
    /// ... up to this.
    pub retry_ns_max: u64,
    /// Most gaps kept track of.
    pub gaps_max: usize,
    /// Most requests waiting for an answer.
    pub requests_max: usize,
    /// Seed of the random times.
    pub seed: u64,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            session: None,
            next: 1,
            window_packets: 4096,
            packet_bytes_max: 1472,
            rewinders: Vec::new(),
            first_request_ns_max: 50 * MICROSECOND_NS,
            retry_ns: MILLISECOND_NS,
            retry_ns_max: 20 * MILLISECOND_NS,
            gaps_max: 512,
            requests_max: 32,
            seed: 0,
        }
    }
}

/// A rewinder that answers nothing for so many retry times is silent.
const PATIENCE_RETRIES: u64 = 5;

/// One session, received in order.
pub struct Receiver {
    config: ReceiverConfig,
    session: Option<Session>,
    /// The last other session heard.
    other: Option<Session>,
    /// The number to deliver next; 0 until the first packet when the configuration says so.
    next: u64,
    /// One above the highest number known to exist (below which every number is delivered, held or missing).
    known: u64,
    /// One above the highest number heard of: more than `known` while there was no place for another gap.
    heard: u64,
    end_at: Option<u64>,
    missing: Missing,
    pool: PacketPool,
    /// Held packets by first number: (number, slot).
    held: BinaryHeap<Reverse<(u64, u32)>>,
    random: Random,
    nearest: Nearest,
    counters: Arc<ReceiverCounters>,
}

impl Receiver {
    /// A receiver that has seen nothing. All its memory is taken here.
    pub fn new(config: ReceiverConfig) -> Self {
        assert!(config.requests_max > 0, "a receiver that may not ask cannot fill gaps");
        let missing = Missing::new(MissingConfig {
            intervals_max: config.gaps_max,
            retry_ns: config.retry_ns,
            retry_ns_max: config.retry_ns_max,
        });
        Self {
            session: config.session,
            other: None,
            next: config.next,
            known: config.next,
            heard: config.next,
            end_at: None,
            missing,
            pool: PacketPool::new(config.window_packets, config.packet_bytes_max),
            held: BinaryHeap::with_capacity(config.window_packets),
            nearest: Nearest::new(&config.rewinders, PATIENCE_RETRIES * config.retry_ns),
            random: Random::new(config.seed),
            counters: Arc::default(),
            config,
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<ReceiverCounters> {
        &self.counters
    }

    /// What each rewinder was asked and answered, nearest first.
    pub fn asked(&self) -> impl Iterator<Item = (SocketAddrV4, &Arc<AskedCounters>)> {
        self.nearest.counters()
    }

    /// The session, once known.
    pub fn session(&self) -> Option<Session> {
        self.session
    }

    /// The last session heard that is another one. Nothing of it is delivered: its numbers are not those of this session.
    pub fn other_session(&self) -> Option<Session> {
        self.other
    }

    /// The number that will be delivered next (0: not known yet).
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// One above the highest number known to exist: the distance to [`Receiver::next_sequence`] is what is held or missing.
    pub fn known_sequence(&self) -> u64 {
        self.known
    }

    /// True once the session has ended and every message of it has been delivered.
    pub fn ended(&self) -> bool {
        self.end_at.is_some_and(|end| self.next >= end)
    }

    /// Takes one datagram that came to the receiver's own port: an answer, if `from` is a rewinder. As [`Receiver::on_packet`] otherwise.
    pub fn on_reply(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        datagram: &[u8],
        deliver: &mut dyn FnMut(u64, &[u8]),
    ) {
        if self.take(now, datagram, deliver) {
            self.nearest.answered(from);
        }
    }

    /// Takes one datagram, from whatever line or rewinder, and hands what it makes deliverable to `deliver(number, message)`.
    pub fn on_packet(&mut self, now: Time, datagram: &[u8], deliver: &mut dyn FnMut(u64, &[u8])) {
        self.take(now, datagram, deliver);
    }

    /// False for a datagram that is no packet of the session.
    fn take(&mut self, now: Time, datagram: &[u8], deliver: &mut dyn FnMut(u64, &[u8])) -> bool {
        let Ok(packet) = Packet::parse(datagram) else {
            self.counters.malformed.increment();
            return false;
        };
        if *self.session.get_or_insert(packet.session) != packet.session {
            self.counters.foreign.increment();
            self.other = Some(packet.session);
            return false;
        }
        self.counters.packets.increment();
        if packet.trailing_bytes > 0 {
            self.counters.trailing.increment();
        }
        if self.next == 0 {
            (self.next, self.known) = (packet.sequence, packet.sequence);
        }
        if active(Mutation::ReceiverSkipsGaps) && packet.count() > 0 {
            self.next = self.next.max(packet.sequence);
        }
        match packet.kind {
            Kind::Heartbeat => self.on_next_expected(now, packet.sequence),
            Kind::EndOfSession => {
                self.on_next_expected(now, packet.sequence);
                if packet.sequence >= self.known {
                    self.end_at = Some(packet.sequence);
                }
            }
            Kind::Messages(_) if packet.next_sequence() <= self.next => self.counters.duplicates.increment(),
            Kind::Messages(_) if packet.sequence <= self.next => self.on_next(now, &packet, deliver),
            Kind::Messages(_) => self.on_ahead(now, &packet, datagram),
        }
        true
    }

    /// Sends the request packets that are due, by `send(rewinder, request)`; returns how many.
    pub fn on_timer(&mut self, now: Time, send: &mut dyn FnMut(SocketAddrV4, &[u8; REQUEST_BYTES])) -> usize {
        let now_ns = now.monotonic_ns;
        if now_ns < self.missing.due_ns() || self.nearest.is_empty() || active(Mutation::ReceiverNeverAsks) {
            return 0;
        }
        let session = self.session.expect("a gap was seen in some session");
        let room = self.pool.free();
        let requests_max = self.config.requests_max.min(room + 1);
        let mut sent = 0;
        while let Some(wanted) = self.missing.next_wanted(now_ns, requests_max, room == 0) {
            let rewinder = self.nearest.ask(now_ns, wanted.attempt);
            send(rewinder, &Request { session, sequence: wanted.sequence, count: wanted.count }.to_bytes());
            self.counters.requests.increment();
            self.counters.retries.add(u64::from(wanted.attempt > 0));
            sent += 1;
        }
        sent
    }

    /// When [`Receiver::on_timer`] next has something to do, on the monotonic clock; `u64::MAX`: not before another packet.
    pub fn due_ns(&self) -> u64 {
        if self.nearest.is_empty() { u64::MAX } else { self.missing.due_ns() }
    }

    /// Every number below `next` exists, somebody says.
    fn on_next_expected(&mut self, now: Time, next: u64) {
        self.heard = self.heard.max(next);
        if self.heard > self.known && self.add_gap(now, self.heard) {
            self.known = self.heard;
        }
    }

    fn add_gap(&mut self, now: Time, to: u64) -> bool {
        let delay_ns = self.random.below(self.config.first_request_ns_max.saturating_add(1));
        let added = self.missing.add(self.known, to, now.monotonic_ns.saturating_add(delay_ns));
        if added {
            self.counters.gaps.increment();
            self.counters.missed.add(to - self.known);
        }
        added
    }

    /// A packet that holds the next number.
    fn on_next(&mut self, now: Time, packet: &Packet<'_>, deliver: &mut dyn FnMut(u64, &[u8])) {
        let end = packet.next_sequence();
        if self.next < self.known {
            self.counters.filled.add(self.missing.fill(self.next, end, now.monotonic_ns));
        }
        let first = self.next;
        self.next = deliver_from(packet, self.next, deliver);
        while let Some(Reverse((sequence, slot))) = self.held.peek().copied() {
            if sequence > self.next {
                break;
            }
            self.held.pop();
            let held = Packet::parse(self.pool.get(slot)).expect("only whole packets are held");
            self.next = deliver_from(&held, self.next, deliver);
            self.pool.release(slot);
        }
        self.counters.messages.add(self.next - first);
        self.known = self.known.max(self.next);
        self.missing.trim(self.next);
        self.on_next_expected(now, self.known);
    }

    /// A packet beyond the next number: kept until the numbers before it are there.
    fn on_ahead(&mut self, now: Time, packet: &Packet<'_>, datagram: &[u8]) {
        let (sequence, end) = (packet.sequence, packet.next_sequence());
        if end <= self.known && !self.missing.overlaps(sequence, end) {
            self.counters.duplicates.increment();
            return;
        }
        let for_gaps = self.config.window_packets / 4;
        let has_room = sequence < self.known || self.pool.free() > for_gaps;
        let Some(slot) = has_room.then(|| self.pool.put(datagram)).flatten() else {
            self.counters.window_full.increment();
            self.on_next_expected(now, end);
            return;
        };
        if sequence > self.known && !self.add_gap(now, sequence) {
            self.pool.release(slot);
            self.counters.gaps_full.increment();
            self.heard = self.heard.max(end);
            return;
        }
        self.counters.filled.add(self.missing.fill(sequence, end, now.monotonic_ns));
        self.held.push(Reverse((sequence, slot)));
        self.known = self.known.max(end);
        let held = self.held.len() as u64;
        if held > self.counters.window_high.get() {
            self.counters.window_high.set(held);
        }
    }
}

/// Delivers what a packet has from `next` on; returns the number wanted then.
fn deliver_from(packet: &Packet<'_>, next: u64, deliver: &mut dyn FnMut(u64, &[u8])) -> u64 {
    let known = if active(Mutation::ReceiverDeliversOverlap) { 0 } else { next - packet.sequence };
    for (number, message) in packet.messages().skip(known as usize) {
        deliver(number, message);
    }
    next.max(packet.next_sequence())
}

#[cfg(test)]
mod tests;
