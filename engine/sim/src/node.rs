//! One process of a node: the engine's own agents over the simulated network and disks.
mod member;

use crate::death::SharedDeath;
use crate::disk::{SharedPlatter, SimulatedDisk};
use crate::machine::MemberConfig;
use crate::network::{SharedNetwork, SimulatedPort, SimulatedStreams};
use crate::plan::{
    ACKNOWLEDGEMENTS, DOWNSTREAM, DOWNSTREAM_B, INGRESS_A, INGRESS_B, NodePort, Plan, node_address, pick,
};
use crate::register::SharedRegister;
use gds_core::agent::start::{StartReport, Started, Stream};
use gds_core::agent::{
    Agent, Fault, JournalAgent, PublisherAgent, QueryAgent, RewinderAgent, SequencerAgent, SequencerOrders,
    SnapshotAgent, SnapshotDisks, StoreAgent,
};
use gds_core::bus::{Publisher, PublisherConfig, RewindSource, Rewinder, RewinderConfig};
use gds_core::counters::CounterSet;
use gds_core::query::node_source::NodeSource;
use gds_core::query::{QueryConfig, QueryServer, User, Users};
use gds_core::random::Random;
use gds_core::replication::Digests;
use gds_core::time::{MILLISECOND_NS, SECOND_NS, Time};
use gds_wire::declaration::Declaration;
use member::Member;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// The agents, in the order of the stream's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the agents")]
pub enum AgentName {
    Sequencer,
    Journal,
    Store,
    AcknowledgementJournal,
    Publisher,
    AcknowledgementPublisher,
    Rewinder,
    Query,
    /// Of a member of a cluster.
    ReplicaRewinder,
    Snapshots,
}

impl AgentName {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Sequencer,
        Self::Journal,
        Self::Store,
        Self::AcknowledgementJournal,
        Self::Publisher,
        Self::AcknowledgementPublisher,
        Self::Rewinder,
        Self::Query,
        Self::ReplicaRewinder,
        Self::Snapshots,
    ];
}

/// What a process is made over.
pub struct Parts<'a> {
    /// Which node it is, from 0.
    pub node: usize,
    /// The bus journal's disk.
    pub bus: &'a SharedPlatter,
    /// The acknowledgement journal's disk.
    pub acknowledgements: &'a SharedPlatter,
    /// The disk of the snapshots.
    pub snapshots: &'a SharedPlatter,
    /// The network.
    pub network: &'a SharedNetwork,
    /// The process's life.
    pub death: &'a SharedDeath,
    /// What it is told of its cluster, if it is in one.
    pub member: Option<&'a MemberConfig>,
    /// The register.
    pub register: &'a SharedRegister,
    /// What it may have to declare.
    pub declaration: &'a Declaration,
    /// The time.
    pub now: Time,
    /// For what it draws.
    pub seed: u64,
}

