//! What people and accidents do to what a machine keeps: copies of it, and losses.
use super::{Machine, SimulatedDisk};
use crate::death::SharedDeath;
use crate::disk::{Files, SharedPlatter};
use crate::plan::pick;
use gds_core::agent::start::acknowledgement_session;
use gds_core::journal::{Durability, cut, walk};
use gds_core::label::{Label, SessionNames};
use gds_core::memory::HeapWords;
use gds_core::memory::ring::{Read, Ring};
use gds_core::memory::words::SharedWords;
use gds_core::replication::Life;
use gds_wire::session::Session;
use std::sync::atomic::Ordering::Relaxed;

/// Everything that a machine keeps of its node, or a copy of it.
#[derive(Clone, Default)]
pub struct Storage {
    /// The bus journal, the acknowledgements' and the snapshots.
    disks: [Files; 3],
    life: Option<Life>,
    ring: Option<Vec<u64>>,
    boot_id: [u8; 16],
    label: Option<Label>,
}

/// A part that is copied at one moment.
#[derive(Clone, Copy)]
enum Piece {
    /// The beginning, or the end, of a segment of one of the disks.
    Segment {
        disk: usize,
        number: u64,
        is_end: bool,
    },
    Life,
    Label,
    Ring,
}

/// A copy that somebody makes while the node runs: each part of it at another moment.
pub struct Copying {
    copy: Storage,
    left: Vec<Piece>,
}

/// What is put back of a copy beside the disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// The life that the copy has, or the one that is there.
    pub life: bool,
    /// The ring that the copy has.
    pub ring: RingPutBack,
}

/// What becomes of the ring when a copy is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPutBack {
    /// There is none.
    Nothing,
    /// That of the copy.
    Copied,
    /// The one that is there.
    Kept,
}

/// What a node that is down has of its stream: what `gds force-lead` looks at.
#[derive(Clone, Debug)]
pub struct Remains {
    /// The stream.
    pub stream: Session,
    /// The last entry, in the journal or in the ring.
    pub last: u64,
    /// Its epoch.
    pub epoch: u32,
    /// The session names that it knows.
    pub sessions: SessionNames,
    /// Whether everything is there that the node ever called durable.
    pub is_whole: bool,
    /// The last life.
    pub life: Option<Life>,
}

/// A loss, and what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Loss {
    Ring,
    RingZeroed,
    RingShrunk,
    /// Each of two nodes has the other's.
    RingSwapped,
    /// Of the bus, or of the acknowledgements.
    FirstSegment(bool),
    MiddleSegment(bool),
    LastSegment(bool),
    SwappedSegments(bool),
    /// The file that says which life it lives.
    Life,
    /// Journals and snapshots, but for the ring, which lies elsewhere.
    Journals,
    /// The power goes, and with it the ring and what was not synced.
    Power,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ring,
        Self::RingZeroed,
        Self::FirstSegment(true),
        Self::MiddleSegment(true),
        Self::MiddleSegment(false),
        Self::LastSegment(true),
        Self::LastSegment(false),
        Self::SwappedSegments(true),
        Self::SwappedSegments(false),
        Self::Life,
        Self::Power,
    ];

    /// What it is counted as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "history.rings lost",
            Self::RingZeroed => "history.rings zeroed",
            Self::RingShrunk => "history.rings shrunk",
            Self::RingSwapped => "history.rings swapped",
            Self::Life => "history.lives lost",
            Self::FirstSegment(_) | Self::MiddleSegment(_) | Self::LastSegment(_) => "history.segments lost",
            Self::SwappedSegments(_) => "history.segments swapped",
            Self::Journals => "history.journals lost",
            Self::Power => "history.power lost",
        }
    }
}

impl Machine {
    fn disks(&self) -> [&SharedPlatter; 3] {
        [&self.bus, &self.acknowledgements, &self.snapshots]
    }

    /// Everything it keeps while no process runs.
    pub fn keep(&self) -> Storage {
        Storage {
            disks: self.disks().map(|disk| disk.borrow().files()),
            life: self.life.get(),
            ring: self.ring.as_ref().map(words_of),
            boot_id: self.config.boot_id,
            label: self.label.borrow().clone(),
        }
    }

    /// What was kept is there again, all of it.
    pub fn put_back(&mut self, storage: Storage) {
        self.config.boot_id = storage.boot_id;
        self.restore(storage, PutBack { life: true, ring: RingPutBack::Copied });
    }

