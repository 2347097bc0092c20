//! What a node answers.
use std::fmt;

use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Writer;
use super::status::{Counters, Status};
use crate::soup;

/// Bytes every answer begins with.
pub const ANSWER_HEADER_BYTES: usize = 20;
/// The flag of the last answer to a request.
const LAST: u8 = 1;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    flags: u8,
    code: U16,
    request_id: U64,
    sequence: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordBody {
    found: u8,
    key_length: u8,
    table: U16,
    value_length: U32,
    version: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ChecksumBody {
    epoch: U32,
    chain: U64,
}

const RECORD_BODY_BYTES: usize = 16;
/// Bytes of a whole `h`.
pub const CHECKSUM_ANSWER_BYTES: usize = ANSWER_HEADER_BYTES + size_of::<ChecksumBody>();
const _: () = assert!(size_of::<Header>() == ANSWER_HEADER_BYTES);
const _: () = assert!(size_of::<RecordBody>() == RECORD_BODY_BYTES);
const _: () = assert!(CHECKSUM_ANSWER_BYTES == 32);

/// The longest value a `g` can carry beside a key of `key_bytes`.
pub const fn max_value_bytes(key_bytes: usize) -> usize {
    soup::MAX_PAYLOAD_BYTES.saturating_sub(ANSWER_HEADER_BYTES + RECORD_BODY_BYTES + key_bytes)
}

/// Why a request could not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// What was asked for is not there.
    NotFound = 1,
    /// The request is not well formed.
    Malformed = 2,
    /// The state asked for is older than the declared horizon, or the messages are older than the first kept.
    BelowHorizon = 3,
    /// The user may not read that.
    NotPermitted = 4,
    /// The answer does not fit a packet.
    TooLarge = 5,
    /// Too many requests of this client are open.
    TooMany = 6,
    /// Not now.
    Unavailable = 7,
    /// The sequence number asked for does not exist yet, and was waited for as long as is allowed.
    AheadOfStream = 8,
}

impl ErrorCode {
    /// The error with this code, if there is one.
    pub const fn from_u16(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::NotFound,
            2 => Self::Malformed,
            3 => Self::BelowHorizon,
            4 => Self::NotPermitted,
            5 => Self::TooLarge,
            6 => Self::TooMany,
            7 => Self::Unavailable,
            8 => Self::AheadOfStream,
            _ => return None,
        })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotFound => "not found",
            Self::Malformed => "malformed request",
            Self::BelowHorizon => "below the horizon",
            Self::NotPermitted => "not permitted",
            Self::TooLarge => "answer too large",
            Self::TooMany => "too many open requests",
            Self::Unavailable => "unavailable",
            Self::AheadOfStream => "ahead of the stream",
        })
    }
}

/// An answer.
///
/// ```text
///  0      1       2      4            12         20
/// +------+-------+------+------------+----------+-----
/// | kind | flags | code | request id | sequence | body
/// +------+-------+------+------------+----------+-----
/// ```
///
/// Flag 1: the last answer to its request. The code is 0 but for `x`, and for a `g` that found nothing (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Of the request answered.
    pub request_id: u64,
    /// Whether this is the last answer to it.
    pub last: bool,
    /// `m`: number of its first message. `e`: the first number not delivered. `h`: the number up to which the checksum goes. Else the sequence
    /// number whose state was read.
    pub sequence: u64,
    /// What it says.
    pub body: AnswerBody<'a>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody<'a> {
    /// `g`: a record, or that there is none.
    Record(Record<'a>),
    /// `m`: bus messages.
    Messages(BusMessages<'a>),
    /// `s`: where the node stands.
    Status(Status, Counters<'a>),
    /// `h`: the running checksum of the stream.
    Checksum(Checksum),
    /// `e`: a range or watch is done, or was cancelled. No body.
    End,
    /// `x`: why the request could not be answered; the body is a text for people, UTF-8.
    Error(ErrorCode, &'a str),
}

/// Body of `g`.
///
/// ```text
///  20      21           22      24             28        36    36+k
/// +-------+------------+-------+--------------+---------+-----+-------+
/// | found | key length | table | value length | version | key | value |
/// +-------+------------+-------+--------------+---------+-----+-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whether there is such a record. When not, there is no value.
    pub found: bool,
    /// The table.
    pub table: u16,
    /// The key, 1 to 255 bytes.
    pub key: &'a [u8],
    /// The bus sequence number that wrote it; 0 when not found.
    pub version: u64,
    /// The value.
    pub value: &'a [u8],
}

/// Body of `h`.
///
/// ```text
///  20      24      32
/// +-------+-------+
/// | epoch | chain |
/// +-------+-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The epoch that the message was first numbered under; 0 where that is not known.
    pub epoch: u32,
    /// The running checksum of all messages up to it.
    pub chain: u64,
}

/// Body of `m`: consecutive bus messages (envelope and body).
///
/// ```text
///  20      22       24
/// +-------+--------+-------------+--------+-----
/// | count | length | bus message | length | ...
/// +-------+--------+-------------+--------+-----
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusMessages<'a> {
    count: u16,
    blocks: &'a [u8],
}

impl<'a> BusMessages<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The messages, in order; the first has the number in [`Answer::sequence`].
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || {
            let (message, after) = split_block(rest)?;
            rest = after;
            Some(message)
        })
    }
}

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// Shorter than its kind needs.
    Truncated,
    /// Bytes after its end.
    TrailingBytes(usize),
    /// No such kind.
    UnknownKind(u8),
    /// A flag that is not known.
    UnknownFlags(u8),
    /// A code its kind does not have.
    Code(u16),
    /// A record without key, or not found and yet with a value, or neither found nor not found.
    Record,
    /// A text that is not UTF-8.
    Text,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the answer is shorter than its kind needs"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow the end of the answer"),
            Self::UnknownKind(kind) => write!(f, "the answer has the unknown kind 0x{kind:02x}"),
            Self::UnknownFlags(flags) => write!(f, "the answer has the unknown flags 0x{flags:02x}"),
            Self::Code(code) => write!(f, "the answer's kind cannot have the code {code}"),
            Self::Record => f.write_str("the answer's record contradicts itself"),
            Self::Text => f.write_str("a text in the answer is not UTF-8"),
        }
    }
}

