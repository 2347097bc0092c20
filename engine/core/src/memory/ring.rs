//! The recent end of a stream: one writer, readers that know when they were overrun.
//!
//! # Layout
//!
//! ```text
//! word 0   magic, version, data words, positions, boot id, stream, first sequence number,
//!          running checksum before it, directory, crc32c                                                 fixed at creation
//! word 16  claimed position, claimed sequence number         the writer may be writing below these
//! word 32  published sequence number, its end position       readers may read up to this
//! word 48  position of message [sequence & mask]             as many as configured, a power of two
//! then     frames: {length u32, crc32c u32 | sequence u64 | epoch u32, 0 | chain u64} and the bytes, padded to a word
//! ```
//!
//! Positions are virtual byte positions that never wrap; the word is `position / 8` modulo the data words.
//! Frames follow each other without a hole, so a reader in order needs the table of positions only after a
//! seek. The chain of a message is the running checksum of all messages up to it ([`chained`]).
//!
//! # Protocol
//!
//! The writer claims (a `Relaxed` store, then a `Release` fence), writes words `Relaxed`, and publishes with
//! a `Release` store. A reader loads the published number with `Acquire`, copies `Relaxed`, and after an
//! `Acquire` fence looks at the claim: if it reaches further than one lap beyond the frame, the copy may be
//! torn and the read is an overrun. If the reader saw any word of the newer lap, the two fences order the
//! claim before its own look at it. Claims are taken in chunks, so that the line they live on stays in the
//! readers' caches; a chunk never reaches a message that [`RingWriter::room`] was told to keep.
//!
//! # After a crash
//!
//! Published frames are whole once the writer is gone, whatever it was doing. [`Ring::open`] trusts none of
//! it: it walks back from the published number and keeps what has the right checksum, number and place.
//! Readers do not compute checksums.
mod reader;
mod recovery;
mod writer;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

pub use reader::{Read, RingReader};
pub use recovery::RingError;
pub use writer::RingWriter;

use super::words::{AtomicU64, LINE_WORDS, SharedWords, Span, WORD_BYTES, fence, words_for};
use gds_wire::session::Session;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of the longest message.
pub const MAX_MESSAGE_BYTES: usize = 65_536;
/// Bytes a frame needs beside its message, without the padding.
pub const FRAME_HEADER_BYTES: usize = FRAME_HEADER_WORDS * WORD_BYTES;
/// Largest sequence number and position; leaves room to add without overflow.
const NUMBER_MAX: u64 = 1 << 62;

const FRAME_HEADER_WORDS: usize = 4;
/// Which word of a frame is the chain.
const CHAIN_WORD: usize = 3;
/// Where in a frame its checksum is: CRC-32C of all its words, padding included, with this field as 0.
const FRAME_CHECKSUM: std::ops::Range<usize> = 4..8;
/// The first word of every ring.
const MAGIC: u64 = u64::from_le_bytes(*b"GDS ring");
const VERSION: u64 = 3;

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
const DATA_WORDS_AT: usize = 2;
const POSITIONS_AT: usize = 3;
const BOOT_ID_AT: usize = 4;
const STREAM_AT: usize = 6;
const FIRST_SEQUENCE_AT: usize = 8;
const CHAIN_BEFORE_AT: usize = 9;
const DIRECTORY_AT: usize = 10;
const CHECKSUM_AT: usize = 12;
/// One line each for what the writer claims and what it publishes: they change at different times for
/// different readers.
const CLAIMED_AT: usize = LINE_WORDS;
const CLAIMED_SEQUENCE_AT: usize = LINE_WORDS + 1;
const PUBLISHED_AT: usize = 2 * LINE_WORDS;
const END_AT: usize = 2 * LINE_WORDS + 1;
const HEADER_WORDS: usize = 3 * LINE_WORDS;

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Bytes for frames; a power of two of at least 64. The longest message that fits is 32 bytes shorter.
    pub data_bytes: usize,
    /// How many of the last messages can be looked up by sequence number; a power of two of at least 2.
    pub positions: usize,
}

impl RingConfig {
    fn is_valid(&self) -> bool {
        self.data_bytes.is_power_of_two()
            && (64..=1 << 50).contains(&self.data_bytes)
            && self.positions.is_power_of_two()
            && (2..=1 << 40).contains(&self.positions)
    }
}

