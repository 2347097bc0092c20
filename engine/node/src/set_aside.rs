//! A stopped node's log, moved out of the way: the node begins anew and learns the stream from the others. Nothing is deleted.
//!
//! What a node has of its stream goes into a folder beside it, `set-aside-N`, N from 1: the journals, snapshots, the life, and what its ring holds, if it has one. The
//! life goes first: without it the node counts as one that has lost something (R14), whatever of the rest is still there when a process dies meanwhile.
use crate::config::Config;
use crate::control::DirectoryLock;
use crate::surroundings::ring_file;
use gds_core::agent::Fault;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What belongs to a stream, in the order in which it goes.
const NAMES: [&str; 7] = ["life", "label", "acknowledgements", "bus", "snapshots", "arriving", "arrived"];
/// Most folders of this kind in one directory.
const FOLDERS_MAX: u32 = 1_000;

/// Moves what the node of this configuration has of its stream into a new folder, and names that; `None`: it has nothing.
///
/// # Errors
/// When the node runs, or files cannot be moved. What was moved stays moved, and the next call goes on with a folder of its own.
pub fn set_aside(config: &Config) -> Result<Option<PathBuf>, Fault> {
    let directory = &config.stream.directory;
    if !directory.is_dir() {
        return Err(Fault(format!("stream.directory = {}: it is not there", directory.display())));
    }
    let _lock = DirectoryLock::take(directory, Duration::ZERO)
        .map_err(|Fault(why)| Fault(format!("{why}: stop this node first")))?;
    // A directory without an id of its own has no ring.
    let ring = ring_file(config).ok().filter(|ring| ring.exists());
    let there: Vec<&str> = NAMES.into_iter().filter(|name| directory.join(name).exists()).collect();
    if there.is_empty() && ring.is_none() {
        return Ok(None);
    }
    let aside = new_folder(directory)?;
    let moved = || -> io::Result<()> {
        for name in there {
            fs::rename(directory.join(name), aside.join(name))?;
            File::open(directory)?.sync_all()?;
        }
        if let Some(ring) = ring {
            // It lies in another file system, in memory.
            fs::copy(&ring, aside.join("ring"))?;
            File::open(aside.join("ring"))?.sync_all()?;
            fs::remove_file(&ring)?;
        }
        File::open(&aside)?.sync_all()
    };
    moved().map_err(|error| Fault(format!("{}: {error}; what was moved is there", aside.display())))?;
    Ok(Some(aside))
}

fn new_folder(directory: &Path) -> Result<PathBuf, Fault> {
    for number in 1..=FOLDERS_MAX {
        let folder = directory.join(format!("set-aside-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Fault(format!("{}: {error}", folder.display()))),
        }
    }
    Err(Fault(format!(
        "{}: {FOLDERS_MAX} logs were set aside there: move some of them elsewhere",
        directory.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_the_stream_goes_and_nothing_is_deleted() {
        let home = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.stream.directory = home.path().join("data");
        config.stream.ring_directory = home.path().to_path_buf();
        assert!(set_aside(&config).is_err(), "there is no directory");
        fs::create_dir(&config.stream.directory).expect("a folder");
        crate::rings::OwnFolder::open(&config).expect("an id");
        assert_eq!(set_aside(&config), Ok(None));
        for round in 1..=2 {
            for name in ["bus", "acknowledgements"] {
                fs::create_dir(config.stream.directory.join(name)).expect("a folder");
                fs::write(config.stream.directory.join(name).join("1.journal"), name).expect("a file");
            }
            fs::write(config.stream.directory.join("life"), "life").expect("a file");
            fs::write(ring_file(&config).expect("a name"), "ring").expect("a file");
            let aside = set_aside(&config).expect("it is moved").expect("there was something");
            assert_eq!(aside, config.stream.directory.join(format!("set-aside-{round}")));
            assert_eq!(fs::read(aside.join("bus/1.journal")).expect("a file"), b"bus");
            assert_eq!(fs::read(aside.join("ring")).expect("a file"), b"ring");
            assert_eq!(fs::read(aside.join("life")).expect("a file"), b"life");
            assert_eq!(set_aside(&config), Ok(None));
        }
        let _lock = DirectoryLock::take(&config.stream.directory, Duration::ZERO).expect("free");
        assert!(set_aside(&config).expect_err("it runs").0.contains("stop this node first"));
    }
}
