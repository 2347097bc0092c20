//! A node's place in the world: its machine, and the process on it.
use super::World;
use crate::machine::{Copying, End, Loss, Machine, Process, Storage};
use crate::node::Node;

/// What the world holds of what a node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It counts.
    Good,
    /// Something was done to somebody's past, and nobody has looked at this node's since.
    Unknown,
    /// It has shown another message than whoever leads has, from this number on, and that has been so since.
    Differs { from: u64, since_ns: u64 },
}

/// A node: its machine, and whatever runs there at present.
pub(super) struct Host {
    pub machine: Machine,
    /// The process, while it runs.
    pub node: Option<Node>,
    /// A process that is still starting, and when it will run.
    pub starting: Option<(u64, Process)>,
    /// When the next process is started, while there is none.
    pub start_at_ns: u64,
    /// An orderly restart is on its way.
    pub draining: bool,
    /// The last number that the last process journalled.
    pub journalled: u64,
    /// Until when its disks are full.
    pub full_until_ns: u64,
    /// Whether what it shows counts.
    pub standing: Standing,
    /// The newest life that it ever lived.
    pub newest_life: u64,
    /// The process that runs has been found to differ.
    pub has_differed: bool,
    /// Something was done to its past that it may not be able to know.
    pub is_tampered: bool,
    /// What it had, and whether that was tampered with, before something was lost or put in its place.
    pub hurt: Option<(Storage, bool, Option<Loss>)>,
    /// It stays down until then, and is made leader by force.
    pub force_due_ns: Option<u64>,
    /// A copy that is being made.
    pub copying: Option<Copying>,
    /// ... and one that was.
    pub copy: Option<Storage>,
}

impl Host {
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            node: None,
            starting: None,
            start_at_ns: 0,
            draining: false,
            journalled: 0,
            full_until_ns: 0,
            standing: Standing::Good,
            newest_life: 0,
            has_differed: false,
            is_tampered: false,
            hurt: None,
            force_due_ns: None,
            copying: None,
            copy: None,
        }
    }

    /// The process, where there must be one.
    pub fn process(&mut self) -> &mut Node {
        self.node.as_mut().expect("a process runs")
    }

    /// Whether a process runs that is to go on.
    pub fn is_up(&self) -> bool {
        self.node.is_some() && !self.draining
    }
}

impl World {
    /// A process has come to its end.
    pub(super) fn bury(&mut self, place: usize, end: End) {
        let Self { hosts, tally, network, clock, random, committed, .. } = self;
        let host = &mut hosts[place];
        let Some(node) = host.node.take() else { return };
        node.for_each_counter(&mut |set, name, value| tally.add_to(set, name, value));
        if host.standing == Standing::Good {
            *committed = node.bus.progress.committed.get().max(*committed);
        }
        host.journalled = node.bus.progress.journalled.get();
        let death = node.death.clone();
        death.borrow_mut().die();
        drop(node);
        network.borrow_mut().break_connections(crate::plan::node_host(place));
        host.machine.bury(&death, end);
        host.draining = false;
        host.start_at_ns = clock.now_ns() + random.below(5_000_000);
    }

    /// The nodes that run.
    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|place| self.hosts[*place].node.is_some()).collect()
    }

    /// One of the nodes that run, if any.
    pub(super) fn some_running(&mut self) -> Option<usize> {
        let running = self.running();
        if running.is_empty() {
            return None;
        }
        Some(running[self.random.below(running.len() as u64) as usize])
    }
}
