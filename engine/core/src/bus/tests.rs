//! The bus as a whole over a network that loses, repeats, delays and reorders. Every test runs many seeds; a failure names its seed.
use super::*;
use crate::cursor::Progress;
use crate::disk::{BLOCK_BYTES, Disk, DiskError, DiskWrite};
use crate::journal::{Durability, JournalConfig, JournalReader, JournalWriter, Recovered};
use crate::memory::{HeapWords, Read, Ring, RingConfig, RingIdentity};
use crate::port::DatagramPort;
use crate::random::Random;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, Time};
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration};
use gds_wire::envelope::{Kind, Message};
use gds_wire::mold::{self, PacketBuilder};
use gds_wire::session::{Session, SessionPattern};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::sync::Arc;

pub const STREAM: Session = Session(*b"1700000000");
pub const ACKS: Session = Session(*b"1700000000");

pub fn address(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([127, 0, 0, 1].into(), port)
}

pub fn at_us(microseconds: u64) -> Time {
    Time { monotonic_ns: microseconds * MICROSECOND_NS, wall_ns: 1_000_000 + microseconds * MICROSECOND_NS }
}

pub fn ring(data_bytes: usize) -> Arc<Ring> {
    let config = RingConfig { data_bytes, positions: (data_bytes / 32).next_power_of_two() };
    let identity = RingIdentity { stream: STREAM, boot_id: [7; 16], directory: [0; 16] };
    Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, 1)
}

/// There is no journal.
pub struct NoDisk;

impl Disk for NoDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(Vec::new())
    }
    fn create(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }
    fn length(&mut self, _: u64) -> Result<u64, DiskError> {
        Ok(0)
    }
    fn remove(&mut self, _: u64) -> Result<(), DiskError> {
        Ok(())
    }
    fn read(&mut self, _: u64, _: u64, _: &mut [u8]) -> Result<usize, DiskError> {
        Ok(0)
    }
    fn submit(&mut self, _: DiskWrite) {}
    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        None
    }
    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        None
    }
    fn describe(&self, _: u64) -> String {
        String::new()
    }
}

/// Segments in memory; every write is done at once.
#[derive(Default)]
pub struct MemoryDisk {
    pub segments: BTreeMap<u64, Vec<u8>>,
    done: VecDeque<DiskWrite>,
}

impl Clone for MemoryDisk {
    /// With nothing on its way.
    fn clone(&self) -> Self {
        Self { segments: self.segments.clone(), done: VecDeque::new() }
    }
}

impl Disk for MemoryDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(self.segments.keys().copied().collect())
    }
    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        self.segments.insert(segment, vec![0; bytes as usize]);
        Ok(())
    }
    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        Ok(self.segments[&segment].len() as u64)
    }
    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.segments.remove(&segment);
        Ok(())
    }
    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let bytes = &self.segments[&segment][offset as usize..];
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn submit(&mut self, write: DiskWrite) {
        let segment = self.segments.get_mut(&write.segment).unwrap();
        for (block, index) in write.blocks[..write.count].iter().zip(0..) {
            let start = write.offset as usize + index * BLOCK_BYTES;
            segment[start..start + BLOCK_BYTES].copy_from_slice(&block.0);
        }
        self.done.push_back(write);
    }
    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.done.pop_front().map(|write| (write, Ok(())))
    }
    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.poll()
    }
    fn describe(&self, segment: u64) -> String {
        format!("segment {segment} in memory")
    }
}

/// A port whose other side is the test.
#[derive(Default)]
pub struct TestPort {
    pub inbox: VecDeque<(SocketAddrV4, Vec<u8>)>,
    pub outbox: Vec<(SocketAddrV4, Vec<u8>)>,
}

impl DatagramPort for TestPort {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        let count = limit.min(self.inbox.len());
        for (from, datagram) in self.inbox.drain(..count) {
            deliver(from, &datagram);
        }
        count
    }
    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        self.outbox.push((to, datagram.to_vec()));
        true
    }
}

