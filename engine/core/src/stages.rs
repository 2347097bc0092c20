//! Where a message's time goes on its way through a node, as histograms that can be read at any moment.
//!
//! A message is *received* when the sequencer's duty cycle begins that takes it. Whoever drives the agents reads the clock when an agent
//! has done something, and tells that agent's [`StageWatch`]: all messages between where the stage's cursor stood and where it stands now
//! have reached the stage. So the stamps cost one look at the clock for each batch, however many messages it has, the agents
//! know nothing of it, and at depth 1 every stage of every message has a stamp of its own.
//!
//! | stage | reached when |
//! | --- | --- |
//! | sequenced | it has a number, is in the ring, and readers may see it |
//! | applied | the store has applied it and its outcome is in the acknowledgement ring |
//! | acknowledged | the packet with its acknowledgement was given to the kernel |
//! | published | the packet with the message was given to the kernel |
//! | journalled | its group was handed to the journal's file |
//!
//! Where one call to the kernel takes acknowledgement and publication (AF_XDP, both on one core), both are reached when it is over.
//!
//! Everything lies in one slice of words, which a node keeps in a shared file: a reader maps it and copies the counts, and the node
//! never notices. Each histogram has one writer, the core that runs the stage's agent.
//!
//! | words | what |
//! | --- | --- |
//! | 0 | magic |
//! | 1 | layout version |
//! | 16 | receipts written so far |
//! | 32.. | receipts: last sequence number, time in ns; at the receipt's number modulo [`RECEIPTS`] |
//! | behind | for each stage: messages missed, longest in ns, 14 unused, then the counts of the histogram |
//!
//! A receipt stands for all messages of one duty cycle. A stage that falls [`RECEIPTS`] duty cycles behind finds them overwritten; those
//! messages are counted as missed and are in no histogram.
mod histogram;
#[cfg(test)]
mod tests;

pub use histogram::{BUCKETS, bucket_of, highest_of};

use crate::memory::words::{AtomicU64, LINE_WORDS, SharedWords, fence};
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What a message reaches, in the order of the default layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// In the ring, under its number.
    Sequenced,
    /// Applied, with an outcome.
    Applied,
    /// Its acknowledgement was sent.
    Acknowledged,
    /// Sent downstream.
    Published,
    /// Handed to the journal's file.
    Journalled,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 5] =
        [Self::Sequenced, Self::Applied, Self::Acknowledged, Self::Published, Self::Journalled];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sequenced => "sequenced",
            Self::Applied => "applied",
            Self::Acknowledged => "acknowledged",
            Self::Published => "published",
            Self::Journalled => "journalled",
        }
    }
}

/// How many receipts are kept; a power of two.
pub const RECEIPTS: usize = if cfg!(loom) { 2 } else { 1 << 14 };

const MAGIC: u64 = u64::from_le_bytes(*b"GDSstage");
const VERSION: u64 = 1;
const WRITTEN_AT: usize = LINE_WORDS;
const RECEIPTS_AT: usize = 2 * LINE_WORDS;
const STAGES_AT: usize = (RECEIPTS_AT + 2 * RECEIPTS).next_multiple_of(LINE_WORDS);
const MISSED_AT: usize = 0;
const LONGEST_AT: usize = 1;
const COUNTS_AT: usize = LINE_WORDS;
const STAGE_WORDS: usize = (COUNTS_AT + BUCKETS).next_multiple_of(LINE_WORDS);

/// The words in which a node keeps its stages.
#[derive(Clone)]
pub struct Stages(SharedWords);

/// The words are no stages, or another version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoStages;

impl fmt::Display for NoStages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("holds no stages, or those of another version")
    }
}

impl std::error::Error for NoStages {}

impl Stages {
    /// How many words it takes.
    pub const WORDS: usize = STAGES_AT + Stage::ALL.len() * STAGE_WORDS;

    /// Empty histograms in these words, whatever was in them.
    ///
    /// # Panics
    /// When there are fewer than [`Stages::WORDS`].
    pub fn create(words: SharedWords) -> Self {
        let all = &words.words()[..Self::WORDS];
        all.iter().for_each(|word| word.store(0, Relaxed));
        all[1].store(VERSION, Relaxed);
        all[0].store(MAGIC, Release);
        Self(words)
    }

    /// What another process keeps in these words.
    pub fn open(words: SharedWords) -> Result<Self, NoStages> {
        let found = words.words();
        let known = found.len() >= Self::WORDS
            && found[0].load(Acquire) == MAGIC
            && found[1].load(Relaxed) == VERSION;
        if known { Ok(Self(words)) } else { Err(NoStages) }
    }

    /// Counts of one stage as of now.
    pub fn read(&self, stage: Stage) -> StageCounts {
        let words = self.stage(stage);
        StageCounts {
            missed: words[MISSED_AT].load(Relaxed),
            longest_ns: words[LONGEST_AT].load(Relaxed),
            counts: words[COUNTS_AT..COUNTS_AT + BUCKETS].iter().map(|word| word.load(Relaxed)).collect(),
        }
    }

    /// The writer of receipts, for the core that runs the sequencer. `last`: the number of the last message there is.
    pub fn receipts(&self, last: u64) -> Receipts {
        Receipts { stages: self.clone(), last }
    }

