//! Reading from the record log: anyone may, at any time.
use super::*;
use crate::memory::words::CACHE_LINE_WORDS;

/// Words of header and key that [`RecordView::prefetch`] reckons with.
const USUAL_WORDS: usize = RECORD_HEADER_WORDS + 3;

/// Room for the longest record, reused from read to read.
pub struct RecordBuf {
    bytes: Box<[u8]>,
    key_length: usize,
    value_length: usize,
}

impl RecordBuf {
    /// An empty buffer.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; KEY_BYTES_MAX + VALUE_BYTES_MAX].into_boxed_slice(),
            key_length: 0,
            value_length: 0,
        }
    }

    /// Key of the record last read.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_length]
    }

    /// Value of the record last read.
    pub fn value(&self) -> &[u8] {
        &self.bytes[self.key_length..self.key_length + self.value_length]
    }
}

impl Default for RecordBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecordBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBuf").field("key", &self.key()).field("value", &self.value()).finish()
    }
}

/// Reading. `position` is always that of a record: one that was appended, taken from the index, or reached
/// with [`next`](RecordLog::next).
///
/// # Errors
///
/// All say [`Reclaimed`] when the tail has passed the position before the read was complete, or the head has
/// not.
impl RecordView<'_> {
    /// Copies a record.
    #[inline]
    pub fn read(&self, position: u64, into: &mut RecordBuf) -> Result<RecordHeader, Reclaimed> {
        let (header, record) = self.resolve(position)?;
        record.copy_to(0, &mut into.bytes[..header.key_length + header.value_length]);
        (into.key_length, into.value_length) = (header.key_length, header.value_length);
        self.vouch(position).map(|()| header)
    }

    /// Copies a record's key alone; the value in the buffer is empty then.
    #[inline]
    pub fn read_key(&self, position: u64, into: &mut RecordBuf) -> Result<RecordHeader, Reclaimed> {
        let (header, record) = self.resolve(position)?;
        record.copy_to(0, &mut into.bytes[..header.key_length]);
        (into.key_length, into.value_length) = (header.key_length, 0);
        self.vouch(position).map(|()| header)
    }

    /// What a record says about itself.
    #[inline(always)]
    pub fn header(&self, position: u64) -> Result<RecordHeader, Reclaimed> {
        let (header, _) = self.resolve(position)?;
        self.vouch(position).map(|()| header)
    }

    /// Whether the record is of this table, generation and key; copies nothing.
    #[inline]
    pub fn is_of(&self, position: u64, table: u16, generation: u16, key: &[u8]) -> Result<bool, Reclaimed> {
        if position >= self.head() {
            return Err(Reclaimed);
        }
        let words = RECORD_HEADER_WORDS + words_for(key.len());
        if words > self.records.len() {
            return Ok(false);
        }
        let record = Span::new(self.records, self.word(position), words);
        let identity = identity_word(table, generation, key.len(), 0);
        // Where the key has another length, the words may go beyond the record; the identity differs already.
        let same = record.load(IDENTITY_AT) & !VALUE_LENGTH_MASK == identity
            && record.skip(RECORD_HEADER_WORDS).starts_with(key);
        self.vouch(position).map(|()| same)
    }

    /// Touches where these records begin, so that looking at them soon afterwards finds header and key in the cache. Nothing
    /// waits for anything here, so as many as the processor can have on their way come at once.
    pub fn prefetch(&self, positions: &[u64]) {
        let mut touched = 0;
        for &position in positions {
            let word = self.word(position);
            // The last word may be around the end, where it is in the cache or not: it does not matter.
            let last = (word + USUAL_WORDS - 1).min(self.records.len() - 1);
            touched ^= self.records[word].load(Relaxed) ^ self.records[last].load(Relaxed);
        }
        std::hint::black_box(touched);
    }

    /// Touches what lies behind the beginning of these records, as [`prefetch`](Self::prefetch) does; for whoever reads
    /// their values too.
    pub fn prefetch_values(&self, positions: &[u64]) {
        let mut touched = 0;
        for &position in positions {
            let Ok((header, record)) = self.resolve(position) else { continue };
            let words = words_for(header.key_length + header.value_length);
            let from = USUAL_WORDS - RECORD_HEADER_WORDS;
            for word in (from..words).step_by(CACHE_LINE_WORDS).chain(words.checked_sub(1)) {
                touched ^= record.load(word);
            }
        }
        std::hint::black_box(touched);
    }

    /// The header, and the span of key and value. Neither is to be believed before [`vouch`](Self::vouch).
    #[inline(always)]
    fn resolve(&self, position: u64) -> Result<(RecordHeader, Span<'_>), Reclaimed> {
        if position >= self.head() {
            return Err(Reclaimed);
        }
        let word = self.word(position);
        let words = Span::new(self.records, word, RECORD_HEADER_WORDS);
        let header = RecordHeader::from_words(position, std::array::from_fn(|index| words.load(index)));
        let count = header.bytes() / WORD_BYTES;
        // Lengths of a torn header may say anything.
        if count > self.records.len() {
            return Err(Reclaimed);
        }
        Ok((header, Span::new(self.records, word, count).skip(RECORD_HEADER_WORDS)))
    }

    /// Whether every load before was of what the position held.
    #[inline(always)]
    fn vouch(&self, position: u64) -> Result<(), Reclaimed> {
        fence(Acquire);
        // Acquire also for what the writer did before it moved the tail: a search that is told Reclaimed
        // looks at the index again.
        if self.tail() > position { Err(Reclaimed) } else { Ok(()) }
    }
}

/// As of [`RecordView`], for a single look.
impl RecordLog {
    /// As [`RecordView::read`].
    #[inline]
    pub fn read(&self, position: u64, into: &mut RecordBuf) -> Result<RecordHeader, Reclaimed> {
        self.view().read(position, into)
    }

    /// As [`RecordView::header`].
    #[inline]
    pub fn header(&self, position: u64) -> Result<RecordHeader, Reclaimed> {
        self.view().header(position)
    }

    /// Copies a record's value to the front of `into`, as much of it as fits there.
    pub fn read_value(&self, position: u64, into: &mut [u8]) -> Result<RecordHeader, Reclaimed> {
        let view = self.view();
        let (header, record) = view.resolve(position)?;
        let length = header.value_length.min(into.len());
        record.copy_to(header.key_length, &mut into[..length]);
        view.vouch(position).map(|()| header)
    }

    /// The position of the record behind this one; `None` when it is the last.
    pub fn next(&self, position: u64) -> Result<Option<u64>, Reclaimed> {
        let next = position + self.header(position)?.bytes() as u64;
        Ok((next < self.head()).then_some(next))
    }
}
