//! Snapshots that come chunk by chunk.
use super::super::{Arrival, TransferError, read_chunk};
use super::whole::bench;
use super::*;
use crate::disk::Disk;
use crate::random::Random;
use crate::store::tests::stream::{CONFIG, limits, memory_for};

/// A disk with a snapshot in its segments 5 and later, and its chunks.
fn given() -> (MemoryDisk, Snapshot, Vec<Vec<u8>>, u128) {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    camera.disk.put(4, vec![0; SEGMENT_BYTES as usize]);
    let snapshot = camera.take(&mut bench.store);
    assert_eq!(snapshot.first_segment, 5);
    let copy = |number| {
        let mut chunk = vec![7; 3];
        read_chunk(&mut camera.disk, STREAM, &snapshot, number, &mut chunk).map(|()| chunk)
    };
    let chunks = (0..snapshot.chunks).map(copy).collect::<Result<_, _>>().expect("a whole snapshot");
    (camera.disk, snapshot, chunks, bench.store.digest())
}

fn arrival(snapshot: &Snapshot, segment_bytes: u64) -> Arrival {
    Arrival::new(STREAM, snapshot.sequence, snapshot.chunks, segment_bytes)
}

#[test]
fn what_has_arrived_is_the_snapshot_that_was_given() {
    let (_, snapshot, chunks, digest) = given();
    for segment_bytes in [SEGMENT_BYTES, SEGMENT_BYTES / 2, 16 * SEGMENT_BYTES] {
        let (mut disk, mut arrival) = (MemoryDisk::new(), arrival(&snapshot, segment_bytes));
        for (number, chunk) in (0..).zip(&chunks) {
            assert_eq!((arrival.next(), arrival.is_whole()), (number, false));
            assert_eq!(
                survey(&mut disk, STREAM).expect("a disk").whole,
                [],
                "{number} chunks of it are none"
            );
            arrival.take(&mut disk, chunk).expect("the next chunk");
        }
        assert!(arrival.is_whole());
        let found = survey(&mut disk, STREAM).expect("a disk");
        let [whole] = found.whole[..] else { panic!("{found:?}") };
        assert_eq!((whole.sequence, whole.chunks), (snapshot.sequence, snapshot.chunks));
        let open = OpenSnapshot::open(&mut disk, STREAM, &whole).expect("a snapshot");
        let mut store = open.restore(CONFIG, memory_for(limits(), 1)).expect("a store");
        assert_eq!(store.digest(), digest);
    }
}

#[test]
fn what_has_come_so_far_is_gone_on_with() {
    let (_, snapshot, chunks, digest) = given();
    for segment_bytes in [SEGMENT_BYTES, SEGMENT_BYTES / 2, 16 * SEGMENT_BYTES] {
        let mut disk = MemoryDisk::new();
        for (number, chunk) in (0..).zip(&chunks) {
            let mut arrival = arrival(&snapshot, segment_bytes).resume(&mut disk).expect("a disk");
            assert_eq!((arrival.next(), arrival.is_whole()), (number, false));
            arrival.take(&mut disk, chunk).expect("the next chunk");
        }
        assert!(arrival(&snapshot, segment_bytes).resume(&mut disk).expect("a disk").is_whole());
        let found = survey(&mut disk, STREAM).expect("a disk").whole;
        let open = OpenSnapshot::open(&mut disk, STREAM, &found[0]).expect("a snapshot");
        let mut store = open.restore(CONFIG, memory_for(limits(), 1)).expect("a store");
        assert_eq!(store.digest(), digest);
    }
}

#[test]
fn what_a_power_cut_leaves_is_gone_on_with_behind_the_last_whole_chunk() {
    let (_, snapshot, chunks, _) = given();
    let segment_bytes = SEGMENT_BYTES / 2;
    for seed in 0..20 {
        let (mut random, mut disk, mut known) = (Random::new(seed), MemoryDisk::new(), 0);
        loop {
            let mut arrival = arrival(&snapshot, segment_bytes).resume(&mut disk).expect("a disk");
            assert!(arrival.next() >= known, "what was found once is there for good");
            known = arrival.next();
            for _ in 0..random.below(4) {
                if !arrival.is_whole() {
                    let next = &chunks[arrival.next() as usize];
                    arrival.take(&mut disk, next).expect("the next chunk");
                }
            }
            if arrival.is_whole() {
                break;
            }
            disk.cut_power(&mut random);
        }
        disk.cut_power(&mut random);
        assert_eq!(survey(&mut disk, STREAM).expect("a disk").whole.len(), 1);
    }
}

