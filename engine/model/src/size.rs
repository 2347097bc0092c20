//! How large a model is: what bounds the states.

/// Bounds of one model.
#[derive(Clone, Debug)]
pub struct Size {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Nodes, 2 or 3.
    pub nodes: usize,
    /// So many of them, the last ones, are learners at the beginning; the others are in sync.
    pub learners: usize,
    /// Messages of each client session.
    pub sessions: &'static [u8],
    /// Newest epoch that anybody asks for.
    pub epochs: u8,
    /// Newest revision of the register that anybody asks for.
    pub revisions: u8,
    /// Restarts, of all nodes together.
    pub restarts: u8,
    /// Entries are durable some time after they are written (`fsync`), and a restart may lose those that are not.
    pub lag: bool,
    /// A restart may lose entries that were durable (`memory` and another boot).
    pub loss: bool,
    /// Leads that are forced, of all nodes together.
    pub forced: u8,
    /// Copies of a node's directory that are taken while it runs, and then put in its place.
    pub rollbacks: u8,
    /// Progress is checked too: from each state, once the failures stop.
    pub progress: bool,
}

impl Size {
    /// All there are.
    pub const ALL: &'static [Self] = &[
        // Takeover and back, removal and return, nobody restarts.
        Self {
            name: "pair",
            nodes: 2,
            learners: 0,
            sessions: &[2, 1],
            epochs: 3,
            revisions: 4,
            restarts: 0,
            lag: false,
            loss: false,
            forced: 0,
            rollbacks: 0,
            progress: true,
        },
        // Restarts that lose what was not synced.
        Self {
            name: "pair-fsync",
            nodes: 2,
            learners: 0,
            sessions: &[1, 1],
            epochs: 3,
            revisions: 3,
            restarts: 2,
            lag: true,
            loss: false,
            forced: 0,
            rollbacks: 0,
            progress: false,
        },
        // Restarts that may lose a tail.
        Self {
            name: "pair-memory",
            nodes: 2,
            learners: 0,
            sessions: &[1, 1],
            epochs: 3,
            revisions: 3,
            restarts: 2,
            lag: false,
            loss: true,
            forced: 0,
            rollbacks: 0,
            progress: true,
        },
        // A member that lost its tail is taken out and comes back.
        Self {
            name: "pair-returns",
            nodes: 2,
            learners: 0,
            sessions: &[2],
            epochs: 2,
            revisions: 4,
            restarts: 1,
            lag: true,
            loss: true,
            forced: 0,
            rollbacks: 0,
            progress: true,
        },
        // A leader that was restarted knows less than was committed, and one of the others is a learner.
        Self {
            name: "trio-rejoins",
            nodes: 3,
            learners: 1,
            sessions: &[2],
            epochs: 3,
            revisions: 4,
            restarts: 1,
            lag: false,
            loss: false,
            forced: 0,
            rollbacks: 0,
            progress: false,
        },
        // Three nodes: the others may each have heard something else.
        Self {
            name: "trio",
            nodes: 3,
            learners: 0,
            sessions: &[1, 1],
            epochs: 2,
            revisions: 3,
            restarts: 0,
            lag: false,
            loss: false,
            forced: 0,
            rollbacks: 0,
            progress: true,
        },
        // A learner that is behind is forced to lead, and the leader comes back.
        Self {
            name: "pair-forced",
            nodes: 2,
            learners: 1,
            sessions: &[2],
            epochs: 3,
            revisions: 4,
            restarts: 1,
            lag: false,
            loss: false,
            forced: 1,
            rollbacks: 0,
            progress: true,
        },
        // A member's directory is replaced by an earlier copy.
        Self {
            name: "pair-rollback",
            nodes: 2,
            learners: 0,
            sessions: &[2],
            epochs: 2,
            revisions: 4,
            restarts: 0,
            lag: false,
            loss: false,
            forced: 0,
            rollbacks: 1,
            progress: true,
        },
        // A learner is forced to lead and rolled back, or the old leader is, in any order.
        Self {
            name: "pair-forced-rollback",
            nodes: 2,
            learners: 1,
            sessions: &[1],
            epochs: 3,
            revisions: 4,
            restarts: 1,
            lag: false,
            loss: false,
            forced: 1,
            rollbacks: 1,
            progress: true,
        },
        // Three nodes, and the one that is behind is forced to lead.
        Self {
            name: "trio-forced",
            nodes: 3,
            learners: 1,
            sessions: &[1],
            epochs: 3,
            revisions: 4,
            restarts: 0,
            lag: false,
            loss: false,
            forced: 1,
            rollbacks: 0,
            progress: true,
        },
        // For once, by hand: everything that can happen to two nodes.
        Self {
            name: "large-pair",
            nodes: 2,
            learners: 0,
            sessions: &[2, 1],
            epochs: 4,
            revisions: 5,
            restarts: 2,
            lag: true,
            loss: true,
            forced: 0,
            rollbacks: 0,
            progress: true,
        },
        // For once, by hand: three nodes, restarts and two takeovers.
        Self {
            name: "large-trio",
            nodes: 3,
            learners: 0,
            sessions: &[1, 1],
            epochs: 3,
            revisions: 4,
            restarts: 1,
            lag: true,
            loss: false,
            forced: 0,
            rollbacks: 0,
            progress: false,
        },
        // For once, by hand: two nodes, a forced lead, a copy that is restored, and restarts that lose something.
        Self {
            name: "large-forced-rollback",
            nodes: 2,
            learners: 0,
            sessions: &[2],
            epochs: 3,
            revisions: 4,
            restarts: 1,
            lag: true,
            loss: true,
            forced: 1,
            rollbacks: 1,
            progress: true,
        },
        // For once, by hand: three nodes, one of them a learner, and a copy that is restored.
        Self {
            name: "large-trio-rollback",
            nodes: 3,
            learners: 1,
            sessions: &[1, 1],
            epochs: 3,
            revisions: 4,
            restarts: 0,
            lag: false,
            loss: false,
            forced: 0,
            rollbacks: 1,
            progress: true,
        },
    ];

    /// Whether a node can come to have less than it has shown, and believe itself whole. Where none can, the checks for it find nothing, and
    /// are left out: they would only make states differ.
    pub fn goes_back(&self) -> bool {
        self.forced > 0 || self.rollbacks > 0
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|size| size.name == name).cloned()
    }
}
