//! What is known of a message before it is its turn.
//!
//! Messages are applied one after the other, but much can be found out for several at once: checksums do not depend on what
//! came before, and the places in the index hardly. What those do depend on (the session's schema, the tables' generations) is
//! compared when the message's turn comes; where it has changed, the places are looked for anew.
use super::foresight::Places;
use super::records::Records;
use super::{itch, native};
use crate::bus::SessionTable;
use crate::memory::index::Candidates;
use gds_wire::declaration::Schema;
use gds_wire::envelope::{Kind, Message};
use gds_wire::itch as feed;
use gds_wire::transaction::Transaction;

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
    #[inline(always)]
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
}

/// A bus message, made ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'m> {
    pub message: Message<'m>,
    /// What its acknowledgement carries.
    pub checksum: u32,
    /// The schema that its session has, as far as is known.
    schema: u16,
    /// Its places among those of all messages made ready with it, from one to before the other: as many as there was room for.
    places: (u16, u16),
}

impl<'m> Plan<'m> {
    /// Makes message `sequence` ready, but for its checksum.
    ///
    /// # Panics
    /// When it is no bus message.
    #[inline(always)]
    pub fn new(
        sequence: u64,
        message: &'m [u8],
        sessions: &SessionTable,
        records: &Records,
        places: &mut Places,
    ) -> Self {
        let message = Message::parse(message)
            .unwrap_or_else(|error| panic!("message {sequence} of the stream is no bus message: {error}"));
        let schema = sessions.schema_of(&message.envelope.session);
        let from = places.len();
        if message.envelope.kind() == Kind::Transaction {
            let mut add = |table: u16, key: &[u8]| {
                if !places.is_full() {
                    places.extend(records.candidates(table, key));
                }
            };
            match Block::parse(message.body, schema, sessions) {
                Block::Malformed => {}
                Block::Native(transaction) => native::keys(&transaction, &mut add),
                Block::Itch(message, orders) => itch::keys(&message, orders, &mut add),
            }
        }
        Self { message, checksum: 0, schema, places: (from as u16, places.len() as u16) }
    }

    /// The places of the records that it will look up, in that order: of the first ones, or of none.
    pub fn places<'p>(&self, foreseen: &'p Places, schema: u16) -> &'p [Candidates] {
        let (from, to) = self.places;
        if schema == self.schema { &foreseen[from.into()..to.into()] } else { &[] }
    }
}
