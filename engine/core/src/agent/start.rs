//! From what disks and ring hold to a node whose agents can run.
//!
//! 1. The ring file is opened, if there is one that outlived the last process, and the journal is recovered.
//! 2. What the ring has beyond the journal is merged: the ring simply stays, and the journal goes on behind its own end.
//! 3. The store applies the whole stream; outcomes that the acknowledgements' journal does not have are written.
//! 4. The sequencer goes on with the session table that this left. A new stream begins with its declaration; a restarted
//!    one declares again where the configuration says something new, or where the journal had been closed in order (so
//!    that it no longer counts as closed before anything is acknowledged).
use super::{Agent, Fault, JournalAgent, StoreAgent};
use crate::bus::sequencer::{Sequencer, SequencerConfig, SequencerError};
use crate::bus::stream_reader::{StreamRead, StreamReader};
use crate::cursor::Progress;
use crate::disk::{Disk, DiskError};
use crate::journal::{
    Durability, Group, JournalConfig, JournalReader, JournalWriter, MESSAGE_BYTES_MAX, Recovered, TornTail,
    recover,
};
use crate::memory::ring::{Ring, RingConfig, RingError, RingIdentity, RingReader};
use crate::memory::words::SharedWords;
use crate::mutation::{Mutation, active};
use crate::store::{Declared, Store, StoreCapacity, StoreConfig, StoreMemory};
use crate::time::Time;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message};
use gds_wire::session::Session;
use std::sync::Arc;

/// What a start needs to know.
#[derive(Clone)]
pub struct StartConfig {
    /// The stream that must be there; `None`: whichever is.
    pub stream: Option<Session>,
    /// The name of the stream if there is none yet.
    pub new_stream: Session,
    /// The boot of the machine; a ring of another boot is not what it was.
    pub boot_id: [u8; 16],
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
}

/// Memory for the rings.
pub struct StartMemory {
    /// For the bus ring. With durability `memory`, words that outlive the process.
    pub ring: SharedWords,
    /// These words were there before this process.
    pub ring_existed: bool,
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

    /// A handle that writes. Asked for twice: one is used by the start alone, the other by the journal's agent afterwards, maybe in
    /// another thread. They are never used at the same time.
    fn writer(&mut self, journal: JournalName) -> Result<Self::Disk, DiskError>;

    /// Memory for a store of this size.
    fn store_memory(&mut self, capacity: &StoreCapacity) -> Result<StoreMemory, Fault>;

    /// The time now; called again and again while the start waits.
    fn now(&mut self) -> Time;

    /// So many of so many messages have been replayed.
    fn replayed(&mut self, applied: u64, of: u64);
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
    /// How long reading and checking the journals took.
    pub read_ns: u64,
    /// How long applying the stream took.
    pub replay_ns: u64,
}

/// One stream of the node: its ring, how far it has come, and its name.
#[derive(Clone)]
pub struct Stream {
    /// The MoldUDP64 session.
    pub session: Session,
    /// The recent end.
    pub ring: Arc<Ring>,
    /// How far everybody has come.
    pub progress: Arc<Progress>,
    /// Where its publisher begins: what may not have been sent before a crash is sent again.
    pub publish_from: u64,
}