/// Whose ring it is: checked at a restart before its messages count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingIdentity {
    /// The stream.
    pub stream: Session,
    /// The boot of the machine under which it was created: after another boot the memory is not what it was.
    pub boot_id: [u8; 16],
    /// The id of the directory that has the rest of the stream; zeros where the ring does not outlive its process.
    pub directory: [u8; 16],
}

/// The ring, as its writer and its readers share it.
pub struct Ring {
    words: SharedWords,
    config: RingConfig,
    identity: RingIdentity,
    floor: Floor,
    writer_taken: AtomicBool,
}

/// The oldest message that was whole when the ring was created or opened; older ones are never given out.
#[derive(Clone, Copy, Debug)]
struct Floor {
    sequence: u64,
    /// Where it begins.
    position: u64,
    /// The running checksum of all before it, where that is known.
    chain_before: Option<u64>,
}

/// The three parts of the words, resolved once per operation.
#[derive(Clone, Copy)]
struct Parts<'a> {
    header: &'a [AtomicU64],
    positions: &'a [AtomicU64],
    data: &'a [AtomicU64],
}

impl<'a> Parts<'a> {
    fn new(words: &'a [AtomicU64], config: &RingConfig) -> Self {
        let (header, rest) = words.split_at(HEADER_WORDS);
        let data = &rest[config.positions.next_multiple_of(LINE_WORDS)..][..config.data_bytes / WORD_BYTES];
        Self { header, positions: &rest[..config.positions], data }
    }

    fn position_of(&self, sequence: u64) -> &'a AtomicU64 {
        &self.positions[sequence as usize & (self.positions.len() - 1)]
    }

    /// `count` words at a virtual position; `count` at most the whole area.
    fn span(&self, position: u64, count: usize) -> Span<'a> {
        Span::new(self.data, (position / WORD_BYTES as u64) as usize & (self.data.len() - 1), count)
    }

    /// Position of a published message, unless its entry was reused.
    fn locate(&self, sequence: u64) -> Option<u64> {
        let position = self.position_of(sequence).load(Relaxed);
        fence(Acquire);
        let claimed = self.header[CLAIMED_SEQUENCE_AT].load(Relaxed);
        (claimed.saturating_sub(sequence) < self.positions.len() as u64).then_some(position)
    }

    /// Whether nothing from `position` on has been claimed again; true also vouches for every load before the
    /// call.
    fn is_whole(&self, position: u64) -> bool {
        fence(Acquire);
        let claimed = self.header[CLAIMED_AT].load(Relaxed);
        claimed.saturating_sub(position) <= (self.data.len() * WORD_BYTES) as u64
    }

    fn is_kept(&self, sequence: u64, last: u64) -> bool {
        sequence > last || self.locate(sequence).is_some_and(|position| self.is_whole(position))
    }
}

impl Ring {
    /// Words of the header, with which every ring begins.
    pub const HEADER_WORDS: usize = HEADER_WORDS;

    /// Words that the ring takes that begins with these, as its header says; `None` where there is no header that can be believed.
    pub fn words_of(words: &[AtomicU64]) -> Option<usize> {
        recovery::read_header(words).ok().map(|header| Self::words_needed(&header.config))
    }

    /// Words that a ring of this size takes.
    pub fn words_needed(config: &RingConfig) -> usize {
        HEADER_WORDS + config.positions.next_multiple_of(LINE_WORDS) + config.data_bytes / WORD_BYTES
    }

    /// Bytes of the ring that a message of `message_bytes` takes.
    pub const fn frame_bytes(message_bytes: usize) -> usize {
        FRAME_HEADER_BYTES + words_for(message_bytes) * WORD_BYTES
    }

    /// Makes an empty ring whose first message will be `first_sequence`, of a stream that nothing is known of before that. Whatever the words held is gone.
    ///
    /// # Panics
    ///
    /// When the configuration is not as its fields say, the words are too few, or `first_sequence` is 0.
    pub fn create(
        words: SharedWords,
        config: RingConfig,
        identity: RingIdentity,
        first_sequence: u64,
    ) -> Arc<Self> {
        Self::create_behind(words, config, identity, first_sequence, 0)
    }

