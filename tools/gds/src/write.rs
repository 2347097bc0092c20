//! `gds put` and `delete`: one transaction, and its acknowledgement.
use crate::arguments::{Delete, NodeAddress, Put};
use crate::exit::{Failure, Outcome};
use crate::{config, text};
use gds_client::{ListenerConfig, Network, Writer, draw_session};
use gds_core::agent::start::acknowledgement_session;
use gds_core::bus::SubmitterConfig;
use gds_wire::acknowledgement::Outcome as Acknowledged;
use gds_wire::envelope::max_block_bytes;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use serde_json::json;

/// Inserts or replaces a record.
pub fn put(arguments: &Put) -> Outcome {
    let network = config::network(&arguments.node)?;
    let key = text::key(&arguments.key.key).map_err(Failure::usage)?;
    let value = text::value(&arguments.value).map_err(Failure::usage)?;
    let operation = Operation {
        kind: OperationKind::Put,
        table: config::table(&network, &arguments.key.table)?,
        key: &key,
        value: &value,
        expected: expected(arguments.expect.as_deref())?,
    };
    submit(&network, &arguments.node, &operation)
}

/// Deletes a record.
pub fn delete(arguments: &Delete) -> Outcome {
    let network = config::network(&arguments.node)?;
    let key = text::key(&arguments.key.key).map_err(Failure::usage)?;
    let operation = Operation {
        kind: OperationKind::Delete,
        table: config::table(&network, &arguments.key.table)?,
        key: &key,
        value: &[],
        expected: expected(arguments.expect.as_deref())?,
    };
    submit(&network, &arguments.node, &operation)
}

fn expected(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        None => Ok(None),
        Some("new") => Ok(Some(0)),
        Some(number) => number.parse().map(Some).map_err(|_| {
            Failure::usage(format!("--expect {number:?}: a version (a sequence number), or `new`"))
        }),
    }
}

fn submit(network: &Network, node: &NodeAddress, operation: &Operation<'_>) -> Outcome {
    let room = max_block_bytes(network.config().network.max_payload_bytes);
    let mut buffer = vec![0; room];
    let mut builder = TransactionBuilder::new(&mut buffer);
    builder.push(operation).map_err(|error| {
        Failure::usage(format!(
            "{error} (key and value of one message may have about {} bytes together)",
            room - 18
        ))
    })?;
    let length = builder.finish();

    // The place in the acknowledgements is asked for first, so that the outcome cannot be missed.
    let mut reader = config::reader(node, network)?;
    let status = reader.status(0).map_err(Failure::failed)?.status;
    reader.close();
    let listening = ListenerConfig {
        session: Some(acknowledgement_session(status.stream)),
        next: status.applied + 1,
        ..ListenerConfig::acknowledgements(network)
    };
    let submitting = SubmitterConfig::new(draw_session("CLI"), network.addresses().ingress[0]);
    let mut writer = Writer::with(network, submitting, listening).map_err(Failure::failed)?;
    let timeout = config::timeout(node)?;
    let (sequence, outcome) = writer.submit_and_wait(&buffer[..length], timeout).map_err(Failure::failed)?;
    // The session has done its work; its name may be forgotten.
    writer.end();
    let deadline = std::time::Instant::now() + timeout;
    while !writer.finished() && std::time::Instant::now() < deadline {
        writer.poll(&mut |_| {});
        std::thread::yield_now();
    }
    if node.json {
        println!(
            "{}",
            json!({ "sequence": sequence, "outcome": outcome.to_string(), "applied": outcome == Acknowledged::Applied })
        );
    } else {
        println!("{outcome}  sequence number {sequence}");
    }
    if outcome.is_success() {
        Ok(())
    } else {
        Err(Failure::failed(if node.json { String::new() } else { format!("not done: {outcome}") }))
    }
}
