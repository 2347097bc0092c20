//! Random streams: store and model agree on every outcome, count, digest and read, whatever memory the store
//! has.
use super::model::Model;
use super::stream::{
    CONFIG, ORDERS, Op, STOCKS, Stream, TABLES, declaration, memory_for, op, store_for, transaction,
};
use crate::random::Random;
use crate::snapshot::tests::{Camera, STREAM};
use crate::snapshot::{OpenSnapshot, Snapshot};
use crate::store::{RETIRING_MAX, ReadBuffer, ReadError, Reading, Store};
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::declaration::Limits;
use gds_wire::transaction::OperationKind;
use proptest::prelude::*;

const BLOCK_BYTES_MAX: usize = 400;

#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    limits: Limits,
    messages: u64,
    keys: u64,
    operations_max: u64,
    value_bytes_max: u64,
    /// One message in so many empties the tables of the feed; 0: none.
    empty_every: u64,
    /// One message in so many declares other limits; 0: none.
    declare_every: u64,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let limits = (1u64..80, 20u64..6000, 0u64..60);
    let load =
        (1u64..120, prop_oneof![Just(1u64), 1u64..8, Just(64)], prop_oneof![Just(8u64), Just(60), Just(380)]);
    let rare = (prop_oneof![Just(0u64), Just(3), 10u64..200], prop_oneof![Just(0u64), 30u64..300]);
    (any::<u64>(), limits, load, rare).prop_map(|(seed, limits, load, rare)| Shape {
        seed,
        limits: Limits {
            records_max: limits.0,
            bytes_max: limits.1,
            sessions_max: 4,
            session_forget_messages: 100,
            horizon_messages: limits.2,
            index_seed: seed,
        },
        messages: 3000,
        keys: load.0,
        operations_max: load.1,
        value_bytes_max: load.2,
        empty_every: rare.0,
        declare_every: rare.1,
    })
}

struct Run {
    shape: Shape,
    random: Random,
    stream: Stream,
    model: Model,
    stores: [Store; 2],
    /// Takes several messages at a time: those that wait for it, with what must come of each.
    batched: Store,
    waiting: Vec<(Vec<u8>, Acknowledgement)>,
    /// Takes snapshots of the first store; the last one restored goes on with the others.
    camera: Camera,
    restored: Option<Store>,
    snapshots: u64,
    held: Limits,
    messages: Vec<Vec<u8>>,
    buffer: ReadBuffer,
}

impl Run {
    fn new(shape: &Shape) -> Self {
        let mut stream = Stream::default();
        let mut model = Model::new(shape.limits, &TABLES);
        // The limits may be changed up to twice these; the second store has three times the memory of the
        // first.
        let largest = Limits {
            records_max: shape.limits.records_max * 2,
            bytes_max: shape.limits.bytes_max * 2,
            horizon_messages: shape.limits.horizon_messages * 2,
            ..shape.limits
        };
        let held = if shape.declare_every == 0 { shape.limits } else { largest };
        let mut stores = [store_for(held, 1), store_for(held, 3)];
        let message = stream.declare(&declaration(shape.limits));
        model.begin();
        for store in &mut stores {
            assert_eq!(store.apply(1, &message).outcome(), Outcome::Applied);
        }
        let acknowledgement = store_for(held, 1).apply(1, &message);
        let camera = Camera::new(&stores[0]);
        Self {
            shape: shape.clone(),
            random: Random::new(shape.seed),
            stream,
            model,
            stores,
            batched: store_for(held, 1),
            messages: vec![message.clone()],
            waiting: vec![(message, acknowledgement)],
            camera,
            restored: None,
            snapshots: 0,
            held,
            buffer: ReadBuffer::new(),
        }
    }

    fn step(&mut self) {
        let chance = |random: &mut Random, every: u64| every != 0 && random.chance(1, every);
        self.model.begin();
        let (message, expected) = if chance(&mut self.random, self.shape.empty_every) {
            let mut event = [0u8; 12];
            (event[0], event[11]) = (b'S', b'O');
            (self.stream.block("FEED", &event), self.model.empty(&[ORDERS, STOCKS], RETIRING_MAX))
        } else if chance(&mut self.random, self.shape.declare_every) {
            let base = self.shape.limits;
            let mut around = |limit: u64| limit / 2 + self.random.below(limit / 2 * 3 + 1);
            let limits = Limits {
                records_max: around(base.records_max),
                bytes_max: around(base.bytes_max),
                horizon_messages: around(base.horizon_messages),
                ..base
            };
            self.model.limits = limits;
            (self.stream.declare(&declaration(limits)), Outcome::Applied)
        } else {
            let operations = self.operations();
            let block = transaction(&operations);
            assert!(block.len() <= BLOCK_BYTES_MAX);
            (self.stream.block("CLIENT", &block), self.model.transaction(&operations))
        };
        let sequence = self.stream.sequence;
        let [first, second] = &mut self.stores;
        let acknowledgement = first.apply(sequence, &message);
        assert_eq!(acknowledgement.outcome(), expected, "message {sequence}");
        // Looking ahead in a quiet moment decides nothing.
        if self.random.chance(1, 2) {
            second.touch_next();
        }
        assert_eq!(second.apply(sequence, &message), acknowledgement, "message {sequence}");
        if let Some(restored) = &mut self.restored {
            assert_eq!(restored.apply(sequence, &message), acknowledgement, "message {sequence}, restored");
            assert_eq!(restored.tally(), first.tally(), "message {sequence}, restored");
        }
        self.messages.push(message.clone());
        self.waiting.push((message, acknowledgement));
        let tally = first.tally();
        assert_eq!(
            (tally.records, tally.bytes),
            (self.model.records(), self.model.bytes()),
            "message {sequence}"
        );
        assert_eq!(second.tally(), tally, "message {sequence}");
    }

