//! Which datagrams of a recording are wanted.
use std::net::{Ipv4Addr, SocketAddrV4};

/// Wanted destinations. An empty list wants all; the default wants everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Wanted destination addresses (multicast groups, as a rule).
    pub groups: Vec<Ipv4Addr>,
    /// Wanted destination ports.
    pub ports: Vec<u16>,
}

impl Filter {
    /// Is this destination address wanted?
    pub fn wants_group(&self, destination: &SocketAddrV4) -> bool {
        self.groups.is_empty() || self.groups.contains(destination.ip())
    }

    /// Is this destination port wanted?
    pub fn wants_port(&self, destination: &SocketAddrV4) -> bool {
        self.ports.is_empty() || self.ports.contains(&destination.port())
    }
}
