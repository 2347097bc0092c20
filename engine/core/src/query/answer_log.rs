//! The answers of one session: sequenced packets, kept for resume.
//!
//! One ring of bytes that holds whole packets exactly as they go out (length, `S`, payload), each in one piece; so sending is
//! copying from here to the port, and a resume at number n is the same bytes again. Positions are virtual: they count bytes
//! ever laid down and never run back; the place in the ring is the position modulo the capacity. Where a packet does not fit
//! before the ring's end it starts at the beginning, and the bytes skipped count as laid down.
//!
//! ```text
//!   tail                    sent                 head        head + capacity - (head - tail)
//!    | kept, may be sent again | not yet sent      | free       |
//! ```
//!
//! Numbers: the packet at `tail` is number [`AnswerLog::first`], the one laid down next is [`AnswerLog::next`]. Nothing is
//! dropped until room is needed, and then the oldest first, and never what is at or after the position named by
//! [`AnswerLog::reserve`].
//!
//! Of answers to ranges and watches a note stays behind when they are dropped: such an answer can be made again from the
//! stream, byte for byte. So a resume reaches far behind [`AnswerLog::first`], as long as nothing else was dropped since
//! ([`AnswerLog::first_repeatable`]): what a broken link may swallow on its way is bounded by nobody but the network.
use gds_wire::query::{Answer, AnswerBody};
use std::collections::VecDeque;

/// Length field and type byte before each payload.
pub const PACKET_HEADER_BYTES: usize = 3;

/// Notes kept of dropped answers: at some 32 KiB each, 256 MiB of them.
const NOTES_MAX: usize = 8192;

/// What it takes to make an answer to a range or watch again.
///
/// An end is noted as no messages before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The request it belongs to.
    pub request: u64,
    /// The first bus message in it.
    pub first: u64,
    /// How many there are; 0 for an end.
    pub count: u16,
}

impl Note {
    fn of(payload: &[u8]) -> Option<Self> {
        let answer = Answer::parse(payload).ok()?;
        let count = match answer.body {
            AnswerBody::Messages(messages) => u16::try_from(messages.count()).ok()?,
            AnswerBody::End => 0,
            _ => return None,
        };
        Some(Self { request: answer.request_id, first: answer.sequence, count })
    }
}

/// Where a reader of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendPosition {
    /// The next byte to send.
    position: u64,
    /// Where the packet begins that this byte belongs to.
    packet: u64,
    /// The number of that packet.
    sequence: u64,
}

impl SendPosition {
    /// Whether the last packet begun has been sent to its end, so that another packet may go between.
    pub fn is_between_packets(&self) -> bool {
        self.position == self.packet
    }

