//! `gds demo`: the whole appliance on loopback, checked from outside.
//!
//! Four threads: two run the node; one is the outside world that writes (the feed on its lines A and B, and a client with native
//! transactions in between); one is an independent listener that fills its gaps, keeps a store of its own from what it hears,
//! and so arrives at the node's digest, or does not.
mod listener;
mod place;
mod report;
mod world;

use crate::arguments::{Demo, DurabilityChoice, TransportChoice};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use gds_client::{Network, Reader};
use gds_core::journal::walk;
use gds_feed::day::{Day, DayConfig};
use gds_feed::orders::LiveOrder;
use gds_node::node::Node;
use gds_node::ports::Files;
use gds_wire::query::Key;
use listener::{Follower, Heard};
use place::Place;
use report::{Checks, Report};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use world::{Fed, World};

/// How long the listener may take to hear the end after the last acknowledgement.
const TAIL: Duration = Duration::from_secs(20);
/// How long a query may take.
const QUERY: Duration = Duration::from_secs(10);
/// Keys of one multi-get.
const KEYS: usize = 128;

/// Runs the demo and says whether everything agrees.
pub fn run(arguments: &Demo) -> Outcome {
    let day = DayConfig::new(arguments.seed, arguments.messages);
    let day = Day::new(day).map_err(Failure::usage)?;
    let losses =
        [("--ingress-loss", arguments.ingress_loss), ("--downstream-loss", arguments.downstream_loss)];
    for (option, percent) in losses {
        if !(0.0..=50.0).contains(&percent) {
            return Err(Failure::usage(format!("{option} {percent}: 0 to 50 per cent")));
        }
    }
    let place = Place::make(arguments).map_err(Failure::failed)?;
    let started = Instant::now();
    let node = Node::start(place.config(), &mut gds_node::step::unwatched).map_err(Failure::failed)?;
    let network = Network::of(place.config()).map_err(Failure::failed)?;
    let start_ms = started.elapsed().as_millis() as u64;
    if !arguments.json {
        announce(arguments, &node);
    }

    let heard = Arc::new(AtomicU64::new(0));
    let follower = Follower::start(&network, place.config(), heard.clone()).map_err(Failure::failed)?;
    let world = World::start(&network, arguments, day).map_err(Failure::failed)?;
    let mut bar = Progress::new(Some(arguments.messages), "messages heard by the listener");
    while !world.is_done() && node.fault().is_none() {
        bar.set(heard.load(Ordering::Relaxed).min(arguments.messages));
        std::thread::sleep(Duration::from_millis(20));
    }
    bar.finish();
    if let Some(fault) = node.fault() {
        return Err(Failure::failed(format!("the node stopped: {fault}")));
    }
    let fed = world.finish().map_err(Failure::failed)?;

    let mut checks = Checks::default();
    let answers = ask(&network, &fed, &mut checks).map_err(Failure::failed)?;
    // From here on nothing can be added; the listener hears the end.
    node.order_end();
    let heard = follower.finish(TAIL).map_err(Failure::failed)?;
    let digest = Reader::open(&network, "reader", "reader", QUERY)
        .and_then(|mut reader| reader.status(heard.last))
        .map_err(Failure::failed)?;
    let counters = digest.counters.clone();
    let stopped = node.stop();
    compare(&place, &heard, digest.status.digest, &mut checks)?;
    checks.add("the node stopped in order", stopped.is_ok());
    let report = Report { start_ms, fed, heard, answers, digest: digest.status.digest, counters, checks };
    report.show(arguments);
    if report.checks.all_hold() {
        Ok(())
    } else {
        Err(Failure::failed("the demo found a disagreement, see above"))
    }
}

fn announce(arguments: &Demo, node: &Node) {
    let transport = match arguments.transport {
        TransportChoice::Auto => "the best transport there is",
        TransportChoice::IoUring => "io_uring",
        TransportChoice::Socket => "plain sockets",
    };
    let durability = match arguments.durability {
        DurabilityChoice::Memory => "memory",
        DurabilityChoice::Fsync => "fsync",
    };
    println!(
        "GDS demo: a trading day of {} ITCH 5.0 messages (seed {}) through a whole node on loopback.\n\
         Stream {}, durability {durability}, over {transport}. {} % of the packets of each feed line are lost, {} % of those sent out.\n",
        crate::text::grouped(arguments.messages),
        arguments.seed,
        node.stream().session,
        arguments.ingress_loss,
        arguments.downstream_loss,
    );
}

