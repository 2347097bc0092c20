//! What is counted, and the digest of a record.
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
    /// This tally with the contribution `old` replaced by `new`.
    pub(super) fn exchange(&mut self, old: &Self, new: &Self) {
        self.records = self.records - old.records + new.records;
        self.bytes = self.bytes - old.bytes + new.bytes;
        self.live = self.live - old.live + new.live;
        self.digest = self.digest.wrapping_sub(old.digest).wrapping_add(new.digest);
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
