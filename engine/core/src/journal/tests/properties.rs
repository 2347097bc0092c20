//! Random lives of a journal: whatever happens, what is durable stays, and nothing is made up.
use proptest::prelude::*;

use super::*;
use crate::disk::DiskWrite;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Duty { finish: usize, later_ns: u64 },
    Kill { seed: u64, again: bool },
    CutPower { seed: u64 },
    Close,
    CutPowerInClose { seed: u64, wait: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![4 => 0..200usize, 1 => 0..=MESSAGE_BYTES_MAX, 1 => Just(MESSAGE_BYTES_MAX)];
    let step = prop_oneof![
        6 => prop::collection::vec(length, 1..6).prop_map(Step::Append),
        8 => (0..4usize, 0..2 * MILLISECOND_NS).prop_map(|(finish, later_ns)| Step::Duty { finish, later_ns }),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(seed, again)| Step::Kill { seed, again }),
        1 => any::<u64>().prop_map(|seed| Step::CutPower { seed }),
        1 => Just(Step::Close),
        1 => (any::<u64>(), 0..5usize).prop_map(|(seed, wait)| Step::CutPowerInClose { seed, wait }),
    ];
    prop::collection::vec(step, 1..80)
}

fn configs() -> impl Strategy<Value = JournalConfig> {
    (2..8u64, 1..4usize, any::<bool>()).prop_map(|(segment_blocks, group_blocks, fsync)| JournalConfig {
        segment_bytes: segment_blocks * BLOCK,
        group_bytes_max: group_blocks * BLOCK_BYTES,
        linger_ns: MILLISECOND_NS,
        durability: if fsync { Durability::Fsync } else { Durability::Memory },
    })
}

/// What a power cut must leave: everything some group on the disk says was durable, and for fsync what the cursor said.
fn synced(bench: &mut Bench) -> u64 {
    let known = walk(&mut bench.disk, None, 0, &mut |_| {}).map_or(0, |found| found.durable);
    match bench.config.durability {
        Durability::Fsync => bench.progress.durable.get(),
        Durability::Memory => known,
    }
}

