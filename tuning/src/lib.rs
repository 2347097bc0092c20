//! Host tuning: what a host should be set to for a node, what it is set to, and how to change it and back.
//!
//! | module | holds |
//! | --- | --- |
//! | [`host`] | [`Host`]: this machine, or a tree that has the files of one |
//! | [`wanted`] | [`Wanted`]: what the node will do there |
//! | [`profile`] | [`Profile`]: which items matter, what they should be, which may be changed |
//! | [`item`], [`items`] | one thing that is looked at; the table of all of them |
//! | [`check`](mod@check) | [`check()`]: every item of a profile, judged |
//! | [`knob`] | what can be set, and how it is read, written and said to a shell |
//! | [`plan`] | the changes as a shell script |
//! | [`apply`](mod@apply) | making the changes, and undoing them |
//! | [`state`] | what was there before, on disk before the change is made |
//! | [`measure`](mod@measure) | how long a pinned thread is kept from running, and by which interrupts |
//! | [`files`] | what to install for the next start of the host |
//! | [`cores`], [`interrupts`], [`threads`], [`ethtool`] | what the kernel and ethtool print, read |
//!
//! The plan is what is applied: both walk over [`Report::changes`]. Nothing here prints; `gds tune` does.
pub mod apply;
pub mod check;
pub mod cores;
pub mod ethtool;
pub mod files;
pub mod host;
pub mod interrupts;
pub mod item;
pub mod items;
pub mod knob;
pub mod measure;
pub mod plan;
pub mod profile;
pub mod state;
pub mod threads;
pub mod wanted;

pub use check::{Report, check};
pub use cores::Cores;
pub use host::Host;
pub use profile::Profile;
pub use wanted::Wanted;
