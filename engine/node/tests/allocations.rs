//! After start the first core allocates nothing, and frees nothing: sequencer with ingress, store, both publishers, both
//! journals. A real node on loopback, both transports, both durabilities, under everything that happens to a node in
//! a day: loss, duplicates, gaps asked for and gaps given up, rejections of every kind, sessions that come, end and are
//! forgotten, a full table of them, records that come, go and are reclaimed.
//!
//! Outside of it, on purpose: a reader that was overrun goes to the journal, which lists files; and a disk's errors are made of text.
#[path = "allocations/blocks.rs"]
mod blocks;
#[path = "allocations/counting.rs"]
mod counting;
#[path = "allocations/load.rs"]
mod load;

use counting::{Counting, Counts, watch};
use gds_node::config::Config;
use gds_node::node::Node;
use load::Load;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static COUNTING: Counting = Counting;

/// One thread is watched at a time, and its name is that of every node's first core.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How the node names the thread that has, in the default layout, the agents this is about.
const FIRST_CORE: &str = "gds-core-0";
/// The rewinder, answering all the while, and the query server, which is not asked here.
const SECOND_CORE: &str = "gds-core-1";
/// For so long the watched core has nothing to do but heartbeats.
const QUIET: Duration = Duration::from_millis(150);
/// Bus messages before the watch, and during it.
const WARM_UP: u64 = 10_000;
const WATCHED: u64 = 60_000;

/// Small bounds, so that each is reached again and again.
const SETTINGS: &str = r#"
[limits]
records_max = 3000
bytes_max = 1000000
sessions_max = 10
session_forget_messages = 600
horizon_messages = 1000

[ring]
data_bytes = 2097152
positions = 16384

[journal]
segment_bytes = 4194304
group_bytes_max = 65536

[[admission]]
pattern = "SKIP*"
sources = ["127.0.0.0/8"]
gap = "skip"
skip_after_ms = 1
start = "first_seen"
rerequest = "none"

[[admission]]
pattern = "*"
sources = ["127.0.0.0/8"]
gap = "wait"
skip_after_ms = 1000
start = "one"
rerequest = "source"

[loss]
ingress_per_mille = 50
downstream_per_mille = 20
acknowledgement_per_mille = 20
rewinder_per_mille = 20
"#;

/// Snapshots, taken by the second core: beside it, the first serves images of the store.
const SNAPSHOTS: &str = "[snapshot]\nevery_messages = 10000\nsegment_bytes = 1048576\n";

/// The outcomes that these settings lead to, by their codes: all but the limits of bytes and of sessions.
const OUTCOMES: [u16; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14];
/// What must have happened while the first core was watched, or the watch shows little.
const HAPPENED: &[&str] = &[
    "ingress.after_end",
    "ingress.duplicates",
    "ingress.held",
    "ingress.refusals",
    "ingress.requests",
    "ingress.skips",
    "sequencer.sessions_ended",
    "store.rejected_limit",
    "publisher.heartbeats",
    "acknowledgement_publisher.heartbeats",
    "journal.segments_created",
    "acknowledgement_journal.segments_created",
    "publisher_port.lost_on_purpose",
    "acknowledgement_publisher_port.lost_on_purpose",
    "sequencer_port.lost_on_purpose",
    "rewinder.replies",
];
/// What must not have happened: a reader was overrun and had to go to the journal.
const OVERRUNS: &[&str] = &[
    "store_source.from_journal",
    "publisher_source.from_journal",
    "acknowledgement_publisher_source.from_journal",
];

fn counters(node: &Node) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for (set, counters) in node.counters() {
        counters.for_each(&mut |name, _, value| {
            found.insert(format!("{set}.{name}"), value);
        });
    }
    found
}

/// A node that is stopped in any case, and leaves no files in memory behind.
struct Running {
    node: Option<Node>,
    files: Vec<PathBuf>,
}

