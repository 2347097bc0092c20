//! A promise that was broken.
use std::fmt;

/// What was promised and what happened instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, in a word or two.
    pub check: &'static str,
    /// What happened, with context.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// The result of a check.
pub type Checked<T = ()> = Result<T, Violation>;

/// A broken promise as an error.
pub fn broken<T>(check: &'static str, what: impl Into<String>) -> Checked<T> {
    Err(Violation { check, what: what.into() })
}

/// Fails with `check` and the text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $check:expr, $($text:tt)+) => {
        if !$condition {
            return $crate::violation::broken($check, format!($($text)+));
        }
    };
}
pub(crate) use ensure;
