//! Walking a journal without changing it: every group checked, and a verdict on where it ends.
use std::fmt;

use gds_wire::session::Session;

use super::group::{Group, GroupError};
use super::segment::{Window, segments, whole_bytes};
use crate::disk::{BLOCK_BYTES, Disk, DiskError};

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The segment.
    pub segment: u64,
    /// Byte offset in it.
    pub offset: u64,
}

/// Where the journal ended in something unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file, as a person would look for it.
    pub file: String,
    /// Where the unfinished part begins.
    pub position: Position,
    /// The first sequence number that is not in the journal.
    pub sequence: u64,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position, sequence } = self;
        write!(
            f,
            "torn tail in {file} at offset {}: sequence number {sequence} was not written whole",
            position.offset
        )
    }
}

/// Something that was known to be in the journal cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalDamage {
    /// The file, as a person would look for it.
    pub file: String,
    /// Where the damage begins.
    pub position: Position,
    /// The first sequence number that cannot be read.
    pub sequence: u64,
    /// Everything up to this number is known to have been durable.
    pub durable: u64,
    /// What was found instead.
    pub found: String,
}

impl fmt::Display for JournalDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position, sequence, durable, found } = self;
        write!(
            f,
            "journal damaged in {file} at offset {}: sequence number {sequence} cannot be read ({found}), though everything \
             up to {durable} had been written safely; nothing was changed: restore this file from a copy, or start \
             with an empty journal from another node's",
            position.offset
        )
    }
}

/// Why a journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// A damaged middle.
    Damage(Box<JournalDamage>),
    /// Segments of another stream lie here.
    Foreign {
        /// The file, as a person would look for it.
        file: String,
        /// The stream it belongs to.
        found: Session,
        /// The stream that was expected.
        expected: Session,
    },
    /// Written by a program with another format.
    Version {
        /// The file, as a person would look for it.
        file: String,
        /// Its format version.
        version: u16,
    },
    /// The disk could not be read, or not be written while a torn tail was cut back.
    Disk(DiskError),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(damage) => damage.fmt(f),
            Self::Foreign { file, found, expected } => write!(
                f,
                "{file} belongs to stream {found}, not to {expected}: name the right journal directory or stream"
            ),
            Self::Version { file, version } => {
                write!(
                    f,
                    "{file} has journal format version {version}, which this program does not know: use the one that wrote it"
                )
            }
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<DiskError> for JournalError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The stream the journal belongs to; `None` while it holds no group.
    pub stream: Option<Session>,
    /// Number of the first message kept; 1 when there is none.
    pub first: u64,
    /// Number of the last whole message; `first - 1` when there is none.
    pub last: u64,
    /// Epoch of the last message, 0 when there is none.
    pub epoch: u32,
    /// The running checksum of all messages up to the last one, 0 when there is none.
    pub chain: u64,
    /// The journal was closed in order.
    pub clean: bool,
    /// The last group is the mark of an orderly end, whatever is torn behind it.
    pub marked: bool,
    /// Where the next group goes; `None` while there is no group.
    pub position: Option<Position>,
    /// CRC-32C of the last group, 0 when there is none.
    pub checksum: u32,
    /// The highest number that some group says was durable.
    pub durable: u64,
    /// What follows the last whole group, when it is not zeros.
    pub torn: Option<TornTail>,
    /// The segments with groups, ascending, each with the number of the last message in it or before it.
    pub segments: Vec<(u64, u64)>,
}

