//! The end of a world: the stream is ended, the node closed, started again, and its journal replayed.
use super::host::Host;
use super::{Phase, World};
use crate::disk::SimulatedDisk;
use crate::machine::End;
use crate::violation::{Checked, broken, ensure};
use gds_core::agent::start::acknowledgement_session;
use gds_core::disk::Disk;
use gds_core::journal::{Durability, JournalRead, JournalReader};
use gds_core::store::{Declared, Store, StoreCapacity, StoreMemory};
use gds_core::time::SECOND_NS;
use gds_wire::session::Session;
use std::sync::atomic::Ordering;

/// Processes at the very end, each from what the last one left.
const LAST_STARTS: usize = 2;
/// All nodes of a cluster show the same state so long after the end.
const DIGESTS_NS_MAX: u64 = 10 * SECOND_NS;

impl World {
    pub(super) fn end_stream(&mut self) {
        self.phase = Phase::Ending;
        self.truth.may_end();
        self.tell(|| "the stream ends".into());
        // Somebody comes too late.
        self.add_client();
        self.order_end();
    }

    /// Tells the process to end the stream, if that is to be and is not known to have happened.
    pub(super) fn order_end(&mut self) {
        if self.phase != Phase::Ending || self.truth.ended_at() > 0 {
            return;
        }
        for node in self.hosts.iter().filter_map(|host| host.node.as_ref()) {
            node.orders.end_stream.store(true, Ordering::Release);
        }
    }

    /// Everything is over. What was shown is complete, and what is kept gives the same again.
    pub(super) fn finish(&mut self) -> Checked {
        for host in &mut self.hosts {
            host.process().death.borrow_mut().disarm();
        }
        if self.plan.cluster.is_some() {
            return self.finish_cluster();
        }
        self.truth.check_complete()?;
        self.check_senders()?;
        let end = self.truth.ended_at();
        for place in 0..self.hosts.len() {
            self.check_store(place)?;
            self.finish_node(place, end)?;
        }
        self.truth.check_acknowledged()?;
        self.check_damage(end)
    }

    /// Everything is over: all nodes have the same, keep it, and come together again when they are started once more.
    fn finish_cluster(&mut self) -> Checked {
        let end = self.truth.ended_at();
        self.truth.check_complete()?;
        self.check_senders()?;
        self.wait_for_digests(end)?;
        for place in 0..self.hosts.len() {
            self.check_store(place)?;
            self.end_process(place, 0)?;
            self.check_kept(place, end)?;
        }
        self.wait_for_digests(end)?;
        for place in 0..self.hosts.len() {
            let fsync = self.hosts[place].machine.durability() == Durability::Fsync;
            self.bury(place, if fsync { End::PowerCut } else { End::Killed });
        }
        self.truth.check_acknowledged()?;
        self.check_damage(end)
    }

    /// Lets the world go on until all nodes are in sync and show the state after the last message, which must be one.
    fn wait_for_digests(&mut self, end: u64) -> Checked {
        let until_ns = self.clock.now_ns() + DIGESTS_NS_MAX;
        loop {
            self.step()?;
            let statuses = self
                .hosts
                .iter()
                .map(|host| host.node.as_ref().map(|node| node.store.store().reader().status()));
            if self.is_in_sync()
                && statuses.clone().all(|status| status.is_some_and(|status| status.applied == end))
            {
                let digests: Vec<u128> = statuses.flatten().map(|status| status.digest).collect();
                return digests
                    .into_iter()
                    .try_for_each(|digest| self.truth.show_digest("a replica", end, digest));
            }
            ensure!(
                self.clock.now_ns() < until_ns,
                "validity",
                "the nodes do not come together: {}",
                self.describe()
            );
        }
    }

    /// What a node keeps gives the same again.
    fn check_kept(&mut self, place: usize, end: u64) -> Checked {
        let digest = self.replay(place, end)?;
        self.truth.show_digest("a replay of the whole journal", end, digest)?;
        self.check_acknowledgement_journal(place, end)
    }

    /// Starts the node again and again, and replays its journal.
    fn finish_node(&mut self, place: usize, end: u64) -> Checked {
        for last in 0..LAST_STARTS {
            let digest = self.last_digest(place, end)?;
            self.truth.show_digest("the store", end, digest)?;
            self.end_process(place, last)?;
            self.start_and_wait(place)?;
        }
        self.last_digest(place, end)?;
        self.end_process(place, LAST_STARTS)?;
        self.check_kept(place, end)
    }

    /// A journal with a damaged middle is not taken for one with a torn tail.
    fn check_damage(&mut self, end: u64) -> Checked {
        let choice = self.random.next_u64();
        let register = self.register.borrow_mut().state().clone();
        let member = self.plan.cluster.is_some().then(|| self.member_config(0, register));
        let machine = &mut self.hosts[0].machine;
        let segment = machine.bus.borrow_mut().flip(choice);
        let started = machine.start(None, member);
        self.tally.add("world.damaged journals refused", 1);
        match started {
            Err(not_started) if not_started.fault.0.contains("damaged in simulated segment") => Ok(()),
            // The mark of the clean end was hit, and without it nobody knows whether the ring had more.
            Err(not_started) if not_started.fault.0.contains("are lost") => Ok(()),
            Err(not_started) => {
                broken("damage", format!("segment {segment:?} is damaged: {}", not_started.fault))
            }
            // Only the mark of the clean end was there.
            Ok(process) if process.report().journalled == end => Ok(()),
            Ok(process) => {
                let report = process.report();
                broken("damage", format!("segment {segment:?} is damaged; it started: {report:?}"))
            }
        }
    }

