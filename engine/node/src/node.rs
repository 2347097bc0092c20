//! A node: started from a configuration, run on its cores, stopped in order.
//!
//! ```no_run
//! use gds_node::{config::Config, node::Node, step::unwatched};
//!
//! let node = Node::start(&Config::default(), &mut unwatched).expect("the ports are free");
//! println!("stream {} on {}", node.stream().session, node.addresses().query);
//! node.stop().expect("nothing failed");
//! ```
mod assembly;
mod ports;

use crate::cluster::{Begins, Enrolment};
use crate::config::{self, AgentName, Config};
use crate::control::{Control, ControlSocket, Controlled};
use crate::crew::{CoreCounters, CorePlan, Crew, Seat, Stamp};
use crate::learning::arrival;
use crate::learning::fetch::Learner;
use crate::learning::giver::Giver;
use crate::ring_watch::RingWatch;
use crate::step::{StartError, Watcher};
use crate::surroundings::{Place, keep_awake, stages_file};
use crate::{check, holding, settings, standing, unreadable};
use assembly::Assembly;
pub(crate) use assembly::STREAM_READERS;
use gds_core::agent::start::{self, ClusterStart, StartConfig, StartReport, Started, Stream, Surroundings};
use gds_core::agent::{Fault, SequencerOrders, SnapshotOrders};
use gds_core::counters::CounterSet;
use gds_core::cursor::{Cursor, Progress};
use gds_core::label::{SessionCounters, SessionName, counters_of, name_of};
use gds_core::query::CounterSets;
use gds_core::replication::learner::is_counted_on;
use gds_core::replication::{Leadership, NodeId, RegisterValue};
use gds_core::stages::{Stage, Stages};
use gds_core::store::StoreReader;
use gds_core::time::SECOND_NS;
use gds_nic::clock;
use gds_register::Keeper;
use gds_wire::session::Session;
pub(crate) use ports::{Ports, open};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a stop waits for the agents to catch up before it closes the journals as they are.
const DRAIN_NS: u64 = 10 * SECOND_NS;
/// How long a stop waits for the end-of-session train of an ended stream.
const END_NS: u64 = 8 * SECOND_NS;

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Ingress groups.
    pub ingress: Vec<SocketAddrV4>,
    /// The stream.
    pub downstream: SocketAddrV4,
    /// The acknowledgements.
    pub acknowledgements: SocketAddrV4,
    /// Request packets.
    pub rewinder: SocketAddrV4,
    /// SoupBinTCP.
    pub query: SocketAddrV4,
}

impl Addresses {
    /// As configured; `node` is the address of the node's interface.
    pub fn of(config: &Config, node: Ipv4Addr) -> Self {
        let network = &config.network;
        Self {
            ingress: network
                .ingress_groups
                .iter()
                .map(|group| SocketAddrV4::new(*group, network.ingress_port))
                .collect(),
            downstream: SocketAddrV4::new(network.downstream_group, network.downstream_port),
            acknowledgements: SocketAddrV4::new(network.acknowledgement_group, network.acknowledgement_port),
            rewinder: SocketAddrV4::new(node, network.rewinder_port),
            query: SocketAddrV4::new(node, network.query_port),
        }
    }
}

/// A running node.
pub struct Node {
    crew: Crew,
    bus: Stream,
    acknowledgements: Stream,
    addresses: Addresses,
    orders: Arc<SequencerOrders>,
    reader: StoreReader,
    counters: CounterSets,
    notices: Vec<String>,
    report: StartReport,
    stages_file: PathBuf,
    leadership: Arc<Leadership>,
    /// Gives its snapshots to others, in a cluster.
    _giver: Option<Giver>,
    /// Asks the register, in a cluster.
    keeper: Option<Arc<Keeper>>,
    /// Looks after the ring file, where there is one.
    ring_watch: Option<RingWatch>,
    /// Answers on the control socket, and has the directory.
    _control: Control,
    /// Held open, where so configured, and never looked at.
    _awake: Option<File>,
}

impl Node {
    /// Starts a node: recovers, replays, opens its ports, and puts its agents on their cores. `watcher` is told what takes long of it, and
    /// may end it.
    pub fn start(config: &Config, watcher: &mut Watcher<'_>) -> Result<Self, StartError> {
        Self::start_cut(config, None, watcher)
    }

    /// The same for a member of a cluster whose log must first be cut back after a message, as [`Node::cut_after`] said of its last life.
    pub fn start_cut(
        config: &Config,
        cut_after: Option<u64>,
        watcher: &mut Watcher<'_>,
    ) -> Result<Self, StartError> {
        let findings = check::findings(config);
        if !findings.is_empty() {
            return Err(StartError::Fault(Fault(findings.join("\n"))));
        }
        let mut place = Place::open(config, watcher).map_err(StartError::Fault)?;
        Self::start_at(config, cut_after, &mut place).map_err(|fault| match place.is_stopped() {
            true => StartError::Stopped,
            false => StartError::Fault(fault),
        })
    }

