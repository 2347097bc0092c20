//! Three made-up hosts: what is found on each, what would be done, and that all of it can be undone.
mod made_up;

use gds_tuning::apply::{self, Event, Foreign, Tally};
use gds_tuning::item::{Shown, Way};
use gds_tuning::items::ITEMS;
use gds_tuning::state::State;
use gds_tuning::{Profile, check, plan};
use made_up::{Tree, cloud, metal, small};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

fn profile(name: &str) -> Profile {
    Profile::load(name).expect("it comes with GDS")
}

/// Verdicts by item.
fn verdicts(tree: &Tree, profile: &Profile) -> BTreeMap<&'static str, &'static str> {
    let reports = check(&tree.host(), profile, &tree.wanted);
    reports.iter().map(|report| (report.item.key, report.judgement.verdict.as_str())).collect()
}

fn expect(tree: &Tree, profile: &Profile, expected: &[(&str, &str)]) {
    let found = verdicts(tree, profile);
    for (verdict, keys) in expected {
        for key in keys.split_whitespace() {
            assert_eq!(found.get(key), Some(verdict), "{key}");
        }
    }
    let named: usize = expected.iter().map(|(_, keys)| keys.split_whitespace().count()).sum();
    assert_eq!(named, found.len(), "every item of the profile has an expectation");
}

/// Applies, until `steps` events have happened.
fn apply(tree: &Tree, profile: &Profile, steps: usize) -> (Tally, Vec<String>) {
    let mut state = State::open(&tree.state(), &tree.host(), &profile.name).expect("the state can be kept");
    let mut seen = 0;
    let mut commands = Vec::new();
    let mut watch = |event: &Event<'_>| {
        seen += 1;
        if let Event::Made(setting) = event {
            commands.push(setting.knob.command(&setting.wanted));
        }
        if seen == steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let tally =
        apply::apply(&tree.host(), profile, &tree.wanted, &mut state, &mut watch).expect("the state is kept");
    (tally, commands)
}

fn revert(tree: &Tree, foreign: Foreign) -> Tally {
    revert_until(tree, foreign, usize::MAX)
}

fn revert_until(tree: &Tree, foreign: Foreign, steps: usize) -> Tally {
    let state = State::open(&tree.state(), &tree.host(), "").expect("the state can be read");
    let mut seen = 0;
    let mut watch = |_: &Event<'_>| {
        seen += 1;
        if seen == steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    apply::revert(&tree.host(), state, foreign, &mut watch).expect("the state is kept")
}

const ALL: usize = usize::MAX;

#[test]
fn bare_metal_as_installed_has_much_to_change() {
    let tree = metal();
    expect(
        &tree,
        &profile("colo"),
        &[
            (
                "wrong",
                "isolated_cores tickless_cores rcu_callbacks smt_siblings irqbalance interrupts kernel_workers kernel_threads governor \
                 sleep_states hugepages transparent_hugepages swappiness nmi_watchdog clock_source rings coalescing flow_control receive_offloads \
                 channels steering card_interrupts receive_steering busy_polling socket_buffers reverse_path_filter locked_memory",
            ),
            (
                "right",
                "numa_node gigantic_pages timer_migration realtime_throttling mitigations send_steering deferred_interrupts \
                 flush_timeout igmp_limits multicast time",
            ),
        ],
    );
    assert_eq!(Profile::fitting(&tree.host()), "colo");
}

#[test]
fn a_cloud_machine_that_was_started_with_isolated_cores_has_little() {
    let tree = cloud();
    expect(
        &tree,
        &profile("cloud"),
        &[
            ("wrong", "hugepages clock_source coalescing card_interrupts socket_buffers locked_memory"),
            (
                "right",
                "isolated_cores tickless_cores rcu_callbacks smt_siblings irqbalance interrupts kernel_workers kernel_threads \
                 gigantic_pages transparent_hugepages realtime_throttling mitigations rings receive_offloads receive_steering deferred_interrupts \
                 flush_timeout igmp_limits reverse_path_filter multicast time",
            ),
            ("irrelevant", "numa_node swappiness"),
        ],
    );
    assert_eq!(Profile::fitting(&tree.host()), "cloud");
}

