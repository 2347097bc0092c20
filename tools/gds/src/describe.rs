//! Bus messages as people and scripts read them: one line, or one JSON object.
use crate::text;
use gds_wire::acknowledgement::Acknowledgement;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message};
use gds_wire::itch;
use gds_wire::transaction::Transaction;
use serde_json::{Value, json};

/// A bus message as a JSON object.
pub fn message(sequence: u64, bytes: &[u8]) -> Value {
    let Ok(message) = Message::parse(bytes) else {
        return json!({ "sequence": sequence, "kind": "unreadable", "bytes": text::hex(bytes) });
    };
    let envelope = message.envelope;
    let mut object = json!({
        "sequence": sequence,
        "session": envelope.session.to_string(),
        "client_sequence": envelope.client_sequence(),
        "timestamp_ns": envelope.timestamp_ns(),
        "kind": kind(envelope.kind()),
    });
    let body = match envelope.kind() {
        Kind::Transaction => transaction(message.body),
        Kind::Declare => declaration(message.body),
        Kind::Skip => message.skip().map(|skip| json!({ "from": skip.from(), "to": skip.to() })),
        Kind::Void => message.void().map(|void| {
            json!({ "reason": envelope.reason().to_string(), "length": void.length(), "checksum": void.checksum() })
        }),
        Kind::EndOfSession | Kind::EndOfStream => None,
    };
    if let Some(body) = body {
        object["body"] = body;
    }
    object
}

/// What a journal holds under a number: an acknowledgement where it has the size of one, else a bus message. (The envelope of a
/// bus message alone is longer than an acknowledgement.)
pub fn journalled(sequence: u64, bytes: &[u8]) -> Value {
    match Acknowledgement::parse(bytes) {
        Ok(acknowledgement) => json!({
            "sequence": sequence,
            "session": acknowledgement.session.to_string(),
            "client_sequence": acknowledgement.client_sequence(),
            "kind": "acknowledgement",
            "body": { "outcome": acknowledgement.outcome().to_string(), "checksum": acknowledgement.checksum() },
        }),
        Err(_) => message(sequence, bytes),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Transaction => "transaction",
        Kind::EndOfSession => "end of session",
        Kind::Skip => "skip",
        Kind::Declare => "declaration",
        Kind::Void => "void",
        Kind::EndOfStream => "end of stream",
    }
}

/// A client's block: a native transaction or an ITCH 5.0 message where it parses as one, else its bytes. Which schema the
/// stream reads it with is not known here, so this is a reading aid and no statement about what the store did.
fn transaction(block: &[u8]) -> Option<Value> {
    if let Ok(transaction) = Transaction::parse(block) {
        let operations: Vec<Value> = transaction
            .operations()
            .map(|operation| {
                json!({
                    "operation": format!("{:?}", operation.kind).to_lowercase(),
                    "table": operation.table,
                    "key": text::show(operation.key),
                    "value": text::show(operation.value),
                    "expected_version": operation.expected,
                })
            })
            .collect();
        return Some(json!({ "operations": operations }));
    }
    Some(match itch::parse(block) {
        Ok(message) => itch_message(&message),
        Err(_) => json!({ "bytes": text::hex(block) }),
    })
}

fn itch_message(message: &itch::Message<'_>) -> Value {
    let letter = char::from(message.prefix().kind).to_string();
    let add = |order: &itch::AddOrder| {
        json!({
            "itch": letter, "what": "add", "reference": order.reference.get(), "side": char::from(order.side).to_string(),
            "shares": order.shares.get(), "stock": text::show(&order.stock).trim_end(), "price": price(order.price.get()),
        })
    };
    match message {
        itch::Message::SystemEvent(event) => {
            json!({ "itch": letter, "what": "system event", "event": char::from(event.event).to_string() })
        }
        itch::Message::StockDirectory(stock) => {
            json!({ "itch": letter, "what": "stock", "stock": text::show(&stock.stock).trim_end() })
        }
        itch::Message::AddOrder(order) => add(order),
        itch::Message::AddOrderMpid(order) => add(&order.order),
        itch::Message::Executed(executed) => executed_shares(&letter, executed),
        itch::Message::ExecutedWithPrice(message) => executed_shares(&letter, &message.executed),
        itch::Message::Cancel(cancel) => {
            let (reference, shares) = (cancel.reference.get(), cancel.shares.get());
            json!({ "itch": letter, "what": "cancel", "reference": reference, "shares": shares })
        }
        itch::Message::Delete(delete) => {
            json!({ "itch": letter, "what": "delete", "reference": delete.reference.get() })
        }
        itch::Message::Replace(replace) => json!({
            "itch": letter, "what": "replace", "reference": replace.old_reference.get(),
            "new_reference": replace.new_reference.get(), "shares": replace.shares.get(), "price": price(replace.price.get()),
        }),
        itch::Message::Other { bytes, .. } => json!({ "itch": letter, "bytes": text::hex(bytes) }),
    }
}

fn executed_shares(letter: &str, executed: &itch::Executed) -> Value {
    let (reference, shares) = (executed.reference.get(), executed.shares.get());
    json!({ "itch": letter, "what": "execute", "reference": reference, "shares": shares })
}

fn price(price: u32) -> String {
    format!("{}.{:04}", price / itch::PRICE_SCALE, price % itch::PRICE_SCALE)
}

fn declaration(body: &[u8]) -> Option<Value> {
    let declaration = Declaration::parse(body).ok()?;
    let limits = &declaration.limits;
    Some(json!({
        "records_max": limits.records_max,
        "bytes_max": limits.bytes_max,
        "sessions_max": limits.sessions_max,
        "horizon_messages": limits.horizon_messages,
        "tables": declaration.tables.iter().map(|table| json!({ "id": table.table, "name": table.name.as_str() })).collect::<Vec<_>>(),
        "schemas": declaration.schemas.iter()
            .map(|schema| json!({ "pattern": schema.pattern.to_string(), "schema": format!("{:?}", schema.schema) }))
            .collect::<Vec<_>>(),
    }))
}

/// The same object as one line for a person.
pub fn line(message: &Value) -> String {
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let sender = match (message["session"].as_str(), message["client_sequence"].as_u64()) {
        (Some(session), Some(sequence)) => format!("{session}/{sequence}"),
        _ => String::new(),
    };
    let mut line = format!("{:>10}  {sender:<22} {:<14}", message["sequence"], text("kind"));
    if let Some(operations) = message["body"]["operations"].as_array() {
        for operation in operations {
            line += &format!(" {}", words(operation));
        }
    } else if message["body"].is_object() {
        line += &format!(" {}", words(&message["body"]));
    } else if let Some(bytes) = message["bytes"].as_str() {
        line += &format!(" {bytes}");
    }
    line.trim_end().to_owned()
}

/// `key value` pairs of an object, without what is empty.
fn words(object: &Value) -> String {
    let Some(fields) = object.as_object() else { return object.to_string() };
    let pair = |(name, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(format!("{name}={text}")),
        other => Some(format!("{name}={other}")),
    };
    fields.iter().filter_map(pair).collect::<Vec<_>>().join(" ")
}
