//! Time that runs back, and what must hold then: whose past counts, and that whoever knows another one says so.
//!
//! Once something has been done to the past of any node, a node is heard by nobody but other nodes until it is judged. The node that
//! leads the newest epoch is the *authority*: its log is what counts from there on. At its takeover it is held against what was shown. What it lacks is a
//! past that has changed: only a node may lead so whose own files were put back or whose lead was forced, in a way that it cannot know. Everybody around
//! the nodes is told then (they are replaced), and the truth goes on from the last number that both have.
//!
//! Each other node is judged when it has reached the authority's epoch: it goes on if the authority has everything that it ever showed. If not, it *differs*:
//! no commit may count on it, no set may take it in, and soon after it must have stopped and said why. Then its log is set aside, and it learns.
use super::host::{Host, Standing};
use super::{Phase, World};
use crate::actor::{Feed, Listener, Reader};
use crate::disk::SimulatedDisk;
use crate::machine::{End, Loss};
use crate::node::Node;
use crate::plan::node_host;
use crate::violation::{Checked, broken, ensure};
use gds_core::agent::Fault;
use gds_core::agent::start::StartReport;
use gds_core::bus::StreamRead;
use gds_core::replication::{Member, NodeId, RegisterValue, Set};
use gds_core::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::replication::Watermark;
use std::rc::Rc;

/// A node that differs must have stopped so long after it could know.
const FOUND_WITHIN_NS: u64 = SECOND_NS + 200 * MILLISECOND_NS;
/// What a node says that stops because its past is another one than the leader's.
const CONTRADICTION: [&str; 3] =
    ["has gone back in time", "one of the two has another stream's past", "store has diverged"];

/// A log, from its first message on.
type Log = Vec<Rc<[u8]>>;

/// What was done to the past so far.
#[derive(Default)]
pub(super) struct History {
    /// How much, of all kinds.
    pub acts: u64,
    /// From the first one on nothing is believed that is not judged.
    pub is_suspect: bool,
    /// The register lost what it held. A second time the same epochs would be given out again.
    pub is_register_lost: bool,
    /// Who leads the newest epoch, and which.
    authority: Option<(usize, u32)>,
    /// The leader was started again for the sake of a node that lives an older life.
    is_renewed: bool,
    /// Leaders that must have raised an alarm: who, in which epoch, and when.
    alarms: Vec<(usize, u32, u64)>,
}

impl World {
    /// The node whose log counts, while it leads.
    fn authority(&self) -> Option<(usize, u32)> {
        let (place, epoch) = self.history.authority?;
        let node = self.hosts[place].node.as_ref()?;
        (node.leads() == Some(epoch)).then_some((place, epoch))
    }

    /// Whether what a node shows counts.
    pub(super) fn is_believed(&self, place: usize) -> bool {
        self.hosts[place].standing == Standing::Good
    }

    /// Whether everybody is, as far as they run.
    pub(super) fn is_everybody_believed(&self) -> bool {
        self.hosts.iter().all(|host| host.standing == Standing::Good)
    }

    /// Something was done to a node's past that it may not be able to know.
    pub(super) fn tamper(&mut self, place: usize) {
        self.hosts[place].is_tampered = true;
        if !self.history.is_suspect && self.plan.cluster.is_some() {
            self.history.is_suspect = true;
            for place in 0..self.hosts.len() {
                let good = self.hosts[place].node.is_some();
                self.stand(place, if good { Standing::Good } else { Standing::Unknown });
            }
        }
    }

    /// Whether a node is listened to from here on.
    pub(super) fn stand(&mut self, place: usize, standing: Standing) {
        self.hosts[place].standing = standing;
        self.network.borrow_mut().mute(node_host(place), standing != Standing::Good);
    }

