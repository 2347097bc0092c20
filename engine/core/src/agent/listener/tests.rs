use super::*;
use crate::bus::tests::{TestPort, address, at_us};
use crate::memory::Read;
use crate::memory::ring::{RingIdentity, RingReader};
use crate::memory::words::HeapWords;
use gds_wire::mold::{PacketBuilder, Request, end_of_session};
use gds_wire::session::Session;

const STREAM: Session = Session(*b"1700000000");
const RING: RingConfig = RingConfig { data_bytes: 1 << 18, positions: 1 << 12 };
const MESSAGE_BYTES: usize = 24;
/// Messages of this length in one packet of 200 bytes.
const PACKET_MESSAGES: u64 = 6;
const REWINDER: u16 = 7;

fn packet(first: u64, messages: u64) -> Vec<u8> {
    let mut buffer = [0; 200];
    let mut builder = PacketBuilder::new(&mut buffer, STREAM, first);
    for number in first..first + messages {
        let mut message = [0; MESSAGE_BYTES];
        message[..8].copy_from_slice(&number.to_be_bytes());
        assert!(builder.push(&message));
    }
    let length = builder.finish();
    buffer[..length].to_vec()
}

struct Far {
    agent: ListenerAgent<TestPort>,
    progress: Arc<Progress>,
    reader: RingReader,
    now_us: u64,
}

impl Far {
    /// One that keeps the stream from `next` on.
    fn new(next: u64) -> Self {
        let words = HeapWords::shared(Ring::words_needed(&RING));
        let identity = RingIdentity { stream: STREAM, boot_id: [0; 16], directory: [0; 16] };
        let ring = Ring::create(words, RING, identity, next);
        let progress = Arc::<Progress>::default();
        progress.journalled.set(next - 1);
        let bounds = ListenerBounds::of(&RING, 200, MESSAGE_BYTES).expect("room enough");
        let config = ReceiverConfig { next, rewinders: vec![address(REWINDER)], ..ReceiverConfig::default() };
        let reader = ring.reader(next);
        let ports = [TestPort::default(), TestPort::default()];
        let agent = ListenerAgent::new(config, bounds, ports, ring.writer(), progress.clone());
        Self { agent, progress, reader, now_us: 0 }
    }

    fn hears(&mut self, datagram: Vec<u8>) {
        self.agent.group.inbox.push_back((address(1), datagram));
    }

    fn is_answered(&mut self, datagram: Vec<u8>) {
        self.agent.own.inbox.push_back((address(REWINDER), datagram));
    }

    fn duty(&mut self) -> usize {
        self.now_us += 100;
        self.agent.duty(at_us(self.now_us)).expect("nothing can fail")
    }

    /// Reads what has been committed since the last time, as the journal would.
    fn journal(&mut self) {
        let mut message = [0; MESSAGE_BYTES];
        let limit = self.progress.committed.get();
        while let Read::Message { sequence, length, .. } = self.reader.read(limit, &mut message) {
            assert_eq!((length, &message[..8]), (MESSAGE_BYTES, &sequence.to_be_bytes()[..]));
        }
        assert_eq!(self.reader.next_sequence(), limit + 1, "it was overrun");
        self.progress.journalled.set(limit);
    }
}

#[test]
fn should_hold_back_while_the_journal_is_behind_and_lose_nothing() {
    let mut far = Far::new(1);
    let packets = 3_000;
    for number in 0..packets {
        far.hears(packet(1 + number * PACKET_MESSAGES, PACKET_MESSAGES));
    }
    for _ in 0..50 {
        while far.duty() > 0 {}
        assert!(far.agent.counters().held_back.get() > 0, "the ring was overrun");
        far.journal();
    }
    while far.duty() > 0 {
        far.journal();
    }
    assert_eq!(far.progress.committed.get(), packets * PACKET_MESSAGES);
    far.journal();
}

#[test]
fn should_take_a_whole_window_that_one_packet_sets_free() {
    let mut far = Far::new(1);
    let window = far.agent.bounds.window_packets as u64;
    for number in 1..window {
        far.hears(packet(1 + number * PACKET_MESSAGES, PACKET_MESSAGES));
        far.duty();
    }
    assert_eq!(far.progress.committed.get(), 0);
    far.hears(packet(1, PACKET_MESSAGES));
    far.duty();
    let held = far.agent.receiver().counters().window_high.get();
    assert_eq!(far.progress.committed.get(), (held + 1) * PACKET_MESSAGES);
    far.journal();
}

#[test]
fn should_fill_what_is_missing_and_show_where_it_stands_and_the_end() {
    let mut far = Far::new(5);
    far.hears(packet(5, 1));
    far.hears(packet(8, 1));
    far.duty();
    // A gap is left alone for a moment.
    far.duty();
    let counters = far.agent.counters();
    assert_eq!((counters.next.get(), counters.known.get(), far.progress.committed.get()), (6, 9, 5));
    let (to, request) = far.agent.own.outbox.pop().expect("it asks");
    assert_eq!(to, address(REWINDER));
    assert_eq!(Request::parse(&request), Some(Request { session: STREAM, sequence: 6, count: 2 }));
    far.is_answered(packet(6, 2));
    far.hears(end_of_session(STREAM, 9).to_vec());
    far.duty();
    assert_eq!((far.progress.committed.get(), far.progress.ended.get()), (8, 8));
    let (_, asked) = far.agent.receiver().asked().next().expect("one rewinder");
    assert_eq!((asked.asked.get(), asked.answered.get()), (1, 1));
    far.journal();
}

#[test]
fn should_drop_what_would_take_more_room_than_there_is_for_it() {
    let mut far = Far::new(1);
    let mut buffer = [0; 180];
    let mut builder = PacketBuilder::new(&mut buffer, STREAM, 1);
    while builder.push(b"") {}
    let length = builder.finish();
    far.hears(buffer[..length].to_vec());
    far.hears(vec![0; 201]);
    far.hears(b"no packet".to_vec());
    far.duty();
    assert_eq!((far.agent.counters().unfit.get(), far.progress.committed.get()), (3, 0));
}

#[test]
fn should_refuse_a_ring_that_holds_no_batch() {
    let ring = RingConfig { data_bytes: 1 << 10, positions: 1 << 6 };
    assert_eq!(ListenerBounds::of(&ring, 1_400, MESSAGE_BYTES), None);
}
