//! Two revisions compared on a noisy machine: is one slower, and how sure is that?
//!
//! ```text
//! revision A ─▶ worktree ─▶ gds ─┐  measured in turn, A B, B A, A B ...
//!                                ├─▶ pairs (a, b) of each metric ─▶ ratio b / a, its interval, verdict
//! revision B ─▶ worktree ─▶ gds ─┘  until the verdict stands
//! ```
//!
//! What disturbs a machine disturbs both halves of a pair, and the order within pairs alternates, so that a drift cancels out. [`pairs`] has the
//! statistics, [`build`] the builds, [`metrics`] what is measured; [`driver`] joins them, [`command`] is `gds bench ab`.
pub mod build;
pub mod command;
pub mod driver;
pub mod metrics;
pub mod pairs;

pub use driver::{Metric, Outcome, compare_binaries, text};
pub use pairs::{Comparison, Direction, Verdict};
