//! `gds tune` on this very host: what it says, that what it changes is undone to the byte, and what `gds run` makes of it.
//!
//! Changing a host takes root; without it those tests say so and end. They take turns, also with other processes of these tests.
mod common;

use common::{Place, Ran, Settings, gds};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Single files that the profiles name, whatever the interface.
const FILES: [&str; 17] = [
    "/proc/irq/default_smp_affinity",
    "/sys/devices/virtual/workqueue/cpumask",
    "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
    "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/proc/sys/vm/swappiness",
    "/proc/sys/kernel/nmi_watchdog",
    "/proc/sys/kernel/timer_migration",
    "/proc/sys/kernel/sched_rt_runtime_us",
    "/proc/sys/net/core/busy_read",
    "/proc/sys/net/core/busy_poll",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/ipv4/igmp_max_memberships",
    "/proc/sys/net/ipv4/igmp_max_msf",
    "/proc/sys/net/ipv4/conf/all/rp_filter",
];

/// This host, nobody else changing it, and a node's configuration for it.
struct Turn {
    place: Place,
    interface: String,
    core: u32,
    _lock: File,
}

impl Turn {
    /// `None` where the host cannot be changed, and why was told.
    fn take() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
        let root = status
            .lines()
            .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
        let cores = gds_nic::cores::online();
        let skip = match (root, cores.len()) {
            (false, _) => "needs root",
            (_, 0..2) => "needs two processors",
            _ if File::options().write(true).open("/proc/sys/net/core/busy_read").is_err() => {
                "/proc/sys is read-only"
            }
            _ => "",
        };
        if !skip.is_empty() {
            println!("skipped: {skip}");
            return None;
        }
        let lock = File::create(std::env::temp_dir().join("gds-tune-test.lock")).expect("made");
        lock.lock().expect("locked");
        let mut cards: Vec<String> = fs::read_dir("/sys/class/net")
            .expect("Linux tells")
            .flatten()
            .filter(|entry| entry.path().join("device").exists())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        cards.sort();
        let interface = cards.first().cloned().unwrap_or_else(|| "lo".to_owned());
        let core = cores.last().copied().expect("two or more") as u32;
        Some(Self { place: Place::new(&Settings::default()), interface, core, _lock: lock })
    }

    fn state(&self) -> PathBuf {
        self.place.folder().join("state/tune.json")
    }

    fn tune(&self, command: &str, pause_ms: u32) -> Command {
        let mut tune = gds();
        tune.args(["tune", command]);
        if command != "revert" {
            let core = self.core.to_string();
            tune.args(["--profile", "colo", "--interface", &self.interface, "--cores", &core]);
            tune.arg("--config").arg(self.place.config_file());
        }
        if command == "apply" || command == "revert" {
            tune.args(["--pause-ms", &pause_ms.to_string()]).arg("--state").arg(self.state());
        }
        tune
    }

    fn ran(&self, command: &str) -> Ran {
        Ran::from(self.tune(command, 0).output().expect("the binary runs"))
    }

    /// Begins it slowly, and kills it after so many lines.
    fn killed(&self, command: &str, lines: usize) {
        let mut child = self.tune(command, 4).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        out.lines().take(lines).for_each(|line| drop(line.expect("text")));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Every file that the profile names, and what the card says.
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut paths: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
        for (folder, file) in
            [("/proc/irq", "smp_affinity_list"), ("/sys/devices/system/cpu", "cpufreq/scaling_governor")]
        {
            let entries = fs::read_dir(folder).expect("Linux tells").flatten();
            paths.extend(entries.map(|entry| entry.path().join(file)).filter(|path| path.exists()));
        }
        let card = Path::new("/sys/class/net").join(&self.interface);
        for queue in fs::read_dir(card.join("queues")).into_iter().flatten().flatten() {
            paths.push(queue.path().join("rps_cpus"));
        }
        paths.extend(["napi_defer_hard_irqs", "gro_flush_timeout"].map(|file| card.join(file)));
        paths.push(PathBuf::from(format!("/proc/sys/net/ipv4/conf/{}/rp_filter", self.interface)));
        let text = |path: &PathBuf| Some((path.display().to_string(), fs::read_to_string(path).ok()?));
        let mut all: BTreeMap<String, String> = paths.iter().filter_map(text).collect();
        for option in ["-g", "-c", "-k"] {
            if let Ok(output) = Command::new("ethtool").args([option, &self.interface]).output() {
                all.insert(format!("ethtool {option}"), String::from_utf8_lossy(&output.stdout).into_owned());
            }
        }
        all.extend(kernel_threads());
        all
    }
}

