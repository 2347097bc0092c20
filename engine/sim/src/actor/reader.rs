//! A query client: asks for records, ranges and changes over links that break, and checks every answer.
use super::{Scene, blocks};
use crate::model::Key;
use crate::network::{SharedNetwork, SimulatedStreams};
use crate::plan::{NodePort, READER_NET, between, node_address, pick};
use crate::violation::{Checked, broken, ensure};
use gds_core::query::{ClientConfig, Event, RequestId, SoupClient};
use gds_core::time::MILLISECOND_NS;
use gds_wire::query::{AnswerBody, ErrorCode, Key as AskedKey};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Most requests open at a time; watches count.
const OPEN_MAX: usize = 3;

/// What was asked, and how far it is answered.
#[derive(Clone, Debug)]
enum Asked {
    Records {
        keys: Vec<Key>,
        answered: usize,
        as_of: u64,
        at_least: u64,
        sequence: u64,
    },
    /// `to` 0: up to the newest.
    Range {
        next: u64,
        to: u64,
    },
    /// `next` 0: from wherever the stream is.
    Watch {
        next: u64,
        left: u64,
        cancelled: bool,
    },
    Status {
        at_least: u64,
    },
}

/// What happened, taken out of the client's events.
enum Seen {
    LoggedIn,
    SessionLost,
    LinkLost,
    Ended,
    Answer { id: RequestId, last: bool, sequence: u64, body: Body },
    Wrong(String),
}

enum Body {
    Record { key: Key, found: Option<(u64, Vec<u8>)> },
    Messages(Vec<Vec<u8>>),
    Status { applied: u64, committed: u64, published: u64 },
    End,
    Error(ErrorCode, String),
}

/// Somebody who asks.
pub struct Reader {
    name: String,
    host: Ipv4Addr,
    client: SoupClient,
    streams: SimulatedStreams,
    /// The node it asks.
    node: usize,
    asked: BTreeMap<RequestId, Asked>,
    left: u64,
    due_ns: u64,
    /// The fewest messages that a read may look back, whatever was declared.
    horizon_messages: u64,
    answers: u64,
    refused: u64,
}

impl Reader {
    /// Query client `number`. `horizon_messages`: the shortest horizon ever declared.
    pub fn new(number: u64, horizon_messages: u64, network: &SharedNetwork, scene: &mut Scene<'_>) -> Self {
        let host = Ipv4Addr::new(10, READER_NET, 0, number as u8);
        let config = ClientConfig {
            requests_max: 8,
            heartbeat_ns: 100 * MILLISECOND_NS,
            silence_ns: 500 * MILLISECOND_NS,
            login_wait_ns: 50 * MILLISECOND_NS,
            reconnect_ns: MILLISECOND_NS,
            reconnect_max_ns: 20 * MILLISECOND_NS,
            heartbeat_timeout_ms: *pick(scene.random, &[None, Some(800)]),
            ..ClientConfig::new("reader", "secret")
        };
        Self {
            name: format!("query client {number}"),
            host,
            client: SoupClient::new(config),
            streams: SimulatedStreams::client(network, SocketAddrV4::new(host, 1)),
            node: scene.random.below(scene.plan.nodes as u64) as usize,
            asked: BTreeMap::new(),
            left: between(scene.random, 5, 40),
            due_ns: 0,
            horizon_messages,
            answers: 0,
            refused: 0,
        }
    }

