//! What a snapshot holds, and what comes of it.
use super::*;
use crate::store::ReadBuffer;
use crate::store::tests::feeds::{add, delete, event};
use crate::store::tests::stream::{Bench, CONFIG, ORDERS, limits, memory_for, op, transaction};
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use gds_wire::envelope::{Kind, Reason};
use gds_wire::transaction::OperationKind::{Delete, Put};

/// A stream with something of everything.
pub fn bench() -> Bench {
    let mut bench = Bench::new(limits());
    for number in 0..50u8 {
        bench.native(&[op(Put, 1, &[b'k', number], &[number; 40], None)]);
    }
    assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    for reference in 0..20 {
        assert_eq!(bench.feed(&add(reference, 100)), Outcome::Applied);
    }
    assert_eq!(bench.feed(&event(b'O')), Outcome::Applied);
    for reference in 0..20 {
        assert_eq!(bench.feed(&add(reference, 200)), Outcome::Applied);
    }
    assert_eq!(bench.feed(&delete(3)), Outcome::Applied);
    bench.native(&[
        op(Delete, 1, b"k\x05", b"", None),
        op(Put, 2, b"twice", b"1", None),
        op(Put, 2, b"twice", b"2", None),
    ]);
    let gone = Session::padded("GONE").unwrap();
    for (kind, body) in [(Kind::Transaction, &b""[..]), (Kind::EndOfSession, b"")] {
        let message = bench.stream.message(gone, kind, Reason::None, body);
        bench.apply(&message);
    }
    bench
}

fn restore(camera: &mut Camera, snapshot: &Snapshot, limits: Limits) -> Store {
    let open = OpenSnapshot::open(&mut camera.disk, STREAM, snapshot).unwrap();
    open.restore(CONFIG, memory_for(limits, 1)).unwrap()
}

/// Both stores give the same for every read that may be asked for.
fn compare(one: &Store, other: &Store, tables: &[u16], keys: &[Vec<u8>]) {
    let (one, other) = (one.reader(), other.reader());
    let (mut first, mut second) = (ReadBuffer::new(), ReadBuffer::new());
    assert_eq!((one.oldest(), one.applied()), (other.oldest(), other.applied()));
    for as_of in one.oldest().max(1)..=one.applied() {
        for (&table, key) in tables.iter().flat_map(|table| keys.iter().map(move |key| (table, key))) {
            let reading = one.get(table, key, as_of, &mut first);
            assert_eq!(other.get(table, key, as_of, &mut second), reading, "{table} {key:?} as of {as_of}");
            assert_eq!(first.value(), second.value());
        }
    }
}

#[test]
fn should_restore_every_kind_of_content_with_all_states_inside_the_horizon() {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    let snapshot = camera.take(&mut bench.store);
    let mut restored = restore(&mut camera, &snapshot, limits());
    assert_eq!(restored.digest(), bench.store.digest());
    assert_eq!(restored.tally(), bench.store.tally());
    assert_eq!(restored.timestamp_ns(), bench.store.timestamp_ns());
    assert_eq!(restored.declared().declaration(), bench.store.declared().declaration());
    let native = (0..50u8).map(|number| vec![b'k', number]).chain([b"twice".to_vec()]).collect::<Vec<_>>();
    let orders = (0..20u64).map(|reference| reference.to_be_bytes().to_vec()).collect::<Vec<_>>();
    compare(&bench.store, &restored, &[1, 2], &native);
    compare(&bench.store, &restored, &[ORDERS], &orders);
    // Beyond the horizon and beyond what sweeping takes.
    for number in 0..1500u64 {
        let block = match number % 5 {
            0 => transaction(&[op(Delete, 1, &[b'k', (number % 50) as u8], b"", None)]),
            _ => transaction(&[op(Put, 1, &[b'k', (number % 50) as u8], &number.to_be_bytes(), None)]),
        };
        let message = bench.stream.block("CLIENT", &block);
        let sequence = bench.stream.sequence;
        assert_eq!(restored.apply(sequence, &message), bench.store.apply(sequence, &message));
        assert_eq!((restored.tally(), restored.digest()), (bench.store.tally(), bench.store.digest()));
    }
    compare(&bench.store, &restored, &[1, 2], &native);
}