    /// Makes an empty ring as [`create`](Self::create) does. `chain_before` is the running checksum of what comes before `first_sequence`.
    ///
    /// # Panics
    ///
    /// As [`create`](Self::create).
    pub fn create_behind(
        words: SharedWords,
        config: RingConfig,
        identity: RingIdentity,
        first_sequence: u64,
        chain_before: u64,
    ) -> Arc<Self> {
        assert!(
            config.is_valid(),
            "a ring's sizes are powers of two, data >= 64 bytes, positions >= 2: {config:?}"
        );
        assert!(words.words().len() >= Self::words_needed(&config), "too few words for {config:?}");
        assert!((1..NUMBER_MAX).contains(&first_sequence), "sequence numbers start at 1");
        let fixed = fixed_words(&config, &identity, first_sequence, chain_before);
        let header = &words.words()[..HEADER_WORDS];
        // The magic word goes first and comes back last: a ring half made is none.
        header[MAGIC_AT].store(0, Relaxed);
        fence(Release);
        for (index, value) in fixed.iter().enumerate().skip(1) {
            header[index].store(*value, Relaxed);
        }
        header[CLAIMED_AT].store(0, Relaxed);
        header[CLAIMED_SEQUENCE_AT].store(first_sequence - 1, Relaxed);
        header[END_AT].store(0, Relaxed);
        header[PUBLISHED_AT].store(first_sequence - 1, Release);
        header[MAGIC_AT].store(MAGIC, Release);
        Arc::new(Self::over(
            words,
            config,
            identity,
            Floor { sequence: first_sequence, position: 0, chain_before: Some(chain_before) },
        ))
    }

    /// Takes over a ring that another process, now gone, has written: keeps every message up to the last
    /// published one that is whole and follows on its predecessor. What was appended and not published is not
    /// counted.
    ///
    /// # Errors
    ///
    /// When the words are no ring, another version's, or damaged where it matters. Nothing found in them is
    /// trusted.
    pub fn open(words: SharedWords) -> Result<Arc<Self>, RingError> {
        recovery::open(words).map(Arc::new)
    }

    /// Forgets every message above `after`: that is the last one then, and the next that is appended gets the number behind it. A
    /// ring that no longer has `after` is made anew, empty, with `chain_after` as the running checksum up to there; one that ends with it or before
    /// stays as it is.
    ///
    /// A process that dies meanwhile leaves the ring as it was, or cut, or, where it is made anew, perhaps none.
    ///
    /// # Panics
    ///
    /// When anybody else has the ring: to its readers messages would change.
    #[must_use]
    pub fn cut(self: Arc<Self>, after: u64, chain_after: u64) -> Arc<Self> {
        let (first, last) = (self.first(), self.last());
        if after >= last {
            return self;
        }
        let Some(ring) = Arc::into_inner(self) else {
            panic!("a ring is cut before it has a writer or readers")
        };
        if after < first {
            return Self::create_behind(ring.words, ring.config, ring.identity, after + 1, chain_after);
        }
        let parts = ring.parts();
        let end = parts.position_of(after + 1).load(Relaxed);
        let first_position = parts.position_of(first).load(Relaxed);
        parts.header[PUBLISHED_AT].store(after, Release);
        parts.header[END_AT].store(end, Relaxed);
        // What was claimed and is below `first` is gone all the same.
        parts.header[CLAIMED_AT].store(end, Relaxed);
        parts.header[CLAIMED_SEQUENCE_AT].store(after, Relaxed);
        fence(Release);
        let chain_before = ring.chain_of(first - 1);
        let floor = Floor { sequence: first, position: first_position, chain_before };
        Arc::new(Self::over(ring.words, ring.config, ring.identity, floor))
    }

    fn over(words: SharedWords, config: RingConfig, identity: RingIdentity, floor: Floor) -> Self {
        Self { words, config, identity, floor, writer_taken: AtomicBool::new(false) }
    }

