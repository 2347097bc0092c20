//! Receives a stream that is published elsewhere, and keeps it: what a node does that only rewinds.
//!
//! Messages go from the receiver into a ring, where the journal and the rewinder find them, as they find those of a sequencer in a node that
//! has one. They are delivered in order and without a hole, and only what is committed is ever sent, so the end of the ring is the commit
//! point. The ring is not overrun: nothing is received unless half of it would be free after the most that one duty cycle can set free. What
//! the kernel drops meanwhile is asked for afterwards.
use super::{Agent, Fault};
use crate::bus::{Receiver, ReceiverConfig};
use crate::cursor::Progress;
use crate::label::number_of;
use crate::memory::ring::{Ring, RingConfig, RingWriter};
use crate::port::DatagramPort;
use crate::time::Time;
use gds_wire::mold::{BLOCK_LENGTH_BYTES, HEADER_BYTES, Kind, Packet};
use std::sync::Arc;

crate::counter_set! {
    /// How a listener stands.
    pub struct ListenerCounters {
        /// The message that it waits for.
        next,
        /// One above the last message that it knows to exist.
        known,
        /// Datagrams dropped: no packets, or too long, or with more messages than so many bytes can hold of this stream.
        unfit,
        /// Duty cycles in which it received nothing because the journal was too far behind.
        held_back,
        /// The last session heard in the place of the one kept, where its name is a number; 0: none.
        other_session,
    }
}

/// What a [`ListenerAgent`] can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerBounds {
    /// The longest datagram.
    pub packet_bytes_max: usize,
    /// The shortest message.
    pub message_bytes_min: usize,
    /// Datagrams from each port in one duty cycle.
    pub batch_packets: usize,
    /// Packets held ahead of a gap.
    pub window_packets: usize,
}

/// Most of these, however large the ring.
const BATCH_PACKETS_MAX: usize = 256;
const WINDOW_PACKETS_MAX: usize = 16_384;

impl ListenerBounds {
    /// The bounds that a ring of this size allows; `None`: it is too small for any.
    pub fn of(ring: &RingConfig, packet_bytes_max: usize, message_bytes_min: usize) -> Option<Self> {
        let bounds = Self { packet_bytes_max, message_bytes_min, batch_packets: 0, window_packets: 0 };
        let frames = ring.positions.min(ring.data_bytes / Ring::frame_bytes(0)) / 2;
        let packets = frames / bounds.packet_frames();
        let batch_packets = (packets / 4).min(BATCH_PACKETS_MAX);
        // What is being received has two ports to come from.
        let window_packets = packets.saturating_sub(2 * batch_packets).min(WINDOW_PACKETS_MAX);
        (batch_packets > 0).then_some(Self { batch_packets, window_packets, ..bounds })
    }

    fn packet_messages_max(&self) -> usize {
        (self.packet_bytes_max - HEADER_BYTES) / (BLOCK_LENGTH_BYTES + self.message_bytes_min)
    }

    /// The ring's smallest frames that the messages of one packet take at most.
    fn packet_frames(&self) -> usize {
        let (frame_bytes, word_bytes) = (Ring::frame_bytes(0), size_of::<u64>());
        let bytes = self.packet_messages_max() * (frame_bytes + word_bytes - 1) + self.packet_bytes_max;
        bytes.div_ceil(frame_bytes)
    }

    /// The same that one duty cycle can set free: all that was held, and all that comes.
    fn duty_frames(&self) -> usize {
        (self.window_packets + 2 * self.batch_packets) * self.packet_frames()
    }

    /// Whether the receiver may have this datagram.
    fn fits(&self, datagram: &[u8]) -> bool {
        datagram.len() <= self.packet_bytes_max
            && Packet::parse(datagram).is_ok_and(|packet| match packet.kind {
                Kind::Messages(_) => usize::from(packet.count()) <= self.packet_messages_max(),
                _ => true,
            })
    }
}

/// A receiver with its ports, and the ring that it fills.
pub struct ListenerAgent<P> {
    receiver: Receiver,
    bounds: ListenerBounds,
    group: P,
    own: P,
    ring: RingWriter,
    progress: Arc<Progress>,
    counters: Arc<ListenerCounters>,
}

impl<P: DatagramPort> ListenerAgent<P> {
    /// `group` is the stream's, from `own` is asked for what is missing. `ring` stands at the next message, and `progress` is its. The receiver's
    /// window is that of the bounds.
    ///
    /// # Panics
    /// When the receiver is to begin elsewhere than the ring, or the bounds are not of this ring.
    pub fn new(
        config: ReceiverConfig,
        bounds: ListenerBounds,
        [group, own]: [P; 2],
        mut ring: RingWriter,
        progress: Arc<Progress>,
    ) -> Self {
        assert_eq!(config.next, ring.next_sequence(), "the stream goes on where the ring ends");
        assert!(ring.room_for(u64::MAX, 0) >= bounds.duty_frames(), "the ring is too small for a listener");
        let receiver = Receiver::new(ReceiverConfig {
            window_packets: bounds.window_packets,
            packet_bytes_max: bounds.packet_bytes_max,
            ..config
        });
        Self { receiver, bounds, group, own, ring, progress, counters: Arc::default() }
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<ListenerCounters> {
        &self.counters
    }

    /// The receiver, which counts as well.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Takes what has arrived, if there is room for what follows from it.
    fn receive(&mut self, now: Time) -> usize {
        let Self { receiver, bounds, group, own, ring, progress, counters } = self;
        if ring.room_for(progress.journalled.get(), 0) < bounds.duty_frames() {
            counters.held_back.increment();
            return 0;
        }
        let append = &mut |sequence: u64, message: &[u8]| {
            // Published packets do not say in which epoch a message was first numbered.
            let appended = ring.append(0, &[message]);
            assert_eq!(appended, sequence, "a stream is delivered without a hole");
        };
        let mut taken = group.receive(bounds.batch_packets, &mut |_, datagram| match bounds.fits(datagram) {
            true => receiver.on_packet(now, datagram, append),
            false => counters.unfit.increment(),
        });
        // Rewinders answer when asked: without a gap there is nothing to look for, and looking may cost a system call.
        if receiver.next_sequence() < receiver.known_sequence() {
            taken += own.receive(bounds.batch_packets, &mut |from, datagram| match bounds.fits(datagram) {
                true => receiver.on_reply(now, from, datagram, append),
                false => counters.unfit.increment(),
            });
        }
        taken
    }
}

impl<P: DatagramPort> Agent for ListenerAgent<P> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        let taken = self.receive(now);
        if taken > 0 {
            self.ring.publish();
            let last = self.ring.next_sequence() - 1;
            self.progress.sequenced.set(last);
            self.progress.committed.set(last);
            self.progress.published.set(last);
            if self.receiver.ended() {
                self.progress.ended.set(last);
            }
            self.counters.next.set(self.receiver.next_sequence());
            self.counters.known.set(self.receiver.known_sequence());
            self.counters.other_session.set(self.receiver.other_session().and_then(number_of).unwrap_or(0));
        }
        let Self { receiver, own, .. } = self;
        let asked = receiver.on_timer(now, &mut |rewinder, request| {
            own.send(rewinder, request);
        });
        Ok(taken + asked)
    }
}

#[cfg(test)]
mod tests;
