//! Load: on a node through the client library, as any user's program would bring it; and on a store by itself.
mod query;
mod store;
mod transactions;

pub use query::Queries;
pub use store::InProcess;
pub use transactions::Transactions;