    /// Where it is.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Whether everything it asked is answered.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.asked.is_empty()
    }

    /// Answers it had.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// Answers that were errors.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What its client has counted.
    pub fn for_each_counter(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
        use gds_core::counters::CounterSet;
        self.client.counters().for_each(&mut |name, _, value| visit("soup_client", name, value));
    }

    /// Why it is not done, for context.
    pub fn describe(&self) -> String {
        let (name, left, asked) = (&self.name, self.left, &self.asked);
        format!("{name}: {left} to ask, logged in {}, open {asked:?}", self.client.is_logged_in())
    }

    /// One duty cycle.
    pub fn duty(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        if self.client.is_over() && scene.truth.ended_at() > 0 {
            return Ok(0);
        }
        if self.client.wants_connection(scene.now) {
            // Mostly where it was, for its session is there.
            if scene.random.chance(1, 3) {
                self.node = scene.random.below(scene.plan.nodes as u64) as usize;
            }
            if !self.streams.connect(node_address(self.node, NodePort::Queries)) {
                self.client.connect_failed(scene.now);
            }
        }
        self.ask(scene);
        let mut seen = Vec::new();
        let work = self.client.duty(scene.now, &mut self.streams, &mut |event| seen.push(take(event)));
        for seen in seen {
            self.on_seen(scene, seen)?;
        }
        self.cancel_watches(scene.calm);
        let over = self.client.is_over() && scene.truth.ended_at() == 0;
        ensure!(!over, "answers", "{} was turned away for good", self.name);
        Ok(work)
    }

    fn ask(&mut self, scene: &mut Scene<'_>) {
        if self.left == 0 || self.asked.len() >= OPEN_MAX || scene.now.monotonic_ns < self.due_ns {
            return;
        }
        let random = &mut *scene.random;
        let pause_ns = if scene.calm { 100_000 } else { 3 * MILLISECOND_NS };
        self.due_ns = scene.now.monotonic_ns + between(random, 1, pause_ns);
        let shown = scene.truth.shown_last();
        let some = 1 + random.below(shown.max(1));
        let (id, asked) = match random.below(6) {
            0 | 1 => {
                let at_least = *pick(random, &[0, shown, shown + 1]);
                // What was shown is committed; whether it is applied the node must see to.
                let as_of = *pick(random, &[0, some.min(at_least), at_least]);
                let keys = vec![blocks::key(scene.plan, random)];
                let id = self.client.get(keys[0].0, &keys[0].1, as_of, at_least);
                (id, Asked::Records { keys, answered: 0, as_of, at_least, sequence: 0 })
            }
            2 => {
                let keys: Vec<Key> =
                    (0..1 + random.below(4)).map(|_| blocks::key(scene.plan, random)).collect();
                let wanted: Vec<AskedKey<'_>> =
                    keys.iter().map(|(table, key)| AskedKey { table: *table, key }).collect();
                let id = self.client.multi_get(&wanted, 0, 0);
                (id, Asked::Records { keys, answered: 0, as_of: 0, at_least: 0, sequence: 0 })
            }
            3 => {
                let to = *pick(random, &[0, shown]);
                (self.client.range(some, to, 0), Asked::Range { next: some, to })
            }
            4 => {
                let next = *pick(random, &[0, 1, some]);
                (
                    self.client.watch(next, 0),
                    Asked::Watch { next, left: 1 + random.below(30), cancelled: false },
                )
            }
            _ => {
                let at_least = *pick(random, &[0, shown]);
                (self.client.status(at_least), Asked::Status { at_least })
            }
        };
        if let Some(id) = id {
            self.asked.insert(id, asked);
            self.left -= 1;
        }
    }

    /// A watch ends when its client has seen enough; at the end at once.
    fn cancel_watches(&mut self, calm: bool) {
        for (id, asked) in &mut self.asked {
            if let Asked::Watch { left, cancelled, .. } = asked
                && (*left == 0 || calm)
                && !*cancelled
            {
                *cancelled = true;
                self.client.cancel(*id);
            }
        }
    }

    fn on_seen(&mut self, scene: &mut Scene<'_>, seen: Seen) -> Checked {
        match seen {
            Seen::LoggedIn | Seen::LinkLost => Ok(()),
            Seen::Ended => {
                let ended = scene.truth.ended_at() > 0;
                ensure!(ended, "answers", "{} was told that its session has ended", self.name);
                Ok(())
            }
            Seen::SessionLost => {
                // Everything that is not a range or watch is answered from the start again.
                for asked in self.asked.values_mut() {
                    if let Asked::Records { answered, .. } = asked {
                        *answered = 0;
                    }
                }
                Ok(())
            }
            Seen::Wrong(what) => broken("answers", format!("{}: {what}", self.name)),
            Seen::Answer { id, last, sequence, body } => {
                self.answers += 1;
                let Some(mut asked) = self.asked.remove(&id) else {
                    return broken(
                        "answers",
                        format!("{} got an answer to request {id}, which is not open", self.name),
                    );
                };
                self.check(scene, &mut asked, last, sequence, body)?;
                if !last {
                    self.asked.insert(id, asked);
                }
                Ok(())
            }
        }
    }

    fn check(
        &mut self,
        scene: &mut Scene<'_>,
        asked: &mut Asked,
        last: bool,
        sequence: u64,
        body: Body,
    ) -> Checked {
        let name = self.name.clone();
        ensure!(
            sequence <= scene.committed + 1,
            "commit, then show",
            "{name} was shown number {sequence}; {} is committed",
            scene.committed
        );
        match (asked, body) {
            (
                Asked::Records { keys, answered, as_of, at_least, sequence: state },
                Body::Record { key, found },
            ) => {
                let in_turn = keys.get(*answered) == Some(&key);
                let one_state = *answered == 0 || *state == sequence;
                let right_state =
                    (*as_of == 0 || *as_of == sequence) && (*as_of != 0 || *at_least <= sequence);
                ensure!(
                    in_turn && one_state && right_state && last == (*answered + 1 == keys.len()),
                    "answers",
                    "{name} asked for {keys:?} as of {as_of}, at least {at_least}; answer {answered} is {key:?} in state \
                     {sequence}, last {last}, after one in state {state}"
                );
                (*answered, *state) = (*answered + 1, sequence);
                scene.truth.show_record(&name, sequence, key, found)
            }
            (Asked::Range { next, .. }, Body::Messages(messages)) => {
                *next = show(scene, &name, *next, sequence, &messages)?;
                Ok(())
            }
            (Asked::Range { next, to }, Body::End) => {
                ensure!(
                    *to == 0 || *next == *to + 1,
                    "answers",
                    "{name}: the range up to {to} ended before {next}"
                );
                Ok(())
            }
            (Asked::Watch { next, left, .. }, Body::Messages(messages)) => {
                *next = show(scene, &name, *next, sequence, &messages)?;
                *left = left.saturating_sub(messages.len() as u64);
                Ok(())
            }
            (Asked::Watch { .. }, Body::End) => Ok(()),
            (Asked::Status { at_least }, Body::Status { applied, committed, published }) => {
                ensure!(
                    applied <= committed && published <= committed && applied >= *at_least,
                    "answers",
                    "{name}: status says applied {applied}, committed {committed}, published {published}, at least \
                     {at_least} was asked for"
                );
                Ok(())
            }
            (asked, Body::Error(code, text)) => {
                self.refused += 1;
                self.check_error(scene, asked, sequence, code, &text)
            }
            (asked, _) => broken("answers", format!("{name} asked {asked:?} and got another kind of answer")),
        }
    }

    fn check_error(
        &self,
        scene: &Scene<'_>,
        asked: &Asked,
        applied: u64,
        code: ErrorCode,
        text: &str,
    ) -> Checked {
        let fine = match (asked, code) {
            (Asked::Records { as_of, .. }, ErrorCode::BelowHorizon) => {
                *as_of > 0 && as_of + self.horizon_messages < scene.committed
            }
            // Tables are declared with message 1.
            (Asked::Records { keys, .. }, ErrorCode::NotFound) => {
                applied == 0 || keys.iter().any(|key| !crate::plan::NATIVE_TABLES.contains(&key.0))
            }
            (Asked::Records { at_least, .. } | Asked::Status { at_least }, ErrorCode::AheadOfStream) => {
                *at_least > 0
            }
            // A replica may be behind what was shown elsewhere.
            (Asked::Range { .. } | Asked::Watch { .. }, ErrorCode::AheadOfStream) => scene.plan.nodes > 1,
            // The session is new, and what was asked before has not ended in it.
            (_, ErrorCode::TooMany | ErrorCode::NotFound) => true,
            _ => false,
        };
        ensure!(fine, "answers", "{} asked {asked:?} and was told {code}: {text}", self.name);
        Ok(())
    }
}

