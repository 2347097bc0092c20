//! Two hosts on one machine: network namespaces joined by a pair of virtual Ethernet interfaces.
#![allow(unsafe_code)] // Reason: setns, which std does not offer.
#![allow(dead_code)] // Reason: not every test uses all of it.
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The name of the interface in either host.
pub const INTERFACE: &str = "gds0";
/// The hosts' addresses.
pub const ADDRESS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
/// An address of their network that nobody has.
pub const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);

/// Two hosts, gone when dropped.
pub struct Hosts {
    names: [String; 2],
}

impl Hosts {
    /// Makes them; none, and a line that says why, where that cannot be.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = [0, 1].map(|host| format!("gds-{}-{number}-{host}", std::process::id()));
        let hosts = Self { names };
        match hosts.set_up() {
            Ok(()) => Some(hosts),
            Err(reason) => {
                println!("skipped: no network namespaces: {reason}");
                None
            }
        }
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

    /// Runs `work` in one of the hosts. What it opens there stays there.
    pub fn on<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.names[host]);
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                let namespace = File::open(path).expect("the namespace is there");
                // SAFETY: an open descriptor and an integer; it changes this thread alone, which ends after the work.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
                work()
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program in one of the hosts; what it wrote, or what it complained about.
    pub fn run(&self, host: usize, program: &str) -> Result<String, String> {
        ip(&format!("netns exec {} {program}", self.names[host]))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

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
