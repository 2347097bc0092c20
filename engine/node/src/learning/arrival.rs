//! Where a snapshot from another node is put together, and how it takes the place of what was there.
//!
//! ```text
//!  stream.directory/arriving/{offer, snapshots, bus, acknowledgements}    being put together
//!  stream.directory/arrived/ ...                                          the same folder, once everything in it is whole and on the disk for good
//! ```
//!
//! `offer` says whose snapshot it is, and of which message; the chunks say where they belong. So a start that finds the folder goes on behind the last chunk
//! that is whole, if the same node still has the same snapshot, and else clears it away, as it does when none is to be taken. A chunk that does not continue those
//! before it is not taken, whatever the offer says.
//!
//! The folder's new name is what counts: until then the node is what it was, and from then on it is what has arrived, also when it dies while one folder after
//! the other takes its place, for the next start goes on with that. `bus` and `acknowledgements` are journals of one message: the snapshot's.
use crate::config::Config;
use crate::identity::{Found, Identity};
use crate::life;
use crate::ports::Files;
use crate::rings::ring_file;
use crate::settings;
use crate::surroundings::snapshot_directory;
use gds_core::agent::Fault;
use gds_core::agent::start::acknowledgement_session;
use gds_core::journal::{JournalConfig, begin_with};
use gds_core::replication::{Life, NodeId};
use gds_core::snapshot::{Arrival, OpenSnapshot, survey};
use gds_nic::{Backend, Directory, DirectoryConfig};
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, Offer};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const ARRIVING: &str = "arriving";
const ARRIVED: &str = "arrived";
const OFFER: &str = "offer";
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
    /// The running checksums of the stream and of the acknowledgements up to it.
    pub chains: [u64; 2],
    /// It.
    pub message: Vec<u8>,
    /// Its acknowledgement.
    pub acknowledgement: Vec<u8>,
}

/// A snapshot as a peer has offered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The peer: no other one has these chunks, even of the same message.
    pub from: NodeId,
    /// How many there are.
    pub chunks: u32,
    /// Its message.
    pub landing: Landing,
}

impl Parcel {
    /// What this peer offers.
    pub fn of(from: NodeId, offer: &Offer<'_>) -> Self {
        let landing = Landing {
            sequence: offer.sequence,
            epoch: offer.epoch,
            chains: [offer.chain, offer.acknowledgement_chain],
            message: offer.message.to_vec(),
            acknowledgement: offer.acknowledgement.to_vec(),
        };
        Self { from, chunks: offer.chunks, landing }
    }

    /// As a file: the peer, and the offer as it came.
    fn to_bytes(&self, stream: Session) -> Vec<u8> {
        let Landing { sequence, epoch, chains: [chain, acknowledgement_chain], message, acknowledgement } =
            &self.landing;
        let offer = Offer {
            first_kept: *sequence,
            sequence: *sequence,
            chunks: self.chunks,
            epoch: *epoch,
            chain: *chain,
            acknowledgement_chain: *acknowledgement_chain,
            message,
            acknowledgement,
        };
        let mut frame = Vec::new();
        Frame::Offer(offer).write(stream, &mut frame);
        [&[self.from.0][..], &frame].concat()
    }

    fn parse(bytes: &[u8], stream: Session) -> Option<Self> {
        let (from, frame) = bytes.split_first()?;
        match Frame::parse(frame)? {
            (of, Frame::Offer(offer)) if of == stream => Some(Self::of(NodeId(*from), &offer)),
            _ => None,
        }
    }
}

