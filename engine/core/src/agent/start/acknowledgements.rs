//! The acknowledgements: their journal, and a ring behind it.
use super::kept::{self, KeptRing};
use super::{JournalName, StartConfig, Stream, Surroundings, acknowledgement_session};
use crate::agent::{Fault, JournalAgent};
use crate::disk::Disk;
use crate::journal::{JournalReader, Recovered, cut, recover};
use crate::label::Label;
use crate::memory::words::SharedWords;
use gds_wire::session::Session;

/// The acknowledgements' journal, recovered.
pub(super) struct Acknowledged<D> {
    disk: D,
    session: Session,
    pub(super) recovered: Recovered,
}

impl<D> Acknowledged<D> {
    /// The last message that is known to have been committed: only such a one has an outcome.
    pub(super) fn last(&self) -> u64 {
        self.recovered.last
    }

    /// Which outcomes are there.
    pub(super) fn kept(&self) -> Outcomes {
        Outcomes { first: self.recovered.first, last: self.recovered.last }
    }
}

/// The outcomes that the acknowledgements' journal has; none where the last is before the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcomes {
    first: u64,
    /// The last message that is known to have been committed.
    pub(super) last: u64,
}

impl Outcomes {
    /// Checks that the journal begins where one can: with the first outcome, or where it was let go of behind snapshots, of which `oldest` is the oldest that is
    /// there. Old segments go journal by journal, and those of the stream first.
    pub(super) fn check_beginning<S: Surroundings>(
        self,
        config: &StartConfig,
        session: Session,
        bus: &Recovered,
        oldest: Option<u64>,
        around: &mut S,
    ) -> Result<(), Fault> {
        if self.first <= 1 || self.last < self.first {
            return Ok(());
        }
        let mut disk = around.disk(JournalName::Bus).map_err(Fault::from)?;
        let mut reader = JournalReader::new(session);
        reader.refresh(&mut disk).map_err(Fault::from)?;
        let went_first = reader.segments_below(self.first).is_some() && !config.outcomes_may_go_first;
        if oldest.is_some_and(|oldest| self.first <= oldest) && !went_first {
            return Ok(());
        }
        let mut disk = around.disk(JournalName::Acknowledgements).map_err(Fault::from)?;
        let file =
            disk.segments().ok().and_then(|segments| segments.first().map(|first| disk.describe(*first)));
        let way = match bus.first {
            1 => {
                "or move the folder away and start again: the journal of the stream has everything from message 1 on, so all outcomes are computed again, and are the same"
            }
            _ => {
                "or in a cluster let this node begin with an empty directory: it learns the stream from the others"
            }
        };
        Err(Fault(format!(
            "the acknowledgements' journal begins with outcome {} (in {}), and outcomes 1 to {} were not let go of behind a snapshot: segments before it are missing. Nothing \
             was changed. Restore them from a copy, {way}",
            self.first,
            file.unwrap_or_default(),
            self.first - 1
        )))
    }

    /// That some are computed again though both journals had been closed in order.
    pub(super) fn recomputed(self, bus: &Recovered) -> Option<String> {
        (bus.clean && self.last < bus.last).then(|| {
            format!(
                "the acknowledgements' journal ends with outcome {}, and the stream was closed in order at message {}: the outcomes between are computed again",
                self.last, bus.last
            )
        })
    }
}

/// Recovers the journal of the acknowledgements of `stream`; without those above `lost_after`, of messages that this node has lost.
pub(super) fn recover_acknowledgements<S: Surroundings>(
    stream: Session,
    lost_after: Option<u64>,
    around: &mut S,
) -> Result<Acknowledged<S::Disk>, Fault> {
    let session = acknowledgement_session(stream);
    let mut disk = around.writer(JournalName::Acknowledgements).map_err(Fault::from)?;
    if let Some(after) = lost_after {
        cut(&mut disk, Some(session), 0, after).map_err(Fault::from)?;
    }
    let recovered = recover(&mut disk, Some(session), 0, &mut |_| {}).map_err(Fault::from)?;
    Ok(Acknowledged { disk, session, recovered })
}

/// The stream of the acknowledgements and the agent of its journal.
pub(super) fn open_acknowledgements<S: Surroundings>(
    config: &StartConfig,
    label: &Label,
    acknowledged: Acknowledged<S::Disk>,
    words: SharedWords,
    around: &mut S,
) -> Result<(Stream, JournalAgent<S::Disk>), Fault> {
    let Acknowledged { disk, session, recovered } = acknowledged;
    let ring = KeptRing {
        ring: config.acknowledgement_ring,
        journal: config.acknowledgement_journal,
        words,
        boot_id: config.boot_id,
    };
    let name = acknowledgement_session(label.sessions.current(label.stream));
    kept::open(disk, &recovered, (session, name), ring, around)
}