    /// The digest that the running store says it has, once it says so for the last message.
    fn last_digest(&mut self, place: usize, end: u64) -> Checked<u128> {
        let Host { machine, node, .. } = &mut self.hosts[place];
        let node = node.as_mut().expect("it runs");
        for _ in 0..1_000 {
            self.clock.advance(1_000_000);
            let now = machine.time.time();
            for agent in crate::node::AgentName::ALL {
                if let Err(fault) = node.duty(agent, now) {
                    return broken("start", format!("{agent:?} stopped: {fault}"));
                }
            }
            let status = node.store.store().reader().status();
            if status.applied == end {
                self.network.borrow_mut().tapped.clear();
                return Ok(status.digest);
            }
        }
        broken("digests", format!("the store does not show its state after message {end}"))
    }

    fn end_process(&mut self, place: usize, turn: usize) -> Checked {
        let Host { machine, node, .. } = &mut self.hosts[place];
        let node = node.as_mut().expect("it runs");
        let orderly = turn != 1;
        if orderly {
            node.orders.drain.store(true, Ordering::Release);
            if let Err(fault) = node.close(machine.time.time()) {
                return broken("start", format!("closing failed: {fault}"));
            }
        }
        let fsync = machine.durability() == Durability::Fsync;
        self.network.borrow_mut().tapped.clear();
        self.bury(place, if orderly || fsync { End::PowerCut } else { End::Killed });
        Ok(())
    }

    /// Applies the whole journal in a store of its own; its digest.
    fn replay(&mut self, place: usize, end: u64) -> Checked<u128> {
        let mut disk = SimulatedDisk::new(&self.hosts[place].machine.bus, None);
        let declarations = [Some(&self.plan.start.declaration), self.plan.later_declaration.as_ref()];
        let mut declared = Declared::default();
        declarations.into_iter().flatten().for_each(|declaration| declared.accept(declaration));
        let limits = declared.largest_limits().expect("there is one");
        let capacity = StoreCapacity::for_limits(limits, &self.plan.start.store);
        let mut store = Store::new(self.plan.start.store.clone(), StoreMemory::heap(&capacity));
        let truth = &mut self.truth;
        read_journal(self.stream, end, &mut disk, &mut |number, message| {
            truth.show("a reader of the journal", number, message)?;
            let acknowledgement = store.apply(number, message);
            truth.acknowledge("a replay", number, &acknowledgement.to_bytes())
        })?;
        Ok(store.digest())
    }

    fn check_acknowledgement_journal(&mut self, place: usize, end: u64) -> Checked {
        let mut disk = SimulatedDisk::new(&self.hosts[place].machine.acknowledgements, None);
        let truth = &mut self.truth;
        let session = acknowledgement_session(self.stream);
        read_journal(session, end, &mut disk, &mut |number, message| {
            truth.acknowledge("a reader of the journal", number, message)
        })
    }

    /// Everything submitted by whoever lived is in the stream; of the dead, and of those who were refused for so long that they gave
    /// up, what is there is in order.
    fn check_senders(&mut self) -> Checked {
        let clients = self.clients.iter().filter(|client| client.gave_up()).map(|client| client.session());
        let feeds = self.feeds.iter().filter(|feed| feed.gave_up()).map(|feed| feed.session());
        let gave_up: Vec<Session> = clients.chain(feeds).collect();
        for (session, sender) in self.truth.senders() {
            if self.dead_clients.contains(session) || gave_up.contains(session) {
                let taken = sender.next.saturating_sub(1);
                self.tally.add("world.messages of senders that died or gave up", taken);
                continue;
            }
            let too_late = self.clients.last().is_some_and(|client| client.session() == *session);
            if too_late {
                ensure!(
                    sender.next == 0,
                    "uniform integrity",
                    "session {session} was refused and is in the stream up to {}",
                    sender.next - 1
                );
                continue;
            }
            ensure!(
                sender.ended_at > 0,
                "validity",
                "session {session} submitted {} blocks and ended; the stream wants {} next",
                sender.blocks.len(),
                sender.next
            );
        }
        let refused = self.clients.last().map_or(0, |client| client.refusals().values().sum());
        self.tally.add("world.clients refused by an ended stream", refused);
        Ok(())
    }
}

fn read_journal(
    session: Session,
    end: u64,
    disk: &mut dyn Disk,
    visit: &mut dyn FnMut(u64, &[u8]) -> Checked,
) -> Checked {
    let mut reader = JournalReader::new(session);
    let mut buffer = vec![0; 65_536];
    for number in 1..=end {
        match reader.read(number, disk, &mut buffer) {
            Ok(JournalRead::Message { length, .. }) => visit(number, &buffer[..length])?,
            other => {
                return broken(
                    "nothing shown is lost",
                    format!("the journal does not give message {number}: {other:?}"),
                );
            }
        }
    }
    Ok(())
}
