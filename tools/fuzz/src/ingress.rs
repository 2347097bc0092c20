//! Ingress and sequencer: whatever arrives, every session's messages come on the bus once, in order, as they were sent.
use gds_core::bus::{
    AdmissionRule, GapPolicy, IngressConfig, Rerequest, Sequencer, SequencerConfig, StartAt,
};
use gds_core::cursor::Progress;
use gds_core::memory::{HeapWords, Read, Ring, RingConfig, RingIdentity, RingReader};
use gds_core::port::DatagramPort;
use gds_core::time::{MILLISECOND_NS, Time};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration};
use gds_wire::envelope::{Kind, Message};
use gds_wire::mold::Request;
use gds_wire::refusal::Refusal;
use gds_wire::session::{Session, SessionPattern};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crate::script::Script;
use crate::traffic::{SESSIONS, Traffic};

const PAYLOAD_BYTES_MAX: usize = 150;
const NOBODY: Session = SESSIONS[2];
/// More timers than it takes until every gap is filled, skipped or given up.
const PATIENCE: usize = 4_000;

/// Datagrams, times and the journal's progress into a sequencer.
pub fn ingress(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new(&mut script);
    while let Some(step) = script.step() {
        match step % 8 {
            0..=4 => run.datagram(&mut script),
            5 => run.time(script.number().saturating_mul(100_000).min(1 << 44)),
            6 => {
                let reserved = run.sequencer.next_sequence() + u64::from(script.byte() / 8);
                run.progress.reserved.set(reserved.max(run.progress.reserved.get()));
                run.time(MILLISECOND_NS);
            }
            _ => {
                let behind = u64::from(script.byte() / 32);
                let durable = (run.sequencer.next_sequence() - 1).saturating_sub(behind);
                run.progress.durable.set(durable.max(run.progress.durable.get()));
                run.time(MILLISECOND_NS);
            }
        }
        run.finish_step();
    }
    run.settle();
}

struct Run {
    sequencer: Sequencer,
    progress: Arc<Progress>,
    reader: RingReader,
    traffic: Traffic,
    model: Model,
    now: Time,
    requests: Vec<Request>,
}

fn source() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)
}

fn rules() -> Vec<AdmissionRule> {
    let rule = |pattern: &str, gap, start, rerequest| AdmissionRule {
        pattern: pattern.parse().expect("a pattern"),
        sources: Vec::new(),
        gap,
        start,
        rerequest,
    };
    vec![
        rule("WAIT", GapPolicy::Wait, StartAt::One, Rerequest::Source),
        rule("SKIP", GapPolicy::Skip { after_ns: 5 * MILLISECOND_NS }, StartAt::FirstSeen, Rerequest::Nobody),
        rule("NOBODY", GapPolicy::Wait, StartAt::One, Rerequest::Nobody),
        rule("I*", GapPolicy::Wait, StartAt::FirstSeen, Rerequest::Address(source())),
        rule("GDSNODE", GapPolicy::Wait, StartAt::One, Rerequest::Source),
        rule("??", GapPolicy::Wait, StartAt::FirstSeen, Rerequest::Source),
    ]
}

