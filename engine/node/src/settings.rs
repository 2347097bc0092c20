//! The configuration in the terms of the engine and of `nic`: each setting translated in one place.
use crate::config::{self, AgentName, Config};
use gds_core::agent::SnapshotConfig;
use gds_core::agent::start::StartConfig;
use gds_core::bus::{
    AdmissionRule, GapPolicy, IngressConfig, Rerequest, RewinderConfig, SequencerConfig, StartAt,
};
use gds_core::journal::{Durability, JournalConfig};
use gds_core::memory::ring::RingConfig;
use gds_core::query::{QueryConfig, Tables, User, Users};
use gds_core::replication::{NodeId, Peer, RegisterValue, ReplicationConfig};
use gds_core::store::{Store, StoreConfig};
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS};
use gds_nic::xdp::{SENDERS_MAX, XdpConfig, XdpMode};
use gds_nic::{Interface, LossConfig, TcpConfig, Transport, UdpConfig};
use gds_register::RegisterConfig;
use gds_register::etcd::{EtcdConfig, Login};
use gds_wire::declaration::{
    Declaration, Limits, SCHEMA_VERSION, Schema, SchemaDeclaration, TableDeclaration,
};
use gds_wire::envelope::max_block_bytes;
use gds_wire::replication::{Abilities, STREAM_FORMAT, leader_packet_bytes};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

/// The longest datagram taken at ingress; blocks too long for a downstream packet must arrive to be answered.
pub const INGRESS_DATAGRAM_BYTES: usize = 9_216;
/// The acknowledgement ring holds this many outcomes.
const ACKNOWLEDGEMENTS: usize = 1 << 17;
/// Bytes of one outcome in the ring, its frame's header included.
const ACKNOWLEDGEMENT_FRAME_BYTES: usize = 64;

/// The stream's limits, tables and schemas as its declaration says them.
pub fn declaration(config: &Config) -> Declaration {
    let limits = &config.limits;
    let schema = |schema: &config::Schema| SchemaDeclaration {
        pattern: schema.pattern.parse().expect("the check has parsed it"),
        schema: match schema.schema {
            config::SchemaKind::Native => Schema::Native,
            config::SchemaKind::Itch50 => Schema::Itch50,
        },
        version: SCHEMA_VERSION,
        first_table: schema.table,
    };
    Declaration {
        limits: Limits {
            records_max: limits.records_max,
            bytes_max: limits.bytes_max,
            sessions_max: limits.sessions_max,
            session_forget_messages: limits.session_forget_messages,
            horizon_messages: limits.horizon_messages,
            index_seed: limits.index_seed,
        },
        tables: config
            .table
            .iter()
            .map(|table| TableDeclaration {
                table: table.id,
                name: table.name.parse().expect("the check has seen it"),
            })
            .collect(),
        schemas: config.schema.iter().map(schema).collect(),
    }
}

/// Whether a node of this configuration has this agent.
pub fn is_there(config: &Config, name: AgentName) -> bool {
    match name {
        AgentName::ReplicaRewinder => cluster_node(config).is_some(),
        AgentName::Snapshots => config.snapshot.every_messages > 0,
        _ => true,
    }
}

/// When snapshots are taken.
pub fn snapshots(config: &Config) -> SnapshotConfig {
    SnapshotConfig {
        every_messages: config.snapshot.every_messages,
        segment_bytes: config.snapshot.segment_bytes,
        keep_messages: (config.journal.keep_messages > 0).then_some(config.journal.keep_messages),
    }
}

/// What the start of the node needs. `new_stream` names the stream if there is none yet.
pub fn start(config: &Config, boot_id: [u8; 16], new_stream: Session) -> StartConfig {
    let journal = journal(config);
    StartConfig {
        stream: Session::padded(&config.stream.session),
        new_stream,
        sessions: None,
        // A member is told by its node, once the register has been read.
        cluster: None,
        outcomes_may_go_first: !config.network.rewinders.is_empty(),
        boot_id,
        // Told by its node, which looks at the directory.
        directory: [0; 16],
        ring: ring(config),
        acknowledgement_ring: acknowledgement_ring(),
        journal,
        acknowledgement_journal: JournalConfig { durability: Durability::Memory, ..journal },
        declaration: declaration(config),
        sequencer: SequencerConfig {
            ingress: ingress(config),
            payload_bytes_max: config.network.max_payload_bytes,
            durability: durability(config),
            epoch: 1,
        },
        store: StoreConfig { block_bytes_max: max_block_bytes(config.network.max_payload_bytes) },
    }
}

