//! The configuration of a node: what a person writes, read and checked.
//!
//! `default.toml` beside this crate documents every key and is the default; a person's file is laid over it, table by
//! table. What is wrong is told by key, value, and what would do. [`Config::load`] is the only way in, so whoever holds a
//! [`Config`] holds one that passed [`crate::check`].
use serde::Deserialize;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The documented default configuration, as text.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// What is wrong with a configuration, one line per finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or "the default configuration".
    pub file: String,
    /// Each names key, value and what would do.
    pub findings: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        write!(f, "\n  (`gds config` prints every key with its meaning and default)")
    }
}

impl std::error::Error for ConfigError {}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives the death of the process.
    Memory,
    /// Survives a power cut.
    Fsync,
}

/// How packets move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// io_uring where it works, else plain sockets.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// Plain sockets.
    Socket,
}

/// `[stream]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// MoldUDP64 session; empty: drawn at creation.
    pub session: String,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Folder of the journal.
    pub directory: PathBuf,
    /// Folder of the ring file.
    pub ring_directory: PathBuf,
}

/// `[network]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name or IPv4 address.
    pub interface: String,
    /// How packets move.
    pub transport: Transport,
    /// Multicast groups of the ingress.
    pub ingress_groups: Vec<Ipv4Addr>,
    /// UDP port of the ingress.
    pub ingress_port: u16,
    /// Group of the stream.
    pub downstream_group: Ipv4Addr,
    /// UDP port of the stream.
    pub downstream_port: u16,
    /// Group of the acknowledgements.
    pub acknowledgement_group: Ipv4Addr,
    /// UDP port of the acknowledgements.
    pub acknowledgement_port: u16,
    /// UDP port of the rewinder.
    pub rewinder_port: u16,
    /// TCP port of the queries.
    pub query_port: u16,
    /// Largest UDP payload sent.
    pub max_payload_bytes: usize,
    /// Socket receive buffer asked for.
    pub receive_buffer_bytes: usize,
    /// Socket send buffer asked for.
    pub send_buffer_bytes: usize,
}

/// `[limits]`: what the stream's declaration carries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Live records, and deleted ones still readable.
    pub records_max: u64,
    /// Keys and values of live records.
    pub bytes_max: u64,
    /// Client sessions.
    pub sessions_max: u32,
    /// Messages after which an ended session is forgotten.
    pub session_forget_messages: u64,
    /// Messages for which superseded versions stay readable.
    pub horizon_messages: u64,
    /// Seed of the index's hash.
    pub index_seed: u64,
}

/// `[[table]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// 1 to 65535.
    pub id: u16,
    /// Up to 16 characters.
    pub name: String,
}

/// The schemas there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemaKind {
    /// GDS transactions.
    Native,
    /// Nasdaq TotalView-ITCH 5.0.
    Itch50,
}

/// `[[schema]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Session pattern.
    pub pattern: String,
    /// Which schema.
    pub schema: SchemaKind,
    /// First table it writes.
    pub table: u16,
}

/// What an ingress gap leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Wait for the missing message.
    Wait,
    /// Skip it after a time.
    Skip,
}

/// Where a session's numbers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At 1.
    One,
    /// At the first number seen.
    FirstSeen,
}

/// `[[admission]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Session pattern.
    pub pattern: String,
    /// Source prefixes, `address/length`.
    pub sources: Vec<String>,
    /// What a gap leads to.
    pub gap: Gap,
    /// Time before a skip.
    pub skip_after_ms: u64,
    /// Where numbers begin.
    pub start: Start,
    /// `source`, `none`, or address:port.
    pub rerequest: String,
}

/// `[ingress]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// How far ahead a number may be.
    pub window_messages: u64,
    /// Packets held ahead of gaps.
    pub held_packets: usize,
    /// First wait before a request is repeated.
    pub retry_us: u64,
}

/// `[ring]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingSize {
    /// Bytes of messages.
    pub data_bytes: usize,
    /// Messages, a power of two.
    pub positions: usize,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Bytes of a segment file.
    pub segment_bytes: u64,
    /// Most bytes of one write.
    pub group_bytes_max: usize,
    /// Oldest a group gets before it is written.
    pub linger_us: u64,
}

/// `[rewinder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewinder {
    /// What one requester may draw.
    pub requester_bytes_per_second: u64,
    /// ... and at once.
    pub requester_burst_bytes: u64,
    /// Requesters remembered.
    pub requesters_max: usize,
}

/// `[query]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Connections at a time.
    pub connections_max: usize,
    /// Sessions kept for resume.
    pub sessions_max: usize,
    /// Bytes of answers kept per session.
    pub retained_bytes: usize,
    /// Wait for a login.
    pub login_wait_ms: u64,
    /// Silence that ends a connection.
    pub silence_ms: u64,
}

/// `[[user]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Up to 6 characters.
    pub name: String,
    /// Up to 10 characters.
    pub password: String,
    /// Table ids, or `*`.
    pub tables: Vec<TableRight>,
}

/// One entry of a user's `tables`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TableRight {
    /// A table by id.
    Id(u16),
    /// `"*"`.
    Word(String),
}

/// Idle strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Poll on.
    Spin,
    /// Give the processor to others.
    Yield,
    /// Sleep.
    Sleep,
}

/// The agents of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentName {
    /// Takes client packets and orders them.
    Sequencer,
    /// Applies the stream.
    Store,
    /// Publishes the acknowledgements.
    AcknowledgementPublisher,
    /// Publishes the stream.
    Publisher,
    /// Writes the stream's journal.
    Journal,
    /// Writes the acknowledgements' journal.
    AcknowledgementJournal,
    /// Answers request packets.
    Rewinder,
    /// Answers queries.
    Query,
}

