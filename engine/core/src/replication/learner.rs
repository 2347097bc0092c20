//! Whether a learner begins with another node's snapshot, or goes on from what it has.
//!
//! Only a node that is not in the in-sync set, or not whole since it was, may ask: what such a node has, nobody counts on. A snapshot shows the store after
//! a message that was committed, so whoever takes it in the place of what it had up to there has nothing less that counts.
use super::member::{Life, NodeId};
use super::register::RegisterValue;

/// What a peer has for a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The peer.
    pub node: NodeId,
    /// The first message its journal keeps; 0: none.
    pub first_kept: u64,
    /// The message of its newest snapshot; 0: it has none.
    pub snapshot: u64,
}

/// Whether the others count on what a node has: a life of it is in the set, and since that one it has lost nothing (R14).
pub fn is_counted_on(register: &RegisterValue, node: NodeId, life: Option<Life>) -> bool {
    let named = register.set.incarnation(node);
    named.zip(life).is_some_and(|(named, life)| named >= life.whole_since)
}

/// Whose snapshot a learner takes, if it should take any. `committed` is the last message that it knows to be committed, `leader` who gives it what follows,
/// as far as it is known. A snapshot it is when the leader's journal (any journal, where nobody knows of a leader's) begins too late, so
/// that there is no other way; or when one spares at least so many messages.
pub fn choose(
    stocks: &[Stock],
    committed: u64,
    leader: Option<NodeId>,
    behind_messages: u64,
) -> Option<NodeId> {
    let newest = stocks.iter().max_by_key(|stock| stock.snapshot)?;
    let of_leader = stocks.iter().find(|stock| Some(stock.node) == leader);
    // The entry before the first one wanted is compared, so it has to be there too.
    let too_late = |stock: &Stock| stock.first_kept > committed.max(1);
    let must = of_leader.map_or_else(|| stocks.iter().any(too_late), too_late);
    let spares = newest.snapshot.saturating_sub(committed);
    (spares > 0 && (must || spares >= behind_messages)).then_some(newest.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::SessionNames;
    use crate::replication::{Member, Set};
    use gds_wire::session::Session;

    fn stock(node: u8, first_kept: u64, snapshot: u64) -> Stock {
        Stock { node: NodeId(node), first_kept, snapshot }
    }

    #[test]
    fn a_snapshot_is_taken_where_the_leaders_journal_begins_too_late() {
        let stocks = [stock(1, 70, 90), stock(2, 1, 95)];
        let chosen = |committed, leader| choose(&stocks, committed, leader, 1_000);
        assert_eq!(chosen(0, Some(NodeId(1))), Some(NodeId(2)), "the newest, whosever it is");
        assert_eq!(chosen(69, Some(NodeId(1))), Some(NodeId(2)));
        assert_eq!(
            chosen(70, Some(NodeId(1))),
            None,
            "the leader has message 70 to compare with, and all behind"
        );
        assert_eq!(chosen(0, Some(NodeId(2))), None, "the leader has everything");
        assert_eq!(
            chosen(69, Some(NodeId(3))),
            Some(NodeId(2)),
            "the leader is silent, and may have no more than others"
        );
        assert_eq!(chosen(69, None), Some(NodeId(2)));
    }

    #[test]
    fn a_snapshot_is_taken_where_it_spares_much() {
        let stocks = [stock(1, 1, 1_000)];
        let chosen = |committed| choose(&stocks, committed, Some(NodeId(1)), 500);
        assert_eq!((chosen(0), chosen(500), chosen(501)), (Some(NodeId(1)), Some(NodeId(1)), None));
    }

    #[test]
    fn no_snapshot_is_taken_that_is_not_newer_than_what_is_there() {
        assert_eq!(choose(&[], 0, None, 1), None);
        assert_eq!(choose(&[stock(1, 0, 0)], 0, None, 1), None);
        assert_eq!(choose(&[stock(1, 70, 60)], 60, Some(NodeId(1)), 1), None);
    }

    #[test]
    fn whoever_is_in_the_set_and_whole_is_counted_on() {
        let value = RegisterValue {
            stream: Session(*b"1700000000"),
            epoch: 2,
            leader: NodeId(1),
            set: Set::of(Member { node: NodeId(2), incarnation: 5 }),
            sessions: SessionNames::default(),
        };
        let life = |incarnation, whole_since| Some(Life { incarnation, whole_since });
        let counted = |node, life| is_counted_on(&value, NodeId(node), life);
        assert!(counted(2, life(5, 1)) && counted(2, life(8, 5)));
        assert!(!counted(2, life(8, 6)), "it lost something since");
        assert!(!counted(2, None), "it remembers nothing");
        assert!(!counted(3, life(5, 1)), "it is not in the set");
    }
}
