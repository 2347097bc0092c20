//! Replication: what nodes of one cluster send each other. No client sees these.
//!
//! The leader sends [`LeaderPacket`]s to the replication group: a prefix of 64 bytes, and behind it a MoldUDP64 downstream packet of the stream,
//! with the entries as its blocks, or none: then it is a heartbeat, and its sequence number is the next one of the leader's log. A
//! replica sends a [`Watermark`] to the leader alone, and a [`HistoryRequest`] for entries it missed. Now and then the leader says what its store
//! came to: a [`StoreDigest`]. Who finds that two nodes have shown what cannot both be says so to the other one: a [`Contradiction`].
//!
//! Each has a CRC-32C of all that follows the checksum: a packet that was damaged on its way must not commit anything. Rules in
//! brackets are those of `docs/FAILOVER.md`.
use crate::checksum;
use crate::mold::{self, Packet, PacketBuilder};
use crate::session::Session;
use zerocopy::network_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a leader's packet begins with.
pub const LEADER_MAGIC: [u8; 4] = *b"GDSL";
/// What a watermark begins with.
pub const WATERMARK_MAGIC: [u8; 4] = *b"GDSW";
/// What a request for older entries begins with.
pub const HISTORY_MAGIC: [u8; 4] = *b"GDSH";

/// What a digest begins with.
pub const DIGEST_MAGIC: [u8; 4] = *b"GDSD";
/// What a contradiction begins with.
pub const CONTRADICTION_MAGIC: [u8; 4] = *b"GDSC";

/// The format of a stream's messages, declarations included, that this release reads and writes. A node that reads an older one alone cannot follow.
pub const STREAM_FORMAT: u16 = 1;

/// Bytes of a leader's prefix.
pub const PREFIX_BYTES: usize = 64;
/// Bytes of a leader's packet beside its blocks.
pub const LEADER_BYTES: usize = PREFIX_BYTES + mold::HEADER_BYTES;
/// Bytes of a watermark.
pub const WATERMARK_BYTES: usize = 104;
/// Bytes of a request for older entries.
pub const HISTORY_BYTES: usize = 48;
/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 56;
/// Bytes of a contradiction.
pub const CONTRADICTION_BYTES: usize = 72;

/// Where the checksum is, and from where on it counts.
const CHECKSUM_AT: usize = 4;
const CHECKED_FROM: usize = 8;