impl Stream {
    /// A reader whose next message is `next_sequence`, from the ring or the journal.
    pub fn reader(&self, next_sequence: u64) -> StreamReader {
        StreamReader::new(self.ring.reader(next_sequence), Some(JournalReader::new(self.session)))
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
}

/// The session of the acknowledgements of a stream: the stream's name with `A` for its first character (`B` if that is `A`).
pub fn acknowledgement_session(stream: Session) -> Session {
    let mut name = stream.0;
    name[0] = if name[0] == b'A' { b'B' } else { b'A' };
    Session(name)
}

/// Starts a node. See the module for the steps.
pub fn start<S: Surroundings>(
    config: &StartConfig,
    memory: StartMemory,
    around: &mut S,
) -> Result<Started<S::Disk>, Fault> {
    let StartMemory { ring: ring_words, ring_existed, acknowledgement_ring } = memory;
    let durability = config.journal.durability;
    let old_ring = if ring_existed { open_ring(ring_words.clone(), config)? } else { OldRing::None };

    let began_ns = around.now().monotonic_ns;
    let mut disk = around.writer(JournalName::Bus).map_err(Fault::from)?;
    let known_last = old_ring.whole().map_or(0, |ring| ring.first() - 1);
    let mut declarations = Declarations::default();
    let recovered = recover(&mut disk, config.stream, known_last, &mut |group| declarations.of_group(group))
        .map_err(Fault::from)?;
    let session = name_of(config, &recovered, &old_ring)?;
    let ring = match old_ring {
        OldRing::Whole(ring) if !active(Mutation::RingForgotten) => {
            check_merge(&ring, &recovered)?;
            ring
        }
        OldRing::Lost(why) if !recovered.clean && recovered.last > 0 => return Err(lost(&why, &recovered)),
        OldRing::None if durability == Durability::Memory && !recovered.clean && recovered.last > 0 => {
            return Err(lost("the ring file is gone", &recovered));
        }
        _ => {
            let identity = RingIdentity { stream: session, boot_id: config.boot_id };
            Ring::create(ring_words, config.ring, identity, recovered.last + 1)
        }
    };
    let last = ring.last();
    let progress = Arc::new(Progress::default());
    progress.sequenced.set(last);
    progress.journalled.set(recovered.last);
    progress.durable.set(recovered.last);
    progress.committed.set(last);
    progress.published.set(recovered.last);
    let bus = Stream { session, ring, progress, publish_from: recovered.last + 1 };

    let mut journal_writer = JournalWriter::new(config.journal, session, &recovered);
    let mut source = bus.ring.reader(recovered.last + 1);
    settle(&mut journal_writer, &mut source, &mut disk, &bus.progress, around)?;
    if recovered.clean {
        leave_clean_end(&mut journal_writer, &mut source, &mut disk, &bus, around)?;
    }

    let (acknowledgements, mut acknowledgement_journal, acknowledgements_torn) =
        open_acknowledgements(config, &bus, acknowledgement_ring, around)?;
    let mut history = around.disk(JournalName::Bus).map_err(Fault::from)?;
    declarations.of_ring(&bus, recovered.last + 1, &mut history)?;
    let declared = declarations.all(&recovered)?;
    let read_ns = around.now().monotonic_ns - began_ns;
    let mut store = open_store(config, declared, history, &bus, &acknowledgements, around)?;
    let began_ns = around.now().monotonic_ns;
    replay(&mut store, &mut acknowledgement_journal, last, around)?;
    let replay_ns = around.now().monotonic_ns - began_ns;

    let mut journal = JournalAgent::new(journal_writer, source, disk, bus.progress.clone());
    let table = store.store().sessions().clone();
    let mut sequencer = Sequencer::resume(
        config.sequencer.clone(),
        table,
        bus.ring.writer(),
        bus.progress.clone(),
        store.last_timestamp_ns(),
    )
    .heeding(acknowledgements.progress.clone());
    if recovered.clean {
        sequencer = sequencer.committing_once_journalled(recovered.last + 1);
    }
    declare(config, &recovered, &mut sequencer, &mut journal, &store, &bus, around)?;
    hand_over(&mut journal, JournalName::Bus, around)?;
    hand_over(&mut acknowledgement_journal, JournalName::Acknowledgements, around)?;

    let report = StartReport {
        journalled: recovered.last,
        merged: last - recovered.last,
        torn: recovered.torn.into_iter().chain(acknowledgements_torn).collect(),
        new: last == 0,
        read_ns,
        replay_ns,
    };
    Ok(Started { bus, acknowledgements, sequencer, journal, acknowledgement_journal, store, report })
}

enum OldRing {
    None,
    /// There was one, and it says nothing any more.
    Lost(String),
    Whole(Arc<Ring>),
}

impl OldRing {
    fn whole(&self) -> Option<&Ring> {
        match self {
            Self::Whole(ring) => Some(ring),
            Self::None | Self::Lost(_) => None,
        }
    }
}

fn open_ring(words: SharedWords, config: &StartConfig) -> Result<OldRing, Fault> {
    match Ring::open(words) {
        Ok(ring) if ring.identity().boot_id == config.boot_id => Ok(OldRing::Whole(ring)),
        Ok(_) => Ok(OldRing::Lost("the machine has been started anew since the ring was written".into())),
        Err(RingError::NotARing) => Ok(OldRing::None),
        Err(error @ RingError::Version { .. }) => Err(Fault::from(error)),
        Err(error) => Ok(OldRing::Lost(error.to_string())),
    }
}

fn name_of(config: &StartConfig, recovered: &Recovered, ring: &OldRing) -> Result<Session, Fault> {
    let in_ring = ring.whole().map(|ring| ring.identity().stream);
    let found = recovered.stream.or(in_ring);
    if let (Some(journal), Some(ring)) = (recovered.stream, in_ring)
        && journal != ring
    {
        return Err(Fault(format!(
            "the journal belongs to stream {journal}, the ring file to {ring}: name the directories that belong together"
        )));
    }
    match (found, config.stream) {
        (Some(found), Some(wanted)) if found != wanted => Err(Fault(format!(
            "the ring file belongs to stream {found}, not to {wanted}: name the right stream or directory"
        ))),
        (Some(found), _) => Ok(found),
        (None, wanted) => Ok(wanted.unwrap_or(config.new_stream)),
    }
}

fn lost(why: &str, recovered: &Recovered) -> Fault {
    Fault(format!(
        "{why}, and the journal was not closed in order: messages above {} may have been acknowledged and are lost. The stream stays \
         stopped, so that no number is given twice. Keep the journal for the record, and start a new stream in another \
         directory (durability \"fsync\" survives this)",
        recovered.last
    ))
}

fn check_merge(ring: &Ring, recovered: &Recovered) -> Result<(), Fault> {
    let (first, last) = (ring.first(), ring.last());
    if first > recovered.last + 1 {
        return Err(Fault(format!(
            "the journal ends with {} and the ring begins with {first}: what lies between is missing; restore the journal",
            recovered.last
        )));
    }
    if last < recovered.last {
        return Err(Fault(format!(
            "the ring ends with {last}, before the journal does ({}): it is not this journal's ring",
            recovered.last
        )));
    }
    Ok(())
}

type Acknowledgements<D> = (Stream, JournalAgent<D>, Option<TornTail>);

fn open_acknowledgements<S: Surroundings>(
    config: &StartConfig,
    bus: &Stream,
    words: SharedWords,
    around: &mut S,
) -> Result<Acknowledgements<S::Disk>, Fault> {
    let session = acknowledgement_session(bus.session);
    let mut disk = around.writer(JournalName::Acknowledgements).map_err(Fault::from)?;
    let recovered = recover(&mut disk, Some(session), 0, &mut |_| {}).map_err(Fault::from)?;
    let (last, committed) = (recovered.last, bus.progress.committed.get());
    if last > committed {
        return Err(Fault(format!(
            "message {last} was acknowledged and the stream ends with {committed}: its journal lost something; restore it"
        )));
    }
    let identity = RingIdentity { stream: session, boot_id: config.boot_id };
    let ring = Ring::create(words, config.acknowledgement_ring, identity, last + 1);
    let progress = Arc::new(Progress::default());
    progress.sequenced.set(last);
    progress.journalled.set(last);
    progress.durable.set(last);
    progress.committed.set(last);
    progress.published.set(last);
    let mut writer = JournalWriter::new(config.acknowledgement_journal, session, &recovered);
    let mut source = ring.reader(last + 1);
    settle(&mut writer, &mut source, &mut disk, &progress, around)?;
    let journal = JournalAgent::new(writer, source, disk, progress.clone());
    Ok((Stream { session, ring, progress, publish_from: last + 1 }, journal, recovered.torn))
}

/// A journal's first duty cycles, before there is a sequencer, which looks at what is reserved: until its segments are there.
fn settle<S: Surroundings>(
    writer: &mut JournalWriter,
    source: &mut RingReader,
    disk: &mut S::Disk,
    progress: &Progress,
    around: &mut S,
) -> Result<(), Fault> {
    loop {
        writer.duty(around.now(), source, u64::MAX, disk, progress).map_err(Fault::from)?;
        if writer.is_quiet() {
            return Ok(());
        }
    }
}

/// What the ring has beyond a journal that was closed in order goes to the journal before anybody sees it: without the ring, the next
/// start would believe that there was nothing more.
fn leave_clean_end<S: Surroundings>(
    writer: &mut JournalWriter,
    source: &mut RingReader,
    disk: &mut S::Disk,
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
        writer.duty(around.now(), source, u64::MAX, disk, progress).map_err(Fault::from)?;
    }
    Ok(())
}

