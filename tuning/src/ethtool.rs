//! What `ethtool` prints, read; and how it is told.
//!
//! The text is the same since long before it could print JSON, and for every driver; so the text is read. A value that a driver does not
//! have is `n/a` there, or missing: either way there is none here.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Most lines that are looked at.
const LINES_MAX: usize = 1 << 14;

/// One kind of a card's settings: what one pair of ethtool's options shows and sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Sizes of the descriptor rings.
    Rings,
    /// How interrupts are put together.
    Coalescing,
    /// Pause frames.
    Pause,
    /// Offloads and features.
    Features,
    /// Queues.
    Channels,
}

impl Family {
    /// The option that shows it.
    pub fn show(self) -> &'static str {
        match self {
            Self::Rings => "-g",
            Self::Coalescing => "-c",
            Self::Pause => "-a",
            Self::Features => "-k",
            Self::Channels => "-l",
        }
    }

    /// The option that sets it.
    pub fn set(self) -> &'static str {
        match self {
            Self::Rings => "-G",
            Self::Coalescing => "-C",
            Self::Pause => "-A",
            Self::Features => "-K",
            Self::Channels => "-L",
        }
    }
}

/// One setting of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// As it is now: a number, `on` or `off`.
    pub now: String,
    /// The most that the card can, where ethtool tells it.
    pub most: Option<u64>,
    /// The driver does not let it be changed.
    pub fixed: bool,
}

/// The settings of a family, by the names that its setting option takes (`rx`, `adaptive-rx`, `gro`).
pub fn parse(family: Family, text: &str) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::<String, Value>::new();
    let mut maximums = false;
    for line in text.lines().take(LINES_MAX) {
        if line.starts_with("Pre-set maximums") || line.starts_with("Current hardware settings") {
            maximums = line.starts_with("Pre-set");
            continue;
        }
        for (name, value) in pairs(family, line) {
            let (value, fixed) = match value.strip_suffix("[fixed]") {
                Some(value) => (value.trim(), true),
                None => (value.split_whitespace().next().unwrap_or_default(), false),
            };
            let known = matches!(value, "on" | "off") || value.parse::<u64>().is_ok();
            if !known {
                continue;
            }
            let entry = values.entry(name).or_default();
            if maximums {
                entry.most = value.parse().ok();
            } else {
                entry.now = value.to_owned();
                entry.fixed = fixed;
            }
        }
    }
    values.retain(|_, value| !value.now.is_empty());
    values
}

/// The settings on one line of ethtool's output: one, or for adaptive coalescing two.
fn pairs(family: Family, line: &str) -> Vec<(String, &str)> {
    let Some((name, value)) = line.trim().split_once(':') else { return Vec::new() };
    let (name, value) = (name.trim(), value.trim());
    if name == "Adaptive RX" {
        let (receive, send) = value.split_once("TX:").unwrap_or((value, ""));
        return vec![("adaptive-rx".into(), receive.trim()), ("adaptive-tx".into(), send.trim())];
    }
    let name = match (family, name) {
        (Family::Features, "generic-receive-offload") => "gro".into(),
        (Family::Features, "large-receive-offload") => "lro".into(),
        (Family::Features, "ntuple-filters") => "ntuple".into(),
        (Family::Features, name) => name.to_owned(),
        (Family::Pause, "Autonegotiate") => "autoneg".into(),
        (_, name) => name.to_lowercase().replace(' ', "-"),
    };
    vec![(name, value)]
}

/// A rule that steers packets of a group to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's number on the card.
    pub location: u64,
    /// Destination address.
    pub group: Ipv4Addr,
    /// Destination port.
    pub port: u16,
    /// The queue.
    pub queue: u32,
}

/// The UDP rules of `ethtool -n` that name one destination address and port and lead to a queue; others are left out.
pub fn rules(text: &str) -> Vec<Rule> {
    text.split("Filter:").skip(1).take(LINES_MAX).filter_map(rule).collect()
}

