//! A node: its journal, what it knows, and what it does with a packet.
use crate::Mutation;
use crate::network::{Entry, Message, Packet, Point};
use crate::register::{Member, NODES_MAX, Set, Swap};
use arrayvec::ArrayVec;

/// Most entries of a journal.
pub const ENTRIES_MAX: usize = 6;
/// Most client sessions.
pub const SESSIONS_MAX: usize = 3;

/// For each client session, the number of its newest message taken.
pub type Table = [u8; SESSIONS_MAX];

/// What of the protocol is in force at a size.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Entries are durable some time after they are written.
    pub lag: bool,
    /// A node may have less than it has shown and not know: what it has shown is remembered, and compared.
    pub goes_back: bool,
    /// The rule left out, if any.
    pub mutation: Option<Mutation>,
}

impl Rules {
    /// Whether `mutation` is the rule left out.
    pub fn without(self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

/// A copy of a node's directory, taken while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copied {
    incarnation: u8,
    whole_since: u8,
    journal: ArrayVec<Entry, ENTRIES_MAX>,
    committed: u8,
    /// So many entries the node had at its restarts since.
    had: u8,
}

/// What the leader has heard from a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Heard {
    /// The newest incarnation that sent a watermark, 0 for none.
    pub incarnation: u8,
    /// Up to where it matched.
    pub matched: u8,
    /// Since which incarnation it has lost nothing.
    pub whole_since: u8,
    /// It has shown more than it has matched.
    pub unverified: bool,
    /// It has shown what the leader's log does not have.
    pub contradicts: bool,
    /// It said so while it was in the set and no removal was under way: the leader's commit point at that time.
    pub held: Option<u8>,
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
    /// It has shown what its leader does not have, and was told so: it does nothing until it is started again.
    pub stopped: bool,
    /// Its newest life, also where it went back to an earlier one.
    pub lives: u8,
    /// An earlier copy of what it has on disk.
    pub copy: Option<Box<Copied>>,
    /// So many entries it had when an earlier copy was put in the place of its directory, 0: none was. No node knows this.
    pub had: u8,
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
            stopped: false,
            lives: 1,
            copy: None,
            had: 0,
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

    /// What stands at place `sequence` of its log, 0 for before the first entry.
    pub fn point(&self, sequence: u8) -> Option<Point> {
        let entries = self.journal.get(..sequence as usize)?;
        Some(entries.iter().fold(Point::default(), |point, entry| point.then(entry)))
    }

    /// Whether it has shown what the log of `leader` does not have.
    pub fn contradicts(&self, leader: &Self) -> bool {
        leader.point(self.committed) != self.point(self.committed)
    }

    /// Whether its journal has everything that the member of this node in `set` ever said it has.
    pub fn whole(&self, set: &Set) -> bool {
        set[self.index as usize] >= self.whole_since
    }

    /// A newer epoch is known: older leaders are refused from here, a leader steps down.
    pub fn adopt(&mut self, epoch: u8, rules: Rules) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        self.epoch = epoch;
        self.matched = if rules.without(Mutation::MatchFromCommitPoint) { self.committed } else { 0 };
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

    /// Whether a learner of which this leader has heard so much may be added to the set (R6, R21).
    pub fn may_add(&self, heard: &Heard, mutation: Option<Mutation>) -> bool {
        let tail = self.leader.as_ref().map_or(0, |leader| leader.tail);
        match mutation {
            Some(Mutation::LearnerAdded) => true,
            Some(Mutation::LearnerAddedByCommit) => heard.matched >= self.committed,
            Some(Mutation::MatchedBeyondLog) => heard.matched >= self.committed.max(tail),
            _ => !heard.unverified && !heard.contradicts && heard.matched >= self.committed.max(tail),
        }
    }

    /// Entry number `sequence` of its journal as the leader's packet.
    pub fn replication(&self, sequence: u8) -> Packet {
        let before = self.point(sequence - 1).unwrap_or_default();
        Packet::Replication {
            epoch: self.epoch,
            sequence,
            before,
            entry: self.journal[sequence as usize - 1],
        }
    }

    /// An entry is written.
    pub fn append(&mut self, entry: Entry, rules: Rules) {
        self.journal.push(entry);
        if !rules.lag {
            self.durable = self.length();
        }
        if rules.without(Mutation::TableFromCutLog) {
            let newest = &mut self.uncut[entry.message.session as usize];
            *newest = (*newest).max(entry.message.number);
        }
    }

    /// A replication packet arrives. True if it changed anything.
    pub fn replicate(&mut self, epoch: u8, before: Point, entry: Entry, rules: Rules) -> bool {
        let (sequence, older) = (before.sequence + 1, epoch < self.epoch);
        if older && !rules.without(Mutation::OldEpochObeyed) {
            return false;
        }
        let adopted = self.adopt(epoch, rules);
        if self.leader.is_some() || sequence > self.length() + 1 || (sequence <= self.matched && !older) {
            return adopted;
        }
        let by_sequence = rules.without(Mutation::CutBySequence);
        let believed = rules.without(Mutation::MatchFromCommitPoint) && before.sequence == self.matched;
        if self.point(before.sequence) != Some(before) && !by_sequence && !believed {
            return adopted;
        }
        let place = before.sequence as usize;
        let same = self.journal.get(place).is_some_and(|own| own.epoch == entry.epoch || by_sequence);
        if same && older {
            return false;
        }
        if rules.goes_back && sequence <= self.committed && !(same && sequence == self.committed) {
            // What it has shown it never cuts, and less than that it does not count (R20): it says what it has shown, and the leader judges.
            return adopted;
        }
        if !same {
            // What is cut here was never committed: the leader's log has everything that was.
            self.journal.truncate(place);
            self.durable = self.durable.min(self.length());
            self.append(entry, rules);
        }
        self.matched = sequence;
        true
    }

