//! The reading end of a ring.
use super::*;

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// One message, its bytes at the front of the buffer. The reader is at the next.
    Message {
        /// Its number.
        sequence: u64,
        /// The epoch under which it was first numbered.
        epoch: u32,
        /// The running checksum of all messages up to it.
        chain: u64,
        /// Its bytes.
        length: usize,
    },
    /// Nothing there yet, or nothing up to the limit.
    Empty,
    /// The message is no longer in the ring, whole. The reader stays where it is: the journal has it.
    Overrun,
    /// The buffer is too small. The reader stays where it is.
    TooSmall {
        /// Bytes that the message has.
        length: usize,
    },
}

/// Reads in order, one message at a time.
#[derive(Clone)]
pub struct RingReader {
    ring: Arc<Ring>,
    next: u64,
    /// Where `next` begins, known when it follows on a message that was read.
    position: Option<u64>,
    /// The published number when it was last looked at.
    published: u64,
}

/// A message found and not yet copied.
struct Frame<'a> {
    parts: Parts<'a>,
    position: u64,
    length: usize,
    epoch: u32,
    chain: u64,
    /// The message's bytes.
    bytes: Span<'a>,
}

impl RingReader {
    pub(super) fn new(ring: Arc<Ring>, next: u64) -> Self {
        Self { ring, next, position: None, published: 0 }
    }

    /// The ring read from.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The number of the message that is read next.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Goes to another message, which need not be there.
    pub fn seek(&mut self, sequence: u64) {
        if sequence != self.next {
            self.next = sequence;
            self.position = None;
        }
    }

    /// Copies the next message into `into`, if there is one that is not above `limit`.
    pub fn read(&mut self, limit: u64, into: &mut [u8]) -> Read {
        if !self.has_next(limit) {
            return Read::Empty;
        }
        match self.copy_next(into) {
            Ok((message, end)) => {
                self.next += 1;
                self.position = Some(end);
                message
            }
            Err(instead) => instead,
        }
    }

    /// Bytes of the next message, if it is there, not above `limit` and not overrun.
    pub fn peek_length(&mut self, limit: u64) -> Option<usize> {
        if !self.has_next(limit) {
            return None;
        }
        let frame = self.find()?;
        frame.parts.is_whole(frame.position).then_some(frame.length)
    }

    /// Whether the next message is there and not above `limit`, whole or overrun.
    pub fn has_next(&mut self, limit: u64) -> bool {
        if self.next > limit {
            return false;
        }
        if self.next > self.published {
            self.published = self.ring.last();
        }
        self.next <= self.published
    }

    /// The next message and where it ends, or what there is instead.
    fn copy_next(&self, into: &mut [u8]) -> Result<(Read, u64), Read> {
        let frame = self.find().ok_or(Read::Overrun)?;
        let copied = into.get_mut(..frame.length).map(|into| frame.bytes.copy_to(0, into)).is_some();
        if !frame.parts.is_whole(frame.position) {
            return Err(Read::Overrun);
        }
        if !copied {
            return Err(Read::TooSmall { length: frame.length });
        }
        let Frame { epoch, chain, length, .. } = frame;
        let message = Read::Message { sequence: self.next, epoch, chain, length };
        Ok((message, frame.position.wrapping_add(Ring::frame_bytes(frame.length) as u64)))
    }

    /// Finds the next message, which is published. What it says is only good once [`Parts::is_whole`] has
    /// vouched for it.
    fn find(&self) -> Option<Frame<'_>> {
        if self.next < self.ring.floor.sequence {
            return None;
        }
        let parts = self.ring.parts();
        let position = match self.position {
            Some(position) => position,
            None => parts.locate(self.next)?,
        };
        let header = parts.span(position, FRAME_HEADER_WORDS);
        let length = header.load(0) as u32 as usize;
        let frame_words = FRAME_HEADER_WORDS + words_for(length);
        if header.load(1) != self.next || length > MAX_MESSAGE_BYTES || frame_words > parts.data.len() {
            return None;
        }
        let (epoch, chain) = (header.load(2) as u32, header.load(CHAIN_WORD));
        let bytes = parts.span(position, frame_words).skip(FRAME_HEADER_WORDS);
        Some(Frame { parts, position, length, epoch, chain, bytes })
    }
}

impl fmt::Debug for RingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingReader").field("next", &self.next).finish_non_exhaustive()
    }
}