impl Running {
    fn stop(mut self) {
        self.node.take().expect("it runs").stop().expect("the node stops in order");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.node.take().map(Node::stop);
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// What makes a member of the node, one of two on the loopback interface.
fn membership(node: u8, register: &Path, port: u16, own: u32) -> String {
    let peer = 3 - node;
    format!(
        "[cluster]\nnode = {node}\nregister = \"file:{}\"\ngroup = \"239.192.1{own:02}.5\"\nport = {}\nhistory_port = {}\n\
         heartbeat_ms = 5\nsilence_ms = 5000\nreplica_silence_ms = 5000\ndigest_messages = 1000\n\
         [[cluster.peer]]\nnode = {peer}\naddress = \"127.0.0.{peer}\"\n",
        register.display(),
        port + 5,
        port + 6,
    )
}

/// Waits until a counter of the node is so high.
fn wait_for(node: &Node, name: &str, value: u64) {
    let began = Instant::now();
    while counters(node)[name] < value {
        let late = began.elapsed() > Duration::from_secs(20);
        assert!(!late, "{name} stays below {value}: {:#?}, {:?}", counters(node), node.fault());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn prove(core: &str, transport: &str, durability: &str, place: u16) {
    prove_of(core, transport, durability, place, false);
}

fn prove_of(core: &str, transport: &str, durability: &str, place: u16, replicated: bool) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Ports and groups of this process's own: other checkouts on this machine may run the same test.
    let own = std::process::id() % 100;
    let port = 20_000 + own as u16 * 100 + place;
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder for the journal");
    let text = |node: u8| {
        format!(
            "[stream]\ndurability = {durability:?}\ndirectory = {:?}\n\
         [network]\ninterface = \"127.0.0.{node}\"\ntransport = {transport:?}\ningress_groups = [\"239.192.1{own:02}.1\", \"239.192.1{own:02}.2\"]\ningress_port = {port}\n\
         downstream_group = \"239.192.1{own:02}.3\"\ndownstream_port = {}\nacknowledgement_group = \"239.192.1{own:02}.4\"\n\
         acknowledgement_port = {}\nrewinder_port = {}\nquery_port = {}\n{SETTINGS}",
            folder.path().join(node.to_string()),
            port + 1,
            port + 2,
            port + 3,
            port + 4,
        )
    };
    let config = |node| {
        let cluster = if replicated {
            membership(node, &folder.path().join("register"), port, own)
        } else {
            String::new()
        };
        // Whoever removes files may allocate.
        let snapshots = if core == FIRST_CORE { SNAPSHOTS } else { "" };
        Config::parse(&(text(node) + snapshots + &cluster), "allocations").expect("a good configuration")
    };
    let (replica_config, config) = (config(2), config(1));
    let node = match Node::start(&config, &mut gds_node::step::unwatched) {
        Ok(node) => node,
        Err(fault) if transport == "io_uring" => {
            println!("skipped: {fault}");
            return;
        }
        Err(fault) => panic!("{fault}"),
    };
    let files = gds_node::rings::files(&config);
    let running = Running { node: Some(node), files };
    let node = running.node.as_ref().expect("it runs");
    // Its first core has the same name: both are watched.
    let replica = replicated.then(|| {
        wait_for(node, "replication.leads", 1);
        let replica =
            Node::start(&replica_config, &mut gds_node::step::unwatched).expect("the replica starts");
        wait_for(node, "replication.in_sync", 2);
        let files = gds_node::rings::files(&replica_config);
        Running { node: Some(replica), files }
    });
    let mut load = Load::new(&config);
    load.run(node, WARM_UP);
    let (before, began) = (counters(node), Instant::now());
    let counts = watch(core, 1 + usize::from(replicated), || {
        std::thread::sleep(QUIET);
        load.run(node, WATCHED);
    });
    let (after, seconds) = (counters(node), began.elapsed().as_secs_f64());
    println!(
        "{core}, {transport}, {durability}: {counts:?} in {seconds:.1} s, outcomes by code {:?}",
        load.outcomes()
    );
    if let Some(replica) = replica {
        let of_replica = counters(replica.node.as_ref().expect("it runs"));
        assert!(of_replica["replication.entries_appended"] >= WATCHED, "{of_replica:#?}");
        assert!(of_replica["replication.digests_agreed"] > 0, "{of_replica:#?}");
        replica.stop();
    }
    running.stop();

    let grown = |name: &str| after[name].saturating_sub(before[name]);
    for name in HAPPENED {
        assert!(grown(name) > 0, "{name} did not grow: {after:#?}");
    }
    for name in OVERRUNS {
        assert_eq!(grown(name), 0, "{name}");
    }
    assert!(grown("sequencer.messages") >= WATCHED);
    if core == FIRST_CORE {
        assert!(grown("snapshots.taken") > 0, "{after:#?}");
    }
    assert_eq!(load.outcomes().keys().copied().collect::<Vec<_>>(), OUTCOMES, "outcomes");
    assert_eq!(
        counts,
        Counts { allocations: 0, frees: 0 },
        "{core}, {transport}, {durability}: see the backtraces above"
    );
}

#[test]
fn should_allocate_nothing_over_sockets_with_durability_memory() {
    prove(FIRST_CORE, "socket", "memory", 00);
}

#[test]
fn should_allocate_nothing_over_sockets_with_durability_fsync() {
    prove(FIRST_CORE, "socket", "fsync", 10);
}

#[test]
fn should_allocate_nothing_over_io_uring_with_durability_memory() {
    prove(FIRST_CORE, "io_uring", "memory", 20);
}

#[test]
fn should_allocate_nothing_over_io_uring_with_durability_fsync() {
    prove(FIRST_CORE, "io_uring", "fsync", 30);
}

#[test]
fn should_allocate_nothing_while_it_leads_nor_while_it_follows() {
    prove_of(FIRST_CORE, "auto", "memory", 50, true);
}

#[test]
fn should_allocate_nothing_in_the_rewinder() {
    prove(SECOND_CORE, "auto", "memory", 40);
}

#[test]
fn should_catch_a_thread_that_allocates() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    static STOP: AtomicBool = AtomicBool::new(false);
    static LAPS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let lapse = |allocate: bool| {
        STOP.store(false, Ordering::SeqCst);
        let agent = move || {
            while !STOP.load(Ordering::SeqCst) {
                if allocate {
                    std::hint::black_box(vec![0_u8; 24]);
                }
                LAPS.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
            }
        };
        let thread = std::thread::Builder::new().name(FIRST_CORE.into()).spawn(agent).expect("a thread");
        let wait = |laps: u64| {
            let until = LAPS.load(Ordering::SeqCst) + laps;
            while LAPS.load(Ordering::SeqCst) < until {
                std::thread::yield_now();
            }
        };
        wait(2);
        let counts = watch(FIRST_CORE, 1, || wait(10));
        STOP.store(true, Ordering::SeqCst);
        thread.join().expect("it ends");
        counts
    };
    assert_eq!(lapse(false), Counts { allocations: 0, frees: 0 });
    let caught = lapse(true);
    assert!(caught.allocations >= 9 && caught.frees >= 9, "{caught:?}");
}
