//! What may befall a ring file, and the directory that it belongs to: between two processes, and under a running one.
//!
//! Whatever happens, what was acknowledged is there again, or the start says that it may not be; and nothing comes back that nobody expects.
mod common;

use common::load::Load;
use common::{Node, NotStarted, PATIENCE, Place, Settings, is_root, skip};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const WRITERS: usize = 2;

fn settings() -> Settings {
    // A small ring, which goes round.
    Settings { ring_bytes: 1 << 20, ..Settings::default() }
}

/// A node that was killed in the middle of a load, and what was shown until then.
fn killed(place: &Place) -> Load {
    let mut load = Load::open(place, WRITERS, 100_000, 0);
    let node = Node::start(place);
    load.go_on(Duration::from_millis(150));
    node.kill();
    load.hear_all();
    load
}

/// Starts the node, and holds what it has against what was shown.
fn starts_whole(place: &Place, load: &mut Load) -> Node {
    let shown = load.hear_all();
    let node = Node::start(place);
    load.check(place);
    assert!(load.known() >= shown, "{shown} had been shown, the stream ends with {}", load.known());
    node
}

#[track_caller]
fn does_not_start(place: &Place) -> NotStarted {
    let failed = Node::try_start(place, &[]).err().expect("the start must stop");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(!failed.err.contains("panicked"), "{failed:?}");
    failed
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("`cp` is there");
    assert!(copied.success());
}

/// A file or folder of another name beside it.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

#[test]
fn a_renamed_directory_finds_its_ring() {
    let mut place = Place::new(&settings());
    let mut load = killed(&place);
    for name in ["renamed", "again"] {
        let renamed = beside(place.directory(), name);
        fs::rename(place.directory(), &renamed).expect("it is there");
        place.moves_to(renamed, &settings());
        let node = starts_whole(&place, &mut load);
        load.go_on(Duration::from_millis(50));
        node.kill();
    }
    starts_whole(&place, &mut load).stop();
}

#[test]
fn a_copied_directory_never_takes_the_originals_ring() {
    let mut place = Place::new(&settings());
    let mut load = killed(&place);
    let (original, copied) = (place.directory().to_owned(), beside(place.directory(), "copied"));
    copy(&original, &copied);
    place.moves_to(copied.clone(), &settings());
    let failed = does_not_start(&place);
    assert!(failed.err.contains("is a copy of the directory with the id"), "{failed:?}");
    assert!(failed.err.contains("may have been acknowledged and are lost"), "{failed:?}");
    // In the original's place, and under its name, it is still a copy.
    let aside = beside(&original, "aside");
    fs::rename(&original, &aside).expect("it is there");
    fs::rename(&copied, &original).expect("it is there");
    place.moves_to(original, &settings());
    does_not_start(&place);
    // The original has lost nothing.
    place.moves_to(aside, &settings());
    starts_whole(&place, &mut load).stop();
    // Stopped in order, a copy is whole.
    let copied = beside(place.directory(), "whole");
    copy(place.directory(), &copied);
    place.moves_to(copied, &settings());
    starts_whole(&place, &mut load).stop();
}

#[test]
fn what_was_removed_does_not_come_back_from_the_ring() {
    let place = Place::new(&settings());
    drop(killed(&place));
    let ring = place.ring_file();
    fs::remove_dir_all(place.directory()).expect("it is there");
    let node = Node::start(&place);
    let status = place.status(0).status;
    assert_eq!((status.records, status.applied), (0, 1), "nothing but its declaration");
    let notices = node.ready["notices"].to_string();
    assert!(notices.contains(&format!("{} (of ", ring.display())), "{notices}");
    assert!(ring.exists(), "it is another's");
    node.stop();
}

#[test]
fn a_ring_without_its_journal_is_not_merged() {
    let place = Place::new(&settings());
    let mut load = killed(&place);
    let (journal, aside) = (place.journal("bus"), beside(place.directory(), "aside"));
    fs::rename(&journal, &aside).expect("it is there");
    let ring = place.ring_file();
    for _ in 0..2 {
        let failed = does_not_start(&place);
        assert!(failed.err.contains(&ring.display().to_string()), "{failed:?}");
        assert!(failed.err.contains("its journal is gone"), "{failed:?}");
        assert!(
            failed.err.contains("Restore the journal; or")
                && failed.err.contains("begin a new stream in another directory"),
            "{failed:?}"
        );
    }
    // The first way.
    fs::remove_dir_all(&journal).expect("a start has made it");
    fs::rename(&aside, &journal).expect("it is there");
    let node = starts_whole(&place, &mut load);
    node.kill();
    // The second.
    let mut place = place;
    place.moves_to(beside(place.directory(), "new"), &settings());
    let node = Node::start(&place);
    assert_eq!(place.status(0).status.records, 0);
    node.stop();
}