/// Shows consecutive messages; the number after them.
fn show(scene: &mut Scene<'_>, name: &str, next: u64, first: u64, messages: &[Vec<u8>]) -> Checked<u64> {
    ensure!(
        next == 0 || first == next,
        "answers",
        "{name} was shown messages from {first} on where {next} is next"
    );
    for (index, message) in messages.iter().enumerate() {
        scene.truth.show(name, first + index as u64, message)?;
    }
    Ok(first + messages.len() as u64)
}

fn take(event: Event<'_>) -> Seen {
    match event {
        Event::LoggedIn { .. } => Seen::LoggedIn,
        Event::LinkLost(_) => Seen::LinkLost,
        Event::SessionLost => Seen::SessionLost,
        Event::Malformed { sequence, error } => Seen::Wrong(format!("packet {sequence}: {error}")),
        Event::Rejected(code) => Seen::Wrong(format!("rejected: {code:?}")),
        Event::Ended => Seen::Ended,
        Event::Answer { answer, .. } => {
            let body = match answer.body {
                AnswerBody::Record(record) => Body::Record {
                    key: (record.table, record.key.to_vec()),
                    found: record.found.then(|| (record.version, record.value.to_vec())),
                },
                AnswerBody::Messages(messages) => {
                    Body::Messages(messages.iter().map(<[u8]>::to_vec).collect())
                }
                AnswerBody::Status(status, _) => Body::Status {
                    applied: status.applied,
                    committed: status.committed,
                    published: status.published,
                },
                AnswerBody::Checksum(_) => return Seen::Wrong("a checksum that nobody asked for".into()),
                AnswerBody::End => Body::End,
                AnswerBody::Error(code, text) => Body::Error(code, text.to_owned()),
            };
            Seen::Answer { id: answer.request_id, last: answer.last, sequence: answer.sequence, body }
        }
    }
}
