//! Where a node's files in memory are: its ring, and its stages.
//!
//! ```text
//!  stream.ring_directory/gds-1000/         of user 1000 alone (mode 0700)
//!      4f0c...9a.ring                      the ring of the node whose directory has this id
//!      4f0c...9a.stages                    its stages, while it runs
//!      4f0c...9a.directory                 where that directory was at the node's last start
//! ```
//!
//! `stream.ring_directory` is everybody's, mostly. So a node keeps to a folder of its own user, which it looks at before it believes it
//! ([`gds_nic::Folder`]).
use crate::config::Config;
use crate::identity::{Found, Identity, hex};
use gds_core::agent::Fault;
use gds_core::memory::ring::Ring;
use gds_core::memory::words::{HeapWords, SharedWords, WORD_BYTES};
use gds_nic::folder::{Folder, open_to_read};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const RING: &str = "ring";
const STAGES: &str = "stages";
const DIRECTORY: &str = "directory";
/// Files of the folder that a start looks at, at most.
const LOOKED_AT_MAX: usize = 10_000;
/// Rings without a directory that a start names, at most.
const NAMED_MAX: usize = 8;
/// Longest path that is read.
const PATH_BYTES_MAX: u64 = 4096;

/// The folder of a user's nodes.
pub fn folder_of(config: &Config, user: u32) -> PathBuf {
    config.stream.ring_directory.join(format!("gds-{user}"))
}

/// The ring file of the node of this configuration.
///
/// # Errors
/// When its directory has no id of its own.
pub fn ring_file(config: &Config) -> Result<PathBuf, Fault> {
    memory_file(config, RING)
}

/// All files in memory that the node of this configuration may have: for whoever clears up behind it.
pub fn files(config: &Config) -> Vec<PathBuf> {
    [RING, STAGES, DIRECTORY].into_iter().filter_map(|kind| memory_file(config, kind).ok()).collect()
}

/// Whether the node of this configuration lost its ring file under this boot of the machine, and has everything acknowledged in its journal since.
pub fn does_without_ring(config: &Config, boot_id: [u8; 16]) -> bool {
    let found = Identity::read(&config.stream.directory);
    matches!(found, Ok(Found::Own(identity)) if identity.without_ring == Some(boot_id))
}

/// The file in which that node keeps its stages.
///
/// # Errors
/// As [`ring_file`].
pub fn stages_file(config: &Config) -> Result<PathBuf, Fault> {
    memory_file(config, STAGES)
}

fn memory_file(config: &Config, kind: &str) -> Result<PathBuf, Fault> {
    let directory = &config.stream.directory;
    match Identity::read(directory)? {
        Found::Own(identity) => {
            Ok(folder_of(config, identity.owner).join(format!("{}.{kind}", hex(identity.id))))
        }
        Found::None | Found::Copied(_) => Err(Fault(format!(
            "stream.directory = {}: no node has been started there, or it is a copy of another node's",
            directory.display()
        ))),
    }
}

/// Bytes that the ring in this file takes, as its header says; `None` where it has none that can be believed.
pub(crate) fn bytes_of_ring(path: &Path) -> Option<usize> {
    let header = copy(path, (Ring::HEADER_WORDS * WORD_BYTES) as u64).ok()?;
    Ring::words_of(header.words()).map(|words| words * WORD_BYTES)
}

/// A copy of a ring file, as of now: of what its header says that the ring takes.
pub fn copy_of_ring(path: &Path) -> io::Result<SharedWords> {
    let bytes = bytes_of_ring(path).unwrap_or(Ring::HEADER_WORDS * WORD_BYTES);
    copy(path, bytes as u64)
}

