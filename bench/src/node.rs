//! The system under test: a node as a process of its own, started from any `gds` binary, so that two revisions can be compared.
//!
//! It gets a folder, ports and groups of its own and one configuration file, and is killed when dropped. Nothing in it knows that it is
//! being measured.
mod configuration;
mod pruner;

use crate::addresses::Ports;
use crate::cores::favour;
use crate::guard::Guard;
use crate::road::{End, Road};
use configuration::configuration;
use gds_client::Network;
use gds_core::stages;
use gds_nic::Transport;
use gds_node::config::Config;
use gds_node::surroundings::read_stages;
use pruner::Pruner;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take until it is ready: a replay of tens of millions of messages.
const READY: Duration = Duration::from_secs(300);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(60);
/// Memory as a file system.
pub const MEMORY: &str = "/dev/shm";

/// Which agents run where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All on one processor, spinning: the layout of the bounds on latency.
    One(Option<usize>),
    /// The same, but idle laps leave the processor to others: to the kernel's workers, which finish durable writes.
    Yielding(Option<usize>),
    /// The store and its acknowledgements on the first processor; what orders, keeps and publishes on the second, which it shares with the
    /// load.
    Spread(Option<usize>, Option<usize>),
    /// What orders, stores, keeps and publishes alone on the first processor, spinning; what reads, and what takes time, on the second, in
    /// threads that sleep when idle.
    Apart(Option<usize>, Option<usize>),
    /// The same two threads, which sleep when idle, wherever the kernel puts them: beside others.
    Quiet,
}

/// What a node is in a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number.
    pub number: u8,
    /// The others.
    pub peers: Vec<(u8, Ipv4Addr)>,
    /// The ports of all of them.
    pub ports: Ports,
    /// The register's file.
    pub register: PathBuf,
    /// After so much silence a node takes another for dead.
    pub silence_ms: u64,
}

/// What a node is started with. Everything else is as in the default configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary.
    pub gds: PathBuf,
    /// By which backend packets move, and between which ends.
    pub road: Road,
    /// `memory` or `fsync`.
    pub durability: String,
    /// Where the journal's folder is made; `None`: in memory.
    pub disk: Option<PathBuf>,
    /// Which agents run where.
    pub layout: Layout,
    /// Bytes of the bus ring, and messages in it.
    pub ring: (usize, usize),
    /// Live records.
    pub records_max: u64,
    /// Bytes of them.
    pub bytes_max: u64,
    /// Dropped per thousand at ingress, downstream and acknowledgements each.
    pub loss_per_mille: u32,
    /// Oldest segments of a journal are removed above so many bytes; `None`: everything is kept.
    pub keep_bytes: Option<u64>,
    /// A snapshot is taken when so many messages have been applied since the last; 0: none is.
    pub snapshot_messages: u64,
    /// What it is in a cluster; `None`: it is alone.
    pub member: Option<Member>,
}

impl Settings {
    /// A node for the workloads of the rig, with `memory` durability and its journal in memory, all agents on one processor.
    pub fn new(gds: &Path, layout: Layout) -> Self {
        Self {
            gds: gds.to_owned(),
            road: Transport::Auto.into(),
            durability: "memory".into(),
            disk: None,
            layout,
            ring: (128 << 20, 1 << 19),
            records_max: 1_500_000,
            bytes_max: 320 << 20,
            loss_per_mille: 0,
            keep_bytes: None,
            snapshot_messages: 0,
            member: None,
        }
    }
}

/// A node; killed when dropped.
pub struct Node {
    folder: TempDir,
    /// Of its files in memory.
    memory: TempDir,
    gds: PathBuf,
    road: Road,
    config: Config,
    process: Option<Process>,
    /// Dropped before the folder.
    _pruner: Option<Pruner>,
}

struct Process {
    child: Child,
    lines: Receiver<String>,
    ready: Value,
    /// Dropped once the child has ended.
    _guard: Option<Guard>,
}

/// A folder in memory, or where there is none, among temporary files.
fn memory_folder() -> std::io::Result<TempDir> {
    let memory = Path::new(MEMORY);
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("gds-bench-");
    if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() }
}

