//! Reading a configuration: a person's file laid over the documented defaults, and checked.
//!
//! `default.toml` beside this crate documents every key and is the default; a person's file is laid over it, table by
//! table. What is wrong is told by key, value, and what would do.
use crate::check;
use crate::config::Config;
use std::fmt;
use std::path::Path;

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
        match check::findings(&config) {
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
    fn an_admission_needs_only_pattern_and_sources() {
        let rule = |rest: &str| {
            let text = format!("[[admission]]\npattern = \"*\"\nsources = [\"127.0.0.0/8\"]\n{rest}");
            format!("{:?}", Config::parse(&text, "node.toml").unwrap().admission)
        };
        assert_eq!(rule(""), format!("{:?}", Config::default().admission));
        assert_ne!(rule("gap = \"skip\""), rule(""));
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
