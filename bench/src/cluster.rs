//! Several nodes that hold one stream: processes on a host each, with the load on one more. Who leads stands in a file, which no message waits for.
use crate::addresses::Ports;
use crate::cores::{Cores, on_core};
use crate::node::{Member, Node, Settings};
use crate::road::Road;
use gds_client::{Reader, StatusReport};
use gds_hosts::Mesh;
use gds_node::standing::{Role, Standing};
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take to answer a question before it counts as not there.
const ANSWER: Duration = Duration::from_millis(500);
/// How often the nodes are asked while something is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Nodes 1 to n on hosts 0 to n - 1 of a mesh; its last host is the load's.
pub struct Cluster {
    mesh: Arc<Mesh>,
    cores: Cores,
    ports: Ports,
    settings: Vec<Settings>,
    nodes: Vec<Option<Node>>,
    _register: TempDir,
}

impl Cluster {
    /// One node with each of these settings on hosts of their own; none runs yet. Their processes, but for agents that are pinned elsewhere, stay on
    /// the load's processor, so that they do not disturb the system's.
    ///
    /// # Errors
    /// What could not be had.
    pub fn new(
        mesh: &Arc<Mesh>,
        cores: Cores,
        settings: Vec<Settings>,
        silence_ms: u64,
    ) -> Result<Self, String> {
        let register =
            tempfile::Builder::new().prefix("gds-bench-").tempdir().map_err(|error| error.to_string())?;
        let (ports, count) = (Ports::draw()?, settings.len());
        let member = |place: usize| Member {
            number: number(place),
            peers: (0..count)
                .filter(|peer| *peer != place)
                .map(|peer| (number(peer), mesh.address(peer)))
                .collect(),
            ports,
            register: register.path().join("register"),
            silence_ms,
        };
        let settings = settings.into_iter().enumerate().map(|(place, settings)| Settings {
            road: Road::across(mesh, place, count),
            member: Some(member(place)),
            ..settings
        });
        let settings: Vec<Settings> = settings.collect();
        let nodes = (0..count).map(|_| None).collect();
        Ok(Self { mesh: mesh.clone(), cores, ports, settings, nodes, _register: register })
    }

    /// Starts the node of this place: a new one, or the same again where it stopped.
    ///
    /// # Errors
    /// What it says itself, mostly.
    pub fn start(&mut self, place: usize) -> Result<(), String> {
        let (node, settings) = (&mut self.nodes[place], &self.settings[place]);
        on_core(self.cores.load, || match node {
            Some(stopped) => stopped.restart().map(drop),
            None => Node::start(settings).map(|started| *node = Some(started)),
        })
    }

    /// The node of a place.
    ///
    /// # Panics
    /// When it was never started.
    pub fn node(&mut self, place: usize) -> &mut Node {
        self.nodes[place].as_mut().expect("it was started")
    }

    /// Takes a node away, to be stopped by whoever has it.
    pub fn take(&mut self, place: usize) -> Option<Node> {
        self.nodes[place].take()
    }

    /// What a node says of itself, if it answers.
    pub fn status(&self, place: usize) -> Option<StatusReport> {
        let query = SocketAddrV4::new(self.mesh.address(place), self.ports.query);
        let ask = || {
            let mut reader = Reader::open_at(query, "reader", "reader", ANSWER).ok()?;
            let report = reader.status(0).ok();
            reader.close();
            report
        };
        let (mesh, load) = (&self.mesh, self.nodes.len());
        on_core(self.cores.load, || Ok(mesh.on(load, ask))).ok().flatten()
    }

    /// A counter of a node by its name, if it answers.
    pub fn counter(&self, place: usize, name: &str) -> Option<u64> {
        let counters = self.status(place)?.counters;
        counters.into_iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// Where a node stands, if it answers.
    pub fn standing(&self, place: usize) -> Option<Standing> {
        Some(Standing::of(number(place), &self.status(place)?.counters))
    }

    /// Waits until a node leads with so many in sync, itself included.
    ///
    /// # Errors
    /// That it does not.
    pub fn await_leader(&self, place: usize, in_sync: u64, patience: Duration) -> Result<(), String> {
        let leads = |standing: &Standing| standing.role == Role::Leads && standing.in_sync == in_sync;
        let what = format!("node {} does not lead with {in_sync} in sync", number(place));
        wait(&what, patience, || self.standing(place).is_some_and(|standing| leads(&standing)))
            .map_err(|why| self.explain(&why))
    }

    /// Waits until a node leads with all in sync, and tells its place.
    ///
    /// # Errors
    /// That none does.
    pub fn await_health(&self, patience: Duration) -> Result<usize, String> {
        let all = self.nodes.len() as u64;
        let well = |standing: Standing| standing.role == Role::Leads && standing.in_sync == all;
        let mut leader = None;
        wait(&format!("no node leads with all {all} in sync"), patience, || {
            leader = (0..self.nodes.len()).find(|place| self.standing(*place).is_some_and(well));
            leader.is_some()
        })
        .map_err(|why| self.explain(&why))?;
        Ok(leader.expect("it was waited for"))
    }

    /// Why something did not come to pass, with what each node says of itself.
    pub fn explain(&self, why: &str) -> String {
        let said = (0..self.nodes.len()).map(|place| match self.standing(place) {
            Some(standing) => format!("node {}: {standing:?}", number(place)),
            None => format!("node {} does not answer", number(place)),
        });
        format!("{why}; {}", said.collect::<Vec<_>>().join("; "))
    }

    /// The folder of a node's snapshots.
    pub fn snapshots(&mut self, place: usize) -> std::path::PathBuf {
        self.node(place).config().stream.directory.join("snapshots")
    }
}

fn number(place: usize) -> u8 {
    u8::try_from(place + 1).expect("a handful of nodes")
}

/// Looks again and again until it is so.
///
/// # Errors
/// That it is not after so long.
pub fn wait(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    while !is_so() {
        if Instant::now() > deadline {
            return Err(format!("{what} after {patience:?}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Bytes of all files in a folder; 0 where there is none.
pub fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
}
