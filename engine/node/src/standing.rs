//! How a member stands in its cluster, from what it counts. A node tells it on its control socket; from its counters, which it tells on the query port, anybody
//! else sees the same.
use crate::learning::transfer::Transfer;
use crate::{holding, ring_watch, unreadable};
use gds_core::query::CounterSets;
use gds_wire::replication::ContradictionKind;
use serde::{Deserialize, Serialize};

/// The values of all counters now, each `set.name`.
pub fn values(counters: &CounterSets) -> Vec<(String, u64)> {
    let mut values = Vec::new();
    for (set, counters) in counters {
        counters.for_each(&mut |name, _, value| values.push((format!("{set}.{name}"), value)));
    }
    values
}

/// What an operator should see to while a node goes on, one line each, as its counters say from anywhere; empty: nothing.
pub fn troubles(counters: &[(String, u64)]) -> Vec<String> {
    let ring = ring_watch::finding(counters).into_iter();
    ring.chain(unreadable::findings(counters))
        .chain(holding::findings(counters))
        .chain(findings(counters))
        .collect()
}

/// A member's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is in no cluster.
    Alone,
    /// It leads.
    Leads,
    /// It follows.
    Follows,
}

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its number; 0: it is in no cluster.
    pub node: u8,
    /// Its part.
    pub role: Role,
    /// The newest epoch it knows.
    pub epoch: u32,
    /// Who leads in it, as far as it knows.
    pub leader: Option<u8>,
    /// The revision at which it knows the register.
    pub revision: u64,
    /// Members of the in-sync set that it knows.
    pub in_sync: u64,
    /// Whether this life of it is one of them.
    pub is_in_sync: bool,
    /// Which life it lives.
    pub incarnation: u64,
    /// The first one since which it has lost nothing.
    pub whole_since: u64,
    /// Entries of the leader's log that it does not have; of a leader: entries not committed.
    pub behind: u64,
    /// The last time that it took over, if it ever did.
    pub takeover: Option<Takeover>,
    /// Times that it learned of a newer epoch while it led.
    pub stepped_down: u64,
    /// While it leads: what it knows of the others.
    pub replicas: Vec<Replica>,
    /// The snapshot that it gives another node, if it gives one.
    pub gives: Option<Gives>,
    /// Requests to the register that got no answer, in all.
    pub register_silent: u64,
    /// While it leads: the member of the set that cannot apply what it has to declare.
    #[serde(default)]
    pub declaration_waits_for: Option<u8>,
}

/// A snapshot that a member gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gives {
    /// The node that learns.
    pub to: u8,
    /// How far it is.
    pub transfer: Transfer,
}

impl Gives {
    /// From a node's counters, as `find` finds them.
    fn of(find: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        let of = |name: &str| find(&format!("snapshot_giver.{name}")).unwrap_or(0);
        let to = u8::try_from(of("giving_to")).ok().filter(|to| *to > 0)?;
        let chunks = |name| u32::try_from(of(name)).unwrap_or(u32::MAX);
        let transfer = Transfer {
            sequence: of("giving"),
            chunks: chunks("giving_chunks"),
            there: chunks("giving_there"),
            before: chunks("giving_before"),
            bytes: of("giving_bytes"),
            took_ns: of("giving_ns"),
        };
        Some(Self { to, transfer })
    }
}

/// How long each step of a takeover took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Which one it was, since the node's start.
    pub count: u64,
    /// Silence of the old leader until this node asked, ns.
    pub silence_ns: u64,
    /// ... until the register had answered, ns.
    pub register_ns: u64,
    /// ... until the first message was committed, ns; 0: none yet.
    pub commit_ns: u64,
}

/// What a leader knows of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its number.
    pub node: u8,
    /// Which life; 0: not heard in this epoch.
    pub incarnation: u64,
    /// Whether this life of it is in the in-sync set.
    pub is_in_sync: bool,
    /// Entries that it does not have.
    pub behind: u64,
    /// For how long it has not had the first of them, ns.
    pub behind_ns: u64,
    /// Committed messages that it has not applied.
    pub unapplied: u64,
    /// How long ago it was heard, ns.
    pub silent_ns: u64,
    /// It has shown what the leader does not have so.
    #[serde(default)]
    pub differs: Option<Differs>,
}

/// Where a replica and the leader differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differs {
    /// At this message, or before it.
    pub at: u64,
    /// How.
    pub how: DiffersHow,
}

/// How a replica and the leader differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffersHow {
    /// The leader's log ends before what the replica has shown.
    Lacks,
    /// The logs differ.
    Log,
    /// The logs agree, and the stores came to something else.
    Store,
}

impl Differs {
    fn of(at: u64, code: u64) -> Option<Self> {
        let how = match ContradictionKind::of(u8::try_from(code).ok()?)? {
            ContradictionKind::Lacks => DiffersHow::Lacks,
            ContradictionKind::Differs => DiffersHow::Log,
            ContradictionKind::Store => DiffersHow::Store,
        };
        Some(Self { at, how })
    }
}

