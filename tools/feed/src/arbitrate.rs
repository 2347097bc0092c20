//! From the datagrams of a recording to each MoldUDP64 session's messages, in order and once each.
//!
//! A recording holds packets as they passed: a multicast group on two lines, gaps, the unicast packets that filled them for one
//! listener or another, the same message several times, and the requests themselves. An [`Arbiter`] takes all of them in the
//! order in which they were captured. What is ahead of a gap is held until the gap closes, or until one of the bounds of
//! [`ArbiterConfig`] is reached; then the gap is reported and stepped over.
//!
//! A datagram of 20 bytes with a message count is a request: as a downstream packet it would have no room for its messages. With
//! count 0 or 0xFFFF it looks like a heartbeat or an end of session and is told apart by where it goes: to a host and port to
//! which a request has gone before, or to a port named in the configuration.
use crate::capture::Datagram;
use gds_wire::mold::{END_OF_SESSION, Kind, Packet, Request};
use gds_wire::session::Session;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::net::SocketAddrV4;

#[cfg(test)]
mod tests;

/// Where a session's messages begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first message seen; a recording may begin in mid-day.
    #[default]
    FirstSeen,
    /// With number 1; if that is missing, it is a gap.
    One,
}

/// Bounds and choices of an [`Arbiter`].
#[derive(Clone, Debug)]
pub struct ArbiterConfig {
    /// Where a session's messages begin.
    pub start: Start,
    /// The only session wanted; `None` wants all.
    pub session: Option<Session>,
    /// Ports to which requests go, besides those that are learned.
    pub request_ports: Vec<u16>,
    /// Most messages held ahead of a gap, per session.
    pub held_messages_max: usize,
    /// Most bytes of messages held ahead of a gap, per session.
    pub held_bytes_max: usize,
    /// How long, in the recording's own time, a gap may stay open.
    pub gap_ns_max: u64,
    /// Most sessions told apart; packets of further ones are counted and dropped.
    pub sessions_max: usize,
    /// Most gaps kept for [`Arbiter::gaps`]; all are counted.
    pub gaps_max: usize,
}

impl Default for ArbiterConfig {
    fn default() -> Self {
        Self {
            start: Start::FirstSeen,
            session: None,
            request_ports: Vec::new(),
            held_messages_max: 1 << 18,
            held_bytes_max: 32 << 20,
            gap_ns_max: 30_000_000_000,
            sessions_max: 64,
            gaps_max: 1024,
        }
    }
}

/// Messages that the recording does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Of which session.
    pub session: Session,
    /// Number of the first missing message.
    pub first: u64,
    /// Number of the last missing message.
    pub last: u64,
}

impl Gap {
    /// How many messages are missing.
    pub fn messages(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}: messages {} to {} are missing", self.session, self.first, self.last)
    }
}

/// What an [`Arbiter`] hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbitrated<'a> {
    /// The next message of its session.
    Message {
        /// The session.
        session: Session,
        /// Its number: one above the last, but for a [`Arbitrated::Gap`] between.
        sequence: u64,
        /// When it could be delivered: the capture time of the packet that brought it or closed the gap before it.
        timestamp_ns: u64,
        /// The message.
        bytes: &'a [u8],
    },
    /// These messages will not come any more.
    Gap(Gap),
}

/// What an [`Arbiter`] has seen. Datagrams fall into packets, heartbeats, ends, requests, foreign, and not Mold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arbitration {
    /// Downstream packets with messages.
    pub packets: u64,
    /// Messages handed on.
    pub messages: u64,
    /// Messages that had come before.
    pub duplicates: u64,
    /// Messages that came after their gap had been given up, or before where the session begins.
    pub late: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// End-of-session packets.
    pub ends_of_session: u64,
    /// Request packets.
    pub requests: u64,
    /// Packets of sessions that are not wanted, or beyond the number that are told apart.
    pub foreign: u64,
    /// Datagrams that are no MoldUDP64.
    pub not_mold: u64,
    /// Gaps given up.
    pub gaps: u64,
    /// Messages in those gaps.
    pub missing: u64,
}