/// The longest leader's packet that a message needs which fits a downstream packet of so many bytes.
pub const fn leader_packet_bytes(payload_bytes_max: usize) -> usize {
    payload_bytes_max + PREFIX_BYTES
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PrefixLayout {
    magic: [u8; 4],
    checksum: U32,
    node: u8,
    flags: u8,
    reserved: [u8; 2],
    epoch: U32,
    before: U32,
    entry_epoch: U32,
    incarnation: U64,
    committed: U64,
    revision: U64,
    chain: U64,
    compared: U64,
}

/// What a watermark, a request and a digest begin with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SenderLayout {
    magic: [u8; 4],
    checksum: U32,
    node: u8,
    reserved: u8,
    stream: Session,
    epoch: U32,
    incarnation: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WatermarkLayout {
    sender: SenderLayout,
    whole_since: U64,
    matched: U64,
    last: U64,
    applied: U64,
    shown: U64,
    chain: U64,
    records_max: U64,
    bytes_max: U64,
    format: U16,
    reserved: [u8; 6],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HistoryLayout {
    sender: SenderLayout,
    from: U64,
    to: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DigestLayout {
    sender: SenderLayout,
    sequence: U64,
    digest: U128,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ContradictionLayout {
    sender: SenderLayout,
    incarnation: U64,
    sequence: U64,
    last: U64,
    chain: U64,
    kind: u8,
    reserved: [u8; 7],
}

const _: () = assert!(size_of::<ContradictionLayout>() == CONTRADICTION_BYTES);
const _: () = assert!(size_of::<DigestLayout>() == DIGEST_BYTES);
const _: () = assert!(size_of::<PrefixLayout>() == PREFIX_BYTES);
const _: () = assert!(size_of::<WatermarkLayout>() == WATERMARK_BYTES);
const _: () = assert!(size_of::<HistoryLayout>() == HISTORY_BYTES);

fn is_whole(datagram: &[u8], magic: [u8; 4]) -> bool {
    datagram.len() >= CHECKED_FROM
        && datagram[..CHECKSUM_AT] == magic
        && datagram[CHECKSUM_AT..CHECKED_FROM] == checksum(&datagram[CHECKED_FROM..]).to_be_bytes()
}

fn seal(datagram: &mut [u8]) {
    let sum = checksum(&datagram[CHECKED_FROM..]).to_be_bytes();
    datagram[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&sum);
}

/// What a leader says with each packet, beside the entries.
///
/// ```text
///  0        4          8      9       10         12      16       20            24            32          40         48      56         64
/// +--------+----------+------+-------+----------+-------+--------+-------------+-------------+-----------+----------+-------+----------+-----------
/// | "GDSL" | CRC-32C  | node | flags | reserved | epoch | before | entry epoch | incarnation | committed | revision | chain | compared | MoldUDP64
/// +--------+----------+------+-------+----------+-------+--------+-------------+-------------+-----------+----------+-------+----------+-----------
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The leader's number.
    pub node: u8,
    /// The leader is about to hand over to this packet's receivers: it takes nothing more (bit 0 of the flags).
    pub drains: bool,
    /// The epoch it leads.
    pub epoch: u32,
    /// The epoch of the entry before the packet's first one, or of its log's last one in a heartbeat; 0 before the first (R11).
    pub before: u32,
    /// The epoch that the packet's entries were first numbered in; 0 in a heartbeat.
    pub entry_epoch: u32,
    /// The leader's incarnation.
    pub incarnation: u64,
    /// Its commit point.
    pub committed: u64,
    /// The revision at which it knows the register.
    pub revision: u64,
    /// The running checksum of its log up to the entry before the packet's first one; 0: before the first entry, or not said (R20).
    pub chain: u64,
    /// The message behind which stores are compared next; 0: none.
    pub compared: u64,
}

/// A leader's packet.
#[derive(Clone, Copy, Debug)]
pub struct LeaderPacket<'a> {
    /// What the leader says.
    pub prefix: Prefix,
    /// The entries.
    pub entries: Packet<'a>,
}

impl<'a> LeaderPacket<'a> {
    /// Reads a datagram; `None` when it is something else, or damaged.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        if !is_whole(datagram, LEADER_MAGIC) {
            return None;
        }
        let (layout, rest) = PrefixLayout::ref_from_prefix(datagram).ok()?;
        let entries = Packet::parse(rest).ok()?;
        // An end of session is not something between nodes, and nothing follows the blocks.
        if entries.kind == mold::Kind::EndOfSession || entries.trailing_bytes > 0 || entries.sequence == 0 {
            return None;
        }
        let prefix = Prefix {
            node: layout.node,
            drains: layout.flags & 1 == 1,
            epoch: layout.epoch.get(),
            before: layout.before.get(),
            entry_epoch: layout.entry_epoch.get(),
            incarnation: layout.incarnation.get(),
            committed: layout.committed.get(),
            revision: layout.revision.get(),
            chain: layout.chain.get(),
            compared: layout.compared.get(),
        };
        Some(Self { prefix, entries })
    }
}

/// Fills one leader's packet in place, as [`PacketBuilder`] does a downstream packet.
#[derive(Debug)]
pub struct LeaderPacketBuilder;

impl LeaderPacketBuilder {
    /// Where the entries go: a downstream packet of the stream behind the room for the prefix.
    ///
    /// # Panics
    /// When `buffer` has no room for the headers.
    pub fn entries(buffer: &mut [u8], stream: Session, sequence: u64) -> PacketBuilder<'_> {
        PacketBuilder::new(&mut buffer[PREFIX_BYTES..], stream, sequence)
    }

    /// Puts the prefix before entries of so many bytes, as [`PacketBuilder::finish`] said; the packet's length.
    pub fn finish(buffer: &mut [u8], entries_bytes: usize, prefix: &Prefix) -> usize {
        let layout = PrefixLayout {
            magic: LEADER_MAGIC,
            checksum: 0.into(),
            node: prefix.node,
            flags: u8::from(prefix.drains),
            reserved: [0; 2],
            epoch: prefix.epoch.into(),
            before: prefix.before.into(),
            entry_epoch: prefix.entry_epoch.into(),
            incarnation: prefix.incarnation.into(),
            committed: prefix.committed.into(),
            revision: prefix.revision.into(),
            chain: prefix.chain.into(),
            compared: prefix.compared.into(),
        };
        let packet = &mut buffer[..PREFIX_BYTES + entries_bytes];
        packet[..PREFIX_BYTES].copy_from_slice(layout.as_bytes());
        seal(packet);
        packet.len()
    }
}

/// A leader's heartbeat: `next` is the number that its log's next entry gets.
pub fn heartbeat(stream: Session, next: u64, prefix: &Prefix) -> [u8; LEADER_BYTES] {
    let mut packet = [0; LEADER_BYTES];
    let entries = LeaderPacketBuilder::entries(&mut packet, stream, next).finish();
    LeaderPacketBuilder::finish(&mut packet, entries, prefix);
    packet
}

