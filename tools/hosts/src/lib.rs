//! Hosts on one machine, for tests and benchmarks: two network namespaces joined by a pair of virtual Ethernet interfaces (veth), which is
//! what AF_XDP can be tried on, or any number in a [`Mesh`] whose lines can be cut.
//!
//! Each host has the interface [`INTERFACE`] with its address of [`ADDRESS`], and a loopback interface of its own, so ports and
//! groups cannot clash with anybody's. It takes root, and `ip` of the package iproute2.
//!
//! Programs run on a host by [`Hosts::command`], a piece of work by [`Hosts::on`], a thread to its end by [`Hosts::enter`], and a
//! whole test by [`rerun_on`], which starts the test's own process again over there.
//!
//! A run that was killed leaves its hosts behind, with the programs on them; the next one to make hosts removes them.
#![forbid(unsafe_code)]
mod mesh;

pub use mesh::Mesh;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The name of the interface on either host.
pub const INTERFACE: &str = "gds0";
/// The hosts' addresses.
pub const ADDRESS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
/// An address of their network that nobody has.
pub const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);

/// What tells a test's process that it runs on host 1 of a pair: what their names begin with.
const PAIR: &str = "GDS_TEST_PAIR";

/// Two hosts, gone when dropped by whoever made them.
#[derive(Debug)]
pub struct Hosts {
    names: [String; 2],
    made_here: bool,
}

impl Hosts {
    /// Makes them.
    ///
    /// # Errors
    /// Why there can be none: not root, no `ip`, a kernel without namespaces.
    pub fn new() -> Result<Self, String> {
        remove_leftovers(PREFIX);
        let names = names(2).try_into().expect("two names");
        let hosts = Self { names, made_here: true };
        hosts.set_up()?;
        Ok(hosts)
    }

    /// The hosts of this test, whose process runs on host 1; `None` where [`rerun_on`] did not start it.
    pub fn around() -> Option<Self> {
        std::env::var(PAIR)
            .ok()
            .map(|pair| Self { names: [0, 1].map(|host| format!("{pair}-{host}")), made_here: false })
    }

    fn set_up(&self) -> Result<(), String> {
        let [a, b] = &self.names;
        for name in [a, b] {
            ip(&format!("netns add {name}"))?;
        }
        ip(&format!("-n {a} link add {INTERFACE} type veth peer name {INTERFACE} netns {b}"))?;
        for (name, address) in self.names.iter().zip(ADDRESS) {
            ip(&format!("-n {name} address add {address}/24 dev {INTERFACE}"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set {INTERFACE} up"))?;
        }
        Ok(())
    }

    /// A host's name, as `ip netns` knows it.
    pub fn name(&self, host: usize) -> &str {
        &self.names[host]
    }

    /// A command that runs a program on one of the hosts.
    pub fn command(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host], program]);
        command
    }

    /// Runs a program with its arguments on one of the hosts; what it wrote.
    ///
    /// # Errors
    /// What it complained about.
    pub fn run(&self, host: usize, program: &str) -> Result<String, String> {
        ip(&format!("netns exec {} {program}", self.names[host]))
    }

    /// Runs `work` on one of the hosts, in a thread of its own. What it opens there stays there.
    pub fn on<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> T {
        on(&self.names[host], work)
    }

    /// Moves this thread, and those it starts from now on, to one of the hosts.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enter(&self, host: usize) -> Result<(), String> {
        enter(&self.names[host])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.names.iter().filter(|_| self.made_here) {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

/// What the names of all hosts begin with; behind it the process that made them, a number, and the host's.
const PREFIX: &str = "gds-";

/// Names for so many new hosts.
fn names(hosts: usize) -> Vec<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    (0..hosts).map(|host| format!("{PREFIX}{}-{number}-{host}", std::process::id())).collect()
}

/// The process that made a host, by the host's name.
fn maker(name: &str, prefix: &str) -> Option<u32> {
    let mut parts = name.strip_prefix(prefix)?.split('-');
    let maker = parts.next()?.parse().ok()?;
    (parts.next()?.parse::<u32>().is_ok() && parts.next()?.parse::<u32>().is_ok()).then_some(maker)
}

/// Removes hosts whose makers are gone, and ends what still runs on them.
fn remove_leftovers(prefix: &str) {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        if maker(&name, prefix).is_none_or(|maker| fs::exists(format!("/proc/{maker}")).unwrap_or(true)) {
            continue;
        }
        let left = ip(&format!("netns pids {name}")).unwrap_or_default();
        for process in left.split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", process]).stderr(Stdio::null()).status();
        }
        // Another test may be at the same.
        let _ = ip(&format!("netns delete {name}"));
    }
}

