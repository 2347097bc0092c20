//! A store and a stream that are plain lists.
use crate::disk::{Disk, DiskError, DiskWrite};
use crate::memory::ring::chained;
use crate::query::source::{Found, Reading, Source};
use crate::store::{ReadError, StoreStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Versions of one record, ascending; `None` is a deletion.
type Versions = Vec<(u64, Option<Vec<u8>>)>;

#[derive(Default)]
pub struct Lists {
    /// Message n is at n - 1.
    pub messages: Vec<Vec<u8>>,
    /// The running checksum up to message n is at n - 1.
    pub chains: Vec<u64>,
    pub committed: u64,
    pub applied: u64,
    pub first_kept: u64,
    pub horizon: u64,
    pub records: BTreeMap<(u16, Vec<u8>), Versions>,
    pub reads: u64,
}

/// Clones are the same data.
#[derive(Clone, Default)]
pub struct Data(pub Arc<Mutex<Lists>>, Vec<u8>);

impl Data {
    /// `count` messages of lengths that vary, all committed and applied.
    pub fn with_messages(count: u64) -> Self {
        let data = Self::default();
        data.append(count);
        data
    }

    pub fn append(&self, count: u64) {
        let mut lists = self.0.lock().unwrap();
        for _ in 0..count {
            let sequence = lists.messages.len() as u64 + 1;
            let message = message(sequence);
            let before = lists.chains.last().copied().unwrap_or(0);
            lists.chains.push(chained(before, &message));
            lists.messages.push(message);
        }
        lists.committed = lists.messages.len() as u64;
        lists.applied = lists.committed;
        lists.first_kept = lists.first_kept.max(1);
    }

    pub fn put(&self, table: u16, key: &[u8], version: u64, value: Option<&[u8]>) {
        let mut lists = self.0.lock().unwrap();
        lists.records.entry((table, key.to_vec())).or_default().push((version, value.map(<[u8]>::to_vec)));
    }

    pub fn change(&self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.0.lock().unwrap());
    }
}

/// What message `sequence` holds.
pub fn message(sequence: u64) -> Vec<u8> {
    let length = 28 + (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 55) as usize;
    let mut bytes = vec![sequence as u8; length];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

impl Source for Data {
    fn applied(&self) -> u64 {
        self.0.lock().unwrap().applied
    }

    fn committed(&self) -> u64 {
        self.0.lock().unwrap().committed
    }

    fn published(&self) -> u64 {
        self.0.lock().unwrap().committed
    }

    fn first_kept(&mut self, _: &mut dyn Disk) -> u64 {
        self.0.lock().unwrap().first_kept
    }

    fn get(&mut self, table: u16, key: &[u8], as_of: u64) -> Result<Found<'_>, ReadError> {
        let lists = self.0.lock().unwrap();
        let sequence = if as_of == 0 { lists.applied } else { as_of };
        if as_of > lists.applied {
            return Err(ReadError::AheadOfStream { as_of, applied: lists.applied });
        }
        if sequence < lists.horizon {
            return Err(ReadError::BelowHorizon { as_of, oldest: lists.horizon });
        }
        if table == 99 {
            return Err(ReadError::UnknownTable(table));
        }
        let versions = lists.records.get(&(table, key.to_vec()));
        let found =
            versions.and_then(|versions| versions.iter().rev().find(|(version, _)| *version <= sequence));
        let (version, value) = match found {
            Some((version, Some(value))) => (Some(*version), value.clone()),
            _ => (None, Vec::new()),
        };
        drop(lists);
        self.1 = value;
        Ok(Found { sequence, version, value: &self.1 })
    }

    fn read(&mut self, sequence: u64, limit: u64, _: &mut dyn Disk, into: &mut [u8]) -> Reading {
        let mut lists = self.0.lock().unwrap();
        lists.reads += 1;
        assert!(limit <= lists.committed);
        if sequence > limit {
            return Reading::Empty;
        }
        if sequence < lists.first_kept {
            return Reading::Gone;
        }
        let message = &lists.messages[sequence as usize - 1];
        if message.len() > into.len() {
            return Reading::TooSmall;
        }
        into[..message.len()].copy_from_slice(message);
        let chain = lists.chains[sequence as usize - 1];
        Reading::Message { length: message.len(), epoch: 3, chain: Some(chain) }
    }

    fn store_status(&self) -> StoreStatus {
        let lists = self.0.lock().unwrap();
        let live = lists.records.len() as u64;
        StoreStatus { applied: lists.applied, records: live, bytes: 77, live, digest: 0xD1 }
    }
}

/// A disk nobody may touch.
pub struct NoDisk;

impl Disk for NoDisk {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        Ok(Vec::new())
    }

    fn create(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        Err(DiskError::Full)
    }

    fn length(&mut self, _: u64) -> Result<u64, DiskError> {
        Ok(0)
    }

    fn remove(&mut self, _: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn read(&mut self, _: u64, _: u64, _: &mut [u8]) -> Result<usize, DiskError> {
        Ok(0)
    }

    fn submit(&mut self, _: DiskWrite) {
        unreachable!("a query writes nothing")
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        None
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        None
    }

    fn describe(&self, segment: u64) -> String {
        format!("segment {segment}")
    }
}
