//! What the journals of a node lead to: the outcomes that its acknowledgements hold, and the digests of its snapshots.
//!
//! Outcomes are a function of the stream alone. So the stream is applied once more, from its first message or from the oldest snapshot that the journal goes on
//! from, to a store in memory, and what comes of each message is compared with what the acknowledgements say of it. Where both journals have a message from
//! before that, its acknowledgement must at least be of it.
use crate::exit::Failure;
use crate::progress::Progress;
use crate::text;
use gds_core::agent::start::acknowledgement_session;
use gds_core::bus::unreadable_declaration;
use gds_core::journal::{JournalRead, JournalReader, Walk, walk};
use gds_core::snapshot::{OpenSnapshot, Snapshot, survey};
use gds_core::store::{Declared, Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_node::ports::Files;
use gds_wire::acknowledgement::Acknowledgement;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{ENVELOPE_BYTES, Kind, Message};
use gds_wire::session::Session;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A node's directory with both journals.
pub struct Pair {
    directory: PathBuf,
}

/// What was found to be right.
#[derive(Default)]
pub struct Lead {
    /// Messages that were applied again: first and last.
    replayed: Option<(u64, u64)>,
    /// Acknowledgements that were found to be of their messages.
    matched: u64,
    /// Of these, those whose outcome was computed again.
    outcomes: u64,
    /// Snapshots that are whole.
    snapshots: Vec<u64>,
    /// Of these, those whose digest the stream leads to.
    reached: Vec<u64>,
    /// What an operator should know.
    notes: Vec<String>,
}

impl Pair {
    /// The journals that this folder has, or that it is one of.
    pub fn of(folder: &Path) -> Option<Self> {
        let has_both =
            |directory: &Path| directory.join("bus").is_dir() && directory.join("acknowledgements").is_dir();
        if has_both(folder) {
            return Some(Self { directory: folder.to_owned() });
        }
        let is_one = folder.file_name().is_some_and(|name| name == "bus" || name == "acknowledgements");
        let parent = folder
            .parent()
            .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        (is_one && has_both(parent)).then(|| Self { directory: parent.to_owned() })
    }

    /// The folder of one of them.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Compares everything with what the stream leads to.
    pub fn verify(&self) -> Result<Lead, Failure> {
        let mut lead = Lead::default();
        let mut bus = Files::open_to_read(&self.folder("bus")).map_err(Failure::failed)?;
        let mut stream = Stream::read(&mut bus)?;
        let Some(session) = stream.walked.stream else {
            lead.notes.push("the stream has no message yet".into());
            return Ok(lead);
        };
        let outcomes = Outcomes::open(&self.folder("acknowledgements"), session)?;
        let mut snapshots = self.snapshots(session, &mut lead)?;
        self.check_beginning(&mut bus, &stream, &outcomes, &snapshots)?;
        let last = outcomes.walked.last;
        if last > stream.walked.last {
            lead.notes.push(format!(
                "outcomes go up to {}, and the journal of the stream to {}: the ring has the rest, or the journal lost its end",
                text::grouped(last),
                text::grouped(stream.walked.last)
            ));
        } else if last < stream.walked.last {
            lead.notes.push(format!(
                "outcomes go up to {}: the next start computes those up to {}",
                text::grouped(last),
                text::grouped(stream.walked.last)
            ));
        }
        let store = stream.base(self, session, &mut snapshots)?;
        let mut replay = Replay { store, outcomes, digests: snapshots, lead, wrong: None };
        let Walk { first: from, last: to, .. } = stream.walked;
        let mut progress = Progress::new(Some(to.saturating_sub(from) + 1), "messages applied again");
        walk(&mut bus, Some(session), 0, &mut |group| {
            for message in group.messages().take_while(|message| message.sequence <= to) {
                if replay.wrong.is_none() {
                    replay.wrong = replay.take(message.sequence, message.bytes).err();
                }
            }
            progress.set(group.next().saturating_sub(from));
        })
        .map_err(Failure::failed)?;
        progress.finish();
        match replay.wrong {
            Some(wrong) => Err(Failure::failed(wrong)),
            None => Ok(replay.lead),
        }
    }

    fn snapshot_disk(&self) -> Result<Option<Files>, Failure> {
        let folder = self.folder("snapshots");
        if !folder.is_dir() {
            return Ok(None);
        }
        Files::open_snapshots_to_read(&folder).map(Some).map_err(Failure::failed)
    }

    /// The snapshots that are whole, each with what its digest is to be.
    fn snapshots(
        &self,
        session: Session,
        lead: &mut Lead,
    ) -> Result<BTreeMap<u64, (Snapshot, u128)>, Failure> {
        let mut whole = BTreeMap::new();
        let Some(mut disk) = self.snapshot_disk()? else { return Ok(whole) };
        let found = survey(&mut disk, session).map_err(Failure::failed)?;
        if let Some((file, other)) = found.foreign {
            return Err(Failure::failed(format!(
                "{file} is of a snapshot of stream {other}, not of {session}"
            )));
        }
        for snapshot in found.whole {
            let open = OpenSnapshot::open(&mut disk, session, &snapshot).map_err(Failure::failed)?;
            let digest = open.digest();
            open.verify().map_err(Failure::failed)?;
            lead.snapshots.push(snapshot.sequence);
            whole.insert(snapshot.sequence, (snapshot, digest));
        }
        Ok(whole)
    }

    /// The first outcomes are there, or were let go of behind snapshots.
    fn check_beginning(
        &self,
        bus: &mut Files,
        stream: &Stream,
        outcomes: &Outcomes,
        snapshots: &BTreeMap<u64, (Snapshot, u128)>,
    ) -> Result<(), Failure> {
        let Walk { first, last, .. } = outcomes.walked;
        if first <= 1 || last < first {
            return Ok(());
        }
        let is_explained = snapshots.keys().next().is_some_and(|oldest| first <= *oldest);
        let mut reader = JournalReader::new(stream.walked.stream.expect("it has messages"));
        reader.refresh(bus).map_err(Failure::failed)?;
        if is_explained && (stream.walked.first > 1 || reader.segments_below(first).is_none()) {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{}: outcomes 1 to {} are missing, and were not let go of behind a snapshot (the stream is there from message {} on): restore the segments before this journal's \
             first, or move the folder away: where the stream is there from message 1 on, the next start computes all outcomes again",
            self.folder("acknowledgements").display(),
            first - 1,
            stream.walked.first
        )))
    }
}

