//! A client: submits transactions, follows acknowledgements.
use super::patience::Patience;
use super::{Scene, blocks, receive, receive_from, receiver_config};
use crate::network::{SharedNetwork, SimulatedPort};
use crate::plan::{ACKNOWLEDGEMENTS, CLIENT_NET, INGRESS_A, INGRESS_B, between, pick};
use crate::violation::{Checked, ensure};
use gds_core::bus::{Receiver, SubmitError, SubmitEvent, Submitter, SubmitterConfig};
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS};
use gds_wire::refusal::RefusalReason;
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One life of one client.
pub struct Client {
    session: Session,
    host: Ipv4Addr,
    submitter: Submitter,
    acknowledgements: Receiver,
    unicast: SimulatedPort,
    group: SimulatedPort,
    left: u64,
    /// It rests until then.
    rests_until_ns: u64,
    /// Client numbers acknowledged so far: all up to this.
    acknowledged: u64,
    patience: Patience,
    stream_ended: bool,
    refusals: BTreeMap<u16, u64>,
}

impl Client {
    /// A client with a name never used before. `acknowledgements`: the session of the acknowledgements.
    pub fn new(
        number: u64,
        acknowledgements: Session,
        network: &SharedNetwork,
        scene: &mut Scene<'_>,
    ) -> Self {
        let session = Session::padded(&format!("C{number}")).expect("a name");
        let host = Ipv4Addr::new(10, CLIENT_NET, (number >> 8) as u8, number as u8);
        scene.truth.begin_session(session, false);
        // Who begins with the first number seen must see one before it submits anything.
        let next = *pick(scene.random, &[0, 1]);
        let receiver = Receiver::new(receiver_config(acknowledgements, next, scene));
        let left = between(scene.random, 1, scene.plan.blocks_per_client);
        Self {
            session,
            host,
            submitter: Submitter::new(config(session, scene.random)),
            acknowledgements: receiver,
            unicast: SimulatedPort::open(network, SocketAddrV4::new(host, 1), &[], None),
            group: SimulatedPort::open(network, SocketAddrV4::new(host, 2), &[ACKNOWLEDGEMENTS], None),
            left,
            rests_until_ns: 0,
            acknowledged: 0,
            patience: Patience::default(),
            stream_ended: false,
            refusals: BTreeMap::new(),
        }
    }

    /// Its session.
    pub fn session(&self) -> Session {
        self.session
    }

    /// Where it is.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Whether everything it wanted is done, and acknowledged.
    pub fn is_done(&self) -> bool {
        self.submitter.finished() || self.gave_up()
    }

