//! A rewinder that is nothing else, beside a real node: it keeps the whole stream through losses and `kill -9`, answers as the node does,
//! byte for byte, and receivers ask it first and the node when it is gone.
mod common;

use common::load::{Load, TABLE};
use common::{Node, PATIENCE, Place, READY, Settings, gds};
use gds_client::{Listener, ListenerConfig, Network, Reader};
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_node::config::Config;
use gds_node::settings;
use gds_wire::mold::{Packet, REQUEST_BYTES, Request};
use gds_wire::query::Key;
use gds_wire::session::Session;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const WRITERS: usize = 3;

/// What a rewinder of its own runs with: the node's configuration, with ports and a folder that are its own.
fn config_of(place: &Place, loss_per_mille: u32) -> PathBuf {
    let network = &place.config().network;
    let node = place.network().addresses().rewinder;
    let text = fs::read_to_string(place.config_file()).expect("the test has written it");
    let with = |text: String, old: String, new: String| {
        assert!(text.contains(&old), "{old} is not in {text}");
        text.replace(&old, &new)
    };
    let text = with(
        text,
        format!("rewinder_port = {}", network.rewinder_port),
        format!("rewinders = [\"{node}\"]\nrewinder_port = {}", network.rewinder_port + 2),
    );
    let query = format!("query_port = {}", network.query_port);
    let text = with(text, query, format!("query_port = {}", network.query_port + 2));
    let directory = place.config().stream.directory.display().to_string();
    let text = with(text, format!("\"{directory}\""), format!("\"{directory}-far\""));
    let text = ["downstream", "acknowledgement"].into_iter().fold(text, |text, name| {
        with(text, format!("{name}_per_mille = 0"), format!("{name}_per_mille = {loss_per_mille}"))
    });
    let file = place.folder().join("rewinder.toml");
    fs::write(&file, text).expect("the test's folder can be written");
    file
}

/// A configuration of the place with other rewinders, for who listens.
fn network_asking(place: &Place, rewinders: &[SocketAddrV4], last: u16) -> Network {
    let mut config: Config = place.config().clone();
    config.network.rewinders = rewinders.to_vec();
    config.network.rewinder_port = last;
    Network::of(&config).expect("the loopback interface is there")
}

/// A running rewinder. Killed when dropped.
struct Rewinding {
    child: Child,
    lines: Receiver<Value>,
    ready: Value,
}

impl Rewinding {
    fn start(file: &PathBuf) -> Self {
        Self::start_with(file, &[])
    }

    /// With more arguments.
    fn start_with(file: &PathBuf, arguments: &[&str]) -> Self {
        let mut rewinding = Self::begin_with(file, arguments);
        rewinding.ready = rewinding.wait_for("ready");
        rewinding
    }

    /// One that need not become ready.
    fn begin(file: &PathBuf) -> Self {
        Self::begin_with(file, &[])
    }