/// The bus journal.
pub fn journal(config: &Config) -> JournalConfig {
    JournalConfig {
        segment_bytes: config.journal.segment_bytes,
        group_bytes_max: config.journal.group_bytes_max,
        linger_ns: config.journal.linger_us * MICROSECOND_NS,
        durability: durability(config),
    }
}

/// What an acknowledgement promises.
pub fn durability(config: &Config) -> Durability {
    match config.stream.durability {
        config::Durability::Memory => Durability::Memory,
        config::Durability::Fsync => Durability::Fsync,
    }
}

/// The bus ring.
pub fn ring(config: &Config) -> RingConfig {
    RingConfig { data_bytes: config.ring.data_bytes, positions: config.ring.positions }
}

/// The acknowledgement ring.
pub fn acknowledgement_ring() -> RingConfig {
    RingConfig { data_bytes: ACKNOWLEDGEMENTS * ACKNOWLEDGEMENT_FRAME_BYTES, positions: ACKNOWLEDGEMENTS }
}

fn ingress(config: &Config) -> IngressConfig {
    let rule = |rule: &config::Admission| AdmissionRule {
        pattern: rule.pattern.parse().expect("the check has parsed it"),
        sources: rule.sources.iter().map(|text| prefix(text).expect("the check has parsed it")).collect(),
        gap: match rule.gap {
            config::Gap::Wait => GapPolicy::Wait,
            config::Gap::Skip => GapPolicy::Skip { after_ns: rule.skip_after_ms * MILLISECOND_NS },
        },
        start: match rule.start {
            config::Start::One => StartAt::One,
            config::Start::FirstSeen => StartAt::FirstSeen,
        },
        rerequest: rerequest(&rule.rerequest).expect("the check has parsed it"),
    };
    IngressConfig {
        rules: config.admission.iter().map(rule).collect(),
        window_messages: config.ingress.window_messages,
        packets_max: config.ingress.held_packets,
        packets_per_session_max: (config.ingress.held_packets / 2).max(1),
        packet_bytes_max: INGRESS_DATAGRAM_BYTES,
        receptions_max: config.limits.sessions_max.min(4096) as usize,
        retry_ns: config.ingress.retry_us * MICROSECOND_NS,
        retry_ns_max: (config.ingress.retry_us * MICROSECOND_NS).max(20 * MILLISECOND_NS),
        ..IngressConfig::default()
    }
}

/// The rewinder.
pub fn rewinder(config: &Config) -> RewinderConfig {
    RewinderConfig {
        payload_bytes_max: config.network.max_payload_bytes,
        bytes_per_second: config.rewinder.requester_bytes_per_second,
        burst_bytes: config.rewinder.requester_burst_bytes,
        requesters_max: config.rewinder.requesters_max,
        ..RewinderConfig::default()
    }
}

/// The query server.
pub fn query(config: &Config) -> QueryConfig {
    QueryConfig {
        connections_max: config.query.connections_max,
        sessions_max: config.query.sessions_max,
        retained_bytes: config.query.retained_bytes,
        value_bytes_max: max_block_bytes(config.network.max_payload_bytes),
        login_wait_ns: config.query.login_wait_ms * MILLISECOND_NS,
        silence_ns: config.query.silence_ms * MILLISECOND_NS,
        heartbeat_ns: SECOND_NS.min(config.query.silence_ms * MILLISECOND_NS) * 9 / 10,
        ..QueryConfig::default()
    }
}

/// This node's number in its cluster; `None`: it is alone.
pub fn cluster_node(config: &Config) -> Option<NodeId> {
    (config.cluster.node > 0).then_some(NodeId(config.cluster.node))
}

/// The other nodes of the cluster, with the addresses of their interfaces, in the order of their numbers.
pub fn peers(config: &Config) -> Vec<(NodeId, Ipv4Addr)> {
    let mut peers: Vec<_> =
        config.cluster.peer.iter().map(|peer| (NodeId(peer.node), peer.address)).collect();
    peers.sort_unstable();
    peers
}

/// Where it stands who leads the cluster; `None` if the setting names nothing.
pub fn register(config: &Config) -> Option<RegisterConfig> {
    let cluster = &config.cluster;
    match cluster.register.as_str() {
        "etcd" => Some(RegisterConfig::Etcd(etcd(&cluster.etcd))),
        text => {
            let path = text.strip_prefix("file:").filter(|path| !path.is_empty())?;
            Some(RegisterConfig::File(path.into()))
        }
    }
}

