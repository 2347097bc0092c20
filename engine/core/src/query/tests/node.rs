//! The server over a real store, ring and journal.
use super::*;
use crate::bus::StreamReader;
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::journal::memory_disk::MemoryDisk;
use crate::journal::{JournalConfig, JournalReader, JournalWriter, Recovered};
use crate::memory::ring::chained;
use crate::memory::{HeapWords, Ring, RingConfig, RingIdentity};
use crate::query::kept_source::KeptSource;
use crate::query::source::{Reading, Source};
use crate::query::{ClientConfig, Event, RequestId, SoupClient};
use crate::store::{Store, StoreCapacity, StoreConfig, StoreMemory};
use crate::time::MILLISECOND_NS;
use gds_wire::declaration::{Declaration, Limits, TableDeclaration};
use gds_wire::envelope::{Envelope, Kind, Reason};
use gds_wire::query::{AnswerBody, Key};
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::collections::BTreeMap;

const LAST: u64 = 3_000;

fn declaration() -> Declaration {
    Declaration {
        limits: Limits {
            records_max: 1_000,
            bytes_max: 200_000,
            sessions_max: 8,
            session_forget_messages: 1_000,
            horizon_messages: 500,
            index_seed: 7,
        },
        tables: vec![TableDeclaration { table: 1, name: "things".parse().unwrap() }],
        schemas: Vec::new(),
    }
}

/// Message 1 declares, each other puts its number under one of a hundred keys.
fn bus_message(sequence: u64) -> Vec<u8> {
    let (session, kind, number, body) = if sequence == 1 {
        (Session::NODE, Kind::Declare, 1, declaration().to_bytes())
    } else {
        let mut body = vec![0; 200];
        let mut builder = TransactionBuilder::new(&mut body);
        let (key, value) = (key_of(sequence), sequence.to_be_bytes());
        let operation =
            Operation { kind: OperationKind::Put, table: 1, key: &key, value: &value, expected: None };
        builder.push(&operation).unwrap();
        let bytes = builder.finish();
        body.truncate(bytes);
        (Session::padded("CLIENT").unwrap(), Kind::Transaction, sequence - 1, body)
    };
    [&Envelope::new(session, kind, Reason::None, number, sequence).to_bytes()[..], &body].concat()
}

fn key_of(sequence: u64) -> [u8; 2] {
    [b'k', (sequence % 100) as u8]
}

#[derive(Default)]
struct Heard {
    records: BTreeMap<RequestId, (u64, Vec<u8>)>,
    messages: BTreeMap<RequestId, Vec<Vec<u8>>>,
    chains: BTreeMap<RequestId, (u64, u64)>,
    errors: Vec<String>,
}

fn run(
    server: &mut QueryServer,
    client: &mut SoupClient,
    network: &Network,
    disk: &mut dyn Disk,
    done: impl Fn(&SoupClient, &Heard) -> bool,
) -> Heard {
    let (mut heard, mut now) = (Heard::default(), Time::default());
    let (mut port, mut own) = (network.server(), network.client(0));
    for _ in 0..100_000 {
        if client.wants_connection(now) {
            own = network.client(network.connect());
        }
        client.duty(now, &mut own, &mut |event| match event {
            Event::Answer { answer, .. } => match answer.body {
                AnswerBody::Record(record) => {
                    heard.records.insert(answer.request_id, (record.version, record.value.to_vec()));
                }
                AnswerBody::Messages(messages) => {
                    let all = heard.messages.entry(answer.request_id).or_default();
                    all.extend(messages.iter().map(<[u8]>::to_vec));
                }
                AnswerBody::Error(_, text) => heard.errors.push(text.to_owned()),
                AnswerBody::Status(status, _) => {
                    assert_eq!((status.applied, status.committed, status.records), (LAST, LAST, 100));
                    assert_ne!(status.digest, 0);
                }
                AnswerBody::Checksum(checksum) => {
                    assert_eq!(checksum.epoch, 1);
                    heard.chains.insert(answer.request_id, (answer.sequence, checksum.chain));
                }
                AnswerBody::End => {}
            },
            Event::LoggedIn { .. } => {}
            other => panic!("{other:?}"),
        });
        server.duty(now, &mut port, disk);
        now.monotonic_ns += MILLISECOND_NS / 10;
        if done(client, &heard) {
            return heard;
        }
    }
    panic!("never done: {:?}", heard.errors);
}

