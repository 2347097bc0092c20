//! Two nodes that have shown what cannot both be: the replica stops and says why, the leader raises an alarm (R20, R21).
use super::*;

/// Who stops says why to the leader for so many heartbeats before.
const FAREWELL_HEARTBEATS: u64 = 10;

/// What a node that cannot go on beside the leader does before it stops.
#[derive(Debug)]
pub(super) struct Farewell {
    stop: ReplicationStop,
    said: Contradiction,
    /// The leader.
    to: Option<SocketAddrV4>,
    due_ns: u64,
    until_ns: u64,
}

impl Replication {
    /// Up to where this node has shown its log, with the running checksum there. Where the ring does not have that any more, what it had shown when it
    /// started.
    pub(super) fn shown(&self, sequencer: &Sequencer) -> Anchor {
        let sequence = sequencer.progress().committed.get();
        let chain = self.ring.ring().chain_of(sequence);
        chain.map_or(self.anchor, |chain| Anchor { sequence, chain })
    }

    /// The running checksum of this node's log up to an entry, where that is at hand.
    fn chain_of(&self, sequence: u64) -> Option<u64> {
        let of_start = (sequence == self.anchor.sequence).then_some(self.anchor.chain);
        of_start.or_else(|| self.ring.ring().chain_of(sequence))
    }

    /// A follower has found that it has shown what the leader, whose log ends with `last`, does not have so.
    pub(super) fn contradict(&mut self, now: Time, sequence: u64, kind: ContradictionKind, last: u64) {
        let leader = self.leader_of_epoch();
        let stop = ReplicationStop::Contradiction { sequence, kind, last, leader, epoch: self.epoch };
        self.part(now, stop, sequence, kind);
    }

    /// From here on this node shows nothing more, and says why to the leader before it stops.
    pub(super) fn part(&mut self, now: Time, stop: ReplicationStop, sequence: u64, kind: ContradictionKind) {
        let place = self.config.peer(self.leader_of_epoch().0);
        let said = Contradiction {
            sender: self.sender(),
            incarnation: 0,
            sequence,
            last: self.epochs.last(),
            chain: self.chain_of(sequence).unwrap_or_default(),
            kind,
        };
        self.counters.contradictions.increment();
        self.farewell = Some(Farewell {
            stop,
            said,
            to: place.map(|place| self.config.peers[place].replication),
            due_ns: now.monotonic_ns,
            until_ns: now.monotonic_ns + FAREWELL_HEARTBEATS * self.config.heartbeat_ns,
        });
    }

    fn leader_of_epoch(&self) -> NodeId {
        match &self.role {
            Role::Follows(Follower { leader: Some(leader), .. }) => *leader,
            Role::Follows(_) | Role::Leads(_) => NodeId(0),
        }
    }

    /// Says why it stops, again and again, and then stops.
    pub(super) fn say_farewell(
        &mut self,
        now: Time,
        port: &mut dyn DatagramPort,
    ) -> Result<usize, ReplicationStop> {
        let heartbeat_ns = self.config.heartbeat_ns;
        let Some(farewell) = &mut self.farewell else { return Ok(0) };
        if now.monotonic_ns >= farewell.until_ns {
            return Err(farewell.stop.clone());
        }
        if let Some(to) = farewell.to.filter(|_| now.monotonic_ns >= farewell.due_ns) {
            farewell.due_ns = now.monotonic_ns + heartbeat_ns;
            let said = farewell.said;
            self.send_contradiction(to, &said, port);
            return Ok(1);
        }
        Ok(0)
    }

    pub(super) fn send_contradiction(
        &mut self,
        to: SocketAddrV4,
        said: &Contradiction,
        port: &mut dyn DatagramPort,
    ) {
        let sent = port.send(to, &said.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
    }

    /// A leader answers a watermark that contradicts its log; whom, and what.
    pub(super) fn answer_to(&mut self, place: usize) -> Option<(SocketAddrV4, Contradiction)> {
        let Role::Leads(leader) = &self.role else { return None };
        let heard = leader.heard[place];
        let alarm = heard.alarm?;
        let ring = self.ring.ring();
        let said = Contradiction {
            sender: self.sender(),
            incarnation: heard.incarnation,
            sequence: alarm.sequence,
            last: ring.last(),
            chain: ring.chain_of(alarm.sequence).unwrap_or_default(),
            kind: alarm.kind,
        };
        Some((self.config.peers[place].replication, said))
    }

    /// Somebody says that two nodes contradict each other. A leader raises an alarm; a replica stops only on what it knows of itself.
    pub(super) fn on_contradiction(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        said: &Contradiction,
        sequencer: &Sequencer,
    ) {
        if said.sender.stream != self.config.stream {
            return self.counters.foreign.increment();
        }
        let Some(place) = self.peer(said.sender.node, from) else { return };
        if !is_possible(said.sender.epoch, said.sender.incarnation) {
            return self.counters.unfit.increment();
        }
        if said.sender.epoch != self.epoch {
            return self.counters.older_epoch.increment();
        }
        match &mut self.role {
            Role::Leads(leader) => {
                let new = leader.heard[place].alarm.is_none();
                if leader.on_contradiction(place, said, self.ring.ring()) && new {
                    self.counters.contradictions.increment();
                }
            }
            Role::Follows(follower) => {
                let of_leader = follower.leader == Some(NodeId(said.sender.node));
                let to_me = said.incarnation == self.life.incarnation;
                if of_leader && to_me && self.has_shown_otherwise(said, sequencer) {
                    self.contradict(now, said.sequence, said.kind, said.last);
                }
            }
        }
    }

    /// Whether this node has shown what the leader says that it does not have, or has otherwise.
    fn has_shown_otherwise(&self, said: &Contradiction, sequencer: &Sequencer) -> bool {
        let shown = said.sequence <= sequencer.progress().committed.get();
        let otherwise = match said.kind {
            ContradictionKind::Lacks => said.last < said.sequence,
            ContradictionKind::Differs => {
                self.chain_of(said.sequence).is_some_and(|chain| chain != said.chain)
            }
            ContradictionKind::Store => false,
        };
        shown && otherwise
    }
}
