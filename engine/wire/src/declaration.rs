//! Declarations: what the outcome of messages depends on, as the stream itself carries it.
//!
//! The first message of every stream declares limits, tables and schemas; later declarations add tables and schemas and may
//! change limits. A node's own configuration changes no outcome: only what is declared does.
use std::fmt;
use std::str::FromStr;

use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::session::{SESSION_BYTES, SessionError, SessionPattern};

/// The version of the layout below.
pub const DECLARATION_VERSION: u8 = 1;
/// The version every schema has today.
pub const SCHEMA_VERSION: u8 = 1;
/// Bytes of a table's name on the wire.
pub const TABLE_NAME_BYTES: usize = 16;
/// Bytes before the first table.
pub const DECLARATION_HEADER_BYTES: usize = 47;
/// Bytes of each table's entry.
pub const TABLE_ENTRY_BYTES: usize = 18;
/// Bytes of each schema's entry.
pub const SCHEMA_ENTRY_BYTES: usize = 14;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    version: u8,
    records_max: U64,
    bytes_max: U64,
    sessions_max: U32,
    session_forget_messages: U64,
    horizon_messages: U64,
    index_seed: U64,
    table_count: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct TableEntry {
    table: U16,
    name: [u8; TABLE_NAME_BYTES],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SchemaEntry {
    pattern: [u8; SESSION_BYTES],
    schema: u8,
    version: u8,
    first_table: U16,
}

const _: () = assert!(size_of::<Header>() == DECLARATION_HEADER_BYTES);
const _: () = assert!(size_of::<TableEntry>() == TABLE_ENTRY_BYTES);
const _: () = assert!(size_of::<SchemaEntry>() == SCHEMA_ENTRY_BYTES);

/// Bounds that decide outcomes. All are logical: how a node lays its memory out does not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records that may exist at once.
    pub records_max: u64,
    /// Bytes of keys and values that may exist at once.
    pub bytes_max: u64,
    /// Client sessions that may be known at once.
    pub sessions_max: u32,
    /// How many bus messages after its end a session's name is forgotten.
    pub session_forget_messages: u64,
    /// How many bus messages back a read may still look.
    pub horizon_messages: u64,
    /// Seed of the index's hash function.
    pub index_seed: u64,
}

/// A table's name: 1 to 16 printable ASCII characters without a space, padded right with spaces on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName([u8; TABLE_NAME_BYTES]);

impl TableName {
    /// Checks a name's wire form.
    pub fn from_bytes(bytes: [u8; TABLE_NAME_BYTES]) -> Option<Self> {
        let length = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        let valid = length > 0 && bytes[..length].iter().all(u8::is_ascii_graphic);
        valid.then_some(Self(bytes))
    }

    /// The wire form.
    pub fn to_bytes(self) -> [u8; TABLE_NAME_BYTES] {
        self.0
    }

    /// The name without padding.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a table name is ASCII").trim_end_matches(' ')
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableName({self})")
    }
}

impl FromStr for TableName {
    type Err = DeclarationError;

    fn from_str(text: &str) -> Result<Self, DeclarationError> {
        let mut bytes = [b' '; TABLE_NAME_BYTES];
        if text.len() > TABLE_NAME_BYTES || text.ends_with(' ') {
            return Err(DeclarationError::TableName);
        }
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self::from_bytes(bytes).ok_or(DeclarationError::TableName)
    }
}

/// A table: its number, which operations carry, and its name, which people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDeclaration {
    /// The number.
    pub table: u16,
    /// The name.
    pub name: TableName,
}

/// How the blocks of a session are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Schema {
    /// GDS's own transactions ([`crate::transaction`]); they name their tables themselves.
    Native = 0,
    /// Nasdaq TotalView-ITCH 5.0: the first table holds orders, the one after it stocks.
    Itch50 = 1,
}

impl Schema {
    /// The schema with this code, if there is one.
    pub const fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Native,
            1 => Self::Itch50,
            _ => return None,
        })
    }

    /// How many tables, from the first on, the schema writes.
    pub const fn table_count(self) -> u16 {
        match self {
            Self::Native => 0,
            Self::Itch50 => 2,
        }
    }
}

