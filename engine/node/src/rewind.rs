//! A node that is a rewinder and nothing else: it stands near receivers, keeps the whole stream, and answers their request packets.
//!
//! It hears the downstream and the acknowledgement group like any other receiver, fills what it missed from other rewinders, and so has, in order
//! and without a hole, what was published, which is only what is committed. Both streams go through a ring into a journal each, in the folder
//! `rewinder` of `stream.directory`, and are answered from there by the same agent as in a node. It knows nothing of the store, of clients or of who leads.
//!
//! A process that dies leaves its journals, and the next goes on behind them. Whatever the stream's durability, nothing is synced message by
//! message: what a power cut takes off the journals' ends is asked for again. An empty directory is begun with message 1, or with the
//! first message that the other rewinders still have ([`first_kept`]).
//!
//! The layout is that of a node: in the place of `sequencer` stands the agent that receives the stream, in the place of `store` the one for the acknowledgements;
//! publishers, replica_rewinder and snapshots are not there.
mod early;
mod first_kept;
mod hearing;
mod trouble;

pub use trouble::Watch;

use crate::config::{self, AgentName, Config};
use crate::control::DirectoryLock;
use crate::crew::{CoreCounters, CorePlan, Crew, Seat};
use crate::node::{Addresses, Ports, STREAM_READERS, open};
use crate::ports::{Datagrams, Files, Streams};
use crate::step::unwatched;
use crate::surroundings::Place;
use crate::{check, settings, unreadable};
use early::Early;
use gds_core::agent::start::{
    JournalName, Kept, KeptRing, Stream, Surroundings, acknowledgement_session, open_kept, recover_kept,
};
use gds_core::agent::{Agent, Fault, ListenerAgent, ListenerBounds, QueryAgent, RewinderAgent};
use gds_core::bus::{ReceiverConfig, RewindSource, Rewinder};
use gds_core::counters::CounterSet;
use gds_core::memory::ring::{Ring, RingConfig};
use gds_core::memory::words::WORD_BYTES;
use gds_core::query::kept_source::KeptSource;
use gds_core::query::{CounterSets, QueryConfig, QueryServer};
use gds_core::time::SECOND_NS;
use gds_nic::{Doorbell, PagePolicy, Pages, TcpPort, UdpConfig, clock};
use gds_wire::acknowledgement::ACKNOWLEDGEMENT_BYTES;
use gds_wire::envelope::ENVELOPE_BYTES;
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a start waits for a process that has just been killed.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// The longest datagram received, whatever its sender's network.max_payload_bytes.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// Is told what a start waits for, and says whether to wait on.
pub type Waiting<'a> = dyn FnMut(&str) -> bool + 'a;

/// A running rewinder.
pub struct RewindNode {
    crew: Crew,
    streams: [Stream; 2],
    first_kept: [u64; 2],
    directory: PathBuf,
    addresses: Addresses,
    rewinders: Vec<SocketAddrV4>,
    counters: CounterSets,
    notices: Vec<String>,
    watch: Watch,
    _lock: DirectoryLock,
}

impl RewindNode {
    /// Starts a rewinder: recovers its journals, finds out what it has to keep where there is none yet, opens its ports, and puts its agents on their
    /// cores. `waiting` is called again and again while nothing is heard of the stream, or nobody answers.
    ///
    /// # Errors
    /// When it cannot start, or is told not to wait on.
    pub fn start(config: &Config, waiting: &mut Waiting<'_>) -> Result<Self, Fault> {
        Self::start_accepting(config, None, waiting)
    }

