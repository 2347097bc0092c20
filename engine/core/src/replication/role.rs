//! The role of a member: who leads, what it follows, and what is committed by that.
//!
//! [`Replication`] is driven in the lap of the sequencer's agent and owns nothing of the log: it tells the sequencer to lead or to follow, hands it the
//! leader's entries, and says how far may be committed. Time comes in as an argument; packets, and the register, through ports.
mod contradictions;
mod following;
mod leading;

use super::config::{PeerCounters, ReplicationConfig, ReplicationCounters};
use super::digests::Digests;
use super::entries::{Before, Packed, pack};
use super::epochs::EpochRuns;
use super::follower::{Anchor, Follower, Verdict};
use super::leader::{Change, Leader};
use super::leadership::Leadership;
use super::member::{INCARNATION_MAX, Life, Member, NodeId, Set};
use super::register::{EPOCH_MAX, RegisterPort, RegisterState, RegisterValue};
use super::rewinder::ReplicaRewinderConfig;
use super::swap::RegisterClient;
use crate::bus::burst::Burst;
use crate::bus::ingress::Hold;
use crate::bus::sequencer::{AppendError, Sequencer, SequencerError};
use crate::memory::ring::RingReader;
use crate::mutation::{Mutation, active};
use crate::port::DatagramPort;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use contradictions::Farewell;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message};
use gds_wire::refusal::RefusalReason;
use gds_wire::replication::{
    Abilities, Contradiction, ContradictionKind, HistoryRequest, LeaderPacket, Prefix, STREAM_FORMAT, Sender,
    StoreDigest, Watermark, heartbeat, leader_packet_bytes,
};
use gds_wire::session::Session;
use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Datagrams taken in one duty cycle.
const DATAGRAMS_PER_DUTY: usize = 64;
/// Packets with entries sent in one duty cycle.
const PACKETS_PER_DUTY: usize = 64;
/// Heartbeats after the last entry, counted from it; then at the configured pace.
const HEARTBEATS_NS: [u64; 2] = [200 * MICROSECOND_NS, MILLISECOND_NS];
/// The register is looked at so often, though nothing is wanted of it: a swap that its asker had given up may have happened since (R2).
const LOOK_NS: u64 = 500 * MILLISECOND_NS;
/// Stores are compared this often.
const COMPARE_NS: u64 = 400 * MILLISECOND_NS;
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
    /// It must start again with another node's snapshot: the leader does not keep what it needs next.
    Relearn {
        /// The last entry that it has and the leader had.
        matched: u64,
    },
    /// The leader's entry cannot follow what is in the log.
    Divergent(AppendError),
    /// Its store came to something else than the leader's.
    Diverged {
        /// The last message applied.
        sequence: u64,
        /// This node's digest behind it.
        ours: u128,
        /// The leader's.
        theirs: u128,
        /// Which node leads.
        leader: NodeId,
    },
    /// It has shown what the leader's log does not have so (R20, R21).
    Contradiction {
        /// At this message, or before it, the two differ.
        sequence: u64,
        /// How they differ, seen from this node.
        kind: ContradictionKind,
        /// The last entry of the leader's log, where that ends before what this node has shown.
        last: u64,
        /// Which node leads.
        leader: NodeId,
        /// In which epoch.
        epoch: u32,
    },
    /// The stream has another session name than the one that this node shows.
    Renamed {
        /// The name now.
        name: Session,
        /// From which number on it may say something else than it did.
        from: u64,
    },
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
            Self::Relearn { matched } => write!(
                f,
                "this node ends with message {matched}, and the leader keeps what follows no more: it needs a snapshot of another node"
            ),
            Self::Divergent(error @ AppendError::Unreadable(_)) => error.fmt(f),
            Self::Divergent(error) => {
                write!(f, "{error}; this node's journal is not a replica's: remove it, and the node learns the stream anew")
            }
            Self::Diverged { sequence, ours, theirs, leader } => write!(
                f,
                "this node's store has diverged: behind message {sequence} its digest is {ours:032x}, and that of node {leader}, which leads, is \
                 {theirs:032x}. One of the two is wrong. This one stops; compare both with a third node (gds status), keep this node's \
                 directory for the record, and let it begin with an empty one"
            ),
            Self::Contradiction { sequence, kind, last, leader, epoch } => {
                let has = match kind {
                    ContradictionKind::Lacks => format!("ends with message {last}, and this node has shown message {sequence}"),
                    _ => format!("differs from this node's at message {sequence} or before, which this node has shown"),
                };
                write!(
                    f,
                    "the log of node {leader}, which leads in epoch {epoch}, {has}. One of the two has gone back in time (a forced lead, a restored copy, a \
                     disk that lost what it had). This node stops, and has changed nothing: compare the two with `gds verify` and decide whose log \
                     counts. If it is the leader's, `gds set-aside --config FILE` moves this node's log out of the way, and the node learns the \
                     stream anew; if it is this node's, stop node {leader}, start this one again, and if it does not lead by itself `gds force-lead --config FILE` here"
                )
            }
            Self::Renamed { name, from } => write!(
                f,
                "the stream goes on as session {name} from a forced lead: messages from {from} on may differ from what was shown; this node takes that name"
            ),
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
    /// The entry before the one that `ring` reads next.
    before: Before,
    /// What was known to be committed when the node started.
    anchor: Anchor,
    burst: Burst,
    heartbeat_due_ns: u64,
    heartbeats: usize,
    /// It takes nothing more, and waits for a successor.
    drains: bool,
    takeover: Takeover,
    told_ns: u64,
    look_ns: u64,
    /// The last lap.
    lap_ns: u64,
    leadership: Arc<Leadership>,
    counters: Arc<ReplicationCounters>,
    /// One set for each peer, in the order of the configuration.
    peers: Vec<Arc<PeerCounters>>,
    peers_due_ns: u64,
    /// What the store came to, and the last of these that was told.
    digests: Option<Arc<Digests>>,
    digest_told: u64,
    /// The message behind which stores are compared, as the leader says, and when the next one is named.
    compared: u64,
    compare_due_ns: u64,
    /// The node has found that it cannot go on beside the leader, and says so before it stops.
    farewell: Option<Farewell>,
}

