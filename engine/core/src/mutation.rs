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
}

impl Mutation {
    /// Every mutation but [`Mutation::None`].
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
