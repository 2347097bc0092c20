//! Submits transactions.
use crate::listener::{Listener, ListenerConfig};
use crate::network::{ClientError, Network};
use gds_core::bus::{SubmitError, SubmitEvent, Submitter, SubmitterConfig, SubmitterCounters};
use gds_core::lookout::Lookout;
use gds_core::port::DatagramPort;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, Time};
use gds_nic::clock;
use gds_node::clocks;
use gds_node::ports::Datagrams;
use gds_wire::acknowledgement::Outcome;
use gds_wire::session::Session;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Refusals and requests, seldom as they are, may wait so long.
const PAUSE_NS: u64 = 20 * MICROSECOND_NS;

/// One client session: numbers blocks, sends them, sends them again, and tells their outcomes.
pub struct Writer {
    submitter: Submitter,
    acknowledgements: Listener,
    own: Datagrams,
    lookout: Lookout,
}

/// A session name that nobody has used: drawn from the clock and the process.
pub fn draw_session(prefix: &str) -> Session {
    let seed = clock::wall_ns() ^ (u64::from(std::process::id()) << 40);
    let mut random = Random::new(seed);
    let mut name: String = prefix.chars().filter(char::is_ascii_graphic).take(4).collect();
    while name.len() < 10 {
        let digit = random.below(36) as u32;
        name.push(char::from_digit(digit, 36).expect("a digit is below 36").to_ascii_uppercase());
    }
    Session::padded(&name).expect("ten characters are a name")
}

impl Writer {
    /// Opens a client session on a node whose next acknowledgement has this number (0: the first heard; then wait for
    /// [`Writer::is_ready`] before submitting, or an outcome may be missed).
    pub fn open(network: &Network, session: Session, next_acknowledgement: u64) -> Result<Self, ClientError> {
        let listening =
            ListenerConfig { next: next_acknowledgement, ..ListenerConfig::acknowledgements(network) };
        Self::with(network, SubmitterConfig::new(session, network.addresses().ingress[0]), listening)
    }

    /// The same with every setting.
    pub fn with(
        network: &Network,
        config: SubmitterConfig,
        listening: ListenerConfig,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            submitter: Submitter::new(config),
            acknowledgements: Listener::open(network, listening)?,
            own: network.own_port()?,
            lookout: Lookout::new(PAUSE_NS),
        })
    }

    /// The place in the acknowledgements is known, so no outcome can be missed.
    pub fn is_ready(&self) -> bool {
        self.acknowledgements.next_sequence() > 0
    }

    /// Takes a block; it leaves with the next poll. Returns its number in the session.
    pub fn submit(&mut self, block: &[u8]) -> Result<u64, SubmitError> {
        self.submitter.submit(block)
    }

    /// Sends what is new or due again, takes what has arrived, and tells outcomes; returns how much it did.
    pub fn poll(&mut self, event: &mut dyn FnMut(SubmitEvent)) -> usize {
        self.poll_at(clocks::now(), event)
    }

    /// The same at a time that the caller has read already.
    pub fn poll_at(&mut self, now: Time, event: &mut dyn FnMut(SubmitEvent)) -> usize {
        let Self { submitter, acknowledgements, own, .. } = self;
        let mut work = submitter.on_timer(now, &mut |to, packets, segment_bytes| {
            own.send_segments(to, packets, segment_bytes);
        });
        work += acknowledgements.poll_at(now, &mut |sequence, message| {
            submitter.on_acknowledgement(now, sequence, message, event);
        });
        if self.lookout.is_due(now) {
            let taken = self.take_own(now, event);
            self.lookout.found(now, taken);
            work += taken;
        }
        work
    }

    /// Takes what came to the client's own address: refusals and requests.
    fn take_own(&mut self, now: Time, event: &mut dyn FnMut(SubmitEvent)) -> usize {
        let Self { submitter, own, .. } = self;
        // What is asked for is sent from the same port, so it is collected first.
        let mut asked = [([0; 64], 0); 8];
        let mut count = 0;
        let taken = own.receive(asked.len(), &mut |_, datagram| {
            if let Some(slot) =
                datagram.len().checked_sub(1).filter(|length| *length < 64).map(|_| &mut asked[count])
            {
                slot.0[..datagram.len()].copy_from_slice(datagram);
                slot.1 = datagram.len();
                count += 1;
            }
        });
        for (bytes, length) in &asked[..count] {
            let mut send = |to, packets: &[u8], segment_bytes| {
                own.send_segments(to, packets, segment_bytes);
            };
            submitter.on_datagram(now, &bytes[..*length], &mut send, event);
        }
        taken
    }

    /// Submits one block and waits for its outcome: its bus sequence number and what became of it.
    pub fn submit_and_wait(
        &mut self,
        block: &[u8],
        timeout: Duration,
    ) -> Result<(u64, Outcome), ClientError> {
        let deadline = Instant::now() + timeout;
        let number =
            self.submitter.submit(block).map_err(|error| ClientError::Argument(error.to_string()))?;
        let mut outcome = None;
        let mut trouble = None;
        while outcome.is_none() {
            self.poll(&mut |event| match event {
                SubmitEvent::Acknowledged { client_sequence, sequence, outcome: found }
                    if client_sequence == number =>
                {
                    outcome = Some((sequence, found));
                }
                SubmitEvent::SessionClash { .. } => {
                    trouble = Some("another client uses this session name".to_owned())
                }
                SubmitEvent::Refused { reason, .. } => {
                    trouble = Some(format!("the node refuses for now: {reason}"))
                }
                _ => {}
            });
            if outcome.is_none() && Instant::now() > deadline {
                if let Some(other) = self.other_session() {
                    return Err(other);
                }
                return Err(trouble.map_or_else(
                    || ClientError::Silence {
                        what: "acknowledgement".into(),
                        seconds: timeout.as_secs_f64(),
                    },
                    ClientError::Refused,
                ));
            }
            std::thread::yield_now();
        }
        Ok(outcome.expect("the loop ends with one"))
    }

    /// What to say where the acknowledgements heard are those of another session than the one followed. Nothing is taken of them. What is not acknowledged has an outcome
    /// there, or none: a new writer with this one's session and blocks, and the acknowledgements of that session, is told it.
    fn other_session(&self) -> Option<ClientError> {
        let (old, new) = (self.acknowledgements.session()?, self.acknowledgements.other_session()?);
        Some(ClientError::OtherSession { old, new, from: None })
    }

    /// Ends the session once everything submitted is taken.
    pub fn end(&mut self) {
        self.submitter.end();
    }

    /// True once the end of the session is acknowledged.
    pub fn finished(&self) -> bool {
        self.submitter.finished()
    }

    /// Blocks that wait for their acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.submitter.unacknowledged()
    }

    /// The client's session.
    pub fn session(&self) -> Session {
        self.submitter.session()
    }

    /// What submitting counts.
    pub fn counters(&self) -> &Arc<SubmitterCounters> {
        self.submitter.counters()
    }

    /// The acknowledgements it follows.
    pub fn acknowledgements(&self) -> &Listener {
        &self.acknowledgements
    }
}
