//! What a client asks.
use std::fmt;

use zerocopy::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Writer;

/// Bytes every request begins with.
pub const REQUEST_HEADER_BYTES: usize = 20;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    flags: u8,
    reserved: U16,
    request_id: U64,
    at_least: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct GetBody {
    as_of: U64,
    table: U16,
    key_length: u8,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct MultiGetBody {
    as_of: U64,
    count: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RangeBody {
    from: U64,
    to: U64,
}

const _: () = assert!(size_of::<Header>() == REQUEST_HEADER_BYTES);
const _: () = assert!(size_of::<GetBody>() == 11);
const _: () = assert!(size_of::<MultiGetBody>() == 10);
const _: () = assert!(size_of::<RangeBody>() == 16);

/// A record's table and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The table.
    pub table: u16,
    /// The key, 1 to 255 bytes.
    pub key: &'a [u8],
}

/// A request.
///
/// ```text
///  0      1       2          4            12           20
/// +------+-------+----------+------------+------------+-----
/// | kind | flags | reserved | request id | at least   | body
/// +------+-------+----------+------------+------------+-----
/// ```
///
/// Flags and reserved are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Chosen by the client; comes back in every answer.
    pub request_id: u64,
    /// Answer only once this bus message is applied: a client's own write, for instance. 0: at once.
    pub at_least: u64,
    /// What is asked.
    pub query: Query<'a>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// `G`: one record.
    ///
    /// ```text
    ///  20      28      30           31
    /// +-------+-------+------------+-----+
    /// | as of | table | key length | key |
    /// +-------+-------+------------+-----+
    /// ```
    Get {
        /// The sequence number whose state is read; 0: the newest applied.
        as_of: u64,
        /// The record.
        key: Key<'a>,
    },
    /// `M`: several records.
    MultiGet(MultiGet<'a>),
    /// `R`: the bus messages from one number to another, both included.
    ///
    /// ```text
    ///  20     28   36
    /// +------+----+
    /// | from | to |
    /// +------+----+
    /// ```
    Range {
        /// The first.
        from: u64,
        /// The last; 0: the newest committed when the request is taken up.
        to: u64,
    },
    /// `W`: the bus messages from this number on, without end.
    ///
    /// ```text
    ///  20     28
    /// +------+
    /// | from |
    /// +------+
    /// ```
    Watch {
        /// The first; 0: the next to be committed.
        from: u64,
    },
    /// `C`: no more answers to the range or watch whose request id this request carries. No body.
    Cancel,
    /// `S`: where the node stands. No body.
    Status,
    /// `H`: the running checksum of the stream up to a number.
    ///
    /// ```text
    ///  20         28
    /// +----------+
    /// | sequence |
    /// +----------+
    /// ```
    Checksum {
        /// The number; 0: the newest committed.
        sequence: u64,
    },
}

/// Body of `M`: several records, all read at one sequence number.
///
/// ```text
///  20      28      30
/// +-------+-------+--------------------------------------------+
/// | as of | count | count x (table u16, key length u8, key)    |
/// +-------+-------+--------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiGet<'a> {
    /// The sequence number whose state is read; 0: the newest applied.
    pub as_of: u64,
    count: u16,
    keys: &'a [u8],
}

impl<'a> MultiGet<'a> {
    /// How many keys there are, at least 1.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The keys, in the order asked.
    pub fn keys(&self) -> Keys<'a> {
        Keys { rest: self.keys }
    }
}

/// The keys of a [`MultiGet`].
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Keys<'a> {
    type Item = Key<'a>;

    fn next(&mut self) -> Option<Key<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (key, rest) = split_key(self.rest).expect("Request::parse checks every key");
        self.rest = rest;
        Some(key)
    }
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// Shorter than its kind needs.
    Truncated,
    /// Bytes after its end.
    TrailingBytes(usize),
    /// No such kind.
    UnknownKind(u8),
    /// Flags or reserved bytes are not 0.
    Reserved,
    /// A key without a byte.
    EmptyKey,
    /// A multi-get without a key.
    NoKeys,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the request is shorter than its kind needs"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow the end of the request"),
            Self::UnknownKind(kind) => {
                write!(f, "the request has the unknown kind 0x{kind:02x}; G, M, R, W, C, S and H exist")
            }
            Self::Reserved => f.write_str("the request's flags and reserved bytes must be 0"),
            Self::EmptyKey => f.write_str("the request has a key of 0 bytes; 1 to 255 are allowed"),
            Self::NoKeys => f.write_str("the request asks for no key"),
        }
    }
}

impl std::error::Error for QueryError {}

/// The request id, also of a request that is otherwise malformed, so that an error can say which one it was.
pub fn request_id(payload: &[u8]) -> Option<u64> {
    Header::ref_from_prefix(payload).ok().map(|(header, _)| header.request_id.get())
}