    /// After each lap of a member: a new leader's log becomes the one that counts, and whoever reaches its epoch is judged.
    pub(super) fn judge_after(&mut self, place: usize) -> Checked {
        if self.plan.history.is_none() || self.plan.cluster.is_none() {
            return Ok(());
        }
        let node = self.hosts[place].process();
        if node.death.borrow().is_dead() {
            return Ok(());
        }
        let (leads, epoch) = (node.leads(), node.epoch());
        if let Some(epoch) =
            leads.filter(|&epoch| self.history.authority.is_none_or(|(_, known)| known < epoch))
        {
            self.history.authority = Some((place, epoch));
            if self.history.is_suspect {
                self.take_authority(place, epoch)?;
            }
        }
        let judged = self.authority().filter(|&(by, of)| {
            by != place && of == epoch && self.hosts[place].standing == Standing::Unknown
        });
        match judged {
            Some((by, _)) => self.judge(place, by),
            None => Ok(()),
        }
    }

    fn take_authority(&mut self, place: usize, epoch: u32) -> Checked {
        let last = self.hosts[place].process().bus.progress.sequenced.get();
        let log = self.log(place, last)?;
        let lacks = |sequence: &u64| {
            let has = log.get(*sequence as usize - 1);
            has.is_none_or(|has| self.truth.message(*sequence).is_some_and(|shown| shown != has))
        };
        let lacked = (1..=self.truth.shown_last()).find(lacks);
        for other in (0..self.hosts.len()).filter(|other| *other != place) {
            self.stand(other, Standing::Unknown);
        }
        if let Some(lacked) = lacked {
            ensure!(
                self.hosts[place].is_tampered,
                "uniform agreement",
                "node {place} leads epoch {epoch} without message {lacked} of {} that were shown ({}), and nothing happened to its files that it \
                 cannot know",
                self.truth.shown_last(),
                self.truth.describe(lacked)
            );
            self.tell(|| {
                format!(
                    "node {place} leads epoch {epoch}, and its past is another one from message {lacked} on"
                )
            });
            self.change_past(lacked, &log)?;
            self.committed = 0;
        }
        self.go_on_under_its_name(place, &log)?;
        self.hosts[place].is_tampered = false;
        self.accept(place)
    }

    /// A forced lead has given the stream another session name: everybody is told, and listens to that one.
    fn go_on_under_its_name(&mut self, place: usize, log: &Log) -> Checked {
        let name = self.hosts[place].process().bus.name;
        if name == self.name {
            return Ok(());
        }
        self.tell(|| format!("the stream goes on as session {name}"));
        self.tally.add("history.sessions begun", 1);
        self.name = name;
        self.change_past(self.truth.shown_last() + 1, log)
    }

    /// The truth goes on from the last message before `lacked`; everybody is told.
    fn change_past(&mut self, lacked: u64, log: &Log) -> Checked {
        self.tally.add("history.pasts changed", u64::from(lacked <= self.truth.shown_last()));
        self.truth.forget_above(lacked - 1)?;
        for (sequence, message) in (1..lacked).zip(log) {
            self.truth.show("everybody", sequence, message)?;
        }
        self.dead_clients.extend(self.truth.senders().map(|(session, _)| *session));
        for place in 0..self.clients.len() {
            self.retire(place);
            self.clients[place] = self.new_client();
        }
        let network = self.network.clone();
        for (place, kind) in self.plan.feeds.clone().into_iter().enumerate() {
            let number = self.draw_name();
            drop(self.feeds.remove(place));
            let feed = self.with_scene(|scene| Feed::new(kind, number, &network, scene));
            self.feeds.insert(place, feed);
        }
        let stream = self.name;
        for place in 0..self.listeners.len() {
            let number = self.draw_name();
            self.listeners[place] =
                self.with_scene(|scene| Listener::new(number, stream, false, &network, scene));
        }
        for place in 0..self.readers.len() {
            let number = self.draw_name();
            network.borrow_mut().break_connections(self.readers[place].host());
            let horizon = self.horizon_messages();
            self.readers[place] = self.with_scene(|scene| Reader::new(number, horizon, &network, scene));
        }
        Ok(())
    }

