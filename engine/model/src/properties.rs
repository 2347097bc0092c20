//! The promises, as conditions on every state.
//!
//! Each of [`of`]'s properties must hold always, but for the last few: those must hold sometimes, so that the run is known to have come to
//! where it matters.
//!
//! Progress is a condition on states too. "Eventually" as the checker has it is decided at the ends of runs alone and loses sight of runs that
//! go in a circle or meet again, so it may pass what is wrong; [`recovery`](crate::recovery) lets the failures stop in each
//! state instead, and takes the steps that timers and retries then lead to, in a fixed order. That is stronger than "a way on exists" and
//! weaker than "every fair order leads on".
use crate::cluster::{Cluster, Protocol};
use crate::network::Message;
use crate::node::Node;
use crate::{Mutation, recovery};
use stateright::Property;

/// At most one primary, a node in one life, commits in an epoch.
pub const ONE_PRIMARY: &str = "at most one primary commits in an epoch";
/// A committed message keeps its number, and whoever leads the newest epoch has it.
pub const NEVER_LOST: &str = "committed is never lost or changed";
/// No packet, heartbeat, rewinder or query shows what is not committed.
pub const COMMITTED_FIRST: &str = "published implies committed";
/// Up to the commit point a node knows, its journal is what was committed.
pub const LOGS_AGREE: &str = "logs agree up to the commit point";
/// Each client message is committed at most once, and after those its client sent before.
pub const ONCE: &str = "a client's messages are committed once and in order";
/// Who has shown what the leader of its epoch does not have is never counted and never added to the set; while it is in the set, nothing is
/// committed in the place of what it has shown; and nobody else is taken for such a node.
pub const SAID: &str = "what was shown is not changed for who knows it without a word";
/// From any state on: once failures stop, all messages are committed and all nodes are in sync, unless no member is whole. Who has shown
/// something else has stopped, and the leader says so.
pub const PROGRESS: &str = "progress when the failures stop";

/// The promises that must always hold; progress where the size asks for it.
pub fn of(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(ONE_PRIMARY, |_, cluster: &Cluster| !cluster.history.doubled),
        Property::always(NEVER_LOST, never_lost),
        Property::always(COMMITTED_FIRST, committed_first),
        Property::always(LOGS_AGREE, logs_agree),
        Property::always(ONCE, once),
        Property::always(SAID, said),
        Property::sometimes("all is committed", |protocol: &Protocol, cluster: &Cluster| {
            cluster.history.messages().len() == protocol.messages()
        }),
        Property::sometimes("two primaries commit, one after the other", |_, cluster: &Cluster| {
            cluster.history.primaries.iter().flatten().count() > 1
        }),
        Property::sometimes("a learner comes into the set", |_, cluster: &Cluster| {
            let value = cluster.register.value;
            value.epoch > 1 && value.set[0] > 0 && value.leader != 0
        }),
    ];
    if protocol.size.goes_back() {
        all.push(Property::sometimes(
            "a node has shown something else, and stops",
            |_, cluster: &Cluster| cluster.nodes.iter().any(|node| node.stopped),
        ));
        all.push(Property::sometimes("another branch begins", |_, cluster: &Cluster| {
            cluster.history.branches.len() > 1
        }));
    }
    if protocol.size.progress {
        all.push(Property::always(PROGRESS, recovery::progresses));
    }
    all
}

fn never_lost(_: &Protocol, cluster: &Cluster) -> bool {
    let history = &cluster.history;
    let newest = cluster.register.value.epoch;
    let mut leaders = cluster.nodes.iter().filter(|node| node.leader.is_some() && node.epoch == newest);
    let committed = history.messages();
    !history.changed && leaders.all(|node| agrees(node, committed.len(), committed))
}

/// Whether the node's first entries are what was committed.
fn agrees(node: &Node, entries: usize, committed: &[Message]) -> bool {
    let (Some(own), Some(committed)) = (node.journal.get(..entries), committed.get(..entries)) else {
        return false;
    };
    own.iter().map(|entry| entry.message).eq(committed.iter().copied())
}

fn logs_agree(_: &Protocol, cluster: &Cluster) -> bool {
    let branches = &cluster.history.branches;
    cluster
        .nodes
        .iter()
        .all(|node| branches.iter().any(|branch| agrees(node, node.committed as usize, &branch.messages)))
}

fn said(_: &Protocol, cluster: &Cluster) -> bool {
    let leaders = cluster.nodes.iter().filter(|node| node.leader.is_some());
    !cluster.history.admitted
        && leaders.into_iter().all(|leading| {
            let followers =
                cluster.nodes.iter().filter(|node| node.epoch == leading.epoch && node.leader.is_none());
            followers.into_iter().all(|node| said_by(cluster, leading, node))
        })
}

/// Whether what the leader `leading` makes of `node`, which follows it, is right.
fn said_by(cluster: &Cluster, leading: &Node, node: &Node) -> bool {
    let Some(leader) = &leading.leader else { return true };
    let heard = &leader.heard[node.index as usize];
    let is_heard = heard.incarnation == node.incarnation;
    if !node.contradicts(leading) {
        return !(node.stopped || is_heard && heard.contradicts);
    }
    let counted = is_heard && heard.matched > 0;
    let goes_on = heard.held.is_some_and(|committed| leading.committed > committed);
    cluster.history.went_back() && !counted && !(is_heard && goes_on)
}

/// What each node would show if it were asked now.
fn committed_first(protocol: &Protocol, cluster: &Cluster) -> bool {
    let lengths = cluster.history.branches.iter().map(|branch| branch.messages.len());
    let committed = lengths.max().unwrap_or(0) as u8;
    cluster.nodes.iter().all(|node| {
        let ahead =
            |mutation| if protocol.mutation == Some(mutation) { node.length() } else { node.committed };
        let rewinder = ahead(Mutation::RewinderAhead);
        let query = ahead(Mutation::QueryAhead);
        // Only a leader sends heartbeats downstream: the next number is one more than what they tell.
        let heartbeat = if node.leader.is_some() { ahead(Mutation::HeartbeatAhead) } else { 0 };
        rewinder <= committed && query <= committed && heartbeat <= committed
    })
}

fn once(protocol: &Protocol, cluster: &Cluster) -> bool {
    (0..protocol.size.sessions.len()).all(|session| {
        cluster.history.branches.iter().all(|branch| {
            let of_session = branch.messages.iter().filter(|message| message.session as usize == session);
            of_session.zip(1..).all(|(message, number)| message.number == number)
        })
    })
}
