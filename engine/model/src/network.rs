//! Packets, and a network that may do anything with them but change them.
//!
//! A packet that was sent can be received by anybody at any later time, any number of times, in any order, or never. Packets that nobody
//! could make use of any more are taken out, so that states which differ in nothing else are one.
use crate::register::Member;
use std::fmt;

/// A client's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// Which client session, from 0.
    pub session: u8,
    /// The client's sequence number, from 1.
    pub number: u8,
}

/// An entry of a journal; its bus sequence number is its place, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The epoch in which it was first numbered.
    pub epoch: u8,
    /// What the client sent.
    pub message: Message,
}

/// A place in a log, and what stands there: number, epoch and running checksum. Number 0: before the first entry.
///
/// Points are compared as a whole. The bytes of a message that is numbered again differ by their time stamp, and so does the running checksum;
/// here the epoch stands for the time stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// The entry's bus sequence number.
    pub sequence: u8,
    /// The epoch in which it was first numbered.
    pub epoch: u8,
    /// The running checksum of all messages up to there, epochs left out. Up to four messages of three sessions differ in it.
    pub chain: u16,
}

impl Point {
    /// The next place, where `entry` stands.
    pub fn then(self, entry: &Entry) -> Self {
        let Entry { epoch, message: Message { session, number } } = *entry;
        let chain = self.chain.wrapping_mul(12).wrapping_add(u16::from(session * 4 + number));
        Self { sequence: self.sequence + 1, epoch, chain }
    }
}

/// A packet between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packet {
    /// From the leader of `epoch`: entry number `sequence` of its log.
    Replication {
        /// The leader's epoch.
        epoch: u8,
        /// The entry's bus sequence number.
        sequence: u8,
        /// The entry before it.
        before: Point,
        /// The entry.
        entry: Entry,
    },
    /// From a replica to the leader of `epoch`.
    Watermark {
        /// The epoch of the leader it has matched with.
        epoch: u8,
        /// Who has it.
        member: Member,
        /// Everything up to this sequence number agrees with the leader's log and is as durable as the stream says.
        matched: u8,
        /// The first incarnation since which this node has lost nothing.
        whole_since: u8,
        /// The last entry that it has shown. Left out where nobody goes back.
        shown: Point,
    },
    /// From the leader of `epoch`: what this life of a node has shown, the log does not have.
    Contradiction {
        /// The leader's epoch.
        epoch: u8,
        /// Who has shown it.
        member: Member,
    },
    /// From the leader of `epoch`: everything up to `sequence` is committed.
    Committed {
        /// The leader's epoch.
        epoch: u8,
        /// The commit point.
        sequence: u8,
    },
}

impl Packet {
    /// The epoch it names.
    pub fn epoch(&self) -> u8 {
        match *self {
            Self::Replication { epoch, .. }
            | Self::Watermark { epoch, .. }
            | Self::Contradiction { epoch, .. }
            | Self::Committed { epoch, .. } => epoch,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replication { epoch, sequence, entry: Entry { epoch: first, message }, .. } => {
                let Message { session, number } = message;
                write!(
                    to,
                    "entry {sequence} in epoch {epoch} (message {session}.{number}, first of epoch {first})"
                )
            }
            Self::Watermark { epoch, member, matched, shown: Point { sequence: shown, .. }, .. } => {
                write!(to, "the watermark of {member} in epoch {epoch}: {matched}")?;
                if *shown > *matched { write!(to, ", {shown} shown") } else { Ok(()) }
            }
            Self::Contradiction { epoch, member } => {
                write!(to, "the answer of epoch {epoch} to {member}: it has shown something else")
            }
            Self::Committed { epoch, sequence } => {
                write!(to, "the commit point of epoch {epoch}: {sequence}")
            }
        }
    }
}

/// Everything that was sent and can still matter, in order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network(Vec<Packet>);

impl Network {
    /// A packet is sent. The leader's commit point replaces its earlier one: it says the same and more.
    pub fn send(&mut self, packet: Packet) {
        if let Packet::Committed { epoch: of, .. } = packet {
            self.0.retain(|other| !matches!(*other, Packet::Committed { epoch, .. } if epoch == of));
        }
        if let Err(place) = self.0.binary_search(&packet) {
            self.0.insert(place, packet);
        }
    }

    /// What can be received.
    pub fn packets(&self) -> &[Packet] {
        &self.0
    }

    /// Takes out what can be of no use.
    pub fn keep(&mut self, useful: impl Fn(&Packet) -> bool) {
        self.0.retain(useful);
    }
}