/// What the journal of the stream says of itself.
struct Stream {
    walked: Walk,
    declared: Declared,
    block_bytes_max: usize,
}

impl Stream {
    fn read(bus: &mut Files) -> Result<Self, Failure> {
        let mut declared = Declared::default();
        let (mut longest, mut epoch, mut wrong) = (0, 0, None);
        let walked = walk(bus, None, 0, &mut |group| {
            for message in group.messages() {
                longest = longest.max(message.bytes.len());
                if message.epoch < epoch && wrong.is_none() {
                    let (sequence, of) = (message.sequence, message.epoch);
                    wrong = Some(format!("message {sequence} is of epoch {of}, and the one before of epoch {epoch}: epochs never run back"));
                }
                epoch = epoch.max(message.epoch);
                if let Some(declaration) = Message::parse_kind(message.bytes, Kind::Declare)
                    .and_then(|message| Declaration::parse(message.body).ok())
                {
                    declared.accept(&declaration);
                }
            }
        })
        .map_err(Failure::failed)?;
        let block_bytes_max =
            StoreConfig::default().block_bytes_max.max(longest.saturating_sub(ENVELOPE_BYTES));
        wrong.map_or(Ok(Self { walked, declared, block_bytes_max }), |wrong| Err(Failure::failed(wrong)))
    }

    /// The store that the first message kept is applied to.
    fn base(
        &mut self,
        pair: &Pair,
        session: Session,
        snapshots: &mut BTreeMap<u64, (Snapshot, u128)>,
    ) -> Result<Store, Failure> {
        let config = StoreConfig { block_bytes_max: self.block_bytes_max };
        if self.walked.first == 1 {
            let memory = self.memory(&self.declared, &config)?;
            return Ok(Store::new(config, memory));
        }
        let within = self.walked.first - 1..=self.walked.last;
        let Some((sequence, (snapshot, _))) = snapshots.range(within).next().map(|(at, of)| (*at, *of))
        else {
            return Err(Failure::failed(format!(
                "{}: the journal begins with message {}, and no snapshot of message {} or later is there: nothing leads to what the stream comes to",
                pair.folder("bus").display(),
                self.walked.first,
                self.walked.first - 1
            )));
        };
        let mut disk = pair.snapshot_disk()?.expect("a snapshot was found there");
        let open = OpenSnapshot::open(&mut disk, session, &snapshot).map_err(Failure::failed)?;
        let mut declared = open.declared().clone();
        if let Some(declaration) = self.declared.declaration() {
            declared.accept(declaration);
        }
        let memory = self.memory(&declared, &config)?;
        snapshots.remove(&sequence);
        open.restore(config, memory).map_err(Failure::failed)
    }

    /// Memory for all that is declared, where this machine has it.
    fn memory(&self, declared: &Declared, config: &StoreConfig) -> Result<StoreMemory, Failure> {
        let limits = declared.largest_limits().ok_or_else(|| {
            Failure::failed("the stream declares nothing that this release can read: a newer release wrote it, or its beginning is missing; use the one that wrote it")
        })?;
        let capacity = StoreCapacity::for_limits(limits, config);
        if available_bytes().is_some_and(|available| capacity.bytes() as u64 > available) {
            return Err(Failure::failed(format!(
                "to apply the stream takes {capacity}, as it declares, and this machine has not so much: verify it where a node with this stream runs, or check its bytes \
                 alone (--bytes)"
            )));
        }
        Ok(StoreMemory::heap(&capacity))
    }
}

/// What the machine has left, where it says so.
fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// The acknowledgements.
struct Outcomes {
    disk: Files,
    reader: JournalReader,
    walked: Walk,
}

