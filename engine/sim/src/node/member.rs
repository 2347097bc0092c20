//! What a process has besides where its node is a member of a cluster: its role machine, its way to the register, and the rewinder for
//! replicas.
use super::{CounterSets, Parts};
use crate::disk::SimulatedDisk;
use crate::machine::MemberConfig;
use crate::network::SimulatedPort;
use crate::plan::{NodePort, Plan, REPLICATION, node_address};
use crate::register::RegisterLine;
use gds_core::agent::start::{MemberStart, Stream};
use gds_core::agent::{Membership, ReplicaRewinderAgent};
use gds_core::label::SessionNames;
use gds_core::replication::{
    Leadership, Life, NodeId, Peer, ReplicaRewinder, Replication, ReplicationConfig,
};
use std::net::SocketAddrV4;
use std::sync::Arc;

/// The parts of a member.
pub struct Member {
    /// Its life.
    pub life: Life,
    /// What the other agents see of its role.
    pub leadership: Arc<Leadership>,
    pub(super) line: RegisterLine,
    pub(super) rewinder: ReplicaRewinderAgent<SimulatedPort, SimulatedDisk>,
}

impl Member {
    /// Puts them together; what the sequencer's agent gets of them is returned beside.
    pub(super) fn assemble(
        plan: &Plan,
        (begun, sessions): (MemberStart, SessionNames),
        config: &MemberConfig,
        bus: &Stream,
        parts: &Parts<'_>,
        counters: &mut CounterSets,
    ) -> (Self, Membership<SimulatedPort>) {
        let MemberStart { life, epochs, chain, declaration_due } = begun;
        let port = |port, groups: &[SocketAddrV4]| {
            let address = node_address(parts.node, port);
            SimulatedPort::open(parts.network, address, groups, Some(parts.death.clone()))
        };
        let replication = ReplicationConfig {
            group: REPLICATION,
            peers: peers(plan, parts.node).collect(),
            payload_bytes_max: plan.payload_bytes_max,
            heartbeat_ns: config.plan.heartbeat_ns,
            silence_ns: config.plan.silence_ns,
            replica_silence_ns: config.plan.replica_silence_ns,
            register_retry_ns: config.plan.register_retry_ns,
            min_in_sync: config.plan.min_in_sync,
            sessions,
            declaration: declaration_due.then(|| parts.declaration.clone()),
            ..ReplicationConfig::new(config.node, bus.session)
        };
        let ring = bus.ring.reader(bus.ring.last() + 1);
        let replication =
            Replication::new(replication, life, (epochs, chain), ring, config.register.clone(), parts.now);
        let leadership = replication.leadership().clone();
        let rewinder = replication.rewinder_config();
        let rewinder =
            ReplicaRewinder::new(rewinder, bus.reader(1), bus.progress.clone(), leadership.clone());
        counters.push(("replication", replication.counters().clone()));
        counters.push(("replica_rewinder", rewinder.counters().clone()));
        let (line, register) = RegisterLine::new(parts.register, parts.node, config.plan.register_wait_ns);
        let disk = SimulatedDisk::new(parts.bus, Some(parts.death.clone()));
        let rewinder = ReplicaRewinderAgent::new(rewinder, port(NodePort::History, &[]), disk);
        let group = port(NodePort::ReplicationGroup, &[REPLICATION]);
        let port = port(NodePort::Replication, &[]);
        let membership = Membership { replication, port, group, register: Box::new(register) };
        (Self { life, leadership, line, rewinder }, membership)
    }
}

/// All nodes but one.
fn peers(plan: &Plan, but: usize) -> impl Iterator<Item = Peer> {
    (0..plan.nodes).filter(move |node| *node != but).map(|node| Peer {
        node: NodeId(node as u8 + 1),
        replication: node_address(node, NodePort::Replication),
        history: node_address(node, NodePort::History),
    })
}
