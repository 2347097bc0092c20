//! Where the store begins: with a snapshot, or with nothing.
use super::acknowledgements::Outcomes;
use super::declarations::Declarations;
use super::{StartConfig, Surroundings};
use crate::agent::Fault;
use crate::disk::Disk;
use crate::journal::Recovered;
use crate::snapshot::{OpenSnapshot, Snapshot, Survey, survey};
use crate::store::{Declared, Store, StoreCapacity};
use gds_wire::session::Session;

/// A store to go on with, and what is on the disk of the snapshots.
pub(super) struct Base {
    pub store: Store,
    /// Everything declared by the end of the log.
    pub declared: Declared,
    /// What can be used.
    pub found: Survey,
    /// Snapshots that cannot be, and why.
    pub notices: Vec<String>,
}

/// The store of the newest whole snapshot of a message that has been acknowledged, or an empty one. `outcomes`: those that are kept.
pub(super) fn base<S: Surroundings>(
    config: &StartConfig,
    session: Session,
    declarations: &Declarations,
    recovered: &Recovered,
    outcomes: Outcomes,
    around: &mut S,
) -> Result<Base, Fault> {
    let mut notices = Vec::new();
    let mut found = Survey::default();
    let mut useless = None;
    if let Some(mut disk) = around.snapshots().map_err(Fault::from)? {
        found = survey(&mut disk, session).map_err(Fault::from)?;
        if let Some((file, other)) = &found.foreign {
            return Err(Fault(format!(
                "{file} is of a snapshot of stream {other}, not of {session}: name the directories that belong together, or remove it"
            )));
        }
        let oldest = found.whole.first().map(|snapshot| snapshot.sequence);
        if oldest.is_some() || recovered.first == 1 {
            outcomes.check_beginning(config, session, recovered, oldest, around)?;
        }
        // Of messages that the log no longer has, as far as is known.
        let ahead: Vec<Snapshot> =
            found.whole.extract_if(.., |snapshot| snapshot.sequence > outcomes.last).collect();
        useless = ahead.last().map(|snapshot| snapshot.sequence);
        let segments = |snapshot: Snapshot| snapshot.first_segment..=snapshot.last_segment;
        found.strays.extend(ahead.into_iter().flat_map(segments));
        while let Some(snapshot) = found.whole.last() {
            match restore(config, session, snapshot, declarations, recovered, &mut disk, around)? {
                Ok((store, declared)) => return Ok(Base { store, declared, found, notices }),
                Err(why) => notices.push(why),
            }
            let unusable = found.whole.pop().expect("it was the last");
            found.strays.extend(unusable.first_segment..=unusable.last_segment);
        }
    } else if recovered.first == 1 {
        outcomes.check_beginning(config, session, recovered, None, around)?;
    }
    let declared = declarations.behind(Declared::default(), 0)?;
    if recovered.first > 1 {
        notices.extend(useless.map(|sequence| {
            format!(
                "the snapshot at message {sequence} is of no use: the last message that is known to have an outcome is {}",
                outcomes.last
            )
        }));
        notices.push(format!(
            "the journal begins with message {}: a stream can be replayed only from its beginning, or from a snapshot of message {} or \
             later; restore the segments before, or a snapshot",
            recovered.first,
            recovered.first - 1
        ));
        return Err(Fault(notices.join("\n")));
    }
    let memory = around.store_memory(&capacity(config, &declared))?;
    Ok(Base { store: Store::new(config.store.clone(), memory), declared, found, notices })
}

/// The store of a snapshot; in words, why there is none.
fn restore<S: Surroundings>(
    config: &StartConfig,
    session: Session,
    snapshot: &Snapshot,
    declarations: &Declarations,
    recovered: &Recovered,
    disk: &mut dyn Disk,
    around: &mut S,
) -> Result<Result<(Store, Declared), String>, Fault> {
    if snapshot.sequence + 1 < recovered.first {
        return Ok(Err(format!(
            "the snapshot at message {} cannot be used: the journal begins with message {}",
            snapshot.sequence, recovered.first
        )));
    }
    let open = match OpenSnapshot::open(disk, session, snapshot) {
        Ok(open) => open,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let declared = declarations.behind(open.declared().clone(), snapshot.sequence)?;
    let memory = around.store_memory(&capacity(config, &declared))?;
    let restored = open.restore(config.store.clone(), memory);
    Ok(restored.map(|store| (store, declared)).map_err(|error| error.to_string()))
}

/// What a store needs for all that is declared, and for what will be.
fn capacity(config: &StartConfig, declared: &Declared) -> StoreCapacity {
    let mut declared = declared.clone();
    declared.accept(&config.declaration);
    let limits = declared.largest_limits().expect("accepted just now");
    StoreCapacity::for_limits(limits, &config.store)
}
