//! Wire formats of GDS: bytes in, values out, and back. No I/O, no allocation on the paths that matter, no `unsafe`.
//!
//! Every parser borrows from the bytes it is given, checks everything before it hands anything out, and never panics on any
//! input. Every integer on a wire is big-endian and unsigned. `docs/PROTOCOL.md` shows all of it byte by byte.
//!
//! | module | holds | who speaks it |
//! | --- | --- | --- |
//! | [`session`] | session names and patterns of them | all |
//! | [`mold`] | MoldUDP64 1.00: downstream packets, heartbeats, end of session, request packets | bus |
//! | [`envelope`] | what stands before each bus message's body, and the bodies the sequencer writes itself | bus |
//! | [`transaction`] | operations on records, all or nothing: one message block | clients to the bus |
//! | [`declaration`] | limits, tables and schemas, as the stream carries them | bus |
//! | [`acknowledgement`] | the outcome of one bus message | acknowledgement stream |
//! | [`refusal`] | what the leader tells a packet's source when it could not take a message now | leader to clients |
//! | [`replication`] | entries, watermarks and requests for older entries | nodes of one cluster |
//! | [`snapshot`] | snapshots on their way to a learner | nodes of one cluster |
//! | [`soup`] | SoupBinTCP 3.00 packets; logins of 3.00 and 4.10 | queries |
//! | [`query`] | requests and answers inside SoupBinTCP data packets | queries |
//! | [`itch`] | Nasdaq TotalView-ITCH 5.0 messages | feeds |
//! | [`binary_file`] | BinaryFILE 1.00 records | captures |
#![forbid(unsafe_code)]

pub mod acknowledgement;
pub mod binary_file;
pub mod declaration;
pub mod envelope;
pub mod itch;
pub mod mold;
pub mod query;
pub mod refusal;
pub mod replication;
pub mod session;
pub mod snapshot;
pub mod soup;
pub mod transaction;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod protocol_document;

/// CRC-32C (Castagnoli, as in RFC 3720) of `bytes`: the checksum every GDS message uses.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn should_compute_the_published_checksum() {
        assert_eq!(super::checksum(b"123456789"), 0xE306_9283);
        assert_eq!(super::checksum(b""), 0);
    }
}
