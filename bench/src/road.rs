//! The road that packets take: by which backend, and between which two ends.
//!
//! Both ends are on this host, over its loopback interface, or on a host of their own each, over the virtual interfaces that join the
//! two ([`gds_hosts`]). AF_XDP needs the latter. The far end is where the system under test is, or a floor's far side; the near end
//! is where the load comes from.
use gds_hosts::{ADDRESS, Hosts, INTERFACE};
use gds_nic::xdp::{XdpConfig, XdpMode};
use gds_nic::{Interface, Transport, UdpConfig, UdpPort};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// One end of a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The system under test, or a floor's far side: host 0.
    Far,
    /// The load: host 1.
    Near,
}

/// A backend, and two ends. Displayed as what tells backends apart: `socket`, `af_xdp native`.
#[derive(Clone, Debug)]
pub struct Road {
    /// The backend, at both ends.
    pub transport: Transport,
    /// How packets get from the interface to us, for AF_XDP.
    pub mode: XdpMode,
    /// Where the ends are; `None`: on this host.
    hosts: Option<Arc<Hosts>>,
}

impl From<Transport> for Road {
    /// Over the loopback interface.
    fn from(transport: Transport) -> Self {
        Self { transport, mode: XdpMode::Auto, hosts: None }
    }
}

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::AfXdp => write!(f, "{} {}", self.transport, self.mode),
            _ => self.transport.fmt(f),
        }
    }
}

impl Road {
    /// Between two hosts.
    pub fn between(hosts: &Arc<Hosts>, transport: Transport, mode: XdpMode) -> Self {
        Self { transport, mode, hosts: Some(hosts.clone()) }
    }

    /// Every backend between two hosts: sockets, io_uring, and AF_XDP with its program in the driver and in the kernel.
    pub fn all_between(hosts: &Arc<Hosts>) -> [Self; 4] {
        [
            (Transport::Socket, XdpMode::Auto),
            (Transport::IoUring, XdpMode::Auto),
            (Transport::AfXdp, XdpMode::Native),
            (Transport::AfXdp, XdpMode::Generic),
        ]
        .map(|(transport, mode)| Self::between(hosts, transport, mode))
    }

    /// The interface, which has the same name at both ends.
    pub fn interface(&self) -> &'static str {
        if self.hosts.is_some() { INTERFACE } else { "lo" }
    }

    /// The address of an end.
    pub fn address(&self, end: End) -> Ipv4Addr {
        if self.hosts.is_some() { ADDRESS[end as usize] } else { Ipv4Addr::LOCALHOST }
    }

    /// Does `work` at an end. Ports that it opens stay there, whoever uses them.
    pub fn on<T: Send>(&self, end: End, work: impl FnOnce() -> T + Send) -> T {
        match &self.hosts {
            Some(hosts) => hosts.on(end as usize, work),
            None => work(),
        }
    }

    /// A command that runs a program at an end.
    pub fn command(&self, end: End, program: &Path) -> Command {
        match &self.hosts {
            Some(hosts) => hosts.command(end as usize, &program.to_string_lossy()),
            None => Command::new(program),
        }
    }

    /// What a port at this address, group or not, is opened with.
    pub fn receiving(&self, address: SocketAddrV4) -> UdpConfig {
        let config =
            if address.ip().is_multicast() { UdpConfig::group(address) } else { UdpConfig::new(address) };
        UdpConfig {
            transport: self.transport,
            interface: Interface::Name(self.interface().into()),
            xdp: XdpConfig { mode: self.mode, ..XdpConfig::default() },
            ..config
        }
    }

    /// What a port that only sends is opened with.
    pub fn sending(&self, end: End) -> UdpConfig {
        self.receiving(SocketAddrV4::new(self.address(end), 0))
    }

    /// Opens a port at an end.
    ///
    /// # Errors
    /// What the port says.
    pub fn open(&self, end: End, config: UdpConfig) -> Result<UdpPort, String> {
        self.on(end, || UdpPort::open(config).map_err(|error| error.to_string()))
    }

    /// Can ports be opened on it?
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        self.open(End::Far, self.sending(End::Far))?;
        self.open(End::Near, self.sending(End::Near)).map(drop)
    }

    /// What a node at the far end and its clients at the near end have in their configuration's `[network]`: keys, then tables of
    /// their own. On this host nothing but the backend, so that older nodes understand it, too.
    pub fn configuration(&self) -> (String, String) {
        let Self { transport, mode, hosts } = self;
        let backend = format!("transport = \"{transport}\"\n");
        if hosts.is_none() {
            return (backend, String::new());
        }
        // What leaves in a burst arrives uncut in generic mode.
        let segmentation = *mode != XdpMode::Generic;
        let [far, near] = [End::Far, End::Near].map(|end| self.address(end));
        let keys = format!(
            "{backend}interface = \"{}\"\nnode = \"{far}\"\nsegmentation = {segmentation}\n",
            self.interface()
        );
        let tables = format!(
            "[network.af_xdp]\nmode = \"{mode}\"\n\
             [[admission]]\npattern = \"*\"\nsources = [\"{near}/32\"]\ngap = \"wait\"\nskip_after_ms = 1000\nstart = \"one\"\n\
             rerequest = \"source\"\n"
        );
        (keys, tables)
    }
}
