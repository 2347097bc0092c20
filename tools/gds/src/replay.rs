//! `gds replay`: a capture onto the ingress of a node, every message acknowledged.
//!
//! The messages of a pcap are put in order first, as a receiver of the feed would: both lines and unicast replies together, each number
//! once. They are then submitted like any client's, numbered from 1 under the replay's session, and sent again until
//! acknowledged, so a replay is complete when it ends without an error.
use crate::arguments::Replay;
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::{config, text};
use gds_client::{Network, Writer, draw_session};
use gds_core::bus::{SubmitError, SubmitEvent};
use gds_feed::arbitrate::{Arbiter, ArbiterConfig, Arbitrated};
use gds_feed::capture::{Capture, Filter, MessageCapture, PacketCapture};
use gds_feed::pace::{Pace, Pacer};
use gds_nic::clock;
use gds_wire::acknowledgement::Outcome as Acknowledged;
use gds_wire::session::Session;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most sessions of one capture: each is a client of its own.
const SESSIONS_MAX: usize = 16;
/// Messages between two looks at the progress bar.
const BAR_MESSAGES: u64 = 1024;

/// Replays one file.
pub fn run(arguments: &Replay) -> Outcome {
    let pace = pace(&arguments.speed)?;
    let filter =
        Filter { groups: arguments.group.into_iter().collect(), ports: arguments.port.into_iter().collect() };
    let capture = Capture::open(&arguments.file, filter).map_err(Failure::input)?;
    let network = config::network(&arguments.node)?;
    let mut reader = config::reader(&arguments.node, &network)?;
    let applied = reader.status(0).map_err(Failure::failed)?.status.applied;
    reader.close();
    let session = arguments.session.as_deref().map(parse_session).transpose()?;
    let mut sender = Sender {
        network,
        writers: BTreeMap::new(),
        session,
        next_acknowledgement: applied + 1,
        timeout: config::timeout(&arguments.node)?,
        pacer: Pacer::new(pace),
        started_ns: clock::monotonic_ns(),
        left: arguments.limit.unwrap_or(u64::MAX),
        tally: Tally::default(),
    };
    let end = match capture {
        Capture::Packets(capture) => replay_packets(capture, &mut sender),
        Capture::Messages(capture) => replay_messages(capture, &mut sender),
    };
    sender.finish(!arguments.keep_open)?;
    sender.tell(arguments, &end);
    end.outcome
}

fn pace(text: &str) -> Result<Pace, Failure> {
    if text == "max" {
        return Ok(Pace::Unlimited);
    }
    let times = text.parse().ok().filter(|times: &f64| times.is_finite() && *times > 0.0);
    let times = times.ok_or_else(|| {
        Failure::usage(format!("--speed {text:?}: max, or a number above 0 such as 1, 10 or 0.5"))
    })?;
    Ok(Pace::Times(times))
}

fn parse_session(text: &str) -> Result<Session, Failure> {
    Session::padded(text)
        .ok_or_else(|| Failure::usage(format!("--session {text:?}: 1 to 10 ASCII characters")))
}

/// How a capture ended, and what was left out of it.
struct End {
    outcome: Outcome,
    notes: Vec<String>,
}