    /// The leader's commit point arrives. What is not matched with this leader may still be cut, so it does not count.
    pub fn commit_known(&mut self, epoch: u8, sequence: u8, rules: Rules) -> bool {
        let adopted = self.adopt(epoch, rules);
        if epoch < self.epoch || self.leader.is_some() {
            return adopted;
        }
        let agreed = if rules.without(Mutation::CommitUnmatched) { self.length() } else { self.matched };
        let known = self.committed.max(sequence.min(agreed));
        std::mem::replace(&mut self.committed, known) != known || adopted
    }

    /// The watermark it would send now.
    pub fn watermark(&self, rules: Rules) -> Packet {
        let matched = match rules.mutation {
            Some(Mutation::WatermarkUnmatched) => self.durable,
            Some(Mutation::WatermarkUnsynced) => self.matched,
            _ => self.matched.min(self.durable),
        };
        let shown = if rules.goes_back { self.committed } else { 0 };
        let shown = self.point(shown).unwrap_or_default();
        let (epoch, member, whole_since) = (self.epoch, self.member(), self.whole_since);
        Packet::Watermark { epoch, member, matched, whole_since, shown }
    }

    /// A watermark arrives at the leader of its epoch. True if it says anything new.
    pub fn watermark_known(
        &mut self,
        member: Member,
        matched: u8,
        whole_since: u8,
        shown: Point,
        rules: Rules,
    ) -> bool {
        let beyond = matched > self.length() || self.point(shown.sequence) != Some(shown);
        let (committed, asked) = (self.committed, self.asked.map(|swap| swap.value.set));
        let Some(leader) = self.leader.as_mut() else { return false };
        let in_set = std::iter::once(leader.set).chain(asked).all(|set| set[member.node as usize] > 0);
        let heard = &mut leader.heard[member.node as usize];
        let old_counts = rules.without(Mutation::OldIncarnation);
        if member.incarnation < heard.incarnation && !old_counts {
            return false;
        }
        let same = member.incarnation == heard.incarnation || old_counts;
        let before = if same { *heard } else { Heard::default() };
        let newer = member.incarnation >= heard.incarnation;
        let judged = rules.goes_back && !rules.without(Mutation::MatchedBeyondLog);
        let contradicts = judged && (beyond || before.contradicts);
        let matched = matched.max(before.matched);
        let now = Heard {
            incarnation: heard.incarnation.max(member.incarnation),
            matched: if contradicts { 0 } else { matched },
            whole_since: if newer { whole_since } else { heard.whole_since },
            unverified: shown.sequence > matched,
            contradicts,
            held: if before.contradicts { before.held } else { (contradicts && in_set).then_some(committed) },
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
    pub fn restart(&mut self, kept: u8, whole: bool, epoch: u8, rules: Rules) {
        let before = self.whole_since;
        let incarnation = self.incarnation + 1;
        let whole_since = match (whole, rules.mutation) {
            (false, _) => incarnation,
            (true, Some(Mutation::WholeAgain)) => 1,
            (true, _) => before,
        };
        let epoch = if rules.without(Mutation::EpochForgotten) { 0 } else { epoch };
        let had = self.length();
        if let Some(copy) = &mut self.copy {
            copy.had = copy.had.max(had);
        }
        self.journal.truncate(kept as usize);
        let journal = std::mem::take(&mut self.journal);
        let uncut = if rules.without(Mutation::TableFromCutLog) { table(&journal) } else { self.uncut };
        // A node forgets how far it has shown, for it may. Where nodes go back it is asked for it, and remembers.
        let committed = if rules.goes_back { self.committed.min(kept) } else { 0 };
        let matched = if rules.without(Mutation::MatchFromCommitPoint) { committed } else { 0 };
        *self = Self {
            incarnation,
            whole_since,
            epoch,
            durable: kept,
            journal,
            uncut,
            committed,
            matched,
            lives: self.lives.max(incarnation),
            copy: self.copy.take(),
            had: if whole { self.had } else { 0 },
            ..Self::new(self.index)
        };
    }

    /// Somebody copies its directory while it runs.
    pub fn copied(&self) -> Copied {
        let &Self { incarnation, whole_since, ref journal, committed, .. } = self;
        Copied { incarnation, whole_since, journal: journal.clone(), committed, had: 0 }
    }

    /// It dies, and starts with the copy in the place of its directory. `registered` is its life that the register names, 0 for none. False
    /// if the copy is what it has.
    pub fn roll_back(&mut self, registered: u8, epoch: u8, rules: Rules) -> bool {
        let now = self.copied();
        let Some(copy) = self.copy.take().filter(|copy| Copied { had: 0, ..(**copy).clone() } != now) else {
            return false;
        };
        let Copied { incarnation, whole_since, journal, committed, had } = *copy;
        let kept = journal.len() as u8;
        let had = if registered <= incarnation { had.max(self.had).max(self.length()) } else { 0 };
        (self.whole_since, self.journal, self.committed) = (whole_since, journal, committed);
        // The life before the new one: the newest there was, or the one it remembers.
        let life_again = rules.without(Mutation::LifeAgain);
        self.incarnation = if life_again { incarnation.max(registered) } else { self.lives };
        self.restart(kept, registered <= incarnation, epoch, rules);
        self.had = had;
        true
    }

    /// It is down, and a person declares what it has to be all there is.
    pub fn force(&mut self, epoch: u8, rules: Rules) {
        self.incarnation = self.lives;
        self.restart(self.length(), false, epoch, rules);
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
