//! A world: the nodes and everybody around them, in one thread, from one seed.
//!
//! Every part has a duty cycle and is driven at random moments, in random order. Things go wrong for a while; then nothing does any
//! more, and everything must come to its end. All that leaves a node is held against the [`Truth`](crate::truth::Truth).
mod acts;
mod chaos;
mod cluster;
mod ending;
mod history;
mod host;
mod schedule;
mod watching;

use crate::actor::{Client, Feed, Listener, Reader, Scene, Stranger};
use crate::clock::{Clock, SharedClock};
use crate::machine::Machine;
use crate::network::{Network, SharedNetwork};
use crate::node::{AgentName, Node};
use crate::plan::{NodePort, Plan, node_address, node_host};
use crate::register::{Register, SharedRegister};
use crate::tally::Tally;
use crate::truth::Truth;
use crate::violation::{Checked, Violation, broken};
use cluster::Cluster;
use gds_core::agent::start::acknowledgement_session;
use gds_core::random::Random;
use gds_core::time::SECOND_NS;
use gds_wire::acknowledgement::Outcome;
use gds_wire::session::Session;
use history::History;
use host::Host;
use schedule::{Schedule, Slot, Turn};

/// Everything must be done so long after the faults have stopped.
const CALM_NS_MAX: u64 = 60 * SECOND_NS;
/// Longest an idle part sleeps when nothing goes wrong any more.
const CALM_IDLE_NS_MAX: u64 = 2_000_000;

/// How far the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Things go wrong.
    Faulty,
    /// Everybody finishes.
    Calm,
    /// The stream is being ended.
    Ending,
}

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// What happened.
    pub tally: Tally,
    /// A hash over everything that happened, in order.
    pub trace: u64,
}

/// A world.
pub struct World {
    plan: Plan,
    clock: SharedClock,
    network: SharedNetwork,
    /// The nodes, from 0.
    hosts: Vec<Host>,
    /// Who leads, where there is more than one.
    register: SharedRegister,
    cluster: Cluster,
    history: History,
    truth: Truth,
    /// The last number that any process committed.
    committed: u64,
    /// The stream's id.
    stream: Session,
    /// The name under which listeners and clients know it.
    name: Session,
    clients: Vec<Client>,
    feeds: Vec<Feed>,
    listeners: Vec<Listener>,
    readers: Vec<Reader>,
    stranger: Stranger,
    dead_clients: Vec<Session>,
    schedule: Schedule,
    phase: Phase,
    calm_since_ns: u64,
    random: Random,
    next_name: u64,
    deaths: u64,
    tally: Tally,
    tracing: bool,
    trace: u64,
}

impl World {
    /// The world of a plan.
    pub fn of(plan: Plan, tracing: bool) -> Self {
        let clock: SharedClock = SharedClock::new(Clock::default());
        let nodes = (0..plan.nodes).map(node_host).collect();
        let network = Network::new(plan.seed ^ 0x0E7, &clock, nodes);
        network.borrow_mut().faults = plan.chaos.faults;
        if plan.history.is_some() && plan.cluster.is_some() {
            let ports = (0..plan.nodes).map(|node| node_address(node, NodePort::Replication));
            network.borrow_mut().listened.extend(ports);
        }
        network.borrow_mut().stream_bytes_max = plan.stream_bytes_max;
        let register = Register::new(plan.seed ^ 0x4E6, &clock);
        if let Some(cluster) = &plan.cluster {
            register.borrow_mut().faults = cluster.register;
        }
        let host = |node| Host::new(Machine::new(node, &plan, &clock, &network, &register));
        let hosts: Vec<Host> = (0..plan.nodes).map(host).collect();
        let mut truth = Truth::new(plan.payload_bytes_max);
        truth.may_declare(&plan.start.declaration);
        let stranger = Stranger::new(&network);
        let mut schedule = Schedule::default();
        for node in 0..plan.nodes {
            AgentName::ALL.into_iter().for_each(|agent| schedule.add(Turn::Agent(node, agent), 0));
        }
        Self {
            random: Random::new(plan.seed ^ 0xD1CE),
            clock,
            network,
            hosts,
            register,
            cluster: Cluster::default(),
            history: History::default(),
            truth,
            committed: 0,
            stream: Session::BLANK,
            name: Session::BLANK,
            clients: Vec::new(),
            feeds: Vec::new(),
            listeners: Vec::new(),
            readers: Vec::new(),
            stranger,
            dead_clients: Vec::new(),
            schedule,
            phase: Phase::Faulty,
            calm_since_ns: 0,
            next_name: 1,
            deaths: 0,
            tally: Tally::default(),
            tracing,
            trace: 0xcbf2_9ce4_8422_2325,
            plan,
        }
    }

