//! Files that are not what they were: a rotten block in an old segment stops nobody who reads for others, and is told with its place.
mod common;

use common::load::Load;
use common::{Node, PATIENCE, Place, Settings};
use gds_core::journal::walk;
use gds_node::ports::Files;
use gds_wire::mold::{Packet, Request};
use gds_wire::session::Session;
use serde_json::Value;
use std::fs::OpenOptions;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WRITERS: usize = 2;
const BLOCKS: u64 = 12_000;

/// A group of a journal.
#[derive(Clone, Debug)]
struct Group {
    file: PathBuf,
    offset: u64,
    length: u64,
    first: u64,
    last: u64,
}

/// The groups of a journal that have messages.
fn groups(folder: &Path) -> Vec<Group> {
    let mut files = Files::open_to_read(folder).expect("a journal");
    let mut groups = Vec::new();
    let mut note = |group: &gds_core::journal::Group<'_>| {
        if group.count() > 0 {
            groups.push(Group {
                file: folder.join(format!("{:020}.journal", group.segment())),
                offset: group.offset(),
                length: group.length() as u64,
                first: group.first(),
                last: group.next() - 1,
            });
        }
    };
    walk(&mut files, None, 0, &mut note).expect("it is whole");
    groups
}

/// A bit of a file is another one.
fn rot(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is that long");
    file.write_all_at(&[byte[0] ^ 8], at).expect("the test may write it");
    file.sync_all().expect("it is on the disk");
}

/// Asks the rewinder for one message after the other, in vain for the first, until the last is answered: which of them were.
fn answered(place: &Place, session: Session, asked: &[u64]) -> Vec<u64> {
    let own = UdpSocket::bind("127.0.0.1:0").expect("a port");
    own.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
    let rewinder = place.network().addresses().rewinder;
    let deadline = Instant::now() + PATIENCE;
    let mut answered = Vec::new();
    let mut bytes = [0; 2_000];
    while Instant::now() < deadline {
        for sequence in asked {
            let request = Request { session, sequence: *sequence, count: 1 };
            own.send_to(&request.to_bytes(), rewinder).expect("it is sent");
        }
        while let Ok((length, _)) = own.recv_from(&mut bytes) {
            let packet = Packet::parse(&bytes[..length]).expect("a packet");
            answered.push(packet.sequence);
            if Some(&packet.sequence) == asked.last() {
                return answered;
            }
        }
    }
    panic!("{asked:?}: only {answered:?} were answered");
}

/// A node with so much in its journal that the ring has not the beginning any more, and a group of the first segment.
fn filled() -> (Place, Node, Load, Group) {
    let settings = Settings { ring_bytes: 1 << 20, segment_bytes: 1 << 20, ..Settings::default() };
    let place = Place::new(&settings);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, BLOCKS, 0);
    load.finish();
    let groups = groups(&place.journal("bus"));
    let group = groups.iter().find(|group| group.first > 100).expect("there are many").clone();
    assert!(group.last + 10_000 < WRITERS as u64 * BLOCKS, "the ring has message {} still", group.last);
    (place, node, load, group)
}

#[test]
fn a_rotten_old_segment_and_a_request_for_it_do_not_stop_the_node() {
    let (place, mut node, _load, group) = filled();
    let stream = Session::padded(node.ready["stream"].as_str().expect("a name")).expect("a name");
    rot(&group.file, group.offset + group.length / 2);

    let (rotten, next) = (group.first, place.settled().applied);
    assert_eq!(answered(&place, stream, &[rotten, group.last, next]), [next]);
    assert_eq!(answered(&place, stream, &[rotten, 1]), [1], "all else is answered");
    let mut reader = place.reader();
    let failed =
        reader.range(rotten, rotten, &mut |_, _| panic!("it cannot be read")).expect_err("it is rotten");
    assert!(failed.to_string().contains("cannot be read"), "{failed}");
    reader.close();

    // What is wrong is said once, with the place, on the node and from anywhere.
    let trouble = node.wait_for("trouble")["trouble"].as_str().expect("a text").to_owned();
    let place_of = format!("{} cannot be read at offset {}", group.file.display(), group.offset);
    assert!(trouble.starts_with(&place_of), "{trouble}");
    let status = place.gds(&["status"]).succeeded().out;
    let line =
        format!("! its journal of the bus cannot be read in segment 1 at offset {}, message ", group.offset);
    assert!(status.contains(&line), "{status}");
    let counters = place.gds(&["status", "--json"]).succeeded().json()["counters"].clone();
    let counter = |name: &str| counters[name].as_u64().unwrap_or_else(|| panic!("{name} in {counters}"));
    assert!(counter("rewinder.unreadable") >= 2 && counter("query.unreadable") == 1);
    assert_eq!(counter("journal_unreadable.places"), 1);

    // The node goes on, and `gds journal verify` finds the same place.
    assert!(node.is_running(), "{}", node.errors());
    place.gds(&["put", "records", "after", "rot"]).succeeded();
    assert!(place.settled().applied > next);
    let folder = place.journal("bus").display().to_string();
    let verified =
        common::Ran::from(common::gds().args(["journal", "verify", &folder]).output().expect("it runs"));
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.err.contains(&format!("at offset {}", group.offset)), "{verified:?}");
}

