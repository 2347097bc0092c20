//! Queries over SoupBinTCP: the server's side ([`QueryServer`]) and the client's ([`SoupClient`]), both sans-I/O.
//!
//! # Sessions
//!
//! A login with a blank session opens a new one, whose ten characters the server draws. Answers are its sequenced packets,
//! numbered from 1 and kept ([`answer_log`]); after a broken link the same user resumes at the next number and gets the same
//! bytes, also in the middle of a range. A session is kept until ten minutes after the break or the node's end; then, and when it
//! is another user's, or what was asked for is gone, the login is rejected with `S`. Requested number 0 is the next new answer, one
//! beyond the end is clamped, and the login's answer names the true one (PROTOCOLS A8, rows S2 to S4). [`sessions`] says what
//! happens when there are too many.
//!
//! # Requests
//!
//! Taken in the order in which they come, each whole or not at all ([`engine`]). A request that names a sequence number not yet
//! applied waits aside while others are answered, up to `wait_ns`. Ranges and watches go on in slices, one answer of up to
//! 32,766 bytes per session and turn, so that nobody waits for somebody's long range. Unsequenced data may be lost with a
//! connection: a client asks again after a resume, and a range or watch whose id is still open is not opened twice.
//!
//! # Slow readers
//!
//! Half of a session's log may be unsent. Beyond that its ranges and watches pause and its requests stay where they are; nothing
//! else is affected. If it reads nothing for `slow_reader_ns`, or sends more requests than its buffer holds, the connection is
//! closed and the reason counted ([`QueryCounters`]); the session stays. While a session is not connected nothing of its log is
//! dropped.
//!
//! # Memory
//!
//! All of it is taken at construction, as [`QueryConfig`] says.
//!
//! | file | holds |
//! | --- | --- |
//! | [`server`] | connections, logins, timers, turns |
//! | [`connection`] | bytes received, requests that wait |
//! | [`sessions`] | the table of sessions |
//! | [`answer_log`] | the answers of a session, for resume |
//! | [`engine`] | requests in, answers out |
//! | [`source`], [`node_source`], [`kept_source`] | what is read |
//! | [`users`] | who may read what |
//! | [`client`], [`open_requests`] | the other side |
pub mod answer_log;
pub mod client;
pub mod config;
pub mod connection;
pub mod counters;
pub mod engine;
pub mod kept_source;
pub mod node_source;
pub mod open_requests;
pub mod server;
pub mod sessions;
pub mod source;
mod stream_readers;
#[cfg(test)]
mod tests;
pub mod users;

pub use client::{ClientConfig, ClientCounters, Event, LinkLoss, SoupClient};
pub use config::{QueryConfig, SameUser};
pub use counters::QueryCounters;
pub use engine::CounterSets;
pub use open_requests::RequestId;
pub use server::QueryServer;
pub use users::{Tables, User, Users};