/// A path that loses, repeats and delays.
pub struct Path {
    random: Random,
    loss_percent: u64,
    delay_ns_max: u64,
    flying: Vec<(u64, Vec<u8>)>,
}

impl Path {
    pub fn new(seed: u64, loss_percent: u64) -> Self {
        Self {
            random: Random::new(seed),
            loss_percent,
            delay_ns_max: 300 * MICROSECOND_NS,
            flying: Vec::new(),
        }
    }

    pub fn send(&mut self, now: Time, datagram: &[u8]) {
        let copies = if self.random.chance(self.loss_percent, 100) {
            0
        } else {
            1 + self.random.chance(1, 20) as usize
        };
        for _ in 0..copies {
            let slow = self.random.chance(1, 8);
            let delay_ns = 5_000 + if slow { self.random.below(self.delay_ns_max) } else { 0 };
            self.flying.push((now.monotonic_ns + delay_ns, datagram.to_vec()));
        }
    }

    /// What arrives by now, in a random order where times are close.
    pub fn arrive(&mut self, now: Time) -> Vec<Vec<u8>> {
        let (mut here, flying): (Vec<_>, Vec<_>) =
            self.flying.drain(..).partition(|(time, _)| *time <= now.monotonic_ns);
        self.flying = flying;
        here.sort_by_key(|(time, _)| *time);
        here.into_iter().map(|(_, datagram)| datagram).collect()
    }
}

