//! Where a snapshot from another node is put together, and how it takes the place of what was there.
//!
//! ```text
//!  stream.directory/arriving/{snapshots, bus, acknowledgements}    being put together; whatever is there at a start is cleared away
//!  stream.directory/arrived/ ...                                   the same folder, once everything in it is whole and on the disk for good
//! ```
//!
//! The folder's new name is what counts: until then the node is what it was, and from then on it is what has arrived, also when it dies while one folder after
//! the other takes its place, for the next start goes on with that. `bus` and `acknowledgements` are journals of one message: the snapshot's.
use crate::config::Config;
use crate::life;
use crate::ports::Files;
use crate::settings;
use crate::surroundings::{ring_file, snapshot_directory};
use gds_core::agent::Fault;
use gds_core::agent::start::acknowledgement_session;
use gds_core::journal::{JournalConfig, begin_with};
use gds_core::replication::Life;
use gds_core::snapshot::Arrival;
use gds_nic::{Backend, Directory, DirectoryConfig};
use gds_wire::session::Session;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const ARRIVING: &str = "arriving";
const ARRIVED: &str = "arrived";
const SNAPSHOTS: &str = "snapshots";
/// The journals go first: without them a snapshot is of no use, and is cleared away.
const FOLDERS: [&str; 3] = ["acknowledgements", "bus", SNAPSHOTS];

/// The message of a snapshot, as the journals have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Its number.
    pub sequence: u64,
    /// The epoch it was first numbered in.
    pub epoch: u32,
    /// It.
    pub message: Vec<u8>,
    /// Its acknowledgement.
    pub acknowledgement: Vec<u8>,
}

/// A snapshot that is coming.
pub struct Arriving<'a> {
    config: &'a Config,
    stream: Session,
    folder: PathBuf,
    disk: Files,
    /// How far it is.
    pub arrival: Arrival,
}

impl<'a> Arriving<'a> {
    /// Makes room for the snapshot of this message.
    pub fn begin(config: &'a Config, stream: Session, sequence: u64, chunks: u32) -> Result<Self, Fault> {
        let folder = config.stream.directory.join(ARRIVING);
        remove(&folder)?;
        let disk = Directory::open(DirectoryConfig {
            backend: Backend::Plain,
            ..snapshot_directory(folder.join(SNAPSHOTS))
        });
        let arrival = Arrival::new(stream, sequence, chunks, config.snapshot.segment_bytes);
        Ok(Self { config, stream, folder, disk: Files(disk.map_err(Fault::from)?), arrival })
    }

    /// Takes the next chunk.
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.arrival.take(&mut self.disk, chunk).map_err(Fault::from)
    }

    /// The snapshot is whole: the node's journals are to begin with its message, and all of it is to take the place of what is there.
    pub fn land(self, landing: &Landing) -> Result<(), Fault> {
        assert!(self.arrival.is_whole() && self.arrival.sequence() == landing.sequence, "it has come whole");
        let configs = settings::start(self.config, [0; 16], self.stream);
        self.journal("bus", configs.journal, self.stream, landing, &landing.message)?;
        let session = acknowledgement_session(self.stream);
        let config = configs.acknowledgement_journal;
        self.journal("acknowledgements", config, session, landing, &landing.acknowledgement)?;
        let directory = &self.config.stream.directory;
        let seal = || -> io::Result<()> {
            for name in FOLDERS {
                sync(&self.folder.join(name))?;
            }
            sync(&self.folder)?;
            fs::rename(&self.folder, directory.join(ARRIVED))?;
            sync(directory)
        };
        seal().map_err(|error| failed(&self.folder, &error))
    }

    fn journal(
        &self,
        name: &str,
        config: JournalConfig,
        session: Session,
        landing: &Landing,
        message: &[u8],
    ) -> Result<(), Fault> {
        let folder = self.folder.join(name);
        let open = DirectoryConfig { backend: Backend::Plain, ..DirectoryConfig::new(&folder) };
        let mut disk = Files(Directory::open(open).map_err(Fault::from)?);
        let Landing { sequence, epoch, .. } = *landing;
        match begin_with(&mut disk, config, session, sequence, epoch, message).map_err(Fault::from)? {
            true => Ok(()),
            false => Err(Fault(format!("{}: no space left for a journal", folder.display()))),
        }
    }
}

/// Whether something has arrived whole, and has not taken its place yet.
pub fn is_due(config: &Config) -> bool {
    config.stream.directory.join(ARRIVED).exists()
}

/// What has arrived whole takes the place of what was there; what has not is cleared away. Whether anything took its place.
///
/// # Errors
/// When files cannot be moved or removed. Called again, it goes on.
pub fn settle(config: &Config) -> Result<bool, Fault> {
    let directory = &config.stream.directory;
    remove(&directory.join(ARRIVING))?;
    let arrived = directory.join(ARRIVED);
    if !arrived.exists() {
        return Ok(false);
    }
    // What the node said it had in the life that it remembers it has no more (R14), which must be known before the first of it goes. A node that
    // remembers none begins a new one anyway.
    if let Some(life) = life::read(directory)? {
        life::write(directory, Life::next(Some(life), false))?;
    }
    remove_file(&ring_file(config)?)?;
    for name in FOLDERS {
        let (from, to) = (arrived.join(name), directory.join(name));
        if from.exists() {
            remove(&to)?;
            let replace = fs::rename(&from, &to).and_then(|()| sync(directory)).and_then(|()| sync(&arrived));
            replace.map_err(|error| failed(&from, &error))?;
        }
    }
    remove(&arrived)?;
    Ok(true)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault(format!("{}: {error}; the node must be able to write there", path.display()))
}

fn remove(folder: &Path) -> Result<(), Fault> {
    gone(fs::remove_dir_all(folder)).map_err(|error| failed(folder, &error))
}

fn remove_file(file: &Path) -> Result<(), Fault> {
    gone(fs::remove_file(file)).map_err(|error| failed(file, &error))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests;
