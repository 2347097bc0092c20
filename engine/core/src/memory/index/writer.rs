//! The writing end of the index.
use super::*;

/// Both buckets of a key are full, nothing in them is dead or can be moved, and so is the stash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull {
    /// Entries in the index.
    pub entries: usize,
    /// Entries that it was made for.
    pub entries_max: usize,
}

impl fmt::Display for IndexFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no place in the index for a key, with {} entries of the {} it was made for; declare a larger limit",
            self.entries, self.entries_max
        )
    }
}

impl std::error::Error for IndexFull {}

/// An entry that [`IndexWriter::find`] found. Good until the next change that is not made through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    place: Place,
    /// What was there: a slot used after the entry has moved is caught by it.
    entry: u64,
}

/// Changes the index.
pub struct IndexWriter {
    index: Arc<Index>,
    length: usize,
    /// The bucket where the next sweep begins.
    sweep_at: usize,
}

impl IndexWriter {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { length: index.len(), sweep_at: 0, index }
    }

    /// The index written to.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Entries in the index, dead ones included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The entry with this hash for which `matches` is true, and its address.
    pub fn find(&self, hash: u64, matches: impl FnMut(u64) -> bool) -> Option<(Slot, u64)> {
        self.find_candidates(&self.index.candidates(hash), matches)
    }

    /// [`find`](Self::find) where the candidates are known.
    pub fn find_candidates(
        &self,
        candidates: &Candidates,
        mut matches: impl FnMut(u64) -> bool,
    ) -> Option<(Slot, u64)> {
        let (place, address) = search(&self.index.parts(), candidates, &mut matches)?;
        Some((Slot { place, entry: entry(candidates.tag, address) }, address))
    }

    /// Adds an entry for a key that has none. When both its buckets are full, `reclaim(address)` is asked, for entries in them, whether
    /// the entry may be dropped because nobody can want it any more.
    ///
    /// # Errors
    ///
    /// When there is no place; nothing has changed then.
    ///
    /// # Panics
    ///
    /// When the address has more than 48 bits.
    pub fn insert(
        &mut self,
        hash: u64,
        address: u64,
        mut reclaim: impl FnMut(u64) -> bool,
    ) -> Result<(), IndexFull> {
        assert!(address <= ADDRESS_MAX, "an address has 48 bits");
        let candidates = self.index.candidates(hash);
        let added = entry(candidates.tag, address);
        let parts = self.index.parts();
        if let Some(place) = emptier(&parts, &candidates.buckets) {
            place.store(added, Release);
            self.set_length(self.length + 1);
            return Ok(());
        }
        for bucket in candidates.buckets {
            for word in parts.bucket(bucket) {
                if reclaim(address_of(word.load(Relaxed))) {
                    // The dead entry and the new one change places in one store; the number of entries stays.
                    word.store(added, Release);
                    return Ok(());
                }
            }
        }
        if let Some(place) = self.displace(&parts, &candidates.buckets) {
            place.store(added, Release);
        } else {
            self.stash(&parts, added, candidates.buckets[0])?;
        }
        self.set_length(self.length + 1);
        Ok(())
    }

    /// Gives an entry another address.
    ///
    /// # Panics
    ///
    /// When the slot is stale, or the address has more than 48 bits.
    pub fn replace(&mut self, slot: Slot, address: u64) {
        assert!(address <= ADDRESS_MAX, "an address has 48 bits");
        let parts = self.index.parts();
        checked(&parts, slot).store(entry(tag_of(slot.entry), address), Release);
    }

    /// Removes an entry.
    ///
    /// # Panics
    ///
    /// When the slot is stale.
    pub fn remove(&mut self, slot: Slot) {
        let parts = self.index.parts();
        checked(&parts, slot).store(0, Release);
        match slot.place {
            Place::Bucket(index) => unstash_into(&self.index, &parts, index / BUCKET_ENTRIES),
            Place::Stash(_) => shrink_stash(&parts),
        }
        self.set_length(self.length - 1);
    }

    /// Goes over the next `buckets` buckets, from where the last sweep ended and round and round, and removes the entries for which
    /// `reclaim` is true; also those of the stash each time round. Returns how many. For the slack time of a duty cycle.
    pub fn sweep(&mut self, buckets: usize, mut reclaim: impl FnMut(u64) -> bool) -> usize {
        let parts = self.index.parts();
        let mut removed = 0;
        for _ in 0..buckets {
            for word in parts.bucket(self.sweep_at) {
                removed += usize::from(clear_if(word, &mut reclaim));
            }
            unstash_into(&self.index, &parts, self.sweep_at);
            self.sweep_at += 1;
            if self.sweep_at == self.index.buckets {
                self.sweep_at = 0;
                let stash = parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0;
                removed += stash.iter().filter(|stashed| clear_if(&stashed[0], &mut reclaim)).count();
                shrink_stash(&parts);
            }
        }
        self.set_length(self.length - removed);
        removed
    }

    fn set_length(&mut self, length: usize) {
        self.length = length;
        self.index.parts().header[LENGTH_AT].store(length as u64, Relaxed);
    }

    /// Moves one entry of these full buckets to its other bucket and returns the place it had.
    fn displace<'a>(&self, parts: &'a Parts<'_>, buckets: &[usize; 2]) -> Option<&'a AtomicU64> {
        for &bucket in buckets {
            for word in parts.bucket(bucket) {
                let moved = word.load(Relaxed);
                let other = self.index.other_bucket(tag_of(moved), bucket);
                if let Some(place) = parts.bucket(other).iter().find(|place| place.load(Relaxed) == 0) {
                    place.store(moved, Release);
                    count_move(parts, tag_of(moved));
                    return Some(word);
                }
            }
        }
        None
    }

    fn stash(&self, parts: &Parts<'_>, added: u64, bucket: usize) -> Result<(), IndexFull> {
        let stash = parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0;
        let Some(free) = stash.iter().position(|stashed| stashed[0].load(Relaxed) == 0) else {
            return Err(IndexFull { entries: self.length, entries_max: self.index.config.entries_max });
        };
        stash[free][1].store(bucket as u64, Relaxed);
        stash[free][0].store(added, Release);
        let used = &parts.header[STASH_USED_AT];
        used.store(used.load(Relaxed).max(free as u64 + 1), Release);
        Ok(())
    }
}

