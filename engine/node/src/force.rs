//! Making a node lead next that cannot know that it may: no whole member of the in-sync set is left, the register was lost, or a journal that was
//! a lone node's becomes a cluster's first.
//!
//! A person decides, and a [`Claim`] says about what: what the register holds, what this node has ([`Remains`]), and what may be missing in it. Nothing is
//! changed before [`Claim::take`]. It gives the node a new life that is whole by declaration, makes what is there pass for complete, and swaps the register to this: a newer epoch than
//! any that is known, this node as leader, and that life as the whole set. The node's next start goes on with that life, takes a newer epoch again (R8 of
//! `docs/FAILOVER.md`), and leads; all others follow it, and cut back what it does not have.
//!
//! The register is swapped last: whatever ends a claim before that leaves a node that counts as having lost something, and nothing worse.
//!
//! **The epoch.** An epoch that is given out twice breaks everything (R1). As long as the register has held what it holds, the next one is new. Where it lost
//! that (it holds nothing, or an older epoch than the node's own log), others may have led in epochs that nobody here has heard of: [`EPOCHS_SKIPPED`] are left
//! out. Each takes a silence of milliseconds and two swaps, so that so many cannot have gone by unheard.
//!
//! **The session stays.** `docs/FAILOVER.md` says why, and what that asks of listeners.
use crate::config::{Config, Durability};
use crate::control::DirectoryLock;
use crate::learning::arrival;
use crate::ports::Files;
use crate::step::unwatched;
use crate::surroundings::{Place, read_words, ring_file};
use crate::{clocks, life, settings};
use gds_core::agent::Fault;
use gds_core::agent::start::{JournalName, Surroundings, acknowledgement_session};
use gds_core::journal::{MESSAGE_BYTES_MAX, cut, walk};
use gds_core::memory::ring::{Read, Ring, RingIdentity};
use gds_core::replication::{Life, Member, NodeId, RegisterState, RegisterValue, Set};
use gds_core::time::{MILLISECOND_NS, Time};
use gds_register::{Register, SwapAnswer};
use gds_wire::session::Session;
use std::time::Duration;

/// Epochs left out where the register lost what it held.
pub const EPOCHS_SKIPPED: u32 = 1_000_000;

/// What a node that is down has of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The stream.
    pub stream: Session,
    /// The last entry, in the journal or in the ring.
    pub last: u64,
    /// Its epoch.
    pub epoch: u32,
    /// The running checksum of the stream up to it.
    pub chain: u64,
    /// Whether everything is there that the node ever called durable.
    pub is_whole: bool,
    /// The life that it lived last; `None`: it has never been a member.
    pub life: Option<Life>,
}

impl Remains {
    /// Reads journal, ring and life. Changes nothing; the node must be down.
    ///
    /// # Errors
    /// When there is nothing, or it is damaged.
    pub fn read(config: &Config) -> Result<Self, Fault> {
        let directory = &config.stream.directory;
        let folder = directory.join("bus");
        let nothing = || {
            Fault(format!(
                "{}: this node has nothing of a stream. If no node has, the stream is gone: begin a new one with another register \
                 ([cluster] register, or cluster.etcd.key) and empty directories",
                directory.display()
            ))
        };
        if !folder.is_dir() {
            return Err(nothing());
        }
        let mut files = Files::open_to_read(&folder).map_err(Fault::from)?;
        let walked = walk(&mut files, None, 0, &mut |_| {}).map_err(Fault::from)?;
        let ring = ring_end(config, walked.stream)?;
        let stream = walked.stream.or(ring.as_ref().map(|ring| ring.stream)).ok_or_else(nothing)?;
        let journalled = (walked.last, walked.epoch, walked.chain);
        let (last, epoch, chain) =
            ring.as_ref().map_or(journalled, |ring| (ring.last, ring.epoch, ring.chain).max(journalled));
        if last == 0 {
            return Err(nothing());
        }
        let is_whole = walked.clean || config.stream.durability == Durability::Fsync || ring.is_some();
        Ok(Self { stream, last, epoch, chain, is_whole, life: life::read(directory)? })
    }

    /// Whether the node has lost nothing since the life of it that the register names.
    fn is_whole_since(&self, registered: u64) -> bool {
        let covers = |life: Life| life.incarnation >= registered && registered >= life.whole_since;
        self.is_whole && self.life.is_some_and(covers)
    }

    /// From here on, what is there is all there ever was: nothing acknowledged above it, nothing that a ring may have had besides.
    fn complete(&self, config: &Config) -> Result<(), Fault> {
        if self.is_whole {
            return Ok(());
        }
        let mut watcher = unwatched;
        let mut place = Place::open(config, &mut watcher)?;
        let mut disk = place.writer(JournalName::Acknowledgements).map_err(Fault::from)?;
        cut(&mut disk, Some(acknowledgement_session(self.stream)), 0, self.last).map_err(Fault::from)?;
        let identity = RingIdentity { stream: self.stream, boot_id: place.boot_id() };
        let (words, sizes) = (place.ring_memory(config)?.ring, settings::ring(config));
        Ring::create_behind(words, sizes, identity, self.last + 1, self.chain);
        Ok(())
    }
}

