//! Transactions through a [`Writer`].
use crate::schedule::Target;
use crate::workload::Workload;
use gds_client::{ListenerConfig, Network, Writer, draw_session};
use gds_core::bus::{SubmitError, SubmitEvent, SubmitterConfig};
use gds_core::time::Time;
use std::sync::Arc;

/// Messages under way at most, and their bytes: what the node's ingress window and the kernel's buffers hold without loss.
const WINDOW_MESSAGES: usize = 16_384;
const WINDOW_BYTES: usize = 3 << 20;

/// One client session as a target: an operation is a transaction, answered by its acknowledgement.
pub struct Transactions {
    writer: Writer,
    workload: Arc<Workload>,
    /// What operation 0 of the run at hand is, in the session (from 1) and in the workload.
    base: u64,
    submitted: u64,
    rejected: u64,
    trouble: Option<String>,
}

impl Transactions {
    /// A new session on a node whose next acknowledgement has this number.
    ///
    /// # Errors
    /// What could not be opened.
    pub fn open(
        network: &Network,
        workload: Arc<Workload>,
        next_acknowledgement: u64,
    ) -> Result<Self, String> {
        let session = draw_session(workload.session_prefix());
        let config = SubmitterConfig {
            window_messages: WINDOW_MESSAGES,
            window_bytes: WINDOW_BYTES,
            ..SubmitterConfig::new(session, network.addresses().ingress[0])
        };
        let listening =
            ListenerConfig { next: next_acknowledgement, ..ListenerConfig::acknowledgements(network) };
        let writer = Writer::with(network, config, listening).map_err(|error| error.to_string())?;
        Ok(Self { writer, workload, base: 0, submitted: 0, rejected: 0, trouble: None })
    }

    /// The next operation is number 0 of another run. Every operation so far must have been answered.
    pub fn begin_run(&mut self) {
        self.base = self.submitted;
        self.rejected = 0;
    }

    /// Goes on with another workload of the same kind of session.
    pub fn switch(&mut self, workload: Arc<Workload>) {
        assert_eq!(workload.session_prefix(), self.workload.session_prefix(), "another kind of session");
        self.workload = workload;
        self.begin_run();
    }

    /// Transactions of this run that the store rejected. None is meant to be.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// What went wrong, if anything: another client in the session, a refusal.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The writer, for its counters.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until the node is heard.
    ///
    /// # Errors
    /// That it is not.
    pub fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = std::time::Instant::now() + crate::schedule::PATIENCE;
        while !self.writer.is_ready() {
            self.writer.poll(&mut |_| {});
            if std::time::Instant::now() > deadline {
                return Err("no acknowledgement stream is heard: is the node running?".into());
            }
        }
        Ok(())
    }
}

impl Target for Transactions {
    fn fetch(&mut self, number: u64) {
        self.workload.fetch(number);
    }

    fn submit(&mut self, number: u64) -> bool {
        assert_eq!(self.base + number, self.submitted, "operations come in their order");
        match self.writer.submit(self.workload.block(number)) {
            Ok(_) => {
                self.submitted += 1;
                true
            }
            Err(SubmitError::Full) => false,
            Err(error) => {
                self.trouble.get_or_insert_with(|| error.to_string());
                false
            }
        }
    }

    fn poll(&mut self, now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let Self { writer, base, rejected, trouble, .. } = self;
        let now = Time { monotonic_ns: now_ns, wall_ns: 0 };
        writer.poll_at(now, &mut |event| match event {
            SubmitEvent::Acknowledged { client_sequence, outcome, .. } => {
                *rejected += u64::from(!outcome.is_success());
                answered(client_sequence - 1 - *base);
            }
            SubmitEvent::SessionClash { client_sequence } => {
                trouble.get_or_insert_with(|| format!("message {client_sequence} is another client's"));
            }
            SubmitEvent::Refused { reason, .. } => {
                trouble.get_or_insert_with(|| format!("the node refused: {reason}"));
            }
            SubmitEvent::Ended { .. } => {}
        })
    }
}
