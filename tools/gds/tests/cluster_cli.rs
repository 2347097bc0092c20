//! What operators see and do: `gds cluster`, `gds failover` and `gds force-lead`, with real processes on loopback and a lock file.
mod common;

use common::{PATIENCE, Place, Ran, Settings, gds};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Some nodes of one cluster, each killed when dropped.
struct Cluster {
    place: Place,
    running: Vec<Option<Child>>,
}

impl Cluster {
    /// Configures so many nodes and starts none.
    fn new(count: u8) -> Self {
        Self::with(count, &Settings::default())
    }

    fn with(count: u8, settings: &Settings) -> Self {
        let place = Place::new(settings);
        let this = Self { running: (0..count).map(|_| None).collect(), place };
        for node in 1..=count {
            fs::write(this.file(node), this.text(node, count)).expect("the test's folder can be written");
        }
        this
    }

    fn text(&self, node: u8, count: u8) -> String {
        let place = &self.place;
        let base = fs::read_to_string(place.config_file()).expect("it was written");
        let folder = place.folder().display();
        let last = place.network().addresses().query.port();
        let mut text = base
            .replace("[network]\n", &format!("[network]\ninterface = \"127.0.0.{node}\"\n"))
            .replace("\"rewinder\", \"query\"]", "\"rewinder\", \"query\", \"replica_rewinder\"]")
            .replace(
                &format!(
                    "\ndirectory = \"{}\"",
                    place.journal("").display().to_string().trim_end_matches('/')
                ),
                &format!("\ndirectory = \"{folder}/data-{node}\""),
            );
        text += &format!(
            "[cluster]\nnode = {node}\nregister = \"file:{folder}/register\"\ngroup = \"239.205.{}.{}\"\nport = {}\nhistory_port = {}\n\
             heartbeat_ms = 20\nsilence_ms = 400\nreplica_silence_ms = 1000\n",
            last / 250,
            last % 250 + 1,
            last + 1,
            last + 2
        );
        for peer in (1..=count).filter(|peer| *peer != node) {
            text += &format!("[[cluster.peer]]\nnode = {peer}\naddress = \"127.0.0.{peer}\"\n");
        }
        text
    }

    fn file(&self, node: u8) -> PathBuf {
        self.place.folder().join(format!("n{node}.toml"))
    }

    fn directory(&self, node: u8) -> PathBuf {
        self.place.folder().join(format!("data-{node}"))
    }

    fn run(&self, node: u8, arguments: &[&str]) -> Ran {
        let mut command = gds();
        command.args(arguments).arg("--config").arg(self.file(node));
        Ran::from(command.output().expect("the binary runs"))
    }

    fn start(&mut self, node: u8) {
        let log = |kind| File::create(self.place.folder().join(format!("n{node}.{kind}"))).expect("a file");
        let mut command = gds();
        command.arg("run").arg("--config").arg(self.file(node)).stdout(log("out")).stderr(log("err"));
        self.running[usize::from(node) - 1] =
            Some(command.stdin(Stdio::null()).spawn().expect("the binary runs"));
    }

    fn child(&mut self, node: u8) -> Child {
        self.running[usize::from(node) - 1].take().expect("it was started")
    }

    fn kill(&mut self, node: u8) {
        let mut child = self.child(node);
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    fn stop(&mut self, node: u8) {
        let mut child = self.child(node);
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(told.expect("`kill` is there").success());
        assert!(child.wait().expect("it is our child").success());
    }

    /// Waits until the node has stopped by itself; what it said.
    fn stopped(&mut self, node: u8) -> String {
        let mut child = self.child(node);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                assert!(!status.success(), "it says that something is wrong");
                break;
            }
            assert!(Instant::now() < deadline, "node {node} does not stop");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fs::read_to_string(self.place.folder().join(format!("n{node}.err"))).expect("its output")
    }