fn rule(text: &str) -> Option<Rule> {
    let location = text.split_whitespace().next()?.parse().ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    // Whole values only: ethtool prints the bits that are not looked at as the mask.
    let exact = |name: &str, mask: &str| {
        let (value, rest) =
            field(name)?.split_once("mask:").map(|(value, rest)| (value.trim(), rest.trim()))?;
        (rest == mask).then_some(value)
    };
    if !field("Rule Type")?.starts_with("UDP over IPv4") {
        return None;
    }
    exact("Src IP addr", "255.255.255.255")?;
    Some(Rule {
        location,
        group: exact("Dest IP addr", "0.0.0.0")?.parse().ok()?,
        port: exact("Dest port", "0x0")?.parse().ok()?,
        queue: field("Action")?.strip_prefix("Direct to queue")?.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RINGS: &str = "Ring parameters for eth0:\nPre-set maximums:\nRX:\t\t8192\nRX Mini:\tn/a\nTX:\t\t8192\n\
Current hardware settings:\nRX:\t\t512\nRX Mini:\tn/a\nTX:\t\t512\nRX Buf Len:\t\tn/a\n";
    const COALESCING: &str = "Coalesce parameters for eth0:\nAdaptive RX: on  TX: n/a\nstats-block-usecs: n/a\n\nrx-usecs: 50\nrx-frames: n/a\n";
    const RULES: &str = "16 RX rings available\nTotal 1 rules\n\nFilter: 1023\n\tRule Type: UDP over IPv4\n\
\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n\tDest IP addr: 239.192.7.1 mask: 0.0.0.0\n\tTOS: 0x0 mask: 0xff\n\
\tSrc port: 0 mask: 0xffff\n\tDest port: 26400 mask: 0x0\n\tAction: Direct to queue 3\n";

    #[test]
    fn rings_have_a_present_and_a_largest_size() {
        let rings = parse(Family::Rings, RINGS);
        assert_eq!(rings["rx"], Value { now: "512".into(), most: Some(8192), fixed: false });
        assert!(!rings.contains_key("rx-mini"), "n/a is nothing");
    }

    #[test]
    fn coalescing_features_and_pause_are_read() {
        let coalescing = parse(Family::Coalescing, COALESCING);
        assert_eq!(
            (coalescing["adaptive-rx"].now.as_str(), coalescing["rx-usecs"].now.as_str()),
            ("on", "50")
        );
        assert!(!coalescing.contains_key("adaptive-tx"));
        let features = parse(
            Family::Features,
            "Features for eth0:\ngeneric-receive-offload: on\nlarge-receive-offload: off [fixed]\n",
        );
        assert_eq!((features["gro"].fixed, features["lro"].fixed), (false, true));
        let pause = parse(
            Family::Pause,
            "Pause parameters for eth0:\nAutonegotiate:\ton\nRX:\t\toff\nTX:\t\toff\nRX negotiated: on\n",
        );
        assert_eq!((pause["autoneg"].now.as_str(), pause["rx"].now.as_str()), ("on", "off"));
    }

    #[test]
    fn a_steering_rule_is_known_by_group_and_port() {
        let found = Rule { location: 1023, group: Ipv4Addr::new(239, 192, 7, 1), port: 26400, queue: 3 };
        assert_eq!(rules(RULES), [found]);
        assert!(rules(&RULES.replace("Dest port: 26400 mask: 0x0", "Dest port: 0 mask: 0xffff")).is_empty());
        assert!(rules(&RULES.replace("UDP", "TCP")).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[a-zA-Z0-9:\\[\\] \t\n./-]{0,200}") {
            for family in [Family::Rings, Family::Coalescing, Family::Pause, Family::Features, Family::Channels] {
                prop_assert!(parse(family, &text).values().all(|value| !value.now.is_empty()));
            }
            let filters = format!("Filter: {text}");
            prop_assert!(rules(&filters).len() <= filters.matches("Filter:").count());
        }
    }
}
