//! The register of a single machine: a file.
//!
//! The file is JSON that a person can read, [the value](crate::value) with its revision. It is never written in place: a swap takes the lock,
//! writes `PATH.new`, syncs it, renames it over the file, and syncs the directory. So whoever dies in the middle leaves the old value or the
//! new one, and nobody ever sees a value that a power cut could take back. The lock is an `flock` on `PATH.lock`; it goes with the process that
//! holds it, however that ends. A process that is frozen while it holds it (for the time of one write) holds up the others until it goes on or is
//! killed.
//!
//! Not for a network file system, where locks and renames of several machines need not mean the same: that is what [`etcd`](crate::etcd) is for.
use crate::value::{self, ValueText};
use crate::{Register, RegisterError, SwapAnswer};
use gds_core::replication::{RegisterState, RegisterValue};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for the lock.
const LOCK_WAIT: Duration = Duration::from_millis(200);
/// Between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_micros(500);

/// The file's text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    revision: u64,
    value: ValueText,
}

/// The greatest revision: one swap each microsecond would need centuries.
const REVISION_MAX: u64 = 1 << 53;

/// What a register's file holds, with its revision.
///
/// # Errors
/// With what is wrong with it.
pub fn read(text: &[u8]) -> Result<RegisterState, String> {
    let text = parse(text)?;
    Ok(RegisterState { revision: text.revision, value: Some(text.value.value()?) })
}

fn parse(text: &[u8]) -> Result<FileText, String> {
    value::check_length(text.len())?;
    let text: FileText = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !(1..=REVISION_MAX).contains(&text.revision) {
        return Err(format!("revision = {}: they go from 1 to {REVISION_MAX}", text.revision));
    }
    Ok(text)
}

/// All of a file, or of one that is too long so much that it shows.
fn read_text(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(value::TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// A register in a file.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    lock: PathBuf,
    new: PathBuf,
}

impl LockFile {
    /// The register at `path`, which need not be there yet; its directory must be.
    pub fn new(path: &Path) -> Self {
        let beside = |extension: &str| {
            let mut name = OsString::from(path);
            name.push(extension);
            PathBuf::from(name)
        };
        Self { path: path.to_owned(), lock: beside(".lock"), new: beside(".new") }
    }

    /// Takes the lock; it is given back when the file is closed.
    fn locked(&self) -> Result<File, RegisterError> {
        let failed = |cause| error("lock", &self.lock, cause);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.lock)
            .map_err(failed)?;
        let begin = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
                Err(TryLockError::WouldBlock) if begin.elapsed() >= LOCK_WAIT => {
                    return Err(RegisterError::Locked { path: self.lock.clone(), waited: LOCK_WAIT });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            }
        }
    }

    /// What the file holds, and will hold after a power cut; the lock is ours.
    fn state(&self) -> Result<RegisterState, RegisterError> {
        // Who replaced it may have died before that was sure to stay.
        self.sync_directory(false)?;
        let text = match File::open(&self.path).and_then(read_text) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(RegisterState { revision: 0, value: None });
            }
            Err(cause) => return Err(error("read", &self.path, cause)),
        };
        let damaged = |why| RegisterError::Damaged { place: self.path.display().to_string(), why };
        let text = parse(&text).map_err(damaged)?;
        Ok(RegisterState { revision: text.revision, value: Some(text.value.value().map_err(damaged)?) })
    }

    /// Puts a new file in the place of the old one; the lock is ours.
    fn replace(&self, text: &FileText) -> Result<(), RegisterError> {
        let mut bytes = serde_json::to_vec_pretty(text).expect("numbers and strings are JSON");
        bytes.push(b'\n');
        let write = || {
            let mut file = File::create(&self.new)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().map_err(|cause| error("write", &self.new, cause))?;
        fs::rename(&self.new, &self.path).map_err(|cause| error("replace", &self.path, cause))
    }

    fn sync_directory(&self, swap_in_doubt: bool) -> Result<(), RegisterError> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let sync = || File::open(directory)?.sync_all();
        let doing = "sync the directory of";
        sync().map_err(|cause| RegisterError::File { doing, path: self.path.clone(), cause, swap_in_doubt })
    }
}

impl Register for LockFile {
    fn read(&mut self) -> Result<RegisterState, RegisterError> {
        let _lock = self.locked()?;
        self.state()
    }

    fn swap(&mut self, revision: u64, value: &RegisterValue) -> Result<SwapAnswer, RegisterError> {
        let _lock = self.locked()?;
        let state = self.state()?;
        if state.revision != revision {
            return Ok(SwapAnswer::Holds(state));
        }
        let revision = revision.checked_add(1).filter(|next| *next <= REVISION_MAX).ok_or_else(|| {
            RegisterError::Damaged {
                place: self.path.display().to_string(),
                why: format!("revision = {revision}: there is none behind it"),
            }
        })?;
        self.replace(&FileText { revision, value: ValueText::from(value) })?;
        self.sync_directory(true)?;
        Ok(SwapAnswer::Swapped(revision))
    }
}

/// The file could not be used, and nothing has changed.
fn error(doing: &'static str, path: &Path, cause: io::Error) -> RegisterError {
    RegisterError::File { doing, path: path.to_owned(), cause, swap_in_doubt: false }
}
