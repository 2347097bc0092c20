//! The role of a member: who leads, what it follows, and what is committed by that.
//!
//! [`Replication`] is driven in the lap of the sequencer's agent and owns nothing of the log: it tells the sequencer to lead or to follow, hands it the
//! leader's entries, and says how far may be committed. Time comes in as an argument; packets, and the register, through ports.
use super::config::{PeerCounters, ReplicationConfig, ReplicationCounters};
use super::entries::{EntryReader, Packed, pack};
use super::epochs::EpochRuns;
use super::follower::{Follower, Verdict};
use super::leader::{Change, Heard, Leader};
use super::leadership::Leadership;
use super::member::{Life, Member, NodeId, Set};
use super::register::{RegisterPort, RegisterState, RegisterValue};
use super::rewinder::ReplicaRewinderConfig;
use super::swap::RegisterClient;
use crate::bus::burst::Burst;
use crate::bus::ingress::Hold;
use crate::bus::sequencer::{AppendError, Sequencer, SequencerError};
use crate::bus::stream_reader::StreamRead;
use crate::memory::ring::{Read, RingReader};
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message};
use gds_wire::refusal::RefusalReason;
use gds_wire::replication::{
    HistoryRequest, LeaderPacket, Prefix, Watermark, heartbeat, leader_packet_bytes,
};
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Datagrams taken in one duty cycle.
const DATAGRAMS_PER_DUTY: usize = 64;
/// Packets with entries sent in one duty cycle.
const PACKETS_PER_DUTY: usize = 64;
/// Heartbeats after the last entry, counted from it; then at the configured pace.
const HEARTBEATS_NS: [u64; 2] = [200 * MICROSECOND_NS, MILLISECOND_NS];
/// A leader of an older epoch is told so this often.
const TOLD_NS: u64 = MILLISECOND_NS;

/// Why a member cannot go on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationStop {
    /// It must start again with its log cut back after this entry.
    Cut {
        /// The last entry that stays.
        after: u64,
        /// The epoch of the leader that has something else behind it.
        epoch: u32,
    },
    /// The leader's entry cannot follow what is in the log.
    Divergent(AppendError),
    /// There are more epochs above the commit point than can be kept.
    TooManyEpochs,
    /// What it has to declare as the leader cannot be declared.
    Declaration(SequencerError),
}

impl fmt::Display for ReplicationStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { after, epoch } => write!(
                f,
                "the leader of epoch {epoch} has another entry {}: what this node has behind {after} was never committed and is cut back",
                after + 1
            ),
            Self::Divergent(error) => {
                write!(f, "{error}; this node's journal is not a replica's: remove it, and the node learns the stream anew")
            }
            Self::TooManyEpochs => f.write_str(
                "too many takeovers without anything committed between them: see to it that nodes and register reach each other",
            ),
            Self::Declaration(error) => write!(f, "this node cannot lead: {error}"),
        }
    }
}

impl std::error::Error for ReplicationStop {}

#[derive(Debug)]
enum Role {
    Leads(Box<Leader>),
    Follows(Follower),
}

/// When a takeover took which step, for people.
#[derive(Clone, Copy, Debug, Default)]
struct Takeover {
    heard_ns: u64,
    asked_ns: u64,
    leads_ns: u64,
    /// The tail that is to be committed again.
    tail: u64,
    committed: bool,
}

/// A member's role machine.
pub struct Replication {
    config: ReplicationConfig,
    life: Life,
    epoch: u32,
    register: RegisterClient,
    role: Role,
    epochs: EpochRuns,
    /// Reads the entries that the leader has just appended.
    ring: RingReader,
    /// The epoch of the entry before the one that `ring` reads next.
    before: u32,
    burst: Burst,
    heartbeat_due_ns: u64,
    heartbeats: usize,
    /// It takes nothing more, and waits for a successor.
    drains: bool,
    takeover: Takeover,
    told_ns: u64,
    /// The last lap.
    lap_ns: u64,
    leadership: Arc<Leadership>,
    counters: Arc<ReplicationCounters>,
    /// One set for each peer, in the order of the configuration.
    peers: Vec<Arc<PeerCounters>>,
    peers_due_ns: u64,
}

