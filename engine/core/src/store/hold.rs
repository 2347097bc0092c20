//! How far back the record log's tail stays for somebody who copies from it.
//!
//! The store sets the hold at the moment of which the copy is to be, and heeds it when it cleans the tail; the copier moves it on as it
//! goes and lets go of it at its end. When the log runs short of room the store takes the hold back: the copier notices, since what it
//! reads is reclaimed, or since it can no longer move the hold. So a hold delays the cleaning, and never decides anything else.
use std::sync::atomic::{AtomicU64, Ordering};

const NOBODY: u64 = u64::MAX;

/// The position from which on the log is held; far beyond its head while nobody holds it.
#[derive(Debug)]
pub(super) struct LogHold(AtomicU64);

impl Default for LogHold {
    fn default() -> Self {
        Self(AtomicU64::new(NOBODY))
    }
}

impl LogHold {
    /// The store begins to hold for the copier.
    pub fn begin(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }

    /// From where on the log is held. What the copier read below this it has read already.
    #[inline]
    pub fn position(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The store needs the room.
    pub fn take_back(&self) {
        self.0.store(NOBODY, Ordering::Release);
    }

    /// The copier has done with everything below `to`. False when the hold was taken back.
    pub fn advance(&self, from: u64, to: u64) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The copier has done, or has given up.
    pub fn let_go(&self, from: u64) {
        self.advance(from, NOBODY);
    }
}