#[test]
fn what_lies_there_damaged_or_of_another_snapshot_is_not_gone_on_with() {
    let (mut given, snapshot, chunks, _) = given();
    let mut disk = MemoryDisk::new();
    let mut all = arrival(&snapshot, SEGMENT_BYTES);
    chunks.iter().for_each(|chunk| all.take(&mut disk, chunk).expect("the next chunk"));
    let next = |disk: &mut MemoryDisk, arrival: Arrival| arrival.resume(disk).expect("a disk").next();
    let Snapshot { sequence, chunks: count, first_segment, .. } = snapshot;
    assert_eq!(next(&mut disk, arrival(&snapshot, SEGMENT_BYTES)), count);
    assert_eq!(next(&mut disk, arrival(&snapshot, SEGMENT_BYTES / 2)), 0, "segments of another size");
    assert_eq!(next(&mut disk, Arrival::new(STREAM, sequence + 1, count, SEGMENT_BYTES)), 0);
    assert_eq!(next(&mut disk, Arrival::new(Session(*b"1800000000"), sequence, count, SEGMENT_BYTES)), 0);
    assert_eq!(next(&mut given, arrival(&snapshot, SEGMENT_BYTES)), 0, "another segment comes before it");
    disk.flip(first_segment, 100 * 8);
    assert_eq!(next(&mut disk, arrival(&snapshot, SEGMENT_BYTES)), 0);
}

#[test]
fn only_the_next_chunk_is_taken() {
    let (_, snapshot, chunks, _) = given();
    let (mut disk, mut arrival) = (MemoryDisk::new(), arrival(&snapshot, SEGMENT_BYTES));
    for number in 0..chunks.len() {
        for (other, chunk) in chunks.iter().enumerate().filter(|(other, _)| *other != number) {
            arrival.take(&mut disk, chunk).expect_err(&format!("chunk {other} in the place of {number}"));
        }
        for place in [0, 8, 24, 47, 63, chunks[number].len() - 1] {
            let mut damaged = chunks[number].clone();
            damaged[place] ^= 1;
            arrival.take(&mut disk, &damaged).expect_err("a damaged chunk");
        }
        let longer = [&chunks[number][..], b"x"].concat();
        arrival.take(&mut disk, &longer).expect_err("a chunk and something else");
        arrival.take(&mut disk, &chunks[number]).expect("nothing was changed by all this");
    }
    assert!(arrival.is_whole());
    assert!(matches!(arrival.take(&mut disk, &chunks[0]), Err(TransferError::Chunk(..))));
}

#[test]
fn a_snapshot_of_another_length_message_or_stream_is_not_taken() {
    let (_, snapshot, chunks, _) = given();
    let fails = |mut arrival: Arrival| {
        let mut disk = MemoryDisk::new();
        chunks.iter().try_for_each(|chunk| arrival.take(&mut disk, chunk)).expect_err("another snapshot")
    };
    let Snapshot { sequence, chunks: count, .. } = snapshot;
    let end = |count| fails(Arrival::new(STREAM, sequence, count, SEGMENT_BYTES));
    assert_eq!(end(count - 1), TransferError::End(count - 2));
    assert_eq!(end(count + 1), TransferError::End(count - 1));
    fails(Arrival::new(STREAM, sequence + 1, count, SEGMENT_BYTES));
    fails(Arrival::new(Session(*b"1800000000"), sequence, count, SEGMENT_BYTES));
}

#[test]
fn a_chunk_that_is_damaged_or_not_there_is_not_given() {
    let (mut disk, snapshot, _, _) = given();
    let mut chunk = Vec::new();
    let beyond = read_chunk(&mut disk, STREAM, &snapshot, snapshot.chunks, &mut chunk);
    beyond.expect_err("there is none");
    disk.flip(snapshot.first_segment, 100 * 8);
    read_chunk(&mut disk, STREAM, &snapshot, 0, &mut chunk).expect_err("a damaged one");
    read_chunk(&mut disk, STREAM, &snapshot, 1, &mut chunk).expect("a whole one");
    disk.remove(snapshot.first_segment).expect("a segment");
    read_chunk(&mut disk, STREAM, &snapshot, 1, &mut chunk).expect_err("it is gone");
}
