//! What the rest of a node sees of its role.
use crate::cursor::Cursor;

/// The role, as its owner (the sequencer's agent) last set it. A node without a cluster leads always.
#[derive(Debug)]
pub struct Leadership {
    /// 1 while the node leads.
    pub leads: Cursor,
    /// The newest epoch it knows; 0 without a cluster.
    pub epoch: Cursor,
    /// The revision at which it knows the register.
    pub revision: Cursor,
    /// One above the entry behind which its log must be cut back, once that is so: the node must start again. 0: nothing to cut.
    pub cut: Cursor,
    /// 1 once the leader does not keep any more what this node needs next: the node must start again, with another node's snapshot. Owner: whoever asks
    /// the other nodes for theirs.
    pub relearns: Cursor,
    /// 1 once the register has another session name for the stream: the node must start again, under that name.
    pub renamed: Cursor,
}

impl Leadership {
    /// Of a node that is alone.
    pub fn alone() -> Self {
        Self {
            leads: Cursor::new(1),
            epoch: Cursor::default(),
            revision: Cursor::default(),
            cut: Cursor::default(),
            relearns: Cursor::default(),
            renamed: Cursor::default(),
        }
    }

    /// Of a member, which follows until it has taken over.
    pub fn following() -> Self {
        Self { leads: Cursor::default(), ..Self::alone() }
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        self.leads.get() == 1
    }

    /// Whether the node must start again and take another node's snapshot.
    pub fn must_relearn(&self) -> bool {
        self.relearns.get() == 1
    }

    /// Whether the node must start again under another session name.
    pub fn must_rename(&self) -> bool {
        self.renamed.get() == 1
    }

    /// Behind which entry the log must be cut back, if it must.
    pub fn cut_after(&self) -> Option<u64> {
        self.cut.get().checked_sub(1)
    }
}
