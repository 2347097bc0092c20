//! What the start of a node takes from this machine: directories, memory, time.
use crate::clocks;
use crate::config::{Config, Durability};
use crate::ports::{Files, PageWords};
use crate::ring_watch::{RingFile, RingWatch, Watched};
use crate::rings::{self, OwnFolder};
use crate::settings;
use crate::step::{Step, Watcher};
use crate::{label, life};
use gds_core::agent::start::{JournalName, StartMemory, Stream, Surroundings, acknowledgement_session};
use gds_core::agent::{Fault, SequencerOrders};
use gds_core::disk::{Disk, DiskError};
use gds_core::journal::{self, JournalReader};
use gds_core::label::Label;
use gds_core::memory::ring::{Ring, RingConfig};
use gds_core::memory::words::{HeapWords, SharedWords, WORD_BYTES};
use gds_core::replication::Life;
use gds_core::stages::Stages;
use gds_core::store::{StoreCapacity, StoreMemory};
use gds_core::time::Time;
use gds_nic::{Backend, Directory, DirectoryConfig, HugePages, PagePolicy, Pages, PagesError};
use gds_wire::session::Session;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::rings::{ring_file, stages_file};

/// The ring's file, and how large it would be made.
struct RingPlace {
    file: Option<RingFile>,
    bytes: usize,
    /// This start has made it.
    is_new: bool,
}

/// One node's place on this machine.
pub struct Place<'a> {
    directory: PathBuf,
    durability: Durability,
    boot_id: [u8; 16],
    watcher: &'a mut Watcher<'a>,
    is_stopped: bool,
    /// Its folder in memory, once it has been asked for.
    own: Option<OwnFolder>,
    /// The ring that a file holds.
    ring: Option<RingPlace>,
    notices: Vec<String>,
    /// Memory that should have been on hugepages.
    ordinary_bytes: usize,
}

impl<'a> Place<'a> {
    /// Makes the directory if need be.
    pub fn open<'r: 'a>(config: &Config, watcher: &'a mut Watcher<'r>) -> Result<Self, Fault> {
        let directory = config.stream.directory.clone();
        fs::create_dir_all(&directory).map_err(|error| {
            Fault(format!("stream.directory = {}: cannot be made: {error}", directory.display()))
        })?;
        let boot_id = gds_nic::boot_id().map_err(Fault::from)?;
        let durability = config.stream.durability;
        let notices = Vec::new();
        Ok(Self {
            directory,
            durability,
            boot_id,
            watcher,
            is_stopped: false,
            own: None,
            ring: None,
            notices,
            ordinary_bytes: 0,
        })
    }

    /// Tells whoever starts the node what is done, and is told whether to go on.
    pub fn watch(&mut self, step: Step) -> ControlFlow<()> {
        let flow = (self.watcher)(step);
        self.is_stopped |= flow.is_break();
        flow
    }

