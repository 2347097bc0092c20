//! What is known of a message before it is its turn.
//!
//! Messages are applied one after the other, but what they are can be found out for several at once: parsing and checksums do
//! not depend on what came before, and the places in the index hardly. What does depend on it (the session's schema, the tables'
//! generations) is checked when the message's turn comes, and found out anew where it has changed.
use super::foresight::Places;
use super::records::Records;
use super::{itch, native};
use crate::bus::SessionTable;
use crate::memory::index::Candidates;
use gds_wire::declaration::Schema;
use gds_wire::envelope::{Kind, Message};
use gds_wire::itch as feed;
use gds_wire::transaction::Transaction;
use std::ops::Range;

/// A client's block, as its session's schema reads it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block<'m> {
    /// No message of its schema.
    Malformed,
    Native(Transaction<'m>),
    /// With the table of orders.
    Itch(feed::Message<'m>, u16),
}

impl<'m> Block<'m> {
    /// Reads a block of a session with this schema.
    pub fn parse(body: &'m [u8], schema: u16, sessions: &SessionTable) -> Self {
        match sessions.schema(schema).map(|declared| (declared.schema, declared.first_table)) {
            None | Some((Schema::Native, _)) => {
                Transaction::parse(body).map_or(Self::Malformed, Self::Native)
            }
            Some((Schema::Itch50, orders)) => {
                feed::parse(body).map_or(Self::Malformed, |message| Self::Itch(message, orders))
            }
        }
    }

    /// Calls `key` with the records that executing it will look up, in that order.
    fn keys(&self, mut key: impl FnMut(u16, &[u8])) {
        match self {
            Self::Malformed => {}
            Self::Native(transaction) => native::keys(transaction, key),
            Self::Itch(message, orders) => itch::keys(message, *orders, &mut key),
        }
    }
}

/// A bus message, made ready.
#[derive(Clone, Debug)]
pub(super) struct Plan<'m> {
    pub message: Message<'m>,
    /// What its acknowledgement carries.
    pub checksum: u32,
    /// A transaction's block, read with this schema.
    pub block: Option<(u16, Block<'m>)>,
    /// Its places among those of all messages made ready with it: as many as there was room for.
    places: Range<usize>,
    /// The tables' layout for which the places are right.
    layout: u64,
}

impl<'m> Plan<'m> {
    /// Makes message `sequence` ready.
    ///
    /// # Panics
    /// When it is no bus message.
    pub fn new(
        sequence: u64,
        message: &'m [u8],
        sessions: &SessionTable,
        records: &Records,
        places: &mut Places,
    ) -> Self {
        let message = Message::parse(message)
            .unwrap_or_else(|error| panic!("message {sequence} of the stream is no bus message: {error}"));
        let block = (message.envelope.kind() == Kind::Transaction).then(|| {
            let schema = sessions.schema_of(&message.envelope.session);
            (schema, Block::parse(message.body, schema, sessions))
        });
        let from = places.len();
        if let Some((_, block)) = &block {
            block.keys(|table, key| {
                if !places.is_full() {
                    places.extend(records.candidates(table, key));
                }
            });
        }
        let layout = records.tables.layout;
        Self { message, checksum: 0, block, places: from..places.len(), layout }
    }

    /// The places of the records it will look up, in that order: of the first ones, or of none.
    pub fn places<'p>(&self, places: &'p Places, layout: u64) -> &'p [Candidates] {
        if layout == self.layout { &places[self.places.clone()] } else { &[] }
    }
}
