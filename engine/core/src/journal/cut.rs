//! Cutting a journal back: what a replica does with messages that its leader does not have.
//!
//! The cut lies in the middle of a group, or at the end of one. That group, shortened to what stays, is first written as an
//! image into a segment of its own with the number 0, which no other segment has. From then on the cut is begun, and whoever
//! recovers the journal finishes it, however often it is interrupted:
//!
//! 1. the image is synced; later segments are removed, from the last on;
//! 2. what follows the group in its segment is zeroed;
//! 3. the image is written in the group's place, and synced;
//! 4. segment 0 is removed.
//!
//! An image that is not whole means that nothing was touched yet: it is removed, and the journal is as it was. So at every moment
//! the messages that stay are on the disk, in their place or in the image, and would survive a power cut.
//!
//! Where no message stays, no image is needed: segments are removed from the last on.
use gds_wire::session::Session;

use super::group::{Group, GroupBuffer, GroupError, Seal};
use super::recovery::{recover, remove_behind, write_and_wait, zero_from};
use super::segment::{SCRATCH, Window, whole_bytes};
use super::walk::{JournalError, Position};
use crate::disk::{BLOCK_BYTES, Block, Disk, DiskError, DiskWrite};

/// Recovers the journal, and removes every message above `after`; then it does not count as closed in order. Does nothing more where
/// the journal ends with `after` or before. It takes room for one group while it lasts.
///
/// `stream` and `known_last` are those of [`recover`].
///
/// Errors before the cut is begun leave the journal as [`recover`] does; later ones leave it to the next recovery to go on.
pub fn cut(
    disk: &mut dyn Disk,
    stream: Option<Session>,
    known_last: u64,
    after: u64,
) -> Result<(), JournalError> {
    let mut place = None;
    let found = recover(disk, stream, known_last, &mut |group| {
        if (group.first()..group.next()).contains(&after) {
            place = Some(Position { segment: group.segment(), offset: group.offset() });
        }
    })?;
    if found.last <= after {
        return Ok(());
    }
    match place {
        Some(place) => {
            begin(disk, place, after)?;
            finish(disk, stream)
        }
        None => Ok(remove_behind(disk, SCRATCH)?),
    }
}

/// Writes the image of the group at `place` without the messages above `after`; whoever goes on syncs it.
fn begin(disk: &mut dyn Disk, place: Position, after: u64) -> Result<(), JournalError> {
    let mut window = Window::new();
    let group = window.group(disk, place.segment, place.offset)?.map_err(|error| {
        let Position { segment, offset } = place;
        let file = disk.describe(segment);
        DiskError::Failed(format!("{file} at offset {offset}: {error}, though it was whole a moment ago"))
    })?;
    let (blocks, count) = shortened(&group, after);
    disk.create(SCRATCH, (count * BLOCK_BYTES) as u64)?;
    Ok(write_and_wait(disk, DiskWrite { segment: SCRATCH, offset: 0, blocks, count, sync: false })?)
}

/// The group without the messages above `after`, in the same place of the same chain.
fn shortened(group: &Group<'_>, after: u64) -> (Vec<Block>, usize) {
    let blocks = vec![Block([0; BLOCK_BYTES]); group.length() / BLOCK_BYTES];
    let mut short = GroupBuffer::begin(blocks, group.first(), group.length());
    for message in group.messages().take_while(|message| message.sequence <= after) {
        short.slot()[..message.bytes.len()].copy_from_slice(message.bytes);
        short.take(message.bytes.len(), message.epoch, message.chain);
    }
    let seal = Seal {
        stream: group.stream(),
        segment: group.segment(),
        offset: group.offset(),
        durable: group.durable_before(),
        previous: group.previous_checksum(),
    };
    let (blocks, count, _) = short.seal(seal);
    (blocks, count)
}

/// Finishes a cut that was begun; drops one that was not.
pub(super) fn finish(disk: &mut dyn Disk, stream: Option<Session>) -> Result<(), JournalError> {
    if disk.segments()?.first() != Some(&SCRATCH) {
        return Ok(());
    }
    if let Some((place, blocks)) = image(disk, stream)? {
        let count = blocks.len();
        let end = Position { offset: place.offset + (count * BLOCK_BYTES) as u64, ..place };
        if whole_bytes(disk, place.segment)? < end.offset {
            let (image, file) = (disk.describe(SCRATCH), disk.describe(place.segment));
            let what = format!(
                "{image} has a group for offset {} of {file}, which is too short; restore it",
                place.offset
            );
            return Err(DiskError::Failed(what).into());
        }
        // The process that wrote the image may have died before it was synced.
        write_and_wait(
            disk,
            DiskWrite { segment: SCRATCH, offset: 0, blocks: Vec::new(), count: 0, sync: true },
        )?;
        remove_behind(disk, place.segment)?;
        zero_from(disk, end)?;
        let Position { segment, offset } = place;
        write_and_wait(disk, DiskWrite { segment, offset, blocks, count, sync: true })?;
    }
    Ok(disk.remove(SCRATCH)?)
}

/// The group in segment 0, and where it goes; `None` when there is none that is whole and goes elsewhere.
fn image(
    disk: &mut dyn Disk,
    stream: Option<Session>,
) -> Result<Option<(Position, Vec<Block>)>, JournalError> {
    let mut window = Window::new();
    let head = window.view(disk, SCRATCH, 0, BLOCK_BYTES)?;
    let Ok((bytes, place)) =
        Group::claimed_bytes(head).and_then(|bytes| Ok((bytes, Group::claimed_place(head)?)))
    else {
        return Ok(None);
    };
    if place.segment == SCRATCH {
        return Ok(None);
    }
    let view = window.view(disk, SCRATCH, 0, bytes)?;
    let group = match Group::parse(view, place.segment, place.offset) {
        Ok(group) => group,
        Err(GroupError::Version(version)) => {
            return Err(JournalError::Version { file: disk.describe(SCRATCH), version });
        }
        Err(_) => return Ok(None),
    };
    if let Some(expected) = stream.filter(|&expected| expected != group.stream()) {
        return Err(JournalError::Foreign { file: disk.describe(SCRATCH), found: group.stream(), expected });
    }
    let blocks =
        view[..bytes].chunks_exact(BLOCK_BYTES).map(|block| Block(block.try_into().expect("a block")));
    Ok(Some((place, blocks.collect())))
}
