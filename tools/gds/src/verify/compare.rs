//! Who agrees with whom, and from which message on others differ: by running checksums alone, since each covers every message before it.
use std::cmp::Reverse;

/// A log that can be asked for its running checksums.
pub trait Log {
    /// The first message it keeps, and the last one it has.
    fn kept(&self) -> (u64, u64);

    /// The running checksum of all messages up to this one, which is kept; or why it cannot be told.
    fn chain(&mut self, sequence: u64) -> Result<u64, String>;
}

/// How two logs stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// They have the same messages up to this one, the last that both have.
    Agree(u64),
    /// They have the same messages before this one, and differ in it.
    At(u64),
    /// They differ in this one or before; it is the first that both keep.
    Before(u64),
    /// There is no message that both keep.
    Apart,
}

impl Parting {
    /// The first message from which on they are known to differ.
    pub fn sequence(self) -> Option<u64> {
        match self {
            Self::At(sequence) | Self::Before(sequence) => Some(sequence),
            Self::Agree(_) | Self::Apart => None,
        }
    }
}

/// One log among those that agree with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which log.
    pub index: usize,
    /// The last message up to which it was compared with the first of its side.
    pub up_to: u64,
}

/// Logs that agree with each other. The first member has the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The logs.
    pub members: Vec<Member>,
    /// How they stand to the first side; of the first side itself: nothing that says anything.
    pub parting: Parting,
}

/// Sorts logs into sides; nothing above `limit` is looked at.
///
/// Each log is compared with the one that has the most. What differs from that is sorted among itself in the same way. `asked` is called for each
/// message that two are asked about.
pub fn sides<L: Log>(logs: &mut [L], limit: u64, asked: &mut dyn FnMut()) -> Result<Vec<Side>, String> {
    let mut rest: Vec<usize> = (0..logs.len()).collect();
    let mut partings = vec![Parting::Apart; logs.len()];
    let mut sides: Vec<Side> = Vec::new();
    while let Some(most) = rest.iter().copied().max_by_key(|index| (logs[*index].kept().1, Reverse(*index))) {
        let first = Member { index: most, up_to: logs[most].kept().1.min(limit) };
        let mut side = Side { members: vec![first], parting: partings[most] };
        let mut others = Vec::new();
        for index in rest.into_iter().filter(|index| *index != most) {
            let [left, right] = logs.get_disjoint_mut([most, index]).expect("they are two");
            match parting(left, right, limit, asked)? {
                Parting::Agree(up_to) => side.members.push(Member { index, up_to }),
                parted => {
                    if sides.is_empty() {
                        partings[index] = parted;
                    }
                    others.push(index);
                }
            }
        }
        rest = others;
        sides.push(side);
    }
    Ok(sides)
}

