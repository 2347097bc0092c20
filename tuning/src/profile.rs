//! Profiles: which items matter on a kind of host, what they should be, and which of them may be changed.
//!
//! A profile is a TOML file. It has a line `about`, and one table for each item that it names; an item that it does not name is
//! neither looked at nor changed:
//!
//! ```toml
//! about = "..."
//! [item.swappiness]
//! wanted = 0
//! apply = false
//! ```
use crate::host::Host;
use crate::item::{Item, Shown, Takes, Way};
use crate::items::ITEMS;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The profiles that come with GDS: name and text.
pub const PROFILES: [(&str, &str); 2] =
    [("colo", include_str!("../profiles/colo.toml")), ("cloud", include_str!("../profiles/cloud.toml"))];

/// A profile.
pub struct Profile {
    /// Its name, or the file that it came from.
    pub name: String,
    /// What kind of host it is for.
    pub about: String,
    /// The items it names, in the order in which they are looked at and changed.
    pub items: Vec<Named>,
}

/// An item that a profile names.
pub struct Named {
    /// Which.
    pub item: &'static Item,
    /// What it should be, where the profile has a say in it.
    pub value: Option<Value>,
    /// May `apply` change it?
    pub apply: bool,
}

/// What a profile says that an item should be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A word.
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => write!(f, "{word:?}"),
        }
    }
}

/// What is wrong with a profile, one line for each finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    name: String,
    findings: Vec<String>,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {}:", self.name)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl std::error::Error for ProfileError {}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    about: String,
    item: BTreeMap<String, WrittenItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenItem {
    wanted: Option<Value>,
    #[serde(default)]
    apply: bool,
}

impl Profile {
    /// Which of those that come with GDS fits the host: `cloud` where the processor says that it is a virtual one, else `colo`.
    pub fn fitting(host: &Host) -> &'static str {
        let about = host.read("/proc/cpuinfo").unwrap_or_default();
        let mut flags = about.lines().filter(|line| line.starts_with("flags")).take(1);
        let cloud = flags.any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
        if cloud { "cloud" } else { "colo" }
    }

    /// One that comes with GDS, by name, or the one in a file.
    pub fn load(name_or_file: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = PROFILES.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name_or_file)).map_err(|error| ProfileError {
            name: name_or_file.to_owned(),
            findings: vec![format!("is neither colo nor cloud, and as a file cannot be read: {error}")],
        })?;
        Self::parse(name_or_file, &text)
    }

    /// The profile in a text; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let fail = |findings| ProfileError { name: name.to_owned(), findings };
        let written: Written = toml::from_str(text)
            .map_err(|error: toml::de::Error| fail(vec![error.to_string().trim_end().to_owned()]))?;
        let mut findings = Vec::new();
        for key in written.item.keys().filter(|key| !ITEMS.iter().any(|item| item.key == **key)) {
            let keys: Vec<&str> = ITEMS.iter().map(|item| item.key).collect();
            findings.push(format!("item.{key}: unknown item; there are {}", keys.join(", ")));
        }
        let named = |item: &'static Item| Some((item, written.item.get(item.key)?));
        for (item, written) in ITEMS.iter().copied().filter_map(named) {
            findings.extend(refusal(item, written).map(|why| format!("item.{}: {why}", item.key)));
        }
        if !findings.is_empty() {
            return Err(fail(findings));
        }
        let items = ITEMS.iter().copied().filter_map(named);
        let items =
            items.map(|(item, written)| Named { item, value: written.wanted.clone(), apply: written.apply });
        Ok(Self { name: name.to_owned(), about: written.about, items: items.collect() })
    }
}

/// Why a profile cannot say this of this item.
fn refusal(item: &Item, written: &WrittenItem) -> Option<String> {
    if written.apply && item.way != Way::Running {
        return Some("apply = true: it cannot be changed on a running host; leave `apply` out".into());
    }
    if written.apply && item.shown == Shown::Nobody {
        return Some("apply = true: nobody has shown what it is worth, so it is only looked at".into());
    }
    let said = written.wanted.as_ref();
    let shown = said.map_or("missing".into(), |value| format!("= {value}"));
    match (item.takes, said) {
        (Takes::Nothing, None) => None,
        (Takes::Nothing, Some(_)) => Some(format!(
            "wanted {shown}: what is wanted follows from the node's configuration; leave it out"
        )),
        (Takes::Number(low, high), Some(Value::Number(number))) if (low..=high).contains(number) => None,
        (Takes::Number(low, high), _) => Some(format!("wanted {shown}: must be a number of {low} to {high}")),
        (Takes::Word(words), Some(Value::Word(word))) if words.contains(&word.as_str()) => None,
        (Takes::Word(words), _) => Some(format!("wanted {shown}: must be one of {}", words.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        Profile::parse("mine.toml", text).err().expect("refused").to_string()
    }

    #[test]
    fn the_profiles_that_come_with_gds_are_right() {
        for (name, _) in PROFILES {
            let profile = Profile::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(!profile.about.is_empty() && profile.items.iter().any(|named| named.apply));
        }
        assert_eq!(Profile::load("colo").unwrap().items.len(), ITEMS.len(), "colo looks at everything");
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_what_would_do() {
        let item = |text: &str| format!("about = \"x\"\n[item]\n{text}");
        for (text, says) in [
            (item("swapiness = { wanted = 0 }"), "item.swapiness: unknown item; there are isolated_cores"),
            (item("nmi_watchdog = { wanted = 7 }"), "wanted = 7: must be a number of 0 to 1"),
            (item("nmi_watchdog = { apply = true }"), "wanted missing"),
            (item("governor = { wanted = \"fast\" }"), "must be one of performance"),
            (item("isolated_cores = { wanted = 3 }"), "follows from the node's configuration"),
            (item("isolated_cores = { apply = true }"), "cannot be changed on a running host"),
            (item("swappiness = { wanted = 0, apply = true }"), "nobody has shown"),
            (item("nmi_watchdog = { wanted = 0, aply = true }"), "aply"),
            ("[item]".into(), "about"),
            ("about = 1".into(), "about"),
            ("x".into(), "mine.toml"),
        ] {
            assert!(refused(&text).contains(says), "{text}: {}", refused(&text));
        }
        assert!(Profile::load("/no/such/file").err().expect("refused").to_string().contains("colo"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_profile_or_an_error(key in 0..ITEMS.len(), wanted in "(|wanted = [0-9]{1,5}|wanted = \"[a-z]{0,12}\")", apply in any::<bool>()) {
            let key = ITEMS[key].key;
            let text = format!("about = \"\"\n[item.{key}]\n{wanted}\napply = {apply}\n");
            if let Ok(profile) = Profile::parse("x", &text) {
                prop_assert_eq!(profile.items.len(), 1);
                prop_assert!(!apply || profile.items[0].item.shown != Shown::Nobody);
            }
        }

        #[test]
        fn noise_is_refused_without_harm(text in "[a-z\\[\\]=.\"{}\n 0-9]{0,80}") {
            let _ = Profile::parse("x", &text).map(|profile| profile.items.len());
        }
    }
}