    /// A copy takes the place of what is there.
    pub fn restore(&mut self, storage: Storage, what: PutBack) {
        let Storage { disks, life, ring, label, .. } = storage;
        for (disk, files) in self.disks().into_iter().zip(disks) {
            disk.borrow_mut().replace(files);
        }
        if what.life {
            self.life.set(life);
        }
        match what.ring {
            RingPutBack::Nothing => self.ring = None,
            RingPutBack::Copied => self.ring = ring.map(|words| shared(&words)),
            RingPutBack::Kept => {}
        }
        *self.label.borrow_mut() = label;
        self.cut_after = None;
        self.lost = true;
    }

    /// Somebody begins to copy it.
    pub fn begin_copy(&mut self) -> Copying {
        let mut left = vec![Piece::Life, Piece::Label, Piece::Ring];
        for (disk, platter) in self.disks().into_iter().enumerate() {
            for number in platter.borrow().numbers() {
                left.extend([false, true].map(|is_end| Piece::Segment { disk, number, is_end }));
            }
        }
        // Backwards in order, as most do, or in any.
        if self.random.chance(1, 2) {
            for place in (1..left.len()).rev() {
                left.swap(place, self.random.below(place as u64 + 1) as usize);
            }
        }
        Copying { copy: Storage::default(), left }
    }

    /// Copies the next parts. The copy, once it is whole.
    pub fn copy_on(
        &self,
        copying: &mut Copying,
        count: usize,
        death: Option<&SharedDeath>,
    ) -> Option<Storage> {
        for piece in copying.left.split_off(copying.left.len().saturating_sub(count)).into_iter().rev() {
            match piece {
                Piece::Life => copying.copy.life = self.life.get(),
                Piece::Label => copying.copy.label = self.label.borrow().clone(),
                Piece::Ring => {
                    copying.copy.ring =
                        death.map(|death| death.borrow().words_now()).or(self.ring.as_ref().map(words_of));
                }
                Piece::Segment { disk, number, is_end } => {
                    let platter = self.disks()[disk].borrow();
                    let from = if is_end { platter.middle(number) } else { 0 };
                    copying.copy.disks[disk].add(number, from, &platter.files());
                }
            }
        }
        copying.left.is_empty().then(|| std::mem::take(&mut copying.copy))
    }

    /// Something is lost while no process runs. False where there is no such thing.
    pub fn lose(&mut self, loss: Loss) -> bool {
        let platter = |is_bus| if is_bus { &self.bus } else { &self.acknowledgements };
        let numbers = |is_bus| platter(is_bus).borrow().numbers();
        match loss {
            Loss::Ring => self.ring.take().is_some(),
            Loss::RingZeroed => self.change_ring(|words| words.fill(0)),
            Loss::RingShrunk => {
                let keeps = self.random.next_u64();
                self.change_ring(|words| words.truncate((keeps % words.len() as u64) as usize))
            }
            // That takes two.
            Loss::RingSwapped => false,
            Loss::Life => self.life.take().is_some(),
            Loss::FirstSegment(is_bus) => {
                let numbers = numbers(is_bus);
                numbers
                    .first()
                    .filter(|_| numbers.len() > 1)
                    .inspect(|number| platter(is_bus).borrow_mut().lose(**number))
                    .is_some()
            }
            Loss::MiddleSegment(is_bus) => {
                let numbers = numbers(is_bus);
                let middle = numbers.get(numbers.len() / 2).filter(|_| numbers.len() > 2);
                middle.inspect(|number| platter(is_bus).borrow_mut().lose(**number)).is_some()
            }
            Loss::LastSegment(is_bus) => {
                let numbers = numbers(is_bus);
                numbers
                    .last()
                    .filter(|_| numbers.len() > 1)
                    .inspect(|number| platter(is_bus).borrow_mut().lose(**number))
                    .is_some()
            }
            Loss::SwappedSegments(is_bus) => {
                let numbers = numbers(is_bus);
                let [first, .., last] = numbers[..] else { return false };
                platter(is_bus).borrow_mut().swap(first, last);
                true
            }
            Loss::Power => {
                self.lose_power();
                true
            }
            Loss::Journals => {
                let had = !numbers(true).is_empty() && self.ring.is_some();
                if had {
                    self.disks().into_iter().for_each(|disk| disk.borrow_mut().wipe());
                }
                had
            }
        }
    }

    /// Each of two machines has the other's ring from here on. False where one has none.
    pub fn swap_rings(&mut self, other: &mut Self) -> bool {
        let both = self.ring.is_some() && other.ring.is_some();
        if both {
            std::mem::swap(&mut self.ring, &mut other.ring);
        }
        both
    }

    fn change_ring(&mut self, change: impl FnOnce(&mut Vec<u64>)) -> bool {
        let Some(mut words) = self.ring.as_ref().map(words_of) else { return false };
        change(&mut words);
        self.ring = Some(shared(&words));
        true
    }

