//! `gds stages`: where a running node's time goes.
use crate::arguments::Stages as Arguments;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::text;
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

/// Three digits and a unit; a dash where there was no message.
fn time(messages: u64, ns: u64) -> String {
    let ns = ns as f64;
    let (value, unit) = match ns {
        _ if messages == 0 => return "–".to_owned(),
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value >= 100.0 || unit == "ns" {
        0
    } else {
        usize::from(value < 100.0) + usize::from(value < 10.0)
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_show_times_with_three_digits() {
        let shown: Vec<String> =
            [7, 812, 8_120, 81_200, 812_000, 1_250_000, 2_000_000_000].map(|ns| time(1, ns)).to_vec();
        assert_eq!(shown, ["7 ns", "812 ns", "8.12 µs", "81.2 µs", "812 µs", "1.25 ms", "2.00 s"]);
        assert_eq!(time(0, 0), "–");
    }
}
