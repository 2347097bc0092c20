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

/// The digests of one store, behind each message whose number is a multiple of `every`.
#[derive(Debug)]
pub struct Digests {
    every: u64,
    newest: AtomicU64,
    slots: [Slot; SLOTS],
}

impl Digests {
    /// Behind each message whose number is a multiple of this.
    pub fn new(every: u64) -> Self {
        assert!(every > 0, "a digest every 0 messages");
        Self { every, newest: AtomicU64::new(0), slots: Default::default() }
    }

    /// The first message above `sequence` behind which there is to be one.
    pub fn next_after(&self, sequence: u64) -> u64 {
        (sequence / self.every + 1) * self.every
    }

    /// The store has applied message `sequence` and came to this. Nothing is kept where nothing is to be.
    pub fn note(&self, sequence: u64, digest: u128) {
        if sequence == 0 || !sequence.is_multiple_of(self.every) {
            return;
        }
        let slot = self.slot(sequence);
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
        let slot = self.slot(sequence);
        if slot.sequence.load(Acquire) != sequence {
            return None;
        }
        let [low, high] = [0, 1].map(|half| u128::from(slot.digest[half].load(Relaxed)));
        fence(Acquire);
        (slot.sequence.load(Relaxed) == sequence).then_some(high << 64 | low)
    }

    fn slot(&self, sequence: u64) -> &Slot {
        &self.slots[(sequence / self.every) as usize % SLOTS]
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
}
