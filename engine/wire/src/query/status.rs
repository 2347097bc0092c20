//! Where a node stands: the body of `s`.
use zerocopy::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Writer;
use super::answer::{ANSWER_HEADER_BYTES, Answer, AnswerBody, AnswerError};
use crate::session::Session;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct StatusBody {
    applied: U64,
    committed: U64,
    published: U64,
    first_kept: U64,
    records: U64,
    bytes: U64,
    digest: [u8; 16],
    stream: Session,
    counter_count: U16,
}

const STATUS_BODY_BYTES: usize = 76;
const _: () = assert!(size_of::<StatusBody>() == STATUS_BODY_BYTES);

/// Body of `s`, without its counters.
///
/// ```text
///  20        28          36          44           52        60      68       84       94      96
/// +---------+-----------+-----------+------------+---------+-------+--------+--------+-------+--------------
/// | applied | committed | published | first kept | records | bytes | digest | stream | count | count x (name
/// +---------+-----------+-----------+------------+---------+-------+--------+--------+-------+--------------
///                                                                          length u8, name, value u64)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Last bus message applied.
    pub applied: u64,
    /// Last one committed.
    pub committed: u64,
    /// Last one published.
    pub published: u64,
    /// First one the rewinder can still serve.
    pub first_kept: u64,
    /// Records there are.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Digest of the state after `applied`, big-endian.
    pub digest: u128,
    /// The stream's session.
    pub stream: Session,
}

/// The counters in an `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Counters<'a> {
    /// No counters.
    pub const NONE: Self = Self { count: 0, bytes: &[] };

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Name and value of each, in the node's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (name, value, after) = split_counter(rest)?;
            rest = after;
            Some((name, value))
        })
    }
}

impl Status {
    fn layout(&self, counter_count: u16) -> StatusBody {
        StatusBody {
            applied: self.applied.into(),
            committed: self.committed.into(),
            published: self.published.into(),
            first_kept: self.first_kept.into(),
            records: self.records.into(),
            bytes: self.bytes.into(),
            digest: self.digest.to_be_bytes(),
            stream: self.stream,
            counter_count: counter_count.into(),
        }
    }

    /// Reads the body of an `s`.
    pub(super) fn parse(body: &[u8]) -> Result<(Self, Counters<'_>), AnswerError> {
        let (fixed, bytes) = StatusBody::ref_from_prefix(body).map_err(|_| AnswerError::Truncated)?;
        let count = fixed.counter_count.get();
        let mut rest = bytes;
        for _ in 0..count {
            let Some((_, _, after)) = split_counter(rest) else {
                let complete = split_counter_bytes(rest).is_some();
                return Err(if complete { AnswerError::Text } else { AnswerError::Truncated });
            };
            rest = after;
        }
        if !rest.is_empty() {
            return Err(AnswerError::TrailingBytes(rest.len()));
        }
        let status = Status {
            applied: fixed.applied.get(),
            committed: fixed.committed.get(),
            published: fixed.published.get(),
            first_kept: fixed.first_kept.get(),
            records: fixed.records.get(),
            bytes: fixed.bytes.get(),
            digest: u128::from_be_bytes(fixed.digest),
            stream: fixed.stream,
        };
        Ok((status, Counters { count, bytes }))
    }

    /// Appends the body of an `s`.
    pub(super) fn put(&self, writer: &mut Writer<'_>, counters: Counters<'_>) -> Option<()> {
        writer.put(self.layout(counters.count).as_bytes())?;
        writer.put(counters.bytes)
    }
}

/// Writes an `s`, always the last answer to its request, with these counters; how many bytes it took. `None` when it does not
/// fit, a name is longer than 255 bytes, or there are more than 65,535 counters.
pub fn encode_status<'n>(
    into: &mut [u8],
    request_id: u64,
    status: &Status,
    counters: impl IntoIterator<Item = (&'n str, u64)>,
) -> Option<usize> {
    let mut writer = Writer::new(into);
    writer.used = ANSWER_HEADER_BYTES + STATUS_BODY_BYTES;
    let mut count = 0_u16;
    for (name, value) in counters {
        writer.put(&[u8::try_from(name.len()).ok()?])?;
        writer.put(name.as_bytes())?;
        writer.put(&value.to_be_bytes())?;
        count = count.checked_add(1)?;
    }
    let total = writer.used;
    let body = AnswerBody::Status(*status, Counters { count, bytes: &[] });
    Answer { request_id, last: true, sequence: status.applied, body }.encode(into)?;
    Some(total)
}

fn split_counter(bytes: &[u8]) -> Option<(&str, u64, &[u8])> {
    let (name, value, rest) = split_counter_bytes(bytes)?;
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

fn split_counter_bytes(bytes: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    Some((name, u64::from_be_bytes(*value), rest))
}