    /// Goes on with a snapshot of the first store, from time to time.
    fn photograph(&mut self) {
        if !self.random.chance(1, 3) {
            return;
        }
        if let Some((snapshot, digest)) = self.camera.step(&mut self.stores[0]) {
            self.restore(&snapshot, digest);
        }
    }

    /// The store restored has the digest that the other one had then, answers every read as the model does, and comes to the same as
    /// the others.
    fn restore(&mut self, snapshot: &Snapshot, digest: u128) {
        self.snapshots += 1;
        let open = OpenSnapshot::open(&mut self.camera.disk, STREAM, snapshot).unwrap();
        let mut store = open.restore(CONFIG, memory_for(self.held, 1)).unwrap();
        assert_eq!((store.applied(), store.digest()), (snapshot.sequence, digest));
        let oldest = store.reader().oldest().max(1);
        for as_of in [oldest, oldest + self.random.below(snapshot.sequence - oldest + 1), snapshot.sequence] {
            for number in 0..self.shape.keys {
                let key = format!("k{number}").into_bytes();
                for table in TABLES {
                    let reading = store.reader().get(table, &key, as_of, &mut self.buffer).unwrap();
                    let expected = self.model.read(table, &key, as_of);
                    assert_eq!(
                        reading.version,
                        expected.map(|(version, _)| version),
                        "{table} {key:?} as of {as_of}"
                    );
                    assert_eq!(self.buffer.value(), expected.map_or(&b""[..], |(_, value)| value));
                }
            }
        }
        for sequence in snapshot.sequence + 1..=self.stream.sequence {
            store.apply(sequence, &self.messages[sequence as usize - 1]);
        }
        assert_eq!(store.tally(), self.stores[0].tally());
        self.restored = Some(store);
    }

    /// Applies what waits, all at once.
    fn apply_waiting(&mut self) {
        let first = self.batched.applied() + 1;
        let mut expected = (first..).zip(&self.waiting);
        self.batched.apply_all(
            first,
            self.waiting.iter().map(|(message, _)| &message[..]),
            |sequence, acknowledgement| {
                let (number, (_, alone)) = expected.next().unwrap();
                assert_eq!((sequence, *acknowledgement), (number, *alone));
            },
        );
        assert!(expected.next().is_none());
        self.waiting.clear();
        assert_eq!(self.batched.digest(), self.stores[0].digest());
        assert_eq!(self.batched.tally(), self.stores[0].tally());
    }

    fn operations(&mut self) -> Vec<Op> {
        let random = &mut self.random;
        let mut operations = Vec::new();
        let mut room = BLOCK_BYTES_MAX - 2;
        for _ in 0..=random.below(self.shape.operations_max) {
            let table = if random.chance(1, 200) { 999 } else { TABLES[random.below(4) as usize] };
            // Low keys are written all the time, high ones so seldom that the log comes round to them.
            let any = random.below(self.shape.keys);
            let key = format!("k{}", random.below(any + 1)).into_bytes();
            let (kind, length) = match random.below(20) {
                0..5 => (OperationKind::Insert, random.below(self.shape.value_bytes_max)),
                5..8 => (OperationKind::Modify, random.below(self.shape.value_bytes_max)),
                8..15 => (OperationKind::Put, random.below(self.shape.value_bytes_max)),
                15..19 => (OperationKind::Delete, 0),
                _ => (OperationKind::Check, 0),
            };
            let value: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
            let now = self.model.live().get(&(table, key.clone())).map_or(0, |(version, _)| *version);
            let expected = match random.below(10) {
                0 => Some(now),
                1 if random.chance(1, 4) => Some(now + 1),
                _ => None,
            };
            // Mostly what can succeed, or transactions of many operations never would.
            let kind = match kind {
                OperationKind::Insert | OperationKind::Modify if random.chance(3, 4) => OperationKind::Put,
                OperationKind::Delete | OperationKind::Check if now == 0 && random.chance(7, 8) => {
                    OperationKind::Put
                }
                kind => kind,
            };
            let operation = op(kind, table, &key, &value, expected);
            let bytes = 16 + key.len() + value.len();
            if bytes > room {
                break;
            }
            room -= bytes;
            operations.push(operation);
        }
        if operations.is_empty() {
            operations.push(op(OperationKind::Put, 1, b"k0", b"", None));
        }
        operations
    }

