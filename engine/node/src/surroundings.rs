//! What the start of a node takes from this machine: directories, memory, time.
use crate::clocks;
use crate::config::{Config, Durability};
use crate::ports::{Files, PageWords};
use crate::settings;
use crate::step::{Step, Watcher};
use crate::{label, life};
use gds_core::agent::Fault;
use gds_core::agent::start::{JournalName, StartMemory, Surroundings, acknowledgement_session};
use gds_core::disk::{Disk, DiskError};
use gds_core::journal::{self, JournalReader};
use gds_core::label::Label;
use gds_core::memory::ring::{Ring, RingConfig};
use gds_core::memory::words::{HeapWords, SharedWords, WORD_BYTES};
use gds_core::replication::Life;
use gds_core::stages::Stages;
use gds_core::store::{StoreCapacity, StoreMemory};
use gds_core::time::Time;
use gds_nic::{Backend, Directory, DirectoryConfig, HugePages, PagePolicy, Pages};
use gds_wire::session::Session;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One node's place on this machine.
pub struct Place<'a> {
    directory: PathBuf,
    durability: Durability,
    boot_id: [u8; 16],
    watcher: &'a mut Watcher<'a>,
    is_stopped: bool,
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
        Ok(Self { directory, durability, boot_id, watcher, is_stopped: false, notices, ordinary_bytes: 0 })
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

    /// Memory for the rings: with durability `memory` the bus ring is a file that outlives the process.
    pub fn ring_memory(&mut self, config: &Config) -> Result<StartMemory, Fault> {
        let bytes = |ring: &RingConfig| Ring::words_needed(ring) * WORD_BYTES;
        let ring_bytes = bytes(&settings::ring(config));
        let (ring, ring_existed, ring_name) = match self.durability {
            Durability::Fsync if !self.has_older_ring(config)? => {
                (self.memory(ring_bytes)?, false, String::new())
            }
            _ => {
                let path = ring_file(config)?;
                let pages = Pages::file(&path, ring_bytes, PagePolicy::default()).map_err(Fault::from)?;
                let existed = pages.existed();
                (self.words(pages), existed, path.display().to_string())
            }
        };
        let acknowledgement_ring = self.memory(bytes(&settings::acknowledgement_ring()))?;
        Ok(StartMemory { ring, ring_existed, ring_name, acknowledgement_ring })
    }

    /// Whether a ring file is there from when the journals were written with durability `memory`: it may have what they do not.
    fn has_older_ring(&self, config: &Config) -> Result<bool, Fault> {
        let label = label::read(&self.directory)?;
        let complete = label.is_some_and(|label| label.durability == journal::Durability::Fsync);
        Ok(!complete && ring_file(config)?.exists())
    }

    /// Memory for the stages: a file beside the ring's, which anybody may read while the node runs.
    pub fn stages(&mut self, config: &Config) -> Result<Stages, Fault> {
        let (path, bytes) = (stages_file(config)?, Stages::WORDS * WORD_BYTES);
        // What another version left there may be too short.
        if fs::metadata(&path).is_ok_and(|about| about.len() < bytes as u64) {
            fs::remove_file(&path).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
        }
        let policy = PagePolicy { huge: HugePages::Never, ..PagePolicy::default() };
        let pages = Pages::file(&path, bytes, policy).map_err(Fault::from)?;
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

/// The ring file of a node.
pub fn ring_file(config: &Config) -> Result<PathBuf, Fault> {
    memory_file(config, "ring")
}

/// The file in which a node keeps its stages.
pub fn stages_file(config: &Config) -> Result<PathBuf, Fault> {
    memory_file(config, "stages")
}

/// The stages of the node of this configuration, as of now. Reads the file alone: the node is not disturbed, and need not be running.
pub fn read_stages(config: &Config) -> Result<Stages, Fault> {
    let path = stages_file(config)?;
    let failed = |error: &dyn std::fmt::Display| {
        Fault(format!(
            "{}: {error}; has a node of this configuration been started on this machine?",
            path.display()
        ))
    };
    let copy = read_words(&path).map_err(|error| failed(&error))?;
    Stages::open(copy).map_err(|error| failed(&error))
}

/// A copy of a memory file, as of now.
pub(crate) fn read_words(path: &Path) -> io::Result<SharedWords> {
    let bytes = fs::read(path)?;
    let (words, _) = bytes.as_chunks::<WORD_BYTES>();
    let copy = HeapWords::shared(words.len());
    for (word, bytes) in copy.words().iter().zip(words) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    Ok(copy)
}

/// A file in memory, named after the node's journal directory, so that two nodes of a machine never share one.
fn memory_file(config: &Config, kind: &str) -> Result<PathBuf, Fault> {
    let directory = &config.stream.directory;
    let whole = fs::canonicalize(directory)
        .map_err(|error| Fault(format!("stream.directory = {}: {error}", directory.display())))?;
    let text = whole.to_string_lossy();
    let last = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = last.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let file = format!("gds-{name}-{:08x}.{kind}", gds_wire::checksum(text.as_bytes()));
    Ok(Path::new(&config.stream.ring_directory).join(file))
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
