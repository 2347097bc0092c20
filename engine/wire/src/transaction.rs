//! Transactions: operations on records, all of them or none.
//!
//! A transaction is one message block of a client's session, and the body of one bus message. It is read where it lies.
use std::fmt;

use zerocopy::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First byte of a transaction.
pub const TRANSACTION_TYPE: u8 = b'T';
/// Bytes before the first operation.
pub const TRANSACTION_HEADER_BYTES: usize = 2;
/// Bytes of an operation before its key.
pub const OPERATION_HEADER_BYTES: usize = 16;
/// Most operations of one transaction.
pub const MAX_OPERATIONS: usize = 64;
/// Longest key.
pub const MAX_KEY_BYTES: usize = 255;
/// The expected version that says: any, also none.
const ANY_VERSION: u64 = u64::MAX;

/// What an operation does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OperationKind {
    /// Writes a record that must not exist.
    Insert = b'I',
    /// Writes a record that must exist.
    Modify = b'M',
    /// Writes a record whether or not it exists.
    Put = b'P',
    /// Deletes a record that must exist. Carries no value.
    Delete = b'D',
    /// Changes nothing. The record must exist, unless the expected version is 0, which says that it must not. Carries no value.
    Check = b'C',
}

impl OperationKind {
    /// The kind with this code, if there is one.
    pub const fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            b'I' => Self::Insert,
            b'M' => Self::Modify,
            b'P' => Self::Put,
            b'D' => Self::Delete,
            b'C' => Self::Check,
            _ => return None,
        })
    }

    /// Whether operations of this kind carry a value.
    pub const fn has_value(self) -> bool {
        matches!(self, Self::Insert | Self::Modify | Self::Put)
    }
}

/// What an operation begins with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OperationHeader {
    kind: u8,
    key_length: u8,
    table: U16,
    value_length: U16,
    reserved: U16,
    expected: U64,
}

const _: () = assert!(size_of::<OperationHeader>() == OPERATION_HEADER_BYTES);

/// One operation on one record.
///
/// ```text
///  0      1            2       4              6          8                  16    16+k  16+k+v
/// +------+------------+-------+--------------+----------+------------------+-----+-----+
/// | kind | key length | table | value length | reserved | expected version | key |value|
/// +------+------------+-------+--------------+----------+------------------+-----+-----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// What to do.
    pub kind: OperationKind,
    /// In which table.
    pub table: u16,
    /// To the record with this key, 1 to 255 bytes.
    pub key: &'a [u8],
    /// The new value; empty for the kinds that carry none.
    pub value: &'a [u8],
    /// Only if the record has this version (the bus sequence number that wrote it; 0: there must be no record). `None`: any, on
    /// the wire `u64::MAX`.
    pub expected: Option<u64>,
}

/// Why bytes are no transaction, or an operation cannot be added to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// Shorter than its header, or it does not begin with [`TRANSACTION_TYPE`].
    Header,
    /// The count is not 1 to [`MAX_OPERATIONS`].
    OperationCount(usize),
    /// An operation runs over the end.
    Truncated {
        /// Which, from 0.
        operation: usize,
    },
    /// An operation of a kind that does not exist.
    UnknownKind {
        /// Which, from 0.
        operation: usize,
        /// Its kind byte.
        kind: u8,
    },
    /// A key that is not 1 to [`MAX_KEY_BYTES`] bytes long.
    KeyLength {
        /// Which operation, from 0.
        operation: usize,
        /// The key's length.
        length: usize,
    },
    /// A value longer than 65,535 bytes, or one where the kind carries none.
    ValueLength {
        /// Which operation, from 0.
        operation: usize,
        /// The value's length.
        length: usize,
    },
    /// The reserved bytes are not 0.
    Reserved {
        /// Which operation, from 0.
        operation: usize,
    },
    /// The expected version `u64::MAX`, which on the wire means any.
    ExpectedVersion {
        /// Which operation, from 0.
        operation: usize,
    },
    /// Bytes after the last operation.
    TrailingBytes(usize),
    /// The operation does not fit the builder's buffer.
    NoRoom {
        /// Which, from 0.
        operation: usize,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        room: usize,
    },
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header => f.write_str("a transaction begins with T and a count of operations"),
            Self::OperationCount(count) => {
                write!(f, "a transaction has 1 to {MAX_OPERATIONS} operations, not {count}")
            }
            Self::Truncated { operation } => {
                write!(f, "operation {operation} runs over the end of the transaction")
            }
            Self::UnknownKind { operation, kind } => {
                write!(f, "operation {operation} has the unknown kind 0x{kind:02x}; I, M, P, D and C exist")
            }
            Self::KeyLength { operation, length } => {
                write!(
                    f,
                    "operation {operation} has a key of {length} bytes; 1 to {MAX_KEY_BYTES} are allowed"
                )
            }
            Self::ValueLength { operation, length } => {
                write!(f, "operation {operation} cannot carry a value of {length} bytes")
            }
            Self::Reserved { operation } => {
                write!(f, "operation {operation} has reserved bytes that are not 0")
            }
            Self::ExpectedVersion { operation } => {
                write!(f, "operation {operation} expects version {ANY_VERSION}, which no record can have")
            }
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow the transaction's last operation"),
            Self::NoRoom { operation, needed, room } => write!(
                f,
                "operation {operation} needs {needed} bytes and the transaction has room for {room}; split it"
            ),
        }
    }
}

impl std::error::Error for TransactionError {}