/// Which schema reads which sessions. The first that matches, in the order of declaration, counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaDeclaration {
    /// The sessions.
    pub pattern: SessionPattern,
    /// The schema.
    pub schema: Schema,
    /// Its version, [`SCHEMA_VERSION`] today, for the day a schema's rules change within a stream.
    pub version: u8,
    /// The first of the tables it writes; 0 for [`Schema::Native`].
    pub first_table: u16,
}

/// The body of a bus message of kind `D`.
///
/// ```text
///  0         1             9           17             21                        29                 37
/// +---------+-------------+-----------+--------------+-------------------------+------------------+--
/// | version | records max | bytes max | sessions max | session forget messages | horizon messages |
/// +---------+-------------+-----------+--------------+-------------------------+------------------+--
///    37           45            47                               47+18t          49+18t
/// --+------------+-------------+------------------------------+--------------+------------------------
///   | index seed | table count | t x (table u16, name [16])   | schema count | s x (pattern [10],
/// --+------------+-------------+------------------------------+--------------+  schema u8, version u8,
///                                                                               first table u16)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The bounds.
    pub limits: Limits,
    /// Tables declared here.
    pub tables: Vec<TableDeclaration>,
    /// Schemas declared here.
    pub schemas: Vec<SchemaDeclaration>,
}

/// Why bytes are no declaration, or a value is no part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclarationError {
    /// Shorter than its counts say.
    Truncated,
    /// Bytes after the last schema.
    TrailingBytes(usize),
    /// A layout version this software does not know.
    UnknownVersion(u8),
    /// A table's name that is not 1 to 16 printable ASCII characters without a space.
    TableName,
    /// The same table number twice, or the same name.
    DuplicateTable(u16),
    /// A schema code, or a version of one, that this software does not know.
    UnknownSchema {
        /// The code.
        schema: u8,
        /// The version.
        version: u8,
    },
    /// A schema whose tables would run over the last table number.
    FirstTable(u16),
    /// A session pattern that is none.
    Pattern(SessionError),
}

impl fmt::Display for DeclarationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the declaration is shorter than its counts say"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow the declaration's last schema"),
            Self::UnknownVersion(version) => write!(
                f,
                "the declaration has layout version {version}; this software knows {DECLARATION_VERSION}, use a newer one"
            ),
            Self::TableName => {
                write!(
                    f,
                    "a table's name has 1 to {TABLE_NAME_BYTES} printable ASCII characters and no space"
                )
            }
            Self::DuplicateTable(table) => {
                write!(f, "table {table} is declared twice, or under a name already taken")
            }
            Self::UnknownSchema { schema, version } => write!(
                f,
                "the declaration names schema {schema} in version {version}, which this software does not know; use a newer one"
            ),
            Self::FirstTable(table) => write!(f, "a schema cannot have its first table at {table}"),
            Self::Pattern(error) => write!(f, "a declared session pattern: {error}"),
        }
    }
}

impl std::error::Error for DeclarationError {}

impl Declaration {
    /// Reads the body of a message of kind `D`.
    pub fn parse(body: &[u8]) -> Result<Self, DeclarationError> {
        let version = *body.first().ok_or(DeclarationError::Truncated)?;
        if version != DECLARATION_VERSION {
            return Err(DeclarationError::UnknownVersion(version));
        }
        let truncated = DeclarationError::Truncated;
        let (header, rest) = Header::ref_from_prefix(body).map_err(|_| truncated)?;
        let table_count = usize::from(header.table_count.get());
        let (tables, rest) =
            <[TableEntry]>::ref_from_prefix_with_elems(rest, table_count).map_err(|_| truncated)?;
        let (schema_count, rest) = U16::ref_from_prefix(rest).map_err(|_| truncated)?;
        let schema_count = usize::from(schema_count.get());
        let (schemas, rest) =
            <[SchemaEntry]>::ref_from_prefix_with_elems(rest, schema_count).map_err(|_| truncated)?;
        if !rest.is_empty() {
            return Err(DeclarationError::TrailingBytes(rest.len()));
        }
        let declaration = Self {
            limits: Limits {
                records_max: header.records_max.get(),
                bytes_max: header.bytes_max.get(),
                sessions_max: header.sessions_max.get(),
                session_forget_messages: header.session_forget_messages.get(),
                horizon_messages: header.horizon_messages.get(),
                index_seed: header.index_seed.get(),
            },
            tables: tables.iter().map(TableDeclaration::parse).collect::<Result<_, _>>()?,
            schemas: schemas.iter().map(SchemaDeclaration::parse).collect::<Result<_, _>>()?,
        };
        declaration.check()?;
        Ok(declaration)
    }