    /// Holds what a node has ever shown against the authority's log.
    fn judge(&mut self, place: usize, by: usize) -> Checked {
        let Some(other) = self.first_other(place, by)? else {
            return self.accept(place);
        };
        self.tally.add("history.nodes that differ", 1);
        self.tell(|| {
            format!("node {place} has shown another message {other} than node {by}, which leads, has")
        });
        let since_ns = self.clock.now_ns();
        self.hosts[place].has_differed = true;
        self.stand(place, Standing::Differs { from: other, since_ns });
        Ok(())
    }

    /// The first message that a node has shown, as far as it knows, and another node does not have.
    fn first_other(&self, place: usize, by: usize) -> Checked<Option<u64>> {
        let (Some(node), Some(judge)) = (&self.hosts[place].node, &self.hosts[by].node) else {
            return Ok(None);
        };
        let shown = self.log(place, node.bus.progress.committed.get())?;
        let log = self.log(by, judge.bus.progress.sequenced.get())?;
        let other =
            (1..).zip(&shown).find(|(sequence, message)| log.get(*sequence as usize - 1) != Some(*message));
        Ok(other.map(|(sequence, _)| sequence))
    }

    /// From here on it is listened to, and held against the truth like anybody.
    fn accept(&mut self, place: usize) -> Checked {
        let was = self.hosts[place].standing;
        self.stand(place, Standing::Good);
        if was == Standing::Good { Ok(()) } else { self.check_start(place) }
    }

    /// A node's log up to `last`, as a bystander reads it.
    fn log(&self, place: usize, last: u64) -> Checked<Log> {
        let Some(node) = &self.hosts[place].node else { return Ok(Log::new()) };
        let mut disk = SimulatedDisk::new(&self.hosts[place].machine.bus, None);
        let (mut log, mut buffer) = (Log::new(), vec![0; 65_536]);
        let mut reader = node.bus.reader(1);
        while reader.next_sequence() <= last {
            match reader.read(last, &mut disk, &mut buffer) {
                Ok(StreamRead::Message { length, .. }) => log.push(buffer[..length].into()),
                other => {
                    let number = reader.next_sequence();
                    return broken(
                        "nothing shown is lost",
                        format!("message {number} of {last} of node {place} cannot be read: {other:?}"),
                    );
                }
            }
        }
        Ok(log)
    }

    /// Whoever leads commits: it may not have counted on a node that differs.
    pub(super) fn check_counted(&self, leader: usize, epoch: u32, value: &RegisterValue) -> Checked {
        if self.authority() != Some((leader, epoch)) || value.epoch != epoch || !self.history.is_suspect {
            return Ok(());
        }
        for member in value.set.members() {
            let place = usize::from(member.node.0) - 1;
            if place == leader || !self.is_live(place, *member) || self.is_believed(place) {
                continue;
            }
            if let Some(other) = self.first_other(place, leader)? {
                return broken(
                    "who differs does not count",
                    format!(
                        "node {leader} commits in epoch {epoch} with {member} in the set {}, which has shown another message {other} than it has",
                        value.set
                    ),
                );
            }
        }
        Ok(())
    }

    /// The register holds another set: nobody came in who differs.
    pub(super) fn check_admitted(&self, before: &Set, value: &RegisterValue) -> Checked {
        let Some((leader, _)) = self.authority().filter(|(_, epoch)| *epoch == value.epoch) else {
            return Ok(());
        };
        if !self.history.is_suspect {
            return Ok(());
        }
        for member in value.set.members() {
            let place = usize::from(member.node.0) - 1;
            if place == leader || before.has(*member) || !self.is_live(place, *member) {
                continue;
            }
            if let Some(other) = self.first_other(place, leader)? {
                return broken(
                    "who differs is not admitted",
                    format!(
                        "the set {} of epoch {} takes in {member}, which has shown another message {other} than node {leader}, which leads, has",
                        value.set, value.epoch
                    ),
                );
            }
        }
        Ok(())
    }

