//! Clients of a GDS node, for programs.
//!
//! | type | does |
//! | --- | --- |
//! | [`Listener`] | follows a stream by multicast, with gap fill |
//! | [`Writer`] | submits transactions until they are acknowledged |
//! | [`Reader`] | asks over SoupBinTCP: get, range, watch, status, running checksum |
//!
//! None of them starts a thread: whoever has one calls `poll` again and again (that is how it gets microseconds), or one of
//! the waiting calls. The protocol work is that of `gds-core`; here it meets sockets.
#![forbid(unsafe_code)]
mod listener;
mod network;
mod reader;
mod writer;

pub use listener::{Listener, ListenerConfig};
pub use network::{ClientError, Network};
pub use reader::{Reader, Record, StatusReport, StreamChecksum};
pub use writer::{Writer, draw_session};
