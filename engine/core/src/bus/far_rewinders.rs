//! The rewinders elsewhere, and whether they keep what is about to go here.
//!
//! A rewinder keeps its sessions in order and without a hole, from where it began. So one that answers for a message has everything below it that it
//! ever will have, and one ordinary request packet for a single message tells. Each is asked for two: the least that would let something go, and the most
//! that could; the latter spares all others to one that lacks nothing, and finds one that began in the middle. A lost packet is asked for again; no
//! answer is no.
//!
//! What one kept an hour ago it may have lost with its disk, so what was answered counts for one round of questions only ([`FarRewinders::begin`]).
use crate::port::DatagramPort;
use crate::time::{MILLISECOND_NS, SECOND_NS, Time};
use gds_wire::mold::{Packet, Request};
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// Between two requests for the same message.
const ASK_NS: u64 = 250 * MILLISECOND_NS;
/// One that lacks something for so long is shown: it is down, or far behind.
const PATIENCE_NS: u64 = 3 * SECOND_NS;
/// Answers taken in one look.
const BATCH: usize = 64;

crate::counter_set! {
    /// What a rewinder elsewhere was asked before journal segments went, and answered.
    pub struct FarRewinderCounters {
        /// Request packets sent to it.
        asked,
        /// Answers to what it was asked for.
        answered,
        /// The message of the stream, or its acknowledgement, that it has not answered for during three seconds, while segments wait for it; 0: none does.
        lacks,
    }
}

/// Which messages of one session are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The last one of what would go first.
    pub least: u64,
    /// The last one of what could go.
    pub most: u64,
}

struct Far {
    address: SocketAddrV4,
    /// The last message of each session that it answered for in this round.
    kept: [u64; 2],
    /// What it was last asked for of each.
    asked: [u64; 2],
    lacks_since_ns: Option<u64>,
    counters: Arc<FarRewinderCounters>,
}

/// See the module.
pub struct FarRewinders {
    rewinders: Vec<Far>,
    sessions: [Session; 2],
    port: Box<dyn DatagramPort + Send>,
    ask_again_at_ns: u64,
}

impl FarRewinders {
    /// These rewinders, asked from `port` for messages of the stream and for its acknowledgements.
    pub fn new(
        addresses: &[SocketAddrV4],
        sessions: [Session; 2],
        port: Box<dyn DatagramPort + Send>,
    ) -> Self {
        let far = |address: &SocketAddrV4| Far {
            address: *address,
            kept: [0; 2],
            asked: [0; 2],
            lacks_since_ns: None,
            counters: Arc::default(),
        };
        Self { rewinders: addresses.iter().map(far).collect(), sessions, port, ask_again_at_ns: 0 }
    }

    /// Each with what it was asked.
    pub fn counters(&self) -> impl Iterator<Item = (SocketAddrV4, &Arc<FarRewinderCounters>)> {
        self.rewinders.iter().map(|far| (far.address, &far.counters))
    }

    /// A new round: all are asked anew.
    pub fn begin(&mut self) {
        for far in &mut self.rewinders {
            (far.kept, far.asked) = ([0; 2], [0; 2]);
        }
    }

    /// Whether every one of them keeps the session (0: the stream, 1: its acknowledgements) up to this message.
    pub fn keep(&self, session: usize, sequence: u64) -> bool {
        self.rewinders.iter().all(|far| far.kept[session] >= sequence)
    }

    /// Takes answers, and asks those that are not known to keep what is wanted of each session.
    pub fn duty(&mut self, now: Time, wanted: [Option<Wanted>; 2]) {
        self.take_answers(wanted);
        let again = now.monotonic_ns >= self.ask_again_at_ns;
        if again {
            self.ask_again_at_ns = now.monotonic_ns + ASK_NS;
        }
        let Self { rewinders, sessions, port, .. } = self;
        for far in rewinders {
            let mut lacks = None;
            for (session, wanted) in wanted.into_iter().enumerate() {
                let Some(Wanted { least, most }) = wanted.filter(|wanted| far.kept[session] < wanted.least)
                else {
                    continue;
                };
                lacks.get_or_insert(least);
                if !again && far.asked[session] == least {
                    continue;
                }
                far.asked[session] = least;
                let numbers = [Some(least), (most != least).then_some(most)];
                for sequence in numbers.into_iter().flatten() {
                    port.send(
                        far.address,
                        &Request { session: sessions[session], sequence, count: 1 }.to_bytes(),
                    );
                    far.counters.asked.increment();
                }
            }
            far.note(now.monotonic_ns, lacks);
        }
    }

    /// Notes who keeps what. Only answers to what is asked for now count.
    fn take_answers(&mut self, wanted: [Option<Wanted>; 2]) {
        let Self { rewinders, sessions, port, .. } = self;
        port.receive(BATCH, &mut |from, datagram| {
            let Some(far) = rewinders.iter_mut().find(|far| far.address == from) else { return };
            let Ok(packet) = Packet::parse(datagram) else { return };
            let asked = |session: usize| {
                sessions[session] == packet.session
                    && wanted[session]
                        .is_some_and(|wanted| [wanted.least, wanted.most].contains(&packet.sequence))
            };
            if let Some(session) = [0, 1].into_iter().find(|session| asked(*session))
                && packet.count() > 0
            {
                far.kept[session] = far.kept[session].max(packet.sequence);
                far.counters.answered.increment();
            }
        });
    }
}

impl Far {
    /// Shows what it lacks once it has lacked something for long.
    fn note(&mut self, now_ns: u64, lacks: Option<u64>) {
        let Some(lacks) = lacks else {
            self.lacks_since_ns = None;
            self.counters.lacks.set(0);
            return;
        };
        let since_ns = *self.lacks_since_ns.get_or_insert(now_ns);
        if now_ns - since_ns >= PATIENCE_NS {
            self.counters.lacks.set(lacks);
        }
    }
}

#[cfg(test)]
mod tests;
