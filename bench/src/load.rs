//! Load on a node, through the client library: as any user's program would bring it.
mod query;
mod transactions;

pub use query::Queries;
pub use transactions::Transactions;
