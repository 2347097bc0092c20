//! Looking at a host: every item of a profile, judged.
use crate::host::Host;
use crate::item::{Item, Judgement, Look, Setting, Verdict};
use crate::profile::Profile;
use crate::wanted::Wanted;

/// An item, and what was found.
pub struct Report {
    /// Which.
    pub item: &'static Item,
    /// May the profile's `apply` change it?
    pub apply: bool,
    /// What was found.
    pub judgement: Judgement,
}

impl Report {
    /// What `apply` will set, in this order: nothing where the profile does not let it, or all is as it should be.
    pub fn changes(&self) -> impl Iterator<Item = &Setting> {
        self.judgement.settings.iter().filter(|setting| self.apply && !setting.is_right())
    }

    /// Is it not as it should be?
    pub fn is_wrong(&self) -> bool {
        self.judgement.verdict == Verdict::Wrong
    }
}

/// Looks at everything that the profile names, and changes nothing. Takes some milliseconds.
pub fn check(host: &Host, profile: &Profile, wanted: &Wanted) -> Vec<Report> {
    let report = |named: &crate::profile::Named| {
        let look = Look { host, wanted, value: named.value.as_ref() };
        let judgement = (named.item.judge)(&look).unwrap_or_else(Judgement::bare);
        Report { item: named.item, apply: named.apply, judgement }
    };
    profile.items.iter().map(report).collect()
}