    fn start_at(config: &Config, cut_after: Option<u64>, place: &mut Place<'_>) -> Result<Self, Fault> {
        let socket = ControlSocket::open(&config.stream.directory)?;
        let interface = settings::interface(config).resolve().map_err(Fault::from)?;
        let mut ports = Ports::open(config, interface.address)?;
        let (mut start_config, enrolment) = enrol(config, interface.address, cut_after, place)?;
        let memory = place.ring_memory(config)?;
        start_config.directory = place.directory_id(config)?;
        let stages = place.stages(config)?;
        let mut started = start::start(&start_config, memory, place).map_err(|fault| place.explain(fault))?;
        let membership = enrolment
            .map(|enrolment| ports.membership(config, interface.address, enrolment, &mut started))
            .transpose()?;
        let (keeper, membership) = membership.unzip();
        let keeper = keeper.map(Arc::new);
        let leadership = membership.as_ref().map_or_else(
            || Arc::new(Leadership::alone()),
            |membership| membership.replication.leadership().clone(),
        );

        let (bus, acknowledgements) = (started.bus.clone(), started.acknowledgements.clone());
        let reader = started.store.store().reader();
        let report = started.report.clone();
        let orders = Arc::<SequencerOrders>::default();
        let snapshot_orders = Arc::<SnapshotOrders>::default();
        let mut counters = component_counters(&started);
        counters.append(&mut unreadable::counters(&bus, &acknowledgements));
        counters.append(&mut ports.counters);
        counters.append(&mut session_counters(&report));
        place.ring_counts()?;
        let ring_watch = place.watch_ring(&orders, &bus)?;
        counters.extend(ring_watch.iter().map(RingWatch::counted));
        let addresses = Addresses::of(config, interface.address);
        let cores: Vec<Arc<CoreCounters>> = config.core.iter().map(|_| Arc::default()).collect();
        for (position, set) in cores.iter().enumerate() {
            counters.push((format!("core_{position}"), set.clone() as Arc<dyn CounterSet>));
        }
        let doorbells = ports.doorbells;
        let mut assembly = Assembly {
            config,
            place,
            orders: &orders,
            snapshot_orders: &snapshot_orders,
            leadership: &leadership,
            counters: &mut counters,
        };
        let giver = membership
            .as_ref()
            .map(|membership| assembly.giver(&bus, membership, interface.address))
            .transpose()?;
        let mut agents = assembly.agents(started, ports.udp, membership)?;
        let mut seat = |(name, next): (AgentName, Option<&AgentName>)| Seat {
            agent: agents.remove(&name).expect("the check has seen it"),
            stamp: stamp(name, &stages, &bus, &acknowledgements),
            rings_with_next: name.publishes() && next.is_some_and(|next| next.publishes()),
        };
        let plan = |(core, counters): (&config::Core, Arc<CoreCounters>)| {
            let names = core.agents.iter().filter(|name| settings::is_there(config, **name));
            let behind = names.clone().skip(1).map(Some).chain([None]);
            CorePlan {
                core: core.clone(),
                counters,
                doorbell: core.agents.first().map(|name| doorbells[name].clone()).unwrap_or_default(),
                agents: names.copied().zip(behind).map(&mut seat).collect(),
            }
        };
        let crew = Crew::start(config.core.iter().zip(cores).map(plan).collect())?;
        let mut notices = place.take_notices();
        notices.append(&mut ports.notices);
        notices.extend(report.notices.iter().cloned());
        notices.extend(loss_notice(config));
        notices.extend(durable_writes_notice(config));
        let awake = config.tuning.hold_cpu_dma_latency.then(keep_awake).transpose();
        let awake = awake.unwrap_or_else(|why| {
            notices.push(why);
            None
        });
        let stages_file = stages_file(config)?;
        let control = Controlled {
            stream: bus.name,
            member: settings::cluster_node(config),
            leadership: leadership.clone(),
            orders: orders.clone(),
            counters: counters.clone(),
            keeper: keeper.clone(),
        };
        let control = Control::serve(socket, control)?;
        Ok(Self {
            crew,
            bus,
            acknowledgements,
            addresses,
            orders,
            reader,
            counters,
            notices,
            report,
            stages_file,
            leadership,
            _giver: giver,
            keeper,
            ring_watch,
            _control: control,
            _awake: awake,
        })
    }

    /// Its role in its cluster; one that is alone leads always.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Behind which message its log must be cut back, once a leader has something else there: then it stops by itself, and is started again
    /// with [`Node::start_cut`].
    pub fn cut_after(&self) -> Option<u64> {
        self.leadership.cut_after()
    }

