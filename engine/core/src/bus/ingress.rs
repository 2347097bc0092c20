//! Ingress: takes every (client session, client sequence number) once and in order.
//!
//! Clients and feeds submit MoldUDP64 packets. What is new and in order goes to the sink (the sequencer) at once; what was taken
//! already is dropped, also when a packet overlaps it only in part, so lines A and B of a feed are merged by the same rule as resends;
//! what is ahead is held, whole packets, in one bounded pool, until the gap before it is filled. The sink knows which number each
//! session wants next; ingress keeps a *reception* only for sessions that have a gap or wait for the sink.
//!
//! | case | what happens |
//! | --- | --- |
//! | ahead, within the window | held; the gap is asked for where the session's rule says, with a doubling retry timer |
//! | ahead, beyond the window | dropped, counted; only the gap up to the window counts as known |
//! | gap older than the rule's skip time | the numbers are given up by a message on the bus; late ones are dropped and counted |
//! | heartbeat or end of session ahead | a gap at the tail; the end is sequenced once everything before it is |
//! | unknown session, number above 1 | a gap from 1, or it begins there, as its rule says |
//! | sink has no room for now | held like a packet ahead and offered again by [`Ingress::on_timer`]; the source gets a refusal |
//! | pool or receptions full | dropped and counted: whoever sends resends, or is asked |
//! | session silent for long, with a gap | what is held for it is dropped |
mod config;
mod sink;

pub use config::{IngressConfig, IngressCounters};
pub use sink::{Hold, IngressSink, Standing};

use super::admission::{GapPolicy, Rerequest, StartAt};
use super::held::{HeldList, HeldPackets, Holding};
use super::session_map::{SessionMap, hash_session};
use crate::mutation::{Mutation, active};
use crate::random::Random;
use crate::time::{MICROSECOND_NS, Time};
use gds_wire::mold::{Kind, Packet, Request};
use gds_wire::refusal::{Refusal, RefusalReason};
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// What is kept of a session that has a gap, or waits for the sink.
#[derive(Clone, Debug)]
struct Reception {
    session: Session,
    rule: usize,
    source: SocketAddrV4,
    /// The number a new session begins with.
    start: u64,
    held: HeldList,
    /// Every number below this exists, somebody said.
    claimed: u64,
    /// How many packets from beyond the window came since the last progress.
    far: u32,
    /// Its end of session: one above its last number; 0: not heard.
    end_at: u64,
    /// The number wanted when the times below were set.
    gap_at: u64,
    since_ns: u64,
    request_due_ns: u64,
    attempts: u32,
    heard_ns: u64,
    /// The sink did not take what is next.
    stalled: bool,
    /// Where in the list of active receptions it stands.
    place: usize,
}

/// One stray number must not make a feed skip a window: so many packets from beyond it must come, and none from within.
const FAR_PACKETS: u32 = 8;
/// While the sink takes nothing, it is asked again after this time.
const STALL_RETRY_NS: u64 = 50 * MICROSECOND_NS;
/// Places of the table that limits refusals; sessions that share one share the limit.
const REFUSAL_PLACES: usize = 1024;

/// The receiving side of the bus.
pub struct Ingress {
    config: IngressConfig,
    map: SessionMap,
    receptions: Vec<Reception>,
    free: Vec<u32>,
    /// The receptions in use, in no particular order.
    active: Vec<u32>,
    held: HeldPackets,
    /// When each session (by hash) was last refused.
    refused_ns: Vec<u64>,
    /// Nothing is due before this time.
    due_ns: u64,
    random: Random,
    counters: Arc<IngressCounters>,
}