#[test]
fn should_take_a_snapshot_of_a_restored_store() {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    let snapshot = camera.take(&mut bench.store);
    let mut once = restore(&mut camera, &snapshot, limits());
    let mut second = Camera::new(&once);
    let snapshot = second.take(&mut once);
    let mut twice = restore(&mut second, &snapshot, limits());
    assert_eq!(twice.digest(), bench.store.digest());
}

/// Records that fill several chunks and segments, written while the store rewrites them all.
#[test]
fn should_show_one_moment_while_every_record_changes() {
    let limits = Limits { records_max: 4_000, bytes_max: 2_000_000, horizon_messages: 50, ..limits() };
    let mut bench = Bench::new(limits);
    let key = |number: u64| format!("key-{:05}", number % 4_000).into_bytes();
    for number in 0..4_000 {
        assert_eq!(bench.native(&[op(Put, 1, &key(number), &[7; 300], None)]), Outcome::Applied);
    }
    let mut camera = Camera::new(&bench.store);
    let (mut messages, mut number) = (Vec::new(), 0);
    let (snapshot, digest) = loop {
        for _ in 0..5 {
            number += 1;
            let block = transaction(&[op(Put, 1, &key(number * 7), &[number as u8; 250], None)]);
            let message = bench.stream.block("CLIENT", &block);
            bench.apply(&message);
            messages.push((bench.stream.sequence, message));
        }
        if let Some(taken) = camera.step(&mut bench.store) {
            break taken;
        }
    };
    assert!(snapshot.chunks > 5 && snapshot.last_segment > snapshot.first_segment, "{snapshot:?}");
    assert!(snapshot.sequence + 300 < bench.store.applied(), "much happened meanwhile");
    let mut restored = restore(&mut camera, &snapshot, limits);
    assert_eq!(restored.digest(), digest);
    for (sequence, message) in messages.iter().filter(|(sequence, _)| *sequence > snapshot.sequence) {
        restored.apply(*sequence, message);
    }
    assert_eq!(restored.digest(), bench.store.digest());
}

/// The writer stops; the store goes on and on.
#[test]
fn should_give_up_when_the_log_runs_short_of_room_and_change_no_outcome() {
    let limits = Limits { records_max: 50, bytes_max: 10_000, horizon_messages: 10, ..limits() };
    let (mut held, mut free) = (Bench::new(limits), Bench::new(limits));
    let write = |bench: &mut Bench, number: u64| {
        let key = format!("key-{:05}", number * 7 % 60).into_bytes();
        bench.native(&[op(Put, 1, &key, &[number as u8; 150], None)])
    };
    let mut camera = Camera::new(&held.store);
    for number in 0..2_000 {
        assert_eq!(write(&mut held, number), write(&mut free, number));
        if (500..503).contains(&number) {
            assert_eq!(camera.step(&mut held.store), None);
        }
    }
    assert_eq!(held.store.counters().holds_taken_back.get(), 1);
    assert_eq!(held.store.digest(), free.store.digest());
    while camera.given_up.is_none() {
        assert_eq!(camera.step(&mut held.store), None);
    }
    assert_eq!(camera.given_up.take(), Some(GivenUp::LogShort));
    assert_eq!(survey(&mut camera.disk, STREAM).unwrap(), super::super::Survey::default());
    camera.take(&mut held.store);
}

#[test]
fn should_give_up_on_a_full_disk_and_take_the_next() {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    camera.disk.segments_max = 1;
    while camera.given_up.is_none() {
        assert_eq!(camera.step(&mut bench.store), None);
    }
    assert_eq!(camera.given_up.take(), Some(GivenUp::DiskFull));
    camera.disk.segments_max = 100;
    let snapshot = camera.take(&mut bench.store);
    assert_eq!(survey(&mut camera.disk, STREAM).unwrap().whole, [snapshot]);
}

