//! The ports of a node: opened, owned each by one agent, and counted.
use crate::cluster::Enrolment;
use crate::config::{AgentName, Config};
use crate::ports::{Datagrams, Files};
use crate::settings;
use gds_core::agent::start::Started;
use gds_core::agent::{Fault, Membership};
use gds_core::query::CounterSets;
use gds_core::replication::{Digests, Replication, ReplicationConfig};
use gds_core::time::SECOND_NS;
use gds_nic::{Doorbell, NicError, UdpConfig, UdpPort, clock};
use gds_register::Keeper;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How long a start waits for an address that is in use. The kernel lets go of io_uring's sockets a moment after the process that had them
/// is gone, and a node that was killed can be started again at once.
const ADDRESS_NS: u64 = 2 * SECOND_NS;

/// The ports of a node, by the agent that owns each.
pub(crate) struct Ports {
    pub(super) udp: BTreeMap<AgentName, Datagrams>,
    pub(crate) notices: Vec<String>,
    pub(crate) counters: CounterSets,
    /// Of the core that runs each agent; none: its ports send at once.
    pub(super) doorbells: BTreeMap<AgentName, Doorbell>,
}

impl Ports {
    /// None yet.
    pub(crate) fn none() -> Self {
        Self {
            udp: BTreeMap::new(),
            notices: Vec::new(),
            counters: CounterSets::new(),
            doorbells: BTreeMap::new(),
        }
    }

    /// Those of a node's agents, of which a core's share a doorbell.
    pub(super) fn open(config: &Config, interface: Ipv4Addr) -> Result<Self, Fault> {
        let mut ports = Self::none();
        for core in &config.core {
            let doorbell = Doorbell::new();
            ports.doorbells.extend(core.agents.iter().map(|name| (*name, doorbell.clone())));
        }
        for (owner, config) in settings::udp_ports(config, interface) {
            ports.add(owner, config)?;
        }
        Ok(ports)
    }

    /// Opens the ports of a member, and makes its role machine from what its start left.
    pub(super) fn membership(
        &mut self,
        config: &Config,
        interface: Ipv4Addr,
        enrolment: Enrolment,
        started: &mut Started<Files>,
    ) -> Result<(Keeper, Membership<Datagrams>), Fault> {
        let [own, group, history] = settings::cluster_ports(config, interface);
        self.add(AgentName::ReplicaRewinder, history)?;
        let [own, group] = [own, group].map(|config| self.with_doorbell(AgentName::Sequencer, config));
        let (own, group) =
            (self.open_port("replication_port", own)?, self.open_port("replication_group_port", group)?);
        let member = started.member.take().expect("it was started as a member");
        let value = enrolment.value.clone();
        let (keeper, register, state) = enrolment.keep()?;
        let declaration = member.declaration_due.then(|| settings::declaration(config));
        let replication = Replication::new(
            ReplicationConfig {
                abilities: settings::abilities(config, started.store.store()),
                ..settings::replication(config, &value, declaration)
            },
            member.life,
            (member.epochs, member.chain),
            started.bus.ring.reader(1),
            state,
            crate::clocks::now(),
        );
        let digests = Arc::new(Digests::new(config.cluster.digest_messages));
        started.store.note_digests(digests.clone());
        let replication = replication.comparing(digests);
        self.counters.push(("replication".into(), replication.counters().clone()));
        for (peer, counters) in replication.peer_counters() {
            self.counters.push((format!("replica_{peer}"), counters.clone()));
        }
        self.counters.push(("register".into(), keeper.counters()));
        Ok((keeper, Membership { replication, port: own, group, register: Box::new(register) }))
    }

    fn add(&mut self, owner: AgentName, config: UdpConfig) -> Result<(), Fault> {
        let config = self.with_doorbell(owner, config);
        let port = self.open_port(&format!("{}_port", owner.as_str()), config)?;
        self.udp.insert(owner, port);
        Ok(())
    }

    fn with_doorbell(&self, owner: AgentName, config: UdpConfig) -> UdpConfig {
        UdpConfig { doorbell: self.doorbells.get(&owner).cloned(), ..config }
    }

    pub(crate) fn open_port(&mut self, name: &str, config: UdpConfig) -> Result<Datagrams, Fault> {
        let port = open(|| UdpPort::open(config.clone()))?;
        if self.counters.is_empty() {
            self.notices.push(format!("packets move over {}", port.transport_reason()));
        }
        for notice in port.notices() {
            if !self.notices.contains(notice) {
                self.notices.push(notice.clone());
            }
        }
        let datagrams = Datagrams::new(port);
        self.counters.push((name.to_owned(), datagrams.counters()));
        Ok(datagrams)
    }
}

/// Opens a port; waits for an address that is being let go of.
pub(crate) fn open<P>(attempt: impl Fn() -> Result<P, NicError>) -> Result<P, Fault> {
    let deadline_ns = clock::monotonic_ns() + ADDRESS_NS;
    loop {
        match attempt() {
            Err(NicError::AddressInUse { .. }) if clock::monotonic_ns() < deadline_ns => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            opened => return opened.map_err(Fault::from),
        }
    }
}
