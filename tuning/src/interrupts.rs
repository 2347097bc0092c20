//! `/proc/interrupts`: how often which interrupt came to which processor.
use crate::cores::CORE_MAX;
use std::collections::BTreeMap;

/// Most lines that are looked at.
const LINES_MAX: usize = 1 << 16;

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    lines: BTreeMap<String, Line>,
}

/// One interrupt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// By processor.
    pub counts: BTreeMap<u32, u64>,
    /// What it is for, such as `eth0-TxRx-0` or `Local timer interrupts`.
    pub name: String,
}

impl Interrupts {
    /// Reads the kernel's text. Lines that are none are left out.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines().take(LINES_MAX);
        let header = lines.next().unwrap_or_default().split_whitespace();
        let cores: Vec<u32> = header
            .filter_map(|word| word.strip_prefix("CPU")?.parse().ok())
            .filter(|core| *core <= CORE_MAX)
            .collect();
        let line = |text: &str| {
            let (id, rest) = text.split_once(':')?;
            let words: Vec<&str> = rest.split_whitespace().collect();
            let numbers = words.iter().map_while(|word| word.parse().ok());
            let counts: BTreeMap<u32, u64> = cores.iter().copied().zip(numbers).collect();
            let numbered = id.trim().parse::<u32>().is_ok();
            // Numbered interrupts tell their chip and kind first, and who takes them last; the others are a sentence.
            let name = if numbered {
                words.last().copied().unwrap_or_default().to_owned()
            } else {
                words.get(counts.len()..).unwrap_or_default().join(" ")
            };
            Some((id.trim().to_owned(), Line { counts, name }))
        };
        Self { lines: lines.filter_map(line).collect() }
    }

    /// Those of one processor since `before` that came at all: id, name, count.
    pub fn since(&self, before: &Self, core: u32) -> Vec<(String, String, u64)> {
        let count = |line: Option<&Line>| line.and_then(|line| line.counts.get(&core)).copied().unwrap_or(0);
        self.lines
            .iter()
            .map(|(id, line)| {
                let came = count(Some(line)).saturating_sub(count(before.lines.get(id)));
                (id.clone(), line.name.clone(), came)
            })
            .filter(|(_, _, came)| *came > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "           CPU0       CPU1       \n 38:          0      14893 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\n\
LOC:   27814756   26214310   Local timer interrupts\nERR:          0\n";

    #[test]
    fn counts_are_told_by_processor() {
        let before = Interrupts::parse(TEXT);
        let after = Interrupts::parse(&TEXT.replace("14893", "14900").replace("26214310", "26214311"));
        let came = after.since(&before, 1);
        let expected = [("38", "virtio2-input.0", 7), ("LOC", "Local timer interrupts", 1)];
        assert_eq!(came, expected.map(|(id, name, count)| (id.to_owned(), name.to_owned(), count)));
        assert!(after.since(&before, 0).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_none_counts_against_itself(text in "(CPU[0-9]{1,9} ){0,4}\n([ 0-9A-Z:a-z.]{0,40}\n){0,6}") {
            let counts = Interrupts::parse(&text);
            prop_assert!((0..4).all(|core| counts.since(&counts, core).is_empty()));
        }
    }
}
