//! The rewinder: answers request packets with messages that somebody missed.
//!
//! A request is a datagram of exactly 20 bytes that names one of the rewinder's sessions. It is answered by one downstream packet, sent to where the
//! request came from: the messages from the first one wanted on that fit, no more than asked, none above the commit point. There is
//! silence for everything else: foreign sessions, number 0, count 0, numbers not there (any more, or yet), messages that the journal cannot give
//! though it should, and requesters that draw more than their share. Replies to one requester that are of equal length leave as one burst. Readings M2 to M5 in `docs/PROTOCOL.md`.
use super::burst::Burst;
use super::stream_reader::{StreamRead, StreamReader};
use crate::disk::Disk;
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
use crate::time::{SECOND_NS, Time};
use gds_wire::mold::{self, PacketBuilder, Request};
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::sync::Arc;

crate::counter_set! {
    /// What a rewinder was asked and sent.
    pub struct RewinderCounters {
        /// Request packets.
        requests,
        /// Packets sent in answer.
        replies,
        /// Messages in these.
        messages,
        /// Bytes of these.
        bytes,
        /// Datagrams that are no request packet.
        malformed,
        /// Requests for a session that is not ours.
        foreign,
        /// Requests for messages that are not there yet, or count 0, or number 0.
        out_of_range,
        /// Requests for messages that are not kept any more.
        gone,
        /// Requests for messages that the journal should have and that cannot be read: whoever asks finds them elsewhere.
        unreadable,
        /// Requests of requesters that had drawn more than their share.
        limited,
        /// Requests dropped because too many came in one duty cycle.
        overflow,
        /// Requesters forgotten to make place for another while they had drawn something.
        requesters_evicted,
    }
}

/// What a [`Rewinder`] needs to know.
#[derive(Clone, Debug)]
pub struct RewinderConfig {
    /// The largest reply.
    pub payload_bytes_max: usize,
    /// What one requester may draw in the long run.
    pub bytes_per_second: u64,
    /// ... and at once.
    pub burst_bytes: u64,
    /// How many requesters are remembered; more than that and the quietest is forgotten.
    pub requesters_max: usize,
    /// Most requests in one duty cycle.
    pub requests_max: usize,
}

impl Default for RewinderConfig {
    fn default() -> Self {
        Self {
            payload_bytes_max: mold::MAX_PAYLOAD_BYTES,
            bytes_per_second: 1_000_000_000,
            burst_bytes: 16 << 20,
            requesters_max: 1024,
            requests_max: 64,
        }
    }
}

/// One session that can be asked for.
pub struct RewindSource {
    /// The session.
    pub session: Session,
    /// Where its messages are.
    pub reader: StreamReader,
    /// The last number that may be shown, asked anew for each request.
    pub limit: Box<dyn Fn() -> u64 + Send>,
}

/// What one requester may still draw.
#[derive(Clone, Copy, Debug)]
struct Requester {
    address: SocketAddrV4,
    bytes: u64,
    refilled_ns: u64,
}

/// What filling a reply came to.
enum Filled {
    /// So many messages, in so many bytes.
    Messages {
        /// How many.
        count: u16,
        /// With the packet's header.
        length: usize,
    },
    /// The first one wanted is not kept.
    Gone,
    /// The first one wanted is kept and cannot be read.
    Unreadable,
}

/// How many places a requester's address may be found at.
const WAYS: usize = 8;

/// Serves requests for some sessions.
pub struct Rewinder {
    config: RewinderConfig,
    sources: Vec<RewindSource>,
    requesters: Vec<Option<Requester>>,
    pending: Vec<(SocketAddrV4, Request)>,
    /// Replies built and not sent yet, all to one requester.
    burst: Burst,
    counters: Arc<RewinderCounters>,
}

