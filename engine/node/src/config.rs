//! The configuration of a node, as `default.toml` documents it: one struct for each table, one field for each key.
//!
//! [`crate::load`] is the way in, so that whoever holds a [`Config`] holds one that passed [`crate::check`].
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives the death of the process.
    Memory,
    /// Survives a power cut.
    Fsync,
}

/// How packets move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// AF_XDP where it works, else io_uring, else plain sockets.
    Auto,
    /// AF_XDP or nothing.
    AfXdp,
    /// io_uring or nothing.
    IoUring,
    /// Plain sockets.
    Socket,
}

/// `[stream]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// MoldUDP64 session; empty: drawn at creation.
    pub session: String,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Folder of the journal.
    pub directory: PathBuf,
    /// Folder of the ring file.
    pub ring_directory: PathBuf,
}

/// `[network]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name or IPv4 address.
    pub interface: String,
    /// IPv4 address of the node, for clients on other hosts; empty: the interface's own.
    pub node: String,
    /// How packets move.
    pub transport: Transport,
    /// Multicast groups of the ingress.
    pub ingress_groups: Vec<Ipv4Addr>,
    /// UDP port of the ingress.
    pub ingress_port: u16,
    /// Group of the stream.
    pub downstream_group: Ipv4Addr,
    /// UDP port of the stream.
    pub downstream_port: u16,
    /// Group of the acknowledgements.
    pub acknowledgement_group: Ipv4Addr,
    /// UDP port of the acknowledgements.
    pub acknowledgement_port: u16,
    /// Rewinders besides the node's own and its cluster's, nearest first.
    pub rewinders: Vec<SocketAddrV4>,
    /// UDP port of the rewinder.
    pub rewinder_port: u16,
    /// TCP port of the queries.
    pub query_port: u16,
    /// Largest UDP payload sent.
    pub max_payload_bytes: usize,
    /// Bursts with one system call.
    pub segmentation: bool,
    /// Socket receive buffer asked for.
    pub receive_buffer_bytes: usize,
    /// Socket send buffer asked for.
    pub send_buffer_bytes: usize,
    /// `[network.af_xdp]`
    pub af_xdp: AfXdp,
}

/// How packets get from the NIC to the node over AF_XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfXdpMode {
    /// The first of the others that the driver has.
    Auto,
    /// Without copies.
    ZeroCopy,
    /// The program in the driver, with a copy.
    Native,
    /// The program in the kernel.
    Generic,
}

/// `[network.af_xdp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfXdp {
    /// Receive queue of the interface.
    pub queue: u32,
    /// How packets get from the NIC to the node.
    pub mode: AfXdpMode,
    /// Bytes of a frame.
    pub frame_bytes: u32,
    /// Frames for receiving, of all ports.
    pub receive_frames: u32,
    /// Frames for sending, of each port.
    pub send_frames: u32,
    /// Most ports of one process.
    pub ports_max: u32,
    /// Busy polling; 0: none.
    pub busy_poll_us: u32,
    /// Packets of one poll.
    pub busy_poll_budget: u32,
}

/// `[limits]`: what the stream's declaration carries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Live records, and deleted ones still readable.
    pub records_max: u64,
    /// Keys and values of live records.
    pub bytes_max: u64,
    /// Client sessions.
    pub sessions_max: u32,
    /// Messages after which an ended session is forgotten.
    pub session_forget_messages: u64,
    /// Messages for which superseded versions stay readable.
    pub horizon_messages: u64,
    /// Seed of the index's hash.
    pub index_seed: u64,
}

/// `[[table]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// 1 to 65535.
    pub id: u16,
    /// Up to 16 characters.
    pub name: String,
}

/// The schemas there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemaKind {
    /// GDS transactions.
    Native,
    /// Nasdaq TotalView-ITCH 5.0.
    Itch50,
}

/// `[[schema]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Session pattern.
    pub pattern: String,
    /// Which schema.
    pub schema: SchemaKind,
    /// First table it writes.
    pub table: u16,
}

/// What an ingress gap leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Wait for the missing message.
    #[default]
    Wait,
    /// Skip it after a time.
    Skip,
}

/// Where a session's numbers begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At 1.
    #[default]
    One,
    /// At the first number seen.
    FirstSeen,
}

