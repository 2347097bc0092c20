//! A register in memory: for tests, and for what runs in one process.
use crate::{Register, RegisterError, SwapAnswer};
use gds_core::replication::{RegisterAnswer, RegisterPort, RegisterRequest, RegisterState, RegisterValue};
use std::sync::{Arc, Mutex, PoisonError};

/// A register that all its clones share.
#[derive(Clone, Debug)]
pub struct SharedRegister(Arc<Mutex<RegisterState>>);

impl SharedRegister {
    /// One that has never held anything.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(RegisterState { revision: 0, value: None })))
    }

    /// A port that answers at the next look.
    pub fn port(&self) -> SharedPort {
        SharedPort { register: self.clone(), answer: None }
    }
}

impl Default for SharedRegister {
    fn default() -> Self {
        Self::new()
    }
}

impl Register for SharedRegister {
    fn read(&mut self) -> Result<RegisterState, RegisterError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn swap(&mut self, revision: u64, value: &RegisterValue) -> Result<SwapAnswer, RegisterError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.revision != revision {
            return Ok(SwapAnswer::Holds(state.clone()));
        }
        *state = RegisterState { revision: revision + 1, value: Some(value.clone()) };
        Ok(SwapAnswer::Swapped(state.revision))
    }
}

/// A way to a [`SharedRegister`], without a thread.
#[derive(Debug)]
pub struct SharedPort {
    register: SharedRegister,
    answer: Option<RegisterAnswer>,
}

impl RegisterPort for SharedPort {
    fn ask(&mut self, request: &RegisterRequest) -> bool {
        if self.answer.is_some() {
            return false;
        }
        self.answer = Some(self.register.serve(request).unwrap_or(RegisterAnswer::Silence));
        true
    }

    fn poll(&mut self) -> Option<RegisterAnswer> {
        self.answer.take()
    }
}
