//! The lock file among processes, and what it says when something is wrong.
mod common;

use common::value;
use gds_core::replication::RegisterState;
use gds_register::{LockFile, Register, RegisterError, SwapAnswer};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, io, thread};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_value_stays_until_it_is_swapped_at_its_revision() {
    let folder = folder();
    let path = folder.path().join("register");
    let (mut one, mut other) = (LockFile::new(&path), LockFile::new(&path));
    assert_eq!(one.read().expect("read"), RegisterState { revision: 0, value: None });
    assert_eq!(one.swap(0, &value(1, 1, 4)).expect("swap"), SwapAnswer::Swapped(1));
    let first = RegisterState { revision: 1, value: Some(value(1, 1, 4)) };
    assert_eq!(other.read().expect("read"), first);
    assert_eq!(other.swap(0, &value(1, 2, 1)).expect("swap"), SwapAnswer::Holds(first.clone()));
    assert_eq!(other.swap(2, &value(1, 2, 1)).expect("swap"), SwapAnswer::Holds(first));
    assert_eq!(other.swap(1, &value(2, 2, 1)).expect("swap"), SwapAnswer::Swapped(2));
    assert_eq!(one.read().expect("read").value, Some(value(2, 2, 1)));
    let text = fs::read_to_string(&path).expect("the file");
    let shown = "{\n  \"revision\": 2,\n  \"value\": {\n    \"stream\": \"ORDERS\",\n    \"epoch\": 2,\n    \"leader\": 2,\n    \
                 \"in_sync\": [\n      {\n        \"node\": 2,\n        \"incarnation\": 1\n      }\n    ]\n  }\n}\n";
    assert_eq!(text, shown, "as a person reads it");
}

#[test]
fn what_is_no_register_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("register");
    for (text, reason) in [
        ("", "EOF"),
        (
            "{\"revision\": 0, \"value\": {\"stream\": \"S\", \"epoch\": 1, \"leader\": 1, \"in_sync\": []}}",
            "revision = 0",
        ),
        (
            "{\"revision\": 1, \"value\": {\"stream\": \"S\", \"epoch\": 1, \"leader\": 1, \"in_sync\": []}}",
            "leader = 1",
        ),
    ] {
        fs::write(&path, text).expect("write");
        let mut register = LockFile::new(&path);
        let error = register.read().expect_err(text);
        assert!(matches!(error, RegisterError::Damaged { .. }), "{error:?}");
        let shown = error.to_string();
        assert!(shown.contains(reason) && shown.contains(&path.display().to_string()), "{shown}");
        register.swap(0, &value(1, 1, 1)).expect_err(text);
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
    }
}

#[test]
fn half_of_a_new_value_beside_it_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("register");
    let mut register = LockFile::new(&path);
    register.swap(0, &value(1, 1, 1)).expect("swap");
    fs::write(folder.path().join("register.new"), "{\"revision\": 2, \"val").expect("write");
    assert_eq!(register.read().expect("read").revision, 1);
    assert_eq!(register.swap(1, &value(2, 1, 1)).expect("swap"), SwapAnswer::Swapped(2));
    assert_eq!(register.read().expect("read").value, Some(value(2, 1, 1)));
}

#[test]
fn a_lock_that_somebody_keeps_is_waited_for_a_bounded_time() {
    let folder = folder();
    let path = folder.path().join("register");
    let mut register = LockFile::new(&path);
    register.swap(0, &value(1, 1, 1)).expect("swap");
    let lock = File::open(folder.path().join("register.lock")).expect("the lock");
    lock.lock().expect("ours");
    let error = register.swap(1, &value(2, 1, 1)).expect_err("locked");
    assert!(matches!(error, RegisterError::Locked { .. }) && !error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("register.lock for 200 ms"), "{error}");
    drop(lock);
    assert_eq!(register.read().expect("read").revision, 1);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = folder();
    let path = folder.path().join("nowhere/register");
    let error = LockFile::new(&path).read().expect_err("there is no such folder");
    assert!(matches!(&error, RegisterError::File { cause, .. } if cause.kind() == io::ErrorKind::NotFound));
    assert!(error.to_string().contains("nowhere/register.lock: cannot lock it"), "{error}");
}