/// Who says something between nodes, and in which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its number.
    pub node: u8,
    /// The stream.
    pub stream: Session,
    /// The newest epoch it knows: a leader of an older one learns from it that it leads no more (R9).
    pub epoch: u32,
    /// Its incarnation (R13).
    pub incarnation: u64,
}

impl Sender {
    fn of(layout: &SenderLayout) -> Self {
        Self {
            node: layout.node,
            stream: layout.stream,
            epoch: layout.epoch.get(),
            incarnation: layout.incarnation.get(),
        }
    }

    fn layout(&self, magic: [u8; 4]) -> SenderLayout {
        SenderLayout {
            magic,
            checksum: 0.into(),
            node: self.node,
            reserved: 0,
            stream: self.stream,
            epoch: self.epoch.into(),
            incarnation: self.incarnation.into(),
        }
    }
}

/// How far a replica has come with the leader of an epoch.
///
/// ```text
///  0        4         8      9          10       20      24            32            40        48     56        64
/// +--------+---------+------+----------+--------+-------+-------------+-------------+---------+------+---------+
/// | "GDSW" | CRC-32C | node | reserved | stream | epoch | incarnation | whole since | matched | last | applied |
/// +--------+---------+------+----------+--------+-------+-------------+-------------+---------+------+---------+
///  64      72      80            88          96       98         104
/// +-------+-------+-------------+-----------+--------+----------+
/// | shown | chain | records max | bytes max | format | reserved |
/// +-------+-------+-------------+-----------+--------+----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The replica.
    pub sender: Sender,
    /// The first incarnation since which it has lost nothing (R14).
    pub whole_since: u64,
    /// Up to here it agrees with the log of the leader of `epoch` (R11) and has it as durable as the stream says (R12).
    pub matched: u64,
    /// The last entry of its log.
    pub last: u64,
    /// The last message it has applied.
    pub applied: u64,
    /// Up to here it has shown its log, or may have (R21).
    pub shown: u64,
    /// The running checksum of its log up to there.
    pub chain: u64,
    /// What it can hold, and can read: declarations that ask for more are not for it.
    pub abilities: Abilities,
}

/// What a node can hold and can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// The most records that a declaration may allow.
    pub records_max: u64,
    /// The most bytes of keys and values.
    pub bytes_max: u64,
    /// The newest format of messages that it reads ([`STREAM_FORMAT`]).
    pub format: u16,
}

impl Abilities {
    /// Of this release, with memory for anything.
    pub const UNLIMITED: Self = Self { records_max: u64::MAX, bytes_max: u64::MAX, format: STREAM_FORMAT };

    /// Whether these are enough where those are needed.
    pub fn cover(&self, needed: &Self) -> bool {
        self.records_max >= needed.records_max
            && self.bytes_max >= needed.bytes_max
            && self.format >= needed.format
    }
}

impl Watermark {
    /// Reads a datagram; `None` when it is something else, or damaged.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let layout = WatermarkLayout::ref_from_bytes(datagram).ok()?;
        is_whole(datagram, WATERMARK_MAGIC).then(|| Self {
            sender: Sender::of(&layout.sender),
            whole_since: layout.whole_since.get(),
            matched: layout.matched.get(),
            last: layout.last.get(),
            applied: layout.applied.get(),
            shown: layout.shown.get(),
            chain: layout.chain.get(),
            abilities: Abilities {
                records_max: layout.records_max.get(),
                bytes_max: layout.bytes_max.get(),
                format: layout.format.get(),
            },
        })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; WATERMARK_BYTES] {
        let mut bytes: [u8; WATERMARK_BYTES] = zerocopy::transmute!(WatermarkLayout {
            sender: self.sender.layout(WATERMARK_MAGIC),
            whole_since: self.whole_since.into(),
            matched: self.matched.into(),
            last: self.last.into(),
            applied: self.applied.into(),
            shown: self.shown.into(),
            chain: self.chain.into(),
            records_max: self.abilities.records_max.into(),
            bytes_max: self.abilities.bytes_max.into(),
            format: self.abilities.format.into(),
            reserved: [0; 6],
        });
        seal(&mut bytes);
        bytes
    }
}

/// A replica's request for entries that it missed, as far as the leader's log has them.
///
/// ```text
///  0        4         8      9          10       20      24            32     40   48
/// +--------+---------+------+----------+--------+-------+-------------+------+----+
/// | "GDSH" | CRC-32C | node | reserved | stream | epoch | incarnation | from | to |
/// +--------+---------+------+----------+--------+-------+-------------+------+----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRequest {
    /// The replica; only the log of the leader of its epoch counts.
    pub sender: Sender,
    /// The first entry wanted.
    pub from: u64,
    /// The last one.
    pub to: u64,
}

