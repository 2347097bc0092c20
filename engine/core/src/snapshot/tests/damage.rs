//! Torn, mutated and foreign snapshots are refused, whatever they hold.
use super::super::SnapshotProblem;
use super::super::chunk::{CHUNK_BYTES, CHUNK_HEADER_BYTES};
use super::whole::bench;
use super::*;
use crate::disk::Disk;
use crate::random::Random;
use crate::store::tests::stream::{CONFIG, limits, memory_for};
use proptest::prelude::*;

/// A whole snapshot, as bytes.
fn bytes() -> (Snapshot, Vec<Vec<u8>>, u128) {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    let snapshot = camera.take(&mut bench.store);
    let segments = (snapshot.first_segment..=snapshot.last_segment)
        .map(|segment| camera.disk.bytes(segment).to_vec())
        .collect();
    (snapshot, segments, bench.store.digest())
}

fn disk_of(segments: &[Vec<u8>]) -> MemoryDisk {
    let mut disk = MemoryDisk::new();
    for (number, bytes) in (1..).zip(segments) {
        disk.put(number, bytes.clone());
    }
    disk
}

/// Whatever it is: a store with this digest, or an error. A store comes of nothing that is not verified.
fn read(disk: &mut MemoryDisk, snapshot: &Snapshot) -> Result<u128, SnapshotProblem> {
    let verified = verify(disk, snapshot);
    let open = OpenSnapshot::open(disk, STREAM, snapshot).map_err(|error| error.problem)?;
    let mut store = open.restore(CONFIG, memory_for(limits(), 1)).map_err(|error| error.problem)?;
    assert_eq!(verified, Ok(()));
    Ok(store.digest())
}

fn verify(disk: &mut MemoryDisk, snapshot: &Snapshot) -> Result<(), SnapshotProblem> {
    let open = OpenSnapshot::open(disk, STREAM, snapshot).map_err(|error| error.problem)?;
    open.verify().map_err(|error| error.problem)
}

/// Bytes of the chunk in this place, as its header has it.
fn used(chunk: &[u8]) -> usize {
    u32::from_be_bytes(chunk[20..24].try_into().unwrap()) as usize
}

/// Makes the checksums right again, of the chunk and along the chain.
fn reseal(segments: &mut [Vec<u8>]) {
    let mut chain = 0;
    for chunk in segments.iter_mut().flat_map(|segment| segment.chunks_mut(CHUNK_BYTES)) {
        let used = used(chunk);
        if &chunk[..4] != b"GDSN" || !(CHUNK_HEADER_BYTES..=chunk.len()).contains(&used) {
            continue;
        }
        chunk[44..48].copy_from_slice(&u32::to_be_bytes(chain));
        chunk[36..40].fill(0);
        let checksum = crc32c::crc32c(&chunk[..used]);
        chunk[36..40].copy_from_slice(&checksum.to_be_bytes());
        chain = crc32c::crc32c_append(chain, &checksum.to_be_bytes());
    }
}

#[test]
fn should_count_only_what_has_its_end_mark() {
    let mut bench = bench();
    let mut camera = Camera::new(&bench.store);
    let whole = camera.take(&mut bench.store);
    // The next is torn at every step.
    while camera.step(&mut bench.store).is_none() {
        let found = survey(&mut camera.disk, STREAM).unwrap();
        if !camera.writing || found.whole.len() == 2 {
            continue;
        }
        assert_eq!(found.whole, [whole]);
        let strays = camera.segments().into_iter().filter(|&segment| segment > whole.last_segment);
        assert_eq!(found.strays, strays.collect::<Vec<_>>());
    }
    assert_eq!(survey(&mut camera.disk, STREAM).unwrap().whole.len(), 2);
}

#[test]
fn should_survive_a_power_cut_at_any_moment_with_whole_snapshots_only() {
    let mut random = Random::new(3);
    for round in 0..60 {
        let mut bench = bench();
        let mut camera = Camera::new(&bench.store);
        let first = camera.take(&mut bench.store);
        for _ in 0..random.below(30) {
            camera.disk.finish = random.below(3) as usize;
            camera.step(&mut bench.store);
        }
        camera.disk.cut_power(&mut random);
        let found = survey(&mut camera.disk, STREAM).unwrap();
        assert_eq!(found.whole[0], first, "round {round}");
        for snapshot in &found.whole {
            read(&mut camera.disk, snapshot).unwrap();
        }
    }
}