#[test]
fn a_small_machine_without_ethtool_says_what_cannot_be_told_and_why() {
    let tree = small();
    let profile = profile("cloud");
    expect(
        &tree,
        &profile,
        &[
            (
                "wrong",
                "isolated_cores rcu_callbacks interrupts kernel_workers kernel_threads hugepages card_interrupts locked_memory time",
            ),
            (
                "right",
                "smt_siblings irqbalance gigantic_pages transparent_hugepages clock_source realtime_throttling mitigations \
                 receive_steering deferred_interrupts flush_timeout socket_buffers igmp_limits reverse_path_filter multicast",
            ),
            ("unknown", "rings coalescing receive_offloads"),
            ("irrelevant", "tickless_cores numa_node swappiness"),
        ],
    );
    let reports = check(&tree.host(), &profile, &tree.wanted);
    let rings = reports.iter().find(|report| report.item.key == "rings").expect("it is in the profile");
    let reason = rings.judgement.verdict.reason().expect("there is one");
    assert!(reason.contains("apt install ethtool"), "{reason}");
}

#[test]
fn what_is_applied_is_the_plan_and_makes_it_right() {
    for (tree, name, still_wrong) in [
        (
            metal(),
            "colo",
            "isolated_cores tickless_cores rcu_callbacks smt_siblings sleep_states swappiness flow_control receive_offloads channels \
             steering locked_memory",
        ),
        (cloud(), "cloud", "clock_source locked_memory"),
        (small(), "cloud", "isolated_cores rcu_callbacks interrupts locked_memory time"),
    ] {
        let profile = profile(name);
        let script = plan::script("a test", &check(&tree.host(), &profile, &tree.wanted));
        let planned: Vec<&str> = script
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty() && *line != "set -u")
            .collect();
        let (tally, made) = apply(&tree, &profile, ALL);
        assert_eq!((tally.refused, tally.made), (0, made.len()));
        assert_eq!(made, planned);
        let verdicts = verdicts(&tree, &profile);
        let wrong = verdicts.into_iter().filter(|(_, verdict)| *verdict == "wrong").map(|(key, _)| key);
        let mut expected: Vec<&str> = still_wrong.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(wrong.collect::<Vec<_>>(), expected);
        let (tally, _) = apply(&tree, &profile, ALL);
        assert_eq!(tally, Tally::default(), "a second time changes nothing");
    }
}

#[test]
fn a_plan_is_a_script_that_a_shell_can_read() {
    let tree = metal();
    let script = plan::script("a test", &check(&tree.host(), &profile("colo"), &tree.wanted));
    let file = tree.state().with_file_name("plan.sh");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(&file, &script).expect("written");
    let read = std::process::Command::new("sh").arg("-n").arg(&file).status().expect("there is a shell");
    assert!(read.success());
    assert!(script.lines().all(|line| line.chars().count() <= 100), "{script}");
    for line in [
        "systemctl stop irqbalance",
        "echo performance > /sys/devices/system/cpu/cpu4/cpufreq/scaling_governor",
        "echo 512 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        "ethtool -G eth0 rx 4096",
        "ethtool -C eth0 adaptive-rx off",
        "echo 6-7,12-15 > /proc/irq/120/smp_affinity_list",
        "echo 0-3,6-15 > /proc/irq/30/smp_affinity_list",
        "# kernel threads: now 4 of 5 may run on pinned cores, busiest: kdamond.0, rcu_preempt, kthreadd,",
        "taskset -cp 0-3,6-15 77  # kdamond.0",
        "taskset -cp 6-7,12-15 62  # kswapd1",
        "echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
        "#   -> kernel command line: nohz_full=4-5",
    ] {
        assert!(script.lines().any(|found| found == line), "{line} is not in\n{script}");
    }
    assert!(!script.contains("/proc/irq/2/"), "nobody takes interrupt 2");
}

