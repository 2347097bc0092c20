//! Which epoch the entries at the end of a log were first numbered in.
use arrayvec::ArrayVec;

/// Most runs kept: each is a takeover whose entries are not all committed.
pub const RUNS_MAX: usize = 64;

/// Runs of entries of one epoch, from the commit point on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochRuns {
    /// (first sequence number, epoch), both growing.
    runs: ArrayVec<(u64, u32), RUNS_MAX>,
    /// The last entry.
    last: u64,
}

impl EpochRuns {
    /// Of a log of which nothing is known up to `last`, whose entry `last` is of this epoch (0 before the first entry).
    pub fn new(last: u64, epoch: u32) -> Self {
        Self { runs: [(last, epoch)].into_iter().collect(), last }
    }

    /// The first entry whose epoch is known: the commit point when the runs were made.
    pub fn first(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.0)
    }

    /// The last entry.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The epoch of the last entry; 0 before the first.
    pub fn last_epoch(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.1)
    }

    /// The epoch of an entry; `None` above the last one, and below what is kept.
    pub fn epoch_of(&self, sequence: u64) -> Option<u32> {
        if sequence > self.last {
            return None;
        }
        self.runs.iter().rev().find(|run| run.0 <= sequence).map(|run| run.1)
    }

    /// The next entry is of this epoch. False, with nothing changed, when there are too many runs.
    #[must_use]
    pub fn push(&mut self, sequence: u64, epoch: u32) -> bool {
        assert!(sequence == self.last + 1 && epoch >= self.last_epoch(), "entry {sequence} of epoch {epoch}");
        if self.runs.last().is_none_or(|run| run.1 != epoch) {
            if self.runs.is_full() {
                return false;
            }
            self.runs.push((sequence, epoch));
        }
        self.last = sequence;
        true
    }

    /// Entries below this one are not asked for any more.
    pub fn forget_below(&mut self, sequence: u64) {
        let useless = self.runs.iter().skip(1).take_while(|run| run.0 <= sequence).count();
        self.runs.drain(..useless);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_tell_the_epoch_of_each_entry_kept() {
        let mut runs = EpochRuns::new(4, 2);
        for (sequence, epoch) in [(5, 2), (6, 3), (7, 3), (8, 7)] {
            assert!(runs.push(sequence, epoch));
        }
        let of: Vec<_> = (3..=9).map(|sequence| runs.epoch_of(sequence)).collect();
        assert_eq!(of, [None, Some(2), Some(2), Some(3), Some(3), Some(7), None]);
        runs.forget_below(7);
        assert_eq!((runs.epoch_of(5), runs.epoch_of(7), runs.epoch_of(8)), (None, Some(3), Some(7)));
        assert_eq!((runs.last(), runs.last_epoch()), (8, 7));
    }

    #[test]
    fn there_are_no_more_runs_than_the_bound() {
        let mut runs = EpochRuns::new(0, 0);
        for sequence in 1..RUNS_MAX as u64 {
            assert!(runs.push(sequence, sequence as u32));
        }
        let more = RUNS_MAX as u64;
        assert!(!runs.push(more, more as u32));
        runs.forget_below(10);
        assert!(runs.push(more, more as u32));
    }
}
