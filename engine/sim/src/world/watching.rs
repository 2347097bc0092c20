//! Starting and driving the node's processes, and watching what leaves them.
use super::World;
use super::schedule::Turn;
use crate::machine::End;
use crate::node::{AgentName, Node};
use crate::violation::{Checked, broken, ensure};
use gds_core::agent::start::acknowledgement_session;
use gds_core::bus::{StreamRead, StreamReader};
use gds_core::disk::Disk;
use gds_core::journal::Durability;
use gds_core::store::ReadBuffer;
use gds_wire::mold::{Kind, Packet};
use std::sync::atomic::Ordering;

/// What a write that was made to fail says.
const SIMULATED: &str = "simulated write error";

impl World {
    /// Starts a process, which may die of it.
    pub(super) fn start_process(&mut self) -> Checked {
        if let Some(later) = self.plan.later_declaration.clone()
            && self.machine.incarnations > 1
        {
            // Later ones may go back to what was declared first.
            let declaration =
                if self.random.chance(1, 3) { self.plan.start.declaration.clone() } else { later };
            self.truth.may_declare(&declaration);
            self.machine.config().declaration = declaration;
        }
        // A journal without a message cannot tell that there ever was a stream.
        let blind = self.plan.durability == Durability::Memory
            && self.journalled > 0
            && self.random.chance(1, 12)
            && self.machine.hide_ring();
        let doomed = !blind
            && self.deaths < self.plan.chaos.deaths_max
            && self.is_faulty()
            && self.random.chance(self.plan.chaos.doomed_percent, 100);
        let death_after = doomed.then(|| self.random.below(60));
        self.tell(|| format!("a process starts; it will die after {death_after:?} operations"));
        let started = self.machine.start(&self.plan, death_after);
        match started {
            Ok(node) => {
                let report = &node.report;
                self.tally.add("world.torn tails", report.torn.len() as u64);
                self.tally.add("world.messages merged from the ring", report.merged);
                self.tell(|| format!("it runs: {report:?}"));
                self.node = Some(node);
                if doomed {
                    // It dies in its first duty cycles, then.
                    self.deaths += 1;
                }
                self.check_start()?;
                self.order_end();
                let now_ns = self.clock.now_ns();
                for place in 0..self.schedule.len() {
                    if matches!(self.schedule.slot(place).turn, Turn::Agent(_)) {
                        self.schedule.set(place, now_ns, 0);
                    }
                }
                Ok(())
            }
            Err(not_started) => {
                let fault = not_started.fault;
                self.tell(|| format!("it does not stand: {fault}"));
                if not_started.killed {
                    self.deaths += 1;
                    self.tally.add("world.deaths during start", 1);
                    self.start_at_ns = self.clock.now_ns() + self.random.below(2_000_000);
                    return Ok(());
                }
                if blind {
                    self.machine.find_ring();
                }
                if blind && fault.0.contains("are lost") {
                    // Rightly so: nobody may give numbers again that were given.
                    self.tally.add("world.starts refused without the ring", 1);
                    return Ok(());
                }
                if fault.0.contains(SIMULATED) {
                    self.tally.add("world.disk failures", 1);
                    self.start_at_ns = self.clock.now_ns() + self.random.below(2_000_000);
                    return Ok(());
                }
                if self.machine.is_tight() && fault.0.contains("has no room for them") {
                    // What only the ring has must reach the journal first; somebody makes room.
                    self.tally.add("world.starts refused by a full disk", 1);
                    self.machine.set_room(None);
                    self.start_at_ns = self.clock.now_ns() + self.random.below(2_000_000);
                    return Ok(());
                }
                broken("start", format!("{fault}"))
            }
        }
    }

