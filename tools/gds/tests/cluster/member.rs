//! A member of the cluster: its process, and what it says of itself.
use gds_client::{Reader, StatusReport};
use gds_hosts::Mesh;
use gds_node::config::Config;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long a node may take to answer a question before it counts as not there.
const ANSWER: Duration = Duration::from_millis(500);

/// One node.
pub struct Member {
    /// Its place: 0 is node 1.
    pub place: usize,
    command: Command,
    query: SocketAddrV4,
    /// Its journals and snapshots, and its ring.
    directories: [PathBuf; 2],
    errors: PathBuf,
    config: PathBuf,
    /// Of the life it lives.
    process: Option<Process>,
    reader: Option<Reader>,
    /// Times that it cut its log back and started again.
    pub cuts: u64,
    /// Everything that it has said.
    said: Vec<String>,
}

struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// Where it stands in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub leads: bool,
    pub epoch: u64,
    pub in_sync: u64,
    pub is_in_sync: bool,
    pub applied: u64,
}

impl Member {
    /// The node of this configuration on the host of its place; it does not run yet.
    pub fn new(mesh: &Mesh, place: usize, config: &Path, query_port: u16) -> Self {
        let mut command = mesh.command(place, env!("CARGO_BIN_EXE_gds"));
        command
            .arg("run")
            .arg("--json")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let stream = Config::load(config).unwrap_or_else(|error| panic!("{error}")).stream;
        Self {
            directories: [stream.directory, stream.ring_directory],
            place,
            command,
            query: SocketAddrV4::new(mesh.address(place), query_port),
            errors: config.with_extension("err"),
            config: config.to_owned(),
            process: None,
            reader: None,
            cuts: 0,
            said: Vec::new(),
        }
    }

    /// Its configuration.
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// Starts it; does not wait.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "node {} runs", self.place + 1);
        let errors = File::options().append(true).create(true).open(&self.errors);
        self.command.stderr(errors.expect("the test's folder can be written"));
        let mut child = self.command.spawn().expect("the binary runs");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        // Ends with the child, whose output it reads.
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.process = Some(Process { child, lines });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.child.kill().expect("it is our child");
        process.child.wait().expect("it is our child");
        self.hear(&process);
        self.reader = None;
    }

    /// Everything that it ever had is gone; it does not run.
    pub fn wipe(&mut self) {
        assert!(self.process.is_none(), "node {} runs", self.place + 1);
        for directory in &self.directories {
            fs::remove_dir_all(directory)
                .and_then(|()| fs::create_dir(directory))
                .expect("the test's folder can be written");
        }
    }

    /// Whether a snapshot is coming to it now.
    pub fn takes_a_snapshot(&self) -> bool {
        let arriving = self.directories[0].join("arriving").join("snapshots");
        fs::read_dir(arriving).is_ok_and(|mut files| files.next().is_some())
    }

    /// Whether a part of a snapshot lies there, for a start to go on with.
    pub fn has_begun_a_snapshot(&self) -> bool {
        self.directories[0].join("arriving").join("offer").exists()
    }

    /// Whether it has said this, be it in a life that is over.
    pub fn had_said(&self, what: &str) -> bool {
        self.errors().contains(what)
    }

    /// Whether it has said this.
    pub fn has_said(&mut self, what: &str) -> bool {
        self.runs() && self.said.iter().any(|line| line.contains(what))
    }

    /// The first message that its journal keeps; it answers.
    pub fn first_kept(&mut self) -> u64 {
        let deadline = Instant::now() + crate::common::PATIENCE;
        loop {
            if let Some(report) = self.status() {
                return report.status.first_kept;
            }
            assert!(Instant::now() < deadline, "node {} does not answer: {}", self.place + 1, self.errors());
        }
    }

    /// SIGTERM, and waits for an orderly end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        let deadline = Instant::now() + crate::common::PATIENCE;
        let status = loop {
            if let Some(status) = process.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(Instant::now() < deadline, "node {} does not stop: {}", self.place + 1, self.errors());
            std::thread::sleep(Duration::from_millis(1));
        };
        // It is over, so this ends with its output.
        self.said.extend(process.lines.iter());
        self.reader = None;
        assert!(status.success(), "node {} stopped with {status}: {}", self.place + 1, self.errors());
    }

    /// SIGSTOP, SIGCONT.
    pub fn signal(&mut self, name: &str) {
        let process = self.process.as_ref().expect("it runs");
        let told = Command::new("kill").args([format!("-{name}"), process.child.id().to_string()]).status();
        assert!(told.expect("`kill` is there").success());
    }

    /// Whether it is to run; one that has stopped by itself fails the test.
    pub fn runs(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        self.hear(&process);
        let ended = process.child.try_wait().expect("it is our child");
        assert!(ended.is_none(), "node {} stopped by itself, {ended:?}: {}", self.place + 1, self.errors());
        self.process = Some(process);
        true
    }

    fn hear(&mut self, process: &Process) {
        while let Ok(line) = process.lines.try_recv() {
            self.cuts += u64::from(line.contains("cut_after"));
            self.said.push(line);
        }
    }

    /// What it says of itself, if it answers.
    pub fn status(&mut self) -> Option<StatusReport> {
        if !self.runs() {
            return None;
        }
        let open = || Reader::open_at(self.query, "reader", "reader", ANSWER).ok();
        let mut reader = self.reader.take().or_else(open)?;
        let report = reader.status(0).ok();
        self.reader = report.is_some().then_some(reader);
        report
    }

    /// Where it stands, if it answers.
    pub fn standing(&mut self) -> Option<Standing> {
        let report = self.status()?;
        let counter = |name: &str| counter(&report, &format!("replication.{name}"));
        Some(Standing {
            leads: counter("leads") == 1,
            epoch: counter("epoch"),
            in_sync: counter("in_sync"),
            is_in_sync: counter("is_in_sync") == 1,
            applied: report.status.applied,
        })
    }

    /// A login for long answers.
    pub fn reader(&self) -> Reader {
        Reader::open_at(self.query, "reader", "reader", crate::common::PATIENCE)
            .unwrap_or_else(|error| panic!("node {}: {error}", self.place + 1))
    }

    /// What it has said on standard output and standard error.
    pub fn errors(&self) -> String {
        format!("{}\n{}", self.said.join("\n"), fs::read_to_string(&self.errors).unwrap_or_default())
    }
}

/// A counter by its name.
pub fn counter(report: &StatusReport, name: &str) -> u64 {
    report.counters.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value)
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("node {} said: {}", self.place + 1, self.errors());
        }
    }
}
