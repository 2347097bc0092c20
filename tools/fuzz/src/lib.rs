//! One function per parser of GDS, into which any bytes may be thrown: none may panic, hang or break the rule it checks.
//!
//! Each function is named as its target in [`TARGETS`], as its folder in `corpus/`, and as its program in `libfuzzer/`. The
//! ordinary tests replay the corpora; `libfuzzer/` (a package of its own, for nightly) searches for new inputs. See
//! `docs/FUZZING.md`.
//!
//! Parsers get the bytes as they are. What keeps state (receivers, servers, files) gets them as a [`script::Script`]: the bytes
//! decide what happens next, and most of what they can say is nearly right, since pure noise never gets past a checksum.
#![forbid(unsafe_code)]

mod arbitration;
mod capture;
mod client;
mod config;
mod disk;
mod host;
mod ingress;
mod journal;
mod network;
mod port;
mod receiver;
mod register;
mod rewinder;
mod ring;
pub mod script;
mod server;
mod store;
mod submitter;
mod traffic;
mod wire;

pub use arbitration::arbiter;
pub use capture::capture;
pub use client::soup_client;
pub use config::config;
pub use host::{cores, ethtool, interrupts, profile};
pub use ingress::ingress;
pub use journal::journal;
pub use network::{netlink, packet};
pub use receiver::receiver;
pub use register::register;
pub use rewinder::rewinder;
pub use ring::ring;
pub use server::query_server;
pub use store::store;
pub use submitter::submitter;
pub use wire::{
    acknowledgement, binary_file, declaration, envelope, itch, mold, query_answer, query_request, refusal,
    session, snapshot_frame, soup, transaction,
};

/// What a target does with an input. It panics when something is wrong.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("acknowledgement", acknowledgement),
    ("arbiter", arbiter),
    ("binary_file", binary_file),
    ("capture", capture),
    ("config", config),
    ("cores", cores),
    ("declaration", declaration),
    ("envelope", envelope),
    ("ethtool", ethtool),
    ("ingress", ingress),
    ("interrupts", interrupts),
    ("itch", itch),
    ("journal", journal),
    ("mold", mold),
    ("netlink", netlink),
    ("packet", packet),
    ("profile", profile),
    ("query_answer", query_answer),
    ("query_request", query_request),
    ("query_server", query_server),
    ("receiver", receiver),
    ("refusal", refusal),
    ("register", register),
    ("rewinder", rewinder),
    ("ring", ring),
    ("session", session),
    ("snapshot_frame", snapshot_frame),
    ("soup", soup),
    ("soup_client", soup_client),
    ("store", store),
    ("submitter", submitter),
    ("transaction", transaction),
];