    /// Everything ever shown is there, unchanged, and the store is what the stream makes of it.
    fn check_start(&mut self) -> Checked {
        let node = self.node.as_ref().expect("it was started");
        let committed = node.bus.progress.committed.get();
        ensure!(
            committed >= self.truth.shown_last(),
            "nothing shown is lost",
            "number {} had been shown, and after the restart the stream ends with {committed}; lost is {}",
            self.truth.shown_last(),
            self.truth.describe(committed + 1)
        );
        if self.stream.is_blank() || self.stream == node.bus.session {
            self.committed = self.committed.max(committed);
        } else {
            return broken(
                "total order",
                format!("the stream was {} and is {}", self.stream, node.bus.session),
            );
        }
        let (bus, acknowledgements) = (node.bus.clone(), node.acknowledgements.clone());
        let mut disk = crate::disk::SimulatedDisk::new(&self.machine.bus, None);
        let truth = &mut self.truth;
        read_all(&mut bus.reader(1), committed, &mut disk, &mut |number, message| {
            truth.show("the restarted node", number, message)
        })?;
        let mut disk = crate::disk::SimulatedDisk::new(&self.machine.acknowledgements, None);
        let acknowledged = acknowledgements.progress.committed.get();
        let mut reader = acknowledgements.reader(1);
        read_all(&mut reader, acknowledged, &mut disk, &mut |number, message| {
            truth.acknowledge("the restarted node", number, message)
        })?;
        self.check_store()
    }

    /// The store holds what the model holds.
    pub(super) fn check_store(&mut self) -> Checked {
        let node = self.node.as_ref().expect("somebody asks");
        let store = node.store.store();
        let applied = store.applied();
        if applied != self.truth.known() {
            return Ok(());
        }
        let (tally, model) = (store.tally(), self.truth.model());
        let counts = model.records().counts();
        ensure!(
            (tally.records, tally.bytes, tally.live) == (counts.records, counts.bytes, counts.live),
            "final records",
            "after message {applied} the store counts {tally:?}; it must be {counts:?}"
        );
        let (reader, mut buffer) = (store.reader(), ReadBuffer::new());
        for key in model.records().keys() {
            let expected = model.records().as_of(applied, key);
            let read = match reader.get(key.0, &key.1, 0, &mut buffer) {
                Ok(reading) => reading.version.map(|version| (version, buffer.value().to_vec())),
                Err(error) => return broken("final records", format!("{key:?}: {error}")),
            };
            ensure!(
                read == expected.clone().map(|(version, value)| (version, value.to_vec())),
                "final records",
                "after message {applied} the store has {read:?} for {key:?}; it must be {expected:?}"
            );
        }
        Ok(())
    }

    /// One duty cycle of one agent, and what left the node in it.
    pub(super) fn agent_duty(&mut self, agent: AgentName) -> Checked<usize> {
        let now = self.clock.node_time();
        let Some(node) = &mut self.node else { return Ok(0) };
        let done = node.duty(agent, now);
        self.watch()?;
        let node = self.node.as_ref().expect("it has just run");
        if node.death.borrow().is_dead() {
            self.tell(|| format!("it dies in a duty cycle of {agent:?}"));
            self.tally.add("world.deaths in mid duty", 1);
            self.kill();
            return Ok(1);
        }
        match done {
            Ok(work) => {
                if agent == AgentName::Store && work > 0 {
                    let status = node.store.store().reader().status();
                    self.truth.show_digest("the store", status.applied, status.digest)?;
                }
                if self.draining && self.node.as_ref().is_some_and(Node::caught_up) {
                    self.close_process()?;
                }
                Ok(work)
            }
            Err(fault) => {
                let simulated = fault.0.contains(SIMULATED);
                ensure!(simulated, "start", "{agent:?} stopped: {fault}");
                self.tell(|| format!("it stops: {fault}"));
                self.tally.add("world.disk failures", 1);
                self.kill();
                Ok(1)
            }
        }
    }

