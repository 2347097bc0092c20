//! The writing end of the record log.
use super::super::words::{SpanWriter, USUAL_BYTES};
use super::*;

/// One record version to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordVersion<'a> {
    /// Bus sequence number that writes it.
    pub version: u64,
    /// Position of the version before, if it is to be linked.
    pub previous: Option<u64>,
    /// True when this version says that the record is deleted.
    pub tombstone: bool,
    /// Whatever the caller wants to note.
    pub note: u8,
    /// Its table.
    pub table: u16,
    /// The generation of that table.
    pub generation: u16,
    /// The key, at most [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// The value, at most [`VALUE_BYTES_MAX`] bytes.
    pub value: &'a [u8],
    /// Whether it is the newest.
    pub fate: Fate,
}

/// Appends records and moves the tail.
pub struct RecordLogWriter {
    log: Arc<RecordLog>,
    head: u64,
    tail: u64,
}

impl RecordLogWriter {
    pub(super) fn new(log: Arc<RecordLog>) -> Self {
        Self { head: log.head(), tail: log.tail(), log }
    }

    /// The log written to.
    pub fn log(&self) -> &Arc<RecordLog> {
        &self.log
    }

    /// Where the next record goes.
    #[inline]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Where the oldest kept record begins.
    #[inline]
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Bytes that can be appended before the tail must move.
    #[inline]
    pub fn room_bytes(&self) -> usize {
        self.log.capacity_bytes() - (self.head - self.tail) as usize
    }

    /// Touches where the next record will lie, if it is of the usual length. For whoever has nothing else to do.
    pub fn touch_next(&self) {
        let words = USUAL_BYTES.min(self.log.capacity_bytes()) / WORD_BYTES;
        self.log.view().span(self.head, words).touch();
    }

    /// Appends one record and returns its position; `None` when it does not fit before the tail.
    ///
    /// # Panics
    ///
    /// When key or value are longer than they may be, or `previous` is not a position below the head.
    pub fn append(&mut self, record: &RecordVersion<'_>) -> Option<u64> {
        let (key, value) = (record.key, record.value);
        assert!(
            key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX,
            "key or value too long for a record"
        );
        let bytes = RecordLog::record_bytes(key.len(), value.len());
        if bytes > self.room_bytes() {
            return None;
        }
        let position = self.head;
        let own_flags = if record.tombstone { FLAG_TOMBSTONE } else { 0 };
        let flags = u16::from(record.note) << FLAGS_OF_CALLER_SHIFT | own_flags | record.fate.flag();
        let view = self.log.view();
        // Orders the tail before every word written over what it gave up; pairs with the fence that readers
        // have behind their copy. Here and not in `advance_tail`, because the fence must come from the thread
        // that writes.
        fence(Release);
        let mut writer = SpanWriter::new(view.span(position, bytes / WORD_BYTES));
        writer.push_word(record.version);
        writer.push_word(link_word(position, record.previous, flags));
        writer.push_word(identity_word(record.table, record.generation, key.len(), value.len()));
        let [low, high] = record.fate.words();
        writer.push_word(low);
        writer.push_word(high);
        writer.push(key);
        writer.push(value);
        writer.finish();
        self.head = position + bytes as u64;
        view.header[HEAD_AT].store(self.head, Release);
        Some(position)
    }

    /// Appends a kept record once more, with another link and another note, and returns the copy's position; `None` when it does
    /// not fit before the tail.
    ///
    /// # Panics
    ///
    /// When no record is kept at `position`, or `previous` is not a position below the head.
    pub fn append_copy(&mut self, position: u64, previous: Option<u64>, note: u8) -> Option<u64> {
        assert!((self.tail..self.head).contains(&position), "no record is kept at {position}");
        let view = self.log.view();
        let header = view.header(position).expect("the record is kept");
        if header.bytes() > self.room_bytes() {
            return None;
        }
        let (copy, words) = (self.head, header.bytes() / WORD_BYTES);
        // As in `append`.
        fence(Release);
        let (from, to) = (view.span(position, words), view.span(copy, words));
        for word in 0..words {
            to.store(word, from.load(word));
        }
        let flags = (from.load(LINK_AT) >> ADDRESS_BITS) as u16 & ((1 << FLAGS_OF_CALLER_SHIFT) - 1);
        to.store(LINK_AT, link_word(copy, previous, flags | u16::from(note) << FLAGS_OF_CALLER_SHIFT));
        self.head = copy + header.bytes() as u64;
        view.header[HEAD_AT].store(self.head, Release);
        Some(copy)
    }

    /// Says whether a kept record is the newest version.
    ///
    /// # Panics
    ///
    /// When `position` is not kept.
    #[inline]
    pub fn set_fate(&mut self, position: u64, fate: Fate) {
        assert!((self.tail..self.head).contains(&position), "no record is kept at {position}");
        let header = self.log.view().span(position, RECORD_HEADER_WORDS);
        let replaced = u64::from(FLAG_REPLACED) << ADDRESS_BITS;
        let link = header.load(LINK_AT) & !replaced | u64::from(fate.flag()) << ADDRESS_BITS;
        header.store(LINK_AT, link);
        let [low, high] = fate.words();
        header.store(FATE_AT, low);
        header.store(FATE_AT + 1, high);
    }

    /// Lets everything below `position` be overwritten; from now on reading it says [`Reclaimed`].
    ///
    /// # Panics
    ///
    /// When `position` is below the tail or above the head. It must be where a record begins, or the head.
    pub fn advance_tail(&mut self, position: u64) {
        assert!((self.tail..=self.head).contains(&position), "the tail moves towards the head");
        self.tail = position;
        // Release: whoever sees the tail moved also sees what was done before, the index entries pointing
        // elsewhere above all.
        self.log.view().header[TAIL_AT].store(position, Release);
    }
}

/// The word that holds link and flags.
#[inline]
fn link_word(position: u64, previous: Option<u64>, flags: u16) -> u64 {
    let (address, flags) = match previous {
        Some(previous) => {
            assert!(previous < position, "a version before lies before");
            (RecordLog::address(previous), flags | FLAG_PREVIOUS)
        }
        None => (0, flags & !FLAG_PREVIOUS),
    };
    u64::from(flags) << ADDRESS_BITS | address
}

impl Drop for RecordLogWriter {
    fn drop(&mut self) {
        self.log.writer_taken.store(false, Release);
    }
}

impl fmt::Debug for RecordLogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordLogWriter")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}
