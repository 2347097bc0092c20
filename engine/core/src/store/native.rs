//! GDS's own schema: transactions of insert, modify, put, delete and check.
use super::execution::Execution;
use gds_wire::acknowledgement::Outcome;
use gds_wire::transaction::{Operation, OperationKind, Transaction};

/// Executes a transaction. Anything but [`Outcome::Applied`] and [`Outcome::NoOperation`] means that the
/// caller undoes what was done so far: the first operation that cannot be done decides the outcome of all.
pub(super) fn execute(transaction: &Transaction<'_>, execution: &mut Execution<'_>) -> Outcome {
    let mut changes = false;
    for operation in transaction.operations() {
        if let Err(outcome) = execute_operation(&operation, execution) {
            return outcome;
        }
        changes |= operation.kind != OperationKind::Check;
    }
    if changes { Outcome::Applied } else { Outcome::NoOperation }
}

/// The records that [`execute`] looks up.
#[inline(always)]
pub(super) fn keys(transaction: &Transaction<'_>, mut key: impl FnMut(u16, &[u8])) {
    for operation in transaction.operations() {
        key(operation.table, operation.key);
    }
}

fn execute_operation(operation: &Operation<'_>, execution: &mut Execution<'_>) -> Result<(), Outcome> {
    let found = execution.find(operation.table, operation.key)?;
    let version = found.version();
    match operation.kind {
        OperationKind::Insert if version.is_some() => return Err(Outcome::Exists),
        OperationKind::Modify | OperationKind::Delete if version.is_none() => return Err(Outcome::Missing),
        OperationKind::Check if version.is_none() && operation.expected != Some(0) => {
            return Err(Outcome::Missing);
        }
        _ => {}
    }
    if operation.expected.is_some_and(|expected| expected != version.unwrap_or(0)) {
        return Err(Outcome::VersionMismatch);
    }
    match operation.kind {
        OperationKind::Insert | OperationKind::Modify | OperationKind::Put => {
            execution.write(&found, operation.key, operation.value)
        }
        OperationKind::Delete => {
            execution.delete(&found, operation.key);
            Ok(())
        }
        OperationKind::Check => Ok(()),
    }
}
