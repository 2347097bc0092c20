//! The numbers a day is made of.

/// SplitMix64 (Steele, Lea, Flood 2014). The day has its own generator, because a seed must give the same day for as long as
/// anybody quotes it, whatever generators elsewhere turn into.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `0..bound`, for what is counted in 32 bits.
    pub fn below_u32(&mut self, bound: u32) -> u32 {
        ((u64::from(self.bits() as u32) * u64::from(bound)) >> 32) as u32
    }

    /// How often in a row a coin falls on its head: 0 half of the time, 1 a quarter, and so on, at most `max`.
    pub fn geometric(&mut self, max: u32) -> u32 {
        self.bits().trailing_zeros().min(max)
    }
}
