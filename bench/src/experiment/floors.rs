//! The floors that no line of the table is divided by, and rings: what else there is to compare with.
use super::{Bench, Draft, Extent, Found};
use crate::cores::on_core;
use crate::echo::{Cast, EchoConfig};
use crate::floor::read;
use crate::floor::stream::Call;
use crate::measurement::Subject;
use crate::peer::{self, Asked, Pace};
use crate::schedule::{Measured, closed_loop};
use crate::workload::CANONICAL;

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
/// Rings between two cores.
pub const RINGS: &str = "rings";

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

/// The packets of a saturating client one way, and Aeron's.
pub fn stream(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let plan = bench.plan(2.0);
    for repetition in bench.repetitions() {
        for transport in bench.transports() {
            for segments in SEGMENTS {
                (bench.tell)(&format!(
                    "{STREAM}: repetition {repetition}, {segments} packets a call over {transport}"
                ));
                let draft = Draft::new(STREAM, "multicast one way", Subject::Floor, repetition);
                found.runs.push(bench.stream(draft, &transport.into(), Call::full(segments), plan.duration));
            }
        }
        bench.aeron(&mut found, &Asked::new(STREAM, repetition, Pace::OneWay, plan.duration));
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

/// The ring between two cores, and those of other crates.
pub fn rings(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    let duration = bench.plan(2.0).duration;
    for repetition in bench.repetitions() {
        (bench.tell)(&format!("{RINGS}: repetition {repetition}"));
        match peer::rings(repetition, bench.cores, duration) {
            Ok(runs) => found.runs.extend(runs),
            Err(why) => found.skipped.push(why),
        }
    }
    found
}
