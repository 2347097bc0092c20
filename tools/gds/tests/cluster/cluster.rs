//! The cluster: hosts, etcd, three members, and the load on them.
use crate::common::SLEEPING_CORES;
use crate::common::{PATIENCE, skip};
use crate::ears::Ears;
use crate::etcd::Etcd;
use crate::member::{Member, Standing};
use crate::verdict;
use crate::writers::{self, Writers};
use gds_client::Network;
use gds_hosts::{INTERFACE, Mesh};
use gds_node::config::Config;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take until it is in sync again: it reads its journal and catches up under load.
const HEAL: Duration = Duration::from_secs(180);
/// Nodes.
pub const MEMBERS: usize = 3;
/// The host of etcd.
pub const ETCD: usize = MEMBERS;
/// The host of everybody else.
pub const CLIENTS: usize = MEMBERS + 1;

/// What a run is like.
pub struct Plan {
    /// Messages a second.
    pub rate: u64,
    /// After so much silence a node takes another for dead.
    pub silence_ms: u64,
    /// Rings and journals keep little, so that who has missed more needs a snapshot; one takes seconds to be given.
    pub pruned: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heartbeat_ms = self.heartbeat_ms();
        let Self { silence_ms, .. } = self;
        write!(
            f,
            "heartbeat {heartbeat_ms} ms, silence {silence_ms} ms of a leader and of a replica, etcd's defaults"
        )
    }
}

impl Plan {
    fn heartbeat_ms(&self) -> u64 {
        (self.silence_ms / 10).max(1)
    }

    /// What is in `[ring]`, `[journal]`, `[snapshot]`, and in `[cluster]` besides.
    fn kept(&self) -> [&'static str; 4] {
        match self.pruned {
            false => [
                "data_bytes = 16777216\npositions = 131072",
                "segment_bytes = 8388608",
                "every_messages = 200000\nsegment_bytes = 4194304",
                "",
            ],
            true => [
                "data_bytes = 1048576\npositions = 2048",
                "segment_bytes = 1048576\ngroup_bytes_max = 65536\nkeep_messages = 500",
                "every_messages = 4000\nsegment_bytes = 1048576",
                "snapshot_bytes_per_second = 65536",
            ],
        }
    }
}

/// One cluster at a time: together they would take each other's processors, and nodes that live would be taken for dead.
static ONE: Mutex<()> = Mutex::new(());

/// All of it. Fields are dropped in this order: programs before the hosts they run on, and those before the folders.
pub struct Cluster {
    /// By place.
    pub members: Vec<Member>,
    pub etcd: Etcd,
    writers: Writers,
    network: Network,
    pub ears: Ears,
    pub mesh: Mesh,
    pruned: bool,
    /// Configurations, logs and journals; rings and etcd's data.
    _folders: [TempDir; 2],
    _one: MutexGuard<'static, ()>,
}