impl Replication {
    /// A member that follows: this life of it, the epochs at the end of its log and the running checksum where they begin, a reader of its ring, and what
    /// the register held when it was read before the start (R10).
    pub fn new(
        config: ReplicationConfig,
        life: Life,
        (epochs, chain): (EpochRuns, u64),
        ring: RingReader,
        register: RegisterState,
        now: Time,
    ) -> Self {
        config.check();
        let epoch = register.value.as_ref().map_or(0, |value| value.epoch);
        let epoch = if active(Mutation::EpochForgotten) { 0 } else { epoch };
        let anchor = Anchor { sequence: epochs.first(), chain };
        let packet_bytes_max = leader_packet_bytes(config.payload_bytes_max);
        let this = Self {
            register: RegisterClient::new(register, config.register_retry_ns),
            role: Role::Follows(Follower::new(None, anchor, now.monotonic_ns)),
            before: Before::default(),
            anchor,
            burst: Burst::new(packet_bytes_max),
            heartbeat_due_ns: 0,
            heartbeats: 0,
            drains: false,
            takeover: Takeover::default(),
            told_ns: 0,
            look_ns: now.monotonic_ns + LOOK_NS,
            lap_ns: now.monotonic_ns,
            leadership: Arc::new(Leadership::following()),
            counters: Arc::default(),
            peers: config.peers.iter().map(|_| Arc::default()).collect(),
            peers_due_ns: 0,
            digests: None,
            digest_told: 0,
            compared: 0,
            compare_due_ns: 0,
            farewell: None,
            config,
            life,
            epoch,
            epochs,
            ring,
        };
        this.counters.incarnation.set(life.incarnation);
        this.counters.whole_since.set(life.whole_since);
        this.show();
        this
    }

    /// Compares what the store comes to with the leader's; the store's agent notes it there.
    pub fn comparing(mut self, digests: Arc<Digests>) -> Self {
        self.digests = Some(digests);
        self
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

    #[cfg(test)]
    pub(super) fn set_min_in_sync(&mut self, count: usize) {
        self.config.min_in_sync = count;
    }

    #[cfg(test)]
    pub(super) fn set_abilities(&mut self, abilities: Abilities) {
        self.config.abilities = abilities;
    }

    #[cfg(test)]
    pub(super) fn set_declaration(&mut self, declaration: Declaration) {
        self.config.declaration = Some(declaration);
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
        if self.farewell.is_some() {
            return self.say_farewell(now, port);
        }
        let sent = self.send_entries(now, sequencer, port)?;
        if now.monotonic_ns >= self.look_ns {
            self.look_ns = now.monotonic_ns + LOOK_NS;
            self.register.want_read();
        }
        if self.register.duty(now.monotonic_ns, register) {
            self.check_name()?;
            self.learn(now, sequencer);
        }
        self.counters.register_unfit.set(self.register.unfit());
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
            Role::Follows(ref follower) => {
                let matched = follower.agreed_to();
                if self.leadership.must_relearn() {
                    return Err(ReplicationStop::Relearn { matched });
                }
                self.compare_digest(now, sequencer);
                self.follow_on(now, sequencer, port);
            }
        }
        Ok(sent + received)
    }

    /// A node that stood still for so long has not heard the leader for that reason: it begins to wait anew. After a shorter time the leader's
    /// packets wait in the port's buffer, and are read before anything is concluded.
    fn notice_own_silence(&mut self, now: Time) {
        let last_ns = std::mem::replace(&mut self.lap_ns, now.monotonic_ns);
        if let Role::Follows(follower) = &mut self.role
            && now.monotonic_ns.saturating_sub(last_ns) > self.config.silence_ns
        {
            follower.heard_ns = now.monotonic_ns;
        }
    }

    fn me(&self) -> Member {
        Member { node: self.config.node, incarnation: self.life.incarnation }
    }

