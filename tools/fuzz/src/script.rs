//! An input read as instructions: what happens next, with which numbers.

/// Takes values from the front of an input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

/// Beside a value of one byte: eight bytes with the whole number follow.
const WHOLE: u8 = 0x80;

impl<'a> Script<'a> {
    /// Reads `data` from its front.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte, which says what happens next; `None` at the end.
    pub fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.step().unwrap_or(0)
    }

    /// The next byte, below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// True for an odd byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A small number, or any: one byte, or 0x80 and eight bytes.
    pub fn number(&mut self) -> u64 {
        self.near(0)
    }

    /// A number near `base`, or any: one byte of signed distance, or 0x80 and eight bytes.
    pub fn near(&mut self, base: u64) -> u64 {
        match self.byte() {
            WHOLE => self.u64(),
            distance => base.wrapping_add_signed(i64::from(distance as i8)),
        }
    }

    /// Up to `count` bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// As many bytes as the next byte says.
    pub fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.take(count)
    }
}

/// Writes what [`Script`] reads, for seeds.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A number read by [`Script::near`] or [`Script::number`] as `base + distance`.
    pub fn near(self, distance: i8) -> Self {
        assert!(distance as u8 != WHOLE, "this distance means that a whole number follows");
        self.raw(&[distance as u8])
    }

    /// A number read by [`Script::near`] or [`Script::number`] as itself.
    pub fn whole(self, number: u64) -> Self {
        self.raw(&[WHOLE]).raw(&number.to_be_bytes())
    }

    /// What [`Script::bytes`] reads.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let count = u8::try_from(bytes.len()).expect("at most 255 bytes");
        self.raw(&[count]).raw(bytes)
    }
}
