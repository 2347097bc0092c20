//! What has been declared so far, all declarations of the stream taken together.
use gds_wire::declaration::{Declaration, Limits};
use xxhash_rust::xxh3::xxh3_128;

/// The sum of all declarations so far.
///
/// A later declaration adds tables and schemas and sets all limits anew, with two exceptions that follow from
/// what is stored already: the index seed is the first declaration's, and a table keeps the name under which
/// it was declared first.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    merged: Option<Declaration>,
    largest: Option<Limits>,
    digest: u128,
}

impl Declared {
    /// The limits in force; `None` before the first declaration.
    pub fn limits(&self) -> Option<&Limits> {
        self.merged.as_ref().map(|merged| &merged.limits)
    }

    /// The largest of each limit so far: what was allowed once may still be there when less is declared. This
    /// is what memory is sized by.
    pub fn largest_limits(&self) -> Option<&Limits> {
        self.largest.as_ref()
    }

    /// Everything declared, as one declaration; `None` before the first.
    pub fn declaration(&self) -> Option<&Declaration> {
        self.merged.as_ref()
    }

    /// xxh3-128 of everything declared, in the form it has on the wire; 0 before the first declaration.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// What would be declared after this declaration.
    pub fn with(&self, declaration: &Declaration) -> Declaration {
        let Some(merged) = &self.merged else { return declaration.clone() };
        let mut merged = merged.clone();
        let index_seed = merged.limits.index_seed;
        merged.limits = Limits { index_seed, ..declaration.limits };
        for table in &declaration.tables {
            if merged.tables.iter().all(|other| other.table != table.table) {
                merged.tables.push(*table);
            }
        }
        for schema in &declaration.schemas {
            if !merged.schemas.contains(schema) {
                merged.schemas.push(*schema);
            }
        }
        merged
    }

    /// Takes a declaration into account.
    pub fn accept(&mut self, declaration: &Declaration) {
        let merged = self.with(declaration);
        let limits = merged.limits;
        let largest = self.largest.unwrap_or(limits);
        let largest = Limits {
            records_max: largest.records_max.max(limits.records_max),
            bytes_max: largest.bytes_max.max(limits.bytes_max),
            horizon_messages: largest.horizon_messages.max(limits.horizon_messages),
            ..limits
        };
        *self = Self::restored(merged, largest);
    }

    /// What was declared so far, as it was kept: [`declaration`](Self::declaration) and [`largest_limits`](Self::largest_limits).
    pub(crate) fn restored(merged: Declaration, largest: Limits) -> Self {
        let limits = merged.limits;
        let mut bytes = Vec::new();
        for limit in [
            limits.records_max,
            limits.bytes_max,
            u64::from(limits.sessions_max),
            limits.session_forget_messages,
            limits.horizon_messages,
            limits.index_seed,
        ] {
            bytes.extend_from_slice(&limit.to_be_bytes());
        }
        for table in &merged.tables {
            bytes.extend_from_slice(&table.table.to_be_bytes());
            bytes.extend_from_slice(&table.name.to_bytes());
        }
        for schema in &merged.schemas {
            bytes.extend_from_slice(&schema.pattern.to_bytes());
            bytes.extend_from_slice(&[schema.schema as u8, schema.version]);
            bytes.extend_from_slice(&schema.first_table.to_be_bytes());
        }
        Self { merged: Some(merged), largest: Some(largest), digest: xxh3_128(&bytes) }
    }
}