impl Outcomes {
    fn open(folder: &Path, stream: Session) -> Result<Self, Failure> {
        let mut disk = Files::open_to_read(folder).map_err(Failure::failed)?;
        let session = acknowledgement_session(stream);
        let walked = walk(&mut disk, Some(session), 0, &mut |_| {}).map_err(Failure::failed)?;
        Ok(Self { disk, reader: JournalReader::new(session), walked })
    }

    /// The acknowledgement of a message, where there is one.
    fn of(&mut self, sequence: u64) -> Result<Option<Acknowledgement>, String> {
        if !(self.walked.first..=self.walked.last).contains(&sequence) {
            return Ok(None);
        }
        let mut bytes = [0; gds_core::journal::MESSAGE_BYTES_MAX];
        match self.reader.read(sequence, &mut self.disk, &mut bytes).map_err(|error| error.to_string())? {
            JournalRead::Message { length, .. } => match Acknowledgement::parse(&bytes[..length]) {
                Ok(acknowledgement) => Ok(Some(*acknowledgement)),
                Err(error) => Err(format!("what is kept as outcome {sequence} is none: {error}")),
            },
            JournalRead::Absent | JournalRead::TooSmall { .. } => {
                Err(format!("outcome {sequence} is not there, though those around it are"))
            }
        }
    }
}

/// The stream, applied once more.
struct Replay {
    store: Store,
    outcomes: Outcomes,
    /// The snapshots that are still to come by.
    digests: BTreeMap<u64, (Snapshot, u128)>,
    lead: Lead,
    wrong: Option<String>,
}

impl Replay {
    fn take(&mut self, sequence: u64, bytes: &[u8]) -> Result<(), String> {
        let message = Message::parse(bytes).map_err(|error| {
            format!("message {sequence} cannot be read ({error}): a newer release wrote it, or nobody did")
        })?;
        if let Some(why) = unreadable_declaration(&message) {
            return Err(format!(
                "message {sequence} cannot be read ({why}): a newer release wrote it; verify with that one"
            ));
        }
        let kept = self.outcomes.of(sequence)?;
        if let Some(kept) = &kept {
            check_owner(sequence, &message, kept)?;
            self.lead.matched += 1;
        }
        if sequence <= self.store.applied() {
            return Ok(());
        }
        if let Some(Err(why)) = self.store.declaration_in(bytes) {
            return Err(format!("message {sequence} cannot be applied: {why}"));
        }
        let computed = self.store.apply(sequence, bytes);
        let first = self.lead.replayed.map_or(sequence, |(first, _)| first);
        self.lead.replayed = Some((first, sequence));
        if let Some(kept) = kept {
            if kept.outcome() != computed.outcome() {
                return Err(format!(
                    "outcome {sequence} is {:?} in the acknowledgements, and the stream leads to {:?}: one of the two journals is not what it was, or belongs to another \
                     node's past",
                    kept.outcome(),
                    computed.outcome()
                ));
            }
            self.lead.outcomes += 1;
        }
        let Some((_, expected)) = self.digests.remove(&sequence) else { return Ok(()) };
        let digest = self.store.digest();
        if digest != expected {
            return Err(format!(
                "the snapshot at message {sequence} has digest {expected:032x}, and the stream leads to {digest:032x}: the snapshot is of another past; remove it"
            ));
        }
        self.lead.reached.push(sequence);
        Ok(())
    }
}

/// Whether an acknowledgement is of this message.
fn check_owner(sequence: u64, message: &Message<'_>, kept: &Acknowledgement) -> Result<(), String> {
    let ours = (message.envelope.session, message.envelope.client_sequence(), message.checksum());
    let theirs = (kept.session, kept.client_sequence(), kept.checksum());
    if ours == theirs {
        return Ok(());
    }
    let shown = |(session, number, checksum): (Session, u64, u32)| {
        format!("{number} of session {session} with CRC {checksum:08x}")
    };
    Err(format!(
        "outcome {sequence} is of another message: it says {}, and message {sequence} is {}: the two journals do not belong together",
        shown(theirs),
        shown(ours)
    ))
}

impl Lead {
    /// For people.
    pub fn tell(&self) {
        let number = text::grouped;
        for note in &self.notes {
            println!("{note}");
        }
        if let Some((first, last)) = self.replayed {
            println!("applied again: messages {} to {}", number(first), number(last));
        }
        println!(
            "{} outcomes belong to their messages, and {} of them are what the stream leads to",
            number(self.matched),
            number(self.outcomes)
        );
        for snapshot in &self.snapshots {
            let how =
                if self.reached.contains(snapshot) { "whole, and what the stream leads to" } else { "whole" };
            println!("the snapshot at message {} is {how}", number(*snapshot));
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "replayed_first": self.replayed.map(|(first, _)| first), "replayed_last": self.replayed.map(|(_, last)| last),
            "outcomes_matched": self.matched, "outcomes_computed": self.outcomes, "snapshots": self.snapshots,
            "snapshots_reached": self.reached, "notes": self.notes,
        })
    }
}
