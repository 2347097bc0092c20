//! `kill -9` at random moments under load, in both durability modes, and what a power cut leaves.
//!
//! After each kill the node is started again by the same command. Then every message that the observer saw, a client had
//! acknowledged, or a query had told, is there once and unchanged; numbers go on without a hole; and what is submitted again changes
//! nothing twice.
mod common;

use common::captures::{binary_file, made_up_day};
use common::hosts::between_hosts;
use common::load::Load;
use common::model::Orders;
use common::{Node, Place, Settings, orders};
use gds_core::journal::{Walk, walk};
use gds_core::random::Random;
use gds_node::ports::Files;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Kills of one test.
const KILLS: usize = 50;
/// Kills of one over a network.
const KILLS_THERE: usize = 15;
const WRITERS: usize = 4;
/// More than they can submit.
const BLOCKS: u64 = 1_000_000;
const BLOCK_BYTES: u64 = 4096;

fn settings(durability: &'static str) -> Settings {
    // A small ring and small segments, so that both are gone round several times.
    Settings { durability, ring_bytes: 1 << 20, segment_bytes: 1 << 20, ..Settings::default() }
}

/// Kills, starts again and checks; `between` may do to the files what a power cut may do, given the last number that was shown to
/// anybody.
fn kills(place: &Place, kills: usize, seed: u64, between: &mut dyn FnMut(&mut Random, u64)) {
    let mut random = Random::new(seed);
    let mut load = Load::open(place, WRITERS, BLOCKS, 20);
    let mut node = Node::start(place);
    let (mut merged, mut torn) = (0, 0);
    for kill in 0..kills {
        load.go_on(Duration::from_micros(2_000 + random.below(40_000)));
        if random.chance(1, 8) {
            // In the middle of an orderly stop.
            node.stop_and_kill(Duration::from_micros(random.below(40_000)));
        } else {
            node.kill();
        }
        let shown = load.hear_all();
        between(&mut random, shown);
        if random.chance(1, 5) {
            // Again, while it is starting.
            Node::start_and_kill(place, Duration::from_micros(random.below(60_000)));
        }
        node = Node::start(place);
        merged += u64::from(node.ready["merged_from_ring"].as_u64() > Some(0));
        torn += node.ready["torn"].as_array().expect("a list").len();
        load.resubmit(place, 4);
        load.check(place);
        assert!(
            load.known() >= shown,
            "kill {kill}: {shown} had been shown, the stream ends with {}",
            load.known()
        );
    }
    load.clients.iter_mut().for_each(|client| client.left = 0);
    load.finish();
    load.check(place);
    let before = place.settled();
    node.kill();
    let node = Node::start(place);
    assert_eq!(place.settled(), before, "the same stream gives the same state");
    node.stop();
    let node = Node::start(place);
    load.check(place);
    node.stop();
    let steps: u64 = load.clients.iter().map(|client| client.count).sum();
    println!(
        "{kills} kills, {} messages, {steps} steps counted, {merged} starts took messages from the ring, {torn} torn tails",
        load.known()
    );
    assert!(steps > kills as u64, "there was hardly any load");
}

#[test]
fn nothing_shown_is_lost_by_kills_with_durability_memory() {
    let place = Place::new(&settings("memory"));
    kills(&place, KILLS, 1, &mut |_, _| {});
}

#[test]
fn nothing_shown_is_lost_by_kills_with_durability_fsync() {
    let place = Place::new(&settings("fsync"));
    kills(&place, KILLS, 2, &mut |_, _| {});
}

#[test]
fn nothing_shown_is_lost_by_power_cuts_with_durability_fsync() {
    let place = Place::new(&settings("fsync"));
    let mut done = [0; 2];
    kills(&place, KILLS, 3, &mut |random, shown| {
        // Outcomes are not synced: a power cut may take any part of what no sync has followed.
        let acknowledgements = Journal::of(&place, "acknowledgements");
        let shown = shown.max(acknowledgements.walk.last);
        tear_acknowledgements(random, &acknowledgements);
        let bus = Journal::of(&place, "bus");
        assert!(bus.walk.last >= shown, "{shown} was shown and {} is in the journal", bus.walk.last);
        done[usize::from(tear(random, &bus, shown))] += 1;
    });
    println!("{} times the last group was torn, else something behind it", done[1]);
    assert!(done[1] > 0, "no kill came while a group was on its way");
}

/// Over AF_XDP, whose program and frames go with the process.
fn kills_over_af_xdp(durability: &'static str, seed: u64) {
    let place = Place::new(&Settings { transport: "af_xdp", ..settings(durability) });
    kills(&place, KILLS_THERE, seed, &mut |_, _| {});
}

#[test]
fn nothing_shown_is_lost_by_kills_over_af_xdp_in_native_mode() {
    between_hosts("nothing_shown_is_lost_by_kills_over_af_xdp_in_native_mode", "native", || {
        kills_over_af_xdp("memory", 4);
    });
}

#[test]
fn nothing_shown_is_lost_by_kills_over_af_xdp_in_generic_mode() {
    between_hosts("nothing_shown_is_lost_by_kills_over_af_xdp_in_generic_mode", "generic", || {
        kills_over_af_xdp("fsync", 5);
    });
}