/// One session.
struct Line {
    session: Session,
    next: u64,
    first: u64,
    held: BTreeMap<u64, Box<[u8]>>,
    held_bytes: usize,
    /// When the first message was held that still is.
    held_since_ns: u64,
    /// One above the highest number that any packet has told of.
    next_told: u64,
}

/// Puts a recording's MoldUDP64 packets in order; see the module.
pub struct Arbiter {
    config: ArbiterConfig,
    lines: Vec<Line>,
    /// Where requests went.
    request_servers: Vec<SocketAddrV4>,
    gaps: Vec<Gap>,
    counts: Arbitration,
    last_ns: u64,
}

/// More than any recording needs; the oldest is kept, further ones are not learned.
const REQUEST_SERVERS_MAX: usize = 64;

impl Arbiter {
    /// An arbiter that has seen nothing.
    pub fn new(config: ArbiterConfig) -> Self {
        assert!(config.held_messages_max > 0, "an arbiter must be able to hold a message");
        Self {
            config,
            lines: Vec::new(),
            request_servers: Vec::new(),
            gaps: Vec::new(),
            counts: Arbitration::default(),
            last_ns: 0,
        }
    }

    /// Takes the next datagram of the recording; hands on what it makes deliverable.
    pub fn on_datagram(&mut self, datagram: &Datagram<'_>, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        self.last_ns = self.last_ns.max(datagram.timestamp_ns);
        if self.is_request(datagram) {
            self.counts.requests += 1;
            return;
        }
        let Ok(packet) = Packet::parse(datagram.payload) else {
            self.counts.not_mold += 1;
            return;
        };
        let counter = match packet.kind {
            Kind::Heartbeat => &mut self.counts.heartbeats,
            Kind::EndOfSession => &mut self.counts.ends_of_session,
            Kind::Messages(_) => &mut self.counts.packets,
        };
        let Some(index) = line_for(&self.config, &mut self.lines, &packet) else {
            // A heartbeat of a session that has no messages yet is of nobody's interest, but it is what it is.
            if matches!(packet.kind, Kind::Messages(_)) {
                self.counts.foreign += 1;
            } else {
                *counter += 1;
            }
            return;
        };
        *counter += 1;
        self.lines[index].next_told = self.lines[index].next_told.max(packet.next_sequence());
        for (sequence, bytes) in packet.messages() {
            self.on_message(index, sequence, bytes, deliver);
        }
        self.give_up_beyond_bounds(index, deliver);
    }

    /// The recording has ended: hands on all that is held, and reports the gaps that remain.
    pub fn finish(&mut self, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        for index in 0..self.lines.len() {
            while !self.lines[index].held.is_empty() {
                self.give_up(index, deliver);
            }
            let line = &self.lines[index];
            if line.next_told > line.next {
                self.report(index, line.next_told, deliver);
            }
        }
    }

    /// Gaps given up so far, the first ones if there are more than [`ArbiterConfig::gaps_max`].
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// What has been seen so far.
    pub fn counts(&self) -> &Arbitration {
        &self.counts
    }

    fn is_request(&mut self, datagram: &Datagram<'_>) -> bool {
        let Some(request) = Request::parse(datagram.payload) else {
            return false;
        };
        let to = datagram.destination;
        if !matches!(request.count, 0 | END_OF_SESSION) {
            let learned = self.request_servers.contains(&to);
            if !learned && !to.ip().is_multicast() && self.request_servers.len() < REQUEST_SERVERS_MAX {
                self.request_servers.push(to);
            }
            return true;
        }
        !to.ip().is_multicast()
            && (self.request_servers.contains(&to) || self.config.request_ports.contains(&to.port()))
    }

