//! What of a journal could not be read while its node runs, kept for people.
//!
//! Whoever reads old messages for somebody else (a rewinder, a query, another node) goes on without those that it cannot read: one damaged block
//! must not stop a node. So what is wrong is told here: each place once, in words and as counters. There is room for [`PLACES_MAX`] places; what is found
//! beyond them is counted alone.
use super::{JournalDamage, JournalError, Position};
use crate::counters::CounterSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most places told.
pub const PLACES_MAX: usize = 16;

/// A place that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadablePlace {
    /// The file, and where in it, as far as that is known.
    pub position: Option<Position>,
    /// The first message that was wanted of it; 0: not known.
    pub sequence: u64,
    /// What is wrong, with the file's name.
    pub what: String,
}

impl UnreadablePlace {
    fn of(error: &JournalError) -> Self {
        match error {
            JournalError::Damage(damage) => {
                let JournalDamage { file, position, sequence, found, .. } = &**damage;
                let what = format!(
                    "{file} cannot be read at offset {}, message {sequence}: {found}",
                    position.offset
                );
                Self { position: Some(*position), sequence: *sequence, what }
            }
            other => Self { position: None, sequence: 0, what: other.to_string() },
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self.position, other.position) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.what == other.what,
        }
    }
}

/// The places of one journal. Any number of threads may note and look; nobody waits for another.
#[derive(Debug, Default)]
pub struct Unreadable {
    places: [OnceLock<UnreadablePlace>; PLACES_MAX],
    reads: AtomicU64,
}

impl Unreadable {
    /// A read failed.
    pub fn note(&self, error: &JournalError) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut place = UnreadablePlace::of(error);
        for slot in &self.places {
            if let Some(known) = slot.get() {
                if known.is_same(&place) {
                    return;
                }
                continue;
            }
            match slot.set(place) {
                Ok(()) => return,
                // Another thread was first here.
                Err(ours) => place = ours,
            }
            if slot.get().is_some_and(|known| known.is_same(&place)) {
                return;
            }
        }
    }

    /// The places found so far, each once, in the order in which they were found.
    pub fn places(&self) -> impl Iterator<Item = &UnreadablePlace> {
        self.places.iter().map_while(OnceLock::get)
    }

    /// Reads that failed.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl CounterSet for Unreadable {
    fn for_each(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
        let first = self.places().next();
        let position = first.and_then(|place| place.position);
        visit("reads", "Reads that failed.", self.reads());
        visit(
            "places",
            "Places of the journal that cannot be read, as far as they are told.",
            self.places().count() as u64,
        );
        visit(
            "segment",
            "The segment of the first of them.",
            position.map_or(0, |position| position.segment),
        );
        visit("offset", "Where it begins, in bytes.", position.map_or(0, |position| position.offset));
        visit("message", "The message that was wanted of it.", first.map_or(0, |place| place.sequence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DiskError;

    fn damage(segment: u64, offset: u64, sequence: u64) -> JournalError {
        JournalError::Damage(Box::new(JournalDamage {
            file: format!("file {segment}"),
            position: Position { segment, offset },
            sequence,
            durable: sequence,
            found: "it is rotten".into(),
        }))
    }

    fn shown(unreadable: &Unreadable) -> Vec<u64> {
        let mut values = Vec::new();
        unreadable.for_each(&mut |_, _, value| values.push(value));
        values
    }

    #[test]
    fn each_place_is_told_once_whoever_asks_for_which_message() {
        let unreadable = Unreadable::default();
        assert_eq!(shown(&unreadable), [0; 5]);
        for sequence in 7..20 {
            unreadable.note(&damage(2, 4096, sequence));
        }
        unreadable.note(&damage(2, 8192, 30));
        unreadable.note(&JournalError::Disk(DiskError::Failed("read file 3: no such file".into())));
        unreadable.note(&JournalError::Disk(DiskError::Failed("read file 3: no such file".into())));
        let told: Vec<&str> = unreadable.places().map(|place| place.what.as_str()).collect();
        assert_eq!(
            told,
            [
                "file 2 cannot be read at offset 4096, message 7: it is rotten",
                "file 2 cannot be read at offset 8192, message 30: it is rotten",
                "read file 3: no such file",
            ]
        );
        assert_eq!(shown(&unreadable), [16, 3, 2, 4096, 7]);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let unreadable = Unreadable::default();
        for segment in 1..=40 {
            unreadable.note(&damage(segment, 0, segment));
        }
        assert_eq!((unreadable.places().count(), unreadable.reads()), (PLACES_MAX, 40));
    }
}
