//! Rings between two cores: GDS's own beside two crates, with the same messages.
//!
//! Every message is published by itself. GDS's ring carries bytes of any length with a checksum over them, and its writer is held back by the
//! reader's cursor here, as by the journal in a node; the others carry values of one fixed size.
use super::RECORD_BYTES;
use crate::cores::{Cores, on_core};
use crate::experiment::Draft;
use crate::measurement::{Run, Subject, histogram};
use crate::schedule::Measured;
use disruptor::{BusySpin, Producer as _};
use gds_core::cursor::Cursor;
use gds_core::memory::{HeapWords, Read, Ring, RingConfig, RingIdentity};
use gds_nic::clock;
use gds_wire::session::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One way, as fast as it goes.
pub const RING_HAND_OVER: &str = "ring_hand_over";
/// There and back, one message at a time.
pub const RING_ROUND_TRIP: &str = "ring_round_trip";

/// Messages that a ring holds.
const SLOTS: usize = 1 << 14;
/// Messages read between two looks at anything else.
const BATCH: u64 = 64;

type Message = [u8; RECORD_BYTES];
/// Takes a message; false: no room.
type Send<'a> = Box<dyn FnMut(&Message) -> bool + std::marker::Send + 'a>;
/// Shows the messages there are, a batch at most; how many.
type Receive<'a> = Box<dyn FnMut(&mut dyn FnMut(&[u8])) -> u64 + std::marker::Send + 'a>;

/// A kind of ring: its name, whose it is, and how to make one.
type Kind = (&'static str, Subject, fn() -> (Send<'static>, Receive<'static>));

const KINDS: [Kind; 3] = [
    ("gds ring", Subject::System, gds_ring),
    ("disruptor", Subject::Peer, disruptor_ring),
    ("rtrb", Subject::Peer, rtrb_ring),
];

/// Both experiments on every ring.
pub fn measure(repetition: u32, cores: Cores, duration: Duration) -> Result<Vec<Run>, String> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("rings (disruptor, rtrb): need two processors".into());
    }
    // Neither side would end without the other: better to know now that both can be had.
    on_core(cores.system, || Ok(()))?;
    on_core(cores.load, || Ok(()))?;
    let mut runs = Vec::new();
    for (name, subject, make) in KINDS {
        let draft = |experiment| {
            Draft::new(experiment, name, subject, repetition).workload(&format!("bytes_{RECORD_BYTES}"))
        };
        runs.push(draft(RING_HAND_OVER).measured(&hand_over(make(), cores, duration)?));
        runs.push(draft(RING_ROUND_TRIP).measured(&round_trip(make(), make(), cores, duration)?));
    }
    Ok(runs)
}

fn gds_ring() -> (Send<'static>, Receive<'static>) {
    let frame = Ring::frame_bytes(RECORD_BYTES);
    let config = RingConfig { data_bytes: (SLOTS * frame).next_power_of_two(), positions: SLOTS * 2 };
    let identity = RingIdentity {
        stream: Session::padded("BENCH").expect("a session"),
        boot_id: [0; 16],
        directory: [0; 16],
    };
    let ring = Ring::create(HeapWords::shared(Ring::words_needed(&config)), config, identity, 1);
    let read_up_to = Arc::new(Cursor::new(0));
    let (mut writer, mut reader, gate) = (ring.writer(), ring.reader(1), Arc::clone(&read_up_to));
    let send = move |message: &Message| {
        if writer.room(gate.get()) < RECORD_BYTES {
            return false;
        }
        writer.append(1, &[message]);
        writer.publish();
        true
    };
    let mut buffer = [0; RECORD_BYTES];
    let receive = move |heard: &mut dyn FnMut(&[u8])| {
        let mut count = 0;
        while count < BATCH {
            let Read::Message { length, .. } = reader.read(u64::MAX, &mut buffer) else { break };
            heard(&buffer[..length]);
            count += 1;
        }
        if count > 0 {
            read_up_to.set(reader.next_sequence() - 1);
        }
        count
    };
    (Box::new(send), Box::new(receive))
}