/// What is not the same in both. A kernel thread that only one of them has was started or has ended meanwhile.
fn differences(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = one.keys().chain(other.keys());
    let both = |name: &String| one.contains_key(name) && other.contains_key(name);
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    names.filter(|name| both(name) || !name.starts_with(THREAD)).filter(differs).cloned().collect()
}

/// How the names of kernel threads begin in a snapshot.
const THREAD: &str = "kernel thread ";

/// Where each kernel thread may run that can be moved, but those of threaded interrupts, which follow their interrupts.
fn kernel_threads() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/proc").expect("Linux tells").flatten();
    let affinity = |folder: PathBuf| {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let flags: u32 = fields.get(6)?.parse().ok()?;
        if flags & 0x0420_0000 != 0x0020_0000 || name.contains("(irq/") {
            return None;
        }
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some((format!("{THREAD}{name}) of {}", fields.get(19)?), list.trim().to_owned()))
    };
    entries.filter_map(|entry| affinity(entry.path())).collect()
}

#[test]
fn check_tells_every_item_and_its_exit_code_agrees() {
    let ran =
        Ran::from(gds().args(["tune", "check", "--json", "--cores", "0"]).output().expect("the binary runs"));
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    let items = value["items"].as_array().expect("a list");
    let verdicts = ["right", "wrong", "unknown", "irrelevant"];
    let counted: u64 = verdicts.iter().map(|name| value[name].as_u64().expect("a number")).sum();
    assert!(counted == items.len() as u64 && counted > 20);
    for item in items {
        for key in ["item", "title", "family", "verdict", "now", "wanted", "why", "cost", "shown"] {
            assert!(item[key].is_string(), "{key} of {item}");
        }
        let told = item["verdict"] != "unknown" && item["verdict"] != "irrelevant";
        assert_eq!(told, item["reason"].is_null(), "{item}");
    }
    assert_eq!(ran.code, i32::from(value["wrong"] != 0), "{}", ran.err);
    let text = Ran::from(gds().args(["tune", "check", "--explain"]).output().expect("the binary runs")).out;
    assert!(text.lines().all(|line| line.chars().count() <= 100) && !text.contains('\x1b'), "{text}");
}

#[test]
fn check_measures_what_a_core_is_kept_from() {
    let core = gds_nic::cores::allowed()[0].to_string();
    let arguments = ["tune", "check", "--json", "--cores", &core, "--measure", "0.2"];
    let ran = Ran::from(gds().args(arguments).output().expect("the binary runs"));
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    let measured = &value["measured"][0];
    assert_eq!(measured["core"].to_string(), core);
    assert!(measured["readings"].as_u64().expect("a number") > 1_000, "{measured}");
    assert!(measured["timer_interrupts"].is_u64() && measured["gaps"][4]["from_ns"] == 10_000_000);
    for wrong in ["0", "-1", "x"] {
        let ran = Ran::from(
            gds().args(["tune", "check", "--cores", "0", "--measure", wrong]).output().expect("runs"),
        );
        assert_eq!(ran.code, 2, "{ran:?}");
    }
}

#[test]
fn apply_check_revert_leaves_this_host_as_it_was() {
    let Some(turn) = Turn::take() else { return };
    let before = turn.snapshot();
    let script = turn.ran("plan").succeeded().out;
    let planned =
        script.lines().filter(|line| !line.starts_with('#') && !line.is_empty() && *line != "set -u");
    let planned: Vec<&str> = planned.collect();
    let applied = turn.ran("apply");
    let made: Vec<&str> =
        applied.out.lines().filter_map(|line| line.strip_prefix("  ")?.split("  # was ").next()).collect();
    let changed = turn.snapshot();
    let checked = turn.ran("check");
    let reverted = turn.ran("revert").succeeded();
    assert_eq!(differences(&before, &turn.snapshot()), BTreeSet::new(), "{applied:?} {reverted:?}");
    assert_eq!(made, planned, "{applied:?}");
    let changed = differences(&before, &changed);
    assert_eq!(planned.is_empty(), changed.is_empty(), "{applied:?}");
    let threads = planned.iter().filter(|line| line.starts_with("taskset")).count();
    assert_eq!(threads, changed.iter().filter(|name| name.starts_with(THREAD)).count(), "{changed:?}");
    assert!(!checked.out.contains("gds tune apply does it"), "{checked:?}");
    assert!(!turn.state().exists());
    assert!(turn.ran("revert").succeeded().out.contains("nothing to restore"));
}

