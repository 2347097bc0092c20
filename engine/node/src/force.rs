//! Making a node lead next that cannot know that it may: no whole member of the in-sync set is left, the register was lost, a journal that was
//! a lone node's becomes a cluster's first, or a node that is alone has lost something, or was a member of a cluster.
//!
//! A person decides, and a [`Claim`] says about what: what the register holds, what this node has ([`Remains`]), and what may be missing in it. Nothing is
//! changed before [`Claim::take`]. It gives the node a new life that is whole by declaration, makes what is there pass for complete, and swaps the register to this: a newer epoch than
//! any that is known, this node as leader, and that life as the whole set. The node's next start goes on with that life, takes a newer epoch again (R8 of
//! `docs/FAILOVER.md`), and leads; all others follow it, and cut back what it does not have.
//!
//! A node that is alone has no register. It gets a label that says that its journal has everything, under the new session name, and its last life as a member is set aside.
//!
//! The register is swapped last: whatever ends a claim before that leaves a node that counts as having lost something, and nothing worse.
//!
//! **The epoch.** An epoch that is given out twice breaks everything (R1). As long as the register has held what it holds, the next one is new. Where it lost
//! that (it holds nothing, or an older epoch than the node's own log), others may have led in epochs that nobody here has heard of: [`EPOCHS_SKIPPED`] are left
//! out. Each takes a silence of milliseconds and two swaps, so that so many cannot have gone by unheard. A register that is lost once more, before anything was numbered, leaves no trace of the first loss: so the
//! epoch is not below the time either, in seconds since [`EPOCH_CLOCK_FROM_S`].
//!
//! **The session.** Where something may be missing, numbers are given again, and so the stream goes on under a new session name ([`SessionNames`]), of which the messages that are left are the
//! first ones. The register tells it to all members, and they keep it in their labels. Where nothing can be missing the name stays: a lone node with everything becomes the first of a cluster, or the
//! register alone was lost and a person says that this node has everything.
use crate::config::Config;
use crate::control::DirectoryLock;
use crate::learning::arrival;
use crate::ports::Files;
use crate::rings::{copy_of_ring, does_without_ring, ring_file};
use crate::step::unwatched;
use crate::surroundings::Place;
use crate::{clocks, label, life, settings};
use gds_core::agent::Fault;
use gds_core::agent::start::{JournalName, Surroundings, acknowledgement_session};
use gds_core::journal::{Durability, MESSAGE_BYTES_MAX, cut, walk};
use gds_core::label::{Label, SessionNames};
use gds_core::memory::ring::{Read, Ring};
use gds_core::replication::{EPOCH_MAX, Life, Member, NodeId, RegisterState, RegisterValue, Set};
use gds_core::time::{MILLISECOND_NS, SECOND_NS, Time};
use gds_register::{Register, SwapAnswer};
use gds_wire::session::Session;
use std::time::Duration;

/// Epochs left out where the register lost what it held.
pub const EPOCHS_SKIPPED: u32 = 1_000_000;
/// Where the register was lost, epochs follow the seconds since this time, 1 January 2020: 31 bits last until 2088.
pub const EPOCH_CLOCK_FROM_S: u64 = 1_577_836_800;

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
    /// The last message that has an outcome here: it was acknowledged, also where the log has lost it.
    pub acknowledged: u64,
    /// Under which durability the journal was written.
    pub durability: Durability,
    /// The session names of the stream.
    pub sessions: SessionNames,
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
        let found = label::read(directory)?;
        let durability = found.as_ref().map_or(Durability::Memory, |label| label.durability);
        let ring = match durability {
            Durability::Memory => ring_end(config, walked.stream)?,
            // What it has the journal has, too.
            Durability::Fsync => None,
        };
        let stream = walked.stream.or(ring.as_ref().map(|ring| ring.stream)).ok_or_else(nothing)?;
        let journalled = (walked.last, walked.epoch, walked.chain);
        let (last, epoch, chain) =
            ring.as_ref().map_or(journalled, |ring| (ring.last, ring.epoch, ring.chain).max(journalled));
        if last == 0 {
            return Err(nothing());
        }
        let acknowledged = acknowledged(config, stream)?;
        let boot_id = gds_nic::boot_id().map_err(Fault::from)?;
        let has_everything = walked.clean
            || durability == Durability::Fsync
            || ring.is_some()
            || does_without_ring(config, boot_id);
        let is_whole = has_everything && acknowledged <= last;
        let sessions = found.map(|label| label.sessions).unwrap_or_default();
        let life = life::read(directory)?;
        Ok(Self { stream, last, epoch, chain, acknowledged, durability, sessions, is_whole, life })
    }

    /// Whether the node has lost nothing since the life of it that the register names.
    fn is_whole_since(&self, registered: u64) -> bool {
        let covers = |life: Life| life.incarnation >= registered && registered >= life.whole_since;
        self.is_whole && self.life.is_some_and(covers)
    }

    /// From here on, what is there is all there ever was: nothing acknowledged above it, nothing that a ring may have had besides. The stream's session names are `sessions`.
    fn complete(&self, config: &Config, sessions: &SessionNames) -> Result<(), Fault> {
        let mut durability = self.durability;
        if !self.is_whole {
            let mut watcher = unwatched;
            let mut place = Place::open(config, &mut watcher)?;
            let mut disk = place.writer(JournalName::Acknowledgements).map_err(Fault::from)?;
            cut(&mut disk, Some(acknowledgement_session(self.stream)), 0, self.last).map_err(Fault::from)?;
            // The journal alone counts, and what it has is synced by the start that reads it.
            durability = Durability::Fsync;
        }
        let label = Label { stream: self.stream, durability, sessions: sessions.clone() };
        label::write(&config.stream.directory, &label)
    }
}

