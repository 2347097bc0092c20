//! The leading side: what the replicas have, how far may be committed, and who belongs to the set.
use super::config::ReplicationConfig;
use super::member::{Member, NODES_MAX, NodeId, Set};
use crate::memory::ring::Ring;
use crate::mutation::{Mutation, active};
use arrayvec::ArrayVec;
use gds_wire::replication::{Abilities, Contradiction, ContradictionKind, Watermark};

/// What a replica has shown and the leader's log does not have so: it is alarm, and the replica counts for nothing (R21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    /// At this message, or before it, the two differ.
    pub sequence: u64,
    /// How.
    pub kind: ContradictionKind,
}

/// What the leader has heard from a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The newest incarnation that sent a watermark in this epoch; 0: none.
    pub incarnation: u64,
    /// Since which incarnation it has lost nothing.
    pub whole_since: u64,
    /// Up to where it has matched, as durable as the stream says.
    pub matched: u64,
    /// The last message it has applied.
    pub applied: u64,
    /// Up to where it has shown its log. What it has matched counts once that is in it.
    pub shown: u64,
    /// What it can hold and read; `None`: not heard yet.
    pub abilities: Option<Abilities>,
    /// This incarnation of it contradicts the leader.
    pub alarm: Option<Alarm>,
    /// When this incarnation was first heard.
    first_ns: u64,
    /// When it was last heard.
    pub heard_ns: u64,
    /// The log ended with this entry at that time; the replica has not matched it since.
    pub(super) mark: (u64, u64),
}

/// What only a leader has.
#[derive(Debug)]
pub(super) struct Leader {
    /// By place among the peers.
    pub heard: ArrayVec<Heard, NODES_MAX>,
    /// Replicas that had not matched this at the last look are behind.
    floor: u64,
    /// What becomes the floor at the next look, and when that is.
    next_floor: u64,
    look_ns: u64,
    since_ns: u64,
}

impl Leader {
    pub fn new(config: &ReplicationConfig, now_ns: u64) -> Self {
        Self {
            heard: config.peers.iter().map(|_| Heard::default()).collect(),
            floor: 0,
            next_floor: 0,
            look_ns: now_ns + config.replica_silence_ns,
            since_ns: now_ns,
        }
    }

    /// A watermark of this epoch from the peer at `place`. `own` is the leader's log.
    pub fn on_watermark(&mut self, place: usize, watermark: &Watermark, own: &Ring, now_ns: u64) {
        let heard = &mut self.heard[place];
        let old_counts = active(Mutation::OldIncarnation);
        if watermark.sender.incarnation < heard.incarnation && !old_counts {
            return;
        }
        let same = watermark.sender.incarnation == heard.incarnation || old_counts;
        let before = if same { heard.matched } else { 0 };
        *heard = Heard {
            incarnation: watermark.sender.incarnation.max(heard.incarnation),
            whole_since: watermark.whole_since,
            matched: watermark.matched.max(before),
            applied: watermark.applied,
            shown: watermark.shown,
            abilities: Some(watermark.abilities),
            alarm: heard.alarm.filter(|_| same).or_else(|| contradiction(watermark, own)),
            first_ns: if same { heard.first_ns } else { now_ns },
            heard_ns: now_ns,
            mark: heard.mark,
        };
    }

    /// The peer at `place` says that it has shown what the leader's log does not have so. False where the leader knows better.
    pub fn on_contradiction(&mut self, place: usize, said: &Contradiction, own: &Ring) -> bool {
        let heard = &mut self.heard[place];
        let of_store = said.kind == ContradictionKind::Store;
        let agrees = !of_store && own.chain_of(said.sequence) == Some(said.chain);
        if said.sender.incarnation < heard.incarnation || agrees {
            return false;
        }
        if said.sender.incarnation > heard.incarnation {
            *heard = Heard { incarnation: said.sender.incarnation, mark: heard.mark, ..Heard::default() };
        }
        heard.alarm = heard.alarm.or(Some(Alarm { sequence: said.sequence, kind: said.kind }));
        true
    }

