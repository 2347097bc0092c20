//! Numbered files in one directory, written in whole blocks, asynchronously, durable when asked.
//!
//! | backend | a write | a durable write |
//! | --- | --- | --- |
//! | io_uring | direct I/O past the page cache, in flight while the thread goes on | the same with `RWF_DSYNC`, or followed by `fdatasync` |
//! | plain | into the page cache at once (write-behind); the kernel brings it to the disk | waits for the disk |
//!
//! Files are made by a thread of the directory's own, since that takes a disk tens of milliseconds.
//!
//! A durable write is complete when it would survive a power cut. Completions come in the order of submission.
mod directory;
mod maker;
mod plain;
#[cfg(test)]
mod tests;
mod uring;

pub use directory::{Backend, Directory, DirectoryConfig, Fill};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Unit of offsets and lengths, and alignment of buffers.
pub const BLOCK_BYTES: usize = 4096;

/// Why something failed on a file or directory.
#[derive(Debug)]
pub enum FileError {
    /// The file system is full, or the user's quota is. The only error that passes by itself.
    Full {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Anything else.
    Failed {
        /// What was attempted.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// io_uring was required and is not to be had.
    NoUring {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
        /// What would help.
        advice: String,
    },
}

impl FileError {
    /// The error for a failed operation on `path`.
    pub(crate) fn new(operation: &'static str, path: &Path, cause: io::Error) -> Self {
        let path = path.to_path_buf();
        match cause.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Full { path, cause },
            _ => Self::Failed { operation, path, cause },
        }
    }

    /// Is it for lack of room?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { path, cause } => {
                write!(f, "no room for {}: {cause}; free space on its file system (`df {0}`)", path.display())
            }
            Self::Failed { operation, path, cause } => {
                let advice = match cause.raw_os_error() {
                    Some(libc::EACCES | libc::EPERM) => "; check its owner and permissions",
                    Some(libc::EIO) => "; the disk is failing: see `dmesg`",
                    Some(libc::EROFS) => {
                        "; its file system is mounted read-only, often after a disk fault: see `dmesg`"
                    }
                    Some(libc::ENOENT) => "; it was removed, or its directory does not exist",
                    Some(libc::EFBIG) => "; raise LimitFSIZE (ulimit -f)",
                    _ => "",
                };
                write!(f, "cannot {operation} {}: {cause}{advice}", path.display())
            }
            Self::NoUring { path, cause, advice } => {
                write!(f, "io_uring for files in {}: {cause}; {advice}", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {}

/// A finished write: its buffer, given back, and how it went.
pub(crate) type Finished<B> = (B, io::Result<()>);