/// How far the ring of this boot goes.
struct RingEnd {
    stream: Session,
    last: u64,
    epoch: u32,
    chain: u64,
}

fn ring_end(config: &Config, stream: Option<Session>) -> Result<Option<RingEnd>, Fault> {
    let path = ring_file(config)?;
    if config.stream.durability == Durability::Fsync || !path.exists() {
        return Ok(None);
    }
    let boot_id = gds_nic::boot_id().map_err(Fault::from)?;
    let words = read_words(&path).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
    let Some(ring) = Ring::open(words).ok().filter(|ring| ring.identity().boot_id == boot_id) else {
        return Ok(None);
    };
    let found = ring.identity().stream;
    if let Some(stream) = stream.filter(|stream| *stream != found) {
        return Err(Fault(format!(
            "the journal belongs to stream {stream}, the ring file {} to {found}: name the directories that belong together",
            path.display()
        )));
    }
    let last = ring.last();
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let epoch = match ring.reader(last.max(1)).read(last, &mut bytes) {
        Read::Message { epoch, .. } => epoch,
        Read::Empty | Read::Overrun | Read::TooSmall { .. } => 0,
    };
    Ok(Some(RingEnd { stream: found, last, epoch, chain: ring.last_chain() }))
}

/// What the register holds compares with what the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The node was never a member, and the register holds nothing of a cluster: it becomes the first member of one.
    First,
    /// The register lost what it held: it holds nothing, or an older epoch than the node has heard of.
    RegisterLost,
    /// The register names others, or a life of this node since which it lost something.
    NotWhole,
    /// The register names this node, and the node has lost nothing since: it leads by itself once it is started.
    NotNeeded,
}

/// A person's claim that a node is to lead next. While it is there the node cannot be started.
pub struct Claim {
    register: Box<dyn Register + Send>,
    /// This node.
    pub node: NodeId,
    /// What it has.
    pub remains: Remains,
    /// What the register holds now.
    pub before: RegisterState,
    /// What it would hold.
    pub after: RegisterValue,
    /// How the two compare.
    pub case: Case,
    config: Config,
    _lock: DirectoryLock,
}

impl Claim {
    /// Looks at register and node, and changes nothing. `heard`: the newest epoch that other nodes know, where any could be asked.
    ///
    /// # Errors
    /// When the node runs, it has nothing, its journal is another stream's than the register's, or the register does not answer.
    pub fn of(config: &Config, heard: u32) -> Result<Self, Fault> {
        let Some((node, asked)) = settings::cluster_node(config).zip(settings::register(config)) else {
            return Err(Fault(
                "this node is in no cluster (cluster.node = 0): it leads whenever it runs".into(),
            ));
        };
        let directory = &config.stream.directory;
        if !directory.is_dir() {
            return Err(Fault(format!("stream.directory = {}: it is not there", directory.display())));
        }
        let lock = DirectoryLock::take(directory, Duration::ZERO).map_err(|Fault(why)| {
            Fault(format!(
                "{why}: stop this node first, and make sure that it is the one whose journal is to count"
            ))
        })?;
        if arrival::is_due(config) {
            return Err(Fault(format!(
                "{}: a snapshot of another node has arrived there, and the node died before it took its place: start the node once, which does that",
                directory.display()
            )));
        }
        let remains = Remains::read(config)?;
        let mut register = gds_register::open(&asked).map_err(Fault::from)?;
        let before = register.read().map_err(Fault::from)?;
        if let Some(held) = before.value.as_ref().filter(|held| held.stream != remains.stream) {
            return Err(Fault(format!(
                "the register ({}) names stream {}, and the journal in {} is of stream {}: name the register or the directory that belong together",
                config.cluster.register,
                held.stream,
                directory.display(),
                remains.stream
            )));
        }
        let (case, after) = judge(node, &remains, &before, heard, clocks::now());
        Ok(Self { register, node, remains, before, after, case, config: config.clone(), _lock: lock })
    }

    /// Makes it so. Gives the register's new revision.
    ///
    /// # Errors
    /// When the register does not answer, or holds something else than it did.
    pub fn take(mut self) -> Result<u64, Fault> {
        let incarnation = self.after.set.incarnation(self.node).expect("it is the set");
        self.remains.complete(&self.config)?;
        life::write(&self.config.stream.directory, Life { incarnation, whole_since: incarnation })?;
        match self.register.swap(self.before.revision, &self.after).map_err(Fault::from)? {
            SwapAnswer::Swapped(revision) => Ok(revision),
            SwapAnswer::Holds(state) => Err(Fault(format!(
                "the register has changed meanwhile (revision {} after {}): somebody else leads or claims to; look at `gds cluster`",
                state.revision, self.before.revision
            ))),
        }
    }
}

