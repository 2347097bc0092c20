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
}

impl Leadership {
    /// Of a node that is alone.
    pub fn alone() -> Self {
        Self {
            leads: Cursor::new(1),
            epoch: Cursor::default(),
            revision: Cursor::default(),
            cut: Cursor::default(),
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

    /// Behind which entry the log must be cut back, if it must.
    pub fn cut_after(&self) -> Option<u64> {
        self.cut.get().checked_sub(1)
    }
}
