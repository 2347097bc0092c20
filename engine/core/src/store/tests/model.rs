//! A store as plainly as it can be written: every state ever, in ordered maps.
use super::stream::Op;
use gds_wire::acknowledgement::Outcome;
use gds_wire::declaration::Limits;
use gds_wire::transaction::OperationKind;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

type Key = (u16, Vec<u8>);
/// Ascending by version; `None`: not there from this message on.
type Versions = Vec<(u64, Option<Vec<u8>>)>;

/// What counts of a record.
#[derive(Clone, Debug)]
struct Counted {
    version: u64,
    bytes: u64,
    deleted: bool,
}

/// A table's content from before it was emptied.
#[derive(Clone, Debug)]
struct Emptied {
    at: u64,
    counted: Vec<Counted>,
    sweep_messages: u64,
    dead_since: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub limits: Limits,
    pub sequence: u64,
    pub floor: u64,
    tables: Vec<u16>,
    live: BTreeMap<Key, (u64, Vec<u8>)>,
    counted: BTreeMap<Key, Counted>,
    emptied: Vec<Emptied>,
    history: BTreeMap<Key, Versions>,
}

impl Model {
    pub fn new(limits: Limits, tables: &[u16]) -> Self {
        Self {
            limits,
            sequence: 0,
            floor: 0,
            tables: tables.to_vec(),
            live: BTreeMap::new(),
            counted: BTreeMap::new(),
            emptied: Vec::new(),
            history: BTreeMap::new(),
        }
    }

    /// The next message comes.
    pub fn begin(&mut self) {
        self.sequence += 1;
        let wanted = (self.sequence - 1).saturating_sub(self.limits.horizon_messages);
        self.floor = wanted.min(self.floor + 2).max(self.floor);
        let floor = self.floor;
        let sequence = self.sequence;
        self.counted.retain(|_, counted| !counted.deleted || counted.version > floor);
        self.emptied.retain_mut(|emptied| {
            emptied.counted.retain(|counted| !counted.deleted || counted.version > floor);
            if emptied.at <= floor {
                emptied.dead_since.get_or_insert(sequence);
            }
            emptied.dead_since.is_none_or(|since| since + emptied.sweep_messages > sequence)
        });
    }

    pub fn records(&self) -> u64 {
        self.counted.len() as u64
            + self.emptied.iter().map(|emptied| emptied.counted.len() as u64).sum::<u64>()
    }

    pub fn bytes(&self) -> u64 {
        let emptied = self.emptied.iter().flat_map(|emptied| &emptied.counted);
        self.counted.values().chain(emptied).map(|counted| counted.bytes).sum()
    }

    pub fn live(&self) -> &BTreeMap<Key, (u64, Vec<u8>)> {
        &self.live
    }

    pub fn digest(&self) -> u128 {
        let digest = |(key, (version, value)): (&Key, &(u64, Vec<u8>))| {
            let table = key.0.to_be_bytes();
            let length = [key.1.len() as u8];
            xxh3_128(&[&table[..], &length, &version.to_be_bytes(), &key.1, value].concat())
        };
        self.live.iter().map(digest).fold(0, u128::wrapping_add)
    }

    /// The record in the state after message `as_of`.
    pub fn read(&self, table: u16, key: &[u8], as_of: u64) -> Option<(u64, &[u8])> {
        let versions = self.history.get(&(table, key.to_vec()))?;
        let (version, value) = versions.iter().rev().find(|(version, _)| *version <= as_of)?;
        value.as_ref().map(|value| (*version, &value[..]))
    }

    pub fn transaction(&mut self, operations: &[Op]) -> Outcome {
        let before = (self.live.clone(), self.counted.clone());
        let bytes_before = self.bytes();
        let mut touched = Vec::new();
        for op in operations {
            if let Err(outcome) = self.operation(op, &mut touched) {
                (self.live, self.counted) = before;
                return outcome;
            }
        }
        let bytes = self.bytes();
        if bytes > self.limits.bytes_max && bytes > bytes_before {
            (self.live, self.counted) = before;
            return Outcome::BytesLimit;
        }
        for key in touched {
            self.note(key);
        }
        let checks_only = operations.iter().all(|op| op.kind == OperationKind::Check);
        if checks_only { Outcome::NoOperation } else { Outcome::Applied }
    }

    fn operation(&mut self, op: &Op, touched: &mut Vec<Key>) -> Result<(), Outcome> {
        if !self.tables.contains(&op.table) {
            return Err(Outcome::UnknownTable);
        }
        let key = (op.table, op.key.clone());
        let version = self.live.get(&key).map(|(version, _)| *version);
        match (op.kind, version) {
            (OperationKind::Insert, Some(_)) => return Err(Outcome::Exists),
            (OperationKind::Modify | OperationKind::Delete, None) => return Err(Outcome::Missing),
            (OperationKind::Check, None) if op.expected != Some(0) => return Err(Outcome::Missing),
            _ => {}
        }
        if op.expected.is_some_and(|expected| expected != version.unwrap_or(0)) {
            return Err(Outcome::VersionMismatch);
        }
        let version = self.sequence;
        match op.kind {
            OperationKind::Check => return Ok(()),
            OperationKind::Delete => {
                self.live.remove(&key);
                let bytes = op.key.len() as u64;
                self.counted.insert(key.clone(), Counted { version, bytes, deleted: true });
            }
            _ => {
                if !self.counted.contains_key(&key) && self.records() >= self.limits.records_max {
                    return Err(Outcome::RecordsLimit);
                }
                self.live.insert(key.clone(), (version, op.value.clone()));
                let bytes = (op.key.len() + op.value.len()) as u64;
                self.counted.insert(key.clone(), Counted { version, bytes, deleted: false });
            }
        }
        touched.push(key);
        Ok(())
    }

    /// Empties tables; at most `max` may wait to be reclaimed.
    pub fn empty(&mut self, tables: &[u16], max: usize) -> Outcome {
        let holds = |table: &&u16| self.counted.keys().any(|key| key.0 == **table);
        if self.emptied.len() + tables.iter().filter(holds).count() > max {
            return Outcome::RecordsLimit;
        }
        for &table in tables {
            let keys: Vec<Key> = self.counted.keys().filter(|key| key.0 == table).cloned().collect();
            if keys.is_empty() {
                continue;
            }
            let counted = keys.iter().filter_map(|key| self.counted.remove(key)).collect();
            for key in keys {
                self.live.remove(&key);
                self.note(key);
            }
            let sweep_messages = (self.limits.records_max / 4).max(64);
            self.emptied.push(Emptied { at: self.sequence, counted, sweep_messages, dead_since: None });
        }
        Outcome::Applied
    }

    fn note(&mut self, key: Key) {
        let now = self.live.get(&key).map(|(_, value)| value.clone());
        let versions = self.history.entry(key).or_default();
        if versions.last().is_some_and(|(version, _)| *version == self.sequence) {
            versions.pop();
        }
        versions.push((self.sequence, now));
    }
}
