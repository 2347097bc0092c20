//! What one seed decides: sizes, numbers of everything, how bad it gets, and when.
mod cluster;
mod history;

pub use cluster::{ClusterPlan, own_sizes};
pub use history::HistoryPlan;

use crate::network::Faults;
use crate::node::AgentName;
use gds_core::agent::SnapshotConfig;
use gds_core::agent::start::StartConfig;
use gds_core::bus::{AdmissionRule, GapPolicy, IngressConfig, Rerequest, SequencerConfig, StartAt};
use gds_core::disk::BLOCK_BYTES;
use gds_core::journal::{Durability, JournalConfig};
use gds_core::memory::RingConfig;
use gds_core::random::Random;
use gds_core::snapshot::CHUNK_BYTES;
use gds_core::store::StoreConfig;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration, TableDeclaration};
use gds_wire::envelope::max_block_bytes;
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Nodes are 10.0.0.1 and so on, clients 10.1.x.y, feeds 10.2.x.y, listeners 10.3.x.y, query clients 10.4.x.y, strangers 10.9.x.y.
pub const CLIENT_NET: u8 = 1;
/// See [`CLIENT_NET`].
pub const FEED_NET: u8 = 2;
/// See [`CLIENT_NET`].
pub const LISTENER_NET: u8 = 3;
/// See [`CLIENT_NET`].
pub const READER_NET: u8 = 4;
/// See [`CLIENT_NET`].
pub const STRANGER_NET: u8 = 9;

/// Line A of the ingress.
pub const INGRESS_A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 1), 5001);
/// Line B of the ingress.
pub const INGRESS_B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 2), 5002);
/// Where the stream is published.
pub const DOWNSTREAM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 3), 5003);
/// ... and in some worlds on a second line.
pub const DOWNSTREAM_B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 5), 5005);
/// Where leaders send the nodes what is new.
pub const REPLICATION: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 6), 5006);
/// Where acknowledgements are published.
pub const ACKNOWLEDGEMENTS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 4), 5004);
/// The ports of each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the ports")]
pub enum NodePort {
    Ingress = 6000,
    Publisher,
    AcknowledgementPublisher,
    Rewinder,
    Queries,
    Replication,
    ReplicationGroup,
    History,
}

/// The host of a node; they are counted from 0.
pub fn node_host(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1)
}

/// Where a port of a node is.
pub fn node_address(node: usize, port: NodePort) -> SocketAddrV4 {
    SocketAddrV4::new(node_host(node), port as u16)
}

/// Where a feed's re-request server is, on the feed's host.
pub const FEED_SERVER_PORT: u16 = 7001;
/// The feed that the rule with a re-request server is for is on this host.
pub const FEED_HOST: Ipv4Addr = Ipv4Addr::new(10, FEED_NET, 0, 1);

/// Tables of native transactions.
pub const NATIVE_TABLES: [u16; 2] = [1, 2];
/// A table that nobody declares.
pub const UNKNOWN_TABLE: u16 = 77;
/// The feed's table of orders; stocks are in the next.
pub const ORDERS_TABLE: u16 = 10;
/// Declared later, in some worlds.
pub const LATER_TABLE: u16 = 3;

/// How bad the disk is, how long things take, and how often they go wrong: chances are per chaos step.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// The network while things go wrong.
    pub faults: Faults,
    /// Longest a disk write takes.
    pub disk_delay_max_ns: u64,
    /// Time between two steps of chaos, at most.
    pub step_ns_max: u64,
    /// How many processes die, at most.
    pub deaths_max: u64,
    /// Starts that are doomed, per hundred.
    pub doomed_percent: u64,
    /// Per hundred steps each.
    pub death_percent: u64,
    /// An orderly restart.
    pub restart_percent: u64,
    /// Two hosts cease to reach each other, one way or both.
    pub cut_percent: u64,
    /// The disk becomes full, or has room again.
    pub full_percent: u64,
    /// The next write fails.
    pub disk_failure_percent: u64,
    /// The wall clock jumps.
    pub jump_percent: u64,
    /// An agent stands still for a while.
    pub stall_percent: u64,
    /// A client dies.
    pub client_death_percent: u64,
    /// Connections break.
    pub break_percent: u64,
    /// A listener comes, late.
    pub listener_percent: u64,
}

/// How a feed reaches the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// What is missing is waited for, and asked from its re-request server.
    Server,
    /// What is missing is waited for, and asked from where its packets come from.
    Source,
    /// What is missing is given up after a while; it may be joined in mid-day.
    Skip,
}

