//! A stream with nothing but a journal: a ring behind it, and the agent that writes it.
use super::{JournalName, Stream, Surroundings, hand_over, settle};
use crate::agent::{Fault, JournalAgent};
use crate::cursor::Progress;
use crate::journal::{JournalConfig, JournalWriter, Recovered, recover};
use crate::memory::ring::{Ring, RingConfig, RingIdentity};
use crate::memory::words::SharedWords;
use gds_wire::session::Session;
use std::sync::Arc;

/// A journal as the last process left it, made fit to go on with.
pub struct Kept<D> {
    name: JournalName,
    disk: D,
    recovered: Recovered,
}

impl<D> Kept<D> {
    /// What is there.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Lets a journal that has no message begin with this one.
    ///
    /// # Panics
    /// When it has some.
    pub fn begin_with(&mut self, first: u64) {
        assert!(self.recovered.stream.is_none() && first > 0, "the journal goes on where it ended");
        (self.recovered.first, self.recovered.last) = (first, first - 1);
    }
}

/// Recovers one of the journals of a node that only rewinds; `stream`: the one expected, `None` to take what is there.
///
/// # Errors
/// When it is damaged, or another stream's.
pub fn recover_kept<S: Surroundings>(
    name: JournalName,
    stream: Option<Session>,
    around: &mut S,
) -> Result<Kept<S::Disk>, Fault> {
    let mut disk = around.writer(name).map_err(Fault::from)?;
    let recovered = recover(&mut disk, stream, 0, &mut |_| {}).map_err(Fault::from)?;
    Ok(Kept { name, disk, recovered })
}

/// Sizes, and the memory for the ring.
pub struct KeptRing {
    /// The ring's.
    pub ring: RingConfig,
    /// The journal's.
    pub journal: JournalConfig,
    /// For the ring; what they hold is overwritten.
    pub words: SharedWords,
    /// The boot of the machine.
    pub boot_id: [u8; 16],
}

/// The stream behind a journal, and the journal's agent. Everything in the journal counts as committed.
///
/// # Errors
/// When the journal cannot go on.
pub fn open_kept<S: Surroundings>(
    kept: Kept<S::Disk>,
    stream: Session,
    ring: KeptRing,
    around: &mut S,
) -> Result<(Stream, JournalAgent<S::Disk>), Fault> {
    let name = kept.name;
    let (stream, mut journal) = open(kept.disk, &kept.recovered, (stream, stream), ring, around)?;
    hand_over(&mut journal, name, around)?;
    Ok((stream, journal))
}

/// The same with the disk that the start works with still in the journal's hands; with the stream id, and the name for listeners.
pub(super) fn open<S: Surroundings>(
    disk: S::Disk,
    recovered: &Recovered,
    (session, name): (Session, Session),
    ring: KeptRing,
    around: &mut S,
) -> Result<(Stream, JournalAgent<S::Disk>), Fault> {
    let KeptRing { ring, journal, words, boot_id } = ring;
    let last = recovered.last;
    let identity = RingIdentity { stream: session, boot_id, directory: [0; 16] };
    let ring = Ring::create_behind(words, ring, identity, last + 1, recovered.chain);
    let progress = Arc::new(Progress::default());
    progress.sequenced.set(last);
    progress.journalled.set(last);
    progress.durable.set(last);
    progress.committed.set(last);
    progress.published.set(last);
    let writer = JournalWriter::new(journal, session, recovered);
    let mut journal = JournalAgent::new(writer, ring.reader(last + 1), disk, progress.clone());
    settle(&mut journal, around)?;
    Ok((
        Stream { session, name, ring, progress, publish_from: last + 1, unreadable: Arc::default() },
        journal,
    ))
}