/// `[[admission]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Session pattern.
    pub pattern: String,
    /// Source prefixes, `address/length`.
    pub sources: Vec<String>,
    /// What a gap leads to.
    #[serde(default)]
    pub gap: Gap,
    /// Time before a skip.
    #[serde(default = "Admission::skip_after_ms")]
    pub skip_after_ms: u64,
    /// Where numbers begin.
    #[serde(default)]
    pub start: Start,
    /// `source`, `none`, or address:port.
    #[serde(default = "Admission::rerequest")]
    pub rerequest: String,
}

impl Admission {
    fn skip_after_ms() -> u64 {
        1_000
    }

    fn rerequest() -> String {
        "source".into()
    }
}

/// `[ingress]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// How far ahead a number may be.
    pub window_messages: u64,
    /// Packets held ahead of gaps.
    pub held_packets: usize,
    /// First wait before a request is repeated.
    pub retry_us: u64,
}

/// `[ring]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingSize {
    /// Bytes of messages.
    pub data_bytes: usize,
    /// Messages, a power of two.
    pub positions: usize,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Most bytes of one write.
    pub group_bytes_max: usize,
    /// Oldest a group gets before it is written.
    pub linger_us: u64,
    /// Newest messages that segments are kept for; 0: all.
    pub keep_messages: u64,
    /// Bytes of older segments held until the rewinders named have their messages; 0: none are.
    pub rewinder_hold_bytes: u64,
}

/// `[snapshot]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Messages from one to the next; 0: none are taken.
    pub every_messages: u64,
    /// Bytes of a segment file.
    pub segment_bytes: u64,
}

/// `[rewinder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewinder {
    /// What one requester may draw.
    pub requester_bytes_per_second: u64,
    /// ... and at once.
    pub requester_burst_bytes: u64,
    /// Requesters remembered.
    pub requesters_max: usize,
}

/// `[query]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Connections at a time.
    pub connections_max: usize,
    /// Sessions kept for resume.
    pub sessions_max: usize,
    /// Bytes of answers kept per session.
    pub retained_bytes: usize,
    /// Wait for a login.
    pub login_wait_ms: u64,
    /// Silence that ends a connection.
    pub silence_ms: u64,
}

/// `[[user]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Up to 6 characters.
    pub name: String,
    /// Up to 10 characters.
    pub password: String,
    /// Table ids, or `*`.
    pub tables: Vec<TableRight>,
}

/// One entry of a user's `tables`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TableRight {
    /// A table by id.
    Id(u16),
    /// `"*"`.
    Word(String),
}

/// `[cluster]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The number of this node; 0: it is alone.
    pub node: u8,
    /// Group of replication.
    pub group: Ipv4Addr,
    /// UDP port of replication: the group's, and each node's own.
    pub port: u16,
    /// Port where a node gives replicas older messages (UDP) and learners its snapshots (TCP).
    pub history_port: u16,
    /// `file:PATH` or `etcd`.
    pub register: String,
    /// Longest time between two signs of life of the leader.
    pub heartbeat_ms: u64,
    /// Silence of the leader after which a standby takes over.
    pub silence_ms: u64,
    /// Silence of a replica, or time without progress, after which it is taken out.
    pub replica_silence_ms: u64,
    /// A learner that a snapshot spares so many messages takes it.
    pub snapshot_behind_messages: u64,
    /// Bytes of snapshots that a node gives in a second; 0: as many as go.
    pub snapshot_bytes_per_second: u64,
    /// After so many messages the replicas compare what their stores came to.
    pub digest_messages: u64,
    /// Least nodes in sync, the leader included.
    pub min_in_sync: usize,
    /// The other nodes.
    pub peer: Vec<Peer>,
    /// `[cluster.etcd]`
    pub etcd: Etcd,
}

/// `[[cluster.peer]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its number.
    pub node: u8,
    /// The address of its interface.
    pub address: Ipv4Addr,
}

/// `[cluster.etcd]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoints: Vec<String>,
    /// The key that holds the register.
    pub key: String,
    /// Empty: no login.
    pub user: String,
    /// The user's.
    pub password: String,
    /// Certificates of the servers; empty: none.
    pub ca_file: PathBuf,
    /// The node's own certificate; empty: none.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// Time for one request.
    pub timeout_ms: u64,
}