/// Finds the first message in which two logs differ, by halving the part in which it must lie.
pub fn parting<L: Log>(
    left: &mut L,
    right: &mut L,
    limit: u64,
    asked: &mut dyn FnMut(),
) -> Result<Parting, String> {
    let ((left_first, left_last), (right_first, right_last)) = (left.kept(), right.kept());
    let (mut low, mut high) = (left_first.max(right_first), left_last.min(right_last).min(limit));
    if high < low {
        return Ok(Parting::Apart);
    }
    let mut agree = |sequence| {
        asked();
        Ok::<_, String>(left.chain(sequence)? == right.chain(sequence)?)
    };
    if agree(high)? {
        return Ok(Parting::Agree(high));
    }
    if high == low || !agree(low)? {
        return Ok(if low == 1 { Parting::At(1) } else { Parting::Before(low) });
    }
    // They agree at `low` and differ at `high`.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if agree(middle)? { low = middle } else { high = middle }
    }
    Ok(Parting::At(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of this kind of messages, another one from some number on. Counts what it is asked.
    struct Made {
        first: u64,
        last: u64,
        other_from: u64,
        other: u64,
        asked: u64,
    }

    fn made(first: u64, last: u64, other_from: u64, other: u64) -> Made {
        Made { first, last, other_from, other, asked: 0 }
    }

    impl Log for Made {
        fn kept(&self) -> (u64, u64) {
            (self.first, self.last)
        }

        fn chain(&mut self, sequence: u64) -> Result<u64, String> {
            assert!((self.first..=self.last).contains(&sequence), "{sequence} is not kept");
            self.asked += 1;
            let other = if sequence >= self.other_from { self.other } else { 0 };
            Ok(sequence.wrapping_mul(3).wrapping_add(other))
        }
    }

    fn parted(mut left: Made, mut right: Made, limit: u64) -> Parting {
        let found = parting(&mut left, &mut right, limit, &mut || {}).unwrap();
        assert_eq!(parting(&mut right, &mut left, limit, &mut || {}), Ok(found), "in either order");
        assert!(left.asked <= 2 * 70 && right.asked <= 2 * 70, "so many questions: {}", left.asked);
        found
    }

    #[test]
    fn the_first_message_that_differs_is_found_wherever_it_is() {
        for last in 1..=40 {
            for from in 1..=last {
                let parting = parted(made(1, last, u64::MAX, 0), made(1, last, from, 1), u64::MAX);
                assert_eq!(parting, Parting::At(from), "of {last}");
            }
        }
        let (one, other) = (made(1, u64::MAX, u64::MAX, 0), made(1, u64::MAX, 1 << 62, 1));
        assert_eq!(parted(one, other, u64::MAX), Parting::At(1 << 62));
    }

    #[test]
    fn what_is_not_kept_by_both_is_not_asked_for() {
        let whole = |last| made(1, last, u64::MAX, 0);
        assert_eq!(parted(whole(90), made(20, 70, u64::MAX, 1), u64::MAX), Parting::Agree(70));
        assert_eq!(parted(whole(90), made(20, 70, 15, 1), u64::MAX), Parting::Before(20));
        assert_eq!(parted(whole(90), made(20, 70, 20, 1), u64::MAX), Parting::Before(20));
        assert_eq!(parted(whole(90), made(20, 70, 21, 1), u64::MAX), Parting::At(21));
        assert_eq!(parted(whole(90), made(20, 70, 70, 1), u64::MAX), Parting::At(70));
        assert_eq!(parted(whole(20), made(20, 70, 20, 1), u64::MAX), Parting::Before(20));
        assert_eq!(parted(whole(19), made(20, 70, 20, 1), u64::MAX), Parting::Apart);
        assert_eq!(parted(whole(90), made(1, 90, 51, 1), 50), Parting::Agree(50));
        assert_eq!(parted(whole(90), made(1, 90, 50, 1), 50), Parting::At(50));
    }

    #[test]
    fn logs_are_sorted_into_sides_that_agree() {
        let mut logs = [
            made(1, 80, u64::MAX, 0),
            made(1, 90, 61, 1),
            made(5, 85, u64::MAX, 0),
            made(1, 70, 61, 1),
            made(1, 90, 31, 2),
            made(1, 20, u64::MAX, 0),
        ];
        let found = sides(&mut logs, u64::MAX, &mut || {}).unwrap();
        let member = |index, up_to| Member { index, up_to };
        let side = |members, parting| Side { members, parting };
        assert_eq!(
            found,
            [
                side(vec![member(1, 90), member(3, 70), member(5, 20)], Parting::Apart),
                side(vec![member(4, 90)], Parting::At(31)),
                side(vec![member(2, 85), member(0, 80)], Parting::At(61)),
            ]
        );
        assert_eq!(sides::<Made>(&mut [], 1, &mut || {}), Ok(vec![]));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_no_difference() {
        struct Unreadable;
        impl Log for Unreadable {
            fn kept(&self) -> (u64, u64) {
                (1, 9)
            }
            fn chain(&mut self, _: u64) -> Result<u64, String> {
                Err("gone".into())
            }
        }
        assert_eq!(sides(&mut [Unreadable, Unreadable], 9, &mut || {}), Err("gone".into()));
    }
}
