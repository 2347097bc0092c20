//! Looking ahead: memory that will be wanted soon is touched together, so that one wait serves for all.
//!
//! A record's place in the index depends on its key alone, and where the record lies only on the index. So whoever knows some
//! keys in advance touches their buckets, then the records that these lead to, and only then goes on with one after the other.
//! What is touched decides nothing: a record that is elsewhere meanwhile is found all the same, only slower.
use super::shared::Shared;
use crate::memory::index::Candidates;
use arrayvec::ArrayVec;

/// Places that are foreseen together, at most.
pub(super) const PLACES_MAX: usize = 256;

/// Places in the index that will be looked at soon.
pub(super) type Places = ArrayVec<Candidates, PLACES_MAX>;

/// Places of the records that some messages will look up.
pub(super) struct Foreseen {
    pub places: Places,
    /// The tables' layout for which they are right.
    pub layout: u64,
}

/// Touches these places. Whoever has something else to do meanwhile does it before [`touch_records`], which waits for them.
pub(super) fn touch_places(shared: &Shared, places: &[Candidates]) {
    shared.index.prefetch(places);
}

/// Touches the records that these places lead to, with their values if those are wanted.
pub(super) fn touch_records(shared: &Shared, places: &[Candidates], values: bool) {
    let log = shared.log.view();
    let mut positions = ArrayVec::<u64, PLACES_MAX>::new();
    shared.index.guess(places, |address| {
        // What finds no room will just be waited for.
        let _ = positions.try_push(log.position(address));
    });
    log.prefetch(&positions);
    if values {
        log.prefetch_values(&positions);
    }
}