fn disruptor_ring() -> (Send<'static>, Receive<'static>) {
    let builder = disruptor::build_single_producer(SLOTS, || [0; RECORD_BYTES], BusySpin);
    let (mut poller, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    let send = move |message: &Message| producer.try_publish(|slot| *slot = *message).is_ok();
    let receive = move |heard: &mut dyn FnMut(&[u8])| {
        let Ok(mut messages) = poller.take(BATCH) else { return 0 };
        let mut count = 0;
        for message in &mut messages {
            heard(message);
            count += 1;
        }
        count
    };
    (Box::new(send), Box::new(receive))
}

fn rtrb_ring() -> (Send<'static>, Receive<'static>) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(SLOTS);
    let send = move |message: &Message| producer.push(*message).is_ok();
    let receive = move |heard: &mut dyn FnMut(&[u8])| {
        let mut count = 0;
        while count < BATCH {
            let Ok(message) = consumer.pop() else { break };
            heard(&message);
            count += 1;
        }
        count
    };
    (Box::new(send), Box::new(receive))
}

fn numbered(number: u64) -> Message {
    let mut message = [0x5A; RECORD_BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

fn number_of(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().expect("messages are longer"))
}

/// Waits for the other side; on its own processor by spinning, else by letting others run.
fn wait(cores: Cores) {
    if cores.system.is_some() { std::hint::spin_loop() } else { std::thread::yield_now() }
}

/// Runs `far` on the system's processor beside `near` on the load's; both must end by themselves.
fn beside<T: std::marker::Send>(
    cores: Cores,
    far: impl FnOnce() + std::marker::Send,
    near: impl FnOnce() -> T + std::marker::Send,
) -> Result<T, String> {
    std::thread::scope(|scope| {
        let far = scope.spawn(move || {
            let done = || {
                far();
                Ok(())
            };
            on_core(cores.system, done)
        });
        let near = on_core(cores.load, || Ok(near()));
        far.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(near)
    })
}

fn hand_over(
    (mut send, mut receive): (Send, Receive),
    cores: Cores,
    duration: Duration,
) -> Result<Measured, String> {
    // How many there are, once the sender has ended.
    let total = AtomicU64::new(u64::MAX);
    let far = || {
        let mut next = 0;
        while next < total.load(Ordering::Acquire) {
            let count = receive(&mut |message| {
                assert_eq!(number_of(message), next, "a ring keeps the order");
                next += 1;
            });
            if count == 0 {
                wait(cores);
            }
        }
    };
    let near = || {
        let begun = Instant::now();
        let mut sent = 0;
        while sent % BATCH != 0 || begun.elapsed() < duration {
            let message = numbered(sent);
            while !send(&message) {
                wait(cores);
            }
            sent += 1;
        }
        total.store(sent, Ordering::Release);
        (sent, begun)
    };
    let (sent, begun) = beside(cores, far, near)?;
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    Ok(measured(sent, rate, histogram()))
}

fn round_trip(
    there: (Send, Receive),
    back: (Send, Receive),
    cores: Cores,
    duration: Duration,
) -> Result<Measured, String> {
    let ((mut ask, mut asked), (mut answer, mut answered)) = (there, back);
    let far = || {
        let mut ended = false;
        while !ended {
            let mut message = None;
            asked(&mut |bytes| message = Some(number_of(bytes)));
            match message {
                Some(number) => {
                    ended = number == u64::MAX;
                    assert!(answer(&numbered(number)), "there is one message at a time");
                }
                None => wait(cores),
            }
        }
    };
    let near = || {
        let mut latency = histogram();
        let mut trip = |number| {
            let begun_ns = clock::monotonic_ns();
            assert!(ask(&numbered(number)), "there is one message at a time");
            while answered(&mut |bytes| assert_eq!(number_of(bytes), number)) == 0 {
                wait(cores);
            }
            clock::monotonic_ns() - begun_ns
        };
        let begun = Instant::now();
        let mut number = 0;
        while begun.elapsed() < duration {
            let ns = trip(number);
            // The first tenth warms up.
            if begun.elapsed() > duration / 10 {
                latency.saturating_record(ns.max(1));
            }
            number += 1;
        }
        trip(u64::MAX);
        (latency, number as f64 / begun.elapsed().as_secs_f64())
    };
    let (latency, rate) = beside(cores, far, near)?;
    Ok(measured(latency.len(), rate, latency))
}

fn measured(count: u64, rate: f64, latency: hdrhistogram::Histogram<u64>) -> Measured {
    Measured {
        rate_wanted: None,
        rate,
        sent: count,
        answered: count,
        late: 0,
        latency,
        lateness: histogram(),
        longest_gap_ns: 0,
        unexpected: 0,
    }
}