impl Replication {
    /// A member that follows: this life of it, the epochs at the end of its log, a reader of its ring, and what the register held when it was
    /// read before the start (R10).
    pub fn new(
        config: ReplicationConfig,
        life: Life,
        epochs: EpochRuns,
        ring: RingReader,
        register: RegisterState,
        now: Time,
    ) -> Self {
        config.check();
        let epoch = register.value.as_ref().map_or(0, |value| value.epoch);
        let epoch = if active(Mutation::EpochForgotten) { 0 } else { epoch };
        let committed = epochs.first();
        let packet_bytes_max = leader_packet_bytes(config.payload_bytes_max);
        let this = Self {
            register: RegisterClient::new(register, config.register_retry_ns),
            role: Role::Follows(Follower::new(None, committed, now.monotonic_ns)),
            before: 0,
            burst: Burst::new(packet_bytes_max),
            heartbeat_due_ns: 0,
            heartbeats: 0,
            drains: false,
            takeover: Takeover::default(),
            told_ns: 0,
            lap_ns: now.monotonic_ns,
            leadership: Arc::new(Leadership::following()),
            counters: Arc::default(),
            peers: config.peers.iter().map(|_| Arc::default()).collect(),
            peers_due_ns: 0,
            config,
            life,
            epoch,
            epochs,
            ring,
        };
        this.counters.incarnation.set(life.incarnation);
        this.show();
        this
    }

    /// What the rest of the node sees.
    pub fn leadership(&self) -> &Arc<Leadership> {
        &self.leadership
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<ReplicationCounters> {
        &self.counters
    }

    /// What it shows of its peers: each with its counters.
    pub fn peer_counters(&self) -> impl Iterator<Item = (NodeId, &Arc<PeerCounters>)> {
        self.config.peers.iter().map(|peer| peer.node).zip(&self.peers)
    }

    /// The newest epoch it knows.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leads(_))
    }

    /// What it knows of the register.
    pub fn register(&self) -> &RegisterState {
        self.register.known()
    }

    /// What the rewinder of its replicas needs to know.
    pub fn rewinder_config(&self) -> ReplicaRewinderConfig {
        let ReplicationConfig { node, stream, payload_bytes_max, peers, .. } = &self.config;
        ReplicaRewinderConfig {
            node: *node,
            incarnation: self.life.incarnation,
            stream: *stream,
            payload_bytes_max: *payload_bytes_max,
            peers: peers.clone(),
        }
    }

    /// What it has heard from its peers, in the order of the configuration; empty unless it leads.
    pub fn heard(&self) -> &[Heard] {
        match &self.role {
            Role::Leads(leader) => &leader.heard,
            Role::Follows(_) => &[],
        }
    }

    #[cfg(test)]
    pub(super) fn set_min_in_sync(&mut self, count: usize) {
        self.config.min_in_sync = count;
    }

    /// A leader takes nothing more and waits for a successor, or takes again.
    pub fn hand_over(&mut self, drains: bool) {
        self.drains = drains && self.is_leading();
    }