pub fn message_of(number: u64) -> Vec<u8> {
    let length = 8 + (number.wrapping_mul(0x9E37_79B9) >> 7) as usize % 200;
    let mut message = vec![number as u8; length];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

pub fn declaration(sessions_max: u32, schema: Option<Schema>) -> Declaration {
    let limits = Limits {
        records_max: 1,
        bytes_max: 1,
        sessions_max,
        session_forget_messages: 0,
        horizon_messages: 1,
        index_seed: 0,
    };
    let schema = schema.map(|schema| SchemaDeclaration {
        pattern: SessionPattern::ANY,
        schema,
        version: 1,
        first_table: 0,
    });
    Declaration { limits, tables: Vec::new(), schemas: schema.into_iter().collect() }
}

/// The ring is so small that whoever is slow reads from the journal.
fn lossy_downstream(seed: u64, loss_percent: u64) {
    const LAST: u64 = 3_000;
    let mut random = Random::new(seed);
    let ring = ring(1 << 14);
    let mut writer = ring.writer();
    let mut disk = MemoryDisk::default();
    let progress = Progress::default();
    let (segment_bytes, group_bytes_max) = (1 << 18, 1 << 14);
    let journal =
        JournalConfig { segment_bytes, group_bytes_max, linger_ns: 20_000, durability: Durability::Memory };
    let mut journal = JournalWriter::new(journal, STREAM, &Recovered::empty());
    let mut journal_source = ring.reader(1);
    let reader = || StreamReader::new(ring.reader(1), Some(JournalReader::new(STREAM)));
    let config = PublisherConfig { bus_messages: false, ..PublisherConfig::new(STREAM, address(1)) };
    let mut publisher = Publisher::new(config, reader());
    publisher.end_after(LAST);
    let limit_ring = Arc::clone(&ring);
    let mut rewinders: Vec<Rewinder> = (0..2)
        .map(|_| {
            let limit_ring = Arc::clone(&limit_ring);
            let limit = Box::new(move || limit_ring.last());
            let source = RewindSource { session: STREAM, reader: reader(), limit };
            Rewinder::new(RewinderConfig::default(), vec![source])
        })
        .collect();
    let mut receiver = Receiver::new(ReceiverConfig {
        session: Some(STREAM),
        rewinders: vec![address(10), address(11)],
        window_packets: 1 + random.below(200) as usize,
        gaps_max: 1 + random.below(64) as usize,
        seed,
        ..ReceiverConfig::default()
    });
    let (mut down, mut asks, mut replies) = (
        Path::new(seed + 1, loss_percent),
        Path::new(seed + 2, loss_percent),
        Path::new(seed + 3, loss_percent),
    );
    let mut port = TestPort::default();
    let mut delivered = 0;
    let mut microseconds = 0;
    while !receiver.ended() {
        microseconds += 1 + random.below(40);
        assert!(microseconds < 20_000_000, "seed {seed}: stuck at {delivered}");
        let now = at_us(microseconds);
        for _ in 0..random.below(12) {
            if writer.next_sequence() <= LAST && writer.room(progress.durable.get()) >= 256 {
                writer.append(1, &[&message_of(writer.next_sequence())]);
            }
        }
        writer.publish();
        journal.duty(now, &mut journal_source, ring.last(), &mut disk, &progress).unwrap();
        if random.chance(3, 4) {
            publisher.duty(now, ring.last(), &mut disk, &mut port).unwrap();
        }
        port.outbox.drain(..).for_each(|(_, datagram)| down.send(now, &datagram));
        for datagram in asks.arrive(now) {
            let rewinder = &mut rewinders[random.below(2) as usize];
            if let Some(reply) = rewinder.on_datagram(now, address(99), &datagram, &mut [&mut disk]) {
                replies.send(now, reply);
            }
        }
        for datagram in down.arrive(now).into_iter().chain(replies.arrive(now)) {
            receiver.on_packet(now, &datagram, &mut |number, message| {
                delivered += 1;
                assert_eq!(number, delivered, "seed {seed}");
                assert_eq!(message, message_of(number), "seed {seed}");
            });
        }
        receiver.on_timer(now, &mut |_, request| asks.send(now, request));
    }
    assert_eq!(delivered, LAST, "seed {seed}");
    assert_eq!(receiver.next_sequence(), LAST + 1);
    let from_journal =
        rewinders.iter().map(|it| it.sources()[0].reader.counters().from_journal.get()).sum::<u64>();
    assert!(loss_percent < 30 || from_journal > 0, "seed {seed}: every reply came from the ring");
}

#[test]
fn should_deliver_everything_once_in_order_over_a_lossy_network() {
    for seed in 0..60 {
        lossy_downstream(seed * 100, [0, 1, 10, 30, 50][seed as usize % 5]);
    }
}

#[test]
fn should_fill_thirty_percent_loss_quickly() {
    for seed in 0..20 {
        lossy_downstream(1_000_000 + seed, 30);
    }
}

/// Cuts the numbers `1..=last` into packets of random sizes.
fn line_packets(random: &mut Random, session: Session, last: u64) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut next = 1;
    while next <= last {
        let mut buffer = [0; 1400];
        let mut builder = PacketBuilder::new(&mut buffer, session, next);
        let count = 1 + random.below(6);
        while builder.next_sequence() <= last && u64::from(builder.count()) < count {
            let message = message_of(builder.next_sequence());
            if !builder.push(&message) {
                break;
            }
        }
        next = builder.next_sequence();
        let length = builder.finish();
        packets.push(buffer[..length].to_vec());
    }
    packets
}

pub fn sequencer(ring: &Arc<Ring>, rules: Vec<AdmissionRule>, progress: &Arc<Progress>) -> Sequencer {
    let ingress = IngressConfig { rules, packets_max: 256, receptions_max: 16, ..IngressConfig::default() };
    let config = SequencerConfig { ingress, ..SequencerConfig::default() };
    Sequencer::new(config, ring.writer(), Arc::clone(progress))
}

/// All bus messages: (kind, session, client sequence, body).
pub fn bus_messages(ring: &Arc<Ring>) -> Vec<(Kind, Session, u64, Vec<u8>)> {
    let mut reader = ring.reader(1);
    let mut buffer = [0; 2000];
    let mut messages = Vec::new();
    while let Read::Message { length, .. } = reader.read(u64::MAX, &mut buffer) {
        let message = Message::parse(&buffer[..length]).unwrap();
        let envelope = message.envelope;
        messages.push((envelope.kind(), envelope.session, envelope.client_sequence(), message.body.to_vec()));
    }
    messages
}

