//! The thread that gives this node's snapshots to others, and sees when this node needs one itself.
//!
//! It listens on the node's address, TCP port `cluster.history_port`, and answers the configured peers alone. A connection has a thread of its own for
//! as long as it lasts; of [`CONNECTIONS_MAX`] one at a time is given a snapshot, at `cluster.snapshot_bytes_per_second` at most. The snapshot that is given
//! is kept meanwhile and a while after, with what the journals have behind it, so that the learner finds the rest there
//! ([`SnapshotOrders::lent`]).
//!
//! Now and then it looks at this node itself. If it follows and gets no further, and the leader says that its journal begins too late for
//! it, the node is told to start again, and that start takes a snapshot.
use super::fetch::Learner;
use super::link::Link;
use super::transfer::Transfer;
use crate::config::Config;
use crate::ports::Files;
use crate::settings;
use gds_core::agent::start::{Stream, acknowledgement_session};
use gds_core::agent::{Fault, SnapshotOrders};
use gds_core::counter_set;
use gds_core::disk::DiskError;
use gds_core::journal::{JournalError, JournalRead, JournalReader, MESSAGE_BYTES_MAX, Unreadable};
use gds_core::replication::{Leadership, NodeId, ReplicationCounters};
use gds_core::snapshot::{Snapshot, read_chunk, survey};
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, Offer, SnapshotRefusal};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 8;
/// How long a peer may say nothing, or take nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a snapshot is kept after its last chunk has gone: the learner starts, and asks for what follows.
const KEPT: Duration = Duration::from_secs(60);
/// Between two looks at this node itself.
const LOOK: Duration = Duration::from_secs(1);

counter_set! {
    /// What the giver counts.
    pub struct GiverCounters {
        /// Questions answered.
        questions,
        /// Snapshots begun to be given, those gone on with included.
        transfers,
        /// Of these, given to the last chunk.
        given,
        /// Message of the snapshot that is being given; 0: none.
        giving,
        /// Node that it is given to; 0: none.
        giving_to,
        /// Its chunks.
        giving_chunks,
        /// Of these, those that have gone, and those that the node had.
        giving_there,
        /// Those that the node had.
        giving_before,
        /// Bytes of it that have gone.
        giving_bytes,
        /// For how long it is being given, ns.
        giving_ns,
        /// Chunks sent.
        chunks,
        /// Bytes of them.
        bytes,
        /// Refused, since another node is given a snapshot.
        refused_busy,
        /// Refused for another reason: the snapshot is gone or cannot be read, or it is another stream's.
        refused,
        /// Connections of somebody who is no peer, or that are too many.
        strangers,
        /// Connections that broke, or on which nothing moved.
        broken,
        /// Times that this node found that it needs a snapshot itself.
        left_behind,
    }
}

/// What a node gives from. All of it is read alone, beside those who write.
pub struct Shelf {
    /// The snapshots; `None`: the node takes none.
    pub snapshots: Option<Files>,
    /// The bus journal's disk.
    pub bus: Files,
    /// The acknowledgements'.
    pub acknowledgements: Files,
}

/// A member as its giver knows it.
pub struct Member {
    /// Its configuration.
    pub config: Config,
    /// The address of its interface.
    pub own: Ipv4Addr,
    /// The bus.
    pub bus: Stream,
    /// Its role.
    pub leadership: Arc<Leadership>,
    /// What its role machine counts.
    pub replication: Arc<ReplicationCounters>,
    /// Where its snapshots' agent is told what to keep.
    pub orders: Arc<SnapshotOrders>,
}

struct Shared {
    member: Member,
    peers: Vec<(NodeId, Ipv4Addr)>,
    readers: Mutex<Readers>,
    connections: AtomicUsize,
    gives: AtomicBool,
    kept_until: Mutex<Option<Instant>>,
    end: AtomicBool,
    counters: Arc<GiverCounters>,
    /// Counters have one writer each, and here are several threads.
    counting: Mutex<()>,
}