    fn begin_with(file: &PathBuf, arguments: &[&str]) -> Self {
        let mut command = gds();
        command.arg("rewind").args(arguments).arg("--config").arg(file).arg("--json").stdout(Stdio::piped());
        command.stderr(File::create(file.with_extension("err")).expect("the test's folder can be written"));
        let mut child = command.spawn().expect("the binary runs");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("each line is JSON"));
            }
        });
        Self { child, lines, ready: Value::Null }
    }

    /// Its next line with this key.
    #[track_caller]
    fn wait_for(&self, key: &str) -> Value {
        let deadline = Instant::now() + READY;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("the rewinder did not say {key}: {error}"));
            if !line[key].is_null() {
                return line;
            }
        }
    }

    fn address(&self, name: &str) -> SocketAddrV4 {
        self.ready[name].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }

    fn session(&self, name: &str) -> Session {
        Session::padded(self.ready[name].as_str().expect("a name")).expect("a name")
    }

    fn number(&self, name: &str) -> u64 {
        self.ready[name].as_u64().expect("a number")
    }

    fn reader(&self) -> Reader {
        Reader::open_at(self.address("query"), "reader", "reader", READY).expect("it answers queries")
    }

    /// What it says of itself once it keeps so much.
    fn status(&self, at_least: u64) -> gds_client::StatusReport {
        let deadline = Instant::now() + PATIENCE;
        let mut reader = self.reader();
        loop {
            let report = reader.status(0).expect("it answers");
            if report.status.committed >= at_least {
                reader.close();
                return report;
            }
            assert!(Instant::now() < deadline, "it does not come to {at_least}: {report:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(mut self) -> Value {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let stopped = self.wait_for("stopped");
        assert!(self.child.wait().expect("it is our child").success());
        stopped
    }
}

impl Drop for Rewinding {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counter(report: &gds_client::StatusReport, name: &str) -> u64 {
    report.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value)
}

/// Whoever asks rewinders by hand.
struct Asking(UdpSocket);

impl Asking {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        Self(socket)
    }

    /// The reply of one rewinder, asked again where a packet may have been lost.
    fn ask(&self, to: SocketAddrV4, request: &[u8; REQUEST_BYTES], attempts: u32) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        for _ in 0..attempts {
            self.0.send_to(request, to).expect("loopback takes it");
            while let Ok((length, from)) = self.0.recv_from(&mut buffer) {
                if from == to.into() {
                    return Some(buffer[..length].to_vec());
                }
            }
        }
        None
    }

    /// Both give the same bytes for the whole session, and for random pieces of it. Returns how many packets that was.
    fn compare(&self, [one, other]: [SocketAddrV4; 2], session: Session, last: u64) -> u64 {
        let mut packets = 0;
        let mut both = |sequence, count| {
            let request = Request { session, sequence, count }.to_bytes();
            let [first, second] = [one, other].map(|rewinder| self.ask(rewinder, &request, 20));
            assert_eq!(first, second, "{count} of {session} from {sequence} on");
            packets += 1;
            let reply = first.expect("both have it");
            Packet::parse(&reply).expect("a packet").next_sequence()
        };
        let mut next = 1;
        while next <= last {
            next = both(next, 0xFFFE);
        }
        let mut random = Random::new(last);
        for _ in 0..200 {
            both(1 + random.below(last), 1 + random.below(40) as u16);
        }
        packets
    }
}

fn settings() -> Settings {
    // A small ring and small segments, so that both are gone round, and most is answered from the journal.
    Settings { ring_bytes: 1 << 20, segment_bytes: 1 << 20, ..Settings::default() }
}

