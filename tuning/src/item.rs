//! One thing that is looked at: what it is, why it matters, and how it is judged.
use crate::cores::CoresError;
use crate::host::{Host, HostError};
use crate::knob::Knob;
use crate::profile::Value;
use crate::wanted::Wanted;
use std::fmt;

/// One thing that is looked at.
pub struct Item {
    /// Its name in profiles and JSON.
    pub key: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// Where in the table it stands.
    pub family: Family,
    /// Why it matters.
    pub why: &'static str,
    /// What it costs when it is wrong.
    pub cost: &'static str,
    /// Who has shown that it matters.
    pub shown: Shown,
    /// How it is changed.
    pub way: Way,
    /// What a profile may say it should be.
    pub takes: Takes,
    /// Looks at it. An early end is a verdict by itself: it does not matter here, or cannot be told.
    pub judge: fn(&Look<'_>) -> Result<Judgement, Verdict>,
}

/// Items that are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Which processors do what.
    Cores,
    /// Where interrupts and kernel threads run.
    Interrupts,
    /// Clocks and sleep states.
    Power,
    /// Pages.
    Memory,
    /// Timers, watchdogs, mitigations.
    Kernel,
    /// The network card.
    Card,
    /// The kernel's network stack.
    Network,
    /// What the process may do, and what time it is.
    Process,
}

impl Family {
    /// As a heading.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Interrupts => "interrupts and kernel threads",
            Self::Power => "power",
            Self::Memory => "memory",
            Self::Kernel => "kernel",
            Self::Card => "network card",
            Self::Network => "network stack",
            Self::Process => "process and time",
        }
    }
}

/// Who has shown what an item is worth. What nobody has shown is looked at, and never applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Measured with GDS; the measurement is in `docs/TUNING.md`.
    Measured(&'static str),
    /// Packets are lost or calls refused without it: a matter of function, not of speed.
    Function(&'static str),
    /// Published, with the source.
    Published(&'static str),
    /// By nobody that we know of.
    Nobody,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(what) => write!(f, "measured with GDS: {what}"),
            Self::Function(what) => write!(f, "function: {what}"),
            Self::Published(source) => write!(f, "published: {source}"),
            Self::Nobody => f.write_str("not shown by anybody that we know of: looked at, never applied"),
        }
    }
}

/// How an item is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On the running host: `gds tune apply` may do it.
    Running,
    /// With the next start of the host: `gds tune files` prints what to install.
    Boot,
    /// By the node's configuration or by a person: told.
    Hand,
}

/// What a profile may say of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: what is wanted follows from the node's configuration.
    Nothing,
    /// A number from the first to the second.
    Number(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What an item's judge is given.
pub struct Look<'a> {
    /// The host.
    pub host: &'a Host,
    /// What the node will do there.
    pub wanted: &'a Wanted,
    /// What the profile says, if it says anything.
    pub value: Option<&'a Value>,
}

impl Look<'_> {
    /// The number that the profile says.
    ///
    /// # Panics
    /// When it says none: a profile is checked when it is read.
    pub fn number(&self) -> u64 {
        match self.value {
            Some(Value::Number(number)) => *number,
            other => panic!("the profile was checked to say a number, and says {other:?}"),
        }
    }

    /// The word that the profile says.
    ///
    /// # Panics
    /// As [`Look::number`].
    pub fn word(&self) -> &str {
        match self.value {
            Some(Value::Word(word)) => word,
            other => panic!("the profile was checked to say a word, and says {other:?}"),
        }
    }
}

/// Is it as it should be?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Right,
    /// No.
    Wrong,
    /// It cannot be seen, and why.
    Unknown(String),
    /// It does not matter here, and why.
    Irrelevant(String),
}

impl Verdict {
    /// As JSON has it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Unknown(_) => "unknown",
            Self::Irrelevant(_) => "irrelevant",
        }
    }

    /// Why it cannot be told, or does not matter.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Right | Self::Wrong => None,
            Self::Unknown(reason) | Self::Irrelevant(reason) => Some(reason),
        }
    }
}

impl From<HostError> for Verdict {
    /// What is not there does not matter; all else cannot be told.
    fn from(error: HostError) -> Self {
        if error.is_absent() { Self::Irrelevant(error.to_string()) } else { Self::Unknown(error.to_string()) }
    }
}

impl From<CoresError> for Verdict {
    fn from(error: CoresError) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// A knob, what it is set to, and what it should be set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub knob: Knob,
    /// Is.
    pub now: String,
    /// Should be.
    pub wanted: String,
}

impl Setting {
    /// Is it as it should be?
    pub fn is_right(&self) -> bool {
        self.knob.same(&self.now, &self.wanted)
    }
}

/// What an item's judge found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// As it is.
    pub now: String,
    /// As it should be.
    pub wanted: String,
    /// Is it so?
    pub verdict: Verdict,
    /// What to set, all of it, whether or not it is set so already.
    pub settings: Vec<Setting>,
    /// How to change what cannot be set on the running host.
    pub how: Vec<String>,
}

impl Judgement {
    /// Right if `right`.
    pub fn of(right: bool, now: impl Into<String>, wanted: impl Into<String>) -> Self {
        let verdict = if right { Verdict::Right } else { Verdict::Wrong };
        Self { now: now.into(), wanted: wanted.into(), verdict, settings: Vec::new(), how: Vec::new() }
    }

    /// By settings alone: right when all are.
    pub fn by_settings(now: impl Into<String>, wanted: impl Into<String>, settings: Vec<Setting>) -> Self {
        Self { settings: settings.clone(), ..Self::of(settings.iter().all(Setting::is_right), now, wanted) }
    }

    /// A verdict and nothing else.
    pub fn bare(verdict: Verdict) -> Self {
        Self { verdict, ..Self::of(true, "", "") }
    }

    /// ... and how to change it.
    pub fn how(mut self, how: impl Into<String>) -> Self {
        self.how.push(how.into());
        self
    }
}
