//! Record versions in the order in which they were written: a ring addressed by virtual positions.
//!
//! # Layout
//!
//! ```text
//! word 0    head: where the next record goes      word 16   tail: where the oldest kept record begins
//! word 32   records: 5 words of header, then the key and the value behind it, padded to a word
//!
//! header    0 version u64 | 8 previous u48, flags u16 | 16 table u16 | 18 generation u16 | 20 value length u16 | 22 key length u8 | 0
//!           24 digest u128; once the version is replaced: by which version u64, 0 u64
//! ```
//!
//! A position is a byte position, a multiple of 8, that never wraps; the word is `position / 8` modulo the
//! capacity, and a record may lie around the end. The [`index`](super::index) holds positions as 48-bit
//! addresses (position / 8 modulo 2^48); [`RecordLog::position`] turns one back into the newest position that
//! it can mean. A record's `previous` is kept the same way and is relative to the record's own position, so
//! it is exact.
//!
//! # Concurrency
//!
//! One writer, readers that neither lock nor write. The writer advances the tail (a `Release` store) and,
//! behind a `Release` fence, overwrites what lay below. A reader copies, and after an `Acquire` fence looks
//! at the tail: if it has passed the position, what was copied may be torn and the read says [`Reclaimed`].
mod reader;
mod writer;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

pub use reader::RecordBuf;
pub use writer::{RecordLogWriter, RecordVersion};

use super::index::{ADDRESS_BITS, ADDRESS_MAX};
use super::words::{AtomicU64, LINE_WORDS, SharedWords, Span, WORD_BYTES, fence, words_for};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Bytes of a record beside its key and value, without the padding.
pub const RECORD_HEADER_BYTES: usize = RECORD_HEADER_WORDS * WORD_BYTES;
/// Bytes of the longest key.
pub const KEY_BYTES_MAX: usize = u8::MAX as usize;
/// Bytes of the longest value.
pub const VALUE_BYTES_MAX: usize = u16::MAX as usize;

const RECORD_HEADER_WORDS: usize = 5;
const LINK_AT: usize = 1;
const IDENTITY_AT: usize = 2;
const FATE_AT: usize = 3;
const HEAD_AT: usize = 0;
const TAIL_AT: usize = LINE_WORDS;
const LOG_HEADER_WORDS: usize = 2 * LINE_WORDS;

const FLAG_TOMBSTONE: u16 = 1;
const FLAG_PREVIOUS: u16 = 2;
const FLAG_REPLACED: u16 = 4;
/// The bits of the word with table and lengths that hold the value's length.
const VALUE_LENGTH_MASK: u64 = 0xFFFF << 32;
/// Flags that belong to the caller.
const FLAGS_OF_CALLER_SHIFT: u32 = 8;

/// How large a record log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLogConfig {
    /// Bytes for records; rounded down to a multiple of 8; at least 48, at most 2^50. See
    /// [`RecordLog::record_bytes`].
    pub capacity_bytes: usize,
}

/// The record is gone: its place was, or may have been, given to newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaimed;

impl fmt::Display for Reclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record version was reclaimed")
    }
}

impl std::error::Error for Reclaimed {}

/// Whether a version is its record's newest. Only the writer may rely on it: it changes behind a reader's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the newest.
    Current {
        /// Digest of the version, as the caller reckons it. Kept here so that it need not be made again when the version is
        /// replaced.
        digest: u128,
    },
    /// It was replaced.
    Replaced {
        /// By the version with this number; its own number if nobody was ever to see it.
        by: u64,
    },
}

impl Default for Fate {
    fn default() -> Self {
        Self::Current { digest: 0 }
    }
}

impl Fate {
    #[inline(always)]
    fn from_words(flags: u16, words: [u64; 2]) -> Self {
        if flags & FLAG_REPLACED != 0 {
            Self::Replaced { by: words[0] }
        } else {
            Self::Current { digest: u128::from(words[1]) << 64 | u128::from(words[0]) }
        }
    }