fn etcd(etcd: &config::Etcd) -> EtcdConfig {
    let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let login = Login { user: etcd.user.clone(), password: etcd.password.clone() };
    EtcdConfig {
        endpoints: etcd.endpoints.clone(),
        key: etcd.key.clone(),
        login: (!login.user.is_empty()).then_some(login),
        ca_file: file(&etcd.ca_file),
        certificate_file: file(&etcd.certificate_file),
        key_file: file(&etcd.key_file),
        timeout: Duration::from_millis(etcd.timeout_ms),
    }
}

/// Who may log in.
pub fn users(config: &Config) -> Users {
    let user = |user: &config::User| {
        let all = user.tables.contains(&config::TableRight::Word("*".into()));
        let ids = user.tables.iter().filter_map(|right| match right {
            config::TableRight::Id(id) => Some(*id),
            config::TableRight::Word(_) => None,
        });
        User {
            name: user.name.clone(),
            password: user.password.clone(),
            tables: if all { Tables::All } else { Tables::Only(ids.collect()) },
            stream: all,
        }
    };
    Users::new(config.user.iter().map(user).collect())
}

/// A UDP port as the configuration wants all of them.
pub fn udp(config: &Config, bind: SocketAddrV4, join: &[Ipv4Addr]) -> UdpConfig {
    UdpConfig {
        transport: match config.network.transport {
            config::Transport::Auto => Transport::Auto,
            config::Transport::AfXdp => Transport::AfXdp,
            config::Transport::IoUring => Transport::IoUring,
            config::Transport::Socket => Transport::Socket,
        },
        join: join.to_vec(),
        interface: interface(config),
        segmentation: config.network.segmentation,
        coalescing: config.network.segmentation,
        receive_buffer_bytes: config.network.receive_buffer_bytes,
        send_buffer_bytes: config.network.send_buffer_bytes,
        sent_bytes_max: config.network.max_payload_bytes,
        xdp: xdp(config),
        ..UdpConfig::new(bind)
    }
}

/// The node's UDP ports, in the order in which they are opened, each with the agent that owns it; `own` is the interface's address.
/// The ports of agents that only send are drawn when they are opened.
pub fn udp_ports(config: &Config, own: Ipv4Addr) -> Vec<(AgentName, UdpConfig)> {
    let Config { network, loss: lost, .. } = config;
    let drawn = || udp(config, SocketAddrV4::new(own, 0), &[]);
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, network.ingress_port);
    let ingress = UdpConfig {
        datagram_bytes_max: INGRESS_DATAGRAM_BYTES,
        loss: loss(config, 1, lost.ingress_per_mille, 0),
        senders: senders(config),
        ..udp(config, any, &network.ingress_groups)
    };
    let downstream = UdpConfig { loss: loss(config, 2, 0, lost.downstream_per_mille), ..drawn() };
    let acknowledgements = UdpConfig { loss: loss(config, 3, 0, lost.acknowledgement_per_mille), ..drawn() };
    let rewinder = UdpConfig {
        loss: loss(config, 4, lost.rewinder_per_mille, lost.rewinder_per_mille),
        ..udp(config, SocketAddrV4::new(own, network.rewinder_port), &[])
    };
    let mut ports = vec![
        (AgentName::Sequencer, ingress),
        (AgentName::Publisher, downstream),
        (AgentName::AcknowledgementPublisher, acknowledgements),
        (AgentName::Rewinder, rewinder),
    ];
    if !segments_wait_for(config, own).is_empty() {
        // A few small packets now and then.
        ports.push((AgentName::Snapshots, UdpConfig { transport: Transport::Socket, ..drawn() }));
    }
    ports
}

/// The ports of a member of a cluster: its own, the group's, and the one where replicas ask for older messages; `own` is the interface's address.
pub fn cluster_ports(config: &Config, own: Ipv4Addr) -> [UdpConfig; 3] {
    let Config { cluster, network, .. } = config;
    let mut senders: Vec<Ipv4Addr> = cluster.peer.iter().map(|peer| peer.address).collect();
    senders.truncate(SENDERS_MAX);
    let port = |ip, port, join: &[Ipv4Addr]| UdpConfig {
        sent_bytes_max: leader_packet_bytes(network.max_payload_bytes),
        senders: senders.clone(),
        ..udp(config, SocketAddrV4::new(ip, port), join)
    };
    [
        port(own, cluster.port, &[]),
        port(cluster.group, cluster.port, &[cluster.group]),
        port(own, cluster.history_port, &[]),
    ]
}

