//! What goes wrong, and when.
use super::schedule::Turn;
use super::{Phase, World};
use crate::network::Faults;
use crate::plan::{NODE_HOST, between};
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
        if self.happens(chaos.restart_percent) {
            self.tell(|| "it is to close in order".into());
            self.drain();
        }
        if self.happens(chaos.cut_percent) {
            self.cut();
        }
        if self.happens(chaos.full_percent) {
            let more = self.random.below(3) as usize;
            self.machine.set_room(Some(more));
            self.full_until_ns = self.clock.now_ns() + self.random.below(20 * MILLISECOND_NS);
            self.tally.add("world.disk full", 1);
            self.tell(|| format!("the disks take {more} more segments"));
        }
        if self.happens(chaos.disk_failure_percent) {
            let platter =
                if self.random.chance(1, 2) { &self.machine.bus } else { &self.machine.acknowledgements };
            platter.borrow_mut().fails = true;
            self.tell(|| "the next write fails".into());
        }
        if self.happens(chaos.jump_percent) {
            let by_ns = self.random.below(4 * SECOND_NS) as i64 - 2 * SECOND_NS as i64;
            self.clock.jump_wall(by_ns);
            self.tally.add("world.wall clock jumps", 1);
        }
        if self.happens(chaos.stall_percent) {
            self.stall();
        }
        if self.happens(chaos.client_death_percent) {
            self.kill_client();
        }
        if self.happens(chaos.break_percent) {
            self.network.borrow_mut().break_connections(NODE_HOST);
            self.tally.add("world.link breaks", 1);
        }
        if self.happens(chaos.listener_percent) && self.listeners.len() < 6 {
            self.add_listener(true);
            self.tally.add("world.late listeners", 1);
        }
        Ok(0)
    }

    /// Nothing goes wrong from here on.
    pub(super) fn stop_faults(&mut self) {
        let mut network = self.network.borrow_mut();
        network.faults = Faults::NONE;
        network.cuts.clear();
        drop(network);
        self.machine.set_room(None);
        for platter in [&self.machine.bus, &self.machine.acknowledgements] {
            platter.borrow_mut().fails = false;
        }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.random.chance(percent, 100)
    }

    fn heal(&mut self) {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.cut_until_ns {
            self.network.borrow_mut().cuts.clear();
        }
        if now_ns >= self.full_until_ns && self.machine.is_tight() {
            self.machine.set_room(None);
            self.tell(|| "the disks have room".into());
        }
    }

    /// The process dies, now or in the middle of some duty cycle soon.
    fn strike(&mut self) {
        let Some(node) = &self.node else { return };
        self.deaths += 1;
        if self.random.chance(1, 2) {
            self.kill();
            return;
        }
        let operations = self.random.below(200);
        node.death.borrow_mut().arm(operations);
        self.tell(|| format!("it dies after {operations} more operations"));
    }

    fn cut(&mut self) {
        let mut hosts: Vec<Ipv4Addr> = self.clients.iter().map(|client| client.host()).collect();
        hosts.extend(self.listeners.iter().map(|listener| listener.host()));
        hosts.extend(self.feeds.iter().map(|feed| feed.host()));
        hosts.extend(self.readers.iter().map(|reader| reader.host()));
        let host = hosts[self.random.below(hosts.len() as u64) as usize];
        let ways = between(&mut self.random, 1, 3);
        let mut network = self.network.borrow_mut();
        if ways & 1 > 0 {
            network.cuts.insert((host, NODE_HOST));
        }
        if ways & 2 > 0 {
            network.cuts.insert((NODE_HOST, host));
        }
        drop(network);
        self.cut_until_ns = self.clock.now_ns() + self.random.below(20 * MILLISECOND_NS);
        self.tally.add("world.host cuts", 1);
        self.tell(|| format!("{host} is cut off, ways {ways}"));
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
