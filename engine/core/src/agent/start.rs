//! From what disks and ring hold to a node whose agents can run.
//!
//! 1. The ring file is opened, if there is one that outlived the last process, and the journal is recovered.
//! 2. What the ring has beyond the journal is merged: the ring simply stays, and the journal goes on behind its own end. A ring that has messages
//!    and not one segment of a journal beside it is never merged: somebody took the journal away.
//! 3. The store of the newest snapshot that is whole, or an empty one, applies what follows of the stream; outcomes that the
//!    acknowledgements' journal does not have are written.
//! 4. The sequencer goes on with the session table that this left. A new stream begins with its declaration; a restarted
//!    one declares again where the configuration says something new, or where the journal had been closed in order (so
//!    that it no longer counts as closed before anything is acknowledged).
//!
//! # What the configuration may not say
//!
//! Under which durability the journal was written stands in the directory's [label](crate::label), and so what may be missing is judged by that, whatever the configuration says
//! now. A lone node that may have lost something does not start, nor one whose directory was a member's of a cluster, until a person says what is to count.
//!
//! # A member of a cluster
//!
//! With [`StartConfig::cluster`] the log's end is not the node's own to judge, and the steps differ:
//!
//! - Before anything else the log is cut back, if that is asked for ([`ClusterStart::cut_after`]).
//! - That messages may have been lost (the ring is gone and the journal was not closed in order, or the journal is gone) is no fault: others have them. It
//!   begins a life that is whole only since now (R14), which is durable before the evidence is touched; what was acknowledged above the
//!   journal's end is cut off the acknowledgements. Damage stays a fault.
//! - Committed is what is known to be: the last message that has an outcome. The store applies the stream up to there. What
//!   follows is a tail that only the sequencer's session table takes in, and whose epochs are handed on ([`MemberStart::epochs`]).
//! - Nothing is declared; whether something should be is handed on as well.
//!
//! A learner that has taken another node's snapshot is nothing special here: its journals begin with the snapshot's message, as do those
//! of a node that has let everything before its own snapshot go.
mod acknowledgements;
mod declarations;
mod guard;
mod kept;
mod member;
mod old_ring;
mod restored;

#[cfg(test)]
mod tests;

pub use kept::{Kept, KeptRing, open_kept, recover_kept};
pub use member::{ClusterStart, MemberStart};

use super::{Agent, Fault, JournalAgent, StoreAgent};
use crate::bus::sequencer::{Sequencer, SequencerConfig, SequencerError};
use crate::bus::stream_reader::StreamReader;
use crate::cursor::Progress;
use crate::disk::{Disk, DiskError};
use crate::journal::{JournalConfig, JournalReader, JournalWriter, Recovered, TornTail, Unreadable, recover};
use crate::label::{Label, SessionNames};
use crate::memory::ring::{Ring, RingConfig};
use crate::memory::words::SharedWords;
use crate::replication::Life;
use crate::snapshot::Survey;
use crate::store::{Store, StoreCapacity, StoreConfig, StoreMemory};
use crate::time::Time;
use acknowledgements::{open_acknowledgements, recover_acknowledgements};
use declarations::{Declarations, says_something_new};
use gds_wire::declaration::Declaration;
use gds_wire::session::Session;
use guard::{FORCED, Guard};
use member::{begin_life, cut_back, loss_of_life, read_tail};
use old_ring::{OldRing, name_of};
use restored::{Base, base};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a start needs to know.
#[derive(Clone)]
pub struct StartConfig {
    /// The stream that must be there; `None`: whichever is.
    pub stream: Option<Session>,
    /// The name of the stream if there is none yet.
    pub new_stream: Session,
    /// The session names that the register knows; `None`: those on the directory's label count.
    pub sessions: Option<SessionNames>,
    /// The boot of the machine; a ring of another boot is not what it was.
    pub boot_id: [u8; 16],
    /// The id of the node's directory; a ring of another one is not its own.
    pub directory: [u8; 16],
    /// Size of the bus ring, if it is made anew.
    pub ring: RingConfig,
    /// Size of the acknowledgement ring.
    pub acknowledgement_ring: RingConfig,
    /// The bus journal; its durability is the stream's.
    pub journal: JournalConfig,
    /// The acknowledgements' journal.
    pub acknowledgement_journal: JournalConfig,
    /// Limits, tables and schemas.
    pub declaration: Declaration,
    /// Ingress and numbering.
    pub sequencer: SequencerConfig,
    /// The store's local settings.
    pub store: StoreConfig,
    /// Each journal's old segments are held for rewinders elsewhere on their own, so those of the outcomes may have been let go of before those of their
    /// messages.
    pub outcomes_may_go_first: bool,
    /// The node is a member of a cluster, and `stream` is given; `None`: it is alone.
    pub cluster: Option<ClusterStart>,
}