#[test]
fn a_node_killed_before_its_journal_has_anything_keeps_what_the_ring_has() {
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let mut load = Load::open(&place, 1, 5, 0);
    load.finish();
    node.kill();
    // As if no group had been written yet; the segments are there.
    for entry in fs::read_dir(place.journal("bus")).expect("it is there") {
        let path = entry.expect("an entry").path();
        let length = fs::metadata(&path).expect("a file").len();
        File::create(&path).and_then(|file| file.set_len(length)).expect("it can be written");
    }
    for after in [0, 2, 5, 10, 20] {
        Node::start_and_kill(&place, Duration::from_millis(after));
    }
    starts_whole(&place, &mut load).stop();
}

/// Takes the ring file away from a running node: it says so and goes on, nothing acknowledged is missing after a kill, and the next process has a ring again.
fn loses_its_ring(lose: &mut dyn FnMut(&Path), what: &str) {
    let place = Place::new(&settings());
    let mut load = Load::open(&place, WRITERS, 100_000, 0);
    let mut node = Node::start(&place);
    for _ in 0..2 {
        load.go_on(Duration::from_millis(50));
        let ring = place.ring_file();
        lose(&ring);
        let trouble = node.wait_for("trouble")["trouble"].as_str().expect("text").to_owned();
        assert!(trouble.contains(&ring.display().to_string()) && trouble.contains(what), "{trouble}");
        let shown = place.gds(&["status"]).succeeded().out;
        assert!(shown.contains("! its ring file was removed or changed while it runs"), "{shown}");
        does_without(&place);
        let before = load.clients[0].acknowledged.len();
        load.until("acknowledgements", &mut |load| load.clients[0].acknowledged.len() > before + 1_000);
        node.kill();
        load.hear_all();
        node = starts_whole(&place, &mut load);
        let about = fs::metadata(place.ring_file()).expect("there is a new one");
        assert!(about.is_file() && about.len() > 1 << 20);
        // What the ring alone has counts again.
        load.go_on(Duration::from_millis(30));
        node.kill();
        load.hear_all();
        node = starts_whole(&place, &mut load);
    }
    // An orderly end needs no ring either.
    lose(&place.ring_file());
    node.wait_for("trouble");
    node.stop();
    starts_whole(&place, &mut load).stop();
}

/// Waits until everything acknowledged is in the journal.
fn does_without(place: &Place) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = place.status(0);
        let counter = |name: &str| report.counters.iter().find(|(of, _)| of == name).map(|(_, value)| *value);
        assert_eq!(counter("ring_file.lost"), Some(1));
        if counter("ring_file.done_without") == Some(1) {
            return;
        }
        assert!(Instant::now() < deadline, "the journal does not come after");
    }
}

#[test]
fn a_ring_file_removed_under_a_running_node_is_told_and_done_without() {
    loses_its_ring(
        &mut |ring| fs::remove_file(ring).expect("it is there"),
        "was removed while the node runs",
    );
}

#[test]
fn a_ring_file_replaced_under_a_running_node_is_told_and_done_without() {
    let mut lose = |ring: &Path| {
        fs::copy(ring, beside(ring, "new")).expect("it can be copied");
        fs::rename(beside(ring, "new"), ring).expect("it can be replaced");
    };
    loses_its_ring(&mut lose, "was replaced by another file while the node runs");
}

#[test]
fn a_ring_file_that_grows_under_a_running_node_is_told_and_done_without() {
    let mut lose = |ring: &Path| {
        let file = File::options().write(true).open(ring).expect("it is there");
        file.set_len(fs::metadata(ring).expect("it is there").len() + 5_000).expect("it can grow");
    };
    loses_its_ring(&mut lose, "was changed in length");
}

#[test]
fn a_ring_file_cut_short_under_a_running_node_ends_it_with_what_happened() {
    let place = Place::new(&settings());
    let mut load = Load::open(&place, WRITERS, 100_000, 0);
    let node = Node::start(&place);
    load.go_on(Duration::from_millis(50));
    let ring = File::options().write(true).open(place.ring_file()).expect("it is there");
    ring.set_len(4096).expect("it can be cut");
    let end = Instant::now() + Duration::from_millis(100);
    while Instant::now() < end {
        load.poll();
    }
    let ended = node.ends();
    assert_eq!(ended.code, 5, "{ended:?}");
    let folder = place.ring_file().with_file_name("");
    let folder = folder.display().to_string();
    for told in ["SIGBUS", folder.trim_end_matches('/'), "docs/FAILOVER.md"] {
        assert!(ended.err.contains(told), "{told} is not in {ended:?}");
    }
    let failed = does_not_start(&place);
    assert!(
        failed.err.contains("is damaged") && failed.err.contains("may have been acknowledged"),
        "{failed:?}"
    );
}

/// Gives the ring file these bytes; it is its user's alone, as before.
fn put(ring: &Path, bytes: &[u8]) {
    fs::write(ring, bytes).expect("it can be written");
    fs::set_permissions(ring, Permissions::from_mode(0o600)).expect("it is ours");
}

