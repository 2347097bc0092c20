use super::super::words::HeapWords;
use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic;

fn index(entries_max: usize, stash: usize) -> Arc<Index> {
    let config = IndexConfig { entries_max, stash };
    Index::create(HeapWords::shared(Index::words_needed(&config)), config)
}

/// The hash of a key; the tests use the key itself as its address.
fn hash(key: u64) -> u64 {
    Random::new(key).next_u64()
}

fn never(_: u64) -> bool {
    false
}

fn insert(writer: &mut IndexWriter, key: u64) -> Result<(), IndexFull> {
    writer.insert(hash(key), key, never)
}

fn lookup(index: &Index, key: u64) -> Option<u64> {
    index.lookup(hash(key), |address| address == key)
}

#[test]
fn an_entry_is_found_replaced_and_removed() {
    let index = index(100, 8);
    let mut writer = index.writer();
    assert!(index.is_empty() && writer.is_empty());
    writer.insert(hash(1), 10, never).unwrap();
    writer.insert(hash(2), 0, never).unwrap();
    assert_eq!((index.len(), writer.len()), (2, 2));
    assert_eq!(index.lookup(hash(1), |address| address == 10), Some(10));
    assert_eq!(index.lookup(hash(2), |_| true), Some(0), "address 0 is one like the others");
    assert_eq!(index.lookup(hash(1), never), None);
    assert_eq!(index.lookup(hash(3), |_| true), None);
    let (slot, address) = writer.find(hash(1), |_| true).unwrap();
    assert_eq!(address, 10);
    writer.replace(slot, ADDRESS_MAX);
    assert_eq!(index.lookup(hash(1), |_| true), Some(ADDRESS_MAX));
    assert!(catch_unwind(AssertUnwindSafe(|| writer.remove(slot))).is_err(), "the slot is stale");
    let (slot, _) = writer.find(hash(1), |_| true).unwrap();
    writer.remove(slot);
    assert_eq!(index.lookup(hash(1), |_| true), None);
    assert_eq!((index.len(), writer.len()), (1, 1));
    assert!(catch_unwind(AssertUnwindSafe(|| index.writer())).is_err(), "one writer");
    drop(writer);
    assert_eq!(index.writer().len(), 1);
}

#[test]
fn the_other_bucket_of_the_other_bucket_is_the_first() {
    for entries_max in [1, 2, 3, 100, 1000, 12_345] {
        let index = index(entries_max, 1);
        for key in 0..1000 {
            let candidates = index.candidates(hash(key));
            let [first, other] = candidates.buckets();
            assert!(first < index.buckets() && other < index.buckets());
            assert_eq!(index.other_bucket(candidates.tag, other), first);
        }
    }
}

#[test]
fn eighty_percent_of_random_keys_fit_at_any_size() {
    // Sizes with their number of tries: small ones have the larger relative variance.
    for (entries_max, tries) in [(1000, 300), (1777, 150), (4096, 60), (50_000, 4), (1_000_000, 1)] {
        let mut stashed = 0;
        for seed in 0..tries {
            let index = index(entries_max, 32);
            let mut writer = index.writer();
            for key in 0..entries_max as u64 {
                insert(&mut writer, key + (seed << 32)).unwrap();
            }
            stashed = stashed.max(index.stashed());
            assert_eq!(index.len(), entries_max);
            assert!((0..entries_max as u64).all(|key| lookup(&index, key + (seed << 32)).is_some()));
        }
        println!("{entries_max} entries: at most {stashed} in the stash");
    }
}

#[test]
fn an_entry_costs_about_ten_bytes() {
    let config = IndexConfig { entries_max: 10_000_000, stash: 32 };
    assert!(Index::words_needed(&config) * 8 <= config.entries_max * 101 / 10);
}

#[test]
fn a_full_index_says_so_and_still_finds_everything() {
    let index = index(1000, 16);
    let mut writer = index.writer();
    let mut kept = Vec::new();
    let mut refused = 0;
    for key in 0..2000 {
        match insert(&mut writer, key) {
            Ok(()) => kept.push(key),
            Err(full) => {
                refused += 1;
                assert_eq!(full, IndexFull { entries: kept.len(), entries_max: 1000 });
                assert!(full.to_string().contains("of the 1000"));
            }
        }
    }
    assert!(kept.len() > 1100 && refused > 0, "{} kept", kept.len());
    assert_eq!((index.stashed(), index.len()), (16, kept.len()));
    assert!(kept.iter().all(|&key| lookup(&index, key) == Some(key)));
    // What the stash holds goes back where there is room.
    for &key in kept.iter().filter(|&&key| key % 2 == 0) {
        let (slot, _) = writer.find(hash(key), |address| address == key).unwrap();
        writer.remove(slot);
    }
    writer.sweep(index.buckets(), never);
    assert_eq!((index.stashed(), index.parts().header[STASH_USED_AT].load(Relaxed)), (0, 0));
    assert!(kept.iter().all(|&key| lookup(&index, key).is_some() == (key % 2 == 1)));
}