    fn parts(&self) -> Parts<'_> {
        Parts::new(self.words.words(), &self.config)
    }

    /// The sizes.
    pub fn config(&self) -> RingConfig {
        self.config
    }

    /// Whose ring it is.
    pub fn identity(&self) -> RingIdentity {
        self.identity
    }

    /// Number of the last published message; one less than the first when there is none. All up to it is
    /// visible.
    pub fn last(&self) -> u64 {
        // What every reader asks in every idle lap: of the header alone.
        self.words.words()[PUBLISHED_AT].load(Acquire)
    }

    /// Number of the oldest message that a reader may still get; `last() + 1` when there is none. While the
    /// writer runs this is already old when it returns.
    pub fn first(&self) -> u64 {
        let parts = self.parts();
        let last = parts.header[PUBLISHED_AT].load(Acquire);
        let (mut low, mut high) = (self.floor.sequence, last.saturating_add(1));
        if parts.is_kept(low, last) {
            return low;
        }
        // `low` is gone, `high` is kept or not there yet.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if parts.is_kept(middle, last) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    /// The running checksum of all messages up to this one; `None` where the ring does not know it: below its first message but one, and above its
    /// last.
    pub fn chain_of(&self, sequence: u64) -> Option<u64> {
        if sequence == self.floor.sequence - 1 {
            return self.floor.chain_before;
        }
        if sequence < self.floor.sequence || sequence > self.last() {
            return None;
        }
        let parts = self.parts();
        let position = parts.locate(sequence)?;
        let header = parts.span(position, FRAME_HEADER_WORDS);
        let (found, chain) = (header.load(1), header.load(CHAIN_WORD));
        (found == sequence && parts.is_whole(position)).then_some(chain)
    }

    /// The running checksum of all messages up to the last one.
    pub fn last_chain(&self) -> u64 {
        // The last published message is never overwritten, and what comes before the first one is known while there is none.
        self.chain_of(self.last()).unwrap_or_default()
    }

    /// The writer. It goes on behind the last published message.
    ///
    /// # Panics
    ///
    /// When there is one already.
    pub fn writer(self: &Arc<Self>) -> RingWriter {
        assert!(!self.writer_taken.swap(true, AcqRel), "a ring has one writer");
        RingWriter::new(Arc::clone(self))
    }

    /// A reader whose next message is `next_sequence`.
    pub fn reader(self: &Arc<Self>, next_sequence: u64) -> RingReader {
        RingReader::new(Arc::clone(self), next_sequence)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The running checksum of a stream up to a message with these bytes, where that of all messages before it is `before`; 0 before the first. Two logs with
/// one chain at one number have the same messages up to there, whatever epochs these were numbered in and however they are grouped.
#[inline]
pub fn chained(before: u64, message: &[u8]) -> u64 {
    xxh3_64_with_seed(message, before)
}

/// The words that never change, with their checksum at the end.
fn fixed_words(
    config: &RingConfig,
    identity: &RingIdentity,
    first_sequence: u64,
    chain_before: u64,
) -> [u64; CHECKSUM_AT + 1] {
    let mut fixed = [0; CHECKSUM_AT + 1];
    fixed[MAGIC_AT] = MAGIC;
    fixed[VERSION_AT] = VERSION;
    fixed[DATA_WORDS_AT] = (config.data_bytes / WORD_BYTES) as u64;
    fixed[POSITIONS_AT] = config.positions as u64;
    let (boot, _) = identity.boot_id.as_chunks::<WORD_BYTES>();
    fixed[BOOT_ID_AT] = u64::from_le_bytes(boot[0]);
    fixed[BOOT_ID_AT + 1] = u64::from_le_bytes(boot[1]);
    let mut stream = [0; 16];
    stream[..10].copy_from_slice(&identity.stream.0);
    let (stream, _) = stream.as_chunks::<WORD_BYTES>();
    fixed[STREAM_AT] = u64::from_le_bytes(stream[0]);
    fixed[STREAM_AT + 1] = u64::from_le_bytes(stream[1]);
    fixed[FIRST_SEQUENCE_AT] = first_sequence;
    fixed[CHAIN_BEFORE_AT] = chain_before;
    let (directory, _) = identity.directory.as_chunks::<WORD_BYTES>();
    fixed[DIRECTORY_AT] = u64::from_le_bytes(directory[0]);
    fixed[DIRECTORY_AT + 1] = u64::from_le_bytes(directory[1]);
    fixed[CHECKSUM_AT] = u64::from(fixed_checksum(&fixed));
    fixed
}

fn fixed_checksum(fixed: &[u64; CHECKSUM_AT + 1]) -> u32 {
    fixed[..CHECKSUM_AT].iter().fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()))
}
