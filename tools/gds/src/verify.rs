//! `gds verify`: who agrees with whom, and from which message on others differ. Asks and reads, changes nothing.
mod compare;
mod show;
mod subject;

use crate::arguments::Verify;
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::{cluster, config, text};
use compare::{Log, Member, Parting, Side};
use gds_client::Network;
use gds_node::settings;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};
use subject::{Mark, Subject, Target};

/// How long stores are waited for until they stand at one message.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two looks at them: a node counts its store anew every 20 ms.
const LOOK: Duration = Duration::from_millis(30);

/// What must be known where a side is directories alone.
const UNCOMMITTED: &str = ". The end of a directory may never have been committed: a node that dies while it leads leaves what nobody was shown, and cuts it back when it \
                           follows";

/// What came of it.
pub struct Comparison {
    /// Those that were compared.
    subjects: Vec<Subject>,
    /// The message at which they were: the last that all have, or the one asked for.
    at: u64,
    /// Who agrees with whom.
    sides: Vec<Side>,
    /// What each side has where it differs from the first.
    differences: Vec<Difference>,
    /// What the stores of each side came to.
    stores: Vec<Stores>,
    /// What is wrong.
    findings: Vec<String>,
}

/// The first message in which a side differs from the first side.
struct Difference {
    sequence: u64,
    /// What the first side has, and what the other.
    has: Vec<Held>,
}

/// What a side has under a number.
struct Held {
    side: usize,
    mark: Mark,
    message: Vec<u8>,
}

/// What some stores came to.
enum Stores {
    /// One digest behind one message, so many of them.
    Same { applied: u64, count: usize },
    /// They differ behind this message.
    Differ { applied: u64 },
    /// Why nothing can be said.
    NotCompared(String),
    /// There are not two.
    None,
}

/// Compares, and says what came of it.
pub fn run(arguments: &Verify) -> Outcome {
    let timeout = Duration::try_from_secs_f64(arguments.timeout).ok().filter(|timeout| !timeout.is_zero());
    let timeout = timeout.ok_or_else(|| {
        Failure::usage(format!("--timeout {}: a number of seconds above 0", arguments.timeout))
    })?;
    let targets = targets(arguments)?;
    if let [target] = &targets[..] {
        return Err(Failure::usage(format!(
            "{} is all there is to compare: name another node (--server, --config) or a directory (--directory)",
            target.name()
        )));
    }
    let (mut subjects, mut findings) = open(&targets, arguments, timeout);
    settle(&mut subjects).map_err(Failure::failed)?;
    if let Some(at) = arguments.at {
        leave_out(&mut subjects, at, &mut findings);
    }
    if subjects.len() < 2 {
        let found = findings.iter().map(|finding| format!("\n! {finding}")).collect::<String>();
        return Err(Failure::failed(format!("fewer than two are left to compare{found}")));
    }
    let comparison = Comparison::of(subjects, arguments.at, findings).map_err(Failure::failed)?;
    let told =
        if arguments.json { format!("{}\n", show::json(&comparison)) } else { show::text(&comparison) };
    let agree = comparison.findings.is_empty();
    comparison.subjects.into_iter().for_each(Subject::close);
    std::io::stdout().write_all(told.as_bytes()).map_err(Failure::failed)?;
    if agree { Ok(()) } else { Err(Failure::failed("")) }
}

