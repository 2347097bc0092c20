//! How far a node's start is, on standard error: a bar on a terminal, and elsewhere a line now and then for a snapshot that comes.
use crate::progress::Progress;
use crate::text;
use gds_node::step::Step;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Quiet for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Between two lines.
const LINES: Duration = Duration::from_secs(10);

/// Whoever watches a start, and ends it once it is told to stop.
pub struct Starting<'a> {
    stop: &'a AtomicBool,
    /// What is counted, and the bar of it.
    bar: Option<(String, Progress)>,
    next_line: Instant,
}

impl<'a> Starting<'a> {
    /// Of a start that begins now; it ends once `stop` is set.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self { stop, bar: None, next_line: Instant::now() + QUIET }
    }

    /// Shows how far it is; whether to go on.
    pub fn watch(&mut self, step: Step) -> ControlFlow<()> {
        match step {
            Step::Wait => {}
            Step::Replay { applied, of } => self.show("messages replayed", applied, of),
            Step::Fetch { from, transfer } => {
                let (there, of) = (u64::from(transfer.there), u64::from(transfer.chunks));
                let sequence = text::grouped(transfer.sequence);
                self.show(&format!("chunks of the snapshot at message {sequence} of node {from}"), there, of);
                if Instant::now() >= self.next_line && !std::io::stderr().is_terminal() {
                    self.next_line = Instant::now() + LINES;
                    eprintln!("learns from node {from}: {}", text::transfer(&transfer));
                }
            }
        }
        match self.stop.load(Ordering::Acquire) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Away with the bar.
    pub fn finish(self) {
        if let Some((_, bar)) = self.bar {
            bar.finish();
        }
    }

    fn show(&mut self, what: &str, done: u64, of: u64) {
        if self.bar.as_ref().is_none_or(|(known, _)| known != what)
            && let Some((_, bar)) = self.bar.replace((what.to_owned(), Progress::new(Some(of), what)))
        {
            bar.finish();
        }
        if let Some((_, bar)) = &mut self.bar {
            bar.set(done);
        }
    }
}