/// What was asked over SoupBinTCP.
pub struct Answers {
    /// Queries answered.
    pub queries: u64,
    /// Records read.
    pub records: u64,
    /// Digest of keys and values, without versions: the same for every run of one seed, however the clients' packets met.
    pub content: u64,
    /// How long all of it took.
    pub seconds: f64,
}

impl Answers {
    fn take(&mut self, records: &[Option<gds_client::Record>]) {
        self.queries += 1;
        self.records += records.len() as u64;
        for record in records.iter().flatten() {
            let of = |bytes: &[u8]| u64::from(gds_wire::checksum(bytes));
            let link = of(&record.key) << 32 | of(&record.value);
            // A sum, so that the order in which keys are asked for does not count.
            self.content = self
                .content
                .wrapping_add((link ^ u64::from(record.table)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
    }
}

/// Asks for every live order and for native records, and holds the answers against what the feed and the client know.
fn ask(network: &Network, fed: &Fed, checks: &mut Checks) -> Result<Answers, gds_client::ClientError> {
    let started = Instant::now();
    let mut reader = Reader::open(network, "reader", "reader", QUERY)?;
    let mut answers = Answers { queries: 0, records: 0, content: 0, seconds: 0.0 };
    let mut right = true;
    let references: Vec<[u8; 8]> = fed.live.iter().map(|order| order.reference.to_be_bytes()).collect();
    for (orders, keys) in fed.live.chunks(KEYS).zip(references.chunks(KEYS)) {
        let keys: Vec<Key<'_>> = keys.iter().map(|key| Key { table: place::ORDERS, key }).collect();
        let records = reader.get_all(&keys, 0, fed.last)?;
        answers.take(&records);
        let same = |(order, record): (&LiveOrder, &Option<gds_client::Record>)| {
            record.as_ref().is_some_and(|record| listener::is_order(&record.value, order))
        };
        right &= orders.iter().zip(&records).all(same);
    }
    checks.add("every live order of the day is in the store, with its shares and price", right);
    let mut found = 0;
    for keys in fed.native_keys.chunks(KEYS) {
        let keys: Vec<Key<'_>> = keys.iter().map(|key| Key { table: place::RECORDS, key }).collect();
        let records = reader.get_all(&keys, 0, fed.last)?;
        answers.take(&records);
        found += records.iter().flatten().count();
    }
    checks.add("every key that the client wrote is in the store", found == fed.native_keys.len());
    let native = reader.get(place::RECORDS, &fed.native_key, 0, fed.last)?;
    let before = fed
        .native_before
        .map(|sequence| reader.get(place::RECORDS, &fed.native_key, sequence, 0))
        .transpose()?;
    answers.queries += 2;
    answers.records += 2;
    let newest =
        native.is_some_and(|record| record.value == fed.native_value && record.version == fed.native_version);
    checks.add("the client's record has the value it acknowledged last", newest);
    if let Some(before) = before {
        let older = before.is_none_or(|record| record.version < fed.native_version);
        checks.add("as of an earlier sequence number it is an earlier version", older);
    }
    let mut in_range = 0;
    let from = fed.last.saturating_sub(999).max(1);
    reader.range(from, fed.last, &mut |sequence, _| in_range += u64::from(sequence == from + in_range))?;
    answers.queries += 1;
    checks.add("a range of the stream comes back in order", in_range == fed.last - from + 1);
    let orders = reader.status(fed.last)?;
    answers.queries += 1;
    let counted = fed.live.len() as u64 <= orders.status.records;
    checks.add("the store counts at least the live orders", counted);
    reader.close();
    answers.seconds = started.elapsed().as_secs_f64();
    Ok(answers)
}

/// Stream, store and listener: do they agree?
fn compare(place: &Place, heard: &Heard, node_digest: u128, checks: &mut Checks) -> Result<(), Failure> {
    checks.add("the listener's own store has the node's digest", heard.store_digest == node_digest);
    let mut files = Files::open_to_read(&place.bus_folder()).map_err(Failure::failed)?;
    let mut chain = listener::Chain::default();
    let walked = walk(&mut files, None, 0, &mut |group| {
        group.messages().for_each(|message| chain.add(message.sequence, message.bytes));
    })
    .map_err(Failure::failed)?;
    let whole = walked.last == heard.last && chain == heard.chain;
    checks.add("the listener heard exactly the journal, every message once and in order", whole);
    checks.add("the journal is closed in order", walked.clean);
    Ok(())
}