    /// It is killed, or the power is cut where that may be.
    pub(super) fn kill(&mut self) {
        let power_cut = self.plan.durability == Durability::Fsync && self.random.chance(1, 2);
        let (end, name) = match power_cut {
            true => (End::PowerCut, "world.power cuts"),
            false => (End::Killed, "world.process kills"),
        };
        self.tally.add(name, 1);
        self.tell(|| name.into());
        self.bury(end);
    }

    /// It has drained: it closes, and another one is started later, perhaps after a reboot.
    fn close_process(&mut self) -> Checked {
        let now = self.clock.node_time();
        let node = self.node.as_mut().expect("it drains");
        let closed = node.close(now);
        self.watch()?;
        let node = self.node.as_ref().expect("it has just closed");
        if node.death.borrow().is_dead() {
            self.tally.add("world.deaths in mid duty", 1);
            self.kill();
            return Ok(());
        }
        if let Err(fault) = closed {
            ensure!(fault.0.contains(SIMULATED), "start", "closing failed: {fault}");
            self.kill();
            return Ok(());
        }
        self.tally.add("world.orderly restarts", 1);
        // Without room there is no clean end, and only the ring knows the rest.
        let reboot = !self.machine.is_tight() && self.random.chance(1, 2);
        self.tally.add("world.restarts on another boot", u64::from(reboot));
        self.tell(|| format!("it has closed in order; reboot {reboot}"));
        self.bury(if reboot { End::PowerCut } else { End::Closed });
        Ok(())
    }

    /// Tells the node to drain; it closes when it has.
    pub(super) fn drain(&mut self) {
        if let Some(node) = &self.node {
            node.orders.drain.store(true, Ordering::Release);
            self.draining = true;
        }
    }

    /// Holds what left the node against the truth.
    fn watch(&mut self) -> Checked {
        let tapped = std::mem::take(&mut self.network.borrow_mut().tapped);
        let Some(node) = &self.node else { return Ok(()) };
        let stream = node.bus.session;
        let acknowledgements = acknowledgement_session(stream);
        let committed = node.bus.progress.committed.get();
        self.committed = self.committed.max(committed);
        for tapped in tapped {
            let Ok(packet) = Packet::parse(&tapped.datagram) else {
                // A request packet has the shape of a heartbeat, and a refusal that of nothing.
                continue;
            };
            let is_bus = packet.session == stream;
            if !is_bus && packet.session != acknowledgements {
                continue;
            }
            let last = packet.next_sequence() - 1;
            ensure!(
                last <= committed,
                "commit, then show",
                "{} sends {} to {}, up to number {last}; {committed} is committed",
                tapped.from,
                if is_bus { "messages" } else { "acknowledgements" },
                tapped.to
            );
            let durable = node.bus.progress.durable.get();
            ensure!(
                self.plan.durability == Durability::Memory || last <= durable,
                "commit, then show",
                "{} sends up to number {last}, and only {durable} is durable",
                tapped.from
            );
            self.truth.heard_of(last);
            if let Kind::Messages(_) = packet.kind {
                for (number, message) in packet.messages() {
                    let who = format!("{}", tapped.to);
                    match is_bus {
                        true => self.truth.show(&who, number, message)?,
                        false => self.truth.acknowledge(&who, number, message)?,
                    }
                }
            }
        }
        Ok(())
    }
}

fn read_all(
    reader: &mut StreamReader,
    last: u64,
    disk: &mut dyn Disk,
    visit: &mut dyn FnMut(u64, &[u8]) -> Checked,
) -> Checked {
    let mut buffer = vec![0; 65_536];
    while reader.next_sequence() <= last {
        let number = reader.next_sequence();
        match reader.read(last, disk, &mut buffer) {
            Ok(StreamRead::Message { sequence, length, .. }) => visit(sequence, &buffer[..length])?,
            other => {
                return broken(
                    "nothing shown is lost",
                    format!("message {number} of {last} cannot be read: {other:?}"),
                );
            }
        }
    }
    Ok(())
}
