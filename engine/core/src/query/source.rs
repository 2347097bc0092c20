//! What the query engine reads: the store's records and the stream's messages.
use crate::disk::Disk;

/// A record as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It was there; the value is in the caller's buffer.
    Found {
        /// The sequence number that wrote it.
        version: u64,
        /// Bytes of value.
        length: usize,
    },
    /// It was not there.
    Missing,
    /// The state asked for is no longer readable.
    BelowHorizon,
    /// The value is longer than the buffer.
    TooLong,
}

/// A bus message as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is in the caller's buffer, with this length.
    Message(usize),
    /// Not yet committed.
    Empty,
    /// It is longer than the buffer.
    TooSmall,
    /// It is older than everything kept.
    Gone,
    /// It is kept but cannot be read.
    Failed,
}

/// The store's part of a status answer, all at one sequence number where that can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Live records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Digest of the state.
    pub digest: u128,
}

/// Everything a query may see. Implemented over the store and the stream by [`NodeSource`](super::node_source::NodeSource), and
/// over plain lists in tests.
pub trait Source: Send {
    /// The last message applied.
    fn applied(&self) -> u64;

    /// The last message committed; nothing beyond it is shown.
    fn committed(&self) -> u64;

    /// The last message published downstream.
    fn published(&self) -> u64;

    /// The oldest message kept.
    fn first_kept(&mut self, disk: &mut dyn Disk) -> u64;

    /// Reads a record as it was right after message `as_of`, which is at most [`Self::applied`].
    fn get(&mut self, table: u16, key: &[u8], as_of: u64, into: &mut [u8]) -> Lookup;

    /// Reads message `sequence` if it is at most `limit`. Several ranges and watches read in turn, each consecutive numbers
    /// mostly.
    fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading;

    /// The store's part of a status answer.
    fn store_status(&self) -> StoreStatus;
}
