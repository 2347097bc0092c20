//! Tables and their generations.
//!
//! A table's records belong to a generation. Emptying a table (ITCH's start of messages, system event `O`)
//! begins the next one: from that message on nothing of the old generation is seen, without touching a
//! record. Reads as of an earlier message still find it, so what an old generation holds goes on counting
//! until
//!
//! 1. the horizon has passed the message that ended it: the generation is then *dead*, no read can ask for
//!    it; and
//! 2. the index has been swept of it, in slices of a few buckets with each message. How long that takes is
//!    counted in messages, the same number on every node, whatever the size of its index.
use super::image::StoreImage;
use super::tally::{Share, Tally};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ended generations that may wait to be reclaimed, over all tables; emptying a table when there are as many
/// is refused.
pub const RETIRING_MAX: usize = 24;
/// Generations of one table whose first messages readers can look up. More than can ever be asked for.
const GENERATIONS_KEPT: u64 = 32;
const _: () = assert!(
    RETIRING_MAX as u64 + 2 < GENERATIONS_KEPT,
    "a reader finds every generation that may still be read"
);
const TABLE_NUMBERS: usize = 1 << 16;

/// When each of a table's recent generations began, for readers.
#[derive(Debug)]
struct Generations {
    newest: AtomicU64,
    /// Bus sequence number of the message that began generation g, at g modulo the length.
    began: [AtomicU64; GENERATIONS_KEPT as usize],
}

/// What readers know of the tables.
#[derive(Debug)]
pub(super) struct SharedTables {
    tables: Box<[OnceLock<Box<Generations>>]>,
}

impl SharedTables {
    pub fn new() -> Self {
        Self { tables: (0..TABLE_NUMBERS).map(|_| OnceLock::new()).collect() }
    }

    /// The generation that a read as of `sequence` sees; `None` for a table that is not declared. The caller
    /// checks afterwards that the horizon has not passed `sequence`: only then is the answer right.
    pub fn generation_at(&self, table: u16, sequence: u64) -> Option<u16> {
        let generations = self.tables[usize::from(table)].get()?;
        let newest = generations.newest.load(Ordering::Acquire);
        let oldest = newest.saturating_sub(GENERATIONS_KEPT - 1);
        let began = |generation: u64| &generations.began[(generation % GENERATIONS_KEPT) as usize];
        let found =
            (oldest..=newest).rev().find(|&generation| began(generation).load(Ordering::Acquire) <= sequence);
        Some(found.unwrap_or(oldest) as u16)
    }

    fn declare(&self, table: u16) {
        let generations = || {
            Box::new(Generations {
                newest: AtomicU64::new(0),
                began: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        };
        self.tables[usize::from(table)].get_or_init(generations);
    }

    fn begin(&self, table: u16, generation: u64, sequence: u64) {
        let generations = self.tables[usize::from(table)].get().expect("a declared table");
        generations.began[(generation % GENERATIONS_KEPT) as usize].store(sequence, Ordering::Release);
        generations.newest.store(generation, Ordering::Release);
    }

    /// Of a table restored, which had so many generations. Those of which it is not known when they began did so long ago.
    fn restore(&self, table: u16, newest: u64) {
        let generations = self.tables[usize::from(table)].get().expect("a declared table");
        generations.newest.store(newest, Ordering::Release);
    }
}

/// A table as the writer knows it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub number: u16,
    pub generation: u64,
    /// Of the newest generation.
    pub tally: Tally,
}

/// A generation that was ended and still counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retiring {
    pub place: u32,
    pub generation: u16,
    /// The message that ended it.
    pub ended: u64,
    /// What still counts of it.
    pub records: u64,
    pub bytes: u64,
    /// How many messages sweeping may take.
    pub sweep_messages: u64,
    /// 0 until the generation is dead, then the message with which it stops counting.
    pub released: u64,
}

/// All tables, and what counts over all of them.
#[derive(Debug)]
pub(super) struct Tables {
    places: Vec<u32>,
    pub list: Vec<Table>,
    pub retiring: Vec<Retiring>,
    pub total: Tally,
    /// Changes whenever a table is added or begins a generation.
    pub layout: u64,
}

const NO_PLACE: u32 = u32::MAX;

impl Tables {
    pub fn new() -> Self {
        Self {
            places: vec![NO_PLACE; TABLE_NUMBERS],
            list: Vec::new(),
            retiring: Vec::with_capacity(RETIRING_MAX),
            total: Tally::default(),
            layout: 0,
        }
    }

    /// Declares a table; nothing happens when it is declared already.
    pub fn declare(&mut self, number: u16, shared: &SharedTables) {
        if self.place(number).is_none() {
            self.places[usize::from(number)] = self.list.len() as u32;
            self.list.push(Table { number, generation: 0, tally: Tally::default() });
            shared.declare(number);
            self.layout += 1;
        }
    }

