//! BinaryFILE 1.00: messages in a file, each after its length.
//!
//! ```text
//!  0        2
//! +--------+---------+--------+---------+-----+-------+
//! | length | message | length | message | ... | 00 00 |
//! +--------+---------+--------+---------+-----+-------+
//! ```
//!
//! A record of length 0 marks the end of a complete session (BinaryFILE 1.00, "End of Session"). Published day files often stop without
//! one, on the boundary of a record: that is accepted too. A file that stops within a record is cut, which is reported.
use std::fmt;

/// Bytes before each message.
pub const RECORD_LENGTH_BYTES: usize = 2;
/// Longest message.
pub const MAX_MESSAGE_BYTES: usize = 65_535;
/// The record that ends a complete session.
pub const END_RECORD: [u8; RECORD_LENGTH_BYTES] = [0, 0];

/// What stands at the front of some bytes of a BinaryFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message, and how many bytes its record took.
    Message(&'a [u8], usize),
    /// The record of length 0; it took [`RECORD_LENGTH_BYTES`].
    EndOfSession,
    /// No whole record yet. At the end of the file: the end when there are no bytes left, else a cut record.
    NeedMore,
}

/// The record at the front of `bytes`.
pub fn next_record(bytes: &[u8]) -> Record<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<RECORD_LENGTH_BYTES>() else {
        return Record::NeedMore;
    };
    match usize::from(u16::from_be_bytes(*length)) {
        0 => Record::EndOfSession,
        length => match rest.get(..length) {
            Some(message) => Record::Message(message, RECORD_LENGTH_BYTES + length),
            None => Record::NeedMore,
        },
    }
}

/// Writes a record into the front of `into`; how many bytes it took. `None`, with nothing written, when the message is empty
/// (its record would mean the end), longer than [`MAX_MESSAGE_BYTES`], or does not fit.
pub fn write_record(message: &[u8], into: &mut [u8]) -> Option<usize> {
    let length = u16::try_from(message.len()).ok().filter(|&length| length != 0)?;
    let record = into.get_mut(..RECORD_LENGTH_BYTES + message.len())?;
    record[..RECORD_LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    record[RECORD_LENGTH_BYTES..].copy_from_slice(message);
    Some(record.len())
}

/// A file ended within a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRecord {
    /// Where the record begins.
    pub offset: u64,
    /// How many bytes of it there are.
    pub bytes: usize,
}

impl fmt::Display for CutRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the file is cut: the {} bytes from offset {} on are no whole record",
            self.bytes, self.offset
        )
    }
}

impl std::error::Error for CutRecord {}

/// The messages of a whole BinaryFILE in memory, in order; the last item is an error when the file is cut.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
    ended: bool,
}

impl<'a> Records<'a> {
    /// Begins at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, ended: false }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the record of length 0 has been read. What follows it is not looked at.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], CutRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.offset..];
        if self.ended || rest.is_empty() {
            return None;
        }
        match next_record(rest) {
            Record::Message(message, consumed) => {
                self.offset += consumed;
                Some(Ok(message))
            }
            Record::EndOfSession => {
                self.offset += RECORD_LENGTH_BYTES;
                self.ended = true;
                None
            }
            Record::NeedMore => {
                let cut = CutRecord { offset: self.offset as u64, bytes: rest.len() };
                self.offset = self.bytes.len();
                Some(Err(cut))
            }
        }
    }
}

#[cfg(test)]
mod tests;
