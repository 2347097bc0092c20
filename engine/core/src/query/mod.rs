//! x
pub mod answer_log;
pub mod client;
pub mod config;
pub mod connection;
pub mod counters;
pub mod engine;
pub mod open_requests;
pub mod server;
pub mod sessions;
pub mod source;
pub mod users;

pub use client::{ClientConfig, ClientCounters, Event, LinkLoss, SoupClient};
pub use config::{QueryConfig, SameUser};
pub use counters::QueryCounters;
pub use engine::CounterSets;
pub use open_requests::RequestId;
pub use server::QueryServer;
pub use users::{Tables, User, Users};
#[cfg(test)]
mod tests;
