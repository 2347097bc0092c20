//! The writing end of a ring.
use super::*;
use crate::memory::words::USUAL_BYTES;
use zerocopy::IntoBytes;

/// Appends messages. Dropping it drops what was not published; the ring then takes another writer.
pub struct RingWriter {
    ring: Arc<Ring>,
    next: u64,
    /// The running checksum of all before `next`.
    chain: u64,
    position: u64,
    published: u64,
    /// Every message up to this one may be overwritten, as far as [`RingWriter::room`] was told.
    gate: u64,
    /// Where the next lap would reach the first message behind the gate, in bytes and in sequence numbers.
    limit: u64,
    limit_sequence: u64,
    claimed: u64,
    claimed_sequence: u64,
    /// A frame is put together here, whole words, so that one pass checksums it and one pass stores it.
    frame: Box<[u64]>,
    /// Where [`RingWriter::touch_next`] last touched.
    touched: u64,
}

impl RingWriter {
    pub(super) fn new(ring: Arc<Ring>) -> Self {
        let header = ring.parts().header;
        let published = header[PUBLISHED_AT].load(Acquire);
        let (claimed, claimed_sequence) =
            (header[CLAIMED_AT].load(Relaxed), header[CLAIMED_SEQUENCE_AT].load(Relaxed));
        Self {
            next: published + 1,
            chain: ring.last_chain(),
            position: header[END_AT].load(Relaxed),
            published,
            gate: ring.floor.sequence - 1,
            // A writer before this one may have been allowed more; what it claimed is gone in any case.
            limit: claimed.max(ring.floor.position + ring.config.data_bytes as u64),
            limit_sequence: claimed_sequence.max(ring.floor.sequence - 1 + ring.config.positions as u64),
            claimed,
            claimed_sequence,
            frame: vec![0; FRAME_HEADER_WORDS + words_for(MAX_MESSAGE_BYTES)].into_boxed_slice(),
            touched: u64::MAX,
            ring,
        }
    }

    /// The ring written to.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The number that the next message gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The running checksum of all messages appended.
    pub fn last_chain(&self) -> u64 {
        self.chain
    }

    /// Bytes of the longest single message that can be appended when every message up to `gate` may be
    /// overwritten; 0 when none.
    ///
    /// What was once allowed stays allowed. The last published message is never overwritten, so that a
    /// restart finds where the stream ends, and unpublished ones never are. Ask again before each append;
    /// that costs nothing while the gate stands.
    pub fn room(&mut self, gate: u64) -> usize {
        let gate = gate.min(self.published.saturating_sub(1));
        if gate > self.gate {
            self.gate = gate;
            let parts = self.ring.parts();
            // A gate that went back below what is overwritten allows nothing new.
            if self.claimed_sequence.saturating_sub(gate + 1) < parts.positions.len() as u64 {
                let oldest = parts.position_of(gate + 1).load(Relaxed);
                self.limit = self.limit.max(oldest + self.ring.config.data_bytes as u64);
                self.limit_sequence = self.limit_sequence.max(gate + parts.positions.len() as u64);
            }
        }
        if self.next > self.limit_sequence {
            return 0;
        }
        ((self.limit - self.position) as usize).saturating_sub(FRAME_HEADER_BYTES)
    }

    /// How many messages of `bytes` bytes each can be appended one after the other when every message up to `gate` may be
    /// overwritten.
    pub fn room_for(&mut self, gate: u64, bytes: usize) -> usize {
        self.room(gate);
        let numbers = (self.limit_sequence + 1).saturating_sub(self.next);
        let frames = (self.limit - self.position) / Ring::frame_bytes(bytes) as u64;
        numbers.min(frames) as usize
    }

    /// Appends one message, the parts one behind the other, and returns its number. Readers see it after
    /// [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// When the message exceeds [`MAX_MESSAGE_BYTES`] or what [`room`](Self::room) last said.
    pub fn append(&mut self, epoch: u32, parts: &[&[u8]]) -> u64 {
        self.append_chained(epoch, None, parts)
    }