    /// One duty cycle, behind [`Sequencer::publish_batch`]: sends, receives, asks the register, and commits. `group` receives what the leader
    /// sends to all, `port` what is sent to this node alone, and sends. Returns how much it did.
    ///
    /// # Errors
    /// When the node must start again, or stop.
    pub fn duty(
        &mut self,
        now: Time,
        sequencer: &mut Sequencer,
        port: &mut dyn DatagramPort,
        group: &mut dyn DatagramPort,
        register: &mut dyn RegisterPort,
    ) -> Result<usize, ReplicationStop> {
        self.notice_own_silence(now);
        let sent = self.send_entries(now, sequencer, port)?;
        if self.register.duty(now.monotonic_ns, register) {
            self.learn(now, sequencer);
        }
        let mut received = 0;
        for (count, reply) in [self.receive(now, sequencer, port)?, self.receive(now, sequencer, group)?] {
            received += count;
            if let Some(to) = reply {
                self.tell(sequencer, to, port);
            }
        }
        sequencer.publish_batch();
        match self.role {
            Role::Leads(_) => self.lead_on(now, sequencer, port)?,
            Role::Follows(_) => self.follow_on(now, sequencer, port),
        }
        Ok(sent + received)
    }

    /// A node that stood still itself has not heard the leader for that reason: it begins to wait anew.
    fn notice_own_silence(&mut self, now: Time) {
        let last_ns = std::mem::replace(&mut self.lap_ns, now.monotonic_ns);
        if let Role::Follows(follower) = &mut self.role
            && now.monotonic_ns.saturating_sub(last_ns) > self.config.heartbeat_ns
        {
            follower.heard_ns = now.monotonic_ns;
        }
    }

    fn me(&self) -> Member {
        Member { node: self.config.node, incarnation: self.life.incarnation }
    }

    fn value(&self) -> Option<&RegisterValue> {
        self.register.known().value.as_ref()
    }

    fn set(&self) -> Set {
        self.value().map(|value| value.set.clone()).unwrap_or_default()
    }

    /// Takes what has come to a port: how much, and whom to tell that its epoch is over.
    fn receive(
        &mut self,
        now: Time,
        sequencer: &mut Sequencer,
        port: &mut dyn DatagramPort,
    ) -> Result<(usize, Option<SocketAddrV4>), ReplicationStop> {
        let (mut stop, mut reply) = (None, None);
        let received = port.receive(DATAGRAMS_PER_DUTY, &mut |from, datagram| {
            if stop.is_some() {
                return;
            }
            if let Some(packet) = LeaderPacket::parse(datagram) {
                match self.on_leader_packet(now, from, &packet, sequencer) {
                    Ok(told) => reply = told.or(reply),
                    Err(why) => stop = Some(why),
                }
            } else if let Some(watermark) = Watermark::parse(datagram) {
                self.on_watermark(now, from, &watermark, sequencer);
            } else {
                self.counters.malformed.increment();
            }
        });
        let Some(stop) = stop else { return Ok((received, reply)) };
        if let ReplicationStop::Cut { after, .. } = stop {
            self.leadership.cut.set(after + 1);
        }
        Err(stop)
    }

    /// The place of the peer that a packet says it is from, if it is from there.
    fn peer(&self, node: u8, from: SocketAddrV4) -> Option<usize> {
        let peer =
            self.config.peer(node).filter(|place| self.config.peers[*place].replication.ip() == from.ip());
        if peer.is_none() && node != self.config.node.0 {
            self.counters.strangers.increment();
        }
        peer
    }

    /// A packet of a leader; says whom to tell that its epoch is over.
    fn on_leader_packet(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        packet: &LeaderPacket<'_>,
        sequencer: &mut Sequencer,
    ) -> Result<Option<SocketAddrV4>, ReplicationStop> {
        if packet.entries.session != self.config.stream {
            self.counters.foreign.increment();
            return Ok(None);
        }
        let prefix = &packet.prefix;
        let Some(place) = self.peer(prefix.node, from) else { return Ok(None) };
        if prefix.epoch < self.epoch && !active(Mutation::OldEpochObeyed) {
            self.counters.older_epoch.increment();
            let due = now.monotonic_ns >= self.told_ns + TOLD_NS;
            if due {
                self.told_ns = now.monotonic_ns;
            }
            return Ok(due.then(|| self.config.peers[place].replication));
        }
        self.counters.packets_received.increment();
        if prefix.epoch > self.epoch {
            self.adopt(prefix.epoch, Some(NodeId(prefix.node)), now, sequencer);
        }
        if prefix.revision > self.register.known().revision {
            self.register.want_read();
        }
        let Role::Follows(follower) = &mut self.role else { return Ok(None) };
        follower.heard(packet, now.monotonic_ns);
        self.register.abandon();
        match follower.compare(packet, &self.epochs) {
            Verdict::Gap => self.counters.gaps.increment(),
            Verdict::Cut { after } => return Err(ReplicationStop::Cut { after, epoch: self.epoch }),
            Verdict::Goes { agrees } => self.append(packet, agrees, sequencer)?,
        }
        Ok(None)
    }