impl Rewinder {
    /// A rewinder for these sessions. All its memory is taken here.
    pub fn new(config: RewinderConfig, sources: Vec<RewindSource>) -> Self {
        assert!(
            config.payload_bytes_max > mold::HEADER_BYTES + mold::BLOCK_LENGTH_BYTES
                && config.requests_max > 0
        );
        Self {
            sources,
            requesters: vec![None; config.requesters_max.next_multiple_of(WAYS).max(WAYS)],
            pending: Vec::with_capacity(config.requests_max),
            burst: Burst::new(config.payload_bytes_max),
            counters: Arc::default(),
            config,
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<RewinderCounters> {
        &self.counters
    }

    /// The sessions served.
    pub fn sources(&self) -> &[RewindSource] {
        &self.sources
    }

    /// One duty cycle: takes what requests there are and answers them. `disks` has the journal of each source, in the order of the
    /// sources. Returns how many datagrams came.
    pub fn duty(&mut self, now: Time, disks: &mut [&mut dyn Disk], port: &mut dyn DatagramPort) -> usize {
        let Self { pending, counters, config, .. } = self;
        let received =
            port.receive(config.requests_max, &mut |from, datagram| match Request::parse(datagram) {
                None => counters.malformed.increment(),
                Some(_) if pending.len() == config.requests_max => counters.overflow.increment(),
                Some(request) => pending.push((from, request)),
            });
        self.answer_pending(now, disks, port);
        self.pending.clear();
        received
    }

    /// Answers the requests taken: reply behind reply, as long as they go to one requester and are of one length.
    fn answer_pending(&mut self, now: Time, disks: &mut [&mut dyn Disk], port: &mut dyn DatagramPort) {
        let mut to = None;
        for index in 0..self.pending.len() {
            let (from, request) = self.pending[index];
            if let Some(last) = to.replace(from).filter(|last| *last != from || self.burst.is_complete()) {
                send(port, last, self.burst.take());
            }
            let Some(length) = self.answer(now, from, &request, disks) else { continue };
            if !self.burst.fits(length) {
                send(port, from, self.burst.split());
            }
            self.burst.add(length);
        }
        if let Some(to) = to {
            send(port, to, self.burst.take());
        }
    }

    /// Answers one datagram, whatever port it came from: the reply, if there is one.
    pub fn on_datagram(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        datagram: &[u8],
        disks: &mut [&mut dyn Disk],
    ) -> Option<&[u8]> {
        let Some(request) = Request::parse(datagram) else {
            self.counters.malformed.increment();
            return None;
        };
        let length = self.answer(now, from, &request, disks)?;
        self.burst.add(length);
        Some(self.burst.take().0)
    }

    /// Builds the reply in the burst's room; its length.
    fn answer(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        request: &Request,
        disks: &mut [&mut dyn Disk],
    ) -> Option<usize> {
        self.counters.requests.increment();
        let Some(index) = self.sources.iter().position(|source| source.session == request.session) else {
            self.counters.foreign.increment();
            return None;
        };
        let ahead = active(Mutation::RewinderAhead);
        let limit = if ahead { u64::MAX } else { (self.sources[index].limit)() };
        if request.count == 0 || request.sequence == 0 || request.sequence > limit {
            self.counters.out_of_range.increment();
            return None;
        }
        if !self.may_draw(now.monotonic_ns, from) {
            self.counters.limited.increment();
            return None;
        }
        let limit = limit.min(request.sequence.saturating_add(u64::from(request.count) - 1));
        let (count, length) = match self.fill(index, request.sequence, limit, &mut *disks[index]) {
            Filled::Messages { count, length } => (count, length),
            Filled::Gone => {
                self.counters.gone.increment();
                return None;
            }
            Filled::Unreadable => {
                self.counters.unreadable.increment();
                // The disk was read for it in vain, which costs as much as a reply.
                self.draw(from, self.config.payload_bytes_max as u64);
                return None;
            }
        };
        self.draw(from, length as u64);
        self.counters.replies.increment();
        self.counters.messages.add(u64::from(count));
        self.counters.bytes.add(length as u64);
        Some(length)
    }

    /// Fills the burst's room with messages from `sequence` to `limit`, as many as fit and can be read.
    fn fill(&mut self, index: usize, sequence: u64, limit: u64, disk: &mut dyn Disk) -> Filled {
        let source = &mut self.sources[index];
        let mut builder = PacketBuilder::new(self.burst.room_for_any(), source.session, sequence);
        source.reader.seek(sequence);
        let mut is_readable = true;
        while builder.room() > 0 {
            match source.reader.read(limit, disk, builder.vacant()) {
                Ok(StreamRead::Message { length, .. }) => builder.accept(length),
                Ok(_) => break,
                Err(_) => {
                    is_readable = false;
                    break;
                }
            }
        }
        match builder.count() {
            0 if is_readable => Filled::Gone,
            0 => Filled::Unreadable,
            count => Filled::Messages { count, length: builder.finish() },
        }
    }

    /// The requester's places in the table.
    fn places(&self, address: SocketAddrV4) -> std::ops::Range<usize> {
        let key = u64::from(u32::from(*address.ip())) << 16 | u64::from(address.port());
        let sets = self.requesters.len() / WAYS;
        let set = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % sets;
        set * WAYS..(set + 1) * WAYS
    }

    /// Whether the requester has anything left to draw; refills it first, and makes place for one not seen before.
    fn may_draw(&mut self, now_ns: u64, address: SocketAddrV4) -> bool {
        let places = self.places(address);
        let known = self.requesters[places.clone()]
            .iter()
            .position(|place| place.is_some_and(|it| it.address == address));
        let place = known.unwrap_or_else(|| {
            let oldest = |place: &Option<Requester>| place.map_or(0, |requester| requester.refilled_ns + 1);
            let set = &self.requesters[places.clone()];
            (0..WAYS).min_by_key(|way| oldest(&set[*way])).expect("a set has places")
        });
        let requester = &mut self.requesters[places.start + place];
        if known.is_none() {
            self.counters.requesters_evicted.add(u64::from(requester.is_some()));
            *requester = Some(Requester { address, bytes: self.config.burst_bytes, refilled_ns: now_ns });
        }
        let requester = requester.as_mut().expect("found or made");
        let elapsed_ns = now_ns.saturating_sub(requester.refilled_ns);
        let refill =
            u128::from(elapsed_ns) * u128::from(self.config.bytes_per_second) / u128::from(SECOND_NS);
        if refill > 0 {
            requester.bytes = self
                .config
                .burst_bytes
                .min((u128::from(requester.bytes) + refill).min(u64::MAX.into()) as u64);
            requester.refilled_ns = now_ns;
        }
        requester.bytes > 0
    }

    fn draw(&mut self, address: SocketAddrV4, bytes: u64) {
        let places = self.places(address);
        for requester in self.requesters[places].iter_mut().flatten().filter(|it| it.address == address) {
            requester.bytes = requester.bytes.saturating_sub(bytes);
        }
    }
}

/// Sends what there is of a burst.
fn send(port: &mut dyn DatagramPort, to: SocketAddrV4, (replies, segment_bytes): (&[u8], usize)) {
    if !replies.is_empty() {
        port.send_segments(to, replies, segment_bytes);
    }
}

#[cfg(test)]
mod tests;
