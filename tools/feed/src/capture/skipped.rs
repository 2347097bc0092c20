//! What of a packet capture was not delivered, and why.
use std::fmt;

/// Counts of packets that were not delivered, by kind, and of two things that were seen on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Parts of fragmented IPv4 packets. They are not put together again.
    pub fragments: u64,
    /// Packets of which the recorder kept too little (its snap length) to have the whole datagram.
    pub truncated: u64,
    /// IPv6 packets.
    pub ipv6: u64,
    /// Frames that carry neither IPv4 nor IPv6 (ARP, LLDP and so on).
    pub not_ip: u64,
    /// IPv4 packets that carry no UDP (TCP, IGMP, ICMP and so on).
    pub not_udp: u64,
    /// Packets whose headers contradict themselves.
    pub malformed: u64,
    /// Packets of a link type that is not read here.
    pub link_types: u64,
    /// Datagrams to a destination address that the filter does not want.
    pub other_groups: u64,
    /// Datagrams to a wanted address and a port that the filter does not want.
    pub other_ports: u64,
    /// Not skipped: VLAN tags stepped over.
    pub vlan_tags: u64,
    /// Not packets: pcapng blocks of other kinds (names, statistics and so on).
    pub other_blocks: u64,
}

impl Skipped {
    /// Packets that were not delivered, all kinds together.
    pub fn packets(&self) -> u64 {
        self.each().iter().map(|(count, _)| count).sum()
    }

    fn each(&self) -> [(u64, &'static str); 9] {
        [
            (self.fragments, "IPv4 fragments"),
            (self.truncated, "cut short by the recorder"),
            (self.ipv6, "IPv6"),
            (self.not_ip, "not IP"),
            (self.not_udp, "not UDP"),
            (self.malformed, "malformed"),
            (self.link_types, "of a link type not read here"),
            (self.other_groups, "to other groups"),
            (self.other_ports, "to other ports"),
        ]
    }

    pub(super) fn count(&mut self, skip: Skip) {
        let counter = match skip {
            Skip::Fragment => &mut self.fragments,
            Skip::Truncated => &mut self.truncated,
            Skip::Ipv6 => &mut self.ipv6,
            Skip::NotIp => &mut self.not_ip,
            Skip::NotUdp => &mut self.not_udp,
            Skip::Malformed => &mut self.malformed,
            Skip::LinkType => &mut self.link_types,
            Skip::Group => &mut self.other_groups,
            Skip::Port => &mut self.other_ports,
        };
        *counter += 1;
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packets() {
            0 => f.write_str("no packet skipped")?,
            1 => f.write_str("1 packet skipped")?,
            many => write!(f, "{many} packets skipped")?,
        }
        let mut separator = ": ";
        for (count, kind) in self.each().into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {kind}")?;
            separator = ", ";
        }
        if self.vlan_tags > 0 {
            write!(f, "; {} VLAN tags stepped over", self.vlan_tags)?;
        }
        Ok(())
    }
}

/// Why one packet is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Fragment,
    Truncated,
    Ipv6,
    NotIp,
    NotUdp,
    Malformed,
    LinkType,
    Group,
    Port,
}
