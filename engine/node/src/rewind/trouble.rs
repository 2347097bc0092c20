//! What keeps a rewinder from keeping its streams, as its counters show.
use gds_core::agent::start::Stream;
use gds_core::cursor::Progress;
use gds_core::label::name_of;
use gds_core::query::CounterSets;
use gds_core::time::SECOND_NS;
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Nothing heard for so long, or no step further, is trouble: a stream at rest sends a heartbeat each second.
const PATIENCE_NS: u64 = 3 * SECOND_NS;

/// The counter set of the stream's listener.
const BUS: &str = "listener";

/// Watches both streams of a rewinder.
pub struct Watch {
    streams: [Watched; 2],
    counters: CounterSets,
    rewinders: String,
    directory: PathBuf,
}

struct Watched {
    name: &'static str,
    session: Session,
    group: SocketAddrV4,
    progress: Arc<Progress>,
    /// As of the last change of each, with its time.
    packets: (u64, u64),
    next: (u64, u64),
    foreign: u64,
}

impl Watch {
    pub(super) fn new(
        streams: &[Stream; 2],
        groups: [SocketAddrV4; 2],
        counters: &CounterSets,
        rewinders: &[SocketAddrV4],
        directory: &Path,
    ) -> Self {
        let rewinders: Vec<String> = rewinders.iter().map(ToString::to_string).collect();
        let watched = |index: usize, name| Watched {
            name,
            session: streams[index].session,
            group: groups[index],
            progress: streams[index].progress.clone(),
            packets: (0, 0),
            next: (0, 0),
            foreign: 0,
        };
        Self {
            streams: [watched(0, BUS), watched(1, "acknowledgement_listener")],
            counters: counters.clone(),
            rewinders: rewinders.join(", "),
            directory: directory.to_owned(),
        }
    }

    /// What is wrong at this time, if anything is.
    pub(super) fn look(&mut self, now_ns: u64) -> Option<String> {
        let Self { streams, counters, rewinders, directory } = self;
        let looks: Vec<_> =
            streams.iter_mut().map(|stream| stream.look(now_ns, counters, rewinders, directory)).collect();
        looks.into_iter().flatten().next()
    }
}

impl Watched {
    fn look(
        &mut self,
        now_ns: u64,
        counters: &CounterSets,
        rewinders: &str,
        directory: &Path,
    ) -> Option<String> {
        let Self { name, session, group, .. } = *self;
        let receiver = format!("{name}_receiver");
        let packets = counter(counters, &receiver, "packets");
        let foreign = counter(counters, &receiver, "foreign");
        let (next, known) = (counter(counters, name, "next"), counter(counters, name, "known"));
        let silent = since(&mut self.packets, packets, now_ns);
        let stuck = since(&mut self.next, next, now_ns);
        let others = std::mem::replace(&mut self.foreign, foreign) < foreign;
        if self.progress.full.get() > 0 {
            return Some(format!(
                "there is no room for the journal of {session} in {}: nothing more is kept until there is",
                directory.display()
            ));
        }
        if silent && others {
            let other = match counter(counters, name, "other_session") {
                0 => "another one".to_owned(),
                number => format!("session {}", name_of(number)),
            };
            let bus = if name == BUS { other.as_str() } else { "the stream's" };
            return Some(format!(
                "what is sent to {group} is {other}, and {} holds {session}. If the stream goes on under that name from a forced lead (`gds status` of a node: session_...), messages may differ from \
                 those kept here, and nothing of it is taken: stop this rewinder and go on with `gds rewind --accept-session NEW`, NEW being {bus}. Else name the right group or directory",
                directory.display()
            ));
        }
        if silent && self.progress.ended.get() == 0 {
            return Some(format!(
                "nothing of {session} is heard on {group}: what is here is answered, and nothing new is kept"
            ));
        }
        (stuck && next < known).then(|| {
            format!(
                "message {next} of {session} is missing, and none of {rewinders} answers for it; it is asked for until one does"
            )
        })
    }
}

/// Whether a value has not changed for a while; notes it with its time when it has.
fn since(noted: &mut (u64, u64), value: u64, now_ns: u64) -> bool {
    if noted.0 != value || noted.1 == 0 {
        *noted = (value, now_ns);
    }
    now_ns - noted.1 >= PATIENCE_NS
}

fn counter(counters: &CounterSets, set: &str, counter: &str) -> u64 {
    let mut found = 0;
    for (_, counters) in counters.iter().filter(|(name, _)| name == set) {
        counters.for_each(&mut |name, _, value| {
            if name == counter {
                found = value;
            }
        });
    }
    found
}