/// Names the register to the process that swaps.
const PATH: &str = "GDS_TEST_REGISTER";
/// ... and the number that it gives itself.
const NODE: &str = "GDS_TEST_NODE";

#[test]
#[ignore = "a process that another test starts and kills"]
fn swaps_as_fast_as_it_can() {
    let path = env::var_os(PATH).expect("started by the other test");
    let node = env::var(NODE).expect("started by the other test").parse().expect("a number");
    let mut register = LockFile::new(Path::new(&path));
    let mut out = io::stdout().lock();
    for incarnation in 1.. {
        let mut round = || {
            let state = register.read()?;
            let epoch = state.value.map_or(1, |value| value.epoch + 1);
            Ok((epoch, register.swap(state.revision, &value(epoch, node, incarnation))?))
        };
        match round() {
            Ok((epoch, SwapAnswer::Swapped(revision))) => {
                writeln!(out, "swapped {revision} {epoch} {incarnation}").expect("the other test listens");
            }
            Ok((_, SwapAnswer::Holds(_))) | Err(RegisterError::Locked { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if incarnation % 4 == 0 {
            // Who takes the lock again at once leaves little of it to others.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Swapper {
    node: u8,
    child: Child,
    lines: BufReader<ChildStdout>,
}

fn swapper(path: &Path, node: u8) -> Swapper {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "swaps_as_fast_as_it_can", "--ignored", "--nocapture"])
        .env(PATH, path)
        .env(NODE, node.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    Swapper { node, child, lines }
}

/// Every swap that anybody was told of: its revision, with epoch, node and incarnation.
type Swaps = BTreeMap<u64, (u32, u8, u64)>;

impl Swapper {
    /// Notes the swaps of so many lines; fewer if the process has ended.
    fn note(&mut self, count: usize, swaps: &mut Swaps) {
        for _ in 0..count {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("read") == 0 {
                return;
            }
            let Some((_, numbers)) = line.split_once("swapped ") else { continue };
            let numbers: Vec<u64> =
                numbers.split_whitespace().map(|text| text.parse().expect(&line)).collect();
            let &[revision, epoch, incarnation] = &numbers[..] else { panic!("half a line: {line}") };
            let before = swaps.insert(revision, (epoch as u32, self.node, incarnation));
            assert_eq!(before, None, "two were told that revision {revision} is theirs");
        }
    }
}

#[test]
fn processes_killed_in_the_middle_leave_a_whole_register_and_no_swap_twice() {
    let folder = folder();
    let path = folder.path().join("register");
    let mut swaps = Swaps::new();
    let mut register = LockFile::new(&path);
    for round in 0..20 {
        let mut swappers = [swapper(&path, 1), swapper(&path, 2)];
        // Whoever has just told of a swap is in the middle of the next.
        let first = round % 2;
        swappers[first].note(3 + round % 5, &mut swaps);
        for place in [first, 1 - first] {
            swappers[place].child.kill().expect("kill");
            swappers[place].child.wait().expect("dead");
        }
        swappers.iter_mut().for_each(|swapper| swapper.note(usize::MAX, &mut swaps));
        let state = register.read().expect("whole, and not locked");
        let newest = swaps.keys().next_back().copied().unwrap_or_default();
        assert!(state.revision >= newest, "{newest} was said to be done; it is at {}", state.revision);
    }
    let state = register.read().expect("whole");
    for (revision, (epoch, ..)) in &swaps {
        assert_eq!(*revision, u64::from(*epoch), "each swap went on from the value before it");
    }
    assert!(swaps.len() >= 60, "only {} swaps", swaps.len());
    let last = state.value.expect("a value");
    if let Some((epoch, node, incarnation)) = swaps.get(&state.revision) {
        assert_eq!(last, value(*epoch, *node, *incarnation));
    }
}