    fn sender(&self) -> Sender {
        let (node, stream) = (self.config.node.0, self.config.stream);
        Sender { node, stream, epoch: self.epoch, incarnation: self.life.incarnation }
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
        let (mut stop, mut reply, mut contradicted) = (None, None, None);
        let received = port.receive(DATAGRAMS_PER_DUTY, &mut |from, datagram| {
            if stop.is_some() || self.farewell.is_some() {
                return;
            }
            if let Some(packet) = LeaderPacket::parse(datagram) {
                match self.on_leader_packet(now, from, &packet, sequencer) {
                    Ok(told) => reply = told.or(reply),
                    Err(why) => stop = Some(why),
                }
            } else if let Some(watermark) = Watermark::parse(datagram) {
                if let Some(contradicts) = self.on_watermark(now, from, &watermark, sequencer) {
                    contradicted = Some(contradicts).or(contradicted);
                }
            } else if let Some(said) = Contradiction::parse(datagram) {
                self.on_contradiction(now, from, &said, sequencer);
            } else if let Some(digest) = StoreDigest::parse(datagram) {
                self.on_digest(from, &digest);
            } else {
                self.counters.malformed.increment();
            }
        });
        if let Some((to, said)) = contradicted {
            self.send_contradiction(to, &said, port);
        }
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
        let epochs_fit = prefix.before <= prefix.epoch && prefix.entry_epoch <= prefix.epoch;
        if !epochs_fit || !is_possible(prefix.epoch, prefix.incarnation) {
            self.counters.unfit.increment();
            return Ok(None);
        }
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
        if prefix.compared > 0 {
            self.name_compared(prefix.compared);
        }
        let Role::Follows(follower) = &mut self.role else { return Ok(None) };
        self.register.abandon();
        let shown = sequencer.progress().committed.get();
        let (last, last_chain, ring) = (self.epochs.last(), sequencer.last_chain(), self.ring.ring());
        // The last entry may not be published yet.
        let chain_of = |entry| if entry == last { Some(last_chain) } else { ring.chain_of(entry) };
        match follower.compare(packet, &self.epochs, shown, chain_of) {
            Verdict::Gap => self.counters.gaps.increment(),
            Verdict::Contradiction { sequence, .. } => {
                self.contradict(
                    now,
                    sequence,
                    ContradictionKind::Differs,
                    packet.entries.next_sequence() - 1,
                );
            }
            Verdict::Cut { after } => return Err(ReplicationStop::Cut { after, epoch: self.epoch }),
            Verdict::Goes { agrees } => self.append(packet, agrees, sequencer)?,
        }
        Ok(None)
    }

    fn on_watermark(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        watermark: &Watermark,
        sequencer: &mut Sequencer,
    ) -> Option<(SocketAddrV4, Contradiction)> {
        if watermark.sender.stream != self.config.stream {
            self.counters.foreign.increment();
            return None;
        }
        let place = self.peer(watermark.sender.node, from)?;
        let Sender { epoch, incarnation, .. } = watermark.sender;
        let life = Life { incarnation, whole_since: watermark.whole_since };
        if !is_possible(epoch, incarnation) || !life.is_possible() {
            self.counters.unfit.increment();
            return None;
        }
        self.counters.watermarks_received.increment();
        if watermark.sender.epoch > self.epoch {
            // Somebody leads, or led, a newer epoch: this one is over.
            self.register.want_read();
            self.adopt(watermark.sender.epoch, None, now, sequencer);
            return None;
        }
        if watermark.sender.epoch < self.epoch {
            self.counters.older_epoch.increment();
            return None;
        }
        let Role::Leads(leader) = &mut self.role else { return None };
        let old = leader.heard[place].alarm;
        leader.on_watermark(place, watermark, self.ring.ring(), now.monotonic_ns);
        let alarm = leader.heard[place].alarm;
        self.counters.contradictions.add(u64::from(alarm.is_some() && old.is_none()));
        self.answer_to(place)
    }

    /// Nothing is shown under a name that the register has replaced.
    fn check_name(&self) -> Result<(), ReplicationStop> {
        let Some(value) = self.value().filter(|value| value.sessions != self.config.sessions) else {
            return Ok(());
        };
        self.leadership.renamed.set(1);
        let from = value.sessions.names().last().map_or(1, |last| last.from);
        Err(ReplicationStop::Renamed { name: value.sessions.current(value.stream), from })
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
        let anchor = self.shown(sequencer);
        self.role = Role::Follows(Follower::new(leader, anchor, now.monotonic_ns));
        self.name_compared(0);
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
        self.before = Before { epoch: self.epochs.last_epoch(), chain: sequencer.last_chain() };
        (self.heartbeats, self.heartbeat_due_ns) = (0, now.monotonic_ns);
        self.compare_due_ns = now.monotonic_ns;
        self.counters.takeovers.increment();
        sequencer.lead(epoch);
        self.show();
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

/// Whether a sender can have come to this epoch in this life. What is not counts as damaged: nothing is concluded from it.
fn is_possible(epoch: u32, incarnation: u64) -> bool {
    epoch <= EPOCH_MAX && (1..=INCARNATION_MAX).contains(&incarnation)
}