    /// Checks what the types do not: no table or name twice, schemas of a known version, room for their tables. What
    /// [`Declaration::parse`] returns has passed this.
    pub fn check(&self) -> Result<(), DeclarationError> {
        for (position, table) in self.tables.iter().enumerate() {
            let earlier = &self.tables[..position];
            if earlier.iter().any(|other| other.table == table.table || other.name == table.name) {
                return Err(DeclarationError::DuplicateTable(table.table));
            }
        }
        for entry in &self.schemas {
            if entry.version != SCHEMA_VERSION {
                let (schema, version) = (entry.schema as u8, entry.version);
                return Err(DeclarationError::UnknownSchema { schema, version });
            }
            let last_offset = entry.schema.table_count().saturating_sub(1);
            if entry.first_table.checked_add(last_offset).is_none() {
                return Err(DeclarationError::FirstTable(entry.first_table));
            }
        }
        Ok(())
    }

    /// Bytes it takes on the wire.
    pub fn encoded_bytes(&self) -> usize {
        DECLARATION_HEADER_BYTES
            + self.tables.len() * TABLE_ENTRY_BYTES
            + size_of::<U16>()
            + self.schemas.len() * SCHEMA_ENTRY_BYTES
    }

    /// The body.
    ///
    /// # Panics
    /// On more than 65,535 tables or schemas.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |length: usize| U16::from(u16::try_from(length).expect("at most 65,535 entries"));
        let header = Header {
            version: DECLARATION_VERSION,
            records_max: self.limits.records_max.into(),
            bytes_max: self.limits.bytes_max.into(),
            sessions_max: self.limits.sessions_max.into(),
            session_forget_messages: self.limits.session_forget_messages.into(),
            horizon_messages: self.limits.horizon_messages.into(),
            index_seed: self.limits.index_seed.into(),
            table_count: count(self.tables.len()),
        };
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend_from_slice(header.as_bytes());
        for entry in &self.tables {
            let entry = TableEntry { table: entry.table.into(), name: entry.name.to_bytes() };
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes.extend_from_slice(count(self.schemas.len()).as_bytes());
        for entry in &self.schemas {
            let (pattern, schema) = (entry.pattern.to_bytes(), entry.schema as u8);
            let first_table = entry.first_table.into();
            let entry = SchemaEntry { pattern, schema, version: entry.version, first_table };
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes
    }

    /// Writes the body into the front of `into`; how many bytes it took, `None` when it does not fit.
    ///
    /// # Panics
    /// As [`Declaration::to_bytes`].
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        let bytes = self.to_bytes();
        into.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(bytes.len())
    }
}

impl TableDeclaration {
    fn parse(entry: &TableEntry) -> Result<Self, DeclarationError> {
        let name = TableName::from_bytes(entry.name).ok_or(DeclarationError::TableName)?;
        Ok(Self { table: entry.table.get(), name })
    }
}

impl SchemaDeclaration {
    fn parse(entry: &SchemaEntry) -> Result<Self, DeclarationError> {
        let (schema, version) = (entry.schema, entry.version);
        let schema = Schema::from_u8(schema).ok_or(DeclarationError::UnknownSchema { schema, version })?;
        let pattern = SessionPattern::from_bytes(entry.pattern).map_err(DeclarationError::Pattern)?;
        Ok(Self { pattern, schema, version, first_table: entry.first_table.get() })
    }
}

#[cfg(test)]
mod tests;
