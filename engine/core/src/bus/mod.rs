//! The bus: sessions, ingress, sequencer, publisher, rewinder, gap fill, submission.
mod missing;
mod packet_pool;
pub mod receiver;
mod session_map;
pub mod sessions;

pub use receiver::{Receiver, ReceiverConfig, ReceiverCounters};
pub use sessions::{NO_SCHEMA, NODE_SESSION, SessionEntry, SessionStep, SessionTable};