impl std::error::Error for AnswerError {}

impl<'a> Answer<'a> {
    /// Reads the payload of a Sequenced Data packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, AnswerError> {
        let (header, rest) = Header::ref_from_prefix(payload).map_err(|_| AnswerError::Truncated)?;
        if header.flags & !LAST != 0 {
            return Err(AnswerError::UnknownFlags(header.flags));
        }
        let code = header.code.get();
        let body = match header.kind {
            b'g' => AnswerBody::Record(Record::parse(rest)?),
            b'm' => AnswerBody::Messages(BusMessages::parse(rest)?),
            b's' => {
                let (status, counters) = Status::parse(rest)?;
                AnswerBody::Status(status, counters)
            }
            b'h' => AnswerBody::Checksum(Checksum::parse(rest)?),
            b'e' if rest.is_empty() => AnswerBody::End,
            b'e' => return Err(AnswerError::TrailingBytes(rest.len())),
            b'x' => {
                let error = ErrorCode::from_u16(code).ok_or(AnswerError::Code(code))?;
                AnswerBody::Error(error, std::str::from_utf8(rest).map_err(|_| AnswerError::Text)?)
            }
            kind => return Err(AnswerError::UnknownKind(kind)),
        };
        if code != body.code() {
            return Err(AnswerError::Code(code));
        }
        let (request_id, sequence) = (header.request_id.get(), header.sequence.get());
        Ok(Self { request_id, last: header.flags & LAST != 0, sequence, body })
    }

    /// Writes the payload into the front of `into`; how many bytes it took. `None` when it does not fit, a key is not 1 to 255
    /// bytes, or a record that was not found has a value.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(into);
        let header = header(self.body.kind(), self.last, self.body.code(), self.request_id, self.sequence);
        writer.put(header.as_bytes())?;
        match self.body {
            AnswerBody::Record(record) => record.put(&mut writer)?,
            AnswerBody::Messages(messages) => {
                writer.put(&messages.count.to_be_bytes())?;
                writer.put(messages.blocks)?;
            }
            AnswerBody::Status(status, counters) => {
                status.put(&mut writer, counters)?;
            }
            AnswerBody::Checksum(checksum) => checksum.put(&mut writer)?,
            AnswerBody::End => {}
            AnswerBody::Error(_, text) => writer.put(text.as_bytes())?,
        }
        Some(writer.used)
    }
}

impl AnswerBody<'_> {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Record(_) => b'g',
            Self::Messages(_) => b'm',
            Self::Status(..) => b's',
            Self::Checksum(_) => b'h',
            Self::End => b'e',
            Self::Error(..) => b'x',
        }
    }

    fn code(&self) -> u16 {
        match self {
            Self::Record(record) if !record.found => ErrorCode::NotFound as u16,
            Self::Error(error, _) => *error as u16,
            _ => 0,
        }
    }
}