impl Cluster {
    /// A cluster that is in sync, under load; `None` where there can be none.
    pub fn open(plan: &Plan) -> Option<Self> {
        if !Etcd::is_installed() {
            skip("etcd is not installed (apt-get install etcd-server)");
            return None;
        }
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mesh = match Mesh::new(CLIENTS + 1) {
            Ok(mesh) => mesh,
            Err(why) => {
                skip(&format!("no network namespaces: {why}"));
                return None;
            }
        };
        mesh.enter(CLIENTS).unwrap_or_else(|why| panic!("{why}"));
        let folder = |place: &Path| tempfile::Builder::new().prefix("gds-cluster-").tempdir_in(place);
        let disk = folder(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("the build folder can be written");
        let memory = folder(Path::new("/dev/shm"))
            .unwrap_or_else(|_| tempfile::tempdir().expect("a temporary folder"));
        let etcd = Etcd::start(&mesh, ETCD, memory.path());
        let places = Places { mesh: &mesh, etcd: &etcd, disk: disk.path(), memory: memory.path() };
        let files: Vec<PathBuf> = (0..MEMBERS).map(|place| places.configure(plan, place)).collect();
        let config = Config::load(&places.configure(plan, CLIENTS)).unwrap_or_else(|error| panic!("{error}"));
        let network = Network::of(&config).unwrap_or_else(|error| panic!("{error}"));
        let query_port = config.network.query_port;
        let mut members: Vec<Member> = files
            .iter()
            .enumerate()
            .map(|(place, file)| Member::new(&mesh, place, file, query_port))
            .collect();
        members.iter_mut().for_each(Member::start);
        let nodes = (0..MEMBERS).map(|place| mesh.address(place)).collect();
        let ears = Ears::open(&network, nodes);
        let writers = Writers::open(&network, plan.rate);
        let (pruned, _folders) = (plan.pruned, [disk, memory]);
        let mut cluster = Self { members, etcd, writers, network, ears, mesh, pruned, _folders, _one: one };
        cluster.heal();
        Some(cluster)
    }

    /// So many records more are in the store, whose values have so many bytes.
    pub fn fill(&self, records: u64, value_bytes: usize) {
        writers::fill(&self.network, records, value_bytes);
    }

    /// What `gds cluster` says on the host of this node: as text, and for programs.
    pub fn told(&self, place: usize) -> [String; 2] {
        let file = self.members[place].config_file();
        [&[][..], &["--json"]].map(|options| {
            let mut command = self.mesh.command(place, env!("CARGO_BIN_EXE_gds"));
            let ran =
                command.args(["cluster", "--timeout", "0.5", "--config"]).arg(file).args(options).output();
            String::from_utf8(ran.expect("the binary runs").stdout).expect("text")
        })
    }

    /// Who leads, when all is well.
    pub fn leader(&mut self) -> usize {
        self.leader_but(None).expect("a member leads").0
    }

    /// The leader of the newest epoch among those that answer, and its epoch; `out` is not asked.
    pub fn leader_but(&mut self, out: Option<usize>) -> Option<(usize, Standing)> {
        let asked = self.members.iter_mut().filter(|member| Some(member.place) != out);
        let standings = asked.filter_map(|member| Some((member.place, member.standing()?)));
        standings.filter(|(_, standing)| standing.leads).max_by_key(|(_, standing)| standing.epoch)
    }

    /// Waits until another one than `old` leads, in an epoch after this one.
    pub fn await_successor(&mut self, old: usize, epoch: u64) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((place, standing)) = self.leader_but(Some(old))
                && standing.epoch > epoch
            {
                return place;
            }
            assert!(Instant::now() < deadline, "nobody takes over from node {}: {}", old + 1, self.state());
            self.look();
        }
    }

    /// Waits until all are in sync, and acknowledgements go on.
    pub fn heal(&mut self) {
        let deadline = Instant::now() + HEAL;
        let before = self.writers.acknowledged();
        while !(self.is_well() && self.writers.acknowledged() > before) {
            assert!(Instant::now() < deadline, "the cluster does not heal: {}", self.state());
            self.look();
        }
    }

    fn is_well(&mut self) -> bool {
        let standings: Vec<Standing> = self.members.iter_mut().filter_map(Member::standing).collect();
        let epoch = standings.iter().map(|standing| standing.epoch).max();
        let leaders = standings.iter().filter(|standing| standing.leads).count();
        standings.len() == MEMBERS
            && leaders == 1
            && standings.iter().all(|standing| {
                Some(standing.epoch) == epoch && standing.is_in_sync && standing.in_sync == MEMBERS as u64
            })
    }

    /// Between two looks; whoever stopped by itself fails the test here.
    pub fn look(&mut self) {
        self.members.iter_mut().for_each(|member| {
            member.runs();
        });
        self.ears.check();
        self.writers.check();
        std::thread::sleep(Duration::from_millis(5));
    }

    /// For people.
    pub fn state(&mut self) -> String {
        let standings: Vec<Option<Standing>> = self.members.iter_mut().map(Member::standing).collect();
        format!("{} acknowledged, nodes {standings:#?}", self.writers.acknowledged())
    }

    /// How many transactions have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.writers.acknowledged()
    }

    /// Ends the load, waits until everything is acknowledged, known and applied everywhere, and judges.
    pub fn finish(mut self) {
        self.heal();
        let sent = self.writers.finish();
        let (last, digest) = self.settle();
        self.ears.await_all(last);
        let heard = self.ears.finish();
        verdict::judge(&mut self.members, last, &sent, &heard, self.pruned);
        let cuts: u64 = self.members.iter().map(|member| member.cuts).sum();
        println!("{last} messages, digest {digest:032x} on all nodes, {cuts} logs cut back, {heard}");
        self.members.iter_mut().rev().for_each(Member::stop);
    }

    /// Waits until all nodes have applied the same and come to the same state; the last message, and the state's digest.
    fn settle(&mut self) -> (u64, u128) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let statuses = self.members.iter_mut().map(|member| member.status().map(|report| report.status));
            let now: Vec<_> =
                statuses.map(|status| status.map(|status| (status.applied, status.digest))).collect();
            // A digest that a node shows is up to 20 ms old.
            if let Some(settled) =
                now[0].filter(|_| now == before && now.iter().all(|other| *other == now[0]))
            {
                return settled;
            }
            assert!(Instant::now() < deadline, "the nodes do not come to one state: {now:?}");
            before = now;
            std::thread::sleep(Duration::from_millis(60));
        }
    }
}