impl Ingress {
    /// An ingress that has heard nothing. All its memory is taken here.
    pub fn new(config: IngressConfig) -> Self {
        assert!(config.window_messages > 0 && config.receptions_max > 0 && config.retry_ns > 0);
        let blank = Reception {
            session: Session::BLANK,
            rule: 0,
            source: SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0),
            start: 0,
            held: HeldList::EMPTY,
            claimed: 0,
            far: 0,
            end_at: 0,
            gap_at: 0,
            since_ns: 0,
            request_due_ns: 0,
            attempts: 0,
            heard_ns: 0,
            stalled: false,
            place: 0,
        };
        Self {
            map: SessionMap::new(config.receptions_max),
            receptions: vec![blank; config.receptions_max],
            free: (0..config.receptions_max as u32).rev().collect(),
            active: Vec::with_capacity(config.receptions_max),
            held: HeldPackets::new(config.packets_max, config.packet_bytes_max),
            refused_ns: vec![0; REFUSAL_PLACES],
            due_ns: u64::MAX,
            random: Random::new(config.seed),
            counters: Arc::default(),
            config,
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<IngressCounters> {
        &self.counters
    }

    /// When [`Ingress::on_timer`] next has something to do, on the monotonic clock; `u64::MAX`: not before another packet.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Takes one datagram.
    pub fn on_packet(
        &mut self,
        now: Time,
        source: SocketAddrV4,
        datagram: &[u8],
        sink: &mut dyn IngressSink,
    ) {
        self.counters.packets.increment();
        let Ok(packet) = Packet::parse(datagram) else {
            self.counters.malformed.increment();
            return;
        };
        if packet.session == Session::NODE || packet.session.is_blank() {
            self.counters.reserved.increment();
            return;
        }
        let admitted = self.config.rules.iter().position(|rule| rule.matches(&packet.session, *source.ip()));
        let Some(rule) = admitted else {
            self.counters.not_admitted.increment();
            return;
        };
        if packet.trailing_bytes > 0 {
            self.counters.trailing.increment();
        }
        let Some(next) = self.wanted(now, rule, source, &packet, sink) else { return };
        let arrival = Arrival { now, rule, source, packet, datagram, next };
        match packet.kind {
            Kind::Messages(_) if packet.sequence <= next => self.on_next(&arrival, sink),
            Kind::Messages(_) => self.on_ahead(&arrival),
            Kind::Heartbeat if packet.sequence > next => drop(self.on_claim(&arrival)),
            Kind::EndOfSession if packet.sequence >= next => self.on_end(&arrival, sink),
            Kind::Heartbeat | Kind::EndOfSession => {}
        }
        self.counters.held_now.set(self.held.len() as u64);
    }

    /// Offers held packets again, skips, asks: whatever is due.
    pub fn on_timer(&mut self, now: Time, sink: &mut dyn IngressSink) {
        if now.monotonic_ns < self.due_ns {
            return;
        }
        self.due_ns = u64::MAX;
        let mut index = 0;
        while let Some(slot) = self.active.get(index).copied() {
            self.on_reception_timer(now, slot as usize, sink);
            // Another takes the place of one that was closed.
            index += usize::from(self.active.get(index) == Some(&slot));
        }
        self.counters.held_now.set(self.held.len() as u64);
    }

    /// The number that the packet's session wants; `None` when the packet is of no use, which is then dealt with.
    fn wanted(
        &mut self,
        now: Time,
        rule: usize,
        source: SocketAddrV4,
        packet: &Packet<'_>,
        sink: &mut dyn IngressSink,
    ) -> Option<u64> {
        match sink.standing(&packet.session) {
            Standing::Next { next, skip } => {
                let twice = active(Mutation::IngressTakesTwice);
                if packet.next_sequence() <= next && packet.count() > 0 && !twice {
                    let late = skip.0 != 0 && packet.sequence <= skip.1 && packet.next_sequence() > skip.0;
                    if late { &self.counters.late } else { &self.counters.duplicates }.increment();
                    return None;
                }
                let all = twice || active(Mutation::OverlapNotTrimmed) && packet.count() > 0;
                Some(if all { next.min(packet.sequence) } else { next })
            }
            Standing::New => {
                let reception =
                    self.map.get(&packet.session).map(|slot| self.receptions[slot as usize].start);
                reception.or(match self.config.rules[rule].start {
                    StartAt::One => Some(1),
                    // Only a message begins a feed: a number that is merely announced may never come.
                    StartAt::FirstSeen => {
                        (packet.count() > 0 && packet.sequence > 0).then_some(packet.sequence)
                    }
                })
            }
            Standing::Ended => {
                self.counters.after_end.increment();
                None
            }
            Standing::Refused { reason, next } => {
                if packet.kind != Kind::Heartbeat {
                    self.refuse(now, source, packet.session, reason, next, sink);
                }
                None
            }
        }
    }

    /// A packet that holds the wanted number, or ends before it.
    fn on_next(&mut self, arrival: &Arrival<'_>, sink: &mut dyn IngressSink) {
        let Arrival { now, source, packet, next, .. } = *arrival;
        if packet.next_sequence() <= next {
            self.counters.duplicates.increment();
            return;
        }
        let (reached, hold) = offer(now, &packet, next, sink);
        self.counters.taken.add(reached - next);
        if let Some(Hold::Refused(reason)) = hold {
            self.refuse(now, source, packet.session, reason, reached, sink);
        }
        match hold {
            // Such a session has nothing to wait for.
            Some(Hold::Refused(RefusalReason::SessionsFull | RefusalReason::StreamEnded)) => {}
            Some(_) => {
                if let Some(slot) = self.hold(arrival) {
                    self.receptions[slot].stalled = true;
                    self.due_ns = self.due_ns.min(now.monotonic_ns + STALL_RETRY_NS);
                }
            }
            None => {
                if let Some(slot) = self.map.get(&packet.session) {
                    self.receptions[slot as usize].heard_ns = now.monotonic_ns;
                    self.drain(now, slot as usize, sink);
                }
            }
        }
    }

    fn on_ahead(&mut self, arrival: &Arrival<'_>) {
        if arrival.packet.sequence - arrival.next < self.config.window_messages {
            self.hold(arrival);
        } else {
            self.counters.beyond_window.increment();
            self.on_far(arrival);
        }
    }

    /// Keeps a packet. `None` when there is no reception for its session; it is not certain that it is kept when there is.
    fn hold(&mut self, arrival: &Arrival<'_>) -> Option<usize> {
        let slot = self.reception(arrival)?;
        let reception = &mut self.receptions[slot];
        if reception.held.len() >= self.config.packets_per_session_max {
            self.counters.pool_full.increment();
        } else {
            match self.held.insert(&mut reception.held, &arrival.packet, arrival.datagram) {
                Holding::Held => self.counters.held.increment(),
                Holding::Duplicate => self.counters.duplicates.increment(),
                Holding::Full => self.counters.pool_full.increment(),
            }
        }
        reception.claimed = reception.claimed.max(arrival.packet.sequence);
        Some(slot)
    }

    /// Somebody says that every number below the packet's exists.
    fn on_claim(&mut self, arrival: &Arrival<'_>) -> Option<usize> {
        if arrival.packet.sequence - arrival.next > self.config.window_messages {
            self.counters.beyond_window.increment();
            self.on_far(arrival);
            return None;
        }
        let slot = self.reception(arrival)?;
        let reception = &mut self.receptions[slot];
        reception.claimed = reception.claimed.max(arrival.packet.sequence);
        Some(slot)
    }

    /// Something beyond the window: no number is believed, but a session that makes no other progress has a gap as wide as the window.
    fn on_far(&mut self, arrival: &Arrival<'_>) {
        let rule = &self.config.rules[arrival.rule];
        if (rule.rerequest != Rerequest::Nobody || rule.gap != GapPolicy::Wait)
            && let Some(slot) = self.reception(arrival)
        {
            self.receptions[slot].far = self.receptions[slot].far.saturating_add(1);
        }
    }

    fn on_end(&mut self, arrival: &Arrival<'_>, sink: &mut dyn IngressSink) {
        let Arrival { now, source, packet, next, .. } = *arrival;
        if packet.sequence > next {
            if let Some(slot) = self.on_claim(arrival) {
                self.receptions[slot].end_at = packet.sequence;
            }
            return;
        }
        match sink.end(now, packet.session, packet.sequence) {
            Ok(()) => {
                if let Some(slot) = self.map.get(&packet.session) {
                    self.close(slot as usize);
                }
            }
            // The end is sent as a train of packets.
            Err(Hold::NoRoom) => {}
            Err(Hold::Refused(reason)) => self.refuse(now, source, packet.session, reason, next, sink),
        }
    }

    /// The session's reception, begun if there is none; `None` when there are too many.
    fn reception(&mut self, arrival: &Arrival<'_>) -> Option<usize> {
        let now_ns = arrival.now.monotonic_ns;
        if let Some(slot) = self.map.get(&arrival.packet.session) {
            let reception = &mut self.receptions[slot as usize];
            (reception.source, reception.heard_ns) = (arrival.source, now_ns);
            return Some(slot as usize);
        }
        let Some(slot) = self.free.pop() else {
            self.counters.receptions_full.increment();
            return None;
        };
        self.counters.gaps.increment();
        self.map.insert(arrival.packet.session, slot);
        let request_due_ns = now_ns + self.random.below(self.config.first_request_ns_max.saturating_add(1));
        self.receptions[slot as usize] = Reception {
            session: arrival.packet.session,
            rule: arrival.rule,
            source: arrival.source,
            start: arrival.next,
            held: HeldList::EMPTY,
            claimed: 0,
            far: 0,
            end_at: 0,
            gap_at: arrival.next,
            since_ns: now_ns,
            request_due_ns,
            attempts: 0,
            heard_ns: now_ns,
            stalled: false,
            place: self.active.len(),
        };
        self.active.push(slot);
        // Whatever the rule has due, the first look at it is at the first request's time at the latest.
        self.due_ns = self.due_ns.min(request_due_ns);
        Some(slot as usize)
    }

    /// Offers what is held and next, and ends the reception when nothing is left to wait for.
    fn drain(&mut self, now: Time, slot: usize, sink: &mut dyn IngressSink) {
        let session = self.receptions[slot].session;
        let mut next = match sink.standing(&session) {
            Standing::New => self.receptions[slot].start,
            Standing::Next { next, .. } => next,
            Standing::Ended | Standing::Refused { .. } => return self.close(slot),
        };
        let mut hold = None;
        let reception = &mut self.receptions[slot];
        while let Some(packet) = self.held.front(&reception.held).filter(|packet| packet.sequence <= next) {
            let (reached, held_back) = offer(now, &packet, next, sink);
            self.counters.taken.add(reached - next);
            next = reached;
            hold = held_back;
            if hold.is_some() {
                break;
            }
            self.held.pop(&mut reception.held);
        }
        if hold.is_none() && reception.end_at == next {
            hold = sink.end(now, session, next).err();
            if hold.is_none() {
                return self.close(slot);
            }
        }
        self.receptions[slot].stalled = hold.is_some();
        if let Some(Hold::Refused(reason)) = hold {
            let source = self.receptions[slot].source;
            self.refuse(now, source, session, reason, next, sink);
        }
        self.after_progress(now, slot, next);
    }

    /// Sets the times anew when the wanted number moved; ends the reception when there is no gap behind it.
    fn after_progress(&mut self, now: Time, slot: usize, next: u64) {
        let delay_ns = self.random.below(self.config.first_request_ns_max.saturating_add(1));
        let reception = &mut self.receptions[slot];
        if reception.gap_at != next {
            reception.gap_at = next;
            reception.since_ns = now.monotonic_ns;
            reception.request_due_ns = now.monotonic_ns + delay_ns;
            reception.attempts = 0;
            reception.far = 0;
            self.due_ns = self.due_ns.min(reception.request_due_ns);
        }
        let waiting =
            reception.stalled || reception.far > 0 || reception.claimed > next || !reception.held.is_empty();
        if !waiting {
            self.close(slot);
        }
    }

    fn close(&mut self, slot: usize) {
        let reception = &mut self.receptions[slot];
        self.held.clear(&mut reception.held);
        self.map.remove(&reception.session);
        let place = reception.place;
        self.active.swap_remove(place);
        if let Some(moved) = self.active.get(place) {
            self.receptions[*moved as usize].place = place;
        }
        self.free.push(slot as u32);
    }

    fn on_reception_timer(&mut self, now: Time, slot: usize, sink: &mut dyn IngressSink) {
        let now_ns = now.monotonic_ns;
        // While another node leads, the wanted number moves without anything being taken here.
        let moved = match sink.standing(&self.receptions[slot].session) {
            Standing::Next { next, .. } => next != self.receptions[slot].gap_at,
            Standing::Ended => true,
            Standing::New | Standing::Refused { .. } => false,
        };
        if self.receptions[slot].stalled || moved {
            self.drain(now, slot, sink);
            self.due_ns = self.due_ns.min(now_ns + STALL_RETRY_NS);
            return;
        }
        let reception = &self.receptions[slot];
        let rule = &self.config.rules[reception.rule];
        let (session, from, to) = (reception.session, reception.gap_at, self.gap_end(reception));
        if let GapPolicy::Skip { after_ns } = rule.gap {
            let skip_ns = reception.since_ns.saturating_add(after_ns);
            if skip_ns <= now_ns && to > from {
                if sink.skip(now, session, from, to - 1).is_ok() {
                    self.counters.skips.increment();
                }
                self.due_ns = self.due_ns.min(now_ns + STALL_RETRY_NS);
                return self.drain(now, slot, sink);
            }
            // Nothing may be there to skip yet: its time is then over, and it is looked at again after a while.
            let look_ns = if skip_ns > now_ns { skip_ns } else { now_ns.saturating_add(STALL_RETRY_NS) };
            self.due_ns = self.due_ns.min(look_ns);
        }
        let idle_at_ns = reception.heard_ns.saturating_add(self.config.idle_ns);
        if idle_at_ns <= now_ns {
            self.counters.abandoned.increment();
            return self.close(slot);
        }
        self.due_ns = self.due_ns.min(idle_at_ns);
        self.request(now_ns, slot, from, to, sink);
    }

    /// One above the last number of the gap that begins at the wanted number.
    fn gap_end(&self, reception: &Reception) -> u64 {
        let rule = &self.config.rules[reception.rule];
        match self.held.first(&reception.held) {
            Some(first) => first,
            None if reception.claimed > reception.gap_at => reception.claimed,
            None if reception.far > FAR_PACKETS || (reception.far > 0 && rule.gap == GapPolicy::Wait) => {
                reception.gap_at.saturating_add(self.config.window_messages)
            }
            None => reception.gap_at,
        }
    }

    fn request(&mut self, now_ns: u64, slot: usize, from: u64, to: u64, sink: &mut dyn IngressSink) {
        let reception = &mut self.receptions[slot];
        let rerequest = match self.config.rules[reception.rule].rerequest {
            Rerequest::Nobody => return,
            Rerequest::Source => reception.source,
            Rerequest::Address(address) => address,
        };
        if reception.request_due_ns <= now_ns {
            if to > from {
                let count = (to - from).min(0xFFFE) as u16;
                sink.send(
                    rerequest,
                    &Request { session: reception.session, sequence: from, count }.to_bytes(),
                );
                self.counters.requests.increment();
            }
            let doubled = self.config.retry_ns.saturating_mul(1 << reception.attempts.min(20));
            reception.attempts = reception.attempts.saturating_add(1);
            reception.request_due_ns = now_ns + doubled.min(self.config.retry_ns_max);
        }
        self.due_ns = self.due_ns.min(reception.request_due_ns);
    }

    fn refuse(
        &mut self,
        now: Time,
        source: SocketAddrV4,
        session: Session,
        reason: RefusalReason,
        next: u64,
        sink: &mut dyn IngressSink,
    ) {
        let place = (hash_session(&session) >> 32) as usize % REFUSAL_PLACES;
        let allowed_ns = self.refused_ns[place];
        if now.monotonic_ns < allowed_ns {
            self.counters.refusals_suppressed.increment();
            return;
        }
        self.refused_ns[place] = now.monotonic_ns.saturating_add(self.config.refusal_ns);
        self.counters.refusals.increment();
        sink.send(source, &Refusal { reason, session, next }.to_bytes());
    }
}

/// A packet that was admitted, and what its session wants.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    now: Time,
    rule: usize,
    source: SocketAddrV4,
    packet: Packet<'a>,
    datagram: &'a [u8],
    next: u64,
}

/// Offers what a packet has from `next` on; returns the number wanted then, and why it stopped before the packet's end if it did.
fn offer(now: Time, packet: &Packet<'_>, next: u64, sink: &mut dyn IngressSink) -> (u64, Option<Hold>) {
    for (sequence, block) in packet.messages().skip((next - packet.sequence) as usize) {
        if let Err(hold) = sink.take(now, packet.session, sequence, block) {
            return (sequence, Some(hold));
        }
    }
    (next.max(packet.next_sequence()), None)
}

#[cfg(test)]
mod tests;
