//! Counts and digest, published by the writer as one whole.
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Counts and digest of the store at one sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// The sequence number at which the rest holds.
    pub applied: u64,
    /// Records that count against the declared limit: live, deleted within the horizon, of emptied tables not
    /// yet reclaimed.
    pub records: u64,
    /// Bytes of keys and values that count against the declared limit.
    pub bytes: u64,
    /// Live records.
    pub live: u64,
    /// As [`Store::digest`](super::Store::digest).
    pub digest: u128,
}

/// Words of a status.
const WORDS: usize = 6;

/// A status with one writer and any number of readers. Readers repeat when the writer was at it meanwhile.
#[derive(Debug, Default)]
pub(super) struct StatusCell {
    /// Odd while the words are being written.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl StatusCell {
    pub fn write(&self, status: &StoreStatus) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let digest = [status.digest as u64, (status.digest >> 64) as u64];
        let words = [status.applied, status.records, status.bytes, status.live, digest[0], digest[1]];
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    pub fn read(&self) -> StoreStatus {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let words: [u64; WORDS] = std::array::from_fn(|index| self.words[index].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                let [applied, records, bytes, live, low, high] = words;
                return StoreStatus {
                    applied,
                    records,
                    bytes,
                    live,
                    digest: u128::from(high) << 64 | u128::from(low),
                };
            }
            std::hint::spin_loop();
        }
    }
}