    /// Looks until `gds cluster` on this node's machine says this.
    fn finds(&self, node: u8, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(node, &["cluster"]);
            assert_eq!(ran.code, 1, "not everything is well: {ran:?}");
            if ran.out.contains(what) {
                return ran.out;
            }
            assert!(Instant::now() < deadline, "it does not say {what:?}: {ran:?}");
        }
    }

    /// Writes records with these keys, each with this value.
    fn put_all(&self, node: u8, keys: std::ops::Range<u32>, value: &str) {
        for key in keys {
            self.run(node, &["put", "records", &format!("key {key}"), value]).succeeded();
        }
    }

    /// What a stopped node's journal has: each message as `gds journal dump` shows it.
    fn journal(&self, node: u8) -> Vec<String> {
        let folder = self.directory(node).join("bus");
        let dumped = gds().args(["journal", "dump"]).arg(folder).output().expect("the binary runs");
        let text = Ran::from(dumped).succeeded().out;
        text.lines().map(str::to_owned).collect()
    }

    /// Looks until everything is well.
    fn well(&self) -> Value {
        let picture = self.run(1, &["cluster", "--json", "--wait", "60"]).succeeded().json();
        assert_eq!((&picture["well"], &picture["findings"]), (&json!(true), &json!([])));
        picture
    }

    fn leader(&self) -> u8 {
        self.well()["leader"].as_u64().expect("somebody leads") as u8
    }

    /// What the register holds.
    fn register(&self) -> Value {
        let text = fs::read_to_string(self.place.folder().join("register")).expect("it is there");
        let held: Value = serde_json::from_str(&text).expect("JSON");
        if held["value"].is_null() { held } else { held["value"].clone() }
    }

    /// The session that a node shows.
    fn session(&self, node: u8) -> String {
        let status = self.run(node, &["status", "--json"]).succeeded().json();
        status["stream"].as_str().expect("a name").to_owned()
    }

    /// Looks until somebody leads, whatever else is wrong.
    fn led_by(&self, node: u8) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(node, &["cluster", "--json"]);
            let picture = ran.json();
            if picture["leader"] == json!(node) {
                return picture;
            }
            assert!(Instant::now() < deadline, "node {node} does not lead: {ran:?}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill().and_then(|()| child.wait());
        }
        if std::thread::panicking() {
            for node in 1..=self.running.len() {
                let of = |kind| fs::read_to_string(self.place.folder().join(format!("n{node}.{kind}")));
                eprintln!("node {node} said: {:?} {:?}", of("out"), of("err"));
            }
        }
    }
}

/// A copy of a folder and all in it, file by file, as `cp -r` makes one.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (kind, to) = (entry.file_type().expect("a file"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

fn other(node: u8) -> u8 {
    3 - node
}

