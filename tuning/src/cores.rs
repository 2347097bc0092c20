//! Sets of processors as the kernel writes them: lists such as `0-3,8` and masks such as `00000000,0000010f`.
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Processors beyond this number are taken for a mistake (the kernel's own limit is 8,192).
pub const CORE_MAX: u32 = 8_191;

/// A set of processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores(BTreeSet<u32>);

/// Text that is no list or mask of processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoresError {
    text: String,
}

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no set of processors: write a list such as 2-3,8 with numbers of 0 to {CORE_MAX}",
            self.text
        )
    }
}

impl std::error::Error for CoresError {}

impl Cores {
    /// Reads a mask of 32-bit words in hex, most significant first, such as `3` or `00000000,0000010f`.
    pub fn from_mask(text: &str) -> Result<Self, CoresError> {
        let refused = || CoresError { text: text.chars().take(64).collect() };
        let words: Vec<&str> = text.trim().split(',').collect();
        if words.len() > (CORE_MAX as usize + 1) / 32 {
            return Err(refused());
        }
        let mut cores = BTreeSet::new();
        for (position, word) in words.iter().rev().enumerate() {
            let digits = (1..=8).contains(&word.len()) && word.bytes().all(|digit| digit.is_ascii_hexdigit());
            let bits = if digits { u32::from_str_radix(word, 16).ok() } else { None }.ok_or_else(refused)?;
            cores.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| position as u32 * 32 + bit));
        }
        Ok(Self(cores))
    }

    /// The set as such a mask, without leading words of zeros: every kernel takes it.
    pub fn to_mask(&self) -> String {
        let words = self.0.last().map_or(1, |last| last / 32 + 1);
        let word = |position: u32| {
            let bits = self.0.range(position * 32..position * 32 + 32);
            bits.fold(0u32, |word, core| word | 1 << (core % 32))
        };
        let mut text = format!("{:x}", word(words - 1));
        for position in (0..words - 1).rev() {
            text += &format!(",{:08x}", word(position));
        }
        text
    }

    /// Is it in the set?
    pub fn contains(&self, core: u32) -> bool {
        self.0.contains(&core)
    }

    /// Are all of `other` in this set?
    pub fn covers(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Those of both.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Those of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<u32> for Cores {
    fn from_iter<T: IntoIterator<Item = u32>>(cores: T) -> Self {
        Self(cores.into_iter().collect())
    }
}

impl FromStr for Cores {
    type Err = CoresError;

    /// Reads a list such as `0-3,8`; the empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, CoresError> {
        let refused = || CoresError { text: text.chars().take(64).collect() };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            text.parse().ok().filter(|core| digits && *core <= CORE_MAX).ok_or_else(refused)
        };
        let mut cores = BTreeSet::new();
        if text.trim().is_empty() {
            return Ok(Self(cores));
        }
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (number(first)?, number(last)?);
            if first > last {
                return Err(refused());
            }
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

impl fmt::Display for Cores {
    /// As the kernel writes lists: `0-3,8`; two neighbours are a range, too. The empty set is the empty text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for core in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == core => *last = core,
                _ => runs.push((core, core)),
            }
        }
        for (position, (first, last)) in runs.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}") } else { write!(f, "{comma}{first}-{last}") }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cores(text: &str) -> Cores {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        assert_eq!(cores("0-3,8,10-11\n").iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(cores("10,11,0,1,2,3,8").to_string(), "0-3,8,10-11");
        assert_eq!(cores("").to_string(), "");
        for wrong in ["x", "3-1", "1,,2", "-", "1-", "0-99999999999", "8192", "+1", "1 2"] {
            assert!(wrong.parse::<Cores>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn masks_are_read_with_and_without_leading_words() {
        assert_eq!(Cores::from_mask("0000000f,00000000,00000005").unwrap(), cores("0,2,64-67"));
        assert_eq!(Cores::from_mask("3").unwrap(), cores("0-1"));
        assert_eq!(cores("0,2,64-67").to_mask(), "f,00000000,00000005");
        assert_eq!(cores("").to_mask(), "0");
        for wrong in ["", "g", "123456789", "1,", "-1"] {
            assert!(Cores::from_mask(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(set in proptest::collection::btree_set(0..=CORE_MAX, 0..40)) {
            let set = Cores(set);
            prop_assert_eq!(&set.to_string().parse::<Cores>().unwrap(), &set);
            prop_assert_eq!(&Cores::from_mask(&set.to_mask()).unwrap(), &set);
        }

        #[test]
        fn any_text_is_a_set_within_bounds_or_an_error(text in "[0-9,\\-a-f \n]{0,40}") {
            for set in [text.parse::<Cores>(), Cores::from_mask(&text)].into_iter().flatten() {
                prop_assert!(set.iter().all(|core| core <= CORE_MAX));
            }
        }
    }
}