/// Everything one seed decides beforehand.
#[derive(Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How they deal with each other; `None`: there is one, and it is alone.
    pub cluster: Option<ClusterPlan>,
    /// What is done to the past; `None`: time runs one way.
    pub history: Option<HistoryPlan>,
    /// What an acknowledgement stands for.
    pub durability: Durability,
    /// Largest packet downstream.
    pub payload_bytes_max: usize,
    /// The start's configuration, but for the name of a new stream and the boot.
    pub start: StartConfig,
    /// The declaration of later starts, in some worlds.
    pub later_declaration: Option<Declaration>,
    /// When snapshots are taken.
    pub snapshots: SnapshotConfig,
    /// How many clients at a time.
    pub clients: usize,
    /// Blocks per client.
    pub blocks_per_client: u64,
    /// Keys that clients use.
    pub keys: u64,
    /// They mostly write without asking.
    pub busy: bool,
    /// Longest value they write.
    pub value_bytes_max: usize,
    /// The feeds.
    pub feeds: Vec<FeedKind>,
    /// Messages per feed.
    pub messages_per_feed: u64,
    /// The stream is published on two lines.
    pub two_lines: bool,
    /// Listeners from the start.
    pub listeners: usize,
    /// Query clients.
    pub readers: usize,
    /// How long things go wrong.
    pub faulty_ns: u64,
    /// Longest an idle agent sleeps.
    pub idle_ns_max: u64,
    /// A node's agent that always rests so long, where there is one.
    pub slow: Option<(usize, AgentName, u64)>,
    /// Longest pause of a client between two bursts.
    pub pause_ns_max: u64,
    /// Clients that are done are followed by others, up to so many names.
    pub names_max: u64,
    /// What goes wrong.
    pub chaos: Chaos,
    /// Most bytes on their way on a connection.
    pub stream_bytes_max: usize,
    /// The publishers send their trains of ends to the last packet.
    pub whole_train: bool,
}

/// Drawn by themselves, so that the rest of a seed's plan is what it would be without.
fn snapshots(seed: u64) -> SnapshotConfig {
    let random = &mut Random::new(seed ^ 0x5A95_0A75);
    SnapshotConfig {
        every_messages: *pick(random, &[0, 20, 100, 400]),
        segment_bytes: *pick(random, &[2, 4]) * CHUNK_BYTES as u64,
        // A listener may still ask for everything.
        keep_messages: None,
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x6A09_E667_F3BC_C908);
        let durability = if random.chance(1, 2) { Durability::Memory } else { Durability::Fsync };
        let payload_bytes_max = *pick(random, &[400, 600, 1000, 1400]);
        let feeds = feeds(random);
        let clients = 1 + random.below(3) as usize;
        let chaos = chaos(random);
        let declaration = declaration(random, clients + feeds.len(), &chaos);
        let later_declaration = random.chance(1, 3).then(|| later(random, &declaration));
        let start = start_config(random, durability, payload_bytes_max, declaration, &feeds);
        let mut plan = Self {
            seed,
            nodes: 1,
            cluster: None,
            history: None,
            durability,
            payload_bytes_max,
            start,
            later_declaration,
            snapshots: snapshots(seed),
            clients,
            blocks_per_client: *pick(random, &[5, 30, 100]),
            keys: 2 + random.below(30),
            busy: random.chance(1, 3),
            value_bytes_max: *pick(random, &[8, 60, 300]),
            feeds,
            messages_per_feed: *pick(random, &[20, 100, 300]),
            two_lines: random.chance(1, 4),
            listeners: 1 + random.below(3) as usize,
            readers: random.below(3) as usize,
            faulty_ns: MILLISECOND_NS * (5 + *pick(random, &[10, 50, 200])),
            idle_ns_max: *pick(random, &[20 * MICROSECOND_NS, 100 * MICROSECOND_NS, 300 * MICROSECOND_NS]),
            slow: random.chance(1, 3).then(|| {
                let pause_ns = *pick(random, &[100 * MICROSECOND_NS, MILLISECOND_NS, 4 * MILLISECOND_NS]);
                (0, *pick(random, &AgentName::ALL), pause_ns)
            }),
            pause_ns_max: *pick(random, &[10 * MICROSECOND_NS, MILLISECOND_NS, 5 * MILLISECOND_NS]),
            names_max: 10 + random.below(40),
            chaos,
            stream_bytes_max: *pick(random, &[500, 4_000, 64_000]),
            whole_train: random.chance(1, 10),
        };
        if random.chance(1, 16) {
            plan.fill_the_log();
        }
        if random.chance(1, 12) {
            plan.die_often();
        }
        plan
    }

    /// Processes hardly live, and starts hardly end.
    fn die_often(&mut self) {
        let chaos = &mut self.chaos;
        (chaos.deaths_max, chaos.death_percent, chaos.restart_percent) = (40, 30, 10);
        (chaos.step_ns_max, chaos.doomed_percent) = (1_000_000, 50);
    }

    /// Much is written to few records, so that the store's log comes round.
    fn fill_the_log(&mut self) {
        let limits = &mut self.start.declaration.limits;
        (limits.records_max, limits.bytes_max, limits.horizon_messages) = (20, 2_000, 1);
        self.later_declaration = None;
        (self.busy, self.keys, self.value_bytes_max) = (true, 6, 60);
        (self.blocks_per_client, self.pause_ns_max, self.names_max) = (400, 1_000, 50);
        self.faulty_ns = self.faulty_ns.max(150 * MILLISECOND_NS);
    }

    /// All of it, for people.
    pub fn describe(&self) -> String {
        let start = &self.start;
        let (ingress, chaos) = (&start.sequencer.ingress, &self.chaos);
        format!(
            "seed {}: {} nodes, {:?}, {:?}, {:?}, packets of {} B, {:?}, acknowledgements {:?}\n{:?}\n{:?}\n{:?}\n{ingress:?}\n{} clients of up to {} \
             blocks, {} keys, values up to {} B; feeds {:?} of up to {}; {} listeners, {} query clients; {} ns of {chaos:?}; later \
             {:?}",
            self.seed,
            self.nodes,
            self.cluster,
            self.history,
            self.durability,
            self.payload_bytes_max,
            start.ring,
            start.acknowledgement_ring,
            start.journal,
            start.acknowledgement_journal,
            start.declaration,
            self.clients,
            self.blocks_per_client,
            self.keys,
            self.value_bytes_max,
            self.feeds,
            self.messages_per_feed,
            self.listeners,
            self.readers,
            self.faulty_ns,
            self.later_declaration.as_ref().map(|later| later.limits)
        )
    }
}