    fn is_live(&self, place: usize, member: Member) -> bool {
        let node = self.hosts.get(place).and_then(|host| host.node.as_ref());
        node.is_some_and(|node| node.incarnation() == member.incarnation && !node.death.borrow().is_dead())
    }

    /// A node stopped with a fault: because its past is another one? Then its log is set aside.
    pub(super) fn stopped_for_its_past(&mut self, place: usize, fault: &Fault) -> Checked<bool> {
        if !says_it_differs(fault) || self.plan.history.is_none() {
            return Ok(false);
        }
        let differs = match self.authority() {
            // From whoever leads now, or from whoever led when it looked.
            _ if self.hosts[place].has_differed => true,
            Some((by, _)) if by != place => self.first_other(place, by)?.is_some(),
            // It speaks of a leader that is gone.
            _ => self.history.is_suspect,
        };
        ensure!(differs, "no false alarm", "node {place} stops, and its past is the leader's: {fault}");
        self.tally.add("history.contradictions", 1);
        if let Some((leader, epoch)) = self.authority().filter(|_| self.phase != Phase::Faulty) {
            self.history.alarms.push((leader, epoch, self.clock.now_ns() + FOUND_WITHIN_NS));
        }
        self.bury(place, End::Killed);
        // Now and then somebody only starts it again, and it stops again.
        if self.is_faulty() && self.random.chance(1, 3) {
            self.tally.add("history.nodes started again as they were", 1);
        } else {
            self.set_aside(place);
        }
        Ok(true)
    }

    /// A leader beside which a node stopped for its past says so, if it still leads.
    fn check_alarms(&mut self) -> Checked {
        let (now_ns, authority) = (self.clock.now_ns(), self.authority());
        let mut due = self.history.alarms.extract_if(.., |(.., due_ns)| *due_ns <= now_ns);
        let Some((place, epoch, _)) = due.find(|(place, epoch, _)| authority == Some((*place, *epoch)))
        else {
            return Ok(());
        };
        drop(due);
        ensure!(
            self.alarms(place) > 0,
            "whoever leads says so",
            "node {place} leads epoch {epoch}, another node stopped since it has shown something else, and there is no alarm"
        );
        self.tally.add("history.alarms", 1);
        Ok(())
    }

    /// Somebody sets the node's log aside: it begins with nothing, and learns.
    pub(super) fn set_aside(&mut self, place: usize) {
        self.tell(|| format!("the log of node {place} is set aside"));
        let host = &mut self.hosts[place];
        host.machine.wipe();
        (host.is_tampered, host.hurt, host.copying) = (false, None, None);
        self.tally.add("history.logs set aside", 1);
    }

    /// Contradictions that a node has counted.
    fn alarms(&self, place: usize) -> u64 {
        let mut alarms = 0;
        if let Some(node) = &self.hosts[place].node {
            node.for_each_counter(&mut |set, name, value| {
                if (set, name) == ("replication", "contradictions") {
                    alarms += value;
                }
            });
        }
        alarms
    }

