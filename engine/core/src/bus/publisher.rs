//! The publisher: sends a stream downstream as MoldUDP64.
//!
//! Each duty cycle packs whatever is committed into as few packets as it takes and never waits for more. Packets of equal length leave as
//! one burst: behind the first, no packet is made longer than that, so a burst has at least two whatever the messages' lengths. After the last message come heartbeats
//! at 0.2, 1, 10 and 100 ms and then every second, so that a listener that missed the tail learns it at once. After the end of the
//! stream a train of end-of-session packets, close together at first, takes their place for five seconds, and then nothing.
//!
//! It is given the commit point and reads nothing above it; a heartbeat carries what was published plus one.
//! The acknowledgement stream has a publisher of its own.
use super::burst::Burst;
use super::stream_reader::{StreamRead, StreamReader};
use crate::disk::Disk;
use crate::journal::JournalError;
use crate::port::DatagramPort;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS, Time};
use gds_wire::envelope::{ENVELOPE_BYTES, Kind, Message};
use gds_wire::mold::{self, PacketBuilder};
use gds_wire::session::Session;
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

crate::counter_set! {
    /// What a publisher sent.
    pub struct PublisherCounters {
        /// Packets with messages.
        packets,
        /// Messages.
        messages,
        /// Bytes of these packets.
        bytes,
        /// Heartbeats.
        heartbeats,
        /// End-of-session packets.
        ends,
        /// Datagrams that the port did not take; listeners fill the gap.
        unsent,
    }
}

/// What a [`Publisher`] needs to know.
#[derive(Clone, Debug)]
pub struct PublisherConfig {
    /// The downstream session.
    pub session: Session,
    /// The largest packet.
    pub payload_bytes_max: usize,
    /// The groups sent to, each packet to every one: one, or the lines A and B.
    pub groups: Vec<SocketAddrV4>,
    /// Most packets in one duty cycle.
    pub packets_max: usize,
    /// Whether messages are bus messages, the last of which ends the session by itself. Otherwise [`Publisher::end_after`] says when.
    pub bus_messages: bool,
}

impl PublisherConfig {
    /// The bus stream to one group.
    pub fn new(session: Session, group: SocketAddrV4) -> Self {
        let payload_bytes_max = mold::MAX_PAYLOAD_BYTES;
        Self { session, payload_bytes_max, groups: vec![group], packets_max: 64, bus_messages: true }
    }
}

/// Why a publisher cannot go on. The node stops.
#[derive(Debug)]
pub enum PublisherError {
    /// The journal failed.
    Journal(JournalError),
    /// The next message is in neither ring nor journal.
    Gone {
        /// Its number.
        sequence: u64,
    },
}

impl fmt::Display for PublisherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Gone { sequence } => {
                write!(
                    f,
                    "message {sequence} must be published and is neither in the ring nor in the journal"
                )
            }
        }
    }
}

impl std::error::Error for PublisherError {}

/// Heartbeats after the last message, counted from it; then every second.
const HEARTBEATS_NS: [u64; 4] =
    [200 * MICROSECOND_NS, MILLISECOND_NS, 10 * MILLISECOND_NS, 100 * MILLISECOND_NS];
/// The end-of-session train begins like heartbeats, goes on at the short interval for a second, and then each second until five.
const END_TRAIN_NS: u64 = 5 * SECOND_NS;
const END_SHORT_NS: u64 = 200 * MILLISECOND_NS;

/// The end-of-session train, once it runs.
#[derive(Clone, Copy, Debug)]
struct EndTrain {
    began_ns: u64,
    due_ns: u64,
    sent: usize,
}

impl EndTrain {
    fn next_due_ns(&self, now_ns: u64) -> u64 {
        if let Some(after_ns) = HEARTBEATS_NS.get(self.sent - 1) {
            return self.began_ns + after_ns;
        }
        let elapsed_ns = now_ns - self.began_ns;
        let interval_ns = if elapsed_ns < SECOND_NS { END_SHORT_NS } else { SECOND_NS };
        self.began_ns + (elapsed_ns / interval_ns + 1) * interval_ns
    }
}