/// One of these.
pub fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

/// A number from `from` to `to`, both included.
pub fn between(random: &mut Random, from: u64, to: u64) -> u64 {
    from + random.below(to - from + 1)
}

fn feeds(random: &mut Random) -> Vec<FeedKind> {
    let count = *pick(random, &[0, 1, 1, 2]);
    let mut kinds = vec![FeedKind::Server, FeedKind::Source, FeedKind::Skip];
    while kinds.len() > count {
        kinds.remove(random.below(kinds.len() as u64) as usize);
    }
    kinds
}

fn declaration(random: &mut Random, senders: usize, chaos: &Chaos) -> Declaration {
    let tables = [(1, "first"), (2, "second"), (ORDERS_TABLE, "orders"), (ORDERS_TABLE + 1, "stocks")];
    let table = |(table, name): (u16, &str)| TableDeclaration { table, name: name.parse().expect("a name") };
    let tight = random.chance(1, 4);
    // A name must not be forgotten while packets of its session may still come.
    let forget: &[u64] = if chaos.faults.delay_max_ns <= 100_000 { &[0, 300, 500] } else { &[0, 100_000] };
    Declaration {
        limits: Limits {
            records_max: *pick(random, &[5, 20, 100, 1000]),
            bytes_max: *pick(random, &[200, 2_000, 10_000, 100_000]),
            sessions_max: senders as u32 + if tight { random.below(3) as u32 } else { 100 },
            session_forget_messages: *pick(random, forget),
            horizon_messages: *pick(random, &[0, 1, 10, 100, 400]),
            index_seed: random.next_u64(),
        },
        tables: tables.into_iter().map(table).collect(),
        schemas: vec![SchemaDeclaration {
            pattern: "F*".parse().expect("a pattern"),
            schema: Schema::Itch50,
            version: 1,
            first_table: ORDERS_TABLE,
        }],
    }
}

fn later(random: &mut Random, declaration: &Declaration) -> Declaration {
    let mut later = declaration.clone();
    later.limits.records_max = *pick(random, &[10, 50, 500]);
    later.limits.bytes_max = *pick(random, &[500, 5_000, 500_000]);
    later.limits.horizon_messages = *pick(random, &[0, 5, 50, 500]);
    later.tables.push(TableDeclaration { table: LATER_TABLE, name: "later".parse().expect("a name") });
    later
}

fn start_config(
    random: &mut Random,
    durability: Durability,
    payload_bytes_max: usize,
    declaration: Declaration,
    feeds: &[FeedKind],
) -> StartConfig {
    let ring = RingConfig { data_bytes: 8192 << random.below(5), positions: 64 << random.below(6) };
    let acknowledgement_ring =
        RingConfig { data_bytes: 1024 << random.below(5), positions: 16 << random.below(6) };
    let ingress = ingress_config(random, feeds);
    StartConfig {
        stream: None,
        new_stream: Session::BLANK,
        sessions: None,
        boot_id: [7; 16],
        directory: [0; 16],
        ring,
        acknowledgement_ring,
        journal: journal_config(random, durability),
        acknowledgement_journal: journal_config(random, Durability::Memory),
        declaration,
        sequencer: SequencerConfig { ingress, payload_bytes_max, durability, epoch: 1 },
        store: StoreConfig { block_bytes_max: max_block_bytes(payload_bytes_max) },
        outcomes_may_go_first: true,
        cluster: None,
    }
}

