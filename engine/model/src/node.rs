//! A node: its journal, what it knows, and what it does with a packet.
use crate::Mutation;
use crate::network::{Entry, Message, Packet};
use crate::register::{Member, NODES_MAX, Set, Swap};
use arrayvec::ArrayVec;

/// Most entries of a journal.
pub const ENTRIES_MAX: usize = 6;
/// Most client sessions.
pub const SESSIONS_MAX: usize = 3;

/// For each client session, the number of its newest message taken.
pub type Table = [u8; SESSIONS_MAX];

/// What the leader has heard from a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Heard {
    /// The newest incarnation that sent a watermark, 0 for none.
    pub incarnation: u8,
    /// Up to where it matched.
    pub matched: u8,
    /// Since which incarnation it has lost nothing.
    pub whole_since: u8,
}

/// What only a leader has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    /// The in-sync set that the register is known to hold.
    pub set: Set,
    /// Its revision.
    pub revision: u8,
    /// What the others say.
    pub heard: [Heard; NODES_MAX],
    /// Which client messages are taken.
    pub table: Table,
    /// Entries it had when it took over: any of them may be committed, whatever it knows.
    pub tail: u8,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its place among the nodes.
    pub index: u8,
    /// Which life it lives.
    pub incarnation: u8,
    /// The first incarnation since which it has lost nothing that was durable. Kept with the journal.
    pub whole_since: u8,
    /// The newest epoch it knows; older ones it refuses.
    pub epoch: u8,
    /// The entries, from sequence number 1.
    pub journal: ArrayVec<Entry, ENTRIES_MAX>,
    /// So many of them are as durable as the stream says.
    pub durable: u8,
    /// So many of them agree with the log of the leader of `epoch`.
    pub matched: u8,
    /// The commit point it knows.
    pub committed: u8,
    /// The swap it asked for and has not heard of.
    pub asked: Option<Swap>,
    /// If it leads `epoch`.
    pub leader: Option<Leader>,
    /// The table as it would be had nothing been cut back; only [`Mutation::TableFromCutLog`] uses it.
    pub uncut: Table,
}

impl Node {
    /// A node of a new cluster.
    pub fn new(index: u8) -> Self {
        Self {
            index,
            incarnation: 1,
            whole_since: 1,
            epoch: 1,
            journal: ArrayVec::new(),
            durable: 0,
            matched: 0,
            committed: 0,
            asked: None,
            leader: None,
            uncut: [0; SESSIONS_MAX],
        }
    }

    /// The node and this life of it.
    pub fn member(&self) -> Member {
        Member { node: self.index, incarnation: self.incarnation }
    }

    /// How many entries the journal has.
    pub fn length(&self) -> u8 {
        self.journal.len() as u8
    }

    /// Whether its journal has everything that the member of this node in `set` ever said it has.
    pub fn whole(&self, set: &Set) -> bool {
        set[self.index as usize] >= self.whole_since
    }