/// The last message that has an outcome.
fn acknowledged(config: &Config, stream: Session) -> Result<u64, Fault> {
    let folder = config.stream.directory.join("acknowledgements");
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut files = Files::open_to_read(&folder).map_err(Fault::from)?;
    let walked = walk(&mut files, Some(acknowledgement_session(stream)), 0, &mut |_| {});
    Ok(walked.map_err(Fault::from)?.last)
}

/// How far the ring of this boot goes.
struct RingEnd {
    stream: Session,
    last: u64,
    epoch: u32,
    chain: u64,
}

fn ring_end(config: &Config, stream: Option<Session>) -> Result<Option<RingEnd>, Fault> {
    // A directory without an id of its own has no ring.
    let Some(path) = ring_file(config).ok().filter(|path| path.exists()) else { return Ok(None) };
    let boot_id = gds_nic::boot_id().map_err(Fault::from)?;
    if does_without_ring(config, boot_id) {
        return Ok(None);
    }
    let words = copy_of_ring(&path).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
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
    /// The node is in no cluster: it lost something, or was a member of a cluster.
    Alone,
    /// The register names this node, and the node has lost nothing since: it leads by itself once it is started.
    NotNeeded,
}

/// A person's claim that a node is to lead next. While it is there the node cannot be started.
pub struct Claim {
    /// `None`: the node is alone.
    register: Option<Box<dyn Register + Send>>,
    /// This node; 0: it is alone.
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
    /// Looks at register and node, and changes nothing. `heard`: the newest epoch that other nodes know, where any could be asked. `has_everything`: whoever claims says that
    /// no other node has more; it counts where nothing but the register was lost.
    ///
    /// # Errors
    /// When the node runs, it has nothing, its journal is another stream's than the register's, or the register does not answer.
    pub fn of(config: &Config, heard: u32, has_everything: bool) -> Result<Self, Fault> {
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
        let member = settings::cluster_node(config).zip(settings::register(config));
        let Some((node, asked)) = member else {
            let (case, after) = judge_alone(&remains, clocks::now());
            let before = RegisterState { revision: 0, value: None };
            let (node, register) = (after.leader, None);
            return Ok(Self {
                register,
                node,
                remains,
                before,
                after,
                case,
                config: config.clone(),
                _lock: lock,
            });
        };
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
        let (case, after) = judge(node, &remains, &before, Said { heard, has_everything }, clocks::now())?;
        let register = Some(register);
        Ok(Self { register, node, remains, before, after, case, config: config.clone(), _lock: lock })
    }

    /// The new session name, if the stream goes on under one.
    pub fn renamed(&self) -> Option<Session> {
        let stream = self.remains.stream;
        let held = self.before.value.as_ref().map(|held| &held.sessions);
        let known = known_names(&self.remains, held);
        let (before, after) = (known.current(stream), self.after.sessions.current(stream));
        (before != after).then_some(after)
    }

    /// Makes it so. Gives the register's new revision.
    ///
    /// # Errors
    /// When the register does not answer, or holds something else than it did.
    pub fn take(mut self) -> Result<u64, Fault> {
        let directory = &self.config.stream.directory;
        let Some(register) = &mut self.register else {
            // The label first: as long as it remembers a life the node does not start alone.
            self.remains.complete(&self.config, &self.after.sessions)?;
            return life::set_aside(directory).map(|()| 0);
        };
        let incarnation = self.after.set.incarnation(self.node).expect("it is the set");
        // The new name is the register's to give: until it has it, nobody shows anything under it.
        self.remains.complete(&self.config, &self.remains.sessions)?;
        life::write(directory, Life { incarnation, whole_since: incarnation })?;
        match register.swap(self.before.revision, &self.after).map_err(Fault::from)? {
            SwapAnswer::Swapped(revision) => Ok(revision),
            SwapAnswer::Holds(state) => Err(Fault(format!(
                "the register has changed meanwhile (revision {} after {}): somebody else leads or claims to; look at `gds cluster`",
                state.revision, self.before.revision
            ))),
        }
    }
}

