//! What is counted, and the digest of a record.
use crate::memory::{Fate, RecordHeader};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes before key and value in what [`RecordHasher`] hashes.
const DIGEST_HEADER_BYTES: usize = 11;

/// Counts of a table, or of the whole store. All of it is a pure function of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What counts against the declared limit of records: live records, deleted ones that the horizon has not
    /// passed yet, and those of emptied tables until they are reclaimed.
    pub records: u64,
    /// What counts against the declared limit of bytes: keys and values of live records, keys of deleted
    /// ones.
    pub bytes: u64,
    /// Live records.
    pub live: u64,
    /// Wrapping sum of the digests of the live records' newest versions.
    pub digest: u128,
}

impl Tally {
    /// This tally with one record's share replaced by another.
    #[inline]
    pub(super) fn exchange(&mut self, old: &Share, new: &Share) {
        self.records = self.records - u64::from(old.records) + u64::from(new.records);
        self.bytes = self.bytes - u64::from(old.bytes) + u64::from(new.bytes);
        self.live = self.live - u64::from(old.live) + u64::from(new.live);
        self.digest = self.digest.wrapping_sub(old.digest).wrapping_add(new.digest);
    }
}

/// What one record adds to a [`Tally`]; nothing where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    records: bool,
    live: bool,
    bytes: u32,
    pub digest: u128,
}

impl Share {
    /// A live record of so many bytes of key and value.
    pub fn live(bytes: usize, digest: u128) -> Self {
        Self { records: true, live: true, bytes: bytes as u32, digest }
    }

    /// A deleted record of which the key still counts.
    pub fn deleted(key_bytes: usize) -> Self {
        Self { records: true, live: false, bytes: key_bytes as u32, digest: 0 }
    }

    /// The record whose newest version this is.
    #[inline]
    pub fn of(header: &RecordHeader) -> Self {
        match header.fate {
            Fate::Current { .. } if header.tombstone => Self::deleted(header.key_length),
            Fate::Current { digest } => Self::live(header.key_length + header.value_length, digest),
            Fate::Replaced { .. } => panic!("the index leads to a version that was replaced: {header:?}"),
        }
    }
}

/// Hashes records for the digest; keeps the buffer it needs for that.
#[derive(Debug)]
pub(super) struct RecordHasher {
    buffer: Box<[u8]>,
}

impl RecordHasher {
    /// A hasher for records of at most `record_bytes` bytes of key and value together.
    pub fn new(record_bytes: usize) -> Self {
        Self { buffer: vec![0; DIGEST_HEADER_BYTES + record_bytes].into_boxed_slice() }
    }

    /// xxh3-128 of table, key length, version (big-endian), key and value. Says nothing of where the record
    /// lies.
    #[inline]
    pub fn digest(&mut self, table: u16, version: u64, key: &[u8], value: &[u8]) -> u128 {
        let (header, record) = self.buffer.split_at_mut(DIGEST_HEADER_BYTES);
        header[..2].copy_from_slice(&table.to_be_bytes());
        header[2] = key.len() as u8;
        header[3..].copy_from_slice(&version.to_be_bytes());
        record[..key.len()].copy_from_slice(key);
        let length = key.len() + value.len();
        record[key.len()..length].copy_from_slice(value);
        xxh3_128(&self.buffer[..DIGEST_HEADER_BYTES + length])
    }
}
