//! Line arbitration of recordings: every session's messages in order, and each number once, as a message or in a gap.
use gds_feed::arbitrate::{Arbiter, ArbiterConfig, Arbitrated, Start};
use gds_feed::capture::Datagram;
use gds_wire::session::Session;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::script::Script;
use crate::traffic::{SESSIONS, Traffic};

/// Datagrams of a recording into an arbiter.
pub fn arbiter(data: &[u8]) {
    let mut script = Script::new(data);
    let config = ArbiterConfig {
        start: if script.flag() { Start::One } else { Start::FirstSeen },
        session: script.flag().then_some(SESSIONS[0]),
        request_ports: vec![7],
        held_messages_max: 1 + script.below(20),
        held_bytes_max: script.below(256) * 8,
        gap_ns_max: 1_000,
        sessions_max: 1 + script.below(4),
        gaps_max: script.below(4),
    };
    let start = config.start;
    let mut arbiter = Arbiter::new(config);
    let mut traffic = Traffic::default();
    let mut order = Order::default();
    let mut timestamp_ns = 0_u64;
    while let Some(step) = script.step() {
        timestamp_ns = timestamp_ns.saturating_add_signed(i64::from(step as i8) * 10);
        let host = if script.flag() { Ipv4Addr::new(239, 1, 1, 1) } else { Ipv4Addr::LOCALHOST };
        let destination = SocketAddrV4::new(host, 5 + script.below(4) as u16);
        let payload = traffic.datagram(&mut script, |session| order.next(session));
        let datagram = Datagram { timestamp_ns, source: destination, destination, payload: &payload };
        arbiter.on_datagram(&datagram, &mut |what| order.take(&what, Some(&traffic)));
    }
    arbiter.finish(&mut |what| order.take(&what, Some(&traffic)));
    let counts = arbiter.counts();
    assert_eq!((counts.messages, counts.gaps, counts.missing), (order.messages, order.gaps, order.missing));
    if start == Start::One {
        assert!(order.first.values().all(|first| *first == 1));
    }
}

/// What was handed on, and whether it was in order.
#[derive(Debug, Default)]
pub struct Order {
    next: HashMap<Session, u64>,
    first: HashMap<Session, u64>,
    messages: u64,
    gaps: u64,
    missing: u64,
}

impl Order {
    /// The number that must follow in this session.
    pub fn next(&self, session: &Session) -> u64 {
        self.next.get(session).copied().unwrap_or(1)
    }

    /// Takes what an arbiter handed on.
    pub fn take(&mut self, what: &Arbitrated<'_>, traffic: Option<&Traffic>) {
        let (session, first, last) = match what {
            Arbitrated::Message { session, sequence, bytes, .. } => {
                let sent = traffic.is_none_or(|traffic| traffic.had(*session, *sequence, bytes));
                assert!(sent, "{session} {sequence} was never sent so");
                self.messages += 1;
                (*session, *sequence, *sequence)
            }
            Arbitrated::Gap(gap) => {
                self.gaps += 1;
                self.missing = self.missing.saturating_add(gap.messages());
                (gap.session, gap.first, gap.last)
            }
        };
        let expected = self.next.insert(session, last + 1);
        assert!(expected.is_none_or(|expected| expected == first), "{what:?} after {expected:?}");
        assert!(first <= last);
        self.first.entry(session).or_insert(first);
    }
}
