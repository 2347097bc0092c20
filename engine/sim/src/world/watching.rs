//! Starting and driving the nodes' processes, and watching what leaves them.
use super::World;
use super::history::says_it_differs;
use super::host::{Host, Standing};
use super::schedule::Turn;
use crate::machine::{End, Loss, NotStarted};
use crate::node::AgentName;
use crate::violation::{Checked, broken, ensure};
use gds_core::agent::start::acknowledgement_session;
use gds_core::bus::{StreamRead, StreamReader};
use gds_core::disk::Disk;
use gds_core::journal::Durability;
use gds_core::store::ReadBuffer;
use gds_wire::mold::{Kind, Packet};
use std::sync::atomic::Ordering;

/// What a start says that needs room and finds none.
const NO_ROOM: [&str; 2] = ["has no room for them", "no space left"];
/// What a write that was made to fail says.
const SIMULATED: &str = "simulated write error";

impl World {
    /// Processes that are due start; those that have started run.
    pub(super) fn start_processes(&mut self) -> Checked {
        for place in 0..self.hosts.len() {
            let host = &self.hosts[place];
            let now_ns = self.clock.now_ns();
            match &host.starting {
                Some((ready_ns, _)) if now_ns >= *ready_ns => self.stand_up(place)?,
                None if host.node.is_none() && now_ns >= host.start_at_ns => self.start_process(place)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins the start of a process, which may die of it.
    fn start_process(&mut self, place: usize) -> Checked {
        self.configure(place);
        self.change_durability(place);
        let mut member = None;
        if self.plan.cluster.is_some() {
            let Some(register) = self.prepare_member(place) else {
                // A node that cannot read the register follows nobody.
                self.hosts[place].start_at_ns = self.clock.now_ns() + self.random.below(2_000_000);
                return Ok(());
            };
            member = Some(self.member_config(place, register));
        }
        // A journal without a message cannot tell that there ever was a stream.
        let blind = self.plan.durability == Durability::Memory
            && self.plan.history.is_none()
            && member.is_none()
            && self.hosts[place].journalled > 0
            && self.random.chance(1, 12)
            && self.hosts[place].machine.hide_ring();
        let doomed = !blind
            && self.deaths < self.plan.chaos.deaths_max
            && self.is_faulty()
            && self.random.chance(self.plan.chaos.doomed_percent, 100);
        let death_after = doomed.then(|| self.random.below(60));
        self.tell(|| format!("node {place} starts; it will die after {death_after:?} operations"));
        let Self { hosts, clock, .. } = self;
        let host = &mut hosts[place];
        // However long it takes, the others go on meanwhile.
        let (ended_ns, started) = clock.beside(|| host.machine.start(death_after, member));
        match started {
            Ok(process) => {
                host.starting = Some((ended_ns, process));
                // It dies in its first duty cycles, then.
                self.deaths += u64::from(doomed);
                Ok(())
            }
            Err(not_started) => self.not_started(place, blind, ended_ns, &not_started),
        }
    }

    /// Later processes may be configured with another declaration.
    fn configure(&mut self, place: usize) {
        if let Some(later) = self.plan.later_declaration.clone()
            && self.hosts[place].machine.incarnations > 1
        {
            // Later ones may go back to what was declared first.
            let declaration =
                if self.random.chance(1, 3) { self.plan.start.declaration.clone() } else { later };
            self.truth.may_declare(&declaration);
            self.hosts[place].machine.config().declaration = declaration;
        }
    }

    /// There is no process; was that right?
    fn not_started(&mut self, place: usize, blind: bool, ended_ns: u64, why: &NotStarted) -> Checked {
        let NotStarted { fault, killed } = why;
        self.tell(|| format!("node {place} does not stand: {fault}"));
        let start_at_ns = ended_ns + self.random.below(2_000_000);
        let host = &mut self.hosts[place];
        host.start_at_ns = start_at_ns;
        if blind {
            host.machine.find_ring();
        }
        if *killed {
            self.deaths += 1;
            self.tally.add("world.deaths during start", 1);
        } else if blind && fault.0.contains("are lost") {
            // Rightly so: nobody may give numbers again that were given.
            self.tally.add("world.starts refused without the ring", 1);
        } else if fault.0.contains(SIMULATED) {
            self.tally.add("world.disk failures", 1);
        } else if host.machine.is_tight() && NO_ROOM.iter().any(|why| fault.0.contains(why)) {
            // What only the ring has must reach the journal first; somebody makes room.
            self.tally.add("world.starts refused by a full disk", 1);
            host.machine.set_room(None);
        } else if self.history.is_suspect && says_it_differs(fault) {
            self.tally.add("history.contradictions", 1);
            self.set_aside(place);
        } else if !self.put_right(place) {
            return broken("start", format!("node {place}: {fault}"));
        }
        Ok(())
    }

    /// A process has started: its agents run from now on.
    fn stand_up(&mut self, place: usize) -> Checked {
        let host = &mut self.hosts[place];
        let Some((_, process)) = host.starting.take() else { return Ok(()) };
        let node = host.machine.assemble(&self.plan, process);
        let report = node.report.clone();
        if self.stream.is_blank() {
            (self.stream, self.name) = (node.bus.session, node.bus.name);
        }
        host.newest_life = host.newest_life.max(node.incarnation());
        (host.node, host.has_differed) = (Some(node), false);
        let loss = host.hurt.as_ref().and_then(|(.., loss)| *loss);
        self.check_merged(place, loss, &report)?;
        let begins_anew = self.hosts[place].process().bus.session != self.stream && loss.is_some();
        // As good as let go of behind the snapshot, and whoever asks for it hears nothing; but everybody here wants everything. And where nothing at all is left that
        // could be read, another stream begins, which nobody takes for this one.
        if loss == Some(Loss::FirstSegment(true)) && report.snapshot > 0 || begins_anew {
            self.bury(place, End::Killed);
            self.put_right(place);
            return Ok(());
        }
        self.hosts[place].hurt = None;
        self.tally.add("world.torn tails", report.torn.len() as u64);
        self.tally.add("world.messages merged from the ring", report.merged);
        self.tally.add("world.starts from a snapshot", u64::from(report.snapshot > 0));
        self.tally.add("cluster.lives that lost something", u64::from(report.lost.is_some()));
        self.tell(|| format!("node {place} runs: {report:?}"));
        if self.history.is_suspect {
            self.stand(place, Standing::Unknown);
        } else {
            if self.plan.history.is_some() && self.plan.cluster.is_none() {
                self.check_lone_past(place)?;
            }
            self.check_start(place)?;
        }
        self.order_end();
        let now_ns = self.clock.now_ns();
        for slot in 0..self.schedule.len() {
            if matches!(self.schedule.slot(slot).turn, Turn::Agent(node, _) if node == place) {
                self.schedule.set(slot, now_ns, 0);
            }
        }
        Ok(())
    }

    /// Starts a process and waits for it.
    pub(super) fn start_and_wait(&mut self, place: usize) -> Checked {
        while self.hosts[place].node.is_none() {
            let Host { starting, start_at_ns, .. } = &self.hosts[place];
            self.clock.advance_to(starting.as_ref().map_or(*start_at_ns, |(ready_ns, _)| *ready_ns));
            self.start_processes()?;
        }
        Ok(())
    }

    /// Everything ever shown is there, unchanged, and the store is what the stream makes of it.
    pub(super) fn check_start(&mut self, place: usize) -> Checked {
        let Host { machine, node, .. } = &self.hosts[place];
        let node = node.as_ref().expect("it was started");
        let committed = node.bus.progress.committed.get();
        ensure!(
            committed >= self.truth.shown_last() || self.plan.cluster.is_some(),
            "nothing shown is lost",
            "number {} had been shown, and after the restart the stream ends with {committed}; lost is {}",
            self.truth.shown_last(),
            self.truth.describe(committed + 1)
        );
        let session = node.bus.session;
        ensure!(self.stream == session, "total order", "the stream was {} and is {session}", self.stream);
        self.committed = self.committed.max(committed);
        let (bus, acknowledgements) = (node.bus.clone(), node.acknowledgements.clone());
        let mut disk = crate::disk::SimulatedDisk::new(&machine.bus, None);
        let truth = &mut self.truth;
        read_all(&mut bus.reader(1), committed, &mut disk, &mut |number, message| {
            truth.show("the restarted node", number, message)
        })?;
        let mut disk = crate::disk::SimulatedDisk::new(&machine.acknowledgements, None);
        let acknowledged = acknowledgements.progress.committed.get();
        let mut reader = acknowledgements.reader(1);
        read_all(&mut reader, acknowledged, &mut disk, &mut |number, message| {
            truth.acknowledge("the restarted node", number, message)
        })?;
        self.check_store(place)
    }

    /// The store holds what the model holds.
    pub(super) fn check_store(&mut self, place: usize) -> Checked {
        let node = self.hosts[place].process();
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
    pub(super) fn agent_duty(&mut self, place: usize, agent: AgentName) -> Checked<usize> {
        let Host { machine, node, .. } = &mut self.hosts[place];
        let Some(node) = node else { return Ok(0) };
        let (committed, led) = (node.bus.progress.committed.get(), node.leads());
        let done = node.duty(agent, machine.time.time());
        if agent == AgentName::Sequencer {
            self.check_heard(place, led)?;
            self.judge_after(place)?;
        }
        self.watch(place)?;
        if agent == AgentName::Sequencer && self.plan.cluster.is_some() {
            self.check_member(place, committed)?;
        }
        let believed = self.is_believed(place);
        let host = &mut self.hosts[place];
        let node = host.process();
        if node.death.borrow().is_dead() {
            self.tell(|| format!("node {place} dies in a duty cycle of {agent:?}"));
            self.tally.add("world.deaths in mid duty", 1);
            self.kill(place);
            return Ok(1);
        }
        match done {
            Ok(work) => {
                if agent == AgentName::Store && work > 0 && believed {
                    let status = node.store.store().reader().status();
                    self.truth.show_digest("the store", status.applied, status.digest)?;
                }
                if host.draining && host.process().caught_up() {
                    self.close_process(place)?;
                }
                Ok(work)
            }
            Err(fault) if host.process().cut_after().is_some() => {
                self.tell(|| format!("node {place} starts again: {fault}"));
                self.cut_back(place);
                Ok(1)
            }
            Err(fault) if host.process().must_rename() => {
                self.tell(|| format!("node {place} starts again: {fault}"));
                self.bury(place, End::Killed);
                self.hosts[place].start_at_ns = self.clock.now_ns();
                self.tally.add("history.names taken over", 1);
                Ok(1)
            }
            Err(fault) => {
                self.tell(|| format!("node {place} stops: {fault}"));
                if self.stopped_for_its_past(place, &fault)? {
                    return Ok(1);
                }
                if fault.0.contains(SIMULATED) {
                    self.tally.add("world.disk failures", 1);
                } else if self.plan.nodes > 1 && fault.0.contains("what is declared needs") {
                    // Another node was configured with more. Its next start knows.
                    self.tally.add("world.nodes outgrown", 1);
                } else {
                    return broken("start", format!("{agent:?} of node {place} stopped: {fault}"));
                }
                self.kill(place);
                Ok(1)
            }
        }
    }

    /// It is killed, or the power is cut where that may be.
    pub(super) fn kill(&mut self, place: usize) {
        let power_cut = self.may_cut_power(place) && self.random.chance(1, 2);
        let (end, name) = match power_cut {
            true => (End::PowerCut, "world.power cuts"),
            false => (End::Killed, "world.process kills"),
        };
        self.tally.add(name, 1);
        self.tell(|| format!("node {place}: {name}"));
        self.bury(place, end);
    }

    /// It has drained: it closes, and another one is started later, perhaps after a reboot.
    fn close_process(&mut self, place: usize) -> Checked {
        let Host { machine, node, .. } = &mut self.hosts[place];
        let node = node.as_mut().expect("it drains");
        let closed = node.close(machine.time.time());
        self.watch(place)?;
        let host = &mut self.hosts[place];
        if host.process().death.borrow().is_dead() {
            self.tally.add("world.deaths in mid duty", 1);
            self.kill(place);
            return Ok(());
        }
        if let Err(fault) = closed {
            ensure!(fault.0.contains(SIMULATED), "start", "closing failed: {fault}");
            self.kill(place);
            return Ok(());
        }
        self.tally.add("world.orderly restarts", 1);
        // Without room there is no clean end, and only the ring knows the rest.
        let reboot = !host.machine.is_tight() && self.random.chance(1, 2);
        self.tally.add("world.restarts on another boot", u64::from(reboot));
        self.tell(|| format!("node {place} has closed in order; reboot {reboot}"));
        self.bury(place, if reboot { End::PowerCut } else { End::Closed });
        Ok(())
    }

    /// Tells the node to drain; it closes when it has.
    pub(super) fn drain(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        if let Some(node) = &host.node {
            node.orders.drain.store(true, Ordering::Release);
            host.draining = true;
        }
    }

    /// Holds what left the node against the truth.
    fn watch(&mut self, place: usize) -> Checked {
        let tapped = std::mem::take(&mut self.network.borrow_mut().tapped);
        let Some(node) = &self.hosts[place].node else { return Ok(()) };
        let stream = node.bus.name;
        let acknowledgements = acknowledgement_session(stream);
        let committed = node.bus.progress.committed.get();
        let believed = self.is_believed(place);
        if believed {
            self.committed = self.committed.max(committed);
        }
        for tapped in tapped {
            let Ok(packet) = Packet::parse(&tapped.datagram) else {
                // A request packet has the shape of a heartbeat, and a refusal that of nothing. What nodes send each other is something else.
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
            // A replica knows what others have durable before it has it itself.
            ensure!(
                self.hosts[place].machine.durability() == Durability::Memory
                    || self.plan.cluster.is_some()
                    || last <= durable,
                "commit, then show",
                "{} sends up to number {last}, and only {durable} is durable",
                tapped.from
            );
            if !believed {
                continue;
            }
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