    fn on_message(
        &mut self,
        index: usize,
        sequence: u64,
        bytes: &[u8],
        deliver: &mut dyn FnMut(Arbitrated<'_>),
    ) {
        let line = &mut self.lines[index];
        if sequence < line.next {
            let in_gap =
                |gap: &Gap| gap.session == line.session && (gap.first..=gap.last).contains(&sequence);
            let late = sequence < line.first || self.gaps.iter().any(in_gap);
            *(if late { &mut self.counts.late } else { &mut self.counts.duplicates }) += 1;
            return;
        }
        if sequence == line.next {
            line.next += 1;
            self.counts.messages += 1;
            let (session, timestamp_ns) = (line.session, self.last_ns);
            deliver(Arbitrated::Message { session, sequence, timestamp_ns, bytes });
            self.release(index, deliver);
            return;
        }
        if line.held.is_empty() {
            line.held_since_ns = self.last_ns;
        }
        match line.held.entry(sequence) {
            Entry::Occupied(_) => self.counts.duplicates += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(bytes.into());
                line.held_bytes += bytes.len();
            }
        }
    }

    /// Hands on held messages as far as they follow without a gap.
    fn release(&mut self, index: usize, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        let line = &mut self.lines[index];
        let timestamp_ns = self.last_ns;
        let mut released = false;
        while let Some(entry) = line.held.first_entry().filter(|entry| *entry.key() <= line.next) {
            let (sequence, held) = entry.remove_entry();
            line.held_bytes -= held.len();
            released = true;
            if sequence < line.next {
                self.counts.duplicates += 1;
                continue;
            }
            line.next += 1;
            self.counts.messages += 1;
            let session = line.session;
            deliver(Arbitrated::Message { session, sequence, timestamp_ns, bytes: &held });
        }
        if released {
            // What is still held waits for another gap, and that one is given its own time.
            line.held_since_ns = timestamp_ns;
        }
    }

    fn give_up_beyond_bounds(&mut self, index: usize, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        loop {
            let line = &self.lines[index];
            let beyond = line.held.len() > self.config.held_messages_max
                || line.held_bytes > self.config.held_bytes_max
                || self.last_ns - line.held_since_ns > self.config.gap_ns_max;
            if line.held.is_empty() || !beyond {
                return;
            }
            self.give_up(index, deliver);
        }
    }

    /// Steps over the first gap.
    fn give_up(&mut self, index: usize, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        let Some(&first_held) = self.lines[index].held.keys().next() else {
            return;
        };
        self.report(index, first_held, deliver);
        self.release(index, deliver);
    }

    /// Reports everything from the next number to before `resume` as missing.
    fn report(&mut self, index: usize, resume: u64, deliver: &mut dyn FnMut(Arbitrated<'_>)) {
        let line = &mut self.lines[index];
        let gap = Gap { session: line.session, first: line.next, last: resume - 1 };
        line.next = resume;
        self.counts.gaps += 1;
        self.counts.missing = self.counts.missing.saturating_add(gap.messages());
        if self.gaps.len() < self.config.gaps_max {
            self.gaps.push(gap);
        }
        deliver(Arbitrated::Gap(gap));
    }
}

/// The packet's session; a new one only when it brings messages, is wanted, and there is room.
fn line_for(config: &ArbiterConfig, lines: &mut Vec<Line>, packet: &Packet<'_>) -> Option<usize> {
    let session = packet.session;
    if let Some(index) = lines.iter().position(|line| line.session == session) {
        return Some(index);
    }
    let wanted = config.session.is_none_or(|wanted| wanted == session);
    if !wanted || !matches!(packet.kind, Kind::Messages(_)) || lines.len() == config.sessions_max {
        return None;
    }
    let first = match config.start {
        Start::FirstSeen => packet.sequence,
        Start::One => 1,
    };
    lines.push(Line {
        session,
        next: first,
        first,
        held: BTreeMap::new(),
        held_bytes: 0,
        held_since_ns: 0,
        next_told: first,
    });
    Some(lines.len() - 1)
}