    /// The tables of an image, in its order, where there are none yet; `None` when one is there twice.
    pub fn restore(&mut self, image: &StoreImage, shared: &SharedTables) -> Option<()> {
        for table in &image.tables {
            if self.place(table.number).is_some() {
                return None;
            }
            self.declare(table.number, shared);
            let restored = self.list.last_mut().expect("declared just now");
            (restored.generation, restored.tally) = (table.generation, table.tally);
        }
        for ended in &image.ended {
            let place = self.place(ended.table)?;
            let newest = self.list[place as usize].generation;
            let back = u64::from((newest as u16).wrapping_sub(ended.generation));
            // What ended it began the next.
            shared.begin(ended.table, newest.checked_sub(back)? + 1, ended.ended);
            self.retiring.push(Retiring {
                place,
                generation: ended.generation,
                ended: ended.ended,
                records: ended.records,
                bytes: ended.bytes,
                sweep_messages: ended.sweep_messages,
                released: ended.released,
            });
        }
        for table in &image.tables {
            shared.restore(table.number, table.generation);
        }
        self.total = image.total;
        Some(())
    }

    /// Where a table is in `list`; `None` when it is not declared.
    #[inline]
    pub fn place(&self, number: u16) -> Option<u32> {
        let place = self.places[usize::from(number)];
        (place != NO_PLACE).then_some(place)
    }

    /// Replaces a contribution to the newest generation of a table.
    #[inline]
    pub fn exchange(&mut self, place: u32, old: &Share, new: &Share) {
        self.list[place as usize].tally.exchange(old, new);
        self.total.exchange(old, new);
    }

    /// A deleted record of this generation stops counting.
    pub fn expire(&mut self, number: u16, generation: u16, bytes: u64) {
        let place = self.place(number).expect("a record's table is declared");
        let table = &mut self.list[place as usize];
        if table.generation as u16 == generation {
            table.tally.records -= 1;
            table.tally.bytes -= bytes;
        } else {
            let of_it =
                |retiring: &&mut Retiring| retiring.place == place && retiring.generation == generation;
            let retiring = self.retiring.iter_mut().find(of_it).expect("a generation that counts is listed");
            retiring.records -= 1;
            retiring.bytes -= bytes;
        }
        self.total.records -= 1;
        self.total.bytes -= bytes;
    }

    /// True when no read can ask for this generation any more.
    #[inline]
    pub fn is_dead(&self, number: u16, generation: u16, floor: u64) -> bool {
        let place = self.place(number).expect("a record's table is declared");
        if self.list[place as usize].generation as u16 == generation {
            return false;
        }
        let of_it = |retiring: &&Retiring| retiring.place == place && retiring.generation == generation;
        self.retiring.iter().find(of_it).is_none_or(|retiring| retiring.ended <= floor)
    }

    /// True when every one of these tables can be emptied; all are declared.
    pub fn can_empty(&self, numbers: &[u16]) -> bool {
        let places = numbers.iter().filter_map(|&number| self.place(number));
        let filled = places.filter(|&place| self.list[place as usize].tally.records > 0).count();
        self.retiring.len() + filled <= RETIRING_MAX
    }

    /// Empties a table with message `sequence`. A generation of which nothing counts is kept, there being
    /// nothing to hide: false then.
    pub fn empty(&mut self, number: u16, sequence: u64, sweep_messages: u64, shared: &SharedTables) -> bool {
        let place = self.place(number).expect("a declared table");
        let table = &mut self.list[place as usize];
        if table.tally.records == 0 {
            return false;
        }
        let tally = std::mem::take(&mut table.tally);
        assert!(self.retiring.len() < RETIRING_MAX, "can_empty was asked first");
        self.total.live -= tally.live;
        self.total.digest = self.total.digest.wrapping_sub(tally.digest);
        self.retiring.push(Retiring {
            place,
            generation: table.generation as u16,
            ended: sequence,
            records: tally.records,
            bytes: tally.bytes,
            sweep_messages,
            released: 0,
        });
        table.generation += 1;
        self.layout += 1;
        shared.begin(table.number, table.generation, sequence);
        true
    }

    /// Lets go of what has been swept by message `sequence`. Returns the fewest messages that one of the dead
    /// generations may still be swept in, `None` when there is none.
    pub fn release(&mut self, sequence: u64, floor: u64) -> Option<u64> {
        let mut sweep_messages = None;
        let mut index = 0;
        while index < self.retiring.len() {
            let retiring = &mut self.retiring[index];
            if retiring.released == 0 && retiring.ended <= floor {
                retiring.released = sequence + retiring.sweep_messages;
            }
            if retiring.released != 0 && retiring.released <= sequence {
                self.total.records -= retiring.records;
                self.total.bytes -= retiring.bytes;
                self.retiring.remove(index);
                continue;
            }
            if retiring.released != 0 {
                let messages = retiring.sweep_messages;
                sweep_messages = Some(sweep_messages.map_or(messages, |fewest: u64| fewest.min(messages)));
            }
            index += 1;
        }
        sweep_messages
    }
}