#[test]
fn should_wait_for_room_in_the_image_for_what_was_declared_since() {
    let mut bench = bench();
    let mut image = StoreImage::default();
    image.clear(bench.store.image_room());
    let declaration = crate::store::tests::stream::declaration(Limits { sessions_max: 100, ..limits() });
    let message = bench.stream.declare(&declaration);
    bench.apply(&message);
    let room = bench.store.begin_image(&mut image).unwrap_err();
    assert_eq!(room.sessions, 101);
    image.clear(room);
    bench.store.begin_image(&mut image).unwrap();
}

/// On threads of their own, as fast as they go: the store rewrites and undoes, the writer reads along.
#[test]
fn should_show_one_moment_of_a_store_on_another_thread() {
    let limits = Limits { records_max: 500, bytes_max: 600_000, horizon_messages: 200, ..limits() };
    let mut bench = Bench::new(limits);
    let mut camera = Camera::new(&bench.store);
    let (wanted, desk) = std::sync::mpsc::sync_channel::<Box<StoreImage>>(1);
    let (made, images) = std::sync::mpsc::sync_channel(1);
    let room = bench.store.image_room();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut number = 0u64;
            while let Ok(mut image) = desk.recv() {
                bench.store.begin_image(&mut image).unwrap();
                let digest = bench.store.digest();
                while !bench.store.go_on_with_image(&mut image) {}
                made.send((image, digest)).unwrap();
                for _ in 0..300 {
                    number += 1;
                    let key = |salt: u64| (number * salt % 400).to_be_bytes();
                    let last = if number.is_multiple_of(3) {
                        op(Delete, 1, b"never there", b"", None)
                    } else {
                        op(Put, 1, &key(3), &[5; 30], None)
                    };
                    bench.native(&[op(Put, 1, &key(7), &[number as u8; 100], None), last]);
                }
            }
        });
        // How many are given up depends on how the machine shares its processors.
        let (mut taken, mut round, mut image) = (0, 0, Box::<StoreImage>::default());
        while taken < 50 && round < 10_000 {
            round += 1;
            image.clear(room);
            wanted.send(image).unwrap();
            let (made, digest) = images.recv().unwrap();
            camera.writer.begin(made, round * 10);
            image = loop {
                match camera.writer.duty(&mut camera.disk, true) {
                    Writing::Going(_) => {}
                    Writing::Taken(snapshot, image) => {
                        let restored = restore(&mut camera, &snapshot, limits).digest();
                        assert_eq!(restored, digest);
                        taken += 1;
                        break image;
                    }
                    Writing::Over(why, _, image) => {
                        assert_eq!(why, GivenUp::LogShort);
                        break image;
                    }
                }
            };
        }
        drop(wanted);
        assert!(taken == 50, "{taken} of {round} snapshots were taken");
        println!("{taken} of {round} snapshots were taken, the others given up for want of room");
    });
}

/// What one moment costs the store, for many sessions. Not judged: machines differ.
#[test]
fn should_copy_many_sessions_in_slices() {
    let limits = Limits { sessions_max: 1_000, ..limits() };
    let mut bench = Bench::new(limits);
    for number in 0..1_000 {
        let message =
            bench.stream.block(&format!("C{number}"), &transaction(&[op(Put, 1, b"k", b"v", None)]));
        bench.apply(&message);
    }
    let mut image = StoreImage::default();
    image.clear(bench.store.image_room());
    let mut longest = std::time::Duration::ZERO;
    let mut timed = |slice: &mut dyn FnMut() -> bool| {
        let began = std::time::Instant::now();
        let done = slice();
        longest = longest.max(began.elapsed());
        done
    };
    assert!(timed(&mut || bench.store.begin_image(&mut image).is_ok()));
    let mut slices = 1;
    while !timed(&mut || bench.store.go_on_with_image(&mut image)) {
        slices += 1;
    }
    println!("{slices} slices of the session table, the longest {} ns", longest.as_nanos());
    assert_eq!(slices, 4, "1,001 sessions, 256 at a time");
    assert_eq!(image.digest(), bench.store.digest());
}