    /// The same with this session of the stream, if one is given: what is kept of another one is set aside first, in a folder of its own.
    ///
    /// # Errors
    /// As [`RewindNode::start`].
    pub fn start_accepting(
        config: &Config,
        accepted: Option<Session>,
        waiting: &mut Waiting<'_>,
    ) -> Result<Self, Fault> {
        let findings = check::findings(config);
        if !findings.is_empty() {
            return Err(Fault(findings.join("\n")));
        }
        let config = &of_a_rewinder(config);
        let interface = settings::interface(config).resolve().map_err(Fault::from)?.address;
        let addresses = Addresses::of(config, interface);
        let rewinders = others(config, addresses.rewinder)?;
        let mut watcher = unwatched;
        let mut place = Place::open(config, &mut watcher)?;
        let lock = DirectoryLock::take(&config.stream.directory, LOCK_WAIT)?;
        let groups = [addresses.downstream, addresses.acknowledgements];
        let mut early = Early { config, interface, rewinders: &rewinders, waiting };

        let named = accepted.or(Session::padded(&config.stream.session));
        if let Some(session) = accepted {
            accept(session, config, &mut place)?;
        }
        let mut journal = recover_kept(JournalName::Bus, named, &mut place)?;
        let session = match journal.recovered().stream.or(named) {
            Some(session) => session,
            None => early.name_of_the_stream(groups[0])?,
        };
        let outcomes = acknowledgement_session(session);
        let mut outcome_journal = recover_kept(JournalName::Acknowledgements, Some(outcomes), &mut place)?;
        early.begin(&mut journal, session, groups[0])?;
        early.begin(&mut outcome_journal, outcomes, groups[1])?;
        let first_kept = [journal.recovered().first, outcome_journal.recovered().first];

        let mut ports = Ports::none();
        let mut ports_of = |group, name| StreamPorts::open(config, interface, group, name, &mut ports);
        let bus = ports_of(groups[0], "listener")?;
        let acknowledgements = ports_of(groups[1], "acknowledgement_listener")?;
        let mut assembly = Assembly { config, place, counters: CounterSets::new(), rewinders: &rewinders };
        let parts = [
            (journal, session, bus, ENVELOPE_BYTES, settings::ring(config)),
            (
                outcome_journal,
                outcomes,
                acknowledgements,
                ACKNOWLEDGEMENT_BYTES,
                settings::acknowledgement_ring(),
            ),
        ];
        let mut agents = BTreeMap::new();
        let streams = assembly.streams(parts, &mut agents)?;
        let watch = Watch::new(&streams, groups, &assembly.counters, &rewinders, &config.stream.directory);
        let port = ports.open_port("rewinder_port", rewinder_port(config, addresses.rewinder))?;
        assembly.rewinder(&streams, port, &mut agents)?;
        assembly.counters.append(&mut unreadable::counters(&streams[0], &streams[1]));
        assembly.counters.append(&mut ports.counters);
        let cores = assembly.cores();
        assembly.query(&streams[0], first_kept[0], addresses.query, &mut agents)?;
        let Assembly { mut place, counters, .. } = assembly;
        let crew = Crew::start(plans(config, cores, agents))?;
        let mut notices = place.take_notices();
        notices.append(&mut ports.notices);
        let directory = config.stream.directory.clone();
        Ok(Self {
            crew,
            streams,
            first_kept,
            directory,
            addresses,
            rewinders,
            counters,
            notices,
            watch,
            _lock: lock,
        })
    }

    /// The bus and the acknowledgements.
    pub fn streams(&self) -> &[Stream; 2] {
        &self.streams
    }

    /// The first message of each that it keeps, or will keep.
    pub fn first_kept(&self) -> [u64; 2] {
        self.first_kept
    }

    /// Where its journals are.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Where it listens, and can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whom it asks for what it misses, nearest first.
    pub fn rewinders(&self) -> &[SocketAddrV4] {
        &self.rewinders
    }

    /// Everything it counts.
    pub fn counters(&self) -> &CounterSets {
        &self.counters
    }

    /// What an operator should know: what was wanted and not had.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What keeps it from keeping the streams, if anything does, and what of them it cannot read; to be called about once a second.
    pub fn troubles(&mut self) -> Vec<String> {
        let mut troubles = unreadable::lines([&self.streams[0], &self.streams[1]]);
        troubles.extend(self.watch.look(clock::monotonic_ns()));
        troubles
    }

    /// Why it stopped by itself, if it did. Then [`RewindNode::stop`] gives the same.
    pub fn fault(&self) -> Option<Fault> {
        self.crew.fault()
    }

    /// Stops in order: what was received is journalled, and the journals are closed.
    ///
    /// # Errors
    /// When it had stopped by itself, or a journal cannot be closed.
    pub fn stop(self) -> Result<(), Fault> {
        self.crew.close()
    }
}

/// Sets aside what is kept of another session. It may be done again where it was interrupted.
fn accept(session: Session, config: &Config, place: &mut Place<'_>) -> Result<(), Fault> {
    let kept = recover_kept(JournalName::Bus, None, place)?.recovered().stream;
    let before = config.stream.directory.join(format!("before-{}", file_name(session)));
    if kept.is_none_or(|kept| kept == session) {
        return Ok(());
    }
    let set_aside = || -> io::Result<()> {
        fs::create_dir_all(&before)?;
        // The bus last: as long as it is there, there is something to set aside.
        for name in ["acknowledgements", "bus"] {
            let (from, to) = (config.stream.directory.join(name), before.join(name));
            if from.is_dir() && !to.exists() {
                fs::rename(from, to)?;
            }
        }
        File::open(&config.stream.directory)?.sync_all()
    };
    set_aside().map_err(|error| {
        Fault(format!(
            "{}: what is kept of the session before cannot be set aside there: {error}",
            before.display()
        ))
    })
}