#[test]
fn should_answer_from_store_ring_and_journal() {
    let stream = Session::padded("1700000000").unwrap();
    let progress = Arc::new(Progress::default());
    let ring_config = RingConfig { data_bytes: 1 << 15, positions: 1 << 10 };
    let words = HeapWords::shared(Ring::words_needed(&ring_config));
    let ring =
        Ring::create(words, ring_config, RingIdentity { stream, boot_id: [0; 16], directory: [0; 16] }, 1);
    let mut writer = ring.writer();
    let mut disk = MemoryDisk::new();
    let mut journal = JournalWriter::new(JournalConfig::default(), stream, &Recovered::empty());
    let mut source = ring.reader(1);
    let store_config = StoreConfig::default();
    let capacity = StoreCapacity::for_declaration(&declaration(), &store_config);
    let mut store = Store::new(store_config, StoreMemory::heap(&capacity));
    let mut now = Time::default();
    for sequence in 1..=LAST {
        let message = bus_message(sequence);
        store.apply(sequence, &message);
        while writer.room(progress.journalled.get()) < 300 {
            now.monotonic_ns += MILLISECOND_NS;
            journal.duty(now, &mut source, ring.last(), &mut disk, &progress).unwrap();
        }
        assert_eq!(writer.append(1, &[&message]), sequence);
        writer.publish();
    }
    store.publish_status();
    progress.committed.set(LAST);
    assert!(ring.first() > 1_000, "the ring alone does not have it all");

    let readers =
        (0..2).map(|_| StreamReader::new(ring.reader(1), Some(JournalReader::new(stream)))).collect();
    let mut server =
        QueryServer::new(small(), users(), stream, store.reader(), readers, progress, CounterSets::new());
    let network = Network::new(usize::MAX, 100_000);
    let mut client = SoupClient::new(ClientConfig::new("ops", "secret"));
    let newest = client.get(1, &key_of(5), 0, LAST).unwrap();
    let earlier = client.get(1, &key_of(5), LAST - 100, 0).unwrap();
    let keys = [key_of(7), key_of(8)];
    let keys = keys.each_ref().map(|key| Key { table: 1, key });
    client.multi_get(&keys, 0, 0).unwrap();
    client.get(1, b"k", 7, 0).unwrap();
    client.status(LAST).unwrap();
    let chains = [(1, 1), (600, 600), (LAST, LAST), (0, LAST)]
        .map(|(asked, is)| (client.checksum(asked, 0).unwrap(), is));
    let all = client.range(1, 0, 0).unwrap();
    let middle = client.range(500, 2_500, 0).unwrap();
    let watch = client.watch(LAST - 10, 0).unwrap();
    let heard = run(&mut server, &mut client, &network, &mut disk, |client, heard| {
        client.open_requests() == 1 && heard.messages.contains_key(&watch)
    });
    assert_eq!(heard.records[&newest], (2_905, 2_905_u64.to_be_bytes().to_vec()));
    assert_eq!(heard.records[&earlier], (2_805, 2_805_u64.to_be_bytes().to_vec()));
    assert_eq!(heard.errors.len(), 1, "only state 7 is below the horizon: {:?}", heard.errors);
    for (id, sequence) in chains {
        let chain = (1..=sequence).fold(0, |chain, sequence| chained(chain, &bus_message(sequence)));
        assert_eq!(heard.chains[&id], (sequence, chain));
    }
    for (id, from, to) in [(all, 1, LAST), (middle, 500, 2_500), (watch, LAST - 10, LAST)] {
        assert!(heard.messages[&id] == (from..=to).map(bus_message).collect::<Vec<_>>(), "{from} to {to}");
    }
}

#[test]
fn should_tell_no_running_checksum_that_a_rewinder_cannot_know() {
    let stream = Session::padded("1700000000").unwrap();
    let ring_config = RingConfig { data_bytes: 1 << 12, positions: 1 << 6 };
    for (first, expected) in [(1, Some(chained(0, &bus_message(1)))), (2, None)] {
        let words = HeapWords::shared(Ring::words_needed(&ring_config));
        let ring = Ring::create(
            words,
            ring_config,
            RingIdentity { stream, boot_id: [0; 16], directory: [0; 16] },
            first,
        );
        let mut writer = ring.writer();
        writer.append(0, &[&bus_message(first)]);
        writer.publish();
        let progress = Arc::new(Progress::default());
        progress.committed.set(first);
        let readers = vec![StreamReader::new(ring.reader(first), None)];
        let mut source = KeptSource::new(readers, progress, first);
        let read = source.read(first, first, &mut NoDisk, &mut [0; 500]);
        let length = bus_message(first).len();
        assert_eq!(read, Reading::Message { length, epoch: 0, chain: expected });
    }
}

#[test]
fn should_say_so_when_messages_are_no_longer_kept() {
    let stream = Session::padded("1700000000").unwrap();
    let progress = Arc::new(Progress::default());
    let ring_config = RingConfig { data_bytes: 1 << 12, positions: 1 << 6 };
    let words = HeapWords::shared(Ring::words_needed(&ring_config));
    let ring =
        Ring::create(words, ring_config, RingIdentity { stream, boot_id: [0; 16], directory: [0; 16] }, 1);
    let mut writer = ring.writer();
    for sequence in 1..=200 {
        assert!(writer.room(u64::MAX) > 300);
        writer.append(1, &[&bus_message(sequence)]);
        writer.publish();
    }
    progress.committed.set(200);
    let store = Store::new(StoreConfig::default(), {
        StoreMemory::heap(&StoreCapacity::for_declaration(&declaration(), &StoreConfig::default()))
    });
    let readers = vec![StreamReader::new(ring.reader(1), None)];
    let mut server =
        QueryServer::new(small(), users(), stream, store.reader(), readers, progress, CounterSets::new());
    let network = Network::new(usize::MAX, 100_000);
    let mut client = SoupClient::new(ClientConfig::new("ops", "secret"));
    client.range(1, 0, 0).unwrap();
    client.checksum(1, 0).unwrap();
    let tail = client.range(ring.first(), 0, 0).unwrap();
    let heard = run(&mut server, &mut client, &network, &mut NoDisk, |client, _| client.open_requests() == 0);
    assert_eq!(heard.errors, ["message 1 is no longer kept"; 2]);
    assert_eq!(heard.messages[&tail].len() as u64, 201 - ring.first());
}