/// What configurations are made from.
struct Places<'a> {
    mesh: &'a Mesh,
    etcd: &'a Etcd,
    disk: &'a Path,
    memory: &'a Path,
}

impl Places<'_> {
    /// Writes the configuration for a host: of its node, or, on another host, of a client of node 1.
    fn configure(&self, plan: &Plan, host: usize) -> PathBuf {
        let file = self.disk.join(format!("{host}.toml"));
        fs::write(&file, self.text(plan, host)).expect("the test's folder can be written");
        file
    }

    fn text(&self, plan: &Plan, host: usize) -> String {
        let node = if host < MEMBERS { host } else { 0 };
        let ring = self.memory.join(format!("ring-{host}"));
        fs::create_dir_all(&ring).expect("memory can be written");
        let peers: String = (0..MEMBERS)
            .filter(|peer| *peer != node)
            .map(|peer| {
                format!("[[cluster.peer]]\nnode = {}\naddress = \"{}\"\n", peer + 1, self.mesh.address(peer))
            })
            .collect();
        let [ring_size, journal, snapshot, cluster] = plan.kept();
        format!(
            r#"
[stream]
directory = "{directory}"
ring_directory = "{ring}"
[network]
interface = "{INTERFACE}"
node = "{address}"
transport = "socket"
[limits]
records_max = 100000
bytes_max = 16777216
sessions_max = 64
horizon_messages = 1000
[ring]
{ring_size}
[journal]
{journal}
[snapshot]
{snapshot}
[[admission]]
pattern = "*"
sources = ["10.77.1.0/24"]
gap = "wait"
skip_after_ms = 1000
start = "one"
rerequest = "source"
[cluster]
node = {number}
register = "etcd"
heartbeat_ms = {heartbeat_ms}
silence_ms = {silence_ms}
replica_silence_ms = {silence_ms}
{cluster}
{peers}
[cluster.etcd]
endpoints = ["{etcd}"]
{SLEEPING_CORES}"#,
            directory = self.disk.join(format!("data-{host}")).display(),
            ring = ring.display(),
            address = self.mesh.address(node),
            number = node + 1,
            heartbeat_ms = plan.heartbeat_ms(),
            silence_ms = plan.silence_ms,
            etcd = self.etcd.endpoint(),
        )
    }
}
