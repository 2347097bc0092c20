//! The GDS engine, sans-I/O: no socket, thread, clock or file in it.
//!
//! Time, datagrams, stream bytes and disk blocks come in through the traits of [`port`] and [`disk`]; the same code runs on
//! pinned cores (`gds-node`), in unit tests, and in the simulator (`gds-sim`).
//!
//! | module | holds |
//! | --- | --- |
//! | [`memory`] | lock-free structures over shared words: ring, index, record log |
//! | [`journal`] | the older part of a stream on disk: groups, segments, recovery |
//! | [`bus`] | sessions, ingress, sequencer, publisher, rewinder, gap fill, submission |
//! | [`store`] | records, transactions, schemas, outcomes, digests |
//! | [`snapshot`] | the store's state at one sequence number, written while it goes on |
//! | [`query`] | SoupBinTCP sessions and the query engine |
//! | [`label`] | what a data directory says of the journals in it: durability, session names |
//! | [`mutation`] | faults put in on purpose, for the simulator's own test |
//! | [`stages`] | where a message's time goes, stage by stage |
//! | [`agent`] | the duty cycles that join the above over ports and disks |
pub mod agent;
pub mod bus;
pub mod counters;
pub mod cursor;
pub mod disk;
pub mod journal;
pub mod label;
pub mod lookout;
pub mod memory;
pub mod mutation;
pub mod port;
pub mod query;
pub mod random;
pub mod replication;
pub mod snapshot;
pub mod stages;
pub mod store;
pub mod time;