    /// Lets everything happen.
    pub fn run(mut self) -> Result<Report, Violation> {
        if self.tracing {
            eprintln!("{}", self.plan.describe());
        }
        // Before a node stands there is no stream.
        while self.stream.is_blank() {
            self.step()?;
        }
        self.populate();
        loop {
            self.step()?;
            if self.is_phase_over()? {
                if self.is_stopped_for_good() {
                    self.tally.add("cluster.streams stopped", 1);
                    self.tell(|| "no member is whole: the stream stays stopped".into());
                    self.truth.check_shown()?;
                    self.add_up();
                    return Ok(Report { tally: self.tally, trace: self.trace });
                }
                match self.phase {
                    Phase::Faulty => self.calm_down(),
                    Phase::Calm => self.end_stream(),
                    Phase::Ending => break,
                }
            }
        }
        self.finish()?;
        self.add_up();
        Ok(Report { tally: self.tally, trace: self.trace })
    }

    fn populate(&mut self) {
        self.add_slot(Turn::Stranger);
        self.add_slot(Turn::Chaos);
        for _ in 0..self.plan.clients {
            self.add_client();
        }
        for kind in self.plan.feeds.clone() {
            let number = self.draw_name();
            let network = self.network.clone();
            let feed = self.with_scene(|scene| Feed::new(kind, number, &network, scene));
            self.feeds.push(feed);
            self.add_slot(Turn::Feed(self.feeds.len() - 1));
        }
        for _ in 0..self.plan.listeners {
            self.add_listener(false);
        }
        let horizon_messages = self.horizon_messages();
        for _ in 0..self.plan.readers {
            let number = self.draw_name();
            let network = self.network.clone();
            let reader = self.with_scene(|scene| Reader::new(number, horizon_messages, &network, scene));
            self.readers.push(reader);
            self.add_slot(Turn::Reader(self.readers.len() - 1));
        }
    }

    /// The shortest horizon that is ever declared.
    fn horizon_messages(&self) -> u64 {
        let later = self.plan.later_declaration.as_ref();
        let declarations = [Some(&self.plan.start.declaration), later];
        let horizon = declarations.into_iter().flatten().map(|it| it.limits.horizon_messages).min();
        horizon.unwrap_or(0)
    }

    fn new_client(&mut self) -> Client {
        let number = self.draw_name();
        let (network, session) = (self.network.clone(), acknowledgement_session(self.name));
        self.with_scene(|scene| Client::new(number, session, &network, scene))
    }

    /// A client goes; what it has counted stays.
    fn retire(&mut self, place: usize) {
        let (client, tally) = (&self.clients[place], &mut self.tally);
        client.for_each_counter(&mut |set, name, value| tally.add_to(set, name, value));
        for (reason, count) in client.refusals() {
            let reason = gds_wire::refusal::RefusalReason::from_u16(*reason);
            tally.add_to("refusal", &format!("{reason:?}"), *count);
        }
        tally.add("world.sessions turned away", u64::from(client.gave_up()));
    }

    fn add_client(&mut self) {
        let client = self.new_client();
        self.clients.push(client);
        self.add_slot(Turn::Client(self.clients.len() - 1));
    }

    fn add_listener(&mut self, late: bool) {
        let number = self.draw_name();
        let (network, stream) = (self.network.clone(), self.name);
        let listener = self.with_scene(|scene| Listener::new(number, stream, late, &network, scene));
        self.listeners.push(listener);
        self.add_slot(Turn::Listener(self.listeners.len() - 1));
    }

    fn add_slot(&mut self, turn: Turn) {
        let due_ns = self.clock.now_ns() + self.random.below(100_000);
        self.schedule.add(turn, due_ns);
    }

