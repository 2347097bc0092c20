//! Reads: from the index by itself, and over SoupBinTCP.
use super::{Bench, Draft, Extent, Figure, Found, absolute, ratio};
use crate::cores::on_core;
use crate::floor::tcp::TcpEcho;
use crate::load::{InProcess, Queries, Transactions};
use crate::measurement::{Bound, Run, Subject};
use crate::schedule::{closed_loop, send};
use crate::workload::{CANONICAL, KEY_BYTES, KEYS, TABLE, VALUE_BYTES, Workload};
use gds_core::random::Random;
use gds_core::store::{ReadBuffer, StoreReader};
use gds_nic::{IdleStrategy, clock};
use gds_wire::query::{ANSWER_HEADER_BYTES, REQUEST_HEADER_BYTES};
use std::sync::Arc;
use std::time::Duration;

/// From the index.
pub const INDEX: &str = "get_index";
/// Over SoupBinTCP.
pub const QUERY: &str = "get_query";

/// Keys looked up together.
const BATCH: usize = 32;
/// Batches between two looks at the clock.
const BATCHES: usize = 512;
/// Bytes of index that a record may cost.
const INDEX_BYTES_MAX: f64 = 12.0;

/// Ten million records, read at random in batches by one core, in the process of the store.
pub fn index(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let records: u64 = if bench.extent == Extent::Full { 10_000_000 } else { 1_000_000 };
    (bench.tell)(&format!("{INDEX}: putting {records} records"));
    let (repetitions, plan) = (bench.repetitions(), bench.plan(3.0));
    let measured = on_core(bench.cores.system, || {
        let mut store = InProcess::new(records, VALUE_BYTES)?;
        store.put(0..records);
        let reader = store.store().reader();
        let rates: Vec<(u64, f64)> = repetitions.map(|_| gets(&reader, records, plan.duration)).collect();
        Ok((rates, store.index_bytes() as f64 / records as f64))
    });
    let draft = |repetition| {
        Draft::new(INDEX, "gds", Subject::System, repetition)
            .workload(CANONICAL)
            .with("store", format!("{records} records"))
    };
    match measured {
        Ok((rates, bytes)) => {
            for (repetition, (count, rate)) in (1..).zip(rates) {
                found.runs.push(draft(repetition).figure("index_bytes_per_record", bytes).rate(count, rate));
            }
        }
        Err(why) => found.runs.push(draft(1).failed(why)),
    }
    let system = |_: &Run| true;
    let what =
        format!("get from the index, {} million records of 200 B, one core, batched", records / 1_000_000);
    found.rows.push(absolute(&what, Bound::RateAtLeast(4e6), &found.runs, Figure::Rate, &system));
    let figure = Figure::Named("index_bytes_per_record");
    let what = "index, bytes a record";
    found.rows.push(absolute(what, Bound::BytesAtMost(INDEX_BYTES_MAX), &found.runs, figure, &system));
    found
}

/// Gets for so long; how many, and how many a second.
fn gets(reader: &StoreReader, records: u64, duration: Duration) -> (u64, f64) {
    let mut random = Random::new(11);
    let mut buffer = ReadBuffer::new();
    let begun_ns = clock::monotonic_ns();
    let end_ns = begun_ns + duration.as_nanos() as u64;
    let (mut count, mut now_ns) = (0, begun_ns);
    while now_ns < end_ns {
        for _ in 0..BATCHES {
            let keys: [[u8; KEY_BYTES]; BATCH] = std::array::from_fn(|_| random.below(records).to_be_bytes());
            reader.foresee(keys.iter().map(|key| (TABLE, &key[..])), 0);
            for key in &keys {
                let reading = reader.get(TABLE, key, 0, &mut buffer).expect("the table is declared");
                assert!(
                    reading.version.is_some() && buffer.value().len() == VALUE_BYTES,
                    "a record is missing"
                );
            }
        }
        count += (BATCHES * BATCH) as u64;
        now_ns = clock::monotonic_ns();
    }
    (count, count as f64 * 1e9 / (now_ns - begun_ns) as f64)
}

/// One get at a time over a login, and as many bytes over a bare TCP echo.
pub fn query(bench: &Bench<'_>) -> Found {
    const SYSTEM: &str = "gds";
    const FLOOR: &str = "TCP echo";
    let mut found = Found::default();
    let workload = bench.workload(CANONICAL);
    let plan = bench.plan(3.0);
    // Framing and type, then header and body, as PROTOCOL has them.
    let request_bytes = 3 + REQUEST_HEADER_BYTES + 11 + KEY_BYTES;
    let answer_bytes = 3 + ANSWER_HEADER_BYTES + 14 + KEY_BYTES + VALUE_BYTES;
    let filling = Arc::new(Workload::filling(KEYS));
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{QUERY}: repetition {repetition}"));
        let draft = Draft::new(QUERY, SYSTEM, Subject::System, repetition).workload("get_uniform_200");
        let system = bench.start(&bench.node()).and_then(|mut node| {
            let network = node.network()?;
            let (measured, missing) = on_core(bench.cores.load, || {
                let mut writer = Transactions::open(&network, filling.clone(), 1)?;
                writer.wait_until_ready()?;
                send(&mut writer, KEYS)?;
                let mut queries = Queries::open(&network, workload.clone())?;
                let measured = closed_loop(&mut queries, &plan);
                Ok((measured, queries.missing()))
            })?;
            node.stop()?;
            let missing = (missing > 0).then(|| format!("{missing} gets found nothing"));
            Ok(draft.clone().failing(missing).measured(&measured))
        });
        found.runs.push(system.unwrap_or_else(|why| draft.failed(why)));
        let draft = Draft::new(QUERY, FLOOR, Subject::Floor, repetition).workload("get_uniform_200");
        let cores = bench.cores;
        let floor = on_core(cores.load, || {
            let mut echo = TcpEcho::start(cores, IdleStrategy::Spin, request_bytes, answer_bytes)?;
            Ok(closed_loop(&mut echo, &plan))
        });
        found.runs.push(match floor {
            Ok(measured) => draft.measured(&measured),
            Err(why) => draft.failed(why),
        });
    }
    found.rows.push(ratio(
        "get over SoupBinTCP, depth 1: p50 over a bare TCP echo of as many bytes",
        Bound::RatioAtMost(1.5),
        &found.runs,
        Figure::Latency(0.5),
        &|run| run.name == SYSTEM,
        &|run| run.name == FLOOR,
    ));
    found
}
