//! What happens once the failures stop.
//!
//! Packets arrive, requests are answered, disks sync; a leader without use of a member takes it out, swaps its new life in or adds it when it
//! has caught up; the clients resend; if nobody leads the register's epoch, a member takes over. The bounds of the size do not count here:
//! they bound failures.
use crate::cluster::{Cluster, Protocol};
use crate::node::{Leader, Node};
use crate::{Action, Mutation};

/// Most rounds until nothing moves any more.
const ROUNDS_MAX: usize = 100;

/// Whether all messages are committed and all nodes are in sync after the failures stop, or no member is whole.
pub fn progresses(protocol: &Protocol, cluster: &Cluster) -> bool {
    let mut cluster = cluster.clone();
    for _ in 0..ROUNDS_MAX {
        let settled = settle(protocol, &mut cluster);
        let moved = match current_leader(&cluster) {
            Some(index) => lead_on(protocol, &mut cluster, index),
            None => {
                let set = cluster.register.value.set;
                let mut up = cluster.nodes.iter().filter(|node| !node.stopped);
                let Some(standby) = up.find(|node| node.whole(&set)) else { return true };
                let node = standby.index;
                protocol.step(&mut cluster, Action::TakeOver { node })
            }
        };
        if !settled && !moved {
            break;
        }
    }
    let set = cluster.register.value.set;
    let said = |node: &Node| node.stopped && says_otherwise(&cluster, node);
    let everybody = cluster
        .nodes
        .iter()
        .all(|node| if node.stopped { said(node) } else { set[node.index as usize] == node.incarnation });
    let held = cluster.nodes.iter().any(|node| said(node) && set[node.index as usize] > 0);
    everybody && (held || cluster.history.messages().len() == protocol.messages())
}

/// Whether the leader of the register's epoch says of this life of a node that it has shown something else, and it has.
fn says_otherwise(cluster: &Cluster, node: &Node) -> bool {
    let Some(leading) = current_leader(cluster).map(|index| &cluster.nodes[index as usize]) else {
        return false;
    };
    let heard = leading.leader.as_ref().map(|leader| leader.heard[node.index as usize]).unwrap_or_default();
    heard.contradicts && heard.incarnation == node.incarnation && node.contradicts(leading)
}

fn current_leader(cluster: &Cluster) -> Option<u8> {
    let value = cluster.register.value;
    let node = &cluster.nodes[value.leader as usize];
    (node.leader.is_some() && node.epoch == value.epoch).then_some(value.leader)
}

/// Everything under way arrives, and a node that stopped is started again, if no leader says of it why. True if anything changed.
fn settle(protocol: &Protocol, cluster: &mut Cluster) -> bool {
    let mut changed = false;
    for index in 0..cluster.nodes.len() {
        let node = &cluster.nodes[index];
        if node.stopped && !says_otherwise(cluster, node) {
            let kept = node.length();
            changed |= protocol.step(cluster, Action::Restart { node: index as u8, kept, whole: true });
        }
    }
    for request in cluster.register.requests.clone() {
        changed |= protocol.step(cluster, Action::Arrive { request });
    }
    for node in 0..cluster.nodes.len() as u8 {
        changed |= protocol.step(cluster, Action::Answer { node });
        changed |= protocol.step(cluster, Action::Read { node });
        changed |= protocol.step(cluster, Action::Sync { node });
        for packet in cluster.network.packets().to_vec() {
            changed |= protocol.step(cluster, Action::Receive { node, packet });
        }
    }
    changed
}

/// The leader of the register's epoch orders what clients resend, and mends the set.
fn lead_on(protocol: &Protocol, cluster: &mut Cluster, index: u8) -> bool {
    let mut changed = false;
    for session in 0..protocol.size.sessions.len() as u8 {
        changed |= protocol.step(cluster, Action::Sequence { node: index, session });
    }
    if let Some(action) = mend(cluster, &cluster.nodes[index as usize], protocol.mutation) {
        changed |= protocol.step(cluster, action);
    }
    changed
}

/// The next change of the set that is due, if any.
fn mend(cluster: &Cluster, node: &Node, mutation: Option<Mutation>) -> Option<Action> {
    let Leader { set, heard, .. } = node.leader.as_ref()?;
    cluster.nodes.iter().filter(|other| other.index != node.index).find_map(|other| {
        let (place, life) = (other.index as usize, other.incarnation);
        let known = heard[place].incarnation == life;
        let held = heard[place].contradicts && mutation != Some(Mutation::ContradictionRemoved);
        let now = match set[place] {
            now if now == life || now > 0 && held => return None,
            0 if known && node.may_add(&heard[place], mutation) => life,
            0 => return None,
            now if known && heard[place].whole_since <= now => life,
            _ => 0,
        };
        let mut changed = *set;
        changed[place] = now;
        Some(Action::ChangeSet { node: node.index, set: changed })
    })
}
