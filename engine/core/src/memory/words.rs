//! Memory as atomic 64-bit words, and bytes in and out of them.
//!
//! Readers copy while the writer may already be overwriting: with plain bytes that would be a data race, so
//! every byte lives in an [`AtomicU64`] that is loaded and stored `Relaxed` (an ordinary move on the machines
//! we run on), little-endian. Ordering comes from the fences and published numbers of the structure on top.
//! An area is circular: a [`Span`] of it is at most two runs.
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU64, fence};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU64, fence};

/// Bytes in one word.
pub const WORD_BYTES: usize = 8;
/// Words in one line: two cache lines, since processors fetch adjacent lines in pairs.
pub const LINE_WORDS: usize = 16;

/// Bytes that a message or a record mostly has no more of: as many are fetched ahead for the next.
pub const USUAL_BYTES: usize = 320;
/// Words that come into the cache at once.
pub const CACHE_LINE_WORDS: usize = 8;

/// Owns words of memory: pages, a shared file, the heap.
pub trait Words: Send + Sync + 'static {
    /// The words, always the same ones. Best aligned to 128 bytes: the structures lay out their cache lines
    /// from the first word.
    fn words(&self) -> &[AtomicU64];
}

/// Words that a structure and its readers hold together.
pub type SharedWords = Arc<dyn Words>;

/// Words on the heap, zero at first and aligned to 128 bytes: for tests, and where no pages are configured.
pub struct HeapWords {
    words: Box<[AtomicU64]>,
    start: usize,
    count: usize,
}

impl HeapWords {
    /// `count` zero words.
    pub fn new(count: usize) -> Self {
        // Spare words in front, so that the first word given out begins a line whatever the allocator
        // returned.
        let words: Box<[AtomicU64]> = (0..count + LINE_WORDS - 1).map(|_| AtomicU64::new(0)).collect();
        let offset_bytes = words.as_ptr().addr() % (LINE_WORDS * WORD_BYTES);
        // Loom's words are larger than eight bytes; alignment means nothing there.
        let start = if cfg!(loom) { 0 } else { (LINE_WORDS - offset_bytes / WORD_BYTES) % LINE_WORDS };
        Self { words, start, count }
    }

    /// `count` zero words, shared.
    pub fn shared(count: usize) -> SharedWords {
        Arc::new(Self::new(count))
    }
}

impl Words for HeapWords {
    fn words(&self) -> &[AtomicU64] {
        &self.words[self.start..self.start + self.count]
    }
}

/// How many words hold `bytes` bytes.
pub const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(WORD_BYTES)
}

/// Consecutive words of a circular area, as at most two runs.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    first: &'a [AtomicU64],
    second: &'a [AtomicU64],
}

impl<'a> Span<'a> {
    /// `count` words of `area` from `start`, going on at its beginning when it ends.
    ///
    /// # Panics
    ///
    /// When `start` is outside the area or `count` exceeds it.
    #[inline]
    pub fn new(area: &'a [AtomicU64], start: usize, count: usize) -> Self {
        let (front, back) = area.split_at(start);
        if count <= back.len() {
            Self { first: &back[..count], second: &back[..0] }
        } else {
            Self { first: back, second: &front[..count - back.len()] }
        }
    }

    /// The span without its first `count` words.
    #[inline]
    pub fn skip(self, count: usize) -> Self {
        if count <= self.first.len() {
            Self { first: &self.first[count..], second: self.second }
        } else {
            let second = &self.second[count - self.first.len()..];
            Self { first: second, second: &second[..0] }
        }
    }

    /// The word at `index`.
    #[inline]
    pub fn load(self, index: usize) -> u64 {
        match self.first.get(index) {
            Some(word) => word.load(Relaxed),
            None => self.second[index - self.first.len()].load(Relaxed),
        }
    }