    #[inline]
    fn flag(&self) -> u16 {
        match self {
            Self::Current { .. } => 0,
            Self::Replaced { .. } => FLAG_REPLACED,
        }
    }

    fn words(&self) -> [u64; 2] {
        match self {
            Self::Current { digest } => [*digest as u64, (digest >> 64) as u64],
            Self::Replaced { by } => [*by, 0],
        }
    }
}

/// What a record says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bus sequence number that wrote it.
    pub version: u64,
    /// Position of the version before, if one is linked; it may be reclaimed.
    pub previous: Option<u64>,
    /// True when this version says that the record is deleted.
    pub tombstone: bool,
    /// Whatever the caller noted.
    pub note: u8,
    /// Its table.
    pub table: u16,
    /// The generation of that table.
    pub generation: u16,
    /// Bytes of the key.
    pub key_length: usize,
    /// Bytes of the value.
    pub value_length: usize,
    /// Whether it is the newest.
    pub fate: Fate,
}

impl RecordHeader {
    /// Bytes that the record takes in the log.
    #[inline]
    pub fn bytes(&self) -> usize {
        RecordLog::record_bytes(self.key_length, self.value_length)
    }

    #[inline(always)]
    fn from_words(position: u64, words: [u64; RECORD_HEADER_WORDS]) -> Self {
        let flags = (words[LINK_AT] >> ADDRESS_BITS) as u16;
        let lengths = words[IDENTITY_AT] >> 32;
        let linked = flags & FLAG_PREVIOUS != 0;
        Self {
            version: words[0],
            previous: linked.then(|| position_before(position, words[LINK_AT] & ADDRESS_MAX)),
            tombstone: flags & FLAG_TOMBSTONE != 0,
            note: (flags >> FLAGS_OF_CALLER_SHIFT) as u8,
            table: words[IDENTITY_AT] as u16,
            generation: (words[IDENTITY_AT] >> 16) as u16,
            key_length: (lengths >> 16 & 0xFF) as usize,
            value_length: (lengths & 0xFFFF) as usize,
            fate: Fate::from_words(flags, [words[FATE_AT], words[FATE_AT + 1]]),
        }
    }
}

/// The word with table, generation and lengths.
#[inline]
fn identity_word(table: u16, generation: u16, key_length: usize, value_length: usize) -> u64 {
    u64::from(table) | u64::from(generation) << 16 | (value_length as u64) << 32 | (key_length as u64) << 48
}

/// The newest position, not above `limit`, whose address this is.
#[inline]
fn position_before(limit: u64, address: u64) -> u64 {
    let back = (limit / WORD_BYTES as u64).wrapping_sub(address) & ADDRESS_MAX;
    (limit / WORD_BYTES as u64).saturating_sub(back) * WORD_BYTES as u64
}

/// Remainders by a divisor that stays the same, by multiplication: a division takes as long as all the rest of finding a record.
#[derive(Clone, Copy, Debug)]
struct Modulus {
    divisor: u64,
    reciprocal: u64,
    shift: u32,
}

impl Modulus {
    /// Bits of the largest dividend.
    const DIVIDEND_BITS: u32 = 61;

    fn new(divisor: usize) -> Self {
        let divisor = divisor as u64;
        // With so many bits the reciprocal, rounded up, gives the exact quotient for every dividend (Granlund and Montgomery).
        let shift = Self::DIVIDEND_BITS + divisor.next_power_of_two().trailing_zeros();
        let reciprocal = (1u128 << shift).div_ceil(u128::from(divisor)) as u64;
        Self { divisor, reciprocal, shift }
    }

    #[inline]
    fn remainder(self, dividend: u64) -> u64 {
        let quotient = (u128::from(dividend) * u128::from(self.reciprocal)) >> self.shift;
        dividend - quotient as u64 * self.divisor
    }
}

/// The log, as its writer and its readers share it.
pub struct RecordLog {
    words: SharedWords,
    capacity: Modulus,
    writer_taken: AtomicBool,
}

/// A log's words, found once for several looks at it.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    header: &'a [AtomicU64],
    records: &'a [AtomicU64],
    capacity: Modulus,
}

