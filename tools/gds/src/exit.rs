//! How commands end: what to tell, and with which exit code (the table is in `gds --help`).
use std::fmt::Display;
use std::process::ExitCode;

/// What a command gives back.
pub type Outcome = Result<(), Failure>;

/// A command that did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// Told on standard error; empty when everything has been told already.
    pub message: String,
    code: u8,
}

impl Failure {
    /// Something failed, or a check found something.
    pub fn failed(error: impl Display) -> Self {
        Self { message: error.to_string(), code: 1 }
    }

    /// Arguments or configuration cannot be used.
    pub fn usage(error: impl Display) -> Self {
        Self { message: error.to_string(), code: 2 }
    }

    /// The input is cut, or not what it claims to be.
    pub fn input(error: impl Display) -> Self {
        Self { message: error.to_string(), code: 3 }
    }

    /// No such record.
    pub fn absent(error: impl Display) -> Self {
        Self { message: error.to_string(), code: 4 }
    }

    /// Tells it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("gds: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}