/// Lines A and B, each losing on its own; what both lose is asked from a re-request server or skipped.
fn two_lines(seed: u64, loss_percent: u64, skip: bool) {
    const LAST: u64 = 2_000;
    let feed = Session::padded("FEED").unwrap();
    let mut random = Random::new(seed);
    let ring = ring(1 << 20);
    let progress = Arc::new(Progress::default());
    progress.reserved.set(u64::MAX);
    let rule = AdmissionRule {
        gap: if skip { GapPolicy::Skip { after_ns: 2 * MILLISECOND_NS } } else { GapPolicy::Wait },
        rerequest: if skip { Rerequest::Nobody } else { Rerequest::Address(address(50)) },
        ..AdmissionRule::anyone()
    };
    let mut sequencer = sequencer(&ring, vec![rule], &progress);
    sequencer.declare(at_us(0), &declaration(4, Some(Schema::Itch50))).unwrap();
    let mut lines: Vec<(VecDeque<Vec<u8>>, Path)> = (0..2)
        .map(|line| (line_packets(&mut random, feed, LAST).into(), Path::new(seed * 10 + line, loss_percent)))
        .collect();
    let (mut asks, mut replies) =
        (Path::new(seed * 10 + 5, loss_percent), Path::new(seed * 10 + 6, loss_percent));
    let mut port = TestPort::default();
    let mut microseconds = 0;
    while sequencer.table().get(&feed).is_none_or(|entry| !entry.ended()) {
        microseconds += 1 + random.below(30);
        assert!(microseconds < 20_000_000, "seed {seed}: stuck at {:?}", sequencer.table().get(&feed));
        let now = at_us(microseconds);
        for (packets, path) in &mut lines {
            match packets.pop_front() {
                Some(packet) => path.send(now, &packet),
                None if random.chance(1, 30) => path.send(now, &mold::end_of_session(feed, LAST + 1)),
                None => {}
            }
            port.inbox.extend(path.arrive(now).into_iter().map(|datagram| (address(40), datagram)));
        }
        port.inbox.extend(replies.arrive(now).into_iter().map(|datagram| (address(50), datagram)));
        sequencer.duty(now, &mut port, 64);
        port.outbox.drain(..).for_each(|(to, datagram)| {
            assert_eq!(to, address(50));
            asks.send(now, &datagram);
        });
        for datagram in asks.arrive(now) {
            let request = mold::Request::parse(&datagram).unwrap();
            let mut buffer = [0; 1400];
            let mut builder = PacketBuilder::new(&mut buffer, feed, request.sequence);
            for number in request.sequence..(request.sequence + u64::from(request.count)).min(LAST + 1) {
                if !builder.push(&message_of(number)) {
                    break;
                }
            }
            let length = builder.finish();
            replies.send(now, &buffer[..length]);
        }
    }
    check_feed(seed, &ring, feed, LAST);
    assert!(skip || sequencer.table().get(&feed).unwrap().skipped == 0, "seed {seed}");
    assert_eq!(sequencer.ingress().counters().held_now.get(), 0, "seed {seed}");
}

