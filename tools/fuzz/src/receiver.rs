//! Gap fill: whatever arrives, messages are delivered in order, once, as they were sent; and no gap is forgotten.
use gds_core::bus::{Receiver, ReceiverConfig};
use gds_core::time::{MICROSECOND_NS, Time};
use gds_wire::mold::Request;
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::script::Script;
use crate::traffic::{SESSIONS, Traffic};

const REQUESTS_MAX: usize = 3;
/// Requests that must be enough until the oldest gap is asked for.
const PATIENCE: usize = 1_000;
/// So many missing messages are filled in at the end; there may be any number of them.
const MESSAGES_MAX: usize = 300;

/// Datagrams and times into a receiver.
pub fn receiver(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        match step % 4 {
            0..=2 => run.datagram(&mut script),
            _ => {
                run.time(script.number().saturating_mul(1_000));
                run.ask();
            }
        }
        run.check();
    }
    run.fill_up();
}

struct Run {
    receiver: Receiver,
    traffic: Traffic,
    /// The number that must be delivered next, once the first was.
    next: Option<u64>,
    now: Time,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let rewinder = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let config = ReceiverConfig {
            session: script.flag().then_some(SESSIONS[0]),
            next: if script.flag() { script.number() } else { 1 },
            window_packets: 1 + script.below(6),
            packet_bytes_max: if script.flag() { 1472 } else { 120 },
            rewinders: vec![rewinder(1), rewinder(2)],
            gaps_max: 1 + script.below(6),
            requests_max: 1 + script.below(REQUESTS_MAX),
            ..ReceiverConfig::default()
        };
        let next = (config.next != 0).then_some(config.next);
        Self { receiver: Receiver::new(config), traffic: Traffic::default(), next, now: Time::default() }
    }

    fn datagram(&mut self, script: &mut Script<'_>) {
        let near = if script.flag() { self.receiver.known_sequence() } else { self.receiver.next_sequence() };
        let datagram = self.traffic.datagram(script, |_| near);
        self.deliver(&datagram);
    }

    fn deliver(&mut self, datagram: &[u8]) {
        let Self { receiver, traffic, next, now } = self;
        let mut delivered = Vec::new();
        receiver.on_packet(*now, datagram, &mut |sequence, message| {
            delivered.push((sequence, message.to_vec()));
        });
        for (sequence, message) in delivered {
            assert!(next.is_none_or(|next| next == sequence), "{sequence} after {next:?}");
            let session = receiver.session().expect("something was delivered");
            assert!(traffic.had(session, sequence, &message), "{sequence} was never sent so");
            *next = Some(sequence + 1);
        }
    }

    fn time(&mut self, ns: u64) {
        self.now.monotonic_ns = self.now.monotonic_ns.saturating_add(ns.min(1 << 40));
    }

    /// Whether the message wanted next was asked for.
    fn ask(&mut self) -> bool {
        let mut requests = Vec::new();
        let sent = self.receiver.on_timer(self.now, &mut |_, request| requests.push(*request));
        assert_eq!(sent, requests.len());
        let (next, known) = (self.receiver.next_sequence(), self.receiver.known_sequence());
        let mut asked = false;
        for request in requests {
            let request = Request::parse(&request).expect("a request");
            assert_eq!(Some(request.session), self.receiver.session());
            let end = request.sequence + u64::from(request.count);
            assert!(
                request.count > 0 && request.sequence >= next && end <= known,
                "{request:?} in {next}..{known}"
            );
            asked |= request.sequence == next;
        }
        asked
    }

    fn check(&self) {
        let (next, known) = (self.receiver.next_sequence(), self.receiver.known_sequence());
        assert!(next <= known);
        assert!(self.next.is_none_or(|expected| expected == next));
        assert_eq!(next < known, self.receiver.due_ns() != u64::MAX, "{next} of {known}");
    }

    /// Whatever is missing is asked for in the end, and what is asked for is enough.
    fn fill_up(&mut self) {
        let session = self.receiver.session().unwrap_or(Session::BLANK);
        for _ in 0..MESSAGES_MAX {
            let wanted = self.receiver.next_sequence();
            // The very last numbers do not fit a packet with others.
            if wanted == self.receiver.known_sequence() || wanted > u64::MAX - 16 {
                return;
            }
            let asked = (0..PATIENCE).any(|_| {
                let step_ns = self.now.monotonic_ns + 50 * MICROSECOND_NS;
                self.now.monotonic_ns = step_ns.max(self.receiver.due_ns());
                self.ask()
            });
            assert!(asked, "{wanted} is missing and nobody asks for it");
            let reply = self.traffic.packet(session, wanted, 1);
            self.deliver(&reply);
            assert!(self.receiver.next_sequence() > wanted);
            self.check();
        }
    }
}
