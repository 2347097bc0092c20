//! BinaryFILE 1.00: each message after a u16 length; a length of zero ends a complete session.
use super::input::Input;
use super::{CaptureError, Cut, Progress};
use gds_wire::binary_file::{Record, next_record};
use gds_wire::itch;

/// How many of a file's first records must look like messages before it is taken for a BinaryFILE.
const PROBED_RECORDS: usize = 8;
const LENGTH_BYTES: usize = 2;

/// One message of a BinaryFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedMessage<'a> {
    /// Where its record begins, in bytes from the start of the (uncompressed) file.
    pub offset: u64,
    /// The message.
    pub bytes: &'a [u8],
}

impl RecordedMessage<'_> {
    /// Nanoseconds since midnight, where the message is one of ITCH 5.0.
    pub fn timestamp_ns(&self) -> Option<u64> {
        itch_timestamp_ns(self.bytes)
    }
}

/// The timestamp of an ITCH 5.0 message, in nanoseconds since midnight; `None` for anything else.
pub fn itch_timestamp_ns(message: &[u8]) -> Option<u64> {
    let kind = *message.first()?;
    if itch::size_of_type(kind) != Some(message.len()) {
        return None;
    }
    let mut wide = [0; 8];
    wide[2..].copy_from_slice(&message[5..11]);
    Some(u64::from_be_bytes(wide))
}

/// How a BinaryFILE ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the record of length zero that ends a session.
    EndOfSession,
    /// After a whole record, without that mark: so end the exchange's own day files.
    Boundary,
    /// In the middle of a record.
    Cut(Cut),
}

/// Reads a BinaryFILE, message by message.
#[derive(Debug)]
pub struct MessageCapture {
    input: Input,
    messages: u64,
    /// Bytes of the record that the last call lent out.
    lent_bytes: usize,
    ending: Option<Ending>,
    failed: bool,
}

impl MessageCapture {
    /// Looks at the first records, so that a file of something else is refused before anything of it is delivered.
    pub(super) fn new(mut input: Input) -> Result<Self, CaptureError> {
        let mut at = 0;
        for index in 0..PROBED_RECORDS {
            input.ensure(at + LENGTH_BYTES + usize::from(u16::MAX))?;
            let rest = &input.available()[at..];
            let plausible = match next_record(rest) {
                Record::Message(message, consumed) => {
                    at += consumed;
                    message[0].is_ascii_alphanumeric()
                }
                Record::EndOfSession if rest.len() > LENGTH_BYTES => {
                    let offset = input.offset() + at as u64;
                    return Err(CaptureError::ZeroLength { path: input.path().into(), offset });
                }
                Record::EndOfSession => break,
                Record::NeedMore if index > 0 => break,
                Record::NeedMore => cut_first_message(rest),
            };
            if !plausible {
                let head = input.available();
                let head = head[..head.len().min(8)].to_vec();
                return Err(CaptureError::Unknown { path: input.path().into(), head });
            }
        }
        Ok(Self { input, messages: 0, lent_bytes: 0, ending: None, failed: false })
    }

    /// The next message; `None` at the [ending](Self::ending).
    ///
    /// # Errors
    /// [`CaptureError`], when the file cannot be read, or holds a zero length that does not end it; nothing more is read after
    /// that.
    pub fn next_message(&mut self) -> Result<Option<RecordedMessage<'_>>, CaptureError> {
        let found = self.advance();
        self.failed |= found.is_err();
        let offset = self.input.offset();
        Ok(found?.map(|length| RecordedMessage {
            offset,
            bytes: &self.input.available()[LENGTH_BYTES..LENGTH_BYTES + length],
        }))
    }

    /// Messages read so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// After the end: how the file ended.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// After the end: where the file is cut, if it is.
    pub fn cut(&self) -> Option<Cut> {
        match self.ending {
            Some(Ending::Cut(cut)) => Some(cut),
            _ => None,
        }
    }

    /// How far the file has been read.
    pub fn progress(&self) -> Progress {
        self.input.progress()
    }

    /// Puts the next record at the window's front; returns its message's length.
    fn advance(&mut self) -> Result<Option<usize>, CaptureError> {
        self.input.consume(std::mem::take(&mut self.lent_bytes));
        if self.failed || self.ending.is_some() {
            return Ok(None);
        }
        loop {
            let held = self.input.available().len();
            match next_record(self.input.available()) {
                Record::Message(message, consumed) => {
                    let length = message.len();
                    self.lent_bytes = consumed;
                    self.messages += 1;
                    return Ok(Some(length));
                }
                Record::EndOfSession => return self.end_of_session(),
                Record::NeedMore => {}
            }
            if self.input.ensure(held + 1)? == held {
                self.ending = Some(self.input.cut().map_or(Ending::Boundary, Ending::Cut));
                return Ok(None);
            }
        }
    }

    /// A length of zero ends the session, if it is the last thing in the file.
    fn end_of_session(&mut self) -> Result<Option<usize>, CaptureError> {
        if self.input.ensure(LENGTH_BYTES + 1)? > LENGTH_BYTES {
            let path = self.input.path().into();
            return Err(CaptureError::ZeroLength { path, offset: self.input.offset() });
        }
        self.input.consume(LENGTH_BYTES);
        self.ending = Some(self.input.cut().map_or(Ending::EndOfSession, Ending::Cut));
        Ok(None)
    }
}

/// Is this the beginning of an ITCH 5.0 message of which the end is missing? Asked of a file that has not even one whole record.
fn cut_first_message(record: &[u8]) -> bool {
    match record {
        [high, low, kind, ..] => {
            itch::size_of_type(*kind) == Some(usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => false,
    }
}