    fn draw_name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// Gives whoever is due first its turn.
    fn step(&mut self) -> Checked {
        let index = self.schedule.next();
        let slot = self.schedule.slot(index);
        self.clock.advance_to(slot.due_ns);
        self.register.borrow_mut().settle();
        self.start_processes()?;
        let work = self.take_turn(slot.turn)?;
        self.note(index as u64, work as u64);
        let slot = Slot { idle: if work > 0 { 0 } else { slot.idle + 1 }, ..slot };
        let pause_ns = self.pause_ns(&slot);
        let now_ns = self.clock.now_ns();
        // Its own turn may have had it stand still.
        let due_ns = self.schedule.slot(index).due_ns.max(now_ns + pause_ns);
        self.schedule.set(index, due_ns, slot.idle);
        Ok(())
    }

    fn pause_ns(&mut self, slot: &Slot) -> u64 {
        if slot.turn == Turn::Chaos {
            return 1 + self.random.below(self.plan.chaos.step_ns_max);
        }
        let calm = self.phase != Phase::Faulty;
        if let (Turn::Agent(node, agent), Some((slow_node, slow, pause_ns)), false) =
            (slot.turn, self.plan.slow, calm)
            && (node, agent) == (slow_node, slow)
        {
            return self.random.below(pause_ns);
        }
        let calm_idle_ns_max = match (&self.plan.cluster, slot.turn) {
            // Heartbeats must come in time.
            (Some(cluster), Turn::Agent(_, AgentName::Sequencer)) => cluster.heartbeat_ns / 4,
            _ => CALM_IDLE_NS_MAX,
        };
        let idle_ns_max = if calm { calm_idle_ns_max } else { self.plan.idle_ns_max };
        let idle_ns = (2_000u64 << slot.idle.min(20)).min(idle_ns_max);
        500 + self.random.below(if slot.idle == 0 { 3_000 } else { idle_ns })
    }

    fn take_turn(&mut self, turn: Turn) -> Checked<usize> {
        match turn {
            Turn::Agent(node, agent) => return self.agent_duty(node, agent),
            Turn::Chaos => return self.chaos(),
            _ => {}
        }
        let calm = self.phase != Phase::Faulty;
        let mut scene = Scene {
            plan: &self.plan,
            stream: self.name,
            now: self.clock.time(),
            truth: &mut self.truth,
            random: &mut self.random,
            calm,
            committed: self.committed,
        };
        match turn {
            Turn::Client(index) => self.clients[index].duty(&mut scene),
            Turn::Feed(index) => self.feeds[index].duty(&mut scene),
            Turn::Listener(index) => self.listeners[index].duty(&mut scene),
            Turn::Reader(index) => self.readers[index].duty(&mut scene),
            Turn::Stranger if calm => Ok(0),
            Turn::Stranger => self.stranger.duty(&mut scene),
            Turn::Agent(..) | Turn::Chaos => Ok(0),
        }
    }

