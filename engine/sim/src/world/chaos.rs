//! What goes wrong, and when.
use super::host::Host;
use super::schedule::Turn;
use super::{Phase, World};
use crate::network::Faults;
use crate::plan::{between, node_host};
use crate::violation::Checked;
use gds_core::time::{MILLISECOND_NS, SECOND_NS};
use std::net::Ipv4Addr;

impl World {
    pub(super) fn is_faulty(&self) -> bool {
        self.phase == Phase::Faulty
    }

    /// One step of chaos.
    pub(super) fn chaos(&mut self) -> Checked<usize> {
        if !self.is_faulty() {
            return Ok(0);
        }
        self.heal();
        self.replace_clients();
        let chaos = self.plan.chaos.clone();
        if self.deaths < chaos.deaths_max && self.happens(chaos.death_percent) {
            self.strike();
        }
        if self.happens(chaos.restart_percent)
            && let Some(node) = self.some_running()
        {
            self.tell(|| format!("node {node} is to close in order"));
            self.drain(node);
        }
        if self.happens(chaos.cut_percent) {
            self.cut();
        }
        if self.happens(chaos.full_percent) {
            self.fill_disks();
        }
        if self.happens(chaos.disk_failure_percent) {
            let node = self.some_node();
            let machine = &self.hosts[node].machine;
            let platter = if self.random.chance(1, 2) { &machine.bus } else { &machine.acknowledgements };
            platter.borrow_mut().fails = true;
            self.tell(|| format!("the next write of node {node} fails"));
        }
        if self.happens(chaos.jump_percent) {
            let by_ns = self.random.below(4 * SECOND_NS) as i64 - 2 * SECOND_NS as i64;
            let node = self.some_node();
            self.hosts[node].machine.time.jump_wall(by_ns);
            self.tally.add("world.wall clock jumps", 1);
        }
        if self.happens(chaos.stall_percent) {
            self.stall();
        }
        if self.happens(chaos.client_death_percent) {
            self.kill_client();
        }
        if self.happens(chaos.break_percent) {
            let node = self.some_node();
            self.network.borrow_mut().break_connections(node_host(node));
            self.tally.add("world.link breaks", 1);
        }
        if self.happens(chaos.listener_percent) && self.listeners.len() < 6 {
            self.add_listener(true);
            self.tally.add("world.late listeners", 1);
        }
        self.cluster_chaos();
        self.change_history();
        Ok(0)
    }

    /// Nothing goes wrong from here on.
    pub(super) fn stop_faults(&mut self) {
        self.stop_cluster_faults();
        let mut network = self.network.borrow_mut();
        network.faults = Faults::NONE;
        network.heal_all();
        drop(network);
        for Host { machine, .. } in &mut self.hosts {
            machine.set_room(None);
            for platter in [&machine.bus, &machine.acknowledgements] {
                platter.borrow_mut().fails = false;
            }
        }
    }

    pub(super) fn some_node(&mut self) -> usize {
        self.random.below(self.hosts.len() as u64) as usize
    }

    fn fill_disks(&mut self) {
        let (node, more) = (self.some_node(), self.random.below(3) as usize);
        let full_until_ns = self.clock.now_ns() + self.random.below(20 * MILLISECOND_NS);
        let host = &mut self.hosts[node];
        host.machine.set_room(Some(more));
        host.full_until_ns = full_until_ns;
        self.tally.add("world.disk full", 1);
        self.tell(|| format!("the disks of node {node} take {more} more segments"));
    }

    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.random.chance(percent, 100)
    }

    fn heal(&mut self) {
        let now_ns = self.clock.now_ns();
        self.network.borrow_mut().heal();
        for place in 0..self.hosts.len() {
            let Host { machine, full_until_ns, .. } = &mut self.hosts[place];
            if now_ns >= *full_until_ns && machine.is_tight() {
                machine.set_room(None);
                self.tell(|| format!("the disks of node {place} have room"));
            }
        }
    }

    /// The process dies, now or in the middle of some duty cycle soon.
    fn strike(&mut self) {
        let Some(place) = self.some_running() else { return };
        self.deaths += 1;
        if self.random.chance(1, 2) {
            self.kill(place);
            return;
        }
        let operations = self.random.below(200);
        self.hosts[place].process().death.borrow_mut().arm(operations);
        self.tell(|| format!("node {place} dies after {operations} more operations"));
    }

    fn cut(&mut self) {
        let mut hosts: Vec<Ipv4Addr> = self.clients.iter().map(|client| client.host()).collect();
        hosts.extend(self.listeners.iter().map(|listener| listener.host()));
        hosts.extend(self.feeds.iter().map(|feed| feed.host()));
        hosts.extend(self.readers.iter().map(|reader| reader.host()));
        let host = hosts[self.random.below(hosts.len() as u64) as usize];
        let ways = between(&mut self.random, 1, 3);
        let until_ns = self.clock.now_ns() + self.random.below(20 * MILLISECOND_NS);
        let node = node_host(self.some_node());
        let mut network = self.network.borrow_mut();
        if ways & 1 > 0 {
            network.cut(host, node, until_ns);
        }
        if ways & 2 > 0 {
            network.cut(node, host, until_ns);
        }
        drop(network);
        self.tally.add("world.host cuts", 1);
        self.tell(|| format!("{host} is cut off from {node}, ways {ways}"));
    }

    /// An agent, or somebody else, stands still for a while.
    fn stall(&mut self) {
        let place = self.random.below(self.schedule.len() as u64) as usize;
        let pause_ns = self.random.below(20 * MILLISECOND_NS);
        let now_ns = self.clock.now_ns();
        let turn = self.schedule.slot(place).turn;
        if turn != Turn::Chaos {
            self.schedule.set(place, now_ns + pause_ns, 0);
            self.tally.add("world.agent stalls", 1);
            self.tell(|| format!("{turn:?} stands still for {pause_ns} ns"));
        }
    }

    /// A client dies, and comes back under a new name.
    fn kill_client(&mut self) {
        let place = self.random.below(self.clients.len() as u64) as usize;
        let client = &self.clients[place];
        if client.is_done() {
            return;
        }
        let session = client.session();
        self.tell(|| format!("client {session} dies"));
        self.retire(place);
        self.tally.add("world.client deaths", 1);
        self.dead_clients.push(session);
        self.clients[place] = self.new_client();
    }

    /// Clients that are done are followed by others.
    fn replace_clients(&mut self) {
        for place in 0..self.clients.len() {
            if self.clients[place].is_done() && self.next_name < self.plan.names_max {
                self.retire(place);
                self.clients[place] = self.new_client();
            }
        }
    }
}