/// What the node knows of its cluster; `declaration`: what it has to declare when it leads.
pub fn replication(
    config: &Config,
    register: &RegisterValue,
    declaration: Option<Declaration>,
) -> ReplicationConfig {
    let cluster = &config.cluster;
    let peer = |(node, address)| Peer {
        node,
        replication: SocketAddrV4::new(address, cluster.port),
        history: SocketAddrV4::new(address, cluster.history_port),
    };
    ReplicationConfig {
        group: SocketAddrV4::new(cluster.group, cluster.port),
        peers: peers(config).into_iter().map(peer).collect(),
        payload_bytes_max: config.network.max_payload_bytes,
        heartbeat_ns: cluster.heartbeat_ms * MILLISECOND_NS,
        silence_ns: cluster.silence_ms * MILLISECOND_NS,
        replica_silence_ns: cluster.replica_silence_ms * MILLISECOND_NS,
        min_in_sync: cluster.min_in_sync,
        declaration,
        sessions: register.sessions.clone(),
        ..ReplicationConfig::new(NodeId(cluster.node), register.stream)
    }
}

/// What the node can hold and read: its store's memory is made for the larger of what is configured and what is declared.
pub fn abilities(config: &Config, store: &Store) -> Abilities {
    let declared = store.declared().largest_limits();
    let largest = |configured: u64, of: fn(&Limits) -> u64| declared.map_or(configured, of).max(configured);
    Abilities {
        records_max: largest(config.limits.records_max, |limits| limits.records_max),
        bytes_max: largest(config.limits.bytes_max, |limits| limits.bytes_max),
        format: STREAM_FORMAT,
    }
}

/// The queue of the interface, for AF_XDP.
pub fn xdp(config: &Config) -> XdpConfig {
    let config::AfXdp {
        queue,
        mode,
        frame_bytes,
        receive_frames,
        send_frames,
        ports_max,
        busy_poll_us,
        busy_poll_budget,
    } = config.network.af_xdp;
    let mode = match mode {
        config::AfXdpMode::Auto => XdpMode::Auto,
        config::AfXdpMode::ZeroCopy => XdpMode::ZeroCopy,
        config::AfXdpMode::Native => XdpMode::Native,
        config::AfXdpMode::Generic => XdpMode::Generic,
    };
    XdpConfig {
        queue,
        mode,
        frame_bytes,
        receive_frames,
        send_frames,
        ports_max,
        busy_poll_us,
        busy_poll_budget,
    }
}

/// Who may send to the ingress, when the admission names single addresses only: clients, and servers of their feeds that answer
/// requests. Empty: anyone, and the admission decides.
pub fn senders(config: &Config) -> Vec<Ipv4Addr> {
    let sources = config.admission.iter().flat_map(|rule| &rule.sources);
    let single = |text: &String| prefix(text).and_then(|(address, length)| (length == 32).then_some(address));
    let Some(mut senders) = sources.map(single).collect::<Option<Vec<_>>>() else { return Vec::new() };
    senders.extend(config.admission.iter().filter_map(|rule| match rerequest(&rule.rerequest) {
        Some(Rerequest::Address(server)) => Some(*server.ip()),
        _ => None,
    }));
    senders.sort_unstable();
    senders.dedup();
    if senders.len() > SENDERS_MAX { Vec::new() } else { senders }
}

/// Where missed messages are asked for, nearest first: the rewinders named, then that of the node at this address and those of its cluster.
pub fn rewinders(config: &Config, node: Ipv4Addr) -> Vec<SocketAddrV4> {
    let mut rewinders = config.network.rewinders.clone();
    for own in rewinders_of_nodes(config, node) {
        if !rewinders.contains(&own) {
            rewinders.push(own);
        }
    }
    rewinders
}

/// The rewinders that old journal segments wait for: those named, but for the node's own (`own` is its interface's address) and its cluster's, since nodes let
/// go of segments themselves and have snapshots. None where segments do not go, or wait for nobody.
pub fn segments_wait_for(config: &Config, own: Ipv4Addr) -> Vec<SocketAddrV4> {
    let held = is_there(config, AgentName::Snapshots)
        && config.journal.keep_messages > 0
        && config.journal.rewinder_hold_bytes > 0;
    let nodes = rewinders_of_nodes(config, own);
    let named = config.network.rewinders.iter().filter(|named| held && !nodes.contains(named));
    named.copied().collect()
}

