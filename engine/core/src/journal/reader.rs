//! Reading messages back by number.
use std::fmt;

use gds_wire::session::Session;

use super::group::{Entry, GROUP_HEADER_BYTES, Group, GroupError, MESSAGE_HEADER_BYTES, split_message};
use super::segment::{Window, segments, whole_bytes};
use super::walk::{JournalDamage, JournalError, Position};
use crate::disk::{BLOCK_BYTES, Disk, DiskError};

/// How many places inside segments a reader remembers.
const INDEX_ENTRIES: usize = 1024;
/// How far apart these places are, in bytes.
const INDEX_STRIDE_BYTES: u64 = 1 << 20;

/// What [`JournalReader::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalRead {
    /// The message was copied.
    Message {
        /// Its length in bytes.
        length: usize,
        /// The epoch it was first numbered under.
        epoch: u32,
        /// The running checksum of all messages up to it.
        chain: u64,
    },
    /// Below the first message kept, or not whole in the journal (yet).
    Absent,
    /// The message does not fit; nothing was copied.
    TooSmall {
        /// Its length in bytes.
        length: usize,
    },
}

/// The oldest segments of a journal: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldSegments {
    /// Number of the first of them.
    pub first: u64,
    /// The last message in it.
    pub first_ends_with: u64,
    /// The last message in the last of them.
    pub end_with: u64,
    /// How many they are.
    pub count: u64,
    /// Their length together.
    pub bytes: u64,
}

#[derive(Clone, Copy)]
struct Segment {
    number: u64,
    first: u64,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct IndexEntry {
    first: u64,
    place: Position,
}

/// The group the reader stands in. Its bytes are in the window.
#[derive(Clone, Copy)]
struct Standing {
    place: Position,
    length: u64,
    first: u64,
    next_group: u64,
    /// The message `offset` points at.
    sequence: u64,
    offset: usize,
}

/// Reads messages of one journal, each by its number; cheap when the numbers go up one by one. It may read beside a writer:
/// a message counts once its group is whole, and the caller asks only for what the journal's cursor has passed. Holds 64 KiB, or as much as
/// the longest group it has met, at most 1 MiB.
///
/// No content is handed out whose checksum was not right, nor under another number than its own.
pub struct JournalReader {
    stream: Session,
    window: Window,
    segments: Vec<Segment>,
    index: Vec<IndexEntry>,
    index_oldest: usize,
    standing: Option<Standing>,
    /// The number that follows the last group entered, and where its group begins.
    following: Option<(u64, Position)>,
    /// Where the last look for a message ended without it, and what was there instead.
    broken: Option<(Position, Missing)>,
    /// There is an older segment than the first one known, and it does not say how it begins.
    lacks_beginning: bool,
}

/// How a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// With this message.
    Begins(u64),
    /// It is not begun.
    Blank,
    /// With something else than a group of this journal.
    Damaged,
}

/// What is where a group should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// Something else.
    Group(GroupError),
    /// A group of another stream.
    Foreign(Session),
    /// A group of other messages: of the first of these at most.
    Other(u64),
    /// There is no such segment, or it does not say with which message it begins.
    Segment,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(error) => error.fmt(f),
            Self::Foreign(stream) => write!(f, "the group is of stream {stream}"),
            Self::Other(first) => write!(f, "the group begins with message {first}"),
            Self::Segment => {
                f.write_str("the file is missing, or does not begin with a group of this journal")
            }
        }
    }
}

impl JournalReader {
    /// A reader for the journal of `stream`.
    pub fn new(stream: Session) -> Self {
        Self {
            stream,
            window: Window::new(),
            segments: Vec::new(),
            index: Vec::with_capacity(INDEX_ENTRIES),
            index_oldest: 0,
            standing: None,
            following: None,
            broken: None,
            lacks_beginning: false,
        }
    }

    /// Number of the first message kept; `None` while nothing was found. As of the last [`refresh`](Self::refresh) or read.
    pub fn first_kept(&self) -> Option<u64> {
        self.segments.first().map(|segment| segment.first)
    }