#[test]
fn revert_leaves_the_host_byte_for_byte_as_it_was() {
    for (tree, name) in [(metal(), "colo"), (cloud(), "cloud"), (small(), "cloud")] {
        let before = tree.snapshot();
        let (tally, _) = apply(&tree, &profile(name), ALL);
        assert!(tally.made > 0 && before != tree.snapshot());
        assert_eq!(revert(&tree, Foreign::Keep), Tally { made: tally.made, ..Tally::default() });
        assert_eq!(before, tree.snapshot());
        assert!(!tree.state().exists(), "nothing is left to undo");
        assert_eq!(revert(&tree, Foreign::Keep), Tally::default());
    }
}

#[test]
fn an_apply_that_ended_after_any_step_is_undone() {
    let steps = {
        let tree = metal();
        2 * apply(&tree, &profile("colo"), ALL).0.made
    };
    assert!(steps > 40);
    let tree = metal();
    let before = tree.snapshot();
    for step in 1..=steps {
        assert!(apply(&tree, &profile("colo"), step).0.stopped);
        revert(&tree, Foreign::Keep);
        assert_eq!(before, tree.snapshot(), "ended after step {step}");
        assert!(!tree.state().exists());
    }
}

#[test]
fn a_revert_that_ended_after_any_step_is_finished_by_the_next() {
    let tree = metal();
    let before = tree.snapshot();
    for step in 1.. {
        apply(&tree, &profile("colo"), ALL);
        let ended = revert_until(&tree, Foreign::Keep, step).stopped;
        revert(&tree, Foreign::Keep);
        assert_eq!(before, tree.snapshot(), "ended after step {step}");
        if !ended {
            assert!(step > 20);
            break;
        }
    }
}

#[test]
fn applying_twice_with_other_values_still_restores_the_first() {
    let tree = cloud();
    let before = tree.snapshot();
    for frames in [2048, 4096, 4096] {
        let text = format!("about = \"\"\n[item.rings]\nwanted = {frames}\napply = true\n");
        let (tally, _) = apply(&tree, &Profile::parse("mine", &text).expect("right"), ALL);
        assert_eq!(tally.refused, 0);
    }
    assert_eq!(tree.text("ethtool/ens5/g/rx"), "4096");
    assert_eq!(revert(&tree, Foreign::Keep).made, 1);
    assert_eq!(before, tree.snapshot());
}

#[test]
fn what_somebody_else_has_changed_since_is_left_alone_unless_forced() {
    let wmem = "proc/sys/net/core/wmem_max";
    for (foreign, left, kept) in
        [(Foreign::Keep, "777", true), (Foreign::Forget, "777", false), (Foreign::Restore, "212992", false)]
    {
        let tree = cloud();
        apply(&tree, &profile("cloud"), ALL);
        tree.file(wmem, "777");
        let tally = revert(&tree, foreign);
        assert_eq!(tally.foreign, usize::from(foreign != Foreign::Restore));
        assert_eq!((tree.text(wmem).as_str(), tree.state().exists()), (left, kept));
        assert_eq!(tree.text("ethtool/ens5/c/rx-usecs"), "20", "everything else is restored");
        if kept {
            assert_eq!(revert(&tree, Foreign::Restore).made, 1);
            assert_eq!(tree.text(wmem), "212992");
        }
    }
}

#[test]
fn a_refusal_is_told_and_the_rest_goes_on() {
    let tree = metal();
    tree.file("ethtool/eth0/g/refuses", "");
    let before = tree.snapshot();
    let (tally, made) = apply(&tree, &profile("colo"), ALL);
    assert_eq!(tally.refused, 1);
    assert!(made.iter().any(|command| command.starts_with("ethtool -C")));
    assert_eq!(tree.text("ethtool/eth0/g/rx"), "512");
    revert(&tree, Foreign::Keep);
    assert_eq!(before, tree.snapshot());
}

#[test]
fn what_is_gone_needs_no_undoing() {
    let tree = metal();
    apply(&tree, &profile("colo"), ALL);
    tree.remove("proc/irq/127");
    tree.remove("ethtool/eth0");
    assert_eq!(revert(&tree, Foreign::Keep).refused, 0);
    assert!(!tree.state().exists());
}

