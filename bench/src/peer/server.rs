//! The servers of other stores: how they are started, and what is said to them.
use crate::addresses;
use crate::cores::on_core;
use crate::guard::Guard;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// A kind of server and its text protocol.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    program: &'static str,
    arguments: fn(port: u16) -> Vec<String>,
    /// Appends the request that sets a key to a value.
    pub set: fn(key: &str, value: &[u8], into: &mut Vec<u8>),
    /// The answer to it.
    pub stored: &'static [u8],
}

/// All of them.
pub const ALL: [Kind; 2] = [
    Kind { name: "redis", program: "redis-server", arguments: redis, set: redis_set, stored: b"+OK\r\n" },
    Kind {
        name: "memcached",
        program: "memcached",
        arguments: memcached,
        set: memcached_set,
        stored: b"STORED\r\n",
    },
];

fn redis(port: u16) -> Vec<String> {
    // Nothing on disk: the like of durability `memory`.
    let text = format!("--port {port} --bind 127.0.0.1 --appendonly no --daemonize no --save");
    text.split(' ').map(str::to_owned).chain([String::new()]).collect()
}

fn redis_set(key: &str, value: &[u8], into: &mut Vec<u8>) {
    let _ = write!(into, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len());
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

fn memcached(port: u16) -> Vec<String> {
    let mut text = format!("-p {port} -l 127.0.0.1 -U 0 -t 1 -m 512");
    // It wants to be told that it may run as root.
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        text.push_str(" -u root");
    }
    text.split(' ').map(str::to_owned).collect()
}

fn memcached_set(key: &str, value: &[u8], into: &mut Vec<u8>) {
    let _ = write!(into, "set {key} 0 0 {}\r\n", value.len());
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    port: u16,
    /// Dropped once the child has ended, as its files are.
    _guard: Option<Guard>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts one on a free port and a processor of its own.
    pub fn start(kind: Kind, core: Option<usize>) -> Result<Self, String> {
        let port = addresses::tcp_port()?;
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new(kind.program);
        command.args((kind.arguments)(port)).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A process runs where the thread may that starts it.
        let child = on_core(core, || {
            command.spawn().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => format!("{}: not installed", kind.name),
                _ => format!("{}: {error}", kind.name),
            })
        })?;
        let guard = Guard::over(&child, &[directory.path().to_owned()]);
        let server = Self { child, port, _guard: guard, _directory: directory };
        server.connect().map_err(|error| format!("{}: does not listen: {error}", kind.name))?;
        Ok(server)
    }

    /// A connection to it, as soon as it listens.
    pub fn connect(&self) -> Result<TcpStream, String> {
        let begun = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return Ok(stream),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.to_string()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