/// The session names known here: those of the register or of the node, whichever are newer.
fn known_names(remains: &Remains, held: Option<&SessionNames>) -> SessionNames {
    let newest = |names: &SessionNames| names.names().last().map(|last| last.name);
    let held = held.filter(|held| newest(held) >= newest(&remains.sessions));
    held.unwrap_or(&remains.sessions).clone()
}

/// A node that is in no cluster.
fn judge_alone(remains: &Remains, now: Time) -> (Case, RegisterValue) {
    let needed = !remains.is_whole || remains.life.is_some();
    let case = if needed { Case::Alone } else { Case::NotNeeded };
    let (stream, last) = (remains.stream, remains.last);
    let sessions =
        if needed { remains.sessions.renewed(stream, last + 1, now) } else { remains.sessions.clone() };
    let after = RegisterValue { stream, epoch: 0, leader: NodeId(0), set: Set::default(), sessions };
    (case, after)
}

/// What nobody can see in the register or on the node.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// The newest epoch that other nodes know.
    heard: u32,
    /// No other node has more.
    has_everything: bool,
}

/// The seconds since [`EPOCH_CLOCK_FROM_S`]; 0 where the clock is not set, or says what cannot be.
fn epoch_of_clock(now: Time) -> u32 {
    let since_s = (now.wall_ns / SECOND_NS).saturating_sub(EPOCH_CLOCK_FROM_S);
    u32::try_from(since_s).ok().filter(|epoch| *epoch < EPOCH_MAX).unwrap_or(0)
}

