//! The near end as a target of the rig: an operation is a message, answered when its echo is back.
use crate::end::End;
use gds_bench::peer::RECORD_BYTES;
use gds_bench::schedule::Target;

/// Operations under way at most: what Aeron's receiver window of 128 KiB holds anyway.
const WINDOW: u64 = 512;

/// The near end.
pub struct Near {
    end: End,
    /// Taken, offered and answered operations of this run.
    taken: u64,
    offered: u64,
    answered: u64,
    fault: Option<String>,
}

impl Near {
    /// Over an end that is connected.
    pub fn new(end: End) -> Self {
        Self { end, taken: 0, offered: 0, answered: 0, fault: None }
    }

    /// What went wrong, if anything.
    pub fn fault(self) -> Option<String> {
        self.fault
    }

    fn lap(&mut self, answered: &mut dyn FnMut(u64)) -> Result<usize, String> {
        let mut message = [0x5A; RECORD_BYTES];
        let mut work = 0;
        while self.offered < self.taken {
            message[..8].copy_from_slice(&self.offered.to_le_bytes());
            if !self.end.offer(&message)? {
                break;
            }
            self.offered += 1;
            work += 1;
        }
        work += self.end.turn()?;
        let count = &mut self.answered;
        work += self.end.hear(|message| {
            let number = message.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            answered(number.expect("messages are longer"));
            *count += 1;
        })?;
        Ok(work)
    }
}

impl Target for Near {
    fn submit(&mut self, number: u64) -> bool {
        let room = self.taken - self.answered < WINDOW && self.fault.is_none();
        if room {
            assert_eq!(number, self.taken, "operations come in their order");
            self.taken += 1;
        }
        room
    }

    fn poll(&mut self, _: u64, answered: &mut dyn FnMut(u64)) -> usize {
        if self.fault.is_some() {
            return 0;
        }
        self.lap(answered).unwrap_or_else(|fault| {
            self.fault = Some(fault);
            0
        })
    }
}
