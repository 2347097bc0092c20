//! Lets go of journal segments that nobody needs any more, of both streams.
//!
//! The agent of the snapshots says below which message a start needs none. Where rewinders stand elsewhere ([`SegmentHold`]), a segment goes
//! once every one of them keeps its messages: what a rewinder missed while it was away it then finds here. Nobody can tell one that is away from one that is
//! gone for good, so what is held for them is bounded in bytes, and not in time: only room is scarce. Above the bound, and while a journal finds no room on its disk,
//! the oldest go all the same, which is counted: taking transactions comes before keeping messages for somebody who is away.
use super::snapshot::SnapshotCounters;
use crate::bus::FarRewinders;
use crate::bus::far_rewinders::Wanted;
use crate::disk::{Disk, DiskError};
use crate::journal::{JournalReader, OldSegments};
use crate::time::{MILLISECOND_NS, SECOND_NS, Time};
use std::sync::Arc;

/// Between two looks while segments are held.
const LOOK_NS: u64 = MILLISECOND_NS;
/// So long there may be too many: time for every rewinder to answer.
const ANSWER_NS: u64 = SECOND_NS;
/// Between two segments that go because a disk is full: the journal needs a moment to find the room.
const FULL_NS: u64 = 200 * MILLISECOND_NS;

/// For whom journal segments are held, and how many.
pub struct SegmentHold {
    /// Those that must keep what goes.
    pub rewinders: FarRewinders,
    /// The length of the segments, of both journals together, that are held for them at most.
    pub bytes_max: u64,
}

/// A journal whose oldest segments may go.
struct Journal<D> {
    reader: JournalReader,
    disk: D,
    /// Those that no start needs.
    old: Option<OldSegments>,
}

impl<D: Disk> Journal<D> {
    /// Looks what there is below a message.
    fn look(&mut self, below: u64) -> Result<(), DiskError> {
        self.old = None;
        self.reader.refresh(&mut self.disk)?;
        self.old = self.reader.segments_below(below);
        Ok(())
    }
}

/// See the module.
pub(super) struct Pruner<D> {
    /// The stream's and the acknowledgements'.
    journals: [Journal<D>; 2],
    hold: Option<SegmentHold>,
    /// What the journals have below no start needs; 0: nothing is to be looked for.
    below: u64,
    is_begun: bool,
    look_at_ns: u64,
    over_since_ns: Option<u64>,
    counters: Arc<SnapshotCounters>,
}

impl<D: Disk> Pruner<D> {
    pub fn new(journals: [(JournalReader, D); 2], counters: Arc<SnapshotCounters>) -> Self {
        Self {
            journals: journals.map(|(reader, disk)| Journal { reader, disk, old: None }),
            hold: None,
            below: 0,
            is_begun: false,
            look_at_ns: 0,
            over_since_ns: None,
            counters,
        }
    }

    /// Holds segments from now on.
    pub fn hold(&mut self, hold: SegmentHold) {
        self.counters.held_bytes_max.set(hold.bytes_max);
        self.hold = Some(hold);
    }

    /// No start needs what is below this message; the message itself is kept: it is where a start goes on behind.
    pub fn may_go(&mut self, below: u64) {
        (self.below, self.is_begun, self.look_at_ns) = (below, false, 0);
    }

    /// Removes one segment, if one may go. What cannot be removed stays until the next time: the node goes on without it. False: there is nothing to do.
    /// `is_full`: a journal finds no room.
    pub fn duty(&mut self, now: Time, is_full: bool) -> bool {
        if self.below == 0 || now.monotonic_ns < self.look_at_ns {
            return false;
        }
        if !self.is_begun {
            self.begin();
        }
        self.ask(now);
        let free = (0..self.journals.len()).find(|&stream| {
            self.journals[stream].old.is_some_and(|old| self.is_kept(stream, old.first_ends_with))
        });
        if let Some(stream) = free {
            self.remove(stream, true);
            return true;
        }
        if self.held_bytes() > 0 {
            return self.go_on_holding(now, is_full);
        }
        (self.below, self.over_since_ns) = (0, None);
        self.show();
        true
    }

    fn begin(&mut self) {
        self.is_begun = true;
        if let Some(hold) = &mut self.hold {
            hold.rewinders.begin();
        }
        for journal in &mut self.journals {
            if journal.look(self.below).is_err() {
                self.counters.not_removed.increment();
            }
        }
    }

    fn ask(&mut self, now: Time) {
        let wanted = [0, 1].map(|stream: usize| {
            let old = self.journals[stream].old?;
            Some(Wanted { least: old.first_ends_with, most: old.end_with })
        });
        if let Some(hold) = &mut self.hold {
            hold.rewinders.duty(now, wanted);
        }
    }

    /// Whether everybody who must has this message.
    fn is_kept(&self, stream: usize, sequence: u64) -> bool {
        self.hold.as_ref().is_none_or(|hold| hold.rewinders.keep(stream, sequence))
    }

    fn held_bytes(&self) -> u64 {
        self.journals.iter().flat_map(|journal| journal.old).map(|old| old.bytes).sum()
    }

    /// Nothing may go. Whether something goes all the same, because too much is held.
    fn go_on_holding(&mut self, now: Time, is_full: bool) -> bool {
        self.show();
        self.look_at_ns = now.monotonic_ns + LOOK_NS;
        let bytes_max = self.hold.as_ref().map_or(0, |hold| hold.bytes_max);
        let is_over = self.held_bytes() > bytes_max;
        if !is_over && !is_full {
            self.over_since_ns = None;
            return false;
        }
        let over_since_ns = *self.over_since_ns.get_or_insert(now.monotonic_ns);
        if now.monotonic_ns - over_since_ns < ANSWER_NS {
            return false;
        }
        let ends = |stream: &usize| self.journals[*stream].old.map_or(u64::MAX, |old| old.first_ends_with);
        let oldest = (0..self.journals.len()).min_by_key(ends).expect("there are two journals");
        self.remove(oldest, false);
        self.look_at_ns = if is_over { 0 } else { now.monotonic_ns + FULL_NS };
        true
    }

    fn remove(&mut self, stream: usize, is_kept: bool) {
        let journal = &mut self.journals[stream];
        let Some(old) = journal.old.take() else { return };
        if journal.disk.remove(old.first).and_then(|()| journal.look(self.below)).is_err() {
            self.counters.not_removed.increment();
            return;
        }
        self.counters.segments_pruned.increment();
        self.counters.segments_not_fetched.add(u64::from(!is_kept));
    }

    fn show(&self) {
        let held = || self.journals.iter().flat_map(|journal| journal.old);
        self.counters.segments_held.set(held().map(|old| old.count).sum());
        self.counters.held_bytes.set(held().map(|old| old.bytes).sum());
    }
}