#[test]
fn a_cluster_is_handed_over_and_taken_over() {
    let mut cluster = Cluster::new(2);
    let new = cluster.run(1, &["cluster", "--timeout", "0.2"]);
    assert!(new.code == 1 && new.out.contains("! the register holds nothing"), "{new:?}");
    cluster.start(1);
    cluster.start(2);
    let first = cluster.leader();
    let shown = cluster.run(2, &["cluster"]).succeeded().out;
    assert!(shown.contains(&format!("node {first} leads in epoch 1")) && shown.contains("✓"), "{shown}");
    cluster.run(1, &["put", "records", "key", "one"]).succeeded();

    let refused = cluster.run(other(first), &["failover"]);
    assert!(refused.code == 1 && refused.err.contains("order it there"), "{refused:?}");
    let done = cluster.run(first, &["failover", "--json", "--wait-ms", "30000"]).succeeded().json();
    let second = other(first);
    assert_eq!((&done["from"], &done["leader"], &done["epoch"]), (&json!(first), &json!(second), &json!(2)));
    cluster.run(2, &["put", "records", "key", "two"]).succeeded();
    assert_eq!(cluster.leader(), second);

    // A second process on a directory, and a person who forces what runs well, are told so.
    let taken = cluster.run(first, &["run"]);
    assert!(taken.code == 1 && taken.err.contains("is in use"), "{taken:?}");
    let forced = cluster.run(first, &["force-lead", "--accept-loss"]);
    assert!(forced.code == 1 && forced.err.contains("Nothing was changed"), "{forced:?}");

    cluster.kill(second);
    let picture = cluster.led_by(first);
    let finding = picture["findings"][0].as_str().expect("text");
    assert!(finding.starts_with(&format!("node {second} does not answer")), "{picture}");
    let gone = cluster.run(second, &["failover"]);
    assert!(gone.code == 1 && gone.err.contains(&format!("that is node {first}")), "{gone:?}");
    let kept = cluster.run(first, &["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "two");
    cluster.start(second);
    assert_eq!(cluster.leader(), first);
}

#[test]
fn a_node_without_everything_leads_only_when_a_person_says_so() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.start(2);
    let (first, second) = (cluster.leader(), other(cluster.leader()));
    cluster.run(1, &["put", "records", "key", "both"]).succeeded();
    cluster.well();
    cluster.kill(second);
    cluster.run(first, &["put", "records", "key", "one"]).succeeded();
    cluster.kill(first);

    let whole = cluster.run(first, &["force-lead", "--accept-loss", "--timeout", "0.2"]);
    assert!(whole.code == 1 && whole.err.contains("start it, and it leads by itself"), "{whole:?}");
    cluster.start(second);
    let follows = format!("node {second} ");
    let told = cluster.run(second, &["cluster"]);
    assert!(
        told.code == 1
            && told.out.contains("! nobody leads")
            && !told.out.contains(&format!("{follows}leads")),
        "{told:?}"
    );
    cluster.stop(second);

    let asked = cluster.run(second, &["force-lead", "--timeout", "0.2"]);
    assert!(asked.code == 1 && asked.err.contains("nothing was changed"), "{asked:?}");
    assert!(asked.out.contains(&format!("node {first} had everything")), "{asked:?}");
    assert!(asked.out.contains("goes on as MoldUDP64 session"), "{asked:?}");
    let old = cluster.register()["stream"].as_str().expect("a name").to_owned();
    assert!(cluster.register()["sessions"].is_null());
    let done = cluster.run(second, &["force-lead", "--accept-loss", "--timeout", "0.2"]).succeeded();
    assert!(done.out.contains("Start it: it leads"), "{done:?}");
    cluster.start(second);
    cluster.led_by(second);
    let kept = cluster.run(second, &["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "both", "what was committed without it is gone");
    cluster.run(second, &["put", "records", "key", "two"]).succeeded();
    // Files and register keep the stream id, and what is shown is the new name.
    let held = cluster.register();
    let new = held["sessions"][0]["name"].as_str().expect("a name").to_owned();
    assert_eq!(held["stream"], old.as_str(), "{held}");
    assert_eq!(cluster.session(second), new);
    let heading = cluster.run(second, &["cluster"]).out;
    assert!(heading.starts_with(&format!("GDS cluster, stream {new}: ")), "{heading}");
    let told = cluster.run(second, &["range", "1", "--session", &old]);
    assert!(told.code == 1 && told.err.contains(&format!("goes on as session {new}")), "{told:?}");
    cluster.kill(second);
    cluster.start(second);
    cluster.led_by(second);
    assert_eq!(cluster.session(second), new, "it is the stream's from here on");
}

#[test]
fn a_lost_register_is_not_made_up_by_a_node() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.start(2);
    cluster.leader();
    cluster.run(1, &["put", "records", "key", "kept"]).succeeded();
    let stream = cluster.session(1);
    fs::remove_file(cluster.place.folder().join("register")).expect("it is there");
    let lost = cluster.run(1, &["cluster"]);
    assert!(lost.code == 1 && lost.out.contains("! the register holds nothing"), "{lost:?}");
    cluster.stop(1);
    cluster.stop(2);
    let refused = cluster.run(1, &["run"]);
    assert!(refused.code == 1 && refused.err.contains("gds force-lead"), "{refused:?}");
    let renamed = cluster.run(1, &["force-lead", "--json", "--timeout", "0.2"]).json();
    assert_eq!(renamed["new_session"], true, "nobody knows whether another node has more: {renamed}");
    let keeping = ["force-lead", "--accept-loss", "--keep-session", "--json", "--timeout", "0.2"];
    let done = cluster.run(1, &keeping).succeeded().json();
    assert_eq!((&done["new_session"], &done["session"]), (&json!(false), &json!(stream)));
    assert!(done["epoch"].as_u64() > Some(1_000_000), "epochs that nobody has heard of are left out: {done}");
    cluster.start(1);
    cluster.start(2);
    cluster.well();
    let kept = cluster.run(2, &["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "kept");
    assert_eq!(cluster.session(2), stream);
}

#[test]
fn a_member_whose_journal_is_gone_learns_and_never_takes_its_ring_for_a_journal() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.start(2);
    let (first, second) = (cluster.leader(), other(cluster.leader()));
    cluster.run(1, &["put", "records", "key", "both"]).succeeded();
    cluster.well();
    cluster.kill(second);
    fs::remove_dir_all(cluster.directory(second).join("bus")).expect("it is there");
    cluster.start(second);
    assert_eq!(cluster.leader(), first);
    let said =
        fs::read_to_string(cluster.place.folder().join(format!("n{second}.out"))).expect("it is there");
    let lost = said.lines().find(|line| line.trim_start().starts_with("lost ")).expect("it says so");
    assert!(lost.ends_with("and its journal is gone"), "{lost}");
    let kept = cluster.run(second, &["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "both");
}

#[test]
fn the_journal_of_a_lone_node_becomes_the_first_of_a_cluster() {
    let mut cluster = Cluster::new(2);
    let node = common::Node::start(&cluster.place);
    cluster.place.gds(&["put", "records", "key", "alone"]).succeeded();
    let stream = node.ready["stream"].as_str().expect("a name").to_owned();
    node.stop();
    let lone = cluster.place.gds(&["cluster"]);
    assert!(lone.code == 2 && lone.err.contains("cluster.node = 0"), "{lone:?}");
    fs::rename(cluster.place.journal(""), cluster.directory(1)).expect("it is there");
    let refused = cluster.run(1, &["run"]);
    assert!(refused.code == 1 && refused.err.contains("gds force-lead"), "{refused:?}");
    let asked = cluster.run(1, &["force-lead", "--timeout", "0.2"]);
    assert!(asked.code == 1 && asked.out.contains("nothing, if this node has been alone"), "{asked:?}");
    let done =
        cluster.run(1, &["force-lead", "--accept-loss", "--timeout", "0.2", "--json"]).succeeded().json();
    assert_eq!(done["epoch"], 2);
    let empty = cluster.run(2, &["force-lead", "--accept-loss", "--timeout", "0.2"]);
    assert!(empty.code == 1, "it has nothing: {empty:?}");
    cluster.start(1);
    cluster.start(2);
    assert_eq!(cluster.leader(), 1);
    let kept = cluster.run(2, &["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "alone");
    assert_eq!(
        (cluster.session(1), cluster.session(2)),
        (stream.clone(), stream.clone()),
        "nothing was missing"
    );

    // And back: a member's directory is a lone node's only by a person's word, and under a new name.
    cluster.stop(2);
    cluster.stop(1);
    let data = cluster.place.journal("");
    fs::rename(cluster.directory(1), &data).expect("it is there");
    let refused = common::Node::try_start(&cluster.place, &[]).err().expect("others may have more");
    assert!(refused.err.contains("was a member's of a cluster"), "{refused:?}");
    let done = cluster.place.gds(&["force-lead", "--accept-loss", "--json"]).succeeded().json();
    assert_eq!(done["new_session"], true, "{done}");
    let node = common::Node::start(&cluster.place);
    assert_eq!(node.ready["stream"], done["session"]);
    assert_ne!(node.ready["stream"], stream.as_str());
    let kept = cluster.place.gds(&["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "alone");
    node.stop();
}

#[test]
fn a_node_forced_behind_another_is_not_followed_and_nobody_says_that_all_is_well() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.start(2);
    let first = cluster.leader();
    let second = other(first);
    cluster.put_all(1, 0..5, "both");
    cluster.well();
    cluster.kill(second);
    cluster.put_all(first, 5..25, "first alone");
    cluster.stop(first);
    let shown = cluster.journal(first);
    cluster.run(second, &["force-lead", "--accept-loss", "--timeout", "0.2"]).succeeded();
    cluster.start(second);
    cluster.led_by(second);
    // Before the other one comes back numbers that it has shown are given again, and more.
    cluster.put_all(second, 0..40, "forced");

    cluster.start(first);
    let said = cluster.stopped(first);
    assert!(said.contains(&format!("the log of node {second}, which leads")), "{said}");
    assert!(said.contains("gds verify") && said.contains("gds set-aside"), "{said}");
    let found =
        cluster.finds(second, &format!("the logs of node {first} and of node {second}, which leads, differ"));
    assert!(!found.contains("✓"), "{found}");
    assert_eq!(cluster.journal(first)[..shown.len()], shown, "nothing of what it has shown was changed");
    let kept = cluster.run(second, &["get", "records", "key 7", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "forced");

    let aside = cluster.run(first, &["set-aside", "--json"]).succeeded().json();
    let aside = PathBuf::from(aside["set_aside"].as_str().expect("a folder"));
    assert!(aside.starts_with(cluster.directory(first)) && aside.join("bus").is_dir(), "{aside:?}");
    cluster.start(first);
    assert_eq!(cluster.leader(), second);
    let kept = cluster.run(first, &["get", "records", "key 7", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "forced");
}

#[test]
fn a_node_that_has_shown_what_a_forced_leader_lacks_stops_too() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.start(2);
    let first = cluster.leader();
    let second = other(first);
    cluster.well();
    cluster.kill(second);
    cluster.put_all(first, 0..20, "first alone");
    cluster.kill(first);
    cluster.run(second, &["force-lead", "--accept-loss", "--timeout", "0.2"]).succeeded();
    cluster.start(second);
    cluster.led_by(second);
    cluster.start(first);
    let said = cluster.stopped(first);
    assert!(said.contains("and this node has shown message"), "{said}");
    cluster.finds(second, &format!("node {first} has shown message"));
    // The other way out: the log of the node that stopped counts.
    cluster.stop(second);
    cluster.run(first, &["force-lead", "--accept-loss", "--timeout", "0.2"]).succeeded();
    cluster.start(first);
    cluster.led_by(first);
    let kept = cluster.run(first, &["get", "records", "key 19", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "first alone");
}

#[test]
fn a_restored_copy_of_a_directory_is_found_when_the_others_come_back() {
    let mut cluster = Cluster::with(2, &Settings { durability: "fsync", ..Settings::default() });
    cluster.start(1);
    cluster.start(2);
    let first = cluster.leader();
    let second = other(first);
    cluster.put_all(1, 0..5, "both");
    let (copied, directory) = (cluster.place.folder().join("copied"), cluster.directory(first));
    copy(&directory, &copied);
    cluster.put_all(1, 5..25, "after the copy");
    cluster.well();
    cluster.kill(second);
    cluster.kill(first);
    fs::remove_dir_all(&directory).expect("it is there");
    copy(&copied, &directory);

    // Alone it cannot know that anything is missing.
    cluster.start(first);
    cluster.led_by(first);
    cluster.start(second);
    let said = cluster.stopped(second);
    assert!(said.contains(&format!("the log of node {first}, which leads")), "{said}");
    cluster.finds(first, &format!("of node {first}, which leads"));
    cluster.stop(first);
    // It had taken the silent one out of the set before that came back.
    cluster.run(second, &["force-lead", "--accept-loss", "--timeout", "0.2"]).succeeded();
    cluster.start(second);
    cluster.led_by(second);
    cluster.run(first, &["set-aside"]).succeeded();
    cluster.start(first);
    cluster.well();
    let kept = cluster.run(first, &["get", "records", "key 24", "--json"]).succeeded().json();
    assert_eq!(kept["value"], "after the copy");
}

#[test]
fn the_nodes_of_a_cluster_are_compared() {
    let mut cluster = Cluster::new(3);
    (1..=3).for_each(|node| cluster.start(node));
    cluster.leader();
    cluster.run(1, &["put", "records", "key", "value"]).succeeded();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = cluster.run(2, &["verify", "--json"]).succeeded().json();
        assert_eq!((&found["agree"], &found["findings"]), (&json!(true), &json!([])), "{found}");
        let sides = found["sides"].as_array().expect("a list");
        assert_eq!((sides.len(), sides[0]["members"].as_array().map(Vec::len)), (1, Some(3)), "{found}");
        if (&sides[0]["stores"]["same"], &sides[0]["stores"]["count"]) == (&json!(true), &json!(3)) {
            break;
        }
        assert!(Instant::now() < deadline, "the stores never stand at one message: {found}");
    }
    cluster.leader();
    cluster.stop(3);
    let absent = cluster.run(1, &["verify"]);
    assert!(absent.code == 1 && absent.out.contains("! node 3 at 127.0.0.3"), "{absent:?}");
    let port = cluster.place.network().addresses().query.port();
    let [first, second] = [1, 2].map(|node| format!("127.0.0.{node}:{port}"));
    let directory = cluster.directory(3);
    let mut command = gds();
    command.args(["verify", "--server", &first, "--server", &second, "--directory"]).arg(directory);
    let agree = Ran::from(command.output().expect("the binary runs")).succeeded();
    assert!(agree.out.contains("✓ all agree up to message"), "{agree:?}");
}

/// Waits until a node has said something on its output.
fn said(cluster: &Cluster, node: u8, what: &str) {
    let file = cluster.place.folder().join(format!("n{node}.out"));
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&file).expect("a file").contains(what) {
        assert!(
            Instant::now() < deadline,
            "node {node} does not say {what:?}: {:?}",
            fs::read_to_string(&file)
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_register_that_holds_what_no_cluster_comes_to_stops_nobody_who_runs() {
    let mut cluster = Cluster::new(2);
    (1..=2).for_each(|node| cluster.start(node));
    cluster.well();
    let register = cluster.place.folder().join("register");
    let whole = fs::read_to_string(&register).expect("it was written");
    let held: Value = serde_json::from_str(&whole).expect("JSON");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut hostile = held.clone();
        hostile["revision"] = json!(held["revision"].as_u64().expect("a number") + 5);
        change(&mut hostile);
        hostile.to_string()
    };
    let texts = [
        (with(&|it| it["value"]["epoch"] = json!(u32::MAX)), "epoch = 4294967295"),
        (with(&|it| it["value"]["epoch"] = json!(0)), "epoch = 0"),
        (with(&|it| it["value"]["leader"] = json!(7)), "leader = 7"),
        (with(&|it| it["value"]["in_sync"] = json!([])), "it is not one of in_sync"),
        (
            with(&|it| it["value"]["in_sync"][0]["incarnation"] = json!(u64::MAX)),
            "incarnation 18446744073709551615",
        ),
        (with(&|it| it["value"]["in_sync"][0]["node"] = json!(0)), "node 0"),
        (with(&|it| it["value"]["stream"] = json!("OTHER")), "it names stream OTHER"),
        (with(&|it| it["revision"] = json!(u64::MAX)), "revision = 18446744073709551615"),
        ("x".repeat(1 << 20), "it has more than 4096 bytes"),
        ("no register".to_owned(), "it holds something else than it should"),
    ];
    for (text, why) in &texts {
        fs::write(&register, text).expect("it can be written");
        (1..=2).for_each(|node| said(&cluster, node, why));
        cluster.run(1, &["put", "records", "key", "value"]).succeeded();
        let looked = cluster.run(1, &["cluster"]);
        assert_eq!(looked.code, 1, "{looked:?}");
        if *why != "it names stream OTHER" {
            assert!(looked.out.contains(why), "{why}: {looked:?}");
        }
    }
    // A start refuses, and says what it is that it cannot read.
    cluster.kill(2);
    fs::write(&register, &texts[0].0).expect("it can be written");
    let refused = cluster.run(2, &["run"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("epoch = 4294967295") && refused.err.contains("gds force-lead"),
        "{refused:?}"
    );
    let refused = cluster.run(2, &["force-lead", "--accept-loss"]);
    // The other one may lead all the same.
    let why = ["epoch = 4294967295", "node 1 leads"];
    assert!(refused.code == 1 && why.iter().any(|why| refused.err.contains(why)), "{refused:?}");

    // With the register as it was all is well again; a life that no node lives through is refused too.
    fs::write(&register, &whole).expect("it can be written");
    let life = cluster.directory(2).join("life");
    let lived = fs::read_to_string(&life).expect("a file");
    fs::write(&life, "incarnation = 18446744073709551615\nwhole_since = 1\n").expect("it can be written");
    let refused = cluster.run(2, &["run"]);
    assert!(refused.code == 1 && refused.err.contains("incarnation = 18446744073709551615"), "{refused:?}");
    fs::write(&life, lived).expect("it can be written");
    cluster.start(2);
    cluster.well();
    (1..=2).for_each(|node| cluster.stop(node));
}
