//! Writes by plain calls: into the page cache at once, or waiting for the disk when they are to be durable.
use super::Finished;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Finished writes that were not asked for yet.
pub(super) struct PlainWrites<B> {
    finished: VecDeque<Finished<B>>,
    depth: usize,
}

impl<B: AsRef<[u8]>> PlainWrites<B> {
    pub(super) fn new(depth: usize) -> Self {
        Self { finished: VecDeque::with_capacity(depth), depth }
    }

    pub(super) fn submit(&mut self, file: io::Result<&File>, offset: u64, buffer: B, sync: bool) {
        assert!(self.finished.len() < self.depth, "more than {} writes in flight", self.depth);
        let result = file.and_then(|file| {
            file.write_all_at(buffer.as_ref(), offset)?;
            if sync { file.sync_data() } else { Ok(()) }
        });
        self.finished.push_back((buffer, result));
    }

    pub(super) fn poll(&mut self) -> Option<Finished<B>> {
        self.finished.pop_front()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.finished.len()
    }
}