    /// Whether a message that the journal once had should be in it still: it is not older than all that is kept. As of the last refresh or read.
    pub fn should_have(&self, sequence: u64) -> bool {
        self.lacks_beginning || self.first_kept().is_some_and(|first| sequence >= first)
    }

    /// Number of the first message of the first segment behind this one; `None`: there is none. As of the last refresh or read.
    pub fn first_behind(&self, segment: u64) -> Option<u64> {
        self.segments.iter().find(|known| known.number > segment).map(|known| known.first)
    }

    /// The oldest segments, as many as hold only messages below `sequence` and have another behind them; `None`: there is none such. As of the
    /// last refresh or read.
    pub fn segments_below(&self, sequence: u64) -> Option<OldSegments> {
        // A segment ends where the next one begins.
        let begin_below = self.segments.partition_point(|segment| segment.first <= sequence);
        let count = begin_below.checked_sub(1).filter(|count| *count > 0)?;
        Some(OldSegments {
            first: self.segments[0].number,
            first_ends_with: self.segments[1].first - 1,
            end_with: self.segments[count].first - 1,
            count: count as u64,
            bytes: self.segments[..count].iter().map(|segment| segment.bytes).sum(),
        })
    }

    /// Looks which segments there are. Reads do so themselves when they need to.
    pub fn refresh(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let numbers = segments(disk)?;
        if let Some(&oldest) = numbers.first() {
            self.segments.retain(|segment| segment.number >= oldest);
        }
        let known = self.segments.last().map_or(0, |segment| segment.number);
        let oldest = numbers.first().copied();
        // Those that do not say how they begin: not begun yet, or damaged and left out.
        let mut silent = Vec::new();
        for number in numbers.into_iter().filter(|&number| number > known) {
            let Head::Begins(first) = self.head_of(number, disk)? else {
                silent.push(number);
                continue;
            };
            for number in silent.drain(..) {
                // A writer that was at work may have begun it meanwhile.
                if let Head::Begins(first) = self.head_of(number, disk)? {
                    self.add(number, first, disk)?;
                }
            }
            self.add(number, first, disk)?;
        }
        self.lacks_beginning = match (oldest, self.segments.first()) {
            (Some(oldest), Some(first)) => oldest < first.number,
            (Some(oldest), None) => self.head_of(oldest, disk)? == Head::Damaged,
            (None, _) => false,
        };
        Ok(())
    }

    /// How a segment says that it begins, unchecked.
    fn head_of(&self, number: u64, disk: &mut dyn Disk) -> Result<Head, DiskError> {
        // The window is wanted for the group the reader stands in, so only one block is read here.
        let mut head = [0; BLOCK_BYTES];
        let read = match disk.read(number, 0, &mut head) {
            Ok(read) => read,
            // The oldest may be removed at any time.
            Err(_) if !segments(disk)?.contains(&number) => return Ok(Head::Blank),
            Err(error) => return Err(error),
        };
        Ok(match Group::claimed_first(&head[..read], self.stream, number) {
            Some(first) if first > 0 => Head::Begins(first),
            None if head.iter().all(|&byte| byte == 0) => Head::Blank,
            _ => Head::Damaged,
        })
    }

    /// One more segment, which says that it begins with this message. Where it does not go on behind the last one, one of the two is damaged.
    fn add(&mut self, number: u64, first: u64, disk: &mut dyn Disk) -> Result<(), DiskError> {
        while let Some(last) = self.segments.last().filter(|last| last.first > first) {
            if Window::new().group(disk, last.number, 0)?.is_ok() {
                return Ok(());
            }
            self.segments.pop();
        }
        self.segments.push(Segment { number, first, bytes: whole_bytes(disk, number)? });
        Ok(())
    }