impl<'a> RecordView<'a> {
    /// Where the record at a virtual position begins among the words.
    #[inline]
    fn word(&self, position: u64) -> usize {
        self.capacity.remainder(position / WORD_BYTES as u64) as usize
    }

    /// `count` words at a virtual position; `count` at most the whole area.
    #[inline]
    fn span(&self, position: u64, count: usize) -> Span<'a> {
        Span::new(self.records, self.word(position), count)
    }

    /// Where the next record goes.
    #[inline]
    pub fn head(&self) -> u64 {
        self.header[HEAD_AT].load(Acquire)
    }

    /// Where the oldest kept record begins; the head when there is none.
    #[inline]
    pub fn tail(&self) -> u64 {
        self.header[TAIL_AT].load(Acquire)
    }

    /// The newest position below the head that has this address.
    #[inline]
    pub fn position(&self, address: u64) -> u64 {
        position_before(self.head().saturating_sub(WORD_BYTES as u64), address)
    }
}

impl RecordLog {
    /// Words that a log of this size takes.
    pub fn words_needed(config: &RecordLogConfig) -> usize {
        LOG_HEADER_WORDS + config.capacity_bytes / WORD_BYTES
    }

    /// Bytes that a record takes.
    #[inline]
    pub const fn record_bytes(key_length: usize, value_length: usize) -> usize {
        RECORD_HEADER_BYTES + words_for(key_length + value_length) * WORD_BYTES
    }

    /// Makes an empty log. Whatever the words held is gone.
    ///
    /// # Panics
    ///
    /// When the words are too few, or the capacity is not as its field says.
    pub fn create(words: SharedWords, config: RecordLogConfig) -> Arc<Self> {
        let capacity = config.capacity_bytes;
        assert!((48..=1 << 50).contains(&capacity), "a record log has 48 to 2^50 bytes: {config:?}");
        assert!(words.words().len() >= Self::words_needed(&config), "too few words for {config:?}");
        let header = &words.words()[..LOG_HEADER_WORDS];
        header[HEAD_AT].store(0, Relaxed);
        header[TAIL_AT].store(0, Release);
        let capacity = Modulus::new(capacity / WORD_BYTES);
        Arc::new(Self { words, capacity, writer_taken: AtomicBool::new(false) })
    }

    /// The log's words, for several looks at it.
    #[inline]
    pub fn view(&self) -> RecordView<'_> {
        let (header, records) = self.words.words().split_at(LOG_HEADER_WORDS);
        RecordView { header, records: &records[..self.capacity.divisor as usize], capacity: self.capacity }
    }

    /// Bytes for records.
    pub fn capacity_bytes(&self) -> usize {
        self.capacity.divisor as usize * WORD_BYTES
    }

    /// As [`RecordView::head`].
    #[inline]
    pub fn head(&self) -> u64 {
        self.view().head()
    }

    /// As [`RecordView::tail`].
    #[inline]
    pub fn tail(&self) -> u64 {
        self.view().tail()
    }

    /// Bytes between tail and head.
    pub fn used_bytes(&self) -> usize {
        // The tail first: it never passes a head that is read later.
        let tail = self.tail();
        (self.head() - tail) as usize
    }

    /// The address of a position.
    #[inline]
    pub const fn address(position: u64) -> u64 {
        (position / WORD_BYTES as u64) & ADDRESS_MAX
    }

    /// As [`RecordView::position`].
    #[inline]
    pub fn position(&self, address: u64) -> u64 {
        self.view().position(address)
    }

    /// The writer.
    ///
    /// # Panics
    ///
    /// When there is one already.
    pub fn writer(self: &Arc<Self>) -> RecordLogWriter {
        assert!(!self.writer_taken.swap(true, AcqRel), "a record log has one writer");
        RecordLogWriter::new(Arc::clone(self))
    }
}

impl fmt::Debug for RecordLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordLog").field("capacity_bytes", &self.capacity_bytes()).finish_non_exhaustive()
    }
}
