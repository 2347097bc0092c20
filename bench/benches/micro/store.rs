//! The store: one bus message applied, a put of 200 bytes to a record at random; and one record read.
use crate::common;
use crate::common::{CLIENT, KEY_AT, KEY_BYTES, TABLE};
use criterion::{Criterion, Throughput};
use gds_core::random::Random;
use gds_core::store::{ReadBuffer, Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_wire::acknowledgement::Outcome;
use gds_wire::envelope::{ENVELOPE_BYTES, Envelope, Kind, Reason};
use gds_wire::session::Session;

/// A store that has been told its one table, and the messages for it.
struct Bench {
    store: Store,
    message: Vec<u8>,
    sent: u64,
}

impl Bench {
    fn new(records: u64) -> Self {
        let declaration = common::declaration(records);
        let config = StoreConfig::default();
        let capacity = StoreCapacity::for_declaration(&declaration, &config);
        let mut store = Store::new(config, StoreMemory::heap(&capacity));
        let envelope = Envelope::new(Session::NODE, Kind::Declare, Reason::None, 1, 1);
        let declare = [&envelope.to_bytes()[..], &declaration.to_bytes()].concat();
        assert_eq!(store.apply(1, &declare).outcome(), Outcome::Applied);
        let message = [&[0; ENVELOPE_BYTES][..], &common::block(0)].concat();
        Self { store, message, sent: 0 }
    }

    fn put(&mut self, key: u64) {
        self.sent += 1;
        let envelope = Envelope::new(CLIENT, Kind::Transaction, Reason::None, self.sent, self.sent);
        self.message[..ENVELOPE_BYTES].copy_from_slice(&envelope.to_bytes());
        self.message[ENVELOPE_BYTES + KEY_AT..][..KEY_BYTES].copy_from_slice(&key.to_be_bytes());
        let acknowledgement = self.store.apply(self.sent + 1, &self.message);
        assert_eq!(acknowledgement.outcome(), Outcome::Applied);
    }
}

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    let records = if common::smoke() { 1_000 } else { 1_000_000 };
    let mut bench = Bench::new(records);
    (0..records).for_each(|key| bench.put(key));
    let mut random = Random::new(1);

    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    group.bench_function("apply", |bencher| bencher.iter(|| bench.put(random.below(records))));
    let (reader, mut buffer) = (bench.store.reader(), ReadBuffer::new());
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            let key = random.below(records).to_be_bytes();
            let reading = reader.get(TABLE, &key, 0, &mut buffer).expect("the table is declared");
            assert!(reading.version.is_some());
        });
    });
    group.finish();
}
