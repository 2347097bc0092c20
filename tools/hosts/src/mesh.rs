//! Any number of hosts, each joined to every other by a line of its own that can be cut and mended.
//!
//! ```text
//!  host 0  gds0 ═╦═ to1 ────────── to0 ═╦═ gds0  host 1
//!                ╚═ to2 ──┐      ┌─ to2 ═╝
//!                         └┐    ┌┘
//!                        to0    to1
//!                          ╚═╦══╝
//!                           gds0  host 2
//! ```
//!
//! On each host a bridge joins the ends of its lines to one interface, so that a host sends and joins multicast once, as on a switch; its
//! ports are isolated from each other, so that nothing goes round. A cut line carries nothing in either direction, neither to an address nor
//! to a group, and neither host is told: the others hear everything as before.
use crate::{INTERFACE, PREFIX, enter, ip, ip_batch, names, on, remove_leftovers};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

/// States of a bridge's port. One that only listens passes nothing on, and unlike one that is disabled or blocking the kernel does not set it
/// to forwarding by itself when it looks at its ports again.
const LISTENING: u8 = 1;
const FORWARDING: u8 = 3;
/// How long lines may take to come up.
const UP_MAX: Duration = Duration::from_secs(10);

/// Hosts that all reach each other, gone when dropped.
#[derive(Debug)]
pub struct Mesh {
    names: Vec<String>,
}

impl Mesh {
    /// Makes so many hosts.
    ///
    /// # Errors
    /// Why there can be none: not root, no `ip` or `bridge`, a kernel without namespaces or bridges.
    pub fn new(hosts: usize) -> Result<Self, String> {
        assert!((2..=50).contains(&hosts), "{hosts} hosts");
        remove_leftovers(PREFIX);
        // Whatever was made is gone with it when the rest fails.
        let mesh = Self { names: names(hosts) };
        for name in &mesh.names {
            ip(&format!("netns add {name}"))?;
        }
        for host in 0..hosts {
            mesh.make_host(host)?;
        }
        for one in 0..hosts {
            for other in one + 1..hosts {
                mesh.lay_line(one, other)?;
            }
        }
        mesh.wait()?;
        Ok(mesh)
    }