    /// Number of the last whole message; 0 when there is none. Reads the last segment alone.
    pub fn last(&mut self, disk: &mut dyn Disk) -> Result<u64, DiskError> {
        self.refresh(disk)?;
        let Some(&Segment { number, first, bytes }) = self.segments.last() else { return Ok(0) };
        let mut place = Position { segment: number, offset: 0 };
        let mut last = first - 1;
        while place.offset < bytes && self.enter(place, disk)? {
            let standing = self.standing.expect("entered");
            last = standing.next_group - 1;
            place.offset += standing.length;
        }
        Ok(last)
    }

    /// Copies message `sequence` into `into`.
    pub fn read(
        &mut self,
        sequence: u64,
        disk: &mut dyn Disk,
        into: &mut [u8],
    ) -> Result<JournalRead, JournalError> {
        match self.stand_at(sequence, disk) {
            Ok(true) => {}
            Ok(false) => return Ok(JournalRead::Absent),
            Err(error) => return self.absent_or(sequence, disk, error),
        }
        let standing = self.standing.as_mut().expect("it stands at the message");
        let place = standing.place;
        let bytes = self.window.view(disk, place.segment, place.offset, standing.length as usize)?;
        let Entry { epoch, chain, bytes: message } =
            split_message(&bytes[standing.offset..]).expect("the group was checked");
        let length = message.len();
        let Some(into) = into.get_mut(..length) else { return Ok(JournalRead::TooSmall { length }) };
        into.copy_from_slice(message);
        standing.sequence += 1;
        standing.offset += MESSAGE_HEADER_BYTES + length;
        Ok(JournalRead::Message { length, epoch, chain })
    }

    /// What could not be read is absent if it has been removed, as the oldest segments may be at any time.
    fn absent_or(
        &mut self,
        sequence: u64,
        disk: &mut dyn Disk,
        error: JournalError,
    ) -> Result<JournalRead, JournalError> {
        (self.standing, self.following) = (None, None);
        self.window.forget();
        self.refresh(disk)?;
        if self.should_have(sequence) { Err(error) } else { Ok(JournalRead::Absent) }
    }

    /// The error for a message that the journal must have (the journal's cursor has passed it) and a read called absent.
    pub fn damage(&self, sequence: u64, disk: &dyn Disk) -> JournalError {
        let beginning = || {
            let segment = self.segment_of(sequence).map_or(1, |index| self.segments[index].number);
            (Position { segment, offset: 0 }, Missing::Segment)
        };
        let (position, found) = self.broken.unwrap_or_else(beginning);
        JournalError::Damage(Box::new(JournalDamage {
            file: disk.describe(position.segment),
            position,
            sequence,
            durable: sequence,
            found: found.to_string(),
        }))
    }

    /// Makes `standing` point at the message. False when it is not there.
    fn stand_at(&mut self, sequence: u64, disk: &mut dyn Disk) -> Result<bool, JournalError> {
        self.broken = None;
        if let Some(standing) = self.standing
            && (standing.first..standing.next_group).contains(&sequence)
        {
            return self.skip_to(sequence, disk);
        }
        let Some(mut place) = self.start_for(sequence, disk)? else { return Ok(false) };
        loop {
            if !self.enter(place, disk)? {
                return Ok(false);
            }
            let standing = self.standing.expect("entered");
            if sequence < standing.first {
                self.broken = Some((place, Missing::Other(standing.first)));
                return Ok(false);
            }
            if sequence < standing.next_group {
                return self.skip_to(sequence, disk);
            }
            place.offset += standing.length;
            if !self.next_segment_if_full(&mut place, disk)? {
                return Ok(false);
            }
        }
    }

    /// Where to begin to look for the message.
    fn start_for(&mut self, sequence: u64, disk: &mut dyn Disk) -> Result<Option<Position>, DiskError> {
        if let Some((next, mut place)) = self.following
            && next == sequence
        {
            return Ok(self.next_segment_if_full(&mut place, disk)?.then_some(place));
        }
        if self.segments.last().is_none_or(|last| sequence >= last.first) {
            self.refresh(disk)?;
        }
        let Some(index) = self.segment_of(sequence) else { return Ok(None) };
        let segment = self.segments[index].number;
        let beginning = IndexEntry { first: 0, place: Position { segment, offset: 0 } };
        let nearest = self
            .index
            .iter()
            .filter(|entry| entry.place.segment == segment && entry.first <= sequence)
            .max_by_key(|entry| entry.first);
        Ok(Some(nearest.unwrap_or(&beginning).place))
    }

