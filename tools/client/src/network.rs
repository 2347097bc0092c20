//! Where a node is, and how its clients open ports towards it.
use gds_nic::{NicError, Transport, UdpConfig, UdpPort};
use gds_node::config::Config;
use gds_node::node::Addresses;
use gds_node::ports::Datagrams;
use gds_node::settings;
use gds_wire::session::Session;
use gds_wire::soup::RejectCode;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why a client cannot do what it was asked for.
#[derive(Debug)]
pub enum ClientError {
    /// A port could not be opened.
    Nic(NicError),
    /// Nothing was heard or answered in time.
    Silence {
        /// What was waited for, and from where.
        what: String,
        /// For how long.
        seconds: f64,
    },
    /// The login was rejected.
    Rejected(RejectCode),
    /// The server closed the session for good.
    Ended,
    /// The stream is another session than the one that was followed.
    OtherSession {
        /// The session that was followed.
        old: Session,
        /// The one that there is now.
        new: Session,
        /// From which number on it may say something else; `None`: it does not say that it was the same stream.
        from: Option<u64>,
    },
    /// Arguments that cannot be sent.
    Argument(String),
    /// The node answered with an error.
    Refused(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nic(error) => error.fmt(f),
            Self::Silence { what, seconds } => {
                write!(f, "no {what} within {seconds} s: is the node running, with the same configuration?")
            }
            Self::Rejected(RejectCode::NotAuthorized) => f.write_str(
                "login rejected: user or password is wrong (they are [[user]] in the node's configuration)",
            ),
            Self::Rejected(RejectCode::SessionNotAvailable) => {
                f.write_str("login rejected: no such session any more")
            }
            Self::OtherSession { old, new, from: Some(from) } => write!(
                f,
                "stream {old} goes on as session {new} from a forced lead: messages from {from} on may differ from what was heard as {old}. Nothing of {new} was taken; to go on with it, ask for \
                 it by its name"
            ),
            Self::OtherSession { old, new, from: None } => {
                write!(
                    f,
                    "session {new} is heard and not {old}: another stream, or {old} goes on under that name. Nothing of {new} was taken; `gds status` tells"
                )
            }
            Self::Ended => f.write_str("the server ended the session"),
            Self::Argument(what) | Self::Refused(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<NicError> for ClientError {
    fn from(error: NicError) -> Self {
        Self::Nic(error)
    }
}

/// A node's addresses, those of its cluster, and how to open ports towards them.
#[derive(Clone, Debug)]
pub struct Network {
    config: Config,
    interface: Ipv4Addr,
    addresses: Addresses,
    /// Of the node, and behind it the other nodes of its cluster.
    nodes: Vec<Ipv4Addr>,
}

impl Network {
    /// The network that a node with this configuration is on.
    pub fn of(config: &Config) -> Result<Self, ClientError> {
        let interface = settings::interface(config).resolve()?.address;
        let node = settings::node(config).unwrap_or(interface);
        let peers =
            if settings::cluster_node(config).is_some() { settings::peers(config) } else { Vec::new() };
        let nodes = std::iter::once(node).chain(peers.into_iter().map(|(_, address)| address)).collect();
        Ok(Self { addresses: Addresses::of(config, node), interface, nodes, config: config.clone() })
    }

    /// Where the node is.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where missed messages are asked for, nearest first: the rewinders that the configuration names, the node, and the other nodes of its cluster.
    pub fn rewinders(&self) -> Vec<SocketAddrV4> {
        settings::rewinders(&self.config, *self.addresses.rewinder.ip())
    }

    /// Where queries are asked: the node, and the other nodes of its cluster.
    pub fn queries(&self) -> Vec<SocketAddrV4> {
        let port = self.addresses.query.port();
        self.nodes.iter().map(|node| SocketAddrV4::new(*node, port)).collect()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A port that receives one group and nothing else.
    pub fn group_port(&self, group: SocketAddrV4) -> Result<Datagrams, ClientError> {
        Ok(Datagrams::new(UdpPort::open(self.settings(group, &[*group.ip()]))?))
    }

    /// A port of the client's own: it sends, and receives what is sent to it alone.
    pub fn own_port(&self) -> Result<Datagrams, ClientError> {
        Ok(Datagrams::new(UdpPort::open(self.settings(SocketAddrV4::new(self.interface, 0), &[]))?))
    }

    fn settings(&self, bind: SocketAddrV4, join: &[Ipv4Addr]) -> UdpConfig {
        let settings = settings::udp(&self.config, bind, join);
        // Who comes and goes attaches no program to an interface unasked, nor takes a node's queue before it.
        let transport = match settings.transport {
            Transport::Auto => Transport::Kernel,
            chosen => chosen,
        };
        UdpConfig { transport, datagram_bytes_max: 4096, ..settings }
    }
}
