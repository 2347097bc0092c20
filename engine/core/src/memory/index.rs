//! The hash table from a key to the address of its newest record version.
//!
//! # Layout
//!
//! An entry is one word: a 16-bit tag (never 0) over a 48-bit address, a position of the record log in units
//! of 8 bytes, modulo 2^48. Keys themselves are only in the record log, so whoever searches says with a
//! closure whether the record at an address is the one meant; of the other entries met on the way, one in
//! 65,535 has the same tag. Eight entries make a bucket of one cache line. A key has two candidate buckets:
//! the first is taken from the high bits of its hash, the other is `mix(tag) - bucket` modulo the number of
//! buckets, which is its own inverse for any number of buckets. So an entry can be moved by what it holds.
//!
//! An insertion takes the emptier candidate. If both are full, entries in them that the caller declares dead
//! make room; then an entry that can be moved to its other bucket (one step, never a chain); then the stash,
//! a small bounded array that every search also scans while it holds something. So at 80 % load a search
//! touches two lines, and no insertion takes long.
//!
//! # Concurrency
//!
//! One writer, readers that neither lock nor write. An entry appears, changes or disappears with one store. A
//! displaced entry is first stored in its new place, then a counter is advanced, then the old place is
//! cleared; a reader that found nothing and sees the counter changed looks again. The counters are chosen by
//! tag, which a move does not change.
mod writer;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

pub use writer::{IndexFull, IndexWriter, Slot};

use super::words::{AtomicU64, LINE_WORDS, SharedWords};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Entries in one bucket.
pub const BUCKET_ENTRIES: usize = 8;
/// Bits of an address.
pub const ADDRESS_BITS: u32 = 48;
/// Largest address.
pub const ADDRESS_MAX: u64 = (1 << ADDRESS_BITS) - 1;

/// Counters of moves, each for the tags that are equal modulo this; a power of two.
const MOVE_COUNTERS: usize = 64;
/// Entries in the stash, from its beginning, behind which there are none.
const STASH_USED_AT: usize = 0;
/// Entries altogether, in a line of its own kind: only whoever shows statistics reads it.
const LENGTH_AT: usize = LINE_WORDS;
const MOVES_AT: usize = 2 * LINE_WORDS;
const STASH_AT: usize = MOVES_AT + MOVE_COUNTERS;
/// A stash entry is the entry and one of its candidate buckets.
const STASH_ENTRY_WORDS: usize = 2;

/// How large an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexConfig {
    /// Entries that it must hold, at least 1; the buckets are 80 % full then.
    pub entries_max: usize,
    /// Entries of the stash, for keys both of whose buckets are full; searched one by one. 32 is plenty.
    pub stash: usize,
}

impl IndexConfig {
    fn buckets(&self) -> usize {
        // 6.4 entries for each bucket of 8; two at least, so that a key has somewhere else to go.
        (self.entries_max.div_ceil(32) * 5).max(2)
    }

    fn stash_words(&self) -> usize {
        (self.stash * STASH_ENTRY_WORDS).next_multiple_of(LINE_WORDS)
    }
}

/// Where an entry with a given hash may be. Made ahead of a search, it lets the memory be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    tag: u64,
    buckets: [usize; 2],
}

impl Candidates {
    /// The two buckets; they may be the same one.
    pub fn buckets(&self) -> [usize; 2] {
        self.buckets
    }
}

/// The index, as its writer and its readers share it.
pub struct Index {
    words: SharedWords,
    config: IndexConfig,
    buckets: usize,
    writer_taken: AtomicBool,
}

/// The parts of the words, resolved once per operation.
#[derive(Clone, Copy)]
struct Parts<'a> {
    header: &'a [AtomicU64],
    stash: &'a [AtomicU64],
    entries: &'a [AtomicU64],
}

impl Parts<'_> {
    #[inline]
    fn moves(&self, tag: u64) -> &AtomicU64 {
        &self.header[MOVES_AT + (tag as usize & (MOVE_COUNTERS - 1))]
    }

    #[inline]
    fn bucket(&self, bucket: usize) -> &[AtomicU64; BUCKET_ENTRIES] {
        let (buckets, _) = self.entries.as_chunks::<BUCKET_ENTRIES>();
        &buckets[bucket]
    }
}

