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
    pub(super) length: usize,
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
    #[inline]
    pub fn find_candidates(
        &self,
        candidates: &Candidates,
        mut matches: impl FnMut(u64) -> bool,
    ) -> Option<(Slot, u64)> {
        let (place, address) = search(&self.index.parts(), candidates, &mut matches)?;
        Some((Slot { place, entry: entry(candidates.tag, address) }, address))
    }

    /// Adds an entry for a key that has none. When both its buckets are full, `reclaim(address)` is asked,
    /// for entries there and where those could be moved to, whether the entry may be dropped because nobody
    /// can want it any more.
    ///
    /// # Errors
    ///
    /// When there is no place; only dead entries may be gone then.
    ///
    /// # Panics
    ///
    /// When the address has more than 48 bits.
    pub fn insert(
        &mut self,
        hash: u64,
        address: u64,
        reclaim: impl FnMut(u64) -> bool,
    ) -> Result<(), IndexFull> {
        self.insert_candidates(&self.index.candidates(hash), address, reclaim)
    }

    /// [`insert`](Self::insert) where the candidates are known.
    pub fn insert_candidates(
        &mut self,
        candidates: &Candidates,
        address: u64,
        mut reclaim: impl FnMut(u64) -> bool,
    ) -> Result<(), IndexFull> {
        assert!(address <= ADDRESS_MAX, "an address has 48 bits");
        let added = entry(candidates.tag, address);
        let Self { index, length, .. } = self;
        let parts = index.parts();
        let place = match emptier(&parts, &candidates.buckets) {
            Some(place) => Some(place),
            None => make_room(index, &parts, &candidates.buckets, length, &mut reclaim),
        };
        let placed = match place {
            Some(place) => {
                place.store(added, Release);
                true
            }
            None => stash(&parts, added, candidates.buckets[0], length, &mut reclaim),
        };
        let entries = self.length;
        self.set_length(entries + usize::from(placed));
        if placed { Ok(()) } else { Err(IndexFull { entries, entries_max: self.index.config.entries_max }) }
    }

    /// Gives an entry another address.
    ///
    /// # Panics
    ///
    /// When the slot is stale, or the address has more than 48 bits.
    #[inline]
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

    /// Goes over the stash and the next `buckets` buckets, from where the last sweep ended and round and
    /// round, and removes the entries for which `reclaim` is true. Returns how many. For the slack time of a
    /// duty cycle.
    pub fn sweep(&mut self, buckets: usize, mut reclaim: impl FnMut(u64) -> bool) -> usize {
        let parts = self.index.parts();
        // The stash first: what moves from it into a bucket already swept must not be dead.
        let used = parts.header[STASH_USED_AT].load(Relaxed) as usize;
        let stash = parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0;
        let mut removed =
            stash.iter().take(used).filter(|stashed| clear_if(&stashed[0], &mut reclaim)).count();
        if removed != 0 {
            shrink_stash(&parts);
        }
        for _ in 0..buckets {
            removed += parts.bucket(self.sweep_at).iter().filter(|word| clear_if(word, &mut reclaim)).count();
            unstash_into(&self.index, &parts, self.sweep_at);
            self.sweep_at = (self.sweep_at + 1) % self.index.buckets;
        }
        self.set_length(self.length - removed);
        removed
    }

    fn set_length(&mut self, length: usize) {
        self.length = length;
        self.index.parts().header[LENGTH_AT].store(length as u64, Relaxed);
    }
}

/// Frees a place in one of these full buckets: of what is dead there, else of what can be moved to its other
/// bucket. Lowers `length` by the dead entries that it removed.
fn make_room<'a>(
    index: &Index,
    parts: &'a Parts<'_>,
    buckets: &[usize; 2],
    length: &mut usize,
    reclaim: &mut impl FnMut(u64) -> bool,
) -> Option<&'a AtomicU64> {
    let mut drop_dead = |bucket| {
        let dropped = parts.bucket(bucket).iter().filter(|word| clear_if(word, reclaim)).count();
        *length -= dropped;
        dropped > 0
    };
    // All that is dead goes at once, so that the new entry still gets the emptier bucket.
    if buckets.map(&mut drop_dead).contains(&true) {
        return emptier(parts, buckets);
    }
    // Asking after the dead costs a look at each record, so first where there is room anyway.
    for ask in [false, true] {
        for &bucket in buckets {
            for word in parts.bucket(bucket) {
                let moved = word.load(Relaxed);
                let other = index.other_bucket(tag_of(moved), bucket);
                if ask && other != bucket {
                    drop_dead(other);
                }
                if let Some(place) = free_place(parts.bucket(other)) {
                    place.store(moved, Release);
                    count_move(parts, tag_of(moved));
                    return Some(word);
                }
            }
        }
    }
    None
}

/// Puts an entry into the stash; false when that is full.
pub(super) fn stash(
    parts: &Parts<'_>,
    added: u64,
    bucket: usize,
    length: &mut usize,
    reclaim: &mut impl FnMut(u64) -> bool,
) -> bool {
    let stash = parts.stash.as_chunks::<STASH_ENTRY_WORDS>().0;
    let free = stash.iter().position(|stashed| stashed[0].load(Relaxed) == 0).or_else(|| {
        let dead = stash.iter().position(|stashed| clear_if(&stashed[0], reclaim))?;
        *length -= 1;
        Some(dead)
    });
    let Some(free) = free else { return false };
    stash[free][1].store(bucket as u64, Relaxed);
    stash[free][0].store(added, Release);
    let used = &parts.header[STASH_USED_AT];
    used.store(used.load(Relaxed).max(free as u64 + 1), Release);
    true
}

fn free_place(bucket: &[AtomicU64; BUCKET_ENTRIES]) -> Option<&AtomicU64> {
    bucket.iter().find(|place| place.load(Relaxed) == 0)
}

/// A free place in the bucket that has more of them.
fn emptier<'a>(parts: &'a Parts<'_>, buckets: &[usize; 2]) -> Option<&'a AtomicU64> {
    let free = buckets.map(|bucket| {
        let places = parts.bucket(bucket);
        let count = places.iter().filter(|place| place.load(Relaxed) == 0).count();
        (count, places)
    });
    let (count, places) = if free[1].0 > free[0].0 { free[1] } else { free[0] };
    if count == 0 { None } else { free_place(places) }
}

/// Between an entry's appearance in its new place and its disappearance from the old one. Every store here
/// and of entries is `Release` and every load of a search `Acquire`: whoever sees the old place without the
/// entry sees the counter advanced, and whoever sees that sees the entry in its new place.
fn count_move(parts: &Parts<'_>, tag: u64) {
    let moves = parts.moves(tag);
    moves.store(moves.load(Relaxed).wrapping_add(1), Release);
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
        let Some(place) = free_place(parts.bucket(bucket)) else { break };
        place.store(moved, Release);
        count_move(parts, tag_of(moved));
        stashed[0].store(0, Release);
    }
    if used != 0 {
        shrink_stash(parts);
    }
}

/// Lets searches end behind the last entry of the stash. What is no longer searched is empty, and whoever
/// moved it counted it.
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

#[inline]
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
