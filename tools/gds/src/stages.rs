//! `gds stages`: where a running node's time goes.
use crate::arguments::Stages as Arguments;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::text;
use gds_bench::report::numbers;
use gds_core::stages::{Stage, StageCounts};
use gds_node::surroundings::read_stages;
use serde_json::{Value, json};
use std::time::Duration;

/// The shares shown, and their names.
const SHARES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// Shows how long messages took from received to each stage: since the node's start, or during the next seconds.
pub fn run(arguments: &Arguments) -> Outcome {
    let config = config::load(arguments.config.as_deref())?;
    let read = || read_stages(&config).map_err(Failure::failed);
    let mut stages: Vec<StageCounts> = counts(&read()?);
    if let Some(seconds) = arguments.seconds {
        let wait = Duration::try_from_secs_f64(seconds)
            .map_err(|_| Failure::usage(format!("--seconds {seconds}: a number of seconds above 0")))?;
        std::thread::sleep(wait);
        let later = counts(&read()?);
        stages = later.iter().zip(&stages).map(|(now, then)| now.since(then)).collect();
    }
    if arguments.json {
        println!("{}", as_json(&stages));
    } else {
        print!("{}", as_text(&stages));
    }
    Ok(())
}

fn counts(stages: &gds_core::stages::Stages) -> Vec<StageCounts> {
    Stage::ALL.iter().map(|stage| stages.read(*stage)).collect()
}

fn as_json(stages: &[StageCounts]) -> Value {
    let stages = Stage::ALL.iter().zip(stages).map(|(stage, counts)| {
        let mut value =
            json!({ "messages": counts.total(), "missed": counts.missed, "longest_ns": counts.longest_ns });
        for (share, name) in SHARES {
            value[format!("{}_ns", name.replace('.', "_"))] = json!(counts.quantile_ns(share));
        }
        (stage.as_str().to_owned(), value)
    });
    Value::Object(stages.collect())
}

fn as_text(stages: &[StageCounts]) -> String {
    let mut out = format!("{:<14}{:>16}", "from received", "messages");
    for (_, name) in SHARES {
        out += &format!("{name:>11}");
    }
    out += "    longest\n";
    for (stage, counts) in Stage::ALL.iter().zip(stages) {
        out += &format!("{:<14}{:>16}", stage.as_str(), text::grouped(counts.total()));
        for (share, _) in SHARES {
            out += &format!("{:>11}", time(counts.total(), counts.quantile_ns(share)));
        }
        out += &format!("{:>11}\n", time(counts.total(), counts.longest_ns));
    }
    out
}

/// A dash where there was no message.
fn time(messages: u64, ns: u64) -> String {
    if messages == 0 { "–".to_owned() } else { numbers::time(ns as f64) }
}
