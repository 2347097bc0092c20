//! Native writers and an observer, driven in turn by whoever has them; and what they know, held against the stream.
use super::model::{BusMessage, Records};
use super::{PATIENCE, Place};
use gds_client::{Listener, ListenerConfig, Writer};
use gds_core::bus::{SubmitError, SubmitEvent, SubmitterConfig};
use gds_core::random::Random;
use gds_nic::UdpPort;
use gds_node::settings;
use gds_wire::acknowledgement::Outcome;
use gds_wire::mold::PacketBuilder;
use gds_wire::query::Key;
use gds_wire::refusal::RefusalReason;
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// The table that the writers write.
pub const TABLE: u16 = 1;
/// Blocks of one writer that may wait for their acknowledgement.
const WINDOW: usize = 48;
/// Records that one writer keeps; beyond that it deletes one for each that it inserts.
const KEPT: usize = 1_000;
/// Bytes of the largest value.
const VALUE_BYTES_MAX: u64 = 160;

/// One writer: inserts records with keys never used before, and counts in a record of its own. Each step of the count names
/// the version that the last one wrote, so that a step done twice, or not at all, shows as a version mismatch.
pub struct Client {
    writer: Writer,
    name: String,
    random: Random,
    /// What was submitted, from number 1 on.
    blocks: Vec<Vec<u8>>,
    /// Bus sequence number of each outcome, from number 1 on.
    pub acknowledged: Vec<u64>,
    /// Numbers of the inserts that were not deleted.
    kept: Vec<u64>,
    /// The count's version, once it is known; and the number in the session of the step that is on its way.
    count_version: u64,
    count_step: Option<u64>,
    /// Steps acknowledged.
    pub count: u64,
    /// Refusals heard, and the reason of the last.
    pub refused: (u64, Option<RefusalReason>),
    /// Blocks it shall still submit.
    pub left: u64,
}

impl Client {
    /// A writer under a session name of its own, that shall submit so many blocks.
    pub fn open(place: &Place, name: &str, blocks: u64) -> Self {
        let network = place.network();
        let session = Session::padded(name).expect("ten characters at most");
        let config = SubmitterConfig {
            window_messages: WINDOW,
            groups: network.addresses().ingress.clone(),
            ..SubmitterConfig::new(session, place.ingress())
        };
        let listening = ListenerConfig::acknowledgements(&network);
        let seed = name.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(257) + u64::from(byte));
        Self {
            writer: Writer::with(&network, config, listening).expect("ports are free"),
            name: name.to_owned(),
            random: Random::new(seed),
            blocks: Vec::new(),
            acknowledged: Vec::new(),
            kept: Vec::new(),
            count_version: 0,
            count_step: None,
            count: 0,
            refused: (0, None),
            left: blocks,
        }
    }

    /// Submits what fits, sends, and takes outcomes; returns how much it did.
    pub fn poll(&mut self) -> usize {
        while self.left > 0 && self.writer.unacknowledged() < WINDOW {
            let block = self.next_block();
            let number = match self.writer.submit(&block) {
                Ok(number) => number,
                Err(SubmitError::Full) => break,
                Err(error) => panic!("{}: {error}", self.name),
            };
            self.blocks.push(block);
            assert_eq!(number, self.blocks.len() as u64);
            if self.count_step == Some(0) {
                self.count_step = Some(number);
            }
            self.left -= 1;
        }
        let Self { writer, name, acknowledged, count_version, count_step, count, refused, .. } = self;
        writer.poll(&mut |event| match event {
            SubmitEvent::Acknowledged { client_sequence, sequence, outcome } => {
                assert_eq!(outcome, Outcome::Applied, "{name}/{client_sequence} as message {sequence}");
                acknowledged.push(sequence);
                assert_eq!(client_sequence, acknowledged.len() as u64, "{name}: outcomes out of order");
                if *count_step == Some(client_sequence) {
                    (*count_version, *count_step) = (sequence, None);
                    *count += 1;
                }
            }
            SubmitEvent::Refused { reason, .. } => *refused = (refused.0 + 1, Some(reason)),
            other => panic!("{name}: {other:?}"),
        })
    }

    /// An insert under a new key, maybe with the deletion of an old one; and when none is on its way, a step of the count.
    fn next_block(&mut self) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let mut builder = TransactionBuilder::new(&mut buffer);
        let number = self.blocks.len() as u64 + 1;
        let key = format!("{}-{number}", self.name);
        let value: Vec<u8> =
            (0..self.random.below(VALUE_BYTES_MAX + 1)).map(|_| self.random.next_u64() as u8).collect();
        let mut push = |kind, key: &[u8], value: &[u8], expected| {
            builder.push(&Operation { kind, table: TABLE, key, value, expected }).expect("it fits");
        };
        push(OperationKind::Insert, key.as_bytes(), &value, None);
        self.kept.push(number);
        if self.kept.len() > KEPT {
            let old = self.kept.swap_remove(self.random.below(KEPT as u64) as usize);
            push(OperationKind::Delete, format!("{}-{old}", self.name).as_bytes(), &[], None);
        }
        if self.count_step.is_none() {
            let kind = if self.count == 0 { OperationKind::Insert } else { OperationKind::Modify };
            let value = (self.count + 1).to_be_bytes();
            push(kind, self.count_key().as_bytes(), &value, Some(self.count_version));
            self.count_step = Some(0);
        }
        let length = builder.finish();
        buffer[..length].to_vec()
    }

    fn count_key(&self) -> String {
        format!("{} count", self.name)
    }

    /// Everything it shall submit is acknowledged.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.writer.unacknowledged() == 0
    }

    /// The last acknowledgement that it has heard, its own or another's.
    pub fn heard(&self) -> u64 {
        self.writer.acknowledgements().next_sequence().saturating_sub(1)
    }
}

