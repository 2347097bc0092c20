//! A bar for whatever takes longer than two seconds.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Quiet for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Shows how far something has come, on standard error, once it takes long; nothing where standard error is no terminal.
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: bool,
}

impl Progress {
    /// Nothing done of `of` (unknown: a count alone); `what` is counted, such as `messages`.
    pub fn new(of: Option<u64>, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::hidden());
        let template = match of {
            Some(_) => {
                format!("{{bar:40}} {{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} to go")
            }
            None => format!("{{spinner}} {{human_pos}} {what}, {{per_sec}}"),
        };
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is right"));
        Self { bar, started: Instant::now(), shown: false }
    }

    /// So much is done.
    pub fn set(&mut self, done: u64) {
        if !self.shown && self.started.elapsed() > QUIET {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.bar.set_position(done);
    }

    /// Away with it.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