impl Index {
    /// Words that an index of this size takes: about 10 bytes for each of its entries.
    pub fn words_needed(config: &IndexConfig) -> usize {
        STASH_AT + config.stash_words() + config.buckets() * BUCKET_ENTRIES
    }

    /// Makes an empty index. Whatever the words held is gone.
    ///
    /// # Panics
    ///
    /// When the words are too few or `entries_max` is 0 or above 2^44.
    pub fn create(words: SharedWords, config: IndexConfig) -> Arc<Self> {
        assert!((1..=1 << 44).contains(&config.entries_max), "an index holds 1 to 2^44 entries: {config:?}");
        let needed = Self::words_needed(&config);
        assert!(words.words().len() >= needed, "{} words are too few for {config:?}", words.words().len());
        for word in &words.words()[..needed] {
            // Fresh pages are zero already: reading them is cheaper than making them all dirty.
            if word.load(Relaxed) != 0 {
                word.store(0, Relaxed);
            }
        }
        Arc::new(Self { words, config, buckets: config.buckets(), writer_taken: AtomicBool::new(false) })
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        let (header, rest) = self.words.words().split_at(STASH_AT);
        let (stash, rest) = rest.split_at(self.config.stash_words());
        Parts {
            header,
            stash: &stash[..self.config.stash * STASH_ENTRY_WORDS],
            entries: &rest[..self.buckets * BUCKET_ENTRIES],
        }
    }

    /// The sizes.
    pub fn config(&self) -> IndexConfig {
        self.config
    }

    /// Number of buckets.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// Entries in the index, dead ones included.
    pub fn len(&self) -> usize {
        self.parts().header[LENGTH_AT].load(Relaxed) as usize
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries in the stash now: should be close to 0, an alarm when it is not.
    pub fn stashed(&self) -> usize {
        self.parts()
            .stash
            .as_chunks::<STASH_ENTRY_WORDS>()
            .0
            .iter()
            .filter(|e| e[0].load(Relaxed) != 0)
            .count()
    }

    /// The writer.
    ///
    /// # Panics
    ///
    /// When there is one already.
    pub fn writer(self: &Arc<Self>) -> IndexWriter {
        assert!(!self.writer_taken.swap(true, AcqRel), "an index has one writer");
        IndexWriter::new(Arc::clone(self))
    }

    /// Where an entry with this hash may be. Every bit of the hash should be as good as the others.
    #[inline]
    pub fn candidates(&self, hash: u64) -> Candidates {
        // The bucket comes from the high bits and the tag from the low ones, so that they say different
        // things.
        let tag = (hash & 0xFFFF).max(1);
        let bucket = ((u128::from(hash) * self.buckets as u128) >> 64) as usize;
        Candidates { tag, buckets: [bucket, self.other_bucket(tag, bucket)] }
    }

    /// Touches the buckets, so that searches soon afterwards find them in the cache. Nothing waits for anything here, so as
    /// many as the processor can have on their way come at once.
    pub fn prefetch(&self, candidates: &[Candidates]) {
        let parts = self.parts();
        let mut touched = 0;
        for candidates in candidates {
            for bucket in candidates.buckets {
                touched ^= parts.bucket(bucket)[0].load(Relaxed);
            }
        }
        std::hint::black_box(touched);
    }

    /// Calls `found` with the address of each entry in the buckets that a search would ask about. One that moves meanwhile may
    /// be missed: for guesses only.
    pub fn guess(&self, candidates: &[Candidates], mut found: impl FnMut(u64)) {
        let parts = self.parts();
        for candidates in candidates {
            for bucket in candidates.buckets.map(|bucket| parts.bucket(bucket)) {
                let mut tagged = tagged(bucket, candidates.tag);
                while tagged != 0 {
                    found(address_of(bucket[tagged.trailing_zeros() as usize].load(Relaxed)));
                    tagged &= tagged - 1;
                }
            }
        }
    }

    #[inline]
    fn other_bucket(&self, tag: u64, bucket: usize) -> usize {
        let mixed = tag.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = ((u128::from(mixed) * self.buckets as u128) >> 64) as usize;
        if mixed >= bucket { mixed - bucket } else { mixed + self.buckets - bucket }
    }

    /// The address of the entry with this hash for which `matches` is true. A false answer of `matches` for a
    /// record that has been reclaimed is right: if the key has moved on meanwhile, the search goes on with
    /// its newer address.
    ///
    /// Never misses an entry that was there during the whole search.
    pub fn lookup(&self, hash: u64, matches: impl FnMut(u64) -> bool) -> Option<u64> {
        self.lookup_candidates(&self.candidates(hash), matches)
    }

    /// [`lookup`](Self::lookup) where the candidates are known.
    pub fn lookup_candidates(
        &self,
        candidates: &Candidates,
        mut matches: impl FnMut(u64) -> bool,
    ) -> Option<u64> {
        let parts = self.parts();
        let moves = parts.moves(candidates.tag);
        let mut before = moves.load(Acquire);
        loop {
            if let Some((_, address)) = search(&parts, candidates, &mut matches) {
                return Some(address);
            }
            let after = moves.load(Acquire);
            if after == before {
                return None;
            }
            before = after;
        }
    }
}

/// The place of an entry among the words: in the buckets, or in the stash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bucket(usize),
    Stash(usize),
}