/// Moves this thread to a host.
fn enter(name: &str) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot enter the namespace {name}: {error}");
    let namespace = File::open(format!("/run/netns/{name}")).map_err(|error| failed(&error))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| failed(&error))
}

/// Runs `work` on a host, in a thread of its own.
fn on<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let entered = scope.spawn(move || {
            enter(name).unwrap_or_else(|why| panic!("{why}"));
            work()
        });
        entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs the test `name` of this test binary on host 1 of a new pair, in a process of its own, with these environment variables, and
/// shows what it says. There, [`Hosts::around`] has the pair.
///
/// # Panics
/// When the test fails there, or was not found.
///
/// # Errors
/// Why there are no hosts: then nothing ran.
pub fn rerun_on(name: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    let hosts = Hosts::new()?;
    let binary = std::env::current_exe().expect("a test knows its binary");
    let mut command = hosts.command(1, binary.to_str().expect("a path of text"));
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(PAIR, hosts.name(0).strip_suffix("-0").expect("host 0's name"));
    let output = command.envs(environment.iter().copied()).output().expect("the test's binary runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{name} failed there: {out}{err}");
    assert!(out.contains("1 passed"), "there is no test {name}: {out}");
    Ok(())
}

/// Runs `ip` with arguments.
fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .map_err(|error| format!("ip (package iproute2): {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Runs several lines of arguments of `ip` on a host.
fn ip_batch(name: &str, lines: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command
        .args(["-n", name, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ip (package iproute2): {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let written = stdin.write_all(lines.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    Err(format!("ip -n {name} -batch: {}\n{lines}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn hosts_reach_each_other_and_are_gone_afterwards() {
        let hosts = match Hosts::new() {
            Ok(hosts) => hosts,
            Err(why) => return println!("skipped: no network namespaces: {why}"),
        };
        let receiver = hosts.on(0, || UdpSocket::bind((ADDRESS[0], 9)).expect("the address is there"));
        hosts.on(1, || {
            let sender = UdpSocket::bind((ADDRESS[1], 0)).expect("the address is there");
            sender.send_to(b"hello", (ADDRESS[0], 9)).expect("the other host is there");
        });
        let mut buffer = [0; 16];
        let (length, from) = receiver.recv_from(&mut buffer).expect("it comes");
        assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], ADDRESS[1].into()));
        let addresses = hosts.run(1, "ip -o address").expect("the program is there");
        assert!(addresses.contains(&ADDRESS[1].to_string()), "{addresses}");

        let name = hosts.name(0).to_owned();
        drop(hosts);
        assert!(!std::path::Path::new("/run/netns").join(name).exists());
    }

    #[test]
    fn hosts_of_a_run_that_was_killed_are_removed_with_what_runs_on_them() {
        // A process that has ended made these.
        let mut gone = Command::new("true").spawn().expect("`true` is there");
        let maker = gone.id();
        gone.wait().expect("it ends");
        // Not the names of others, which tests beside this one may be removing.
        let name = format!("left-{maker}-0-0");
        if let Err(why) = ip(&format!("netns add {name}")) {
            return println!("skipped: no network namespaces: {why}");
        }
        let mut left = Command::new("ip");
        left.args(["netns", "exec", &name, "sleep", "1000"]);
        let mut left = left.spawn().expect("it starts");
        while !ip(&format!("netns pids {name}")).expect("it is there").contains(&left.id().to_string()) {
            std::thread::yield_now();
        }
        remove_leftovers("left-");
        assert!(!std::path::Path::new("/run/netns").join(&name).exists());
        assert!(!left.wait().expect("it was ended").success());
        assert_eq!(super::maker("gds-12-0-1", PREFIX), Some(12));
        assert_eq!(["gds-12", "gds-x-0-1", "own-12-0-1"].map(|name| super::maker(name, PREFIX)), [None; 3]);
    }

    #[test]
    fn a_test_runs_again_on_a_host() {
        if let Some(hosts) = Hosts::around() {
            assert_eq!(std::env::var("GDS_TEST_GIVEN").as_deref(), Ok("this"));
            UdpSocket::bind((ADDRESS[1], 0)).expect("it is on host 1");
            hosts.on(0, || UdpSocket::bind((ADDRESS[0], 0)).expect("and there is host 0"));
        } else if let Err(why) = rerun_on("tests::a_test_runs_again_on_a_host", &[("GDS_TEST_GIVEN", "this")])
        {
            println!("skipped: no network namespaces: {why}");
        }
    }
}