/// A profile of this item alone.
fn threads() -> Profile {
    Profile::parse("mine", "about = \"\"\n[item.kernel_threads]\napply = true\n").expect("right")
}

#[test]
fn a_kernel_thread_whose_number_another_has_is_told_as_gone_and_the_other_is_left_alone() {
    let tree = metal();
    assert_eq!(apply(&tree, &threads(), ALL).0.made, 4);
    tree.remove("proc/62");
    let stat = tree.text("proc/77/stat");
    for (id, other) in [
        (77, stat.replace(" 0 77 0 0", " 0 9999 0 0")),
        (17, stat.replace("77 (kdamond.0)", "17 (kdamond.0)")),
    ] {
        tree.file(&format!("proc/{id}/stat"), &other);
    }
    let state = State::open(&tree.state(), &tree.host(), "").expect("the state can be read");
    let mut gone = Vec::new();
    let mut watch = |event: &Event<'_>| {
        if let Event::Gone(knob) = event {
            gone.push(knob.to_string());
        }
        ControlFlow::Continue(())
    };
    let tally = apply::revert(&tree.host(), state, Foreign::Keep, &mut watch).expect("the state is kept");
    assert_eq!(tally, Tally { made: 1, ..Tally::default() });
    assert_eq!(
        gone,
        ["kernel thread kdamond.0 (77)", "kernel thread kswapd1 (62)", "kernel thread rcu_preempt (17)"]
    );
    assert!(tree.text("proc/77/status").ends_with("0-3,6-15"), "it is another thread's");
    assert!(!tree.state().exists());
}

#[test]
fn kernel_threads_that_cannot_be_seen_or_moved_are_told_so() {
    let tree = small();
    tree.remove("bin/taskset");
    let mut state = State::open(&tree.state(), &tree.host(), "mine").expect("the state can be kept");
    let mut whys = Vec::new();
    let mut watch = |event: &Event<'_>| {
        if let Event::Refused(_, why) = event {
            whys.push(why.clone());
        }
        ControlFlow::Continue(())
    };
    let tally = apply::apply(&tree.host(), &threads(), &tree.wanted, &mut state, &mut watch);
    assert_eq!(tally.expect("the state is kept").refused, 3);
    assert!(whys.iter().all(|why| why.contains("apt install util-linux")), "{whys:?}");
    for id in [2, 40, 77, 78] {
        tree.remove(&format!("proc/{id}"));
    }
    assert_eq!(verdicts(&tree, &threads())["kernel_threads"], "unknown");
}

#[test]
fn a_kernel_that_forgets_processors_off_line_gives_back_what_it_can() {
    let tree = small();
    tree.thread(79, "hwrng", 1, "0-7");
    assert_eq!(apply(&tree, &threads(), ALL).0.made, 4);
    assert!(tree.text("proc/79/status").ends_with("\t0"));
    tree.file("kernel/forgets", "0-7 0-1");
    assert_eq!(revert(&tree, Foreign::Keep), Tally { made: 4, ..Tally::default() });
    assert!(tree.text("proc/79/status").ends_with("\t0-1") && !tree.state().exists());
}

#[test]
fn groups_are_steered_by_rules_and_the_rules_go_again() {
    let tree = metal();
    let before = tree.snapshot();
    let mine =
        Profile::parse("mine", "about = \"\"\n[item.steering]\nwanted = 3\napply = true\n").expect("right");
    let (tally, made) = apply(&tree, &mine, ALL);
    assert_eq!((tally.made, tally.refused), (3, 0), "{made:?}");
    assert_eq!(made[0], "ethtool -K eth0 ntuple on");
    assert_eq!(verdicts(&tree, &mine)["steering"], "right");
    assert_eq!(tree.text("ethtool/eth0/n/1023"), "239.192.7.1 26400 3");
    assert_eq!(revert(&tree, Foreign::Keep).made, 3);
    assert_eq!(before, tree.snapshot());
}

