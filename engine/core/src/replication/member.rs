//! Nodes, their lives, and the in-sync set.
use arrayvec::ArrayVec;
use std::fmt;

/// Most nodes of a cluster.
pub const NODES_MAX: usize = 8;

/// The greatest incarnation that counts: more starts than any node lives through, and later than any clock. Who sees a greater one sees something that is
/// damaged or made up, and one behind the greatest is still a number.
pub const INCARNATION_MAX: u64 = 1 << 53;

/// A node of the cluster, as all configurations number it; from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u8);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A node and which life of it: what it said in another life does not count (R13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its incarnation; grows with each start.
    pub incarnation: u64,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.incarnation)
    }
}

/// Which life a node lives, kept with its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Grows with each start; from 1.
    pub incarnation: u64,
    /// The first incarnation since which the node has lost nothing of what it ever called durable (R14).
    pub whole_since: u64,
}

impl Life {
    /// Whether a node can have lived it.
    pub fn is_possible(&self) -> bool {
        self.incarnation <= INCARNATION_MAX && (1..=self.incarnation).contains(&self.whole_since)
    }

    /// The life after `before` (`None`: there was none), whose journal kept everything, or did not.
    pub fn next(before: Option<Self>, kept_everything: bool) -> Self {
        let incarnation = before.map_or(1, |life| life.incarnation.saturating_add(1));
        match before {
            Some(life) if kept_everything => Self { incarnation, ..life },
            _ => Self { incarnation, whole_since: incarnation },
        }
    }

    /// This life under a number that is not below `incarnation_min`.
    pub fn not_below(self, incarnation_min: u64) -> Self {
        let incarnation = self.incarnation.max(incarnation_min);
        match self.whole_since == self.incarnation {
            true => Self { incarnation, whole_since: incarnation },
            false => Self { incarnation, ..self },
        }
    }
}

/// The in-sync set, in the order of the nodes' numbers, each node at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set(ArrayVec<Member, NODES_MAX>);

impl Set {
    /// A set of one.
    pub fn of(member: Member) -> Self {
        Self([member].into_iter().collect())
    }

    /// Its members.
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The incarnation of a node in the set.
    pub fn incarnation(&self, node: NodeId) -> Option<u64> {
        self.0.iter().find(|member| member.node == node).map(|member| member.incarnation)
    }

    /// Whether this very life of a node is in the set.
    pub fn has(&self, member: Member) -> bool {
        self.0.contains(&member)
    }

    /// With this life of a node, in the place of any other of it; without it where there are [`NODES_MAX`] others.
    #[must_use]
    pub fn with(&self, member: Member) -> Self {
        let mut set = self.without(member.node);
        let place = set.0.iter().take_while(|other| other.node < member.node).count();
        // There is none left over in any set that a register may hold.
        let _ = set.0.try_insert(place, member);
        set
    }

    /// Without a node.
    #[must_use]
    pub fn without(&self, node: NodeId) -> Self {
        Self(self.0.iter().copied().filter(|member| member.node != node).collect())
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, member) in self.0.iter().enumerate() {
            write!(f, "{}{member}", if place > 0 { " " } else { "" })?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u8, incarnation: u64) -> Member {
        Member { node: NodeId(node), incarnation }
    }

    #[test]
    fn a_set_has_each_node_once_and_in_order() {
        let set = Set::of(member(2, 5)).with(member(3, 1)).with(member(1, 1)).with(member(2, 6));
        assert_eq!(set.to_string(), "{1.1 2.6 3.1}");
        assert!(set.has(member(2, 6)) && !set.has(member(2, 5)));
        assert_eq!(set.incarnation(NodeId(2)), Some(6));
        let without = set.without(NodeId(1));
        assert_eq!((without.to_string(), without.count()), ("{2.6 3.1}".into(), 2));
    }

    #[test]
    fn a_set_of_the_most_nodes_takes_no_more_and_knows_a_node_still() {
        let full = (1..=8).fold(Set::default(), |set, node| set.with(member(node, 1)));
        assert_eq!((full.with(member(9, 1)), full.count()), (full.clone(), NODES_MAX));
        assert_eq!(full.with(member(8, 2)).incarnation(NodeId(8)), Some(2));
    }

    #[test]
    fn a_life_has_an_end_behind_which_there_is_a_number_still() {
        let possible = |incarnation, whole_since| Life { incarnation, whole_since }.is_possible();
        assert!(possible(1, 1) && possible(INCARNATION_MAX, 7));
        assert!(!possible(0, 0) && !possible(3, 4) && !possible(3, 0) && !possible(INCARNATION_MAX + 1, 1));
        let last = Life { incarnation: u64::MAX, whole_since: 1 };
        assert!(!Life::next(Some(last), true).is_possible());
    }

    #[test]
    fn a_loss_begins_a_new_whole_life() {
        let first = Life::next(None, true);
        assert_eq!(first, Life { incarnation: 1, whole_since: 1 });
        let second = Life::next(Some(first), true);
        assert_eq!(second, Life { incarnation: 2, whole_since: 1 });
        let third = Life::next(Some(second), false);
        assert_eq!(third, Life { incarnation: 3, whole_since: 3 });
        assert_eq!(Life::next(Some(third), true), Life { incarnation: 4, whole_since: 3 });
    }
}
