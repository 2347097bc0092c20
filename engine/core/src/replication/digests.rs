//! What the store came to at certain messages, as its agent leaves it for the role machine, which compares it with the leader's.
//!
//! One writer and one reader. A slot is written as: number 0, digest, number; whoever reads the same number before and behind the digest has it whole.
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// How many are kept: a replica so many behind cannot compare any more, and says so.
const SLOTS: usize = 16;

#[derive(Debug, Default)]
struct Slot {
    sequence: AtomicU64,
    digest: [AtomicU64; 2],
}

/// The digests of one store: behind each message whose number is a multiple of `every`, and behind the one that the role machine wants.
#[derive(Debug)]
pub struct Digests {
    every: u64,
    wanted: AtomicU64,
    newest: AtomicU64,
    /// How many were noted: the next one's slot. Its only writer is the store's agent.
    noted: AtomicU64,
    slots: [Slot; SLOTS],
}

impl Digests {
    /// Behind each message whose number is a multiple of this.
    pub fn new(every: u64) -> Self {
        assert!(every > 0, "a digest every 0 messages");
        let [wanted, newest, noted] = Default::default();
        Self { every, wanted, newest, noted, slots: Default::default() }
    }

    /// Behind this message, too, if it is not applied yet or is the last one; 0: behind none.
    pub fn want(&self, sequence: u64) {
        self.wanted.store(sequence, Relaxed);
    }

    /// Whether a digest behind this message, the last one applied, is wanted and not there yet.
    pub fn lacks(&self, sequence: u64) -> bool {
        sequence > 0 && self.wanted.load(Relaxed) == sequence && self.newest.load(Relaxed) != sequence
    }

    /// The first message above `sequence` behind which there is to be one.
    pub fn next_after(&self, sequence: u64) -> u64 {
        let multiple = (sequence / self.every).saturating_add(1).saturating_mul(self.every);
        let wanted = self.wanted.load(Relaxed);
        if wanted > sequence { multiple.min(wanted) } else { multiple }
    }

    /// The store has applied message `sequence` and came to this. Nothing is kept where nothing is to be.
    pub fn note(&self, sequence: u64, digest: u128) {
        let is_due = sequence.is_multiple_of(self.every) || self.wanted.load(Relaxed) == sequence;
        if sequence == 0 || !is_due {
            return;
        }
        let noted = self.noted.load(Relaxed);
        self.noted.store(noted.wrapping_add(1), Relaxed);
        let slot = &self.slots[noted as usize % SLOTS];
        slot.sequence.store(0, Relaxed);
        fence(Release);
        slot.digest[0].store(digest as u64, Relaxed);
        slot.digest[1].store((digest >> 64) as u64, Relaxed);
        slot.sequence.store(sequence, Release);
        self.newest.store(sequence, Release);
    }

    /// The last message noted; 0: none.
    pub fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    /// What the store came to behind this message, if that is kept.
    pub fn at(&self, sequence: u64) -> Option<u128> {
        let slot = self.slots.iter().find(|slot| slot.sequence.load(Acquire) == sequence)?;
        let [low, high] = [0, 1].map(|half| u128::from(slot.digest[half].load(Relaxed)));
        fence(Acquire);
        (slot.sequence.load(Relaxed) == sequence).then_some(high << 64 | low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digests_are_kept_each_behind_its_message() {
        let digests = Digests::new(10);
        assert_eq!((digests.next_after(0), digests.next_after(9), digests.next_after(10)), (10, 10, 20));
        let digest = |sequence: u64| u128::from(sequence) << 70 | u128::from(sequence);
        (1..=200).for_each(|sequence| digests.note(sequence, digest(sequence)));
        assert_eq!(digests.newest(), 200);
        assert_eq!((digests.at(195), digests.at(40), digests.at(210)), (None, None, None));
        for sequence in (50..=200).step_by(10) {
            assert_eq!(digests.at(sequence), Some(digest(sequence)));
        }
    }

    #[test]
    fn one_is_kept_behind_the_message_that_is_wanted() {
        let digests = Digests::new(100);
        digests.want(7);
        assert_eq!((digests.next_after(3), digests.next_after(7)), (7, 100));
        assert!(digests.lacks(7) && !digests.lacks(6));
        (1..=8).for_each(|sequence| digests.note(sequence, 5));
        assert_eq!(
            (digests.newest(), digests.at(7), digests.at(8), digests.lacks(7)),
            (7, Some(5), None, false)
        );
        digests.want(0);
        assert!(!digests.lacks(0));
        assert_eq!(digests.next_after(u64::MAX - 1), u64::MAX);
    }
}
