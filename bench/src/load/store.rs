//! A store in this process, without network, ring or journal: for what applying and reading cost by themselves.
use crate::workload::{BLOCK_BYTES, KEY_BYTES, TABLE, VALUE_BYTES};
use gds_core::memory::words::{SharedWords, WORD_BYTES};
use gds_core::store::{Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_nic::{PagePolicy, Pages, clock};
use gds_node::config::Config;
use gds_node::ports::PageWords;
use gds_node::settings;
use gds_wire::envelope::{ENVELOPE_BYTES, Envelope, Kind, Reason};
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::sync::Arc;

/// Messages made beforehand and then applied in one go.
const CHUNK: usize = 4096;

/// A store and the stream that it has applied.
pub struct InProcess {
    store: Store,
    session: Session,
    value_bytes: usize,
    sequence: u64,
    /// The messages of a chunk, one behind the other, all of the same length.
    messages: Vec<u8>,
    index_bytes: usize,
}

impl InProcess {
    /// What a store for so many records, with values of so many bytes, takes of memory.
    pub fn capacity(records: u64, value_bytes: usize) -> Result<StoreCapacity, String> {
        let declaration = settings::declaration(&config(records, value_bytes)?);
        Ok(StoreCapacity::for_declaration(&declaration, &StoreConfig::default()))
    }

    /// A store for so many records with values of so many bytes, on the memory that a node would have.
    ///
    /// # Errors
    /// That there is not so much memory.
    pub fn new(records: u64, value_bytes: usize) -> Result<Self, String> {
        let config = config(records, value_bytes)?;
        let capacity = Self::capacity(records, value_bytes)?;
        let memory = StoreMemory { index: words(capacity.index_words)?, log: words(capacity.log_words)? };
        let mut store = Store::new(StoreConfig::default(), memory);
        let declare = Envelope::new(Session::NODE, Kind::Declare, Reason::None, 1, 1);
        let body = settings::declaration(&config).to_bytes();
        store.apply(1, &[&declare.to_bytes()[..], &body].concat());
        Ok(Self {
            store,
            session: Session::padded("INPROCESS").expect("nine letters are a name"),
            value_bytes,
            sequence: 1,
            messages: Vec::new(),
            index_bytes: capacity.index_words * WORD_BYTES,
        })
    }

    /// Puts a record under each of these keys; returns how long the store took, in ns, without the making of the messages.
    ///
    /// # Panics
    /// When the store rejects one.
    pub fn put(&mut self, mut keys: impl Iterator<Item = u64>) -> u64 {
        let mut spent_ns = 0;
        loop {
            let count = self.make(&mut keys);
            if count == 0 {
                return spent_ns;
            }
            let bytes = self.messages.len() / count;
            let first = self.sequence + 1;
            let begun_ns = clock::monotonic_ns();
            let applied = apply(&mut self.store, first, self.messages.chunks_exact(bytes));
            spent_ns += clock::monotonic_ns() - begun_ns;
            assert_eq!(applied, count, "the store rejects what it has room for");
            self.sequence += count as u64;
        }
    }

    /// Makes the messages of the next chunk; returns how many there are.
    fn make(&mut self, keys: &mut impl Iterator<Item = u64>) -> usize {
        self.messages.clear();
        let mut block = [0; BLOCK_BYTES];
        let mut count = 0;
        for key in keys.take(CHUNK) {
            count += 1;
            let number = self.sequence + count as u64;
            let mut builder = TransactionBuilder::new(&mut block);
            let mut value = [0; VALUE_BYTES];
            value[..8].copy_from_slice(&number.to_le_bytes());
            let (key, value) = (key.to_be_bytes(), &value[..self.value_bytes]);
            let put = Operation { kind: OperationKind::Put, table: TABLE, key: &key, value, expected: None };
            builder.push(&put).expect("the block has room");
            let length = builder.finish();
            // The first message of the stream is the declaration; the session's begin at 1.
            let envelope = Envelope::new(self.session, Kind::Transaction, Reason::None, number - 1, number);
            self.messages.extend_from_slice(&envelope.to_bytes());
            self.messages.extend_from_slice(&block[..length]);
        }
        debug_assert_eq!(self.messages.len() % (ENVELOPE_BYTES + 2 + 16 + KEY_BYTES + self.value_bytes), 0);
        count
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Bytes of the index.
    pub fn index_bytes(&self) -> usize {
        self.index_bytes
    }
}

/// Applies messages; returns how many succeeded.
fn apply<'m>(store: &mut Store, first: u64, messages: impl Iterator<Item = &'m [u8]>) -> usize {
    let mut applied = 0;
    store.apply_all(first, messages, |_, acknowledgement| {
        applied += usize::from(acknowledgement.outcome().is_success());
    });
    applied
}

fn config(records: u64, value_bytes: usize) -> Result<Config, String> {
    let bytes = records * (KEY_BYTES + value_bytes) as u64;
    let text = format!("[limits]\nrecords_max = {records}\nbytes_max = {bytes}\n");
    Config::parse(&text, "the store's limits").map_err(|error| error.to_string())
}

fn words(count: usize) -> Result<SharedWords, String> {
    let pages =
        Pages::anonymous(count * WORD_BYTES, PagePolicy::default()).map_err(|error| error.to_string())?;
    Ok(Arc::new(PageWords(pages)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_core::store::ReadBuffer;

    #[test]
    fn what_is_put_is_there() {
        let mut store = InProcess::new(10_000, VALUE_BYTES).unwrap();
        assert!(store.put(0..10_000) > 0);
        store.put((0..10_000).rev());
        assert_eq!(store.store().applied(), 20_001);
        let mut buffer = ReadBuffer::new();
        let found = store.store().reader().get(TABLE, &7_u64.to_be_bytes(), 0, &mut buffer).unwrap();
        assert_eq!((found.version, buffer.value().len()), (Some(20_001 - 7), VALUE_BYTES));
    }
}