fn journal_config(random: &mut Random, durability: Durability) -> JournalConfig {
    JournalConfig {
        segment_bytes: BLOCK_BYTES as u64 * between(random, 2, 24),
        group_bytes_max: BLOCK_BYTES * between(random, 1, 8) as usize,
        linger_ns: *pick(random, &[0, 50 * MICROSECOND_NS, MILLISECOND_NS, 3 * MILLISECOND_NS]),
        durability,
    }
}

fn ingress_config(random: &mut Random, feeds: &[FeedKind]) -> IngressConfig {
    IngressConfig {
        rules: rules(random, feeds),
        window_messages: *pick(random, &[16, 64, 512, 4096]),
        packets_max: *pick(random, &[4, 32, 256]),
        packets_per_session_max: *pick(random, &[2, 16, 128]),
        packet_bytes_max: 1472,
        receptions_max: *pick(random, &[2, 16, 64]),
        first_request_ns_max: *pick(random, &[0, 50 * MICROSECOND_NS, 500 * MICROSECOND_NS]),
        retry_ns: *pick(random, &[200 * MICROSECOND_NS, MILLISECOND_NS]),
        retry_ns_max: *pick(random, &[2 * MILLISECOND_NS, 50 * MILLISECOND_NS]),
        refusal_ns: *pick(random, &[100 * MICROSECOND_NS, 5 * MILLISECOND_NS]),
        idle_ns: *pick(random, &[100 * MILLISECOND_NS, 10 * SECOND_NS]),
        seed: random.next_u64(),
    }
}

fn rules(random: &mut Random, feeds: &[FeedKind]) -> Vec<AdmissionRule> {
    let net = |net: u8| vec![(Ipv4Addr::new(10, net, 0, 0), 16)];
    let mut rules = Vec::new();
    for kind in feeds {
        let (pattern, gap, start, rerequest) = match kind {
            FeedKind::Server => {
                let server = SocketAddrV4::new(FEED_HOST, FEED_SERVER_PORT);
                ("FA*", GapPolicy::Wait, StartAt::One, Rerequest::Address(server))
            }
            FeedKind::Source => ("FB*", GapPolicy::Wait, StartAt::One, Rerequest::Source),
            FeedKind::Skip => {
                let after_ns = between(random, 500 * MICROSECOND_NS, 10 * MILLISECOND_NS);
                let start = *pick(random, &[StartAt::One, StartAt::FirstSeen]);
                let rerequest = *pick(random, &[Rerequest::Nobody, Rerequest::Source]);
                ("FC*", GapPolicy::Skip { after_ns }, start, rerequest)
            }
        };
        let pattern = pattern.parse().expect("a pattern");
        rules.push(AdmissionRule { pattern, sources: net(FEED_NET), gap, start, rerequest });
    }
    let rerequest = *pick(random, &[Rerequest::Source, Rerequest::Nobody]);
    let pattern = "C*".parse().expect("a pattern");
    rules.push(AdmissionRule { pattern, sources: net(CLIENT_NET), rerequest, ..AdmissionRule::anyone() });
    rules
}

fn chaos(random: &mut Random) -> Chaos {
    // Every kind of fault is off in some worlds, so that others are not drowned by it.
    let percent = |random: &mut Random, most: u64| {
        if random.chance(1, 2) { 0 } else { 1 + random.below(most) }
    };
    let lossy = random.chance(3, 4);
    Chaos {
        faults: Faults {
            loss_per_mille: if lossy { *pick(random, &[5, 50, 200, 400]) } else { 0 },
            refuse_per_mille: *pick(random, &[0, 0, 30]),
            duplicate_per_mille: *pick(random, &[0, 0, 20, 200]),
            delay_min_ns: *pick(random, &[1_000, 20_000]),
            delay_max_ns: *pick(random, &[20_000, 100_000, 3_000_000]),
        },
        disk_delay_max_ns: *pick(random, &[0, 30_000, 1_000_000, 10_000_000]),
        step_ns_max: *pick(random, &[500_000, 3_000_000]),
        deaths_max: random.below(8),
        doomed_percent: 16,
        death_percent: percent(random, 20),
        restart_percent: percent(random, 8),
        cut_percent: percent(random, 15),
        full_percent: percent(random, 10),
        disk_failure_percent: percent(random, 3),
        jump_percent: percent(random, 10),
        stall_percent: percent(random, 20),
        client_death_percent: percent(random, 8),
        break_percent: percent(random, 10),
        listener_percent: percent(random, 5),
    }
}