    /// Sets the word at `index`.
    #[inline]
    pub fn store(self, index: usize, value: u64) {
        match self.first.get(index) {
            Some(word) => word.store(value, Relaxed),
            None => self.second[index - self.first.len()].store(value, Relaxed),
        }
    }

    /// Brings it into the cache. Nothing waits for anything here, so as many lines as the processor can have on their way come at once.
    #[inline]
    pub fn touch(self) {
        let lines =
            self.first.iter().step_by(CACHE_LINE_WORDS).chain(self.second.iter().step_by(CACHE_LINE_WORDS));
        std::hint::black_box(lines.fold(0, |touched, word| touched ^ word.load(Relaxed)));
    }

    /// Copies `into.len()` bytes out, from byte `offset` of the span.
    pub fn copy_to(self, offset: usize, into: &mut [u8]) {
        let mut span = self.skip(offset / WORD_BYTES);
        let mut into = into;
        let inside = offset % WORD_BYTES;
        if inside != 0 && !into.is_empty() {
            let (head, rest) = into.split_at_mut((WORD_BYTES - inside).min(into.len()));
            unpack(span.load(0) >> (8 * inside), head);
            span = span.skip(1);
            into = rest;
        }
        let (near, far) = into.split_at_mut((span.first.len() * WORD_BYTES).min(into.len()));
        load_run(span.first, near);
        load_run(span.second, far);
    }

    /// Copies bytes in from the beginning of the span; their length is whole words.
    #[inline]
    pub fn copy_from(self, bytes: &[u8]) {
        assert!(bytes.len().is_multiple_of(WORD_BYTES), "{} bytes are not whole words", bytes.len());
        let (near, far) = bytes.split_at((self.first.len() * WORD_BYTES).min(bytes.len()));
        store_run(self.first, near);
        store_run(self.second, far);
    }

    /// Whether the span begins with these bytes.
    #[inline]
    pub fn starts_with(self, bytes: &[u8]) -> bool {
        let (near, far) = bytes.split_at((self.first.len() * WORD_BYTES).min(bytes.len()));
        run_starts_with(self.first, near) && run_starts_with(self.second, far)
    }
}

/// Fills a [`Span`] from its beginning with byte strings one behind the other.
pub struct SpanWriter<'a> {
    span: Span<'a>,
    pending: u64,
    pending_bytes: usize,
}

impl<'a> SpanWriter<'a> {
    /// Writes from the beginning of `span`.
    pub fn new(span: Span<'a>) -> Self {
        Self { span, pending: 0, pending_bytes: 0 }
    }

    /// Adds one whole word; only where the bytes so far end at a word's end.
    #[inline]
    pub fn push_word(&mut self, value: u64) {
        debug_assert_eq!(self.pending_bytes, 0, "a word may only follow whole words");
        self.span.store(0, value);
        self.span = self.span.skip(1);
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if self.pending_bytes != 0 {
            let (head, rest) = bytes.split_at((WORD_BYTES - self.pending_bytes).min(bytes.len()));
            self.pending |= pack(head) << (8 * self.pending_bytes);
            self.pending_bytes += head.len();
            if self.pending_bytes < WORD_BYTES {
                return;
            }
            let word = self.pending;
            (self.pending, self.pending_bytes) = (0, 0);
            self.push_word(word);
            bytes = rest;
        }
        let (whole, tail) = bytes.split_at(bytes.len() / WORD_BYTES * WORD_BYTES);
        let (near, far) = whole.split_at((self.span.first.len() * WORD_BYTES).min(whole.len()));
        store_run(self.span.first, near);
        store_run(self.span.second, far);
        self.span = self.span.skip(whole.len() / WORD_BYTES);
        self.pending = pack(tail);
        self.pending_bytes = tail.len();
    }

    /// Writes the last, partly filled word, padded with zeros.
    pub fn finish(mut self) {
        if self.pending_bytes != 0 {
            self.pending_bytes = 0;
            self.push_word(self.pending);
        }
    }
}