/// What packing came to.
enum Packed {
    /// A packet, added to the burst.
    Packet,
    /// There is no message to publish.
    Nothing,
    /// The next message is longer than what the burst takes.
    TooLong { length: usize },
}

/// Publishes one stream.
pub struct Publisher {
    config: PublisherConfig,
    reader: StreamReader,
    /// Packets built and not sent yet.
    burst: Burst,
    /// One above the last number published.
    next: u64,
    end_after: Option<u64>,
    last_message_ns: u64,
    heartbeats: usize,
    heartbeat_due_ns: u64,
    end: Option<EndTrain>,
    finished: bool,
    counters: Arc<PublisherCounters>,
}

impl Publisher {
    /// A publisher that begins where the reader stands.
    pub fn new(config: PublisherConfig, reader: StreamReader) -> Self {
        assert!(
            config.payload_bytes_max > mold::HEADER_BYTES + mold::BLOCK_LENGTH_BYTES
                && config.packets_max > 0
        );
        Self {
            burst: Burst::new(config.payload_bytes_max),
            next: reader.next_sequence(),
            end_after: None,
            last_message_ns: 0,
            heartbeats: 0,
            heartbeat_due_ns: 0,
            end: None,
            finished: false,
            counters: Arc::default(),
            reader,
            config,
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<PublisherCounters> {
        &self.counters
    }

    /// Where its messages came from.
    pub fn reader(&self) -> &StreamReader {
        &self.reader
    }

    /// The last number published; the one before the first when there is none.
    pub fn published(&self) -> u64 {
        self.next - 1
    }

    /// Ends the session once this number has been published.
    pub fn end_after(&mut self, sequence: u64) {
        self.end_after = Some(sequence);
    }

    /// True once the end-of-session train has run: nothing is ever sent again.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// When the next heartbeat or end of session is due, on the monotonic clock.
    pub fn due_ns(&self) -> u64 {
        match self.end {
            _ if self.finished => u64::MAX,
            Some(train) => train.due_ns,
            None => self.heartbeat_due_ns,
        }
    }

    /// One duty cycle: publishes what is there up to `limit`, the commit point, or sends what is due instead. Returns how many
    /// datagrams it made.
    ///
    /// # Errors
    ///
    /// When a committed message cannot be read: the node must stop.
    pub fn duty(
        &mut self,
        now: Time,
        limit: u64,
        disk: &mut dyn Disk,
        port: &mut dyn DatagramPort,
    ) -> Result<usize, PublisherError> {
        if self.finished {
            return Ok(0);
        }
        let published = if self.end.is_none() { self.publish(limit, disk, port) } else { Ok(0) };
        self.send_burst(port);
        let packets = published?;
        if packets > 0 {
            self.last_message_ns = now.monotonic_ns;
            self.heartbeats = 0;
            self.heartbeat_due_ns = now.monotonic_ns + HEARTBEATS_NS[0];
        }
        if self.end.is_none() && self.end_after.is_some_and(|last| self.next > last) {
            self.end = Some(EndTrain { began_ns: now.monotonic_ns, due_ns: now.monotonic_ns, sent: 0 });
        }
        Ok(packets + usize::from(self.send_due(now.monotonic_ns, port)))
    }

    /// Passes over what somebody else publishes, up to `last`; when it publishes again, a heartbeat is due at once.
    pub fn pass(&mut self, now: Time, last: u64) {
        if last >= self.next {
            self.next = last + 1;
            self.reader.seek(self.next);
        }
        (self.last_message_ns, self.heartbeats, self.heartbeat_due_ns) = (now.monotonic_ns, 0, 0);
    }

    /// Packs what there is, and sends each burst that is complete. Returns how many packets it made.
    fn publish(
        &mut self,
        limit: u64,
        disk: &mut dyn Disk,
        port: &mut dyn DatagramPort,
    ) -> Result<usize, PublisherError> {
        let mut packets = 0;
        while packets < self.config.packets_max && self.next <= limit {
            match self.pack(limit, disk)? {
                Packed::Packet => packets += 1,
                Packed::Nothing => break,
                Packed::TooLong { length } => {
                    assert!(!self.burst.is_empty(), "a message of {length} bytes fits no packet");
                    self.send_burst(port);
                }
            }
            if self.burst.is_complete() {
                self.send_burst(port);
            }
        }
        Ok(packets)
    }

    /// Builds one packet behind those of the burst.
    fn pack(&mut self, limit: u64, disk: &mut dyn Disk) -> Result<Packed, PublisherError> {
        let limit = limit.min(self.end_after.unwrap_or(u64::MAX));
        let mut builder = PacketBuilder::new(self.burst.room(), self.config.session, self.next);
        let mut ends = false;
        while builder.room() > 0 && !ends {
            let vacant = builder.vacant();
            match self.reader.read(limit, disk, vacant).map_err(PublisherError::Journal)? {
                StreamRead::Message { sequence, length, .. } => {
                    ends = self.config.bus_messages && ends_stream(&vacant[..length]);
                    assert!(sequence == builder.next_sequence(), "message {sequence} read out of turn");
                    builder.accept(length);
                }
                StreamRead::Empty => break,
                StreamRead::TooSmall { length } if builder.count() == 0 => {
                    return Ok(Packed::TooLong { length });
                }
                StreamRead::TooSmall { .. } => break,
                StreamRead::Gone => {
                    return Err(PublisherError::Gone { sequence: self.reader.next_sequence() });
                }
            }
        }
        let (count, next) = (builder.count(), builder.next_sequence());
        if count == 0 {
            return Ok(Packed::Nothing);
        }
        let length = builder.finish();
        self.burst.add(length);
        self.next = next;
        if ends {
            self.end_after = Some(next - 1);
        }
        self.counters.packets.increment();
        self.counters.messages.add(u64::from(count));
        self.counters.bytes.add(length as u64);
        Ok(Packed::Packet)
    }

    /// Sends what has been built.
    fn send_burst(&mut self, port: &mut dyn DatagramPort) {
        if self.burst.is_empty() {
            return;
        }
        let (packets, segment_bytes) = self.burst.take();
        for group in &self.config.groups {
            let taken = port.send_segments(*group, packets, segment_bytes);
            self.counters.unsent.add((packets.len().div_ceil(segment_bytes) - taken) as u64);
        }
    }

    /// Sends a heartbeat or an end of session when its time has come.
    fn send_due(&mut self, now_ns: u64, port: &mut dyn DatagramPort) -> bool {
        if now_ns < self.due_ns() {
            return false;
        }
        let packet = match &mut self.end {
            Some(train) => {
                if now_ns - train.began_ns > END_TRAIN_NS {
                    self.finished = true;
                    return false;
                }
                train.sent += 1;
                train.due_ns = train.next_due_ns(now_ns);
                self.counters.ends.increment();
                mold::end_of_session(self.config.session, self.next)
            }
            None => {
                self.heartbeats += 1;
                self.heartbeat_due_ns = match HEARTBEATS_NS.get(self.heartbeats) {
                    Some(after_ns) => (self.last_message_ns + after_ns).max(now_ns + HEARTBEATS_NS[0]),
                    None => now_ns + SECOND_NS,
                };
                self.counters.heartbeats.increment();
                mold::heartbeat(self.config.session, self.next)
            }
        };
        for group in &self.config.groups {
            let sent = port.send(*group, &packet);
            self.counters.unsent.add(u64::from(!sent));
        }
        true
    }
}

fn ends_stream(message: &[u8]) -> bool {
    message.len() == ENVELOPE_BYTES && Message::parse_kind(message, Kind::EndOfStream).is_some()
}

#[cfg(test)]
mod tests;