#[test]
fn it_keeps_the_whole_stream_through_kills_and_answers_as_the_node_does() {
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, 30_000, 0);
    load.until("a beginning", &mut |load| load.seen.len() > 2_000);
    let file = config_of(&place, 100);
    let mut journalled = 0;
    for _ in 0..5 {
        let rewinding = Rewinding::start(&file);
        assert_eq!((rewinding.number("first_kept"), rewinding.number("acknowledgements_first_kept")), (1, 1));
        assert!(rewinding.number("journalled") >= journalled, "it goes on from its journal");
        journalled = rewinding.number("journalled");
        let here = load.seen.len();
        load.until("more", &mut |load| load.seen.len() > here + 3_000);
        // However slow the machine is: it dies with more than it had.
        let report = rewinding.status(here as u64 + 3_000);
        for name in
            ["listener_receiver.filled", "acknowledgement_listener_receiver.filled", "journal.messages"]
        {
            assert!(counter(&report, name) > 0, "{name} is 0: {report:?}");
        }
    }
    assert!(journalled > 2_000, "it kept {journalled} only");
    let rewinding = Rewinding::start(&file);
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    let last = place.settled().applied;
    let report = rewinding.status(last);
    assert_eq!((report.status.first_kept, report.status.committed), (1, last));
    let asking = Asking::new();
    let rewinders = [place.network().addresses().rewinder, rewinding.address("rewinder")];
    let outcomes = rewinding.session("acknowledgements");
    let deadline = Instant::now() + PATIENCE;
    let request = Request { session: outcomes, sequence: last, count: 1 }.to_bytes();
    while asking.ask(rewinders[1], &request, 1).is_none() {
        assert!(Instant::now() < deadline, "the last acknowledgement does not come");
    }
    for session in [rewinding.session("stream"), outcomes] {
        let packets = asking.compare(rewinders, session, last);
        println!("{packets} replies for {session} are the same on both");
    }
    let report = rewinding.status(last);
    assert!(counter(&report, "rewinder.replies") > 400, "{report:?}");

    // Whoever asks nobody else is served, also once the node is gone.
    node.kill();
    let port = rewinding.address("rewinder").port();
    let network = network_asking(&place, &[], port);
    let mut listener =
        Listener::open(&network, ListenerConfig::bus(&network)).expect("the group can be joined");
    let session = rewinding.session("stream");
    let heartbeat = gds_wire::mold::heartbeat(session, last + 1);
    assert!(network.own_port().expect("a port").send(network.addresses().downstream, &heartbeat));
    let mut heard = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while (heard.len() as u64) < last {
        listener.poll(&mut |number, message| {
            assert_eq!(number, heard.len() as u64 + 1);
            heard.push(message.to_vec());
        });
        assert!(Instant::now() < deadline, "the listener has {} of {last}", heard.len());
    }
    assert_eq!(heard, load.seen, "the same messages as those the node published");
    assert_eq!(rewinding.stop()["last"], last);

    // All of it is in its journal, and nothing else.
    let folder = format!("{}-far/rewinder", place.config().stream.directory.display());
    for journal in ["bus", "acknowledgements"] {
        let ran = gds().args(["journal", "verify", "--json"]).arg(format!("{folder}/{journal}")).output();
        let ran = common::Ran::from(ran.expect("the binary runs")).succeeded();
        assert_eq!(ran.json()["last"], last, "{ran:?}");
    }
}

#[test]
fn receivers_ask_the_nearest_and_the_next_while_it_is_gone() {
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let file = config_of(&place, 0);
    let mut load = Load::open(&place, WRITERS, 1_000_000, 0);
    load.until("a beginning", &mut |load| load.seen.len() > 200);
    let mut rewinding = Rewinding::start(&file);
    rewinding.status(200);
    let near = rewinding.address("rewinder");
    let network = network_asking(&place, &[near], place.config().network.rewinder_port);
    let losing = ListenerConfig { loss_per_mille: 200, ..ListenerConfig::bus(&network) };
    let mut listener = Listener::open(&network, losing).expect("the group can be joined");
    let mut next = 1;
    let mut listen = |load: &mut Load, listener: &mut Listener, messages: u64| {
        let until = listener.next_sequence() + messages;
        let deadline = Instant::now() + PATIENCE;
        while listener.next_sequence() < until {
            load.poll();
            listener.poll(&mut |number, _| {
                assert_eq!(number, next);
                next += 1;
            });
            assert!(Instant::now() < deadline, "it stays at {}", listener.next_sequence());
        }
    };
    let answered = |listener: &Listener| -> [u64; 2] {
        let answered: Vec<u64> = listener.asked().map(|(_, counters)| counters.answered.get()).collect();
        answered.try_into().expect("two rewinders")
    };
    listen(&mut load, &mut listener, 3_000);
    let before = answered(&listener);
    assert!(before[0] > 0, "the nearest answered nothing, and the next one {}", before[1]);

    drop(rewinding);
    // What it had answered by then is heard first.
    listen(&mut load, &mut listener, 1_000);
    let gone = answered(&listener);
    listen(&mut load, &mut listener, 3_000);
    let without = answered(&listener);
    assert!(without[1] > gone[1] && without[0] == gone[0], "{before:?}, {gone:?}, then {without:?}");
    assert!(listener.asked().next().expect("the nearest").1.passed_over.get() > 0);

    rewinding = Rewinding::start(&file);
    let deadline = Instant::now() + PATIENCE;
    while answered(&listener)[0] < without[0] + 50 {
        // It answers nothing that it still lacks itself, and on a slow machine might never catch up with all this load.
        rewinding.status(load.seen.len() as u64);
        listen(&mut load, &mut listener, 100);
        assert!(Instant::now() < deadline, "nobody asks it any more");
    }
    println!("answered by the nearest and the next: {before:?}, {without:?}, {:?}", answered(&listener));
    rewinding.stop();
    node.stop();
}