    /// Appends the packet's entries behind `agrees`, as many as there is room for.
    fn append(
        &mut self,
        packet: &LeaderPacket<'_>,
        agrees: u64,
        sequencer: &mut Sequencer,
    ) -> Result<(), ReplicationStop> {
        let Role::Follows(follower) = &mut self.role else { return Ok(()) };
        let epoch = packet.prefix.entry_epoch;
        for (sequence, bytes) in packet.entries.messages().filter(|(sequence, _)| *sequence > agrees) {
            match sequencer.append_replicated(epoch, bytes) {
                Ok(appended) => assert!(appended == sequence, "entry {sequence} was appended as {appended}"),
                Err(AppendError::NotNow(_)) => {
                    self.counters.no_room.increment();
                    break;
                }
                Err(error) => return Err(ReplicationStop::Divergent(error)),
            }
            if !self.epochs.push(sequence, epoch) {
                return Err(ReplicationStop::TooManyEpochs);
            }
            if self.config.declaration.is_some() && declares(bytes, self.config.declaration.as_ref()) {
                self.config.declaration = None;
            }
            follower.matched = sequence;
            self.counters.entries_appended.increment();
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        watermark: &Watermark,
        sequencer: &mut Sequencer,
    ) {
        if watermark.stream != self.config.stream {
            return self.counters.foreign.increment();
        }
        let Some(place) = self.peer(watermark.node, from) else { return };
        self.counters.watermarks_received.increment();
        if watermark.epoch > self.epoch {
            // Somebody leads, or led, a newer epoch: this one is over.
            self.register.want_read();
            return self.adopt(watermark.epoch, None, now, sequencer);
        }
        if watermark.epoch < self.epoch {
            return self.counters.older_epoch.increment();
        }
        if let Role::Leads(leader) = &mut self.role {
            leader.on_watermark(place, watermark, now.monotonic_ns);
        }
    }

    /// What the register holds is known anew.
    fn learn(&mut self, now: Time, sequencer: &mut Sequencer) {
        let Some(value) = self.value().cloned() else { return };
        let leads = value.leader == self.config.node && value.set.has(self.me());
        if leads && value.epoch > self.epoch {
            self.take_over(value.epoch, now, sequencer);
        } else if value.epoch > self.epoch {
            let leader = (value.leader != self.config.node).then_some(value.leader);
            self.adopt(value.epoch, leader, now, sequencer);
        } else if let Role::Follows(follower) = &mut self.role {
            // Within an epoch the register is changed by its leader alone: it lives.
            follower.heard_ns = now.monotonic_ns;
        }
        self.show();
    }

    /// A newer epoch is known: older leaders are refused from here, and this node follows (R9).
    fn adopt(&mut self, epoch: u32, leader: Option<NodeId>, now: Time, sequencer: &mut Sequencer) {
        assert!(epoch > self.epoch, "an epoch is adopted once");
        self.epoch = epoch;
        if self.is_leading() {
            self.counters.stepped_down.increment();
        }
        self.drains = false;
        // A follower commits nothing by a swap of its own, and reads what became of it.
        self.register.abandon();
        sequencer.follow();
        let committed = sequencer.progress().committed.get();
        self.role = Role::Follows(Follower::new(leader, committed, now.monotonic_ns));
        self.show();
    }

    /// The register names this node and this life of it (R7): its whole log is the log from here on (R18).
    fn take_over(&mut self, epoch: u32, now: Time, sequencer: &mut Sequencer) {
        self.epoch = epoch;
        self.drains = false;
        self.takeover.leads_ns = now.monotonic_ns;
        self.takeover.tail = self.epochs.last();
        self.takeover.committed = false;
        self.role = Role::Leads(Box::new(Leader::new(&self.config, now.monotonic_ns)));
        self.ring.seek(sequencer.next_sequence());
        self.before = self.epochs.last_epoch();
        (self.heartbeats, self.heartbeat_due_ns) = (0, now.monotonic_ns);
        self.counters.takeovers.increment();
        sequencer.lead(epoch);
        self.show();
    }

    /// A leader's lap: sends what is due, mends the set, commits.
    fn lead_on(
        &mut self,
        now: Time,
        sequencer: &mut Sequencer,
        port: &mut dyn DatagramPort,
    ) -> Result<(), ReplicationStop> {
        self.declare(now, sequencer)?;
        self.commit(now, sequencer);
        self.mend(now, sequencer);
        self.show_peers(now, sequencer);
        if now.monotonic_ns >= self.heartbeat_due_ns {
            self.send_heartbeat(now, sequencer, port);
        }
        Ok(())
    }

    /// Declares what is new, once.
    fn declare(&mut self, now: Time, sequencer: &mut Sequencer) -> Result<(), ReplicationStop> {
        let Some(declaration) = &self.config.declaration else { return Ok(()) };
        match sequencer.declare(now, declaration) {
            Ok(_) => self.config.declaration = None,
            Err(SequencerError::NotNow(Hold::Refused(RefusalReason::StreamEnded))) => {
                self.config.declaration = None
            }
            Err(SequencerError::NotNow(_)) => {}
            Err(error) => return Err(ReplicationStop::Declaration(error)),
        }
        Ok(())
    }

    fn commit(&mut self, now: Time, sequencer: &mut Sequencer) {
        let (me, set) = (self.me(), self.set());
        let Role::Leads(leader) = &self.role else { return };
        let proposed = self.register.proposed().map(|value| &value.set);
        let limit = leader.limit(&self.config, me, sequencer.durable(), &set, proposed);
        sequencer.commit(limit);
        let committed = sequencer.progress().committed.get();
        self.epochs.forget_below(committed);
        self.counters.behind.set(sequencer.next_sequence() - 1 - committed);
        if !self.takeover.committed && committed > self.takeover.tail {
            self.takeover.committed = true;
            self.counters.takeover_commit_ns.set(now.monotonic_ns - self.takeover.leads_ns);
        }
    }

    /// Takes silent members out of the set and those that have caught up into it, one change at a time; takes nothing new while too few are in it.
    fn mend(&mut self, now: Time, sequencer: &mut Sequencer) {
        let set = self.set();
        let few = set.count() < self.config.min_in_sync;
        let hold = if few {
            Some(Hold::Refused(RefusalReason::TooFewInSync))
        } else {
            self.drains.then_some(Hold::NoRoom)
        };
        sequencer.hold(hold);
        let progress = sequencer.progress();
        let (sequenced, committed) = (progress.sequenced.get(), progress.committed.get());
        let Role::Leads(leader) = &mut self.role else { return };
        leader.look(&self.config, sequenced, now.monotonic_ns);
        if self.register.proposed().is_some() {
            return;
        }
        if let Some((set, change)) = leader.change(&self.config, &set, committed, now.monotonic_ns) {
            let Some(value) = self.value().cloned() else { return };
            match change {
                Change::Added => self.counters.added.increment(),
                Change::Removed => self.counters.removed.increment(),
            }
            self.counters.swaps.increment();
            self.register.propose(RegisterValue { set, ..value });
        }
    }

    fn prefix(&self, sequencer: &Sequencer) -> Prefix {
        Prefix {
            node: self.config.node.0,
            drains: self.drains,
            epoch: self.epoch,
            before: 0,
            entry_epoch: 0,
            incarnation: self.life.incarnation,
            committed: sequencer.progress().committed.get(),
            revision: self.register.known().revision,
        }
    }

    fn send_heartbeat(&mut self, now: Time, sequencer: &Sequencer, port: &mut dyn DatagramPort) {
        let prefix = Prefix { before: self.epochs.last_epoch(), ..self.prefix(sequencer) };
        let sent =
            port.send(self.config.group, &heartbeat(self.config.stream, self.epochs.last() + 1, &prefix));
        self.counters.unsent.add(u64::from(!sent));
        self.counters.heartbeats_sent.increment();
        let after_ns = HEARTBEATS_NS.get(self.heartbeats).copied().unwrap_or(self.config.heartbeat_ns);
        self.heartbeats += 1;
        self.heartbeat_due_ns = now.monotonic_ns + after_ns.min(self.config.heartbeat_ns);
    }

    /// Sends what the sequencer has appended since the last time, when anybody listens.
    fn send_entries(
        &mut self,
        now: Time,
        sequencer: &mut Sequencer,
        port: &mut dyn DatagramPort,
    ) -> Result<usize, ReplicationStop> {
        let Role::Leads(leader) = &self.role else { return Ok(0) };
        let last = sequencer.progress().sequenced.get();
        // All of them are of this epoch: a leader numbers nothing in another.
        for sequence in self.epochs.last() + 1..=last {
            if !self.epochs.push(sequence, self.epoch) {
                return Err(ReplicationStop::TooManyEpochs);
            }
        }
        if !leader.has_listeners(&self.config, now.monotonic_ns) {
            self.ring.seek(last + 1);
            self.before = self.epochs.last_epoch();
            return Ok(0);
        }
        let prefix = self.prefix(sequencer);
        let mut packets = 0;
        while packets < PACKETS_PER_DUTY {
            let Ok(packed) =
                pack(&mut self.ring, last, &mut self.before, self.config.stream, &prefix, &mut self.burst);
            match packed {
                Packed::Packet(count) => {
                    packets += 1;
                    self.counters.entries_sent.add(count);
                }
                Packed::TooLong => self.send_burst(port),
                Packed::Nothing => break,
                Packed::Gone => {
                    // Committed and overwritten before it was sent: who misses it asks for it.
                    self.ring.seek(last + 1);
                    self.before = self.epochs.last_epoch();
                }
            }
            if self.burst.is_complete() {
                self.send_burst(port);
            }
        }
        self.send_burst(port);
        if packets > 0 {
            self.counters.packets_sent.add(packets as u64);
            (self.heartbeats, self.heartbeat_due_ns) = (0, now.monotonic_ns + HEARTBEATS_NS[0]);
        }
        Ok(packets)
    }

    fn send_burst(&mut self, port: &mut dyn DatagramPort) {
        if self.burst.is_empty() {
            return;
        }
        let (packets, segment_bytes) = self.burst.take();
        let taken = port.send_segments(self.config.group, packets, segment_bytes);
        self.counters.unsent.add((packets.len().div_ceil(segment_bytes) - taken) as u64);
    }

    /// A follower's lap: commits what the leader did, says how far it is, asks for what is missing, and takes over if nobody leads.
    fn follow_on(&mut self, now: Time, sequencer: &mut Sequencer, port: &mut dyn DatagramPort) {
        let now_ns = now.monotonic_ns;
        let Role::Follows(follower) = &mut self.role else { return };
        let agreed = if active(Mutation::CommitUnmatched) { u64::MAX } else { follower.matched };
        sequencer.commit(follower.committed.min(agreed));
        self.epochs.forget_below(sequencer.progress().committed.get());
        self.counters.behind.set(follower.behind());
        let leader = follower.leader.and_then(|leader| self.config.peer(leader.0));
        if let Some(place) = leader {
            let peer = self.config.peers[place];
            let missing = follower.request(now_ns);
            let matched = covered(follower, sequencer);
            if matched != follower.told || now_ns >= follower.watermark_due_ns {
                follower.told = matched;
                follower.watermark_due_ns = now_ns + self.config.heartbeat_ns;
                self.tell(sequencer, peer.replication, port);
            }
            if let Some((from, to)) = missing {
                self.ask_history(from, to, peer.history, port);
            }
        }
        self.succeed(now, sequencer);
    }

    fn tell(&mut self, sequencer: &Sequencer, to: SocketAddrV4, port: &mut dyn DatagramPort) {
        let matched = match &self.role {
            Role::Follows(follower) => covered(follower, sequencer),
            Role::Leads(_) => 0,
        };
        let watermark = Watermark {
            node: self.config.node.0,
            stream: self.config.stream,
            epoch: self.epoch,
            incarnation: self.life.incarnation,
            whole_since: if active(Mutation::WholeAgain) { 1 } else { self.life.whole_since },
            matched,
            last: self.epochs.last(),
            applied: sequencer.progress().applied.get(),
        };
        let sent = port.send(to, &watermark.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
        self.counters.watermarks_sent.increment();
    }

    fn ask_history(&mut self, from: u64, to: u64, server: SocketAddrV4, port: &mut dyn DatagramPort) {
        let request = HistoryRequest {
            node: self.config.node.0,
            stream: self.config.stream,
            epoch: self.epoch,
            incarnation: self.life.incarnation,
            from,
            to,
        };
        let sent = port.send(server, &request.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
        self.counters.requests.increment();
    }

    /// Asks for the takeover when the leader is silent, or waits for a successor (R7).
    fn succeed(&mut self, now: Time, sequencer: &mut Sequencer) {
        let now_ns = now.monotonic_ns;
        let Role::Follows(follower) = &self.role else { return };
        let handed = follower.drains
            && follower.matched + 1 == follower.next
            && sequencer.progress().committed.get() == follower.matched;
        let missed = follower.misses_leader(&self.config, self.rank(), now_ns);
        if !handed && !missed || self.register.proposed().is_some() {
            return;
        }
        let Some(value) = self.value().cloned() else { return self.register.want_read() };
        if !self.may_lead(&value, sequencer) {
            // It may be taken in meanwhile, or somebody else may lead.
            return self.register.want_read();
        }
        if active(Mutation::SameEpoch) && value.leader == self.config.node && value.epoch == self.epoch {
            return self.take_over(value.epoch, now, sequencer);
        }
        let others =
            if value.leader == self.config.node { value.set } else { value.set.without(value.leader) };
        self.takeover.heard_ns = follower.heard_ns;
        self.takeover.asked_ns = now_ns;
        self.counters.takeover_silence_ns.set(now_ns - follower.heard_ns);
        self.counters.swaps.increment();
        self.register.propose(RegisterValue {
            epoch: value.epoch.max(self.epoch) + 1,
            leader: self.config.node,
            set: others.with(self.me()),
            ..value
        });
    }

    /// Whether this node's log has everything committed, as far as the register says: a life of it is in the set, and since that one it has
    /// lost nothing. In a new cluster, anybody.
    fn may_lead(&self, value: &RegisterValue, sequencer: &Sequencer) -> bool {
        if value.epoch == 0 {
            return sequencer.next_sequence() == 1;
        }
        let whole = |incarnation| incarnation >= self.life.whole_since || active(Mutation::WholeAgain);
        value.set.incarnation(self.config.node).is_some_and(whole) || active(Mutation::LearnerLeads)
    }

    /// How many members go first when the leader is gone.
    fn rank(&self) -> u64 {
        let Some(value) = self.value() else { return 0 };
        let members = value.set.members().iter();
        members.filter(|member| member.node < self.config.node && member.node != value.leader).count() as u64
    }

    /// Shows how far the replicas are, once in a while.
    fn show_peers(&mut self, now: Time, sequencer: &Sequencer) {
        if now.monotonic_ns < self.peers_due_ns {
            return;
        }
        self.peers_due_ns = now.monotonic_ns + self.config.heartbeat_ns;
        let set = self.set();
        let Role::Leads(leader) = &mut self.role else { return };
        let (last, committed) = (self.epochs.last(), sequencer.progress().committed.get());
        for ((peer, heard), shown) in self.config.peers.iter().zip(&mut leader.heard).zip(&self.peers) {
            let behind = last.saturating_sub(heard.matched);
            if behind == 0 || heard.matched >= heard.mark.0 {
                heard.mark = (last, now.monotonic_ns);
            }
            shown.incarnation.set(heard.incarnation);
            shown.is_in_sync.set(u64::from(set.incarnation(peer.node) == Some(heard.incarnation)));
            shown.behind.set(behind);
            shown.behind_ns.set(if behind == 0 { 0 } else { now.monotonic_ns - heard.mark.1 });
            shown.unapplied.set(committed.saturating_sub(heard.applied));
            shown.silent_ns.set(now.monotonic_ns.saturating_sub(heard.heard_ns));
        }
    }

    /// Shows role, epoch and set.
    fn show(&self) {
        let leads = self.is_leading();
        self.leadership.epoch.set(u64::from(self.epoch));
        self.leadership.revision.set(self.register.known().revision);
        self.leadership.leads.set(u64::from(leads));
        let leader = match &self.role {
            Role::Leads(_) => Some(self.config.node),
            Role::Follows(follower) => follower.leader,
        };
        let (counters, set) = (&self.counters, self.set());
        counters.leads.set(u64::from(leads));
        counters.epoch.set(u64::from(self.epoch));
        counters.leader.set(leader.map_or(0, |node| u64::from(node.0)));
        counters.revision.set(self.register.known().revision);
        counters.in_sync.set(set.count() as u64);
        counters.is_in_sync.set(u64::from(set.has(self.me())));
        if leads && self.takeover.asked_ns > 0 {
            let register_ns = self.takeover.leads_ns.saturating_sub(self.takeover.asked_ns);
            counters.takeover_register_ns.set(register_ns);
        }
    }
}

/// Whether a message declares just this.
fn declares(message: &[u8], declaration: Option<&Declaration>) -> bool {
    Message::parse(message).is_ok_and(|message| {
        message.envelope.kind() == Kind::Declare
            && Declaration::parse(message.body).ok().as_ref() == declaration
    })
}

/// What a watermark covers (R11, R12).
fn covered(follower: &Follower, sequencer: &Sequencer) -> u64 {
    match () {
        () if active(Mutation::WatermarkUnmatched) => sequencer.durable(),
        () if active(Mutation::WatermarkUnsynced) => follower.matched,
        () => follower.matched.min(sequencer.durable()),
    }
}

impl EntryReader for RingReader {
    type Error = std::convert::Infallible;

    fn next_sequence(&self) -> u64 {
        Self::next_sequence(self)
    }

    fn read(&mut self, limit: u64, into: &mut [u8]) -> Result<StreamRead, Self::Error> {
        Ok(match Self::read(self, limit, into) {
            Read::Message { sequence, epoch, length } => StreamRead::Message { sequence, epoch, length },
            Read::Empty => StreamRead::Empty,
            Read::Overrun => StreamRead::Gone,
            Read::TooSmall { length } => StreamRead::TooSmall { length },
        })
    }

    fn seek(&mut self, sequence: u64) {
        Self::seek(self, sequence);
    }
}
