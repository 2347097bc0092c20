//! The control socket: how a person's command reaches a running node on its own machine.
//!
//! `control` in `stream.directory` is a UNIX socket for the node's user alone (mode 0600). One [`Order`] goes in as a line of JSON, one
//! [`Answer`] comes back, and the connection is closed:
//!
//! ```text
//! {"order":"status"}                       ▶  {"status":{"node":1,"role":"leads","epoch":3, ...}}
//! {"order":"hand_over","wait_ms":2000}     ▶  {"handed_over":{"leader":2,"epoch":4,"took_ns":8123456}}
//!                                          ▶  {"error":"this node does not lead: node 2 does, ..."}
//! ```
//!
//! A thread of its own serves it, one order at a time, never on a node's pinned core. It waits for nobody longer than a second, and takes no
//! line longer than [`LINE_BYTES_MAX`].
//!
//! Beside it lies `control.lock`. A node holds it for as long as it lives, from before it looks at its journals, and so does a command that changes what
//! the next start finds: there is one of them at a time ([`DirectoryLock`]). The lock goes with the process, however that ends, so a socket
//! that is there without it is a dead process's, and is replaced.
use crate::standing::{self, Standing};
use gds_core::agent::{Fault, SequencerOrders};
use gds_core::query::CounterSets;
use gds_core::replication::{Leadership, NodeId};
use gds_register::Keeper;
use gds_wire::session::Session;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, str};

/// Longest line that is taken.
pub const LINE_BYTES_MAX: u64 = 4096;
/// Longest wait for a hand-over.
pub const HAND_OVER_MAX: Duration = Duration::from_secs(60);
const NAME: &str = "control";
const NEW_NAME: &str = "control.new";
const LOCK_NAME: &str = "control.lock";
/// How long whoever connects may take for one line, either way.
const LINE_WAIT: Duration = Duration::from_secs(1);
/// How long a start waits for a process that has just been killed.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// What a node can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// How do you stand in your cluster?
    Status,
    /// Take nothing more, and let another member lead. After `wait_ms` without one the node goes on as it was.
    HandOver {
        /// How long to wait, in milliseconds; [`HAND_OVER_MAX`] at most.
        wait_ms: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To a question for its standing.
    Status(Box<Status>),
    /// Another node leads.
    HandedOver(HandedOver),
    /// Not done; why, and what to do.
    Error(String),
}

/// What a node says of itself on its own machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The stream.
    pub stream: String,
    /// Its standing in the cluster.
    pub standing: Standing,
    /// Why the register did not answer when it was last asked; `None` when it did.
    pub register_trouble: Option<String>,
}

/// How a hand-over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Who leads now.
    pub leader: u8,
    /// In which epoch.
    pub epoch: u32,
    /// From the order until this node knew it, ns.
    pub took_ns: u64,
}

/// A directory that one process has, with the socket in it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    _lock: DirectoryLock,
}

impl ControlSocket {
    /// Takes a node's directory, and opens the socket there. Nobody is answered yet.
    ///
    /// # Errors
    /// When another process has it.
    pub fn open(directory: &Path) -> Result<Self, Fault> {
        let lock = DirectoryLock::take(directory, LOCK_WAIT)?;
        let path = directory.join(NAME);
        let open = || -> io::Result<UnixListener> {
            // Nobody may connect before the mode is right, so it gets its name last.
            let new = directory.join(NEW_NAME);
            for old in [&new, &path] {
                fs::remove_file(old).or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
            }
            let handle = File::open(directory)?;
            let listener = UnixListener::bind(through(&handle, NEW_NAME))?;
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            fs::rename(new, &path)?;
            Ok(listener)
        };
        let listener = open().map_err(|error| {
            Fault(format!(
                "{}: the control socket cannot be made: {error}; stream.directory must be on a file system of this machine that the node may write",
                path.display()
            ))
        })?;
        Ok(Self { listener, path, _lock: lock })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Where it cannot be removed, the next start replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A path to a file in a directory that is as short as a socket's must be (108 bytes), however long the directory's is.
fn through(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// The right to use a node's directory: one process has it at a time, until it ends or drops this.
#[derive(Debug)]
pub struct DirectoryLock(#[allow(dead_code, reason = "what is held open is the lock")] File);

impl DirectoryLock {
    /// Takes it, within this time.
    ///
    /// # Errors
    /// When another process has it, or the directory cannot be written.
    pub fn take(directory: &Path, wait: Duration) -> Result<Self, Fault> {
        let path = directory.join(LOCK_NAME);
        let failed = |why: &dyn fmt::Display| Fault(format!("{}: {why}", path.display()));
        let mut open = OpenOptions::new();
        let open = open.read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|error| failed(&format!("{error}; the node must be able to write there")))?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(failed(&format!(
                        "stream.directory = {} is in use: another process runs a node there (`fuser {}` names it)",
                        directory.display(),
                        path.display()
                    )));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            }
        }
    }
}

/// What the orders need of a node.
pub struct Controlled {
    /// The stream.
    pub stream: Session,
    /// Its number, in a cluster.
    pub member: Option<NodeId>,
    /// Its role.
    pub leadership: Arc<Leadership>,
    /// Where its sequencer is told things.
    pub orders: Arc<SequencerOrders>,
    /// Everything it counts.
    pub counters: CounterSets,
    /// Asks the register.
    pub keeper: Option<Arc<Keeper>>,
}

/// The thread that serves the socket; dropping it ends it.
#[derive(Debug)]
pub struct Control {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    socket: ControlSocket,
}

impl Control {
    /// Begins to answer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn serve(socket: ControlSocket, node: Controlled) -> Result<Self, Fault> {
        let end = Arc::new(AtomicBool::new(false));
        let listener = socket.listener.try_clone().map_err(Fault::from)?;
        let server = Server { node, end: end.clone() };
        let run = move || server.run(&listener);
        let thread = thread::Builder::new().name("control".into()).spawn(run).map_err(Fault::from)?;
        Ok(Self { end, thread: Some(thread), socket })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        if let Ok(listener) = self.socket.listener.try_clone() {
            // Whoever waits for a connection waits no more.
            let _ = UnixStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been shown already.
            let _ = thread.join();
        }
    }
}