/// The named counter sets of a process.
type CounterSets = Vec<(&'static str, Arc<dyn CounterSet>)>;

/// A running process.
pub struct Node {
    /// The bus.
    pub bus: Stream,
    /// The acknowledgements.
    pub acknowledgements: Stream,
    /// Its life.
    pub death: SharedDeath,
    /// What its start found.
    pub report: StartReport,
    /// What the sequencer is told.
    pub orders: Arc<SequencerOrders>,
    /// Its store.
    pub store: StoreAgent<SimulatedDisk>,
    sequencer: SequencerAgent<SimulatedPort>,
    journal: JournalAgent<SimulatedDisk>,
    acknowledgement_journal: JournalAgent<SimulatedDisk>,
    publisher: PublisherAgent<SimulatedPort, SimulatedDisk>,
    acknowledgement_publisher: PublisherAgent<SimulatedPort, SimulatedDisk>,
    rewinder: RewinderAgent<SimulatedPort, SimulatedDisk>,
    query: QueryAgent<SimulatedStreams, SimulatedDisk>,
    snapshots: SnapshotAgent<SimulatedDisk>,
    member: Option<Member>,
    counters: CounterSets,
}

impl Node {
    /// Puts a started node together.
    pub fn assemble(plan: &Plan, started: Started<SimulatedDisk>, parts: &Parts<'_>) -> Self {
        let random = &mut Random::new(parts.seed);
        let Started {
            bus,
            acknowledgements,
            sequencer,
            journal,
            acknowledgement_journal,
            mut store,
            report,
            snapshots,
            member,
        } = started;
        let port = |port, groups: &[SocketAddrV4]| {
            let address = node_address(parts.node, port);
            SimulatedPort::open(parts.network, address, groups, Some(parts.death.clone()))
        };
        let bus_disk = || SimulatedDisk::new(parts.bus, Some(parts.death.clone()));
        let acknowledgement_disk = || SimulatedDisk::new(parts.acknowledgements, Some(parts.death.clone()));
        let publisher = publisher(plan, &bus, DOWNSTREAM, true, random);
        let acknowledgement_publisher =
            self::publisher(plan, &acknowledgements, ACKNOWLEDGEMENTS, false, random);
        let rewinder = rewinder(plan, &bus, &acknowledgements, random);
        let server = query_server(&bus, &store, random);
        let mut counters: CounterSets = vec![
            ("ingress", sequencer.ingress().counters().clone()),
            ("sequencer", sequencer.counters().clone()),
            ("journal", journal.counters()),
            ("acknowledgement_journal", acknowledgement_journal.counters()),
            ("store", store.store().counters().clone()),
            ("store_agent", store.counters()),
            ("store_source", store.source().counters().clone()),
            ("publisher", publisher.counters().clone()),
            ("publisher_source", publisher.reader().counters().clone()),
            ("acknowledgement_publisher", acknowledgement_publisher.counters().clone()),
            ("acknowledgement_publisher_source", acknowledgement_publisher.reader().counters().clone()),
            ("rewinder", rewinder.counters().clone()),
            ("rewinder_source", rewinder.sources()[0].reader.counters().clone()),
            ("query", server.counters().clone()),
        ];
        let disks = SnapshotDisks {
            snapshots: SimulatedDisk::new(parts.snapshots, Some(parts.death.clone())),
            bus: bus_disk(),
            acknowledgements: acknowledgement_disk(),
        };
        let streams = [&bus, &acknowledgements].map(|stream| (stream.session, stream.progress.clone()));
        let port_of_images = store.offer_images();
        let snapshots =
            SnapshotAgent::new(plan.snapshots, streams, port_of_images, snapshots, disks, Arc::default());
        counters.push(("snapshots", snapshots.counters().clone()));
        let orders: Arc<SequencerOrders> = Arc::default();
        let ingress = port(NodePort::Ingress, &[INGRESS_A, INGRESS_B]);
        let (sequencer, member) = match member.zip(parts.member) {
            None => (SequencerAgent::new(sequencer, ingress, orders.clone()), None),
            Some((begun, config)) => {
                let digests = Arc::new(Digests::new(*pick(random, &[1, 8, 64])));
                store.note_digests(digests.clone());
                let (member, mut membership) = Member::assemble(
                    plan,
                    (begun, report.sessions.clone()),
                    config,
                    &bus,
                    parts,
                    &mut counters,
                );
                membership.replication = membership.replication.comparing(digests);
                let agent = SequencerAgent::new(sequencer.following(), ingress, orders.clone());
                (agent.with_membership(membership), Some(member))
            }
        };
        let acknowledgement_publisher = PublisherAgent::new(
            acknowledgement_publisher,
            port(NodePort::AcknowledgementPublisher, &[]),
            acknowledgement_disk(),
            acknowledgements.progress.clone(),
        );
        let queries = node_address(parts.node, NodePort::Queries);
        let streams = SimulatedStreams::listen(parts.network, queries, parts.death.clone());
        let rewinder_port = port(NodePort::Rewinder, &[]);
        let publisher_port = port(NodePort::Publisher, &[]);
        let mut publisher = PublisherAgent::new(publisher, publisher_port, bus_disk(), bus.progress.clone());
        let mut acknowledgement_publisher = acknowledgement_publisher.ending_with(bus.progress.clone());
        if let Some(Member { leadership, .. }) = &member {
            publisher = publisher.led_by(leadership.clone());
            acknowledgement_publisher = acknowledgement_publisher.led_by(leadership.clone());
        }
        Self {
            sequencer,
            publisher,
            acknowledgement_publisher,
            rewinder: RewinderAgent::new(rewinder, rewinder_port, bus_disk(), acknowledgement_disk()),
            query: QueryAgent::new(server, streams, bus_disk(), bus.progress.clone()),
            death: parts.death.clone(),
            bus,
            acknowledgements,
            report,
            orders,
            journal,
            acknowledgement_journal,
            store,
            snapshots,
            member,
            counters,
        }
    }

    /// One duty cycle of one agent.
    pub fn duty(&mut self, agent: AgentName, now: Time) -> Result<usize, Fault> {
        self.carry(agent);
        let done = self.agent(agent).map_or(Ok(0), |agent| agent.duty(now));
        self.carry(agent);
        done
    }

    /// The sequencer's agent talks to the register.
    fn carry(&mut self, agent: AgentName) {
        if let Some(member) = self.member.as_mut().filter(|_| agent == AgentName::Sequencer) {
            member.line.carry(self.death.borrow().is_dead());
        }
    }

    /// Closes all agents in order.
    pub fn close(&mut self, now: Time) -> Result<(), Fault> {
        AgentName::ALL.iter().try_for_each(|&agent| self.agent(agent).map_or(Ok(()), |it| it.close(now)))
    }

    /// Whether everything taken is applied, journalled and published; of a member, journalled: what is not committed others may commit.
    pub fn caught_up(&self) -> bool {
        if self.member.is_some() {
            return [&self.bus, &self.acknowledgements]
                .into_iter()
                .all(|stream| stream.progress.journalled.get() == stream.progress.sequenced.get());
        }
        let applied = self.bus.progress.applied.get() == self.bus.progress.sequenced.get();
        applied
            && [&self.bus, &self.acknowledgements].into_iter().all(|stream| {
                let last = stream.progress.sequenced.get();
                stream.progress.journalled.get() == last && stream.progress.published.get() == last
            })
    }

    /// Both trains of ends have been sent to their end.
    pub fn finished(&self) -> bool {
        self.bus.progress.finished.get() == 1 && self.acknowledgements.progress.finished.get() == 1
    }

    /// The epoch in which it leads, if it does. A node that is alone leads in none.
    pub fn leads(&self) -> Option<u32> {
        let membership = self.sequencer.membership()?;
        membership.replication.is_leading().then(|| membership.replication.epoch())
    }

    /// The newest epoch it knows; 0 without a cluster.
    pub fn epoch(&self) -> u32 {
        self.sequencer.membership().map_or(0, |membership| membership.replication.epoch())
    }

    /// Its incarnation; 0 without a cluster.
    pub fn incarnation(&self) -> u64 {
        self.member.as_ref().map_or(0, |member| member.life.incarnation)
    }

    /// Since which incarnation it has lost nothing.
    pub fn whole_since(&self) -> u64 {
        self.member.as_ref().map_or(0, |member| member.life.whole_since)
    }

    /// Behind which entry its log must be cut back, if it must: it stopped for that.
    pub fn cut_after(&self) -> Option<u64> {
        self.member.as_ref().and_then(|member| member.leadership.cut_after())
    }

    /// Whether it stopped since the stream has another session name than the one it shows.
    pub fn must_rename(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.leadership.must_rename())
    }

    /// Shows every counter with its set's name.
    pub fn for_each_counter(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
        for (set, counters) in &self.counters {
            counters.for_each(&mut |name, _, value| visit(set, name, value));
        }
    }

    /// An agent, where there is one.
    fn agent(&mut self, agent: AgentName) -> Option<&mut dyn Agent> {
        Some(match agent {
            AgentName::ReplicaRewinder => {
                return self.member.as_mut().map(|it| &mut it.rewinder as &mut dyn Agent);
            }
            AgentName::Sequencer => &mut self.sequencer,
            AgentName::Journal => &mut self.journal,
            AgentName::Store => &mut self.store,
            AgentName::AcknowledgementJournal => &mut self.acknowledgement_journal,
            AgentName::Publisher => &mut self.publisher,
            AgentName::AcknowledgementPublisher => &mut self.acknowledgement_publisher,
            AgentName::Rewinder => &mut self.rewinder,
            AgentName::Query => &mut self.query,
            AgentName::Snapshots => &mut self.snapshots,
        })
    }
}