fn open_store<S: Surroundings>(
    config: &StartConfig,
    mut declared: Declared,
    disk: S::Disk,
    bus: &Stream,
    acknowledgements: &Stream,
    around: &mut S,
) -> Result<StoreAgent<S::Disk>, Fault> {
    declared.accept(&config.declaration);
    let limits = declared.largest_limits().expect("accepted just now");
    let capacity = StoreCapacity::for_limits(limits, &config.store);
    let store = Store::new(config.store.clone(), around.store_memory(&capacity)?);
    Ok(StoreAgent::new(
        store,
        bus.reader(1),
        disk,
        acknowledgements.ring.writer(),
        bus.progress.clone(),
        acknowledgements.progress.clone(),
    ))
}

/// Everything that the stream declares. Memory is sized by the largest of it, so it must be known before anything is applied; it is
/// gathered while the journal is checked, so that this costs no reading of its own.
#[derive(Default)]
struct Declarations {
    declared: Declared,
    /// The first message that was none.
    fault: Option<Fault>,
}

impl Declarations {
    fn of_group(&mut self, group: &Group<'_>) {
        for message in group.messages() {
            self.of_message(message.bytes);
        }
    }

    /// Of what only the ring has.
    fn of_ring(&mut self, bus: &Stream, from: u64, disk: &mut dyn Disk) -> Result<(), Fault> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let (mut reader, last) = (bus.reader(from), bus.progress.committed.get());
        while reader.next_sequence() <= last {
            let sequence = reader.next_sequence();
            match reader.read(last, disk, &mut bytes).map_err(Fault::from)? {
                StreamRead::Message { length, .. } => self.of_message(&bytes[..length]),
                _ => {
                    return Err(Fault(format!("message {sequence} is not in the ring: restore the journal")));
                }
            }
        }
        Ok(())
    }

    fn of_message(&mut self, message: &[u8]) {
        if let Err(fault) = self.accept(message) {
            self.fault.get_or_insert(fault);
        }
    }

    fn accept(&mut self, message: &[u8]) -> Result<(), Fault> {
        let message = Message::parse(message).map_err(Fault::from)?;
        if message.envelope.kind() == Kind::Declare {
            self.declared.accept(&Declaration::parse(message.body).map_err(Fault::from)?);
        }
        Ok(())
    }

    /// All of them, if the stream is there from its first message on.
    fn all(self, recovered: &Recovered) -> Result<Declared, Fault> {
        if recovered.first > 1 {
            return Err(Fault(format!(
                "the journal begins with message {}: a stream can be replayed only from its beginning; restore the segments before",
                recovered.first
            )));
        }
        self.fault.map_or(Ok(self.declared), Err)
    }
}

fn replay<S: Surroundings>(
    store: &mut StoreAgent<S::Disk>,
    acknowledgement_journal: &mut JournalAgent<S::Disk>,
    last: u64,
    around: &mut S,
) -> Result<(), Fault> {
    while store.store().applied() < last {
        let now = around.now();
        store.duty(now)?;
        acknowledgement_journal.duty(now)?;
        around.replayed(store.store().applied(), last);
    }
    Ok(())
}

fn declare<S: Surroundings>(
    config: &StartConfig,
    recovered: &Recovered,
    sequencer: &mut Sequencer,
    journal: &mut JournalAgent<S::Disk>,
    store: &StoreAgent<S::Disk>,
    bus: &Stream,
    around: &mut S,
) -> Result<(), Fault> {
    let new = store.store().applied() == 0;
    let declared = store.store().declared();
    let changed = declared.declaration() != Some(&declared.with(&config.declaration));
    if sequencer.table().stream_ended() || !(new || changed || recovered.clean) {
        return Ok(());
    }
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