/// A session name as a part of a file's name.
fn file_name(session: Session) -> String {
    session
        .to_string()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
        .collect()
}

/// The configuration as a rewinder reads it: with a folder of its own, so that it never goes on with a node's journals, nor a node with its.
fn of_a_rewinder(config: &Config) -> Config {
    let mut config = config.clone();
    config.stream.directory.push("rewinder");
    config.stream.durability = config::Durability::Memory;
    config
}

/// Whom it can ask: everybody but itself.
fn others(config: &Config, own: SocketAddrV4) -> Result<Vec<SocketAddrV4>, Fault> {
    let mut rewinders = settings::rewinders(config, settings::node(config).unwrap_or(*own.ip()));
    rewinders.retain(|rewinder| *rewinder != own);
    if rewinders.is_empty() {
        return Err(Fault(format!(
            "there is nobody to ask for missed messages: network.rewinders names no rewinder but this one ({own}), and network.node no node on another host; \
             name the nodes' rewinders, nearest first, such as network.rewinders = [\"10.0.0.5:26403\"]"
        )));
    }
    Ok(rewinders)
}

/// The ports of one stream.
struct StreamPorts {
    name: &'static str,
    group: Datagrams,
    own: Datagrams,
}

impl StreamPorts {
    fn open(
        config: &Config,
        interface: Ipv4Addr,
        group_address: SocketAddrV4,
        name: &'static str,
        ports: &mut Ports,
    ) -> Result<Self, Fault> {
        let lost = match name {
            "listener" => settings::loss(config, 2, config.loss.downstream_per_mille, 0),
            _ => settings::loss(config, 3, config.loss.acknowledgement_per_mille, 0),
        };
        let port = |bind, join: &[Ipv4Addr]| UdpConfig {
            datagram_bytes_max: DATAGRAM_BYTES_MAX,
            ..settings::udp(config, bind, join)
        };
        let group = UdpConfig { loss: lost, ..port(group_address, &[*group_address.ip()]) };
        Ok(Self {
            name,
            group: ports.open_port(&format!("{name}_port"), group)?,
            own: ports
                .open_port(&format!("{name}_replies_port"), port(SocketAddrV4::new(interface, 0), &[]))?,
        })
    }
}

fn rewinder_port(config: &Config, own: SocketAddrV4) -> UdpConfig {
    let lost = config.loss.rewinder_per_mille;
    UdpConfig { loss: settings::loss(config, 4, lost, lost), ..settings::udp(config, own, &[]) }
}

type Agents = BTreeMap<AgentName, Box<dyn Agent + Send>>;
type Part = (Kept<Files>, Session, StreamPorts, usize, RingConfig);

/// What agents are made from.
struct Assembly<'a, 'b> {
    config: &'a Config,
    place: Place<'b>,
    counters: CounterSets,
    rewinders: &'a [SocketAddrV4],
}

impl Assembly<'_, '_> {
    /// The two streams, with the agents that receive and journal them.
    fn streams(&mut self, [bus, outcomes]: [Part; 2], agents: &mut Agents) -> Result<[Stream; 2], Fault> {
        let bus = self.stream(bus, [AgentName::Sequencer, AgentName::Journal], agents)?;
        let seats = [AgentName::Store, AgentName::AcknowledgementJournal];
        Ok([bus, self.stream(outcomes, seats, agents)?])
    }

