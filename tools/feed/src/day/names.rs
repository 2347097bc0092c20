//! Symbols and market participants that sound like some.
use super::dice::Dice;
use std::collections::HashSet;

const CONSONANTS: &[u8] = b"BCDFGHKLMNPRSTVWXZ";
const VOWELS: &[u8] = b"AEIOU";
/// `c` a consonant, `v` a vowel; one and two letters are rare, as they are on exchanges.
const SHAPES: [&[u8]; 12] =
    [b"cvcv", b"cvcc", b"vccv", b"cvvc", b"cvc", b"vcv", b"ccv", b"cvcv", b"cvcc", b"vcvc", b"cv", b"cvccv"];

/// `count` different symbols, padded on the right with spaces.
pub(super) fn symbols(dice: &mut Dice, count: u16) -> Vec<[u8; 8]> {
    let mut seen = HashSet::new();
    let mut symbols = Vec::with_capacity(usize::from(count));
    while symbols.len() < usize::from(count) {
        let shape = SHAPES[dice.below(SHAPES.len() as u64) as usize];
        let symbol = name(dice, shape);
        if seen.insert(symbol) {
            symbols.push(symbol);
        }
    }
    symbols
}

/// Market participants: four letters each.
pub(super) fn participants<const N: usize>(dice: &mut Dice) -> [[u8; 4]; N] {
    std::array::from_fn(|_| name(dice, b"cvcc")[..4].try_into().expect("the shape has four letters"))
}

fn name(dice: &mut Dice, shape: &[u8]) -> [u8; 8] {
    let mut name = [b' '; 8];
    for (letter, kind) in name.iter_mut().zip(shape) {
        let letters = if *kind == b'c' { CONSONANTS } else { VOWELS };
        *letter = letters[dice.below(letters.len() as u64) as usize];
    }
    name
}
