//! The bus: sessions, ingress, sequencer, publisher, rewinder, gap fill, submission.
//!
//! ```text
//!  Submitter ──ingress group──▶ Ingress ▶ Sequencer ▶ ring, journal ─┬▶ Publisher ──downstream group──▶ Receiver
//!      ▲                                   SessionTable               └▶ Rewinder ◀──request packets───────┘
//!      └──────────── Receiver ◀──acknowledgement group── Publisher ◀ acknowledgement ring ◀ store
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`sessions`] | which client number comes next in which session: a pure function of the stream |
//! | [`admission`] | who may submit, and what happens to gaps |
//! | [`ingress`] | takes every client message once and in order |
//! | [`sequencer`] | gives it its bus number |
//! | [`stream_reader`] | reads a stream from ring, then journal |
//! | [`publisher`] | sends a stream downstream |
//! | [`rewinder`] | answers request packets |
//! | [`far_rewinders`] | asks rewinders elsewhere what they keep |
//! | [`receiver`] | receives a stream, filling gaps |
//! | [`submitter`] | submits a client's blocks until they are acknowledged |
pub mod admission;
pub(crate) mod burst;
pub mod far_rewinders;
mod held;
pub mod ingress;
mod missing;
mod nearest;
mod packet_pool;
pub mod publisher;
pub mod receiver;
pub mod rewinder;
pub mod sequencer;
mod session_map;
pub mod sessions;
pub mod stream_reader;
pub mod submitter;

#[cfg(test)]
pub(crate) mod tests;

pub use admission::{AdmissionRule, GapPolicy, Rerequest, StartAt};
pub use far_rewinders::{FarRewinderCounters, FarRewinders};
pub use ingress::{Hold, Ingress, IngressConfig, IngressCounters, IngressSink, Standing};
pub use nearest::AskedCounters;
pub use publisher::{Publisher, PublisherConfig, PublisherCounters, PublisherError};
pub use receiver::{Receiver, ReceiverConfig, ReceiverCounters};
pub use rewinder::{RewindSource, Rewinder, RewinderConfig, RewinderCounters};
pub use sequencer::{AppendError, Sequencer, SequencerConfig, SequencerCounters, SequencerError};
pub use sessions::{
    NO_SCHEMA, NODE_SESSION, SessionEntry, SessionStep, SessionTable, UNREADABLE_ADVICE,
    unreadable_declaration,
};
pub use stream_reader::{StreamRead, StreamReader, StreamReaderCounters};
pub use submitter::{SubmitError, SubmitEvent, Submitter, SubmitterConfig, SubmitterCounters};