/// How register and node compare, and what the register would hold.
fn judge(
    node: NodeId,
    remains: &Remains,
    before: &RegisterState,
    Said { heard, has_everything }: Said,
    now: Time,
) -> Result<(Case, RegisterValue), Fault> {
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
    let epoch = match case {
        Case::RegisterLost => known.saturating_add(EPOCHS_SKIPPED).max(epoch_of_clock(now)),
        _ => known.saturating_add(1),
    };
    // Who remembers no life may have lived all the same: somebody removed the file. The others heed the newest one alone.
    let forgotten = if case == Case::First { 0 } else { now.wall_ns / MILLISECOND_NS };
    let lived = remains.life.map_or(forgotten, |life| life.incarnation).max(registered.unwrap_or(0));
    let may_be_missing = match case {
        Case::First => !remains.is_whole,
        Case::RegisterLost => !(has_everything && remains.is_whole),
        Case::NotWhole | Case::Alone => true,
        Case::NotNeeded => false,
    };
    let known_names = known_names(remains, held.map(|held| &held.sessions));
    let sessions = match may_be_missing {
        true => known_names.renewed(remains.stream, remains.last + 1, now),
        false => known_names,
    };
    let after = RegisterValue {
        sessions,
        stream: remains.stream,
        epoch,
        leader: node,
        set: Set::of(Member { node, incarnation: lived.saturating_add(1) }),
    };
    match after.flaw() {
        None => Ok((case, after)),
        Some(flaw) => Err(Fault(format!(
            "this node cannot be made to lead: the register would hold what no cluster comes to ({flaw}). A number there, in the file `life`, or in the journal was damaged or \
             made up: of the register and the file remove the one that holds it, and try again"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    fn remains(epoch: u32, life: Option<Life>, is_whole: bool) -> Remains {
        let stream = Session::padded("STREAM1").expect("a name");
        let (durability, sessions) = (Durability::Memory, SessionNames::default());
        Remains { stream, last: 90, epoch, chain: 0, acknowledged: 80, durability, sessions, is_whole, life }
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
        RegisterState {
            revision: 9,
            value: Some(RegisterValue { stream, epoch, leader, set, sessions: SessionNames::default() }),
        }
    }

    const NOTHING: RegisterState = RegisterState { revision: 0, value: None };

    fn judged(remains: &Remains, before: &RegisterState, heard: u32) -> (Case, u32, String) {
        let (case, after) = judge(
            NODE,
            remains,
            before,
            Said { heard, has_everything: false },
            Time { wall_ns: 7 * MILLISECOND_NS, ..Time::default() },
        )
        .unwrap_or_else(|fault| panic!("{fault}"));
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
    fn numbers_that_no_cluster_comes_to_are_a_fault_and_no_claim() {
        let now = Time { wall_ns: 7 * MILLISECOND_NS, ..Time::default() };
        for (remains, before, heard) in [
            (remains(u32::MAX, life(3, 1), true), NOTHING, 0),
            (remains(5, life(3, 1), true), NOTHING, u32::MAX),
            (remains(5, life(3, 1), true), holds(u32::MAX, &[(2, 3)]), 5),
            (remains(5, life(u64::MAX, 1), true), holds(5, &[(1, 3)]), 5),
            (remains(5, None, true), holds(5, &[(2, u64::MAX)]), 5),
        ] {
            let Fault(why) = judge(NODE, &remains, &before, Said { heard, has_everything: false }, now)
                .expect_err("there is no such number");
            assert!(why.contains("this node cannot be made to lead"), "{why}");
        }
    }

    #[test]
    fn a_lost_register_never_gives_an_epoch_twice() {
        let known = remains(5, life(3, 1), true);
        assert_eq!(judged(&known, &NOTHING, 0), (Case::RegisterLost, 1_000_005, "{2.4}".into()));
        assert_eq!(judged(&known, &NOTHING, 8), (Case::RegisterLost, 1_000_008, "{2.4}".into()));
        // Lost again before anything was numbered.
        let later = |seconds| {
            let wall_ns = (EPOCH_CLOCK_FROM_S + seconds) * SECOND_NS;
            let said = Said { heard: 0, has_everything: false };
            let judged = judge(NODE, &known, &NOTHING, said, Time { wall_ns, ..Time::default() });
            judged.unwrap_or_else(|fault| panic!("{fault}")).1.epoch
        };
        assert_eq!([later(200_000_000), later(200_000_001)], [200_000_000, 200_000_001]);
        assert_eq!([later(9), later(1 << 33)], [1_000_005, 1_000_005]);
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

    /// The session names after a claim, each with where its numbers begin.
    fn names(remains: &Remains, before: &RegisterState, has_everything: bool) -> Vec<(String, u64)> {
        let said = Said { heard: 0, has_everything };
        let (_, after) = judge(NODE, remains, before, said, Time::default()).expect("a claim");
        after.sessions.names().iter().map(|known| (known.name.to_string(), known.from)).collect()
    }

    #[test]
    fn a_session_is_new_where_something_may_be_missing() {
        let new = [("0000000000".to_owned(), 91)];
        assert!(names(&remains(1, None, true), &NOTHING, false).is_empty(), "a lone node becomes a cluster");
        assert_eq!(names(&remains(1, None, false), &NOTHING, false), new, "one that lost something");
        assert_eq!(names(&remains(5, life(3, 1), true), &NOTHING, false), new, "a register was lost");
        assert!(names(&remains(5, life(3, 1), true), &NOTHING, true).is_empty(), "and nothing else");
        assert_eq!(names(&remains(5, life(3, 1), false), &NOTHING, true), new, "and more");
        assert_eq!(names(&remains(4, life(3, 1), true), &holds(6, &[(1, 4)]), true), new);
        assert!(names(&remains(6, life(3, 1), true), &holds(6, &[(2, 3)]), false).is_empty(), "not needed");
    }

    #[test]
    fn a_name_is_new_beside_all_that_register_or_node_know() {
        let mut forced = remains(4, life(3, 1), true);
        let mut before = holds(6, &[(1, 4)]);
        let stream = forced.stream;
        let named = |from| SessionNames::default().renewed(stream, from, Time::default());
        before.value.as_mut().expect("held").sessions = named(40);
        let both = [("0000000000".to_owned(), 40), ("0000000001".to_owned(), 91)];
        assert_eq!(names(&forced, &before, false), both);
        forced.sessions = named(40).renewed(stream, 50, Time::default());
        assert_eq!(names(&forced, &before, false).last(), Some(&("0000000002".to_owned(), 91)));
    }

    #[test]
    fn a_node_that_is_alone_is_forced_where_it_lost_something_or_was_a_member() {
        let judged = |remains: &Remains| {
            let (case, after) = judge_alone(remains, Time::default());
            (case, after.sessions.differs_from(remains.stream, remains.stream))
        };
        assert_eq!(judged(&remains(1, None, true)), (Case::NotNeeded, None));
        assert_eq!(judged(&remains(1, None, false)), (Case::Alone, Some(91)));
        assert_eq!(judged(&remains(6, life(3, 1), true)), (Case::Alone, Some(91)));
    }
}
