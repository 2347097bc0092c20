//! What happened, summed up over all worlds: that the faults were there, and that the engine had to deal with them.
use std::collections::BTreeMap;

/// Named counts.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Adds to a count.
    pub fn add(&mut self, name: &str, amount: u64) {
        if amount > 0 {
            match self.0.get_mut(name) {
                Some(count) => *count += amount,
                None => drop(self.0.insert(name.to_owned(), amount)),
            }
        }
    }

    /// Adds to a count of a set.
    pub fn add_to(&mut self, set: &str, name: &str, amount: u64) {
        if amount > 0 {
            self.add(&format!("{set}.{name}"), amount);
        }
    }

    /// A count; 0 when there is none.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            self.add(name, *amount);
        }
    }

    /// All counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }
}

/// What a long enough run must have seen, each at least once: without it the run proves less than it says.
pub const MUST_HAPPEN: &[&str] = &[
    "world.process kills",
    "world.deaths in mid duty",
    "world.deaths during start",
    "world.power cuts",
    "world.orderly restarts",
    "world.restarts on another boot",
    "world.disk failures",
    "world.disk full",
    "world.wall clock jumps",
    "world.agent stalls",
    "world.host cuts",
    "world.client deaths",
    "world.late listeners",
    "world.link breaks",
    "world.sessions turned away",
    "world.sessions forgotten",
    "world.clients refused by an ended stream",
    "world.tables emptied",
    "world.torn tails",
    "world.messages merged from the ring",
    "world.starts from a snapshot",
    "snapshots.taken",
    "snapshots.given_up_disk",
    "world.messages of senders that died or gave up",
    "world.declarations",
    "world.starts refused without the ring",
    "world.damaged journals refused",
    "network.lost",
    "network.duplicated",
    "network.reordered",
    "network.cut",
    "disk.torn blocks",
    "disk.refused segments",
    "outcome.applied",
    "outcome.no operation",
    "outcome.record exists",
    "outcome.record missing",
    "outcome.version mismatch",
    "outcome.limit of records reached",
    "outcome.limit of bytes reached",
    "outcome.malformed",
    "outcome.unknown table",
    "outcome.unknown order",
    "outcome.order exists",
    "outcome.quantity exceeded",
    "outcome.too long",
    "outcome.unknown type",
    "outcome.skipped",
    "refusal.Some(DiskFull)",
    "refusal.Some(SessionsFull)",
    "refusal.Some(StreamEnded)",
    "ingress.duplicates",
    "ingress.held",
    "ingress.gaps",
    "ingress.requests",
    "ingress.skips",
    "ingress.late",
    "ingress.beyond_window",
    "ingress.pool_full",
    "ingress.receptions_full",
    "ingress.not_admitted",
    "ingress.reserved",
    "ingress.malformed",
    "ingress.after_end",
    "ingress.abandoned",
    "sequencer.ring_full",
    "sequencer.not_accepting",
    "journal.disk_full",
    "journal.segments_created",
    "store_agent.held_back",
    "store.relocated",
    "store_source.from_journal",
    "publisher.heartbeats",
    "publisher.ends",
    "publisher.unsent",
    "publisher_source.from_journal",
    "acknowledgement_publisher_source.from_journal",
    "rewinder.replies",
    "rewinder.limited",
    "rewinder.malformed",
    "rewinder.out_of_range",
    "rewinder_source.from_journal",
    "receiver.gaps",
    "receiver.filled",
    "receiver.duplicates",
    "receiver.retries",
    "receiver.window_full",
    "receiver.gaps_full",
    "submitter.resent",
    "submitter.answered",
    "submitter.window_full",
    "soup_client.resumed",
    "soup_client.sessions_lost",
    "soup_client.requests_resent",
    "query.pauses",
    "query.closed_protocol",
    "query.closed_oversize",
    "query.connections_refused",
    "reader.answers",
    "reader.refused",
    "feed.requests",
];

/// ... and a long enough run of clusters.
pub const MUST_HAPPEN_IN_CLUSTERS: &[&str] = &[
    "world.process kills",
    "world.deaths in mid duty",
    "world.deaths during start",
    "world.power cuts",
    "world.orderly restarts",
    "world.disk failures",
    "world.disk full",
    "world.wall clock jumps",
    "world.agent stalls",
    "world.host cuts",
    "world.late listeners",
    "cluster.takeovers",
    "cluster.set changes",
    "cluster.logs cut back",
    "cluster.lives that lost something",
    "cluster.nodes parted",
    "cluster.nodes isolated",
    "cluster.nodes frozen",
    "cluster.nodes wiped",
    "cluster.register away",
    "cluster.register cut off",
    "cluster.hand-overs ordered",
    "cluster.streams stopped",
    "register.swaps refused",
    "register.requests lost",
    "register.swaps of nobody",
    "register.silences",
    "replication.takeovers",
    "replication.stepped_down",
    "replication.gaps",
    "replication.requests",
    "replication.older_epoch",
    "replication.removed",
    "replication.added",
    "replication.no_room",
    "replica_rewinder.entries",
    "replica_rewinder.not_leading",
    "refusal.Some(TooFewInSync)",
    "receiver.filled",
    "reader.answers",
    "soup_client.sessions_lost",
];

/// ... and a long enough run in which time runs back.
pub const MUST_HAPPEN_IN_HISTORY: &[&str] = &[
    "history.leads forced",
    "history.leads forced behind",
    "history.leads forced ahead",
    "history.registers lost",
    "history.copies taken",
    "history.copies restored",
    "history.durability changed",
    "history.sessions begun",
    "history.names taken over",
    "history.losses accepted",
    "history.rings lost",
    "history.rings zeroed",
    "history.lives lost",
    "history.segments lost",
    "history.segments swapped",
    "history.starts refused",
    "history.pasts changed",
    "history.nodes that differ",
    "history.contradictions",
    "history.alarms",
    "cluster.takeovers",
    "cluster.set changes",
];
