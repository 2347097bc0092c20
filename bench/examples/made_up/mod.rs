//! Made-up results with everything in them that a report shows.
use gds_bench::measurement::{Bound, Latency, Results, Row, Run, Stage, Subject, histogram};
use gds_bench::report::environment;
use std::collections::BTreeMap;

const REPETITIONS: u32 = 5;

/// Results of a machine that does not exist.
pub fn results() -> Results {
    let mut dice = Dice(1);
    let mut results = Results { environment: environment::read("gds".as_ref()), ..Results::default() };
    for repetition in 0..REPETITIONS {
        depth_1(&mut results.runs, repetition, &mut dice);
        ladder(&mut results.runs, repetition, &mut dice);
        saturation(&mut results.runs, repetition, &mut dice);
        growth(&mut results.runs, repetition, &mut dice);
    }
    results.rows = rows();
    results.skipped = vec!["aeron: not built (bench/aeron)".into(), "memcached: not installed".into()];
    results
}

fn depth_1(runs: &mut Vec<Run>, repetition: u32, dice: &mut Dice) {
    let experiment = "acknowledgement_depth_1";
    for (name, subject, ns) in [
        ("gds", Subject::System, 8_300.0),
        ("multicast echo", Subject::Floor, 7_100.0),
        ("redis", Subject::Peer, 27_000.0),
    ] {
        let mut run = run(experiment, name, subject, repetition);
        run.rate = 1e9 / ns;
        run.latency = Some(latency(dice, ns, 20_000));
        if subject == Subject::System {
            run.stages = stages(dice, ns);
        }
        runs.push(run);
    }
}

fn ladder(runs: &mut Vec<Run>, repetition: u32, dice: &mut Dice) {
    for rate in [20e3, 50e3, 100e3, 250e3, 500e3, 1e6, 2e6, 4e6, 5e6] {
        for (name, subject, ns, most) in
            [("gds", Subject::System, 12_000.0, 4.4e6), ("multicast echo", Subject::Floor, 9_000.0, 6e6)]
        {
            let mut run = run("acknowledgement_rates", name, subject, repetition);
            run.rate_wanted = Some(rate);
            run.rate = rate.min(most);
            run.sent = 100_000;
            run.answered = 100_000;
            if rate > most {
                run.failed = Some("reached 4.4 M/s of 5 M/s".into());
            } else {
                let waiting = ns / (1.0 - rate / most);
                run.latency = Some(latency(dice, waiting, 4_000));
                run.stages = if subject == Subject::System { stages(dice, waiting) } else { Vec::new() };
            }
            runs.push(run);
        }
    }
}

fn saturation(runs: &mut Vec<Run>, repetition: u32, dice: &mut Dice) {
    for (name, subject, rate, durability) in [
        ("gds", Subject::System, 4.6e6, "memory"),
        ("gds", Subject::System, 1.9e6, "fsync"),
        ("bare multicast stream", Subject::Floor, 5.9e6, ""),
        ("append to the same disk", Subject::Floor, 2.2e6, ""),
        ("redis", Subject::Peer, 0.61e6, ""),
        ("memcached", Subject::Peer, 0.83e6, ""),
    ] {
        let mut run = run("saturation", name, subject, repetition);
        run.rate = rate * (1.0 + 0.04 * dice.normal());
        if !durability.is_empty() {
            run.parameters.insert("durability".into(), durability.into());
        }
        runs.push(run);
    }
}

fn growth(runs: &mut Vec<Run>, repetition: u32, dice: &mut Dice) {
    for (records, ns) in [(1e6, 105.0), (3e6, 121.0), (10e6, 139.0), (30e6, 158.0), (100e6, 181.0)] {
        let mut run = run("apply_growth", "gds", Subject::System, repetition);
        run.parameters.insert("records".into(), format!("{records}"));
        run.figures.insert("ns_per_message".into(), ns * (1.0 + 0.02 * dice.normal()));
        runs.push(run);
    }
}

fn rows() -> Vec<Row> {
    let row = |experiment: &str, what: &str, bound, values: &[f64], detail: &str, note: &str| Row {
        experiment: experiment.into(),
        what: what.into(),
        bound,
        values: values.to_vec(),
        detail: detail.into(),
        note: note.into(),
    };
    let depth_1 = "acknowledgement, memory, depth 1, 200 B: p50 against the bare multicast echo";
    vec![
        row(
            "acknowledgement_depth_1",
            depth_1,
            Bound::RatioAtMost(1.25),
            &[1.17, 1.16, 1.19, 1.2, 1.15],
            "gds p50 8.3 µs, echo p50 7.1 µs",
            "",
        ),
        row(
            "acknowledgement_depth_1",
            "the same, p99",
            Bound::RatioAtMost(2.0),
            &[1.9, 2.4, 2.2, 1.8, 2.3],
            "gds p99 31 µs, echo p99 14 µs",
            "the journal's agent shares the core: 12 µs of the p99 are its stage",
        ),
        row(
            "acknowledgement_rates",
            "250,000 msg/s open loop, packed: p50",
            Bound::NsAtMost(100_000.0),
            &[13_000.0, 12_800.0, 14_200.0],
            "",
            "",
        ),
        row(
            "saturation",
            "ingest to acknowledgement, saturating, 200 B packed",
            Bound::RateAtLeast(4e6),
            &[4.5e6, 4.71e6, 4.66e6],
            "floor 5.9 M/s",
            "",
        ),
        row(
            "index",
            "index of 10 million records, bytes a record",
            Bound::BytesAtMost(12.0),
            &[11.26],
            "",
            "",
        ),
        row(
            "replay",
            "restart: replay of the journal",
            Bound::RateAtLeast(3e6),
            &[],
            "",
            "all repetitions failed: the disk was full",
        ),
        row(
            "apply_growth",
            "per-message cost of apply from 1 M to 100 M records",
            Bound::RatioAtMost(2.0),
            &[1.72, 1.74, 1.71],
            "105 ns to 181 ns",
            "",
        ),
    ]
}

fn run(experiment: &str, name: &str, subject: Subject, repetition: u32) -> Run {
    Run {
        experiment: experiment.into(),
        name: name.into(),
        subject,
        repetition,
        workload: "put_uniform_200".into(),
        parameters: BTreeMap::new(),
        rate_wanted: None,
        rate: 0.0,
        sent: 20_000,
        answered: 20_000,
        late: 0,
        latency: None,
        stages: Vec::new(),
        figures: BTreeMap::new(),
        failed: None,
    }
}

/// Around a middle, with a long tail to the right.
fn latency(dice: &mut Dice, middle_ns: f64, samples: u32) -> Latency {
    let mut histogram = histogram();
    for _ in 0..samples {
        let rare = if dice.next() < 0.004 { 3.0 + 12.0 * dice.next() } else { 1.0 };
        histogram.saturating_record((middle_ns * (0.12 * dice.normal()).exp() * rare) as u64);
    }
    Latency::of(&histogram)
}

fn stages(dice: &mut Dice, whole_ns: f64) -> Vec<Stage> {
    [
        ("sequenced", 0.14),
        ("applied", 0.31),
        ("acknowledged", 0.55),
        ("published", 0.74),
        ("journalled", 30.0),
    ]
    .into_iter()
    .map(|(name, share)| Stage { name: name.into(), latency: latency(dice, whole_ns * share * 0.4, 2_000) })
    .collect()
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 0, mostly within 2.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}