/// What a start that has ended began to take of this stream, if it can be gone on with.
pub fn begun(config: &Config, stream: Session) -> Option<Parcel> {
    let bytes = fs::read(config.stream.directory.join(ARRIVING).join(OFFER)).ok()?;
    Parcel::parse(&bytes, stream)
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
    /// Makes room for a snapshot, or goes on with it where an earlier start has begun it.
    pub fn begin(config: &'a Config, stream: Session, parcel: &Parcel) -> Result<Self, Fault> {
        let folder = config.stream.directory.join(ARRIVING);
        if begun(config, stream).as_ref() != Some(parcel) {
            remove(&folder)?;
            let write = || fs::write(folder.join(OFFER), parcel.to_bytes(stream));
            fs::create_dir_all(&folder).and_then(|()| write()).map_err(|error| failed(&folder, &error))?;
        }
        let disk = Directory::open(DirectoryConfig {
            backend: Backend::Plain,
            ..snapshot_directory(folder.join(SNAPSHOTS))
        });
        let mut disk = Files(disk.map_err(Fault::from)?);
        let Parcel { chunks, landing: Landing { sequence, .. }, .. } = *parcel;
        let arrival = Arrival::new(stream, sequence, chunks, config.snapshot.segment_bytes);
        let arrival = arrival.resume(&mut disk).map_err(Fault::from)?;
        Ok(Self { config, stream, folder, disk, arrival })
    }

    /// Takes the next chunk.
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.arrival.take(&mut self.disk, chunk).map_err(Fault::from)
    }

    /// The snapshot is whole: whether a store with its digest can come of it.
    pub fn verify(&mut self) -> Result<(), Fault> {
        assert!(self.arrival.is_whole(), "it has come whole");
        let sequence = self.arrival.sequence();
        let found = survey(&mut self.disk, self.stream).map_err(Fault::from)?.whole;
        let Some(snapshot) = found.iter().find(|snapshot| snapshot.sequence == sequence) else {
            return Err(Fault(format!("{}: no whole snapshot is there", self.folder.display())));
        };
        let open = OpenSnapshot::open(&mut self.disk, self.stream, snapshot);
        open.and_then(OpenSnapshot::verify).map_err(|error| Fault(error.to_string()))
    }

    /// The snapshot is whole: the node's journals are to begin with its message, and all of it is to take the place of what is there.
    pub fn land(self, landing: &Landing) -> Result<(), Fault> {
        assert!(self.arrival.is_whole() && self.arrival.sequence() == landing.sequence, "it has come whole");
        let configs = settings::start(self.config, [0; 16], self.stream);
        let Landing { chains: [chain, acknowledgement_chain], message, acknowledgement, .. } = landing;
        self.journal("bus", configs.journal, self.stream, landing, (*chain, message))?;
        let session = acknowledgement_session(self.stream);
        let config = configs.acknowledgement_journal;
        self.journal(
            "acknowledgements",
            config,
            session,
            landing,
            (*acknowledgement_chain, acknowledgement),
        )?;
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
        (chain, message): (u64, &[u8]),
    ) -> Result<(), Fault> {
        let folder = self.folder.join(name);
        // A start that died here has left a part of it.
        remove(&folder)?;
        let open = DirectoryConfig { backend: Backend::Plain, ..DirectoryConfig::new(&folder) };
        let mut disk = Files(Directory::open(open).map_err(Fault::from)?);
        let Landing { sequence, epoch, .. } = *landing;
        match begin_with(&mut disk, config, session, sequence, (epoch, chain), message)
            .map_err(Fault::from)?
        {
            true => Ok(()),
            false => Err(Fault(format!("{}: no space left for a journal", folder.display()))),
        }
    }
}

/// Whether something has arrived whole, and has not taken its place yet.
pub fn is_due(config: &Config) -> bool {
    config.stream.directory.join(ARRIVED).exists()
}

/// No snapshot is to be taken, or not the one that was coming: what has come of it is cleared away.
///
/// # Errors
/// When files cannot be removed.
pub fn discard(config: &Config) -> Result<(), Fault> {
    remove(&config.stream.directory.join(ARRIVING))
}

/// What has arrived whole takes the place of what was there. Whether anything did.
///
/// # Errors
/// When files cannot be moved or removed. Called again, it goes on.
pub fn settle(config: &Config) -> Result<bool, Fault> {
    let directory = &config.stream.directory;
    let arrived = directory.join(ARRIVED);
    if !arrived.exists() {
        return Ok(false);
    }
    // What the node said it had in the life that it remembers it has no more (R14), which must be known before the first of it goes. A node that
    // remembers none begins a new one anyway.
    if let Some(life) = life::read(directory)? {
        // What life::read gives has a number behind it.
        life::write(directory, Life::next(Some(life), false))?;
    }
    if let Found::Own(_) = Identity::read(directory)? {
        remove_file(&ring_file(config)?)?;
    }
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