    /// A leader that hears of a node which has shown more than the leader's log has says so, whether or not that node can know. `led`: in which epoch it led before
    /// the lap.
    pub(super) fn check_heard(&mut self, place: usize, led: Option<u32>) -> Checked {
        let heard = std::mem::take(&mut self.network.borrow_mut().heard);
        let node = self.hosts[place].process();
        let (leads, last) = (node.leads(), node.bus.progress.sequenced.get());
        if leads.is_none() || led != leads || node.death.borrow().is_dead() {
            return Ok(());
        }
        for watermark in heard.iter().filter_map(|heard| Watermark::parse(&heard.datagram)) {
            let sender = watermark.sender;
            let of = Member { node: NodeId(sender.node), incarnation: sender.incarnation };
            let counts =
                Some(sender.epoch) == leads && self.is_live(usize::from(sender.node).wrapping_sub(1), of);
            ensure!(
                !counts || watermark.shown <= last || self.alarms(place) > 0,
                "whoever leads says so",
                "node {place} leads epoch {} up to message {last}, and hears that {of} has shown message {}; there is no alarm",
                sender.epoch,
                watermark.shown
            );
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and a node that differs still runs.
    pub(super) fn check_found(&mut self) -> Checked {
        self.check_alarms()?;
        self.renew_epoch();
        let now_ns = self.clock.now_ns();
        for (place, host) in self.hosts.iter().enumerate() {
            let Standing::Differs { from, since_ns } = host.standing else { continue };
            let since_ns = since_ns.max(self.calm_since_ns);
            ensure!(
                self.phase == Phase::Faulty || host.node.is_none() || now_ns < since_ns + FOUND_WITHIN_NS,
                "who differs says so",
                "node {place} has shown another message {from} than whoever leads has, and runs on {} ns later",
                now_ns - since_ns
            );
        }
        Ok(())
    }

    /// A node whose file of lives was put back begins a life that is older than those before. Whoever leads heeds it only in a new epoch, and so somebody starts the leader
    /// again, once nothing else goes wrong.
    fn renew_epoch(&mut self) {
        let is_older =
            |host: &Host| host.node.as_ref().is_some_and(|node| node.incarnation() < host.newest_life);
        if self.phase != Phase::Calm || self.history.is_renewed || !self.hosts.iter().any(is_older) {
            return;
        }
        let Some((place, _)) = self.authority().filter(|_| self.hosts.iter().all(Host::is_up)) else {
            return;
        };
        self.history.is_renewed = true;
        self.tell(|| format!("node {place} is started again, so that older lives count"));
        self.tally.add("history.epochs renewed for older lives", 1);
        self.bury(place, End::Killed);
    }

    /// A lone node has started with less than was shown, or with something else. True where it could not know; then the past is another one.
    pub(super) fn check_lone_past(&mut self, place: usize) -> Checked {
        let node = self.hosts[place].process();
        let committed = node.bus.progress.committed.get();
        let log = self.log(place, committed)?;
        let lacks = |sequence: &u64| {
            let has = log.get(*sequence as usize - 1);
            has.is_none_or(|has| self.truth.message(*sequence).is_some_and(|shown| shown != has))
        };
        let lacked = (1..=self.truth.shown_last()).find(lacks);
        if let Some(lacked) = lacked.filter(|_| self.hosts[place].is_tampered) {
            self.tell(|| {
                format!("node {place} cannot know that its past is another one from message {lacked} on")
            });
            self.change_past(lacked, &log)?;
            self.committed = committed;
        }
        self.go_on_under_its_name(place, &log)?;
        self.hosts[place].is_tampered = false;
        Ok(())
    }

    /// A ring whose journal is gone is not gone on with.
    pub(super) fn check_merged(&self, place: usize, loss: Option<Loss>, report: &StartReport) -> Checked {
        ensure!(
            loss != Some(Loss::Journals) || report.merged == 0,
            "a ring without its journal",
            "node {place} lost its journals, and goes on with {} messages of its ring: {report:?}",
            report.merged
        );
        Ok(())
    }

    /// The newest epoch that any running node has heard of.
    pub(super) fn heard_epoch(&self) -> u32 {
        self.hosts.iter().filter_map(|host| host.node.as_ref()).map(Node::epoch).max().unwrap_or(0)
    }
}

/// Whether a fault says that a node's past is another one than its leader's.
pub(super) fn says_it_differs(fault: &Fault) -> bool {
    CONTRADICTION.iter().any(|says| fault.0.contains(says))
}
