//! A real etcd on a host of its own, with its data in memory.
use gds_hosts::Mesh;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where clients reach it.
const PORT: u16 = 2379;

/// One etcd, the whole of its cluster.
pub struct Etcd {
    address: Ipv4Addr,
    command: Command,
    log: PathBuf,
    child: Child,
}

impl Etcd {
    /// Whether it is installed.
    pub fn is_installed() -> bool {
        Command::new("etcd").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Starts it on a host, and waits until it answers.
    pub fn start(mesh: &Mesh, host: usize, folder: &Path) -> Self {
        let address = mesh.address(host);
        let (client, peer) = (format!("http://{address}:{PORT}"), "http://127.0.0.1:2380");
        let mut command = mesh.command(host, "etcd");
        command
            .args(["--name", "one", "--initial-cluster", &format!("one={peer}"), "--data-dir"])
            .arg(folder.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
            // A build for another processor than etcd's main one asks for this; others ignore it.
            .env("ETCD_UNSUPPORTED_ARCH", "arm64");
        let log = folder.join("etcd.log");
        let child = spawn(&mut command, &log);
        let etcd = Self { address, command, log, child };
        etcd.wait();
        etcd
    }

    /// How nodes reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{PORT}", self.address)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// The same again with the same data; it takes a while until it answers.
    pub fn start_again(&mut self) {
        self.child = spawn(&mut self.command, &self.log);
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + crate::common::READY;
        let address = SocketAddr::from((self.address, PORT));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < deadline, "etcd does not get ready: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::options().append(true).create(true).open(log).expect("the test's folder can be written");
    let errors = log.try_clone().expect("the log");
    command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("etcd starts")
}
