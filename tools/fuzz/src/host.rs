//! What the kernel and ethtool print about a host, and the profiles that say what it should be.
use gds_tuning::cores::Cores;
use gds_tuning::ethtool::{self as tool, Family};
use gds_tuning::interrupts::Interrupts;
use gds_tuning::profile::Profile;

/// Lists and masks of processors: what is read is written so that it reads the same.
pub fn cores(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for read in [text.parse::<Cores>(), Cores::from_mask(text)] {
        match read {
            Ok(cores) => {
                assert_eq!(cores.to_string().parse().as_ref(), Ok(&cores));
                assert_eq!(Cores::from_mask(&cores.to_mask()).as_ref(), Ok(&cores));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Two readings of `/proc/interrupts`, parted by a zero byte: between a reading and itself nothing came.
pub fn interrupts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (before, after) = text.split_once('\0').unwrap_or(("", &text));
    let (before, after) = (Interrupts::parse(before), Interrupts::parse(after));
    for core in 0..4 {
        assert!(after.since(&before, core).iter().all(|(_, _, came)| *came > 0));
        assert!(after.since(&after, core).is_empty());
    }
}

/// What ethtool prints, as any of its families and as steering rules.
pub fn ethtool(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let families = [Family::Rings, Family::Coalescing, Family::Pause, Family::Features, Family::Channels];
    for family in families {
        let values = tool::parse(family, &text);
        let known = |now: &str| matches!(now, "on" | "off") || now.parse::<u64>().is_ok();
        assert!(values.values().all(|value| known(&value.now)), "{values:?}");
    }
    for rule in tool::rules(&text) {
        assert!(text.contains(&rule.group.to_string()), "{rule:?}");
    }
}

/// A profile: refused by name, or one that names items, each at most once.
pub fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Profile::parse("input.toml", text) {
        Ok(profile) => {
            let mut keys: Vec<&str> = profile.items.iter().map(|named| named.item.key).collect();
            keys.sort_unstable();
            assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
        }
        Err(error) => assert!(error.to_string().contains("input.toml")),
    }
}
