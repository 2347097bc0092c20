//! A start that takes another node's snapshot.
//!
//! Every peer is asked what it has. If a snapshot is to be taken ([`choose`]), it is fetched chunk by chunk: over a new connection from the first chunk on that
//! is not there, where one breaks; from whoever offers one then, where the giver has it no more. A start that gets none goes on with what it has, and says
//! so: where that does not do, it is sent here again once it runs ([`giver`](super::giver)). One that ends before all has come leaves it for the next, which
//! goes on with it if its giver has the snapshot still, a newer one or not.
use super::arrival::{self, Arriving, Landing, Parcel};
use super::link::Link;
use super::transfer::Transfer;
use crate::config::Config;
use crate::settings;
use crate::step::{Step, Watcher, unwatched};
use gds_core::agent::Fault;
use gds_core::replication::NodeId;
use gds_core::replication::learner::{Stock, choose};
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, SnapshotRefusal};
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
/// How often whoever waits between two looks whether to go on.
const LOOK: Duration = Duration::from_millis(20);

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

/// What a peer has.
struct Offered {
    address: SocketAddrV4,
    first_kept: u64,
    parcel: Parcel,
}

/// A snapshot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whose.
    pub from: NodeId,
    /// Its message.
    pub sequence: u64,
    /// Its chunks.
    pub chunks: u32,
    /// Of these, those that an earlier start had taken.
    pub before: u32,
    /// Bytes that came.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, sequence, chunks, before, bytes, took } = self;
        write!(f, "began with the snapshot at message {sequence} of node {from}: {chunks} chunks, ")?;
        if *before > 0 {
            write!(f, "{before} of them from an earlier start, ")?;
        }
        write!(f, "{} KiB, {} ms", bytes.div_ceil(1024), took.as_millis())
    }
}

/// Why a snapshot did not come.
enum Trouble {
    /// The link broke, or nothing came.
    Link(io::Error),
    Refused(SnapshotRefusal),
    /// What came is not what was offered, or cannot be kept.
    Useless(Fault),
    /// What came is what was offered, and no store with its digest.
    Wrong(Fault),
    /// The start is to end.
    Stopped,
}

impl Trouble {
    /// Whether the same snapshot may come later.
    fn passes(&self) -> bool {
        matches!(self, Self::Link(_) | Self::Refused(SnapshotRefusal::Busy) | Self::Stopped)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Refused(reason) => reason.fmt(f),
            Self::Useless(fault) | Self::Wrong(fault) => fault.fmt(f),
            Self::Stopped => f.write_str("the start was told to stop"),
        }
    }
}

