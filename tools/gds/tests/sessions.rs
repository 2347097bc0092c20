//! A lone node that lost something acknowledged: it stays stopped whatever its configuration says, and goes on by a person's word alone, under a new session name that nobody takes for the old one.
//!
//! What was acknowledged is known from the acknowledgement group, packet by packet, and from what each command printed; neither asks the node's files.
mod common;

use common::{Node, PATIENCE, Place, Ran, Settings};
use gds_client::{ClientError, Listener, ListenerConfig, Reader};
use gds_core::agent::start::acknowledgement_session;
use gds_core::journal::walk;
use gds_core::port::DatagramPort;
use gds_node::ports::{Datagrams, Files};
use gds_wire::acknowledgement::Acknowledgement;
use gds_wire::mold::{Packet, Request};
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn settings(durability: &'static str) -> Settings {
    Settings { durability, segment_bytes: 1 << 20, ..Settings::default() }
}

/// Everything that is sent to both groups: under one session one number has one content, for ever.
struct Ear {
    groups: [Datagrams; 2],
    heard: BTreeMap<(Session, u64), Vec<u8>>,
}

impl Ear {
    fn open(place: &Place) -> Self {
        let network = place.network();
        let addresses = network.addresses();
        let port = |group| network.group_port(group).expect("the group can be joined");
        Self { groups: [addresses.downstream, addresses.acknowledgements].map(port), heard: BTreeMap::new() }
    }

    fn hear(&mut self) {
        let Self { groups, heard } = self;
        for group in groups {
            while group.receive(64, &mut |_, datagram| {
                let packet = Packet::parse(datagram).expect("a packet");
                for (number, message) in packet.messages() {
                    let before = heard.entry((packet.session, number)).or_insert_with(|| message.to_vec());
                    assert_eq!(before, message, "message {number} of {} has two contents", packet.session);
                }
            }) > 0
            {}
        }
    }

    /// Waits until this message has been heard.
    fn wait_for(&mut self, session: Session, number: u64) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.hear();
            if let Some(message) = self.heard.get(&(session, number)) {
                return message.clone();
            }
            assert!(Instant::now() < deadline, "message {number} of {session} is not heard");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Puts a record; its number, as the command says it was acknowledged.
fn put(place: &Place, key: &str, value: &str) -> u64 {
    let said = place.gds(&["put", "records", key, value, "--json", "--timeout", "30"]).succeeded().json();
    assert_eq!(said["applied"], true);
    said["sequence"].as_u64().expect("a number")
}

fn value(place: &Place, key: &str) -> Option<(String, u64)> {
    let said = place.gds(&["get", "records", key, "--json"]).json();
    let text = said["value"].as_str()?.to_owned();
    Some((text, said["version"].as_u64().expect("a version")))
}

fn named(node: &Node, name: &str) -> Session {
    Session::padded(node.ready[name].as_str().expect("a name")).expect("a name")
}

/// Removes what is in memory files: a reboot, or a copy of the directory to another machine.
fn remove_rings(folder: &Path) {
    for entry in fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is there").path()) {
        match entry.is_dir() {
            true => remove_rings(&entry),
            false => fs::remove_file(entry).expect("it can be removed"),
        }
    }
}

/// Waits until the journal has this message, then takes off the groups with it and all behind it, as a power cut may.
fn lose_from(place: &Place, number: u64, node: Node) {
    let folder = place.journal("bus");
    let deadline = Instant::now() + PATIENCE;
    let groups = loop {
        let mut groups = Vec::new();
        let mut files = Files::open_to_read(&folder).expect("the journal is there");
        let last = walk(&mut files, None, 0, &mut |group| {
            groups.push((group.segment(), group.offset(), group.next()))
        })
        .map_or(0, |walk| walk.last);
        if last >= number {
            break groups;
        }
        assert!(Instant::now() < deadline, "the journal does not come to {number}");
        std::thread::sleep(Duration::from_millis(5));
    };
    node.kill();
    let (segment, offset, _) = *groups.iter().find(|(_, _, next)| *next > number).expect("it is there");
    let path = folder.join(format!("{segment:020}.journal"));
    let file = OpenOptions::new().write(true).open(path).expect("the segment is there");
    let length = file.metadata().expect("it is there").len();
    file.write_all_at(&vec![0; (length - offset) as usize], offset).expect("it can be written");
    file.sync_all().expect("it can be written");
}

#[track_caller]
fn refuses(place: &Place) -> String {
    let failed = Node::try_start(place, &[]).err().expect("it lost what was acknowledged");
    assert!(failed.err.contains("`gds force-lead --config node.toml --accept-loss`"), "{failed:?}");
    failed.err
}