#[test]
fn dead_entries_give_way_only_when_both_buckets_are_full() {
    let index = index(1000, 4);
    let mut writer = index.writer();
    let mut asked = 0;
    for key in 0..100_000 {
        // Only the newest 500 keys live.
        writer
            .insert(hash(key), key, |address| {
                asked += 1;
                address + 500 < key
            })
            .unwrap();
    }
    assert!(asked > 0 && index.len() <= index.buckets() * 8);
    assert!((99_500..100_000).all(|key| lookup(&index, key) == Some(key)));
    let before = index.len();
    let removed = writer.sweep(index.buckets(), |address| address < 99_500);
    assert_eq!((index.len(), writer.len()), (500, before - removed));
    assert!((99_500..100_000).all(|key| lookup(&index, key) == Some(key)));
}

#[test]
fn a_search_goes_on_with_the_newer_address_of_a_reclaimed_one() {
    let index = index(100, 4);
    let mut writer = index.writer();
    writer.insert(hash(1), 10, never).unwrap();
    let (slot, _) = writer.find(hash(1), |_| true).unwrap();
    let mut slot = Some(slot);
    let found = index.lookup(hash(1), |address| {
        // The version at 10 is reclaimed while the reader looks at it.
        if let Some(slot) = slot.take() {
            writer.replace(slot, 11);
        }
        address == 11
    });
    assert_eq!(found, Some(11));
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(
        operations in prop::collection::vec((0u8..10, 0u64..60), 0..600),
        entries_max in 1usize..60,
        stash in 0usize..6,
    ) {
        let index = index(entries_max, stash);
        let mut writer = index.writer();
        let mut model = HashMap::new();
        // Addresses carry the key and a number, so that a record's key can be told from its address.
        let matches = |key: u64| move |address: u64| address >> 20 == key;
        for (number, (operation, key)) in operations.into_iter().enumerate() {
            let address = key << 20 | number as u64;
            match (operation, writer.find(hash(key), matches(key))) {
                (0..6, None) => {
                    if writer.insert(hash(key), address, never).is_ok() {
                        model.insert(key, address);
                    } else {
                        prop_assert!(model.len() >= 8);
                    }
                }
                (0..6, Some((slot, _))) => {
                    writer.replace(slot, address);
                    model.insert(key, address);
                }
                (6..9, Some((slot, old))) => {
                    writer.remove(slot);
                    prop_assert_eq!(model.remove(&key), Some(old));
                }
                (9, _) => {
                    let parity = number as u64 % 3;
                    let removed = writer.sweep(index.buckets(), |address| (address >> 20) % 3 == parity && address % 2 == 0);
                    let before = model.len();
                    model.retain(|key, address| !(*key % 3 == parity && *address % 2 == 0));
                    prop_assert_eq!(removed, before - model.len());
                }
                _ => prop_assert!(!model.contains_key(&key)),
            }
            prop_assert_eq!((index.len(), writer.len()), (model.len(), model.len()));
            for key in 0..60 {
                prop_assert_eq!(index.lookup(hash(key), matches(key)), model.get(&key).copied());
            }
        }
    }
}

#[test]
fn readers_on_other_threads_never_miss_what_is_there() {
    // A small index, kept so full that insertions displace and stash all the time.
    const STAYING: u64 = 700;
    let index = index(1000, 16);
    let mut writer = index.writer();
    for key in 0..STAYING {
        insert(&mut writer, key).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (index, stop) = (Arc::clone(&index), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut rounds = 0u64;
                while !stop.load(atomic::Ordering::Relaxed) || rounds == 0 {
                    // Addresses are the key and a version that the writer goes on changing.
                    let missed =
                        (0..STAYING).find(|&key| index.lookup(hash(key), |a| a & 0xFFFF == key).is_none());
                    assert_eq!(missed, None, "round {rounds}");
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let (mut random, mut moved) = (Random::new(1), 0);
    for round in 1..3000u64 {
        let guests: Vec<u64> = (0..500).map(|_| 1 << 20 | random.below(1 << 20) << 21 | 0xFFFF).collect();
        let placed: Vec<u64> = guests
            .into_iter()
            .filter(|&guest| writer.insert(guest.rotate_left(40) ^ hash(guest), guest, never).is_ok())
            .collect();
        let key = random.below(STAYING);
        let (slot, _) = writer.find(hash(key), |address| address & 0xFFFF == key).unwrap();
        writer.replace(slot, (round & 0xF) << 16 | key);
        moved += index.stashed();
        for guest in placed {
            let hash = guest.rotate_left(40) ^ hash(guest);
            let (slot, _) = writer.find(hash, |address| address == guest).unwrap();
            writer.remove(slot);
        }
        if round % 16 == 0 {
            std::thread::yield_now();
        }
    }
    assert!(moved > 0, "the stash was never used");
    stop.store(true, atomic::Ordering::Relaxed);
    let moves: u64 =
        index.parts().header[MOVES_AT..].iter().take(MOVE_COUNTERS).map(|m| m.load(Relaxed)).sum();
    for thread in threads {
        println!("{} rounds, {moves} moves", thread.join().unwrap());
    }
    assert!(moves > 0, "nothing was displaced");
}