#[test]
fn a_damaged_ring_file_is_told_and_never_a_panic() {
    let place = Place::new(&settings());
    let mut load = killed(&place);
    let ring = place.ring_file();
    let whole = fs::read(&ring).expect("it is there");
    let zeros = vec![0; whole.len()];
    let damaged: [(&str, Vec<u8>); 9] = [
        ("nothing", Vec::new()),
        ("a byte", vec![1]),
        ("less than a page", whole[..4095].to_vec()),
        ("a page", whole[..4096].to_vec()),
        ("an odd length", whole[..whole.len() / 2 + 77].to_vec()),
        ("zeros", zeros.clone()),
        ("a page of zeros", zeros[..4096].to_vec()),
        ("noise", vec![0xA5; whole.len()]),
        ("a header and zeros", [&whole[..4096], &zeros[4096..]].concat()),
    ];
    for (name, bytes) in &damaged {
        put(&ring, bytes);
        let failed = does_not_start(&place);
        assert!(failed.err.contains(&ring.display().to_string()), "{name}: {failed:?}");
        assert!(failed.err.contains("may have been acknowledged and are lost"), "{name}: {failed:?}");
    }
    // Longer than there is memory, and as it was in its beginning.
    put(&ring, &whole);
    File::options().write(true).open(&ring).and_then(|file| file.set_len(1 << 44)).expect("it can grow");
    let node = starts_whole(&place, &mut load);
    load.go_on(Duration::from_millis(30));
    node.stop();
    // Where nothing can be missing, a new one takes the place of any.
    for (_, bytes) in &damaged {
        put(&ring, bytes);
        starts_whole(&place, &mut load).stop();
    }
}

#[test]
fn a_ring_that_belongs_to_another_directory_is_refused() {
    let place = Place::new(&settings());
    let mut load = killed(&place);
    let own = place.ring_file();
    let another = Place::new(&settings());
    drop(killed(&another));
    let aside = beside(&own, "aside");
    fs::rename(&own, &aside).expect("it is there");
    fs::copy(another.ring_file(), &own).expect("it can be copied");
    fs::set_permissions(&own, Permissions::from_mode(0o600)).expect("it is ours");
    let failed = does_not_start(&place);
    assert!(failed.err.contains("was written for another directory"), "{failed:?}");
    fs::rename(&aside, &own).expect("it is there");
    starts_whole(&place, &mut load).stop();
}

#[test]
fn what_is_not_the_users_own_is_refused_by_its_name_and_left_alone() {
    let place = Place::new(&settings());
    Node::start(&place).stop();
    let ring = place.ring_file();
    let folder = ring.parent().expect("a folder").to_owned();
    let target = place.folder().join("target");
    fs::write(&target, "kept").expect("the test's folder can be written");
    let is_refused = |at: &Path, what: &str| {
        let failed = does_not_start(&place);
        assert!(
            failed.err.contains(&format!("{}: ", at.display())) && failed.err.contains(what),
            "{failed:?}"
        );
    };

    // In the place of the ring file.
    fs::remove_file(&ring).expect("it is there");
    symlink(&target, &ring).expect("a link");
    is_refused(&ring, "it is a symbolic link");
    assert_eq!(fs::read(&target).expect("it is there"), b"kept");
    fs::remove_file(&ring).expect("it is there");
    fs::create_dir(&ring).expect("a folder");
    is_refused(&ring, "it is a folder");
    fs::remove_dir(&ring).expect("it is there");
    assert!(Command::new("mkfifo").arg(&ring).status().expect("`mkfifo` is there").success());
    is_refused(&ring, "it is neither a file nor a folder");
    fs::remove_file(&ring).expect("it is there");
    fs::write(&ring, "").expect("a file");
    fs::set_permissions(&ring, Permissions::from_mode(0o606)).expect("it is ours");
    is_refused(&ring, "others than user");
    of_another(&ring, &|| is_refused(&ring, "it belongs to user 12345"));
    fs::remove_file(&ring).expect("it is there");

    // In the place of the folder.
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is ours");
    is_refused(&folder, "(mode 0777)");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is ours");
    of_another(&folder, &|| is_refused(&folder, "it belongs to user 12345"));
    let aside = beside(&folder, "aside");
    fs::rename(&folder, &aside).expect("it is there");
    symlink(&aside, &folder).expect("a link");
    is_refused(&folder, "it is a symbolic link");
    fs::remove_file(&folder).expect("it is there");
    fs::write(&folder, "").expect("a file");
    is_refused(&folder, "it is a file");
    fs::remove_file(&folder).expect("it is there");

    Node::start(&place).stop();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!((mode(&folder), mode(&ring)), (0o700, 0o600));
}

/// While the file or folder is another user's, where this process may give things away.
fn of_another(path: &Path, then: &dyn Fn()) {
    if !is_root() {
        return skip("only root can give files away");
    }
    let own = fs::metadata(path).expect("it is there").uid();
    std::os::unix::fs::chown(path, Some(12_345), None).expect("root may");
    if path.is_file() {
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("root may");
    }
    then();
    std::os::unix::fs::chown(path, Some(own), None).expect("root may");
}