    /// Appends one message as [`append`](Self::append) does. `chain` is the running checksum up to it where what comes before is not known here.
    pub fn append_chained(&mut self, epoch: u32, chain: Option<u64>, parts: &[&[u8]]) -> u64 {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        assert!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes is too long for the ring");
        let frame_bytes = Ring::frame_bytes(length);
        let (sequence, end) = (self.next, self.position + frame_bytes as u64);
        assert!(
            end <= self.limit && sequence <= self.limit_sequence,
            "append without room for {length} bytes"
        );
        if end > self.claimed || sequence > self.claimed_sequence {
            self.claim(end);
        }
        // Orders the claim before every word written under it; pairs with the fence that readers have behind
        // their copy. Here and not in `claim`, because the fence must come from the thread that writes. It
        // costs nothing where stores stay in order.
        fence(Release);
        let area = self.ring.parts();
        area.position_of(sequence).store(self.position, Relaxed);
        let (frame, chain) = build(&mut self.frame, length, (sequence, epoch), (self.chain, chain), parts);
        area.span(self.position, frame.len() / WORD_BYTES).copy_from(frame);
        self.next = sequence + 1;
        self.chain = chain;
        self.position = end;
        sequence
    }

    /// Touches where the next message will lie, if it is of the usual length: then its turn finds that in the cache. For
    /// whoever has nothing else to do.
    pub fn touch_next(&mut self) {
        if self.touched == self.position {
            return;
        }
        self.touched = self.position;
        let area = self.ring.parts();
        let words = USUAL_BYTES.min(self.ring.config.data_bytes) / WORD_BYTES;
        area.span(self.position, words).touch();
        std::hint::black_box(area.position_of(self.next).load(Relaxed));
    }

    /// Claims up to `end`, and a chunk beyond as far as that is allowed.
    fn claim(&mut self, end: u64) {
        let config = &self.ring.config;
        let chunk = (config.data_bytes / 16).min(256 << 10) as u64 / WORD_BYTES as u64 * WORD_BYTES as u64;
        let chunk_messages = (config.positions / 16).min(4096) as u64;
        self.claimed = self.claimed.max(end).max((self.position + chunk).min(self.limit));
        self.claimed_sequence =
            self.claimed_sequence.max(self.next).max((self.next + chunk_messages).min(self.limit_sequence));
        let header = self.ring.parts().header;
        header[CLAIMED_AT].store(self.claimed, Relaxed);
        header[CLAIMED_SEQUENCE_AT].store(self.claimed_sequence, Relaxed);
    }

    /// Makes everything appended visible.
    pub fn publish(&mut self) {
        if self.published + 1 == self.next {
            return;
        }
        let header = self.ring.parts().header;
        header[END_AT].store(self.position, Relaxed);
        header[PUBLISHED_AT].store(self.next - 1, Release);
        self.published = self.next - 1;
    }
}

/// Puts a frame together in `words`; returns its bytes, and the chain up to it: the one given, or what follows from the one before.
fn build<'a>(
    words: &'a mut [u64],
    length: usize,
    (sequence, epoch): (u64, u32),
    (before, given): (u64, Option<u64>),
    parts: &[&[u8]],
) -> (&'a mut [u8], u64) {
    let words = &mut words[..FRAME_HEADER_WORDS + words_for(length)];
    // What pads the last word is zero.
    *words.last_mut().expect("a frame has a header") = 0;
    words[..FRAME_HEADER_WORDS].copy_from_slice(&[
        (length as u64).to_le(),
        sequence.to_le(),
        u64::from(epoch).to_le(),
        0,
    ]);
    let frame = words.as_mut_bytes();
    let mut at = FRAME_HEADER_BYTES;
    for part in parts {
        frame[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    let chain = given.unwrap_or_else(|| chained(before, &frame[FRAME_HEADER_BYTES..at]));
    frame[CHAIN_WORD * WORD_BYTES..][..WORD_BYTES].copy_from_slice(&chain.to_le_bytes());
    let checksum = crc32c::crc32c(frame);
    frame[FRAME_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    (frame, chain)
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        self.ring.writer_taken.store(false, Release);
    }
}

impl fmt::Debug for RingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingWriter")
            .field("next", &self.next)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}