impl HistoryRequest {
    /// Reads a datagram; `None` when it is something else, or damaged.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let layout = HistoryLayout::ref_from_bytes(datagram).ok()?;
        is_whole(datagram, HISTORY_MAGIC).then(|| Self {
            sender: Sender::of(&layout.sender),
            from: layout.from.get(),
            to: layout.to.get(),
        })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; HISTORY_BYTES] {
        let mut bytes: [u8; HISTORY_BYTES] = zerocopy::transmute!(HistoryLayout {
            sender: self.sender.layout(HISTORY_MAGIC),
            from: self.from.into(),
            to: self.to.into(),
        });
        seal(&mut bytes);
        bytes
    }
}

/// What the leader's store came to at a message: a replica whose store came to something else has diverged.
///
/// ```text
///  0        4         8      9          10       20      24            32         40       56
/// +--------+---------+------+----------+--------+-------+-------------+----------+--------+
/// | "GDSD" | CRC-32C | node | reserved | stream | epoch | incarnation | sequence | digest |
/// +--------+---------+------+----------+--------+-------+-------------+----------+--------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDigest {
    /// The leader.
    pub sender: Sender,
    /// The last message applied.
    pub sequence: u64,
    /// The store's digest behind it.
    pub digest: u128,
}

impl StoreDigest {
    /// Reads a datagram; `None` when it is something else, or damaged.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let layout = DigestLayout::ref_from_bytes(datagram).ok()?;
        is_whole(datagram, DIGEST_MAGIC).then(|| Self {
            sender: Sender::of(&layout.sender),
            sequence: layout.sequence.get(),
            digest: layout.digest.get(),
        })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; DIGEST_BYTES] {
        let mut bytes: [u8; DIGEST_BYTES] = zerocopy::transmute!(DigestLayout {
            sender: self.sender.layout(DIGEST_MAGIC),
            sequence: self.sequence.into(),
            digest: self.digest.into(),
        });
        seal(&mut bytes);
        bytes
    }
}

/// How two nodes contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContradictionKind {
    /// The log of the sender ends before a message that the receiver has shown.
    Lacks = b'L',
    /// The logs differ at a message that the receiver, or the sender, has shown, or before it.
    Differs = b'D',
    /// The logs agree, and the stores came to something else.
    Store = b'S',
}

impl ContradictionKind {
    /// The kind of this code.
    pub fn of(code: u8) -> Option<Self> {
        [Self::Lacks, Self::Differs, Self::Store].into_iter().find(|&kind| kind as u8 == code)
    }
}

/// Two nodes have shown what cannot both be: the one that finds so says it to the other (R21).
///
/// ```text
///  0        4         8      9          10       20      24            32                 40         48     56      64     65         72
/// +--------+---------+------+----------+--------+-------+-------------+------------------+----------+------+-------+------+----------+
/// | "GDSC" | CRC-32C | node | reserved | stream | epoch | incarnation | your incarnation | sequence | last | chain | kind | reserved |
/// +--------+---------+------+----------+--------+-------+-------------+------------------+----------+------+-------+------+----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Who says so.
    pub sender: Sender,
    /// To which incarnation of the receiver.
    pub incarnation: u64,
    /// The message at which, or before which, they differ.
    pub sequence: u64,
    /// The last entry of the sender's log.
    pub last: u64,
    /// The running checksum of the sender's log up to `sequence`; 0 where its log ends before, or the stores differ.
    pub chain: u64,
    /// How they differ.
    pub kind: ContradictionKind,
}

impl Contradiction {
    /// Reads a datagram; `None` when it is something else, or damaged.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let layout = ContradictionLayout::ref_from_bytes(datagram).ok()?;
        let kind = ContradictionKind::of(layout.kind)?;
        is_whole(datagram, CONTRADICTION_MAGIC).then(|| Self {
            sender: Sender::of(&layout.sender),
            incarnation: layout.incarnation.get(),
            sequence: layout.sequence.get(),
            last: layout.last.get(),
            chain: layout.chain.get(),
            kind,
        })
    }

    /// The datagram.
    pub fn to_bytes(&self) -> [u8; CONTRADICTION_BYTES] {
        let mut bytes: [u8; CONTRADICTION_BYTES] = zerocopy::transmute!(ContradictionLayout {
            sender: self.sender.layout(CONTRADICTION_MAGIC),
            incarnation: self.incarnation.into(),
            sequence: self.sequence.into(),
            last: self.last.into(),
            chain: self.chain.into(),
            kind: self.kind as u8,
            reserved: [0; 7],
        });
        seal(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests;
