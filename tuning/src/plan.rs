//! The changes as a shell script: what `gds tune apply` does, in its order, and below what a person has to do.
use crate::check::Report;
use crate::item::Verdict;
use std::fmt::Write;

/// Width of the comments.
const WIDTH: usize = 100;

/// A script for `sh`. `about` says for what it was made: profile, processors, interface.
pub fn script(about: &str, reports: &[Report]) -> String {
    let mut out = String::from("#!/bin/sh\n");
    comment(&mut out, "", &format!("gds tune plan: {about}."));
    comment(
        &mut out,
        "",
        "What `gds tune apply` does, in this order; `gds tune revert` undoes what apply did, not what this script does. Nothing of it \
         outlives the next start of the host.",
    );
    let mut write =
        |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to a string succeeds");
    write(format_args!("set -u\n"));
    let changed: Vec<&Report> = reports.iter().filter(|report| report.changes().next().is_some()).collect();
    if changed.is_empty() {
        write(format_args!("\n# Nothing to change on the running host.\n"));
    }
    for report in changed {
        out.push('\n');
        heading(&mut out, report);
        for setting in report.changes() {
            out += &format!("{}\n", setting.knob.command(&setting.wanted));
        }
    }
    let by_hand =
        |report: &&Report| report.judgement.verdict == Verdict::Wrong && report.changes().next().is_none();
    let by_hand: Vec<&Report> = reports.iter().filter(by_hand).collect();
    if !by_hand.is_empty() {
        out += "\n# Not done by apply: with the next start of the host (gds tune files), or by hand.\n";
    }
    for report in by_hand {
        out += "#\n";
        heading(&mut out, report);
        for how in ways(report) {
            comment(&mut out, "  -> ", &how);
        }
    }
    out
}

/// How to change what an item finds wrong, as commands or in words.
pub fn ways(report: &Report) -> Vec<String> {
    let wrong = report.judgement.settings.iter().filter(|setting| !setting.is_right());
    let commands = wrong.map(|setting| setting.knob.command(&setting.wanted));
    commands.chain(report.judgement.how.iter().cloned()).collect()
}

fn heading(out: &mut String, report: &Report) {
    let judgement = &report.judgement;
    comment(out, "", &format!("{}: now {}, wanted {}", report.item.title, judgement.now, judgement.wanted));
    comment(out, "  ", report.item.why);
}

/// Text as comment lines, the further ones as far in as the first.
fn comment(out: &mut String, indent: &str, text: &str) {
    let mut first = true;
    for line in wrapped(text, WIDTH - 2 - indent.len()) {
        let spaces = " ".repeat(indent.len());
        out.push_str(&format!("# {}{line}\n", if first { indent } else { &spaces }));
        first = false;
    }
}

/// Text in lines of at most `width` letters, broken between words; a longer word has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
