//! The outside world that writes: an exchange feed on its lines A and B, and a client with transactions of its own in between.
//!
//! Both are ordinary clients of the bus. The feed goes as fast as its window lets it. The client's transactions are due after every so many
//! messages of the feed (a latency counts from then, whether or not the client was late), and one at a time after it.
use crate::arguments::Demo;
use gds_client::{Listener, ListenerConfig, Network};
use gds_core::bus::{SubmitError, SubmitEvent, Submitter, SubmitterConfig};
use gds_core::port::DatagramPort;
use gds_core::time::SECOND_NS;
use gds_feed::day::{Day, MESSAGE_BYTES_MAX};
use gds_feed::orders::LiveOrder;
use gds_nic::clock;
use gds_node::clocks;
use gds_node::ports::Datagrams;
use gds_wire::acknowledgement::Outcome;
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::thread::JoinHandle;

use super::place::RECORDS;

/// One native transaction is due after so many messages of the feed.
const NATIVE_EVERY_MESSAGES: u64 = 200;
/// Native transactions one at a time, after the feed.
const ALONE: u64 = 5_000;
/// Different keys of the client.
const KEYS: u64 = 1_000;
/// Feed messages submitted between two looks at what has arrived.
const FEED_BATCH: usize = 48;
/// No progress for so long: something is broken.
const PATIENCE_NS: u64 = 20 * SECOND_NS;
/// The longest latency told apart.
const LATENCY_MAX_NS: u64 = 60 * SECOND_NS;

/// What the world knows at the end.
pub struct Fed {
    /// Messages of the feed.
    pub messages: u64,
    /// From its first message to the last acknowledgement.
    pub seconds: f64,
    /// Native transactions.
    pub native: u64,
    /// Their latencies while the feed ran.
    pub loaded: Histogram<u64>,
    /// ... and after it.
    pub alone: Histogram<u64>,
    /// What became of everything, feed and client.
    pub outcomes: BTreeMap<String, u64>,
    /// Packets sent again.
    pub resent: u64,
    /// The bus message of the last acknowledgement.
    pub last: u64,
    /// The orders that must be live now.
    pub live: Vec<LiveOrder>,
    /// All keys of the client.
    pub native_keys: Vec<Vec<u8>>,
    /// The key it wrote last.
    pub native_key: Vec<u8>,
    /// Its value now.
    pub native_value: Vec<u8>,
    /// Its version now.
    pub native_version: u64,
    /// A sequence number at which it had an earlier version, or none.
    pub native_before: Option<u64>,
}

/// The world in its thread.
pub struct World(JoinHandle<Result<Fed, String>>);

impl World {
    /// Joins the acknowledgements, and begins once it has heard where they are.
    pub fn start(network: &Network, arguments: &Demo, day: Day) -> Result<Self, String> {
        let mut writers = Writers::open(network, arguments)?;
        let work = move || {
            writers.hear_first()?;
            writers.work(day)
        };
        std::thread::Builder::new()
            .name("world".into())
            .spawn(work)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Nothing more to wait for.
    pub fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    /// What it knows.
    pub fn finish(self) -> Result<Fed, String> {
        self.0.join().unwrap_or_else(|_| Err("the writing thread panicked".into()))
    }
}

/// Two client sessions that share a port and one ear for acknowledgements.
struct Writers {
    feed: Submitter,
    client: Submitter,
    acknowledgements: Listener,
    own: Datagrams,
    native: Native,
    outcomes: [u64; Outcome::ALL.len()],
    trouble: Option<String>,
    last: u64,
    heard_ns: u64,
}

/// The client's transactions on their way, and how long they took.
struct Native {
    /// When each was to be sent, by number in the session.
    scheduled_ns: Vec<u64>,
    sent: u64,
    acknowledged: u64,
    latency: Histogram<u64>,
    version: u64,
}

impl Native {
    fn acknowledged(&mut self, client_sequence: u64, sequence: u64, now_ns: u64) {
        let scheduled_ns = self.scheduled_ns[client_sequence as usize - 1];
        self.latency.saturating_record(now_ns.saturating_sub(scheduled_ns).max(1));
        self.acknowledged += 1;
        self.version = sequence;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are right")
}

impl Writers {
    fn open(network: &Network, arguments: &Demo) -> Result<Self, String> {
        let groups = network.addresses().ingress.clone();
        let name = |text: &str| Session::padded(text).expect("the name is short");
        let feed = SubmitterConfig {
            groups: groups.clone(),
            window_messages: 2048,
            ..SubmitterConfig::new(name("ITCHDEMO"), groups[0])
        };
        let listening = ListenerConfig { seed: arguments.seed, ..ListenerConfig::acknowledgements(network) };
        let open = |error: gds_client::ClientError| error.to_string();
        Ok(Self {
            feed: Submitter::new(feed),
            client: Submitter::new(SubmitterConfig::new(name("CLIENT"), groups[0])),
            acknowledgements: Listener::open(network, listening).map_err(open)?,
            own: network.own_port().map_err(open)?,
            native: Native {
                scheduled_ns: Vec::new(),
                sent: 0,
                acknowledged: 0,
                latency: histogram(),
                version: 0,
            },
            outcomes: [0; Outcome::ALL.len()],
            trouble: None,
            last: 0,
            heard_ns: clock::monotonic_ns(),
        })
    }

    /// The node's declaration is acknowledged as message 1: then everything is in place.
    fn hear_first(&mut self) -> Result<(), String> {
        while self.last == 0 {
            self.poll()?;
        }
        Ok(())
    }

