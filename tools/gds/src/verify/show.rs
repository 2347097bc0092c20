//! What a comparison came to, as text and as JSON.
use super::{Comparison, Held, Stores, letter};
use crate::verify::compare::{Log, Parting};
use crate::{describe, text};
use serde_json::{Value, json};

const NONE: &str = "–";

/// For people.
pub fn text(comparison: &Comparison) -> String {
    let number = text::grouped;
    let mut out = format!("compared at message {}\n\n", number(comparison.at));
    out += &format!(
        "{:<4}  {:<10} {:>14} {:>14} {:>14} {:>14}  {:<32}  of\n",
        "side", "stream", "first", "last", "agrees to", "applied", "digest"
    );
    for (side, members) in comparison.sides.iter().enumerate() {
        for member in &members.members {
            let subject = &comparison.subjects[member.index];
            let (first, last) = subject.kept();
            let [applied, digest] = subject.store.map_or([NONE, NONE].map(str::to_owned), |store| {
                [number(store.applied), format!("{:032x}", store.digest)]
            });
            out += &format!(
                "{:<4}  {:<10} {:>14} {:>14} {:>14} {applied:>14}  {digest:<32}  {}\n",
                letter(side),
                subject.stream,
                number(first),
                number(last),
                number(member.up_to),
                subject.name
            );
        }
    }
    out += "\n";
    for difference in &comparison.differences {
        out += &format!("message {}\n", number(difference.sequence));
        difference.has.iter().for_each(|held| out += &held_line(difference.sequence, held));
        out += "\n";
    }
    for subject in comparison.undecided() {
        out += &format!("{} ends before they part: it agrees with both\n", subject.name);
    }
    for line in store_lines(comparison) {
        out += &format!("{line}\n");
    }
    for finding in &comparison.findings {
        out += &format!("! {finding}\n");
    }
    if comparison.findings.is_empty() {
        out += &format!("✓ all agree up to message {}\n", number(comparison.at));
    }
    out
}

/// What a person needs to tell two messages apart: the epoch, when it was numbered, its checksum, and what it says.
fn held_line(sequence: u64, held: &Held) -> String {
    let described = describe::message(sequence, &held.message);
    format!(
        "  {}  epoch {}, timestamp {} ns, {} bytes, CRC-32C {:08x}\n   {}\n",
        letter(held.side),
        held.mark.epoch,
        described["timestamp_ns"].as_u64().map_or_else(|| NONE.to_owned(), |ns| ns.to_string()),
        held.message.len(),
        gds_wire::checksum(&held.message),
        describe::line(&described)
    )
}

fn store_lines(comparison: &Comparison) -> Vec<String> {
    let line = |(side, stores): (usize, &Stores)| match stores {
        Stores::Same { applied, count } => Some(format!(
            "the stores of {count} of {} have one digest behind message {}",
            letter(side),
            text::grouped(*applied)
        )),
        Stores::NotCompared(why) => Some(format!("the stores of {} were not compared: {why}", letter(side))),
        Stores::Differ { .. } | Stores::None => None,
    };
    comparison.stores.iter().enumerate().filter_map(line).collect()
}

/// For programs.
pub fn json(comparison: &Comparison) -> Value {
    json!({
        "agree": comparison.findings.is_empty(),
        "at": comparison.at,
        "sides": (0..comparison.sides.len()).map(|side| side_json(comparison, side)).collect::<Vec<_>>(),
        "differences": comparison.differences.iter().map(|difference| json!({
            "sequence": difference.sequence,
            "has": difference.has.iter().map(|held| held_json(difference.sequence, held)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "agree_with_all": comparison.undecided().map(|subject| &subject.name).collect::<Vec<_>>(),
        "findings": comparison.findings,
    })
}

fn side_json(comparison: &Comparison, index: usize) -> Value {
    let side = &comparison.sides[index];
    let member = |member: &super::Member| {
        let subject = &comparison.subjects[member.index];
        let (first, last) = subject.kept();
        json!({
            "name": subject.name, "stream": subject.stream, "first": first, "last": last, "agrees_to": member.up_to,
            "applied": subject.store.map(|store| store.applied),
            "digest": subject.store.map(|store| format!("{:032x}", store.digest)),
        })
    };
    let mut value =
        json!({ "side": letter(index), "members": side.members.iter().map(member).collect::<Vec<_>>() });
    match side.parting {
        Parting::At(sequence) => value["differs_from"] = json!(sequence),
        Parting::Before(sequence) => value["differs_at_or_before"] = json!(sequence),
        Parting::Agree(_) | Parting::Apart => {}
    }
    value["stores"] = match &comparison.stores[index] {
        Stores::Same { applied, count } => json!({ "same": true, "applied": applied, "count": count }),
        Stores::Differ { applied } => json!({ "same": false, "applied": applied }),
        Stores::NotCompared(why) => json!({ "why": why }),
        Stores::None => Value::Null,
    };
    value
}

fn held_json(sequence: u64, held: &Held) -> Value {
    json!({
        "side": letter(held.side), "epoch": held.mark.epoch, "chain": format!("{:016x}", held.mark.chain),
        "checksum": gds_wire::checksum(&held.message), "message": describe::message(sequence, &held.message),
    })
}