/// Several writers, and an observer of the bus.
pub struct Load {
    /// The writers.
    pub clients: Vec<Client>,
    listener: Listener,
    /// What the observer was delivered, from message 1 on.
    pub seen: Vec<Vec<u8>>,
    /// What the stream was when it was last read, and the model of it.
    known: Vec<Vec<u8>>,
    records: Records,
    /// Numbers and bodies of each session that the stream has.
    sessions: HashMap<Vec<u8>, u64>,
    again: UdpPort,
    random: Random,
}

impl Load {
    /// So many writers, each with so many blocks to submit, and an observer who loses packets of its own.
    pub fn open(place: &Place, clients: usize, blocks: u64, loss_per_mille: u64) -> Self {
        let network = place.network();
        let listening = ListenerConfig { loss_per_mille, seed: 5, ..ListenerConfig::bus(&network) };
        let own = any_port(place);
        Self {
            clients: (1..=clients).map(|number| Client::open(place, &format!("W{number}"), blocks)).collect(),
            listener: Listener::open(&network, listening).expect("the group can be joined"),
            seen: Vec::new(),
            known: Vec::new(),
            records: Records::default(),
            sessions: HashMap::new(),
            again: UdpPort::open(settings::udp(place.config(), own, &[])).expect("ports are free"),
            random: Random::new(11),
        }
    }

    /// One turn of everybody; returns how much was done.
    pub fn poll(&mut self) -> usize {
        let mut work: usize = self.clients.iter_mut().map(Client::poll).sum();
        let seen = &mut self.seen;
        work += self.listener.poll(&mut |sequence, message| {
            assert_eq!(sequence, seen.len() as u64 + 1, "delivered out of order or twice");
            seen.push(message.to_vec());
        });
        work
    }

