//! Opening a ring that another process left behind.
//!
//! Any word may be garbage: the file may be damaged, cut off, or not ours. So every number is checked before
//! it is used, and the walk goes strictly backwards, at most once around.
use super::*;

/// Why words cannot be opened as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// Too short, or without the magic word: never was a ring, or its creation did not finish.
    NotARing,
    /// Written by a version that this one does not read.
    Version {
        /// The version found.
        found: u64,
    },
    /// The fixed header does not have its checksum.
    HeaderDamaged,
    /// The header's sizes do not fit the words.
    Geometry {
        /// Words that the header asks for.
        needed: u64,
        /// Words there are.
        there: u64,
    },
    /// The last published message is not whole.
    EndDamaged {
        /// Its number, as the ring says.
        sequence: u64,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARing => {
                f.write_str("the magic word of a ring is missing; what it held is only in the journal now")
            }
            Self::Version { found } => {
                write!(
                    f,
                    "ring of version {found}, this program reads version {VERSION}; start the version that wrote it, or remove the file"
                )
            }
            Self::HeaderDamaged => {
                f.write_str("the ring's header has a wrong checksum; what it held is only in the journal now")
            }
            Self::Geometry { needed, there } => {
                write!(
                    f,
                    "the ring's header asks for {needed} words and there are {there}: the file was cut off or is damaged"
                )
            }
            Self::EndDamaged { sequence } => {
                write!(
                    f,
                    "the ring's last published message, {sequence}, is damaged; what it held is only in the journal now"
                )
            }
        }
    }
}

impl std::error::Error for RingError {}

pub(super) fn open(words: SharedWords) -> Result<Ring, RingError> {
    let Header { config, identity, origin, chain_before } = read_header(words.words())?;
    let (needed, there) = (Ring::words_needed(&config) as u64, words.words().len() as u64);
    if needed > there {
        return Err(RingError::Geometry { needed, there });
    }
    let parts = Parts::new(words.words(), &config);
    let last = parts.header[PUBLISHED_AT].load(Acquire);
    if !(origin - 1..NUMBER_MAX).contains(&last) {
        return Err(RingError::EndDamaged { sequence: last });
    }
    let whole = if last < origin {
        Whole { first: origin, first_position: 0, end: 0 }
    } else {
        walk_back(&parts, origin, last).ok_or(RingError::EndDamaged { sequence: last })?
    };
    // Claims of the writer that is gone count for nothing: what it overwrote is below `first`.
    parts.header[CLAIMED_AT].store(whole.end, Relaxed);
    parts.header[CLAIMED_SEQUENCE_AT].store(last, Relaxed);
    parts.header[END_AT].store(whole.end, Relaxed);
    fence(Release);
    let floor = Floor {
        sequence: whole.first,
        position: whole.first_position,
        chain_before: (whole.first == origin).then_some(chain_before),
    };
    Ok(Ring::over(words, config, identity, floor))
}

/// What never changes in a ring.
pub(super) struct Header {
    pub config: RingConfig,
    identity: RingIdentity,
    /// The first message that the ring ever had, or was to have.
    origin: u64,
    chain_before: u64,
}

