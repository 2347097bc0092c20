//! The road that packets take: by which backend, and between which two ends.
//!
//! Both ends are on this host, over its loopback interface, or on a host of their own each, over the virtual interfaces that join the
//! two, or two of many ([`gds_hosts`]). AF_XDP needs two. The far end is where the system under test is, or a floor's far side; the near
//! end is where the load comes from.
use gds_hosts::{ADDRESS, Hosts, INTERFACE, Mesh};
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
    place: Place,
}

/// Where the ends are.
#[derive(Clone, Debug)]
enum Place {
    /// On this host.
    Here,
    /// On a host of a pair each.
    Pair(Arc<Hosts>),
    /// On two hosts of many, by the number of an [`End`].
    Mesh(Arc<Mesh>, [usize; 2]),
}

impl From<Transport> for Road {
    /// Over the loopback interface.
    fn from(transport: Transport) -> Self {
        Self { transport, mode: XdpMode::Auto, place: Place::Here }
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
        Self { transport, mode, place: Place::Pair(hosts.clone()) }
    }

    /// Over sockets, between two hosts of many.
    pub fn across(mesh: &Arc<Mesh>, far: usize, near: usize) -> Self {
        Self {
            transport: Transport::Socket,
            mode: XdpMode::Auto,
            place: Place::Mesh(mesh.clone(), [far, near]),
        }
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
        if self.is_here() { "lo" } else { INTERFACE }
    }

    fn is_here(&self) -> bool {
        matches!(self.place, Place::Here)
    }

    /// The address of an end.
    pub fn address(&self, end: End) -> Ipv4Addr {
        match &self.place {
            Place::Here => Ipv4Addr::LOCALHOST,
            Place::Pair(_) => ADDRESS[end as usize],
            Place::Mesh(mesh, hosts) => mesh.address(hosts[end as usize]),
        }
    }

    /// Does `work` at an end. Ports that it opens stay there, whoever uses them.
    pub fn on<T: Send>(&self, end: End, work: impl FnOnce() -> T + Send) -> T {
        match &self.place {
            Place::Here => work(),
            Place::Pair(hosts) => hosts.on(end as usize, work),
            Place::Mesh(mesh, hosts) => mesh.on(hosts[end as usize], work),
        }
    }

    /// A command that runs a program at an end.
    pub fn command(&self, end: End, program: &Path) -> Command {
        match &self.place {
            Place::Here => Command::new(program),
            Place::Pair(hosts) => hosts.command(end as usize, &program.to_string_lossy()),
            Place::Mesh(mesh, hosts) => mesh.command(hosts[end as usize], &program.to_string_lossy()),
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
        let Self { transport, mode, .. } = self;
        let backend = format!("transport = \"{transport}\"\n");
        if self.is_here() {
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