impl AgentName {
    /// All of them, in the order in which a single core runs them.
    pub const ALL: [Self; 8] = [
        Self::Sequencer,
        Self::Store,
        Self::AcknowledgementPublisher,
        Self::Publisher,
        Self::Journal,
        Self::AcknowledgementJournal,
        Self::Rewinder,
        Self::Query,
    ];

    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sequencer => "sequencer",
            Self::Store => "store",
            Self::AcknowledgementPublisher => "acknowledgement_publisher",
            Self::Publisher => "publisher",
            Self::Journal => "journal",
            Self::AcknowledgementJournal => "acknowledgement_journal",
            Self::Rewinder => "rewinder",
            Self::Query => "query",
        }
    }
}

/// `[[core]]`: one thread of the layout.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Processor to pin to, or -1.
    pub cpu: i64,
    /// What to do when there is nothing to do.
    pub idle: Idle,
    /// For `sleep`.
    pub idle_sleep_us: u64,
    /// The agents on it, in the order in which they run.
    pub agents: Vec<AgentName>,
}

/// `[loss]`: packets dropped per thousand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Seed of the drops.
    pub seed: u64,
    /// On receipt at the ingress.
    pub ingress_per_mille: u32,
    /// On sending downstream.
    pub downstream_per_mille: u32,
    /// On sending acknowledgements.
    pub acknowledgement_per_mille: u32,
    /// On receipt and on sending at the rewinder.
    pub rewinder_per_mille: u32,
}

/// A whole, checked configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[stream]`
    pub stream: Stream,
    /// `[network]`
    pub network: Network,
    /// `[limits]`
    pub limits: Limits,
    /// `[[table]]`
    pub table: Vec<Table>,
    /// `[[schema]]`
    pub schema: Vec<Schema>,
    /// `[[admission]]`
    pub admission: Vec<Admission>,
    /// `[ingress]`
    pub ingress: Ingress,
    /// `[ring]`
    pub ring: RingSize,
    /// `[journal]`
    pub journal: Journal,
    /// `[rewinder]`
    pub rewinder: Rewinder,
    /// `[query]`
    pub query: Query,
    /// `[[user]]`
    pub user: Vec<User>,
    /// `[[core]]`
    pub core: Vec<Core>,
    /// `[loss]`
    pub loss: Loss,
}

impl Default for Config {
    fn default() -> Self {
        Self::parse("", "the default configuration").expect("the embedded default configuration is valid")
    }
}

impl Config {
    /// Reads a person's file over the defaults and checks the result.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            file: path.display().to_string(),
            findings: vec![format!("cannot be read: {error}")],
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The same from text; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let fail = |findings| ConfigError { file: file.to_owned(), findings };
        let over: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| fail(vec![error.to_string().trim_end().to_owned()]))?;
        let mut merged: toml::Table = DEFAULT_TOML.parse().expect("default.toml is TOML");
        let mut findings = Vec::new();
        unknown_keys(&over, &merged, "", &mut findings);
        if !findings.is_empty() {
            return Err(fail(findings));
        }
        lay_over(&mut merged, over);
        let config: Self = serde_path_to_error::deserialize(toml::Value::Table(merged)).map_err(|error| {
            let key = error.path().to_string();
            fail(vec![format!("{key}: {}", error.into_inner().to_string().trim_end())])
        })?;
        match crate::check::findings(&config) {
            findings if findings.is_empty() => Ok(config),
            findings => Err(fail(findings)),
        }
    }
}

/// Lays the tables of `over` on those of `base`; values and lists replace what is there.
fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => lay_over(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Finds keys that the default, which has them all, does not have.
fn unknown_keys(over: &toml::Table, known: &toml::Table, path: &str, findings: &mut Vec<String>) {
    for (key, value) in over {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (known.get(key), value) {
            (None, _) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                findings.push(format!("{full}: unknown key; known here: {}", names.join(", ")));
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(inner)) => {
                unknown_keys(inner, known, &full, findings);
            }
            (Some(toml::Value::Array(known)), toml::Value::Array(items)) => {
                let Some(toml::Value::Table(known)) = known.first() else { continue };
                for (position, item) in items.iter().enumerate() {
                    if let toml::Value::Table(inner) = item {
                        unknown_keys(inner, known, &format!("{full}[{position}]"), findings);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Config::parse(text, "node.toml").expect_err("refused").to_string()
    }

    #[test]
    fn the_default_configuration_is_valid() {
        let config = Config::default();
        assert_eq!(config.network.max_payload_bytes, 1400);
    }

    #[test]
    fn a_key_of_ones_own_replaces_only_itself() {
        let config = Config::parse("[network]\ningress_port = 9", "node.toml").unwrap();
        assert_eq!((config.network.ingress_port, config.network.downstream_port), (9, 26401));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbours() {
        let text = refusal("[network]\ningress_prot = 9");
        assert!(
            text.contains("network.ingress_prot: unknown key") && text.contains("ingress_port"),
            "{text}"
        );
        let text = refusal("[[core]]\ncpus = 3");
        assert!(text.contains("core[0].cpus: unknown key"), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        let text = refusal("[network]\ningress_port = \"x\"");
        assert!(text.contains("network.ingress_port"), "{text}");
        let text = refusal("[stream]\ndurability = \"disk\"");
        assert!(text.contains("stream.durability") && text.contains("fsync"), "{text}");
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_line() {
        assert!(refusal("[network\n").contains("line 1"));
    }
}
