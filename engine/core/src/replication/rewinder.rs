//! Older entries, for replicas that missed them: those of the ring, and behind it those of the journal, with their epochs.
//!
//! Only the leader of the epoch that a request names answers, to a peer's address alone, and up to the end of its log: what is not committed
//! may go to replicas, and to nobody else. It runs apart from the leader's lap, since a look at the journal may wait for the disk.
use super::config::Peer;
use super::entries::{Before, EntryReader, Packed, pack};
use super::leadership::Leadership;
use super::member::{NODES_MAX, NodeId};
use crate::bus::burst::Burst;
use crate::bus::stream_reader::{StreamRead, StreamReader};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::{JournalError, MESSAGE_BYTES_MAX};
use crate::port::DatagramPort;
use arrayvec::ArrayVec;
use gds_wire::replication::{HistoryRequest, Prefix, leader_packet_bytes};
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Requests answered in one duty cycle.
const REQUESTS_PER_DUTY: usize = 16;
/// Packets in answer to one request.
const PACKETS_PER_REQUEST: usize = 256;

crate::counter_set! {
    /// What the replicas' rewinder counts.
    pub struct ReplicaRewinderCounters {
        /// Requests received.
        requests,
        /// Requests of another epoch, or to a node that does not lead.
        not_leading,
        /// Requests that are damaged, of another stream, or not from a peer's address.
        strangers,
        /// Requests left for the next time because there were too many.
        overflow,
        /// Packets sent in answer.
        packets,
        /// Entries in them.
        entries,
        /// Requests for entries that are not kept any more: the replica needs a snapshot.
        gone,
        /// Requests that were answered in part or not at all because the journal could not be read: the replica goes on asking, and says so.
        unreadable,
    }
}

/// What a [`ReplicaRewinder`] needs to know.
#[derive(Clone, Debug)]
pub struct ReplicaRewinderConfig {
    /// This node.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: u64,
    /// The stream.
    pub stream: Session,
    /// The largest downstream packet.
    pub payload_bytes_max: usize,
    /// Who may ask.
    pub peers: ArrayVec<Peer, NODES_MAX>,
}

/// Answers replicas' requests for older entries.
pub struct ReplicaRewinder {
    config: ReplicaRewinderConfig,
    reader: StreamReader,
    progress: Arc<Progress>,
    leadership: Arc<Leadership>,
    pending: ArrayVec<(SocketAddrV4, HistoryRequest), REQUESTS_PER_DUTY>,
    burst: Burst,
    /// For the entry before the first one asked for.
    before: Box<[u8]>,
    counters: Arc<ReplicaRewinderCounters>,
}

/// A stream's reader with its disk.
struct OnDisk<'a> {
    reader: &'a mut StreamReader,
    disk: &'a mut dyn Disk,
}

impl EntryReader for OnDisk<'_> {
    type Error = JournalError;

    fn next_sequence(&self) -> u64 {
        self.reader.next_sequence()
    }

    fn read(&mut self, limit: u64, into: &mut [u8]) -> Result<StreamRead, JournalError> {
        self.reader.read(limit, self.disk, into)
    }

    fn seek(&mut self, sequence: u64) {
        self.reader.seek(sequence);
    }
}

impl ReplicaRewinder {
    /// Serves the stream that `reader` reads, whose end `progress` knows. All its memory is taken here.
    pub fn new(
        config: ReplicaRewinderConfig,
        reader: StreamReader,
        progress: Arc<Progress>,
        leadership: Arc<Leadership>,
    ) -> Self {
        Self {
            burst: Burst::new(leader_packet_bytes(config.payload_bytes_max)),
            config,
            reader,
            progress,
            leadership,
            pending: ArrayVec::new(),
            before: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
            counters: Arc::default(),
        }
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<ReplicaRewinderCounters> {
        &self.counters
    }

    /// One duty cycle: takes what requests there are and answers them. Returns how many datagrams came.
    pub fn duty(&mut self, disk: &mut dyn Disk, port: &mut dyn DatagramPort) -> usize {
        let Self { config, pending, counters, .. } = self;
        let received = port.receive(REQUESTS_PER_DUTY, &mut |from, datagram| {
            counters.requests.increment();
            let of_peer = |request: &HistoryRequest| {
                request.sender.stream == config.stream
                    && config
                        .peers
                        .iter()
                        .any(|peer| peer.node.0 == request.sender.node && peer.replication.ip() == from.ip())
            };
            match HistoryRequest::parse(datagram).filter(of_peer) {
                None => counters.strangers.increment(),
                Some(_) if pending.is_full() => counters.overflow.increment(),
                Some(request) => pending.push((from, request)),
            }
        });
        for (from, request) in std::mem::take(&mut self.pending) {
            if self.answer(from, &request, disk, port).is_err() {
                self.counters.unreadable.increment();
                // What could be read before it goes.
                send(&mut self.burst, from, port);
            }
        }
        received
    }

    /// Answers as far as the journal can be read.
    fn answer(
        &mut self,
        to: SocketAddrV4,
        request: &HistoryRequest,
        disk: &mut dyn Disk,
        port: &mut dyn DatagramPort,
    ) -> Result<(), JournalError> {
        let epoch = u64::from(request.sender.epoch);
        if !self.leadership.is_leading() || self.leadership.epoch.get() != epoch || request.from == 0 {
            self.counters.not_leading.increment();
            return Ok(());
        }
        let limit = self.progress.sequenced.get().min(request.to);
        let prefix = Prefix {
            node: self.config.node.0,
            epoch: request.sender.epoch,
            incarnation: self.config.incarnation,
            committed: self.progress.committed.get(),
            revision: self.leadership.revision.get(),
            ..Prefix::default()
        };
        let mut reader = OnDisk { reader: &mut self.reader, disk };
        let Some(mut before) = entry_before(&mut reader, request.from, &mut self.before)? else {
            self.counters.gone.increment();
            return Ok(());
        };
        let mut packets = 0;
        while packets < PACKETS_PER_REQUEST {
            match pack(&mut reader, limit, &mut before, self.config.stream, &prefix, &mut self.burst)? {
                Packed::Packet(count) => {
                    packets += 1;
                    self.counters.packets.increment();
                    self.counters.entries.add(count);
                }
                Packed::TooLong => send(&mut self.burst, to, port),
                Packed::Nothing => break,
                Packed::Gone => {
                    self.counters.gone.increment();
                    break;
                }
            }
            if self.burst.is_complete() {
                send(&mut self.burst, to, port);
            }
        }
        send(&mut self.burst, to, port);
        Ok(())
    }
}

/// The entry before `first`, with the reader at `first` then; `None` when it is not kept any more.
fn entry_before(
    reader: &mut OnDisk<'_>,
    first: u64,
    buffer: &mut [u8],
) -> Result<Option<Before>, JournalError> {
    reader.seek(first - 1);
    let before = match first {
        1 => Some(Before::default()),
        _ => match reader.read(u64::MAX, buffer)? {
            StreamRead::Message { epoch, chain, .. } => Some(Before { epoch, chain }),
            _ => None,
        },
    };
    reader.seek(first);
    Ok(before)
}

fn send(burst: &mut Burst, to: SocketAddrV4, port: &mut dyn DatagramPort) {
    if !burst.is_empty() {
        let (packets, segment_bytes) = burst.take();
        port.send_segments(to, packets, segment_bytes);
    }
}
