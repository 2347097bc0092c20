//! The query protocol: a get parsed and its answer written, and a range's messages packed.
use crate::common::{BLOCK_BYTES, KEY_AT, KEY_BYTES, TABLE};
use criterion::{Criterion, Throughput};
use gds_wire::query::{Answer, AnswerBody, Key, MessagesBuilder, Query, Record, Request};
use gds_wire::soup;
use std::hint::black_box;

fn get(criterion: &mut Criterion) {
    let key = 7u64.to_be_bytes();
    let mut request = [0; 128];
    let get = Query::Get { as_of: 0, key: Key { table: TABLE, key: &key } };
    let length =
        Request { request_id: 1, at_least: 0, query: get }.encode(&mut request).expect("there is room");
    let request = &request[..length];
    let (value, mut payload, mut packet) = ([0x56; BLOCK_BYTES - KEY_AT - KEY_BYTES], [0; 512], [0; 520]);

    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse get, encode answer", |bencher| {
        bencher.iter(|| {
            let request = Request::parse(black_box(request)).expect("a request");
            let Query::Get { key, .. } = request.query else { panic!("it is a get") };
            let record = Record { found: true, table: key.table, key: key.key, version: 9, value: &value };
            let body = AnswerBody::Record(record);
            let answer = Answer { request_id: request.request_id, last: true, sequence: 9, body };
            let length = answer.encode(&mut payload).expect("there is room");
            soup::encode(soup::SEQUENCED_DATA, &[&payload[..length]], &mut packet).expect("there is room")
        });
    });
}

fn range(criterion: &mut Criterion) {
    let (message, mut buffer) = ([0x4D; BLOCK_BYTES + 28], vec![0; soup::MAX_PAYLOAD_BYTES]);
    let fits = (soup::MAX_PAYLOAD_BYTES - 22) / (message.len() + 2);
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(fits as u64));
    group.bench_function("encode messages", |bencher| {
        bencher.iter(|| {
            let mut builder = MessagesBuilder::new(&mut buffer, 1, 1);
            while builder.push(black_box(&message)) {}
            assert_eq!(usize::from(builder.count()), fits);
            builder.finish(true)
        });
    });
}

/// Adds them.
pub fn bench(criterion: &mut Criterion) {
    get(criterion);
    range(criterion);
}
