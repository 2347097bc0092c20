//! The acknowledgements: their journal, and a ring behind it.
use super::kept::{self, KeptRing};
use super::{JournalName, StartConfig, Stream, Surroundings, acknowledgement_session};
use crate::agent::{Fault, JournalAgent};
use crate::journal::{Recovered, cut, recover};
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
