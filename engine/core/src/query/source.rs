//! What the query engine reads: the store's records and the stream's messages.
use crate::disk::Disk;
use crate::store::{ReadError, StoreStatus};

/// A record as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The sequence number whose state was read.
    pub sequence: u64,
    /// The sequence number that wrote the record; `None` when there was none.
    pub version: Option<u64>,
    /// Its value; empty when there was none.
    pub value: &'a [u8],
}

/// A bus message as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is in the caller's buffer.
    Message {
        /// Its length.
        length: usize,
        /// The epoch it was first numbered under; 0 where that is not known.
        epoch: u32,
        /// The running checksum of all messages up to it; `None` where what came before the first one kept is not known.
        chain: Option<u64>,
    },
    /// Not yet committed.
    Empty,
    /// It is longer than the buffer.
    TooSmall,
    /// It is older than everything kept.
    Gone,
    /// It is kept but cannot be read.
    Failed,
}

/// Everything a query may see. A node implements it over its store and its stream, tests over plain lists.
pub trait Source: Send {
    /// The last message applied.
    fn applied(&self) -> u64;

    /// The last message committed; nothing beyond it is shown.
    fn committed(&self) -> u64;

    /// The last message published downstream.
    fn published(&self) -> u64;

    /// The oldest message kept.
    fn first_kept(&mut self, disk: &mut dyn Disk) -> u64;

    /// Tells of records that will be read one after the other as of message `as_of`: whoever waits for memory waits for all of
    /// them at once.
    fn foresee(&mut self, _keys: &mut dyn Iterator<Item = (u16, &[u8])>, _as_of: u64) {}

    /// Reads a record as it was right after message `as_of` (0: the newest applied).
    fn get(&mut self, table: u16, key: &[u8], as_of: u64) -> Result<Found<'_>, ReadError>;

    /// Reads message `sequence` if it is at most `limit`. Several ranges and watches read in turn, each consecutive numbers
    /// mostly.
    fn read(&mut self, sequence: u64, limit: u64, disk: &mut dyn Disk, into: &mut [u8]) -> Reading;

    /// Counts and digest, and the number at which they hold.
    fn store_status(&self) -> StoreStatus;
}