#[test]
fn should_refuse_snapshots_of_another_stream() {
    let (snapshot, segments, _) = bytes();
    let mut disk = disk_of(&segments);
    let other = Session(*b"1700000001");
    let found = survey(&mut disk, other).unwrap();
    assert_eq!((found.whole, found.foreign), (Vec::new(), Some(("segment 1".to_owned(), STREAM))));
    assert!(OpenSnapshot::open(&mut disk, other, &snapshot).is_err());
}

#[test]
fn should_refuse_less_memory_than_is_declared() {
    let (snapshot, segments, _) = bytes();
    let mut disk = disk_of(&segments);
    let open = OpenSnapshot::open(&mut disk, STREAM, &snapshot).unwrap();
    let little = gds_wire::declaration::Limits { records_max: 10, bytes_max: 1000, ..limits() };
    let error = open.restore(CONFIG, memory_for(little, 1)).unwrap_err();
    assert!(error.to_string().contains("give it more memory"), "{error}");
}

#[test]
fn should_verify_what_checksums_do_not_tell_without_a_store() {
    let (snapshot, segments, _) = bytes();
    assert_eq!(verify(&mut disk_of(&segments), &snapshot), Ok(()));
    let last = |chunk: u32| (chunk as usize / 2, chunk as usize % 2 * CHUNK_BYTES);
    let (end, versions) = (last(snapshot.chunks - 1), last(snapshot.chunks - 2));
    // The last byte of the last record, and the whole digest, which stands in the head and in the end mark.
    let mut changed = segments.clone();
    let record = versions.1 + used(&changed[versions.0][versions.1..]) - 1;
    changed[versions.0][record] ^= 1;
    reseal(&mut changed);
    let problem = verify(&mut disk_of(&changed), &snapshot).unwrap_err();
    assert!(matches!(problem, SnapshotProblem::Restore(_)), "{problem}");
    let mut changed = segments;
    changed[0][CHUNK_HEADER_BYTES + 31] ^= 1;
    changed[end.0][end.1 + CHUNK_HEADER_BYTES + 23] ^= 1;
    reseal(&mut changed);
    let problem = verify(&mut disk_of(&changed), &snapshot).unwrap_err();
    assert!(matches!(problem, SnapshotProblem::Digest { .. }), "{problem}");
}

#[test]
fn should_refuse_every_flipped_bit() {
    let (snapshot, segments, _) = bytes();
    let mut random = Random::new(5);
    for _ in 0..400 {
        let mut torn = segments.clone();
        let chunk = random.below(u64::from(snapshot.chunks)) as usize;
        let (segment, offset) = (chunk / 2, chunk % 2 * CHUNK_BYTES);
        let bit = random.below(used(&torn[segment][offset..]) as u64 * 8) as usize;
        torn[segment][offset + bit / 8] ^= 1 << (bit % 8);
        assert!(read(&mut disk_of(&torn), &snapshot).is_err(), "bit {bit} of chunk {chunk}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// With checksums made right again: whatever is read, it is an error or a store with the digest that it says it has.
    #[test]
    fn should_give_a_store_or_an_error_for_any_bytes(
        changes in prop::collection::vec((any::<u16>(), any::<u32>(), any::<u8>(), 1usize..9), 1..4),
    ) {
        thread_local! { static WHOLE: (Snapshot, Vec<Vec<u8>>, u128) = bytes(); }
        WHOLE.with(|(snapshot, segments, _)| {
            let mut changed = segments.clone();
            for (chunk, at, byte, count) in changes {
                let chunk = usize::from(chunk) % snapshot.chunks as usize;
                let begin = chunk % 2 * CHUNK_BYTES;
                let bytes = &mut changed[chunk / 2][begin..begin + CHUNK_BYTES];
                let at = at as usize % used(bytes).clamp(CHUNK_HEADER_BYTES, CHUNK_BYTES - 8);
                bytes[at..at + count].fill(byte);
            }
            reseal(&mut changed);
            let mut disk = disk_of(&changed);
            let _ = survey(&mut disk, STREAM);
            if let Ok(digest) = read(&mut disk, snapshot) {
                let head = &changed[0][CHUNK_HEADER_BYTES + 16..CHUNK_HEADER_BYTES + 32];
                prop_assert_eq!(digest.to_be_bytes(), head);
            }
            Ok(())
        })?;
    }

    #[test]
    fn should_find_nothing_in_noise(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
        let mut disk = MemoryDisk::new();
        disk.put(1, bytes);
        prop_assert_eq!(survey(&mut disk, STREAM).unwrap().whole, []);
    }
}

#[test]
fn should_not_read_segments_too_short_for_a_chunk() {
    let mut disk = MemoryDisk::new();
    disk.create(1, 4096).unwrap();
    assert_eq!(survey(&mut disk, STREAM).unwrap().strays, [1]);
}