    /// The watch of one stage, for the core that runs its agent. `reached`: the number of the last message that has.
    pub fn watch(&self, stage: Stage, reached: u64) -> StageWatch {
        StageWatch { stages: self.clone(), stage, reached, receipt: self.written() }
    }

    fn written(&self) -> u64 {
        self.0.words()[WRITTEN_AT].load(Acquire)
    }

    fn stage(&self, stage: Stage) -> &[AtomicU64] {
        &self.0.words()[STAGES_AT + stage as usize * STAGE_WORDS..][..STAGE_WORDS]
    }

    fn receipt(&self, number: u64) -> &[AtomicU64] {
        &self.0.words()[RECEIPTS_AT + 2 * (number as usize & (RECEIPTS - 1))..][..2]
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages").field("receipts", &self.written()).finish_non_exhaustive()
    }
}

/// One stage as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCounts {
    /// Messages that no histogram has because the stage was too far behind.
    pub missed: u64,
    /// The longest time from received to here.
    pub longest_ns: u64,
    /// How many messages took how long, by [`bucket_of`].
    pub counts: Vec<u64>,
}

impl StageCounts {
    /// How many messages there were since `earlier` of the same node.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.wrapping_sub(*then));
        Self {
            missed: self.missed.wrapping_sub(earlier.missed),
            longest_ns: self.longest_ns,
            counts: counts.collect(),
        }
    }

    /// Messages in the histogram.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time in ns that this share (0 to 1) of all messages stayed at or below, as exactly as the buckets tell; 0 without messages.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let wanted = (self.total() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, |bucket| highest_of(bucket).min(self.longest_ns))
    }
}

/// Writes down when messages were received.
#[derive(Debug)]
pub struct Receipts {
    stages: Stages,
    last: u64,
}

impl Receipts {
    /// Messages up to `sequenced` have been sequenced by a duty cycle that began at `received_ns`.
    pub fn note(&mut self, sequenced: u64, received_ns: u64) {
        if sequenced <= self.last {
            return;
        }
        self.last = sequenced;
        let number = self.stages.written();
        // A reader that sees a word of this receipt also sees, behind its own fence, that the one before it at this place is given up.
        fence(Release);
        let receipt = self.stages.receipt(number);
        receipt[0].store(sequenced, Relaxed);
        receipt[1].store(received_ns, Relaxed);
        self.stages.0.words()[WRITTEN_AT].store(number + 1, Release);
    }
}

/// Counts, for one stage, how long messages took from received to there.
#[derive(Debug)]
pub struct StageWatch {
    stages: Stages,
    stage: Stage,
    reached: u64,
    /// The first receipt that may stand for messages which have not reached the stage.
    receipt: u64,
}

impl StageWatch {
    /// At `now_ns`, messages up to `reached` have reached the stage.
    pub fn note(&mut self, reached: u64, now_ns: u64) {
        let written = self.stages.written();
        while self.reached < reached && self.receipt < written {
            let Some((last, received_ns)) = self.receipt_at(self.receipt) else {
                self.pass_over(reached);
                continue;
            };
            let upto = last.min(reached);
            if upto > self.reached {
                self.count(upto - self.reached, now_ns.saturating_sub(received_ns));
                self.reached = upto;
            }
            self.receipt += u64::from(last <= reached);
        }
        if self.reached < reached && self.receipt == written {
            // Messages without a receipt: those of the node itself, before its first duty cycle.
            self.miss(reached);
        }
    }

    /// The receipts have been overwritten: goes on with one that will not be soon.
    fn pass_over(&mut self, reached: u64) {
        self.receipt = self.receipt.max(self.stages.written().saturating_sub(RECEIPTS as u64 / 2));
        if let Some((last, _)) = self.receipt_at(self.receipt - 1) {
            self.miss(last.min(reached));
        }
    }

    fn miss(&mut self, upto: u64) {
        add(&self.stages.stage(self.stage)[MISSED_AT], upto.saturating_sub(self.reached));
        self.reached = self.reached.max(upto);
    }

    /// Last sequence number and time; `None` when it was overwritten.
    fn receipt_at(&self, number: u64) -> Option<(u64, u64)> {
        let receipt = self.stages.receipt(number);
        let found = (receipt[0].load(Relaxed), receipt[1].load(Relaxed));
        fence(Acquire);
        let written = self.stages.0.words()[WRITTEN_AT].load(Relaxed);
        // The receipt behind the last one may be on its way already, at the place of the one a round before.
        let kept = written - number < RECEIPTS as u64;
        kept.then_some(found)
    }

    fn count(&self, messages: u64, took_ns: u64) {
        let words = self.stages.stage(self.stage);
        add(&words[COUNTS_AT + bucket_of(took_ns)], messages);
        if took_ns > words[LONGEST_AT].load(Relaxed) {
            words[LONGEST_AT].store(took_ns, Relaxed);
        }
    }
}

/// One writer, so no locked instruction is needed.
fn add(word: &AtomicU64, amount: u64) {
    word.store(word.load(Relaxed).wrapping_add(amount), Relaxed);
}