impl<'a> Record<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, AnswerError> {
        let (fixed, rest) = RecordBody::ref_from_prefix(body).map_err(|_| AnswerError::Truncated)?;
        let value_length = usize::try_from(fixed.value_length.get()).map_err(|_| AnswerError::Truncated)?;
        if fixed.key_length == 0 || fixed.found > 1 || (fixed.found == 0 && value_length != 0) {
            return Err(AnswerError::Record);
        }
        let (key, rest) =
            rest.split_at_checked(usize::from(fixed.key_length)).ok_or(AnswerError::Truncated)?;
        let (value, rest) = rest.split_at_checked(value_length).ok_or(AnswerError::Truncated)?;
        if !rest.is_empty() {
            return Err(AnswerError::TrailingBytes(rest.len()));
        }
        let (table, version) = (fixed.table.get(), fixed.version.get());
        Ok(Self { found: fixed.found == 1, table, key, version, value })
    }

    fn put(&self, writer: &mut Writer<'_>) -> Option<()> {
        if !self.found && !self.value.is_empty() {
            return None;
        }
        let fixed = RecordBody {
            found: u8::from(self.found),
            key_length: u8::try_from(self.key.len()).ok().filter(|&length| length != 0)?,
            table: self.table.into(),
            value_length: u32::try_from(self.value.len()).ok()?.into(),
            version: self.version.into(),
        };
        writer.put(fixed.as_bytes())?;
        writer.put(self.key)?;
        writer.put(self.value)
    }
}

impl Checksum {
    fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let (fixed, rest) = ChecksumBody::ref_from_prefix(body).map_err(|_| AnswerError::Truncated)?;
        match rest.len() {
            0 => Ok(Self { epoch: fixed.epoch.get(), chain: fixed.chain.get() }),
            trailing => Err(AnswerError::TrailingBytes(trailing)),
        }
    }

    fn put(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.put(ChecksumBody { epoch: self.epoch.into(), chain: self.chain.into() }.as_bytes())
    }
}

impl<'a> BusMessages<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, AnswerError> {
        let (count, blocks) = U16::ref_from_prefix(body).map_err(|_| AnswerError::Truncated)?;
        let mut rest = blocks;
        for _ in 0..count.get() {
            (_, rest) = split_block(rest).ok_or(AnswerError::Truncated)?;
        }
        match rest.len() {
            0 => Ok(Self { count: count.get(), blocks }),
            trailing => Err(AnswerError::TrailingBytes(trailing)),
        }
    }
}

/// Fills one `m` in place, as [`PacketBuilder`](crate::mold::PacketBuilder) fills a downstream packet.
#[derive(Debug)]
pub struct MessagesBuilder<'a> {
    buffer: &'a mut [u8],
    request_id: u64,
    first: u64,
    used: usize,
    count: u16,
}

impl<'a> MessagesBuilder<'a> {
    /// Begins an answer whose first message has number `first`. At most [`soup::MAX_PAYLOAD_BYTES`] of `buffer` are used.
    ///
    /// # Panics
    /// When `buffer` has no room for header and count.
    pub fn new(buffer: &'a mut [u8], request_id: u64, first: u64) -> Self {
        let payload_bytes = buffer.len().min(soup::MAX_PAYLOAD_BYTES);
        let used = ANSWER_HEADER_BYTES + 2;
        assert!(payload_bytes >= used, "a buffer of {payload_bytes} bytes holds no answer");
        Self { buffer: &mut buffer[..payload_bytes], request_id, first, used, count: 0 }
    }

    /// The longest message that still fits; 0 also when not even an empty one does.
    pub fn room(&self) -> usize {
        (self.buffer.len() - self.used).saturating_sub(2)
    }

    /// Appends a message; false, with nothing changed, when it does not fit.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        match self.reserve(message.len()) {
            Some(slot) => {
                slot.copy_from_slice(message);
                true
            }
            None => false,
        }
    }

    /// Appends a message of `length` bytes to be filled in by the caller; `None`, with nothing changed, when it does not fit.
    #[must_use]
    pub fn reserve(&mut self, length: usize) -> Option<&mut [u8]> {
        let prefix = u16::try_from(length).ok()?.to_be_bytes();
        let (start, end) = (self.used + 2, self.used + 2 + length);
        if end > self.buffer.len() {
            return None;
        }
        self.buffer[self.used..start].copy_from_slice(&prefix);
        self.used = end;
        self.count += 1;
        Some(&mut self.buffer[start..end])
    }

    /// How many messages have been appended.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Writes header and count; returns how many bytes of the buffer are the payload.
    pub fn finish(self, last: bool) -> usize {
        let header = header(b'm', last, 0, self.request_id, self.first);
        self.buffer[..ANSWER_HEADER_BYTES].copy_from_slice(header.as_bytes());
        self.buffer[ANSWER_HEADER_BYTES..ANSWER_HEADER_BYTES + 2].copy_from_slice(&self.count.to_be_bytes());
        self.used
    }
}

fn header(kind: u8, last: bool, code: u16, request_id: u64, sequence: u64) -> Header {
    let flags = if last { LAST } else { 0 };
    Header { kind, flags, code: code.into(), request_id: request_id.into(), sequence: sequence.into() }
}

fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