    fn stream(
        &mut self,
        (kept, session, ports, message_bytes_min, ring): Part,
        [listens, writes]: [AgentName; 2],
        agents: &mut Agents,
    ) -> Result<Stream, Fault> {
        let bounds = ListenerBounds::of(&ring, DATAGRAM_BYTES_MAX, message_bytes_min).ok_or_else(|| {
            Fault(format!(
                "ring.positions = {}, ring.data_bytes = {}: too small for a rewinder; the defaults do",
                ring.positions, ring.data_bytes
            ))
        })?;
        let pages = Pages::anonymous(Ring::words_needed(&ring) * WORD_BYTES, PagePolicy::default());
        let words = Arc::new(crate::ports::PageWords(pages.map_err(Fault::from)?));
        let boot_id = self.place.boot_id();
        let journal = settings::journal(self.config);
        let (stream, journal) =
            open_kept(kept, session, KeptRing { ring, journal, words, boot_id }, &mut self.place)?;
        let receiver = ReceiverConfig {
            session: Some(session),
            next: stream.ring.last() + 1,
            rewinders: self.rewinders.to_vec(),
            retry_ns_max: SECOND_NS,
            requests_max: 128,
            gaps_max: 4096,
            seed: clock::wall_ns(),
            ..ReceiverConfig::default()
        };
        let StreamPorts { name, group, own, .. } = ports;
        let listener =
            ListenerAgent::new(receiver, bounds, [group, own], stream.ring.writer(), stream.progress.clone());
        self.count(name, listener.counters().clone());
        self.count(&format!("{name}_receiver"), listener.receiver().counters().clone());
        for (rewinder, counters) in listener.receiver().asked() {
            self.count(&format!("{name}_asks_{rewinder}"), counters.clone());
        }
        self.count(writes.as_str(), journal.counters());
        agents.insert(listens, Box::new(listener));
        agents.insert(writes, Box::new(journal));
        Ok(stream)
    }

    fn rewinder(&mut self, streams: &[Stream; 2], port: Datagrams, agents: &mut Agents) -> Result<(), Fault> {
        let source = |stream: &Stream| {
            let progress = stream.progress.clone();
            let limit = Box::new(move || progress.committed.get());
            RewindSource { session: stream.name, reader: stream.reader(1), limit }
        };
        let rewinder = Rewinder::new(settings::rewinder(self.config), streams.iter().map(source).collect());
        self.count(AgentName::Rewinder.as_str(), rewinder.counters().clone());
        let disk = |name, place: &mut Place<'_>| place.disk(name).map_err(Fault::from);
        let disks =
            (disk(JournalName::Bus, &mut self.place)?, disk(JournalName::Acknowledgements, &mut self.place)?);
        let agent = RewinderAgent::new(rewinder, port, disks.0, disks.1);
        agents.insert(AgentName::Rewinder, Box::new(agent));
        Ok(())
    }

    fn cores(&mut self) -> Vec<Arc<CoreCounters>> {
        let cores: Vec<Arc<CoreCounters>> = self.config.core.iter().map(|_| Arc::default()).collect();
        for (position, set) in cores.iter().enumerate() {
            self.count(&format!("core_{position}"), set.clone());
        }
        cores
    }

    /// Last of those that count: it lists all counters there are.
    fn query(
        &mut self,
        bus: &Stream,
        first_kept: u64,
        address: SocketAddrV4,
        agents: &mut Agents,
    ) -> Result<(), Fault> {
        let port = open(|| TcpPort::listen(address, settings::tcp(self.config)))?;
        let config = QueryConfig { seed: clock::wall_ns(), ..settings::query(self.config) };
        let readers = (0..STREAM_READERS).map(|_| bus.reader(1)).collect();
        let source = Box::new(KeptSource::new(readers, bus.progress.clone(), first_kept));
        let users = settings::users(self.config);
        let server = QueryServer::with_source(config, users, bus.name, source, self.counters.clone());
        self.count(AgentName::Query.as_str(), server.counters().clone());
        let disk = self.place.disk(JournalName::Bus).map_err(Fault::from)?;
        let agent = QueryAgent::new(server, Streams(port), disk, bus.progress.clone());
        agents.insert(AgentName::Query, Box::new(agent));
        Ok(())
    }

    fn count(&mut self, name: &str, set: Arc<dyn CounterSet>) {
        self.counters.push((name.to_owned(), set));
    }
}

/// The cores that have something to do.
fn plans(config: &Config, cores: Vec<Arc<CoreCounters>>, mut agents: Agents) -> Vec<CorePlan> {
    let mut seat = |name: &AgentName| {
        agents.remove(name).map(|agent| Seat { agent, stamp: None, rings_with_next: false })
    };
    let mut plan = |(core, counters): (&config::Core, _)| CorePlan {
        core: core.clone(),
        counters,
        agents: core.agents.iter().filter_map(&mut seat).collect(),
        // Its ports send now and then, and at once.
        doorbell: Doorbell::new(),
    };
    let plans = config.core.iter().zip(cores).map(&mut plan);
    plans.filter(|plan| !plan.agents.is_empty()).collect()
}