    /// Whether the leader keeps no more what it needs next: then it stops by itself, and is started again, which takes another node's snapshot.
    pub fn must_relearn(&self) -> bool {
        self.leadership.must_relearn()
    }

    /// What an operator should see to while the node goes on; empty: nothing.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = unreadable::lines([&self.bus, &self.acknowledgements]);
        troubles.extend(self.ring_watch.as_ref().and_then(RingWatch::trouble));
        let counters = standing::values(&self.counters);
        troubles.extend(holding::findings(&counters));
        troubles.extend(standing::findings(&counters));
        troubles.extend(self.register_trouble());
        troubles
    }

    /// Whether the register has another session name for the stream: then it stops by itself, and is started again, under that name.
    pub fn must_rename(&self) -> bool {
        self.leadership.must_rename()
    }

    /// What is wrong with the register, if it did not answer when it was last asked.
    pub fn register_trouble(&self) -> Option<String> {
        self.keeper.as_ref().and_then(|keeper| keeper.trouble())
    }

    /// The bus.
    pub fn stream(&self) -> &Stream {
        &self.bus
    }

    /// The acknowledgements.
    pub fn acknowledgements(&self) -> &Stream {
        &self.acknowledgements
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Lock-free reads of its store, for whoever lives in the same process.
    pub fn reader(&self) -> &StoreReader {
        &self.reader
    }

    /// Everything it counts.
    pub fn counters(&self) -> &CounterSets {
        &self.counters
    }

    /// What an operator should know: what was wanted and not had.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What the start found.
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// Why it stopped by itself, if it did. Then [`Node::stop`] gives the same.
    pub fn fault(&self) -> Option<Fault> {
        self.crew.fault()
    }

    /// Ends the stream for good: a last message, then the end-of-session train; nothing can be added later. Does not wait.
    pub fn order_end(&self) {
        self.orders.end_stream.store(true, Ordering::Release);
    }

    /// [`Node::order_end`], and waits until the train has been sent.
    pub fn end_stream(&self) {
        self.order_end();
        let deadline_ns = clock::monotonic_ns() + END_NS;
        let finished =
            || self.bus.progress.finished.get() == 1 && self.acknowledgements.progress.finished.get() == 1;
        self.wait(deadline_ns, finished);
    }

    /// Stops in order: nothing more is taken, everything taken is applied, published, acknowledged and journalled, and the
    /// journals are closed.
    pub fn stop(self) -> Result<(), Fault> {
        self.orders.drain.store(true, Ordering::Release);
        let leads = self.leadership.is_leading();
        let caught_up = |stream: &Stream| {
            let progress = &stream.progress;
            // What is not committed is not for this node to wait for: a member that follows knows it when its leader says so.
            let shown = if leads { progress.sequenced.get() } else { progress.committed.get() };
            progress.journalled.get() == progress.sequenced.get() && progress.published.get() >= shown
        };
        let applied = || {
            let progress = &self.bus.progress;
            let last = if leads { progress.sequenced.get() } else { progress.committed.get() };
            progress.applied.get() >= last
        };
        let deadline_ns = clock::monotonic_ns() + DRAIN_NS;
        // One more lap of the sequencer may follow the order, so the first look is taken a moment later.
        std::thread::sleep(std::time::Duration::from_millis(2));
        self.wait(deadline_ns, || applied() && caught_up(&self.bus) && caught_up(&self.acknowledgements));
        let closed = self.crew.close();
        // The stages are those of a node that runs. Where they cannot be removed, the next start writes them anew.
        let _ = std::fs::remove_file(&self.stages_file);
        closed
    }

    fn wait(&self, deadline_ns: u64, done: impl Fn() -> bool) {
        while !done() && clock::monotonic_ns() < deadline_ns && self.crew.fault().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// Ten digits, the Unix time: how a Genium venue names its streams.
fn new_stream() -> Session {
    name_of(clock::wall_ns() / SECOND_NS)
}

/// What the start is to begin with. For a member of a cluster the register is read first: it names the stream.
fn enrol(
    config: &Config,
    own: Ipv4Addr,
    cut_after: Option<u64>,
    place: &mut Place<'_>,
) -> Result<(StartConfig, Option<Enrolment>), Fault> {
    let new_stream = new_stream();
    let mut start = settings::start(config, place.boot_id(), new_stream);
    let Some(node) = settings::cluster_node(config) else { return Ok((start, None)) };
    arrival::settle(config)?;
    let is_empty = place.is_empty()?;
    let has_lived = place.life()?.is_some();
    let begins = Begins { new_stream, is_empty, has_lived };
    let enrolment = Enrolment::of(config, begins, &mut |step| place.watch(step))?;
    let relearned = relearn(config, own, node, &enrolment.value, place)?;
    let cluster = ClusterStart::of(node, &enrolment.value, place.life()?, place.now());
    start.stream = Some(enrolment.value.stream);
    start.sessions = Some(enrolment.value.sessions.clone());
    // What is to be cut is gone where a snapshot took its place.
    start.cluster = Some(ClusterStart { cut_after: cut_after.filter(|_| !relearned), ..cluster });
    Ok((start, Some(enrolment)))
}

/// A node that nobody counts on takes another one's snapshot, if that is the better way or the only one. Whether it did.
fn relearn(
    config: &Config,
    own: Ipv4Addr,
    node: NodeId,
    register: &RegisterValue,
    place: &mut Place<'_>,
) -> Result<bool, Fault> {
    if register.epoch == 0 || is_counted_on(register, node, place.life()?) {
        return arrival::discard(config).map(|()| false);
    }
    let (stream, committed) = (register.stream, place.committed(register.stream)?);
    let learner = Learner { config, own, stream, leader: Some(register.leader), committed };
    match learner.fetch(&mut |step| place.watch(step)) {
        Ok(None) => arrival::discard(config).map(|()| false),
        Ok(Some(fetched)) => {
            place.note(fetched.to_string());
            arrival::settle(config)
        }
        Err(why) if place.is_stopped() => Err(Fault(why)),
        // What has come of it is there for the next start.
        Err(why) => {
            place.note(why);
            Ok(false)
        }
    }
}

/// Packets are lost on purpose, where so configured.
fn loss_notice(config: &Config) -> Option<String> {
    let loss = &config.loss;
    let per_mille = loss.ingress_per_mille
        + loss.downstream_per_mille
        + loss.acknowledgement_per_mille
        + loss.rewinder_per_mille;
    (per_mille > 0).then(|| "packets are dropped on purpose, as [loss] says".to_owned())
}

/// The kernel's workers finish durable writes, by preference on the processor that began them.
fn durable_writes_notice(config: &Config) -> Option<String> {
    let writes = |core: &&config::Core| core.agents.contains(&AgentName::Journal);
    let spins = config.core.iter().find(writes)?.idle == config::Idle::Spin;
    (config.stream.durability == config::Durability::Fsync && spins).then(|| {
        "the journal's core spins: unless a processor is free for the kernel's workers, durable writes wait for milliseconds; idle = \
         \"yield\" lets them in"
            .to_owned()
    })
}

/// What an agent's core notes of the stage that messages reach by it.
fn stamp(name: AgentName, stages: &Stages, bus: &Stream, acknowledgements: &Stream) -> Option<Stamp> {
    let (stage, stream, cursor): (_, _, fn(&Progress) -> &Cursor) = match name {
        AgentName::Sequencer => (Stage::Sequenced, bus, |progress| &progress.sequenced),
        AgentName::Store => (Stage::Applied, bus, |progress| &progress.applied),
        AgentName::AcknowledgementPublisher => {
            (Stage::Acknowledged, acknowledgements, |progress| &progress.published)
        }
        AgentName::Publisher => (Stage::Published, bus, |progress| &progress.published),
        AgentName::Journal => (Stage::Journalled, bus, |progress| &progress.journalled),
        AgentName::AcknowledgementJournal
        | AgentName::Rewinder
        | AgentName::Query
        | AgentName::ReplicaRewinder
        | AgentName::Snapshots => return None,
    };
    let last = bus.progress.sequenced.get();
    let progress = stream.progress.clone();
    Some(Stamp {
        receipts: (name == AgentName::Sequencer).then(|| stages.receipts(last)),
        // What is there already was received before this start.
        watch: stages.watch(stage, last),
        reached: Box::new(move || cursor(&progress).get()),
    })
}

/// The session names that the stream has had, for whoever knew an older one.
fn session_counters(report: &StartReport) -> CounterSets {
    let set = |known: &SessionName| {
        let counters = SessionCounters::default();
        counters.from.set(known.from);
        (counters_of(known.name), Arc::new(counters) as Arc<dyn CounterSet>)
    };
    report.sessions.names().iter().map(set).collect()
}

fn component_counters<D: gds_core::disk::Disk>(started: &Started<D>) -> CounterSets {
    let sets: Vec<(&str, Arc<dyn CounterSet>)> = vec![
        ("ingress", started.sequencer.ingress().counters().clone()),
        ("sequencer", started.sequencer.counters().clone()),
        ("journal", started.journal.counters()),
        ("acknowledgement_journal", started.acknowledgement_journal.counters()),
        ("store", started.store.store().counters().clone()),
        ("store_agent", started.store.counters()),
        ("store_source", started.store.source().counters().clone()),
    ];
    sets.into_iter().map(|(name, set)| (name.to_owned(), set)).collect()
}