/// Memory for the rings.
pub struct StartMemory {
    /// For the bus ring. With durability `memory`, words that outlive the process.
    pub ring: SharedWords,
    /// These words were there before this process.
    pub ring_existed: bool,
    /// Something acknowledged may be in the ring of the last process alone. Not so where that process had lost its ring file and had
    /// everything in its journal from then on: whatever lies there now counts for nothing.
    pub ring_needed: bool,
    /// Where they lie, as a person would look for them.
    pub ring_name: String,
    /// For the acknowledgement ring.
    pub acknowledgement_ring: SharedWords,
}

/// The two journals of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalName {
    /// Of the bus.
    Bus,
    /// Of the acknowledgements.
    Acknowledgements,
}

/// What a start takes from its surroundings.
pub trait Surroundings {
    /// The node's disk.
    type Disk: Disk;

    /// A handle to a journal's disk that reads alone, beside the writer.
    fn disk(&mut self, journal: JournalName) -> Result<Self::Disk, DiskError>;

    /// A handle that writes. Asked for several times: one is used by the journal's agent after the start, maybe in another thread, the
    /// others by the start alone. They are never used at the same time.
    fn writer(&mut self, journal: JournalName) -> Result<Self::Disk, DiskError>;

    /// A handle to the disk of the snapshots that reads; `None`: this node has none.
    fn snapshots(&mut self) -> Result<Option<Self::Disk>, DiskError> {
        Ok(None)
    }

    /// Memory for a new bus ring, where what was given for it has not the words that a ring of the configured size needs. What was there before is
    /// of no use any more.
    fn ring_words(&mut self) -> Result<SharedWords, Fault> {
        Err(Fault("the ring's memory is too small for the configured ring: remove it".into()))
    }

    /// Memory for a store of this size. Asked for again where a snapshot turns out to be of no use; what was given before is free then.
    fn store_memory(&mut self, capacity: &StoreCapacity) -> Result<StoreMemory, Fault>;

    /// The label of the directory; `None`: it has none.
    fn label(&mut self) -> Result<Option<Label>, Fault>;

    /// Puts this label on the directory: from the return on it would survive a power cut.
    fn keep_label(&mut self, label: &Label) -> Result<(), Fault>;

    /// The last life of this node that was kept; `None`: there was none. Only members of a cluster have lives.
    fn life(&mut self) -> Result<Option<Life>, Fault>;

    /// Keeps the life that begins, beside the journals: from the return on it would survive a power cut.
    fn keep_life(&mut self, life: Life) -> Result<(), Fault>;

    /// The time now; called again and again while the start waits.
    fn now(&mut self) -> Time;

    /// So many of so many messages have been replayed. On a break the start is a fault, and the journals are closed in order first.
    fn replayed(&mut self, applied: u64, of: u64) -> ControlFlow<()>;
}

/// What a start found, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartReport {
    /// Messages in the journal.
    pub journalled: u64,
    /// Messages that only the ring had.
    pub merged: u64,
    /// Torn tails that were cut back.
    pub torn: Vec<TornTail>,
    /// The stream is new.
    pub new: bool,
    /// The session names of the stream.
    pub sessions: SessionNames,
    /// Why a member may have lost messages that it had.
    pub lost: Option<String>,
    /// The message of the snapshot that the store went on from; 0: it applied the whole stream.
    pub snapshot: u64,
    /// Snapshots that could not be used, and why.
    pub notices: Vec<String>,
    /// How long reading and checking the journals, and a snapshot, took.
    pub read_ns: u64,
    /// How long applying the stream took.
    pub replay_ns: u64,
}