    /// The kernel lets the ports of a bridge carry packets some time after they are up.
    fn wait(&self) -> Result<(), String> {
        let deadline = Instant::now() + UP_MAX;
        for name in &self.names {
            // A line to each of the others, and its own.
            while ip(&format!("-n {name} -d link show"))?.matches("state forwarding").count()
                < self.names.len()
            {
                if Instant::now() > deadline {
                    return Err(format!("the lines of {name} do not come up within {UP_MAX:?}"));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn make_host(&self, host: usize) -> Result<(), String> {
        let mut batch = String::from("link set lo up\n");
        let _ = writeln!(batch, "link add {INTERFACE} type bridge mcast_snooping 0 stp_state 0");
        let _ = writeln!(batch, "link set {INTERFACE} address 02:00:00:00:00:{:02x} up", host + 1);
        let _ = writeln!(batch, "address add {}/24 dev {INTERFACE}", self.address(host));
        // With a port of its own the interface is up, whatever becomes of the lines.
        let _ = writeln!(
            batch,
            "link add own type veth peer name end\nlink set own master {INTERFACE} up\nlink set end up"
        );
        ip_batch(&self.names[host], &batch)
    }

    fn lay_line(&self, one: usize, other: usize) -> Result<(), String> {
        let (a, b) = (&self.names[one], &self.names[other]);
        ip(&format!("-n {a} link add to{other} type veth peer name to{one} netns {b}"))?;
        for (host, peer) in [(one, other), (other, one)] {
            let batch = format!(
                "link set to{peer} master {INTERFACE}\nlink set to{peer} type bridge_slave isolated on\nlink set to{peer} up\n"
            );
            ip_batch(&self.names[host], &batch)?;
        }
        Ok(())
    }

    /// The address of a host.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 1, host as u8 + 1)
    }

    /// Cuts the line between two hosts.
    pub fn cut(&self, one: usize, other: usize) {
        self.set_line(one, other, LISTENING);
    }

    /// Mends it.
    pub fn mend(&self, one: usize, other: usize) {
        self.set_line(one, other, FORWARDING);
    }

    /// Mends all lines.
    pub fn mend_all(&self) {
        for one in 0..self.names.len() {
            (one + 1..self.names.len()).for_each(|other| self.mend(one, other));
        }
    }

    /// A port that does not forward takes nothing either, so one end is enough, always the same.
    fn set_line(&self, one: usize, other: usize, state: u8) {
        let (near, far) = (one.min(other), one.max(other));
        let done = ip(&format!("-n {} link set to{far} type bridge_slave state {state}", self.names[near]));
        done.unwrap_or_else(|why| panic!("{why}"));
    }

    /// A command that runs a program on one of the hosts.
    pub fn command(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host], program]);
        command
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

impl Drop for Mesh {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    const PORT: u16 = 9;

    /// Who of the others hears a word to the group, and who a word to its own address.
    fn heard(mesh: &Mesh, ears: &[UdpSocket], from: usize) -> (Vec<usize>, Vec<usize>) {
        let mouth = mesh.on(from, || UdpSocket::bind((mesh.address(from), 0)).expect("the address is there"));
        // Both on one socket, told apart by their text, and a word of each twice: the first may be lost to an address that is being asked for.
        for _ in 0..2 {
            mouth.send_to(b"group", (GROUP, PORT)).expect("the interface is up");
            for host in (0..ears.len()).filter(|host| *host != from) {
                let _ = mouth.send_to(b"own", (mesh.address(host), PORT));
            }
        }
        let (mut group, mut own) = (Vec::new(), Vec::new());
        for (host, ear) in ears.iter().enumerate() {
            let mut buffer = [0; 16];
            while let Ok(length) = ear.recv(&mut buffer) {
                let by = if &buffer[..length] == b"group" { &mut group } else { &mut own };
                by.push(host);
            }
        }
        for by in [&mut group, &mut own] {
            by.retain(|host| *host != from);
            by.dedup();
        }
        (group, own)
    }

    #[test]
    fn a_line_is_cut_for_addresses_and_groups_and_the_others_are_not() {
        let mesh = match Mesh::new(4) {
            Ok(mesh) => mesh,
            Err(why) => return println!("skipped: no network namespaces: {why}"),
        };
        let ears: Vec<UdpSocket> = (0..4)
            .map(|host| {
                mesh.on(host, || {
                    let ear = UdpSocket::bind(("0.0.0.0", PORT)).expect("the port is free");
                    ear.join_multicast_v4(&GROUP, &mesh.address(host)).expect("it joins");
                    ear.set_read_timeout(Some(Duration::from_millis(60))).expect("a time");
                    ear
                })
            })
            .collect();
        let all = |from: usize| (0..4).filter(|host| *host != from).collect::<Vec<_>>();
        for from in 0..4 {
            assert_eq!(heard(&mesh, &ears, from), (all(from), all(from)), "from {from}");
        }
        mesh.cut(0, 2);
        assert_eq!(heard(&mesh, &ears, 0), (vec![1, 3], vec![1, 3]));
        assert_eq!(heard(&mesh, &ears, 2), (vec![1, 3], vec![1, 3]));
        assert_eq!(heard(&mesh, &ears, 1), (all(1), all(1)));
        mesh.mend(0, 2);
        mesh.cut(1, 0);
        mesh.cut(0, 3);
        mesh.cut(2, 0);
        assert_eq!(heard(&mesh, &ears, 0), (vec![], vec![]), "it is alone, and not told");
        assert_eq!(heard(&mesh, &ears, 3), (vec![1, 2], vec![1, 2]));
        mesh.mend_all();
        assert_eq!(heard(&mesh, &ears, 0), (all(0), all(0)));
    }
}