/// Every number once and in order, as a message or within a skip; then the end.
fn check_feed(seed: u64, ring: &Arc<Ring>, feed: Session, last: u64) {
    let mut next = 1;
    for (kind, session, number, body) in &bus_messages(ring)[1..] {
        assert_eq!((*session, *number), (feed, next), "seed {seed}");
        match kind {
            Kind::Transaction => {
                assert_eq!(*body, message_of(next), "seed {seed}");
                next += 1;
            }
            Kind::Skip => next = u64::from_be_bytes(body[8..].try_into().unwrap()) + 1,
            Kind::EndOfSession => assert_eq!(next, last + 1, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn should_merge_two_lines_into_one_stream() {
    for seed in 0..40 {
        two_lines(seed, [0, 5, 20, 40][seed as usize % 4], false);
    }
}

#[test]
fn should_skip_what_both_lines_lost() {
    for seed in 0..40 {
        two_lines(1_000 + seed, [1, 10, 30][seed as usize % 3], true);
    }
}

struct Client {
    submitter: Submitter,
    receiver: Receiver,
    to_bus: Path,
    from_acks: Path,
    to_rewinder: Path,
    from_rewinder: Path,
    from_sequencer: Path,
    submitted: u64,
    outcomes: BTreeMap<u64, u64>,
    ended: bool,
}

impl Client {
    fn new(seed: u64, index: u16, loss_percent: u64) -> Self {
        let session = Session::padded(&format!("CLIENT{index}")).unwrap();
        let path = |kind| Path::new(seed * 1_000 + u64::from(index) * 10 + kind, loss_percent);
        let config = SubmitterConfig {
            window_messages: 100,
            window_bytes: 8_000,
            ..SubmitterConfig::new(session, address(1))
        };
        let receiver = ReceiverConfig {
            session: Some(ACKS),
            rewinders: vec![address(10)],
            window_packets: 64,
            seed,
            ..ReceiverConfig::default()
        };
        Self {
            submitter: Submitter::new(config),
            receiver: Receiver::new(receiver),
            to_bus: path(1),
            from_acks: path(2),
            to_rewinder: path(3),
            from_rewinder: path(4),
            from_sequencer: path(5),
            submitted: 0,
            outcomes: BTreeMap::new(),
            ended: false,
        }
    }

    fn duty(&mut self, seed: u64, now: Time, last: u64, random: &mut Random) {
        for _ in 0..random.below(8) {
            let mut block = message_of(self.submitter.next_sequence());
            block[0] = b'T';
            if self.submitted < last && self.submitter.submit(&block).is_ok() {
                self.submitted += 1;
            }
        }
        if self.submitted == last {
            self.submitter.end();
        }
        let (outcomes, ended) = (&mut self.outcomes, &mut self.ended);
        let mut event = |event: SubmitEvent| match event {
            SubmitEvent::Acknowledged { client_sequence, sequence, outcome } => {
                assert_eq!(outcome, Outcome::Applied, "seed {seed}");
                assert_eq!(
                    outcomes.insert(client_sequence, sequence),
                    None,
                    "seed {seed}: acknowledged twice"
                );
            }
            SubmitEvent::Ended { .. } => *ended = true,
            SubmitEvent::Refused { .. } => {}
            SubmitEvent::SessionClash { .. } => panic!("seed {seed}: {event:?}"),
        };
        for datagram in self.from_acks.arrive(now).into_iter().chain(self.from_rewinder.arrive(now)) {
            let submitter = &mut self.submitter;
            self.receiver.on_packet(now, &datagram, &mut |sequence, message| {
                submitter.on_acknowledgement(now, sequence, message, &mut event);
            });
        }
        for datagram in self.from_sequencer.arrive(now) {
            self.submitter.on_datagram(
                now,
                &datagram,
                &mut |_, burst, bytes| burst.chunks(bytes).for_each(|sent| self.to_bus.send(now, sent)),
                &mut event,
            );
        }
        self.receiver.on_timer(now, &mut |_, request| self.to_rewinder.send(now, request));
        self.submitter.on_timer(now, &mut |_, burst, bytes| {
            burst.chunks(bytes).for_each(|sent| self.to_bus.send(now, sent));
        });
    }
}

/// Clients submit through a lossy ingress to a node whose ring and journal are now and then full, and hear lossy acknowledgements.
fn submission(seed: u64, loss_percent: u64) {
    const LAST: u64 = 400;
    let mut random = Random::new(seed);
    let (bus, acks) = (ring(1 << 20), ring(1 << 18));
    let progress = Arc::new(Progress::default());
    progress.reserved.set(1);
    let mut sequencer = sequencer(&bus, vec![AdmissionRule::anyone()], &progress);
    sequencer.declare(at_us(0), &declaration(8, None)).unwrap();
    let mut store = bus.reader(1);
    let mut ack_writer = acks.writer();
    let config = PublisherConfig { bus_messages: false, ..PublisherConfig::new(ACKS, address(2)) };
    let mut publisher = Publisher::new(config, StreamReader::new(acks.reader(1), None));
    let limit_acks = Arc::clone(&acks);
    let source = RewindSource {
        session: ACKS,
        reader: StreamReader::new(acks.reader(1), None),
        limit: Box::new(move || limit_acks.last()),
    };
    let mut rewinder = Rewinder::new(RewinderConfig::default(), vec![source]);
    let mut clients: Vec<Client> = (0..3).map(|index| Client::new(seed, index, loss_percent)).collect();
    let (mut port, mut ack_port) = (TestPort::default(), TestPort::default());
    let mut microseconds = 0;
    while clients.iter().any(|client| !client.ended) {
        microseconds += 1 + random.below(60);
        assert!(microseconds < 30_000_000, "seed {seed}: stuck");
        let now = at_us(microseconds);
        if random.chance(1, 6) {
            progress.reserved.set(progress.sequenced.get() + random.below(60));
            progress.full.set(random.below(2));
        }
        progress.durable.set(progress.sequenced.get());
        for (index, client) in clients.iter_mut().enumerate() {
            client.duty(seed, now, LAST, &mut random);
            let from = address(100 + index as u16);
            port.inbox.extend(client.to_bus.arrive(now).into_iter().map(|datagram| (from, datagram)));
            for datagram in client.to_rewinder.arrive(now) {
                if let Some(reply) = rewinder.on_datagram(now, from, &datagram, &mut [&mut NoDisk]) {
                    client.from_rewinder.send(now, reply);
                }
            }
        }
        sequencer.duty(now, &mut port, 64);
        for (to, datagram) in port.outbox.drain(..) {
            clients[usize::from(to.port() - 100)].from_sequencer.send(now, &datagram);
        }
        let mut buffer = [0; 2000];
        while let Read::Message { length, .. } = store.read(progress.committed.get(), &mut buffer) {
            let message = Message::parse(&buffer[..length]).unwrap();
            let (session, number) = (message.envelope.session, message.envelope.client_sequence());
            let acknowledgement = Acknowledgement::new(session, number, message.checksum(), Outcome::Applied);
            assert!(ack_writer.room(0) > 100);
            ack_writer.append(1, &[&acknowledgement.to_bytes()]);
        }
        ack_writer.publish();
        publisher.duty(now, acks.last(), &mut NoDisk, &mut ack_port).unwrap();
        for (_, datagram) in ack_port.outbox.drain(..) {
            clients.iter_mut().for_each(|client| client.from_acks.send(now, &datagram));
        }
    }
    let mut next: BTreeMap<Session, u64> = BTreeMap::new();
    let messages = bus_messages(&bus);
    for (sequence, (kind, session, number, body)) in (1..).zip(&messages) {
        let expected = next.entry(*session).or_insert(1);
        assert_eq!(number, expected, "seed {seed}");
        if *kind == Kind::Transaction {
            let mut block = message_of(*number);
            block[0] = b'T';
            assert_eq!(*body, block, "seed {seed}");
            let client = clients.iter().find(|client| client.submitter.session() == *session).unwrap();
            assert_eq!(client.outcomes.get(number), Some(&sequence), "seed {seed}");
        }
        *expected += u64::from(*kind != Kind::EndOfSession);
    }
    assert_eq!(messages.len() as u64, 1 + 3 * (LAST + 1), "seed {seed}");
    assert!(
        clients
            .iter()
            .all(|client| client.outcomes.len() as u64 == LAST && client.submitter.unacknowledged() == 0)
    );
}

#[test]
fn should_end_with_every_submission_acknowledged_exactly_once() {
    for seed in 0..40 {
        submission(seed, [0, 1, 10, 30][seed as usize % 4]);
    }
}