    /// The first packet not wholly sent.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// See the module.
#[derive(Debug)]
pub struct AnswerLog {
    bytes: Box<[u8]>,
    tail: u64,
    head: u64,
    first: u64,
    next: u64,
    /// The bytes from..to were skipped at the ring's end.
    skip: (u64, u64),
    /// Of the packets right before `first`, oldest first.
    notes: VecDeque<Note>,
}

impl AnswerLog {
    /// An empty log of this many bytes; the first packet will be number 1.
    pub fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            tail: 0,
            head: 0,
            first: 1,
            next: 1,
            skip: (0, 0),
            notes: VecDeque::with_capacity(NOTES_MAX),
        }
    }

    /// Empties the log for another session.
    pub fn reset(&mut self) {
        (self.tail, self.head, self.first, self.next, self.skip) = (0, 0, 1, 1, (0, 0));
        self.notes.clear();
    }

    /// The oldest number kept; equal to [`Self::next`] when nothing is.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The oldest number that can be had: kept, or made again from its [`Note`].
    pub fn first_repeatable(&self) -> u64 {
        self.first - self.notes.len() as u64
    }

    /// How to make this dropped packet again.
    pub fn note(&self, sequence: u64) -> Option<Note> {
        let at = sequence.checked_sub(self.first_repeatable())?;
        self.notes.get(usize::try_from(at).ok()?).copied()
    }

    /// Forgets how to make dropped packets again: the stream does not have them any more.
    pub fn forget_notes(&mut self) {
        self.notes.clear();
    }

    /// The number the next packet will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Where to send from so that `sequence` is the next packet. `None` when it is not kept and not the next.
    pub fn seek(&self, sequence: u64) -> Option<SendPosition> {
        if sequence < self.first || sequence > self.next {
            return None;
        }
        let (mut at, mut number) = (self.unskipped(self.tail), self.first);
        while number < sequence {
            at = self.unskipped(at + self.packet_bytes(at));
            number += 1;
        }
        Some(SendPosition { position: at, packet: at, sequence })
    }

    /// Bytes laid down and not yet sent from this position.
    pub fn unsent(&self, from: &SendPosition) -> u64 {
        self.head - self.unskipped(from.position)
    }

    /// The next bytes to send, in one piece; empty when everything is sent.
    pub fn chunk(&self, from: &SendPosition) -> &[u8] {
        let start = self.unskipped(from.position);
        let place = self.place(start);
        let mut length = (self.head - start).min((self.bytes.len() - place) as u64);
        if start < self.skip.0 {
            length = length.min(self.skip.0 - start);
        }
        &self.bytes[place..place + length as usize]
    }

    /// Moves the position on by the bytes that were sent.
    pub fn advance(&self, from: &mut SendPosition, sent: usize) {
        let start = self.unskipped(from.position);
        assert!(sent as u64 <= self.head - start, "sent more than there is");
        from.packet = self.unskipped(from.packet);
        from.position = start + sent as u64;
        while from.packet < from.position {
            let end = from.packet + self.packet_bytes(from.packet);
            if end > from.position {
                break;
            }
            from.packet = end;
            from.sequence += 1;
        }
    }

    /// Room for a payload of up to `payload` bytes, made by dropping the oldest packets that end at or before `keep`;
    /// `None` when that is not enough. Write the payload there and then [`Self::commit`] it.
    pub fn reserve(&mut self, payload: usize, keep: &SendPosition) -> Option<&mut [u8]> {
        let start = self.make_room(PACKET_HEADER_BYTES + payload, keep.packet)?;
        if start != self.head {
            self.skip = (self.head, start);
            if self.tail == self.head {
                self.tail = start;
            }
            self.head = start;
        }
        let place = self.place(start) + PACKET_HEADER_BYTES;
        Some(&mut self.bytes[place..place + payload])
    }

    /// Whether packets of `bytes` in all (headers counted), none longer than `largest`, will find room.
    pub fn has_room(&mut self, bytes: usize, largest: usize, keep: &SendPosition) -> bool {
        // The ring's end can cost less than one packet, once.
        let needed = (bytes + largest) as u64;
        while self.head + needed > self.tail + self.bytes.len() as u64 {
            if !self.drop_oldest(keep.packet) {
                return false;
            }
        }
        true
    }

    /// Lays down the packet whose payload was written to what [`Self::reserve`] gave, of which `payload` bytes count.
    pub fn commit(&mut self, payload: usize) {
        let place = self.place(self.head);
        let length = u16::try_from(payload + 1).expect("a payload is at most 32,766 bytes");
        self.bytes[place..place + 2].copy_from_slice(&length.to_be_bytes());
        self.bytes[place + 2] = b'S';
        self.head += (PACKET_HEADER_BYTES + payload) as u64;
        assert!(self.head - self.tail <= self.bytes.len() as u64, "committed more than was reserved");
        self.next += 1;
    }

    /// Where `bytes` in one piece would begin, after dropping what must and may go.
    fn make_room(&mut self, bytes: usize, keep: u64) -> Option<u64> {
        let capacity = self.bytes.len();
        assert!(bytes * 2 <= capacity, "a packet is at most half of the log");
        loop {
            let place = self.place(self.head);
            let start =
                if place + bytes <= capacity { self.head } else { self.head + (capacity - place) as u64 };
            // An empty log keeps nothing, so it may begin anywhere.
            if self.tail == self.head || start + bytes as u64 - self.tail <= capacity as u64 {
                return Some(start);
            }
            if !self.drop_oldest(keep) {
                return None;
            }
        }
    }

    /// Drops the oldest packet if it ends at or before `keep`.
    fn drop_oldest(&mut self, keep: u64) -> bool {
        self.tail = self.unskipped(self.tail);
        if self.tail == self.head {
            return false;
        }
        let end = self.tail + self.packet_bytes(self.tail);
        if end > keep {
            return false;
        }
        let place = self.place(self.tail);
        let length = (end - self.tail) as usize;
        match Note::of(&self.bytes[place + PACKET_HEADER_BYTES..place + length]) {
            Some(note) => {
                if self.notes.len() == NOTES_MAX {
                    self.notes.pop_front();
                }
                self.notes.push_back(note);
            }
            // It cannot be made again, so nothing before it can be asked for.
            None => self.notes.clear(),
        }
        self.tail = self.unskipped(end);
        self.first += 1;
        true
    }

    fn packet_bytes(&self, position: u64) -> u64 {
        let place = self.place(position);
        2 + u64::from(u16::from_be_bytes([self.bytes[place], self.bytes[place + 1]]))
    }

    fn unskipped(&self, position: u64) -> u64 {
        if position == self.skip.0 { self.skip.1 } else { position }
    }

    fn place(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(log: &mut AnswerLog, payload: &[u8], keep: &SendPosition) -> bool {
        // Ask for more than is used, as answers do.
        match log.reserve(payload.len() + 7, keep) {
            Some(room) => {
                room[..payload.len()].copy_from_slice(payload);
                log.commit(payload.len());
                true
            }
            None => false,
        }
    }

    /// Sends everything there is, in pieces of at most `piece` bytes.
    fn drain(log: &AnswerLog, from: &mut SendPosition, piece: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            let chunk = log.chunk(from);
            if chunk.is_empty() {
                return sent;
            }
            let count = chunk.len().min(piece);
            sent.extend_from_slice(&chunk[..count]);
            log.advance(from, count);
        }
    }

    #[test]
    fn should_frame_packets_and_count_them_as_they_are_sent() {
        let mut log = AnswerLog::new(256);
        let mut sent = log.seek(1).unwrap();
        assert!(push(&mut log, b"one", &sent) && push(&mut log, b"", &sent));
        assert_eq!(log.unsent(&sent), 9);
        log.advance(&mut sent, 4);
        assert!(!sent.is_between_packets());
        assert_eq!(sent.sequence(), 1);
        log.advance(&mut sent, 2);
        assert!(sent.is_between_packets());
        assert_eq!(sent.sequence(), 2);
        assert_eq!(drain(&log, &mut sent, 100), b"\0\x01S");
        assert_eq!(sent.sequence(), 3);
        assert_eq!(drain(&log, &mut log.seek(1).unwrap(), 100), b"\0\x04Sone\0\x01S");
        assert_eq!(log.seek(4), None);
    }

    #[test]
    fn should_keep_what_is_not_sent_and_drop_the_oldest_for_new_ones() {
        let mut log = AnswerLog::new(64);
        let mut sent = log.seek(1).unwrap();
        let mut laid = 0;
        while push(&mut log, &[laid; 10], &sent) {
            laid += 1;
        }
        assert!((3..=4).contains(&laid), "{laid}");
        assert_eq!(log.first(), 1, "nothing was sent, so nothing was dropped");
        drain(&log, &mut sent, 5);
        assert!(push(&mut log, &[9; 10], &sent));
        assert!(log.first() > 1);
        assert_eq!(log.seek(1), None);
    }

    proptest! {
        /// Whatever is laid down, sent in whatever pieces, and resumed wherever: the bytes are those of the packets in order.
        #[test]
        fn should_give_the_same_bytes_as_an_endless_log(
            steps in proptest::collection::vec((0usize..60, 0usize..90, any::<u8>()), 1..300),
            capacity in 150usize..400,
        ) {
            let mut log = AnswerLog::new(capacity);
            let mut packets: Vec<Vec<u8>> = Vec::new();
            let mut sent = log.seek(1).unwrap();
            let mut received: Vec<u8> = Vec::new();
            for (payload, piece, byte) in steps {
                let body = vec![byte; payload];
                let promised = log.has_room(payload + 10, payload + 10, &sent);
                let pushed = push(&mut log, &body, &sent);
                prop_assert!(pushed || !promised);
                if pushed {
                    let mut packet = ((payload + 1) as u16).to_be_bytes().to_vec();
                    packet.push(b'S');
                    packet.extend_from_slice(&body);
                    packets.push(packet);
                }
                let count = log.chunk(&sent).len().min(piece);
                received.extend_from_slice(&log.chunk(&sent)[..count]);
                log.advance(&mut sent, count);
                let whole: Vec<u8> = packets.concat();
                prop_assert!(whole.starts_with(&received));
                prop_assert_eq!(log.unsent(&sent) == 0, received.len() == whole.len());
                let done: usize = packets[..sent.sequence() as usize - 1].iter().map(Vec::len).sum();
                prop_assert_eq!(sent.is_between_packets(), done == received.len());
                let first = log.first() as usize;
                prop_assert!(first <= sent.sequence() as usize, "what is being sent is kept");
                let again = drain(&log, &mut log.seek(first as u64).unwrap(), 11);
                prop_assert_eq!(again, packets[first - 1..].concat());
            }
        }
    }
}