struct Readers {
    shelf: Shelf,
    bus: JournalReader,
    /// Where what cannot be read of the bus is told.
    unreadable: Arc<Unreadable>,
    acknowledgements: JournalReader,
}

/// The thread; dropping it ends it.
pub struct Giver {
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Giver {
    /// Listens for a member.
    ///
    /// # Errors
    /// When the address is in use, or the system gives no thread.
    pub fn start(member: Member, shelf: Shelf) -> Result<Self, Fault> {
        let address = SocketAddrV4::new(member.own, member.config.cluster.history_port);
        let failed = |error: io::Error| Fault(format!("cluster.history_port: TCP {address}: {error}"));
        let listener = Arc::new(TcpListener::bind(address).map_err(failed)?);
        // Waiting for a connection ends now and then, for a look at this node itself.
        SockRef::from(&*listener).set_read_timeout(Some(LOOK)).map_err(failed)?;
        let stream = member.bus.session;
        let shared = Arc::new(Shared {
            peers: settings::peers(&member.config),
            readers: Mutex::new(Readers {
                shelf,
                bus: JournalReader::new(stream),
                unreadable: member.bus.unreadable.clone(),
                acknowledgements: JournalReader::new(acknowledgement_session(stream)),
            }),
            connections: AtomicUsize::new(0),
            gives: AtomicBool::new(false),
            kept_until: Mutex::new(None),
            end: AtomicBool::new(false),
            counters: Arc::default(),
            counting: Mutex::new(()),
            member,
        });
        let (thread_shared, thread_listener) = (shared.clone(), listener.clone());
        let thread = thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || thread_shared.run(&thread_listener))
            .map_err(Fault::from)?;
        Ok(Self { shared, listener, thread: Some(thread) })
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<GiverCounters> {
        &self.shared.counters
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        // Whoever waits for a connection waits no more.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been shown already.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn run(self: &Arc<Self>, listener: &TcpListener) {
        let mut watch = Watch::default();
        while !self.is_over() {
            match listener.accept() {
                Ok((connection, from)) => self.admit(connection, from.ip()),
                // Out of file descriptors, say: that passes.
                Err(error) if error.kind() != ErrorKind::WouldBlock && !self.is_over() => thread::sleep(LOOK),
                Err(_) => {}
            }
            if !self.is_over() {
                self.let_go();
                watch.look(self);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.end.load(Ordering::Acquire)
    }

    fn count(&self, happened: impl FnOnce(&GiverCounters)) {
        let _one = lock(&self.counting);
        happened(&self.counters);
    }

    fn stream(&self) -> Session {
        self.member.bus.session
    }

    /// A connection gets a thread of its own.
    fn admit(self: &Arc<Self>, connection: TcpStream, from: IpAddr) {
        let peer = self.peers.iter().find(|(_, address)| IpAddr::V4(*address) == from);
        let is_room = self.connections.load(Ordering::Acquire) < CONNECTIONS_MAX;
        let Some(&(peer, _)) = peer.filter(|_| is_room) else {
            return self.count(|set| set.strangers.increment());
        };
        self.connections.fetch_add(1, Ordering::AcqRel);
        let shared = self.clone();
        let serve = move || {
            if shared.serve(connection, peer).is_err() {
                shared.count(|set| set.broken.increment());
            }
            shared.connections.fetch_sub(1, Ordering::AcqRel);
        };
        if thread::Builder::new().name("snapshot".into()).spawn(serve).is_err() {
            self.connections.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn serve(&self, connection: TcpStream, peer: NodeId) -> io::Result<()> {
        let mut link = Link::new(connection, self.stream(), PATIENCE)?;
        while !self.is_over() {
            let (stream, said) = match link.hear() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                said => said?,
            };
            match said {
                _ if stream != self.stream() => {
                    self.count(|set| set.refused.increment());
                    link.say(&Frame::Refusal(SnapshotRefusal::Stream))?;
                }
                Frame::Question => self.answer(&mut link)?,
                Frame::Get { sequence, chunk } => self.give(&mut link, peer, sequence, chunk)?,
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(())
    }

    /// Says what there is.
    fn answer(&self, link: &mut Link) -> io::Result<()> {
        self.count(|set| set.questions.increment());
        let mut message = [0; MESSAGE_BYTES_MAX];
        let mut acknowledgement = [0; MESSAGE_BYTES_MAX];
        let offer = lock(&self.readers).offer(self.stream(), &mut message, &mut acknowledgement);
        match offer {
            Ok(offer) => link.say(&Frame::Offer(offer)),
            Err(_) => {
                self.count(|set| set.refused.increment());
                link.say(&Frame::Refusal(SnapshotRefusal::Unreadable))
            }
        }
    }

    /// Gives a peer a snapshot from this chunk on, if no other is given.
    fn give(&self, link: &mut Link, peer: NodeId, sequence: u64, first: u32) -> io::Result<()> {
        if self.gives.swap(true, Ordering::AcqRel) {
            self.count(|set| set.refused_busy.increment());
            return link.say(&Frame::Refusal(SnapshotRefusal::Busy));
        }
        self.count(|set| set.transfers.increment());
        self.show(peer, &Transfer { sequence, ..Transfer::default() });
        *lock(&self.kept_until) = None;
        // Kept before it is looked for: what is found then stays.
        self.member.orders.lent.store(sequence, Ordering::Release);
        let sent = self.send(link, peer, sequence, first);
        *lock(&self.kept_until) = Some(Instant::now() + KEPT);
        self.show(NodeId(0), &Transfer::default());
        self.gives.store(false, Ordering::Release);
        sent
    }

    /// How far the one is that is being given.
    fn show(&self, to: NodeId, transfer: &Transfer) {
        let Transfer { sequence, chunks, there, before, bytes, took_ns } = *transfer;
        self.count(|set| {
            set.giving.set(sequence);
            set.giving_to.set(u64::from(to.0));
            set.giving_chunks.set(u64::from(chunks));
            set.giving_there.set(u64::from(there));
            set.giving_before.set(u64::from(before));
            set.giving_bytes.set(bytes);
            set.giving_ns.set(took_ns);
        });
    }

    fn send(&self, link: &mut Link, peer: NodeId, sequence: u64, first: u32) -> io::Result<()> {
        let found = lock(&self.readers).snapshots(self.stream());
        let found = found.into_iter().flatten().find(|snapshot| snapshot.sequence == sequence);
        let Some(snapshot) = found.filter(|snapshot| first < snapshot.chunks) else {
            self.count(|set| set.refused.increment());
            return link.say(&Frame::Refusal(SnapshotRefusal::Gone));
        };
        let mut chunk = Vec::new();
        let mut pace = Pace::new(self.member.config.cluster.snapshot_bytes_per_second);
        let (before, chunks) = (first, snapshot.chunks);
        let mut transfer = Transfer { sequence, chunks, there: first, before, ..Transfer::default() };
        self.show(peer, &transfer);
        for number in first..snapshot.chunks {
            if self.is_over() {
                return Ok(());
            }
            if !lock(&self.readers).chunk(self.stream(), &snapshot, number, &mut chunk) {
                self.count(|set| set.refused.increment());
                return link.say(&Frame::Refusal(SnapshotRefusal::Unreadable));
            }
            link.say(&Frame::Chunk(&chunk))?;
            self.count(|set| set.chunks.increment());
            self.count(|set| set.bytes.add(chunk.len() as u64));
            pace.wait(chunk.len());
            (transfer.there, transfer.bytes) = (number + 1, transfer.bytes + chunk.len() as u64);
            transfer.took_ns = u64::try_from(pace.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.show(peer, &transfer);
        }
        self.count(|set| set.given.increment());
        Ok(())
    }

    /// A snapshot that was given is not kept for ever.
    fn let_go(&self) {
        let mut until = lock(&self.kept_until);
        if until.is_some_and(|until| Instant::now() >= until) && !self.gives.load(Ordering::Acquire) {
            *until = None;
            self.member.orders.lent.store(0, Ordering::Release);
        }
    }
}

impl Readers {
    fn snapshots(&mut self, stream: Session) -> Result<Vec<Snapshot>, DiskError> {
        self.shelf.snapshots.as_mut().map_or(Ok(Vec::new()), |disk| Ok(survey(disk, stream)?.whole))
    }

    /// The newest snapshot whose message and acknowledgement the journals have.
    fn offer<'a>(
        &mut self,
        stream: Session,
        message: &'a mut [u8],
        acknowledgement: &'a mut [u8],
    ) -> Result<Offer<'a>, Fault> {
        self.bus.refresh(&mut self.shelf.bus).map_err(Fault::from)?;
        let first_kept = self.first_whole();
        let nothing = Offer { first_kept, ..Offer::default() };
        let Some(snapshot) = self.snapshots(stream).map_err(Fault::from)?.pop() else { return Ok(nothing) };
        let Snapshot { sequence, chunks, .. } = snapshot;
        let read =
            self.bus.read(sequence, &mut self.shelf.bus, message).map_err(|error| self.told(&error))?;
        let (length, epoch, chain) = match read {
            JournalRead::Message { length, epoch, chain } => (length, epoch, chain),
            JournalRead::Absent if self.bus.should_have(sequence) => {
                let damage = self.bus.damage(sequence, &self.shelf.bus);
                return Err(self.told(&damage));
            }
            JournalRead::Absent | JournalRead::TooSmall { .. } => return Ok(nothing),
        };
        let message = &message[..length];
        let disk = &mut self.shelf.acknowledgements;
        let read = self.acknowledgements.read(sequence, disk, acknowledgement).map_err(Fault::from)?;
        let JournalRead::Message { length, chain: acknowledgement_chain, .. } = read else {
            return Ok(nothing);
        };
        let acknowledgement = &acknowledgement[..length];
        Ok(Offer {
            sequence,
            chunks,
            epoch,
            chain,
            acknowledgement_chain,
            message,
            acknowledgement,
            ..nothing
        })
    }

    fn told(&self, error: &JournalError) -> Fault {
        self.unreadable.note(error);
        Fault::from(error)
    }

    /// From which message on the bus journal has everything, as far as is known: what lies before a place that could not be read is of no use to a learner.
    /// 0: it has nothing.
    fn first_whole(&self) -> u64 {
        let behind = self.unreadable.places().filter_map(|place| {
            let segment = place.position?.segment;
            Some(self.bus.first_behind(segment).unwrap_or(place.sequence.saturating_add(1)))
        });
        behind.chain(self.bus.first_kept()).max().unwrap_or(0)
    }

    /// A chunk, if it can be read.
    fn chunk(&mut self, stream: Session, snapshot: &Snapshot, number: u32, into: &mut Vec<u8>) -> bool {
        let disk = self.shelf.snapshots.as_mut();
        disk.is_some_and(|disk| read_chunk(disk, stream, snapshot, number, into).is_ok())
    }
}

/// Not more than so many bytes a second.
struct Pace {
    bytes_per_second: u64,
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// 0: no limit.
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, began: Instant::now(), bytes: 0 }
    }

    /// So many more have gone: waits until they may have.
    fn wait(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes_per_second > 0 {
            let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
            thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
    }
}

/// Looks whether this node gets any further.
#[derive(Default)]
struct Watch {
    looked: Option<Instant>,
    committed: u64,
}

impl Watch {
    fn look(&mut self, shared: &Shared) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let Member { config, own, bus, leadership, replication, .. } = &shared.member;
        let committed = bus.progress.committed.get();
        let stands = std::mem::replace(&mut self.committed, committed) == committed;
        let learns = !leadership.is_leading() && replication.is_in_sync.get() == 0;
        let leader = u8::try_from(replication.leader.get()).ok().filter(|leader| *leader > 0).map(NodeId);
        if !stands || !learns || replication.behind.get() == 0 || leader.is_none() {
            return;
        }
        let learner = Learner { config, own: *own, stream: bus.session, leader, committed };
        if learner.is_left_behind() {
            shared.count(|set| set.left_behind.increment());
            leadership.relearns.set(1);
        }
    }
}

#[cfg(test)]
mod tests;