/// Walks all groups of the journal in order, shows each to `visit`, and judges its end. Changes nothing.
///
/// `stream`: the stream expected, `None` to take what is there. `known_last`: the caller knows from elsewhere that every message up
/// to this number has been handed to the journal; 0 when it knows nothing.
///
/// Beside a running writer the end may look torn where a write is on its way. Where a cut was interrupted, the journal may look damaged
/// until a recovery has finished it.
pub fn walk(
    disk: &mut dyn Disk,
    stream: Option<Session>,
    known_last: u64,
    visit: &mut dyn FnMut(&Group<'_>),
) -> Result<Walk, JournalError> {
    let segments = segments(disk)?;
    let mut walker = Walker::new(stream);
    let mut broken = None;
    for (index, &segment) in segments.iter().enumerate() {
        if index > 0 && segments[index - 1] + 1 != segment {
            let missing = Position { segment: segments[index - 1] + 1, offset: 0 };
            return Err(walker.damage(disk, missing, walker.next() - 1, "the file is missing".into()));
        }
        let bytes = whole_bytes(disk, segment)?;
        if let Some((offset, found)) = walker.walk_segment(disk, segment, bytes, visit)? {
            broken = Some((index, offset, found));
            break;
        }
    }
    match broken {
        Some((index, offset, found)) => walker.judge(disk, &segments[index..], offset, &found, known_last)?,
        None => walker.check_known(disk, known_last)?,
    }
    Ok(walker.found)
}

struct Walker {
    window: Window,
    expected_stream: Option<Session>,
    found: Walk,
    begun: bool,
}

impl Walker {
    fn new(expected_stream: Option<Session>) -> Self {
        let found = Walk {
            stream: None,
            first: 1,
            last: 0,
            epoch: 0,
            chain: 0,
            clean: false,
            marked: false,
            position: None,
            checksum: 0,
            durable: 0,
            torn: None,
            segments: Vec::new(),
        };
        Self { window: Window::new(), expected_stream, found, begun: false }
    }

    fn next(&self) -> u64 {
        self.found.last + 1
    }

    /// Takes the groups of one segment. Where the chain breaks: the offset and what is there instead.
    fn walk_segment(
        &mut self,
        disk: &mut dyn Disk,
        segment: u64,
        bytes: u64,
        visit: &mut dyn FnMut(&Group<'_>),
    ) -> Result<Option<(u64, String)>, JournalError> {
        let mut offset = 0;
        while offset < bytes {
            let group = match self.window.group(disk, segment, offset)? {
                Ok(group) => group,
                Err(GroupError::Version(version)) => {
                    return Err(JournalError::Version { file: disk.describe(segment), version });
                }
                Err(error) => return Ok(Some((offset, error.to_string()))),
            };
            if let Some(expected) = self.expected_stream.filter(|&expected| expected != group.stream()) {
                let file = disk.describe(segment);
                return Err(JournalError::Foreign { file, found: group.stream(), expected });
            }
            let next = self.found.last + 1;
            if self.begun && (group.first() != next || group.previous_checksum() != self.found.checksum) {
                return Ok(Some((
                    offset,
                    format!("a group from {} on that does not continue the one before", group.first()),
                )));
            }
            visit(&group);
            if !self.begun {
                self.begun = true;
                self.expected_stream = Some(group.stream());
                self.found.stream = Some(group.stream());
                self.found.first = group.first();
            }
            offset += group.length() as u64;
            take(&mut self.found, &group, Position { segment, offset });
        }
        Ok(None)
    }

    /// Looks behind the place where the chain broke, and says torn, damaged, or simply the end.
    fn judge(
        &mut self,
        disk: &mut dyn Disk,
        segments: &[u64],
        offset: u64,
        found: &str,
        known_last: u64,
    ) -> Result<(), JournalError> {
        let position = Position { segment: segments[0], offset };
        let next = self.next();
        let mut durable = known_last;
        let mut anything = false;
        for (index, &segment) in segments.iter().enumerate() {
            if segment != segments[0] + index as u64 {
                let missing = Position { segment: segments[0] + index as u64, offset: 0 };
                return Err(self.damage(disk, missing, durable.max(next - 1), "the file is missing".into()));
            }
            let from = if index == 0 { offset } else { 0 };
            let bytes = whole_bytes(disk, segment)?;
            for offset in (from..bytes).step_by(BLOCK_BYTES) {
                let head = self.window.view(disk, segment, offset, BLOCK_BYTES)?;
                anything |= head.iter().take(BLOCK_BYTES).any(|&byte| byte != 0);
                match self.window.group(disk, segment, offset)? {
                    Ok(group) if self.expected_stream.is_none_or(|expected| expected == group.stream()) => {
                        durable = durable.max(group.durable_before());
                    }
                    // A power cut may leave an older group behind the end. No write begins another segment's file: that is another file.
                    Err(GroupError::Misplaced) if offset == 0 => {
                        let head = self.window.view(disk, segment, offset, BLOCK_BYTES)?;
                        let found = misplaced(head);
                        let position = Position { segment, offset };
                        return Err(self.damage(disk, position, durable.max(next), found));
                    }
                    _ => {}
                }
            }
        }
        if durable >= next {
            return Err(self.damage(disk, position, durable, found.into()));
        }
        if anything {
            self.found.clean = false;
            self.found.torn =
                Some(TornTail { file: disk.describe(position.segment), position, sequence: next });
        }
        Ok(())
    }

    /// The journal ends in order: with less than what is known to be in it, it is damaged all the same.
    fn check_known(&self, disk: &mut dyn Disk, known_last: u64) -> Result<(), JournalError> {
        if known_last < self.next() {
            return Ok(());
        }
        let position = self.found.position.unwrap_or(Position { segment: 1, offset: 0 });
        Err(self.damage(disk, position, known_last, "the journal ends here".into()))
    }

    fn damage(&self, disk: &mut dyn Disk, position: Position, durable: u64, found: String) -> JournalError {
        let file = disk.describe(position.segment);
        let sequence = self.next();
        JournalError::Damage(Box::new(JournalDamage { file, position, sequence, durable, found }))
    }
}

/// What lies where another group should be.
fn misplaced(head: &[u8]) -> String {
    match Group::claimed_place(head) {
        Ok(Position { segment, offset }) => format!(
            "the group there is whole and belongs to segment {segment} at offset {offset}: files were swapped, or copied from elsewhere"
        ),
        Err(error) => error.to_string(),
    }
}

fn take(found: &mut Walk, group: &Group<'_>, end: Position) {
    if let Some(last) = group.messages().last() {
        (found.epoch, found.chain) = (last.epoch, last.chain);
    }
    found.durable = found.durable.max(group.durable_before());
    found.last = group.next() - 1;
    found.clean = group.is_clean_end();
    found.marked = found.clean;
    found.checksum = group.checksum();
    found.position = Some(end);
    match found.segments.last_mut() {
        Some((segment, last)) if *segment == end.segment => *last = found.last,
        _ => found.segments.push((end.segment, found.last)),
    }
}