    /// The power goes while no process runs.
    fn lose_power(&mut self) {
        self.disks().into_iter().for_each(|disk| disk.borrow_mut().cut_power());
        self.ring = None;
        self.lost = true;
        self.time.restart();
        self.config.boot_id = u128::from(self.random.next_u64()).to_be_bytes();
    }

    /// What it has of its stream, if anything can be read of it. No process runs.
    pub fn remains(&self) -> Option<Remains> {
        let mut disk = SimulatedDisk::new(&self.bus, None);
        let walked = walk(&mut disk, None, 0, &mut |_| {}).ok()?;
        let ring = self.ring_end().filter(|_| self.was_memory());
        let (last, epoch) = ring.map_or((walked.last, walked.epoch), |(_, last, epoch)| {
            (last, epoch).max((walked.last, walked.epoch))
        });
        let stream = walked.stream.or(ring.map(|(stream, ..)| stream))?;
        let mut disk = SimulatedDisk::new(&self.acknowledgements, None);
        let acknowledged = walk(&mut disk, Some(acknowledgement_session(stream)), 0, &mut |_| {}).ok()?.last;
        let has_everything = walked.clean || !self.was_memory() || ring.is_some();
        let is_whole = has_everything && acknowledged <= last;
        let sessions = self.label.borrow().as_ref().map(|label| label.sessions.clone()).unwrap_or_default();
        (last > 0).then(|| Remains { stream, last, epoch, sessions, is_whole, life: self.life.get() })
    }

    fn ring_end(&self) -> Option<(Session, u64, u32)> {
        let words = shared(&words_of(self.ring.as_ref()?));
        let ring = Ring::open(words).ok().filter(|ring| ring.identity().boot_id == self.config.boot_id)?;
        let (last, mut bytes) = (ring.last(), vec![0; 65_536]);
        let epoch = match ring.reader(last.max(1)).read(last, &mut bytes) {
            Read::Message { epoch, .. } => epoch,
            Read::Empty | Read::Overrun | Read::TooSmall { .. } => 0,
        };
        Some((ring.identity().stream, last, epoch))
    }

    /// A person says that what remains is all there ever was, and which life goes on with it; none of a node that is alone, whose stream has these session names then
    /// (`Claim::take` of the node). False, with nothing begun, where the acknowledgements cannot be cut.
    pub fn claim(&mut self, remains: &Remains, incarnation: Option<u64>, sessions: &SessionNames) -> bool {
        let mut durability = if self.was_memory() { Durability::Memory } else { Durability::Fsync };
        if !remains.is_whole {
            let mut disk = SimulatedDisk::new(&self.acknowledgements, None);
            let session = Some(acknowledgement_session(remains.stream));
            if cut(&mut disk, session, 0, remains.last).is_err() {
                return false;
            }
            durability = Durability::Fsync;
        }
        let label = Label { stream: remains.stream, durability, sessions: sessions.clone() };
        *self.label.borrow_mut() = Some(label);
        self.life.set(incarnation.map(|incarnation| Life { incarnation, whole_since: incarnation }));
        self.cut_after = None;
        self.lost = false;
        true
    }

    /// One of the losses, by chance: of the ring as often as of anything else, where there is one.
    pub fn draw_loss(&mut self) -> Loss {
        let rings = [Loss::Ring, Loss::RingZeroed];
        let of_ring = self.ring.is_some() && self.random.chance(1, 2);
        *pick(&mut self.random, if of_ring { &rings } else { &Loss::ALL })
    }

    /// What it is configured with now.
    pub fn durability(&self) -> Durability {
        self.config.journal.durability
    }

    /// The next start is configured with the other durability.
    pub fn change_durability(&mut self) {
        let other = match self.durability() {
            Durability::Memory => Durability::Fsync,
            Durability::Fsync => Durability::Memory,
        };
        self.config.journal.durability = other;
        self.config.sequencer.durability = other;
    }

    /// Whether its journal may lack what only its ring has, as its label says.
    pub fn was_memory(&self) -> bool {
        self.label.borrow().as_ref().is_none_or(|label| label.durability == Durability::Memory)
    }

    /// Whether its journal was closed in order, as far as it can be read.
    pub fn is_closed(&self) -> bool {
        let mut disk = SimulatedDisk::new(&self.bus, None);
        walk(&mut disk, None, 0, &mut |_| {}).is_ok_and(|walked| walked.clean)
    }

    /// Whether there is a ring.
    pub fn has_ring(&self) -> bool {
        self.ring.is_some()
    }
}

fn words_of(words: &SharedWords) -> Vec<u64> {
    words.words().iter().map(|word| word.load(Relaxed)).collect()
}

fn shared(words: &[u64]) -> SharedWords {
    let shared = HeapWords::shared(words.len());
    for (word, value) in shared.words().iter().zip(words) {
        word.store(*value, Relaxed);
    }
    shared
}
