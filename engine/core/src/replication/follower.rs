//! The following side: what of its log agrees with the leader's, and what must still come.
use super::config::ReplicationConfig;
use super::epochs::EpochRuns;
use super::member::NodeId;
use crate::mutation::{Mutation, active};
use crate::time::{MICROSECOND_NS, MILLISECOND_NS};
use gds_wire::replication::LeaderPacket;

/// A request for older entries is repeated after this time, and so much later each time, up to the second.
const REQUEST_RETRY_NS: u64 = 500 * MICROSECOND_NS;
const REQUEST_RETRY_NS_MAX: u64 = 10 * MILLISECOND_NS;

/// Entries asked for at a time.
const REQUEST_ENTRIES: u64 = 1024;

/// What a packet of the leader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its entries up to this one agree with the log, and those behind are to be appended.
    Goes {
        /// The last entry that is there already.
        agrees: u64,
    },
    /// It begins behind what is known to agree: what lies between is asked for.
    Gap,
    /// The log has something else at this place and behind: it is to be cut back after the entry before (R15).
    Cut {
        /// The last entry that stays.
        after: u64,
    },
    /// The log has something else up to this entry, which this node has shown (R20).
    Contradiction {
        /// The entry.
        sequence: u64,
        /// The running checksum of the leader's log up to it.
        theirs: u64,
    },
}

/// An entry of a log, and the running checksum up to it: who has the same has the same log up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// The entry; 0: before the first one.
    pub sequence: u64,
    /// The running checksum up to it.
    pub chain: u64,
}

/// What only a follower has.
#[derive(Debug)]
pub(super) struct Follower {
    /// Who leads the epoch, once known.
    pub leader: Option<NodeId>,
    /// When the leader of the epoch was last heard; at first, since when it is waited for.
    pub heard_ns: u64,
    /// Up to here the log agrees with the leader's; 0 until it has been compared at what this node has shown.
    pub matched: u64,
    /// What this node has shown when it began to follow: there the logs are compared first, and no log that lacks it or has something else is followed (R20).
    pub anchor: Anchor,
    /// The logs agree at the anchor.
    is_verified: bool,
    /// The leader's commit point.
    pub committed: u64,
    /// The number of the leader's next entry.
    pub next: u64,
    /// The leader takes nothing more, and waits for a successor.
    pub drains: bool,
    /// What the leader's store came to, and this node's has not yet: message and digest.
    pub digest: Option<(u64, u128)>,
    /// The watermark that was sent last said this much.
    pub told: u64,
    pub watermark_due_ns: u64,
    request_due_ns: u64,
    /// What is asked for, and how far the log agreed when it was last looked at.
    requested_to: u64,
    agreed: u64,
    attempts: u32,
}

impl Follower {
    /// Follows whoever leads from here on, once its log has what this node has shown.
    pub fn new(leader: Option<NodeId>, anchor: Anchor, now_ns: u64) -> Self {
        let believes = active(Mutation::MatchFromCommitPoint);
        Self {
            leader,
            heard_ns: now_ns,
            matched: if believes { anchor.sequence } else { 0 },
            anchor,
            is_verified: believes,
            committed: anchor.sequence,
            next: 1,
            drains: false,
            digest: None,
            told: u64::MAX,
            watermark_due_ns: 0,
            request_due_ns: 0,
            requested_to: 0,
            agreed: 0,
            attempts: 0,
        }
    }

    /// The leader of the epoch says something.
    pub fn heard(&mut self, packet: &LeaderPacket<'_>, now_ns: u64) {
        let prefix = &packet.prefix;
        self.leader = Some(NodeId(prefix.node));
        self.heard_ns = now_ns;
        self.committed = self.committed.max(prefix.committed);
        self.next = self.next.max(packet.entries.next_sequence());
        self.drains = prefix.drains;
    }

