//! Feeds: what a recorded or an invented trading day looks like as messages, before any socket sees it.
//!
//! No socket, thread or clock is in here; whoever replays a feed owns those.
//!
//! | module | holds |
//! | --- | --- |
//! | [`capture`] | opens a recording (pcap, pcapng, BinaryFILE, gzip of either) and reads it as a stream, in bounded memory |
//! | [`arbitrate`] | datagrams of a recording, in whatever order and however often, to each session's messages in order and once each |
//! | [`pace`] | when a message is due: as recorded, N times as fast, or at once |
//! | [`packetize`] | messages to MoldUDP64 downstream packets |
//! | [`day`] | a seeded, plausible ITCH 5.0 trading day |
//! | [`orders`] | a plain count of live ITCH 5.0 orders, to hold a store against |
#![forbid(unsafe_code)]
pub mod arbitrate;
pub mod capture;
pub mod day;
pub mod orders;
pub mod pace;
pub mod packetize;
#[cfg(test)]
mod recorded;
