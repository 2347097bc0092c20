//! A start that takes another node's snapshot.
//!
//! Every peer is asked what it has. If a snapshot is to be taken ([`choose`]), it is fetched chunk by chunk: over a new connection from the first chunk on that
//! is not there, where one breaks; from whoever offers one then, where the giver has it no more. A start that gets none goes on with what it has, and says
//! so: where that does not do, it is sent here again once it runs ([`giver`](super::giver)).
use super::arrival::{Arriving, Landing};
use super::link::Link;
use crate::config::Config;
use crate::settings;
use gds_core::agent::Fault;
use gds_core::replication::NodeId;
use gds_core::replication::learner::{Stock, choose};
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, Offer, SnapshotRefusal};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

/// How long a peer may take to answer a question.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a giver may send nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Attempts in which nothing comes, of one snapshot, and of all.
const ATTEMPTS: u32 = 20;
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(500);

/// A node that may need a snapshot.
pub struct Learner<'a> {
    /// Its configuration.
    pub config: &'a Config,
    /// The address of its interface.
    pub own: Ipv4Addr,
    /// The stream.
    pub stream: Session,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
    /// The last message that it knows to be committed.
    pub committed: u64,
}

/// What a peer offers.
struct Offered {
    peer: NodeId,
    address: SocketAddrV4,
    first_kept: u64,
    chunks: u32,
    landing: Landing,
}

impl Offered {
    fn of(peer: NodeId, address: SocketAddrV4, offer: &Offer<'_>) -> Self {
        let landing = Landing {
            sequence: offer.sequence,
            epoch: offer.epoch,
            message: offer.message.to_vec(),
            acknowledgement: offer.acknowledgement.to_vec(),
        };
        Self { peer, address, first_kept: offer.first_kept, chunks: offer.chunks, landing }
    }
}

/// A snapshot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whose.
    pub from: NodeId,
    /// Its message.
    pub sequence: u64,
    /// Its chunks, and their bytes.
    pub chunks: u32,
    /// Bytes that came, those that came twice included.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, sequence, chunks, bytes, took } = self;
        write!(
            f,
            "began with the snapshot at message {sequence} of node {from}: {chunks} chunks, {} KiB, {} ms",
            bytes.div_ceil(1024),
            took.as_millis()
        )
    }
}

/// Why a snapshot did not come.
enum Trouble {
    /// The link broke, or nothing came.
    Link(io::Error),
    Refused(SnapshotRefusal),
    /// What came is not what was offered, or cannot be kept.
    Useless(Fault),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Refused(reason) => reason.fmt(f),
            Self::Useless(fault) => fault.fmt(f),
        }
    }
}

impl Learner<'_> {
    /// Whether the leader's journal, as it says itself, begins too late for this node, and it has a snapshot.
    pub fn is_left_behind(&self) -> bool {
        self.chosen(u64::MAX, |peer| Some(peer) == self.leader).is_some()
    }

    /// Takes a snapshot if one is to be taken: it has arrived then, and is to be [settled](super::arrival::settle). `Ok(None)`: there is none to be taken.
    ///
    /// # Errors
    /// In words, why none came though one was to be taken.
    pub fn fetch(&self) -> Result<Option<Fetched>, String> {
        let began = Instant::now();
        let mut bytes = 0;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let Some(offered) = self.chosen(self.config.cluster.snapshot_behind_messages, |_| true) else {
                return if last.is_empty() { Ok(None) } else { Err(last) };
            };
            match self.take(&offered, &mut bytes) {
                Ok(()) => {
                    let Offered { peer, chunks, landing, .. } = offered;
                    let (from, sequence, took) = (peer, landing.sequence, began.elapsed());
                    return Ok(Some(Fetched { from, sequence, chunks, bytes, took }));
                }
                Err(why) => last = format!("the snapshot of node {} did not come: {why}", offered.peer),
            }
            thread::sleep(AGAIN);
        }
        Err(last)
    }

    /// Whose snapshot is to be taken, of those peers.
    fn chosen(&self, behind_messages: u64, of: impl Fn(NodeId) -> bool) -> Option<Offered> {
        let offers: Vec<Offered> = settings::peers(self.config)
            .into_iter()
            .filter(|(peer, _)| of(*peer))
            .filter_map(|(peer, address)| {
                let address = SocketAddrV4::new(address, self.config.cluster.history_port);
                self.ask(peer, address).ok().flatten()
            })
            .collect();
        let stocks: Vec<Stock> = offers
            .iter()
            .map(|offered| Stock {
                node: offered.peer,
                first_kept: offered.first_kept,
                snapshot: offered.landing.sequence,
            })
            .collect();
        let chosen = choose(&stocks, self.committed, self.leader, behind_messages)?;
        offers.into_iter().find(|offered| offered.peer == chosen)
    }

    fn ask(&self, peer: NodeId, address: SocketAddrV4) -> io::Result<Option<Offered>> {
        let mut link = Link::open(self.own, address, self.stream, ANSWER)?;
        link.say(&Frame::Question)?;
        Ok(match link.hear()? {
            (stream, Frame::Offer(offer)) if stream == self.stream => {
                Some(Offered::of(peer, address, &offer))
            }
            _ => None,
        })
    }

    /// Takes all of it, over as many connections as that needs.
    fn take(&self, offered: &Offered, bytes: &mut u64) -> Result<(), Trouble> {
        let Landing { sequence, .. } = offered.landing;
        let mut arriving =
            Arriving::begin(self.config, self.stream, sequence, offered.chunks).map_err(Trouble::Useless)?;
        let mut attempts = 0;
        loop {
            let before = arriving.arrival.next();
            let Err(trouble) = self.go_on(offered, &mut arriving, bytes) else { break };
            attempts = if arriving.arrival.next() > before { 0 } else { attempts + 1 };
            let passes = matches!(trouble, Trouble::Link(_) | Trouble::Refused(SnapshotRefusal::Busy));
            if !passes || attempts >= ATTEMPTS {
                return Err(trouble);
            }
            thread::sleep(AGAIN);
        }
        arriving.land(&offered.landing).map_err(Trouble::Useless)
    }

    /// Takes what is missing, over one connection.
    fn go_on(&self, offered: &Offered, arriving: &mut Arriving<'_>, bytes: &mut u64) -> Result<(), Trouble> {
        if arriving.arrival.is_whole() {
            return Ok(());
        }
        let mut link = Link::open(self.own, offered.address, self.stream, PATIENCE).map_err(Trouble::Link)?;
        let get = Frame::Get { sequence: offered.landing.sequence, chunk: arriving.arrival.next() };
        link.say(&get).map_err(Trouble::Link)?;
        while !arriving.arrival.is_whole() {
            match link.hear().map_err(Trouble::Link)? {
                (_, Frame::Chunk(chunk)) => {
                    *bytes += chunk.len() as u64;
                    arriving.take(chunk).map_err(Trouble::Useless)?;
                }
                (_, Frame::Refusal(reason)) => return Err(Trouble::Refused(reason)),
                _ => return Err(Trouble::Link(io::Error::other("it answers something else"))),
            }
        }
        Ok(())
    }
}