/// At most eight bytes as the low end of a word. Written out in steps of 4, 2 and 1 because a copy of unknown
/// small length is a call.
#[inline]
fn pack(bytes: &[u8]) -> u64 {
    debug_assert!(bytes.len() <= WORD_BYTES);
    if let Some(whole) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*whole);
    }
    let (mut word, mut shift, mut rest) = (0, 0, bytes);
    if let Some((four, after)) = rest.split_first_chunk::<4>() {
        word = u64::from(u32::from_le_bytes(*four));
        (shift, rest) = (32, after);
    }
    if let Some((two, after)) = rest.split_first_chunk::<2>() {
        word |= u64::from(u16::from_le_bytes(*two)) << shift;
        (shift, rest) = (shift + 16, after);
    }
    if let Some(&one) = rest.first() {
        word |= u64::from(one) << shift;
    }
    word
}

/// The low end of a word as at most eight bytes.
fn unpack(word: u64, into: &mut [u8]) {
    debug_assert!(into.len() <= WORD_BYTES);
    for (index, byte) in into.iter_mut().enumerate() {
        *byte = (word >> (8 * index)) as u8;
    }
}

fn load_run(words: &[AtomicU64], into: &mut [u8]) {
    let (chunks, tail) = into.as_chunks_mut::<WORD_BYTES>();
    let (whole, after) = words.split_at(chunks.len());
    for (chunk, word) in chunks.iter_mut().zip(whole) {
        *chunk = word.load(Relaxed).to_le_bytes();
    }
    if !tail.is_empty() {
        unpack(after[0].load(Relaxed), tail);
    }
}

#[inline]
fn store_run(words: &[AtomicU64], bytes: &[u8]) {
    let (chunks, _) = bytes.as_chunks::<WORD_BYTES>();
    for (chunk, word) in chunks.iter().zip(&words[..chunks.len()]) {
        word.store(u64::from_le_bytes(*chunk), Relaxed);
    }
}

#[inline]
fn run_starts_with(words: &[AtomicU64], bytes: &[u8]) -> bool {
    let (chunks, tail) = bytes.as_chunks::<WORD_BYTES>();
    let (whole, after) = words.split_at(chunks.len());
    if !chunks.iter().zip(whole).all(|(chunk, word)| word.load(Relaxed) == u64::from_le_bytes(*chunk)) {
        return false;
    }
    // Shifting the unused high bytes out compares only those the tail has.
    tail.is_empty() || (pack(tail) ^ after[0].load(Relaxed)) << (64 - 8 * tail.len()) == 0
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heap_words_begin_a_line_and_are_zero() {
        for count in [0, 1, 15, 16, 17, 1000] {
            let heap = HeapWords::new(count);
            assert_eq!(heap.words().len(), count);
            assert_eq!(heap.words().as_ptr().addr() % 128, 0);
            assert!(heap.words().iter().all(|word| word.load(Relaxed) == 0));
        }
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            start in 0usize..16,
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
            offset in 0usize..100,
        ) {
            let whole = parts.concat();
            prop_assume!(whole.len() <= 128);
            let heap = HeapWords::new(16);
            let span = Span::new(heap.words(), start, words_for(whole.len()));
            let mut writer = SpanWriter::new(span);
            parts.iter().for_each(|part| writer.push(part));
            writer.finish();
            prop_assert!(span.starts_with(&whole));
            let offset = offset.min(whole.len());
            let mut copy = vec![0; whole.len() - offset];
            span.copy_to(offset, &mut copy);
            prop_assert_eq!(&copy, &whole[offset..]);
            if let Some(last) = whole.len().checked_sub(1) {
                let mut other = whole.clone();
                other[last] ^= 0x80;
                prop_assert!(!span.starts_with(&other));
                prop_assert!(span.starts_with(&whole[..last]));
            }
        }
    }
}
