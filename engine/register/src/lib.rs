//! The register of a cluster: one value that says who leads, swapped as a whole and compared by its revision.
//!
//! | module | holds |
//! | --- | --- |
//! | [`lock_file`] | the register of a single machine: a file |
//! | [`etcd`] | the register of several machines: a key of etcd |
//! | [`shared`] | a register in memory, for tests |
//! | [`keeper`] | the thread that asks a register for a node, whose pinned core never waits for it |
//! | [`value`] | the value as text |
//! | [`error`] | what can go wrong |
//!
//! A [`Register`] blocks, each call for a bounded time. A node asks through a [`keeper::KeeperPort`]; a person's command may call it directly.
//!
//! **No answer is no answer.** A call that fails may have done what it was asked to, or the request may still be under way:
//! [`RegisterError::may_have_happened`] says so. Then only a newer revision tells what became of it (rule R2 of `docs/FAILOVER.md`).
#![forbid(unsafe_code)]
pub mod error;
pub mod etcd;
pub mod keeper;
pub mod lock_file;
pub mod shared;
pub mod value;

pub use error::RegisterError;
pub use etcd::{Etcd, EtcdConfig};
pub use keeper::{Keeper, KeeperPort};
pub use lock_file::LockFile;
pub use shared::SharedRegister;

use gds_core::replication::{RegisterAnswer, RegisterRequest, RegisterState, RegisterValue};
use std::path::PathBuf;

/// A register.
pub trait Register {
    /// What it holds.
    fn read(&mut self) -> Result<RegisterState, RegisterError>;

    /// Makes it hold `value` if it still is at `revision` (0: if it never held anything).
    fn swap(&mut self, revision: u64, value: &RegisterValue) -> Result<SwapAnswer, RegisterError>;

    /// Does what is asked; the answer is never [`RegisterAnswer::Silence`].
    fn serve(&mut self, request: &RegisterRequest) -> Result<RegisterAnswer, RegisterError> {
        match request {
            RegisterRequest::Read => self.read().map(RegisterAnswer::Holds),
            RegisterRequest::Swap { revision, value } => {
                self.swap(*revision, value).map(|answer| match answer {
                    SwapAnswer::Swapped(revision) => RegisterAnswer::Swapped(revision),
                    SwapAnswer::Holds(state) => RegisterAnswer::Holds(state),
                })
            }
        }
    }
}

/// The answer to a swap.
#[expect(clippy::large_enum_variant, reason = "it is made seldom, and never kept")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapAnswer {
    /// Done; this is its revision now.
    Swapped(u64),
    /// Not done: it is at another revision.
    Holds(RegisterState),
}

/// Which register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterConfig {
    /// A file; see [`LockFile`].
    File(PathBuf),
    /// A key of etcd.
    Etcd(EtcdConfig),
}

/// Opens a register. Nothing is asked of it yet: it need not be there.
///
/// # Errors
/// When the configuration cannot be used, or a file that it names cannot be read.
pub fn open(config: &RegisterConfig) -> Result<Box<dyn Register + Send>, RegisterError> {
    Ok(match config {
        RegisterConfig::File(path) => Box::new(LockFile::new(path)),
        RegisterConfig::Etcd(config) => Box::new(Etcd::new(config)?),
    })
}