fn force(place: &Place, arguments: &[&str]) -> Ran {
    place.gds(&[&["force-lead", "--timeout", "0.2"], arguments].concat())
}

/// A node with three records, whose journal and ring have lost the last two, and what listened to it.
struct Lost {
    place: Place,
    ear: Ear,
    listener: Listener,
    old: Session,
    /// Numbers of the records.
    numbers: [u64; 3],
}

fn lost(durability: &'static str) -> Lost {
    let place = Place::new(&settings(durability));
    let mut ear = Ear::open(&place);
    let mut listener = place.listener();
    let node = Node::start(&place);
    let old = named(&node, "stream");
    let numbers = ["one", "two", "three"].map(|key| put(&place, key, "before"));
    let acknowledgements = acknowledgement_session(old);
    for number in numbers {
        let said = ear.wait_for(acknowledgements, number);
        assert!(Acknowledgement::parse(&said).expect("one").outcome().is_success());
        ear.wait_for(old, number);
    }
    hear_to(&mut listener, numbers[2]);
    lose_from(&place, numbers[1], node);
    remove_rings(place.ring_folder());
    Lost { place, ear, listener, old, numbers }
}

/// Polls until this number has been delivered; gives the messages.
fn hear_to(listener: &mut Listener, number: u64) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut messages = Vec::new();
    while listener.next_sequence() <= number {
        listener.poll(&mut |_, message| messages.push(message.to_vec()));
        assert!(Instant::now() < deadline, "message {number} is not heard");
        std::thread::yield_now();
    }
    messages
}

#[test]
fn a_lone_node_that_lost_something_goes_on_by_a_persons_word_and_under_a_new_name() {
    let Lost { mut place, mut ear, mut listener, old, numbers } = lost("memory");
    let last = numbers[1] - 1;
    // Whatever the configuration says now.
    let said = refuses(&place);
    assert!(said.contains(&format!("messages above {last} may")), "{said}");
    place.configure(&settings("fsync"));
    assert!(refuses(&place).contains(&format!("messages above {last} may")));
    let asked = force(&place, &[]);
    assert!(asked.code == 1 && asked.err.contains("nothing was changed"), "{asked:?}");
    assert!(
        asked.out.contains(&format!("messages {} to", numbers[1])),
        "their outcomes are there: {asked:?}"
    );
    refuses(&place);

    let done = force(&place, &["--accept-loss", "--json"]).succeeded().json();
    assert_eq!((&done["new_session"], &done["last"]), (&true.into(), &last.into()), "{done}");
    let node = Node::start(&place);
    let new = named(&node, "stream");
    assert_eq!(new.to_string(), done["session"].as_str().expect("a name"));
    assert_ne!(new, old);
    assert_eq!(named(&node, "acknowledgements"), acknowledgement_session(new));

    // Numbers and versions stay, and what is lost is lost; its numbers go to others, under the new name alone.
    assert_eq!(value(&place, "one"), Some(("before".into(), numbers[0])));
    assert_eq!((value(&place, "two"), value(&place, "three")), (None, None));
    assert_eq!(put(&place, "other", "after"), numbers[1]);
    let now = ear.wait_for(new, numbers[1]);
    assert_ne!(now, ear.heard[&(old, numbers[1])], "another message has that number");
    ear.wait_for(acknowledgement_session(new), numbers[1]);

    // Who knew the old name takes nothing of the new one, and can tell.
    let heard = listener.next_sequence();
    let deadline = Instant::now() + PATIENCE;
    while listener.other_session() != Some(new) {
        listener.poll(&mut |number, _| panic!("message {number} was taken for one of {old}"));
        assert!(Instant::now() < deadline, "the new session is not heard");
    }
    assert_eq!(listener.next_sequence(), heard);
    let report = place.status(0);
    assert_eq!((report.status.stream, report.differs_from(old)), (new, Some(last + 1)));
    rewinder_knows_the_new_name_alone(&place, old, new);
    readers_are_told(&place, old, new, last);

    // Who is told goes on: what is kept are its first messages.
    let network = place.network();
    let listening = ListenerConfig { session: Some(new), ..ListenerConfig::bus(&network) };
    let mut listener = Listener::open(&network, listening).expect("the group can be joined");
    let messages = hear_to(&mut listener, numbers[1]);
    for (message, number) in messages.iter().zip(1..=last) {
        assert!(ear.heard.get(&(old, number)).is_none_or(|before| before == message), "message {number}");
    }

    // The name is that of the stream from here on.
    node.kill();
    let node = Node::start(&place);
    assert_eq!(named(&node, "stream"), new);
    node.stop();
    place.configure(&settings("memory"));
    let node = Node::start(&place);
    assert_eq!(named(&node, "stream"), new);
    assert_eq!(value(&place, "other"), Some(("after".into(), numbers[1])));
    ear.hear();
    node.stop();
}

