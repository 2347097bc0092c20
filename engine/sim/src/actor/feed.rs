//! A feed: sends the same messages on lines A and B, answers requests for them, and does not care whether anybody listens.
use super::patience::Patience;
use super::{Scene, blocks, receive_from};
use crate::network::{SharedNetwork, SimulatedPort};
use crate::plan::{FEED_NET, FEED_SERVER_PORT, FeedKind, INGRESS_A, INGRESS_B, between, pick};
use crate::truth::Truth;
use crate::violation::Checked;
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS};
use gds_wire::mold::{self, PacketBuilder, Request};
use gds_wire::refusal::{Refusal, RefusalReason};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Messages kept back until the faults stop, so that at least these get through.
const KEPT_BACK: u64 = 3;
/// Bytes of a packet.
const PACKET_BYTES: usize = 1400;

/// One day of a feed.
pub struct Feed {
    kind: FeedKind,
    session: Session,
    host: Ipv4Addr,
    /// Lines A and B, with where they go, and the server.
    lines: [(SimulatedPort, SocketAddrV4); 2],
    server: SimulatedPort,
    /// Lost per thousand, on each line.
    loss_per_mille: [u64; 2],
    total: u64,
    next: u64,
    due_ns: u64,
    requests: u64,
    patience: Patience,
}

impl Feed {
    /// Feed `number` of this kind.
    pub fn new(kind: FeedKind, number: u64, network: &SharedNetwork, scene: &mut Scene<'_>) -> Self {
        let (letter, host) = match kind {
            FeedKind::Server => ("A", 1),
            FeedKind::Source => ("B", 2),
            FeedKind::Skip => ("C", 3),
        };
        let session = Session::padded(&format!("F{letter}{number}")).expect("a name");
        let host = Ipv4Addr::new(10, FEED_NET, 0, host);
        scene.truth.begin_session(session, true);
        let port = |number| SimulatedPort::open(network, SocketAddrV4::new(host, number), &[], None);
        let loss = |random: &mut Random| *pick(random, &[0, 20, 300]);
        let random = &mut *scene.random;
        Self {
            kind,
            session,
            host,
            lines: [(port(1), INGRESS_A), (port(2), INGRESS_B)],
            server: port(FEED_SERVER_PORT),
            loss_per_mille: [loss(random), loss(random)],
            total: KEPT_BACK + between(random, 1, scene.plan.messages_per_feed),
            next: 1,
            due_ns: 0,
            requests: 0,
            patience: Patience::default(),
        }
    }

    /// Where it is.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Requests it had.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Its session.
    pub fn session(&self) -> Session {
        self.session
    }

    /// Whether there was no place for it.
    pub fn gave_up(&self) -> bool {
        self.patience.is_lost()
    }

    /// Whether its end is in the stream, or there is no place for it.
    pub fn is_done(&self, truth: &Truth) -> bool {
        self.gave_up() || truth.sender(&self.session).is_some_and(|sender| sender.ended_at > 0)
    }

    /// Why it is not done, for context.
    pub fn describe(&self, truth: &Truth) -> String {
        let next = truth.sender(&self.session).map_or(0, |sender| sender.next);
        let (kind, session) = (self.kind, self.session);
        format!(
            "feed {session} ({kind:?}): sent {} of {}, the stream wants {next}",
            self.next - 1,
            self.total
        )
    }

    /// One duty cycle.
    pub fn duty(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        let mut work = self.answer(scene);
        if scene.now.monotonic_ns < self.due_ns || self.is_done(scene.truth) {
            return Ok(work);
        }
        self.due_ns = scene.now.monotonic_ns + between(scene.random, 20 * MICROSECOND_NS, MILLISECOND_NS);
        let sendable = if scene.calm { self.total } else { self.total - KEPT_BACK };
        if self.next <= sendable {
            self.send_next(scene, sendable);
            work += 1;
        } else if self.next > self.total {
            scene.truth.end_session(&self.session);
            self.patience.try_on(&self.session, scene);
            if scene.truth.sender(&self.session).is_some_and(|sender| sender.next == 0) {
                // Nobody has heard a message of it yet, and only a message lets a feed in.
                let packet = self.packet(scene, self.next - 1, 1);
                self.send(scene, &packet);
            }
            self.send(scene, &mold::end_of_session(self.session, self.next));
            self.due_ns += 2 * MILLISECOND_NS;
        } else {
            self.send(scene, &mold::heartbeat(self.session, self.next));
            self.due_ns += 5 * MILLISECOND_NS;
        }
        Ok(work)
    }

    /// A packet of new messages, which may begin with old ones.
    fn send_next(&mut self, scene: &mut Scene<'_>, sendable: u64) {
        let count = between(scene.random, 1, 6).min(sendable - self.next + 1);
        for _ in 0..count {
            let first = self.next == 1;
            let message = blocks::itch(first, scene.random);
            scene.truth.submit(&self.session, &message);
            self.next += 1;
        }
        let overlap = if scene.random.chance(1, 5) { scene.random.below(4) } else { 0 };
        let from = (self.next - count).saturating_sub(overlap).max(1);
        let packet = self.packet(scene, from, self.next - from);
        self.send(scene, &packet);
    }

    fn send(&mut self, scene: &mut Scene<'_>, datagram: &[u8]) {
        for ((port, to), loss) in self.lines.iter_mut().zip(self.loss_per_mille) {
            if scene.calm || !scene.random.chance(loss, 1000) {
                port.send(*to, datagram);
            }
        }
    }

    fn packet(&self, scene: &Scene<'_>, from: u64, count: u64) -> Vec<u8> {
        let mut buffer = [0; PACKET_BYTES];
        let mut builder = PacketBuilder::new(&mut buffer, self.session, from);
        let sent = &scene.truth.sender(&self.session).expect("it has begun").blocks;
        for block in sent.iter().skip(from as usize - 1).take(count as usize) {
            if !builder.push(block) {
                break;
            }
        }
        let length = builder.finish();
        buffer[..length].to_vec()
    }

    fn answer(&mut self, scene: &Scene<'_>) -> usize {
        let mut asked = Vec::new();
        for port in std::iter::once(&mut self.server).chain(self.lines.iter_mut().map(|(port, _)| port)) {
            asked.extend(receive_from(port));
        }
        for (from, datagram) in &asked {
            if Refusal::parse(datagram).is_some_and(|it| it.reason == RefusalReason::SessionsFull) {
                self.patience.refuse();
            }
            let Some(request) = Request::parse(datagram).filter(|request| request.session == self.session)
            else {
                continue;
            };
            self.requests += 1;
            if (1..self.next).contains(&request.sequence) && request.count > 0 {
                let packet = self.packet(scene, request.sequence, u64::from(request.count));
                self.server.send(*from, &packet);
            }
        }
        asked.len()
    }
}
