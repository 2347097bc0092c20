//! A copy of the session table as of one message, made in slices while the table goes on.
//!
//! Slots are copied in order, so many at a time. Whoever is about to change one that has not been copied yet copies it first. So the
//! copy is of one moment, however long it takes, and no slice costs more than it is given.
use super::{BLANK, NO_SCHEMA, SESSIONS_MAX, SessionEntry, SessionTable};
use gds_wire::declaration::Declaration;

/// Room for a copy, and the copy. Made once, used again and again.
#[derive(Clone, Debug, Default)]
pub struct SessionImage {
    entries: Vec<SessionEntry>,
    copied: Vec<bool>,
    /// How many slots belong to the copy.
    slots: usize,
    /// Everything below is copied.
    next: usize,
}

impl SessionImage {
    /// A copy of a table that has these entries.
    pub(crate) fn of(entries: Vec<SessionEntry>) -> Self {
        let slots = entries.len();
        Self { copied: vec![true; slots], entries, slots, next: slots }
    }

    /// Makes it empty, with room for `slots` slots at least.
    pub(crate) fn clear(&mut self, slots: usize) {
        let slots = slots.max(self.entries.len());
        self.entries.resize(slots, BLANK);
        self.copied.clear();
        self.copied.resize(slots, false);
        (self.slots, self.next) = (0, 0);
    }

    /// How many slots it has room for.
    pub(crate) fn room(&self) -> usize {
        self.entries.len()
    }

    /// The sessions, in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &SessionEntry> {
        self.entries[..self.slots].iter().filter(|entry| entry.next != 0)
    }

    /// How many slots it shows.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// The session in a slot, if one is.
    pub(crate) fn entry(&self, slot: usize) -> Option<&SessionEntry> {
        self.entries[..self.slots].get(slot).filter(|entry| entry.next != 0)
    }

    /// Wrapping sum of the sessions' digests: that of the table.
    pub(crate) fn digest(&self) -> u128 {
        self.entries().map(SessionEntry::digest).fold(0, u128::wrapping_add)
    }

    fn keep(&mut self, slot: usize, entry: &SessionEntry) {
        if slot < self.slots && !self.copied[slot] {
            self.copied[slot] = true;
            self.entries[slot] = *entry;
        }
    }
}

/// Why sessions cannot be those of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchTable;

impl SessionTable {
    /// Slots for sessions, used or not: what an image needs room for.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// Begins a copy of the table as it is now.
    ///
    /// # Panics
    /// When one is being made already, or there is not room for [`SessionTable::slots`].
    pub(crate) fn begin_image(&mut self, mut image: Box<SessionImage>) {
        assert!(self.image.is_none(), "one image at a time");
        assert!(image.room() >= self.slots() && image.slots == 0, "an image is cleared and large enough");
        image.slots = self.slots();
        self.image = Some(image);
    }

    /// Copies up to `slots` more slots; gives the copy back once it is whole.
    pub(crate) fn go_on_with_image(&mut self, slots: usize) -> Option<Box<SessionImage>> {
        let image = self.image.as_mut()?;
        let end = image.slots.min(image.next + slots);
        for slot in image.next..end {
            image.keep(slot, &self.entries[slot]);
        }
        image.next = end;
        if end < image.slots { None } else { self.image.take() }
    }

    /// A slot is about to be changed.
    #[inline]
    pub(super) fn before_change(&mut self, slot: u32) {
        if let Some(image) = &mut self.image {
            image.keep(slot as usize, &self.entries[slot as usize]);
        }
    }

    /// The table after message `applied` of a stream that declared this, all in all, with these sessions.
    pub(crate) fn restore(
        applied: u64,
        declaration: &Declaration,
        image: &SessionImage,
        stream_ended: bool,
    ) -> Result<Self, NoSuchTable> {
        if declaration.limits.sessions_max as usize > SESSIONS_MAX {
            return Err(NoSuchTable);
        }
        let mut table = Self::new();
        table.applied = applied;
        table.stream_ended = stream_ended;
        table.declare(declaration);
        // More than now may be opened were allowed once.
        table.reserve(image.entries().count());
        let mut ended = Vec::new();
        for entry in image.entries() {
            table.check(applied, entry)?;
            let slot = table.free.pop().ok_or(NoSuchTable)?;
            table.entries[slot as usize] = *entry;
            table.map.insert(entry.session, slot);
            table.touch(slot);
            if entry.ended() {
                ended.push((entry.ended_at, slot));
            }
        }
        ended.sort_unstable();
        if ended.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(NoSuchTable);
        }
        table.ended.extend(ended);
        Ok(table)
    }

    fn check(&self, applied: u64, entry: &SessionEntry) -> Result<(), NoSuchTable> {
        let schema = self.schema(entry.schema).is_some() || entry.schema == NO_SCHEMA;
        let fits = schema && entry.ended_at <= applied && self.map.get(&entry.session).is_none();
        if fits { Ok(()) } else { Err(NoSuchTable) }
    }
}
