//! A disk without room: refusals that say so, reads that go on, and everything as it was once there is room.
mod common;

use common::load::Load;
use common::{Node, Place, Settings, is_root, skip};
use gds_wire::refusal::RefusalReason;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const WRITERS: usize = 2;
const BLOCKS: u64 = 30_000;

/// A small disk in memory; gone when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        if !is_root() {
            skip("a small disk can be mounted by root alone");
            return None;
        }
        let folder =
            tempfile::Builder::new().prefix("gds-test-disk-").tempdir().expect("a folder can be made");
        let disk = Self { folder };
        let mounted = mount(&["-t", "tmpfs", "-o", "size=5m", "gds-test"], disk.path());
        if !mounted {
            skip("this root may not mount a tmpfs");
        }
        mounted.then_some(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn make_room(&self) {
        assert!(mount(&["-o", "remount,size=64m"], self.path()), "the disk can be made larger");
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it was not mounted this says so, which nobody needs to know.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

fn mount(options: &[&str], on: &Path) -> bool {
    Command::new("mount").args(options).arg(on).output().is_ok_and(|output| output.status.success())
}

fn fill_and_make_room(durability: &'static str) {
    let Some(disk) = SmallDisk::mount() else { return };
    let settings =
        Settings { durability, directory: Some(disk.data()), segment_bytes: 1 << 20, ..Settings::default() };
    let place = Place::new(&settings);
    let mut node = Node::start(&place);
    let mut load = Load::open(&place, WRITERS, BLOCKS, 0);
    let refused = |load: &Load| load.clients.iter().all(|client| client.refused.0 > 3);
    load.until("refusals", &mut |load| refused(load));
    for client in &load.clients {
        assert_eq!(client.refused.1, Some(RefusalReason::DiskFull));
        assert!(!client.is_done());
    }

    // Nothing comes in any more; everything that is in can be read.
    load.go_on(Duration::from_millis(100));
    let full = place.settled();
    load.go_on(Duration::from_millis(300));
    load.check(&place);
    assert_eq!(place.settled(), full);
    assert_eq!(load.known(), full.applied);
    assert!(node.is_running(), "{}", node.errors());
    let status = place.status(0);
    let counter =
        |name: &str| status.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value);
    assert!(counter("journal.disk_full") > 0);

    // Killed, it comes back with all that it had. A start gives back segments that were made ahead and not written yet: what room that
    // leaves is used up again, and no more.
    node.kill();
    let node = Node::start(&place);
    let states = (0..20).map(|_| {
        load.go_on(Duration::from_millis(300));
        place.settled()
    });
    let states: Vec<_> = states.collect();
    let again = states.last().expect("it was looked at");
    assert!(states.iter().rev().take(3).all(|state| state == again), "messages still come in: {states:?}");
    assert!(again.applied >= full.applied, "{again:?} after {full:?}");
    load.check(&place);

    disk.make_room();
    load.finish();
    load.check(&place);
    let settled = place.settled();
    assert!(settled.applied >= WRITERS as u64 * BLOCKS);
    node.kill();
    let node = Node::start(&place);
    assert_eq!(place.settled(), settled);
    node.stop();
}

#[test]
fn a_full_disk_refuses_and_recovers_with_durability_memory() {
    fill_and_make_room("memory");
}

#[test]
fn a_full_disk_refuses_and_recovers_with_durability_fsync() {
    fill_and_make_room("fsync");
}
