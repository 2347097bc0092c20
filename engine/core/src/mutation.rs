//! Faults put into the engine on purpose, to show that the simulator finds them.
//!
//! Without the feature `mutations` there are none: [`active`] is constant and the switches vanish. With it one mutation at a time
//! holds for the whole process. `gds-sim mutations` sets each in turn and fails unless each is caught.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// Nothing.
    None,
    /// Ingress takes what it took before.
    IngressTakesTwice,
    /// Ingress does not trim what overlaps.
    OverlapNotTrimmed,
    /// A receiver goes on behind a gap.
    ReceiverSkipsGaps,
    /// A receiver never asks for what it misses.
    ReceiverNeverAsks,
    /// A receiver delivers what overlaps again.
    ReceiverDeliversOverlap,
    /// The journal does not write some of its groups.
    JournalLosesGroups,
    /// The journal writes pairs of messages in the wrong order.
    JournalSwapsMessages,
    /// Publishers send what is not committed.
    PublisherIgnoresCommit,
    /// Messages count as committed before the journal is durable.
    CommitBeforeDurable,
    /// Groups count as durable before they are synced.
    DurableBeforeSync,
    /// A start forgets the ring that outlived the process.
    RingForgotten,
    /// A rejected transaction is not undone.
    UndoForgotten,
    /// Timestamps follow the wall clock back.
    TimestampsRunBack,
    /// The register, which is the simulator's here, compares the epoch alone and not the revision (R1).
    RegisterByEpoch,
    /// A leader takes a missing answer of the register, or a read of the old revision, for a no (R2).
    SilenceIsNo,
    /// The leader commits what it has not made durable itself (R3).
    LeaderUncounted,
    /// A removal counts before the register is known to hold it (R4).
    RemovalEarly,
    /// An addition counts only once the register is known to hold it (R5).
    AdditionLate,
    /// A learner is added before it has everything committed (R6).
    LearnerAdded,
    /// A node that is not in the set takes over (R7).
    LearnerLeads,
    /// A node that led before its restart leads on in the same epoch (R8).
    SameEpoch,
    /// Packets of older epochs are obeyed (R9).
    OldEpochObeyed,
    /// A started node does not know the epoch that the register holds (R10).
    EpochForgotten,
    /// A watermark covers what is not matched with the leader (R11).
    WatermarkUnmatched,
    /// A watermark covers what is not durable (R12).
    WatermarkUnsynced,
    /// Watermarks of incarnations that are not in the set count (R13).
    OldIncarnation,
    /// A new incarnation takes the place of the old one though it lost something since (R14).
    WholeAgain,
    /// A replica looks only at sequence numbers, not at epochs (R15).
    CutBySequence,
    /// The leader's commit point counts for what a replica has not matched (R16).
    CommitUnmatched,
    /// A rewinder answers above the commit point (R19).
    RewinderAhead,
    /// Queries see what is not committed (R19).
    QueryAhead,
    /// The outcome of a transaction depends on the memory of the node.
    LocalLimit,
    /// A follower takes its log for the leader's up to its own commit point, whatever the two have there (R20).
    MatchFromCommitPoint,
    /// The leader believes watermarks beyond its own log (R21).
    MatchedBeyondLog,
    /// A start believes the configured durability, not the one under which the journal was written.
    GuardByConfiguration,
    /// A start merges a ring that has no journal beside it.
    RingWithoutJournal,
}

impl Mutation {
    /// Those of a node that is alone.
    pub const ALL: [Self; 13] = [
        Self::IngressTakesTwice,
        Self::OverlapNotTrimmed,
        Self::ReceiverSkipsGaps,
        Self::ReceiverNeverAsks,
        Self::ReceiverDeliversOverlap,
        Self::JournalLosesGroups,
        Self::JournalSwapsMessages,
        Self::PublisherIgnoresCommit,
        Self::CommitBeforeDurable,
        Self::DurableBeforeSync,
        Self::RingForgotten,
        Self::UndoForgotten,
        Self::TimestampsRunBack,
    ];

    /// Those of the rules of replication (`docs/FAILOVER.md`), for clusters.
    pub const CLUSTER: [Self; 19] = [
        Self::RegisterByEpoch,
        Self::SilenceIsNo,
        Self::LeaderUncounted,
        Self::RemovalEarly,
        Self::AdditionLate,
        Self::LearnerAdded,
        Self::LearnerLeads,
        Self::SameEpoch,
        Self::OldEpochObeyed,
        Self::EpochForgotten,
        Self::WatermarkUnmatched,
        Self::WatermarkUnsynced,
        Self::OldIncarnation,
        Self::WholeAgain,
        Self::CutBySequence,
        Self::CommitUnmatched,
        Self::RewinderAhead,
        Self::QueryAhead,
        Self::LocalLimit,
    ];

    /// Those of the rules that hold where time runs back.
    pub const HISTORY: [Self; 3] =
        [Self::MatchFromCommitPoint, Self::MatchedBeyondLog, Self::GuardByConfiguration];
}

/// Whether this is broken: never.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn active(_: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
static ACTIVE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether this is broken.
#[cfg(feature = "mutations")]
pub fn active(mutation: Mutation) -> bool {
    ACTIVE.load(std::sync::atomic::Ordering::Relaxed) == mutation as u8
}

/// Breaks this, and nothing else, in the whole process.
#[cfg(feature = "mutations")]
pub fn set(mutation: Mutation) {
    ACTIVE.store(mutation as u8, std::sync::atomic::Ordering::Relaxed);
}