#[inline]
fn entry(tag: u64, address: u64) -> u64 {
    debug_assert!((1..=0xFFFF).contains(&tag) && address <= ADDRESS_MAX);
    tag << ADDRESS_BITS | address
}

#[inline]
fn tag_of(entry: u64) -> u64 {
    entry >> ADDRESS_BITS
}

#[inline]
fn address_of(entry: u64) -> u64 {
    entry & ADDRESS_MAX
}

/// One pass over both buckets and the stash.
#[inline]
fn search(
    parts: &Parts<'_>,
    candidates: &Candidates,
    matches: &mut impl FnMut(u64) -> bool,
) -> Option<(Place, u64)> {
    let buckets = candidates.buckets.map(|bucket| parts.bucket(bucket));
    let mut tagged =
        tagged(buckets[0], candidates.tag) | tagged(buckets[1], candidates.tag) << BUCKET_ENTRIES;
    while tagged != 0 {
        let at = tagged.trailing_zeros() as usize;
        tagged &= tagged - 1;
        let (which, index) = (at / BUCKET_ENTRIES, at % BUCKET_ENTRIES);
        if let Some(address) = match_word(&buckets[which][index], candidates.tag, matches) {
            return Some((Place::Bucket(candidates.buckets[which] * BUCKET_ENTRIES + index), address));
        }
    }
    let used = parts.header[STASH_USED_AT].load(Acquire) as usize;
    for (index, stashed) in parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0.iter().take(used).enumerate() {
        if let Some(address) = match_word(&stashed[0], candidates.tag, matches) {
            return Some((Place::Stash(index), address));
        }
    }
    None
}

/// A bit for each entry of a bucket that has this tag. Without a branch: where in its bucket an entry is, nobody can predict.
#[inline]
fn tagged(bucket: &[AtomicU64; BUCKET_ENTRIES], tag: u64) -> u32 {
    let mut tagged = 0;
    for (index, word) in bucket.iter().enumerate() {
        tagged |= u32::from(tag_of(word.load(Acquire)) == tag) << index;
    }
    tagged
}

#[inline]
fn match_word(word: &AtomicU64, tag: u64, matches: &mut impl FnMut(u64) -> bool) -> Option<u64> {
    let mut found = word.load(Acquire);
    while tag_of(found) == tag {
        if matches(address_of(found)) {
            return Some(address_of(found));
        }
        // A false answer may mean that this version is reclaimed because a newer one has taken the place
        // meanwhile.
        let now = word.load(Acquire);
        if now == found {
            return None;
        }
        found = now;
    }
    None
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("config", &self.config)
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}