/// Everything that the arguments name, each node once.
fn targets(arguments: &Verify) -> Result<Vec<Target>, Failure> {
    let Verify { config, server, directory, .. } = arguments;
    let mut found: Vec<Target> = Vec::new();
    let mut add = |target: Target| {
        let of = |target: &Target| match target {
            Target::Node(_, address) => address.as_ref().ok().copied(),
            Target::Directory(_) => None,
        };
        if of(&target).is_none_or(|address| !found.iter().any(|other| of(other) == Some(address))) {
            found.push(target);
        }
    };
    let default = config.is_empty() && server.is_empty() && directory.is_empty();
    for file in config.iter().map(Some).chain(default.then_some(None)) {
        let config = config::load(file.map(std::path::PathBuf::as_path))?;
        if settings::cluster_node(&config).is_some() {
            let nodes = cluster::nodes(&config).into_iter();
            nodes.for_each(|(node, address)| add(Target::Node(format!("node {node}"), address)));
        } else {
            let network = Network::of(&config).map_err(Failure::failed)?;
            add(Target::Node("node".into(), Ok(network.addresses().query)));
        }
    }
    server.iter().for_each(|server| add(Target::Node("node".into(), Ok(*server))));
    for directory in directory {
        add(Target::directory(directory)?);
    }
    Ok(found)
}

/// Opens nodes all at once and directories one after the other; those that cannot be compared become findings.
fn open(targets: &[Target], arguments: &Verify, timeout: Duration) -> (Vec<Subject>, Vec<String>) {
    let (mut subjects, mut findings) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = targets
            .iter()
            .map(|target| match target {
                Target::Node(..) => Some(scope.spawn(|| target.open(arguments, timeout))),
                Target::Directory(_) => None,
            })
            .collect();
        for (target, thread) in targets.iter().zip(threads) {
            let opened = match thread {
                Some(thread) => thread.join().unwrap_or_else(|_| Err("looking at it failed".into())),
                None => target.open(arguments, timeout),
            };
            match opened {
                Ok(subject) => subjects.push(subject),
                Err(why) => findings.push(format!("{} was not compared: {why}", target.name())),
            }
        }
    });
    (subjects, findings)
}

/// Looks at the nodes until their stores stand at one message, which busy ones may never do.
fn settle(subjects: &mut [Subject]) -> Result<(), String> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let mut applied: Vec<u64> =
            subjects.iter().filter_map(|subject| subject.store).map(|store| store.applied).collect();
        applied.dedup();
        if applied.len() < 2 || Instant::now() > deadline {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        for subject in subjects.iter_mut() {
            subject.look().map_err(|why| format!("{}: {why}", subject.name))?;
        }
    }
}

/// Leaves out whoever does not have this message.
fn leave_out(subjects: &mut Vec<Subject>, at: u64, findings: &mut Vec<String>) {
    for index in (0..subjects.len()).rev() {
        let (first, last) = subjects[index].kept();
        if !(first..=last).contains(&at) {
            let gone = subjects.remove(index);
            findings.push(format!(
                "{} was not compared: it has messages {} to {}",
                gone.name,
                text::grouped(first),
                text::grouped(last)
            ));
            gone.close();
        }
    }
}

impl Comparison {
    fn of(mut subjects: Vec<Subject>, at: Option<u64>, findings: Vec<String>) -> Result<Self, String> {
        let (mut progress, mut asked) = (Progress::new(None, "running checksums compared"), 0);
        let sides = compare::sides(&mut subjects, at.unwrap_or(u64::MAX), &mut || {
            asked += 1;
            progress.set(asked);
        })?;
        progress.finish();
        let differences = differences(&mut subjects, &sides)?;
        let stores = sides.iter().map(|side| stores(&subjects, side)).collect();
        let least = subjects.iter().map(|subject| subject.kept().1).min();
        let at = at.or(least).unwrap_or_default();
        let mut this = Self { subjects, at, sides, differences, stores, findings };
        let more = this.of_the_streams().into_iter().chain(this.of_the_stores());
        this.findings.extend(more.collect::<Vec<_>>());
        Ok(this)
    }

