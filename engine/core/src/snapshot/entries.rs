//! What chunks hold, byte by byte: see the module above for the tables.
use crate::bus::SessionEntry;
use crate::store::{Declared, EndedGeneration, StoreImage, TableImage, Tally, VersionEntry};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration, TableDeclaration, TableName};
use gds_wire::session::{Session, SessionPattern};
use zerocopy::byteorder::network_endian::{U16, U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct TallyEntry {
    records: U64,
    bytes: U64,
    live: U64,
    digest: U128,
}

impl TallyEntry {
    fn of(tally: &Tally) -> Self {
        let Tally { records, bytes, live, digest } = *tally;
        Self { records: records.into(), bytes: bytes.into(), live: live.into(), digest: digest.into() }
    }

    fn tally(&self) -> Tally {
        Tally {
            records: self.records.get(),
            bytes: self.bytes.get(),
            live: self.live.get(),
            digest: self.digest.get(),
        }
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LimitsEntry {
    records_max: U64,
    bytes_max: U64,
    sessions_max: U32,
    session_forget_messages: U64,
    horizon_messages: U64,
    index_seed: U64,
}

impl LimitsEntry {
    fn of(limits: &Limits) -> Self {
        Self {
            records_max: limits.records_max.into(),
            bytes_max: limits.bytes_max.into(),
            sessions_max: limits.sessions_max.into(),
            session_forget_messages: limits.session_forget_messages.into(),
            horizon_messages: limits.horizon_messages.into(),
            index_seed: limits.index_seed.into(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            records_max: self.records_max.get(),
            bytes_max: self.bytes_max.get(),
            sessions_max: self.sessions_max.get(),
            session_forget_messages: self.session_forget_messages.get(),
            horizon_messages: self.horizon_messages.get(),
            index_seed: self.index_seed.get(),
        }
    }
}

/// What a snapshot begins with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Head {
    timestamp_ns: U64,
    floor: U64,
    digest: U128,
    total: TallyEntry,
    limits: LimitsEntry,
    largest: LimitsEntry,
    tables: U32,
    schemas: U32,
    ended: U32,
    sessions: U32,
    stream_ended: u8,
}

impl Head {
    pub fn of(image: &StoreImage, declaration: &Declaration, largest: &Limits) -> Self {
        let count = |length: usize| U32::new(u32::try_from(length).expect("no table has so many entries"));
        let sessions = image.sessions.as_ref().expect("the image is whole");
        Self {
            timestamp_ns: image.timestamp_ns.into(),
            floor: image.floor.into(),
            digest: image.digest().into(),
            total: TallyEntry::of(&image.total),
            limits: LimitsEntry::of(&declaration.limits),
            largest: LimitsEntry::of(largest),
            tables: count(image.tables.len()),
            schemas: count(declaration.schemas.len()),
            ended: count(image.ended.len()),
            sessions: count(sessions.entries().count()),
            stream_ended: u8::from(image.stream_ended),
        }
    }

    /// How many entries of each kind follow.
    pub fn counts(&self) -> [u32; 4] {
        [&self.tables, &self.schemas, &self.ended, &self.sessions].map(|count| count.get())
    }

    pub fn digest(&self) -> u128 {
        self.digest.get()
    }

    pub fn limits(&self) -> (Limits, Limits) {
        (self.limits.limits(), self.largest.limits())
    }

    /// The image but for what follows.
    pub fn image(&self, applied: u64) -> StoreImage {
        StoreImage {
            applied,
            timestamp_ns: self.timestamp_ns.get(),
            floor: self.floor.get(),
            total: self.total.tally(),
            stream_ended: self.stream_ended != 0,
            ..StoreImage::default()
        }
    }
}

/// The end mark.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct End {
    /// How many versions there are.
    pub versions: U64,
    /// The head's digest once more.
    pub digest: U128,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct TableEntry {
    number: U16,
    name: [u8; 16],
    generation: U64,
    tally: TallyEntry,
}

impl TableEntry {
    pub fn of(table: &TableImage, declared: &TableDeclaration) -> Self {
        assert_eq!(table.number, declared.table, "tables are in the order of their declaration");
        Self {
            number: table.number.into(),
            name: declared.name.to_bytes(),
            generation: table.generation.into(),
            tally: TallyEntry::of(&table.tally),
        }
    }

    pub fn table(&self) -> Option<(TableImage, TableDeclaration)> {
        let number = self.number.get();
        let declared = TableDeclaration { table: number, name: TableName::from_bytes(self.name)? };
        let (generation, tally) = (self.generation.get(), self.tally.tally());
        Some((TableImage { number, generation, tally }, declared))
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SchemaEntry {
    pattern: [u8; 10],
    schema: u8,
    version: u8,
    first_table: U16,
}

impl SchemaEntry {
    pub fn of(schema: &SchemaDeclaration) -> Self {
        Self {
            pattern: schema.pattern.to_bytes(),
            schema: schema.schema as u8,
            version: schema.version,
            first_table: schema.first_table.into(),
        }
    }

    pub fn schema(&self) -> Option<SchemaDeclaration> {
        Some(SchemaDeclaration {
            pattern: SessionPattern::from_bytes(self.pattern).ok()?,
            schema: Schema::from_u8(self.schema)?,
            version: self.version,
            first_table: self.first_table.get(),
        })
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct EndedEntry {
    table: U16,
    generation: U16,
    ended: U64,
    records: U64,
    bytes: U64,
    sweep_messages: U64,
    released: U64,
}

impl EndedEntry {
    pub fn of(ended: &EndedGeneration) -> Self {
        Self {
            table: ended.table.into(),
            generation: ended.generation.into(),
            ended: ended.ended.into(),
            records: ended.records.into(),
            bytes: ended.bytes.into(),
            sweep_messages: ended.sweep_messages.into(),
            released: ended.released.into(),
        }
    }

    pub fn ended(&self) -> EndedGeneration {
        EndedGeneration {
            table: self.table.get(),
            generation: self.generation.get(),
            ended: self.ended.get(),
            records: self.records.get(),
            bytes: self.bytes.get(),
            sweep_messages: self.sweep_messages.get(),
            released: self.released.get(),
        }
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ClientEntry {
    session: Session,
    schema: U16,
    next: U64,
    ended_at: U64,
    skipped: U64,
    skip_from: U64,
    skip_to: U64,
}

impl ClientEntry {
    pub fn of(entry: &SessionEntry) -> Self {
        Self {
            session: entry.session,
            schema: entry.schema.into(),
            next: entry.next.into(),
            ended_at: entry.ended_at.into(),
            skipped: entry.skipped.into(),
            skip_from: entry.skip.0.into(),
            skip_to: entry.skip.1.into(),
        }
    }

    /// `None`: nobody's.
    pub fn entry(&self) -> Option<SessionEntry> {
        let entry = SessionEntry {
            session: self.session,
            next: self.next.get(),
            ended_at: self.ended_at.get(),
            skipped: self.skipped.get(),
            skip: (self.skip_from.get(), self.skip_to.get()),
            schema: self.schema.get(),
        };
        (entry.next != 0).then_some(entry)
    }
}

const FLAG_TOMBSTONE: u8 = 1;
const FLAG_MOVED: u8 = 2;

/// Before key and value of a version.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct VersionHeader {
    version: U64,
    replaced_by: U64,
    table: U16,
    generation: U16,
    value_length: U16,
    key_length: u8,
    flags: u8,
}

impl VersionHeader {
    pub fn of(entry: &VersionEntry<'_>) -> Self {
        let flags = [(entry.tombstone, FLAG_TOMBSTONE), (entry.moved, FLAG_MOVED)];
        Self {
            version: entry.version.into(),
            replaced_by: entry.replaced_by.unwrap_or(0).into(),
            table: entry.table.into(),
            generation: entry.generation.into(),
            value_length: U16::new(u16::try_from(entry.value.len()).expect("a record's value is this short")),
            key_length: u8::try_from(entry.key.len()).expect("a record's key is this short"),
            flags: flags.iter().map(|&(set, flag)| if set { flag } else { 0 }).sum(),
        }
    }
}

/// The version that begins with these bytes, and what follows it.
pub(super) fn split_version(bytes: &[u8]) -> Option<(VersionEntry<'_>, &[u8])> {
    let (header, rest) = VersionHeader::ref_from_prefix(bytes).ok()?;
    let (key, rest) = rest.split_at_checked(usize::from(header.key_length))?;
    let (value, rest) = rest.split_at_checked(usize::from(header.value_length.get()))?;
    if header.flags & !(FLAG_TOMBSTONE | FLAG_MOVED) != 0 {
        return None;
    }
    let replaced_by = header.replaced_by.get();
    let entry = VersionEntry {
        version: header.version.get(),
        replaced_by: (replaced_by != 0).then_some(replaced_by),
        table: header.table.get(),
        generation: header.generation.get(),
        tombstone: header.flags & FLAG_TOMBSTONE != 0,
        moved: header.flags & FLAG_MOVED != 0,
        key,
        value,
    };
    Some((entry, rest))
}

/// Everything declared, from what a snapshot holds of it.
pub(super) fn declared(
    head: &Head,
    tables: Vec<TableDeclaration>,
    schemas: Vec<SchemaDeclaration>,
) -> Declared {
    let (limits, largest) = head.limits();
    Declared::restored(Declaration { limits, tables, schemas }, largest)
}

const _: () = assert!(size_of::<TallyEntry>() == 40);
const _: () = assert!(size_of::<LimitsEntry>() == 44);
const _: () = assert!(size_of::<Head>() == 177);
const _: () = assert!(size_of::<End>() == 24);
const _: () = assert!(size_of::<TableEntry>() == 66);
const _: () = assert!(size_of::<SchemaEntry>() == 14);
const _: () = assert!(size_of::<EndedEntry>() == 44);
const _: () = assert!(size_of::<ClientEntry>() == 52);
const _: () = assert!(size_of::<VersionHeader>() == 24);
