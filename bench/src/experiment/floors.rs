//! The floors that no line of the table is divided by, and the peers: what else there is to compare with.
use super::acknowledgement::DEPTH_1;
use super::{Bench, Draft, Extent, Found, saturation};
use crate::cores::on_core;
use crate::echo::{Cast, EchoConfig};
use crate::floor::{read, stream};
use crate::measurement::Subject;
use crate::peer;
use crate::schedule::{Measured, closed_loop};
use crate::workload::CANONICAL;
use std::time::Duration;

/// Echoes over every transport.
pub const ECHOES: &str = "echoes";
/// A multicast stream one way.
pub const STREAM: &str = "stream_one_way";
/// Random reads.
pub const READS: &str = "random_reads";
/// Reads of memory.
const MEMORY: &str = "random_read_memory";
/// Reads of the disk.
const DISK: &str = "random_read_disk";
/// Other stores and rings.
pub const PEERS: &str = "peers";

/// Packets given to the kernel in one call.
const SEGMENTS: [usize; 3] = [1, 8, 46];

/// A packet there and back, over each transport and both casts.
pub fn echoes(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let plan = bench.plan(2.0);
    for repetition in bench.repetitions() {
        for transport in bench.transports() {
            for cast in [Cast::Unicast, Cast::Multicast] {
                (bench.tell)(&format!(
                    "{ECHOES}: repetition {repetition}, {} over {transport}",
                    cast.as_str()
                ));
                let name = format!("{} echo", cast.as_str());
                let draft = Draft::new(ECHOES, &name, Subject::Floor, repetition).workload(CANONICAL);
                let config = EchoConfig::new(transport, cast, bench.cores.system);
                found.runs.push(bench.echo(draft, config, |target| closed_loop(target, &plan)));
            }
        }
    }
    found
}

/// The packets of a saturating client, one way.
pub fn stream(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let plan = bench.plan(2.0);
    for repetition in bench.repetitions() {
        for transport in bench.transports() {
            for segments in SEGMENTS {
                (bench.tell)(&format!(
                    "{STREAM}: repetition {repetition}, {segments} packets a call over {transport}"
                ));
                let draft = Draft::new(STREAM, "multicast one way", Subject::Floor, repetition)
                    .workload(CANONICAL)
                    .with("transport", transport)
                    .with("packets_per_call", segments);
                found.runs.push(match stream::measure(transport, segments, bench.cores, plan.duration) {
                    Ok(streamed) => draft
                        .figure(
                            "dropped_percent",
                            100.0 * (1.0 - streamed.received as f64 / streamed.sent.max(1) as f64),
                        )
                        .rate(streamed.received, streamed.rate),
                    Err(why) => draft.failed(why),
                });
            }
        }
    }
    found
}

/// Words anywhere in memory, blocks anywhere on the disk.
pub fn reads(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let duration = bench.plan(1.0).duration;
    let (memory_bytes, disk_bytes) =
        if bench.extent == Extent::Full { (2 << 30, 2 << 30) } else { (1 << 28, 1 << 28) };
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("random reads: repetition {repetition}"));
        let draft =
            |name: &str| Draft::new(MEMORY, name, Subject::Floor, repetition).with("mib", memory_bytes >> 20);
        match on_core(bench.cores.system, || read::memory(memory_bytes, duration)) {
            Ok(reads) => {
                for (name, rate) in
                    [("one at a time", reads.dependent), ("many at a time", reads.independent)]
                {
                    let count = (rate * duration.as_secs_f64()) as u64;
                    found.runs.push(draft(name).figure("ns_per_read", 1e9 / rate).rate(count, rate));
                }
            }
            Err(why) => found.runs.push(draft("one at a time").failed(why)),
        }
        let draft =
            Draft::new(DISK, "4 KiB, direct", Subject::Floor, repetition).with("mib", disk_bytes >> 20);
        found.runs.push(match read::disk(&bench.disk, disk_bytes, duration) {
            Ok(latency) => draft.measured(&Measured::of_latencies(latency)),
            Err(why) => draft.failed(why),
        });
    }
    found
}

/// Redis and memcached where installed, and other rings; beside GDS's own runs of the same experiments.
pub fn peers(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let duration = Duration::from_secs_f64(if bench.extent == Extent::Full { 3.0 } else { 0.5 });
    let experiments = peer::Experiments { depth_1: DEPTH_1, throughput: saturation::NAME };
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{PEERS}: repetition {repetition}"));
        let (mut runs, skipped) = peer::all(experiments, repetition, bench.cores, duration);
        found.runs.append(&mut runs);
        found
            .skipped
            .extend(skipped.into_iter().filter(|line| !found.skipped.contains(line)).collect::<Vec<_>>());
    }
    found
}