/// A copy of the beginning of a memory file, as of now.
pub(crate) fn copy(path: &Path, bytes_max: u64) -> io::Result<SharedWords> {
    let mut bytes = Vec::new();
    open_to_read(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<WORD_BYTES>();
    let copy = HeapWords::shared(words.len());
    for (word, bytes) in copy.words().iter().zip(words) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    Ok(copy)
}

/// A node's folder in memory, and who it is there.
#[derive(Debug)]
pub struct OwnFolder {
    /// The folder.
    pub folder: Folder,
    /// Of the node's directory.
    pub identity: Identity,
    /// What an operator should know of it.
    pub notes: Vec<String>,
}

impl OwnFolder {
    /// Finds out who the node's directory is, or draws it an id, and opens the folder. The directory must be the caller's.
    ///
    /// # Errors
    /// When the id is damaged or cannot be kept, or the folder is none of this user's own.
    pub fn open(config: &Config) -> Result<Self, Fault> {
        let directory = &config.stream.directory;
        let mut notes = Vec::new();
        let identity = match Identity::read(directory)? {
            Found::Own(identity) => identity,
            Found::None => Identity::draw(directory)?,
            Found::Copied(original) => {
                notes.push(format!(
                    "stream.directory = {} is a copy of the directory with the id {}: it has an id of its own from here on, and has no part in the \
                     original's ring. A directory is whole without its ring only where its node was stopped in order before it was copied",
                    directory.display(),
                    hex(original.id)
                ));
                Identity::draw(directory)?
            }
        };
        let user = gds_nic::folder::user();
        let elsewhere = folder_of(config, identity.owner).join(format!("{}.{RING}", hex(identity.id)));
        if identity.owner != user && elsewhere.exists() {
            return Err(Fault(format!(
                "stream.directory = {} is that of a node of user {}, whose ring is {}, and this is user {user}: run it as that user",
                directory.display(),
                identity.owner,
                elsewhere.display()
            )));
        }
        let folder = Folder::open(&folder_of(config, user)).map_err(|error| {
            Fault(format!("stream.ring_directory = {}: {error}", config.stream.ring_directory.display()))
        })?;
        let own = Self { folder, identity, notes };
        own.say_where(directory)?;
        Ok(own)
    }

    /// The name of one of its files.
    fn name(&self, kind: &str) -> String {
        format!("{}.{kind}", hex(self.identity.id))
    }

    /// The name of the ring file.
    pub fn ring(&self) -> String {
        self.name(RING)
    }

    /// Where the ring file is.
    pub fn ring_path(&self) -> PathBuf {
        self.folder.path().join(self.ring())
    }

    /// The name of the stages' file.
    pub fn stages(&self) -> String {
        self.name(STAGES)
    }

    /// Notes where the directory is, for whoever finds the ring alone.
    fn say_where(&self, directory: &Path) -> Result<(), Fault> {
        let whole = fs::canonicalize(directory)
            .map_err(|error| Fault(format!("stream.directory = {}: {error}", directory.display())))?;
        let name = self.name(DIRECTORY);
        let path = self.folder.path().join(&name);
        let mut file = self.folder.file(&name).map_err(|error| Fault(error.to_string()))?;
        file.set_len(0)
            .and_then(|()| file.write_all(whole.as_os_str().as_bytes()))
            .map_err(|error| Fault(format!("{}: {error}", path.display())))
    }

    /// In one line, the rings of this user's whose directory is not where it was: they take memory, and nobody finds them any more.
    pub fn orphans(&self) -> Option<String> {
        let entries = fs::read_dir(self.folder.through(".")).ok()?;
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let names = entries.take(LOOKED_AT_MAX).flatten().map(|entry| PathBuf::from(entry.file_name()));
        let own = self.ring();
        let rings = names.filter(|name| name.extension().is_some_and(|kind| kind == RING));
        let orphan = |name: PathBuf| {
            if name.as_os_str() == own.as_str() {
                return None;
            }
            let path = self.folder.through(name.to_str()?);
            let about = fs::symlink_metadata(&path).ok()?;
            // One that a running node has is nobody's to remove.
            let is_held = locks.contains(&format!(":{} ", about.ino()));
            let directory = directory_of(&path)?;
            let found = Identity::read(&directory).ok()?;
            let is_there = matches!(found, Found::Own(there) if name.as_os_str() == format!("{}.{RING}", hex(there.id)).as_str());
            let named = format!("{} (of {})", self.folder.path().join(&name).display(), directory.display());
            (!is_held && !is_there).then_some(named)
        };
        let mut found: Vec<String> = rings.filter_map(orphan).collect();
        found.sort();
        let more = found.len().saturating_sub(NAMED_MAX);
        found.truncate(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!found.is_empty()).then(|| {
            format!(
                "ring files of directories that are not there any more, removed or renamed: {}{more}. They take memory; remove those whose stream \
                 nobody needs",
                found.join(", ")
            )
        })
    }
}

/// Where the directory of a ring was.
fn directory_of(ring: &Path) -> Option<PathBuf> {
    let mut path = Vec::new();
    let file = open_to_read(&ring.with_extension(DIRECTORY)).ok()?;
    file.take(PATH_BYTES_MAX).read_to_end(&mut path).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

#[cfg(test)]
mod tests;