/// One stream of the node: its ring, how far it has come, and its name.
#[derive(Clone)]
pub struct Stream {
    /// The stream id: what ring, files and other nodes call it.
    pub session: Session,
    /// The MoldUDP64 session under which listeners know it.
    pub name: Session,
    /// The recent end.
    pub ring: Arc<Ring>,
    /// How far everybody has come.
    pub progress: Arc<Progress>,
    /// Where its publisher begins: what may not have been sent before a crash is sent again.
    pub publish_from: u64,
    /// What of its journal those who read it for others could not read.
    pub unreadable: Arc<Unreadable>,
}

impl Stream {
    /// A reader whose next message is `next_sequence`, from the ring or the journal.
    pub fn reader(&self, next_sequence: u64) -> StreamReader {
        StreamReader::new(self.ring.reader(next_sequence), Some(JournalReader::new(self.session)))
            .telling(self.unreadable.clone())
    }
}

/// A node ready to run: give each agent a core, and make publishers, rewinder and query server from the two streams.
pub struct Started<D> {
    /// The bus.
    pub bus: Stream,
    /// The acknowledgements.
    pub acknowledgements: Stream,
    /// Orders client messages.
    pub sequencer: Sequencer,
    /// Writes the bus journal.
    pub journal: JournalAgent<D>,
    /// Writes the acknowledgements' journal.
    pub acknowledgement_journal: JournalAgent<D>,
    /// Applies the stream.
    pub store: StoreAgent<D>,
    /// What was found.
    pub report: StartReport,
    /// The snapshots there are, for the agent that takes them.
    pub snapshots: Survey,
    /// What only a member of a cluster has.
    pub member: Option<MemberStart>,
}

/// The session of the acknowledgements of a stream: the stream's name with `A` for its first character (`B` if that is `A`).
pub fn acknowledgement_session(stream: Session) -> Session {
    let mut name = stream.0;
    name[0] = if name[0] == b'A' { b'B' } else { b'A' };
    Session(name)
}

/// Starts a node. See the module for the steps.
///
/// # Panics
/// When a member of a cluster is not told its stream.
pub fn start<S: Surroundings>(
    config: &StartConfig,
    memory: StartMemory,
    around: &mut S,
) -> Result<Started<S::Disk>, Fault> {
    let began_ns = around.now().monotonic_ns;
    let guard = Guard::of(config, around)?;
    let old_ring = OldRing::open(&memory, guard.needs_ring(), config)?;
    let StartMemory { ring: ring_words, ring_name, acknowledgement_ring, .. } = memory;
    let mut declarations = Declarations::default();
    let Log { old_ring, has_journal, disk, recovered, session } =
        find_log(config, (old_ring, &ring_name), &mut declarations, around)?;
    let lost = guard.loss(config, session, (&old_ring, has_journal), &recovered)?;
    let life = config.cluster.map(|cluster| begin_life(&cluster, lost.is_none(), around)).transpose()?;
    let acknowledged = recover_acknowledgements(session, lost.as_ref().map(|_| recovered.last), around)?;
    let outcomes = acknowledged.kept();
    let torn = recovered.torn.iter().chain(&acknowledged.recovered.torn).cloned().collect();

    let ring = old_ring.into_ring(ring_words, config, session, &recovered, around)?;
    let label = guard.label(config, session);
    let bus = bus_of(config, &label, ring, &recovered, acknowledged.last())?;
    let mut journal = open_journal(config, &bus, &recovered, (disk, guard.is_left_behind(config)), around)?;
    guard.keep(&label, around)?;
    let (acknowledgements, mut acknowledgement_journal) =
        open_acknowledgements(config, &label, acknowledged, acknowledgement_ring, around)?;
    let mut history = around.disk(JournalName::Bus).map_err(Fault::from)?;
    declarations.of_ring(&bus, recovered.last + 1, &mut history)?;
    let Base { store, declared, found, mut notices } =
        base(config, session, &declarations, &recovered, outcomes, around)?;
    notices.extend(outcomes.recomputed(&recovered));
    let snapshot = store.applied();
    let declaration_due = says_something_new(&config.declaration, &declared);
    let read_ns = around.now().monotonic_ns - began_ns;

    let mut store = open_store(store, history, &bus, &acknowledgements);
    let began_ns = around.now().monotonic_ns;
    let committed = bus.progress.committed.get();
    if replay(&mut store, &mut acknowledgement_journal, committed, around)?.is_break() {
        journal.close(around.now())?;
        acknowledgement_journal.close(around.now())?;
        return Err(Fault("the start was told to stop".into()));
    }
    let replay_ns = around.now().monotonic_ns - began_ns;
    let tail = read_tail(&bus, &store, &mut around.disk(JournalName::Bus).map_err(Fault::from)?)?;

    let ended = tail.table.stream_ended();
    let last_epoch = tail.epochs.last_epoch();
    // Epochs never run back, also where a lone node goes on with a member's journal.
    let epoch = life.map_or(config.sequencer.epoch.max(last_epoch), |_| last_epoch);
    let mut sequencer = Sequencer::resume(
        SequencerConfig { epoch, ..config.sequencer.clone() },
        tail.table,
        bus.ring.writer(),
        bus.progress.clone(),
        tail.timestamp_ns,
    )
    .heeding(acknowledgements.progress.clone());
    if recovered.marked {
        sequencer = sequencer.committing_once_journalled(recovered.last + 1);
    }
    if life.is_some() {
        sequencer = sequencer.following();
    } else if !ended && (declaration_due || recovered.marked) {
        declare(config, &mut sequencer, &mut journal, &bus, around)?;
    }
    hand_over(&mut journal, JournalName::Bus, around)?;
    hand_over(&mut acknowledgement_journal, JournalName::Acknowledgements, around)?;

    let last = bus.ring.last();
    let report = StartReport {
        journalled: recovered.last,
        merged: last - recovered.last,
        torn,
        new: last == 0,
        sessions: label.sessions,
        lost: life.and_then(|life| loss_of_life(life, lost)),
        snapshot,
        notices,
        read_ns,
        replay_ns,
    };
    let declaration_due = declaration_due && !ended;
    let member =
        life.map(|life| MemberStart { life, epochs: tail.epochs, chain: tail.chain, declaration_due });
    Ok(Started {
        bus,
        acknowledgements,
        sequencer,
        journal,
        acknowledgement_journal,
        store,
        report,
        snapshots: found,
        member,
    })
}