#[test]
fn it_begins_with_the_first_message_that_anybody_has() {
    let place = letting_go(false, 0);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, 1_000_000, 0);
    load.until("removed segments", &mut |load| {
        load.seen.len() > 5_000 && load.seen.len().is_multiple_of(500) && {
            let status = place.status(0);
            counter(&status, "snapshots.segments_pruned") >= 2
        }
    });
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    let last = place.settled().applied;
    let file = config_of(&place, 0);
    let rewinding = Rewinding::start(&file);
    let first = rewinding.number("first_kept");
    assert!(first > 1 && first < last, "{first} of {last}");
    let report = rewinding.status(last);
    assert_eq!(report.status.first_kept, first);
    let asking = Asking::new();
    let session = rewinding.session("stream");
    let [node_rewinder, own] = [place.network().addresses().rewinder, rewinding.address("rewinder")];
    let request = |sequence| Request { session, sequence, count: 1 }.to_bytes();
    assert_eq!(asking.ask(own, &request(first), 20), asking.ask(node_rewinder, &request(first), 20));
    assert_eq!(asking.ask(own, &request(first - 1), 1), None, "it is silent below");
    let mut messages = 0;
    rewinding.reader().range(first, last, &mut |_, _| messages += 1).expect("it has them");
    assert_eq!(messages, last - first + 1);
    drop(rewinding);
    let rewinding = Rewinding::start(&file);
    assert_eq!((rewinding.number("first_kept"), rewinding.number("journalled")), (first, last));
    let key = Key { table: TABLE, key: b"any" };
    let refused = rewinding.reader().get_all(&[key], 0, 0).expect_err("it has no records");
    assert!(refused.to_string().contains("ask a node"), "{refused}");
    rewinding.stop();
    node.stop();
}

/// Where a node takes snapshots and lets go of old segments; of those that the rewinder of [`config_of`] lacks, if it waits for that one, when they have
/// more than so many bytes.
fn letting_go(waits: bool, hold_bytes: u64) -> Place {
    let mut place = Place::new(&settings());
    let more = "[snapshot]\nevery_messages = 2000\nsegment_bytes = 1048576\n".to_owned();
    place.configure(&Settings { more, ..settings() });
    let far = if waits { format!("\"{}\"", far_of(&place)) } else { String::new() };
    let text = fs::read_to_string(place.node_file()).expect("written");
    let text = text.replace("[network]\n", &format!("[network]\nrewinders = [{far}]\n"));
    let journal = format!("[journal]\nkeep_messages = 1000\nrewinder_hold_bytes = {hold_bytes}\n");
    let text = text.replace("[journal]\n", &journal);
    fs::write(place.node_file(), text).expect("the test's folder can be written");
    place
}

/// Where the rewinder of [`config_of`] will be asked.
fn far_of(place: &Place) -> SocketAddrV4 {
    let interface = settings::interface(place.config()).resolve().expect("the interface is there");
    SocketAddrV4::new(interface.address, place.config().network.rewinder_port + 2)
}

/// Goes on with the load until the node has counted so much.
fn until_counted(place: &Place, load: &mut Load, name: &str, at_least: u64) {
    let mut looked = Instant::now();
    load.until(name, &mut |_| {
        looked.elapsed() > Duration::from_millis(100) && {
            looked = Instant::now();
            counter(&place.status(0), name) >= at_least
        }
    });
}

