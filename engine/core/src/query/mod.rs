//! x
pub mod answer_log;
pub mod config;
pub mod connection;
pub mod counters;
pub mod engine;
pub mod server;
pub mod sessions;
pub mod source;
pub mod users;

pub use config::{QueryConfig, SameUser};
pub use counters::QueryCounters;
pub use engine::CounterSets;
pub use server::QueryServer;
pub use users::{Tables, User, Users};
#[cfg(test)]
mod tests;