    fn with_scene<T>(&mut self, act: impl FnOnce(&mut Scene<'_>) -> T) -> T {
        let mut scene = Scene {
            plan: &self.plan,
            stream: self.name,
            now: self.clock.time(),
            truth: &mut self.truth,
            random: &mut self.random,
            calm: self.phase != Phase::Faulty,
            committed: self.committed,
        };
        act(&mut scene)
    }

    fn is_phase_over(&mut self) -> Checked<bool> {
        self.check_found()?;
        let now_ns = self.clock.now_ns();
        let over = match self.phase {
            _ if self.is_stopped_for_good() => true,
            Phase::Faulty => now_ns >= self.plan.faulty_ns,
            Phase::Calm => self.is_everybody_done(),
            Phase::Ending => self.has_everybody_seen_the_end(),
        };
        if !over && self.phase != Phase::Faulty && now_ns - self.calm_since_ns > CALM_NS_MAX {
            return broken(
                "validity",
                format!("nothing goes wrong any more, and it does not end: {}", self.describe()),
            );
        }
        Ok(over)
    }

    fn is_everybody_done(&self) -> bool {
        self.hosts.iter().all(Host::is_up)
            && self.is_everybody_believed()
            && self.is_in_sync()
            && self.clients.iter().all(Client::is_done)
            && self.feeds.iter().all(|feed| feed.is_done(&self.truth))
            && self.readers.iter().all(Reader::is_done)
    }

    fn has_everybody_seen_the_end(&self) -> bool {
        let end = self.truth.ended_at();
        let nodes = || self.hosts.iter().filter_map(|host| host.node.as_ref());
        // Of a cluster only the leader sends the train.
        let trains = !self.plan.whole_train || nodes().any(Node::finished);
        let published = |node: &Node| node.acknowledgements.progress.published.get() == end;
        let acknowledged = nodes().count() == self.hosts.len() && nodes().all(published);
        end > 0 && trains && acknowledged && self.listeners.iter().all(Listener::is_done)
    }

    fn calm_down(&mut self) {
        self.phase = Phase::Calm;
        self.stranger.hang_up();
        self.calm_since_ns = self.clock.now_ns();
        self.stop_faults();
        (0..self.hosts.len()).for_each(|place| self.let_start(place));
        self.tell(|| "nothing goes wrong any more".into());
    }

    fn describe(&self) -> String {
        let mut lines = vec![format!(
            "phase {:?}, nodes {:?} run, committed {}, known {}, shown {}",
            self.phase,
            self.running(),
            self.committed,
            self.truth.known(),
            self.truth.shown_last()
        )];
        lines.extend(self.describe_cluster());
        lines.extend(self.clients.iter().filter(|client| !client.is_done()).map(Client::describe));
        lines.extend(
            self.feeds
                .iter()
                .filter(|feed| !feed.is_done(&self.truth))
                .map(|feed| feed.describe(&self.truth)),
        );
        lines.extend(self.listeners.iter().filter(|listener| !listener.is_done()).map(Listener::describe));
        lines.extend(self.readers.iter().filter(|reader| !reader.is_done()).map(Reader::describe));
        for node in self.hosts.iter().filter_map(|host| host.node.as_ref()) {
            lines.push(format!("bus {:?}", node.bus.progress));
            lines.push(format!("acknowledgements {:?}", node.acknowledgements.progress));
        }
        lines.join("\n    ")
    }

    /// Sums up what happened.
    fn add_up(&mut self) {
        for place in 0..self.clients.len() {
            self.retire(place);
        }
        let Self { tally, truth, listeners, readers, feeds, .. } = self;
        for listener in listeners.iter() {
            listener.for_each_counter(&mut |set, name, value| tally.add_to(set, name, value));
        }
        for reader in readers.iter() {
            reader.for_each_counter(&mut |set, name, value| tally.add_to(set, name, value));
            tally.add("reader.answers", reader.answers());
            tally.add("reader.refused", reader.refused());
        }
        for feed in feeds.iter() {
            tally.add("feed.requests", feed.requests());
        }
        for (code, count) in truth.outcomes() {
            let outcome = Outcome::from_u16(*code).map_or_else(String::new, |outcome| format!("{outcome}"));
            tally.add_to("outcome", &outcome, *count);
        }
        tally.add("world.messages", truth.known());
        tally.add("world.declarations", truth.declared());
        tally.add("world.sessions forgotten", truth.model().sessions().forgotten());
        tally.add("world.tables emptied", truth.model().records().emptied());
        let fates = self.network.borrow().fates;
        tally.add("network.sent", fates.sent);
        tally.add("network.lost", fates.lost);
        tally.add("network.duplicated", fates.duplicated);
        tally.add("network.reordered", fates.reordered);
        tally.add("network.cut", fates.cut);
        for Host { machine, .. } in &self.hosts {
            for platter in [&machine.bus, &machine.acknowledgements] {
                tally.add("disk.torn blocks", platter.borrow().torn);
                tally.add("disk.refused segments", platter.borrow().refused);
            }
            tally.add("world.processes", machine.incarnations);
        }
        let fates = self.register.borrow().fates;
        tally.add("register.reads", fates.reads);
        tally.add("register.swaps", fates.swaps);
        tally.add("register.swaps refused", fates.refused);
        tally.add("register.requests lost", fates.lost);
        tally.add("register.swaps of nobody", fates.orphaned);
        tally.add("register.silences", fates.silences);
        tally.add("world.simulated ms", self.clock.now_ns() / 1_000_000);
    }

    /// Mixes something that happened into the trace's hash.
    fn note(&mut self, what: u64, value: u64) {
        let mixed = (self.trace ^ what ^ value.rotate_left(20) ^ self.clock.now_ns().rotate_left(32))
            .wrapping_mul(0x0000_0100_0000_01B3);
        self.trace = mixed ^ (mixed >> 29);
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tracing {
            eprintln!("{:>12} {}", self.clock.now_ns(), what());
        }
    }
}
