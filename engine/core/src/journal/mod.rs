//! The journal: the older part of a stream, on disk.
//!
//! A journal is a row of **segments**, preallocated files of zeros numbered from 1 up without a hole. A segment holds
//! **groups**, back to back from its first byte to its last: a group never spans two segments, and a segment is left only
//! when not one block of it is free. A group is what one write carries: messages with consecutive sequence numbers, padded
//! to whole blocks, checksummed, chained to the group before it by that one's checksum (see [`group`] for the bytes).
//!
//! # What a message costs
//!
//! A message with its headers fits one block, and a group of n messages never takes more than n blocks. So as long as b
//! blocks are free, b more messages can be journalled whatever their sizes, and the writer can say so before they get
//! numbers: [`Progress::reserved`](crate::cursor::Progress::reserved). One block is kept back for the clean end.
//!
//! # Torn tail or damaged middle
//!
//! Each group carries the highest number that was known to survive a power cut before the group was written. At a start
//! [`recover`] walks the groups; where the chain breaks, it looks at everything behind that place. If some whole group
//! there says that the missing number was durable, the journal is **damaged**: the start stops, nothing is changed. If none
//! does, the break is a **torn tail**, writes that were on their way when the power went: it is cut back, that is, later
//! segments are removed from the last one on and the rest of the segment is zeroed, and synced before anything else is
//! written, so that no group of an earlier life can ever follow one of a later life. All of this can be interrupted and
//! begun again.
//!
//! | durability | a group is written | durable, for the stream | known durable, in the group |
//! | --- | --- | --- | --- |
//! | `fsync` | when no other is on its way; synced | synced | synced |
//! | `memory` | when full, or after a linger; not synced, but for the last of a segment | handed to the operating system, which outlives `kill -9` | synced |
//!
//! So in `memory` too a power cut can take nothing but a tail, and what `kill -9` leaves is never called damage: a write
//! that was not finished is above every number known durable. What the caller knows to be in the journal from elsewhere (the ring that
//! outlived the process begins behind it) it passes to [`recover`], and a break below that is damage as well.
//!
//! # Cut
//!
//! A replica whose journal has messages that its leader does not have [`cut`]s them off. That too can be interrupted at any moment: an
//! image in segment 0 says how far it should go, and [`recover`] goes on with it.
//!
//! # A beginning in the middle
//!
//! A journal need not begin with message 1: old segments are let go, and a learner that takes another node's snapshot begins with the snapshot's
//! message alone ([`begin_with`]).
//!
//! # Errors
//!
//! No room for another segment: `reserved` stays where it is, the writer tries again every 100 ms. Any other failed
//! write or sync is a [`JournalFault`]: the node stops, and a failed sync is never tried again, because the operating system may have
//! dropped what it could not write.
mod config;
mod cut;
pub mod group;
mod reader;
mod recovery;
mod segment;
mod single;
mod unreadable;
mod walk;
mod writer;

#[cfg(test)]
pub(crate) mod memory_disk;
#[cfg(test)]
mod tests;

pub use config::{Durability, JournalConfig, JournalCounters, JournalFault};
pub use cut::cut;
pub use group::{GROUP_BYTES_MAX, Group, MESSAGE_BYTES_MAX, Message, Messages};
pub use reader::{JournalRead, JournalReader, OldSegments};
pub use recovery::{Recovered, recover};
pub use single::begin_with;
pub use unreadable::{PLACES_MAX, Unreadable, UnreadablePlace};
pub use walk::{JournalDamage, JournalError, Position, TornTail, Walk, walk};
pub use writer::JournalWriter;