/// The log as the last process left it, made fit to go on with.
struct Log<D> {
    old_ring: OldRing,
    /// There was a segment of the journal.
    has_journal: bool,
    /// The journal's.
    disk: D,
    recovered: Recovered,
    /// The stream's name.
    session: Session,
}

fn find_log<S: Surroundings>(
    config: &StartConfig,
    (mut old_ring, ring_name): (OldRing, &str),
    declarations: &mut Declarations,
    around: &mut S,
) -> Result<Log<S::Disk>, Fault> {
    let mut disk = around.writer(JournalName::Bus).map_err(Fault::from)?;
    // Segment 0 is none of the journal's own; behind one that was made ahead the first may be gone.
    let first = disk.segments().map_err(Fault::from)?.into_iter().find(|segment| *segment > 0);
    let has_journal = first.is_some();
    if let Some(cluster) = &config.cluster {
        assert!(config.stream.is_some(), "a member of a cluster is told its stream");
        if let Some(after) = cluster.cut_after {
            old_ring = cut_back(config, old_ring, after, &mut disk, around)?;
        }
    }
    let old_ring = if has_journal { old_ring } else { old_ring.without_journal(config, ring_name)? };
    let known_last = old_ring.known_last();
    let recovered = recover(&mut disk, config.stream, known_last, &mut |group| declarations.of_group(group))
        .map_err(Fault::from)?;
    let session = name_of(config, &recovered, &old_ring)?;
    let has_journal = recovered.stream.is_some() || first == Some(1);
    let old_ring = if has_journal { old_ring } else { old_ring.without_journal(config, ring_name)? };
    Ok(Log { old_ring, has_journal, disk, recovered, session })
}

/// The bus over `ring`. `acknowledged`: the last message that has an outcome.
fn bus_of(
    config: &StartConfig,
    label: &Label,
    ring: Arc<Ring>,
    recovered: &Recovered,
    acknowledged: u64,
) -> Result<Stream, Fault> {
    let last = ring.last();
    if acknowledged > last {
        return Err(Fault(format!(
            "message {acknowledged} was acknowledged and the stream ends with {last}: its journal lost something. Restore it; or, to go on without, \
             {FORCED}"
        )));
    }
    let committed = if config.cluster.is_some() { acknowledged } else { last };
    let published = recovered.last.min(committed);
    let progress = Arc::new(Progress::default());
    progress.sequenced.set(last);
    progress.journalled.set(recovered.last);
    progress.durable.set(recovered.last);
    progress.committed.set(committed);
    progress.published.set(published);
    let (session, name) = (label.stream, label.sessions.current(label.stream));
    Ok(Stream { session, name, ring, progress, publish_from: published + 1, unreadable: Arc::default() })
}

