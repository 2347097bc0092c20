//! A journal that begins in the middle of its stream.
use super::recovery::Recovered;
use super::{JournalConfig, JournalFault, JournalWriter};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::memory::ring::{Ring, RingConfig, RingIdentity};
use crate::memory::words::HeapWords;
use crate::time::Time;
use gds_wire::session::Session;

/// Room for the longest message there is.
const RING: RingConfig = RingConfig { data_bytes: 1 << 13, positions: 2 };

/// Writes a journal of `stream` that has one message, closed in order, to a disk without any: what goes on behind it has that message to match with.
/// `chain` is the running checksum of the stream up to that message. False when the disk has no room.
///
/// # Panics
/// For a message longer than [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX).
pub fn begin_with(
    disk: &mut dyn Disk,
    config: JournalConfig,
    stream: Session,
    sequence: u64,
    (epoch, chain): (u32, u64),
    message: &[u8],
) -> Result<bool, JournalFault> {
    let words = HeapWords::shared(Ring::words_needed(&RING));
    let ring =
        Ring::create(words, RING, RingIdentity { stream, boot_id: [0; 16], directory: [0; 16] }, sequence);
    let mut end = ring.writer();
    end.append_chained(epoch, Some(chain), &[message]);
    end.publish();
    let mut writer = JournalWriter::new(config, stream, &Recovered::empty_before(sequence));
    let now = Time { monotonic_ns: 0, wall_ns: 0 };
    writer.close(now, &mut ring.reader(sequence), sequence, disk, &Progress::default())
}