fn publisher(
    plan: &Plan,
    stream: &Stream,
    group: SocketAddrV4,
    bus_messages: bool,
    random: &mut Random,
) -> Publisher {
    let mut groups = vec![group];
    if bus_messages && plan.two_lines {
        groups.push(DOWNSTREAM_B);
    }
    let config = PublisherConfig {
        groups,
        payload_bytes_max: plan.payload_bytes_max,
        packets_max: *pick(random, &[1, 4, 64]),
        bus_messages,
        ..PublisherConfig::new(stream.name, group)
    };
    Publisher::new(config, stream.reader(stream.publish_from))
}

fn rewinder(plan: &Plan, bus: &Stream, acknowledgements: &Stream, random: &mut Random) -> Rewinder {
    let source = |stream: &Stream| {
        let progress = stream.progress.clone();
        let limit = Box::new(move || progress.committed.get());
        RewindSource { session: stream.name, reader: stream.reader(1), limit }
    };
    let config = RewinderConfig {
        payload_bytes_max: plan.payload_bytes_max,
        bytes_per_second: *pick(random, &[1_000_000, 1_000_000_000]),
        burst_bytes: *pick(random, &[3_000, 1 << 20]),
        requesters_max: *pick(random, &[8, 64]),
        requests_max: *pick(random, &[2, 64]),
    };
    Rewinder::new(config, vec![source(bus), source(acknowledgements)])
}

fn query_server(bus: &Stream, store: &StoreAgent<SimulatedDisk>, random: &mut Random) -> QueryServer {
    let mut config = QueryConfig {
        connections_max: 4,
        sessions_max: 4,
        streams_max: 4,
        waits_max: 4,
        keys_max: 4,
        request_bytes_max: 2_000,
        request_buffer_bytes: 4_000,
        slices_per_duty: *pick(random, &[1, 8]),
        answer_bytes_max: *pick(random, &[2_000, 8_000]),
        heartbeat_ns: 100 * MILLISECOND_NS,
        silence_ns: 2 * SECOND_NS,
        slow_reader_ns: *pick(random, &[20 * MILLISECOND_NS, SECOND_NS]),
        wait_ns: *pick(random, &[5 * MILLISECOND_NS, 5 * SECOND_NS]),
        seed: random.next_u64(),
        ..QueryConfig::default()
    };
    config.retained_bytes = config.retained_bytes_min();
    let users = Users::new(vec![User::all("reader", "secret")]);
    let readers = (0..2).map(|_| bus.reader(1)).collect();
    let source = NodeSource::new(store.store().reader(), readers, bus.progress.clone());
    QueryServer::with_source(config, users, bus.name, Box::new(source), Vec::new())
}