/// A group of a journal.
#[derive(Clone, Copy, Debug)]
struct Spot {
    segment: u64,
    offset: u64,
    length: u64,
    first: u64,
    next: u64,
}

/// A journal as it lies on disk.
struct Journal {
    folder: PathBuf,
    walk: Walk,
    groups: Vec<Spot>,
}

impl Journal {
    fn of(place: &Place, name: &str) -> Self {
        let folder = place.journal(name);
        let mut groups = Vec::new();
        let mut files = Files::open_to_read(&folder).expect("the journal is there");
        let walk = walk(&mut files, None, 0, &mut |group| {
            groups.push(Spot {
                segment: group.segment(),
                offset: group.offset(),
                length: group.length() as u64,
                first: group.first(),
                next: group.next(),
            });
        });
        Self { walk: walk.unwrap_or_else(|error| panic!("{error}")), groups, folder }
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{segment:020}.journal"))
    }

    fn write(&self, segment: u64, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.path(segment)).expect("the segment is there");
        // Synced, because a power cut leaves nothing in the page cache either; direct writes collide with what is dirty there.
        file.write_all_at(bytes, offset).and_then(|()| file.sync_all()).expect("the segment can be written");
    }

    fn read(&self, segment: u64, offset: u64, length: u64) -> Vec<u8> {
        let file = fs::File::open(self.path(segment)).expect("the segment is there");
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset).expect("the segment is whole");
        bytes
    }
}

fn noise(random: &mut Random, length: u64) -> Vec<u8> {
    (0..length).map(|_| random.next_u64() as u8).collect()
}

/// Does to the journal's end what a power cut may do, above the last number that was shown: damages the last group, when it is above
/// (says true then), or else writes something behind it that never became whole.
fn tear(random: &mut Random, bus: &Journal, shown: u64) -> bool {
    let last = *bus.groups.last().expect("there is a group");
    let on_its_way = last.first > shown.max(bus.walk.durable) && !bus.walk.clean;
    if on_its_way {
        tear_group(random, bus, &last);
        return true;
    }
    let end = bus.walk.position.expect("there is a group");
    let length = fs::metadata(bus.path(end.segment)).expect("the segment is there").len();
    let room = (length - end.offset).min(4 * BLOCK_BYTES);
    if room == 0 {
        return false;
    }
    match random.below(3) {
        // A block that arrived without the ones before it.
        0 => {
            let blocks = room / BLOCK_BYTES;
            bus.write(
                end.segment,
                end.offset + random.below(blocks) * BLOCK_BYTES,
                &noise(random, BLOCK_BYTES),
            );
        }
        // A group of an earlier place.
        1 => {
            let group = bus.groups[random.below(bus.groups.len() as u64) as usize];
            bus.write(
                end.segment,
                end.offset,
                &bus.read(group.segment, group.offset, group.length.min(room)),
            );
        }
        // The head of a block.
        _ => {
            let length = 1 + random.below(BLOCK_BYTES);
            bus.write(end.segment, end.offset, &noise(random, length));
        }
    }
    false
}

fn tear_group(random: &mut Random, journal: &Journal, group: &Spot) {
    let blocks = group.length / BLOCK_BYTES;
    match random.below(6) {
        // None of it arrived.
        0 => journal.write(group.segment, group.offset, &vec![0; group.length as usize]),
        // Only its beginning.
        1 => {
            let kept = random.below(group.length);
            journal.write(group.segment, group.offset + kept, &vec![0; (group.length - kept) as usize]);
        }
        // Everything but one block.
        2 => {
            let lost = random.below(blocks) * BLOCK_BYTES;
            journal.write(group.segment, group.offset + lost, &vec![0; BLOCK_BYTES as usize]);
        }
        // One block is something else.
        3 => {
            let lost = random.below(blocks) * BLOCK_BYTES;
            journal.write(group.segment, group.offset + lost, &noise(random, BLOCK_BYTES));
        }
        // One bit is.
        4 => {
            let at = group.offset + random.below(group.length);
            let byte = journal.read(group.segment, at, 1)[0];
            journal.write(group.segment, at, &[byte ^ 1 << random.below(8)]);
        }
        // The file ends in the middle of it.
        _ => {
            let file = OpenOptions::new().write(true).open(journal.path(group.segment));
            let length = group.offset + random.below(group.length);
            let cut = file.and_then(|file| file.set_len(length).and_then(|()| file.sync_all()));
            cut.expect("the segment can be cut");
        }
    }
}

/// Loses any of the groups that no sync has followed, or parts of them.
fn tear_acknowledgements(random: &mut Random, journal: &Journal) {
    let unsynced: Vec<Spot> =
        journal.groups.iter().filter(|group| group.first > journal.walk.durable).copied().collect();
    let Some(from) = (unsynced.len() as u64).checked_sub(1) else { return };
    match random.below(4) {
        0 => {}
        1 => unsynced.iter().for_each(|group| {
            journal.write(group.segment, group.offset, &vec![0; group.length as usize]);
        }),
        _ => {
            for group in &unsynced[random.below(from + 1) as usize..] {
                if random.chance(1, 2) {
                    let lost = random.below(group.length / BLOCK_BYTES) * BLOCK_BYTES;
                    journal.write(group.segment, group.offset + lost, &noise(random, BLOCK_BYTES));
                }
            }
        }
    }
}

