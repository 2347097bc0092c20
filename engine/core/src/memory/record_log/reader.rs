//! Reading from the record log: anyone may, at any time.
use super::*;

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
impl RecordLog {
    /// Copies a record.
    pub fn read(&self, position: u64, into: &mut RecordBuf) -> Result<RecordHeader, Reclaimed> {
        let parts = self.parts();
        let (header, record) = self.resolve(&parts, position)?;
        record.copy_to(0, &mut into.bytes[..header.key_length + header.value_length]);
        (into.key_length, into.value_length) = (header.key_length, header.value_length);
        self.vouch(&parts, position).map(|()| header)
    }

    /// Copies a record's value to the front of `into`, as much of it as fits there.
    pub fn read_value(&self, position: u64, into: &mut [u8]) -> Result<RecordHeader, Reclaimed> {
        let parts = self.parts();
        let (header, record) = self.resolve(&parts, position)?;
        let length = header.value_length.min(into.len());
        record.copy_to(header.key_length, &mut into[..length]);
        self.vouch(&parts, position).map(|()| header)
    }

    /// What a record says about itself.
    pub fn header(&self, position: u64) -> Result<RecordHeader, Reclaimed> {
        let parts = self.parts();
        let (header, _) = self.resolve(&parts, position)?;
        self.vouch(&parts, position).map(|()| header)
    }

    /// The header if the record is of this table and key, whatever its generation; copies nothing.
    pub fn header_if_key(
        &self,
        position: u64,
        table: u16,
        key: &[u8],
    ) -> Result<Option<RecordHeader>, Reclaimed> {
        let parts = self.parts();
        let (header, record) = self.resolve(&parts, position)?;
        let same = header.table == table && header.key_length == key.len() && record.starts_with(key);
        self.vouch(&parts, position).map(|()| same.then_some(header))
    }

    /// The position of the record behind this one; `None` when it is the last.
    pub fn next(&self, position: u64) -> Result<Option<u64>, Reclaimed> {
        let next = position + self.header(position)?.bytes() as u64;
        Ok((next < self.head()).then_some(next))
    }

    /// The header, and the span of key and value. Neither is to be believed before [`vouch`](Self::vouch).
    fn resolve<'a>(&self, parts: &Parts<'a>, position: u64) -> Result<(RecordHeader, Span<'a>), Reclaimed> {
        if position >= parts.header[HEAD_AT].load(Acquire) {
            return Err(Reclaimed);
        }
        let words = parts.span(position, RECORD_HEADER_WORDS);
        let header = RecordHeader::from_words(position, [words.load(0), words.load(1), words.load(2)]);
        let count = header.bytes() / WORD_BYTES;
        // Lengths of a torn header may say anything.
        if count > parts.records.len() {
            return Err(Reclaimed);
        }
        Ok((header, parts.span(position, count).skip(RECORD_HEADER_WORDS)))
    }

    /// Whether every load before was of what the position held.
    fn vouch(&self, parts: &Parts<'_>, position: u64) -> Result<(), Reclaimed> {
        fence(Acquire);
        // Acquire also for what the writer did before it moved the tail: a search that is told Reclaimed
        // looks at the index again.
        if parts.header[TAIL_AT].load(Acquire) > position { Err(Reclaimed) } else { Ok(()) }
    }
}
