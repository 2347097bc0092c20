//! Everything that later outcomes depend on, as of one message, but for the record versions themselves.
//!
//! [`Store::begin_image`] copies what is small at once: numbers, tables, emptied generations. Declarations are shared, not copied. The
//! session table is copied in slices ([`Store::go_on_with_image`]), and what changes meanwhile is copied before it does. The record
//! versions stay where they are: all of them that can be read at that moment lie between the log's tail and its head, and the store
//! holds the tail for whoever copies them ([`VersionWalk`](super::VersionWalk)).
use super::declared::Declared;
use super::tables::{RETIRING_MAX, Retiring, Table};
use super::tally::Tally;
use super::writer::Store;
use crate::bus::sessions::SessionImage;
use std::ops::Range;
use std::sync::Arc;

/// Slots of the session table that [`Store::go_on_with_image`] copies at a time.
const SLOTS_TOGETHER: usize = 256;

/// A table at the moment of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableImage {
    /// Its number.
    pub number: u16,
    /// How often it was emptied.
    pub generation: u64,
    /// What counts of its newest generation.
    pub tally: Tally,
}

/// A generation that was ended and still counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedGeneration {
    /// Its table's number.
    pub table: u16,
    /// The generation, modulo 2^16.
    pub generation: u16,
    /// The message that ended it.
    pub ended: u64,
    /// Records of it that count.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How many messages sweeping may take.
    pub sweep_messages: u64,
    /// 0 until the generation is dead, then the message with which it stops counting.
    pub released: u64,
}

/// See the module. Made once, used again and again.
#[derive(Debug, Default)]
pub struct StoreImage {
    /// The message after which the image shows the store.
    pub applied: u64,
    /// That message's timestamp.
    pub timestamp_ns: u64,
    /// The oldest state that may be read.
    pub floor: u64,
    /// Counts over all tables.
    pub total: Tally,
    /// The last message of the stream has been applied.
    pub stream_ended: bool,
    /// Let go of by whoever wanted the image, never by the store.
    pub(crate) declared: Option<Arc<Declared>>,
    pub(crate) tables: Vec<TableImage>,
    pub(crate) ended: Vec<EndedGeneration>,
    /// Not here while the store is copying it.
    pub(crate) sessions: Option<Box<SessionImage>>,
    /// Where the record versions lie in the log.
    pub(crate) log: Range<u64>,
}

/// What an image must have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRoom {
    /// Slots of the session table.
    pub sessions: usize,
    /// Tables.
    pub tables: usize,
}

impl StoreImage {
    /// Makes it empty, with so much room. Takes memory only where there was less.
    pub fn clear(&mut self, room: ImageRoom) {
        self.tables.clear();
        self.tables.reserve(room.tables);
        self.ended.clear();
        self.ended.reserve(RETIRING_MAX);
        self.declared = None;
        self.sessions.get_or_insert_default().clear(room.sessions);
        self.applied = 0;
    }

    /// The store's digest at that moment: [`Store::digest`].
    pub fn digest(&self) -> u128 {
        let sessions = self.sessions.as_ref().expect("the image is whole").digest();
        self.total.digest.wrapping_add(sessions).wrapping_add(self.declared().digest())
    }

    /// What has been declared by then.
    pub fn declared(&self) -> &Declared {
        self.declared.as_ref().expect("the image is whole")
    }

    /// Bytes of the log in which the record versions lie.
    pub fn log_bytes(&self) -> u64 {
        self.log.end - self.log.start
    }

    fn holds(&self, room: ImageRoom) -> bool {
        let sessions = self.sessions.as_ref().map_or(0, |sessions| sessions.room());
        sessions >= room.sessions && self.tables.capacity() >= room.tables
    }
}

impl Store {
    /// What an image of this store must have room for now; a declaration may change it.
    pub fn image_room(&self) -> ImageRoom {
        ImageRoom { sessions: self.sessions.slots(), tables: self.records.tables.list.len() }
    }

    /// Begins an image of the store as it is now, and holds the log's tail for it. `image` is cleared.
    ///
    /// # Errors
    ///
    /// When the image has not the room it says, or nothing is declared yet. Nothing has happened then.
    ///
    /// # Panics
    ///
    /// While another image is being made.
    pub fn begin_image(&mut self, image: &mut StoreImage) -> Result<(), ImageRoom> {
        let room = self.image_room();
        if self.declared.limits().is_none() || !image.holds(room) {
            return Err(room);
        }
        let records = &mut self.records;
        image.applied = self.applied;
        image.timestamp_ns = self.timestamp_ns;
        image.floor = records.floor;
        image.total = records.tables.total;
        image.stream_ended = self.sessions.stream_ended();
        image.declared = Some(Arc::clone(&self.declared));
        image.tables.extend(records.tables.list.iter().map(table_image));
        let list = &records.tables.list;
        image.ended.extend(records.tables.retiring.iter().map(|retiring| ended_generation(retiring, list)));
        image.log = records.log.tail()..records.log.head();
        records.shared.hold.begin(image.log.start);
        self.sessions.begin_image(image.sessions.take().expect("it has room for the sessions"));
        Ok(())
    }

    /// Copies some more of the session table. True once the image is whole.
    pub fn go_on_with_image(&mut self, image: &mut StoreImage) -> bool {
        image.sessions = self.sessions.go_on_with_image(SLOTS_TOGETHER);
        image.sessions.is_some()
    }
}

fn table_image(table: &Table) -> TableImage {
    TableImage { number: table.number, generation: table.generation, tally: table.tally }
}

fn ended_generation(retiring: &Retiring, tables: &[Table]) -> EndedGeneration {
    EndedGeneration {
        table: tables[retiring.place as usize].number,
        generation: retiring.generation,
        ended: retiring.ended,
        records: retiring.records,
        bytes: retiring.bytes,
        sweep_messages: retiring.sweep_messages,
        released: retiring.released,
    }
}
