use super::*;
use crate::bus::admission::AdmissionRule;
use crate::bus::tests::{TestPort, address, at_us, bus_messages, declaration, ring, sequencer};
use gds_wire::mold::{PacketBuilder, end_of_session};
use gds_wire::refusal::Refusal;

const CLIENT: Session = Session(*b"CLIENT    ");

fn packet(first: u64, blocks: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1472];
    let mut builder = PacketBuilder::new(&mut buffer, CLIENT, first);
    blocks.iter().for_each(|block| assert!(builder.push(block)));
    let length = builder.finish();
    buffer[..length].to_vec()
}

fn roomy() -> Arc<Progress> {
    let progress = Progress::default();
    progress.reserved.set(u64::MAX);
    Arc::new(progress)
}

fn refusals(sequencer: &mut Sequencer) -> Vec<(RefusalReason, u64)> {
    let mut port = TestPort::default();
    sequencer.flush(&mut port);
    let refusals = port.outbox.iter().filter_map(|(_, datagram)| Refusal::parse(datagram));
    refusals.map(|refusal| (refusal.reason, refusal.next)).collect()
}

#[test]
fn should_number_everything_in_one_order_with_envelopes() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    assert_eq!(sequencer.declare(at_us(1), &declaration(4, None)), Ok(1));
    sequencer.on_packet(at_us(2), address(9), &packet(1, &[b"T one", b"not ours", b""]));
    let long = [b'T'; 1_400];
    sequencer.on_packet(at_us(3), address(9), &packet(4, &[&long]));
    sequencer.on_packet(at_us(4), address(9), &end_of_session(CLIENT, 5));
    assert_eq!(progress.committed.get(), 0, "nothing is shown before the batch is finished");
    sequencer.finish_batch();
    assert_eq!((progress.sequenced.get(), progress.committed.get()), (6, 6));
    assert_eq!(sequencer.end_stream(at_us(5)), Ok(7));
    sequencer.finish_batch();
    let kinds: Vec<(Kind, u64)> = bus_messages(&ring).iter().map(|message| (message.0, message.2)).collect();
    let void = Kind::Void;
    let expected = [
        (Kind::Declare, 1),
        (Kind::Transaction, 1),
        (void, 2),
        (void, 3),
        (void, 4),
        (Kind::EndOfSession, 5),
        (Kind::EndOfStream, 2),
    ];
    assert_eq!(kinds, expected);
    let voids: Vec<Vec<u8>> =
        bus_messages(&ring).into_iter().filter(|it| it.0 == void).map(|it| it.3).collect();
    assert_eq!(voids[0], Void::of(b"not ours").to_bytes());
    assert_eq!(voids[2], Void::of(&long).to_bytes());
    let counters = sequencer.counters();
    assert_eq!((counters.too_long.get(), counters.unknown_type.get()), (1, 2));
    sequencer.on_packet(at_us(6), address(9), &packet(5, &[b"T"]));
    assert_eq!(refusals(&mut sequencer), [(RefusalReason::StreamEnded, 5)]);
    assert_eq!(
        sequencer.end_stream(at_us(7)),
        Err(SequencerError::NotNow(Hold::Refused(RefusalReason::StreamEnded)))
    );
}

#[test]
fn should_never_run_timestamps_back() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    for wall_ns in [500, 400, 600, 100] {
        sequencer.declare(Time { monotonic_ns: 0, wall_ns }, &declaration(1, None)).unwrap();
    }
    sequencer.finish_batch();
    let mut reader = ring.reader(1);
    let mut buffer = [0; 500];
    let mut stamps = Vec::new();
    while let crate::memory::Read::Message { length, .. } = reader.read(u64::MAX, &mut buffer) {
        stamps.push(Message::parse(&buffer[..length]).unwrap().envelope.timestamp_ns());
    }
    assert_eq!(stamps, [500, 500, 600, 600]);
}

#[test]
fn should_refuse_what_the_journal_has_no_room_for_and_take_it_later() {
    let (ring, progress) = (ring(1 << 16), roomy());
    progress.reserved.set(3);
    progress.full.set(1);
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    sequencer.declare(at_us(0), &declaration(4, None)).unwrap();
    sequencer.on_packet(at_us(0), address(9), &packet(1, &[b"T1", b"T2", b"T3", b"T4"]));
    assert_eq!(refusals(&mut sequencer), [(RefusalReason::DiskFull, 3)]);
    assert_eq!(sequencer.next_sequence(), 4);
    progress.reserved.set(100);
    sequencer.on_packet(at_us(50), address(9), &packet(3, &[b"T3", b"T4"]));
    assert_eq!(sequencer.next_sequence(), 6);
    sequencer.on_timer(at_us(100));
    assert_eq!(sequencer.next_sequence(), 6);
    assert_eq!(sequencer.ingress().counters().held_now.get(), 0);
}