#[test]
fn what_was_killed_half_way_is_reverted_to_the_byte() {
    let Some(turn) = Turn::take() else { return };
    let before = turn.snapshot();
    for lines in [0, 1, 2, 5, 9, 14, 20, 29, 38] {
        turn.killed("apply", lines);
        turn.ran("revert").succeeded();
        let left = differences(&before, &turn.snapshot());
        assert_eq!(left, BTreeSet::new(), "apply was killed after line {lines}");
    }
    for lines in [1, 4, 11, 24, 39] {
        turn.ran("apply");
        turn.killed("revert", lines);
        turn.ran("revert").succeeded();
        let left = differences(&before, &turn.snapshot());
        assert_eq!(left, BTreeSet::new(), "revert was killed after line {lines}");
    }
    assert!(!turn.state().exists());
}

#[test]
fn files_are_written_where_asked_and_nowhere_else() {
    let place = Place::new(&Settings::default());
    let folder = place.folder().join("files");
    let shown = place.gds(&["tune", "files", "--cores", "0"]).succeeded().out;
    let folder_text = folder.to_str().expect("text");
    let written = place.gds(&["tune", "files", "--cores", "0", "--directory", folder_text]).succeeded().out;
    assert_eq!(written.lines().count(), 5);
    for path in written.lines() {
        let text = fs::read_to_string(path).expect("it was written");
        assert!(Path::new(path).starts_with(&folder) && shown.contains(&text), "{path}");
    }
    let unit = fs::read_to_string(folder.join("etc/systemd/system/gds.service")).expect("it was written");
    assert!(unit.contains(&format!("run --config {}\n", place.config_file().display())), "{unit}");
}

/// A node with a profile that this host does not satisfy.
fn node(at_start: &str, hold: bool) -> (Place, Child) {
    let mut place = Place::new(&Settings::default());
    let profile = place.folder().join("mine.toml");
    let migration = fs::read_to_string("/proc/sys/kernel/timer_migration").expect("Linux tells");
    let other = u32::from(migration.trim() == "0");
    fs::write(&profile, format!("about = \"x\"\n[item.timer_migration]\nwanted = {other}\n"))
        .expect("written");
    let more = format!(
        "[tuning]\nprofile = {:?}\nat_start = \"{at_start}\"\nhold_cpu_dma_latency = {hold}\n",
        profile.display().to_string()
    );
    place.configure(&Settings { more, ..Settings::default() });
    let mut run = gds();
    run.args(["run", "--json", "--config"]).arg(place.config_file());
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    (place, child)
}

#[test]
fn a_node_refuses_warns_or_is_silent_about_its_host_as_configured() {
    let (_place, child) = node("refuse", false);
    let ran = Ran::from(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("timer migration: now") && ran.err.contains("gds tune check"), "{ran:?}");
    for (at_start, says) in [("warn", true), ("silent", false)] {
        let (_place, mut child) = node(at_start, false);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        child.kill().expect("it runs");
        let err = String::from_utf8(child.wait_with_output().expect("it ends").stderr).expect("text");
        assert!(line.contains("\"ready\":true"), "{line} {err}");
        assert_eq!(err.contains("timer migration: now"), says, "{err}");
    }
}

#[test]
fn a_node_keeps_the_processors_awake_while_it_runs() {
    let asleep = || fs::read("/dev/cpu_dma_latency").is_ok_and(|value| value != [0; 4]);
    if File::options().write(true).open("/dev/cpu_dma_latency").is_err() || !asleep() {
        println!("skipped: /dev/cpu_dma_latency cannot be written, or somebody holds it");
        return;
    }
    let (_place, mut child) = node("silent", true);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    let held = !asleep();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(held && line.contains("\"ready\":true"), "{line}");
    assert!(asleep(), "the kernel lets go of it when the node ends");
}