/// What a header says that is whole. Whether there are as many words is not looked at.
pub(super) fn read_header(words: &[AtomicU64]) -> Result<Header, RingError> {
    let Some(header) = words.get(..HEADER_WORDS) else { return Err(RingError::NotARing) };
    let mut fixed = [0; CHECKSUM_AT + 1];
    for (value, word) in fixed.iter_mut().zip(header) {
        *value = word.load(Acquire);
    }
    if fixed[MAGIC_AT] != MAGIC {
        return Err(RingError::NotARing);
    }
    if fixed[VERSION_AT] != VERSION {
        return Err(RingError::Version { found: fixed[VERSION_AT] });
    }
    if fixed[CHECKSUM_AT] != u64::from(fixed_checksum(&fixed)) {
        return Err(RingError::HeaderDamaged);
    }
    let size = |value: u64| usize::try_from(value).ok();
    let data_bytes = size(fixed[DATA_WORDS_AT]).and_then(|words| words.checked_mul(WORD_BYTES));
    let (Some(data_bytes), Some(positions)) = (data_bytes, size(fixed[POSITIONS_AT])) else {
        return Err(RingError::HeaderDamaged);
    };
    let config = RingConfig { data_bytes, positions };
    let origin = fixed[FIRST_SEQUENCE_AT];
    if !config.is_valid() || !(1..NUMBER_MAX).contains(&origin) {
        return Err(RingError::HeaderDamaged);
    }
    let mut boot_id = [0; 16];
    boot_id[..8].copy_from_slice(&fixed[BOOT_ID_AT].to_le_bytes());
    boot_id[8..].copy_from_slice(&fixed[BOOT_ID_AT + 1].to_le_bytes());
    let mut stream = [0; 10];
    stream[..8].copy_from_slice(&fixed[STREAM_AT].to_le_bytes());
    stream[8..].copy_from_slice(&fixed[STREAM_AT + 1].to_le_bytes()[..2]);
    let mut directory = [0; 16];
    directory[..8].copy_from_slice(&fixed[DIRECTORY_AT].to_le_bytes());
    directory[8..].copy_from_slice(&fixed[DIRECTORY_AT + 1].to_le_bytes());
    let identity = RingIdentity { stream: Session(stream), boot_id, directory };
    Ok(Header { config, identity, origin, chain_before: fixed[CHAIN_BEFORE_AT] })
}

/// The messages that count.
struct Whole {
    first: u64,
    first_position: u64,
    /// Where the last one ends.
    end: u64,
}

/// From `last` backwards while each message is whole and ends where the next begins. None when not even
/// `last` is.
fn walk_back(parts: &Parts<'_>, origin: u64, last: u64) -> Option<Whole> {
    let mut scratch = vec![0; Ring::frame_bytes(MAX_MESSAGE_BYTES).min(parts.data.len() * WORD_BYTES)];
    let position = parts.position_of(last).load(Relaxed);
    let end = whole_frame_end(parts, position, last, &mut scratch)?;
    let lap_start = end.saturating_sub((parts.data.len() * WORD_BYTES) as u64);
    let oldest_listed = origin.max((last + 1).saturating_sub(parts.positions.len() as u64));
    let mut whole = Whole { first: last, first_position: position, end };
    while whole.first > oldest_listed {
        let sequence = whole.first - 1;
        let position = parts.position_of(sequence).load(Relaxed);
        if position < lap_start
            || whole_frame_end(parts, position, sequence, &mut scratch) != Some(whole.first_position)
        {
            break;
        }
        (whole.first, whole.first_position) = (sequence, position);
    }
    Some(whole)
}

/// Where the frame at `position` ends, if it is whole and is `sequence`'s.
fn whole_frame_end(parts: &Parts<'_>, position: u64, sequence: u64, scratch: &mut [u8]) -> Option<u64> {
    if position >= NUMBER_MAX || !position.is_multiple_of(WORD_BYTES as u64) {
        return None;
    }
    let header = parts.span(position, FRAME_HEADER_WORDS);
    let (length, checksum) = (header.load(0) as u32, (header.load(0) >> 32) as u32);
    let frame_bytes = Ring::frame_bytes(length as usize);
    if header.load(1) != sequence
        || length as usize > MAX_MESSAGE_BYTES
        || frame_bytes > parts.data.len() * WORD_BYTES
    {
        return None;
    }
    u32::try_from(header.load(2)).ok()?;
    let frame = &mut scratch[..frame_bytes];
    parts.span(position, frame_bytes / WORD_BYTES).copy_to(0, frame);
    frame[FRAME_CHECKSUM].fill(0);
    (crc32c::crc32c(frame) == checksum).then_some(position + frame_bytes as u64)
}
