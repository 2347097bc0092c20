//! On what machine it was: facts for the report, and what about them makes figures worse than they could be.
//!
//! All of it is read from `/proc` and `/sys`, and told by the binary under test; what cannot be read is left out.
use crate::VERSION;
use crate::compare::build::version;
use crate::measurement::Environment;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runnable tasks per core above which the machine counts as busy.
const LOAD_PER_CORE_MAX: f64 = 0.3;
/// Receive buffers smaller than this lose bursts.
const RECEIVE_BUFFER_MIN_BYTES: u64 = 4 << 20;

/// What the machine and the build are now, and what the binary under test says it is.
pub fn read(under_test: &Path) -> Environment {
    let mut environment = Environment::default();
    processor(&mut environment);
    clock(&mut environment);
    memory(&mut environment);
    system(&mut environment);
    build(&mut environment, under_test);
    environment.facts.push(("time".into(), utc(SystemTime::now())));
    environment
}

fn add(environment: &mut Environment, name: &str, value: Option<String>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        environment.facts.push((name.into(), value));
    }
}

fn warn(environment: &mut Environment, warning: String) {
    environment.warnings.push(warning);
}

fn processor(environment: &mut Environment) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    add(environment, "CPU", field(&info, "model name"));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = field(&status, "Cpus_allowed_list").unwrap_or_default();
    add(environment, "cores", Some(format!("{cores} (this process may use {allowed})")));
    if cores < 4 {
        warn(environment, format!("{cores} cores: node, client and everything else share them"));
    }
    let isolated = line("/sys/devices/system/cpu/isolated");
    add(
        environment,
        "isolated cores",
        Some(isolated.clone().filter(|t| !t.is_empty()).unwrap_or("none".into())),
    );
    if isolated.is_none_or(|text| text.is_empty()) {
        warn(environment, "no isolated cores: the scheduler may put anything beside the node".into());
    }
    let governor = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if let Some(governor) = governor.as_ref().filter(|governor| *governor != "performance") {
        warn(environment, format!("frequency governor {governor}, not performance"));
    }
    add(environment, "frequency governor", Some(governor.unwrap_or("unknown".into())));
    let flags = field(&info, "flags").unwrap_or_default();
    let guest = flags.split(' ').any(|flag| flag == "hypervisor");
    add(environment, "virtualised", Some(if guest { "yes" } else { "no" }.into()));
    if guest {
        warn(environment, "virtual machine: its host takes time away without notice".into());
    }
}

fn clock(environment: &mut Environment) {
    let source = line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if let Some(source) = source.as_ref().filter(|source| *source != "tsc") {
        warn(environment, format!("clock source {source}, not tsc: each look at the clock costs more"));
    }
    add(environment, "clock source", source);
}

fn memory(environment: &mut Environment) {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name| field(&info, name)?.split(' ').next()?.parse::<u64>().ok();
    add(
        environment,
        "memory",
        kib("MemTotal").map(|kib| format!("{:.1} GiB", kib as f64 / (1 << 20) as f64)),
    );
    let pages = kib("HugePages_Total").unwrap_or_default();
    let free = kib("HugePages_Free").unwrap_or_default();
    let size = kib("Hugepagesize").unwrap_or_default();
    add(environment, "hugepages", Some(format!("{pages} of {size} KiB, {free} free")));
    if free == 0 {
        warn(environment, "no hugepages free: ring, index and records lie in small pages".into());
    }
    let transparent = line("/sys/kernel/mm/transparent_hugepage/enabled");
    add(environment, "transparent hugepages", transparent.as_deref().and_then(chosen));
}

fn system(environment: &mut Environment) {
    add(environment, "kernel", line("/proc/sys/kernel/osrelease"));
    let buffer = line("/proc/sys/net/core/rmem_max");
    if let Some(bytes) = buffer.as_ref().and_then(|text| text.parse::<u64>().ok()) {
        add(environment, "receive buffer limit", Some(format!("{} KiB", bytes >> 10)));
        if bytes < RECEIVE_BUFFER_MIN_BYTES {
            warn(environment, format!("net.core.rmem_max is {} KiB: bursts may be lost", bytes >> 10));
        }
    }
    let load = line("/proc/loadavg").unwrap_or_default();
    add(environment, "load average", Some(load.split(' ').take(3).collect::<Vec<_>>().join(" ")));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let now: f64 = load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    if now > LOAD_PER_CORE_MAX * cores as f64 {
        warn(
            environment,
            format!("busy machine: load average {now} over {cores} cores before the first run"),
        );
    }
}

/// The binary under test says itself what it is; the rig may be another build.
fn build(environment: &mut Environment, under_test: &Path) {
    let told = version(under_test);
    if told.as_ref().is_some_and(|told| !told.contains(VERSION)) {
        warn(environment, "the rig is another build than the binary under test".into());
    }
    let silent = || format!("{} does not tell its version", under_test.display());
    add(environment, "under test", Some(told.unwrap_or_else(silent)));
    add(environment, "rig", Some(format!("gds {VERSION}")));
    let debug = cfg!(debug_assertions);
    add(environment, "build", Some(if debug { "debug" } else { "release" }.into()));
    if debug {
        warn(environment, "debug build: these figures say nothing".into());
    }
}

/// The first line of a file.
fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// The value behind a name and a colon.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// The word in brackets, as such files in `/sys` mark what is chosen.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// A time as `2024-02-29 23:59:59 UTC`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_machine_has_a_processor_and_a_time() {
        let environment = read("/nowhere/gds".as_ref());
        for name in ["cores", "kernel", "time", "build", "rig", "under test"] {
            assert!(
                environment.facts.iter().any(|(known, value)| known == name && !value.is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn the_binary_under_test_says_what_it_is() {
        let warned = |environment: &Environment| {
            environment.warnings.iter().any(|warning| warning.contains("another build"))
        };
        let folder = tempfile::tempdir().unwrap();
        let gds = |version: &str| {
            let file = folder.path().join("gds");
            fs::write(&file, format!("#!/bin/sh\necho 'gds {version}'\n")).unwrap();
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            read(&file)
        };
        assert!(!warned(&gds(VERSION)));
        let otherwise = VERSION.replace(')', ", otherwise)");
        assert!(warned(&gds(&otherwise)), "the same commit, built in another way");
        let older = gds("0.0.9 (0123456789ab)");
        assert!(warned(&older));
        let fact = |name: &str| older.facts.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(
            (fact("under test"), fact("rig")),
            ("gds 0.0.9 (0123456789ab)".into(), format!("gds {VERSION}"))
        );
    }

    #[test]
    fn days_are_counted_with_leap_years() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn what_is_chosen_stands_in_brackets() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(chosen("none"), None);
    }
}