    /// Goes on until `done` says so.
    pub fn until(&mut self, what: &str, done: &mut dyn FnMut(&Self) -> bool) {
        let mut deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if self.poll() > 0 {
                deadline = Instant::now() + PATIENCE;
            } else {
                std::thread::sleep(Duration::from_micros(20));
            }
            if Instant::now() > deadline {
                let acknowledged: Vec<usize> =
                    self.clients.iter().map(|client| client.acknowledged.len()).collect();
                panic!(
                    "{what}: nothing happens any more; seen {}, acknowledged {acknowledged:?}",
                    self.seen.len()
                );
            }
        }
    }

    /// Goes on for a time.
    pub fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until("load", &mut |_| Instant::now() >= end);
    }

    /// Everything submitted is acknowledged, and the observer has it all.
    pub fn finish(&mut self) {
        self.until("finish", &mut |load| {
            let acknowledged = load.clients.iter().flat_map(|client| client.acknowledged.last()).max();
            load.clients.iter().all(Client::is_done) && load.seen.len() as u64 >= *acknowledged.unwrap_or(&0)
        });
    }

    /// Takes what a node that has died had sent. Then everybody knows the last number that anybody was shown.
    pub fn hear_all(&mut self) -> u64 {
        let mut quiet = 0;
        while quiet < 10 {
            quiet = if self.poll() > 0 { 0 } else { quiet + 1 };
            std::thread::sleep(Duration::from_micros(200));
        }
        let heard = self.clients.iter().map(Client::heard).max().unwrap_or(0);
        heard.max(self.seen.len() as u64).max(self.known.len() as u64)
    }

    /// Sends blocks again that were acknowledged long ago, under their old numbers.
    pub fn resubmit(&mut self, place: &Place, packets: usize) {
        let mut buffer = [0; 1400];
        for _ in 0..packets {
            let client = &self.clients[self.random.below(self.clients.len() as u64) as usize];
            let Some(first) = (client.acknowledged.len() as u64).checked_sub(1) else { continue };
            let first = 1 + self.random.below(first + 1);
            let session = Session::padded(&client.name).expect("it is a name");
            let mut builder = PacketBuilder::new(&mut buffer, session, first);
            // As many of the next five as fit.
            let _ = client.blocks[first as usize - 1..].iter().take(5).all(|block| builder.push(block));
            let length = builder.finish();
            self.again.send(place.ingress(), &buffer[..length]);
        }
    }

    /// Reads the whole stream from the node and holds everything that anybody knows against it.
    pub fn check(&mut self, place: &Place) {
        let stream = place.stream();
        assert!(stream.len() >= self.known.len(), "{} messages, once {}", stream.len(), self.known.len());
        assert!(
            stream.len() >= self.seen.len(),
            "{} messages, the observer has {}",
            stream.len(),
            self.seen.len()
        );
        for (position, message) in stream.iter().enumerate() {
            let unchanged = |before: &[Vec<u8>]| before.get(position).is_none_or(|before| before == message);
            assert!(unchanged(&self.known), "message {} is another one than before", position + 1);
            assert!(unchanged(&self.seen), "message {} is not what the observer saw", position + 1);
        }
        for (position, message) in stream.iter().enumerate().skip(self.known.len()) {
            self.check_message(position as u64 + 1, message);
        }
        self.known = stream;
        for client in &self.clients {
            for (block, sequence) in client.blocks.iter().zip(&client.acknowledged) {
                let message = self.known.get(*sequence as usize - 1);
                let message =
                    BusMessage::of(message.unwrap_or_else(|| panic!("{sequence} was acknowledged")));
                assert_eq!(message.body, block, "{}: message {sequence}", client.name);
            }
        }
        self.check_store(place);
    }

    /// A message that is new in the stream: the next of its session, as it was submitted, and nothing that the model rejects.
    fn check_message(&mut self, sequence: u64, bytes: &[u8]) {
        let message = BusMessage::of(bytes);
        let next = self.sessions.entry(message.session.to_vec()).or_insert(1);
        assert_eq!(message.client_sequence, *next, "message {sequence}: numbers of a session go on by one");
        *next += 1;
        let name = String::from_utf8_lossy(message.session);
        if let Some(client) = self.clients.iter().find(|client| client.name == name.trim_end()) {
            assert_eq!(message.kind, b'T', "message {sequence}");
            let block = &client.blocks[message.client_sequence as usize - 1];
            assert_eq!(message.body, block, "message {sequence} is not what was submitted");
            assert!(self.records.apply(sequence, message.body), "message {sequence} changes something twice");
        }
    }

    /// Asks for counts, and for some records, as of the last message that the model has.
    fn check_store(&mut self, place: &Place) {
        let last = self.known.len() as u64;
        let mut wanted: Vec<Vec<u8>> = Vec::new();
        for client in &self.clients {
            wanted.push(client.count_key().into_bytes());
            for _ in 0..8 {
                let number = 1 + self.random.below(client.blocks.len() as u64 + 1);
                wanted.push(format!("{}-{number}", client.name).into_bytes());
            }
        }
        let keys: Vec<Key<'_>> = wanted.iter().map(|key| Key { table: TABLE, key }).collect();
        let mut reader = place.reader();
        // What comes in meanwhile does not matter for the state after `last`.
        let records = reader.get_all(&keys, last, last).unwrap_or_else(|error| panic!("{error}"));
        reader.close();
        for (key, record) in wanted.iter().zip(records) {
            let found = record.map(|record| (record.version, record.value));
            let wanted = self.records.0.get(&(TABLE, key.clone())).cloned();
            assert_eq!(found, wanted, "{}", String::from_utf8_lossy(key));
        }
    }

    /// How many messages the stream had when it was last read.
    pub fn known(&self) -> u64 {
        self.known.len() as u64
    }

    /// Live records of the writers, as the model has them.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The observer.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

/// A free port on the interface of the test's host.
fn any_port(place: &Place) -> SocketAddrV4 {
    let interface = settings::interface(place.config()).resolve().expect("the interface is there");
    SocketAddrV4::new(interface.address, 0)
}