/// Where the nodes themselves are asked: the one at this address, and those of its cluster.
fn rewinders_of_nodes(config: &Config, node: Ipv4Addr) -> Vec<SocketAddrV4> {
    let peers = if cluster_node(config).is_some() { peers(config) } else { Vec::new() };
    let nodes = std::iter::once(node).chain(peers.into_iter().map(|(_, address)| address));
    nodes.map(|node| SocketAddrV4::new(node, config.network.rewinder_port)).collect()
}

/// Where clients on other hosts find the node.
pub fn node(config: &Config) -> Option<Ipv4Addr> {
    config.network.node.parse().ok()
}

/// Is the interface named the loopback one? Nothing goes past the kernel there.
pub fn is_loopback(config: &Config) -> bool {
    let name = &config.network.interface;
    name == "lo" || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

/// The interface.
pub fn interface(config: &Config) -> Interface {
    config.network.interface.parse().unwrap_or_else(|error: std::convert::Infallible| match error {})
}

/// Loss on a port, if any is wanted. `stream` tells the ports' drops apart.
pub fn loss(config: &Config, stream: u64, receive_per_mille: u32, send_per_mille: u32) -> Option<LossConfig> {
    (receive_per_mille + send_per_mille > 0).then(|| LossConfig {
        seed: config.loss.seed.wrapping_add(stream),
        receive_per_mille: receive_per_mille as u16,
        send_per_mille: send_per_mille as u16,
    })
}

/// The query server's connections.
pub fn tcp(config: &Config) -> TcpConfig {
    TcpConfig { connections_max: config.query.connections_max, ..TcpConfig::default() }
}

/// Parses `source`, `none` or `address:port`.
pub fn rerequest(text: &str) -> Option<Rerequest> {
    match text {
        "source" => Some(Rerequest::Source),
        "none" => Some(Rerequest::Nobody),
        address => address.parse().ok().map(Rerequest::Address),
    }
}

/// Parses `address/length`.
pub fn prefix(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let length: u8 = length.parse().ok().filter(|length| *length <= 32)?;
    Some((address.parse().ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(rules: &[(&str, &str)]) -> Vec<Ipv4Addr> {
        let rule = |(sources, rerequest): &(&str, &str)| {
            format!(
                "[[admission]]\npattern = \"*\"\nsources = [{sources}]\ngap = \"wait\"\nskip_after_ms = 1\nstart = \"one\"\n\
                 rerequest = \"{rerequest}\"\n"
            )
        };
        let text: String = rules.iter().map(rule).collect();
        senders(&Config::parse(&text, "node.toml").expect(&text))
    }

    #[test]
    fn segments_wait_for_the_rewinders_named_and_for_no_node() {
        let named =
            "rewinders = [\"10.0.1.9:26403\", \"10.0.0.1:26403\", \"10.0.0.2:26403\", \"10.0.0.1:26413\"]";
        let peer = "[[cluster.peer]]\nnode = 2\naddress = \"10.0.0.2\"";
        let text = |keep: u64, hold: u64, node: u8| {
            format!(
                "[network]\n{named}\n[journal]\nkeep_messages = {keep}\nrewinder_hold_bytes = {hold}\n[snapshot]\nevery_messages = 10\n\
                 [cluster]\nnode = {node}\nregister = \"file:x\"\n{peer}\n"
            )
        };
        let waited_for = |keep, hold, node| {
            let config = Config::parse(&text(keep, hold, node), "node.toml").expect("possible");
            segments_wait_for(&config, Ipv4Addr::new(10, 0, 0, 1))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(waited_for(5, 1 << 30, 1), ["10.0.1.9:26403", "10.0.0.1:26413"]);
        assert_eq!(
            waited_for(5, 1 << 30, 0),
            ["10.0.1.9:26403", "10.0.0.2:26403", "10.0.0.1:26413"],
            "alone"
        );
        assert!(waited_for(0, 1 << 30, 1).is_empty(), "nothing goes");
        assert!(waited_for(5, 0, 1).is_empty(), "told not to wait");
    }

    #[test]
    fn senders_are_pinned_only_where_every_rule_names_single_addresses() {
        let at = |last| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(pinned(&[("\"10.0.0.2/32\", \"10.0.0.1/32\"", "source")]), [at(1), at(2)]);
        let two = [("\"10.0.0.2/32\"", "source"), ("\"10.0.0.2/32\"", "10.0.0.9:18000")];
        assert_eq!(pinned(&two), [at(2), at(9)], "who answers requests may send too");
        let network = [("\"10.0.0.2/32\"", "source"), ("\"10.1.0.0/16\"", "none")];
        assert!(pinned(&network).is_empty(), "a network cannot be pinned");
    }
}
