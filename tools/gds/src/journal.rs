//! `gds journal`: looks into a journal's files. Needs no node, disturbs none, changes nothing.
mod leads;

use crate::arguments::JournalCommand;
use crate::exit::{Failure, Outcome};
use crate::{describe, text};
use gds_core::disk::Disk;
use gds_core::journal::{Walk, walk};
use gds_node::ports::Files;
use leads::Pair;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Runs one of the three.
pub fn run(command: &JournalCommand) -> Outcome {
    match command {
        JournalCommand::List { folder, json } => list(folder, *json),
        JournalCommand::Dump { folder, from, to, json } => {
            dump(folder, from.unwrap_or(1), to.unwrap_or(u64::MAX), *json)
        }
        JournalCommand::Verify { folder, bytes, json } => verify(folder, *bytes, *json),
    }
}

/// The segments of one journal, to be read.
pub fn open(folder: &Path) -> Result<Files, Failure> {
    if !folder.is_dir() {
        let hint = "name the folder of one journal, such as gds-data/bus or gds-data/acknowledgements";
        return Err(Failure::usage(format!("{}: no such folder; {hint}", folder.display())));
    }
    let mut files = Files::open_to_read(folder).map_err(Failure::failed)?;
    if folder.join("bus").is_dir() {
        return Err(Failure::usage(format!(
            "{0} holds two journals: name {0}/bus or {0}/acknowledgements",
            folder.display()
        )));
    }
    if files.segments().map_err(Failure::failed)?.is_empty() {
        return Err(Failure::usage(format!("{}: no journal segment in this folder", folder.display())));
    }
    Ok(files)
}

#[derive(Default)]
struct SegmentLine {
    first: u64,
    last: u64,
    groups: u64,
    bytes: u64,
}

fn list(folder: &Path, as_json: bool) -> Outcome {
    let mut files = open(folder)?;
    let mut segments = BTreeMap::<u64, SegmentLine>::new();
    let walked = walk(&mut files, None, 0, &mut |group| {
        let line = segments
            .entry(group.segment())
            .or_insert_with(|| SegmentLine { first: group.first(), ..SegmentLine::default() });
        line.last = group.next() - 1;
        line.groups += 1;
        line.bytes += group.length() as u64;
    })
    .map_err(Failure::failed)?;
    if !as_json {
        println!(
            "{:>8} {:>14} {:>14} {:>10} {:>14} {:>14}  file",
            "segment", "first", "last", "groups", "bytes used", "bytes"
        );
    }
    for segment in files.segments().map_err(Failure::failed)? {
        let none = SegmentLine::default();
        let line = segments.get(&segment).unwrap_or(&none);
        let length = files.length(segment).map_err(Failure::failed)?;
        let file = files.describe(segment);
        if as_json {
            println!(
                "{}",
                json!({ "segment": segment, "first": line.first, "last": line.last, "groups": line.groups,
                        "bytes_used": line.bytes, "bytes": length, "file": file })
            );
        } else {
            let number = |value: u64| text::grouped(value);
            let (first, last, groups) = (number(line.first), number(line.last), number(line.groups));
            println!(
                "{segment:>8} {first:>14} {last:>14} {groups:>10} {:>14} {:>14}  {file}",
                number(line.bytes),
                number(length)
            );
        }
    }
    summary(&walked, as_json);
    Ok(())
}

fn dump(folder: &Path, from: u64, to: u64, as_json: bool) -> Outcome {
    let mut files = open(folder)?;
    walk(&mut files, None, 0, &mut |group| {
        for message in group.messages().filter(|message| (from..=to).contains(&message.sequence)) {
            let described = describe::journalled(message.sequence, message.bytes);
            if as_json { println!("{described}") } else { println!("{}", describe::line(&described)) }
        }
    })
    .map_err(Failure::failed)?;
    Ok(())
}

/// Checks the bytes of one journal, or of both in a node's directory, and what they lead to where both are there.
fn verify(folder: &Path, bytes_alone: bool, as_json: bool) -> Outcome {
    let pair = Pair::of(folder);
    let is_directory = folder.join("bus").is_dir();
    let names: &[&str] = if is_directory { &["bus", "acknowledgements"] } else { &[] };
    let mut said = json!({});
    match &pair {
        Some(pair) if is_directory => {
            for name in names {
                let walked = verify_bytes(&pair.folder(name), as_json)?;
                said[*name] = summary_json(&walked);
            }
        }
        _ => said = summary_json(&verify_bytes(folder, as_json)?),
    }
    match pair.filter(|_| !bytes_alone) {
        Some(pair) => {
            let lead = pair.verify()?;
            if !as_json {
                lead.tell();
            }
            said["leads_to"] = lead.json();
        }
        None if !as_json && !bytes_alone => {
            println!("what it leads to was not checked: the other journal is not beside it");
        }
        None => {}
    }
    if as_json {
        println!("{said}");
    }
    Ok(())
}

fn verify_bytes(folder: &Path, as_json: bool) -> Result<Walk, Failure> {
    let mut files = open(folder)?;
    let walked = walk(&mut files, None, 0, &mut |_| {}).map_err(Failure::failed)?;
    if !as_json {
        summary(&walked, false);
        println!("every checksum, chain and number up to {} is right", text::grouped(walked.last));
    }
    Ok(walked)
}

fn summary_json(walked: &Walk) -> Value {
    let stream = walked.stream.map_or_else(String::new, |stream| stream.to_string());
    let torn = walked.torn.as_ref().map(ToString::to_string);
    json!({ "stream": stream, "first": walked.first, "last": walked.last, "durable": walked.durable,
            "closed_in_order": walked.clean, "torn_tail": torn })
}

fn summary(walked: &Walk, as_json: bool) {
    let stream = walked.stream.map_or_else(String::new, |stream| stream.to_string());
    let torn = walked.torn.as_ref().map(ToString::to_string);
    if as_json {
        println!("{}", summary_json(walked));
        return;
    }
    let end = if walked.clean { "closed in order" } else { "not closed (a node is running, or was killed)" };
    println!("stream {stream}: {} to {}, {end}", text::grouped(walked.first), text::grouped(walked.last));
    if let Some(torn) = torn {
        println!("{torn}; the next start cuts it back");
    }
}
