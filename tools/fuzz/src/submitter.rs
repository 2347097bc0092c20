//! The client's side of the bus: every block gets one outcome, in order, and what is sent is what was submitted.
use gds_core::bus::{SubmitEvent, Submitter, SubmitterConfig};
use gds_core::time::Time;
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::mold::{Packet, Request};
use gds_wire::refusal::{Refusal, RefusalReason};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::script::Script;

const SESSION: Session = Session(*b"CLIENT    ");
const PAYLOAD_BYTES_MAX: usize = 100;

/// Submissions, acknowledgements, refusals, requests and times into a submitter.
pub fn submitter(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        match step % 8 {
            0 | 1 => run.submit(script.bytes()),
            2 => run.acknowledge(&mut script),
            3 => run.datagram(&mut script),
            4 => run.acknowledge_raw(script.bytes()),
            5 => run.time(script.number().saturating_mul(50_000)),
            6 => run.flush(),
            _ if step >= 0xF0 => run.submitter.end(),
            _ => run.datagram_raw(script.bytes()),
        }
        run.check();
    }
}

struct Run {
    submitter: Submitter,
    /// Every block taken, from number 1 on.
    blocks: Vec<Vec<u8>>,
    /// How many of them have their outcome.
    done: u64,
    bus: u64,
    now: Time,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 1), 1);
        let config = SubmitterConfig {
            groups: vec![group; 1 + script.below(2)],
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            window_messages: 1 + script.below(16),
            window_bytes: 2 * PAYLOAD_BYTES_MAX + script.below(200),
            resend_packets: 1 + script.below(3),
            ..SubmitterConfig::new(SESSION, group)
        };
        let now = Time { monotonic_ns: 1, wall_ns: 1 };
        Self { submitter: Submitter::new(config), blocks: Vec::new(), done: 0, bus: 0, now }
    }

    fn submit(&mut self, block: &[u8]) {
        match self.submitter.submit(block) {
            Ok(number) => {
                self.blocks.push(block.to_vec());
                assert_eq!(number, self.blocks.len() as u64);
            }
            Err(error) => drop(error.to_string()),
        }
    }

    fn acknowledge(&mut self, script: &mut Script<'_>) {
        let number = script.near(self.done + 1);
        let block = number.checked_sub(1).and_then(|index| self.blocks.get(index as usize));
        let checksum = gds_wire::checksum(block.map_or(&[], |block| &block[..])) ^ u32::from(script.flag());
        let outcome = Outcome::ALL[script.below(Outcome::ALL.len())];
        let session = if script.byte() == 0xFF { Session::NODE } else { SESSION };
        self.acknowledge_raw(&Acknowledgement::new(session, number, checksum, outcome).to_bytes());
    }

    fn acknowledge_raw(&mut self, message: &[u8]) {
        self.bus += 1;
        let Self { submitter, done, bus, now, .. } = self;
        let mut clash = None;
        submitter.on_acknowledgement(*now, *bus, message, &mut |event| note(event, done, *bus, &mut clash));
        // A block whose number somebody else has used has no outcome, and is not waited for any longer.
        let over = (self.blocks.len() - self.submitter.unacknowledged()) as u64;
        if over == self.done + 1 && clash == Some(over) {
            self.done = over;
        }
    }

    fn datagram(&mut self, script: &mut Script<'_>) {
        if script.flag() {
            let sequence = script.near(self.done + 1);
            let request = Request { session: SESSION, sequence, count: script.u16() };
            self.datagram_raw(&request.to_bytes());
        } else {
            let reason = RefusalReason::from_u16(1 + u16::from(script.byte() % 4)).expect("four reasons");
            // The end of the stream ends everything: rarely.
            let ends = reason == RefusalReason::StreamEnded && !script.flag();
            let reason = if ends { RefusalReason::DiskFull } else { reason };
            self.datagram_raw(&Refusal { reason, session: SESSION, next: script.number() }.to_bytes());
        }
    }

    fn datagram_raw(&mut self, datagram: &[u8]) {
        let mut sent = Vec::new();
        self.submitter.on_datagram(
            self.now,
            datagram,
            &mut |_, burst, bytes| sent.extend(burst.chunks(bytes).map(<[u8]>::to_vec)),
            &mut |event| assert!(matches!(event, SubmitEvent::Refused { .. }), "{event:?}"),
        );
        self.check_sent(&sent);
    }

    fn time(&mut self, ns: u64) {
        self.now.monotonic_ns = self.now.monotonic_ns.saturating_add(ns).min(1 << 60);
        let mut sent = Vec::new();
        self.submitter
            .on_timer(self.now, &mut |_, burst, bytes| sent.extend(burst.chunks(bytes).map(<[u8]>::to_vec)));
        self.check_sent(&sent);
        assert!(self.submitter.due_ns() > 0);
    }

    fn flush(&mut self) {
        let mut sent = Vec::new();
        self.submitter
            .flush(self.now, &mut |_, burst, bytes| sent.extend(burst.chunks(bytes).map(<[u8]>::to_vec)));
        self.check_sent(&sent);
    }

    fn check_sent(&self, sent: &[Vec<u8>]) {
        for datagram in sent {
            assert!(datagram.len() <= PAYLOAD_BYTES_MAX);
            let packet = Packet::parse(datagram).expect("a downstream packet");
            assert_eq!((packet.session, packet.trailing_bytes), (SESSION, 0));
            assert!(packet.next_sequence() <= self.submitter.next_sequence());
            for (number, message) in packet.messages() {
                assert!(number > self.done, "{number} is sent after its outcome");
                assert_eq!(self.blocks[number as usize - 1], message);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.submitter.next_sequence(), self.blocks.len() as u64 + 1);
        assert_eq!(self.submitter.unacknowledged() as u64, self.blocks.len() as u64 - self.done);
    }
}

/// Outcomes come in the order of submission, one for each block.
fn note(event: SubmitEvent, done: &mut u64, bus: u64, clash: &mut Option<u64>) {
    match event {
        SubmitEvent::Acknowledged { client_sequence, sequence, .. } => {
            *done += 1;
            assert_eq!((client_sequence, sequence), (*done, bus));
        }
        SubmitEvent::SessionClash { client_sequence } => {
            assert!(client_sequence > *done);
            *clash = Some(client_sequence);
        }
        SubmitEvent::Refused { .. } | SubmitEvent::Ended { .. } => {}
    }
}
