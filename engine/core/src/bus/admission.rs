//! Who may submit, and what happens to a session with a gap: by session pattern and source address.
use gds_wire::session::{Session, SessionPattern};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What to do about client sequence numbers that do not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapPolicy {
    /// Wait for them, for ever.
    Wait,
    /// Give them up, by a message on the bus, when they have been missing for this long. For feeds whose lines both lost them.
    Skip {
        /// Nanoseconds.
        after_ns: u64,
    },
}

/// Where the numbers of a session begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At 1: a session first heard with a higher number has a gap.
    One,
    /// At the first number heard: a feed that is joined in mid-day.
    FirstSeen,
}

/// Where to ask for messages of a session that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerequest {
    /// Nowhere: whoever sends resends by itself.
    Nobody,
    /// Where the session's packets come from: GDS's own clients answer there.
    Source,
    /// A re-request server.
    Address(SocketAddrV4),
}

/// One rule; the first that matches a packet counts.
#[derive(Clone, Debug)]
pub struct AdmissionRule {
    /// The sessions meant.
    pub pattern: SessionPattern,
    /// Addresses packets may come from, each with its prefix length (32: this one address). Empty: from anywhere.
    pub sources: Vec<(Ipv4Addr, u8)>,
    /// What to do about gaps.
    pub gap: GapPolicy,
    /// Where numbers begin.
    pub start: StartAt,
    /// Where to ask about gaps.
    pub rerequest: Rerequest,
}

impl AdmissionRule {
    /// Any session from anywhere, from 1 on, waiting for what is missing and asking the sender for it.
    pub fn anyone() -> Self {
        Self {
            pattern: SessionPattern::ANY,
            sources: Vec::new(),
            gap: GapPolicy::Wait,
            start: StartAt::One,
            rerequest: Rerequest::Source,
        }
    }

    /// Whether a packet of this session from this address is meant.
    pub fn matches(&self, session: &Session, source: Ipv4Addr) -> bool {
        self.pattern.matches(session)
            && (self.sources.is_empty() || self.sources.iter().any(|net| within(source, *net)))
    }
}

fn within(address: Ipv4Addr, (network, bits): (Ipv4Addr, u8)) -> bool {
    let differing = u32::from(address) ^ u32::from(network);
    bits == 0 || differing >> (32 - u32::from(bits.min(32))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_match_by_pattern_and_prefix() {
        let rule = AdmissionRule {
            pattern: "AB*".parse().unwrap(),
            sources: vec![("10.1.0.0".parse().unwrap(), 16), ("10.2.0.7".parse().unwrap(), 32)],
            ..AdmissionRule::anyone()
        };
        let session = Session::padded("ABC").unwrap();
        for (address, expected) in
            [("10.1.200.3", true), ("10.2.0.7", true), ("10.2.0.6", false), ("11.1.0.1", false)]
        {
            assert_eq!(rule.matches(&session, address.parse().unwrap()), expected, "{address}");
        }
        assert!(!rule.matches(&Session::padded("BA").unwrap(), "10.1.0.1".parse().unwrap()));
        let anywhere = AdmissionRule { sources: vec![("1.2.3.4".parse().unwrap(), 0)], ..rule };
        assert!(anywhere.matches(&session, "200.1.1.1".parse().unwrap()));
    }
}
