//! The model's reading of native transactions.
use super::records::{Key, Records};
use gds_wire::acknowledgement::Outcome;
use gds_wire::transaction::{Operation, OperationKind, Transaction};

pub(super) fn execute(block: &[u8], records: &mut Records) -> Outcome {
    let Ok(transaction) = Transaction::parse(block) else { return Outcome::Malformed };
    let mut outcome = Outcome::NoOperation;
    for operation in transaction.operations() {
        match execute_one(&operation, records) {
            Ok(true) => outcome = Outcome::Applied,
            Ok(false) => {}
            Err(outcome) => return outcome,
        }
    }
    outcome
}

/// Whether it changes anything.
fn execute_one(operation: &Operation<'_>, records: &mut Records) -> Result<bool, Outcome> {
    use OperationKind::{Check, Delete, Insert, Modify, Put};
    if !records.is_declared(operation.table) {
        return Err(Outcome::UnknownTable);
    }
    let key: Key = (operation.table, operation.key.to_vec());
    let version = records.live(&key).map(|(version, _)| version);
    let absence_expected = operation.kind == Check && operation.expected == Some(0);
    match (operation.kind, version) {
        (Insert, Some(_)) => return Err(Outcome::Exists),
        (Modify | Delete | Check, None) if !absence_expected => return Err(Outcome::Missing),
        _ => {}
    }
    if operation.expected.is_some_and(|expected| expected != version.unwrap_or(0)) {
        return Err(Outcome::VersionMismatch);
    }
    match operation.kind {
        Insert | Modify | Put => records.write(&key, operation.value)?,
        Delete => records.delete(&key),
        Check => return Ok(false),
    }
    Ok(true)
}