fn replay_messages(mut capture: MessageCapture, sender: &mut Sender) -> End {
    let session = sender.session.unwrap_or_else(|| draw_session("ITCH"));
    let mut bar = Progress::new(capture.progress().total_bytes, "bytes read");
    let outcome = loop {
        if sender.tally.submitted.is_multiple_of(BAR_MESSAGES) {
            bar.set(capture.progress().read_bytes);
        }
        match capture.next_message() {
            Ok(Some(message)) => {
                if sender.left == 0 {
                    break Ok(());
                }
                if let Err(failure) = sender.send(session, message.timestamp_ns(), message.bytes) {
                    break Err(failure);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(Failure::input(error)),
        }
    };
    bar.finish();
    let cut = capture.cut().map(|cut| format!("the file is cut: {cut}"));
    let outcome = match (&cut, outcome) {
        (Some(cut), Ok(())) => Err(Failure::input(cut)),
        (_, outcome) => outcome,
    };
    End { outcome, notes: Vec::new() }
}

fn replay_packets(mut capture: PacketCapture, sender: &mut Sender) -> End {
    let mut arbiter = Arbiter::new(ArbiterConfig::default());
    let mut bar = Progress::new(capture.progress().total_bytes, "bytes read");
    let mut outcome = Ok(());
    let take = |sender: &mut Sender, arbitrated: Arbitrated<'_>| match arbitrated {
        Arbitrated::Message { session, timestamp_ns, bytes, .. } if sender.left > 0 => {
            let session = sender.session.unwrap_or(session);
            sender.send(session, Some(timestamp_ns), bytes)
        }
        Arbitrated::Message { .. } | Arbitrated::Gap(_) => Ok(()),
    };
    while outcome.is_ok() && sender.left > 0 {
        match capture.next_datagram() {
            Ok(Some(datagram)) => {
                arbiter.on_datagram(&datagram, &mut |arbitrated| {
                    if outcome.is_ok() {
                        outcome = take(sender, arbitrated);
                    }
                });
            }
            Ok(None) => break,
            Err(error) => outcome = Err(Failure::input(error)),
        }
        bar.set(capture.progress().read_bytes);
    }
    arbiter.finish(&mut |arbitrated| {
        if outcome.is_ok() {
            outcome = take(sender, arbitrated);
        }
    });
    bar.finish();
    let mut notes = Vec::new();
    if capture.skipped().packets() > 0 {
        notes.push(capture.skipped().to_string());
    }
    if let (Some(cut), Ok(())) = (capture.cut(), &outcome) {
        outcome = Err(Failure::input(format!("the file is cut: {cut}")));
    }
    for gap in arbiter.gaps() {
        notes.push(format!(
            "the capture lacks messages {} to {} of session {}",
            gap.first, gap.last, gap.session
        ));
        if outcome.is_ok() {
            outcome = Err(Failure::input("the capture has gaps; the messages around them were replayed"));
        }
    }
    End { outcome, notes }
}

#[derive(Default)]
struct Tally {
    submitted: u64,
    bytes: u64,
    outcomes: BTreeMap<String, u64>,
    clashes: u64,
}

impl Tally {
    fn event(&mut self, event: SubmitEvent) {
        match event {
            SubmitEvent::Acknowledged { outcome, .. } => self.acknowledged(outcome),
            SubmitEvent::SessionClash { .. } => self.clashes += 1,
            SubmitEvent::Refused { .. } | SubmitEvent::Ended { .. } => {}
        }
    }

    fn acknowledged(&mut self, outcome: Acknowledged) {
        *self.outcomes.entry(outcome.to_string()).or_default() += 1;
    }
}

/// Submits messages when they are due, a client per session.
struct Sender {
    network: Network,
    writers: BTreeMap<Session, Writer>,
    session: Option<Session>,
    next_acknowledgement: u64,
    timeout: Duration,
    pacer: Pacer,
    started_ns: u64,
    left: u64,
    tally: Tally,
}

impl Sender {
    fn send(&mut self, session: Session, timestamp_ns: Option<u64>, message: &[u8]) -> Outcome {
        let due_ns = self.started_ns + self.pacer.due_ns(timestamp_ns);
        while clock::monotonic_ns() < due_ns {
            self.poll();
            // A wake-up takes tens of microseconds, so only long waits are slept.
            if due_ns.saturating_sub(clock::monotonic_ns()) > 2_000_000 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if !self.writers.contains_key(&session) {
            if self.writers.len() == SESSIONS_MAX {
                let hint = "filter by --group or --port, or put all under one --session";
                return Err(Failure::usage(format!(
                    "the capture has more than {SESSIONS_MAX} sessions: {hint}"
                )));
            }
            let writer =
                Writer::open(&self.network, session, self.next_acknowledgement).map_err(Failure::failed)?;
            self.writers.insert(session, writer);
        }
        let mut waiting_since_ns = clock::monotonic_ns();
        let mut unacknowledged = usize::MAX;
        loop {
            let writer = self.writers.get_mut(&session).expect("it was just put there");
            match writer.submit(message) {
                Ok(_) => break,
                Err(SubmitError::Full) => {}
                Err(error) => return Err(Failure::failed(error)),
            }
            // Full: room comes with acknowledgements. None for too long means that none will come.
            let now_unacknowledged = writer.unacknowledged();
            if now_unacknowledged < unacknowledged {
                (unacknowledged, waiting_since_ns) = (now_unacknowledged, clock::monotonic_ns());
            }
            self.check_patience(waiting_since_ns)?;
            self.poll();
        }
        self.tally.submitted += 1;
        self.tally.bytes += message.len() as u64;
        self.left -= 1;
        // A few messages share a packet; acknowledgements need not be looked at for each.
        if self.tally.submitted.is_multiple_of(16) || due_ns > self.started_ns {
            self.poll();
        }
        Ok(())
    }

    fn check_patience(&self, since_ns: u64) -> Outcome {
        let waited = Duration::from_nanos(clock::monotonic_ns() - since_ns);
        if waited <= self.timeout {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "no acknowledgement for {:.0} s: is the node running, does its [[admission]] let this session in, and was the session \
             name not used before? (--session takes another)",
            waited.as_secs_f64()
        )))
    }

    fn poll(&mut self) {
        let Self { writers, tally, .. } = self;
        for writer in writers.values_mut() {
            writer.poll(&mut |event| tally.event(event));
        }
    }

    /// Waits until everything is acknowledged.
    fn finish(&mut self, end: bool) -> Outcome {
        let mut least = usize::MAX;
        let mut since_ns = clock::monotonic_ns();
        if end {
            self.writers.values_mut().for_each(Writer::end);
        }
        loop {
            self.poll();
            let open = |writer: &Writer| writer.unacknowledged() + usize::from(end && !writer.finished());
            let waiting: usize = self.writers.values().map(open).sum();
            if waiting == 0 {
                return Ok(());
            }
            if waiting < least {
                (least, since_ns) = (waiting, clock::monotonic_ns());
            }
            self.check_patience(since_ns)?;
            std::thread::yield_now();
        }
    }

    fn tell(&self, arguments: &Replay, end: &End) {
        let seconds = (clock::monotonic_ns() - self.started_ns) as f64 / 1e9;
        let sessions: Vec<String> = self.writers.keys().map(ToString::to_string).collect();
        let Tally { submitted, bytes, outcomes, clashes } = &self.tally;
        if arguments.node.json {
            println!(
                "{}",
                json!({ "messages": submitted, "bytes": bytes, "sessions": sessions, "outcomes": outcomes, "clashes": clashes,
                        "seconds": seconds, "notes": end.notes })
            );
            return;
        }
        let rate = *submitted as f64 / seconds.max(1e-9);
        println!(
            "{}: {} messages under {} in {seconds:.2} s ({} a second), all acknowledged",
            arguments.file.display(),
            text::grouped(*submitted),
            sessions.join(", "),
            text::grouped(rate as u64)
        );
        for (outcome, count) in outcomes {
            println!("  {outcome:<28}{:>14}", text::grouped(*count));
        }
        if *clashes > 0 {
            println!("  {:<28}{:>14}", "session clashes", text::grouped(*clashes));
        }
        for note in &end.notes {
            println!("  {note}");
        }
    }
}
