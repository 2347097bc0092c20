//! `gds get`, `range`, `watch` and `status`: questions to a node over SoupBinTCP.
use crate::arguments::{Get, Range, Status, Watch};
use crate::exit::{Failure, Outcome};
use crate::{config, describe, text};
use gds_client::{Reader, Record, StatusReport};
use gds_wire::query::Key;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads records, all of one state.
pub fn get(arguments: &Get) -> Outcome {
    let network = config::network(&arguments.node)?;
    let table = config::table(&network, &arguments.key.table)?;
    let texts = std::iter::once(&arguments.key.key).chain(&arguments.more);
    let keys = texts.map(|text| text::key(text)).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let asked: Vec<Key<'_>> = keys.iter().map(|key| Key { table, key }).collect();
    let mut reader = config::reader(&arguments.node, &network)?;
    let records = reader.get_all(&asked, arguments.as_of.unwrap_or(0), 0).map_err(Failure::failed)?;
    reader.close();
    let mut absent = Vec::new();
    for (key, record) in keys.iter().zip(&records) {
        match record {
            Some(record) if arguments.node.json => println!("{}", record_json(record)),
            Some(record) => println!("{}  version {}", text::show(&record.value), record.version),
            None if arguments.node.json => {
                println!("{}", json!({ "table": table, "key": text::show(key), "found": false }))
            }
            None => absent.push(text::show(key)),
        }
    }
    if records.iter().all(Option::is_some) {
        return Ok(());
    }
    let told = if arguments.node.json {
        String::new()
    } else {
        format!("no record {} in table {}", absent.join(", "), arguments.key.table)
    };
    Err(Failure::absent(told))
}

fn record_json(record: &Record) -> Value {
    json!({
        "table": record.table, "key": text::show(&record.key), "found": true, "version": record.version,
        "as_of": record.as_of, "value": text::show(&record.value), "value_hex": text::hex(&record.value),
    })
}

/// Reads a part of the stream.
pub fn range(arguments: &Range) -> Outcome {
    let network = config::network(&arguments.node)?;
    let mut reader = config::reader(&arguments.node, &network)?;
    expect(&mut reader, arguments.session.as_deref())?;
    let mut out = Printer::new(arguments.node.json);
    let to = arguments.to.unwrap_or(0);
    reader
        .range(arguments.from, to, &mut |sequence, message| out.print(sequence, message))
        .map_err(Failure::failed)?;
    reader.close();
    out.finish()
}

/// The numbers are those of this session of the stream.
fn expect(reader: &mut Reader, session: Option<&str>) -> Result<(), Failure> {
    let Some(name) = session else { return Ok(()) };
    let session = name.parse().map_err(|error| Failure::usage(format!("--session {name:?}: {error}")))?;
    reader.expect_stream(session);
    Ok(())
}

/// Follows the stream.
pub fn watch(arguments: &Watch) -> Outcome {
    let network = config::network(&arguments.node)?;
    let mut reader = config::reader(&arguments.node, &network)?;
    expect(&mut reader, arguments.session.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Release)).map_err(Failure::failed)?;
    let mut out = Printer::new(arguments.node.json);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(());
    }
    let outcome = reader.watch(
        arguments.from.unwrap_or(0),
        &mut |sequence, message| {
            out.print(sequence, message);
            left -= 1;
            left > 0 && !out.is_closed()
        },
        &mut || !stop.load(Ordering::Acquire),
    );
    reader.close();
    outcome.map_err(Failure::failed)?;
    out.finish()
}

/// Prints bus messages until nobody reads any more.
struct Printer {
    json: bool,
    out: std::io::StdoutLock<'static>,
    error: Option<std::io::Error>,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self { json, out: std::io::stdout().lock(), error: None }
    }

    fn print(&mut self, sequence: u64, message: &[u8]) {
        let described = describe::message(sequence, message);
        let line = if self.json { described.to_string() } else { describe::line(&described) };
        if let Err(error) = writeln!(self.out, "{line}") {
            self.error.get_or_insert(error);
        }
    }

    fn is_closed(&self) -> bool {
        self.error.is_some()
    }

    fn finish(mut self) -> Outcome {
        let flushed = self.out.flush();
        match self.error.map_or(flushed, Err) {
            // Whoever reads our output, such as `head`, has had enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(Failure::failed),
        }
    }
}

/// Shows what a node says of itself.
pub fn status(arguments: &Status) -> Outcome {
    let network = config::network(&arguments.node)?;
    let mut reader = config::reader(&arguments.node, &network)?;
    let report = reader.status(0).map_err(Failure::failed)?;
    reader.close();
    if arguments.node.json {
        println!("{}", status_json(&report))
    } else {
        print_status(&report)
    }
    Ok(())
}

fn status_json(report: &StatusReport) -> Value {
    let status = &report.status;
    let counters: serde_json::Map<String, Value> =
        report.counters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "stream": status.stream.to_string(), "applied": status.applied, "committed": status.committed,
        "published": status.published, "first_kept": status.first_kept, "records": status.records,
        "bytes": status.bytes, "digest": format!("{:032x}", status.digest), "counters": counters,
    })
}

fn print_status(report: &StatusReport) {
    let status = &report.status;
    let number = text::grouped;
    println!("stream      {}", status.stream);
    println!(
        "applied     {:>16}   committed {:>16}   published {:>16}",
        number(status.applied),
        number(status.committed),
        number(status.published)
    );
    println!(
        "first kept  {:>16}   records   {:>16}   bytes     {:>16}",
        number(status.first_kept),
        number(status.records),
        number(status.bytes)
    );
    println!("digest      {:032x}", status.digest);
    for finding in gds_node::standing::troubles(&report.counters) {
        println!("! {finding}");
    }
    let mut set = "";
    for (name, value) in report.counters.iter().filter(|(_, value)| *value > 0) {
        // A set may be named after an address.
        let (of, counter) = name.rsplit_once('.').unwrap_or(("", name));
        if of != set {
            println!("\n{of}");
            set = of;
        }
        println!("  {:<28}{:>16}", counter.replace('_', " "), number(*value));
    }
}
