//! The acknowledgements: their journal, and a ring behind it.
use super::{JournalName, StartConfig, Stream, Surroundings, acknowledgement_session, settle};
use crate::agent::{Fault, JournalAgent};
use crate::cursor::Progress;
use crate::journal::{JournalWriter, Recovered, cut, recover};
use crate::memory::ring::{Ring, RingIdentity};
use crate::memory::words::SharedWords;
use gds_wire::session::Session;
use std::sync::Arc;

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
    acknowledged: Acknowledged<S::Disk>,
    words: SharedWords,
    around: &mut S,
) -> Result<(Stream, JournalAgent<S::Disk>), Fault> {
    let Acknowledged { disk, session, recovered } = acknowledged;
    let last = recovered.last;
    let identity = RingIdentity { stream: session, boot_id: config.boot_id };
    let ring = Ring::create(words, config.acknowledgement_ring, identity, last + 1);
    let progress = Arc::new(Progress::default());
    progress.sequenced.set(last);
    progress.journalled.set(last);
    progress.durable.set(last);
    progress.committed.set(last);
    progress.published.set(last);
    let writer = JournalWriter::new(config.acknowledgement_journal, session, &recovered);
    let mut journal = JournalAgent::new(writer, ring.reader(last + 1), disk, progress.clone());
    settle(&mut journal, around)?;
    Ok((Stream { session, ring, progress, publish_from: last + 1 }, journal))
}
