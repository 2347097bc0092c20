//! A follower's lap, and the takeover it may end with.
use super::*;

impl Replication {
    /// Appends the packet's entries behind `agrees`, as many as there is room for.
    pub(super) fn append(
        &mut self,
        packet: &LeaderPacket<'_>,
        agrees: u64,
        sequencer: &mut Sequencer,
    ) -> Result<(), ReplicationStop> {
        let Role::Follows(follower) = &mut self.role else { return Ok(()) };
        let epoch = packet.prefix.entry_epoch;
        for (sequence, bytes) in packet.entries.messages().filter(|(sequence, _)| *sequence > agrees) {
            if epoch < self.epochs.last_epoch() {
                // Epochs never run back in a log: nothing that a leader sends.
                self.counters.unfit.increment();
                return Ok(());
            }
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

    /// What the leader's store came to.
    pub(super) fn on_digest(&mut self, from: SocketAddrV4, digest: &StoreDigest) {
        if digest.sender.stream != self.config.stream {
            return self.counters.foreign.increment();
        }
        let of_leader = self.peer(digest.sender.node, from).is_some() && digest.sender.epoch == self.epoch;
        let Role::Follows(follower) = &mut self.role else { return };
        if of_leader && follower.digest.replace((digest.sequence, digest.digest)).is_some() {
            self.counters.digests_missed.increment();
        }
    }

    /// Compares what the leader's store came to with this node's, as soon as that is there.
    pub(super) fn compare_digest(&mut self, now: Time, sequencer: &Sequencer) {
        let Role::Follows(follower) = &mut self.role else { return };
        let (Some(digests), Some((sequence, theirs))) = (&self.digests, follower.digest) else { return };
        // The store's agent notes a digest behind the last message in its next lap.
        let applied = sequencer.progress().applied.get();
        if applied < sequence || applied == sequence && digests.lacks(sequence) {
            return;
        }
        follower.digest = None;
        match digests.at(sequence) {
            Some(ours) if ours == theirs => self.counters.digests_agreed.increment(),
            Some(ours) => {
                let leader = follower.leader.unwrap_or(NodeId(0));
                let stop = ReplicationStop::Diverged { sequence, ours, theirs, leader };
                self.part(now, stop, sequence, ContradictionKind::Store);
            }
            None => self.counters.digests_missed.increment(),
        }
    }

    /// The leader names a message behind which stores are compared; 0: none yet. The word that was heard last counts, so that a number that is wrong
    /// does no harm beyond the next packet.
    pub(super) fn name_compared(&mut self, sequence: u64) {
        if sequence == self.compared {
            return;
        }
        self.compared = sequence;
        if let Some(digests) = &self.digests {
            digests.want(sequence);
        }
    }

    /// A follower's lap: commits what the leader did, says how far it is, asks for what is missing, and takes over if nobody leads.
    pub(super) fn follow_on(&mut self, now: Time, sequencer: &mut Sequencer, port: &mut dyn DatagramPort) {
        let now_ns = now.monotonic_ns;
        let Role::Follows(follower) = &mut self.role else { return };
        let agreed = if active(Mutation::CommitUnmatched) { u64::MAX } else { follower.matched };
        sequencer.commit(follower.committed.min(agreed));
        self.epochs.forget_below(sequencer.progress().committed.get());
        self.counters.behind.set(follower.behind());
        self.counters.unanswered.set(u64::from(follower.unanswered()));
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

    pub(super) fn tell(&mut self, sequencer: &Sequencer, to: SocketAddrV4, port: &mut dyn DatagramPort) {
        let matched = match &self.role {
            Role::Follows(follower) => covered(follower, sequencer),
            Role::Leads(_) => 0,
        };
        let Anchor { sequence: shown, chain } = self.shown(sequencer);
        let watermark = Watermark {
            sender: self.sender(),
            whole_since: if active(Mutation::WholeAgain) { 1 } else { self.life.whole_since },
            matched,
            last: self.epochs.last(),
            applied: sequencer.progress().applied.get(),
            shown,
            chain,
            abilities: self.config.abilities,
        };
        let sent = port.send(to, &watermark.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
        self.counters.watermarks_sent.increment();
    }

    pub(super) fn ask_history(
        &mut self,
        from: u64,
        to: u64,
        server: SocketAddrV4,
        port: &mut dyn DatagramPort,
    ) {
        let request = HistoryRequest { sender: self.sender(), from, to };
        let sent = port.send(server, &request.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
        self.counters.requests.increment();
    }

    /// Asks for the takeover when the leader is silent, or waits for a successor (R7).
    pub(super) fn succeed(&mut self, now: Time, sequencer: &mut Sequencer) {
        let now_ns = now.monotonic_ns;
        let Role::Follows(follower) = &self.role else { return };
        let handed = follower.drains
            && follower.matched + 1 == follower.next
            && sequencer.progress().committed.get() == follower.matched;
        // Nobody has led yet, or the last to lead was another life of this node: there is nobody to wait for.
        let nobody = self.value().is_some_and(|value| value.epoch == 0 || value.leader == self.config.node);
        let missed = nobody || follower.misses_leader(&self.config, self.rank(), now_ns);
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
        let Some(epoch) = RegisterValue::next_epoch(value.epoch.max(self.epoch)) else {
            self.counters.epochs_used_up.increment();
            return self.register.want_read();
        };
        let others =
            if value.leader == self.config.node { value.set } else { value.set.without(value.leader) };
        self.takeover.heard_ns = follower.heard_ns;
        self.takeover.asked_ns = now_ns;
        self.counters.takeover_silence_ns.set(now_ns - follower.heard_ns);
        self.counters.swaps.increment();
        self.register.propose(RegisterValue {
            epoch,
            leader: self.config.node,
            set: others.with(self.me()),
            ..value
        });
    }

    /// Whether this node's log has everything committed, as far as the register says: a life of it is in the set, and since that one it has
    /// lost nothing. In a new cluster, anybody.
    pub(super) fn may_lead(&self, value: &RegisterValue, sequencer: &Sequencer) -> bool {
        if value.epoch == 0 {
            return sequencer.next_sequence() == 1;
        }
        let whole = |incarnation| incarnation >= self.life.whole_since || active(Mutation::WholeAgain);
        value.set.incarnation(self.config.node).is_some_and(whole) || active(Mutation::LearnerLeads)
    }

    /// How many members go first when the leader is gone.
    pub(super) fn rank(&self) -> u64 {
        let Some(value) = self.value() else { return 0 };
        let members = value.set.members().iter();
        members.filter(|member| member.node < self.config.node && member.node != value.leader).count() as u64
    }
}

/// Whether a message declares just this.
pub(super) fn declares(message: &[u8], declaration: Option<&Declaration>) -> bool {
    Message::parse_kind(message, Kind::Declare)
        .is_some_and(|message| Declaration::parse(message.body).ok().as_ref() == declaration)
}

/// What a watermark covers (R11, R12).
pub(super) fn covered(follower: &Follower, sequencer: &Sequencer) -> u64 {
    match () {
        () if active(Mutation::WatermarkUnmatched) => sequencer.durable(),
        () if active(Mutation::WatermarkUnsynced) => follower.matched,
        () => follower.matched.min(sequencer.durable()),
    }
}
