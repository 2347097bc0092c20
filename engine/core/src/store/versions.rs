//! The record versions of an image, copied out of the log while the store goes on.
//!
//! A version that can be read in any state from the image's floor to its last message lies between tail and head of the log as they
//! were at that moment; what is copied within the log later has its original there. A record in the log never changes but for its fate,
//! and what that was at the moment can be told later:
//!
//! - a fate of *current* was current then: what was replaced stays replaced;
//! - *replaced by n*, with n above the image's last message, was current then, whether n stands or is being undone just now;
//! - *replaced by n* otherwise was so then. While the store is changing a fate its words may be read in any mixture of old and new:
//!   such a version was current then, and a mixture looks as if it were replaced only if 64 bits of a digest happen to be a number
//!   between the version's and the image's. Then the [census](super::census) does not agree, and the copy is given up.
//!
//! So no index is asked: the walk reads the log once, from the tail on, as fast as memory gives it. The order of the log is kept. Restored
//! in that order, versions find those before them as they did here.
use super::census::{Census, Generation};
use super::image::StoreImage;
use super::records::MOVED;
use super::shared::Shared;
use super::writer::Store;
use crate::memory::{Fate, Reclaimed, RecordBuf, RecordHeader};
use std::sync::Arc;

/// One record version of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionEntry<'a> {
    /// The bus message that wrote it.
    pub version: u64,
    /// The message that replaced it, if one did by the time of the image.
    pub replaced_by: Option<u64>,
    /// Its table.
    pub table: u16,
    /// The generation of that table, modulo 2^16.
    pub generation: u16,
    /// It says that the record is deleted.
    pub tombstone: bool,
    /// It lies behind versions newer than itself.
    pub moved: bool,
    /// The key, 1 to 255 bytes.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// What [`VersionWalk::next`] came to.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A version of the image, and where its generation stands.
    Version(VersionEntry<'a>, Generation),
    /// One that no state of the image shows, of so many bytes.
    Passed(u64),
    /// The end of the log as it was.
    End,
}

/// Reads a store's log for one image after the other.
pub struct VersionWalk {
    shared: Arc<Shared>,
    position: u64,
    held: u64,
    buffer: RecordBuf,
}

impl Store {
    /// Whoever copies versions. One at a time: it moves the store's one hold.
    pub fn version_walk(&self) -> VersionWalk {
        VersionWalk {
            shared: Arc::clone(&self.records.shared),
            position: 0,
            held: 0,
            buffer: RecordBuf::new(),
        }
    }
}

impl VersionWalk {
    /// Begins at the image's oldest version.
    pub(crate) fn begin(&mut self, image: &StoreImage) {
        self.position = image.log.start;
        self.held = image.log.start;
    }

    /// Bytes of the log that are still to be walked over.
    pub(crate) fn left_bytes(&self, image: &StoreImage) -> u64 {
        image.log.end.saturating_sub(self.position)
    }

    /// Goes on by one version. The same again until [`VersionWalk::pass`].
    pub(crate) fn next(&mut self, image: &StoreImage, census: &Census) -> Result<Step<'_>, Reclaimed> {
        if self.position >= image.log.end {
            return Ok(Step::End);
        }
        let log = self.shared.log.view();
        let header = log.header(self.position)?;
        let replaced_by = replaced_by(&header, image.applied);
        let Some(generation) = wanted(&header, replaced_by, image, census) else {
            self.position += header.bytes() as u64;
            return Ok(Step::Passed(header.bytes() as u64));
        };
        log.read(self.position, &mut self.buffer)?;
        let entry = VersionEntry {
            version: header.version,
            replaced_by,
            table: header.table,
            generation: header.generation,
            tombstone: header.tombstone,
            moved: header.note == MOVED,
            key: self.buffer.key(),
            value: self.buffer.value(),
        };
        Ok(Step::Version(entry, generation))
    }

    /// The version that [`VersionWalk::next`] came to has been copied.
    pub(crate) fn pass(&mut self) -> Result<(), Reclaimed> {
        self.position += self.shared.log.header(self.position)?.bytes() as u64;
        Ok(())
    }

    /// Lets the store clean what was walked over.
    pub(crate) fn release_passed(&mut self) -> Result<(), Reclaimed> {
        if !self.shared.hold.advance(self.held, self.position) {
            return Err(Reclaimed);
        }
        self.held = self.position;
        Ok(())
    }

    /// Nothing of the image is needed any more.
    pub(crate) fn let_go(&mut self) {
        self.shared.hold.let_go(self.held);
    }
}

/// What had replaced a version when message `applied` had been applied.
fn replaced_by(header: &RecordHeader, applied: u64) -> Option<u64> {
    match header.fate {
        Fate::Replaced { by } if (header.version..=applied).contains(&by) => Some(by),
        _ => None,
    }
}

/// The version's generation, if some state that could be read at the moment of the image shows the version.
fn wanted(
    header: &RecordHeader,
    replaced_by: Option<u64>,
    image: &StoreImage,
    census: &Census,
) -> Option<Generation> {
    let shown = match replaced_by {
        None => !header.tombstone || header.version > image.floor,
        // Nobody was ever to see what its own message replaced.
        Some(by) => by > image.floor && by != header.version,
    };
    let generation = shown.then(|| census.generation(image, header.table, header.generation))??;
    (generation != Generation::Dead).then_some(generation)
}
