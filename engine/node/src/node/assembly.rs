//! The agents of a node, made from what its start left and its ports.
use super::ports::open;
use crate::config::{AgentName, Config};
use crate::learning::giver::{Giver, Member, Shelf};
use crate::ports::{Datagrams, Files, Streams};
use crate::surroundings::Place;
use crate::{holding, settings};
use gds_core::agent::start::{JournalName, Started, Stream, Surroundings};
use gds_core::agent::{
    Agent, Fault, Membership, PublisherAgent, QueryAgent, ReplicaRewinderAgent, RewinderAgent, SegmentHold,
    SequencerAgent, SequencerOrders, SnapshotAgent, SnapshotDisks, SnapshotOrders,
};
use gds_core::bus::{FarRewinders, Publisher, PublisherConfig, RewindSource, Rewinder};
use gds_core::counters::CounterSet;
use gds_core::query::node_source::NodeSource;
use gds_core::query::{CounterSets, QueryConfig, QueryServer};
use gds_core::replication::{Leadership, ReplicaRewinder};
use gds_core::store::StoreReader;
use gds_nic::{TcpPort, clock};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// Places in the stream that the query server reads at, at a time, without seeking.
pub(crate) const STREAM_READERS: usize = 4;

/// What agents are made from.
pub(super) struct Assembly<'a, 'b> {
    pub(super) config: &'a Config,
    pub(super) place: &'a mut Place<'b>,
    pub(super) orders: &'a Arc<SequencerOrders>,
    pub(super) snapshot_orders: &'a Arc<SnapshotOrders>,
    pub(super) leadership: &'a Arc<Leadership>,
    pub(super) counters: &'a mut CounterSets,
}

/// The agents of a node, by their names.
pub(super) type Agents = BTreeMap<AgentName, Box<dyn Agent + Send>>;

impl Assembly<'_, '_> {
    /// The thread that gives snapshots away; the folder of the snapshots is there from here on, where they are taken.
    pub(super) fn giver(
        &mut self,
        bus: &Stream,
        membership: &Membership<Datagrams>,
        own: Ipv4Addr,
    ) -> Result<Giver, Fault> {
        if settings::is_there(self.config, AgentName::Snapshots) {
            drop(self.place.snapshot_writer()?);
        }
        let shelf = Shelf {
            snapshots: self.place.snapshots().map_err(Fault::from)?,
            bus: self.disk(JournalName::Bus)?,
            acknowledgements: self.disk(JournalName::Acknowledgements)?,
        };
        let member = Member {
            config: self.config.clone(),
            own,
            bus: bus.clone(),
            leadership: self.leadership.clone(),
            replication: membership.replication.counters().clone(),
            orders: self.snapshot_orders.clone(),
        };
        let giver = Giver::start(member, shelf)?;
        self.count("snapshot_giver", giver.counters().clone());
        Ok(giver)
    }

    /// All agents that the configuration asks for, and what each counts.
    pub(super) fn agents(
        mut self,
        mut started: Started<Files>,
        mut udp: BTreeMap<AgentName, Datagrams>,
        membership: Option<Membership<Datagrams>>,
    ) -> Result<Agents, Fault> {
        let port = |udp: &mut BTreeMap<AgentName, Datagrams>, name| {
            udp.remove(&name).expect("every UDP agent has its port")
        };
        let mut agents = Agents::new();
        let (bus, acknowledgements) = (started.bus.clone(), started.acknowledgements.clone());
        let publisher = self.publisher(&bus, AgentName::Publisher);
        let disk = self.disk(JournalName::Bus)?;
        let publisher =
            PublisherAgent::new(publisher, port(&mut udp, AgentName::Publisher), disk, bus.progress.clone());
        agents.insert(AgentName::Publisher, Box::new(publisher.led_by(self.leadership.clone())));
        let publisher = self.publisher(&acknowledgements, AgentName::AcknowledgementPublisher);
        let disk = self.disk(JournalName::Acknowledgements)?;
        let progress = acknowledgements.progress.clone();
        let publisher = PublisherAgent::new(
            publisher,
            port(&mut udp, AgentName::AcknowledgementPublisher),
            disk,
            progress,
        );
        agents.insert(
            AgentName::AcknowledgementPublisher,
            Box::new(publisher.ending_with(bus.progress.clone()).led_by(self.leadership.clone())),
        );

        let rewinder = self.rewinder(&bus, &acknowledgements);
        let disks = (self.disk(JournalName::Bus)?, self.disk(JournalName::Acknowledgements)?);
        let rewinder = RewinderAgent::new(rewinder, port(&mut udp, AgentName::Rewinder), disks.0, disks.1);
        agents.insert(AgentName::Rewinder, Box::new(rewinder));

        if settings::is_there(self.config, AgentName::Snapshots) {
            let mut snapshots = self.snapshots(&mut started, [&bus, &acknowledgements])?;
            if let Some(port) = udp.remove(&AgentName::Snapshots) {
                snapshots = snapshots.holding(self.hold([&bus, &acknowledgements], port)?);
            }
            agents.insert(AgentName::Snapshots, Box::new(snapshots));
        }

        // Last of those that count: it lists all counters there are.
        let query = self.query(&bus, started.store.store().reader())?;
        agents.insert(AgentName::Query, Box::new(query));

        let mut sequencer =
            SequencerAgent::new(started.sequencer, port(&mut udp, AgentName::Sequencer), self.orders.clone());
        if let Some(membership) = membership {
            let disk = self.disk(JournalName::Bus)?;
            let rewinder = self.replica_rewinder(&bus, &membership);
            let rewinder =
                ReplicaRewinderAgent::new(rewinder, port(&mut udp, AgentName::ReplicaRewinder), disk);
            agents.insert(AgentName::ReplicaRewinder, Box::new(rewinder));
            sequencer = sequencer.with_membership(membership);
        }
        agents.insert(AgentName::Sequencer, Box::new(sequencer));
        agents.insert(AgentName::Store, Box::new(started.store));
        agents.insert(AgentName::Journal, Box::new(started.journal));
        agents.insert(AgentName::AcknowledgementJournal, Box::new(started.acknowledgement_journal));
        Ok(agents)
    }

