//! Entries of the log packed into leader's packets.
use crate::bus::burst::Burst;
use crate::bus::stream_reader::StreamRead;
use crate::memory::ring::{Read, RingReader};
use gds_wire::replication::{LeaderPacketBuilder, Prefix};
use gds_wire::session::Session;

/// Where entries are read from, in order.
pub(super) trait EntryReader {
    /// Why it cannot.
    type Error;

    /// The number of the entry that is read next.
    fn next_sequence(&self) -> u64;

    /// Reads the next entry, unless it is above `limit`.
    fn read(&mut self, limit: u64, into: &mut [u8]) -> Result<StreamRead, Self::Error>;

    /// Goes to another entry.
    fn seek(&mut self, sequence: u64);
}

/// What packing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// A packet with so many entries, added to the burst.
    Packet(u64),
    /// There is no entry up to the limit.
    Nothing,
    /// The next packet is longer than those of the burst: send it first.
    TooLong,
    /// The next entry is not kept any more.
    Gone,
}

/// The entry before what is packed next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// Its epoch; 0 before the first entry.
    pub epoch: u32,
    /// The running checksum of the log up to it; 0 before the first entry, or where it is not known.
    pub chain: u64,
}

/// Builds one packet of what follows, entries of one epoch, behind those of the burst. `before` is the entry before, and then the last one packed.
pub(super) fn pack<R: EntryReader>(
    reader: &mut R,
    limit: u64,
    before: &mut Before,
    stream: Session,
    prefix: &Prefix,
    burst: &mut Burst,
) -> Result<Packed, R::Error> {
    let first = reader.next_sequence();
    let alone = burst.is_empty();
    let mut builder = LeaderPacketBuilder::entries(burst.room(), stream, first);
    let mut of_epoch = None;
    let mut of_chain = 0;
    while builder.room() > 0 {
        let read = match reader.read(limit, builder.vacant()) {
            // What could be read goes; the reader stands at what could not.
            Err(_) if builder.count() > 0 => break,
            read => read?,
        };
        match read {
            StreamRead::Message { sequence, epoch, .. } if of_epoch.is_some_and(|of| of != epoch) => {
                reader.seek(sequence);
                break;
            }
            StreamRead::Message { length, epoch, chain, .. } => {
                (of_epoch, of_chain) = (Some(epoch), chain);
                builder.accept(length);
            }
            StreamRead::TooSmall { length } if builder.count() == 0 => {
                assert!(!alone, "an entry of {length} bytes fits no packet");
                return Ok(Packed::TooLong);
            }
            StreamRead::Gone if builder.count() == 0 => return Ok(Packed::Gone),
            StreamRead::Empty | StreamRead::TooSmall { .. } | StreamRead::Gone => break,
        }
    }
    let Some(entry_epoch) = of_epoch else { return Ok(Packed::Nothing) };
    let count = u64::from(builder.count());
    let entries_bytes = builder.finish();
    let prefix = Prefix { before: before.epoch, chain: before.chain, entry_epoch, ..*prefix };
    let length = LeaderPacketBuilder::finish(burst.room(), entries_bytes, &prefix);
    burst.add(length);
    *before = Before { epoch: entry_epoch, chain: of_chain };
    Ok(Packed::Packet(count))
}

impl EntryReader for RingReader {
    type Error = std::convert::Infallible;

    fn next_sequence(&self) -> u64 {
        Self::next_sequence(self)
    }

    fn read(&mut self, limit: u64, into: &mut [u8]) -> Result<StreamRead, Self::Error> {
        Ok(match Self::read(self, limit, into) {
            Read::Message { sequence, epoch, chain, length } => {
                StreamRead::Message { sequence, epoch, chain, length }
            }
            Read::Empty => StreamRead::Empty,
            Read::Overrun => StreamRead::Gone,
            Read::TooSmall { length } => StreamRead::TooSmall { length },
        })
    }

    fn seek(&mut self, sequence: u64) {
        Self::seek(self, sequence);
    }
}
