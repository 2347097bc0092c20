//! A leader's lap.
use super::*;

impl Replication {
    /// A leader's lap: sends what is due, mends the set, commits.
    pub(super) fn lead_on(
        &mut self,
        now: Time,
        sequencer: &mut Sequencer,
        port: &mut dyn DatagramPort,
    ) -> Result<(), ReplicationStop> {
        self.declare(now, sequencer)?;
        self.commit(now, sequencer);
        self.mend(now, sequencer);
        self.show_peers(now, sequencer);
        self.name_next(now, sequencer);
        self.send_digest(port);
        if now.monotonic_ns >= self.heartbeat_due_ns {
            self.send_heartbeat(now, sequencer, port);
        }
        Ok(())
    }

    /// Declares what is new, once.
    pub(super) fn declare(&mut self, now: Time, sequencer: &mut Sequencer) -> Result<(), ReplicationStop> {
        let Some(declaration) = &self.config.declaration else { return Ok(()) };
        let waits_for = self.waits_for(declaration);
        self.counters.declaration_waits_for.set(waits_for.map_or(0, |node| u64::from(node.0)));
        if waits_for.is_some() {
            return Ok(());
        }
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

    /// A member of the set that cannot apply this declaration, or has not said that it can: it is not sequenced before that is so (R22).
    fn waits_for(&self, declaration: &Declaration) -> Option<NodeId> {
        let Role::Leads(leader) = &self.role else { return None };
        let needed = Abilities {
            records_max: declaration.limits.records_max,
            bytes_max: declaration.limits.bytes_max,
            format: STREAM_FORMAT,
        };
        let set = self.set();
        let proposed = self.register.proposed().map_or(&[][..], |value| value.set.members());
        let others = set.members().iter().chain(proposed).filter(|member| member.node != self.config.node);
        let able = |member: &&Member| {
            let heard = self.config.peer(member.node.0).map(|place| leader.heard[place]);
            let heard = heard.filter(|heard| heard.incarnation == member.incarnation);
            heard.and_then(|heard| heard.abilities).is_some_and(|abilities| abilities.cover(&needed))
        };
        others.filter(|member| !able(member)).map(|member| member.node).next()
    }

    /// Names the message behind which stores are compared next: the last one, so that whoever hears of it has not gone beyond it.
    fn name_next(&mut self, now: Time, sequencer: &Sequencer) {
        if self.digests.is_none() || now.monotonic_ns < self.compare_due_ns {
            return;
        }
        self.compare_due_ns = now.monotonic_ns + COMPARE_NS;
        self.name_compared(sequencer.progress().sequenced.get());
        // A replica that has come since is told what it can compare while nothing new comes.
        self.digest_told = 0;
    }

    pub(super) fn commit(&mut self, now: Time, sequencer: &mut Sequencer) {
        let (me, set) = (self.me(), self.set());
        let Role::Leads(leader) = &self.role else { return };
        let proposed = self.register.proposed().map(|value| &value.set);
        let limit = leader.limit(&self.config, me, sequencer.durable(), &set, proposed);
        sequencer.commit(limit);
        let committed = sequencer.progress().committed.get();
        self.epochs.forget_below(committed);
        self.counters.behind.set(sequencer.next_sequence() - 1 - committed);
        self.counters.unanswered.set(0);
        if !self.takeover.committed && committed > self.takeover.tail {
            self.takeover.committed = true;
            self.counters.takeover_commit_ns.set(now.monotonic_ns - self.takeover.leads_ns);
        }
    }

    /// Takes silent members out of the set and those that have caught up into it, one change at a time; takes nothing new while too few are in it.
    pub(super) fn mend(&mut self, now: Time, sequencer: &mut Sequencer) {
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
        // What it had at the takeover may be committed, whether or not it knows: a node does not remember all that it committed.
        let maybe = committed.max(self.takeover.tail);
        if let Some((set, change)) = leader.change(&self.config, &set, maybe, now.monotonic_ns) {
            let Some(value) = self.value().cloned() else { return };
            match change {
                Change::Added => self.counters.added.increment(),
                Change::Removed => self.counters.removed.increment(),
            }
            self.counters.swaps.increment();
            self.register.propose(RegisterValue { set, ..value });
        }
    }

    pub(super) fn prefix(&self, sequencer: &Sequencer) -> Prefix {
        Prefix {
            node: self.config.node.0,
            drains: self.drains,
            epoch: self.epoch,
            before: 0,
            entry_epoch: 0,
            incarnation: self.life.incarnation,
            committed: sequencer.progress().committed.get(),
            revision: self.register.known().revision,
            chain: 0,
            compared: self.compared,
        }
    }

    /// Says what its store came to, once for each digest.
    pub(super) fn send_digest(&mut self, port: &mut dyn DatagramPort) {
        let Some(digests) = &self.digests else { return };
        let sequence = digests.newest();
        if sequence <= self.digest_told {
            return;
        }
        self.digest_told = sequence;
        let Some(digest) = digests.at(sequence) else { return };
        let packet = StoreDigest { sender: self.sender(), sequence, digest };
        let sent = port.send(self.config.group, &packet.to_bytes());
        self.counters.unsent.add(u64::from(!sent));
    }

    pub(super) fn send_heartbeat(&mut self, now: Time, sequencer: &Sequencer, port: &mut dyn DatagramPort) {
        let Before { epoch: before, chain } = self.last_entry(sequencer);
        let prefix = Prefix { before, chain, ..self.prefix(sequencer) };
        let sent =
            port.send(self.config.group, &heartbeat(self.config.stream, self.epochs.last() + 1, &prefix));
        self.counters.unsent.add(u64::from(!sent));
        self.counters.heartbeats_sent.increment();
        let after_ns = HEARTBEATS_NS.get(self.heartbeats).copied().unwrap_or(self.config.heartbeat_ns);
        self.heartbeats += 1;
        self.heartbeat_due_ns = now.monotonic_ns + after_ns.min(self.config.heartbeat_ns);
    }

    /// Sends what the sequencer has appended since the last time, when anybody listens.
    pub(super) fn send_entries(
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
            self.before = self.last_entry(sequencer);
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
                    self.before = self.last_entry(sequencer);
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

    /// The last entry of the log.
    fn last_entry(&self, sequencer: &Sequencer) -> Before {
        // What is numbered and not published yet has no place in the ring for readers: then nothing is said of it.
        let chain = self.ring.ring().chain_of(self.epochs.last());
        let last = sequencer.next_sequence() - 1 == self.epochs.last();
        Before {
            epoch: self.epochs.last_epoch(),
            chain: chain.or(last.then(|| sequencer.last_chain())).unwrap_or_default(),
        }
    }

    pub(super) fn send_burst(&mut self, port: &mut dyn DatagramPort) {
        if self.burst.is_empty() {
            return;
        }
        let (packets, segment_bytes) = self.burst.take();
        let taken = port.send_segments(self.config.group, packets, segment_bytes);
        self.counters.unsent.add((packets.len().div_ceil(segment_bytes) - taken) as u64);
    }

    /// Shows how far the replicas are, once in a while.
    pub(super) fn show_peers(&mut self, now: Time, sequencer: &Sequencer) {
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
            shown.differs_at.set(heard.alarm.map_or(0, |alarm| alarm.sequence.max(1)));
            shown.differs_how.set(heard.alarm.map_or(0, |alarm| u64::from(alarm.kind as u8)));
        }
    }
}