#[test]
fn a_node_keeps_old_segments_until_the_rewinder_has_their_messages() {
    let place = letting_go(true, 1 << 30);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, 1_000_000, 0);
    load.until("a beginning", &mut |load| load.seen.len() > 200);
    let (file, far) = (config_of(&place, 0), far_of(&place));
    let rewinding = Rewinding::start(&file);
    assert_eq!(rewinding.address("rewinder"), far);
    load.until("more", &mut |load| load.seen.len() > 1_000);
    rewinding.status(1_000);
    // `kill -9`
    drop(rewinding);

    until_counted(&place, &mut load, "snapshots.segments_held", 3);
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    let last = place.settled().applied;
    let trouble = node.wait_for("trouble")["trouble"].as_str().expect("text").to_owned();
    assert!(trouble.contains(&format!("rewinder {far} does not answer")), "{trouble}");
    let shown = place.gds(&["status", "--timeout", "10"]).succeeded();
    assert!(shown.out.contains(&format!("! rewinder {far} does not answer")), "{}", shown.out);
    let held = place.status(0);
    let lacks = counter(&held, &format!("far_rewinder_{far}.lacks"));
    assert!(lacks > 0 && counter(&held, "snapshots.held_bytes") >= 3 << 20, "{held:?}");
    assert_eq!(counter(&held, "snapshots.segments_not_fetched"), 0);

    let rewinding = Rewinding::start(&file);
    let had = rewinding.number("journalled");
    println!(
        "{had} of {last} messages kept when it died; the node keeps those from {} on, and {} segments for it",
        held.status.first_kept,
        counter(&held, "snapshots.segments_held")
    );
    assert!(held.status.first_kept <= had + 1 && had < last, "it went though it was lacked");
    rewinding.status(last);
    let deadline = Instant::now() + PATIENCE;
    let went = loop {
        let status = place.status(0);
        if counter(&status, "snapshots.segments_held") == 0
            && counter(&status, "snapshots.segments_pruned") >= 3
        {
            break status;
        }
        assert!(Instant::now() < deadline, "they do not go: {status:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(went.status.first_kept > had && went.status.first_kept > held.status.first_kept, "{went:?}");
    assert_eq!(counter(&went, "snapshots.segments_not_fetched"), 0);
    assert_eq!(counter(&went, &format!("far_rewinder_{far}.lacks")), 0);
    assert_eq!(node.wait_for("trouble")["trouble"], "", "all is well again");
    assert_eq!(rewinding.stop()["last"], last);
    // It has what the node has let go.
    let folder = format!("{}-far/rewinder", place.config().stream.directory.display());
    for journal in ["bus", "acknowledgements"] {
        let ran = gds().args(["journal", "verify", "--json"]).arg(format!("{folder}/{journal}")).output();
        let verified = common::Ran::from(ran.expect("the binary runs")).succeeded().json();
        assert_eq!(
            (&verified["first"], &verified["last"]),
            (&Value::from(1), &Value::from(last)),
            "{verified}"
        );
    }
    node.stop();
}

#[test]
fn a_node_keeps_no_more_for_a_rewinder_that_stays_away_than_it_may() {
    let most = 3 << 20;
    let place = letting_go(true, most);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, 1_000_000, 0);
    until_counted(&place, &mut load, "snapshots.segments_not_fetched", 1);
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    // It is said as soon as it is silent, and more urgently when its segments go.
    loop {
        let trouble = node.wait_for("trouble")["trouble"].as_str().expect("text").to_owned();
        if trouble.contains("Some have gone without it already") {
            break;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while counter(&place.status(0), "snapshots.held_bytes") > most {
        assert!(Instant::now() < deadline, "too much stays held: {:?}", place.status(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(place.status(0).status.first_kept > 1);
    node.stop();
}

#[test]
fn it_goes_on_with_a_new_session_only_where_told_to() {
    let place = Place::new(&settings());
    let file = config_of(&place, 0);
    let node = Node::start(&place);
    let rewinding = Rewinding::start(&file);
    let old = rewinding.session("stream");
    let put = |key: &str| {
        let said =
            place.gds(&["put", "records", key, "value", "--json", "--timeout", "30"]).succeeded().json();
        said["sequence"].as_u64().expect("a number")
    };
    let before = put("before");
    rewinding.status(before);
    // A reboot, as far as the node can see.
    node.kill();
    remove_files(place.ring_folder());
    let forced = place.gds(&["force-lead", "--accept-loss", "--json"]).succeeded().json();
    let node = Node::start(&place);
    let name = forced["session"].as_str().expect("a name");
    let new = Session::padded(name).expect("a name");
    let after = put("after");

    // It says what happened, takes nothing, and answers what it has, also when it is started again.
    loop {
        let trouble = rewinding.wait_for("trouble")["trouble"].as_str().expect("text").to_owned();
        if trouble.contains(&format!("is session {new}")) {
            assert!(trouble.contains("gds rewind --accept-session"), "{trouble}");
            break;
        }
    }
    rewinding.stop();
    let rewinding = Rewinding::start(&file);
    let asker = Asking::new();
    let request = |session| Request { session, sequence: 1, count: 1 }.to_bytes();
    let own = rewinding.address("rewinder");
    assert_eq!(rewinding.session("stream"), old);
    assert!(asker.ask(own, &request(old), 50).is_some());
    assert!(asker.ask(own, &request(new), 1).is_none());
    rewinding.stop();

    // Told to, it keeps the new session, as the node has it, and what it had before beside it.
    let rewinding = Rewinding::start_with(&file, &["--accept-session", name]);
    assert_eq!(rewinding.session("stream"), new);
    rewinding.status(after);
    let nodes = place.network().addresses().rewinder;
    assert!(asker.compare([nodes, rewinding.address("rewinder")], new, after) > 0);
    let kept = PathBuf::from(rewinding.ready["directory"].as_str().expect("a folder"));
    assert!(kept.join(format!("before-{new}")).join("bus").is_dir());
    rewinding.stop();
    let rewinding = Rewinding::start(&file);
    assert_eq!(rewinding.session("stream"), new);
    rewinding.stop();
    node.stop();
}

fn remove_files(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is there").path()) {
        match entry.is_dir() {
            true => remove_files(&entry),
            false => fs::remove_file(entry).expect("it can be removed"),
        }
    }
}

#[test]
fn it_says_what_keeps_it_from_keeping_the_stream() {
    let place = Place::new(&Settings { session: "MARKET1", ..settings() });
    let file = config_of(&place, 0);
    // Nobody publishes yet.
    let mut rewinding = Rewinding::begin(&file);
    let trouble = rewinding.wait_for("trouble");
    assert!(trouble["trouble"].as_str().expect("text").contains("is a node running"), "{trouble}");
    let node = Node::start(&place);
    rewinding.ready = rewinding.wait_for("ready");
    // Its journal has a stream's name once it has a message of it.
    rewinding.status(1);
    // It goes on when the node does not.
    node.stop();
    let trouble = loop {
        let trouble = rewinding.wait_for("trouble")["trouble"].as_str().expect("text").to_owned();
        if !trouble.is_empty() {
            break trouble;
        }
    };
    assert!(trouble.contains("nothing of MARKET1 is heard"), "{trouble}");
    drop(rewinding);

    let text = fs::read_to_string(&file).expect("written");
    let fails_with = |text: String, what: &str| {
        fs::write(&file, text).expect("the test's folder can be written");
        let ran =
            common::Ran::from(gds().arg("rewind").arg("--config").arg(&file).output().expect("it runs"));
        assert!(ran.code != 0 && ran.err.contains(what), "{what}: {ran:?}");
    };
    fails_with(
        text.replace("session = \"MARKET1\"", "session = \"MARKET2\""),
        "belongs to stream MARKET1, not to MARKET2",
    );
    let alone = text.lines().filter(|line| !line.starts_with("rewinders")).collect::<Vec<_>>().join("\n");
    fails_with(alone, "nobody to ask for missed messages");
    fails_with(text.replace("rewinders = [\"127", "rewinders = [\"x127"), "network.rewinders");
}