/// A free place in the bucket that has more of them.
fn emptier<'a>(parts: &'a Parts<'_>, buckets: &[usize; 2]) -> Option<&'a AtomicU64> {
    let free = buckets.map(|bucket| {
        let places = parts.bucket(bucket);
        let count = places.iter().filter(|place| place.load(Relaxed) == 0).count();
        (count, places)
    });
    let (count, places) = if free[1].0 > free[0].0 { free[1] } else { free[0] };
    if count == 0 { None } else { places.iter().find(|place| place.load(Relaxed) == 0) }
}

/// Between an entry's appearance in its new place and its disappearance from the old one.
fn count_move(parts: &Parts<'_>, tag: u64) {
    let moves = parts.moves(tag);
    moves.store(moves.load(Relaxed).wrapping_add(1), Release);
    // Whoever sees the old place cleared sees the counter advanced.
    fence(Release);
}

/// Moves what the stash holds for a bucket there, while it has room.
fn unstash_into(index: &Index, parts: &Parts<'_>, bucket: usize) {
    let used = parts.header[STASH_USED_AT].load(Relaxed) as usize;
    for stashed in parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0.iter().take(used) {
        let moved = stashed[0].load(Relaxed);
        let home = stashed[1].load(Relaxed) as usize;
        if moved == 0 || (home != bucket && index.other_bucket(tag_of(moved), home) != bucket) {
            continue;
        }
        let Some(place) = parts.bucket(bucket).iter().find(|place| place.load(Relaxed) == 0) else { break };
        place.store(moved, Release);
        count_move(parts, tag_of(moved));
        stashed[0].store(0, Release);
    }
    if used != 0 {
        shrink_stash(parts);
    }
}

/// Lets searches end behind the last entry of the stash. What is no longer searched is empty, and whoever moved it counted it.
fn shrink_stash(parts: &Parts<'_>) {
    let stash = parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0;
    let used = stash.iter().rposition(|stashed| stashed[0].load(Relaxed) != 0).map_or(0, |last| last + 1);
    parts.header[STASH_USED_AT].store(used as u64, Release);
}

fn clear_if(word: &AtomicU64, reclaim: &mut impl FnMut(u64) -> bool) -> bool {
    let found = word.load(Relaxed);
    let dead = found != 0 && reclaim(address_of(found));
    if dead {
        word.store(0, Release);
    }
    dead
}

fn checked<'a>(parts: &'a Parts<'_>, slot: Slot) -> &'a AtomicU64 {
    let word = match slot.place {
        Place::Bucket(index) => &parts.entries[index],
        Place::Stash(index) => &parts.stash[index * STASH_ENTRY_WORDS],
    };
    assert_eq!(word.load(Relaxed), slot.entry, "the slot is stale: the entry has changed since it was found");
    word
}

impl Drop for IndexWriter {
    fn drop(&mut self) {
        self.index.writer_taken.store(false, Release);
    }
}

impl fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexWriter")
            .field("index", &self.index)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
