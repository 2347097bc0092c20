//! The table of bounds for a terminal of 100 columns.
use super::verdict::{Cells, summary};
use crate::measurement::Results;
use std::fmt::Write as _;

/// Columns of the terminal.
const COLUMNS: usize = 100;
/// Width of: bound, median, spread, verdict.
const WIDTHS: [usize; 4] = [10, 10, 24, 10];
/// What is left for the words, with two spaces between columns.
const WHAT: usize = COLUMNS - 8 - WIDTHS[0] - WIDTHS[1] - WIDTHS[2] - WIDTHS[3];

/// The verdict table, warnings and what was skipped. A reason stands below its row.
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    line(&mut out, "what", ["bound", "median", "spread (pairs)", "verdict"]);
    let _ = writeln!(out, "{}", "─".repeat(COLUMNS));
    for row in &results.rows {
        let cells = Cells::of(row);
        let mut words = wrapped(&cells.what, WHAT).into_iter();
        let first = words.next().unwrap_or_default();
        line(&mut out, &first, [&cells.bound, &cells.median, &cells.spread, cells.verdict.word()]);
        for more in words {
            let _ = writeln!(out, "{more}");
        }
        for reason in wrapped(&cells.reason, COLUMNS - 4) {
            let _ = writeln!(out, "    {reason}");
        }
    }
    let _ = writeln!(out, "{}", "─".repeat(COLUMNS));
    let _ = writeln!(out, "{}", summary(&results.rows));
    notes(&mut out, "warning", &results.environment.warnings);
    notes(&mut out, "skipped", &results.skipped);
    out
}

fn notes(out: &mut String, kind: &str, notes: &[String]) {
    for note in notes {
        for (number, part) in wrapped(note, COLUMNS - 10).into_iter().enumerate() {
            let head = if number == 0 { format!("{kind}:") } else { String::new() };
            let _ = writeln!(out, "{head:<9} {part}");
        }
    }
}

fn line(out: &mut String, what: &str, cells: [&str; 4]) {
    let [bound, median, spread, verdict] = cells;
    let [w0, w1, w2, _] = WIDTHS;
    let _ = writeln!(out, "{what:<WHAT$}  {bound:>w0$}  {median:>w1$}  {spread:>w2$}  {verdict}");
}

/// Lines of at most so many characters, broken between words (a longer word stays whole).
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