    /// Whether it could not get in, because there were too many sessions.
    pub fn gave_up(&self) -> bool {
        self.patience.is_lost()
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> &BTreeMap<u16, u64> {
        &self.refusals
    }

    /// What its parts have counted.
    pub fn for_each_counter(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
        use gds_core::counters::CounterSet;
        self.submitter.counters().for_each(&mut |name, _, value| visit("submitter", name, value));
        self.acknowledgements
            .counters()
            .for_each(&mut |name, _, value| visit("acknowledgement_receiver", name, value));
    }

    /// Why it is not done, for context.
    pub fn describe(&self) -> String {
        format!(
            "client {}: {} to submit, {} not acknowledged, acknowledgement {} is next, {} known",
            self.session,
            self.left,
            self.submitter.unacknowledged(),
            self.acknowledgements.next_sequence(),
            self.acknowledgements.known_sequence()
        )
    }

    /// One duty cycle.
    pub fn duty(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        let mut work = self.take_acknowledgements(scene)?;
        if self.is_done() {
            return Ok(work);
        }
        work += self.take_datagrams(scene)?;
        work += self.submit(scene)?;
        let mut out = Vec::new();
        self.submitter.on_timer(scene.now, &mut |to, burst, bytes| {
            out.extend(burst.chunks(bytes).map(|datagram| (to, datagram.to_vec())));
        });
        work += out.len();
        for (to, datagram) in out {
            self.unicast.send(to, &datagram);
        }
        self.patience.try_on(&self.session, scene);
        Ok(work)
    }

    fn take_acknowledgements(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        let datagrams = receive_from(&mut self.group);
        for (from, datagram) in &datagrams {
            let (mut delivered, mut told) = (Vec::new(), Vec::new());
            let before = self.acknowledgements.next_sequence();
            self.acknowledgements.on_reply(scene.now, *from, datagram, &mut |number, message| {
                delivered.push((number, message.to_vec()));
            });
            for (index, (number, message)) in delivered.iter().enumerate() {
                let expected = delivered[0].0 + index as u64;
                ensure!(
                    *number == expected && (before == 0 || delivered[0].0 == before),
                    "gap fill",
                    "client {} was delivered acknowledgement {number} where {expected} is next ({before} before)",
                    self.session
                );
                scene.truth.acknowledge(&format!("client {}", self.session), *number, message)?;
                self.submitter.on_acknowledgement(scene.now, *number, message, &mut |event| told.push(event));
            }
            for event in told {
                self.on_event(scene, event)?;
            }
        }
        let Self { acknowledgements, group, .. } = self;
        let sent = acknowledgements.on_timer(scene.now, &mut |to, request| {
            group.send(to, request);
        });
        Ok(datagrams.len() + sent)
    }

    fn take_datagrams(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        let datagrams = receive(&mut self.unicast);
        let (mut told, mut out) = (Vec::new(), Vec::new());
        for datagram in &datagrams {
            self.submitter.on_datagram(
                scene.now,
                datagram,
                &mut |to, burst, bytes| {
                    out.extend(burst.chunks(bytes).map(|datagram| (to, datagram.to_vec())));
                },
                &mut |event| told.push(event),
            );
        }
        for (to, datagram) in out {
            self.unicast.send(to, &datagram);
        }
        for event in told {
            self.on_event(scene, event)?;
        }
        Ok(datagrams.len())
    }

    fn submit(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        if self.acknowledgements.next_sequence() == 0 {
            return Ok(0);
        }
        let mut submitted = 0;
        // In bursts, with pauses between them.
        while self.left > 0 && (scene.calm || scene.now.monotonic_ns >= self.rests_until_ns) {
            if scene.random.chance(1, 8) {
                self.rests_until_ns = scene.now.monotonic_ns + scene.random.below(scene.plan.pause_ns_max);
            }
            let block = blocks::native(scene.plan, scene.truth, scene.random);
            match self.submitter.submit(&block) {
                Ok(number) => {
                    scene.truth.submit(&self.session, &block);
                    let expected = scene.truth.sender(&self.session).map_or(0, |sender| sender.blocks.len());
                    ensure!(
                        number == expected as u64,
                        "exactly once",
                        "client {} was given number {number} for block {expected}",
                        self.session
                    );
                    self.left -= 1;
                    submitted += 1;
                }
                Err(SubmitError::Full) => break,
                Err(error) => {
                    ensure!(
                        self.stream_ended && error == SubmitError::StreamEnded,
                        "validity",
                        "client {}: {error}",
                        self.session
                    );
                    break;
                }
            }
        }
        if self.left == 0 && self.submitter.unacknowledged() == 0 && !self.submitter.finished() {
            scene.truth.end_session(&self.session);
            self.submitter.end();
        }
        Ok(submitted)
    }

    fn on_event(&mut self, scene: &mut Scene<'_>, event: SubmitEvent) -> Checked {
        match event {
            SubmitEvent::Acknowledged { client_sequence, sequence, outcome } => {
                ensure!(
                    client_sequence == self.acknowledged + 1,
                    "exactly once",
                    "client {} was told the outcome of block {client_sequence} after that of {}",
                    self.session,
                    self.acknowledged
                );
                self.acknowledged = client_sequence;
                self.patience.let_in();
                scene.truth.told(&self.session, client_sequence, sequence, outcome)
            }
            SubmitEvent::SessionClash { client_sequence } => crate::violation::broken(
                "exactly once",
                format!("client {} is told that block {client_sequence} is not its own", self.session),
            ),
            SubmitEvent::Refused { reason, .. } => {
                *self.refusals.entry(reason as u16).or_default() += 1;
                self.stream_ended |= reason == RefusalReason::StreamEnded;
                if reason == RefusalReason::SessionsFull {
                    self.patience.refuse();
                }
                Ok(())
            }
            SubmitEvent::Ended { sequence } => {
                let expected =
                    scene.truth.sender(&self.session).map_or(0, |sender| sender.blocks.len()) as u64;
                ensure!(
                    self.acknowledged == expected,
                    "validity",
                    "client {} ended with message {sequence}; {} of its {expected} blocks are acknowledged",
                    self.session,
                    self.acknowledged
                );
                Ok(())
            }
        }
    }
}

fn config(session: Session, random: &mut Random) -> SubmitterConfig {
    let groups = pick(random, &[vec![INGRESS_A], vec![INGRESS_A, INGRESS_B]]).clone();
    SubmitterConfig {
        groups,
        payload_bytes_max: 1400,
        window_messages: *pick(random, &[1, 4, 16, 64]),
        window_bytes: *pick(random, &[3_000, 50_000]),
        resend_ns: *pick(random, &[200 * MICROSECOND_NS, 500 * MICROSECOND_NS]),
        resend_ns_max: *pick(random, &[5 * MILLISECOND_NS, 100 * MILLISECOND_NS]),
        resend_packets: *pick(random, &[1, 4]),
        refusal_ns: *pick(random, &[MILLISECOND_NS, 10 * MILLISECOND_NS]),
        ..SubmitterConfig::new(session, INGRESS_A)
    }
}