    fn segment_of(&self, sequence: u64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.first <= sequence).checked_sub(1)
    }

    /// At the end of a segment, goes on to the beginning of the next. False when that is not there.
    fn next_segment_if_full(&mut self, place: &mut Position, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let bytes_of = |segments: &[Segment], number| {
            let found = segments.binary_search_by_key(&number, |segment: &Segment| segment.number);
            found.ok().map(|index| segments[index].bytes)
        };
        if bytes_of(&self.segments, place.segment).is_some_and(|bytes| place.offset < bytes) {
            return Ok(true);
        }
        *place = Position { segment: place.segment + 1, offset: 0 };
        if bytes_of(&self.segments, place.segment).is_none() {
            self.refresh(disk)?;
        }
        let is_there = bytes_of(&self.segments, place.segment).is_some();
        if !is_there {
            self.broken = Some((*place, Missing::Segment));
        }
        Ok(is_there)
    }

    /// Stands at the first message of the group at `place`. False when there is no whole group.
    fn enter(&mut self, place: Position, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        self.standing = None;
        if !matches!(self.window.group(disk, place.segment, place.offset)?, Ok(group) if group.stream() == self.stream)
        {
            // Perhaps written since the window was filled.
            self.window.forget();
        }
        let missing = match self.window.group(disk, place.segment, place.offset)? {
            Ok(group) if group.stream() == self.stream => None,
            Ok(group) => Some(Missing::Foreign(group.stream())),
            Err(error) => Some(Missing::Group(error)),
        };
        if let Some(missing) = missing {
            self.window.forget();
            self.broken = Some((place, missing));
            return Ok(false);
        }
        let Ok(group) = self.window.group(disk, place.segment, place.offset)? else { return Ok(false) };
        let (length, first, next_group) = (group.length() as u64, group.first(), group.next());
        self.standing =
            Some(Standing { place, length, first, next_group, sequence: first, offset: GROUP_HEADER_BYTES });
        self.following = Some((next_group, Position { offset: place.offset + length, ..place }));
        self.remember(first, place, length);
        Ok(true)
    }

    /// Remembers the first group of each stride.
    fn remember(&mut self, first: u64, place: Position, length: u64) {
        let stride = place.offset / INDEX_STRIDE_BYTES;
        let crosses = (place.offset + length) / INDEX_STRIDE_BYTES > stride;
        if !crosses || self.index.iter().any(|entry| entry.place == place) {
            return;
        }
        let entry = IndexEntry { first, place };
        if self.index.len() < INDEX_ENTRIES {
            self.index.push(entry);
        } else {
            self.index[self.index_oldest] = entry;
            self.index_oldest = (self.index_oldest + 1) % INDEX_ENTRIES;
        }
    }

    /// Within the group the reader stands in, goes to the message.
    fn skip_to(&mut self, sequence: u64, disk: &mut dyn Disk) -> Result<bool, JournalError> {
        let standing = self.standing.as_mut().expect("it stands in the group");
        if sequence < standing.sequence {
            standing.sequence = standing.first;
            standing.offset = GROUP_HEADER_BYTES;
        }
        if sequence == standing.sequence {
            return Ok(true);
        }
        let place = standing.place;
        let bytes = self.window.view(disk, place.segment, place.offset, standing.length as usize)?;
        while standing.sequence < sequence {
            let entry = split_message(&bytes[standing.offset..]).expect("the group was checked");
            standing.offset += MESSAGE_HEADER_BYTES + entry.bytes.len();
            standing.sequence += 1;
        }
        Ok(true)
    }
}