/// The agent of the bus journal. With what the ring has beyond the journal in it, where the ring is not what the next start looks for.
fn open_journal<S: Surroundings>(
    config: &StartConfig,
    bus: &Stream,
    recovered: &Recovered,
    (disk, leaves_ring): (S::Disk, bool),
    around: &mut S,
) -> Result<JournalAgent<S::Disk>, Fault> {
    let writer = JournalWriter::new(config.journal, bus.session, recovered);
    let source = bus.ring.reader(recovered.last + 1);
    let mut journal = JournalAgent::new(writer, source, disk, bus.progress.clone());
    settle(&mut journal, around)?;
    if recovered.marked || leaves_ring {
        journal_ring(&mut journal, bus, around)?;
    }
    Ok(journal)
}

/// A journal's first duty cycles, before there is a sequencer, which looks at what is reserved: until its segments are there.
fn settle<S: Surroundings>(journal: &mut JournalAgent<S::Disk>, around: &mut S) -> Result<(), Fault> {
    loop {
        journal.duty(around.now())?;
        if journal.is_quiet() {
            return Ok(());
        }
    }
}

/// What the ring has beyond a journal goes to it, as durable as the configuration says, before anybody sees it. Where the journal was closed in order, or its label will say
/// that it has everything, the next start would believe without the ring that there was nothing more.
fn journal_ring<S: Surroundings>(
    journal: &mut JournalAgent<S::Disk>,
    bus: &Stream,
    around: &mut S,
) -> Result<(), Fault> {
    let Stream { ring, progress, .. } = bus;
    while progress.durable.get() < ring.last() {
        if progress.full.get() > 0 {
            return Err(Fault(format!(
                "messages {} to {} are only in the ring, and the journal's disk has no room for them: free some and start again",
                progress.durable.get() + 1,
                ring.last()
            )));
        }
        journal.duty(around.now())?;
    }
    Ok(())
}

/// The agent of a store that has applied the beginning of the stream.
fn open_store<D: Disk>(store: Store, disk: D, bus: &Stream, acknowledgements: &Stream) -> StoreAgent<D> {
    let source = bus.reader(store.applied() + 1);
    StoreAgent::new(
        store,
        source,
        disk,
        acknowledgements.ring.writer(),
        bus.progress.clone(),
        acknowledgements.progress.clone(),
    )
}

fn replay<S: Surroundings>(
    store: &mut StoreAgent<S::Disk>,
    acknowledgement_journal: &mut JournalAgent<S::Disk>,
    last: u64,
    around: &mut S,
) -> Result<ControlFlow<()>, Fault> {
    while store.store().applied() < last {
        let now = around.now();
        store.duty(now)?;
        acknowledgement_journal.duty(now)?;
        if around.replayed(store.store().applied(), last).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn declare<S: Surroundings>(
    config: &StartConfig,
    sequencer: &mut Sequencer,
    journal: &mut JournalAgent<S::Disk>,
    bus: &Stream,
    around: &mut S,
) -> Result<(), Fault> {
    let new = bus.ring.last() == 0;
    let number = match sequencer.declare(around.now(), &config.declaration) {
        Ok(number) => number,
        // Nothing is committed before the journal has gone beyond its orderly end; the next start tries again.
        Err(SequencerError::NotNow(_)) if !new => return Ok(()),
        Err(error) => return Err(Fault(format!("the stream cannot begin: {error}"))),
    };
    while bus.progress.durable.get() < number {
        sequencer.finish_batch();
        journal.duty(around.now())?;
    }
    sequencer.finish_batch();
    Ok(())
}

/// Finishes what a journal has on its way and gives it the disk handle it keeps.
fn hand_over<S: Surroundings>(
    journal: &mut JournalAgent<S::Disk>,
    name: JournalName,
    around: &mut S,
) -> Result<(), Fault> {
    while !journal.is_quiet() {
        journal.duty(around.now())?;
    }
    journal.exchange_disk(around.writer(name).map_err(Fault::from)?);
    Ok(())
}