impl Node {
    /// Starts a new node and waits until it is ready.
    ///
    /// # Errors
    /// What it says itself, mostly.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        let place = settings.disk.clone().unwrap_or_else(|| {
            let memory = Path::new(MEMORY);
            if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
        });
        let failed = |error: std::io::Error| format!("{}: {error}", place.display());
        fs::create_dir_all(&place).map_err(failed)?;
        let folder = tempfile::Builder::new().prefix("gds-bench-").tempdir_in(&place).map_err(failed)?;
        let memory = memory_folder().map_err(failed)?;
        let text = configuration(settings, folder.path(), memory.path())?;
        fs::write(folder.path().join("node.toml"), text).map_err(failed)?;
        let config = Config::load(&folder.path().join("node.toml")).map_err(|error| error.to_string())?;
        let pruner = settings.keep_bytes.map(|most| Pruner::start(&config.stream.directory, most));
        let (gds, road) = (settings.gds.clone(), settings.road.clone());
        let mut node = Self { folder, memory, gds, road, config, process: None, _pruner: pruner };
        node.restart()?;
        Ok(node)
    }

    /// Starts it again where it stopped, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Node::start`].
    ///
    /// # Panics
    /// When it runs.
    pub fn restart(&mut self) -> Result<Duration, String> {
        assert!(self.process.is_none(), "it runs");
        let started = Instant::now();
        let errors = self.folder.path().join("node.err");
        let to = File::create(&errors).map_err(|error| error.to_string())?;
        let mut child = self
            .road
            .command(End::Far, &self.gds)
            .args(["run", "--json", "--config"])
            .arg(self.folder.path().join("node.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(to)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.gds.display()))?;
        let guard = Guard::over(&child, &self.files());
        let lines = read_lines(&mut child);
        let line = lines.recv_timeout(READY);
        // From here on it is killed when something goes wrong.
        let process = self.process.insert(Process { child, lines, ready: Value::Null, _guard: guard });
        match line {
            Ok(line) => {
                process.ready = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
                Ok(started.elapsed())
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("the node is not ready after {READY:?}")),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the node did not start: {}", fs::read_to_string(errors).unwrap_or_default()))
            }
        }
    }

    /// `kill -9`. It can be started again.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.child.kill().expect("it is our child");
        process.child.wait().expect("it is our child");
    }

    /// Stops it in order. It can be started again.
    ///
    /// # Errors
    /// That it did not stop, or stopped by itself before.
    pub fn stop(&mut self) -> Result<(), String> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let told = Command::new("kill").arg("-TERM").arg(process.child.id().to_string()).status();
        let line = process.lines.recv_timeout(STOP);
        if told.is_err() || line.is_err() {
            let _ = process.child.kill();
        }
        let status = process.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let errors = fs::read_to_string(self.folder.path().join("node.err")).unwrap_or_default();
        Err(format!("the node ended with {status}: {}", errors.trim()))
    }

    /// The network that it is on, as seen from the near end of its road.
    ///
    /// # Errors
    /// That the interface is gone.
    pub fn network(&self) -> Result<Network, String> {
        let config = &self.config;
        self.road.on(End::Near, || Network::of(config).map_err(|error| error.to_string()))
    }

    /// The road to it.
    pub fn road(&self) -> &Road {
        &self.road
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Value {
        self.process.as_ref().map_or(&Value::Null, |process| &process.ready)
    }

    /// The folder of its bus journal.
    pub fn journal(&self) -> PathBuf {
        self.config.stream.directory.join("bus")
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let id = self.process.as_ref()?.child.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    }

    /// What each of its threads has had of processors until now, by its number (the kernel's `schedstat`).
    pub fn thread_times(&self) -> Option<ThreadTimes> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.as_ref()?.child.id())).ok()?;
        let times = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
            let number = task.file_name().to_str()?.parse().ok()?;
            Some((number, ThreadTime { ran_ns: numbers.next()?, waited_ns: numbers.next()? }))
        };
        Some(ThreadTimes(tasks.flatten().filter_map(times).collect()))
    }

    /// Lets its threads run before others of their processor, as if they had it for themselves; the kernel still takes the urgent first.
    ///
    /// # Errors
    /// That the kernel does not allow it.
    pub fn favour(&self) -> Result<(), String> {
        let process = self.process.as_ref().ok_or("it does not run")?;
        favour(process.child.id())
    }

    /// All that is left when nobody clears up.
    fn files(&self) -> Vec<PathBuf> {
        [&self.folder, &self.memory].map(|folder| folder.path().to_owned()).into()
    }

    /// Its stages as of now; `None` for a node that keeps none.
    pub fn stages(&self) -> Option<Vec<(stages::Stage, stages::StageCounts)>> {
        let found = read_stages(&self.config).ok()?;
        Some(stages::Stage::ALL.iter().map(|stage| (*stage, found.read(*stage))).collect())
    }
}

/// Of one thread: how long it ran, and how long it stood ready while others had the processor.
#[derive(Clone, Copy, Debug)]
struct ThreadTime {
    ran_ns: u64,
    waited_ns: u64,
}

/// Of all threads of a process.
#[derive(Clone, Debug)]
pub struct ThreadTimes(BTreeMap<u32, ThreadTime>);

impl ThreadTimes {
    /// How long the thread that ran most since `earlier` has waited for a processor meanwhile, ns.
    pub fn busiest_waited_ns(&self, earlier: &Self) -> Option<u64> {
        let since = |(number, now): (&u32, &ThreadTime)| {
            let before = earlier.0.get(number)?;
            Some((now.ran_ns.checked_sub(before.ran_ns)?, now.waited_ns.checked_sub(before.waited_ns)?))
        };
        self.0.iter().filter_map(since).max().map(|(_, waited_ns)| waited_ns)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// The child's lines, read by a thread that ends with it.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