/// Idle strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Poll on.
    Spin,
    /// Give the processor to others.
    Yield,
    /// Sleep.
    Sleep,
}

/// The agents of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentName {
    /// Takes client packets and orders them.
    Sequencer,
    /// Applies the stream.
    Store,
    /// Publishes the acknowledgements.
    AcknowledgementPublisher,
    /// Publishes the stream.
    Publisher,
    /// Writes the stream's journal.
    Journal,
    /// Writes the acknowledgements' journal.
    AcknowledgementJournal,
    /// Answers request packets.
    Rewinder,
    /// Answers queries.
    Query,
    /// Gives replicas older messages; only in a cluster.
    ReplicaRewinder,
    /// Takes snapshots, where they are taken.
    Snapshots,
}

impl AgentName {
    /// All of them, in the order in which a single core runs them.
    pub const ALL: [Self; 10] = [
        Self::Sequencer,
        Self::Store,
        Self::AcknowledgementPublisher,
        Self::Publisher,
        Self::Journal,
        Self::AcknowledgementJournal,
        Self::Rewinder,
        Self::Query,
        Self::ReplicaRewinder,
        Self::Snapshots,
    ];

    /// Whether it sends a packet for every message: the publishers do.
    pub fn publishes(self) -> bool {
        matches!(self, Self::AcknowledgementPublisher | Self::Publisher)
    }

    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sequencer => "sequencer",
            Self::Store => "store",
            Self::AcknowledgementPublisher => "acknowledgement_publisher",
            Self::Publisher => "publisher",
            Self::Journal => "journal",
            Self::AcknowledgementJournal => "acknowledgement_journal",
            Self::Rewinder => "rewinder",
            Self::Query => "query",
            Self::ReplicaRewinder => "replica_rewinder",
            Self::Snapshots => "snapshots",
        }
    }
}

/// `[[core]]`: one thread of the layout.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Processor to pin to, or -1.
    pub cpu: i64,
    /// What to do when there is nothing to do.
    pub idle: Idle,
    /// For `sleep`.
    pub idle_sleep_us: u64,
    /// The agents on it, in the order in which they run.
    pub agents: Vec<AgentName>,
}

/// `[loss]`: packets dropped per thousand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Seed of the drops.
    pub seed: u64,
    /// On receipt at the ingress.
    pub ingress_per_mille: u32,
    /// On sending downstream.
    pub downstream_per_mille: u32,
    /// On sending acknowledgements.
    pub acknowledgement_per_mille: u32,
    /// On receipt and on sending at the rewinder.
    pub rewinder_per_mille: u32,
}

/// What `gds run` does when the host is not tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtStart {
    /// Nothing: it does not look.
    Silent,
    /// It says what is wrong, and starts.
    Warn,
    /// It says what is wrong, and does not start.
    Refuse,
}

/// `[tuning]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// `auto`, `colo`, `cloud`, or a file.
    pub profile: String,
    /// What to do when the host is not as the profile wants it.
    pub at_start: AtStart,
    /// Whether the node keeps processors from sleeping.
    pub hold_cpu_dma_latency: bool,
}

/// A whole, checked configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[stream]`
    pub stream: Stream,
    /// `[network]`
    pub network: Network,
    /// `[limits]`
    pub limits: Limits,
    /// `[[table]]`
    pub table: Vec<Table>,
    /// `[[schema]]`
    pub schema: Vec<Schema>,
    /// `[[admission]]`
    pub admission: Vec<Admission>,
    /// `[ingress]`
    pub ingress: Ingress,
    /// `[ring]`
    pub ring: RingSize,
    /// `[journal]`
    pub journal: Journal,
    /// `[snapshot]`
    pub snapshot: Snapshot,
    /// `[rewinder]`
    pub rewinder: Rewinder,
    /// `[query]`
    pub query: Query,
    /// `[[user]]`
    pub user: Vec<User>,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[[core]]`
    pub core: Vec<Core>,
    /// `[tuning]`
    pub tuning: Tuning,
    /// `[loss]`
    pub loss: Loss,
}
