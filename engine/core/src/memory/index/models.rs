//! Interleavings of a search and of what the writer does, explored by loom. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p gds-core --release --lib models`.
use super::super::words::HeapWords;
use super::*;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn index() -> Arc<Index> {
    let config = IndexConfig { entries_max: 1, stash: 1 };
    let index = Index::create(HeapWords::shared(Index::words_needed(&config)), config);
    assert!(index.buckets() > 2);
    index
}

/// Hashes with tag 1 and 2: the second bucket of the first is the first bucket of the second, and their
/// others differ.
fn hashes(index: &Index) -> (u64, u64) {
    let hash_at =
        |bucket: usize, tag| ((((bucket as u128) << 64) / index.buckets() as u128) as u64 | 0xFFFF) + 1 + tag;
    (0..index.buckets())
        .map(|bucket| hash_at(bucket, 1))
        .map(|one| (one, hash_at(index.candidates(one).buckets[1], 2)))
        .find(|&(one, two)| {
            let ([a, b], [same, c]) = (index.candidates(one).buckets, index.candidates(two).buckets);
            assert_eq!(b, same);
            a != b && b != c && a != c
        })
        .expect("such hashes exist")
}

/// Fills every place of a bucket that is free with entries of tag 2.
fn fill(index: &Index, bucket: usize) {
    for place in index.parts().bucket(bucket) {
        if place.load(Relaxed) == 0 {
            place.store(entry(2, 99), Relaxed);
        }
    }
}

#[test]
fn a_displaced_entry_is_never_missed() {
    explore(|| {
        let index = index();
        let (one, two) = hashes(&index);
        let [first, second] = index.candidates(one).buckets;
        let mut writer = index.writer();
        // Key one sits in its second bucket. The rest of that, and the other bucket of key two, are full: key
        // two displaces key one into its first bucket, where a search looks first.
        index.parts().bucket(second)[0].store(entry(1, 41), Relaxed);
        fill(&index, second);
        fill(&index, index.candidates(two).buckets[1]);
        let reading = Arc::clone(&index);
        let thread = loom::thread::spawn(move || {
            assert_eq!(reading.lookup(one, |address| address == 41), Some(41));
        });
        writer.insert(two, 42, |_| false).unwrap();
        thread.join().unwrap();
        assert_eq!(address_of(index.parts().bucket(first)[0].load(Relaxed)), 41, "key one was displaced");
        assert_eq!(index.lookup(two, |address| address == 42), Some(42));
    });
}

#[test]
fn an_entry_that_leaves_the_stash_is_never_missed() {
    explore(|| {
        let index = index();
        let (one, two) = hashes(&index);
        let [first, second] = index.candidates(one).buckets;
        let mut writer = index.writer();
        fill(&index, first);
        fill(&index, second);
        index.parts().bucket(second)[0].store(entry(2, 50), Relaxed);
        assert!(writer::stash(&index.parts(), entry(1, 41), first, &mut writer.length, &mut |_| false));
        let (slot, _) = writer.find(two, |address| address == 50).unwrap();
        writer.length = 2;
        let reading = Arc::clone(&index);
        let thread = loom::thread::spawn(move || {
            assert_eq!(reading.lookup(one, |address| address == 41), Some(41));
        });
        // Room in the bucket: the stash gives back what belongs there.
        writer.remove(slot);
        thread.join().unwrap();
        assert_eq!(index.stashed(), 0);
    });
}

#[test]
fn a_replaced_entry_is_never_missed() {
    explore(|| {
        let index = index();
        let (one, _) = hashes(&index);
        let mut writer = index.writer();
        writer.insert(one, 41, |_| false).unwrap();
        // Stands for the record log's tail: once it has moved, the version at 41 is reclaimed.
        let tail = Arc::new(AtomicU64::new(0));
        let (reading, seen) = (Arc::clone(&index), Arc::clone(&tail));
        let thread = loom::thread::spawn(move || {
            let found = reading.lookup(one, |address| address > 41 || seen.load(Acquire) == 0);
            assert!(found.is_some());
        });
        let (slot, _) = writer.find(one, |_| true).unwrap();
        writer.replace(slot, 42);
        tail.store(1, Release);
        thread.join().unwrap();
    });
}