fn take_steps(bench: &mut Bench, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Append(lengths) => {
                for length in lengths {
                    bench.append(length);
                }
            }
            Step::Duty { finish, later_ns } => {
                bench.now.monotonic_ns += later_ns;
                bench.disk.finish = finish;
                bench.duty().expect("no fault");
                assert!(bench.progress.durable.get() <= bench.progress.journalled.get());
            }
            Step::Kill { seed, again } => {
                let floor = bench.progress.journalled.get();
                bench.disk.kill(&mut Random::new(seed));
                bench.restart(floor, again);
            }
            Step::CutPower { seed } => {
                let floor = synced(bench);
                bench.disk.cut_power(&mut Random::new(seed));
                bench.restart(floor, false);
                // What recovery has called there must survive the next power cut.
                let floor = bench.messages.len() as u64;
                bench.disk.cut_power(&mut Random::new(seed));
                bench.restart(floor, false);
            }
            Step::CutPowerInClose { seed, wait } => {
                (bench.disk.finish, bench.disk.wait) = (0, wait);
                let (writer, reader) = (&mut bench.writer, &mut bench.reader);
                let closed = writer.close(bench.now, reader, u64::MAX, &mut bench.disk, &bench.progress);
                let floor = if closed.is_ok() { bench.messages.len() as u64 } else { synced(bench) };
                bench.disk.wait = usize::MAX;
                bench.disk.cut_power(&mut Random::new(seed));
                let recovered = bench.restart(floor, false);
                assert!(closed.is_err() || recovered.clean);
            }
            Step::Close => {
                assert!(bench.close());
                let all = bench.messages.len() as u64;
                bench.disk.cut_power(&mut Random::new(all));
                let recovered = bench.restart(all, false);
                assert!(recovered.clean && recovered.torn.is_none(), "{recovered:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn should_keep_what_is_durable_and_a_prefix_of_the_rest(config in configs(), steps in steps()) {
        let mut bench = Bench::new(config);
        take_steps(&mut bench, steps);
        bench.disk.finish = usize::MAX;
        bench.settle();
        let all = bench.messages.len() as u64;
        bench.restart(all, false);
    }

    #[test]
    fn should_go_on_with_a_cut_that_was_itself_cut_short(
        config in configs(), steps in steps(), seed in any::<u64>(), after in 0..6usize,
    ) {
        let mut bench = Bench::new(config);
        take_steps(&mut bench, steps);
        let floor = synced(&mut bench);
        let mut random = Random::new(seed);
        bench.disk.cut_power(&mut random);
        let before = walk(&mut bench.disk, None, 0, &mut |_| {}).expect("torn at most");
        // The power goes again while recovery removes and zeroes.
        let mut dying = DyingDisk { disk: &mut bench.disk, steps_left: after };
        let _ = recover(&mut dying, Some(stream()), 0, &mut |_| {});
        bench.disk.cut_power(&mut random);
        let recovered = bench.restart(floor, false);
        prop_assert!(recovered.last >= before.last);
    }

    #[test]
    fn should_cut_whatever_happened_before_and_happens_meanwhile(
        config in configs(), steps in steps(), seed in any::<u64>(), place in any::<u64>(), times in 0..20usize,
    ) {
        let mut bench = Bench::new(config);
        take_steps(&mut bench, steps);
        let mut random = Random::new(seed);
        let floor = synced(&mut bench);
        bench.disk.cut_power(&mut random);
        bench.restart(floor, false);
        let last = bench.messages.len() as u64;
        let after = place % (last + 2);
        for _ in 0..times {
            let mut dying = DyingDisk { disk: &mut bench.disk, steps_left: random.below(12) as usize };
            let _ = cut(&mut dying, Some(stream()), 0, after);
            match random.chance(1, 2) {
                true => bench.disk.kill(&mut random),
                false => bench.disk.cut_power(&mut random),
            }
        }
        bench.disk.finish = usize::MAX;
        let recovered = bench.restart(after.min(last), false);
        // Where nothing stays, the first segment is zeroed, and a power cut may leave a part of it.
        prop_assert!((recovered.torn.is_none() || after == 0) && recovered.last <= last);
        cut(&mut bench.disk, Some(stream()), 0, after).expect("a cut");
        prop_assert_eq!(bench.restart(after.min(last), false).last, after.min(last));
        bench.append(100);
        bench.settle();
        bench.restart(after.min(last) + 1, false);
    }

    #[test]
    fn should_find_every_flipped_bit(config in configs(), steps in steps(), place in any::<u64>(), clean in any::<bool>()) {
        let mut bench = Bench::new(config);
        take_steps(&mut bench, steps);
        bench.disk.finish = usize::MAX;
        bench.settle();
        if clean {
            prop_assert!(bench.close());
        }
        let mut groups = Vec::new();
        walk(&mut bench.disk, None, 0, &mut |group| {
            groups.push((group.segment(), group.offset(), group.length() as u64));
        }).expect("whole");
        prop_assume!(!groups.is_empty());
        let bits = groups.iter().map(|group| group.2 * 8).sum::<u64>();
        let mut bit = place % bits;
        let (segment, offset, _) = *groups.iter().find(|group| {
            let here = bit < group.2 * 8;
            bit -= if here { 0 } else { group.2 * 8 };
            here
        }).expect("within");
        bench.disk.flip(segment, offset * 8 + bit);
        let mut reader = JournalReader::new(stream());
        for sequence in 1..=bench.messages.len() as u64 {
            if let Some(message) = read(&mut reader, &mut bench.disk, sequence) {
                prop_assert_eq!(&message, &bench.messages[sequence as usize - 1]);
            }
        }
        match recover(&mut bench.disk, Some(stream()), 0, &mut |_| {}) {
            Ok(recovered) => {
                prop_assert!(recovered.torn.is_some());
                bench.check_content(recovered.last);
            }
            Err(JournalError::Damage(damage)) => prop_assert_eq!(damage.position.segment, segment),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn should_survive_any_bytes(
        config in configs(), steps in steps(), blocks in prop::collection::vec(any::<(u64, u64, u64)>(), 1..12),
    ) {
        let mut bench = Bench::new(config);
        take_steps(&mut bench, steps);
        bench.disk.finish = usize::MAX;
        bench.settle();
        for (kind, place, what) in blocks {
            vandalise(&mut bench.disk, kind, place, what);
        }
        let mut reader = JournalReader::new(stream());
        for sequence in 0..40 {
            read(&mut reader, &mut bench.disk, sequence);
        }
        let _ = walk(&mut bench.disk, None, 0, &mut |group| assert_eq!(group.messages().count(), group.count() as usize));
        if let Ok(recovered) = recover(&mut bench.disk, None, 0, &mut |_| {}) {
            let again = recover(&mut bench.disk, None, 0, &mut |_| {}).expect("what was recovered is whole");
            prop_assert_eq!(again.last, recovered.last);
            prop_assert_eq!(again.torn, None);
        }
    }
}

/// Damages the disk with some care, so that checksums often fit.
fn vandalise(disk: &mut MemoryDisk, kind: u64, place: u64, what: u64) {
    let segments = disk.segments().unwrap();
    let Some(&segment) = segments.get(place as usize % segments.len().max(1)) else { return };
    let mut bytes = disk.bytes(segment).to_vec();
    let mut random = Random::new(what);
    let blocks = bytes.len() / BLOCK_BYTES;
    if blocks == 0 {
        return;
    }
    let at = random.below(blocks as u64) as usize * BLOCK_BYTES;
    let block = at..at + BLOCK_BYTES;
    match kind % 7 {
        0 => bytes[block].fill_with(|| random.next_u64() as u8),
        1 => bytes[block].fill(0),
        2 => bytes.truncate(random.below(bytes.len() as u64) as usize),
        3 => bytes.copy_within(0..BLOCK_BYTES, at),
        4 => {
            let byte = at + random.below(64) as usize;
            bytes[byte] = random.next_u64() as u8;
            reseal(&mut bytes[block]);
        }
        5 => {
            // A field made extreme, under a checksum that fits.
            let field = at + [20, 24, 32, 40, 48, 56, 64][random.below(7) as usize];
            bytes[field..field + 8].fill(if random.chance(1, 2) { 0xFF } else { 0 });
            bytes[at + 20..at + 24].copy_from_slice(&(BLOCK_BYTES as u32).to_be_bytes());
            reseal(&mut bytes[block]);
        }
        _ => {
            disk.remove(segment).unwrap();
            return;
        }
    }
    disk.put(segment, bytes);
}

/// Fails for good after some removals and writes.
pub(super) struct DyingDisk<'a> {
    pub disk: &'a mut MemoryDisk,
    pub steps_left: usize,
}

impl DyingDisk<'_> {
    fn step(&mut self) -> Result<(), DiskError> {
        self.steps_left =
            self.steps_left.checked_sub(1).ok_or_else(|| DiskError::Failed("the power went".into()))?;
        Ok(())
    }
}

impl Disk for DyingDisk<'_> {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        self.disk.segments()
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        self.step()?;
        self.disk.create(segment, bytes)
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        self.disk.length(segment)
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.step()?;
        self.disk.remove(segment)
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read(segment, offset, into)
    }

    fn submit(&mut self, write: DiskWrite) {
        self.disk.submit(write);
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.wait()
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        if self.step().is_err() {
            return None;
        }
        self.disk.wait()
    }

    fn describe(&self, segment: u64) -> String {
        self.disk.describe(segment)
    }
}