/// A transaction, checked whole.
///
/// ```text
///  0     1       2
/// +-----+-------+------------+------------+-----
/// | 'T' | count | operation  | operation  | ...
/// +-----+-------+------------+------------+-----
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    count: u8,
    operations: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// Checks a message block: everything in it is then known to be well formed.
    pub fn parse(block: &'a [u8]) -> Result<Self, TransactionError> {
        let [TRANSACTION_TYPE, count, operations @ ..] = block else {
            return Err(TransactionError::Header);
        };
        if !(1..=MAX_OPERATIONS).contains(&usize::from(*count)) {
            return Err(TransactionError::OperationCount(usize::from(*count)));
        }
        let mut rest = operations;
        for operation in 0..usize::from(*count) {
            (_, rest) = split_operation(operation, rest)?;
        }
        match rest.len() {
            0 => Ok(Self { count: *count, operations }),
            trailing => Err(TransactionError::TrailingBytes(trailing)),
        }
    }

    /// How many operations there are, 1 to [`MAX_OPERATIONS`].
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The operations, in order.
    pub fn operations(&self) -> Operations<'a> {
        Operations { rest: self.operations }
    }
}

/// The operations of a [`Transaction`], in order.
#[derive(Clone, Debug)]
pub struct Operations<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Operations<'a> {
    type Item = Operation<'a>;

    fn next(&mut self) -> Option<Operation<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (operation, rest) =
            split_operation(0, self.rest).expect("Transaction::parse checks every operation");
        self.rest = rest;
        Some(operation)
    }
}

/// Takes operation number `operation` (for errors) from the front of `bytes`.
fn split_operation(operation: usize, bytes: &[u8]) -> Result<(Operation<'_>, &[u8]), TransactionError> {
    let truncated = TransactionError::Truncated { operation };
    let (header, rest) = OperationHeader::ref_from_prefix(bytes).map_err(|_| truncated)?;
    let kind = OperationKind::from_u8(header.kind)
        .ok_or(TransactionError::UnknownKind { operation, kind: header.kind })?;
    if header.reserved.get() != 0 {
        return Err(TransactionError::Reserved { operation });
    }
    let value_length = usize::from(header.value_length.get());
    check_lengths(operation, kind, usize::from(header.key_length), value_length)?;
    let (key, rest) = rest.split_at_checked(usize::from(header.key_length)).ok_or(truncated)?;
    let (value, rest) = rest.split_at_checked(value_length).ok_or(truncated)?;
    let expected = Some(header.expected.get()).filter(|&version| version != ANY_VERSION);
    Ok((Operation { kind, table: header.table.get(), key, value, expected }, rest))
}

fn check_lengths(
    operation: usize,
    kind: OperationKind,
    key_bytes: usize,
    value_bytes: usize,
) -> Result<(), TransactionError> {
    if !(1..=MAX_KEY_BYTES).contains(&key_bytes) {
        return Err(TransactionError::KeyLength { operation, length: key_bytes });
    }
    let value_bytes_max = if kind.has_value() { usize::from(u16::MAX) } else { 0 };
    if value_bytes > value_bytes_max {
        return Err(TransactionError::ValueLength { operation, length: value_bytes });
    }
    Ok(())
}

/// Writes a transaction into a buffer, which is its bound: give it as many bytes as a block may have
/// ([`max_block_bytes`](crate::envelope::max_block_bytes)).
#[derive(Debug)]
pub struct TransactionBuilder<'a> {
    buffer: &'a mut [u8],
    used: usize,
    count: u8,
}

impl<'a> TransactionBuilder<'a> {
    /// Begins a transaction.
    ///
    /// # Panics
    /// When `buffer` has no room for the header.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        assert!(
            buffer.len() >= TRANSACTION_HEADER_BYTES,
            "a buffer of {} bytes holds no transaction",
            buffer.len()
        );
        Self { buffer, used: TRANSACTION_HEADER_BYTES, count: 0 }
    }

    /// Appends an operation. On an error nothing has changed.
    pub fn push(&mut self, operation: &Operation<'_>) -> Result<(), TransactionError> {
        let number = usize::from(self.count);
        if number == MAX_OPERATIONS {
            return Err(TransactionError::OperationCount(MAX_OPERATIONS + 1));
        }
        check_lengths(number, operation.kind, operation.key.len(), operation.value.len())?;
        if operation.expected == Some(ANY_VERSION) {
            return Err(TransactionError::ExpectedVersion { operation: number });
        }
        let needed = OPERATION_HEADER_BYTES + operation.key.len() + operation.value.len();
        let room = self.buffer.len() - self.used;
        if needed > room {
            return Err(TransactionError::NoRoom { operation: number, needed, room });
        }
        let header = OperationHeader {
            kind: operation.kind as u8,
            key_length: operation.key.len() as u8,
            table: operation.table.into(),
            value_length: (operation.value.len() as u16).into(),
            reserved: 0.into(),
            expected: operation.expected.unwrap_or(ANY_VERSION).into(),
        };
        for part in [header.as_bytes(), operation.key, operation.value] {
            self.buffer[self.used..self.used + part.len()].copy_from_slice(part);
            self.used += part.len();
        }
        self.count += 1;
        Ok(())
    }

    /// How many operations there are so far.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Writes the header; returns how many bytes of the buffer are the transaction.
    ///
    /// # Panics
    /// When there is no operation.
    pub fn finish(self) -> usize {
        assert!(self.count > 0, "a transaction needs an operation");
        self.buffer[0] = TRANSACTION_TYPE;
        self.buffer[1] = self.count;
        self.used
    }
}

#[cfg(test)]
mod tests;
