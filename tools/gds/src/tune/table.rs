//! What was found, as a table for a terminal of a hundred columns, and as JSON.
use gds_tuning::Report;
use gds_tuning::item::Verdict;
use gds_tuning::plan::{ways, wrapped};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// Columns of the table.
const WIDTH: usize = 100;
const TITLE: usize = 25;
const NOW: usize = 37;
/// Commands shown for each item.
const WAYS_MAX: usize = 4;

/// Colours, where standard output is a terminal that wants them.
struct Paint(bool);

impl Paint {
    fn of_output() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn colour(&self, text: &str, verdict: &Verdict) -> String {
        let code = match verdict {
            Verdict::Right => "32",
            Verdict::Wrong => "31",
            Verdict::Unknown(_) => "33",
            Verdict::Irrelevant(_) => "2",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn mark(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Right => "✓",
        Verdict::Wrong => "✗",
        Verdict::Unknown(_) => "?",
        Verdict::Irrelevant(_) => "·",
    }
}

/// The table, then for what is wrong (or for everything) why it matters and how to change it.
pub fn as_text(reports: &[Report], explain: bool) -> String {
    let paint = Paint::of_output();
    let mut out = format!("{:<TITLE$}  {:<NOW$}wanted\n", "", "now");
    let mut family = "";
    for report in reports {
        if family != report.item.family.as_str() {
            family = report.item.family.as_str();
            out += &format!(
                "{family}
"
            );
        }
        row(&mut out, report, &paint);
    }
    out += &format!("\n{}\n", verdict(reports));
    for report in reports.iter().filter(|report| explain || report.is_wrong()) {
        details(&mut out, report, &paint);
    }
    out
}

fn row(out: &mut String, report: &Report, paint: &Paint) {
    let judgement = &report.judgement;
    let head = format!("{} {}", mark(&judgement.verdict), report.item.title);
    let head = paint.colour(&format!("{head:<TITLE$}"), &judgement.verdict);
    if let Some(reason) = judgement.verdict.reason() {
        for (position, line) in wrapped(reason, WIDTH - TITLE - 2).iter().enumerate() {
            let head = if position == 0 { head.clone() } else { " ".repeat(TITLE) };
            *out += &format!("{head}  {line}\n");
        }
        return;
    }
    let now = wrapped(&judgement.now, NOW - 2);
    let wanted = wrapped(&judgement.wanted, WIDTH - TITLE - 2 - NOW);
    for position in 0..now.len().max(wanted.len()) {
        let head = if position == 0 { head.clone() } else { " ".repeat(TITLE) };
        let cell = |lines: &[String]| lines.get(position).cloned().unwrap_or_default();
        *out += format!("{head}  {:<NOW$}{}", cell(&now), cell(&wanted)).trim_end();
        out.push('\n');
    }
}

fn details(out: &mut String, report: &Report, paint: &Paint) {
    let judgement = &report.judgement;
    *out += &format!(
        "\n{}\n",
        paint.colour(&format!("{} {}", mark(&judgement.verdict), report.item.title), &judgement.verdict)
    );
    let mut told = |name: &str, text: &str| {
        for (position, line) in wrapped(text, WIDTH - 9).iter().enumerate() {
            *out += &format!("  {:<7}{line}\n", if position == 0 { name } else { "" });
        }
    };
    told("why", report.item.why);
    told("cost", report.item.cost);
    told("shown", &report.item.shown.to_string());
    let ways = ways(report);
    for way in ways.iter().take(WAYS_MAX) {
        told("how", way);
    }
    if ways.len() > WAYS_MAX {
        told("", &format!("and {} more: gds tune plan", ways.len() - WAYS_MAX));
    }
    if report.changes().next().is_some() {
        told("", "gds tune apply does it");
    }
}

/// All of it in one line.
pub fn verdict(reports: &[Report]) -> String {
    let [right, wrong, unknown, irrelevant] = counts(reports);
    let mut text = format!("{wrong} of {} wrong, {right} right", right + wrong);
    if unknown > 0 {
        text += &format!(", {unknown} cannot be told");
    }
    if irrelevant > 0 {
        text += &format!(", {irrelevant} do not matter here");
    }
    text
}

/// Right, wrong, unknown, irrelevant.
fn counts(reports: &[Report]) -> [usize; 4] {
    let count =
        |name: &str| reports.iter().filter(|report| report.judgement.verdict.as_str() == name).count();
    ["right", "wrong", "unknown", "irrelevant"].map(count)
}

/// The same for machines.
pub fn as_json(reports: &[Report]) -> Value {
    let [right, wrong, unknown, irrelevant] = counts(reports);
    let item = |report: &Report| {
        let judgement = &report.judgement;
        json!({
            "item": report.item.key,
            "title": report.item.title,
            "family": report.item.family.as_str(),
            "verdict": judgement.verdict.as_str(),
            "reason": judgement.verdict.reason(),
            "now": judgement.now,
            "wanted": judgement.wanted,
            "why": report.item.why,
            "cost": report.item.cost,
            "shown": report.item.shown.to_string(),
            "how": if report.is_wrong() { ways(report) } else { Vec::new() },
            "apply": report.changes().next().is_some(),
        })
    };
    json!({
        "right": right,
        "wrong": wrong,
        "unknown": unknown,
        "irrelevant": irrelevant,
        "items": reports.iter().map(item).collect::<Vec<_>>(),
    })
}
