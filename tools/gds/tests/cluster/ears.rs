//! Listeners, and a witness: what everybody on the clients' network hears.
//!
//! A listener follows one stream with gap fill, as any application does. The witness takes every packet of both groups as it comes, whoever sent it
//! and whenever, and holds it against all packets before it: one number has one content, for ever.
use crate::cluster::MEMBERS;
use crate::common::PATIENCE;
use gds_client::{Listener, ListenerConfig, Network};
use gds_core::port::DatagramPort;
use gds_node::ports::Datagrams;
use gds_wire::mold::Packet;
use gds_wire::session::Session;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Datagrams taken at a time.
const DATAGRAMS: usize = 256;

/// What stands for a message; never 0.
pub fn fingerprint(message: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(message);
    hasher.finish() | 1
}

/// What was heard of one stream.
#[derive(Default)]
pub struct Stream {
    /// Fingerprints of all messages that the listener was delivered, from number 1 on.
    pub delivered: Vec<u64>,
    /// Those that the witness saw, by number; 0 at those it missed.
    pub witnessed: Vec<u64>,
    /// Messages that came more than once.
    repeated: u64,
    /// Messages that the listener missed first, and asked for.
    filled: u64,
}

/// What was heard of both.
#[derive(Default)]
pub struct Heard {
    /// The bus.
    pub bus: Stream,
    /// The acknowledgements.
    pub acknowledgements: Stream,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bus, acknowledgements } = self;
        write!(
            f,
            "{} messages and {} acknowledgements were heard more than once, {} and {} were asked for",
            bus.repeated, acknowledgements.repeated, bus.filled, acknowledgements.filled
        )
    }
}

/// What the thread and the test share.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    delivered: [AtomicU64; 2],
    /// Acknowledgements seen, by the node that sent them.
    from: [AtomicU64; MEMBERS],
    /// The node whose death is watched, from 1; 0: none.
    watched: AtomicU64,
    /// When the first acknowledgement of another one came since, in nanoseconds from `Ears::began`; 0: not yet.
    next_ns: AtomicU64,
}

/// The thread that listens.
pub struct Ears {
    shared: Arc<Shared>,
    began: Instant,
    thread: Option<JoinHandle<Heard>>,
}

impl Ears {
    /// Begins to listen to both groups, on this thread's host; `nodes` are the members' addresses.
    pub fn open(network: &Network, nodes: Vec<Ipv4Addr>) -> Self {
        let (shared, began) = (Arc::<Shared>::default(), Instant::now());
        let (bus, acknowledgements) =
            (ListenerConfig::bus(network), ListenerConfig::acknowledgements(network));
        let mut ears = [Ear::open(network, bus), Ear::open(network, acknowledgements)];
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            while !of_thread.over.load(Ordering::Relaxed) {
                let work = ears[0].take(&mut |_, _| {})
                    + ears[1].take(&mut |from, count| {
                        let Some(place) = nodes.iter().position(|node| node == from.ip()) else { return };
                        of_thread.from[place].fetch_add(count, Ordering::Relaxed);
                        let watched = of_thread.watched.load(Ordering::Acquire);
                        if watched != 0
                            && watched != place as u64 + 1
                            && of_thread.next_ns.load(Ordering::Relaxed) == 0
                        {
                            of_thread.next_ns.store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                        }
                    });
                for (ear, delivered) in ears.iter().zip(&of_thread.delivered) {
                    delivered.store(ear.stream.delivered.len() as u64, Ordering::Relaxed);
                }
                if work == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            let [bus, acknowledgements] = ears.map(Ear::finish);
            Heard { bus, acknowledgements }
        });
        Self { shared, began, thread: Some(thread) }
    }

    /// Watches for the next acknowledgement that is not this node's.
    pub fn watch(&self, place: usize) {
        self.shared.watched.store(0, Ordering::Release);
        self.shared.next_ns.store(0, Ordering::Relaxed);
        self.shared.watched.store(place as u64 + 1, Ordering::Release);
    }

    /// How long after `since` it came, if it did.
    pub fn next_after(&self, since: Instant) -> Option<Duration> {
        let at = Duration::from_nanos(self.shared.next_ns.load(Ordering::Relaxed));
        (!at.is_zero()).then(|| (self.began + at).saturating_duration_since(since))
    }

    /// Acknowledgements that this node has sent.
    pub fn acknowledgements_from(&self, place: usize) -> u64 {
        self.shared.from[place].load(Ordering::Relaxed)
    }

    /// Fails the test if something contradictory was heard.
    pub fn check(&self) {
        assert!(
            self.thread.as_ref().is_some_and(|thread| !thread.is_finished()),
            "listening has ended: see above"
        );
    }

    /// Waits until both listeners have been delivered everything up to this message.
    pub fn await_all(&self, last: u64) {
        let deadline = Instant::now() + PATIENCE;
        let delivered =
            || self.shared.delivered.each_ref().map(|delivered| delivered.load(Ordering::Relaxed));
        while delivered() != [last; 2] {
            self.check();
            assert!(
                Instant::now() < deadline,
                "the stream has {last} messages, listeners have {:?}",
                delivered()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends, and tells what was heard.
    pub fn finish(&mut self) -> Heard {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("it ends once")
            .join()
            .expect("something contradictory was heard: see above")
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

/// Listener and witness of one group.
struct Ear {
    listener: Listener,
    group: Datagrams,
    session: Option<Session>,
    stream: Stream,
}

impl Ear {
    fn open(network: &Network, config: ListenerConfig) -> Self {
        let group = network.group_port(config.group).unwrap_or_else(|error| panic!("{error}"));
        let listener = Listener::open(network, config).unwrap_or_else(|error| panic!("{error}"));
        Self { listener, group, session: None, stream: Stream::default() }
    }

    /// Takes what has come; `sent` is told of each packet with messages that nobody had sent before: from whom, and how many messages.
    fn take(&mut self, sent: &mut dyn FnMut(&SocketAddrV4, u64)) -> usize {
        let Self { listener, group, session, stream } = self;
        let mut work = listener.poll(&mut |sequence, message| {
            stream.delivered.push(fingerprint(message));
            assert_eq!(sequence, stream.delivered.len() as u64, "delivered out of order or twice");
        });
        work += group.receive(DATAGRAMS, &mut |from, datagram| {
            let packet = Packet::parse(datagram).unwrap_or_else(|error| panic!("{from} sent: {error:?}"));
            let known = session.get_or_insert(packet.session);
            assert_eq!(*known, packet.session, "{from} sends another stream");
            let new = stream.witness(&packet, from);
            if new > 0 {
                sent(&from, new);
            }
        });
        work
    }

    fn finish(mut self) -> Stream {
        self.stream.filled = self.listener.counters().filled.get();
        self.stream
    }
}

impl Stream {
    /// Holds a packet against those before it; returns how many of its messages are behind all that were seen before.
    fn witness(&mut self, packet: &Packet<'_>, from: SocketAddrV4) -> u64 {
        let mut new = 0;
        for (sequence, message) in packet.messages() {
            let (place, found) = (sequence as usize - 1, fingerprint(message));
            if place >= self.witnessed.len() {
                self.witnessed.resize(place + 1, 0);
                new += 1;
            }
            let seen = &mut self.witnessed[place];
            assert!(
                *seen == 0 || *seen == found,
                "{from} contradicts what was sent as number {sequence}: {message:02x?}"
            );
            self.repeated += u64::from(*seen == found);
            *seen = found;
        }
        new
    }
}