    fn check_reads(&mut self) {
        let applied = self.stream.sequence;
        let oldest = self.model.floor.max(applied.saturating_sub(self.model.limits.horizon_messages));
        for _ in 0..8 {
            let table = TABLES[self.random.below(4) as usize];
            let key = format!("k{}", self.random.below(self.shape.keys)).into_bytes();
            let as_of = oldest + self.random.below(applied - oldest + 1);
            let current = (self.batched.applied() == applied).then_some(&self.batched);
            for store in self.stores.iter().chain(current).chain(&self.restored) {
                store.reader().foresee([(table, &key[..]), (999, b"no table")].into_iter(), as_of);
                let reading = store.reader().get(table, &key, as_of, &mut self.buffer).unwrap();
                let expected = self.model.read(table, &key, if as_of == 0 { applied } else { as_of });
                assert_eq!(
                    reading.version,
                    expected.map(|(version, _)| version),
                    "{table} {key:?} as of {as_of}"
                );
                assert_eq!(self.buffer.value(), expected.map_or(&b""[..], |(_, value)| value));
            }
            if oldest > 1 {
                let as_of = 1 + self.random.below(oldest - 1);
                let refused = self.stores[0].reader().get(table, &key, as_of, &mut self.buffer);
                assert_eq!(refused, Err(ReadError::BelowHorizon { as_of, oldest }));
            }
        }
    }

    /// Every record of the model, and no other.
    fn check_all(&mut self) {
        let [first, second] = &mut self.stores;
        assert_eq!(first.tally().digest, self.model.digest());
        assert_eq!(first.tally().live, self.model.live().len() as u64);
        assert_eq!(first.digest(), second.digest());
        if let Some(restored) = &mut self.restored {
            assert_eq!(restored.digest(), second.digest());
        }
        for ((table, key), (version, value)) in self.model.live() {
            let reading = first.reader().get(*table, key, 0, &mut self.buffer).unwrap();
            assert_eq!(reading, Reading { as_of: self.stream.sequence, version: Some(*version) });
            assert_eq!(self.buffer.value(), value);
        }
        // The oldest state is where what is kept and what is given back meet.
        let applied = self.stream.sequence;
        let oldest = self.model.floor.max(applied.saturating_sub(self.model.limits.horizon_messages)).max(1);
        for number in 0..self.shape.keys {
            let key = format!("k{number}").into_bytes();
            for (table, as_of) in
                TABLES.iter().flat_map(|&table| [(table, oldest), (table, (oldest + applied) / 2)])
            {
                let reading = self.stores[0].reader().get(table, &key, as_of, &mut self.buffer).unwrap();
                let expected = self.model.read(table, &key, as_of);
                assert_eq!(
                    reading.version,
                    expected.map(|(version, _)| version),
                    "{table} {key:?} as of {as_of}"
                );
                assert_eq!(self.buffer.value(), expected.map_or(&b""[..], |(_, value)| value));
            }
        }
    }
}

fn run(shape: &Shape) -> Run {
    let mut run = Run::new(shape);
    for message in 0..shape.messages {
        run.step();
        run.photograph();
        if run.random.chance(1, 30) {
            run.apply_waiting();
        }
        if message % 8 == 0 {
            run.check_reads();
        }
        if message % 64 == 0 {
            run.check_all();
        }
    }
    run.check_all();
    assert!(run.snapshots > 0);
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn should_agree_with_a_plain_model_on_any_stream(shape in shapes()) {
        run(&shape);
    }
}

/// Records of the largest size, nearly all of the limit live, every one rewritten at random: the tail is
/// cleaned all the time.
#[test]
fn should_relocate_what_is_still_wanted_when_the_log_is_full() {
    let limits = Limits {
        records_max: 200,
        bytes_max: 25_000,
        sessions_max: 4,
        session_forget_messages: 100,
        horizon_messages: 60,
        index_seed: 3,
    };
    let shape = Shape {
        seed: 5,
        limits,
        messages: 60_000,
        keys: 50,
        operations_max: 1,
        value_bytes_max: 370,
        empty_every: 0,
        declare_every: 0,
    };
    let run = run(&shape);
    assert!(run.stores[0].counters().cleaned_bytes.get() > 1_000_000);
    let counters = run.stores[0].counters();
    println!(
        "{} bytes cleaned, {} records relocated",
        counters.cleaned_bytes.get(),
        counters.relocated.get()
    );
    assert!(counters.relocated.get() > 200);
}

/// The worst that one message can do, again and again: as many small operations as fit, all on different
/// keys.
#[test]
fn should_never_fill_its_memory_with_the_declared_limits() {
    let limits = Limits {
        records_max: 600,
        bytes_max: 1500,
        sessions_max: 4,
        session_forget_messages: 100,
        horizon_messages: 20,
        index_seed: 3,
    };
    let shape = Shape {
        seed: 11,
        limits,
        messages: 20_000,
        keys: 600,
        operations_max: 64,
        value_bytes_max: 1,
        empty_every: 50,
        declare_every: 0,
    };
    let run = run(&shape);
    assert!(run.stores[0].counters().cleaned_bytes.get() > 1_000_000);
}
