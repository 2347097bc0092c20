//! What the demo shows at the end.
use super::Answers;
use super::listener::Heard;
use super::world::Fed;
use crate::arguments::Demo;
use crate::text::{duration, grouped};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Percentiles shown.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];
/// Letters of the longest bar.
const BAR: usize = 24;

/// Things that must hold, and whether they do.
#[derive(Default)]
pub struct Checks(Vec<(String, bool)>);

impl Checks {
    /// One more.
    pub fn add(&mut self, what: &str, holds: bool) {
        self.0.push((what.to_owned(), holds));
    }

    /// Everything holds.
    pub fn all_hold(&self) -> bool {
        self.0.iter().all(|(_, holds)| *holds)
    }
}

/// Everything the demo found.
pub struct Report {
    /// From nothing to a running node.
    pub start_ms: u64,
    /// The writing side.
    pub fed: Fed,
    /// The listener.
    pub heard: Heard,
    /// The queries.
    pub answers: Answers,
    /// The node's digest.
    pub digest: u128,
    /// The node's counters.
    pub counters: Vec<(String, u64)>,
    /// What must hold.
    pub checks: Checks,
}

impl Report {
    /// Prints it.
    pub fn show(&self, arguments: &Demo) {
        if arguments.json { println!("{}", self.json()) } else { self.print() }
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|(counter, _)| counter == name).map_or(0, |(_, value)| *value)
    }

    fn rate(&self) -> u64 {
        (self.fed.messages as f64 / self.fed.seconds.max(1e-9)) as u64
    }

    fn print(&self) {
        let Self { fed, heard, answers, .. } = self;
        let row = |what: &str, value: String, more: String| println!("  {what:<24}{value:>14}   {more}");
        let lost = self.counter("publisher_port.lost_on_purpose")
            + self.counter("acknowledgement_publisher_port.lost_on_purpose");
        println!("in");
        row(
            "feed messages",
            grouped(fed.messages),
            format!("in {:.2} s: {} a second", fed.seconds, grouped(self.rate())),
        );
        row("native transactions", grouped(fed.native), "in between, and one at a time afterwards".into());
        row(
            "duplicates dropped",
            grouped(self.counter("ingress.duplicates")),
            "what both lines brought".into(),
        );
        row(
            "packets lost",
            grouped(self.counter("sequencer_port.lost_on_purpose")),
            format!("on lines A and B; {} packets sent again", grouped(fed.resent)),
        );
        println!("out");
        row("messages heard", grouped(heard.last), "by a listener of its own, once each and in order".into());
        row("packets lost", grouped(lost), "downstream and acknowledgements".into());
        row(
            "gaps filled",
            grouped(heard.counters.gaps.get()),
            format!(
                "{} messages, by {} request packets",
                grouped(heard.counters.missed.get()),
                grouped(heard.counters.requests.get())
            ),
        );
        println!("store");
        row("live orders", grouped(fed.live.len() as u64), "each asked for and compared".into());
        for (outcome, count) in &fed.outcomes {
            row(outcome, grouped(*count), String::new());
        }
        let per_second = answers.records as f64 / answers.seconds.max(1e-9);
        row(
            "records read",
            grouped(answers.records),
            format!(
                "over SoupBinTCP in {} queries, {} a second",
                grouped(answers.queries),
                grouped(per_second as u64)
            ),
        );
        self.print_latency();
        println!("agreement");
        println!("  digest of the node       {:032x}", self.digest);
        println!("  digest of the listener   {:032x}", heard.store_digest);
        println!(
            "  digest of the content    {:016x} (the same for each run of this seed and length)",
            answers.content
        );
        for (what, holds) in &self.checks.0 {
            println!("  {} {what}", if *holds { "✓" } else { "✗ NOT SO:" });
        }
    }

    fn print_latency(&self) {
        println!("acknowledgement latency, losses included");
        println!("  {:<7}{:<38}one at a time, afterwards", "", "while the feed runs flat out");
        for (name, percentile) in PERCENTILES {
            let cell = |histogram: &Histogram<u64>| {
                let ns = histogram.value_at_percentile(percentile);
                (format!("{:>9}", duration(ns)), bar(ns))
            };
            let ((loaded, loaded_bar), (alone, alone_bar)) = (cell(&self.fed.loaded), cell(&self.fed.alone));
            println!("  {name:<7}{loaded} {loaded_bar:<27} {alone} {alone_bar}");
        }
    }

    fn json(&self) -> Value {
        let Self { fed, heard, answers, .. } = self;
        let latency = |histogram: &Histogram<u64>| {
            let values = PERCENTILES.map(|(name, percentile)| {
                (name.to_owned(), json!(histogram.value_at_percentile(percentile)))
            });
            json!({ "count": histogram.len(), "ns": values.into_iter().collect::<BTreeMap<_, _>>() })
        };
        let counters: BTreeMap<&str, u64> =
            self.counters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        json!({
            "agrees": self.checks.all_hold(),
            "checks": self.checks.0.iter().map(|(what, holds)| json!({ "what": what, "holds": holds })).collect::<Vec<_>>(),
            "start_ms": self.start_ms,
            "feed_messages": fed.messages,
            "feed_seconds": fed.seconds,
            "messages_per_second": self.rate(),
            "native_transactions": fed.native,
            "outcomes": fed.outcomes,
            "messages_heard": heard.last,
            "gaps": heard.counters.gaps.get(),
            "gap_messages": heard.counters.missed.get(),
            "requests": heard.counters.requests.get(),
            "duplicates_dropped": self.counter("ingress.duplicates"),
            "live_orders": fed.live.len(),
            "records_read": answers.records,
            "acknowledgement_latency": { "loaded": latency(&fed.loaded), "alone": latency(&fed.alone) },
            "digest": format!("{:032x}", self.digest),
            "content_digest": format!("{:016x}", answers.content),
            "listener_digest": format!("{:032x}", heard.store_digest),
            "counters": counters,
        })
    }
}

/// A bar on a logarithmic scale: one microsecond is nothing, each tenfold is as long as the next.
fn bar(ns: u64) -> String {
    let decades = (ns as f64 / 1e3).max(1.0).log10();
    "▇".repeat(((decades * BAR as f64 / 5.0).round() as usize).clamp(1, BAR + 2))
}