impl Standing {
    /// From a node's counters, each `set.name`; `node` is its number.
    pub fn of(node: u8, counters: &[(String, u64)]) -> Self {
        let find = |name: &str| counters.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let of = |name: &str| find(&format!("replication.{name}")).unwrap_or(0);
        let role = match find("replication.leads") {
            None => Role::Alone,
            Some(0) => Role::Follows,
            Some(_) => Role::Leads,
        };
        let takeover = Takeover {
            count: of("takeovers"),
            silence_ns: of("takeover_silence_ns"),
            register_ns: of("takeover_register_ns"),
            commit_ns: of("takeover_commit_ns"),
        };
        let replica = |(name, incarnation): &(String, u64)| {
            let node: u8 = name.strip_prefix("replica_")?.strip_suffix(".incarnation")?.parse().ok()?;
            let of = |name: &str| find(&format!("replica_{node}.{name}")).unwrap_or(0);
            Some(Replica {
                node,
                incarnation: *incarnation,
                is_in_sync: of("is_in_sync") == 1,
                behind: of("behind"),
                behind_ns: of("behind_ns"),
                unapplied: of("unapplied"),
                silent_ns: of("silent_ns"),
                differs: Differs::of(of("differs_at"), of("differs_how")),
            })
        };
        Self {
            node,
            role,
            epoch: of("epoch") as u32,
            leader: u8::try_from(of("leader")).ok().filter(|leader| *leader > 0),
            revision: of("revision"),
            in_sync: of("in_sync"),
            is_in_sync: of("is_in_sync") == 1,
            incarnation: of("incarnation"),
            whole_since: of("whole_since"),
            behind: of("behind"),
            takeover: (takeover.count > 0).then_some(takeover),
            stepped_down: of("stepped_down"),
            replicas: counters.iter().filter(|_| role == Role::Leads).filter_map(replica).collect(),
            gives: Gives::of(find),
            declaration_waits_for: u8::try_from(of("declaration_waits_for")).ok().filter(|node| *node > 0),
            register_silent: find("register.silent").unwrap_or(0) + find("register.idle_silent").unwrap_or(0),
        }
    }
}

/// So many requests for older entries in a row without an answer are trouble: they come a hundred a second.
const UNANSWERED: u64 = 300;

/// What is wrong with a follower, as its counters say: its leader gives it nothing of what it lacks, or it cannot take over. Empty when nothing is.
pub fn findings(counters: &[(String, u64)]) -> Vec<String> {
    let of = |name: &str| {
        let found = counters.iter().find(|(known, _)| known.strip_prefix("replication.") == Some(name));
        found.map_or(0, |(_, value)| *value)
    };
    let mut found = Vec::new();
    if of("epochs_used_up") > 0 && of("leads") == 0 {
        found.push(format!(
            "this node should take over and there is no epoch behind {}: a number in the register, or in a packet of a peer, was damaged or made up. Stop all nodes, look at \
             the register (`gds cluster`), remove what it holds, and see with `gds force-lead` which of them is to lead next",
            of("epoch")
        ));
    }
    if of("leads") == 1 || of("unanswered") < UNANSWERED {
        return found;
    }
    found.push(format!(
        "entries that this node lacks are not given by node {}, which leads: either its journal cannot be read there (`gds cluster` says so), or nothing reaches its \
         cluster.history_port. This node goes on asking, and takes another node's snapshot where one is newer than what it has",
        of("leader")
    ));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(of: &[(&str, u64)]) -> Vec<(String, u64)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_node_without_replication_is_alone() {
        let standing = Standing::of(0, &counters(&[("ingress.packets", 7)]));
        assert_eq!((standing.role, standing.leader, standing.takeover), (Role::Alone, None, None));
    }

    #[test]
    fn a_giver_says_whom_it_gives_what() {
        let mut of = counters(&[
            ("replication.leads", 0),
            ("snapshot_giver.giving", 81_200),
            ("snapshot_giver.giving_to", 3),
            ("snapshot_giver.giving_chunks", 120),
            ("snapshot_giver.giving_there", 37),
            ("snapshot_giver.giving_before", 7),
            ("snapshot_giver.giving_bytes", 4_096),
            ("snapshot_giver.giving_ns", 1_000),
        ]);
        let transfer =
            Transfer { sequence: 81_200, chunks: 120, there: 37, before: 7, bytes: 4_096, took_ns: 1_000 };
        assert_eq!(Standing::of(1, &of).gives, Some(Gives { to: 3, transfer }));
        of[2].1 = 0;
        assert_eq!(Standing::of(1, &of).gives, None);
    }

    #[test]
    fn a_follower_that_is_given_nothing_says_so() {
        let told = |unanswered, leads| {
            findings(&counters(&[
                ("replication.leads", leads),
                ("replication.leader", 3),
                ("replication.unanswered", unanswered),
            ]))
        };
        assert!(told(UNANSWERED - 1, 0).is_empty() && told(UNANSWERED, 1).is_empty());
        let found = told(UNANSWERED, 0);
        assert!(found.len() == 1 && found[0].contains("not given by node 3, which leads"), "{found:?}");
    }

    #[test]
    fn only_a_leader_speaks_of_replicas() {
        let mut of = counters(&[
            ("replication.leads", 1),
            ("replication.epoch", 4),
            ("replication.leader", 1),
            ("replication.takeovers", 1),
            ("replication.takeover_silence_ns", 20),
            ("replica_2.incarnation", 3),
            ("replica_2.behind", 9),
            ("replica_3.incarnation", 0),
        ]);
        let standing = Standing::of(1, &of);
        assert_eq!((standing.role, standing.epoch, standing.leader), (Role::Leads, 4, Some(1)));
        assert_eq!(standing.takeover.map(|takeover| takeover.silence_ns), Some(20));
        let known: Vec<_> = standing
            .replicas
            .iter()
            .map(|replica| (replica.node, replica.incarnation, replica.behind))
            .collect();
        assert_eq!(known, [(2, 3, 9), (3, 0, 0)]);
        of[0].1 = 0;
        let standing = Standing::of(1, &of);
        assert_eq!((standing.role, standing.replicas), (Role::Follows, Vec::new()));
    }
}