    fn disk(&mut self, journal: JournalName) -> Result<Files, Fault> {
        self.place.disk(journal).map_err(Fault::from)
    }

    fn snapshots(
        &mut self,
        started: &mut Started<Files>,
        streams: [&Stream; 2],
    ) -> Result<SnapshotAgent<Files>, Fault> {
        let disks = SnapshotDisks {
            snapshots: self.place.snapshot_writer()?,
            bus: self.disk(JournalName::Bus)?,
            acknowledgements: self.disk(JournalName::Acknowledgements)?,
        };
        let agent = SnapshotAgent::new(
            settings::snapshots(self.config),
            streams.map(|stream| (stream.session, stream.progress.clone())),
            started.store.offer_images(),
            std::mem::take(&mut started.snapshots),
            disks,
            self.snapshot_orders.clone(),
        );
        self.count(AgentName::Snapshots.as_str(), agent.counters().clone());
        Ok(agent)
    }

    /// For whom old segments are held.
    fn hold(&mut self, streams: [&Stream; 2], port: Datagrams) -> Result<SegmentHold, Fault> {
        let interface = settings::interface(self.config).resolve().map_err(Fault::from)?;
        let far = settings::segments_wait_for(self.config, interface.address);
        let rewinders = FarRewinders::new(&far, streams.map(|stream| stream.name), Box::new(port));
        for (address, counters) in rewinders.counters() {
            self.counters.push((holding::set_of(address), counters.clone()));
        }
        Ok(SegmentHold { rewinders, bytes_max: self.config.journal.rewinder_hold_bytes })
    }

    fn publisher(&mut self, stream: &Stream, name: AgentName) -> Publisher {
        let network = &self.config.network;
        let (group, bus_messages) = match name {
            AgentName::Publisher => {
                (SocketAddrV4::new(network.downstream_group, network.downstream_port), true)
            }
            _ => (SocketAddrV4::new(network.acknowledgement_group, network.acknowledgement_port), false),
        };
        let settings = PublisherConfig {
            payload_bytes_max: network.max_payload_bytes,
            bus_messages,
            ..PublisherConfig::new(stream.name, group)
        };
        // A member may have more in its log than is committed yet.
        let from = stream.publish_from.min(stream.progress.committed.get() + 1);
        let publisher = Publisher::new(settings, stream.reader(from));
        self.count(name.as_str(), publisher.counters().clone());
        self.count(&format!("{}_source", name.as_str()), publisher.reader().counters().clone());
        publisher
    }

    fn rewinder(&mut self, bus: &Stream, acknowledgements: &Stream) -> Rewinder {
        let source = |stream: &Stream| {
            let progress = stream.progress.clone();
            let limit = Box::new(move || progress.committed.get());
            RewindSource { session: stream.name, reader: stream.reader(1), limit }
        };
        let rewinder =
            Rewinder::new(settings::rewinder(self.config), vec![source(bus), source(acknowledgements)]);
        self.count(AgentName::Rewinder.as_str(), rewinder.counters().clone());
        rewinder
    }

    fn replica_rewinder(&mut self, bus: &Stream, membership: &Membership<Datagrams>) -> ReplicaRewinder {
        let settings = membership.replication.rewinder_config();
        let rewinder =
            ReplicaRewinder::new(settings, bus.reader(1), bus.progress.clone(), self.leadership.clone());
        self.count(AgentName::ReplicaRewinder.as_str(), rewinder.counters().clone());
        rewinder
    }

    fn query(&mut self, bus: &Stream, reader: StoreReader) -> Result<QueryAgent<Streams, Files>, Fault> {
        let interface = settings::interface(self.config).resolve().map_err(Fault::from)?;
        let address = SocketAddrV4::new(interface.address, self.config.network.query_port);
        let port = open(|| TcpPort::listen(address, settings::tcp(self.config)))?;
        let settings = QueryConfig { seed: clock::wall_ns(), ..settings::query(self.config) };
        // Several readers, so that ranges and watches far apart do not make one run back and forth.
        let readers = (0..STREAM_READERS).map(|_| bus.reader(1)).collect();
        let source = NodeSource::new(reader, readers, bus.progress.clone());
        let users = settings::users(self.config);
        let server =
            QueryServer::with_source(settings, users, bus.name, Box::new(source), self.counters.clone());
        self.count(AgentName::Query.as_str(), server.counters().clone());
        Ok(QueryAgent::new(server, Streams(port), self.disk(JournalName::Bus)?, bus.progress.clone()))
    }

    fn count(&mut self, name: &str, set: Arc<dyn CounterSet>) {
        self.counters.push((name.to_owned(), set));
    }
}