/// The segments of a journal. One that was being made when the process died is none, and the next start clears it away.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the journal is there");
    let mut files: Vec<(PathBuf, Vec<u8>)> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .map(|path| (path.clone(), fs::read(&path).expect("a file")))
        .collect();
    files.sort();
    files
}

#[test]
fn damage_below_what_is_durable_stops_the_start_and_changes_nothing() {
    damage("fsync", 500);
    // Only the end of a segment is synced, so there must be some.
    damage("memory", 4_000);
}

fn damage(durability: &'static str, blocks: u64) {
    let place = Place::new(&settings(durability));
    let node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, blocks, 0);
    load.finish();
    node.kill();
    let bus = Journal::of(&place, "bus");
    let mut random = Random::new(4);
    let below: Vec<Spot> =
        bus.groups.iter().filter(|group| group.next - 1 <= bus.walk.durable).copied().collect();
    assert!(below.len() > 10, "{} groups", below.len());
    for round in 0..6 {
        let group = below[random.below(below.len() as u64) as usize];
        let whole = bus.read(group.segment, group.offset, group.length);
        tear_group_in_place(&mut random, &bus, &group, round);
        let before = contents(&bus.folder);
        let failed = Node::try_start(&place, &[]).err().expect("the start must stop");
        assert_eq!(failed.code, 1, "{failed:?}");
        let file = bus.path(group.segment).display().to_string();
        let (offset, sequence) =
            (format!("offset {}", group.offset), format!("sequence number {}", group.first));
        for named in [&file, &offset, &sequence] {
            assert!(failed.err.contains(named), "{named} is not in {failed:?}");
        }
        let verified = common::gds().args(["journal", "verify"]).arg(&bus.folder).output().expect("it runs");
        assert_eq!(verified.status.code(), Some(1));
        assert!(before == contents(&bus.folder), "a refused start changes nothing");
        bus.write(group.segment, group.offset, &whole);
    }
    let node = Node::start(&place);
    load.check(&place);
    node.stop();
}

fn tear_group_in_place(random: &mut Random, journal: &Journal, group: &Spot, round: u64) {
    match round % 3 {
        0 => journal.write(group.segment, group.offset, &vec![0; group.length as usize]),
        1 => journal.write(group.segment, group.offset, &noise(random, BLOCK_BYTES)),
        _ => {
            let at = group.offset + random.below(group.length);
            let byte = journal.read(group.segment, at, 1)[0];
            journal.write(group.segment, at, &[!byte]);
        }
    }
}

#[test]
fn a_lost_ring_file_is_told_and_no_number_is_given_twice() {
    let place = Place::new(&settings("memory"));
    let node = Node::start(&place);
    let mut load = Load::open(&place, 1, 100, 0);
    load.finish();
    node.kill();
    fs::remove_file(place.ring_file()).expect("it can be removed");
    let failed = Node::try_start(&place, &[]).err().expect("the start must stop");
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("ring file") && failed.err.contains("lost"), "{failed:?}");
}

#[test]
fn a_stop_in_order_loses_nothing_without_the_ring() {
    let place = Place::new(&settings("memory"));
    let node = Node::start(&place);
    let mut load = Load::open(&place, 2, 300, 0);
    load.finish();
    node.stop();
    fs::remove_file(place.ring_file()).expect("it can be removed");
    let node = Node::start(&place);
    load.check(&place);
    node.stop();
}

#[test]
fn a_replay_goes_on_over_kills() {
    for durability in ["memory", "fsync"] {
        let place = Place::new(&Settings { horizon_messages: 1, ..settings(durability) });
        let feed = made_up_day(6, 30_000);
        let file = place.folder().join("day.bin");
        fs::write(&file, binary_file(&feed)).expect("the test's folder can be written");
        let mut node = Node::start(&place);
        let mut replay = common::gds();
        replay
            .arg("replay")
            .arg(&file)
            .args(["--json", "--timeout", "30", "--config"])
            .arg(place.config_file());
        let mut replay =
            replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut random = Random::new(7);
        let mut kills = 0;
        while replay.try_wait().expect("it is our child").is_none() {
            std::thread::sleep(Duration::from_micros(5_000 + random.below(30_000)));
            if kills < 25 {
                node.kill();
                node = Node::start(&place);
                kills += 1;
            }
        }
        let ran = common::Ran::from(replay.wait_with_output().expect("it has ended")).succeeded();
        assert_eq!((&ran.json()["messages"], &ran.json()["clashes"]), (&30_000.into(), &0.into()));
        println!("{durability}: {kills} kills during one replay");
        orders::pass_horizon(&place);
        let records = orders::check(&place, &Orders::of(feed.iter().map(Vec::as_slice)));
        assert_eq!(place.settled().records, records);
        node.stop();
    }
}
