//! Snapshots: the store's state at one sequence number S, written while the store goes on.
//!
//! A start takes the newest whole snapshot and applies the stream from S + 1 on. What it then answers and decides is what a store that
//! had applied the whole stream would: every record version that a permitted read may ask for is there under its own number, with the
//! session table, the declarations, and all that limits are counted by.
//!
//! | module | holds |
//! | --- | --- |
//! | [`writer`] | an image of the store in, chunks on a disk out, in slices |
//! | [`reader`] | which snapshots there are; a store from one |
//! | [`transfer`] | a snapshot on its way to another node |
//! | `chunk`, `entries` | the bytes |
//!
//! # How it is taken
//!
//! Somebody reads the store's record log on another core while the store goes on appending to it. What has to be of one moment is small,
//! and the store copies it after it has applied message S: numbers, tables, and the session table in slices, of which it copies first
//! what it is about to change (`store::image`). The record versions need not be copied at that moment: those that can be read at S all
//! lie between the log's tail and head as they were then, and never change but in one word that says by which message they were
//! replaced, a number that tells by itself whether that was before S or after (`store::versions`).
//!
//! Only the tail must not run over the reader. It moves when the log is nearly full, in the same direction as the reader and more slowly;
//! so the store keeps it behind the reader's position (`store::hold`), and cleans what the reader has passed. Nothing else waits: the
//! horizon moves on, records expire, tables are swept. If the log runs short of room all the same, the store takes the hold back, the
//! snapshot is given up, and another is tried later.
//!
//! Other ways were weighed. Asking the index, record by record, what a read as of S gives costs a search for each version, and needs the
//! horizon itself held at S, which delays the expiry that outcomes depend on. A second table of sessions that follows the stream on the
//! other core costs every message something. A `fork` copies page tables for as long as the store is large.
//!
//! # Layout
//!
//! Snapshots lie on a [`Disk`](crate::disk::Disk) of their own, each in consecutive segments. A segment is a row of **chunks**, each with
//! room for 256 KiB, so that chunk n of a snapshot is found without reading those before it. What a chunk does not fill stays as it was.
//! All numbers are big-endian.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `GDSN` |
//! | 4 | 2 | format version, 1 |
//! | 6 | 1 | kind, below |
//! | 7 | 1 | reserved, 0 |
//! | 8 | 10 | stream session |
//! | 18 | 2 | reserved, 0 |
//! | 20 | 4 | bytes of the chunk, header included |
//! | 24 | 8 | S |
//! | 32 | 4 | number of the chunk in the snapshot, from 0 |
//! | 36 | 4 | CRC-32C of the chunk, taken with this field as 0 |
//! | 40 | 4 | entries |
//! | 44 | 4 | CRC-32C of the CRC-32Cs of all chunks before it, in order |
//! | 48 | 8 | first segment of the snapshot |
//! | 56 | 8 | reserved, 0 |
//!
//! Entries follow back to back, of one kind in each chunk; kinds come in this order, and those without entries not at all.
//!
//! | kind | entries | bytes of each |
//! | --- | --- | --- |
//! | `H` | the head: timestamp u64, floor u64, store digest u128, total tally, limits, largest limits so far, count of tables u32, schemas u32, ended generations u32, sessions u32, stream ended u8 | 177 |
//! | `T` | tables: number u16, name \[16\], generation u64, tally | 66 |
//! | `S` | schemas: pattern \[10\], schema u8, version u8, first table u16 | 14 |
//! | `G` | ended generations: table u16, generation u16, message that ended it u64, records u64, bytes u64, messages to sweep it in u64, released with message u64 | 44 |
//! | `C` | client sessions: name \[10\], schema u16, next u64, ended at u64, skipped u64, newest skip from u64 to u64 | 52 |
//! | `V` | record versions: version u64, replaced by u64 (0: by none), table u16, generation u16, value length u16, key length u8, flags u8 (1 deleted, 2 moved), key, value | 24 + key + value |
//! | `E` | the end mark: count of versions u64, store digest u128 | 24 |
//!
//! A tally is records u64, bytes u64, live u64, digest u128; limits are records u64, bytes u64, sessions u32, messages until a session is
//! forgotten u64, horizon u64, index seed u64.
//!
//! # Whole or nothing
//!
//! The end mark is written when everything before it is on the disk for good, and the journals have got as far as S. A snapshot counts
//! only if its end mark is there and every chunk's checksum runs into it; so what a crash leaves half-written is not even looked at, and
//! is cleared away. Reading checks each chunk, each entry, that nothing is missing and nothing more, and at last that the restored store
//! has the digest that the running one had. Nothing read is trusted before; any bytes give a store or an error.
mod chunk;
mod entries;
pub mod reader;
pub mod transfer;
pub mod writer;

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;

pub use chunk::{CHUNK_BYTES, ChunkError};
pub use reader::{OpenSnapshot, SnapshotError, SnapshotProblem, Survey, survey};
pub use transfer::{Arrival, TransferError, read_chunk};
pub use writer::{GivenUp, SnapshotWriter, Writing};

/// A whole snapshot on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The message after which it shows the store.
    pub sequence: u64,
    /// Its first segment.
    pub first_segment: u64,
    /// Its last segment.
    pub last_segment: u64,
    /// How many chunks it has.
    pub chunks: u32,
}