    /// How far the members of the sets have the log (R3 to R5): the leader itself up to `durable`.
    pub fn limit(
        &self,
        config: &ReplicationConfig,
        me: Member,
        durable: u64,
        known: &Set,
        proposed: Option<&Set>,
    ) -> u64 {
        let (known, proposed) = match proposed {
            Some(proposed) if active(Mutation::RemovalEarly) => (proposed, None),
            _ if active(Mutation::AdditionLate) => (known, None),
            proposed => (known, proposed),
        };
        let members = known.members().iter().chain(proposed.map_or(&[][..], Set::members));
        let has = |member: &Member| {
            if member.node == me.node {
                return durable;
            }
            let heard = config.peer(member.node.0).map(|place| self.heard[place]);
            let counts =
                |heard: &Heard| heard.incarnation == member.incarnation || active(Mutation::OldIncarnation);
            heard.filter(|heard| counts(heard) && heard.alarm.is_none()).map_or(0, |heard| heard.matched)
        };
        members.map(has).fold(durable, u64::min)
    }

    /// Looks whether any replica is behind, once in a while.
    pub fn look(&mut self, config: &ReplicationConfig, sequenced: u64, now_ns: u64) {
        if now_ns >= self.look_ns {
            (self.floor, self.next_floor) = (self.next_floor, sequenced);
            self.look_ns = now_ns + config.replica_silence_ns;
        }
    }

    /// Whether the peer at `place` is silent.
    fn is_silent(&self, config: &ReplicationConfig, place: usize, now_ns: u64) -> bool {
        let heard_ns = self.heard[place].heard_ns.max(self.since_ns);
        now_ns.saturating_sub(heard_ns) > config.replica_silence_ns
    }

    /// Whether any peer is there to be sent entries.
    pub fn has_listeners(&self, config: &ReplicationConfig, now_ns: u64) -> bool {
        (0..config.peers.len()).any(|place| !self.is_silent(config, place, now_ns))
    }

    /// The next change of the set that is due, if any: one at a time.
    pub fn change(
        &self,
        config: &ReplicationConfig,
        set: &Set,
        committed: u64,
        now_ns: u64,
    ) -> Option<(Set, Change)> {
        // Somebody whom nobody here knows, and so whom nobody hears: the register was written by hand, or by a node that is configured otherwise.
        let is_known = |node: NodeId| node == config.node || config.peer(node.0).is_some();
        if let Some(stray) = set.members().iter().find(|member| !is_known(member.node))
            && now_ns.saturating_sub(self.since_ns) > config.replica_silence_ns
        {
            return Some((set.without(stray.node), Change::Removed));
        }
        config.peers.iter().enumerate().find_map(|(place, peer)| {
            let heard = &self.heard[place];
            let (silent, behind) = (self.is_silent(config, place, now_ns), heard.matched < self.floor);
            let alive = heard.incarnation > 0 && !silent && heard.alarm.is_none();
            let life = Member { node: peer.node, incarnation: heard.incarnation };
            match set.incarnation(peer.node) {
                // It knows of something that this leader does not have: nothing is decided without it (R23).
                Some(_) if heard.alarm.is_some() => None,
                Some(now) if alive && now == heard.incarnation && !behind => None,
                // Its new life has everything that the one in the set ever said it has (R14). What it has shown is compared first; it may have shown
                // what this leader does not have, and is not taken out before that could be said (R23).
                Some(now) if alive && heard.incarnation > now && heard.whole_since <= now => {
                    let is_new = now_ns.saturating_sub(heard.first_ns) <= config.replica_silence_ns;
                    match heard.matched >= heard.shown {
                        true => Some((set.with(life), Change::Added)),
                        false if is_new => None,
                        false => Some((set.without(peer.node), Change::Removed)),
                    }
                }
                // Its first watermark in this epoch may be under way.
                Some(_) if heard.incarnation == 0 && !silent => None,
                Some(_) => Some((set.without(peer.node), Change::Removed)),
                None if alive
                    && heard.matched >= heard.shown
                    && (heard.matched >= committed && !behind || active(Mutation::LearnerAdded)) =>
                {
                    Some((set.with(life), Change::Added))
                }
                None => None,
            }
        })
    }
}

/// What of a watermark the leader's log contradicts. Its log only grows within its epoch, so that a watermark of the epoch can be late and
/// never be ahead of it.
fn contradiction(watermark: &Watermark, own: &Ring) -> Option<Alarm> {
    if active(Mutation::MatchedBeyondLog) {
        return None;
    }
    let most = watermark.shown.max(watermark.matched);
    if most > own.last() {
        return Some(Alarm { sequence: most, kind: ContradictionKind::Lacks });
    }
    let chain = own.chain_of(watermark.shown)?;
    let differs = watermark.chain != 0 && watermark.chain != chain;
    differs.then_some(Alarm { sequence: watermark.shown, kind: ContradictionKind::Differs })
}

/// What a change of the set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A life of a node comes in.
    Added,
    /// A node goes.
    Removed,
}