impl<'a> Request<'a> {
    /// Reads the payload of an Unsequenced Data packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, QueryError> {
        let (header, body) = Header::ref_from_prefix(payload).map_err(|_| QueryError::Truncated)?;
        if header.flags != 0 || header.reserved.get() != 0 {
            return Err(QueryError::Reserved);
        }
        let (query, rest) = match header.kind {
            b'G' => parse_get(body)?,
            b'M' => parse_multi_get(body)?,
            b'R' => {
                let (range, rest) = RangeBody::ref_from_prefix(body).map_err(|_| QueryError::Truncated)?;
                (Query::Range { from: range.from.get(), to: range.to.get() }, rest)
            }
            b'W' => {
                let (from, rest) = U64::ref_from_prefix(body).map_err(|_| QueryError::Truncated)?;
                (Query::Watch { from: from.get() }, rest)
            }
            b'C' => (Query::Cancel, body),
            b'S' => (Query::Status, body),
            b'H' => {
                let (sequence, rest) = U64::ref_from_prefix(body).map_err(|_| QueryError::Truncated)?;
                (Query::Checksum { sequence: sequence.get() }, rest)
            }
            kind => return Err(QueryError::UnknownKind(kind)),
        };
        if !rest.is_empty() {
            return Err(QueryError::TrailingBytes(rest.len()));
        }
        Ok(Self { request_id: header.request_id.get(), at_least: header.at_least.get(), query })
    }

    /// Writes the payload into the front of `into`; how many bytes it took. `None` when it does not fit or a key is not 1 to 255 bytes.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(into);
        put_header(&mut writer, self.query.kind(), self.request_id, self.at_least)?;
        match self.query {
            Query::Get { as_of, key } => {
                let key_length = key_length(&key)?;
                let body = GetBody { as_of: as_of.into(), table: key.table.into(), key_length };
                writer.put(body.as_bytes())?;
                writer.put(key.key)?;
            }
            Query::MultiGet(multi_get) => {
                let body = MultiGetBody { as_of: multi_get.as_of.into(), count: multi_get.count.into() };
                writer.put(body.as_bytes())?;
                writer.put(multi_get.keys)?;
            }
            Query::Range { from, to } => {
                writer.put(RangeBody { from: from.into(), to: to.into() }.as_bytes())?;
            }
            Query::Watch { from: number } | Query::Checksum { sequence: number } => {
                writer.put(&number.to_be_bytes())?;
            }
            Query::Cancel | Query::Status => {}
        }
        Some(writer.used)
    }
}

impl Query<'_> {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Get { .. } => b'G',
            Self::MultiGet(_) => b'M',
            Self::Range { .. } => b'R',
            Self::Watch { .. } => b'W',
            Self::Cancel => b'C',
            Self::Status => b'S',
            Self::Checksum { .. } => b'H',
        }
    }
}

/// Writes a multi-get of `keys` into the front of `into`; how many bytes it took. `None` when it does not fit, there is no key or
/// more than 65,535, or one is not 1 to 255 bytes.
pub fn encode_multi_get(
    into: &mut [u8],
    request_id: u64,
    at_least: u64,
    as_of: u64,
    keys: &[Key<'_>],
) -> Option<usize> {
    let count = u16::try_from(keys.len()).ok().filter(|&count| count != 0)?;
    let mut writer = Writer::new(into);
    put_header(&mut writer, b'M', request_id, at_least)?;
    writer.put(MultiGetBody { as_of: as_of.into(), count: count.into() }.as_bytes())?;
    for key in keys {
        writer.put(&key.table.to_be_bytes())?;
        writer.put(&[key_length(key)?])?;
        writer.put(key.key)?;
    }
    Some(writer.used)
}

fn put_header(writer: &mut Writer<'_>, kind: u8, request_id: u64, at_least: u64) -> Option<()> {
    let (request_id, at_least) = (request_id.into(), at_least.into());
    writer.put(Header { kind, flags: 0, reserved: 0.into(), request_id, at_least }.as_bytes())
}

fn key_length(key: &Key<'_>) -> Option<u8> {
    u8::try_from(key.key.len()).ok().filter(|&length| length != 0)
}

fn parse_get(body: &[u8]) -> Result<(Query<'_>, &[u8]), QueryError> {
    let (as_of, rest) = U64::ref_from_prefix(body).map_err(|_| QueryError::Truncated)?;
    let (key, rest) = split_key(rest)?;
    Ok((Query::Get { as_of: as_of.get(), key }, rest))
}

fn parse_multi_get(body: &[u8]) -> Result<(Query<'_>, &[u8]), QueryError> {
    let (fixed, keys) = MultiGetBody::ref_from_prefix(body).map_err(|_| QueryError::Truncated)?;
    let count = fixed.count.get();
    if count == 0 {
        return Err(QueryError::NoKeys);
    }
    let mut rest = keys;
    for _ in 0..count {
        (_, rest) = split_key(rest)?;
    }
    let keys = &keys[..keys.len() - rest.len()];
    Ok((Query::MultiGet(MultiGet { as_of: fixed.as_of.get(), count, keys }), rest))
}

fn split_key(bytes: &[u8]) -> Result<(Key<'_>, &[u8]), QueryError> {
    let Some(([table_high, table_low, length], rest)) = bytes.split_first_chunk::<3>() else {
        return Err(QueryError::Truncated);
    };
    if *length == 0 {
        return Err(QueryError::EmptyKey);
    }
    let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or(QueryError::Truncated)?;
    Ok((Key { table: u16::from_be_bytes([*table_high, *table_low]), key }, rest))
}