/// How register and node compare, and what the register would hold.
fn judge(
    node: NodeId,
    remains: &Remains,
    before: &RegisterState,
    heard: u32,
    now: Time,
) -> (Case, RegisterValue) {
    let held = before.value.as_ref();
    let registered = held.and_then(|held| held.set.incarnation(node));
    let held_epoch = held.map_or(0, |held| held.epoch);
    let known = remains.epoch.max(heard).max(held_epoch);
    let case = match () {
        () if held_epoch == 0 && remains.life.is_none() && heard == 0 => Case::First,
        () if held_epoch < known => Case::RegisterLost,
        () if registered.is_some_and(|registered| remains.is_whole_since(registered)) => Case::NotNeeded,
        () => Case::NotWhole,
    };
    let skipped = if case == Case::RegisterLost { EPOCHS_SKIPPED } else { 1 };
    // Who remembers no life may have lived all the same: somebody removed the file. The others heed the newest one alone.
    let forgotten = if case == Case::First { 0 } else { now.wall_ns / MILLISECOND_NS };
    let lived = remains.life.map_or(forgotten, |life| life.incarnation).max(registered.unwrap_or(0));
    let after = RegisterValue {
        stream: remains.stream,
        epoch: known.saturating_add(skipped),
        leader: node,
        set: Set::of(Member { node, incarnation: lived + 1 }),
    };
    (case, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    fn remains(epoch: u32, life: Option<Life>, is_whole: bool) -> Remains {
        let stream = Session::padded("STREAM1").expect("a name");
        Remains { stream, last: 90, epoch, chain: 0, is_whole, life }
    }

    fn life(incarnation: u64, whole_since: u64) -> Option<Life> {
        Some(Life { incarnation, whole_since })
    }

    fn holds(epoch: u32, members: &[(u8, u64)]) -> RegisterState {
        let set = members.iter().fold(Set::default(), |set, (node, incarnation)| {
            set.with(Member { node: NodeId(*node), incarnation: *incarnation })
        });
        let leader = set.members().first().map_or(NodeId(0), |member| member.node);
        let stream = Session::padded("STREAM1").expect("a name");
        RegisterState { revision: 9, value: Some(RegisterValue { stream, epoch, leader, set }) }
    }

    const NOTHING: RegisterState = RegisterState { revision: 0, value: None };

    fn judged(remains: &Remains, before: &RegisterState, heard: u32) -> (Case, u32, String) {
        let (case, after) =
            judge(NODE, remains, before, heard, Time { wall_ns: 7 * MILLISECOND_NS, ..Time::default() });
        assert_eq!(after.leader, NODE);
        (case, after.epoch, after.set.to_string())
    }

    #[test]
    fn a_lone_journal_becomes_the_first_member() {
        assert_eq!(judged(&remains(1, None, true), &NOTHING, 0), (Case::First, 2, "{2.1}".into()));
        let new = RegisterState { revision: 1, value: holds(0, &[]).value };
        assert_eq!(judged(&remains(1, None, true), &new, 0), (Case::First, 2, "{2.1}".into()));
    }

    #[test]
    fn a_lost_register_never_gives_an_epoch_twice() {
        let known = remains(5, life(3, 1), true);
        assert_eq!(judged(&known, &NOTHING, 0), (Case::RegisterLost, 1_000_005, "{2.4}".into()));
        assert_eq!(judged(&known, &NOTHING, 8), (Case::RegisterLost, 1_000_008, "{2.4}".into()));
        // Restored from a backup.
        assert_eq!(judged(&known, &holds(4, &[(2, 3)]), 0).0, Case::RegisterLost);
        assert_eq!(judged(&known, &holds(6, &[(2, 3)]), 7).0, Case::RegisterLost);
    }

    #[test]
    fn the_set_is_a_life_that_nobody_has_lived() {
        let others = holds(6, &[(1, 4)]);
        for known in [life(3, 1), life(3, 3)] {
            assert_eq!(judged(&remains(4, known, true), &others, 0), (Case::NotWhole, 7, "{2.4}".into()));
        }
        assert_eq!(judged(&remains(4, None, true), &others, 0).2, "{2.8}", "by the clock");
        assert_eq!(judged(&remains(4, life(2, 1), false), &holds(6, &[(2, 8)]), 0).2, "{2.9}");
    }

    #[test]
    fn who_is_in_the_set_and_whole_need_not_be_forced() {
        let before = holds(6, &[(1, 4), (2, 3)]);
        assert_eq!(judged(&remains(6, life(3, 1), true), &before, 6).0, Case::NotNeeded);
        // A restart that lost nothing since.
        assert_eq!(judged(&remains(6, life(4, 2), true), &before, 6).0, Case::NotNeeded);
        assert_eq!(judged(&remains(6, life(4, 4), true), &before, 6).0, Case::NotWhole);
        assert_eq!(judged(&remains(6, life(3, 1), false), &before, 6).0, Case::NotWhole);
        assert_eq!(judged(&remains(6, life(2, 1), true), &before, 6).0, Case::NotWhole, "it forgot a life");
    }
}