fn declaration(sessions_max: u32, session_forget_messages: u64) -> Declaration {
    let itch = SchemaDeclaration {
        pattern: "I*".parse::<SessionPattern>().expect("a pattern"),
        schema: Schema::Itch50,
        version: 1,
        first_table: 1,
    };
    let limits = Limits {
        records_max: 1,
        bytes_max: 1,
        sessions_max,
        session_forget_messages,
        horizon_messages: 1,
        index_seed: 1,
    };
    Declaration { limits, tables: Vec::new(), schemas: vec![itch] }
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let sizes = RingConfig { data_bytes: 4096 << script.below(3), positions: 16 << script.below(3) };
        let words = HeapWords::shared(Ring::words_needed(&sizes));
        let ring = Ring::create(
            words,
            sizes,
            RingIdentity { stream: Session::NODE, boot_id: [0; 16], directory: [0; 16] },
            1,
        );
        let progress = Arc::new(Progress::default());
        progress.reserved.set(1 + u64::from(script.byte()));
        let config = SequencerConfig {
            ingress: IngressConfig {
                rules: rules(),
                window_messages: 1 + u64::from(script.byte() % 64),
                packets_max: 1 + script.below(12),
                packets_per_session_max: 1 + script.below(8),
                packet_bytes_max: if script.flag() { 1472 } else { 120 },
                receptions_max: 1 + script.below(4),
                ..IngressConfig::default()
            },
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            ..SequencerConfig::default()
        };
        let mut sequencer = Sequencer::new(config, ring.writer(), Arc::clone(&progress));
        let forget = u64::from(script.byte() % 32);
        let declaration = declaration(1 + script.below(5) as u32, forget);
        let model = Model { forget, ..Model::default() };
        sequencer.declare(Time::default(), &declaration).expect("the first message has room");
        let reader = ring.reader(1);
        let (traffic, now) = (Traffic::default(), Time { monotonic_ns: 1, wall_ns: 1 });
        let mut run = Self { sequencer, progress, reader, traffic, model, now, requests: Vec::new() };
        run.finish_step();
        run
    }

    fn datagram(&mut self, script: &mut Script<'_>) {
        let Self { traffic, sequencer, .. } = self;
        let datagram =
            traffic.datagram(script, |session| sequencer.table().get(session).map_or(1, |entry| entry.next));
        self.sequencer.on_packet(self.now, source(), &datagram);
    }

    fn time(&mut self, ns: u64) {
        self.now.monotonic_ns += ns;
        // The other clock may run back.
        self.now.wall_ns = 1 + (self.now.monotonic_ns ^ 0x5_0000) % (1 << 40);
        self.sequencer.on_timer(self.now);
        let due_ns = self.sequencer.ingress().due_ns();
        assert!(due_ns > self.now.monotonic_ns, "a timer that is due again at once");
    }

    /// Publishes, sends, and reads what came on the bus.
    fn finish_step(&mut self) {
        self.sequencer.finish_batch();
        let mut port = Port::default();
        self.sequencer.flush(&mut port);
        self.requests = port.requests;
        let mut into = [0; 2048];
        loop {
            match self.reader.read(u64::MAX, &mut into) {
                Read::Message { sequence, length, .. } => {
                    assert!((28..=PAYLOAD_BYTES_MAX - 22).contains(&length), "a message of {length} bytes");
                    let message = Message::parse(&into[..length]).expect("a bus message");
                    self.model.take(sequence, &message, &self.traffic);
                }
                Read::Empty => break,
                other => panic!("{other:?}"),
            }
        }
        for entry in self.sequencer.table().entries() {
            let next = self.model.sessions.get(&entry.session).map(|session| session.next);
            assert!(next == Some(entry.next) || entry.session == Session::NODE);
        }
    }

    /// With room, answers and time, nothing stays held for ever.
    fn settle(&mut self) {
        self.progress.reserved.set(u64::MAX);
        for _ in 0..PATIENCE {
            self.progress.durable.set(self.sequencer.next_sequence() - 1);
            for request in std::mem::take(&mut self.requests) {
                assert!(request.count > 0 && request.session != NOBODY && request.session != Session::NODE);
                let count = u64::from(request.count.min(8));
                let reply = self.traffic.packet(request.session, request.sequence, count);
                self.sequencer.on_packet(self.now, source(), &reply);
            }
            let due_ns = self.sequencer.ingress().due_ns();
            if due_ns == u64::MAX {
                assert_eq!(self.sequencer.ingress().counters().held_now.get(), 0);
                return;
            }
            self.time(due_ns.saturating_sub(self.now.monotonic_ns).max(5 * MILLISECOND_NS));
            self.finish_step();
        }
        panic!(
            "something is due for ever: {:?} {:?}",
            self.sequencer.ingress().counters(),
            self.sequencer.counters()
        );
    }
}

/// Where requests and refusals go.
#[derive(Default)]
struct Port {
    requests: Vec<Request>,
}

impl DatagramPort for Port {
    fn receive(&mut self, _: usize, _: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        0
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        assert_eq!(to, source());
        match (Request::parse(datagram), Refusal::parse(datagram)) {
            (Some(request), None) => self.requests.push(request),
            (None, Some(_)) => {}
            _ => panic!("neither request nor refusal: {datagram:02x?}"),
        }
        true
    }
}

/// The sessions, counted a second time.
#[derive(Default)]
struct Model {
    sessions: HashMap<Session, Seen>,
    forget: u64,
    timestamp_ns: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    next: u64,
    ended_at: Option<u64>,
}

impl Model {
    fn take(&mut self, sequence: u64, message: &Message<'_>, traffic: &Traffic) {
        let envelope = message.envelope;
        let (session, number) = (envelope.session, envelope.client_sequence());
        assert!(envelope.timestamp_ns() >= self.timestamp_ns, "time runs back");
        self.timestamp_ns = envelope.timestamp_ns();
        if session == Session::NODE {
            assert!(sequence == 1 && envelope.kind() == Kind::Declare);
            return;
        }
        let starts_at_one = matches!(&session.0, b"WAIT      " | b"NOBODY    ");
        let known = self.sessions.get(&session).copied().filter(|seen| {
            !seen.ended_at.is_some_and(|ended_at| self.forget > 0 && sequence > ended_at + self.forget)
        });
        match known {
            Some(seen) => assert!(seen.next == number && seen.ended_at.is_none(), "{session} {number}"),
            None => assert!(if starts_at_one { number == 1 } else { number > 0 }, "{session} {number}"),
        }
        let (next, ended_at) = match envelope.kind() {
            Kind::Transaction => {
                assert!(traffic.had(session, number, message.body), "{session} {number} was never sent so");
                (number + 1, None)
            }
            Kind::Void => {
                let void = message.void().expect("a void");
                assert!(traffic.had_checksum(session, number, void.length(), void.checksum()));
                (number + 1, None)
            }
            Kind::Skip => {
                assert_eq!(&session.0, b"SKIP      ");
                (message.skip().expect("a skip").to() + 1, None)
            }
            Kind::EndOfSession => (number, Some(sequence)),
            kind => panic!("{kind:?} from {session}"),
        };
        self.sessions.insert(session, Seen { next, ended_at });
    }
}