    /// The whole day, then the client alone.
    fn work(mut self, mut day: Day) -> Result<Fed, String> {
        let started_ns = clock::monotonic_ns();
        let mut message = [0; MESSAGE_BYTES_MAX];
        let mut waiting = day.next_message(&mut message);
        let mut messages = 0;
        // When each native transaction that is not submitted yet was due.
        let mut due_ns = VecDeque::new();
        while waiting.is_some() || self.feed.unacknowledged() > 0 || !due_ns.is_empty() {
            for _ in 0..FEED_BATCH {
                let Some(length) = waiting else { break };
                match self.feed.submit(&message[..length]) {
                    Ok(_) => {
                        messages += 1;
                        if messages % NATIVE_EVERY_MESSAGES == 0 {
                            due_ns.push_back(clock::monotonic_ns());
                        }
                    }
                    Err(SubmitError::Full) => break,
                    Err(error) => return Err(error.to_string()),
                }
                waiting = day.next_message(&mut message);
            }
            while let Some(&scheduled_ns) = due_ns.front()
                && self.submit_native(scheduled_ns)?
            {
                due_ns.pop_front();
            }
            self.poll()?;
        }
        let seconds = (clock::monotonic_ns() - started_ns) as f64 / 1e9;
        self.settle()?;
        let loaded = std::mem::replace(&mut self.native.latency, histogram());
        for _ in 0..ALONE {
            self.submit_native(clock::monotonic_ns())?;
            self.settle()?;
        }
        let alone = self.native.latency.clone();
        self.end()?;

        let live: Vec<LiveOrder> = day.state().iter().collect();
        let number = self.native.sent;
        let named = Outcome::ALL.iter().zip(self.outcomes).filter(|(_, count)| *count > 0);
        Ok(Fed {
            messages,
            seconds,
            native: number,
            loaded,
            alone,
            outcomes: named.map(|(outcome, count)| (outcome.to_string(), count)).collect(),
            resent: self.feed.counters().resent.get() + self.client.counters().resent.get(),
            last: self.last,
            live,
            native_keys: (0..KEYS.min(number)).map(key).collect(),
            native_key: key(number),
            native_value: value(number),
            native_version: self.native.version,
            native_before: self.native.version.checked_sub(1).filter(|sequence| *sequence > 0),
        })
    }

    /// Submits the client's next transaction; false when its window is full.
    fn submit_native(&mut self, scheduled_ns: u64) -> Result<bool, String> {
        let number = self.native.sent + 1;
        let mut block = [0; 256];
        let mut builder = TransactionBuilder::new(&mut block);
        let (key, value) = (key(number), value(number));
        let put =
            Operation { kind: OperationKind::Put, table: RECORDS, key: &key, value: &value, expected: None };
        builder.push(&put).map_err(|error| error.to_string())?;
        let length = builder.finish();
        match self.client.submit(&block[..length]) {
            Ok(_) => {
                self.native.sent = number;
                self.native.scheduled_ns.push(scheduled_ns);
                Ok(true)
            }
            Err(SubmitError::Full) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Until the client's transactions are acknowledged.
    fn settle(&mut self) -> Result<(), String> {
        while self.native.acknowledged < self.native.sent {
            self.poll()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.feed.end();
        self.client.end();
        while !self.feed.finished() || !self.client.finished() {
            self.poll()?;
        }
        Ok(())
    }

    /// Sends, hears, and tells outcomes, once.
    fn poll(&mut self) -> Result<(), String> {
        let now = clocks::now();
        let Self { feed, client, acknowledgements, own, native, outcomes, trouble, last, heard_ns } = self;
        for submitter in [&mut *feed, &mut *client] {
            submitter.on_timer(now, &mut |to, burst, bytes| {
                own.send_segments(to, burst, bytes);
            });
        }
        let mut count = |event: SubmitEvent, native: Option<&mut Native>| match event {
            SubmitEvent::Acknowledged { client_sequence, sequence, outcome } => {
                outcomes[outcome as usize] += 1;
                if let Some(native) = native {
                    native.acknowledged(client_sequence, sequence, clock::monotonic_ns());
                }
            }
            SubmitEvent::SessionClash { client_sequence } => {
                trouble.get_or_insert(format!(
                    "message {client_sequence} was acknowledged with another checksum"
                ));
            }
            SubmitEvent::Refused { .. } | SubmitEvent::Ended { .. } => {}
        };
        acknowledgements.poll_at(now, &mut |sequence, message| {
            (*last, *heard_ns) = (sequence, now.monotonic_ns);
            feed.on_acknowledgement(now, sequence, message, &mut |event| count(event, None));
            client.on_acknowledgement(now, sequence, message, &mut |event| count(event, Some(&mut *native)));
        });
        if now.monotonic_ns - *heard_ns > PATIENCE_NS {
            trouble.get_or_insert(format!("no acknowledgement for {} s", PATIENCE_NS / SECOND_NS));
        }
        self.answer(now);
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// Answers the node's requests for messages that it missed.
    fn answer(&mut self, now: gds_core::time::Time) {
        let mut asked = [(0, [0; 32]); 8];
        let mut count = 0;
        self.own.receive(asked.len(), &mut |_, datagram| {
            if datagram.len() <= 32 {
                asked[count].0 = datagram.len();
                asked[count].1[..datagram.len()].copy_from_slice(datagram);
                count += 1;
            }
        });
        for (length, bytes) in &asked[..count] {
            for submitter in [&mut self.feed, &mut self.client] {
                let mut send = |to, burst: &[u8], bytes| {
                    self.own.send_segments(to, burst, bytes);
                };
                submitter.on_datagram(now, &bytes[..*length], &mut send, &mut |_| {});
            }
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key-{:04}", number % KEYS).into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    format!("transaction {number} of the demo's client, which knows what it wrote").into_bytes()
}