    /// Compares a packet with the log: one look at the entry before is enough ("What matching means"). Up to `shown` this node has shown its log, and `chain_of`
    /// tells the running checksum of its log up to an entry, where that is at hand.
    pub fn compare(
        &mut self,
        packet: &LeaderPacket<'_>,
        epochs: &EpochRuns,
        shown: u64,
        chain_of: impl Fn(u64) -> Option<u64>,
    ) -> Verdict {
        let (first, next) = (packet.entries.sequence, packet.entries.next_sequence());
        let before = first - 1;
        let theirs = Some(packet.prefix.chain).filter(|chain| before == 0 || *chain != 0);
        let ours = if before == self.anchor.sequence { Some(self.anchor.chain) } else { chain_of(before) };
        let differs = theirs.zip(ours).filter(|(theirs, ours)| theirs != ours);
        if let Some((theirs, _)) = differs.filter(|_| !active(Mutation::MatchFromCommitPoint)) {
            // Above what was shown and matched it may be a tail that was never committed: what follows the last entry that agrees tells.
            return match before <= shown.max(self.matched) {
                true => Verdict::Contradiction { sequence: before, theirs },
                false => Verdict::Gap,
            };
        }
        if !self.is_verified {
            let agrees = theirs.is_some() && theirs == ours;
            if !agrees || before < self.anchor.sequence {
                return Verdict::Gap;
            }
            (self.is_verified, self.matched) = (true, before);
        }
        let by_sequence = active(Mutation::CutBySequence);
        let joins = first <= self.matched + 1
            || epochs.epoch_of(first - 1) == Some(packet.prefix.before)
            || by_sequence && first <= epochs.last() + 1;
        if !joins {
            return Verdict::Gap;
        }
        self.matched = self.matched.max(first - 1);
        let there = epochs.last().min(next - 1);
        // Entries of one epoch: if the last of those that are there is of it, so are the others (epochs never run back), or they are
        // matched already.
        let same = |sequence| {
            by_sequence || epochs.epoch_of(sequence).is_none_or(|epoch| epoch == packet.prefix.entry_epoch)
        };
        if let Some(other) = (self.matched + 1..=there).find(|&sequence| !same(sequence)) {
            return Verdict::Cut { after: other - 1 };
        }
        self.matched = self.matched.max(there);
        Verdict::Goes { agrees: self.matched }
    }

    /// The entries to ask for, first and last, if some are missing and it is time to ask: what was asked for has come, or nothing of it for a while.
    pub fn request(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let from = self.agreed_to() + 1;
        if from >= self.next || self.leader.is_none() {
            return None;
        }
        if self.agreed != self.matched {
            (self.agreed, self.attempts, self.request_due_ns) = (self.matched, 0, now_ns + REQUEST_RETRY_NS);
        }
        if from <= self.requested_to && now_ns < self.request_due_ns {
            return None;
        }
        let wait_ns = (REQUEST_RETRY_NS << self.attempts.min(10)).min(REQUEST_RETRY_NS_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.request_due_ns = now_ns + wait_ns;
        self.requested_to = (self.next - 1).min(from - 1 + REQUEST_ENTRIES);
        Some((from, self.requested_to))
    }

    /// Up to here nothing needs to come.
    pub fn agreed_to(&self) -> u64 {
        self.matched.max(self.anchor.sequence)
    }

    /// How often the leader was asked for the entries that are missing since the last of them came.
    pub fn unanswered(&self) -> u32 {
        if self.behind() == 0 || self.agreed != self.matched { 0 } else { self.attempts }
    }

    /// How much of the leader's log is missing.
    pub fn behind(&self) -> u64 {
        (self.next - 1).saturating_sub(self.agreed_to())
    }

    /// Whether the leader has been silent for too long. Standbys of a higher rank wait a little longer, so that one goes first.
    pub fn misses_leader(&self, config: &ReplicationConfig, rank: u64, now_ns: u64) -> bool {
        let patience_ns = config.silence_ns + rank * config.heartbeat_ns;
        now_ns.saturating_sub(self.heard_ns) > patience_ns
    }
}
