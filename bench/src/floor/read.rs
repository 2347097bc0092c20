//! Random reads: of memory, one behind the other and many at a time; of a disk, one behind the other.
use crate::measurement::histogram;
use gds_core::disk::{BLOCK_BYTES, Disk};
use gds_core::random::Random;
use gds_nic::{Directory, DirectoryConfig, Fill, PagePolicy, Pages, clock};
use gds_node::ports::Files;
use hdrhistogram::Histogram;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Reads between two looks at the clock.
const READS: u64 = 4096;

/// How many reads a second a piece of memory allows, each of one word.
#[derive(Clone, Copy, Debug)]
pub struct MemoryReads {
    /// Each needs what the one before found: the wait for memory, over and over.
    pub dependent: f64,
    /// All are known beforehand: the processor waits for many at a time.
    pub independent: f64,
}

/// Reads words of so many bytes of memory, for so long each way. The memory is of the kind that a node has.
///
/// # Errors
/// That there is not so much memory.
pub fn memory(bytes: usize, duration: Duration) -> Result<MemoryReads, String> {
    let pages = Pages::anonymous(bytes, PagePolicy::default()).map_err(|error| error.to_string())?;
    let words = pages.words();
    // Reads of zero pages would all meet the same memory.
    words.iter().enumerate().for_each(|(place, word)| word.store(place as u64, Relaxed));
    let count = words.len() as u64;
    let (mut place, mut step) = (0, 0_u64);
    let dependent = reads_per_second(duration, || {
        for _ in 0..READS {
            // What was read decides where to read next; the step makes sure that the way never comes round.
            step += 1;
            place = Random::new(words[place as usize].load(Relaxed) ^ step << 40).below(count);
        }
        place
    });
    let mut random = Random::new(8);
    let independent = reads_per_second(duration, || {
        (0..READS).fold(0, |sum: u64, _| sum.wrapping_add(words[random.below(count) as usize].load(Relaxed)))
    });
    Ok(MemoryReads { dependent, independent })
}

fn reads_per_second(duration: Duration, mut some: impl FnMut() -> u64) -> f64 {
    let begun_ns = clock::monotonic_ns();
    let end_ns = begun_ns + duration.as_nanos() as u64;
    let (mut reads, mut now_ns) = (0, begun_ns);
    while now_ns < end_ns {
        std::hint::black_box(some());
        reads += READS;
        now_ns = clock::monotonic_ns();
    }
    reads as f64 * 1e9 / (now_ns - begun_ns) as f64
}

/// How long reads of one block take, in ns, one at a time and past the page cache, anywhere in a file of so many bytes that lies under this folder.
///
/// # Errors
/// What the file system says.
pub fn disk(place: &Path, bytes: u64, duration: Duration) -> Result<Histogram<u64>, String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", place.display());
    std::fs::create_dir_all(place).map_err(|error| text(&error))?;
    let folder = tempfile::Builder::new().prefix("gds-read-").tempdir_in(place).map_err(|e| text(&e))?;
    let config = DirectoryConfig { fill: Fill::Zeros, ..DirectoryConfig::new(folder.path()) };
    let mut files = Files(Directory::open(config).map_err(|error| text(&error))?);
    files.create(1, bytes).map_err(|error| text(&error))?;
    let mut random = Random::new(7);
    let mut block = vec![0; BLOCK_BYTES];
    let mut latency = histogram();
    let mut now_ns = clock::monotonic_ns();
    let end_ns = now_ns + duration.as_nanos() as u64;
    while now_ns < end_ns {
        let offset = random.below(bytes / BLOCK_BYTES as u64) * BLOCK_BYTES as u64;
        files.read(1, offset, &mut block).map_err(|error| text(&error))?;
        let after_ns = clock::monotonic_ns();
        latency.saturating_record((after_ns - now_ns).max(1));
        now_ns = after_ns;
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_are_read() {
        let reads = memory(1 << 20, Duration::from_millis(10)).unwrap();
        assert!(reads.dependent > 0.0 && reads.independent > 0.0);
        let folder = tempfile::tempdir().unwrap();
        assert!(!disk(folder.path(), 1 << 20, Duration::from_millis(10)).unwrap().is_empty());
    }
}