#[test]
fn only_what_the_profile_names_is_touched() {
    let tree = metal();
    let mut before = tree.snapshot();
    let mine = Profile::parse("mine", "about = \"\"\n[item.nmi_watchdog]\nwanted = 0\napply = true\n")
        .expect("right");
    apply(&tree, &mine, ALL);
    assert_eq!(before.insert("proc/sys/kernel/nmi_watchdog".into(), "0\n".into()).as_deref(), Some("1\n"));
    assert_eq!(before, tree.snapshot());
    let looked = Profile::parse("mine", "about = \"\"\n[item.nmi_watchdog]\nwanted = 1\n").expect("right");
    assert_eq!(apply(&tree, &looked, ALL).0.made, 0, "named, but not to be applied");
}

#[test]
fn deferred_interrupts_are_never_wanted_where_there_is_no_card() {
    let mut tree = metal();
    tree.files_of_a_veth();
    let mine = Profile::parse(
        "mine",
        "about = \"\"\n[item.deferred_interrupts]\nwanted = 2\n[item.flush_timeout]\nwanted = 200000\n[item.rings]\nwanted = 64\n",
    );
    let verdicts = verdicts(&tree, &mine.expect("right"));
    assert_eq!((verdicts["deferred_interrupts"], verdicts["flush_timeout"]), ("right", "wrong"));
    assert_eq!(verdicts["rings"], "irrelevant");
}

#[test]
fn what_nobody_has_shown_is_never_applied() {
    for (name, _) in gds_tuning::profile::PROFILES {
        for named in profile(name).items.iter().filter(|named| named.apply) {
            assert!(
                named.item.shown != Shown::Nobody && named.item.way == Way::Running,
                "{}",
                named.item.key
            );
        }
    }
    assert!(ITEMS.iter().any(|item| item.shown == Shown::Nobody));
}

#[test]
fn the_document_has_every_item_as_it_is() {
    let document = include_str!("../../docs/TUNING.md");
    for item in ITEMS {
        let row = document
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` | {} | {} |", item.key, item.why, item.cost)));
        let row = row.unwrap_or_else(|| {
            panic!("docs/TUNING.md tells something else of {}: {} | {}", item.key, item.why, item.cost)
        });
        let applied =
            |name| profile(name).items.iter().any(|named| named.item.key == item.key && named.apply);
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(
            (cells[4].contains("applied"), cells[5].contains("applied")),
            (applied("colo"), applied("cloud")),
            "{row}"
        );
    }
}

#[test]
fn files_to_install_say_what_was_found() {
    use gds_tuning::files::{Names, files};
    let tree = metal();
    let reports = check(&tree.host(), &profile("colo"), &tree.wanted);
    let names = Names { program: "/usr/local/bin/gds", profile: "colo", config: "/etc/gds/node.toml" };
    let files: BTreeMap<&str, String> = files(&names, &tree.wanted, "0-15", &reports)
        .into_iter()
        .map(|file| (file.path, file.text))
        .collect();
    for (path, says) in [
        (
            "etc/default/grub.d/60-gds.cfg",
            "isolcpus=managed_irq,domain,4-5 nohz_full=4-5 rcu_nocbs=4-5 irqaffinity=0-3,6-15 hugepagesz=2M hugepages=512\"",
        ),
        ("etc/sysctl.d/60-gds.conf", "net/core/rmem_max = 4194304\n"),
        ("etc/udev/rules.d/60-gds.rules", "RUN+=\"/usr/sbin/ethtool -G eth0 rx 4096\"\n"),
        ("etc/systemd/system/gds-tune.service", "ExecStop=/usr/local/bin/gds tune revert\n"),
        (
            "etc/systemd/system/gds.service",
            "AmbientCapabilities=CAP_NET_ADMIN CAP_BPF CAP_NET_RAW CAP_IPC_LOCK CAP_SYS_NICE\n",
        ),
    ] {
        assert!(files[path].contains(says), "{path}: {}", files[path]);
    }
    assert!(!files["etc/sysctl.d/60-gds.conf"].contains("swappiness"), "it is only looked at");
}