/// Requests of the old session are not answered; those of the new one are.
fn rewinder_knows_the_new_name_alone(place: &Place, old: Session, new: Session) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let rewinder = place.network().addresses().rewinder;
    for session in [old, acknowledgement_session(old), new] {
        let request = Request { session, sequence: 1, count: 1 }.to_bytes();
        socket.send_to(&request, rewinder).expect("it is sent");
    }
    let mut reply = [0; 2_000];
    let length = socket.recv(&mut reply).expect("the new session is answered");
    assert_eq!(Packet::parse(&reply[..length]).expect("a packet").session, new);
    let foreign = place.status(0).counters.iter().find(|(name, _)| name == "rewinder.foreign").map(|it| it.1);
    assert!(foreign >= Some(2), "{foreign:?}");
}

/// A query that means the numbers of the old session is told that they are another's now.
fn readers_are_told(place: &Place, old: Session, new: Session, last: u64) {
    let mut reader = place.reader();
    reader.expect_stream(old);
    match reader.range(1, 0, &mut |number, _| panic!("message {number} was read as one of {old}")) {
        Err(ClientError::OtherSession { from, .. }) => assert_eq!(from, Some(last + 1)),
        other => panic!("{other:?}"),
    }
    reader.close();
    for command in ["range", "watch"] {
        let of = |session: Session| {
            let session = session.to_string();
            let arguments = match command {
                "range" => vec!["range", "1", "1", "--session", &session],
                _ => vec!["watch", "--from", "1", "--limit", "1", "--session", &session],
            };
            place.gds(&arguments)
        };
        let told = of(old);
        let expected = format!(
            "stream {old} goes on as session {new} from a forced lead: messages from {} on",
            last + 1
        );
        assert!(told.code == 1 && told.err.contains(&expected) && told.out.is_empty(), "{told:?}");
        assert_eq!(of(new).succeeded().out.lines().count(), 1);
    }
}

#[test]
fn a_watch_does_not_go_on_over_a_forced_lead() {
    let place = Place::new(&settings("memory"));
    let node = Node::start(&place);
    let old = named(&node, "stream");
    let numbers = ["one", "two"].map(|key| put(&place, key, "before"));
    let mut reader: Reader = place.reader();
    let (mut node, mut forced, mut seen) = (Some(node), None, Vec::new());
    let ended = reader.watch(
        1,
        &mut |number, _| {
            seen.push(number);
            true
        },
        &mut || {
            if node.is_some() {
                lose_from(&place, numbers[1], node.take().expect("it runs"));
                remove_rings(place.ring_folder());
                force(&place, &["--accept-loss"]).succeeded();
                forced = Some(Node::start(&place));
                put(&place, "two", "after");
            }
            true
        },
    );
    let new = named(forced.as_ref().expect("it was forced"), "stream");
    match ended {
        Err(ClientError::OtherSession { old: was, new: is, from }) => {
            assert_eq!((was, is, from), (old, new, Some(numbers[1])));
        }
        other => panic!("{other:?}"),
    }
    let first: Vec<u64> = (1..=seen.len() as u64).collect();
    assert!(seen == first && seen.len() as u64 <= numbers[1] + 1, "{seen:?}");
}

#[test]
fn a_node_that_lost_nothing_is_not_forced_and_keeps_its_name_under_any_durability() {
    let mut place = Place::new(&settings("memory"));
    let node = Node::start(&place);
    let stream = named(&node, "stream");
    let first = put(&place, "one", "memory");
    node.kill();
    // The ring is there: with the other setting it goes into the journal first.
    place.configure(&settings("fsync"));
    let whole = force(&place, &["--accept-loss"]);
    assert!(whole.code == 1 && whole.err.contains("start it, and it goes on"), "{whole:?}");
    let node = Node::start(&place);
    assert_eq!(named(&node, "stream"), stream);
    assert_eq!(value(&place, "one"), Some(("memory".into(), first)));
    let second = put(&place, "two", "fsync");
    node.kill();
    remove_rings(place.ring_folder());
    place.configure(&settings("memory"));
    let node = Node::start(&place);
    assert_eq!(named(&node, "stream"), stream);
    assert_eq!(value(&place, "two"), Some(("fsync".into(), second)));
    put(&place, "three", "memory");
    node.kill();
    remove_rings(place.ring_folder());
    refuses(&place);
    place.configure(&settings("fsync"));
    refuses(&place);
}