    /// In what the sides differ from the first one.
    fn of_the_streams(&self) -> Vec<String> {
        let knows_commit =
            |side: &Side| side.members.iter().any(|member| self.subjects[member.index].knows_commit());
        let all_know = |side: &Side| knows_commit(side) && self.sides.first().is_some_and(knows_commit);
        let others = self.sides.iter().enumerate().skip(1);
        let told = others.map(|(index, side)| {
            let (letter, number) = (letter(index), text::grouped);
            let differs = match side.parting {
                Parting::At(1) => {
                    format!("{letter} differs from A from message 1 on: the two have nothing in common")
                }
                Parting::At(sequence) => format!(
                    "{letter} differs from A from message {} on; up to {} they agree",
                    number(sequence),
                    number(sequence - 1)
                ),
                Parting::Before(sequence) => format!(
                    "{letter} differs from A at or before message {}, the first that both keep",
                    number(sequence)
                ),
                Parting::Agree(_) | Parting::Apart => {
                    return format!("{letter} keeps no message that A keeps: the two cannot be compared");
                }
            };
            if all_know(side) { differs } else { differs + UNCOMMITTED }
        });
        told.collect()
    }

    /// Where stores came to different things from the same stream.
    fn of_the_stores(&self) -> Vec<String> {
        let differ = |(side, stores): (usize, &Stores)| match stores {
            Stores::Differ { applied } => Some(format!(
                "the stores of {} differ behind message {}, though they applied the same messages: one of them came to something wrong. A third node tells \
                 which; keep its directory for the record, and let it begin with an empty one",
                letter(side),
                text::grouped(*applied)
            )),
            Stores::Same { .. } | Stores::NotCompared(_) | Stores::None => None,
        };
        self.stores.iter().enumerate().filter_map(differ).collect()
    }

    /// The members of the first side that end before the first message in which another side differs from it: they agree with that side as well.
    fn undecided(&self) -> impl Iterator<Item = &Subject> {
        let parted = self.sides.iter().filter_map(|side| side.parting.sequence()).min();
        let first = self.sides.first().map_or(&[][..], |side| &side.members);
        let ends_before = move |member: &&Member| parted.is_some_and(|parted| member.up_to < parted);
        first.iter().filter(ends_before).map(|member| &self.subjects[member.index])
    }
}

/// What a person calls a side.
fn letter(side: usize) -> char {
    u8::try_from(side).ok().and_then(|side| b'A'.checked_add(side)).map_or('?', char::from)
}

/// What each side but the first has where it begins to differ from the first, and what that has there.
fn differences(subjects: &mut [Subject], sides: &[Side]) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    for (index, side) in sides.iter().enumerate().skip(1) {
        let Some(sequence) = side.parting.sequence() else { continue };
        let mut has = Vec::new();
        for at in [0, index] {
            let subject = &mut subjects[sides[at].members[0].index];
            let why = |subject: &Subject, why| format!("{}: {why}", subject.name);
            let mark = subject.mark(sequence).map_err(|error| why(subject, error))?;
            let message = subject.message(sequence).map_err(|error| why(subject, error))?;
            has.push(Held { side: at, mark, message });
        }
        found.push(Difference { sequence, has });
    }
    Ok(found)
}

/// What the stores of one side came to: those that stand at one message, up to which their streams were compared.
fn stores(subjects: &[Subject], side: &Side) -> Stores {
    let mut standing: BTreeMap<u64, Vec<u128>> = BTreeMap::new();
    let (mut beyond, mut count) = (false, 0);
    for member in &side.members {
        let Some(store) = subjects[member.index].store else { continue };
        count += 1;
        if store.applied <= member.up_to {
            standing.entry(store.applied).or_default().push(store.digest);
        } else {
            beyond = true;
        }
    }
    if count < 2 {
        return Stores::None;
    }
    let differs = |digests: &[u128]| digests.iter().any(|digest| *digest != digests[0]);
    if let Some((applied, _)) = standing.iter().find(|(_, digests)| differs(digests)) {
        return Stores::Differ { applied: *applied };
    }
    match standing.iter().max_by_key(|(_, digests)| digests.len()) {
        Some((applied, digests)) if digests.len() > 1 => {
            Stores::Same { applied: *applied, count: digests.len() }
        }
        _ if beyond => Stores::NotCompared(
            "they have applied more than was compared; a digest is that of all that was applied".into(),
        ),
        _ => Stores::NotCompared("they were moving, and never stood at one message".into()),
    }
}