/// Says that it waits, for a while; whether it is to go on.
fn pause(watcher: &mut Watcher<'_>) -> bool {
    let until = Instant::now() + AGAIN;
    while Instant::now() < until {
        if watcher(Step::Wait).is_break() {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

impl Learner<'_> {
    /// Whether the leader's journal, as it says itself, begins too late for this node, and it has a snapshot.
    pub fn is_left_behind(&self) -> bool {
        let offers = self.offers(|peer| Some(peer) == self.leader, &mut unwatched);
        self.chosen(&offers, u64::MAX).is_some()
    }

    /// Takes a snapshot if one is to be taken: it has arrived then, and is to be [settled](super::arrival::settle). `Ok(None)`: there is none to be taken.
    ///
    /// # Errors
    /// In words, why none came though one was to be taken. What has come of one is kept, for the next start to go on with.
    pub fn fetch(&self, watcher: &mut Watcher<'_>) -> Result<Option<Fetched>, String> {
        let mut last = String::new();
        let mut wrong: Vec<Parcel> = Vec::new();
        for _ in 0..ATTEMPTS {
            let mut offers = self.offers(|_| true, watcher);
            offers.retain(|offered| !wrong.contains(&offered.parcel));
            let chosen = self.chosen(&offers, self.config.cluster.snapshot_behind_messages);
            let Some((giver, parcel)) = chosen.map(|chosen| self.begun(&offers).unwrap_or(chosen)) else {
                return if last.is_empty() { Ok(None) } else { Err(last) };
            };
            match self.take(giver.address, &parcel, watcher) {
                Ok(Transfer { sequence, chunks, before, bytes, took_ns, .. }) => {
                    let (from, took) = (parcel.from, Duration::from_nanos(took_ns));
                    return Ok(Some(Fetched { from, sequence, chunks, before, bytes, took }));
                }
                Err(why) => {
                    last = format!("the snapshot of node {} did not come: {why}", parcel.from);
                    wrong.extend(matches!(why, Trouble::Wrong(_)).then_some(parcel));
                }
            }
            if !pause(watcher) {
                break;
            }
        }
        Err(last)
    }

    /// What the peers say that answer.
    fn offers(&self, of: impl Fn(NodeId) -> bool, watcher: &mut Watcher<'_>) -> Vec<Offered> {
        let peers = settings::peers(self.config).into_iter().filter(|(peer, _)| of(*peer));
        peers
            .filter_map(|(peer, address)| {
                let address = SocketAddrV4::new(address, self.config.cluster.history_port);
                let goes_on = watcher(Step::Wait).is_continue();
                goes_on.then(|| self.ask(peer, address, watcher).ok().flatten()).flatten()
            })
            .collect()
    }

    fn ask(
        &self,
        peer: NodeId,
        address: SocketAddrV4,
        watcher: &mut Watcher<'_>,
    ) -> io::Result<Option<Offered>> {
        let mut link = Link::open(self.own, address, self.stream, ANSWER)?;
        link.say(&Frame::Question)?;
        Ok(match link.hear_while(&mut || watcher(Step::Wait).is_continue())? {
            (stream, Frame::Offer(offer)) if stream == self.stream => {
                let (first_kept, parcel) = (offer.first_kept, Parcel::of(peer, &offer));
                Some(Offered { address, first_kept, parcel })
            }
            _ => None,
        })
    }

    /// Whose snapshot is to be taken, if any is.
    fn chosen<'o>(&self, offers: &'o [Offered], behind_messages: u64) -> Option<(&'o Offered, Parcel)> {
        let stock = |offered: &Offered| Stock {
            node: offered.parcel.from,
            first_kept: offered.first_kept,
            snapshot: offered.parcel.landing.sequence,
        };
        let stocks: Vec<Stock> = offers.iter().map(stock).collect();
        let chosen = choose(&stocks, self.committed, self.leader, behind_messages)?;
        let giver = offers.iter().find(|offered| offered.parcel.from == chosen)?;
        Some((giver, giver.parcel.clone()))
    }

    /// The snapshot of which an earlier attempt has taken a part, if its giver answers, and the leader's journal goes back to it: the giver keeps it for a
    /// while, though it offers a newer one by now.
    fn begun<'o>(&self, offers: &'o [Offered]) -> Option<(&'o Offered, Parcel)> {
        let parcel = arrival::begun(self.config, self.stream)?;
        let sequence = parcel.landing.sequence;
        let of = |node: NodeId| offers.iter().find(|offered| offered.parcel.from == node);
        let leader = self.leader.and_then(of);
        let is_enough = sequence > self.committed && leader.is_none_or(|has| has.first_kept <= sequence);
        of(parcel.from).filter(|_| is_enough).map(|giver| (giver, parcel))
    }

    /// Takes all of it, over as many connections as that needs.
    fn take(
        &self,
        address: SocketAddrV4,
        parcel: &Parcel,
        watcher: &mut Watcher<'_>,
    ) -> Result<Transfer, Trouble> {
        let mut arriving = Arriving::begin(self.config, self.stream, parcel).map_err(Trouble::Useless)?;
        let before = arriving.arrival.next();
        let Parcel { from, chunks, landing: Landing { sequence, .. }, .. } = *parcel;
        let mut coming = Coming {
            from,
            began: Instant::now(),
            transfer: Transfer { sequence, chunks, there: before, before, ..Transfer::default() },
            watcher,
        };
        let mut attempts = 0;
        loop {
            let before = arriving.arrival.next();
            let Err(trouble) = self.go_on(address, &mut arriving, &mut coming) else { break };
            attempts = if arriving.arrival.next() > before { 0 } else { attempts + 1 };
            if !trouble.passes() {
                arrival::discard(self.config).map_err(Trouble::Useless)?;
                return Err(trouble);
            }
            if attempts >= ATTEMPTS {
                return Err(trouble);
            }
            if !pause(coming.watcher) {
                return Err(Trouble::Stopped);
            }
        }
        if let Err(fault) = arriving.verify() {
            arrival::discard(self.config).map_err(Trouble::Useless)?;
            return Err(Trouble::Wrong(fault));
        }
        arriving.land(&parcel.landing).map_err(Trouble::Useless)?;
        Ok(coming.transfer)
    }

    /// Takes what is missing, over one connection.
    fn go_on(
        &self,
        address: SocketAddrV4,
        arriving: &mut Arriving<'_>,
        coming: &mut Coming<'_, '_>,
    ) -> Result<(), Trouble> {
        if arriving.arrival.is_whole() {
            return Ok(());
        }
        let mut link = Link::open(self.own, address, self.stream, PATIENCE).map_err(Trouble::Link)?;
        let get = Frame::Get { sequence: arriving.arrival.sequence(), chunk: arriving.arrival.next() };
        link.say(&get).map_err(Trouble::Link)?;
        while !arriving.arrival.is_whole() {
            match link.hear_while(&mut || coming.tell()).map_err(Trouble::Link)? {
                (_, Frame::Chunk(chunk)) => {
                    arriving.take(chunk).map_err(Trouble::Useless)?;
                    coming.transfer.bytes += chunk.len() as u64;
                    coming.transfer.there = arriving.arrival.next();
                }
                (_, Frame::Refusal(reason)) => return Err(Trouble::Refused(reason)),
                _ => return Err(Trouble::Link(io::Error::other("it answers something else"))),
            }
        }
        coming.tell();
        Ok(())
    }
}

/// A snapshot that comes, and who is told how far it is.
struct Coming<'a, 'w> {
    from: NodeId,
    began: Instant,
    transfer: Transfer,
    watcher: &'a mut Watcher<'w>,
}

impl Coming<'_, '_> {
    /// Tells it; whether to go on.
    fn tell(&mut self) -> bool {
        self.transfer.took_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        (self.watcher)(Step::Fetch { from: self.from, transfer: self.transfer }).is_continue()
    }
}

#[cfg(test)]
mod tests;
