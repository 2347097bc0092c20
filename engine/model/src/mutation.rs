//! Rules left out, one at a time: the checker has to notice each.
use clap::ValueEnum;

/// One safety rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Mutation {
    /// The register compares the epoch alone and not its revision.
    RegisterByEpoch,
    /// A removal counts as soon as it is proposed.
    RemovalEarly,
    /// An addition counts only once the register is known to hold it.
    AdditionLate,
    /// A register read again with the old revision is taken for "the swap will not happen".
    SilenceIsNo,
    /// The leader goes on after a restart in the epoch it had.
    SameEpoch,
    /// A watermark covers what the replica has, matched with this leader or not.
    WatermarkUnmatched,
    /// A watermark covers what is matched and not synced yet.
    WatermarkUnsynced,
    /// The leader commits what the others have and it has not synced itself.
    LeaderUncounted,
    /// The watermark of an earlier incarnation counts.
    OldIncarnation,
    /// A learner is added to the set before it has everything committed.
    LearnerAdded,
    /// A learner is added to the set once it has what its leader knows to be committed; a leader that was restarted knows less than was.
    LearnerAddedByCommit,
    /// A learner takes over.
    LearnerLeads,
    /// A node that lost a tail and was restarted once more passes for whole.
    WholeAgain,
    /// A restarted node follows whoever calls first, in whatever epoch.
    EpochForgotten,
    /// A replica obeys packets of older epochs.
    OldEpochObeyed,
    /// The new leader's table of sessions knows what its log had before it was cut back.
    TableFromCutLog,
    /// The new leader's table of sessions knows what was committed, and not its own tail.
    TableWithoutTail,
    /// What agrees in sequence number is taken to agree, whatever its epoch.
    CutBySequence,
    /// A replica takes over the leader's commit point for what it has not matched with this leader.
    CommitUnmatched,
    /// A follower takes what it has shown to agree with any leader, and looks no further down.
    MatchFromCommitPoint,
    /// The leader believes a replica that has shown or matched what its own log does not have.
    MatchedBeyondLog,
    /// The leader takes a member out of the set that has shown what its log does not have.
    ContradictionRemoved,
    /// A node that went back lives a life again that it lived before.
    LifeAgain,
    /// The rewinder answers from above the commit point.
    RewinderAhead,
    /// The heartbeat's next number counts what is not committed.
    HeartbeatAhead,
    /// Queries read what is not committed.
    QueryAhead,
}
