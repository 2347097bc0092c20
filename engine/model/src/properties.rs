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
/// From any state on: once failures stop, all messages are committed and all nodes are in sync, unless no member is whole.
pub const PROGRESS: &str = "progress when the failures stop";

/// The promises that must always hold; progress where the size asks for it.
pub fn of(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(ONE_PRIMARY, |_, cluster: &Cluster| !cluster.history.doubled),
        Property::always(NEVER_LOST, never_lost),
        Property::always(COMMITTED_FIRST, committed_first),
        Property::always(LOGS_AGREE, |_, cluster: &Cluster| {
            cluster.nodes.iter().all(|node| agrees(cluster, node, node.committed))
        }),
        Property::always(ONCE, once),
        Property::sometimes("all is committed", |protocol: &Protocol, cluster: &Cluster| {
            cluster.history.messages.len() == protocol.messages()
        }),
        Property::sometimes("two primaries commit, one after the other", |_, cluster: &Cluster| {
            cluster.history.primaries.iter().flatten().count() > 1
        }),
        Property::sometimes("a learner comes into the set", |_, cluster: &Cluster| {
            let value = cluster.register.value;
            value.epoch > 1 && value.set[0] > 0 && value.leader != 0
        }),
    ];
    if protocol.size.progress {
        all.push(Property::always(PROGRESS, recovery::progresses));
    }
    all
}

fn never_lost(_: &Protocol, cluster: &Cluster) -> bool {
    let history = &cluster.history;
    let newest = cluster.register.value.epoch;
    let mut leaders = cluster.nodes.iter().filter(|node| node.leader.is_some() && node.epoch == newest);
    !history.changed && leaders.all(|node| agrees(cluster, node, history.messages.len() as u8))
}

/// Whether the node's first entries are what was committed.
fn agrees(cluster: &Cluster, node: &Node, entries: u8) -> bool {
    let entries = entries as usize;
    let (Some(own), Some(committed)) = (node.journal.get(..entries), cluster.history.messages.get(..entries))
    else {
        return false;
    };
    own.iter().map(|entry| entry.message).eq(committed.iter().copied())
}

/// What each node would show if it were asked now.
fn committed_first(protocol: &Protocol, cluster: &Cluster) -> bool {
    let committed = cluster.history.messages.len() as u8;
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
        let of_session =
            cluster.history.messages.iter().filter(|message| message.session as usize == session);
        of_session.zip(1..).all(|(message, number)| message.number == number)
    })
}
