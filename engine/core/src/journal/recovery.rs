//! The start of a journal: what is there, made fit to be written on.
use gds_wire::session::Session;

use super::cut;
use super::group::Group;
use super::segment::{Window, segments, whole_bytes};
use super::walk::{JournalError, Position, TornTail, Walk, walk};
use crate::disk::{BLOCK_BYTES, Block, Disk, DiskError, DiskWrite};

/// A journal that can be written on: everything in it is whole and would survive a power cut, and nothing follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The stream the journal belongs to; `None` while it holds no group.
    pub stream: Option<Session>,
    /// Number of the first message kept; 1 when there is none.
    pub first: u64,
    /// Number of the last message; `first - 1` when there is none.
    pub last: u64,
    /// Epoch of the last message, 0 when there is none.
    pub epoch: u32,
    /// The running checksum of all messages up to the last one, 0 when there is none.
    pub chain: u64,
    /// The journal had been closed in order.
    pub clean: bool,
    /// The mark of an orderly end is its last group, also where something torn behind it was cut back: what is written next must be synced, or a power
    /// cut leaves a journal that passes for complete.
    pub marked: bool,
    /// Where the next group goes; `None`: into a new segment 1, for there is none.
    pub position: Option<Position>,
    /// The tail that was cut back, if there was one.
    pub torn: Option<TornTail>,
    /// CRC-32C of the last group, 0 when there is none.
    pub(super) checksum: u32,
    /// Length in bytes of the segment that `position` names.
    pub(super) segment_bytes: u64,
}

impl Recovered {
    /// A journal without anything in it, whose first message is to be number 1.
    pub fn empty() -> Self {
        Self::empty_before(1)
    }

    /// A journal without anything in it, whose first message is to have this number.
    pub(super) fn empty_before(first: u64) -> Self {
        Self {
            stream: None,
            first,
            last: first - 1,
            epoch: 0,
            chain: 0,
            clean: false,
            marked: false,
            position: None,
            torn: None,
            checksum: 0,
            segment_bytes: 0,
        }
    }
}

/// Reads the whole journal, checks it, cuts a torn tail back, and syncs what may not have been. Before that it finishes a
/// [`cut`](super::cut()) that was begun.
///
/// `stream`: the stream expected, `None` to take what is there. `known_last`: the caller knows from elsewhere that every
/// message up to this number has been handed to the journal, so that a break below is damage; 0 when it knows nothing. (A
/// ring that outlived the process gives `ring.first() - 1`.) `visit` is shown each whole group in order, also when something behind it
/// turns out to be damaged.
///
/// Errors leave the journal as it was, but for [`JournalError::Disk`] while it is cut back; then the next start goes on with that.
pub fn recover(
    disk: &mut dyn Disk,
    stream: Option<Session>,
    known_last: u64,
    visit: &mut dyn FnMut(&Group<'_>),
) -> Result<Recovered, JournalError> {
    cut::finish(disk, stream)?;
    let found = walk(disk, stream, known_last, visit)?;
    let place = match found.position {
        Some(position) => Some(position),
        None => first_place(disk)?,
    };
    let keep = place.map_or(0, |position| position.segment);
    remove_behind(disk, keep)?;
    let mut segment_bytes = 0;
    if let Some(position) = place {
        segment_bytes = whole_bytes(disk, position.segment)?;
        zero_from(disk, position)?;
    }
    if found.position.is_none() && keep > 0 {
        // What was zeroed in it must not come back behind what is written next.
        write_and_wait(
            disk,
            DiskWrite { segment: keep, offset: 0, blocks: Vec::new(), count: 0, sync: true },
        )?;
    }
    for &(segment, last) in &found.segments {
        if last > found.durable || segment == keep {
            write_and_wait(disk, DiskWrite { segment, offset: 0, blocks: Vec::new(), count: 0, sync: true })?;
        }
    }
    let Walk { stream, first, last, epoch, chain, clean, marked, checksum, torn, .. } = found;
    let position = place;
    Ok(Recovered {
        stream,
        first,
        last,
        epoch,
        chain,
        clean,
        marked,
        position,
        torn,
        checksum,
        segment_bytes,
    })
}

/// Where the first group goes of a journal that has none: into segment 1, if it is there. It stays, so that a journal that was begun is never like one
/// that somebody took away.
fn first_place(disk: &mut dyn Disk) -> Result<Option<Position>, DiskError> {
    let is_there = segments(disk)?.first() == Some(&1) && whole_bytes(disk, 1)? > 0;
    Ok(is_there.then_some(Position { segment: 1, offset: 0 }))
}

/// Removes the segments above `keep`: from the last on, so that an interruption leaves no hole.
pub(super) fn remove_behind(disk: &mut dyn Disk, keep: u64) -> Result<(), DiskError> {
    segments(disk)?
        .into_iter()
        .rev()
        .take_while(|&segment| segment > keep)
        .try_for_each(|segment| disk.remove(segment))
}

/// Writes zeros over all blocks from `position` to the end of the segment that are something else.
pub(super) fn zero_from(disk: &mut dyn Disk, position: Position) -> Result<(), DiskError> {
    let end = whole_bytes(disk, position.segment)?;
    let mut window = Window::new();
    let mut offset = position.offset;
    while offset < end {
        let view = window.view(disk, position.segment, offset, BLOCK_BYTES)?;
        let whole = view.len() / BLOCK_BYTES * BLOCK_BYTES;
        let dirty = |block: &[u8]| block.iter().any(|&byte| byte != 0);
        let blocks = view[..whole].chunks(BLOCK_BYTES);
        let first = blocks.clone().position(dirty);
        let last = blocks.clone().rposition(dirty);
        if let (Some(first), Some(last)) = (first, last) {
            let count = last - first + 1;
            let blocks = vec![Block([0; BLOCK_BYTES]); count];
            let from = offset + (first * BLOCK_BYTES) as u64;
            write_and_wait(
                disk,
                DiskWrite { segment: position.segment, offset: from, blocks, count, sync: false },
            )?;
        }
        if whole == 0 {
            break;
        }
        offset += whole as u64;
    }
    Ok(())
}

pub(super) fn write_and_wait(disk: &mut dyn Disk, write: DiskWrite) -> Result<(), DiskError> {
    disk.submit(write);
    match disk.wait() {
        Some((_, result)) => result,
        None => Err(DiskError::Failed("the disk lost track of a write".into())),
    }
}
