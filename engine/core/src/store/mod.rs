//! The store: records, transactions, schemas, outcomes.