#[test]
fn should_wait_without_a_word_for_a_journal_that_is_behind() {
    let (ring, progress) = (ring(1 << 16), roomy());
    progress.reserved.set(3);
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    sequencer.declare(at_us(0), &declaration(4, None)).unwrap();
    sequencer.on_packet(at_us(0), address(9), &packet(1, &[b"T1", b"T2", b"T3", b"T4"]));
    assert_eq!(refusals(&mut sequencer), []);
    assert_eq!(sequencer.next_sequence(), 4);
    progress.reserved.set(100);
    sequencer.on_timer(at_us(100));
    assert_eq!(sequencer.next_sequence(), 6, "what was held is taken when the journal has come after");
    assert_eq!((sequencer.counters().journal_behind.get(), sequencer.counters().disk_full.get()), (1, 0));
}

#[test]
fn should_commit_nothing_before_the_journal_has_left_its_orderly_end() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut sequencer =
        sequencer(&ring, vec![AdmissionRule::anyone()], &progress).committing_once_journalled(1);
    assert_eq!(sequencer.declare(at_us(1), &declaration(4, None)), Ok(1));
    sequencer.on_packet(at_us(2), address(9), &packet(1, &[b"T one"]));
    sequencer.finish_batch();
    assert_eq!((progress.sequenced.get(), progress.committed.get()), (2, 0));
    progress.durable.set(1);
    sequencer.finish_batch();
    assert_eq!(progress.committed.get(), 2, "from then on the ring alone is enough");
}

#[test]
fn should_commit_with_the_journal_when_durability_says_so() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let config = SequencerConfig { durability: Durability::Fsync, ..SequencerConfig::default() };
    let mut sequencer = Sequencer::new(config, ring.writer(), Arc::clone(&progress));
    sequencer.declare(at_us(0), &declaration(4, None)).unwrap();
    sequencer.finish_batch();
    assert_eq!((progress.sequenced.get(), progress.committed.get()), (1, 0));
    progress.durable.set(1);
    sequencer.finish_batch();
    assert_eq!(progress.committed.get(), 1);
}

#[test]
fn should_stop_receiving_while_the_ring_is_full_and_lose_nothing() {
    let (ring, progress) = (ring(1 << 14), roomy());
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    sequencer.declare(at_us(0), &declaration(4, None)).unwrap();
    let mut port = TestPort::default();
    let block = [b'T'; 600];
    port.inbox.extend((1..=200).map(|number| (address(9), packet(number, &[&block]))));
    let mut reader = ring.reader(1);
    let mut buffer = [0; 2_000];
    let (mut read, mut cycles) = (0, 0);
    while read < 201 {
        cycles += 1;
        assert!(cycles < 2_000, "stuck at {read}");
        sequencer.duty(at_us(cycles * 100), &mut port, 64);
        if cycles % 40 == 0 {
            while let crate::memory::Read::Message { sequence, .. } = reader.read(u64::MAX, &mut buffer) {
                assert_eq!(sequence, read + 1);
                read = sequence;
            }
            progress.durable.set(read);
        }
    }
    assert!(sequencer.counters().not_accepting.get() > 0);
    assert_eq!(sequencer.table().get(&CLIENT).unwrap().next, 201);
}

#[test]
fn should_go_on_where_it_stood_after_a_restart() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut first = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    first.declare(Time { monotonic_ns: 0, wall_ns: 900 }, &declaration(4, None)).unwrap();
    first.on_packet(at_us(0), address(9), &packet(1, &[b"T1", b"T2"]));
    first.finish_batch();
    let table = first.table().clone();
    drop(first);
    let config = SequencerConfig::default();
    let mut second = Sequencer::resume(config, table, ring.writer(), Arc::clone(&progress), 5_000_000);
    second.on_packet(at_us(0), address(9), &packet(1, &[b"T1", b"T2", b"T3"]));
    second.finish_batch();
    let messages = bus_messages(&ring);
    assert_eq!(messages.len(), 4);
    assert_eq!((messages[3].2, messages[3].3.as_slice()), (3, b"T3".as_slice()));
}

#[test]
fn should_refuse_a_declaration_that_fits_no_packet() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    let mut long = declaration(4, None);
    long.tables = (0..100)
        .map(|table| gds_wire::declaration::TableDeclaration {
            table,
            name: format!("t{table}").parse().unwrap(),
        })
        .collect();
    let error = sequencer.declare(at_us(0), &long).unwrap_err();
    assert!(matches!(error, SequencerError::TooLong { .. }), "{error}");
    assert_eq!(sequencer.next_sequence(), 1);
}

#[test]
fn should_commit_only_what_the_journal_has_once_the_ring_is_lost() {
    let (ring, progress) = (ring(1 << 16), roomy());
    let mut sequencer = sequencer(&ring, vec![AdmissionRule::anyone()], &progress);
    sequencer.declare(at_us(0), &declaration(4, None)).unwrap();
    sequencer.on_packet(at_us(0), address(9), &packet(1, &[b"T1"]));
    sequencer.finish_batch();
    assert_eq!((progress.committed.get(), sequencer.durable()), (2, 2), "the ring alone has them");
    sequencer.commit_what_is_journalled();
    sequencer.on_packet(at_us(1), address(9), &packet(2, &[b"T2", b"T3"]));
    sequencer.finish_batch();
    assert_eq!((progress.committed.get(), sequencer.durable()), (2, 0), "never back, and no further");
    for durable in [1, 2, 3] {
        progress.durable.set(durable);
        sequencer.finish_batch();
        assert_eq!(progress.committed.get(), durable.max(2));
    }
}