struct Server {
    node: Controlled,
    end: Arc<AtomicBool>,
}

impl Server {
    fn run(&self, listener: &UnixListener) {
        while !self.is_over() {
            match listener.accept() {
                // Whoever does not wait for the answer has none.
                Ok((connection, _)) => drop(self.answer(connection)),
                // Out of file descriptors, say: that passes.
                Err(_) if !self.is_over() => thread::sleep(LINE_WAIT / 10),
                Err(_) => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        self.end.load(Ordering::Acquire)
    }

    fn answer(&self, mut connection: UnixStream) -> io::Result<()> {
        connection.set_read_timeout(Some(LINE_WAIT))?;
        connection.set_write_timeout(Some(LINE_WAIT))?;
        let line = read_line(&connection, LINE_BYTES_MAX)?;
        let answer = match serde_json::from_slice(&line) {
            Ok(order) => self.obey(order),
            Err(error) => Answer::Error(format!(
                "no order: {error}; there are {{\"order\":\"status\"}} and {{\"order\":\"hand_over\",\"wait_ms\":2000}}"
            )),
        };
        let mut text = serde_json::to_vec(&answer).map_err(io::Error::from)?;
        text.push(b'\n');
        connection.write_all(&text)
    }

    fn obey(&self, order: Order) -> Answer {
        match order {
            Order::Status => Answer::Status(Box::new(self.status())),
            Order::HandOver { wait_ms } => {
                let wait = Duration::from_millis(wait_ms).min(HAND_OVER_MAX);
                self.hand_over(wait).map_or_else(Answer::Error, Answer::HandedOver)
            }
        }
    }

    fn standing(&self) -> Standing {
        let values = standing::values(&self.node.counters);
        Standing::of(self.node.member.map_or(0, |node| node.0), &values)
    }

    fn status(&self) -> Status {
        Status {
            stream: self.node.stream.to_string(),
            standing: self.standing(),
            register_trouble: self.node.keeper.as_ref().and_then(|keeper| keeper.trouble()),
        }
    }

    fn hand_over(&self, wait: Duration) -> Result<HandedOver, String> {
        let Some(me) = self.node.member else {
            return Err(
                "this node is in no cluster (cluster.node = 0): there is nobody to hand over to".into()
            );
        };
        let before = self.standing();
        if !self.node.leadership.is_leading() {
            return Err(match before.leader {
                Some(leader) => format!(
                    "this node does not lead: node {leader} does, in epoch {}; order it there",
                    before.epoch
                ),
                None => format!(
                    "this node does not lead, and it knows of nobody who does since epoch {}",
                    before.epoch
                ),
            });
        }
        if before.in_sync < 2 {
            return Err(
                "no other node is in sync, so none could take over: `gds cluster` shows what keeps them"
                    .into(),
            );
        }
        let began = Instant::now();
        self.node.orders.hand_over.store(true, Ordering::Release);
        while began.elapsed() < wait && !self.is_over() {
            let now = self.standing();
            if let Some(leader) = now.leader.filter(|leader| *leader != me.0 && now.epoch > before.epoch) {
                let took_ns = began.elapsed().as_nanos() as u64;
                return Ok(HandedOver { leader, epoch: now.epoch, took_ns });
            }
            thread::sleep(LOOK);
        }
        self.node.orders.hand_over.store(false, Ordering::Release);
        let trouble = self.node.keeper.as_ref().and_then(|keeper| keeper.trouble());
        let why = trouble
            .unwrap_or_else(|| "look at `gds cluster` and try again, with more time (--wait-ms)".into());
        Err(format!(
            "nobody took over within {} ms, and this node goes on as it was: {why}",
            wait.as_millis()
        ))
    }
}

/// Up to the end of a line, without it.
fn read_line(from: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(from.take(bytes_max)).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("no line within {bytes_max} bytes")));
    }
    Ok(line)
}

/// Why a node could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// No node runs there.
    NotRunning(String),
    /// One does, and gives no answer.
    Silent(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(text) | Self::Silent(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ControlError {}

/// Gives an order to the node that has a directory, and waits for the answer.
///
/// # Errors
/// When no node runs there, or it does not answer in time.
pub fn ask(directory: &Path, order: &Order, wait: Duration) -> Result<Answer, ControlError> {
    let path = directory.join(NAME);
    let connect = || UnixStream::connect(through(&File::open(directory)?, NAME));
    let mut connection = connect().map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => ControlError::Silent(format!(
            "{}: {error}: only the user that runs the node may give it orders",
            path.display()
        )),
        _ => ControlError::NotRunning(format!("{}: {error}: no node runs there", path.display())),
    })?;
    let silent = |error: io::Error| {
        ControlError::Silent(format!(
            "{}: {error}: the node there gives no answer: it is starting still, it stops, or it stands still (SIGSTOP?)",
            path.display()
        ))
    };
    let mut text = serde_json::to_vec(order).map_err(|error| silent(error.into()))?;
    text.push(b'\n');
    let answer = connection
        .set_read_timeout(Some(wait))
        .and_then(|()| connection.write_all(&text))
        .and_then(|()| read_line(&connection, u64::from(u16::MAX)))
        .map_err(silent)?;
    serde_json::from_slice(&answer).map_err(|error| silent(error.into()))
}

#[cfg(test)]
mod tests;