#[test]
fn what_troubles_a_node_is_said_once_for_each_place() {
    let (place, node, _load, group) = filled();
    let stream = Session::padded(node.ready["stream"].as_str().expect("a name")).expect("a name");
    let all = groups(&place.journal("bus"));
    // In another file: behind a group that cannot be read nothing of its file is found.
    let old = |other: &&Group| other.file != group.file && other.last + 10_000 < WRITERS as u64 * BLOCKS;
    let other = all.iter().find(old).expect("an old one in another file").clone();
    rot(&group.file, group.offset + 64);
    rot(&other.file, other.offset + 200);
    let next = place.settled().applied;
    for _ in 0..3 {
        assert_eq!(answered(&place, stream, &[group.first, other.first, next]), [next]);
    }
    let said: Vec<Value> = (0..2).map(|_| node.wait_for("trouble")["trouble"].clone()).collect();
    assert_ne!(said[0], said[1]);
    node.stop();
}

/// Runs `gds journal verify` on a folder.
fn verify(folder: &Path, more: &[&str]) -> common::Ran {
    let folder = folder.display().to_string();
    let arguments = ["journal", "verify", &folder];
    common::Ran::from(common::gds().args(arguments).args(more).output().expect("it runs"))
}

/// A node's directory with some thousand messages, in small segments, closed in order.
fn closed() -> (Place, u64) {
    let settings = Settings { segment_bytes: 1 << 20, durability: "fsync", ..Settings::default() };
    let place = Place::new(&settings);
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, 20_000, 0);
    load.finish();
    let last = place.settled().applied;
    node.stop();
    (place, last)
}

#[test]
fn verifying_a_directory_checks_what_its_journals_lead_to() {
    let (place, last) = closed();
    let directory = place.journal("bus").parent().expect("a directory").to_owned();
    for folder in [directory.clone(), place.journal("bus"), place.journal("acknowledgements")] {
        let verified = verify(&folder, &["--json"]).succeeded().json();
        let lead = &verified["leads_to"];
        assert_eq!(
            (lead["outcomes_matched"].as_u64(), lead["outcomes_computed"].as_u64()),
            (Some(last), Some(last)),
            "{verified}"
        );
        let said = verify(&folder, &[]).succeeded().out;
        assert!(said.contains("are what the stream leads to"), "{said}");
        let said = verify(&folder, &["--bytes"]).succeeded().out;
        assert!(!said.contains("leads to") && said.contains("every checksum, chain and number"), "{said}");
    }
}

#[test]
fn the_first_outcomes_missing_are_found_and_the_node_says_so() {
    let (place, last) = closed();
    let acknowledgements = place.journal("acknowledgements");
    let all = groups(&acknowledgements);
    let first = all[0].file.clone();
    let begins = all.iter().find(|group| group.file != first).expect("there is a second segment").first;
    let aside = place.folder().join("aside");
    std::fs::rename(&first, &aside).expect("it can be moved");

    let verified = verify(&acknowledgements, &[]);
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.err.contains(&format!("outcomes 1 to {} are missing", begins - 1)), "{verified:?}");
    verify(&acknowledgements, &["--bytes"]).succeeded();
    let refused = Node::try_start(&place, &[]).err().expect("it does not start");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains(&format!("begins with outcome {begins}")), "{refused:?}");

    // As it says: without the folder all outcomes are computed again, and are the same.
    let kept = |folder: &Path| {
        let json = verify(folder, &["--json"]).succeeded().json();
        json["leads_to"]["outcomes_computed"].as_u64()
    };
    std::fs::rename(&acknowledgements, place.folder().join("outcomes-aside")).expect("it can be moved");
    Node::start(&place).stop();
    assert_eq!(kept(&acknowledgements), Some(place_last(&place)));
    assert!(place_last(&place) >= last);
}

/// The last message in the journal of the stream.
fn place_last(place: &Place) -> u64 {
    groups(&place.journal("bus")).last().expect("there are some").last
}