    /// A newer epoch is known: older leaders are refused from here, a leader steps down.
    pub fn adopt(&mut self, epoch: u8) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        self.epoch = epoch;
        self.matched = 0;
        self.leader = None;
        true
    }

    /// Leads the epoch of the register's value, with its whole journal as the log.
    pub fn lead(&mut self, epoch: u8, set: Set, revision: u8, mutation: Option<Mutation>) {
        let known = match mutation {
            Some(Mutation::TableWithoutTail) => &self.journal[..self.committed as usize],
            _ => &self.journal[..],
        };
        let mut table = table(known);
        if mutation == Some(Mutation::TableFromCutLog) {
            table = self.uncut;
        }
        self.epoch = epoch;
        self.matched = 0;
        self.leader = Some(Leader { set, revision, heard: Default::default(), table, tail: self.length() });
    }

    /// Whether a learner that has matched so much with this leader may be added to the set (R6).
    pub fn may_add(&self, matched: u8, mutation: Option<Mutation>) -> bool {
        let tail = self.leader.as_ref().map_or(0, |leader| leader.tail);
        match mutation {
            Some(Mutation::LearnerAdded) => true,
            Some(Mutation::LearnerAddedByCommit) => matched >= self.committed,
            _ => matched >= self.committed.max(tail),
        }
    }

    /// Entry number `sequence` of its journal as the leader's packet.
    pub fn replication(&self, sequence: u8) -> Packet {
        let place = sequence as usize - 1;
        let before = if place == 0 { 0 } else { self.journal[place - 1].epoch };
        Packet::Replication { epoch: self.epoch, sequence, before, entry: self.journal[place] }
    }

    /// An entry is written.
    pub fn append(&mut self, entry: Entry, lag: bool, mutation: Option<Mutation>) {
        self.journal.push(entry);
        if !lag {
            self.durable = self.length();
        }
        if mutation == Some(Mutation::TableFromCutLog) {
            let newest = &mut self.uncut[entry.message.session as usize];
            *newest = (*newest).max(entry.message.number);
        }
    }

    /// A replication packet arrives. True if it changed anything.
    pub fn replicate(
        &mut self,
        epoch: u8,
        sequence: u8,
        before: u8,
        entry: Entry,
        lag: bool,
        mutation: Option<Mutation>,
    ) -> bool {
        let older = epoch < self.epoch;
        if older && mutation != Some(Mutation::OldEpochObeyed) {
            return false;
        }
        let adopted = self.adopt(epoch);
        if self.leader.is_some() || sequence > self.length() + 1 || (sequence <= self.matched && !older) {
            return adopted;
        }
        let by_sequence = mutation == Some(Mutation::CutBySequence);
        let place = sequence as usize - 1;
        if place > 0 && self.journal[place - 1].epoch != before && !by_sequence {
            return adopted;
        }
        let same = self.journal.get(place).is_some_and(|own| own.epoch == entry.epoch || by_sequence);
        if same && older {
            return false;
        }
        if !same {
            // What is cut here was never committed: the leader's log has everything that was.
            self.journal.truncate(place);
            self.durable = self.durable.min(self.length());
            self.append(entry, lag, mutation);
        }
        self.matched = sequence;
        true
    }

    /// The leader's commit point arrives. What is not matched with this leader may still be cut, so it does not count.
    pub fn commit_known(&mut self, epoch: u8, sequence: u8, mutation: Option<Mutation>) -> bool {
        let adopted = self.adopt(epoch);
        if epoch < self.epoch || self.leader.is_some() {
            return adopted;
        }
        let agreed = if mutation == Some(Mutation::CommitUnmatched) { self.length() } else { self.matched };
        let known = self.committed.max(sequence.min(agreed));
        std::mem::replace(&mut self.committed, known) != known || adopted
    }

    /// The watermark it would send now.
    pub fn watermark(&self, mutation: Option<Mutation>) -> Packet {
        let matched = match mutation {
            Some(Mutation::WatermarkUnmatched) => self.durable,
            Some(Mutation::WatermarkUnsynced) => self.matched,
            _ => self.matched.min(self.durable),
        };
        Packet::Watermark { epoch: self.epoch, member: self.member(), matched, whole_since: self.whole_since }
    }

    /// A watermark arrives at the leader. True if it says anything new.
    pub fn watermark_known(
        &mut self,
        epoch: u8,
        member: Member,
        matched: u8,
        whole_since: u8,
        mutation: Option<Mutation>,
    ) -> bool {
        let own = self.epoch;
        let Some(leader) = self.leader.as_mut().filter(|_| epoch == own) else { return false };
        let heard = &mut leader.heard[member.node as usize];
        let old_counts = mutation == Some(Mutation::OldIncarnation);
        if member.incarnation < heard.incarnation && !old_counts {
            return false;
        }
        let kept = if member.incarnation == heard.incarnation || old_counts { heard.matched } else { 0 };
        let newer = member.incarnation >= heard.incarnation;
        let now = Heard {
            incarnation: heard.incarnation.max(member.incarnation),
            matched: matched.max(kept),
            whole_since: if newer { whole_since } else { heard.whole_since },
        };
        std::mem::replace(heard, now) != now
    }

    /// Up to where this leader may commit: what every member it waits for has, its own journal included.
    pub fn may_commit(&self, mutation: Option<Mutation>) -> u8 {
        let Some(leader) = &self.leader else { return 0 };
        let proposed = self.asked.map(|swap| swap.value.set);
        let (known, proposed) = match (mutation, proposed) {
            (Some(Mutation::RemovalEarly), Some(proposed)) => (proposed, None),
            (Some(Mutation::AdditionLate), _) => (leader.set, None),
            _ => (leader.set, proposed),
        };
        let mut least = self.length();
        for set in std::iter::once(&known).chain(&proposed) {
            for (node, &incarnation) in set.iter().enumerate().filter(|(_, incarnation)| **incarnation > 0) {
                let heard = leader.heard[node];
                let has = if node == self.index as usize {
                    if mutation == Some(Mutation::LeaderUncounted) { self.length() } else { self.durable }
                } else if heard.incarnation == incarnation {
                    heard.matched
                } else {
                    0
                };
                least = least.min(has);
            }
        }
        least
    }

    /// A new life: `kept` entries of the journal are left, `whole` if nothing durable is missing, and `epoch` is what the register
    /// says.
    pub fn restart(&mut self, kept: u8, whole: bool, epoch: u8, mutation: Option<Mutation>) {
        let before = self.whole_since;
        let incarnation = self.incarnation + 1;
        let whole_since = match (whole, mutation) {
            (false, _) => incarnation,
            (true, Some(Mutation::WholeAgain)) => 1,
            (true, _) => before,
        };
        let epoch = if mutation == Some(Mutation::EpochForgotten) { 0 } else { epoch };
        self.journal.truncate(kept as usize);
        let journal = std::mem::take(&mut self.journal);
        let uncut = if mutation == Some(Mutation::TableFromCutLog) { table(&journal) } else { self.uncut };
        *self =
            Self { incarnation, whole_since, epoch, durable: kept, journal, uncut, ..Self::new(self.index) };
    }
}

/// The newest number of each session among entries.
fn table(entries: &[Entry]) -> Table {
    let mut table = [0; SESSIONS_MAX];
    for Entry { message: Message { session, number }, .. } in entries {
        let newest = &mut table[*session as usize];
        *newest = (*newest).max(*number);
    }
    table
}