    /// Whether whoever starts the node has said that it is to stop.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    fn folder(&self, journal: JournalName) -> PathBuf {
        self.directory.join(match journal {
            JournalName::Bus => "bus",
            JournalName::Acknowledgements => "acknowledgements",
        })
    }

    fn snapshot_folder(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    /// The last message known to be committed: only such a one has an outcome. 0: none.
    pub fn committed(&mut self, stream: Session) -> Result<u64, Fault> {
        if !self.folder(JournalName::Acknowledgements).exists() {
            return Ok(0);
        }
        let mut disk = self.disk(JournalName::Acknowledgements).map_err(Fault::from)?;
        JournalReader::new(acknowledgement_session(stream)).last(&mut disk).map_err(Fault::from)
    }

    /// A handle to the disk of the snapshots, which writes; its folder is made.
    pub fn snapshot_writer(&mut self) -> Result<Files, Fault> {
        Directory::open(snapshot_directory(self.snapshot_folder())).map(Files).map_err(Fault::from)
    }

    /// Whether the journal has never had a segment.
    pub fn is_empty(&mut self) -> Result<bool, Fault> {
        let folder = self.folder(JournalName::Bus);
        if !folder.exists() {
            return Ok(true);
        }
        let segments = Files::open_to_read(&folder).and_then(|mut files| files.segments());
        segments.map(|segments| segments.is_empty()).map_err(Fault::from)
    }

    /// The boot of this machine.
    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// The node's folder in memory. The directory must be this process's ([`DirectoryLock`](crate::control::DirectoryLock)).
    fn own(&mut self, config: &Config) -> Result<&mut OwnFolder, Fault> {
        let own = match self.own.take() {
            Some(own) => own,
            None => OwnFolder::open(config)?,
        };
        Ok(self.own.insert(own))
    }

    /// The id of the node's directory.
    ///
    /// # Errors
    /// When it has none, and none can be kept there.
    pub fn directory_id(&mut self, config: &Config) -> Result<[u8; 16], Fault> {
        self.own(config).map(|own| own.identity.id)
    }

    /// Memory for the rings: with durability `memory` the bus ring is a file that outlives the process.
    pub fn ring_memory(&mut self, config: &Config) -> Result<StartMemory, Fault> {
        let bytes = |ring: &RingConfig| Ring::words_needed(ring) * WORD_BYTES;
        let ring_bytes = bytes(&settings::ring(config));
        let is_old = self.durability == Durability::Fsync && self.has_older_ring()?;
        let boot_id = self.boot_id;
        let own = self.own(config)?;
        let ring_name = format!("the ring file {}", own.ring_path().display());
        let ring_needed = own.identity.without_ring != Some(boot_id);
        let has_file = is_old && own.ring_path().exists();
        let (ring, ring_existed) = match self.durability {
            Durability::Fsync if !has_file => (self.memory(ring_bytes)?, false),
            Durability::Fsync | Durability::Memory => self.ring_of_a_file(ring_bytes)?,
        };
        let acknowledgement_ring = self.memory(bytes(&settings::acknowledgement_ring()))?;
        Ok(StartMemory { ring, ring_existed, ring_needed, ring_name, acknowledgement_ring })
    }

    /// Whether a ring file may be there from when the journals were written with durability `memory`: it may have what they do not.
    fn has_older_ring(&self) -> Result<bool, Fault> {
        let label = label::read(&self.directory)?;
        Ok(label.is_none_or(|label| label.durability != journal::Durability::Fsync))
    }

    /// The words of the ring file, and whether it was there before; a new one has `bytes`.
    fn ring_of_a_file(&mut self, bytes: usize) -> Result<(SharedWords, bool), Fault> {
        let own = self.own.as_ref().expect("it is opened before its ring");
        let path = own.ring_path();
        // Whatever length the file has, no more is mapped than a ring takes.
        let old_bytes = rings::bytes_of_ring(&path).unwrap_or(0);
        let mapped = Pages::file(&own.folder, &own.ring(), bytes, old_bytes, PagePolicy::default());
        let file = match &mapped {
            Ok(pages) => pages.identity().map(|identity| RingFile { path, identity }),
            Err(_) => None,
        };
        let is_new = matches!(&mapped, Ok(pages) if !pages.existed());
        self.ring = Some(RingPlace { file, bytes, is_new });
        match mapped {
            Ok(pages) => {
                let existed = pages.existed();
                Ok((self.words(pages), existed))
            }
            // It was there, and is no ring.
            Err(PagesError::Stub { .. }) => Ok((HeapWords::shared(0), true)),
            Err(error) => Err(Fault::from(error)),
        }
    }

    /// The node has started and shows nothing yet: what it acknowledges from here on may be in the ring alone again.
    pub fn ring_counts(&mut self) -> Result<(), Fault> {
        match &mut self.own {
            Some(own) if own.identity.without_ring.is_some() => {
                own.identity = own.identity.without_ring(&self.directory, None)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Watches the ring file, if there is one, while the node runs.
    pub fn watch_ring(
        &self,
        orders: &Arc<SequencerOrders>,
        bus: &Stream,
    ) -> Result<Option<RingWatch>, Fault> {
        let Some((own, file)) = self.own.as_ref().zip(self.ring.as_ref().and_then(|ring| ring.file.clone()))
        else {
            return Ok(None);
        };
        let watched = Watched {
            file,
            directory: self.directory.clone(),
            identity: own.identity,
            boot_id: self.boot_id,
            orders: orders.clone(),
            progress: bus.progress.clone(),
        };
        RingWatch::start(watched).map(Some)
    }

    /// A start that failed, with what bears on it of the files in memory. A file that was made for a ring, and has not become one, is removed: the
    /// next start is to find what this one found.
    pub fn explain(&self, Fault(why): Fault) -> Fault {
        let Some(own) = &self.own else { return Fault(why) };
        let is_new = self.ring.as_ref().is_some_and(|ring| ring.is_new);
        if is_new && rings::bytes_of_ring(&own.ring_path()).is_none() {
            let _ = fs::remove_file(own.folder.through(&own.ring()));
        }
        let notes = own.notes.iter().cloned().chain(own.orphans());
        Fault([why].into_iter().chain(notes).collect::<Vec<_>>().join("\n"))
    }

    /// Memory for the stages: a file beside the ring's, which its user may read while the node runs.
    pub fn stages(&mut self, config: &Config) -> Result<Stages, Fault> {
        let bytes = Stages::WORDS * WORD_BYTES;
        let own = self.own(config)?;
        let (name, path) = (own.stages(), own.folder.path().join(own.stages()));
        // What another version left there may be too short.
        if fs::metadata(own.folder.through(&name)).is_ok_and(|about| about.len() < bytes as u64) {
            fs::remove_file(own.folder.through(&name))
                .map_err(|error| Fault(format!("{}: {error}", path.display())))?;
        }
        let policy = PagePolicy { huge: HugePages::Never, ..PagePolicy::default() };
        let pages = Pages::file(&own.folder, &name, bytes, bytes, policy).map_err(Fault::from)?;
        let told = format!(
            "gds: SIGBUS: memory of this node is gone: somebody has cut short a file in {} while it ran. The node has ended at once, with exit \
             code {}. Start it again: it says what is missing, if anything is (docs/FAILOVER.md)\n",
            own.folder.path().display(),
            gds_nic::pages::BUS_ERROR_EXIT_CODE
        );
        gds_nic::pages::tell_bus_errors(&told)
            .map_err(|error| Fault(format!("the kernel takes no handler for SIGBUS: {error}")))?;
        Ok(Stages::create(self.words(pages)))
    }

    fn memory(&mut self, bytes: usize) -> Result<SharedWords, Fault> {
        let pages = Pages::anonymous(bytes, PagePolicy::default()).map_err(Fault::from)?;
        Ok(self.words(pages))
    }

    fn words(&mut self, pages: Pages) -> SharedWords {
        self.notices.extend_from_slice(pages.notices());
        if pages.fallback().is_some() {
            self.ordinary_bytes += pages.bytes();
        }
        Arc::new(PageWords(pages))
    }

    /// One more line for an operator.
    pub fn note(&mut self, notice: String) {
        self.notices.push(notice);
    }

    /// Lines an operator should see.
    pub fn take_notices(&mut self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.notices);
        if let Some(own) = &mut self.own {
            notices.append(&mut own.notes);
            notices.extend(own.orphans());
        }
        if self.ordinary_bytes > 0 {
            notices.push(format!(
                "{} MiB of memory are on ordinary pages; with {} hugepages of 2 MiB (vm.nr_hugepages, and a hugetlbfs mount for the \
                 ring file) latency is steadier",
                self.ordinary_bytes.div_ceil(1 << 20),
                self.ordinary_bytes.div_ceil(2 << 20)
            ));
        }
        notices
    }
}

/// A folder of snapshots.
pub fn snapshot_directory(folder: PathBuf) -> DirectoryConfig {
    DirectoryConfig { suffix: "snapshot".into(), ..DirectoryConfig::new(folder) }
}

fn failed(error: impl std::fmt::Display) -> DiskError {
    DiskError::Failed(error.to_string())
}

/// Keeps the processors of this machine from sleeping for as long as the file is held open.
pub fn keep_awake() -> Result<File, String> {
    const DEVICE: &str = "/dev/cpu_dma_latency";
    let hold = || {
        let mut file = OpenOptions::new().write(true).open(DEVICE)?;
        // Microseconds until awake, as the kernel's own number of 32 bits.
        file.write_all(&0i32.to_ne_bytes())?;
        Ok(file)
    };
    hold().map_err(|error: io::Error| {
        format!("processors may sleep: {DEVICE}: {error}; give the node's user the right to write it (gds tune files)")
    })
}

/// The stages of the node of this configuration, as of now. Reads the file alone: the node is not disturbed, and need not be running.
pub fn read_stages(config: &Config) -> Result<Stages, Fault> {
    let path = stages_file(config)?;
    let failed = |error: &dyn std::fmt::Display| {
        Fault(format!("{}: {error}; does a node of this configuration run on this machine?", path.display()))
    };
    let bytes_max = (Stages::WORDS * WORD_BYTES) as u64;
    let copy = rings::copy(&path, bytes_max).map_err(|error| failed(&error))?;
    Stages::open(copy).map_err(|error| failed(&error))
}

impl Surroundings for Place<'_> {
    type Disk = Files;

    fn disk(&mut self, journal: JournalName) -> Result<Files, DiskError> {
        Files::open_to_read(&self.folder(journal))
    }

    fn writer(&mut self, journal: JournalName) -> Result<Files, DiskError> {
        let synced = journal == JournalName::Bus && self.durability == Durability::Fsync;
        let backend = if synced { Backend::Auto } else { Backend::Plain };
        let config = DirectoryConfig { backend, ..DirectoryConfig::new(self.folder(journal)) };
        let directory = Directory::open(config).map_err(failed)?;
        let mut notices = directory.notices().to_vec();
        if synced {
            notices.push(format!("the journal is written over {}", directory.backend_reason()));
        }
        for notice in notices {
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
        Ok(Files(directory))
    }

    fn snapshots(&mut self) -> Result<Option<Files>, DiskError> {
        if !self.snapshot_folder().exists() {
            return Ok(None);
        }
        let config = DirectoryConfig {
            read_only: true,
            backend: Backend::Plain,
            ..snapshot_directory(self.snapshot_folder())
        };
        Directory::open(config).map(|directory| Some(Files(directory))).map_err(failed)
    }

    fn ring_words(&mut self) -> Result<SharedWords, Fault> {
        let (Some(own), Some(ring)) = (&self.own, &self.ring) else {
            return Err(Fault("the ring is in no file, and too small".into()));
        };
        let bytes = ring.bytes;
        let removed = fs::remove_file(own.folder.through(&own.ring()));
        removed.map_err(|error| Fault(format!("{}: {error}", own.ring_path().display())))?;
        self.ring_of_a_file(bytes).map(|(words, _)| words)
    }

    fn store_memory(&mut self, capacity: &StoreCapacity) -> Result<StoreMemory, Fault> {
        let index = self.memory(capacity.index_words * WORD_BYTES)?;
        let log = self.memory(capacity.log_words * WORD_BYTES)?;
        Ok(StoreMemory { index, log })
    }

    fn label(&mut self) -> Result<Option<Label>, Fault> {
        label::read(&self.directory)
    }

    fn keep_label(&mut self, label: &Label) -> Result<(), Fault> {
        label::write(&self.directory, label)
    }

    fn life(&mut self) -> Result<Option<Life>, Fault> {
        life::read(&self.directory)
    }

    fn keep_life(&mut self, life: Life) -> Result<(), Fault> {
        life::write(&self.directory, life)
    }

    fn now(&mut self) -> Time {
        clocks::now()
    }

    fn replayed(&mut self, applied: u64, of: u64) -> ControlFlow<()> {
        self.watch(Step::Replay { applied, of })
    }
}
